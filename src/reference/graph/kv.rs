//! The KV cache, laid out so that attention is a product with panels.
//!
//! Scores are a product of queries with keys, one output per position: 16 neighbouring positions
//! form a panel of `head_dim` elements, 8 of quantised keys, as rows of a matrix of weights do. The
//! sum over values is a product of weights with values, one output per element of a head: 16
//! neighbouring elements form a panel over all positions.
//!
//! ```text
//! layer · head · K [n_ctx / 16][head_dim][16]   V [value_dim / 16][n_ctx][16]
//!      quantised K [n_ctx / 8] panels of 8      V [n_ctx][value_dim]
//! ```
//!
//! Layers may have different numbers of heads. Of models with latents the cache holds the keys and
//! values that come of them, as llama.cpp's does.
//!
//! Quantised values stand as rows in blocks of 32, for blocks go along a head and panels along the
//! context; attention makes panels of numbers of them, a block of each of some positions at a time.
//! Before keys and values are quantised they are turned by a Hadamard matrix, as in llama.cpp: single
//! large elements, which would make the steps of a whole block large, become many small ones. Queries
//! are turned alike, which leaves scores as they are; weighted sums of values are turned back.

use half::{bf16, f16};

use crate::ggml::GgmlType;
use crate::model::ModelShape;
use crate::reference::ReferenceError;
use crate::reference::arena::Arena;
use crate::reference::kernel::Kernels;
use crate::reference::quant::panel::{self, FLOAT_ROWS, QUANT_ROWS};
use crate::reference::quant::{self, Block};

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
    /// `[n_ctx / 16][head_dim][16]`; quantised `[n_ctx / 8]` panels of 8 rows of `head_dim`.
    pub k: &'a [u8],
    /// `[value_dim / 16][n_ctx][16]`; quantised `[n_ctx][value_dim]`.
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
    ///
    /// # Errors
    ///
    /// When there is not as much, or heads are no whole number of blocks of a quantised type.
    pub fn new(
        shape: &ModelShape,
        n_ctx: usize,
        types: KvTypes,
    ) -> Result<KvCache, ReferenceError> {
        let dims = HeadDims::of(shape);
        for (field, ty, head_dim) in [("type_k", types.k, dims.k), ("type_v", types.v, dims.v)] {
            if !head_dim.is_multiple_of(ty.block_size() as usize) {
                return Err(ReferenceError::KvBlocks { field, ty, head_dim });
            }
        }
        let memory = Arena::new(KvCache::bytes_for(shape, n_ctx, types), "the KV cache")?;
        let mut first_head = vec![0];
        for layer in 0..shape.n_layer {
            first_head.push(first_head[layer as usize] + shape.n_head_kv.at(layer) as usize);
        }
        Ok(KvCache { n_ctx, types, dims, first_head, memory })
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
        let blocks = dim.div_ceil(ty.block_size() as usize);
        n_ctx.saturating_mul(blocks).saturating_mul(ty.block_bytes() as usize)
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
    pub fn write(
        &self,
        kernels: &dyn Kernels,
        head: &mut [u8],
        position: usize,
        k: &[f32],
        v: &[f32],
    ) {
        const R: usize = FLOAT_ROWS;
        let (k_bytes, _) = head_bytes(self.dims, self.n_ctx, self.types);
        let (head_k, head_v) = head.split_at_mut(k_bytes);
        if is_quantised(self.types.k) {
            let size = panel::bytes(self.types.k, k.len());
            let panel = &mut head_k[position / QUANT_ROWS * size..][..size];
            quantise(kernels, self.types.k, k, key_turn(k.len()), |at, n, bytes| {
                let [start, size] = [at, n].map(|n| panel::bytes(self.types.k, n));
                let part = &mut panel[start..start + size];
                panel::pack_row(self.types.k, n, bytes, position % QUANT_ROWS, part);
            });
        } else {
            let at = position / R * self.dims.k * R + position % R;
            put(self.types.k, head_k, k, |i| at + i * R);
        }
        if is_quantised(self.types.v) {
            let size = quant::row_bytes(self.types.v, v.len());
            let row = &mut head_v[position * size..][..size];
            quantise(kernels, self.types.v, v, value_turn(v.len()), |at, _, bytes| {
                row[quant::row_bytes(self.types.v, at)..][..bytes.len()].copy_from_slice(bytes);
            });
        } else {
            let n_ctx = self.n_ctx;
            put(self.types.v, head_v, v, |i| (i / R * n_ctx + position) * R + i % R);
        }
    }
}

/// Whether keys or values of the type are blocks.
pub fn is_quantised(ty: GgmlType) -> bool {
    ty.block_size() > 1
}

/// Writes number `i` of `x` as element `place(i)`.
fn put(ty: GgmlType, bytes: &mut [u8], x: &[f32], place: impl Fn(usize) -> usize) {
    match ty {
        GgmlType::F32 => put_as(bytes, x, place, f32::to_le_bytes),
        GgmlType::BF16 => put_as(bytes, x, place, |v| bf16::from_f32(v).to_le_bytes()),
        _ => put_as(bytes, x, place, |v| f16::from_f32(v).to_le_bytes()),
    }
}

