//! The history itself: runs taken in, series told.

mod take_in;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rusqlite::{Connection, Row, TransactionBehavior};

use super::entry::{RunEntry, Said, ended};
use super::series::{Point, Run, Series};
use super::{Filter, HistoryError, schema};
use crate::compare::{Measure, Words};
use crate::record::Outcome;

/// A history, open.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

/// What became of a run that was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Whether it was not there before.
    pub is_new: bool,
    /// Invocations that were not there before.
    pub n_new: usize,
    /// Invocations that were there and said something else.
    pub n_changed: usize,
    /// Whether its date, commit, branch, program or place is another than before.
    pub is_retold: bool,
    /// The date of the newest run of its place, where the run is older than that.
    pub behind: Option<String>,
}

/// A cell of a run of which nothing finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub cell: String,
    /// What it measures.
    pub what: Words,
    /// How its invocations ended.
    pub ended: String,
}

impl History {
    /// Opens the history in this file, to add to it: one is begun where there is none.
    pub fn open_or_begin(path: &Path) -> Result<History, HistoryError> {
        Ok(History { connection: schema::open(path, true)?, path: path.to_owned() })
    }

    /// Opens the history in this file.
    pub fn open(path: &Path) -> Result<History, HistoryError> {
        Ok(History { connection: schema::open(path, false)?, path: path.to_owned() })
    }

    #[cfg(test)]
    fn in_memory() -> History {
        History { connection: schema::in_memory(), path: PathBuf::from(":memory:") }
    }

    /// Takes in a run, whole or not at all. What is there and not in the entry stays: a journal that
    /// lost its end takes nothing away. What was said of a run stays until something else is said.
    pub fn add(&mut self, entry: &RunEntry, said: &Said) -> Result<Added, HistoryError> {
        let path = self.path.clone();
        let failed = |source| HistoryError::Sqlite { path: path.clone(), source };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        if let Some(cell) = take_in::contradicted(&transaction, entry).map_err(failed)? {
            return Err(HistoryError::TwoOfOneId(cell));
        }
        let added = take_in::take_in(&transaction, entry, said).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(added)
    }

    /// Every run, in the order of their dates.
    pub fn runs(&self) -> Result<Vec<Rc<Run>>, HistoryError> {
        self.ask(
            "SELECT id, date, started_at, suite, label, program, commit_id, branch, environment, \
             os, kernel FROM run ORDER BY date, started_at, id",
            |row| {
                Ok(Rc::new(Run {
                    id: row.get(0)?,
                    date: row.get(1)?,
                    started_at: row.get(2)?,
                    suite: row.get(3)?,
                    label: row.get(4)?,
                    program: row.get(5)?,
                    commit: row.get(6)?,
                    branch: row.get(7)?,
                    environment: row.get(8)?,
                    os: row.get(9)?,
                    kernel: row.get(10)?,
                }))
            },
        )
    }

    /// Every place that was measured in, by its fingerprint.
    pub fn environments(&self) -> Result<BTreeMap<String, Words>, HistoryError> {
        let rows = self.ask("SELECT fingerprint, words FROM environment", |row| {
            Ok((row.get(0)?, words(row, 1)?))
        })?;
        Ok(rows.into_iter().collect())
    }

