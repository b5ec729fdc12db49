//! From the residual stream to queries, keys and values, and where each head of them lies.

use super::kv::HeadDims;
use super::model::{Latents, Layer, Model, Projection};
use super::ops::Ops;
use super::product::{Input, Keep};

/// Heads of one kind, in a buffer with a row for each token.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    /// `[n][stride]`
    pub rows: &'a [f32],
    pub stride: usize,
    /// Where in a row the first head begins.
    pub first: usize,
    /// From one head to the next; 0 where all share one.
    pub step: usize,
    /// Elements of a head.
    pub width: usize,
}

impl<'a> Heads<'a> {
    /// Head `head` of token `t`.
    pub fn at(&self, t: usize, head: usize) -> &'a [f32] {
        &self.rows[t * self.stride + self.first + head * self.step..][..self.width]
    }
}

/// The heads of all kinds.
#[derive(Clone, Copy)]
pub(super) struct Qkv<'a> {
    pub q: Heads<'a>,
    pub k: Heads<'a>,
    /// The rest of each key, where all heads share it.
    pub k_shared: Option<Heads<'a>>,
    pub v: Heads<'a>,
}

/// Where they are written.
pub(super) struct Rooms<'a> {
    pub qkv: &'a mut [f32],
    pub latent: &'a mut [f32],
    pub kv: &'a mut [f32],
}

impl Ops<'_> {
    /// Queries, keys and values of layer number `i` from `n` rows `x` of the residual stream.
    pub fn project<'b>(
        &mut self,
        model: &Model,
        (i, layer): (usize, &Layer),
        x: &[f32],
        n: usize,
        rooms: Rooms<'b>,
    ) -> Qkv<'b> {
        let shape = &model.shape;
        let dims = HeadDims::of(shape);
        let [n_head, n_kv] =
            [&shape.n_head, &shape.n_head_kv].map(|each| each.at(i as u32) as usize);
        let input = Input::normed(x, x.len() / n, layer.attn_norms.input.as_ref());
        match &layer.attn_qkv {
            Projection::Direct(qkv) => {
                let stride = qkv.n_out();
                let room = &mut rooms.qkv[..n * stride];
                let keep = model.recipe.clamp_kqv.map_or(Keep::Set, Keep::Clamp);
                self.linear(qkv, input, room, keep);
                let rows = &*room;
                let of = |first, width| Heads { rows, stride, first, step: width, width };
                Qkv {
                    q: of(0, dims.k),
                    k: of(n_head * dims.k, dims.k),
                    k_shared: None,
                    v: of((n_head + n_kv) * dims.k, dims.v),
                }
            }
            Projection::Latent(latents) => {
                let Latents { down, q_norm, q_up, kv_norm, kv_up } = &**latents;
                let (q_rank, kv_rank, wide) = (q_up.k(), kv_up.k(), down.n_out());
                let latent = &mut rooms.latent[..n * wide];
                self.linear(down, input, latent, Keep::Set);
                let latent = &*latent;
                let q = &mut rooms.qkv[..n * q_up.n_out()];
                let from_q = Input::of_part(latent, wide, (0, q_rank), q_norm);
                self.linear(q_up, from_q, q, Keep::Set);
                let kv = &mut rooms.kv[..n * kv_up.n_out()];
                let from_kv = Input::of_part(latent, wide, (q_rank, kv_rank), kv_norm);
                self.linear(kv_up, from_kv, kv, Keep::Set);

                let n_rot = shape.n_rot as usize;
                let (plain, step) = (dims.k - n_rot, dims.k - n_rot + dims.v);
                let of_kv =
                    |first, width| Heads { rows: &*kv, stride: kv_up.n_out(), first, step, width };
                let q =
                    Heads { rows: q, stride: q_up.n_out(), first: 0, step: dims.k, width: dims.k };
                let first = q_rank + kv_rank;
                let shared = Heads { rows: latent, stride: wide, first, step: 0, width: n_rot };
                Qkv { q, k: of_kv(0, plain), k_shared: Some(shared), v: of_kv(plain, dims.v) }
            }
        }
    }
}
