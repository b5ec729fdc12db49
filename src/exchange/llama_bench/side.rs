//! Rows of llama-bench as one side of a comparison: a row is one invocation of a cell of its own kind.

use std::collections::BTreeMap;

use serde_json::Value;

use super::held::Switch;
use super::row::Row;
use crate::compare::{Case, Lengths, Measure, Side, SideError, Words};
use crate::stats::median;

/// Settings that are part of what is measured, with what the eras that do not have them did. Those that
/// are left at it are not named: so rows of two eras are the same cell.
const SETTINGS: &[(&str, &[&str])] = &[
    ("n_batch", &["2048"]),
    ("n_ubatch", &["512"]),
    ("cpu_mask", &["0x0", ""]),
    ("cpu_strict", &["0", "false"]),
    ("poll", &["50"]),
    ("type_k", &["f16"]),
    ("type_v", &["f16"]),
    ("n_cpu_moe", &["0"]),
    ("split_mode", &["layer"]),
    ("main_gpu", &["0"]),
    ("no_kv_offload", &["0", "false"]),
    ("devices", &["auto", ""]),
    ("tensor_split", &["0.00", "0", ""]),
    ("tensor_buft_overrides", &["none", ""]),
    ("embeddings", &["0", "false"]),
    ("no_op_offload", &["0", "false"]),
    ("no_host", &["0", "false"]),
];

/// The side that these rows of a file are. Rows of one cell are its invocations, in their order. What
/// times prompt and generation by one clock has no measure of ours, and is left out with a note.
pub fn side(label: &str, rows: &[Row]) -> Result<Side, SideError> {
    let mut side = Side { label: label.to_owned(), ..Side::default() };
    let mut at: BTreeMap<Words, usize> = BTreeMap::new();
    let mut n_mixed = 0;
    let mut places: BTreeMap<Words, Words> = BTreeMap::new();
    for row in rows {
        let Some((measure, per)) = measure(row) else {
            n_mixed += 1;
            continue;
        };
        let what = what(row);
        let here = place(row);
        // One machine and one build, or their invocations are not those of one cell.
        let first = places.entry(what.clone()).or_insert_with(|| here.clone());
        if let Some(&index) = at.get(&what) {
            let told = |words: &Words| words.values().cloned().collect::<Vec<_>>().join(" ");
            let (a, b) = (&side.cases[index].maker, maker(row));
            for (one, other) in [(a, &b), (&*first, &here)] {
                if one != other {
                    let (one, other) = (told(one), told(other));
                    return Err(SideError::Mixed { what: row.test(), one, other });
                }
            }
        }
        let index = *at.entry(what.clone()).or_insert_with(|| {
            side.cases.push(Case {
                what,
                lengths: lengths(row),
                maker: maker(row),
                ..Case::default()
            });
            side.cases.len() - 1
        });
        let case = &mut side.cases[index];
        let ms = |ns: f64| ns / 1e6 / per;
        let repetitions: Vec<f64> =
            row.samples_ns.iter().flatten().map(|&ns| ms(ns as f64)).collect();
        // Without its repetitions a row tells their mean.
        let value = median(&repetitions).unwrap_or_else(|| ms(row.avg_ns as f64));
        case.values.entry(measure).or_default().push(value);
        let range = case.ranges.entry(measure).or_insert((value, value));
        for v in repetitions {
            *range = (range.0.min(v), range.1.max(v));
        }
        case.n_finished += 1;
    }
    if n_mixed > 0 {
        let rows = if n_mixed == 1 { "row" } else { "rows" };
        side.notes.push(format!(
            "{label}: {n_mixed} {rows} of prompt and generation together left out: one clock for both"
        ));
    }
    let mut of_cells = places.into_values();
    side.place = of_cells.next().ok_or(SideError::Nothing)?;
    if of_cells.any(|place| place != side.place) {
        side.place.clear();
        side.notes.push(format!("{label}: cells of several machines; where is not compared"));
    }
    Ok(side)
}

/// What a row times, and the tokens that its time is divided by.
fn measure(row: &Row) -> Option<(Measure, f64)> {
    match (row.n_prompt, row.n_gen) {
        (_, 0) => Some((Measure::Prefill, 1.0)),
        (0, n_gen) => Some((Measure::Decode, n_gen as f64)),
        _ => None,
    }
}

fn lengths(row: &Row) -> Lengths {
    let whole = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Lengths {
        n_prompt: whole(row.n_prompt),
        n_gen: whole(row.n_gen),
        n_depth: whole(row.n_depth.unwrap_or(0)),
    }
}

