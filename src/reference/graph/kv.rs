//! The KV cache, laid out so that attention is a product with panels.
//!
//! Scores are a product of queries with keys, one output per position: 16 neighbouring positions
//! form a panel of `head_dim` elements. The sum over values is a product of weights with values,
//! one output per element of a head: 16 neighbouring elements form a panel over all positions.
//!
//! ```text
//! layer · head · K [n_ctx / 16][head_dim][16]   V [value_dim / 16][n_ctx][16]
//! ```
//!
//! Layers may have different numbers of heads. Of models with latents the cache holds the keys and
//! values that come of them, as llama.cpp's does.

use half::f16;

use crate::ggml::GgmlType;
use crate::model::ModelShape;
use crate::reference::ReferenceError;
use crate::reference::arena::Arena;
use crate::reference::quant::panel::FLOAT_ROWS;

/// Keys and values of all layers.
#[derive(Debug)]
pub struct KvCache {
    /// Capacity in tokens, a multiple of 16.
    pub n_ctx: usize,
    /// Element types.
    pub types: KvTypes,
    dims: HeadDims,
    /// Heads in the layers before each, and in all.
    first_head: Vec<usize>,
    memory: Arena,
}

/// Elements of a key head and of a value head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadDims {
    /// Of the keys.
    pub k: usize,
    /// Of the values.
    pub v: usize,
}

impl HeadDims {
    /// Those of `shape`.
    pub fn of(shape: &ModelShape) -> HeadDims {
        HeadDims { k: shape.head_dim as usize, v: shape.value_dim() as usize }
    }
}

/// Element types of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvTypes {
    /// Of the keys.
    pub k: GgmlType,
    /// Of the values.
    pub v: GgmlType,
}

/// What one head of one layer holds.
#[derive(Clone, Copy, Debug)]
pub struct KvHead<'a> {
    /// `[n_ctx / 16][head_dim][16]`.
    pub k: &'a [u8],
    /// `[value_dim / 16][n_ctx][16]`.
    pub v: &'a [u8],
}

/// The cache holds a multiple of this many tokens.
pub const N_CTX_PADDING: usize = FLOAT_ROWS;

/// Capacity that is taken for `n_ctx` tokens: whole panels.
pub fn padded_ctx(n_ctx: usize) -> usize {
    n_ctx.next_multiple_of(N_CTX_PADDING)
}

/// Elements of a head's values: whole panels.
pub fn padded_dim(head_dim: usize) -> usize {
    head_dim.next_multiple_of(FLOAT_ROWS)
}

impl KvCache {
    /// Takes the memory for `n_ctx` tokens (a multiple of 16) of a model of `shape`.
    pub fn new(
        shape: &ModelShape,
        n_ctx: usize,
        types: KvTypes,
    ) -> Result<KvCache, ReferenceError> {
        let memory = Arena::new(KvCache::bytes_for(shape, n_ctx, types), "the KV cache")?;
        let mut first_head = vec![0];
        for layer in 0..shape.n_layer {
            first_head.push(first_head[layer as usize] + shape.n_head_kv.at(layer) as usize);
        }
        Ok(KvCache { n_ctx, types, dims: HeadDims::of(shape), first_head, memory })
    }

    /// Bytes that are taken for `n_ctx` tokens (a multiple of 16) of a model of `shape`.
    pub fn bytes_for(shape: &ModelShape, n_ctx: usize, types: KvTypes) -> usize {
        let (k, v) = head_bytes(HeadDims::of(shape), n_ctx, types);
        let n_heads = (0..shape.n_layer).map(|layer| shape.n_head_kv.at(layer) as usize).sum();
        k.saturating_add(v).saturating_mul(n_heads)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Bytes of one head of one layer.
    pub fn head_bytes(&self) -> usize {
        let (k, v) = head_bytes(self.dims, self.n_ctx, self.types);
        k + v
    }

    /// The heads of a layer, one after the other.
    pub fn layer_mut(&mut self, layer: usize) -> &mut [u8] {
        let size = self.head_bytes();
        let heads = self.first_head[layer] * size..self.first_head[layer + 1] * size;
        &mut self.memory[heads]
    }

    /// Head `head` of layer `layer`.
    pub fn head(&self, layer: usize, head: usize) -> KvHead<'_> {
        let (k, v) = head_bytes(self.dims, self.n_ctx, self.types);
        let bytes = &self.memory[(self.first_head[layer] + head) * (k + v)..][..k + v];
        let (k, v) = bytes.split_at(k);
        KvHead { k, v }
    }

    /// Bytes of one token in a layer.
    pub fn token_bytes(&self, layer: usize) -> usize {
        let n_heads = self.first_head[layer + 1] - self.first_head[layer];
        n_heads * self.head_bytes() / self.n_ctx
    }

    /// How tokens are written into a head.
    pub fn writer(&self) -> KvWriter {
        KvWriter { n_ctx: self.n_ctx, dims: self.dims, types: self.types }
    }
}

/// Bytes of the keys and of the values of one head.
fn head_bytes(dims: HeadDims, n_ctx: usize, types: KvTypes) -> (usize, usize) {
    let bytes = |ty: GgmlType, dim: usize| {
        n_ctx.saturating_mul(dim).saturating_mul(ty.block_bytes() as usize)
    };
    (bytes(types.k, dims.k), bytes(types.v, padded_dim(dims.v)))
}

/// Writes keys and values of one token into the bytes of a head.
#[derive(Clone, Copy, Debug)]
pub struct KvWriter {
    n_ctx: usize,
    dims: HeadDims,
    types: KvTypes,
}

impl KvWriter {
    /// Writes the token at `position`.
    pub fn write(&self, head: &mut [u8], position: usize, k: &[f32], v: &[f32]) {
        const R: usize = FLOAT_ROWS;
        let (k_bytes, _) = head_bytes(self.dims, self.n_ctx, self.types);
        let (head_k, head_v) = head.split_at_mut(k_bytes);
        let at = position / R * self.dims.k * R + position % R;
        put(self.types.k, head_k, k, |i| at + i * R);
        let n_ctx = self.n_ctx;
        put(self.types.v, head_v, v, |i| (i / R * n_ctx + position) * R + i % R);
    }
}

/// Writes number `i` of `x` as element `place(i)`.
fn put(ty: GgmlType, bytes: &mut [u8], x: &[f32], place: impl Fn(usize) -> usize) {
    match ty {
        GgmlType::F32 => {
            let out = bytes.as_chunks_mut().0;
            for (i, v) in x.iter().enumerate() {
                out[place(i)] = v.to_le_bytes();
            }
        }
        _ => {
            let out = bytes.as_chunks_mut().0;
            for (i, v) in x.iter().enumerate() {
                out[place(i)] = f16::from_f32(*v).to_le_bytes();
            }
        }
    }
}
