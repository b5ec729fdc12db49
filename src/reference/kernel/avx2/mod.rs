//! AVX2 with FMA and F16C: x86-64 from 2013 on.
//!
//! The functions in this folder that carry `#[target_feature]` are entered only from the methods
//! below, and the value they need, [`Avx2`], is made only by [`Avx2::detect`].

// An index names the register of a tile; an iterator would hide which.
#![allow(clippy::needless_range_loop)]

mod activation;
mod block;
mod float;
mod k_formats;
mod q8_0;
mod quantize;
mod super_block;
mod vector;

use super::acts::{Acts, Form, QuantisedActs};
use super::{Activation, FloatPanel, Kernels, Rows, RowsMut};
use crate::ggml::GgmlType;
use crate::reference::quant::{self, panel::QUANT_ROWS};

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

impl Avx2 {
    fn blocks<F: block::Format>(
        &self,
        panel: &[u8],
        x: QuantisedActs<'_>,
        n: usize,
        out: &mut [f32],
    ) {
        check(panel, F::BYTES, 32, &x, n, out);
        // SAFETY: `self` proves the features; `check` and the making of `x`, which has what the form
        // of the type has, prove the lengths.
        unsafe { block::panel::<F>(panel, x, n, out) }
    }

    fn super_blocks<F: super_block::Format>(
        &self,
        panel: &[u8],
        x: QuantisedActs<'_>,
        n: usize,
        out: &mut [f32],
    ) {
        check(panel, F::BYTES, 256, &x, n, out);
        // SAFETY: as above.
        unsafe { super_block::panel::<F>(panel, x, n, out) }
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

    fn quant_panel(&self, ty: GgmlType, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::of(ty), n);
        match ty {
            GgmlType::Q8_0 => {
                check(panel, q8_0::BYTES, 32, &x, n, out);
                // SAFETY: `self` proves the features; `quantised` and `check` prove the lengths.
                unsafe { q8_0::panel(panel, x, n, out) }
            }
            GgmlType::Q5_0 => self.blocks::<block::Q5<false>>(panel, x, n, out),
            GgmlType::Q5_1 => self.blocks::<block::Q5<true>>(panel, x, n, out),
            GgmlType::Q4_0 => self.blocks::<block::Q4<false>>(panel, x, n, out),
            GgmlType::Q4_1 => self.blocks::<block::Q4<true>>(panel, x, n, out),
            GgmlType::IQ4_NL => self.blocks::<block::Iq4Nl>(panel, x, n, out),
            GgmlType::Q2_K => self.super_blocks::<k_formats::Q2K>(panel, x, n, out),
            GgmlType::Q3_K => self.super_blocks::<k_formats::Q3K>(panel, x, n, out),
            GgmlType::Q4_K => self.super_blocks::<k_formats::Q4K>(panel, x, n, out),
            GgmlType::Q5_K => self.super_blocks::<k_formats::Q5K>(panel, x, n, out),
            GgmlType::Q6_K => self.super_blocks::<k_formats::Q6K>(panel, x, n, out),
            GgmlType::IQ4_XS => self.super_blocks::<k_formats::Iq4Xs>(panel, x, n, out),
            _ => panic!("no kernel for {ty}"),
        }
    }

    fn quantize_q8(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8(x, q, d, sums) }
    }

    fn quantize_q8_sum(&self, x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8_sum(x, q, d, s) }
    }

    fn quantize_q8_wide(&self, x: &[f32], q: &mut [i16], d: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8_wide(x, q, d) }
    }

    fn quantize_q8_k(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
        // SAFETY: `self` proves the features, the only duty of this safe function's caller.
        unsafe { quantize::q8_k(x, q, d, sums) }
    }

    fn dequantize(&self, ty: GgmlType, blocks: &[u8], out: &mut [f32]) {
        // SAFETY: `self` proves the features, the only duty of these safe functions' caller.
        unsafe {
            match ty {
                GgmlType::Q8_0 => quantize::from_q8_0(blocks, out),
                GgmlType::Q4_0 => quantize::from_q4_0(blocks, out),
                _ => quant::dequantize_row(ty, blocks, out),
            }
        }
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
