//! What the machine says of itself: facts that do not change in a run, memory, foreign load,
//! temperature and clocks. Runs in the parent, so that the child stays undisturbed.
//!
//! Linux keeps all of it in files. Every reader takes a [`Root`], so that a folder can stand for
//! a machine. What cannot be read is absent, never zero.

mod cpus;
mod gpu;
mod heat;
mod host;
mod load;
mod memory;
mod process;
mod root;

pub use cpus::{allowed_cpus, auto_threads, cpus_named, physical_cores};
pub use gpu::GpuMemory;
pub use heat::{Heat, heat};
pub use host::{HostFacts, host_facts};
pub use load::{ForeignLoad, LoadCounters, foreign_load};
pub use memory::{memory_available, oom_kills};
pub use process::{
    MemoryRollup, PageFaults, ProcessMemory, Resident, Statm, memory_rollup, page_faults,
    process_memory, reset_peak,
};
pub use root::Root;
