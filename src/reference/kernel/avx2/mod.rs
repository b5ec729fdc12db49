//! AVX2 with FMA and F16C: x86-64 from 2013 on.
//!
//! The functions in this folder that carry `#[target_feature]` are entered only from the methods
//! below, and the value they need, [`Avx2`], is made only by [`Avx2::detect`].

// An index names the register of a tile; an iterator would hide which.
#![allow(clippy::needless_range_loop)]

mod activation;
mod float;
mod q4;
mod q6_k;
mod q8_0;
mod quantize;
mod vector;

use super::acts::{Acts, Form, QuantisedActs};
use super::{Activation, FloatPanel, Kernels, Rows, RowsMut};
use crate::ggml::GgmlType;
use crate::reference::quant::panel::QUANT_ROWS;

/// Proof that this machine has AVX2, FMA and F16C.
#[derive(Debug)]
pub struct Avx2(());

static AVX2: Avx2 = Avx2(());

impl Avx2 {
    /// The set, where the machine has what it needs.
    pub fn detect() -> Option<&'static Avx2> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(&AVX2)
    }
}

/// Checks the sizes that a kernel of quantised panels relies on.
fn check(
    panel: &[u8],
    block_bytes: usize,
    block: usize,
    x: &QuantisedActs<'_>,
    n: usize,
    out: &[f32],
) {
    let bytes = (x.k / block).checked_mul(block_bytes);
    assert_eq!(Some(panel.len()), bytes, "bytes of a panel");
    assert!(n.checked_mul(QUANT_ROWS).is_some_and(|n| n <= out.len()), "values written");
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn float_panel(&self, panel: FloatPanel<'_>, a: Rows<'_>, out: RowsMut<'_>, add: bool) {
        panel.check(&a, &out);
        // SAFETY: `self` proves the features; `check` proves that panel and rows are as long as
        // `k`, the strides and `m` say.
        unsafe { float::panel(panel, a, out, add) }
    }

    fn q8_0_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8Wide, n);
        check(panel, q8_0::BYTES, 32, &x, n, out);
        // SAFETY: `self` proves the features; `quantised` and `check` prove the lengths.
        unsafe { q8_0::panel(panel, x, n, out) }
    }

    fn q4_0_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8, n);
        check(panel, q4::BYTES_0, 32, &x, n, out);
        // SAFETY: `self` proves the features; `quantised` and `check` prove the lengths.
        unsafe { q4::panel::<false>(panel, x, n, out) }
    }

    fn q4_1_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8, n);
        check(panel, q4::BYTES_1, 32, &x, n, out);
        // SAFETY: `self` proves the features; `quantised` and `check` prove the lengths.
        unsafe { q4::panel::<true>(panel, x, n, out) }
    }

    fn q6_k_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8K, n);
        check(panel, q6_k::BYTES, 256, &x, n, out);
        // SAFETY: `self` proves the features; `quantised` and `check` prove the lengths.
        unsafe { q6_k::panel(panel, x, n, out) }
    }

    fn quantize_q8(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8(x, q, d, sums) }
    }

    fn quantize_q8_wide(&self, x: &[f32], q: &mut [i16], d: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8_wide(x, q, d) }
    }

    fn round_to(&self, ty: GgmlType, x: &[f32], out: &mut [f32]) {
        match ty {
            // SAFETY: `self` proves the features, the only duty of this safe function's caller.
            GgmlType::F16 => unsafe { quantize::round_f16(x, out) },
            _ => super::Plain.round_to(ty, x, out),
        }
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { vector::rms_norm(x, weight, eps, out) }
    }

    fn silu_mul(&self, gate: &mut [f32], up: &[f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { vector::silu_mul(gate, up) }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { vector::layer_norm(x, weight, bias, eps, out) }
    }

    fn activate(&self, f: Activation, x: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of these safe functions' caller.
        unsafe {
            match f {
                Activation::Silu => activation::silu(x),
                Activation::Gelu => activation::gelu(x),
                Activation::GeluErf => activation::gelu_erf(x),
                Activation::Relu => activation::relu(x),
                Activation::ReluSquared => activation::relu_squared(x),
            }
        }
    }

    fn gelu_mul(&self, gate: &mut [f32], up: &[f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { activation::gelu_mul(gate, up) }
    }

    fn soft_cap(&self, x: &mut [f32], cap: f32) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { activation::soft_cap(x, cap) }
    }

    fn softmax_step(&self, scores: &mut [f32], max: f32) -> (f32, f32) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { vector::softmax_step(scores, max) }
    }
}
