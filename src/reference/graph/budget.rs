//! What a session takes, before anything is taken: the sums of `load`, `kv`, `widths` and `session`
//! over names, dimensions and types instead of memory.

use std::path::Path;

use super::attention::{AttentionScratch, KV_BLOCK};
use super::kv::{HeadDims, KvCache, KvTypes, padded_ctx};
use super::load::{Loading, OUTPUT, arena_bytes, is_table, mapped_bytes, read};
use super::session::{Buffers, SessionConfig, TILE_COLUMNS};
use super::widths::Widths;
use crate::ggml::GgmlType;
use crate::gguf::Gguf;
use crate::model::{ModelShape, TensorSpec};
use crate::reference::ReferenceError;
use crate::reference::kernel::{Acts, Form, TOKEN_BLOCK};

impl Buffers {
    /// What running the file at `path` will take, by its header.
    ///
    /// # Errors
    ///
    /// As those of [`Model::open`](super::Model::open), but for what only the weights tell.
    pub fn of_file(
        path: &Path,
        loading: Loading,
        config: SessionConfig,
    ) -> Result<Buffers, ReferenceError> {
        Buffers::of(&Gguf::open(path)?, loading, config)
    }

    /// The same of a file that is open.
    pub fn of(
        file: &Gguf,
        loading: Loading,
        config: SessionConfig,
    ) -> Result<Buffers, ReferenceError> {
        let (shape, _) = read(file)?;
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
        // Files made in mid-2024 may hold an output that the shape has not.
        let tied_output = !tensors.iter().any(|(tensor, _)| tensor.name == OUTPUT);
        let shape = &ModelShape { tied_output, ..shape.clone() };
        let n_ctx = padded_ctx(config.n_ctx);
        let config = SessionConfig { n_ctx, n_ubatch: config.n_ubatch.min(n_ctx), ..config };
        let (weight_bytes, weight_mapped_bytes) = weights(shape, tensors, loading);
        Buffers {
            weight_bytes,
            weight_mapped_bytes,
            kv_bytes: KvCache::bytes_for(
                shape,
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
        mapped = mapped.saturating_add(mapped_bytes(tensor, bytes, loading));
        own = own.saturating_add(match tensor.dims.len() {
            2 => arena_bytes(shape, tensor, *ty, loading) as u64,
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
    let widths = Widths::of(shape);
    let matrices =
        || tensors.iter().filter(|(tensor, _)| tensor.dims.len() == 2 && !is_table(shape, tensor));
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
    let dims = HeadDims::of(shape);
    let scratch = 4 * (max_k.max(dims.k) + (in_block * TILE_COLUMNS).max(widths.ffn))
        + 4 * widths.x.max(widths.tok)
        + AttentionScratch::bytes_for(widths.query_rows, dims, config.type_k, block);
    let acts = Acts::bytes_for(in_block, max_k, &forms);
    let own = scratch.saturating_add(4 * widths.partial);
    [
        (4 * widths.per_token(), n),
        (acts, n.div_ceil(TOKEN_BLOCK)),
        (own, n_threads),
        (4 * widths.slopes, 1),
    ]
    .into_iter()
    .map(|(bytes, times)| (bytes as u64).saturating_mul(times as u64))
    .fold(0, u64::saturating_add)
}
