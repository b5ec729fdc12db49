//! What the machine says of itself: facts that do not change in a run, memory, foreign load,
//! temperature and clocks. Runs in the parent, so that the child stays undisturbed.
//!
//! Linux keeps all of it in files. Every reader takes a [`Root`], so that a folder can stand for
//! a machine. What cannot be read is absent, never zero.

mod channel;
mod cpus;
mod discover;
mod fitness;
#[doc(hidden)]
pub mod fixture;
mod groups;
mod held_back;
mod host;
mod load;
mod look;
mod memory;
mod meter;
mod nvml;
mod probe;
mod process;
mod root;
mod sampler;
mod series;
mod source;

#[cfg(test)]
mod machines;

pub use channel::{Cause, Channel, ChannelKind, Missing, Quality, Scope, Series};
pub use cpus::{allowed_cpus, auto_threads, cpus_named, physical_cores};
pub use discover::{TripPoint, discover, trip_points};
pub use fitness::{Finding, Fitness, Grade, Moment, Overall, fitness, power_mode};
pub use held_back::{HeldBack, causes_around, held_back};
pub use host::{HostFacts, host_facts};
pub use load::{ForeignLoad, LoadCounters, foreign_load};
pub use look::{Seen, look_twice};
pub use memory::{memory_available, oom_kills};
pub use meter::{MeterError, PowerMeter, PowerSource};
pub use nvml::{GpuMemory, gpu_names, nvml_sources};
pub use process::{
    MemoryRollup, PageFaults, ProcessMemory, Resident, Statm, memory_rollup, page_faults,
    process_memory, reset_peak,
};
pub use root::Root;
pub use sampler::{Rates, Sampler, SensorLog};
pub use source::{Discovered, Reader, Source};
