//! Whether the newest runs of a series cost more than those before. Pure.
//!
//! A change that the series shows anyway and that begins among the newest runs is the answer. A change
//! needs runs on both of its sides, so the newest are also held against where the stretch before them
//! would have them: the prediction interval of Student's t on logarithms.

use serde::Serialize;

use super::changes::{Analysis, Change, Method, Rules, changes, of_values};
use super::{Point, Series};
use crate::compare::Verdict;
use crate::stats::{geometric_mean, t_quantile};

/// What is said of the newest runs of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The verdict.
    pub verdict: Verdict,
    /// What was before: mean of the stretch that the newest are held against.
    pub before: Option<f64>,
    /// The newest: their mean, from the change on where there is one.
    pub now: f64,
    /// Where the newest were expected.
    pub expected: Option<Expected>,
    /// Index of the point at which it changed, where a change is known.
    pub changed_at: Option<usize>,
    /// What the verdict rests on, or why there is none.
    pub why: String,
}

impl Checked {
    /// By which share the newest differ from what was before.
    pub fn relative(&self) -> Option<f64> {
        self.before.filter(|before| *before != 0.0).map(|before| self.now / before - 1.0)
    }
}

/// A prediction interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// Its lower end.
    pub lo: f64,
    /// Its upper end.
    pub hi: f64,
    /// Runs that it comes from.
    pub n: usize,
}

/// Says whether the last `last` points of a series brought a change. At least one is looked at, and at
/// least one is left to hold it against.
pub fn check(series: &Series, last: usize, rules: &Rules) -> Checked {
    let values = series.values();
    let n = values.len();
    let last = last.clamp(1, n.saturating_sub(1).max(1));
    let threshold = rules.threshold(series);
    let analysis = changes(series, rules);
    let newest = geometric_mean(&values[n - last..]).unwrap_or(f64::NAN);
    let unclear = |why: String| Checked {
        verdict: Verdict::Unclear,
        before: None,
        now: newest,
        expected: None,
        changed_at: None,
        why,
    };
    if n == 1 {
        return unclear("the first run of this series: nothing to hold it against".to_owned());
    }
    if analysis.method == Method::TooShort {
        return unclear(format!("{n} runs are too few to tell; {} or more do", rules.min_fenced));
    }
    // The first of the changes among the newest: together they count from what was before them all.
    let first = analysis.changes.iter().find(|change| change.index >= n - last);
    if let Some(first) = first {
        return changed(series, &analysis, first, threshold);
    }
    if analysis.method == Method::Exact {
        let verdict = Verdict::Same;
        return Checked { verdict, before: Some(newest), ..unclear("equal".to_owned()) };
    }

    // The newest must have no part in what they are held against.
    let earlier = &values[..n - last];
    let stretch = &earlier[of_values(earlier, threshold, rules).current()..];
    let Some(mean) = geometric_mean(stretch) else { return unclear("no runs before".to_owned()) };
    let outcome = |verdict, expected, why| Checked {
        verdict,
        before: Some(mean),
        now: newest,
        expected,
        changed_at: None,
        why,
    };
    let expected = predicted(stretch, last, rules.confidence);
    let change = if newest == mean { 0.0 } else { (newest / mean).ln() };
    if change.abs() <= threshold.ln_1p() {
        let why = format!("within {} of the runs before", percent(threshold));
        return outcome(Verdict::Same, expected, why);
    }
    let Some(interval) = expected else {
        let why = match stretch.len() {
            1 => "one run since the last change is too few to tell".to_owned(),
            n => format!("{n} runs since the last change are too few to tell"),
        };
        return outcome(Verdict::Unclear, None, why);
    };
    let sure = percent(rules.confidence);
    match (newest < interval.lo, newest > interval.hi) {
        (_, true) => {
            let why = format!("above where {sure} of runs would be");
            outcome(Verdict::Regressed, expected, why)
        }
        (true, _) => {
            let why = format!("below where {sure} of runs would be");
            outcome(Verdict::Improved, expected, why)
        }
        _ => {
            let why = format!(
                "beyond {}, but the {} runs before scatter as much; one more run tells more",
                percent(threshold),
                interval.n
            );
            outcome(Verdict::Unclear, expected, why)
        }
    }
}

