//! The two ends of a product with a matrix: the rows that go in, and what becomes of its results.

use super::linear::Linear;
use super::norm::Norm;
use super::session::Scratch;
use crate::reference::kernel::{Activation, Acts, Kernels};
use crate::reference::profile::{Part, StepKind};

/// Rows that go into a matrix, through a norm or as they are.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    data: &'a [f32],
    /// From one row to the next.
    stride: usize,
    /// Where in a row what is meant begins, and how much of it there is.
    first: usize,
    pub width: usize,
    norm: Option<&'a Norm>,
}

impl<'a> Input<'a> {
    /// Rows of `width` as they are.
    pub fn plain(data: &'a [f32], width: usize) -> Input<'a> {
        Input { data, stride: width, first: 0, width, norm: None }
    }

    /// Rows of `width` through a norm, where there is one.
    pub fn normed(data: &'a [f32], width: usize, norm: Option<&'a Norm>) -> Input<'a> {
        Input { norm, ..Input::plain(data, width) }
    }

    /// Of rows of `stride` the `width` numbers from `first` on, through a norm.
    pub fn of_part(
        data: &'a [f32],
        stride: usize,
        (first, width): (usize, usize),
        norm: &'a Norm,
    ) -> Input<'a> {
        Input { data, stride, first, width, norm: Some(norm) }
    }

    /// How many there are.
    pub fn n(&self) -> usize {
        self.data.len() / self.stride
    }

    /// Brings row `i` into place `t` of `acts`, in the form that these have.
    pub fn put(
        &self,
        i: usize,
        kernels: &dyn Kernels,
        acts: &mut Acts,
        t: usize,
        own: &mut Scratch,
    ) {
        let row = &self.data[i * self.stride + self.first..][..self.width];
        match self.norm {
            None => acts.set(kernels, t, row),
            Some(norm) => {
                let room = &mut own.row[..self.width];
                norm.apply(kernels, row, room);
                own.laps.lap(1);
                acts.set(kernels, t, room);
            }
        }
        own.laps.lap(0);
    }

    /// Bringing its rows into the form that the matrix `name` wants, and the norm before that.
    pub fn parts(&self, name: &'static str) -> ([Part; 2], usize) {
        let n = self.n() * self.width;
        let quantise = Part::of_numbers(name, StepKind::Quantise, n, 0);
        match self.norm {
            None => ([quantise, quantise], 1),
            Some(norm) => ([quantise, norm.part(n)], 2),
        }
    }
}

/// What becomes of results.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Keep {
    /// They replace what is there.
    Set,
    /// They replace it, held between −c and c.
    Clamp(f32),
    /// They are multiplied with this and added to it.
    Add(f32),
    /// They go through this function and replace it.
    Activate(Activation),
}

impl Keep {
    /// Puts `values`, the outputs of `w` from `column` on, to `out`.
    #[inline]
    pub fn put(self, w: &Linear, out: &mut [f32], column: usize, values: &[f32]) {
        match (self, &w.bias) {
            (Keep::Add(scale), None) => {
                out.iter_mut().zip(values).for_each(|(o, v)| *o += scale * v);
            }
            (Keep::Add(scale), Some(bias)) => {
                let biased = values.iter().zip(&bias[column..]);
                out.iter_mut().zip(biased).for_each(|(o, (v, b))| *o += scale * (v + b));
            }
            (_, None) => out.copy_from_slice(values),
            (_, Some(bias)) => {
                let biased = values.iter().zip(&bias[column..]);
                out.iter_mut().zip(biased).for_each(|(o, (v, b))| *o = v + b);
            }
        }
        if let Keep::Clamp(most) = self {
            out.iter_mut().for_each(|o| *o = o.clamp(-most, most));
        }
    }
}