/// Model by type, size and parameters, lengths, and every setting that is not at its default.
fn what(row: &Row) -> Words {
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let mut words = Words::new();
    let mut add = |name: &str, word: Option<String>| {
        words.extend(word.map(|word| (name.to_owned(), word)));
    };
    // Of runs of ours; a file of llama-bench itself has one engine.
    let engine = row.other.get("engine").and_then(Value::as_str);
    add("engine", engine.filter(|engine| *engine != "llama-cpp").map(str::to_owned));
    add("model_type", Some(row.model_type.clone()));
    add("model_size", number(row.model_size));
    add("model_n_params", number(row.model_n_params));
    add("n_prompt", number(Some(row.n_prompt)));
    add("n_gen", number(Some(row.n_gen)));
    add("n_depth", number(Some(row.n_depth.unwrap_or(0))));
    add("n_threads", number(row.n_threads));
    add("n_gpu_layers", row.n_gpu_layers.map(|n| n.to_string()));
    // A truth value once, a number with three values now; left to the program it may be either.
    add("flash_attn", row.flash_attn.map(|switch| spelled(switch).to_owned()));
    add("load_mode", row.load_mode().filter(|mode| *mode != "mmap").map(str::to_owned));
    for (name, defaults) in SETTINGS {
        let word = match row.value(name) {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        add(name, (!defaults.contains(&word.as_str())).then_some(word));
    }
    words
}

fn spelled(switch: Switch) -> &'static str {
    match switch.is_on() {
        Some(true) => "on",
        Some(false) => "off",
        None => "auto",
    }
}

fn place(row: &Row) -> Words {
    let known = [("CPU", &row.cpu_info), ("GPUs", &row.gpu_info)];
    let known = known.into_iter().filter_map(|(name, word)| Some((name, word.as_ref()?)));
    let known = known.filter(|(_, word)| !word.is_empty());
    known.map(|(name, word)| (name.to_owned(), word.clone())).collect()
}

fn maker(row: &Row) -> Words {
    let number = row.build_number.map(|n| n.to_string());
    let known = [
        ("build", row.build_commit.clone()),
        ("build number", number),
        ("backends", row.backends.clone()),
    ];
    let known = known.into_iter().filter_map(|(name, word)| Some((name.to_owned(), word?)));
    known.filter(|(_, word)| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Comparison, Policy, Verdict};

    fn row(n_prompt: u64, n_gen: u64, samples_ns: &[u64]) -> Row {
        Row {
            model_type: "llama 1B Q4_0".to_owned(),
            n_prompt,
            n_gen,
            avg_ns: samples_ns.iter().sum::<u64>() / samples_ns.len() as u64,
            samples_ns: Some(samples_ns.to_vec()),
            cpu_info: Some("a CPU".to_owned()),
            ..Row::default()
        }
    }

    #[test]
    fn rows_of_one_test_are_the_invocations_of_a_cell() {
        let rows = [
            row(0, 100, &[1_000_000_000, 1_010_000_000, 990_000_000]),
            row(512, 0, &[50_000_000]),
            row(0, 100, &[2_000_000_000]),
            row(512, 128, &[9]),
        ];
        let side = side("file", &rows).unwrap();
        assert_eq!(side.cases.len(), 2);
        assert_eq!(side.cases[0].values[&Measure::Decode], [10.0, 20.0]);
        assert_eq!(side.cases[0].ranges[&Measure::Decode], (9.9, 20.0));
        assert_eq!(side.cases[1].values[&Measure::Prefill], [50.0]);
        assert!(
            side.notes[0].contains("1 row of prompt and generation together"),
            "{:?}",
            side.notes
        );
    }

    #[test]
    fn rows_of_two_eras_are_the_same_cell() {
        let old = Row {
            flash_attn: Some(Switch::Bool(false)),
            use_mmap: Some(Switch::Bool(true)),
            type_k: Some("f16".to_owned()),
            ..row(512, 0, &[50])
        };
        let new = Row {
            flash_attn: Some(Switch::Number(0)),
            load_mode: Some("mmap".to_owned()),
            n_depth: Some(0),
            no_host: Some(Switch::Number(0)),
            devices: Some("auto".to_owned()),
            ..row(512, 0, &[50])
        };
        assert_eq!(what(&old), what(&new));
        assert_ne!(what(&old), what(&Row { n_depth: Some(512), ..old.clone() }));
        assert_ne!(what(&old), what(&Row { flash_attn: Some(Switch::Number(1)), ..old.clone() }));
    }

    #[test]
    fn files_with_three_rows_of_a_test_get_a_verdict_and_those_with_one_do_not() {
        let of = |factor: u64, n: usize| -> Vec<Row> {
            (0..n as u64).map(|i| row(512, 0, &[factor * (1_000_000 + 500 * i)])).collect()
        };
        let verdict = |n: usize| {
            let (base, head) = (side("a", &of(10, n)).unwrap(), side("b", &of(11, n)).unwrap());
            let found = Comparison::of_sides(&base, &head, None, Policy::default()).unwrap();
            found.rows[0].judged.verdict
        };
        assert_eq!((verdict(3), verdict(1)), (Verdict::Regressed, Verdict::Unclear));
    }
}
