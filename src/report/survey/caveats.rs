//! What has to be known before a figure is believed: cells that stand under marks, and cells that did
//! not finish and so are not in it.

use std::collections::BTreeSet;

use super::runs::{Measured, Runs};
use crate::record::Mark;
use crate::report::plot::distinct;
use crate::report::{results, text};

/// Cells that are named at most in one sentence.
const MOST_NAMED: usize = 6;

/// What a figure is about, which decides the marks that matter to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Times.
    Time,
    /// Bytes.
    Memory,
}

impl About {
    /// An engine built for less than the machine has is a matter of the run, told at the head of the
    /// page; memory that belongs to nothing changes no time.
    pub fn minds(self, mark: Mark) -> bool {
        match mark {
            Mark::BelowMachine => false,
            Mark::Unaccounted => self == About::Memory,
            Mark::Throttled | Mark::Disturbed | Mark::GateTimeout => true,
        }
    }

    /// The marks of a cell that matter.
    fn marks(self, cell: &Measured) -> impl Iterator<Item = Mark> {
        cell.cell.marks.iter().copied().filter(move |mark| self.minds(*mark))
    }

    /// Whether a cell stands under one of them.
    pub fn is_marked(self, cell: &Measured) -> bool {
        self.marks(cell).next().is_some()
    }

    /// `disturbed, throttled`: those under which any of `cells` stands.
    fn words(self, cells: &[Measured]) -> String {
        let marks: BTreeSet<Mark> = cells.iter().flat_map(|m| self.marks(m)).collect();
        marks.into_iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// A paragraph for each mark, and one for what did not finish.
    pub fn told(self, runs: &Runs, shown: &[Measured], unfinished: &[Measured]) -> Vec<String> {
        let all: Vec<Measured> = shown.iter().chain(unfinished).copied().collect();
        let marks: BTreeSet<Mark> = shown.iter().flat_map(|m| self.marks(m)).collect();
        let one = |mark: Mark| {
            let under: Vec<Measured> =
                shown.iter().copied().filter(|m| m.cell.marks.contains(&mark)).collect();
            let names = under.iter().map(|m| name(runs, m, &all)).collect();
            format!(
                "{} of {} {}: {} ({}).",
                under.len(),
                text::count(shown.len(), "cell"),
                word(mark),
                results::meaning(mark),
                listed(names)
            )
        };
        marks.into_iter().map(one).chain(absent(runs, unfinished, &all)).collect()
    }

    /// The same in a line for the picture, with the sign that such cells have there; nothing where
    /// there is nothing to be said.
    pub fn note(self, sign: &str, shown: &[Measured], unfinished: &[Measured]) -> Option<String> {
        let marked = shown.iter().filter(|m| self.is_marked(m)).count();
        let mut parts = Vec::new();
        if marked > 0 {
            let all = text::count(shown.len(), "cell");
            parts.push(format!("{marked} of {all} {} ({sign})", self.words(shown)));
        }
        if !unfinished.is_empty() {
            parts.push(format!("{} did not finish", text::count(unfinished.len(), "cell")));
        }
        (!parts.is_empty()).then(|| format!("{}.", parts.join("; ")))
    }
}

/// All marks of a cell, as in `cells.csv`.
pub fn in_csv(marks: impl IntoIterator<Item = Mark>) -> String {
    marks.into_iter().map(Mark::word).collect::<Vec<_>>().join(";")
}

/// `gate timeout`.
pub fn word(mark: Mark) -> String {
    mark.word().replace('_', " ")
}

/// `Not finished, and so not here: Gemma-2B (out of memory).`
fn absent(runs: &Runs, unfinished: &[Measured], all: &[Measured]) -> Option<String> {
    let named = |m: &Measured| {
        let how = m.cell.outcome.word.replace('_', " ");
        format!("{} ({how})", name(runs, m, all))
    };
    let names = distinct(unfinished.iter().map(named));
    (!names.is_empty()).then(|| format!("Not finished, and so not here: {}.", listed(names)))
}

/// What sets a cell apart from `all`: model, quantisation, test and device, as far as they differ; the
/// model where nothing does.
fn name(runs: &Runs, cell: &Measured, all: &[Measured]) -> String {
    let parts = |m: &Measured| {
        let (plan, device) = (m.cell.cell, &runs.devices[m.device]);
        [m.name(), text::plain(&plan.quant), plan.test(), format!("on {device}")]
    };
    let (own, all) = (parts(cell), all.iter().map(parts).collect::<Vec<_>>());
    let differs = |i: &usize| all.iter().any(|other| other[*i] != own[*i]);
    let told: Vec<&str> = (0..own.len()).filter(differs).map(|i| own[i].as_str()).collect();
    if told.is_empty() { cell.name() } else { told.join(" ") }
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        names.truncate(MOST_NAMED);
        return format!("{} and {more} more", names.join("; "));
    }
    names.join("; ")
}
