//! What became of a cell, from what became of each of its invocations.

use std::collections::BTreeMap;

use crate::record::{Outcome, Record, Stage};

/// What became of a cell's invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeSummary {
    /// `finished` when at least one did; else the word of the most telling outcome; `not_run`
    /// when there is no record.
    pub word: &'static str,
    /// Why the most telling of the invocations that did not finish did not, and its log file.
    pub reason: Option<Reason>,
    /// Invocations by the word of their outcome.
    pub counts: BTreeMap<&'static str, usize>,
    /// Invocations planned.
    pub planned: usize,
}

/// Why an invocation did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The word of its outcome.
    pub word: &'static str,
    /// What was said.
    pub text: String,
    /// The child's log, relative to the run folder.
    pub log: Option<String>,
}

impl OutcomeSummary {
    pub(super) fn of(records: &[&Record], planned: u32) -> OutcomeSummary {
        let mut counts = BTreeMap::new();
        for record in records {
            *counts.entry(record.outcome.word()).or_insert(0) += 1;
        }
        let telling = records
            .iter()
            .filter(|r| r.outcome != Outcome::Finished)
            .max_by_key(|r| weight(&r.outcome));
        let word = match telling {
            _ if counts.contains_key(Outcome::Finished.word()) => Outcome::Finished.word(),
            Some(record) => record.outcome.word(),
            None => "not_run",
        };
        let reason = telling.map(|record| Reason {
            word: record.outcome.word(),
            text: said(&record.outcome),
            log: record.log.clone(),
        });
        OutcomeSummary { word, reason, counts, planned: planned as usize }
    }

    /// Whether at least one invocation finished.
    pub fn finished(&self) -> bool {
        self.word == Outcome::Finished.word()
    }

    /// Whether an invocation ended otherwise than planned: neither finished nor skipped.
    pub fn any_failed(&self) -> bool {
        self.counts.keys().any(|word| !["finished", "skipped"].contains(word))
    }
}

/// How much an outcome tells about a cell, beside others.
fn weight(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::OutOfMemory { .. } => 6,
        Outcome::Crashed { .. } => 5,
        Outcome::Failed { .. } => 4,
        Outcome::TimedOut { .. } => 3,
        Outcome::Unfit { .. } => 2,
        Outcome::Skipped { .. } => 1,
        Outcome::Finished => 0,
    }
}

/// An outcome in words, without its own word.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => String::new(),
        Outcome::Failed { stage: Stage::Engine, message } => format!("engine: {message}"),
        Outcome::Failed { stage: Stage::Protocol, message } => format!("protocol: {message}"),
        Outcome::Crashed { signal: Some(signal), .. } => match signal_name(*signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        Outcome::Crashed { status: Some(status), .. } => format!("exit status {status}"),
        Outcome::Crashed { .. } => "ended without a word".to_owned(),
        Outcome::TimedOut { limit_s } => format!("ended after {limit_s} s"),
        Outcome::OutOfMemory { message } => message.clone(),
        Outcome::Unfit { reason } | Outcome::Skipped { reason } => reason.clone(),
    }
}

/// Signals whose number is the same on every Linux and on macOS.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn summary(outcomes: &[Outcome]) -> OutcomeSummary {
        let mut records = fixture::single(outcomes.len() as u32).records;
        for (record, outcome) in records.iter_mut().zip(outcomes) {
            record.outcome = outcome.clone();
        }
        OutcomeSummary::of(&records.iter().collect::<Vec<_>>(), outcomes.len() as u32)
    }

    const SEGV: Outcome = Outcome::Crashed { signal: Some(11), status: None };

    #[test]
    fn one_that_finished_makes_the_cell_finished_and_the_others_stay_told() {
        let summary = summary(&[SEGV, Outcome::Finished, Outcome::TimedOut { limit_s: 9 }]);
        assert!(summary.finished() && summary.any_failed());
        assert_eq!(summary.counts["crashed"], 1);
        let reason = summary.reason.unwrap();
        assert_eq!((reason.word, reason.text.as_str()), ("crashed", "signal 11 (SIGSEGV)"));
    }

    #[test]
    fn running_out_of_memory_tells_more_than_what_was_skipped_for_it() {
        let summary = summary(&[
            Outcome::Skipped { reason: "larger than one that ran out of memory".into() },
            Outcome::OutOfMemory { message: "allocation refused".into() },
        ]);
        assert_eq!(summary.word, "out_of_memory");
    }

    #[test]
    fn a_planned_skip_is_no_failure() {
        assert!(!summary(&[Outcome::Skipped { reason: "no such device".into() }]).any_failed());
    }

    #[test]
    fn no_record_at_all_is_not_run() {
        let summary = OutcomeSummary::of(&[], 3);
        assert_eq!((summary.word, summary.reason, summary.planned), ("not_run", None, 3));
    }
}