    /// The series of these measures of the cells that the filter holds for, of the runs that `takes`
    /// says yes to: by place, cell and measure.
    pub fn series(
        &self,
        filter: &Filter,
        measures: &[Measure],
        takes: impl Fn(&Run) -> bool,
    ) -> Result<Vec<Series>, HistoryError> {
        let runs = self.runs()?;
        let place_of: BTreeMap<&str, usize> =
            runs.iter().enumerate().map(|(i, run)| (run.id.as_str(), i)).collect();
        let cells = self.cells()?;
        let mut found: BTreeMap<Key, BTreeMap<usize, Gathered>> = BTreeMap::new();
        let invocations = self.ask(
            "SELECT invocation.run, invocation.cell, marks, maker, measure.name, measure.value \
             FROM invocation JOIN measure ON measure.run = invocation.run \
             AND measure.cell = invocation.cell AND measure.invocation = invocation.number \
             ORDER BY invocation.run, invocation.cell, invocation.number",
            |row| {
                let name: String = row.get(4)?;
                let ids: (String, String) = (row.get(0)?, row.get(1)?);
                Ok((ids, list(row, 2)?, words(row, 3)?, name, row.get::<_, f64>(5)?))
            },
        )?;
        for ((run, cell), marks, maker, name, value) in invocations {
            let Some(&at) = place_of.get(run.as_str()) else { continue };
            // A measure that this program does not know is another program's.
            let Ok(measure) = name.parse::<Measure>() else { continue };
            let holds = cells.get(&cell).is_some_and(|what| filter.holds(&cell, what));
            if !measures.contains(&measure) || !holds || !takes(&runs[at]) {
                continue;
            }
            let key = Key { environment: runs[at].environment.clone(), cell, measure };
            found.entry(key).or_default().entry(at).or_default().take(value, marks, maker);
        }
        let series = found.into_iter().filter_map(|(key, by_run)| {
            let points: Vec<Point> =
                by_run.into_iter().filter_map(|(at, g)| g.point(runs[at].clone())).collect();
            (!points.is_empty()).then(|| Series {
                what: cells[&key.cell].clone(),
                cell: key.cell,
                environment: key.environment,
                measure: key.measure,
                points,
            })
        });
        Ok(series.collect())
    }

    /// The cells of a run of which nothing finished although something was tried.
    pub fn unfinished(&self, run: &Run) -> Result<Vec<Unfinished>, HistoryError> {
        let cells = self.cells()?;
        let rows = self.ask(
            "SELECT run, cell, outcome, count(*) FROM invocation GROUP BY run, cell, outcome",
            |row| {
                let ids: (String, String) = (row.get(0)?, row.get(1)?);
                Ok((ids, row.get::<_, String>(2)?, row.get::<_, u32>(3)? as usize))
            },
        )?;
        let mut ends: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for ((of, cell), outcome, n) in &rows {
            if *of == run.id && outcome != "skipped" {
                ends.entry(cell).or_default().insert(outcome, *n);
            }
        }
        ends.retain(|_, outcomes| !outcomes.contains_key(Outcome::Finished.word()));
        let lost = ends.into_iter().map(|(cell, outcomes)| Unfinished {
            cell: cell.to_owned(),
            what: cells.get(cell).cloned().unwrap_or_default(),
            ended: ended(&outcomes),
        });
        Ok(lost.collect())
    }

    fn cells(&self) -> Result<BTreeMap<String, Words>, HistoryError> {
        let rows =
            self.ask("SELECT id, words FROM cell", |row| Ok((row.get(0)?, words(row, 1)?)))?;
        Ok(rows.into_iter().collect())
    }

    fn ask<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, HistoryError> {
        let rows = || -> rusqlite::Result<Vec<T>> {
            self.connection.prepare(sql)?.query_map([], read)?.collect()
        };
        rows().map_err(|source| HistoryError::Sqlite { path: self.path.clone(), source })
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    environment: String,
    cell: String,
    measure: Measure,
}

/// The invocations of one run, as they come.
#[derive(Default)]
struct Gathered {
    values: Vec<f64>,
    marks: BTreeMap<String, usize>,
    maker: Words,
}

impl Gathered {
    fn take(&mut self, value: f64, marks: Vec<String>, maker: Words) {
        self.values.push(value);
        for mark in marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        if self.maker.is_empty() {
            self.maker = maker;
        }
    }

    fn point(self, run: Rc<Run>) -> Option<Point> {
        let n = self.values.len();
        let prevailing = self.marks.into_iter().filter(|(_, count)| 2 * count > n);
        let marks: BTreeSet<String> = prevailing.map(|(mark, _)| mark).collect();
        Point::new(run, self.values, self.maker, marks)
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, at: usize) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, e.into())
    })
}

fn words(row: &Row, at: usize) -> rusqlite::Result<Words> {
    json(row, at)
}

fn list(row: &Row, at: usize) -> rusqlite::Result<Vec<String>> {
    json(row, at)
}
