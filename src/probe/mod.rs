//! The device's ceilings: how fast it reads memory and caches, multiplies, and hands out work.
//!
//! Each figure is the best of many short stretches, taken in turns over the whole time of the probe,
//! so that all of them met the same machine. Threads are those of the built-in engine's pool, and
//! huge pages are asked for as it asks for them. Nothing here knows models, cells or records; files
//! are read only to tell what the machine has. Meant for a process of its own: what it takes of
//! memory and caches would disturb others. `docs/probe.md` has the loops.

mod caches;
mod gauge;
mod loops;
mod measure;
mod pages;
mod plan;
mod result;
mod spread;

pub use caches::Cache;
pub use loops::{Number, Unit};
pub use measure::{Extent, MAX_THREADS, ProbeError, Request, measure};
pub use pages::Pages;
pub use result::{Absent, CacheReading, ForkJoin, MemoryReading, Peak, Probe, SetReading};
pub use spread::Spread;
