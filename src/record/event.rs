//! The words between parent and child: one JSON object per line, job down, events up.
//!
//! After every event but [`CellEvent::Failed`] and [`CellEvent::Iterated`] the child waits for an
//! empty line: the word to go on. The parent reads the child's memory meanwhile, from outside and at
//! rest. In a sustained run nobody waits; the line [`STOP`] ends it.

use serde::{Deserialize, Serialize};

use super::{Profile, Sample};
use crate::engine::{Allocated, EngineInfo, Resolved};
use crate::plan::Cell;

/// Version of the words between parent and child.
pub const PROTOCOL_VERSION: u32 = 3;

/// The oldest version that is still spoken, with children of older programs and with older parents.
pub const OLDEST_PROTOCOL: u32 = 1;

/// What the parent says when a sustained run has lasted long enough.
pub const STOP: &str = "stop";

/// What the parent tells the child to do: the first line on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the protocol; the child keeps to it.
    pub protocol: u32,
    /// What to measure.
    pub cell: Cell,
    /// Which invocation, from 0: seeds the tokens.
    pub invocation: u32,
    /// CPUs the child may use.
    pub cpus: Vec<u32>,
    /// What `n_threads = "auto"` stands for.
    pub n_threads_auto: u32,
    /// The model file; empty for engines that read none.
    pub model_path: std::path::PathBuf,
}

/// What the child tells the parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum CellEvent {
    /// First line: who speaks.
    Hello {
        /// Version of the protocol.
        protocol: u32,
        /// The engine about to load.
        engine: EngineInfo,
    },
    /// The model is ready.
    Loaded {
        /// Open file → ready.
        load_ns: u64,
        /// Share of the file in the page cache before.
        cached_share: Option<f64>,
        /// What the settings became.
        resolved: Resolved,
        /// What the engine took.
        allocated: Option<Allocated>,
    },
    /// The cache is filled to its depth and the last pass that nobody times has ended.
    WarmedUp,
    /// A timed pass has ended.
    Sampled {
        /// Its numbers.
        sample: Sample,
    },
    /// A pass of a sustained run has ended, and the next one has begun.
    Iterated {
        /// Its numbers.
        sample: Sample,
    },
    /// All passes of a profile are done.
    Profiled {
        /// Where the time went.
        profile: Profile,
    },
    /// Every repetition is done.
    Finished {
        /// Times the child's threads were taken off a CPU against their will since warm-up.
        involuntary_switches: u64,
    },
    /// It cannot go on.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// What was said.
        message: String,
    },
}

/// Why a child cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The engine said no.
    Engine,
    /// Memory was refused.
    OutOfMemory,
    /// The job was not understood.
    Protocol,
}
