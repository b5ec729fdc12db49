//! The two traits every engine stands behind, and the register of engines.
//!
//! An engine knows no suites, cells or records, and never reads the clock for results: `measure`
//! stands outside with the stopwatch, so that all engines are timed by one hand.

mod delay;
mod fake;
#[cfg(feature = "llama-cpp")]
pub mod llama_cpp;
mod reference;
mod span;
mod spec;
mod trace;

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{self, Clock};
use crate::memory::{Basis, MemoryBudget};
use crate::settings::{Auto, Capabilities, Settings};

pub use fake::EVENT_FD;
pub use reference::{ISA_VARIABLE, ReferenceEngine};
pub use span::{Op, OpCost, OpKind, OpSpan, ProfiledSession, Spans};
pub use spec::{SpecError, by_name, names};
pub use trace::{TracedSession, Waypoint};

/// A program that runs models.
pub trait Engine {
    /// Who it is.
    fn info(&self) -> EngineInfo;

    /// What it can run.
    fn capabilities(&self) -> Capabilities;

    /// The clock by which it is timed. Only a scripted engine brings one of its own.
    fn clock(&self) -> Arc<dyn Clock> {
        clock::monotonic()
    }

    /// Opens `model` and takes all memory that the session will need.
    ///
    /// `settings.n_ctx` and `settings.n_threads` are fixed here, never `auto`: all engines get the
    /// same.
    fn load(&self, model: &Path, settings: &Settings) -> Result<Box<dyn Session>, EngineError>;

    /// The buffers that [`Engine::load`] would take, to the byte, without taking them: only the
    /// file's header is read. `None` where the engine cannot tell.
    fn plan(&self, _: &Path, _: &Settings) -> Result<Option<Planned>, EngineError> {
        Ok(None)
    }

    /// As [`Engine::load`], for a session that can be asked where its time goes.
    fn load_profiled(
        &self,
        model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn ProfiledSession>, EngineError> {
        span::no_profile(self, model, settings)
    }

    /// As [`Engine::load`], for a session that can be asked what goes through it, as the differential
    /// tests do.
    fn load_traced(
        &self,
        model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn TracedSession>, EngineError> {
        trace::no_trace(self, model, settings)
    }
}

/// A loaded model with its KV cache.
///
/// After `prefill` or `decode` returns, device work is done and the logits of the last token are
/// available.
pub trait Session {
    /// What the settings became.
    fn resolved(&self) -> Resolved;

    /// Every buffer the engine took, by kind. `None` where it cannot tell.
    fn allocated(&self) -> Option<Allocated>;

    /// Number of token ids; the ids fed lie below it.
    fn n_vocab(&self) -> u32;

    /// Forgets everything after the first `n_past` tokens. What comes then gives the same logits, to
    /// the bit, as behind a cache that has never held more: so the state at a depth is kept in the
    /// cache and restored from it, and is computed once.
    fn rewind(&mut self, n_past: u32) -> Result<(), EngineError>;

    /// Runs `tokens` through the model behind what is in the cache.
    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError>;

    /// Runs one token.
    fn decode(&mut self, token: u32) -> Result<(), EngineError>;

    /// Logits of the last token, `n_vocab` long.
    fn logits(&mut self) -> Result<&[f32], EngineError>;
}

/// The value of a setting that whoever calls [`Engine::load`] has to fix.
fn fixed(name: &str, value: Auto<u32>) -> Result<u32, EngineError> {
    match value {
        Auto::Fixed(value) => Ok(value),
        Auto::Auto => Err(EngineError::Failed(format!("{name} is auto, it must be fixed by now"))),
    }
}

/// Who an engine is: part of every record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineInfo {
    /// `reference`, `llama-cpp`, `fake`.
    pub name: String,
    /// Version of the engine itself.
    pub version: String,
    /// How it was built: compiler flags, backends, instruction sets compiled in.
    pub build: String,
    /// Instruction sets in use on this machine, as the engine reports them.
    pub system: String,
    /// Why this build is slower than the machine allows, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub below_machine: Option<String>,
}

/// What `auto` became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolved {
    /// Threads computing.
    pub n_threads: u32,
    /// Capacity of the KV cache, padded as the engine pads.
    pub n_ctx: u32,
    /// Logical batch.
    pub n_batch: u32,
    /// Physical batch.
    pub n_ubatch: u32,
    /// Whether attention runs without the full matrix of scores.
    pub flash_attn: bool,
    /// The device that holds the layers.
    pub backend_device: String,
    /// How weights were loaded.
    pub load_mode: String,
}

/// Bytes an engine took, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allocated {
    /// Weights held in memory of the engine's own.
    pub weight_bytes: u64,
    /// Weights that are a mapping of the file.
    pub weight_mapped_bytes: u64,
    /// Weights laid out anew beside such a mapping.
    #[serde(default)]
    pub weight_copy_bytes: u64,
    /// The KV cache.
    pub kv_bytes: u64,
    /// What the graph needs beside weights and cache.
    pub compute_bytes: u64,
    /// Logits and other results kept for the caller.
    pub output_bytes: u64,
}

/// What an engine will take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Who says so.
    pub basis: Basis,
    /// The buffers.
    pub buffers: Allocated,
    /// What its library keeps in memory beside them: the tokenizer, the lists of tensors, the graph.
    pub heap_bytes: u64,
}

impl Planned {
    /// The same as a prediction.
    pub fn budget(&self) -> MemoryBudget {
        let Allocated { weight_bytes, weight_mapped_bytes, weight_copy_bytes, .. } = self.buffers;
        MemoryBudget {
            basis: self.basis,
            weight_bytes: weight_bytes + weight_mapped_bytes,
            weight_copy_bytes,
            kv_bytes: self.buffers.kv_bytes,
            compute_bytes: self.buffers.compute_bytes,
            output_bytes: self.buffers.output_bytes,
            heap_bytes: self.heap_bytes,
            ..MemoryBudget::default()
        }
    }
}

/// Why an engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model file cannot be read.
    #[error("{0}")]
    Model(String),
    /// The engine does not do this.
    #[error("{0}")]
    Unsupported(String),
    /// Memory was refused.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The KV cache is full.
    #[error("the KV cache of {n_ctx} tokens is full\nhint: raise n_ctx")]
    ContextFull {
        /// Its capacity.
        n_ctx: u32,
    },
    /// Anything else it reported.
    #[error("{0}")]
    Failed(String),
}
