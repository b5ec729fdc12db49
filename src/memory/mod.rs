//! Bytes from shapes: what a cell will need before anything is allocated; and where they went when
//! it has run. Pure.

mod detail;
mod predict;
mod reconcile;
mod weights;

pub use detail::{
    Buffers, COMPARED_KV_TYPES, MemoryDetail, N_CTX_STEP, Offload, Request, best_mix,
    largest_n_ctx, total_bytes,
};
use predict::kv_side_bytes;
pub use predict::{predict, predict_built_in};
pub use reconcile::{ByKind, Habit, Kind, Observed, Reconciled, Usage, reconcile};
pub use weights::WeightBytes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// How a prediction was come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Exact: the engine's own planner answered.
    Planner,
    /// Exact: the engine's library was asked, without memory for what it planned.
    Library,
    /// By closed formulas.
    #[default]
    Estimate,
}

/// Bytes a cell is predicted to need, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryBudget {
    /// How the figures were come by.
    #[serde(default)]
    pub basis: Basis,
    /// All tensors of the file, exact.
    pub weight_bytes: u64,
    /// Weights held a second time: laid out anew beside a mapped file, or a tied embedding on both
    /// sides of an offload.
    #[serde(default)]
    pub weight_copy_bytes: u64,
    /// The KV cache, exact.
    pub kv_bytes: u64,
    /// What the graph needs beside weights and cache.
    pub compute_bytes: u64,
    /// Logits and other results kept for the caller.
    #[serde(default)]
    pub output_bytes: u64,
    /// The heap beside these buffers, the tokenizer above all; only an engine that was asked knows.
    #[serde(default)]
    pub heap_bytes: u64,
    /// Of all these, what is reserved and not expected to be touched.
    #[serde(default)]
    pub untouched_bytes: u64,
}

impl MemoryBudget {
    /// What has to be available at least: of weights that are laid out anew, the mapped originals go
    /// back to the file when memory is wanted.
    pub fn needed_bytes(&self) -> u64 {
        self.total_bytes() - self.weight_copy_bytes.min(self.weight_bytes)
    }

    /// Why it does not fit into `available_bytes`, if so.
    pub fn shortage(&self, available_bytes: u64) -> Option<String> {
        let needed = self.needed_bytes();
        (needed > available_bytes).then(|| {
            format!(
                "needs {} of memory (weights {}, KV cache {}, compute {}), {} are available",
                Bytes(needed),
                Bytes(self.weight_bytes),
                Bytes(self.kv_bytes),
                Bytes(self.compute_bytes),
                Bytes(available_bytes),
            )
        })
    }

    /// Everything that is reserved.
    pub fn total_bytes(&self) -> u64 {
        let kinds = [
            self.weight_bytes,
            self.weight_copy_bytes,
            self.kv_bytes,
            self.compute_bytes,
            self.output_bytes,
            self.heap_bytes,
        ];
        kinds.into_iter().fold(0, u64::saturating_add)
    }
}
