//! A model: its recipe and its weights, as a pass reads them.

use std::ops::Range;

use super::linear::Linear;
use super::norm::Norm;
use super::recipe::Recipe;
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, TensorInfo};
use crate::model::{ModelShape, Position};
use crate::reference::arena::Arena;
use crate::reference::quant;

/// A model with its weights.
#[derive(Debug)]
pub struct Model {
    /// Its shape.
    pub shape: ModelShape,
    pub(super) recipe: Recipe,
    pub(super) rope_factors: RopeFactors,
    /// `[n_vocab, n_embd_tok]`
    pub(super) embedding: Table,
    /// From the width of the embedding to that of the residual stream: `[n_embd, n_embd_tok]`
    pub(super) embd_in: Option<Linear>,
    /// `[positions, n_embd]`
    pub(super) positions: Option<Table>,
    /// `[n_embd]`
    pub(super) embd_norm: Option<Norm>,
    pub(super) layers: Vec<Layer>,
    /// `[n_embd]`
    pub(super) output_norm: Option<Norm>,
    /// From the width of the residual stream to that of the embedding: `[n_embd_tok, n_embd]`
    pub(super) embd_out: Option<Linear>,
    /// `[n_vocab, n_embd_tok]`
    pub(super) output: Linear,
    pub(super) weights: Arena,
    /// Bytes of norms, biases and factors.
    pub(super) vector_bytes: usize,
    pub(super) file: Option<Gguf>,
}

/// One block of the residual stream: attention, then a feed-forward layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub attn_norms: Norms,
    pub attn_qkv: Projection,
    /// `[head_dim]`
    pub attn_q_norm: Option<Norm>,
    /// `[head_dim]`
    pub attn_k_norm: Option<Norm>,
    /// `[n_embd, n_head · value_dim]`
    pub attn_output: Linear,
    pub ffn_norms: Norms,
    pub ffn: FeedForward,
    /// `[n_embd, n_ff]`
    pub ffn_down: Linear,
}

/// The norms of attention or of a feed-forward layer, `[n_embd]` each.
#[derive(Debug, Default)]
pub(super) struct Norms {
    /// Of what goes in.
    pub input: Option<Norm>,
    /// Of what comes out, before it is added to the residual stream.
    pub result: Option<Norm>,
    /// Of the residual stream after that.
    pub stream: Option<Norm>,
}

/// How queries, keys and values come about.
#[derive(Debug)]
pub(super) enum Projection {
    /// Side by side: `[n_head · head_dim + n_head_kv · (head_dim + value_dim), n_embd]`
    Direct(Linear),
    /// Through narrow latents.
    Latent(Box<Latents>),
}

/// Projections through latents.
#[derive(Debug)]
pub(super) struct Latents {
    /// Both latents and the part of the keys that all heads share, side by side:
    /// `[q_lora_rank + kv_lora_rank + n_rot, n_embd]`
    pub down: Linear,
    /// `[q_lora_rank]`
    pub q_norm: Norm,
    /// `[n_head · head_dim, q_lora_rank]`
    pub q_up: Linear,
    /// `[kv_lora_rank]`
    pub kv_norm: Norm,
    /// Head by head its plain keys and its values:
    /// `[n_head · (head_dim − n_rot + value_dim), kv_lora_rank]`
    pub kv_up: Linear,
}

impl Projection {
    /// Every linear map in it.
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let all = match self {
            Projection::Direct(qkv) => [Some(qkv), None, None],
            Projection::Latent(latents) => {
                [Some(&latents.down), Some(&latents.q_up), Some(&latents.kv_up)]
            }
        };
        all.into_iter().flatten()
    }
}

/// The first half of a feed-forward layer.
#[derive(Debug)]
pub(super) enum FeedForward {
    /// `f(gate) · up`, `[n_ff, n_embd]` each
    Gated { gate: Linear, up: Linear },
    /// `f(up)`, `[n_ff, n_embd]`
    Plain { up: Linear },
}

impl FeedForward {
    /// Its second matrix or its only one.
    pub fn up(&self) -> &Linear {
        let (FeedForward::Gated { up, .. } | FeedForward::Plain { up }) = self;
        up
    }

