//! What a probe tells: figures, and why others are absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caches::Cache;
use super::loops::Number;
use super::pages::Pages;
use super::spread::Spread;

/// The ceilings of a device, as measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Whether it was the short form: fewer stretches of the same work.
    pub quick: bool,
    /// What it took.
    pub took_ns: u64,
    /// CPUs that it could use; not told where it could use any.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cpus: Vec<u32>,
    /// Share of the processors that other processes used meanwhile, 0 to 1; whoever had the probe
    /// made knows it, and where it is not small, ceilings of several threads may be too low.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub foreign_cpu_share: Option<f64>,
    /// Share of the processors that the hypervisor took meanwhile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub steal_share: Option<f64>,
    /// What loads in the loops that read: `avx512f`.
    pub read_with: String,
    /// The size of a small page.
    pub page_bytes: u64,
    /// Reading memory that no cache holds.
    pub memory: Vec<MemoryReading>,
    /// Caches, the nearest first, and reading what they hold.
    pub caches: Vec<CacheReading>,
    /// Multiplying and adding.
    pub peaks: Vec<Peak>,
    /// Handing a piece of work to threads that wait for it, and waiting until all are done.
    pub fork_join: Vec<ForkJoin>,
    /// What was not measured.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub absent: Vec<Absent>,
}

/// Reading memory once from its beginning to its end, every thread a part of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryReading {
    /// Pages that were asked for.
    pub pages: Pages,
    /// Threads that read.
    pub n_threads: u32,
    /// How much they read together.
    pub buffer_bytes: u64,
    /// How much of it lies on huge pages; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub huge_bytes: Option<u64>,
    /// Bytes read in a second.
    pub bytes_per_s: Spread,
}

/// A cache, and reading what it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CacheReading {
    /// The cache.
    #[serde(flatten)]
    pub cache: Cache,
    /// By the number of threads.
    pub reading: Vec<SetReading>,
}

/// Reading the same bytes again and again, every thread its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetReading {
    /// Threads that read.
    pub n_threads: u32,
    /// Bytes of each.
    pub set_bytes: u64,
    /// Bytes read in a second by all of them.
    pub bytes_per_s: Spread,
}

/// Multiplying and adding without touching memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peak {
    /// What is multiplied.
    pub number: Number,
    /// With which instructions, the set first.
    pub instructions: String,
    /// Threads that multiply.
    pub n_threads: u32,
    /// Operations in a second, a product and its addition being two.
    pub ops_per_s: Spread,
}

/// What it takes to hand out work that is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForkJoin {
    /// Threads, the one that hands out among them.
    pub n_threads: u32,
    /// Nanoseconds from handing out until all are done.
    pub latency_ns: Spread,
}

/// A figure that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Absent {
    /// Which.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Probe {
    /// Bytes that `n_threads` can read from memory in a second, on whichever pages that is faster.
    pub fn read_bytes_per_s(&self, n_threads: u32) -> Option<f64> {
        let readings = self.memory.iter().filter(|reading| reading.n_threads == n_threads);
        readings.map(|reading| reading.bytes_per_s.best).max_by(f64::total_cmp)
    }

    /// Operations on numbers of a kind that `n_threads` can do in a second.
    pub fn ops_per_s(&self, number: Number, n_threads: u32) -> Option<f64> {
        let of = |peak: &&Peak| peak.number == number && peak.n_threads == n_threads;
        self.peaks.iter().find(of).map(|peak| peak.ops_per_s.best)
    }
}
