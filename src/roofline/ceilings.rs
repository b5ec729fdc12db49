//! What the device could do with a number of threads, as far as a language model asks for it.

use std::collections::BTreeMap;

use super::work::Work;
use crate::ggml::GgmlType;
use crate::probe::{Number, Probe};

/// Ceilings for a number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceilings {
    /// Threads.
    pub n_threads: u32,
    /// Bytes read from memory in a second.
    pub read_bytes_per_s: f64,
    /// Bytes read in a second from the last cache that is a core's own; absent where it was not
    /// measured.
    pub cache_bytes_per_s: Option<f64>,
    /// Operations in a second, by the kind of number.
    pub ops_per_s: BTreeMap<Number, f64>,
}

/// What binds a call: the ceiling that it meets first, or in a prediction what takes most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    /// Reading weights and cache.
    Memory,
    /// Multiplying.
    Compute,
    /// Threads that wait for each other between the steps of the graph: no ceiling, so only a
    /// prediction says so.
    Overhead,
}

impl Binds {
    /// As in tables.
    pub fn word(self) -> &'static str {
        match self {
            Binds::Memory => "memory",
            Binds::Compute => "compute",
            Binds::Overhead => "overhead",
        }
    }
}

/// The kind of number in which weights of type `ty` are multiplied: those of quantised types are
/// multiplied as bytes, whatever they are packed in.
pub fn number_of(ty: GgmlType) -> Number {
    match ty {
        GgmlType::F32 => Number::F32,
        GgmlType::F16 => Number::F16,
        GgmlType::BF16 => Number::Bf16,
        _ => Number::Int8,
    }
}

impl Ceilings {
    /// Those that `probe` found for `n_threads`; `None` where it did not measure memory with so many.
    pub fn of(probe: &Probe, n_threads: u32) -> Option<Ceilings> {
        let own = probe.caches.iter().rev().find(|reading| reading.cache.n_cpus <= 1);
        let cache = own.and_then(|own| own.reading.iter().find(|set| set.n_threads == n_threads));
        let peak = |number| Some((number, probe.ops_per_s(number, n_threads)?));
        Some(Ceilings {
            n_threads,
            read_bytes_per_s: probe.read_bytes_per_s(n_threads).filter(|rate| *rate > 0.0)?,
            cache_bytes_per_s: cache.map(|set| set.bytes_per_s.best),
            ops_per_s: Number::ALL.into_iter().filter_map(peak).collect(),
        })
    }

    /// Operations in a second with weights of type `ty`; where its kind of number has no peak, that of
    /// single precision, into which it is then converted.
    pub fn ops_per_s_of(&self, ty: GgmlType) -> Option<f64> {
        let of = |number| self.ops_per_s.get(&number).copied().filter(|rate| *rate > 0.0);
        of(number_of(ty)).or_else(|| of(Number::F32))
    }

    /// Seconds that reading takes at the least.
    pub fn read_s(&self, work: &Work) -> f64 {
        work.bytes() as f64 / self.read_bytes_per_s
    }

    /// Seconds that multiplying takes at the least: products with weights in the weights' kind of
    /// number, attention in single precision. `None` where a peak is missing.
    pub fn compute_s(&self, work: &Work) -> Option<f64> {
        let matmul = work
            .matmul_ops
            .iter()
            .try_fold(0.0, |sum, (ty, ops)| Some(sum + *ops as f64 / self.ops_per_s_of(*ty)?))?;
        Some(matmul + work.attention_ops as f64 / self.ops_per_s_of(GgmlType::F32)?)
    }

    /// Seconds that a call takes at the least, and what binds it.
    pub fn least_s(&self, work: &Work) -> Option<(f64, Binds)> {
        let (read, compute) = (self.read_s(work), self.compute_s(work)?);
        Some(if read >= compute { (read, Binds::Memory) } else { (compute, Binds::Compute) })
    }
}
