//! What a history keeps of a run: from its folder's `run.json` and journal to rows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::HistoryError;
use crate::compare::{Measure, Words, maker, place, what};
use crate::record::{Mark, Outcome, Record, RunInfo};

/// What the user says of a run, in the place of what it says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The commit that was measured.
    pub commit: Option<String>,
    /// The branch that it is on.
    pub branch: Option<String>,
    /// The moment at which it stands in the history.
    pub date: Option<Timestamp>,
}

/// A run, ready to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEntry {
    /// Hash of what makes it this run and no other.
    pub id: String,
    /// When it began: UTC to the millisecond.
    pub started_at: String,
    /// The suite's name.
    pub suite: String,
    /// What the user calls the device.
    pub label: Option<String>,
    /// The program's version and commit.
    pub program: String,
    /// The program's commit; absent where it was built without knowing it.
    pub commit: Option<String>,
    /// Operating system and kernel: told where something changed, part of no identity.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Where it was measured.
    pub environment: Words,
    /// Its cells.
    pub cells: BTreeMap<String, Words>,
    /// Its invocations, by cell and number; of those made more than once the last.
    pub invocations: BTreeMap<(String, u32), Invocation>,
    /// Sustained runs and profiles, which are left out: they have no repetitions.
    pub n_untimed: usize,
    /// Cells of which nothing finished although something was tried, with what became of them.
    pub unfinished: BTreeMap<String, String>,
}

/// An invocation, brought down to a value per measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// When it began, as its record says.
    pub started_at: String,
    /// The word of its outcome.
    pub outcome: String,
    /// The words of its marks.
    pub marks: BTreeSet<String>,
    /// With what was measured.
    pub maker: Words,
    /// What it measured; nothing where it did not finish.
    pub values: BTreeMap<Measure, f64>,
}

impl RunEntry {
    /// The entry of a run with these records.
    pub fn new(info: &RunInfo, records: &[Record]) -> Result<RunEntry, HistoryError> {
        let started_at: Timestamp =
            info.started_at.parse().map_err(|_| HistoryError::Date(info.started_at.clone()))?;
        let mut entry = RunEntry {
            id: id(info),
            started_at: instant(started_at),
            suite: info.suite.clone(),
            label: info.label.clone(),
            program: info.program.clone(),
            commit: commit_of(&info.program),
            os: info.host.os.clone(),
            kernel: info.host.kernel.clone(),
            environment: place(info),
            cells: BTreeMap::new(),
            invocations: BTreeMap::new(),
            n_untimed: 0,
            unfinished: BTreeMap::new(),
        };
        let cells = || info.cells.iter().chain(records.iter().map(|record| &record.cell));
        for cell in cells().filter(|cell| cell.is_timed()) {
            let words = what(cell);
            let known = entry.cells.entry(cell.id.0.clone()).or_insert_with(|| words.clone());
            if *known != words {
                return Err(HistoryError::TwoOfOneId(cell.id.0.clone()));
            }
        }
        let untimed = cells().filter(|cell| !cell.is_timed()).map(|cell| &cell.id);
        entry.n_untimed = untimed.collect::<BTreeSet<_>>().len();
        if entry.cells.is_empty() && entry.n_untimed > 0 {
            return Err(HistoryError::SustainedOnly);
        }
        for record in records.iter().filter(|record| record.cell.is_timed()) {
            let key = (record.cell.id.0.clone(), record.invocation);
            entry.invocations.insert(key, Invocation::of(record));
        }
        entry.unfinished = unfinished(&entry.invocations);
        Ok(entry)
    }
}

impl Invocation {
    fn of(record: &Record) -> Invocation {
        let values = Measure::ALL.into_iter().filter_map(|measure| {
            let value = measure.of(record).filter(|value| value.is_finite())?;
            Some((measure, value))
        });
        Invocation {
            started_at: record.started_at.clone(),
            outcome: record.outcome.word().to_owned(),
            marks: record.marks.iter().map(|mark| Mark::word(*mark).to_owned()).collect(),
            maker: maker(record),
            values: values.collect(),
        }
    }
}

