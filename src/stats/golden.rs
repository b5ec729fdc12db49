//! What SciPy and Apache Otava say of the same numbers, from `tests/data/golden-stats.json`, which
//! `scripts/golden-stats` writes.

use std::fs;

use serde_json::Value;

use super::*;

fn golden(key: &str) -> Vec<Value> {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden-stats.json");
    let path = std::env::var("SLMBENCH_GOLDEN").unwrap_or_else(|_| kept.to_owned());
    let text = fs::read_to_string(path).expect("golden values");
    let mut golden: Value = serde_json::from_str(&text).expect("golden values are JSON");
    let Value::Array(entries) = golden[key].take() else { panic!("no list `{key}`") };
    assert!(!entries.is_empty());
    entries
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

/// The largest relative difference so far.
#[derive(Default)]
struct Worst(f64);

impl Worst {
    fn see(&mut self, found: f64, expected: &Value) {
        let expected = number(expected);
        let difference = (found - expected).abs();
        let relative = if difference == 0.0 { 0.0 } else { difference / expected.abs() };
        // NaN is the worst of all.
        self.0 = if relative.is_nan() { f64::INFINITY } else { self.0.max(relative) };
    }

    fn stays_below(&self, limit: f64, what: &str) {
        println!("{what}: {:.1e}", self.0);
        assert!(self.0 <= limit, "{what} differs by {:e}", self.0);
    }
}

#[test]
fn quantiles_of_t_are_those_of_scipy() {
    let mut worst = Worst::default();
    for entry in golden("quantiles_of_t") {
        worst.see(t_quantile(number(&entry["p"]), number(&entry["freedom"])), &entry["t"]);
    }
    worst.stays_below(1e-9, "quantiles of t");
}

#[test]
fn ratios_and_their_intervals_are_those_of_scipy() {
    let (mut paired, mut welch) = (Worst::default(), Worst::default());
    let mut pairs = 0;
    for entry in golden("samples") {
        let (a, b, alpha) = (numbers(&entry["a"]), numbers(&entry["b"]), number(&entry["alpha"]));
        let compare = |worst: &mut Worst, found: LogRatio, expected: &Value| {
            for (found, key) in
                [(found.lo, "lo"), (found.hi, "hi"), (found.freedom, "freedom"), (found.p, "p")]
            {
                worst.see(found, &expected[key]);
            }
        };
        compare(&mut welch, LogRatio::unpaired(&a, &b, alpha).unwrap(), &entry["welch"]);
        if let Some(expected) = entry.get("paired") {
            compare(&mut paired, LogRatio::paired(&a, &b, alpha).unwrap(), expected);
            pairs += 1;
        }
    }
    assert!(pairs > 10);
    paired.stays_below(1e-9, "paired t");
    welch.stays_below(1e-9, "Welch's t");
}

#[test]
fn ranks_and_deviations_are_those_of_scipy() {
    let (mut u, mut p, mut deviation) = (Worst::default(), Worst::default(), Worst::default());
    let (mut exact, mut approximate) = (0, 0);
    for entry in golden("samples") {
        let (a, b) = (numbers(&entry["a"]), numbers(&entry["b"]));
        let found = MannWhitney::of(&a, &b).unwrap();
        u.see(found.u, &entry["u"]);
        p.see(found.p, &entry["u_p"]);
        *if found.exact { &mut exact } else { &mut approximate } += 1;
        deviation.see(mad(&b, MadScale::Plain).unwrap(), &entry["mad"]);
        deviation.see(mad(&b, MadScale::Normal).unwrap(), &entry["mad_normal"]);
    }
    assert!(exact > 5 && approximate > 5);
    u.stays_below(0.0, "U");
    p.stays_below(1e-9, "p of U");
    deviation.stays_below(1e-9, "median absolute deviation");
}

/// Seeds differ, so each end, from four times the resamples and so half the chance, has to lie
/// where twenty seeds of SciPy put it, give or take a hundredth of the width.
#[test]
fn bootstrap_intervals_are_those_of_scipy_but_for_the_seed() {
    let mut worst = 0.0f64;
    for entry in golden("bootstrap") {
        let values = numbers(&entry["values"]);
        let bootstrap = Bootstrap { resamples: 40_000, ..Bootstrap::default() };
        let statistic = entry["statistic"].as_str().unwrap();
        let found = match statistic {
            "mean" => bootstrap.interval(&values, |v| v.iter().sum::<f64>() / v.len() as f64),
            p => bootstrap.quantile(&values, p.parse().unwrap()),
        }
        .unwrap();
        let (lo, hi) = (numbers(&entry["lo"]), numbers(&entry["hi"]));
        let width = hi[0] - lo[1];
        for (end, seeds) in [(found.lo, lo), (found.hi, hi)] {
            let outside = (seeds[0] - end).max(end - seeds[1]).max(0.0) / width;
            worst = worst.max(outside);
            let (n, shape) = (values.len(), &entry["shape"]);
            assert!(outside <= 0.01, "{statistic} of {n} {shape}: {end}, expected {seeds:?}");
        }
    }
    println!("ends of BCa intervals outside those of seeds, in widths: {worst:.4}");
}

/// Compares every series with Otava's answers, and says how many answers and points there were,
/// and how many points are not at the very index.
fn hold_against_otava(key: &str) -> (usize, usize, usize) {
    let (mut answers, mut points, mut beside) = (0, 0, 0);
    let (mut means, mut p) = (Worst::default(), Worst::default());
    for series in golden(key) {
        let values = numbers(&series["values"]);
        for answer in series["answers"].as_array().unwrap() {
            let rules = ChangeRules {
                window: answer["window"].as_u64().unwrap() as usize,
                max_p: number(&answer["max_p"]),
                min_magnitude: number(&answer["min_magnitude"]),
            };
            let expected = answer["points"].as_array().unwrap();
            let found = change_points(&values, &rules);
            let indices: Vec<u64> = expected.iter().map(|p| p["index"].as_u64().unwrap()).collect();
            let told = format!("{}, {rules:?}: {found:?}, expected {indices:?}", series["name"]);
            assert_eq!(found.len(), expected.len(), "{told}");
            for ((found, index), expected) in found.iter().zip(indices).zip(expected) {
                assert!((found.index as u64).abs_diff(index) <= 1, "{told}");
                beside += usize::from(found.index as u64 != index);
                means.see(found.before, &expected["before"]);
                means.see(found.after, &expected["after"]);
                p.see(found.p, &expected["p"]);
            }
            answers += 1;
            points += expected.len();
        }
    }
    means.stays_below(1e-9, "means beside change points");
    p.stays_below(1e-6, "p of change points");
    println!("{key}: {answers} answers, {points} points, {beside} beside the index");
    (answers, points, beside)
}

#[test]
fn change_points_of_synthetic_series_are_those_of_otava() {
    let (answers, points, _) = hold_against_otava("synthetic");
    assert!(answers >= 20 && points > 50);
}

#[test]
fn change_points_of_published_series_are_those_of_otava() {
    let (answers, points, _) = hold_against_otava("published");
    assert!(answers >= 4 && points >= 4);
}
