//! Where a cell's weights come from, and what is known of them before they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cell::{Cell, ModelSource};
use super::selection::ModelFile;
use crate::ggml::GgmlType;
use crate::memory::{self, Buffers, Habit, MemoryBudget, Request};
use crate::model::{self, FileMix, ModelShape, TensorSpec};
use crate::settings::{Capabilities, MemoryRule, Settings};

/// Seed of synthetic weights. It is the same for every run: a run's own seed changes the order
/// and the tokens, and files once made serve every run.
pub const WEIGHT_SEED: u64 = 1;

/// Names, dimensions and types of the tensors of a file; shared, for a file has hundreds of them
/// and a plan hundreds of cells.
pub type TensorList = Arc<[(TensorSpec, GgmlType)]>;

/// Tokens whose 16 half-precision elements fill a huge page of 2 MiB.
const HUGE_PAGE_TOKENS: u32 = (2 << 20) / (16 * 2);

/// On what an engine's memory hangs beside model and settings.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whose rules.
    pub rule: MemoryRule,
    /// The cache holds a multiple of this many tokens.
    pub n_ctx_padding: u32,
    /// Threads where the cell leaves them to the machine.
    pub n_threads: u32,
    /// Whether memory comes in huge pages where it is asked for.
    pub huge_pages: bool,
}

impl Terms {
    /// Those of an engine on a machine that would give it `n_threads`, and huge pages or not.
    pub fn of(can: &Capabilities, n_threads: u32, huge_pages: bool) -> Terms {
        let Capabilities { memory_rule: rule, n_ctx_padding, .. } = *can;
        Terms { rule, n_ctx_padding, n_threads, huge_pages }
    }

    /// Capacity of the KV cache of `cell`.
    fn n_ctx(&self, cell: &Cell) -> u32 {
        cell.n_ctx().checked_next_multiple_of(self.n_ctx_padding.max(1)).unwrap_or(u32::MAX)
    }
}

/// The weights of a point of a matrix.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Where they come from.
    pub source: ModelSource,
    /// The model's architecture by its GGUF name.
    pub arch: String,
    /// The model's shape; of a user's file whose architecture has no shape here, why not.
    pub shape: Result<ModelShape, String>,
    /// Every tensor with its type.
    pub tensors: TensorList,
    /// Bytes by tensor type.
    pub type_bytes: BTreeMap<GgmlType, u64>,
    /// 8 × bytes ÷ unique parameters.
    pub bits_per_weight: f64,
    /// Bytes of all tensors.
    pub bytes: u64,
}

impl Weights {
    /// Those of a model of the catalogue in a file mix.
    pub fn synthetic(shape: &ModelShape, mix: FileMix) -> Weights {
        let tensors = mix.tensors(shape);
        let type_bytes = model::type_bytes(&tensors);
        let bytes = type_bytes.values().sum();
        Weights {
            source: ModelSource::Synthetic { seed: WEIGHT_SEED, shape: shape.hash() },
            arch: shape.arch.name().to_owned(),
            shape: Ok(shape.clone()),
            tensors: tensors.into(),
            type_bytes,
            bits_per_weight: 8.0 * bytes as f64 / shape.n_params().max(1) as f64,
            bytes,
        }
    }

    /// Those of a user's file.
    pub fn of_file(file: &ModelFile) -> Weights {
        Weights {
            source: ModelSource::File { sha256: file.sha256.clone() },
            arch: file.arch.clone(),
            shape: file.shape.clone(),
            tensors: file.tensors.clone(),
            type_bytes: file.type_bytes.clone(),
            bits_per_weight: file.bits_per_weight,
            bytes: file.weight_bytes,
        }
    }

    /// Memory that `cell` needs on those terms; unknown without a shape.
    pub fn predict(&self, cell: &Cell, terms: Terms) -> Option<MemoryBudget> {
        let shape = self.shape.as_ref().ok()?;
        let n_ctx = terms.n_ctx(cell);
        let settings = cell.settled(terms.n_threads);
        let mut budget = match terms.rule {
            MemoryRule::BuiltIn => memory::predict_built_in(shape, &self.tensors, &settings, n_ctx),
            MemoryRule::LlamaCpp => memory::predict(self.bytes, shape, &settings, n_ctx),
        };
        budget.untouched_bytes = self.untouched_bytes(cell, terms, &budget);
        Some(budget)
    }

    /// What of `budget` the cell is expected never to touch.
    pub fn untouched_bytes(&self, cell: &Cell, terms: Terms, budget: &MemoryBudget) -> u64 {
        let n_ctx = terms.n_ctx(cell);
        let settings = &cell.settings;
        let n_ubatch = settings.n_ubatch.min(settings.n_batch).min(cell.n_ctx());
        let usage = |habit| cell.usage(n_ctx, n_ubatch, habit);
        match (terms.rule, &self.shape) {
            // The built-in cache asks for huge pages, and keeps 16 elements of all tokens side by side:
            // up to this many tokens every huge page of it holds some of the first.
            (MemoryRule::BuiltIn, _) if terms.huge_pages && n_ctx < HUGE_PAGE_TOKENS => 0,
            (MemoryRule::BuiltIn, _) => usage(Habit::ComputeFirst).untouched_bytes(budget),
            (MemoryRule::LlamaCpp, Err(_)) => usage(Habit::CacheFirst).untouched_bytes(budget),
            (MemoryRule::LlamaCpp, Ok(shape)) => {
                let n_fed = usage(Habit::CacheFirst).n_fed;
                let written = Buffers::written(shape, &Request::new(settings, n_ctx), n_fed);
                budget.compute_bytes.saturating_sub(written)
            }
        }
    }

    /// Why a KV cache of these types cannot be, if so: a head is a whole number of blocks.
    pub fn kv_flaw(&self, settings: &Settings) -> Option<String> {
        self.shape.as_ref().ok()?.kv_flaw(settings.type_k, settings.type_v)
    }
}
