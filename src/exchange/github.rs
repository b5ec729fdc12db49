//! github-action-benchmark: two files, for a file of `customSmallerIsBetter` or
//! `customBiggerIsBetter` has one direction.
//!
//! Source of truth: `src/extract.ts` of benchmark-action/github-action-benchmark. `name`, `value` and
//! `unit` are needed; `range` and `extra` are text that is shown beside them.

use serde_json::{Value, json};

use super::numbers::{Direction, RunNumbers, TwoOfOneName, all_named};

/// File names of both directions.
pub const FILES: [(&str, Direction); 2] =
    [("smaller-is-better.json", Direction::Smaller), ("bigger-is-better.json", Direction::Bigger)];

/// The entries of one direction of all cells of `runs`, each of which must be there once.
///
/// `range` is told as the wider half of the 95 % interval, since the action understands `± n` alone;
/// the interval itself stands in `extra`.
pub fn github(runs: &[RunNumbers], direction: Direction) -> Result<Value, TwoOfOneName> {
    let mut entries = Vec::new();
    for (name, run, cell) in all_named(runs)? {
        for (meaning, estimate) in cell.known().filter(|(m, _)| m.direction == direction) {
            let mut extra = vec![
                format!("device: {}", run.device),
                format!("{} invocations", cell.n_invocations),
                format!("program: {}", run.run.program),
            ];
            let mut entry = json!({
                "name": format!("{name}/{}", meaning.name),
                "unit": meaning.unit,
                "value": estimate.value,
            });
            if let Some((lo, hi)) = estimate.interval() {
                let half = (hi - estimate.value).max(estimate.value - lo);
                entry["range"] = json!(format!("± {}", significant(half)));
                let (lo, hi) = (significant(lo), significant(hi));
                extra.push(format!("95 % interval: {lo} to {hi} {}", meaning.unit));
            }
            if !cell.marks.is_empty() {
                extra.push(format!("marks: {}", cell.marks.join(", ")));
            }
            entry["extra"] = json!(extra.join("\n"));
            entries.push(entry);
        }
    }
    Ok(Value::Array(entries))
}

/// Four significant digits, for people.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::numbers::tests::numbers;
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_run_is_a_file_of_each_direction() {
        let fixture = fixture::single(3);
        let files = FILES.map(|(name, direction)| {
            let entries = github(&[numbers(&fixture)], direction).unwrap();
            format!("{name}\n{}", serde_json::to_string_pretty(&entries).unwrap())
        });
        insta::assert_snapshot!(files.join("\n"));
    }

    /// What the action's source reads: text, a number, text, and two texts that may be missing.
    #[test]
    fn entries_have_what_the_action_asks_for_each_name_once() {
        let fixture = fixture::matrix(2);
        let mut names = std::collections::BTreeSet::new();
        for (_, direction) in FILES {
            for entry in github(&[numbers(&fixture)], direction).unwrap().as_array().unwrap() {
                assert!(names.insert(entry["name"].as_str().unwrap().to_owned()));
                assert!(entry["unit"].is_string() && entry["extra"].is_string(), "{entry}");
                assert!(entry["value"].as_f64().unwrap().is_finite());
                assert!(entry.get("range").is_none(), "two invocations have no interval");
            }
        }
        assert_eq!(names.len(), 24 * 10);
    }

    #[test]
    fn numbers_for_people_have_four_digits() {
        let pairs = [(0.0, "0"), (1234.56, "1235"), (0.012_345, "0.01235"), (9.8765, "9.877")];
        for (value, shown) in pairs {
            assert_eq!(significant(value), shown);
        }
    }
}