/// A change among the newest runs, from what was before the first of them to what is now.
fn changed(series: &Series, analysis: &Analysis, first: &Change, threshold: f64) -> Checked {
    let now = analysis.changes.last().map_or(first.after, |change| change.after);
    let before = first.before;
    let change = if now == before { 0.0 } else { (now / before).ln() };
    let commit = |point: &Point| point.run.name();
    let at = commit(&series.points[first.index]);
    let (verdict, why) = match () {
        () if change.abs() <= threshold.ln_1p() => {
            (Verdict::Same, "there and back again".to_owned())
        }
        () if change > 0.0 => (Verdict::Regressed, format!("changed at {at}")),
        () => (Verdict::Improved, format!("changed at {at}")),
    };
    let why = match first.p {
        Some(p) if verdict != Verdict::Same => format!("{why} (p {})", p_value(p)),
        _ => why,
    };
    Checked {
        verdict,
        before: Some(before),
        now,
        expected: None,
        changed_at: Some(first.index),
        why,
    }
}

/// Where the geometric mean of the next `n_next` runs is expected after a stretch. `None` for fewer
/// than three runs, and where one of them is zero.
fn predicted(stretch: &[f64], n_next: usize, confidence: f64) -> Option<Expected> {
    let n = stretch.len();
    if n < 3 || stretch.iter().any(|&v| v <= 0.0) {
        return None;
    }
    if stretch.iter().all(|&v| v == stretch[0]) {
        return Some(Expected { lo: stretch[0], hi: stretch[0], n });
    }
    let logs: Vec<f64> = stretch.iter().map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / n as f64;
    let freedom = n as f64 - 1.0;
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / freedom;
    let error = (variance * (1.0 / n as f64 + 1.0 / n_next as f64)).sqrt();
    let half = t_quantile(1.0 - (1.0 - confidence) / 2.0, freedom) * error;
    Some(Expected { lo: (mean - half).exp(), hi: (mean + half).exp(), n })
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

/// `0.0003`, `1e-9`, `< 1e-16`: p values in two digits or so.
pub fn p_value(p: f64) -> String {
    match p {
        p if p < 1e-16 => "< 1e-16".to_owned(),
        p if p < 1e-4 => format!("{p:.0e}"),
        p => format!("{p:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::series;
    use super::*;
    use crate::compare::Measure;

    fn verdict(values: &[f64], last: usize) -> Checked {
        check(&series(Measure::Decode, values), last, &Rules::default())
    }

    /// Noise of about one percent with a period that divides no window.
    fn noisy(n: usize) -> Vec<f64> {
        (0..n).map(|i| 10.0 * (1.0 + 0.01 * (i as f64 * 2.399_963).sin())).collect()
    }

    #[test]
    fn the_newest_run_is_held_against_where_it_was_expected() {
        let with = |n: usize, newest: f64| verdict(&[noisy(n), vec![newest]].concat(), 1);
        let slower = with(20, 10.8);
        assert_eq!(slower.verdict, Verdict::Regressed);
        assert!((slower.relative().unwrap() - 0.08).abs() < 0.005, "{slower:?}");
        assert_eq!(with(20, 9.2).verdict, Verdict::Improved);
        assert_eq!(with(20, 10.25).verdict, Verdict::Same);
        // Beyond 3 %, but four runs say too little of where a fifth may be.
        let few = with(4, 10.35);
        assert_eq!(few.verdict, Verdict::Unclear, "{few:?}");
        assert!(few.why.contains("scatter"), "{few:?}");
    }

    #[test]
    fn a_change_that_began_some_runs_ago_counts_while_it_is_among_the_newest() {
        let mut values = noisy(20);
        values.extend(noisy(4).iter().map(|v| v * 1.08));
        assert_eq!(verdict(&values, 1).verdict, Verdict::Same);
        let found = verdict(&values, 4);
        assert_eq!((found.verdict, found.changed_at), (Verdict::Regressed, Some(20)));
        assert!(found.why.starts_with("changed at c20 (p "), "{found:?}");
        values.extend(noisy(6));
        assert_eq!(verdict(&values, 10).verdict, Verdict::Same, "there and back again");
    }

    #[test]
    fn what_is_too_short_is_unclear_and_says_why() {
        assert!(verdict(&[10.0], 1).why.contains("first run"));
        let short = verdict(&[10.0, 12.0, 10.0], 1);
        assert_eq!(short.verdict, Verdict::Unclear);
        assert!(short.why.contains("3 runs are too few to tell; 5 or more do"), "{short:?}");
        // The stretch since the last change is what counts.
        let mut values = noisy(20);
        values.extend([11.0, 11.05, 10.9, 11.0, 11.02, 10.97, 11.3]);
        let found = verdict(&values, 1);
        assert_eq!((found.verdict, found.expected.map(|e| e.n)), (Verdict::Same, Some(6)));
    }

    #[test]
    fn bytes_that_do_not_vary_need_one_run_before() {
        let of = |values: &[f64], last| {
            check(&series(Measure::KvCache, values), last, &Rules::default()).verdict
        };
        assert_eq!(of(&[100.0], 1), Verdict::Unclear);
        assert_eq!(of(&[100.0, 100.0], 1), Verdict::Same);
        assert_eq!(of(&[100.0, 101.0], 1), Verdict::Regressed);
        assert_eq!(of(&[0.0, 0.0, 0.0], 1), Verdict::Same);
        assert_eq!(of(&[0.0, 5.0], 1), Verdict::Regressed);
        assert_eq!(of(&[100.0, 99.0, 99.0], 1), Verdict::Same);
        assert_eq!(of(&[100.0, 99.0, 99.0], 2), Verdict::Improved);
        assert_eq!(of(&[100.0, 99.0, 100.0], 99), Verdict::Same);
    }

    #[test]
    fn a_series_without_spread_expects_the_same_again() {
        assert_eq!(verdict(&[10.0; 6], 1).verdict, Verdict::Same);
        assert_eq!(verdict(&[10.0, 10.0, 10.0, 10.0, 10.0, 10.2], 1).verdict, Verdict::Same);
        assert_eq!(verdict(&[10.0, 10.0, 10.0, 10.0, 10.4], 1).verdict, Verdict::Regressed);
        assert_eq!(verdict(&[0.0; 6], 1).verdict, Verdict::Same);
    }

    #[test]
    fn p_values_are_told_in_few_digits() {
        assert_eq!([0.0, 3.4e-9, 0.00031].map(p_value), ["< 1e-16", "3e-9", "0.0003"]);
    }

    /// How often something is said where nothing changed, and what is found, by the length of the
    /// series: runs with a standard deviation of 1.5 %. The shares that `docs/history.md` tells.
    #[test]
    fn alarms_are_rare_where_nothing_changed_and_real_changes_are_found() {
        use rand_core::SeedableRng;
        const EXPERIMENTS: u32 = 2000;
        let mut random = rand_xoshiro::SplitMix64::seed_from_u64(11);
        let mut drawn = |n: usize, last: f64| -> Vec<f64> {
            let mut values: Vec<f64> =
                (0..n).map(|_| 10.0 * (0.015 * normal(&mut random)).exp()).collect();
            values[n - 1] *= last;
            values
        };
        let share = |n: u32| f64::from(n) / f64::from(EXPERIMENTS);
        for n in [5, 8, 11, 12, 20, 40] {
            let mut shown = 0;
            for _ in 0..EXPERIMENTS {
                let found = of_values(&drawn(n, 1.0), 0.03, &Rules::default());
                shown += u32::from(!found.changes.is_empty());
            }
            let found = [1.0, 1.05, 1.08, 1.15].map(|last| {
                let is_found = |_: &u32| verdict(&drawn(n, last), 1).verdict == Verdict::Regressed;
                share((0..EXPERIMENTS).filter(is_found).count() as u32)
            });
            println!("{n} runs: a change shown in {:.3}; regressed {found:.3?}", share(shown));
            assert!(share(shown) < if n < 12 { 0.08 } else { 0.03 });
            assert!(found[0] < 0.015 && found[3] > 0.9, "{n}: {found:?}");
        }
    }

    fn normal(random: &mut impl rand_core::RngCore) -> f64 {
        let mut unit = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
    }
}
