//! Predicted, allocated and measured memory brought together: what of the peak belongs to what.
//!
//! The kernel counts pages and does not say which buffer a page belongs to. What of a buffer is
//! resident is therefore inferred, by the few rules below; whatever they do not explain is shown
//! as unaccounted. `docs/methods.md` tells them to people.

use super::MemoryBudget;

/// Unaccounted memory above this share of the peak is worth a mark ...
const NOTABLE_SHARE: f64 = 0.05;
/// ... when it is also more than this.
const NOTABLE_BYTES: u64 = 10 << 20;

/// A kind of memory that an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights, in memory of the engine's own or a mapping of the file.
    Weights,
    /// Weights held a second time.
    WeightCopies,
    /// The KV cache.
    Kv,
    /// What the graph needs beside weights and cache.
    Compute,
    /// Logits and other results kept for the caller.
    Output,
    /// The heap beside these buffers: the tokenizer, the lists of tensors.
    Heap,
}

impl Kind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Kind; 6] =
        [Kind::Weights, Kind::WeightCopies, Kind::Kv, Kind::Compute, Kind::Output, Kind::Heap];

    /// Whether engines tell how much of it they took: of the heap nobody does.
    pub fn is_counted_by_engines(self) -> bool {
        self != Kind::Heap
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Weights => "weights",
            Kind::WeightCopies => "copies of weights",
            Kind::Kv => "KV cache",
            Kind::Compute => "compute",
            Kind::Output => "output",
            Kind::Heap => "heap",
        }
    }

    /// As part of a column's name.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Weights => "weight",
            Kind::WeightCopies => "weight_copy",
            Kind::Kv => "kv",
            Kind::Compute => "compute",
            Kind::Output => "output",
            Kind::Heap => "heap",
        }
    }
}

/// Bytes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKind {
    /// Weights, in memory of the engine's own or a mapping of the file.
    pub weights: u64,
    /// Weights held a second time.
    pub weight_copies: u64,
    /// The KV cache.
    pub kv: u64,
    /// What the graph needs beside weights and cache.
    pub compute: u64,
    /// Logits and other results kept for the caller.
    pub output: u64,
    /// The heap beside these buffers.
    pub heap: u64,
}

impl ByKind {
    /// Bytes of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Weights => self.weights,
            Kind::WeightCopies => self.weight_copies,
            Kind::Kv => self.kv,
            Kind::Compute => self.compute,
            Kind::Output => self.output,
            Kind::Heap => self.heap,
        }
    }

    /// Bytes of all kinds.
    pub fn total(&self) -> u64 {
        Kind::ALL.iter().fold(0, |sum, &kind| sum.saturating_add(self.of(kind)))
    }
}

impl From<&MemoryBudget> for ByKind {
    fn from(budget: &MemoryBudget) -> ByKind {
        ByKind {
            weights: budget.weight_bytes,
            weight_copies: budget.weight_copy_bytes,
            kv: budget.kv_bytes,
            compute: budget.compute_bytes,
            output: budget.output_bytes,
            heap: budget.heap_bytes,
        }
    }
}

/// What an engine writes of its buffers before anything is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// All of the compute buffer; of the KV cache nothing. The built-in engine.
    ComputeFirst,
    /// All of the KV cache; of the compute buffer nothing. llama.cpp.
    CacheFirst,
}

/// How much of its buffers a cell uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that the KV cache holds at most.
    pub n_tokens: u64,
    /// Tokens that it has room for.
    pub n_ctx: u64,
    /// Tokens computed at once at most.
    pub n_fed: u64,
    /// Physical batch: tokens for which there is room in the compute buffer.
    pub n_ubatch: u64,
    /// What the engine writes at once.
    pub habit: Habit,
}

impl Usage {
    /// What of the reserved memory a cell is expected never to touch.
    pub fn untouched_bytes(&self, budget: &MemoryBudget) -> u64 {
        match self.habit {
            Habit::ComputeFirst => budget.kv_bytes - self.written_kv(budget.kv_bytes),
            Habit::CacheFirst => self.unwritten_compute(budget.compute_bytes, budget.output_bytes),
        }
    }

    /// As many tokens as are written.
    fn written_kv(&self, kv: u64) -> u64 {
        share(kv, self.n_tokens, self.n_ctx)
    }

    /// Of each tensor as many tokens as are computed at once are written, and of the logits one
    /// token: the output holds one row of them.
    fn unwritten_compute(&self, compute: u64, output: u64) -> u64 {
        let logits = output.saturating_mul(self.n_ubatch).min(compute);
        let one_row = logits.min(output);
        (logits - one_row) + (compute - logits) - share(compute - logits, self.n_fed, self.n_ubatch)
    }
}

/// `bytes` × `part` ÷ `whole`; all of it where the part is no smaller, or the whole is unknown.
fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    match whole {
        0 => bytes,
        _ => (u128::from(bytes) * u128::from(part.min(whole)) / u128::from(whole)) as u64,
    }
}

