//! What is kept: one record per invocation, and the words in which a child tells its parent what
//! happens. The format has a version; `docs/record-format.md` describes it.
//!
//! Raw samples are kept, every repetition and every token time; estimates are computed from them
//! when asked for, never stored in their place.

mod efficiency;
mod energy;
mod event;
mod journal;
mod memory;
mod profile;
mod sensing;
mod soak;

use std::collections::BTreeMap;

use crate::settings::{Gate, ProbeWhen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::engine::{Allocated, EngineInfo, Op, OpCost, OpKind, OpSpan, Resolved};
pub use crate::memory::MemoryBudget;
pub use crate::model::ModelIdentity;
pub use crate::plan::Cell;
pub use crate::probe::Probe;
pub use crate::sensors::{
    Cause, Channel, ChannelKind, HeldBack, HostFacts, Missing, Quality, Scope, SensorLog, Series,
    causes_around, held_back,
};
pub use efficiency::{CellWork, Efficiency, HeldAgainst};
pub use energy::{EnergyUse, widest};
pub use event::{CellEvent, FailureKind, Job, OLDEST_PROTOCOL, PROTOCOL_VERSION, STOP};
pub use journal::{Journal, JournalError, JournalRead, read_journal, read_journal_whole};
pub use memory::{MemoryPhase, MemoryRecord, Phase};
pub use profile::{OpTotal, PhaseProfile, Profile, Trace, TracedCall};
pub use sensing::{Baseline, GateOutcome, GateRecord, Sensing, SoakEnd};
pub use soak::Work;

/// Version of the record format. Older ones are read, newer ones refused.
pub const RECORD_FORMAT: u32 = 1;

/// This program's version and commit.
pub const PROGRAM: &str =
    concat!("slmbench ", env!("CARGO_PKG_VERSION"), " (", env!("SLMBENCH_COMMIT"), ")");

/// One invocation: its identity, its outcome, its raw numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Version of this format.
    pub format: u32,
    /// This program's version and commit.
    pub program: String,
    /// What was measured.
    pub cell: Cell,
    /// Which invocation of the cell, from 0.
    pub invocation: u32,
    /// Wall-clock start, UTC, RFC 3339 with milliseconds.
    pub started_at: String,
    /// The child's whole life in nanoseconds; 0 when none was started.
    pub wall_ns: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What stands beside the outcome.
    pub marks: Vec<Mark>,
    /// Who ran it; absent when the child never said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub engine: Option<EngineInfo>,
    /// CPUs the child was allowed to use: what `big` or `all` became.
    pub cpus: Vec<u32>,
    /// What the settings became; absent when nothing was loaded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved: Option<Resolved>,
    /// The model's identity; absent for engines that read none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<ModelIdentity>,
    /// Loading, in full.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub load: Option<Load>,
    /// Timed passes in order.
    pub samples: Vec<Sample>,
    /// Memory: predicted, allocated, measured.
    pub memory: MemoryRecord,
    /// What else happened on the machine meanwhile.
    pub surroundings: Surroundings,
    /// How the machine came to rest before; absent where nobody waited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gate: Option<GateRecord>,
    /// What sensors read meanwhile; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sensors: Option<SensorLog>,
    /// Why a sustained run ended by itself; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub soak_end: Option<SoakEnd>,
    /// What the device could do right before; absent where that was not probed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe: Option<Probe>,
    /// How much of what the device can do it used; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub efficiency: Option<Efficiency>,
    /// Where the time went; absent where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<Profile>,
    /// The child's log, relative to the run folder; absent when it wrote none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<String>,
}

/// What became of an invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// Every repetition was timed.
    Finished,
    /// The engine said no, or the child broke the protocol.
    Failed {
        /// Who failed.
        stage: Stage,
        /// What was said.
        message: String,
    },
    /// The child ended by a signal, or with an exit status of its own.
    Crashed {
        /// The signal's number, if a signal ended it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        signal: Option<i32>,
        /// The exit status, if it ended by itself.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        status: Option<i32>,
    },
    /// It was ended after `limit_s`.
    TimedOut {
        /// The limit in seconds.
        limit_s: u32,
    },
    /// Memory was refused, or the kernel killed it for memory.
    OutOfMemory {
        /// How that is known.
        message: String,
    },
    /// The gate refused to start it.
    Unfit {
        /// Why.
        reason: String,
    },
    /// Never started.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The word used in tables and CSV.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Finished => "finished",
            Outcome::Failed { .. } => "failed",
            Outcome::Crashed { .. } => "crashed",
            Outcome::TimedOut { .. } => "timed_out",
            Outcome::OutOfMemory { .. } => "out_of_memory",
            Outcome::Unfit { .. } => "unfit",
            Outcome::Skipped { .. } => "skipped",
        }
    }
}

