//! What sensors told beside the readings themselves: the idle machine at the beginning, the rest before
//! an invocation, and how a sustained run ended.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sensors::{Channel, Missing};

/// What a run could read, and the machine at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sensing {
    /// Every channel that could be read at the beginning.
    pub channels: Vec<Channel>,
    /// What could not be read, and what a machine of its kind would have.
    pub missing: Vec<Missing>,
    /// The idle machine; absent where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub baseline: Option<Baseline>,
}

/// The idle machine at the beginning of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Time in which it was looked at, nanoseconds.
    pub took_ns: u64,
    /// By channel: the median of its readings. Counters are not among them.
    pub values: BTreeMap<String, f64>,
    /// By channel of power or energy: watts drawn on average.
    pub idle_watts: BTreeMap<String, f64>,
}

/// How the machine came to rest before an invocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateRecord {
    /// What became of the wait.
    pub outcome: GateOutcome,
    /// How long it took: the time that the machine needs to recover is a result itself.
    pub waited_ns: u64,
    /// What was not at rest when nobody waited any longer.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub restless: Vec<String>,
}

/// What became of the wait before an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The machine was at rest.
    Passed,
    /// It did not come to rest in time.
    TimedOut,
    /// There is no sensor of temperature to wait for.
    NoSensors,
}

/// Why a sustained run ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SoakEnd {
    /// Its speed had become steady.
    Steady,
    /// Its time was up.
    Time,
    /// The user stopped it.
    User,
}

impl SoakEnd {
    /// The word used in tables and CSV.
    pub fn word(self) -> &'static str {
        match self {
            SoakEnd::Steady => "steady",
            SoakEnd::Time => "time",
            SoakEnd::User => "user",
        }
    }
}
