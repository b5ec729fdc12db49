//! Suites: what to measure, read from TOML files and checked whole; and the devices that are
//! known by name.
//!
//! A suite knows nothing of what engines can do, of the machine, or of how long anything takes:
//! that meets in `plan`. `docs/suites.md` describes the format.

mod axes;
mod builtin;
mod device;
mod error;
mod filter;
mod keys;
mod matrix;
mod nearest;
mod parse;
mod range;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod threads;

pub use axes::{Axes, Flaw, Point, is_pattern};
pub use builtin::{
    DEFAULT_SUITE, FindError, Found, SUITES, Source, builtin, find, find_devices, find_models,
    known_suites,
};
pub use device::{
    DeviceError, DeviceMemory, DeviceSpec, NoMemory, Recognise, Said, find_memory, parse_devices,
};
pub use error::{Place, SuiteError, SuiteErrorKind, SuiteErrors};
pub use filter::{Condition, Filter, FilterError};
pub use matrix::{ENGINES, KV_TYPES, MAX_CELLS, MEASURING, cpus_word, engine_word};
pub use nearest::nearest;
pub use parse::parse;
pub use range::{MAX_COUNT, MAX_VALUES, RangeError, parse_numbers, parse_range};
pub use schema::{devices_schema, suite_schema};
pub use threads::{MAX_THREADS, Threads, ThreadsError};

use crate::settings::{Gate, ProbeWhen, Soak, TokenFeed};

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// What it is called.
    pub name: String,
    /// What it answers.
    pub description: String,
    /// Seed of the order and of the token ids.
    pub seed: u64,
    /// Which tokens decode is fed.
    pub feed: TokenFeed,
    /// How the machine comes to rest before an invocation; absent where the suite says nothing.
    pub gate: Option<Gate>,
    /// When the device's ceilings are probed.
    pub probe: ProbeWhen,
    /// Its matrices and then its sustained runs, in the order of the file.
    pub matrices: Vec<Matrix>,
}

/// One block of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The values along every axis.
    pub axes: Axes,
    /// Points for which any of these holds are left out.
    pub excludes: Vec<Filter>,
    /// How often and how long.
    pub times: Times,
    /// Its cells run without a pause for so long.
    pub soak: Option<Soak>,
    /// Whether its cells are profiled.
    pub profile: Profiling,
}

/// Whether cells are profiled: asked where their time goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profiling {
    /// Not.
    #[default]
    No,
    /// In an invocation of its own beside those that measure.
    Beside,
    /// In an invocation of its own, and nothing else is measured.
    Alone,
}

impl Matrix {
    /// Whether no exclusion takes the point out.
    pub fn admits(&self, point: &Point) -> bool {
        !self.excludes.iter().any(|filter| filter.matches(point, ""))
    }
}

/// How often a cell is measured, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Timed passes in an invocation.
    pub repetitions: u32,
    /// Passes before the first timed one.
    pub warmup: u32,
    /// Child processes per cell.
    pub invocations: u32,
    /// Wall time after which an invocation is ended.
    pub timeout_s: u32,
}

impl Default for Times {
    fn default() -> Times {
        Times { repetitions: 5, warmup: 1, invocations: 1, timeout_s: 600 }
    }
}
