//! A run into the tables, within a transaction: what is new is put in, what is otherwise is replaced,
//! and nothing is taken away.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::{Added, list, words};
use crate::compare::{Measure, fingerprint};
use crate::history::entry::{Invocation, RunEntry, Said, instant};

/// A cell of the entry that the history knows as something else.
pub(super) fn contradicted(to: &Transaction, entry: &RunEntry) -> rusqlite::Result<Option<String>> {
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

/// Takes in a run, and tells what came of it.
pub(super) fn take_in(to: &Transaction, entry: &RunEntry, said: &Said) -> rusqlite::Result<Added> {
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
