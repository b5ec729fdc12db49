//! Norms: of a row before a matrix, of a head, of the residual stream.

use super::ops::{Ops, laps};
use crate::model::NormKind;
use crate::reference::kernel::{Kernels, TOKEN_BLOCK};
use crate::reference::profile::{By, Part, StepKind};
use crate::reference::tiles::Tiling;

/// Operations for each number, nominal: square, sum, scale, weigh.
pub(super) const NORM_OPS: u64 = 4;

/// A norm with what it learned.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    /// What it is called, after its tensor: `attn_norm`.
    pub name: &'static str,
    pub kind: NormKind,
    /// `[width]`, or empty where it has none
    pub weight: Vec<f32>,
    /// `[width]`, or empty where it has none
    pub bias: Vec<f32>,
    pub eps: f32,
}

impl Norm {
    /// `out = norm(x)`.
    pub fn apply(&self, kernels: &dyn Kernels, x: &[f32], out: &mut [f32]) {
        match self.kind {
            NormKind::Rms => kernels.rms_norm(x, &self.weight, self.eps, out),
            NormKind::Layer => kernels.layer_norm(x, &self.weight, &self.bias, self.eps, out),
        }
    }

    /// Makes it one whose results are `factor` times as large.
    pub fn scale(&mut self, factor: f32) {
        if factor != 1.0 {
            self.weight.iter_mut().chain(&mut self.bias).for_each(|v| *v *= factor);
        }
    }

    /// Norming `n` numbers, as part of a step.
    pub fn part(&self, n: usize) -> Part {
        Part::of_numbers(self.name, StepKind::Norm, n, NORM_OPS)
    }
}

/// What becomes of a normed row.
enum Then<'a> {
    /// It replaces itself.
    Replaces,
    /// It is added to the residual stream, from rows of its own.
    AddedFrom(&'a [f32]),
}

impl Ops<'_> {
    /// `x = norm(x)`, row by row of `width`.
    pub fn norm(&mut self, norm: &Norm, x: &mut [f32], width: usize) {
        self.norm_rows(norm, x, width, Then::Replaces);
    }

    /// `x += norm(y)`, row by row of `width`.
    pub fn add_normed(&mut self, norm: &Norm, y: &[f32], x: &mut [f32], width: usize) {
        self.norm_rows(norm, x, width, Then::AddedFrom(y));
    }

    fn norm_rows(&mut self, norm: &Norm, x: &mut [f32], width: usize, then: Then<'_>) {
        let kernels = self.kernels;
        let parts = [norm.part(x.len())];
        let row = |i: usize, x: &mut [f32], room: &mut [f32]| match then {
            Then::Replaces => {
                room.copy_from_slice(x);
                norm.apply(kernels, room, x);
            }
            Then::AddedFrom(y) => {
                norm.apply(kernels, &y[i * width..][..width], room);
                x.iter_mut().zip(room).for_each(|(x, v)| *x += *v);
            }
        };
        let begun = self.recorder.begin();
        if x.len() == width {
            let own = &mut self.scratch[0];
            own.laps.begin();
            row(0, x, &mut own.row[..width]);
            own.laps.lap(0);
            self.recorder.end(begun, By::Caller, &parts, laps(self.scratch));
            return;
        }
        let tiling = Tiling { row: width, rows: TOKEN_BLOCK, columns: width };
        self.pool.for_tiles(x, tiling, self.scratch, |tile, own| {
            own.laps.begin();
            for i in 0..tile.n_rows {
                row(tile.first_row + i, tile.row(i), &mut own.row[..width]);
            }
            own.laps.lap(0);
        });
        self.recorder.end(begun, By::All, &parts, laps(self.scratch));
    }
}
