//! Apache Otava (once Hunter): CSV tables with a row per run, and the YAML that says which column is
//! what.
//!
//! Source of truth: the documents and `otava/importer.py` of apache-otava. It refuses an empty field
//! and fills none, so columns stand together that have a number in the same runs: one table where all
//! runs measured the same, more where they did not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::numbers::{Direction, Meaning, RunNumbers};

/// Name of the configuration.
pub const CONFIGURATION: &str = "otava.yaml";

/// A run with what stands in its row beside the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    /// The numbers.
    pub numbers: RunNumbers<'a>,
    /// The commit that was measured.
    pub commit: String,
    /// The branch that it is on, where it is told. Records do not know it.
    pub branch: Option<String>,
}

/// Columns that have a number in the same runs. Otava calls such a table a test.
#[derive(Debug)]
pub struct Table {
    /// The test's name.
    pub test: String,
    runs: BTreeSet<usize>,
    attributes: &'static [&'static str],
    columns: Vec<(String, &'static Meaning)>,
    rows: Vec<Vec<String>>,
}

/// The history that these runs are, in the order of time: tables in the order in which their columns
/// come up.
pub fn tables(points: &[Point]) -> Vec<Table> {
    let mut points: Vec<&Point> = points.iter().collect();
    points.sort_by_key(|point| &point.numbers.run.started_at);
    let measured: Vec<Vec<(String, &'static Meaning, f64)>> =
        points.iter().map(|point| measures(&point.numbers)).collect();
    let here: Vec<BTreeMap<&str, f64>> = measured
        .iter()
        .map(|run| run.iter().map(|(column, _, value)| (column.as_str(), *value)).collect())
        .collect();
    let branched = points.iter().any(|point| point.branch.is_some());
    let attributes: &[&str] = if branched { &["commit", "branch"] } else { &["commit"] };
    let mut known = BTreeSet::new();
    let mut tables: Vec<Table> = Vec::new();
    for (column, meaning, _) in measured.iter().flatten() {
        if !known.insert(column) {
            continue;
        }
        let runs: BTreeSet<usize> =
            (0..points.len()).filter(|&run| here[run].contains_key(column.as_str())).collect();
        let column = (column.clone(), *meaning);
        match tables.iter_mut().find(|table| table.runs == runs) {
            Some(table) => table.columns.push(column),
            None => tables.push(Table {
                test: match tables.len() {
                    0 => "slmbench".to_owned(),
                    n => format!("slmbench-{}", n + 1),
                },
                runs,
                attributes,
                columns: vec![column],
                rows: Vec::new(),
            }),
        }
    }
    for table in &mut tables {
        for &run in &table.runs {
            let point = points[run];
            let values = table.columns.iter().filter_map(|(c, _)| here[run].get(c.as_str()));
            let mut row = vec![point.numbers.run.started_at.clone(), point.commit.clone()];
            if branched {
                row.push(point.branch.clone().unwrap_or_else(|| "unknown".to_owned()));
            }
            row.extend(values.map(f64::to_string));
            table.rows.push(row);
        }
    }
    tables
}

impl Table {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.csv", self.test)
    }

    /// The table.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let measured = self.columns.iter().map(|(column, _)| column.as_str());
        csv.write_record(["time"].iter().chain(self.attributes).copied().chain(measured))?;
        for row in &self.rows {
            csv.write_record(row)?;
        }
        csv.flush()
    }
}

/// The configuration, to be used in the folder of the tables.
pub fn write_configuration(tables: &[Table], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# In this folder: otava analyze slmbench --config-file {CONFIGURATION}\ntests:"
    )?;
    for table in tables {
        writeln!(out, "  {}:\n    type: csv\n    file: {}", table.test, table.file())?;
        let attributes = table.attributes.join(", ");
        writeln!(out, "    time_column: time\n    attributes: [{attributes}]\n    metrics:")?;
        for (column, meaning) in &table.columns {
            let direction = match meaning.direction {
                Direction::Smaller => -1,
                Direction::Bigger => 1,
            };
            // What JSON quotes, YAML reads.
            let quoted = serde_json::Value::from(column.as_str());
            writeln!(out, "      {quoted}:\n        column: {quoted}")?;
            writeln!(out, "        direction: {direction}\n        scale: 1.0")?;
        }
    }
    Ok(())
}

/// Every number of a run under the name of its column: `SmolLM2-135M/Q4_0/reference/pp128/ttft_ms`.
fn measures(numbers: &RunNumbers) -> Vec<(String, &'static Meaning, f64)> {
    let mut measures = Vec::new();
    for (name, cell) in numbers.named() {
        // Without spaces a column can be named on Otava's command line without quotes.
        let name = name.replace(" @ ", "@").replace(' ', "_");
        for (meaning, estimate) in cell.known() {
            measures.push((format!("{name}/{}", meaning.name), meaning, estimate.value));
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
        Point { numbers: numbers(fixture), commit: "0123abc".into(), branch: Some("main".into()) }
    }

    fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn earlier(mut fixture: Fixture) -> Fixture {
        fixture.run.started_at = "2026-11-20T12:00:00Z".into();
        fixture
    }

    #[test]
    fn a_history_is_a_table_and_what_its_columns_are() {
        let (later, earlier) = (fixture::single(3), earlier(fixture::single(3)));
        let tables = tables(&[point(&later), point(&earlier)]);
        assert_eq!(tables.len(), 1);
        let yaml = written(|out| write_configuration(&tables, out));
        insta::assert_snapshot!(format!("{}\n{yaml}", written(|out| tables[0].write(out))));
    }

    #[test]
    fn no_field_is_empty_whatever_the_runs_measured() {
        let (both, mut one) = (fixture::matrix(1), earlier(fixture::matrix(1)));
        one.run.cells.truncate(2);
        one.records.truncate(2);
        one.records[1].memory.peak_rss_bytes = None;
        let tables = tables(&[point(&both), point(&one)]);
        let sizes: Vec<(&str, usize, usize)> =
            tables.iter().map(|t| (t.test.as_str(), t.rows.len(), t.columns.len())).collect();
        assert_eq!(sizes, [("slmbench", 2, 19), ("slmbench-2", 1, 22 * 10 + 1)]);
        for table in &tables {
            for line in written(|out| table.write(out)).lines() {
                assert_eq!(
                    line.split(',').filter(|v| !v.is_empty()).count(),
                    3 + table.columns.len()
                );
            }
        }
        assert!(tables[0].rows[0][0].starts_with("2026-11-20"), "the earlier run comes first");
        let alone = super::tables(&[Point { branch: None, ..point(&one) }]).remove(0);
        assert!(written(|out| alone.write(out)).starts_with("time,commit,SmolLM2"));
    }
}
