//! One pass of a micro-batch through the graph.

use super::attend::Queries;
use super::ops::{Input, Keep, Ops, laps};
use super::rope;
use super::session::{Session, State};
use crate::reference::profile::{By, Part, StepKind};

impl Session {
    /// Runs `tokens`, which fit, and writes the logits of the last one if there is room for them.
    pub(super) fn pass(&mut self, tokens: &[u32], logits: Option<&mut [f32]>) {
        let Session { model, kernels, pool, kv, state, n_past, config, recorder, .. } = self;
        let State { x, qkv, attn, ffn, angles, acts, partials, scratch } = state;
        let shape = &model.shape;
        let [n_embd, n_ff, n_head, n_kv, head_dim] = [
            shape.n_embd,
            shape.n_ff.at(0),
            shape.n_head.at(0),
            shape.n_head_kv.at(0),
            shape.head_dim,
        ]
        .map(|v| v as usize);
        let (n, eps) = (tokens.len(), shape.norm_eps as f32);
        let (x, ffn) = (&mut x[..n * n_embd], &mut ffn[..n * n_ff]);
        let qkv = &mut qkv[..n * (n_head + 2 * n_kv) * head_dim];
        let attn = &mut attn[..n * n_head * head_dim];

        recorder.layer = None;
        let begun = recorder.begin();
        scratch[0].laps.begin();
        for (token, x) in tokens.iter().zip(x.chunks_exact_mut(n_embd)) {
            model.embed(*token, &mut scratch[0].bytes, x);
        }
        scratch[0].laps.lap(0);
        let base = shape.rope_freq_base.unwrap_or(0.0) as f32;
        for (t, angles) in angles.chunks_exact_mut(head_dim).take(n).enumerate() {
            rope::angles(*n_past + t, base, model.rope_factors.as_deref(), angles);
        }
        scratch[0].laps.lap(1);
        let looked_up = Part::of_numbers("token_embd", StepKind::Lookup, n * n_embd, 0);
        let angles_made = Part::of_numbers("rope_angles", StepKind::Rope, n * head_dim, 0);
        recorder.end(begun, By::Caller, &[looked_up, angles_made], laps(scratch));

        let weights = &model.weights;
        let mut ops = Ops { pool, kernels: *kernels, weights, acts, scratch, recorder };
        for (i, layer) in model.layers.iter().enumerate() {
            ops.recorder.layer = Some(i as u32);
            let normed = Input::normed("attn_norm", x, &layer.attn_norm, eps);
            ops.linear(&layer.attn_qkv, normed, qkv, Keep::Set);
            let queries = Queries {
                qkv,
                angles,
                pairing: model.pairing,
                n_head,
                n_kv,
                head_dim,
                n_past: *n_past,
                flash: config.flash_attn,
            };
            ops.store(kv, i, &queries);

            // Behind the cache of the last layer only the token whose logits are wanted counts.
            let first = match (&logits, i + 1 == model.layers.len()) {
                (None, true) => break,
                (Some(_), true) => n - 1,
                _ => 0,
            };
            let attn = &mut attn[first * n_head * head_dim..];
            let (x, ffn) = (&mut x[first * n_embd..], &mut ffn[first * n_ff..]);
            ops.attend(kv, i, &queries, first, attn, partials);
            ops.linear(&layer.attn_output, Input::plain(attn, n_head * head_dim), x, Keep::Add);
            let normed = Input::normed("ffn_norm", x, &layer.ffn_norm, eps);
            ops.gated(&layer.ffn_gate, &layer.ffn_up, normed, ffn);
            ops.linear(&layer.ffn_down, Input::plain(ffn, n_ff), x, Keep::Add);
        }
        if let Some(logits) = logits {
            ops.recorder.layer = None;
            let last = &x[(n - 1) * n_embd..];
            let normed = Input::normed("output_norm", last, &model.output_norm, eps);
            ops.linear(&model.output, normed, logits, Keep::Set);
        }
        *n_past += n;
    }
}
