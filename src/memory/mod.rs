//! Bytes from shapes: what a cell will need before anything is allocated. Pure.

mod predict;

pub use predict::{compute_bytes, kv_bytes, predict};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes a cell is predicted to need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryBudget {
    /// All tensors of the file, exact.
    pub weight_bytes: u64,
    /// The KV cache, exact.
    pub kv_bytes: u64,
    /// Compute buffers and logits, an estimate.
    pub compute_bytes: u64,
}

impl MemoryBudget {
    /// The sum.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.kv_bytes).saturating_add(self.compute_bytes)
    }
}
