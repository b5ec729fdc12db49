//! The steps of a pass that multiply with weights.
//!
//! Every step is one dispatch to the pool, cut into tiles that threads take as they come. For a
//! single token that makes five dispatches a layer; what lies between them (a norm, quantising a
//! row, turning a key) is less work than handing it out would be, and the caller does it.

use super::linear::Linear;
use super::session::{Scratch, TILE_COLUMNS};
use crate::reference::kernel::{Acts, Form, Kernels, TOKEN_BLOCK};
use crate::reference::pool::Pool;
use crate::reference::profile::{By, Laps, Part, Recorder, StepKind};
use crate::reference::quant::panel;
use crate::reference::tiles::{Tile, Tiling};

/// A tile that passes by a single activation has at least about so many bytes of weights.
const MIN_TILE_BYTES: usize = 64 << 10;
/// Operations for each number, nominal: square, sum, scale, weigh.
const NORM_OPS: u64 = 4;
/// Exponential, addition, division, the gate's product and the other's.
const SILU_OPS: u64 = 5;
/// Tiles for each thread where there are many activations: enough that none waits long.
const TILES_PER_THREAD: usize = 8;

/// Everything a step works with.
pub(super) struct Ops<'a> {
    pub pool: &'a mut Pool,
    pub kernels: &'a dyn Kernels,
    pub weights: &'a [u8],
    pub acts: &'a mut [Acts],
    pub scratch: &'a mut [Scratch],
    pub recorder: &'a mut Recorder,
}

/// Rows that go into a matrix, through a norm or as they are.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    data: &'a [f32],
    width: usize,
    norm: Option<Norm<'a>>,
}

/// A norm before a matrix.
#[derive(Clone, Copy)]
struct Norm<'a> {
    name: &'static str,
    weight: &'a [f32],
    eps: f32,
}

impl<'a> Input<'a> {
    /// Rows of `width` as they are.
    pub fn plain(data: &'a [f32], width: usize) -> Input<'a> {
        Input { data, width, norm: None }
    }

    /// Rows, through the norm called `name`.
    pub fn normed(name: &'static str, data: &'a [f32], weight: &'a [f32], eps: f32) -> Input<'a> {
        Input { data, width: weight.len(), norm: Some(Norm { name, weight, eps }) }
    }

    fn n(&self) -> usize {
        self.data.len() / self.width
    }

    fn put(&self, i: usize, kernels: &dyn Kernels, acts: &mut Acts, t: usize, own: &mut Scratch) {
        let row = &self.data[i * self.width..][..self.width];
        match self.norm {
            None => acts.set(kernels, t, row),
            Some(Norm { weight, eps, .. }) => {
                let room = &mut own.row[..self.width];
                kernels.rms_norm(row, weight, eps, room);
                own.laps.lap(1);
                acts.set(kernels, t, room);
            }
        }
        own.laps.lap(0);
    }

    /// Bringing its rows into the form that the matrix `name` wants, and the norm before that.
    fn parts(&self, name: &'static str) -> ([Part; 2], usize) {
        let n = self.data.len();
        let quantise = Part::of_numbers(name, StepKind::Quantise, n, 0);
        match self.norm {
            None => ([quantise, quantise], 1),
            Some(norm) => ([quantise, Part::of_numbers(norm.name, StepKind::Norm, n, NORM_OPS)], 2),
        }
    }
}

/// What becomes of results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// They replace what is there.
    Set,
    /// They are added to it.
    Add,
}

impl Ops<'_> {
    /// `out = W · input + bias`, or that added to `out`.
    pub fn linear(&mut self, w: &Linear, input: Input<'_>, out: &mut [f32], keep: Keep) {
        let n = input.n();
        for form in w.forms() {
            self.prepare(w.name, form, input);
            let tiling = self.tiling(w, n, usize::MAX);
            let begun = self.recorder.begin();
            let (kernels, weights, acts) = (self.kernels, self.weights, &*self.acts);
            self.pool.for_tiles(out, tiling, self.scratch, |tile, scratch| {
                scratch.laps.begin();
                multiply(w, kernels, weights, acts, tile, |out, column, values| {
                    match (keep, &w.bias) {
                        (Keep::Set, None) => out.copy_from_slice(values),
                        (Keep::Set, Some(bias)) => {
                            let biased = values.iter().zip(&bias[column..]);
                            out.iter_mut().zip(biased).for_each(|(o, (v, b))| *o = v + b);
                        }
                        (Keep::Add, _) => {
                            out.iter_mut().zip(values).for_each(|(o, v)| *o += v);
                        }
                    }
                });
                scratch.laps.lap(0);
            });
            self.recorder.end(begun, By::All, &[w.part(form, n)], laps(self.scratch));
        }
    }