/// By cell, how what was tried ended, where nothing of it finished.
fn unfinished(invocations: &BTreeMap<(String, u32), Invocation>) -> BTreeMap<String, String> {
    let skipped = Outcome::Skipped { reason: String::new() }.word();
    let mut by_cell: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for ((cell, _), invocation) in invocations {
        *by_cell.entry(cell).or_default().entry(&invocation.outcome).or_default() += 1;
    }
    let lost = by_cell.into_iter().filter_map(|(cell, mut ends)| {
        ends.remove(skipped);
        let is_lost = !ends.is_empty() && !ends.contains_key(Outcome::Finished.word());
        is_lost.then(|| (cell.to_owned(), ended(&ends)))
    });
    lost.collect()
}

/// `crashed in 2, timed out in 1`.
pub(super) fn ended(ends: &BTreeMap<&str, usize>) -> String {
    let words = ends.iter().map(|(word, n)| format!("{} in {n}", word.replace('_', " ")));
    words.collect::<Vec<_>>().join(", ")
}

/// Sixteen hexadecimal digits that stand for a run. What may be added to it later, when it is
/// resumed, is not in them.
fn id(info: &RunInfo) -> String {
    let cells: Vec<&str> = info.cells.iter().map(|cell| cell.id.0.as_str()).collect();
    let identity = serde_json::json!([
        info.started_at,
        info.seed,
        info.suite,
        info.label,
        info.host.cpu,
        info.host.machine,
        // Not the order: `run --until` adds to it.
        cells,
    ]);
    let digest = Sha256::digest(identity.to_string().as_bytes());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

/// The commit in `slmbench 0.1.0 (abc123)`.
fn commit_of(program: &str) -> Option<String> {
    let (_, rest) = program.split_once('(')?;
    let commit = rest.strip_suffix(')')?.trim();
    (!commit.is_empty() && commit != "unknown").then(|| commit.to_owned())
}

/// A moment as it stands in a history: UTC to the millisecond, so that the order of the texts is that
/// of the moments.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::run;
    use super::*;

    #[test]
    fn the_commit_is_that_of_the_program_where_it_tells_one() {
        assert_eq!(commit_of("slmbench 0.1.0 (abc123-dirty)").as_deref(), Some("abc123-dirty"));
        assert_eq!(commit_of("slmbench 0.1.0 (unknown)"), None);
        assert_eq!(commit_of("slmbench 0.1.0"), None);
    }

    #[test]
    fn a_run_is_the_same_run_when_it_was_resumed_and_another_at_another_time() {
        let (info, records) = run("2026-11-02T10:00:00Z", 10.0);
        let whole = RunEntry::new(&info, &records).unwrap();
        let begun = RunEntry::new(&info, &records[..1]).unwrap();
        assert_eq!(whole.id, begun.id);
        assert_eq!((whole.invocations.len(), begun.invocations.len()), (3, 1));
        let (info, records) = run("2026-11-03T10:00:00Z", 10.0);
        assert_ne!(RunEntry::new(&info, &records).unwrap().id, whole.id);
    }

    #[test]
    fn what_was_tried_and_did_not_finish_is_told_and_planned_skips_are_not() {
        let (info, mut records) = run("2026-11-02T10:00:00Z", 10.0);
        records[0].outcome = Outcome::Crashed { signal: Some(11), status: None };
        assert!(RunEntry::new(&info, &records).unwrap().unfinished.is_empty());
        records[1].outcome = Outcome::TimedOut { limit_s: 1 };
        records[2].outcome = Outcome::Skipped { reason: "no room".to_owned() };
        let entry = RunEntry::new(&info, &records).unwrap();
        assert_eq!(entry.unfinished.values().collect::<Vec<_>>(), ["crashed in 1, timed out in 1"]);
        assert!(entry.invocations.values().all(|i| i.values.is_empty() || i.outcome == "finished"));
        for record in &mut records {
            record.outcome = Outcome::Skipped { reason: "no room".to_owned() };
        }
        assert!(RunEntry::new(&info, &records).unwrap().unfinished.is_empty());
    }

    #[test]
    fn a_date_that_is_none_is_named() {
        let (mut info, records) = run("2026-11-02T10:00:00Z", 10.0);
        info.started_at = "yesterday".to_owned();
        let error = RunEntry::new(&info, &records).unwrap_err().to_string();
        assert!(error.starts_with("`yesterday` is no date"), "{error}");
    }
}
