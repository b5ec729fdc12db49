//! Kernels: everything that loops over elements, as sets for one instruction set each.
//!
//! [`Plain`] is the definition of correct. Other sets stand beside it in files of their own; a
//! set is a zero-sized proof that only detection at run time can make, so holding one is the
//! permission to run its instructions. A set is chosen once, at start, and kept.

mod activation;
mod acts;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use acts::{Acts, Form, TOKEN_BLOCK};
#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
pub use plain::Plain;

use crate::ggml::GgmlType;
use crate::reference::quant::{self, panel};

/// A set of kernels.
///
/// Matrices come as panels ([`panel`]); `n` activations in `x` give `n` rows of one value per
/// panel row in `out`.
pub trait Kernels: Send + Sync {
    /// The instruction set, as reported and as forced by name.
    fn name(&self) -> &'static str;

    /// A panel of unquantised numbers:
    /// `out[t · ldo + r] = Σ_i a[t · lda + i] · panel[i][r]` for `t` in `0..m`, `i` in `0..k`,
    /// `r` in `0..16`; added to what is there when `add` is set.
    fn float_panel(&self, panel: FloatPanel<'_>, a: Rows<'_>, out: RowsMut<'_>, add: bool);

    /// A panel of a quantised type with activations of the form that [`Form::of`] names.
    fn quant_panel(&self, ty: GgmlType, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]);

    /// Blocks of 32: `d` (rounded to f16) and `q` with `x ≈ d · q`, and `8 · Σ q` per block.
    fn quantize_q8(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]);

    /// As [`Kernels::quantize_q8`], with `s = d · Σ q`, of `d` before it is rounded, rounded to f16.
    fn quantize_q8_sum(&self, x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [f32]);

    /// As [`Kernels::quantize_q8`], with `q` in 16 bits and without the sums.
    fn quantize_q8_wide(&self, x: &[f32], q: &mut [i16], d: &mut [f32]);

    /// Blocks of 256: the value of largest size becomes −127, whatever its sign. `sums` has two sums
    /// of 16 `q` for each 32, in the low and the high half.
    fn quantize_q8_k(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]);

    /// The numbers of blocks of a type of the KV cache.
    fn dequantize(&self, ty: GgmlType, blocks: &[u8], out: &mut [f32]) {
        quant::dequantize_row(ty, blocks, out);
    }

    /// Rounds to `ty` (`F16` or `BF16`) and back.
    fn round_to(&self, ty: GgmlType, x: &[f32], out: &mut [f32]);

    /// `out = x · weight / sqrt(mean(x²) + eps)`.
    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]);

    /// `gate = silu(gate) · up`.
    fn silu_mul(&self, gate: &mut [f32], up: &[f32]);

    /// `out = (x − mean(x)) / sqrt(variance(x) + eps) · weight + bias`. Of a norm that has none,
    /// weight and bias are empty.
    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]);

    /// `x = f(x)`.
    fn activate(&self, f: Activation, x: &mut [f32]);

    /// `gate = gelu(gate) · up`, with [`Activation::Gelu`].
    fn gelu_mul(&self, gate: &mut [f32], up: &[f32]);

    /// `gate = f(gate) · up`.
    fn gate(&self, f: Activation, gate: &mut [f32], up: &[f32]) {
        match f {
            Activation::Silu => self.silu_mul(gate, up),
            Activation::Gelu => self.gelu_mul(gate, up),
            f => {
                self.activate(f, gate);
                gate.iter_mut().zip(up).for_each(|(gate, up)| *gate *= up);
            }
        }
    }

    /// `x = cap · tanh(x / cap)`.
    fn soft_cap(&self, x: &mut [f32], cap: f32);

    /// A step of a running softmax over rows of scores: with `m` the larger of `max` and the
    /// largest score, replaces each score `s` by `exp(s − m)` and returns `m` and their sum.
    fn softmax_step(&self, scores: &mut [f32], max: f32) -> (f32, f32);
}

/// A panel of unquantised numbers.
#[derive(Clone, Copy)]
pub struct FloatPanel<'a> {
    /// `F32`, `F16` or `BF16`.
    pub ty: GgmlType,
    /// 16 numbers for each of `k` elements.
    pub bytes: &'a [u8],
    /// Length of the rows.
    pub k: usize,
}

/// `m` rows of numbers with a stride between them.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The numbers.
    pub data: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
    /// How many rows.
    pub m: usize,
}

/// `m` rows of numbers with a stride between them, to be written.
pub struct RowsMut<'a> {
    /// The numbers.
    pub data: &'a mut [f32],
    /// From one row to the next.
    pub stride: usize,
}

impl FloatPanel<'_> {
    /// Checks that the kernel may touch what the sizes promise.
    fn check(&self, a: &Rows<'_>, out: &RowsMut<'_>) {
        let size = self.ty.block_bytes() as usize;
        let holds = |len: usize, needed: Option<usize>| needed.is_some_and(|n| n <= len);
        let bytes = self.k.checked_mul(panel::FLOAT_ROWS * size);
        assert!(holds(self.bytes.len(), bytes), "panel of {} rows", self.k);
        if let Some(last) = a.m.checked_sub(1) {
            let end = |stride: usize, row: usize| last.checked_mul(stride)?.checked_add(row);
            assert!(holds(a.data.len(), end(a.stride, self.k)), "rows read");
            assert!(holds(out.data.len(), end(out.stride, panel::FLOAT_ROWS)), "rows written");
        }
    }
}

/// Multiplies one panel of any supported type with the first `n` activations of `x`, which must
/// have the form that [`Form::of`] names; `out` gets `n` times [`panel::rows`] values.
pub fn matmul_panel(
    kernels: &dyn Kernels,
    ty: GgmlType,
    bytes: &[u8],
    x: &Acts,
    n: usize,
    out: &mut [f32],
) {
    match Form::of(ty) {
        Form::F32 | Form::F16 | Form::BF16 => kernels.float_panel(
            FloatPanel { ty, bytes, k: x.k() },
            Rows { data: x.floats(), stride: x.k(), m: n },
            RowsMut { data: out, stride: panel::FLOAT_ROWS },
            false,
        ),
        _ => kernels.quant_panel(ty, bytes, x, n, out),
    }
}

/// A set of kernels that this machine or this build does not have.
#[derive(Debug, thiserror::Error)]
#[error("instruction set `{found}`, this machine has {}", available.join(", "))]
pub struct UnknownSet {
    /// What was asked for.
    pub found: String,
    /// What could be had.
    pub available: Vec<&'static str>,
}

static PLAIN: Plain = Plain;

/// Every set that runs on this machine, the fastest first.
pub fn available() -> Vec<&'static dyn Kernels> {
    let mut sets: Vec<&'static dyn Kernels> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = Avx2::detect() {
        sets.push(set);
    }
    sets.push(&PLAIN);
    sets
}

/// The set called `name`, or the fastest where none is named.
pub fn choose(name: Option<&str>) -> Result<&'static dyn Kernels, UnknownSet> {
    let sets = available();
    match name {
        None => Ok(sets[0]),
        Some(name) => sets.iter().copied().find(|s| s.name() == name).ok_or_else(|| UnknownSet {
            found: name.to_owned(),
            available: sets.iter().map(|s| s.name()).collect(),
        }),
    }
}
