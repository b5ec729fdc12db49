//! What a machine can be asked for while something runs: channels, each with its unit, where it is
//! read and what it is worth.
//!
//! A channel that is not there is absent with a reason, never zero.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that can be read again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// Its name in records: `hwmon/k10temp/Tctl`, `thermal/cpu-thermal`, `cpufreq/policy0`,
    /// `rapl/package-0`. Built from names, never from the kernel's numbers, which change from one
    /// start to the next.
    pub id: String,
    /// What is read.
    pub kind: ChannelKind,
    /// Where: a path without its root, a command, `NVML`.
    pub source: String,
    /// What a power or an energy covers; of other kinds, what the channel is about.
    pub scope: Scope,
    /// How the number comes about.
    pub quality: Quality,
    /// Of flags, counters and cooling states: what holds the machine back when it rises.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// Whether it tells of what computes: processor, GPU, chip, case. A disk's temperature is shown
    /// and nobody waits for it.
    pub relevant: bool,
}

impl Channel {
    /// The unit of its values; nothing for states and flags.
    pub fn unit(&self) -> &'static str {
        // The control of a fan is a cooling device, whose state is no speed.
        let is_state = self.kind == ChannelKind::Fan && self.id.starts_with("cooling/");
        if is_state { "" } else { self.kind.unit() }
    }
}

/// What a channel reads, and with it its unit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Degrees Celsius.
    Temperature,
    /// Hertz.
    Clock,
    /// The highest clock allowed at present, hertz.
    ClockCap,
    /// State of a cooling device that slows something down; 0 is off.
    Cooling,
    /// 1 while something holds the machine back, 0 otherwise.
    Flag,
    /// Times that something held it back, since an unknown beginning.
    Count,
    /// Seconds in which something held it back, since an unknown beginning.
    HeldBack,
    /// Watts.
    Power,
    /// Joules since an unknown beginning.
    Energy,
    /// Revolutions of a fan per minute, or the state of its control.
    Fan,
    /// Share of the time in use, 0 to 1.
    Use,
    /// Bytes in use.
    Memory,
    /// Charge of a battery, 0 to 1.
    Charge,
    /// Seconds that tasks waited, since an unknown beginning.
    Waited,
}

impl ChannelKind {
    /// The unit of its values; nothing for states and flags.
    pub fn unit(self) -> &'static str {
        match self {
            ChannelKind::Temperature => "°C",
            ChannelKind::Clock | ChannelKind::ClockCap => "Hz",
            ChannelKind::Cooling | ChannelKind::Flag | ChannelKind::Count => "",
            ChannelKind::HeldBack | ChannelKind::Waited => "s",
            ChannelKind::Power => "W",
            ChannelKind::Energy => "J",
            ChannelKind::Fan => "rpm",
            ChannelKind::Use | ChannelKind::Charge => "",
            ChannelKind::Memory => "B",
        }
    }

    /// Whether its value only grows, so that differences count.
    pub fn is_counter(self) -> bool {
        matches!(
            self,
            ChannelKind::Count | ChannelKind::HeldBack | ChannelKind::Energy | ChannelKind::Waited
        )
    }
}

/// What a power or an energy covers. Numbers of different scopes are never added or compared
/// without saying so.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A chip, or a part of one: a CPU package, its cores, a GPU's chip.
    Package,
    /// One of several supply lines on a board.
    Rail,
    /// A whole board: a single-board computer, a graphics card.
    Board,
    /// What a battery gives.
    Battery,
    /// What is drawn from the wall, by an external meter.
    Wall,
    /// The machine as a whole, for what is neither power nor energy.
    Machine,
}

impl Scope {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Package => "package",
            Scope::Rail => "rail",
            Scope::Board => "board",
            Scope::Battery => "battery",
            Scope::Wall => "wall",
            Scope::Machine => "machine",
        }
    }
}

/// How a number comes about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Counted by the hardware or the kernel: differences are exact.
    Counter,
    /// As it is at the moment of reading.
    Instant,
    /// An average over a time that the hardware chooses.
    Averaged,
    /// Computed from something else, by a rule that may be off.
    Estimate,
}

impl Quality {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Counter => "counter",
            Quality::Instant => "instant",
            Quality::Averaged => "averaged",
            Quality::Estimate => "estimate",
        }
    }
}

/// What holds a machine back.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Heat.
    Thermal,
    /// A limit on power.
    PowerCap,
    /// The supply's voltage fell.
    UnderVoltage,
    /// Too much current was drawn.
    OverCurrent,
    /// The battery cannot give more.
    Battery,
    /// The system chose to: a governor, a power mode, a quota.
    Policy,
}

impl Cause {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Thermal => "heat",
            Cause::PowerCap => "power limit",
            Cause::UnderVoltage => "under-voltage",
            Cause::OverCurrent => "over-current",
            Cause::Battery => "battery",
            Cause::Policy => "a limit set by the system",
        }
    }
}

/// Why a channel, or one reading of it, is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// The channel, or what it would have been.
    pub id: String,
    /// Why, in words: `only root may read it`, `the zone is not powered`.
    pub reason: String,
    /// A command that would make it readable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

/// A channel with everything that was read of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The channel.
    pub channel: Channel,
    /// Moments on the machine's monotonic clock, nanoseconds, rising.
    pub at_ns: Vec<u64>,
    /// What was read at each of them, in the unit of its kind.
    pub values: Vec<f64>,
    /// How often it was read, where readings that do not change were left out.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub n_readings: u32,
    /// How often it could not be read.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub n_failed: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
