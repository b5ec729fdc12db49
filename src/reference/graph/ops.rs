//! The steps of a pass that multiply with weights.
//!
//! Every step is one dispatch to the pool, cut into tiles that threads take as they come. For a
//! single token that makes five dispatches a layer; what lies between them (a norm, quantising a
//! row, turning a key) is less work than handing it out would be, and the caller does it.

use super::linear::Linear;
use super::model::{FeedForward, Layer, Model, Norms};
use super::product::{Input, Keep};
use super::session::{Scratch, TILE_COLUMNS};
use crate::reference::kernel::{Activation, Acts, Form, Kernels, TOKEN_BLOCK};
use crate::reference::pool::Pool;
use crate::reference::profile::{By, Laps, Part, Recorder, StepKind};
use crate::reference::quant::panel;
use crate::reference::tiles::{Tile, Tiling};

/// A tile that passes by a single activation has at least about so many bytes of weights.
const MIN_TILE_BYTES: usize = 64 << 10;
/// Operations for each number, nominal: exponential, addition, division, the gate's product and the
/// other's.
pub(super) const ACTIVATION_OPS: u64 = 5;
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

impl Ops<'_> {
    /// The first half of a layer's feed-forward part, from the residual stream `x` into `out`.
    pub fn feed_forward(&mut self, model: &Model, layer: &Layer, x: &[f32], out: &mut [f32]) {
        let f = model.recipe.family.activation;
        let input = Input::normed(x, model.shape.n_embd as usize, layer.ffn_input_norm());
        match &layer.ffn {
            FeedForward::Gated { gate, up } => self.gated(f, (gate, up), input, out),
            FeedForward::Plain { up } => self.linear(up, input, out, Keep::Activate(f)),
        }
    }

    /// Adds what a part of a layer comes to, `scale · w · part`, to the residual stream `x`, through
    /// the norms that stand there; `result` is room for what comes out where one of them needs it.
    pub fn add(
        &mut self,
        w: &Linear,
        part: &[f32],
        norms: &Norms,
        scale: f32,
        x: &mut [f32],
        result: &mut [f32],
    ) {
        let (input, width) = (Input::plain(part, w.k()), w.n_out());
        match &norms.result {
            None => self.linear(w, input, x, Keep::Add(scale)),
            Some(norm) => {
                let result = &mut result[..x.len()];
                self.linear(w, input, result, Keep::Set);
                self.add_normed(norm, result, x, width);
            }
        }
        if let Some(norm) = &norms.stream {
            self.norm(norm, x, width);
        }
    }

    /// `W · input + bias`, kept in `out` as `keep` says; of several matrices no function of results.
    pub fn linear(&mut self, w: &Linear, input: Input<'_>, out: &mut [f32], keep: Keep) {
        let n = input.n();
        let activation = match keep {
            Keep::Activate(f) => Some(f),
            _ => None,
        };
        for form in w.forms() {
            self.prepare(w.name, form, input);
            let tiling = self.tiling(w, n, usize::MAX);
            let n_values = out.len();
            let begun = self.recorder.begin();
            let (kernels, weights, acts) = (self.kernels, self.weights, &*self.acts);
            self.pool.for_tiles(out, tiling, self.scratch, |tile, scratch| {
                scratch.laps.begin();
                multiply(w, kernels, weights, acts, tile, |out, column, values| {
                    keep.put(w, out, column, values);
                });
                scratch.laps.lap(0);
                if let Some(f) = activation {
                    (0..tile.n_rows).for_each(|t| kernels.activate(f, tile.row(t)));
                    scratch.laps.lap(1);
                }
            });
            let parts = [w.part(form, n), activated(n_values)];
            let n_parts = 1 + usize::from(activation.is_some());
            self.recorder.end(begun, By::All, &parts[..n_parts], laps(self.scratch));
        }
    }

    /// `out = f(gate · input) · (up · input)`.
    pub fn gated(
        &mut self,
        f: Activation,
        (gate, up): (&Linear, &Linear),
        input: Input<'_>,
        out: &mut [f32],
    ) {
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
                kernels.gate(f, tile.row(t), up);
            }
            scratch.laps.lap(1);
        });
        let parts = [up.part(of(up), n), activated(n_values), gate.part(of(gate), n)];
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

/// The function of the feed-forward layer, of `n` numbers.
fn activated(n: usize) -> Part {
    Part::of_numbers("ffn_act", StepKind::Activation, n, ACTIVATION_OPS)
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
