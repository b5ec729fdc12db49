//! Apache Otava (once Hunter): a CSV file with a row per run, and the YAML that says which column is
//! what.
//!
//! Source of truth: the documents and `otava/importer.py` of apache-otava. A run that did not measure
//! a cell has an empty field there.

use std::io::{self, Write};

use super::numbers::{Direction, Meaning, RunNumbers};
use crate::stats::Estimate;

/// Names of both files.
pub const FILES: [&str; 2] = ["slmbench.csv", "otava.yaml"];

/// A run with what stands in its row beside the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    /// The numbers.
    pub numbers: RunNumbers<'a>,
    /// The commit that was measured.
    pub commit: String,
    /// The branch that it is on.
    pub branch: String,
}

/// A history of runs as Otava takes it.
#[derive(Debug)]
pub struct Otava {
    columns: Vec<(String, &'static Meaning)>,
    rows: Vec<Vec<String>>,
}

impl Otava {
    /// The history that these runs are, in the order of time.
    pub fn of(points: &[Point]) -> Otava {
        let mut points: Vec<&Point> = points.iter().collect();
        points.sort_by_key(|point| &point.numbers.run.started_at);
        let mut columns: Vec<(String, &'static Meaning)> = Vec::new();
        let measured: Vec<Vec<(String, &'static Meaning, Estimate)>> =
            points.iter().map(|point| measures(&point.numbers)).collect();
        for (column, meaning, _) in measured.iter().flatten() {
            if !columns.iter().any(|(known, _)| known == column) {
                columns.push((column.clone(), meaning));
            }
        }
        let rows = points.iter().zip(&measured).map(|(point, measured)| {
            let mut row = vec![
                point.numbers.run.started_at.clone(),
                point.commit.clone(),
                point.branch.clone(),
            ];
            row.extend(columns.iter().map(|(column, _)| {
                let here = measured.iter().find(|(name, ..)| name == column);
                here.map(|(_, _, estimate)| estimate.value.to_string()).unwrap_or_default()
            }));
            row
        });
        Otava { rows: rows.collect(), columns }
    }

    /// The table.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let fixed = ["time", "commit", "branch"].map(str::to_owned);
        csv.write_record(fixed.iter().chain(self.columns.iter().map(|(column, _)| column)))?;
        for row in &self.rows {
            csv.write_record(row)?;
        }
        csv.flush()
    }

    /// The configuration, to be used in the folder of the table.
    pub fn write_yaml(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "# otava analyze slmbench --config-file {}", FILES[1])?;
        writeln!(out, "tests:\n  slmbench:\n    type: csv\n    file: {}", FILES[0])?;
        writeln!(out, "    time_column: time\n    attributes: [commit, branch]\n    metrics:")?;
        for (column, meaning) in &self.columns {
            let direction = match meaning.direction {
                Direction::Smaller => -1,
                Direction::Bigger => 1,
            };
            // What JSON quotes, YAML reads.
            let quoted = serde_json::Value::from(column.as_str());
            writeln!(out, "      {quoted}:")?;
            writeln!(
                out,
                "        column: {quoted}\n        direction: {direction}\n        scale: 1.0"
            )?;
        }
        Ok(())
    }
}

/// Every number of a run under the name of its column: `SmolLM2-135M/Q4_0/reference/pp128/ttft_ms`.
fn measures(numbers: &RunNumbers) -> Vec<(String, &'static Meaning, Estimate)> {
    let mut measures = Vec::new();
    for (name, cell) in numbers.named() {
        // Without spaces a column can be named on Otava's command line without quotes.
        let name = name.replace(" @ ", "@").replace(' ', "_");
        for (meaning, estimate) in cell.known() {
            measures.push((format!("{name}/{}", meaning.name), meaning, *estimate));
        }
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::super::numbers::tests::numbers;
    use super::*;
    use crate::report::fixture::{self, Fixture};

    fn point(fixture: &Fixture) -> Point<'_> {
        Point { numbers: numbers(fixture), commit: "0123abc".into(), branch: "main".into() }
    }

    fn csv(otava: &Otava) -> String {
        let mut out = Vec::new();
        otava.write_csv(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_history_is_a_table_and_what_its_columns_are() {
        let (later, mut earlier) = (fixture::single(3), fixture::single(3));
        earlier.run.started_at = "2026-11-20T12:00:00Z".into();
        let otava = Otava::of(&[point(&later), point(&earlier)]);
        let mut yaml = Vec::new();
        otava.write_yaml(&mut yaml).unwrap();
        let yaml = String::from_utf8(yaml).unwrap();
        insta::assert_snapshot!(format!("{}\n{yaml}", csv(&otava)));
    }

    #[test]
    fn what_a_run_did_not_measure_is_empty() {
        let (both, mut one) = (fixture::matrix(1), fixture::matrix(1));
        one.run.cells.truncate(1);
        one.records.truncate(1);
        one.run.started_at = "2026-11-20T12:00:00Z".into();
        let text = csv(&Otava::of(&[point(&both), point(&one)]));
        let widths: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(widths, [3 + 24 * 10; 3]);
        let empty = |line: usize| {
            text.lines().nth(line).unwrap().split(',').filter(|v| v.is_empty()).count()
        };
        assert_eq!((empty(1), empty(2)), (23 * 10, 0));
    }
}