/// What is known of one invocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// From the shape.
    pub predicted: Option<MemoryBudget>,
    /// What the engine says it took; weights include those mapped.
    pub allocated: ByKind,
    /// Of the weights: a mapping of the file.
    pub mapped_bytes: u64,
    /// Pages of files that became resident after the model was opened; `None` when nobody looked.
    pub file_growth_bytes: Option<u64>,
    /// Anonymous memory on huge pages; `None` when the kernel does not tell.
    pub huge_bytes: Option<u64>,
    /// How the buffers were used.
    pub usage: Usage,
    /// Resident before the model was opened.
    pub process_bytes: u64,
    /// The largest resident set.
    pub peak_bytes: u64,
}

/// Where the memory of one invocation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// From the shape, before anything ran.
    pub predicted: Option<ByKind>,
    /// What the engine says it took.
    pub allocated: ByKind,
    /// What of it was touched, as far as it can be told; never more than was taken.
    pub resident: ByKind,
    /// The process before the model was opened.
    pub process_bytes: u64,
    /// The largest resident set.
    pub peak_bytes: u64,
}

impl Reconciled {
    /// Reserved and never touched: allocated − resident.
    pub fn untouched(&self) -> ByKind {
        let (a, r) = (&self.allocated, &self.resident);
        ByKind {
            weights: a.weights - r.weights,
            weight_copies: a.weight_copies - r.weight_copies,
            kv: a.kv - r.kv,
            compute: a.compute - r.compute,
            output: a.output - r.output,
            heap: a.heap - r.heap,
        }
    }

