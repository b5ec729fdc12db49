//! What a session takes, before anything is taken: the same sums as in `load`, `kv` and `session`,
//! over names, dimensions and types instead of memory.

use std::path::Path;

use super::attention::{AttentionScratch, KV_BLOCK};
use super::kv::{KvCache, KvTypes, padded_ctx};
use super::load::{EMBEDDING, Loading};
use super::session::{Buffers, SessionConfig, TILE_COLUMNS};
use crate::ggml::GgmlType;
use crate::gguf::Gguf;
use crate::model::{ModelShape, TensorSpec};
use crate::reference::ReferenceError;
use crate::reference::arena::padded;
use crate::reference::kernel::{Acts, Form, TOKEN_BLOCK};
use crate::reference::quant::panel;

impl Buffers {
    /// What running the file at `path` will take, by its header.
    pub fn of_file(
        path: &Path,
        loading: Loading,
        config: SessionConfig,
    ) -> Result<Buffers, ReferenceError> {
        let file = Gguf::open(path)?;
        let shape = ModelShape::from_gguf(&file)?;
        let tensors: Vec<(TensorSpec, GgmlType)> = file
            .tensors()
            .iter()
            .map(|t| (TensorSpec { name: t.name.clone(), dims: t.dims.clone() }, t.ty))
            .collect();
        Ok(Buffers::planned(&shape, &tensors, loading, config))
    }

    /// What [`Session::new`](super::Session::new) will take for a model of `shape` whose file has
    /// `tensors`, to the byte. Threads and what they bring along are not in it.
    ///
    /// Sums saturate: what no machine has is answered with a number that no machine has.
    pub fn planned(
        shape: &ModelShape,
        tensors: &[(TensorSpec, GgmlType)],
        loading: Loading,
        config: SessionConfig,
    ) -> Buffers {
        let n_ctx = padded_ctx(config.n_ctx);
        let config = SessionConfig { n_ctx, n_ubatch: config.n_ubatch.min(n_ctx), ..config };
        let (weight_bytes, weight_mapped_bytes) = weights(shape, tensors, loading);
        Buffers {
            weight_bytes,
            weight_mapped_bytes,
            kv_bytes: KvCache::bytes_for(
                shape.n_layer as usize,
                shape.n_head_kv.at(0) as usize,
                shape.head_dim as usize,
                n_ctx,
                KvTypes { k: config.type_k, v: config.type_v },
            ) as u64,
            compute_bytes: activations(shape, tensors, &config),
            output_bytes: 4 * u64::from(shape.n_vocab),
        }
    }
}

/// Bytes of weights in memory of the engine's own, and in the mapped file.
fn weights(shape: &ModelShape, tensors: &[(TensorSpec, GgmlType)], loading: Loading) -> (u64, u64) {
    let (mut own, mut mapped) = (0u64, 0u64);
    for (tensor, ty) in tensors {
        let bytes = ty.bytes_for(tensor.n_elements()).unwrap_or(u64::MAX);
        let is_embedding = tensor.name == EMBEDDING;
        if is_embedding && loading == Loading::Mapped {
            mapped = bytes;
        }
        own = own.saturating_add(match tensor.dims[..] {
            [k, n] if !is_embedding || shape.tied_output => {
                padded(panel::matrix_bytes(*ty, n as usize, k as usize)) as u64
            }
            [_, _] if loading == Loading::Owned => padded(bytes as usize) as u64,
            [_, _] => 0,
            // Norms and biases become numbers.
            _ => 4 * tensor.n_elements(),
        });
    }
    (own, mapped)
}

/// Bytes of activations and scratch.
fn activations(
    shape: &ModelShape,
    tensors: &[(TensorSpec, GgmlType)],
    config: &SessionConfig,
) -> u64 {
    let [n_embd, n_ff, n_head, n_kv, head_dim] =
        [shape.n_embd, shape.n_ff.at(0), shape.n_head.at(0), shape.n_head_kv.at(0), shape.head_dim]
            .map(|v| v as usize);
    let matrices = || {
        tensors.iter().filter(|(tensor, _)| {
            tensor.dims.len() == 2 && (tensor.name != EMBEDDING || shape.tied_output)
        })
    };
    let mut forms: Vec<Form> = Vec::new();
    for form in matrices().map(|(_, ty)| Form::of(*ty)) {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    let max_k = matrices().map(|(tensor, _)| tensor.dims[0] as usize).max().unwrap_or(0);
    let SessionConfig { n_ubatch: n, n_threads, n_ctx, .. } = *config;
    let in_block = n.min(TOKEN_BLOCK);
    let block = if config.flash_attn { KV_BLOCK.min(n_ctx) } else { n_ctx };
    let qkv = (n_head + 2 * n_kv) * head_dim;
    let per_token = n_embd + qkv + n_head * head_dim + n_ff + head_dim;
    let scratch = 4 * (max_k.max(head_dim) + (in_block * TILE_COLUMNS).max(n_ff))
        + 4 * n_embd
        + AttentionScratch::bytes_for(n_head / n_kv, head_dim, block);
    let acts = Acts::bytes_for(in_block, max_k, &forms);
    let partials = 4 * n_head * (head_dim + 2);
    [(4 * per_token, n), (acts, n.div_ceil(TOKEN_BLOCK)), (scratch + partials, n_threads)]
        .into_iter()
        .map(|(bytes, times)| (bytes as u64).saturating_mul(times as u64))
        .fold(0, u64::saturating_add)
}
