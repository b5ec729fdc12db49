//! Where the time of a call goes: what a session can be asked for, off unless it is.
//!
//! The one place where an engine reads the clock. The calls it reads it in are never those whose times
//! are reported.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, EngineError, Session};
use crate::ggml::GgmlType;
use crate::model::TensorGroup;
use crate::settings::Settings;

/// What an operation does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// A product with weights.
    Matmul,
    /// Queries with keys, softmax, scores with values.
    Attention,
    /// Turning queries and keys by their position.
    Rope,
    /// A norm, and what it is scaled by.
    Norm,
    /// The function between two products of a feed-forward layer, and the gate.
    Activation,
    /// Adding: residuals and biases.
    Add,
    /// Moving numbers, into the KV cache among others.
    Copy,
    /// Bringing activations into the form that weights want.
    Quantise,
    /// Looking up rows of the token embedding.
    Lookup,
    /// Threads waiting for the others.
    Wait,
    /// Reading the clock for all this.
    Spans,
    /// Anything else.
    Other,
}

impl OpKind {
    /// All kinds, as they stand in tables.
    pub const ALL: [OpKind; 12] = [
        OpKind::Matmul,
        OpKind::Attention,
        OpKind::Rope,
        OpKind::Norm,
        OpKind::Activation,
        OpKind::Add,
        OpKind::Copy,
        OpKind::Quantise,
        OpKind::Lookup,
        OpKind::Wait,
        OpKind::Spans,
        OpKind::Other,
    ];

    /// As in tables and CSV.
    pub fn word(self) -> &'static str {
        match self {
            OpKind::Matmul => "matmul",
            OpKind::Attention => "attention",
            OpKind::Rope => "rope",
            OpKind::Norm => "norm",
            OpKind::Activation => "activation",
            OpKind::Add => "add",
            OpKind::Copy => "copy",
            OpKind::Quantise => "quantise",
            OpKind::Lookup => "lookup",
            OpKind::Wait => "wait",
            OpKind::Spans => "spans",
            OpKind::Other => "other",
        }
    }
}

/// An operation of the graph.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Op {
    /// What the engine calls it, without the layer: `ffn_down`, `Qcur`.
    pub name: String,
    /// What it does.
    pub kind: OpKind,
    /// The part of the model it belongs to; absent where it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<TensorGroup>,
    /// Its layer; absent outside of layers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layer: Option<u32>,
    /// The type of its weights; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ty: Option<GgmlType>,
    /// Whether the caller does it while the other threads have nothing to do.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_alone: bool,
}

/// What an operation took and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpCost {
    /// Its part of the wall time: what the threads spent in it ÷ the threads that took part.
    pub ns: u64,
    /// How often it was done.
    pub calls: u64,
    /// Arithmetic operations; a product and its addition are two.
    pub ops: u64,
    /// Bytes read and written: weights, cache, activations.
    pub bytes: u64,
    /// Those of them that are weights or KV cache, which come from memory.
    pub memory_bytes: u64,
}

impl OpCost {
    /// Adds what another time of it took.
    pub fn add(&mut self, other: &OpCost) {
        self.ns += other.ns;
        self.calls += other.calls;
        self.ops += other.ops;
        self.bytes += other.bytes;
        self.memory_bytes += other.memory_bytes;
    }
}

/// A stretch of time that a thread spent in an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpSpan {
    /// Which: index into [`Spans::ops`].
    pub op: u32,
    /// The thread, 0 being the caller's.
    pub thread: u32,
    /// Its beginning on the machine's monotonic clock.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Time in it, where it took turns with others in between.
    pub busy_ns: u64,
}

/// Where the time of one call went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Every operation in the order in which they began; the sum of their `ns` is at most the call.
    pub ops: Vec<(Op, OpCost)>,
    /// Stretch by stretch.
    pub spans: Vec<OpSpan>,
    /// How often the clock was read, section by section by the thread that read it most.
    pub n_stamps: u64,
}

/// A session that can tell where its time goes.
pub trait ProfiledSession: Session {
    /// From now on takes spans, or no longer. What was taken before is forgotten.
    fn take_spans(&mut self, on: bool);

    /// What one reading of the clock takes, nanoseconds, where that is all that spans cost. Absent
    /// where taking them changes what is done.
    fn stamp_ns(&self) -> Option<f64>;

    /// Those of each call since the last time: kept by the engine until then, so that nothing happens
    /// between two calls.
    fn spans(&mut self) -> Vec<Spans>;
}

/// The answer of an engine that cannot tell.
pub(super) fn no_profile(
    engine: &(impl Engine + ?Sized),
    _: &Path,
    _: &Settings,
) -> Result<Box<dyn ProfiledSession>, EngineError> {
    let name = engine.info().name;
    Err(EngineError::Unsupported(format!("the engine {name} does not tell where its time goes")))
}