    fn gate(&self) -> Option<&Linear> {
        match self {
            FeedForward::Gated { gate, .. } => Some(gate),
            FeedForward::Plain { .. } => None,
        }
    }
}

impl Layer {
    /// The norm before the feed-forward layer: where it has none of its own, that of attention.
    pub fn ffn_input_norm(&self) -> Option<&Norm> {
        self.ffn_norms.input.as_ref().or(self.attn_norms.input.as_ref())
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let attention = self.attn_qkv.linears().chain([&self.attn_output]);
        attention.chain(self.ffn.gate()).chain([self.ffn.up(), &self.ffn_down])
    }
}

/// Rows that are looked up: of the token embedding, of positions.
#[derive(Debug)]
pub(super) enum Table {
    /// In the packed output matrix.
    Tied,
    /// As the file has them, in the mapping.
    Mapped(TensorInfo),
    /// As the file has them, among the weights.
    Owned(GgmlType, Range<usize>),
}

/// Divisors of the rotary frequencies, `[n_rot / 2]`.
#[derive(Debug)]
pub(super) enum RopeFactors {
    /// None.
    One,
    /// The same in every context.
    Same(Vec<f32>),
    /// For contexts up to `n_ctx_orig`, and beyond.
    ByContext { n_ctx_orig: usize, short: Vec<f32>, long: Vec<f32> },
}

impl RopeFactors {
    /// Those of a session with a cache for `n_ctx` tokens.
    pub fn at(&self, n_ctx: usize) -> Option<&[f32]> {
        match self {
            RopeFactors::One => None,
            RopeFactors::Same(factors) => Some(factors),
            RopeFactors::ByContext { n_ctx_orig, short, long } => {
                Some(if n_ctx > *n_ctx_orig { long } else { short })
            }
        }
    }
}

impl Model {
    /// Bytes of weights in memory of the engine's own.
    pub fn weight_bytes(&self) -> u64 {
        (self.weights.len() + self.vector_bytes) as u64
    }

    /// Bytes of weights that are read from the mapped file.
    pub fn mapped_bytes(&self) -> u64 {
        let tables = [Some(&self.embedding), self.positions.as_ref()];
        let mapped = tables.into_iter().flatten().map(|table| match table {
            Table::Mapped(tensor) => tensor.bytes,
            Table::Tied | Table::Owned(..) => 0,
        });
        mapped.sum()
    }

    /// The longest input of any matrix.
    pub(super) fn max_k(&self) -> usize {
        self.linears().map(Linear::k).max().unwrap_or(0)
    }

    /// Every linear map.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let ends = [self.embd_in.as_ref(), self.embd_out.as_ref(), Some(&self.output)];
        self.layers.iter().flat_map(Layer::linears).chain(ends.into_iter().flatten())
    }

    /// Positions that it has learned; none where it computes them.
    pub(super) fn n_positions(&self) -> Option<usize> {
        let learned = self.shape.arch.position() == Position::Learned;
        learned.then_some(self.shape.n_ctx_train as usize)
    }

    /// Writes row `i` of `table` into `out`; `row` is room for a row of the embedding in any type.
    pub(super) fn look_up(&self, table: &Table, i: usize, row: &mut [u8], out: &mut [f32]) {
        let n = out.len();
        let at = |ty: GgmlType| {
            let bytes = quant::row_bytes(ty, n);
            i * bytes..(i + 1) * bytes
        };
        match (table, &self.file) {
            (Table::Owned(ty, place), _) => {
                quant::dequantize_row(*ty, &self.weights[place.clone()][at(*ty)], out);
            }
            (Table::Mapped(tensor), Some(file)) => {
                quant::dequantize_row(tensor.ty, &file.data_of(tensor)[at(tensor.ty)], out);
            }
            _ => {
                let matrix = &self.output.parts[0];
                let row = &mut row[..quant::row_bytes(matrix.ty, n)];
                matrix.unpack_row(&self.weights, i, row);
                quant::dequantize_row(matrix.ty, row, out);
            }
        }
    }
}
