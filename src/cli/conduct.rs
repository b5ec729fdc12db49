//! The part of the arguments of `run` and `soak` that says how measuring is done, not what is
//! measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::catalogue_files;
use super::exit::{Ending, Failure};
use super::select::{between, number};
use crate::sensors::{PowerSource, Rates};
use crate::settings::ProbeWhen;
use crate::units::Celsius;

/// What stands above the options that say how measuring is done.
pub const HEADING: &str = "How to measure";

/// How measuring is done.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct Conduct {
    /// Folder for the results [default: reports/<UTC>-<suite>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to call this device in reports
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Show what would be measured, in order, with predicted memory and time
    #[arg(long)]
    pub dry_run: bool,
    /// Start what does not fit into memory all the same
    #[arg(long)]
    pub ignore_memory: bool,
    /// Measure the bandwidth and arithmetic that this device could reach, to hold speeds against: off, run
    /// (once at the beginning), cells (before each invocation as well) [default: as the suite says]
    #[arg(long, value_name = "WORD")]
    pub probe: Option<ProbeWhen>,
    /// Folder for synthetic model files [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    #[command(flatten)]
    pub files: catalogue_files::ModelFiles,
    /// devices.toml to read
    #[arg(long, value_name = "FILE")]
    pub devices: Option<PathBuf>,
    /// While another run measures on this machine: wait, or refuse
    #[arg(long, value_name = "WORD", default_value = "wait", value_parser = ["wait", "refuse"])]
    pub when_busy: String,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub rest: Rest,
}

/// Heat, power and disturbance.
#[derive(Debug, Args)]
#[command(next_help_heading = "Heat, power, disturbance")]
pub struct Rest {
    /// Do not wait for the machine to cool down
    #[arg(long)]
    pub no_gate: bool,
    /// Refuse to measure on a machine that does not come to rest, instead of marking it
    #[arg(long, conflicts_with = "no_gate")]
    pub strict: bool,
    /// Make a disturbed or throttled invocation again, up to so many times
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = between::<0, 100>,
        allow_negative_numbers = true)]
    pub repeat_disturbed: u32,
    /// An external power meter: csv:FILE (time, watts) or 'cmd:COMMAND' (a line of watts each time)
    #[arg(long, value_name = "METER")]
    pub power_source: Option<String>,
    /// Temperature of the room in °C, for the device's thermal resistance
    #[arg(long, value_name = "C", value_parser = number, allow_negative_numbers = true)]
    pub ambient_c: Option<f64>,
    /// Milliseconds between two readings of a sensor, for devices that are simulated
    #[arg(long, value_name = "MS", hide = true, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    sensor_ms: u64,
}

impl Rest {
    /// How often sensors are read: power ten times as often as the rest.
    pub fn rates(&self) -> Rates {
        let base = Duration::from_millis(self.sensor_ms);
        Rates { base, power: base / 10 }
    }

    /// The room's temperature, if it can be one.
    pub fn ambient(&self) -> Result<Option<Celsius>, Failure> {
        let wrong = |c: &f64| !(-60.0..=80.0).contains(c);
        match self.ambient_c.filter(wrong) {
            Some(c) => Err(format!("--ambient-c {c}: expected -60 to 80")).or_usage(),
            None => Ok(self.ambient_c.map(Celsius)),
        }
    }

    /// The external meter, understood.
    pub fn meter(&self) -> Result<Option<PowerSource>, Failure> {
        self.power_source.as_deref().map(|text| PowerSource::parse(text).or_usage()).transpose()
    }

    /// Refuses what cannot be, before anybody waits for anything.
    pub fn check(&self) -> Result<(), Failure> {
        self.ambient()?;
        self.meter()?.map_or(Ok(()), |meter| meter.check()).or_usage()
    }
}
