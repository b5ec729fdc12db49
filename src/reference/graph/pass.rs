//! One pass of a micro-batch through the graph.

use super::attend::{Queries, Turn};
use super::kv::HeadDims;
use super::model::{Layer, Model};
use super::ops::Ops;
use super::project::{Qkv, Rooms};
use super::session::{Session, State};
use crate::reference::trace::{ATTENTION, BETWEEN, LAYER};

impl Session {
    /// Runs `tokens`, which fit, and writes the logits of the last one if there is room for them.
    pub(super) fn pass(&mut self, tokens: &[u32], logits: Option<&mut [f32]>) {
        let Session { model, kernels, pool, kv: cache, state, n_past, config, .. } = self;
        let Session { recorder, trace, .. } = self;
        let State { x, tok, qkv, latent, kv, attn, ffn, result, .. } = state;
        let State { angles, slopes, partials, acts, scratch, .. } = state;
        let (n, n_embd) = (tokens.len(), model.shape.n_embd as usize);
        let (recipe, weights) = (&model.recipe, &model.weights);
        let (x, scale) = (&mut x[..n * n_embd], recipe.residual_scale);
        let mut ops = Ops { pool, kernels: *kernels, weights, acts, scratch, recorder };

        trace.begin();
        ops.recorder.layer = None;
        ops.embed(model, tokens, (*n_past, config.n_ctx), tok, x, angles);
        for (i, layer) in model.layers.iter().enumerate() {
            ops.recorder.layer = Some(i as u32);
            let rooms = Rooms { qkv, latent, kv };
            let heads = ops.project(model, (i, layer), x, n, rooms);
            let queries = Queries {
                slopes,
                n_past: *n_past,
                flash: config.flash_attn,
                ..queries(model, (i, layer), n, heads, angles)
            };
            ops.store(cache, i, &queries);

            // Behind the cache of the last layer only the token whose logits are wanted counts.
            let first = match (&logits, i + 1 == model.layers.len()) {
                (None, true) => break,
                (Some(_), true) => n - 1,
                _ => 0,
            };
            let x = &mut x[first * n_embd..];
            let attn = &mut attn[..(n - first) * layer.attn_output.k()];
            let ffn = &mut ffn[..(n - first) * layer.ffn_down.k()];
            ops.attend(cache, i, &queries, first, attn, partials);
            trace.keep(ATTENTION, i, attn, layer.attn_output.k());
            // Side by side, both parts read what stood in the stream before either.
            if recipe.is_parallel {
                ops.feed_forward(model, layer, x, ffn);
            }
            ops.add(&layer.attn_output, attn, &layer.attn_norms, scale, x, result);
            if !recipe.is_parallel {
                trace.keep(BETWEEN, i, x, n_embd);
                ops.feed_forward(model, layer, x, ffn);
            }
            ops.add(&layer.ffn_down, ffn, &layer.ffn_norms, scale, x, result);
            trace.keep(LAYER, i, x, n_embd);
        }
        if let Some(logits) = logits {
            ops.recorder.layer = None;
            ops.head(model, &x[(n - 1) * n_embd..], tok, logits);
        }
        *n_past += n;
    }
}

/// What becomes of the `heads` of `n` tokens in layer number `i`; position, slopes and way of
/// attention are the pass's.
fn queries<'a>(
    model: &'a Model,
    (i, layer): (usize, &'a Layer),
    n: usize,
    heads: Qkv<'a>,
    angles: &'a [f32],
) -> Queries<'a> {
    let (shape, recipe, i) = (&model.shape, &model.recipe, i as u32);
    let (dims, n_rot) = (HeadDims::of(shape), shape.n_rot as usize);
    let turn = recipe.angle_set(shape, i).map(|set| Turn {
        angles: &angles[set * n * n_rot..][..n * n_rot],
        pairing: recipe.family.pairing,
        n_rot,
        first: if recipe.family.turns_end { dims.k - n_rot } else { 0 },
    });
    Queries {
        n,
        n_head: shape.n_head.at(i) as usize,
        n_kv: shape.n_head_kv.at(i) as usize,
        dims,
        heads,
        q_norm: layer.attn_q_norm.as_ref(),
        k_norm: layer.attn_k_norm.as_ref(),
        turn,
        query_scale: recipe.query_scale,
        scale: recipe.attention_scale,
        window: shape.window(i).map(|n| n as usize),
        cap: recipe.attention_cap,
        slopes: &[],
        n_past: 0,
        flash: false,
    }
}
