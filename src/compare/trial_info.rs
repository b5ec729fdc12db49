//! A trial as it is kept beside the records of its two sides: with them it can be judged again, and
//! continued where it was stopped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::identity::place;
use super::measure::Measure;
use super::side::{Case, SideError};
use super::trial::{Schedule, Step, Trial, Which};
use super::verdict::{Design, Policy};
use crate::plan::CellId;
use crate::record::{Record, RunInfo};

/// Version of `trial.json`.
pub const TRIAL_FORMAT: u32 = 1;

/// What `trial.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialInfo {
    /// Version of this format.
    pub format: u32,
    /// Who took the two in turns.
    pub program: String,
    /// The command that reproduces it.
    pub command: String,
    /// How long it lasts and when it is looked at.
    pub schedule: Schedule,
    /// What counts as a difference.
    pub policy: Policy,
    /// What the baseline and the candidate are called.
    pub labels: (String, String),
    /// The cells: that of the baseline, that of the candidate.
    pub cells: Vec<(CellId, CellId)>,
    /// What each side's program calls itself.
    pub programs: (String, String),
    /// Cells that only the baseline has, and why the candidate has them not.
    #[serde(default)]
    pub only_a: Vec<String>,
    /// Cells that only the candidate has.
    #[serde(default)]
    pub only_b: Vec<String>,
}

impl TrialInfo {
    /// The trial with what has been measured so far.
    pub fn trial(&self, a: &[Record], b: &[Record]) -> Trial {
        let mut trial = Trial::new(self.schedule.clone(), self.policy.clone(), self.cells.len());
        for (which, records) in [(Which::A, a), (Which::B, b)] {
            for record in records {
                if let Some(cell) = self.position(which, &record.cell.id) {
                    let step = Step { cell, pair: record.invocation, which };
                    trial.take(step, values(record));
                }
            }
        }
        trial
    }

    /// Index of a side's cell.
    fn position(&self, which: Which, id: &CellId) -> Option<usize> {
        self.cells.iter().position(|(a, b)| match which {
            Which::A => a == id,
            Which::B => b == id,
        })
    }

    /// What came out.
    pub fn comparison(
        &self,
        a: (&RunInfo, &[Record]),
        b: (&RunInfo, &[Record]),
    ) -> Result<Comparison, SideError> {
        let trial = self.trial(a.1, b.1);
        let mut cases = Vec::new();
        for (index, (id_a, id_b)) in self.cells.iter().enumerate() {
            let (Some(base), Some(head)) = (case(a, id_a)?, case(b, id_b)?) else { continue };
            cases.push((base, head, trial.outcome(index)));
        }
        if cases.iter().all(|(.., judged)| judged.is_empty()) {
            return Err(SideError::Nothing);
        }
        let cases: Vec<(&Case, &Case, _)> =
            cases.iter().map(|(base, head, judged)| (base, head, judged.clone())).collect();
        let mut comparison = Comparison::of_cases(&cases, Design::Paired, self.policy.clone());
        (comparison.base, comparison.head) = self.labels.clone();
        comparison.places = super::differences(&place(a.0), &place(b.0));
        comparison.only_base.clone_from(&self.only_a);
        comparison.only_head.clone_from(&self.only_b);
        if !trial.is_over() {
            comparison.notes.push("it was stopped before its end".to_owned());
        }
        Ok(comparison)
    }
}

/// Every number of an invocation.
pub fn values(record: &Record) -> BTreeMap<Measure, f64> {
    Measure::ALL.into_iter().filter_map(|m| Some((m, m.of(record)?))).collect()
}

/// The case of a cell; `None` where the run does not have it. Of an invocation made twice the last
/// record counts.
fn case((run, records): (&RunInfo, &[Record]), id: &CellId) -> Result<Option<Case>, SideError> {
    let Some(cell) = run.cells.iter().find(|cell| cell.id == *id) else { return Ok(None) };
    let by_invocation: BTreeMap<u32, &Record> =
        records.iter().filter(|r| r.cell.id == *id).map(|r| (r.invocation, r)).collect();
    Case::of_records(cell, &by_invocation.into_values().collect::<Vec<_>>()).map(Some)
}
