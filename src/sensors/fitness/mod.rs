//! Whether a machine is fit to be measured: what is set, what runs beside, what holds it back now.
//!
//! Each finding stands on files under a [`Root`] or on what was just seen of channels and load, so
//! a folder can stand for a machine. What a machine does not tell is not judged: a virtual machine
//! without a single sensor may well be fit.
//!
//! The rules: one `bad` finding makes it unfit, one `warn` leaves reservations, notes change nothing.

mod clocks;
mod now;
mod room;

pub use clocks::power_mode;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ForeignLoad, Root, Seen};
use crate::suite::DeviceSpec;

/// How a finding bears on what is measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing; nothing to be done.
    Note,
    /// Numbers are lower or noisier than they have to be.
    Warn,
    /// Numbers taken now mean little.
    Bad,
}

impl Grade {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Grade::Good => "good",
            Grade::Note => "note",
            Grade::Warn => "warn",
            Grade::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What: `governor`, `load`, `swap`. The names do not change.
    pub what: String,
    /// What was found.
    pub value: String,
    /// How it bears on what is measured.
    pub verdict: Grade,
    /// Why, in a sentence.
    pub why: String,
    /// What would change it, a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

impl Finding {
    fn new(
        what: &str,
        value: impl Into<String>,
        verdict: Grade,
        why: impl Into<String>,
    ) -> Finding {
        let (what, value, why) = (what.to_owned(), value.into(), why.into());
        Finding { what, value, verdict, why, remedy: None }
    }

    fn remedy(self, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..self }
    }
}

/// What all findings come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// No warning.
    Fit,
    /// A warning at least, and nothing bad.
    FitWithReservations,
    /// Something bad.
    UnfitToMeasure,
}

impl Overall {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Overall::Fit => "fit",
            Overall::FitWithReservations => "fit with reservations",
            Overall::UnfitToMeasure => "unfit to measure",
        }
    }
}

/// All findings and what they come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fitness {
    /// What they come to.
    pub verdict: Overall,
    /// The same in a sentence or two.
    pub summary: String,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// What was just seen, and what is known beside the machine's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment<'a> {
    /// Channels.
    pub seen: &'a [Seen],
    /// What others took in a short while; absent where a folder stands for the machine.
    pub load: Option<ForeignLoad>,
    /// CPUs that a run may use.
    pub n_cpus: u32,
    /// The device that this machine is.
    pub device: Option<&'a DeviceSpec>,
}

/// Judges the machine under `root`.
pub fn fitness(root: &Root, moment: &Moment) -> Fitness {
    let mut findings = clocks::findings(root);
    findings.extend(room::findings(root, moment.n_cpus));
    findings.extend(now::findings(root, moment));
    explain_cap(&mut findings);
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Grade::Good);
    let verdict = match worst {
        Grade::Good | Grade::Note => Overall::Fit,
        Grade::Warn => Overall::FitWithReservations,
        Grade::Bad => Overall::UnfitToMeasure,
    };
    let summary = summary(verdict, &findings);
    Fitness { verdict, summary, findings }
}

/// A clock that is capped while the machine is held back is capped for that: writing another cap
/// would not help.
fn explain_cap(findings: &mut [Finding]) {
    let is_held_back =
        findings.iter().any(|found| found.what == "throttling" && found.verdict == Grade::Bad);
    let cap = findings.iter_mut().find(|found| found.what == "clock_cap");
    if let Some(cap) = cap.filter(|cap| is_held_back && cap.verdict == Grade::Warn) {
        cap.why = "the highest clock is not allowed while the machine is held back".to_owned();
        cap.remedy = None;
    }
}

fn summary(verdict: Overall, findings: &[Finding]) -> String {
    let mut said = match verdict {
        Overall::Fit => "Nothing that can be seen here holds the machine back.",
        Overall::FitWithReservations => {
            "Numbers will be true of the machine as it is now, which is not the best it can be."
        }
        Overall::UnfitToMeasure => {
            "Numbers taken now would tell of what disturbs the machine, not of the model."
        }
    }
    .to_owned();
    let is_noted = |what: &str| {
        findings.iter().any(|finding| finding.what == what && finding.verdict == Grade::Note)
    };
    if is_noted("virtual_machine") {
        said.push_str(
            " It is a virtual machine: usable, but noise from its neighbours is to be expected. \
             Take more invocations.",
        );
    }
    match (is_noted("temperature"), is_noted("energy")) {
        (true, true) => said.push_str(" Neither heat nor power can be seen."),
        (true, false) => said.push_str(" Heat cannot be seen."),
        (false, true) => said.push_str(" Power cannot be seen."),
        (false, false) => {}
    }
    said
}

#[cfg(test)]
mod tests;
