//! What a probe tells: figures, and why others are absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caches::Cache;
use super::loops::{Number, Unit};
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
    /// Multiplying and adding: by number, of each the fastest unit first.
    pub peaks: Vec<Peak>,
    /// Handing a piece of work to threads that wait for it, and waiting until all are done.
    pub fork_join: Vec<ForkJoin>,
    /// What was not measured.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub absent: Vec<Absent>,
}

/// A share of the processors that is more than the kernel itself needs: ceilings may be too low.
fn notable(share: Option<f64>) -> Option<f64> {
    share.filter(|share| *share >= 0.02)
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
    /// By what; on a machine with tiles there is a peak of vectors beside theirs.
    #[serde(default)]
    pub unit: Unit,
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
    /// What other processes used of the processors meanwhile, where it is worth a word.
    pub fn notable_foreign_share(&self) -> Option<f64> {
        notable(self.foreign_cpu_share)
    }

    /// What the hypervisor took of them meanwhile, where it is worth a word.
    pub fn notable_steal_share(&self) -> Option<f64> {
        notable(self.steal_share)
    }

    /// Bytes that `n_threads` can read from memory in a second, on whichever pages that is faster.
    pub fn read_bytes_per_s(&self, n_threads: u32) -> Option<f64> {
        let readings = self.memory.iter().filter(|reading| reading.n_threads == n_threads);
        readings.map(|reading| reading.bytes_per_s.best).max_by(f64::total_cmp)
    }

    /// Operations on numbers of a kind that `n_threads` can do in a second, on whichever unit is faster.
    pub fn ops_per_s(&self, number: Number, n_threads: u32) -> Option<f64> {
        let units = Unit::ALL.into_iter();
        units.filter_map(|unit| self.ops_per_s_on(unit, number, n_threads)).max_by(f64::total_cmp)
    }

    /// The same on one unit: what a program can reach that does not use the others.
    pub fn ops_per_s_on(&self, unit: Unit, number: Number, n_threads: u32) -> Option<f64> {
        let of =
            |peak: &&Peak| (peak.unit, peak.number, peak.n_threads) == (unit, number, n_threads);
        self.peaks.iter().find(of).map(|peak| peak.ops_per_s.best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe of an int8 peak on each of these units.
    fn probe(peaks: &[(Unit, f64)]) -> Probe {
        let peak = |&(unit, best): &(Unit, f64)| Peak {
            number: Number::Int8,
            unit,
            instructions: "some".to_owned(),
            n_threads: 2,
            ops_per_s: Spread { best, median: best, q25: best, q75: best, n: 1 },
        };
        Probe {
            cpus: Vec::new(),
            quick: true,
            took_ns: 1,
            foreign_cpu_share: None,
            steal_share: None,
            read_with: "plain".to_owned(),
            page_bytes: 4096,
            memory: vec![],
            caches: vec![],
            peaks: peaks.iter().map(peak).collect(),
            fork_join: vec![],
            absent: vec![],
        }
    }

    #[test]
    fn a_peak_is_that_of_the_faster_unit_and_each_unit_has_its_own() {
        let both = probe(&[(Unit::Tiles, 2e12), (Unit::Vectors, 3e11)]);
        assert_eq!(both.ops_per_s(Number::Int8, 2), Some(2e12));
        assert_eq!(both.ops_per_s_on(Unit::Tiles, Number::Int8, 2), Some(2e12));
        assert_eq!(both.ops_per_s_on(Unit::Vectors, Number::Int8, 2), Some(3e11));
        assert_eq!((both.ops_per_s(Number::Int8, 1), both.ops_per_s(Number::F16, 2)), (None, None));
        let vectors = probe(&[(Unit::Vectors, 3e11)]);
        assert_eq!(vectors.ops_per_s(Number::Int8, 2), Some(3e11));
        assert_eq!(vectors.ops_per_s_on(Unit::Tiles, Number::Int8, 2), None);
    }

    #[test]
    fn a_peak_from_before_there_were_tiles_is_one_of_vectors() {
        let mut told = serde_json::to_value(probe(&[(Unit::Tiles, 1.0)])).unwrap();
        told["peaks"][0].as_object_mut().unwrap().remove("unit");
        let read: Probe = serde_json::from_value(told).unwrap();
        assert_eq!(read.peaks[0].unit, Unit::Vectors);
    }
}