fn put_as<const SIZE: usize>(
    bytes: &mut [u8],
    x: &[f32],
    place: impl Fn(usize) -> usize,
    number: impl Fn(f32) -> [u8; SIZE],
) {
    let out = bytes.as_chunks_mut().0;
    for (i, v) in x.iter().enumerate() {
        out[place(i)] = number(*v);
    }
}

/// The largest number of elements that are quantised at once: the size of a turn, or a block.
const MAX_TURN: usize = 1024;

/// Elements of keys that are turned together: the largest power of two times 64 that goes into a
/// head, and 1 where 64 does not.
fn key_turn(head_dim: usize) -> usize {
    match head_dim.is_multiple_of(64) {
        true => (1 << head_dim.trailing_zeros()).min(MAX_TURN),
        false => 1,
    }
}

/// The same for values.
fn value_turn(head_dim: usize) -> usize {
    if head_dim.is_multiple_of(64) { 64 } else { 1 }
}

/// Multiplies every `n` elements, a power of two, with the Hadamard matrix of that size, which is
/// its own inverse.
fn turn(x: &mut [f32], n: usize) {
    if n == 1 {
        return;
    }
    let scale = 1.0 / (n as f32).sqrt();
    for x in x.chunks_exact_mut(n) {
        let mut half = 1;
        while half < n {
            for pair in x.chunks_exact_mut(2 * half) {
                let (a, b) = pair.split_at_mut(half);
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        x.iter_mut().for_each(|v| *v *= scale);
    }
}

/// Turns a query as quantised keys are turned.
pub fn turn_query(x: &mut [f32]) {
    turn(x, key_turn(x.len()));
}

/// Turns weighted sums of quantised values back.
pub fn turn_back(x: &mut [f32]) {
    turn(x, value_turn(x.len()));
}

/// Makes blocks of a quantised type of `x`, every `size` elements turned before. `put` gets them in
/// parts: the first element, how many there are, their bytes.
fn quantise(
    kernels: &dyn Kernels,
    ty: GgmlType,
    x: &[f32],
    size: usize,
    mut put: impl FnMut(usize, usize, &[u8]),
) {
    let n = size.max(Block::LEN);
    let (mut room, mut bytes) = ([0.0; MAX_TURN], [0; MAX_TURN / Block::LEN * MAX_BLOCK]);
    let (room, bytes) = (&mut room[..n], &mut bytes[..quant::row_bytes(ty, n)]);
    for (i, x) in x.chunks_exact(n).enumerate() {
        room.copy_from_slice(x);
        turn(room, size);
        match ty {
            GgmlType::Q8_0 => to_q8_0(kernels, room, bytes),
            _ => quant::quantize_row(ty, room, bytes),
        }
        put(i * n, n, bytes);
    }
}

/// Bytes of the largest block of a quantised cache, of `Q8_0`.
const MAX_BLOCK: usize = 34;

/// `Q8_0` as activations are quantised, with ties to even, and not as weights in files are.
fn to_q8_0(kernels: &dyn Kernels, x: &[f32], bytes: &mut [u8]) {
    for (x, block) in x.chunks_exact(Block::LEN).zip(bytes.chunks_exact_mut(MAX_BLOCK)) {
        let (mut q, mut d) = ([0; Block::LEN], [0.0]);
        kernels.quantize_q8_wide(x, &mut q, &mut d);
        block[..2].copy_from_slice(&f16::from_f32(d[0]).to_le_bytes());
        for (byte, q) in block[2..].iter_mut().zip(q) {
            *byte = q as i8 as u8;
        }
    }
}

/// A block of 32 elements of up to 32 positions of quantised values, as numbers in panels.
pub struct Strip {
    /// Little-endian, as panels are.
    numbers: [[u8; 4]; Block::LEN * STRIP],
}

/// Positions in a [`Strip`].
pub const STRIP: usize = 32;

impl Strip {
    /// Room for one.
    pub fn new() -> Strip {
        Strip { numbers: [[0; 4]; Block::LEN * STRIP] }
    }

    /// Block `b` of the rows `first..first + n` of `dim` elements each, `[2][n][16]`: a panel for every
    /// 16 elements.
    pub fn of_values(
        &mut self,
        kernels: &dyn Kernels,
        ty: GgmlType,
        rows: &[u8],
        dim: usize,
        (first, n): (usize, usize),
        b: usize,
    ) -> &[u8] {
        const R: usize = FLOAT_ROWS;
        let (row, size) = (quant::row_bytes(ty, dim), ty.block_bytes() as usize);
        for position in 0..n {
            let mut values = [0.0; Block::LEN];
            let block = &rows[(first + position) * row + b * size..][..size];
            kernels.dequantize(ty, block, &mut values);
            for (half, values) in values.as_chunks::<R>().0.iter().enumerate() {
                let out = &mut self.numbers[(half * n + position) * R..][..R];
                out.iter_mut().zip(values).for_each(|(out, v)| *out = v.to_le_bytes());
            }
        }
        self.numbers.as_flattened()
    }
}

#[cfg(test)]
mod tests;