    /// `out = silu(gate · input) · (up · input)`.
    pub fn gated(&mut self, gate: &Linear, up: &Linear, input: Input<'_>, out: &mut [f32]) {
        let n = input.n();
        let of = |w: &Linear| Form::of(w.parts[0].ty);
        let together = of(gate) == of(up);
        if !together {
            self.linear(gate, input, out, Keep::Set);
        }
        self.prepare(up.name, of(up), input);
        let tiling = self.tiling(up, n, TILE_COLUMNS);
        let n_values = out.len();
        let begun = self.recorder.begin();
        let (kernels, weights, acts) = (self.kernels, self.weights, &*self.acts);
        self.pool.for_tiles(out, tiling, self.scratch, |tile, scratch| {
            scratch.laps.begin();
            if together {
                multiply(gate, kernels, weights, acts, tile, |out, _, v| out.copy_from_slice(v));
                scratch.laps.lap(2);
            }
            let (x, n) = (&acts[tile.first_row / TOKEN_BLOCK], tile.n_rows);
            let (first, width) = (tile.first_column, tile.n_columns);
            up.multiply(kernels, weights, x, n, first..first + width, |t, column, values| {
                scratch.up[t * width + column - first..][..values.len()].copy_from_slice(values);
            });
            scratch.laps.lap(0);
            for (t, up) in scratch.up.chunks_exact(width).take(n).enumerate() {
                kernels.silu_mul(tile.row(t), up);
            }
            scratch.laps.lap(1);
        });
        let silu = Part::of_numbers("ffn_act", StepKind::Activation, n_values, SILU_OPS);
        let parts = [up.part(of(up), n), silu, gate.part(of(gate), n)];
        let n_parts = if together { 3 } else { 2 };
        self.recorder.end(begun, By::All, &parts[..n_parts], laps(self.scratch));
    }

    /// Brings `input` into the form that the matrix `name` wants.
    fn prepare(&mut self, name: &'static str, form: Form, input: Input<'_>) {
        let (kernels, n) = (self.kernels, input.n());
        let begun = self.recorder.begin();
        let (parts, n_parts) = input.parts(name);
        if n == 1 {
            self.acts[0].reset(form, input.width);
            self.scratch[0].laps.begin();
            input.put(0, kernels, &mut self.acts[0], 0, &mut self.scratch[0]);
            self.recorder.end(begun, By::Caller, &parts[..n_parts], laps(self.scratch));
            return;
        }
        let blocks = &mut self.acts[..n.div_ceil(TOKEN_BLOCK)];
        let one = Tiling { row: 1, rows: 1, columns: 1 };
        self.pool.for_tiles(blocks, one, self.scratch, |tile, scratch| {
            scratch.laps.begin();
            let first = tile.first_row * TOKEN_BLOCK;
            let acts = &mut tile.row(0)[0];
            acts.reset(form, input.width);
            for t in 0..TOKEN_BLOCK.min(n - first) {
                input.put(first + t, kernels, acts, t, scratch);
            }
        });
        self.recorder.end(begun, By::All, &parts[..n_parts], laps(self.scratch));
    }

    /// How the outputs of `n` activations are shared out.
    fn tiling(&self, w: &Linear, n: usize, max_columns: usize) -> Tiling {
        let (n_out, threads) = (w.n_out(), self.pool.n_threads());
        let tiles = if threads == 1 && n == 1 {
            1
        } else if n == 1 {
            let spare = w.bytes() / (threads * MIN_TILE_BYTES);
            threads * spare.clamp(1, TILES_PER_THREAD)
        } else {
            (threads * TILES_PER_THREAD).div_ceil(n.div_ceil(TOKEN_BLOCK))
        };
        let columns = n_out.div_ceil(tiles).next_multiple_of(panel::MAX_ROWS);
        let columns = if n == 1 { columns } else { columns.min(max_columns) };
        Tiling { row: n_out, rows: TOKEN_BLOCK, columns }
    }
}

/// What the threads noted.
pub(super) fn laps(scratch: &mut [Scratch]) -> impl ExactSizeIterator<Item = &mut Laps> {
    scratch.iter_mut().map(|own| &mut own.laps)
}

/// Computes a tile of `w · x` and hands each run of values on as `sink(place in the tile, first
/// output, values)`.
fn multiply(
    w: &Linear,
    kernels: &dyn Kernels,
    weights: &[u8],
    acts: &[Acts],
    tile: &mut Tile<'_, f32>,
    sink: impl Fn(&mut [f32], usize, &[f32]),
) {
    let x = &acts[tile.first_row / TOKEN_BLOCK];
    let (first, n) = (tile.first_column, tile.n_rows);
    w.multiply(kernels, weights, x, n, first..first + tile.n_columns, |t, column, values| {
        sink(&mut tile.row(t)[column - first..][..values.len()], column, values);
    });
}
