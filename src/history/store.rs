//! The history itself: runs taken in, series told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::entry::{Invocation, RunEntry, Said, ended, instant};
use super::series::{Point, Run, Series};
use super::{Filter, HistoryError, schema};
use crate::compare::{Measure, Words, fingerprint};
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
    pub(super) fn in_memory() -> History {
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
        if let Some(cell) = contradicted(&transaction, entry).map_err(failed)? {
            return Err(HistoryError::TwoOfOneId(cell));
        }
        let added = take_in(&transaction, entry, said).map_err(failed)?;
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

/// A cell of the entry that the history knows as something else.
fn contradicted(to: &Transaction, entry: &RunEntry) -> rusqlite::Result<Option<String>> {
    let mut known = to.prepare("SELECT words FROM cell WHERE id = ?1")?;
    for (id, what) in &entry.cells {
        let mut rows = known.query([id])?;
        if let Some(row) = rows.next()?
            && words(row, 0)? != *what
        {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

fn take_in(to: &Transaction, entry: &RunEntry, said: &Said) -> rusqlite::Result<Added> {
    let environment = fingerprint(&entry.environment);
    let n_before: u32 =
        to.query_row("SELECT count(*) FROM run WHERE id = ?1", [&entry.id], |row| row.get(0))?;
    let mut added = Added { is_new: n_before == 0, ..Added::default() };
    to.execute(
        "INSERT INTO environment VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![environment, serde_json::json!(entry.environment).to_string()],
    )?;
    for (id, what) in &entry.cells {
        to.execute(
            "INSERT INTO cell VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![id, serde_json::json!(what).to_string()],
        )?;
    }
    let date = said.date.map(instant);
    if added.is_new {
        let date = date.unwrap_or_else(|| entry.started_at.clone());
        let newest: Option<String> = to.query_row(
            "SELECT max(date) FROM run WHERE environment = ?1",
            [&environment],
            |row| row.get(0),
        )?;
        added.behind = newest.filter(|newest| *newest > date);
        to.execute(
            "INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                entry.id,
                date,
                entry.started_at,
                entry.suite,
                entry.label,
                entry.program,
                said.commit.as_ref().or(entry.commit.as_ref()),
                said.branch,
                environment,
                entry.os,
                entry.kernel,
            ],
        )?;
    } else {
        let n = to.execute(
            "UPDATE run SET date = coalesce(?2, date), commit_id = coalesce(?3, commit_id), \
             branch = coalesce(?4, branch), environment = ?5, program = ?6 \
             WHERE id = ?1 AND (date, ifnull(commit_id, ''), ifnull(branch, ''), environment, \
             program) IS NOT (coalesce(?2, date), coalesce(?3, commit_id, ''), \
             coalesce(?4, branch, ''), ?5, ?6)",
            params![entry.id, date, said.commit, said.branch, environment, entry.program],
        )?;
        added.is_retold = n > 0;
    }
    for ((cell, number), invocation) in &entry.invocations {
        match stored(to, &entry.id, cell, *number)? {
            Some(known) if known == *invocation => continue,
            Some(_) => added.n_changed += 1,
            None => added.n_new += 1,
        }
        put(to, &entry.id, cell, *number, invocation)?;
    }
    Ok(added)
}

/// An invocation as it is remembered.
fn stored(
    to: &Transaction,
    run: &str,
    cell: &str,
    number: u32,
) -> rusqlite::Result<Option<Invocation>> {
    let mut statement = to.prepare(
        "SELECT started_at, outcome, marks, maker FROM invocation \
         WHERE run = ?1 AND cell = ?2 AND number = ?3",
    )?;
    let mut rows = statement.query(params![run, cell, number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut invocation = Invocation {
        started_at: row.get(0)?,
        outcome: row.get(1)?,
        marks: list(row, 2)?.into_iter().collect(),
        maker: words(row, 3)?,
        values: BTreeMap::new(),
    };
    let mut statement = to.prepare(
        "SELECT name, value FROM measure WHERE run = ?1 AND cell = ?2 AND invocation = ?3",
    )?;
    let values = statement.query_map(params![run, cell, number], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, f64>(1)?))
    })?;
    for value in values {
        let (name, value) = value?;
        if let Ok(measure) = name.parse::<Measure>() {
            invocation.values.insert(measure, value);
        }
    }
    Ok(Some(invocation))
}

fn put(
    to: &Transaction,
    run: &str,
    cell: &str,
    number: u32,
    invocation: &Invocation,
) -> rusqlite::Result<()> {
    to.execute(
        "DELETE FROM invocation WHERE run = ?1 AND cell = ?2 AND number = ?3",
        params![run, cell, number],
    )?;
    to.execute(
        "INSERT INTO invocation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            run,
            cell,
            number,
            invocation.started_at,
            invocation.outcome,
            serde_json::json!(invocation.marks).to_string(),
            serde_json::json!(invocation.maker).to_string(),
        ],
    )?;
    let mut insert = to.prepare("INSERT INTO measure VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (measure, value) in &invocation.values {
        insert.execute(params![run, cell, number, measure.word(), value])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{entry, run};
    use super::*;

    fn of(entries: &[(RunEntry, Said)]) -> History {
        let mut history = History::in_memory();
        for (entry, said) in entries {
            history.add(entry, said).unwrap();
        }
        history
    }

    fn decode(history: &History) -> Vec<Series> {
        history.series(&Filter::default(), &[Measure::Decode], |_| true).unwrap()
    }

    /// Every row of every table, in order.
    fn dump(history: &History) -> Vec<String> {
        let mut rows = Vec::new();
        for table in ["environment", "run", "cell", "invocation", "measure"] {
            let mut statement =
                history.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let n = statement.column_count();
            let read = statement.query_map([], |row| {
                let values = (0..n).map(|i| format!("{:?}", row.get_ref(i).unwrap()));
                Ok(format!("{table} {}", values.collect::<Vec<_>>().join("|")))
            });
            rows.extend(read.unwrap().map(Result::unwrap));
        }
        rows.sort();
        rows
    }

    #[test]
    fn adding_twice_adds_nothing() {
        let (entry, said) = entry("2026-11-02T10:00:00Z", 10.0, "a");
        let mut history = of(&[]);
        let first = history.add(&entry, &said).unwrap();
        assert_eq!((first.is_new, first.n_new), (true, 3));
        let before = dump(&history);
        assert_eq!(history.add(&entry, &said).unwrap(), Added::default());
        assert_eq!(history.add(&entry, &Said::default()).unwrap(), Added::default());
        assert_eq!(dump(&history), before);
    }

    #[test]
    fn the_order_in_which_runs_are_added_does_not_matter() {
        let entries: Vec<(RunEntry, Said)> = (1..6)
            .map(|day| entry(&format!("2026-11-0{day}T10:00:00Z"), f64::from(day), "a"))
            .collect();
        let turned: Vec<_> = entries.iter().rev().cloned().collect();
        assert_eq!(dump(&of(&entries)), dump(&of(&turned)));
        let values = decode(&of(&turned))[0].values();
        assert!(values.is_sorted() && values.len() == 5, "{values:?}");
    }

    #[test]
    fn a_resumed_run_adds_what_is_new_and_a_shortened_journal_takes_nothing_away() {
        let (info, records) = run("2026-11-02T10:00:00Z", 10.0);
        let begun = RunEntry::new(&info, &records[..1]).unwrap();
        let mut records = records;
        records[0].wall_ns += 1;
        records[0].samples[0].prefill_ns = Some(1);
        let whole = RunEntry::new(&info, &records).unwrap();
        let mut history = of(&[(begun.clone(), Said::default())]);
        let added = history.add(&whole, &Said::default()).unwrap();
        assert_eq!((added.is_new, added.n_new, added.n_changed), (false, 2, 0));
        let full = dump(&history);
        history.add(&begun, &Said::default()).unwrap();
        assert_eq!(dump(&history), full);
        for sample in &mut records[0].samples {
            sample.prefill_ns = Some(1);
        }
        let other = RunEntry::new(&info, &records).unwrap();
        assert_eq!(history.add(&other, &Said::default()).unwrap().n_changed, 1);
    }

    #[test]
    fn what_was_said_of_a_run_stays_until_something_else_is_said() {
        let (entry, said) = entry("2026-11-02T10:00:00Z", 10.0, "a");
        let mut history = of(&[(entry.clone(), said)]);
        history.add(&entry, &Said::default()).unwrap();
        assert_eq!(history.runs().unwrap()[0].commit.as_deref(), Some("a"));
        let other = Said {
            commit: Some("b".to_owned()),
            branch: Some("main".to_owned()),
            date: Some("2026-10-01T00:00:00Z".parse().unwrap()),
        };
        assert!(history.add(&entry, &other).unwrap().is_retold);
        let run = &history.runs().unwrap()[0];
        assert_eq!((run.commit.as_deref(), run.branch.as_deref()), (Some("b"), Some("main")));
        assert_eq!(
            (run.day(), run.started_at.as_str()),
            ("2026-10-01", "2026-11-02T10:00:00.000Z")
        );
    }

    #[test]
    fn a_run_older_than_the_one_before_stands_at_its_date_and_says_so() {
        let mut history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
        let (late, said) = entry("2026-11-01T10:00:00Z", 20.0, "b");
        let added = history.add(&late, &said).unwrap();
        assert_eq!(added.behind.as_deref(), Some("2026-11-02T10:00:00.000Z"));
        let names: Vec<String> =
            decode(&history)[0].points.iter().map(|point| point.run.name()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn another_place_begins_another_series_and_another_kernel_does_not() {
        let at = |day: u32, governor: &str, kernel: &str| {
            let (mut info, records) = run(&format!("2026-11-0{day}T10:00:00Z"), 10.0);
            info.host.governor = Some(governor.to_owned());
            info.host.kernel = kernel.to_owned();
            (RunEntry::new(&info, &records).unwrap(), Said::default())
        };
        let history =
            of(&[at(1, "ondemand", "6.1"), at(2, "ondemand", "6.2"), at(3, "powersave", "6.2")]);
        let mut lengths: Vec<usize> = decode(&history).iter().map(|s| s.points.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [1, 2]);
        assert_eq!(history.environments().unwrap().len(), 2);
    }

    #[test]
    fn a_point_is_the_geometric_mean_of_what_finished() {
        let (info, mut records) = run("2026-11-02T10:00:00Z", 10.0);
        records[2].outcome = Outcome::TimedOut { limit_s: 1 };
        let history = of(&[(RunEntry::new(&info, &records).unwrap(), Said::default())]);
        let series = decode(&history);
        let point = &series[0].points[0];
        assert_eq!(point.values, [9.99, 10.0]);
        assert_eq!(point.value, geometric(9.99, 10.0));
        assert_eq!(series[0].test(), "tg64 @ d128");
        assert!(history.unfinished(&point.run).unwrap().is_empty());
        records[0].outcome = Outcome::TimedOut { limit_s: 1 };
        records[1].outcome = Outcome::Crashed { signal: Some(11), status: None };
        let history = of(&[(RunEntry::new(&info, &records).unwrap(), Said::default())]);
        assert!(decode(&history).is_empty());
        let lost = history.unfinished(&history.runs().unwrap()[0]).unwrap();
        assert_eq!(lost[0].ended, "crashed in 1, timed out in 2");
    }

    fn geometric(a: f64, b: f64) -> f64 {
        ((a.ln() + b.ln()) / 2.0).exp()
    }

    #[test]
    fn a_cell_that_means_something_else_is_refused_and_nothing_of_its_run_is_kept() {
        let mut history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
        let before = dump(&history);
        let (mut other, said) = entry("2026-11-03T10:00:00Z", 10.0, "b");
        other.cells.values_mut().next().unwrap().insert("engine".to_owned(), "x".to_owned());
        let error = history.add(&other, &said).unwrap_err();
        assert!(matches!(error, HistoryError::TwoOfOneId(_)), "{error}");
        assert_eq!(dump(&history), before);
    }

    #[test]
    fn the_flat_view_speaks_of_every_value() {
        let history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
        let (n, model): (u32, String) = history
            .connection
            .query_row(
                "SELECT count(*), max(model) FROM flat WHERE measure = 'tpot_ms'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((n, model.as_str()), (3, "SmolLM2-135M"));
    }
}