    /// Peak − (process + resident of all kinds). Below zero where less was resident than the
    /// rules expect.
    pub fn unaccounted_bytes(&self) -> i64 {
        let accounted = i128::from(self.process_bytes) + i128::from(self.resident.total());
        let rest = i128::from(self.peak_bytes) - accounted;
        rest.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Whether what is unaccounted is worth a mark, in either direction: more than 5 % of the peak
    /// and more than 10 MiB.
    pub fn is_notable(&self) -> bool {
        let rest = self.unaccounted_bytes().unsigned_abs();
        rest > NOTABLE_BYTES && rest as f64 > NOTABLE_SHARE * self.peak_bytes as f64
    }
}

/// Says of each kind what of it is resident at the peak.
pub fn reconcile(seen: &Observed) -> Reconciled {
    let allocated = seen.allocated;
    // Weights and their copies are all read in every pass. Of a mapping the kernel counts pages.
    let mapped = seen.mapped_bytes.min(allocated.weights);
    let own = allocated.weights - mapped;
    let mapped_resident = seen.file_growth_bytes.map_or(mapped, |growth| growth.min(mapped));
    let (kv, compute) = match seen.usage.habit {
        Habit::ComputeFirst => (kv_on_demand(seen, own), allocated.compute),
        Habit::CacheFirst => {
            // The prediction knows the shape, and with it what lies where the logits would.
            let foretold = seen.predicted.map(|p| p.untouched_bytes).filter(|&bytes| bytes > 0);
            let unwritten = foretold.unwrap_or_else(|| {
                seen.usage.unwritten_compute(allocated.compute, allocated.output)
            });
            (allocated.kv, allocated.compute - unwritten.min(allocated.compute))
        }
    };
    Reconciled {
        predicted: seen.predicted.as_ref().map(ByKind::from),
        allocated,
        resident: ByKind {
            weights: own + mapped_resident,
            weight_copies: allocated.weight_copies,
            kv,
            compute,
            output: allocated.output,
            heap: allocated.heap,
        },
        process_bytes: seen.process_bytes,
        peak_bytes: seen.peak_bytes,
    }
}

/// As many tokens as were written; whole huge pages where the system granted more of them than
/// the weights `own` fill.
fn kv_on_demand(seen: &Observed, own: u64) -> u64 {
    let kv = seen.allocated.kv;
    let written = seen.usage.written_kv(kv);
    let on_huge_pages = seen.huge_bytes.unwrap_or(0).saturating_sub(own).min(kv);
    written.max(on_huge_pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    /// 100 MiB of weights, a quarter of the cache filled, a process of 8 MiB.
    fn seen() -> Observed {
        Observed {
            predicted: None,
            allocated: ByKind {
                weights: 100 * MIB,
                weight_copies: 0,
                kv: 40 * MIB,
                compute: 60 * MIB,
                output: MIB / 8,
                heap: 0,
            },
            mapped_bytes: 0,
            file_growth_bytes: Some(0),
            huge_bytes: Some(0),
            usage: Usage {
                n_tokens: 512,
                n_ctx: 2048,
                n_fed: 256,
                n_ubatch: 256,
                habit: Habit::ComputeFirst,
            },
            process_bytes: 8 * MIB,
            peak_bytes: 180 * MIB,
        }
    }

    #[test]
    fn of_a_cache_taken_on_demand_as_many_tokens_are_resident_as_were_written() {
        let r = reconcile(&seen());
        assert_eq!((r.resident.kv, r.untouched().kv), (10 * MIB, 30 * MIB));
        assert_eq!(r.resident.compute, 60 * MIB);
        assert_eq!(r.unaccounted_bytes(), 2 * MIB as i64 - (MIB / 8) as i64);
        assert!(!r.is_notable());
    }

    #[test]
    fn huge_pages_that_the_weights_leave_hold_more_of_the_cache() {
        let huge = |mib: u64| reconcile(&Observed { huge_bytes: Some(mib * MIB), ..seen() });
        assert_eq!(huge(100).resident.kv, 10 * MIB);
        assert_eq!(huge(124).resident.kv, 24 * MIB);
        assert_eq!(huge(500).resident.kv, 40 * MIB);
    }

    #[test]
    fn of_llama_cpps_compute_buffer_the_tokens_computed_and_one_row_of_logits_are_written() {
        let fed = |n_fed| {
            let usage = Usage { habit: Habit::CacheFirst, n_fed, ..seen().usage };
            reconcile(&Observed { usage, ..seen() })
        };
        assert_eq!(fed(256).resident.kv, 40 * MIB);
        // 32 MiB of logits and 28 MiB of other things.
        assert_eq!(fed(256).resident.compute, 28 * MIB + MIB / 8);
        assert_eq!(fed(64).resident.compute, 7 * MIB + MIB / 8);
    }

    #[test]
    fn what_the_prediction_knows_of_llama_cpps_compute_buffer_goes_first() {
        let usage = Usage { habit: Habit::CacheFirst, ..seen().usage };
        let budget = MemoryBudget { untouched_bytes: 20 * MIB, ..MemoryBudget::default() };
        let r = reconcile(&Observed { predicted: Some(budget), usage, ..seen() });
        assert_eq!(r.untouched().compute, 20 * MIB);
    }

    #[test]
    fn what_will_stay_untouched_is_foretold_by_the_same_rules() {
        let budget = MemoryBudget {
            kv_bytes: 40 * MIB,
            compute_bytes: 60 * MIB,
            output_bytes: MIB / 8,
            ..MemoryBudget::default()
        };
        for habit in [Habit::ComputeFirst, Habit::CacheFirst] {
            let usage = Usage { habit, n_fed: 64, ..seen().usage };
            let found = reconcile(&Observed { usage, ..seen() });
            assert_eq!(usage.untouched_bytes(&budget), found.untouched().total());
        }
    }

    #[test]
    fn of_a_mapped_file_the_pages_that_the_kernel_counts_are_resident() {
        let mapped = Observed { mapped_bytes: 70 * MIB, ..seen() };
        let at = |growth| Observed { file_growth_bytes: growth, ..mapped };
        assert_eq!(reconcile(&at(Some(50 * MIB))).resident.weights, 80 * MIB);
        assert_eq!(reconcile(&at(Some(90 * MIB))).resident.weights, 100 * MIB);
        assert_eq!(reconcile(&at(None)).resident.weights, 100 * MIB);
    }

    #[test]
    fn too_little_is_marked_as_too_much_is() {
        let at = |peak_mib| reconcile(&Observed { peak_bytes: peak_mib * MIB, ..seen() });
        assert_eq!(
            [150, 170, 180, 186, 200].map(|mib| at(mib).is_notable()),
            [true, false, false, false, true]
        );
    }

    fn budget() -> impl Strategy<Value = ByKind> {
        let bytes = || 0..1u64 << 40;
        (bytes(), bytes(), bytes(), bytes(), bytes(), bytes()).prop_map(
            |(weights, weight_copies, kv, compute, output, heap)| ByKind {
                weights,
                weight_copies,
                kv,
                compute,
                output,
                heap,
            },
        )
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_peak_and_nothing_is_resident_that_was_not_taken(
            allocated in budget(),
            mapped_bytes in 0..1u64 << 41,
            file_growth_bytes in proptest::option::of(0..1u64 << 41),
            huge_bytes in proptest::option::of(0..1u64 << 41),
            (n_tokens, n_ctx) in (0..1u64 << 32, 0..1u64 << 32),
            (n_fed, n_ubatch) in (0..1u64 << 32, 0..1u64 << 32),
            habit in prop_oneof![Just(Habit::ComputeFirst), Just(Habit::CacheFirst)],
            (process_bytes, peak_bytes) in (0..1u64 << 41, 0..1u64 << 41),
        ) {
            let usage = Usage { n_tokens, n_ctx, n_fed, n_ubatch, habit };
            let r = reconcile(&Observed {
                predicted: None, allocated, mapped_bytes, file_growth_bytes, huge_bytes, usage,
                process_bytes, peak_bytes,
            });
            for kind in Kind::ALL {
                prop_assert!(r.resident.of(kind) <= allocated.of(kind));
                let sum = r.resident.of(kind) + r.untouched().of(kind);
                prop_assert_eq!(sum, allocated.of(kind));
            }
            let parts = (r.process_bytes + r.resident.total()) as i64 + r.unaccounted_bytes();
            prop_assert_eq!(parts, peak_bytes as i64);
        }
    }
}
