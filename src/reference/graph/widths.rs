//! How wide everything is that a pass holds: from a shape alone, so that a plan and a session agree.

use super::attention::query_tokens;
use super::kv::HeadDims;
use super::recipe::Family;
use crate::model::ModelShape;

/// Numbers for each token of a micro-batch, and rows and numbers for each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    /// The residual stream.
    pub x: usize,
    /// Token embeddings of another width than the residual stream; 0 where they have its own.
    pub tok: usize,
    /// Queries, keys and values of the widest layer; of models with latents the queries alone.
    pub qkv: usize,
    /// The latents of queries and of keys and values, and the part of the keys that all heads share.
    pub latent: usize,
    /// Keys and values that come of a latent.
    pub kv: usize,
    /// What attention hands on in the widest layer.
    pub attn: usize,
    /// The widest feed-forward layer.
    pub ffn: usize,
    /// What a part adds to the residual stream, where a norm stands between.
    pub result: usize,
    /// Cosines and sines, all sets together.
    pub angles: usize,
    /// Slopes on the scores, of all tokens together.
    pub slopes: usize,
    /// Attention of a part of the cache, for each thread.
    pub partial: usize,
    /// Queries that a thread attends from at once.
    pub query_rows: usize,
}

impl Widths {
    /// Those of a model of `shape`.
    pub fn of(shape: &ModelShape) -> Widths {
        let family = Family::of(shape.arch);
        let HeadDims { k, v } = HeadDims::of(shape);
        let size = |n: Option<u32>| n.unwrap_or(0) as usize;
        let widest = |of: &dyn Fn(u32) -> usize| (0..shape.n_layer).map(of).max().unwrap_or(0);
        let n_head = |layer| shape.n_head.at(layer) as usize;
        let n_kv = |layer| shape.n_head_kv.at(layer) as usize;
        let (n_embd, n_rot) = (shape.n_embd as usize, shape.n_rot as usize);
        let latents = shape.q_lora_rank.zip(shape.kv_lora_rank);
        let most_heads = widest(&n_head);
        Widths {
            x: n_embd,
            tok: if shape.n_embd_tok == Some(shape.n_embd) { 0 } else { size(shape.n_embd_tok) },
            qkv: match latents {
                None => widest(&|layer| n_head(layer) * k + n_kv(layer) * (k + v)),
                Some(_) => most_heads * k,
            },
            latent: latents.map_or(0, |(q, kv)| (q + kv) as usize + n_rot),
            kv: latents.map_or(0, |_| most_heads * (k - n_rot + v)),
            attn: most_heads * v,
            ffn: widest(&|layer| shape.n_ff.at(layer) as usize),
            result: if family.norms_results { n_embd } else { 0 },
            angles: family.n_angle_sets(shape) * n_rot,
            slopes: if family.alibi_bias.is_some() { most_heads } else { 0 },
            partial: most_heads * (v + 2),
            query_rows: widest(&|layer| {
                let group = n_head(layer) / n_kv(layer).max(1);
                query_tokens(group) * group
            }),
        }
    }

    /// Numbers that each token of a micro-batch has.
    pub fn per_token(&self) -> usize {
        let Widths { x, tok, qkv, latent, kv, attn, ffn, result, angles, .. } = *self;
        x + tok + qkv + latent + kv + attn + ffn + result + angles
    }
}