/// Where an invocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The engine said no.
    Engine,
    /// Rubbish, half a line, or another protocol version.
    Protocol,
}

/// A reservation that stands beside an outcome.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A clock, a throttle flag or a cooling state confirmed that heat or power held it back.
    Throttled,
    /// Other processes, steal or memory pressure took part of the machine.
    Disturbed,
    /// The gate gave up waiting.
    GateTimeout,
    /// The engine was built for less than the machine has.
    BelowMachine,
    /// A notable part of the peak belongs to nothing that is known of. Told when a record is read,
    /// never stored.
    Unaccounted,
}

impl Mark {
    /// The word used in tables and CSV.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Throttled => "throttled",
            Mark::Disturbed => "disturbed",
            Mark::GateTimeout => "gate_timeout",
            Mark::BelowMachine => "below_machine",
            Mark::Unaccounted => "unaccounted",
        }
    }
}

/// How the model came into memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Open file → ready to take tokens.
    pub load_ns: u64,
    /// Share of the file's pages that were in the page cache before, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cached_share: Option<f64>,
}

/// One timed pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Start of the pass on the machine's monotonic clock.
    pub start_ns: u64,
    /// Start of prompt evaluation → logits of its last token available. Absent without a prompt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefill_ns: Option<u64>,
    /// Prompt handed over → first token chosen; no tokenising is in it. Absent without a prompt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttft_ns: Option<u64>,
    /// Time of each decode call with the choice of its token: `n_gen` gaps between tokens.
    pub itl_ns: Vec<u64>,
}

impl Sample {
    /// The end of the pass on the same clock.
    pub fn end_ns(&self) -> u64 {
        let decode = self.decode_ns().unwrap_or(0);
        self.start_ns.saturating_add(self.ttft_ns.unwrap_or(0)).saturating_add(decode)
    }

    /// Time of all decode calls; absent when none was made.
    pub fn decode_ns(&self) -> Option<u64> {
        if self.itl_ns.is_empty() { None } else { Some(self.itl_ns.iter().sum()) }
    }
}

/// What else happened on the machine while the child lived. Missing is absent, not zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Surroundings {
    /// CPU time of other processes ÷ (wall time × CPUs), 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub foreign_cpu_share: Option<f64>,
    /// CPU time taken by the hypervisor ÷ (wall time × CPUs), 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub steal_share: Option<f64>,
    /// Share of the time in which a task waited for memory (`/proc/pressure/memory`, some).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_pressure_share: Option<f64>,
    /// Times the child's threads were taken off a CPU against their will.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub involuntary_switches: Option<u64>,
    /// CPU time of the parent while the child lived.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_cpu_ns: Option<u64>,
    /// Hottest relevant sensor at the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature_start: Option<crate::units::Celsius>,
    /// Hottest relevant sensor at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature_end: Option<crate::units::Celsius>,
    /// Fastest CPU clock at the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_start: Option<crate::units::Hertz>,
    /// Fastest CPU clock at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_end: Option<crate::units::Hertz>,
}

/// What `run.json` holds: the run's identity, its plan and the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// Version of this format.
    pub format: u32,
    /// This program's version and commit.
    pub program: String,
    /// The suite's name.
    pub suite: String,
    /// Where suite, models and devices came from: `built in`, or the file's name.
    pub sources: BTreeMap<String, String>,
    /// What the user calls this device; absent when not said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// The command that reproduces the run.
    pub command: String,
    /// Seed of order and tokens.
    pub seed: u64,
    /// Wall-clock start, UTC.
    pub started_at: String,
    /// The machine.
    pub host: HostFacts,
    /// Its name in `devices.toml`; absent when it is not known there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Engines taking part.
    pub engines: Vec<EngineInfo>,
    /// Every cell that is to run.
    pub cells: Vec<Cell>,
    /// The order: index into `cells` and number of the invocation.
    pub order: Vec<(usize, u32)>,
    /// What can be read of the machine, and the machine at rest; absent until it was looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sensing: Option<Sensing>,
    /// Temperature of the room, as the user says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ambient: Option<crate::units::Celsius>,
    /// How the machine comes to rest before an invocation; absent where nobody waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gate: Option<Gate>,
    /// When ceilings are probed; absent where they never are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probing: Option<ProbeWhen>,
    /// What the device could do before the first cell; absent where that was not probed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe: Option<Probe>,
    /// What it took to measure; absent until the run has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost: Option<RunCost>,
}

/// What a run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunCost {
    /// Wall time from start to end.
    pub wall_ns: u64,
    /// CPU time of the parent in all.
    pub parent_cpu_ns: u64,
    /// CPU time of the parent while cells ran ÷ wall time of those cells.
    pub parent_cpu_share: f64,
}
