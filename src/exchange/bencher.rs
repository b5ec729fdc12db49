//! Bencher Metric Format: a benchmark per cell and phase, with its measures and their intervals.
//!
//! Source of truth: the schema at <https://bencher.dev/bmf.json>, and what Bencher's reference says
//! of names: a benchmark's has at most 1024 characters, a measure's slug at most 64.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::numbers::{CellNumbers, Phase, RunNumbers, TwoOfOneName, all_named};

/// Most characters of a benchmark's name.
const MAX_NAME: usize = 1024;

/// All cells of `runs`, each of which must be there once. The ends of a 95 % interval are lower and
/// upper value.
pub fn bencher(runs: &[RunNumbers]) -> Result<Value, TwoOfOneName> {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, Value>> = BTreeMap::new();
    for (name, _, cell) in all_named(runs)? {
        for (meaning, estimate) in cell.known() {
            let (measure, factor) = meaning.bencher;
            let mut metric = json!({ "value": estimate.value * factor });
            if let Some((lo, hi)) =
                estimate.interval().filter(|(lo, hi)| lo.is_finite() && hi.is_finite())
            {
                metric["lower_value"] = json!(lo * factor);
                metric["upper_value"] = json!(hi * factor);
            }
            let benchmark = benchmark(&name, cell, meaning.phase);
            benchmarks.entry(benchmark).or_default().insert(measure, metric);
        }
    }
    Ok(json!(benchmarks))
}

/// Names of two phases never meet, and what is cut off of a long one is made up for by the id.
fn benchmark(name: &str, cell: &CellNumbers, phase: Phase) -> String {
    let whole = format!("{name}/{}", phase.word());
    if whole.chars().count() <= MAX_NAME {
        return whole;
    }
    let end = format!("… #{}/{}", cell.cell.id, phase.word());
    let room = MAX_NAME - end.chars().count();
    name.chars().take(room).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::numbers::tests::numbers;
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_run_is_a_file_of_bencher() {
        let fixture = fixture::single(3);
        let bmf = bencher(&[numbers(&fixture)]).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&bmf).unwrap());
    }

    /// What the published schema asks for, and the bounds on names.
    #[test]
    fn every_metric_has_a_value_within_its_bounds_and_every_name_fits() {
        let mut fixture = fixture::matrix(3);
        fixture.run.cells[0].engine = format!("fake:{}", "noise=0.05,".repeat(200));
        let bmf = bencher(&[numbers(&fixture)]).unwrap();
        let benchmarks = bmf.as_object().unwrap();
        assert_eq!(benchmarks.len(), 24 * 3, "each cell has three phases");
        for (name, measures) in benchmarks {
            assert!((1..=MAX_NAME).contains(&name.chars().count()), "{name}");
            for (measure, metric) in measures.as_object().unwrap() {
                let slug = measure
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
                assert!(slug && measure.len() <= 64, "{measure}");
                let number = |key: &str| metric[key].as_f64().unwrap();
                assert!(number("lower_value") <= number("value"), "{name} {measure}");
                assert!(number("value") <= number("upper_value"), "{name} {measure}");
            }
        }
    }

    #[test]
    fn below_three_invocations_there_are_no_bounds() {
        let fixture = fixture::single(2);
        let text = bencher(&[numbers(&fixture)]).unwrap().to_string();
        assert!(text.contains("value") && !text.contains("lower_value"), "{text}");
    }
}
