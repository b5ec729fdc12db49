//! The two ends of the graph: from tokens to the residual stream, and from there to logits.

use super::model::Model;
use super::ops::{ACTIVATION_OPS, Ops, laps};
use super::product::{Input, Keep};
use crate::reference::profile::{By, Part, StepKind};

impl Ops<'_> {
    /// Writes the residual stream of `tokens`, the first of them at position `n_past`, into `x` and
    /// the angles of their positions into `angles`; `tok` is room for embeddings of another width.
    pub fn embed(
        &mut self,
        model: &Model,
        tokens: &[u32],
        (n_past, n_ctx): (usize, usize),
        tok: &mut [f32],
        x: &mut [f32],
        angles: &mut [f32],
    ) {
        let n = tokens.len();
        let width = x.len() / n;
        let tok_width = model.embd_in.as_ref().map_or(width, |w| w.k());
        let rows = if model.embd_in.is_some() { &mut tok[..n * tok_width] } else { &mut *x };

        let begun = self.recorder.begin();
        let own = &mut self.scratch[0];
        own.laps.begin();
        for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(tok_width)) {
            model.look_up(&model.embedding, *token as usize, &mut own.bytes, row);
            if model.recipe.embedding_scale != 1.0 {
                row.iter_mut().for_each(|v| *v *= model.recipe.embedding_scale);
            }
        }
        own.laps.lap(0);
        let n_angles = model.angles((n_past, n), n_ctx, angles);
        if n_angles > 0 {
            own.laps.lap(1);
        }
        let looked_up = Part::of_numbers("token_embd", StepKind::Lookup, n * tok_width, 0);
        let angles_made = Part::of_numbers("rope_angles", StepKind::Rope, n_angles, 0);
        let parts = [looked_up, angles_made];
        let n_parts = if n_angles > 0 { 2 } else { 1 };
        self.recorder.end(begun, By::Caller, &parts[..n_parts], laps(self.scratch));

        if let Some(embd_in) = &model.embd_in {
            self.linear(embd_in, Input::plain(&tok[..n * tok_width], tok_width), x, Keep::Set);
        }
        self.add_positions(model, n_past, x, width);
        if let Some(norm) = &model.embd_norm {
            self.norm(norm, x, width);
        }
    }

    /// Adds the learned vectors of the positions from `n_past` on, where there are some.
    fn add_positions(&mut self, model: &Model, n_past: usize, x: &mut [f32], width: usize) {
        let Some(positions) = &model.positions else { return };
        let begun = self.recorder.begin();
        let own = &mut self.scratch[0];
        own.laps.begin();
        let room = &mut own.row[..width];
        let first = n_past + model.recipe.family.position_offset;
        for (i, x) in x.chunks_exact_mut(width).enumerate() {
            model.look_up(positions, first + i, &mut own.bytes, room);
            x.iter_mut().zip(&*room).for_each(|(x, v)| *x += v);
        }
        own.laps.lap(0);
        let parts = [Part::of_numbers("position_embd", StepKind::Lookup, x.len(), 1)];
        self.recorder.end(begun, By::Caller, &parts, laps(self.scratch));
    }

    /// Logits of one row of the residual stream.
    pub fn head(&mut self, model: &Model, x: &[f32], tok: &mut [f32], logits: &mut [f32]) {
        let input = Input::normed(x, x.len(), model.output_norm.as_ref());
        match &model.embd_out {
            None => self.linear(&model.output, input, logits, Keep::Set),
            Some(embd_out) => {
                let tok = &mut tok[..embd_out.n_out()];
                self.linear(embd_out, input, tok, Keep::Set);
                self.linear(&model.output, Input::plain(tok, tok.len()), logits, Keep::Set);
            }
        }
        let (scale, cap) = (model.recipe.logit_scale, model.recipe.logit_cap);
        if scale == 1.0 && cap.is_none() {
            return;
        }
        let begun = self.recorder.begin();
        let own = &mut self.scratch[0];
        own.laps.begin();
        if scale != 1.0 {
            logits.iter_mut().for_each(|v| *v *= scale);
        }
        if let Some(cap) = cap {
            self.kernels.soft_cap(logits, cap);
        }
        own.laps.lap(0);
        let n = logits.len();
        let parts = [Part::of_numbers("output_cap", StepKind::Activation, n, ACTIVATION_OPS)];
        self.recorder.end(begun, By::Caller, &parts, laps(self.scratch));
    }
}

impl Model {
    /// Writes the cosines and sines of the `n` positions from `n_past` on, set behind set, into
    /// `out`; how many numbers that were.
    fn angles(&self, (n_past, n): (usize, usize), n_ctx: usize, out: &mut [f32]) -> usize {
        let n_rot = self.shape.n_rot as usize;
        let size = n * n_rot;
        let of_windows = self.recipe.frequencies_of_windows.map(|set| (set, None));
        let own = self.recipe.frequencies.map(|set| (set, self.rope_factors.at(n_ctx)));
        let mut n_made = 0;
        for (set, factors) in own.into_iter().chain(of_windows) {
            let rows = out[n_made..][..size].chunks_exact_mut(n_rot);
            for (t, row) in rows.enumerate() {
                set.angles(n_past + t, factors, row);
            }
            n_made += size;
        }
        n_made
    }
}
