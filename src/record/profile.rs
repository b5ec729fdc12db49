//! Where the time went: operations with what they took and did, and one pass stretch by stretch.
//!
//! Taken in passes of its own: passes without and with spans take turns, so that what the spans cost is
//! measured beside what they should cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Op, OpCost, OpSpan};

/// The profile of an invocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// What one reading of the clock takes, nanoseconds, where that is all that spans cost. Absent where
    /// the engine has to take its graph apart for them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stamp_ns: Option<f64>,
    /// The prompt; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefill: Option<PhaseProfile>,
    /// Decode calls; absent without any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decode: Option<PhaseProfile>,
    /// Some calls of the first pass with spans, stretch by stretch.
    pub trace: Trace,
}

/// The profile of one phase, over all passes with spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseProfile {
    /// Time of the phase in each pass without spans.
    pub plain_ns: Vec<u64>,
    /// Time of the phase in each pass with spans, in turns with those.
    pub profiled_ns: Vec<u64>,
    /// Calls of the engine in all passes with spans.
    pub n_calls: u64,
    /// How often the clock was read in all of them, in each piece of work by the thread that read it most.
    pub n_stamps: u64,
    /// What each operation took in all of them. The rest of `profiled_ns` is nobody's.
    pub ops: Vec<OpTotal>,
}

/// An operation of a layer, over all calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpTotal {
    /// Which.
    #[serde(flatten)]
    pub op: Op,
    /// What it took and did.
    #[serde(flatten)]
    pub cost: OpCost,
}

/// A few calls, stretch by stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// The operations that spans name.
    pub ops: Vec<Op>,
    /// The calls.
    pub calls: Vec<TracedCall>,
    /// Whether there was more than is kept: the last call is cut, or calls are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_cut: bool,
}

/// A call, stretch by stretch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TracedCall {
    /// `prefill` or `decode`.
    pub phase: String,
    /// Which of its phase, from 0.
    pub index: u32,
    /// Its beginning on the machine's monotonic clock.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Index into `ops`, thread, beginning after `start_ns`, length, time in it: hundreds of them, so
    /// without names.
    pub spans: Vec<(u32, u32, u64, u64, u64)>,
}

impl TracedCall {
    /// A stretch as it is kept, `op` being its index among the operations of the whole trace.
    pub fn keep(&mut self, op: u32, span: &OpSpan) {
        let after = span.start_ns.saturating_sub(self.start_ns);
        let length = span.end_ns.saturating_sub(span.start_ns);
        self.spans.push((op, span.thread, after, length, span.busy_ns));
    }
}

impl PhaseProfile {
    /// Time in all passes with spans.
    pub fn total_ns(&self) -> u64 {
        self.profiled_ns.iter().sum()
    }

    /// What belongs to no operation: building the graph, copying results, handing over.
    pub fn rest_ns(&self) -> u64 {
        self.total_ns().saturating_sub(self.ops.iter().map(|total| total.cost.ns).sum())
    }

    /// By what share the readings of the clock should have made the passes longer.
    pub fn expected_overhead(&self, stamp_ns: Option<f64>) -> Option<f64> {
        let plain: u64 = self.plain_ns.iter().sum();
        stamp_ns.filter(|_| plain > 0).map(|ns| self.n_stamps as f64 * ns / plain as f64)
    }
}
