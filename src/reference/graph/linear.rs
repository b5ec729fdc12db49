//! Matrices that multiply activations, and the walk over their panels.

use std::ops::Range;

use crate::ggml::GgmlType;
use crate::reference::kernel::{Acts, Form, Kernels, TOKEN_BLOCK, matmul_panel};
use crate::reference::profile::{Part, StepKind};
use crate::reference::quant::panel;

/// One tensor of the file, packed into panels.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Element type.
    pub ty: GgmlType,
    /// Outputs.
    pub n_rows: usize,
    /// Inputs.
    pub k: usize,
    /// Where the panels lie in the weights.
    pub bytes: Range<usize>,
}

impl Matrix {
    /// The bytes of panel `p`.
    fn panel<'a>(&self, weights: &'a [u8], p: usize) -> &'a [u8] {
        let size = panel::bytes(self.ty, self.k);
        &weights[self.bytes.start + p * size..][..size]
    }

    /// Writes row `r` as the file had it into `row`.
    pub fn unpack_row(&self, weights: &[u8], r: usize, row: &mut [u8]) {
        let rows = panel::rows(self.ty);
        panel::unpack_row(self.ty, self.k, self.panel(weights, r / rows), r % rows, row);
    }
}

/// A linear map: one or more matrices over the same input, their outputs side by side.
#[derive(Clone, Debug)]
pub struct Linear {
    /// What it is called, after its tensor: `attn_qkv`, `ffn_down`, `output`.
    pub name: &'static str,
    /// The matrices, from the first output on.
    pub parts: Vec<Matrix>,
    /// Added to the outputs, `[n_out]`.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// Inputs.
    pub fn k(&self) -> usize {
        self.parts[0].k
    }

    /// Outputs.
    pub fn n_out(&self) -> usize {
        self.parts.iter().map(|p| p.n_rows).sum()
    }

    /// Bytes of all matrices.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|p| p.bytes.len()).sum()
    }

    /// A product with those of its matrices that want `form`, over `n` activations.
    pub fn part(&self, form: Form, n: usize) -> Part {
        let of = || self.parts.iter().filter(|part| Form::of(part.ty) == form);
        let outputs: usize = of().map(|part| part.n_rows).sum();
        let weights: usize = of().map(|part| part.bytes.len()).sum();
        Part {
            name: self.name,
            kind: StepKind::Matmul(of().next().map_or(GgmlType::F32, |part| part.ty)),
            ops: 2 * (self.k() * outputs * n) as u64,
            bytes: (weights + 4 * n * (self.k() + outputs)) as u64,
            memory_bytes: weights as u64,
        }
    }

    /// The forms of activations that its matrices need, each once.
    pub fn forms(&self) -> impl Iterator<Item = Form> + '_ {
        let form = |i: usize| Form::of(self.parts[i].ty);
        (0..self.parts.len()).filter(move |&i| (0..i).all(|j| form(j) != form(i))).map(form)
    }

    /// Computes the outputs `columns` of `n` activations as far as they come from matrices for
    /// the form that `x` has, and hands them on as `sink(t, first output, values)`.
    pub fn multiply(
        &self,
        kernels: &dyn Kernels,
        weights: &[u8],
        x: &Acts,
        n: usize,
        columns: Range<usize>,
        mut sink: impl FnMut(usize, usize, &[f32]),
    ) {
        let mut out = [0f32; TOKEN_BLOCK * panel::MAX_ROWS];
        let mut first = 0;
        for part in &self.parts {
            let rows = panel::rows(part.ty);
            let from = columns.start.clamp(first, first + part.n_rows) - first;
            let to = columns.end.clamp(first, first + part.n_rows) - first;
            if from < to && Form::of(part.ty) == x.form() {
                for p in from / rows..to.div_ceil(rows) {
                    let out = &mut out[..n * rows];
                    matmul_panel(kernels, part.ty, part.panel(weights, p), x, n, out);
                    let (start, end) = ((p * rows).max(from), ((p + 1) * rows).min(to));
                    for (t, out) in out.chunks_exact(rows).enumerate() {
                        sink(t, first + start, &out[start - p * rows..end - p * rows]);
                    }
                }
            }
            first += part.n_rows;
        }
    }
}
