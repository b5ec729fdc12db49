//! From what a phase has to do to the time it takes, with what that time is spent on.
//!
//! Every term is a roofline of its own: bytes ÷ (share of the bandwidth), operations ÷ (share of the
//! peak). Products with weights of a type take longer than the slower of their two terms, for reading
//! and multiplying overlap only in part; then come attention, what is touched between the products,
//! and for each step of the graph the time until all threads are through.

use std::collections::BTreeSet;

use super::ceilings::{Binds, Ceilings};
use super::coefficients::{Coefficients, Known, class_of};
use super::task::{Phase, Product, Task};
use crate::ggml::GgmlType;
use crate::probe::{Probe, Unit};

/// A device as far as predictions need it, with a number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// What it could do by vectors.
    pub ceilings: Ceilings,
    /// Seconds until a piece of work that is none has been handed out and all threads are through.
    pub fork_join_s: f64,
    /// Its class.
    pub class: String,
}

impl Machine {
    /// The machine that `probe` measured, with `n_threads`; `None` where that many were not measured
    /// or a peak is missing. `class` where it is known better than the probe can tell.
    pub fn of(probe: &Probe, n_threads: u32, class: Option<&str>) -> Option<Machine> {
        let mut ceilings = Ceilings::of(probe, n_threads)?;
        for (number, rate) in &mut ceilings.ops_per_s {
            // Coefficients are shares of what vectors reach.
            *rate = probe.ops_per_s_on(Unit::Vectors, *number, n_threads).unwrap_or(0.0);
        }
        ceilings.ops_per_s_of(GgmlType::F32)?;
        let fork_join = probe.fork_join.iter().find(|one| one.n_threads == n_threads);
        Some(Machine {
            ceilings,
            fork_join_s: fork_join.map_or(0.0, |one| one.latency_ns.best / 1e9),
            class: class.map_or_else(|| class_of(probe), str::to_owned),
        })
    }
}

/// How a time is spent, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// Reading weights and cache.
    pub memory_s: f64,
    /// Products, attention, and what is touched between them.
    pub compute_s: f64,
    /// Threads that wait for each other.
    pub overhead_s: f64,
}

impl Parts {
    /// All of it.
    pub fn total_s(&self) -> f64 {
        self.memory_s + self.compute_s + self.overhead_s
    }

    /// What takes most of the time, and its share.
    pub fn binds(&self) -> (Binds, f64) {
        let parts = [
            (Binds::Memory, self.memory_s),
            (Binds::Compute, self.compute_s),
            (Binds::Overhead, self.overhead_s),
        ];
        let (binds, most) =
            parts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(parts[0]);
        (binds, most / self.total_s())
    }
}

/// A time that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Of which phase.
    pub phase: Phase,
    /// Tokens in that time: those of the prompt, or one.
    pub n_tokens: u32,
    /// How it is spent.
    pub parts: Parts,
    /// The two ends of the interval in which four of five cells lie, seconds.
    pub interval_s: (f64, f64),
    /// Whether anything like it was measured on such a machine.
    pub was_measured: bool,
}

impl Prediction {
    /// The time that `task` takes on `machine`, of a model of architecture `arch`.
    pub fn new(task: &Task, arch: &str, machine: &Machine, known: &Known) -> Prediction {
        let parts = parts(task, machine, known.coefficients);
        let types: BTreeSet<GgmlType> = task.products.keys().copied().collect();
        let (low, high) = known.interval(task.phase, arch, &types);
        let time = parts.total_s();
        Prediction {
            phase: task.phase,
            n_tokens: task.n_tokens,
            parts,
            interval_s: (time * low, time * high),
            was_measured: known.fit.is_some(),
        }
    }

    /// Seconds.
    pub fn time_s(&self) -> f64 {
        self.parts.total_s()
    }

    /// Tokens in a second.
    pub fn tok_per_s(&self) -> f64 {
        f64::from(self.n_tokens) / self.time_s()
    }

    /// The same at both ends of the interval, the slower first.
    pub fn tok_per_s_interval(&self) -> (f64, f64) {
        let n = f64::from(self.n_tokens);
        (n / self.interval_s.1, n / self.interval_s.0)
    }
}

/// How much reading and multiplying overlap: they take (readᵖ + multiplyᵖ)^(1/p), the sum of both
/// with 1, the longer of both with much more.
pub const OVERLAP: f64 = 2.0;

/// How the time of `task` is spent.
pub fn parts(task: &Task, machine: &Machine, coefficients: &Coefficients) -> Parts {
    let of = coefficients.phase(task.phase);
    let bytes_per_s = machine.ceilings.read_bytes_per_s * coefficients.memory;
    let peak = |ty| machine.ceilings.ops_per_s_of(ty).unwrap_or(f64::NAN);
    let mut parts = Parts::default();
    let mut add = |read_s: f64, compute_s: f64| {
        let (read, compute) = (read_s.powf(OVERLAP), compute_s.powf(OVERLAP));
        let both = read + compute;
        if both > 0.0 {
            let time_s = both.powf(1.0 / OVERLAP);
            parts.memory_s += time_s * read / both;
            parts.compute_s += time_s * compute / both;
        }
    };
    for (ty, Product { bytes, ops }) in &task.products {
        let mut compute_s = ops / (peak(*ty) * of.weights(*ty));
        if task.phase == Phase::Prefill {
            // Each micro-batch unpacks every weight once, as a single token does.
            let once = 2.0 * bytes * 8.0 / ty.bits_per_element();
            compute_s += once / (peak(*ty) * coefficients.decode.weights(*ty));
        }
        add(bytes / bytes_per_s, compute_s);
    }
    let single = peak(GgmlType::F32);
    let attention = of.attention(task.flash_attn, task.quantised_cache);
    add(task.kv_bytes / bytes_per_s, task.attention_ops / (single * attention));
    parts.compute_s += task.n_touched / (single * coefficients.touched);
    parts.overhead_s = task.n_steps * (machine.fork_join_s + coefficients.step_us / 1e6);
    parts
}
