//! Norm, gate and softmax.

use std::arch::x86_64::*;

/// # Panics
/// When the lengths differ.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(weight.len() == x.len() && out.len() == x.len(), "as many out as in");
    let (chunks, rest) = x.as_chunks::<16>();
    let mut acc = [_mm256_setzero_ps(); 2];
    for x in chunks {
        let (a, b) = halves(x);
        acc = [_mm256_fmadd_ps(a, a, acc[0]), _mm256_fmadd_ps(b, b, acc[1])];
    }
    let sum = sum(_mm256_add_ps(acc[0], acc[1])) + rest.iter().map(|v| v * v).sum::<f32>();
    let scale = 1.0 / (sum / x.len() as f32 + eps).sqrt();
    for ((v, w), out) in x.iter().zip(weight).zip(out) {
        *out = v * scale * w;
    }
}

/// See [`super::Kernels::layer_norm`].
///
/// # Panics
/// When the lengths differ.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    assert!(out.len() == x.len(), "as many out as in");
    assert!(
        [0, x.len()].contains(&weight.len()) && [0, x.len()].contains(&bias.len()),
        "all or none"
    );
    let n = x.len() as f32;
    let (chunks, rest) = x.as_chunks::<16>();
    let mut acc = [_mm256_setzero_ps(); 2];
    for x in chunks {
        let (a, b) = halves(x);
        acc = [_mm256_add_ps(a, acc[0]), _mm256_add_ps(b, acc[1])];
    }
    let mean = (sum(_mm256_add_ps(acc[0], acc[1])) + rest.iter().sum::<f32>()) / n;
    let shift = _mm256_set1_ps(mean);
    let mut acc = [_mm256_setzero_ps(); 2];
    for x in chunks {
        let (a, b) = halves(x);
        let (a, b) = (_mm256_sub_ps(a, shift), _mm256_sub_ps(b, shift));
        acc = [_mm256_fmadd_ps(a, a, acc[0]), _mm256_fmadd_ps(b, b, acc[1])];
    }
    let rest: f32 = rest.iter().map(|v| (v - mean) * (v - mean)).sum();
    let variance = (sum(_mm256_add_ps(acc[0], acc[1])) + rest) / n;
    let scale = 1.0 / (variance + eps).sqrt();
    for (v, out) in x.iter().zip(out.iter_mut()) {
        *out = (v - mean) * scale;
    }
    out.iter_mut().zip(weight).for_each(|(out, w)| *out *= w);
    out.iter_mut().zip(bias).for_each(|(out, b)| *out += b);
}

/// # Panics
/// When the lengths differ.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "as many up as gate");
    let (gate, rest) = gate.as_chunks_mut::<8>();
    let (up, rest_up) = up.as_chunks::<8>();
    for (g, u) in gate.iter_mut().zip(up) {
        *g = store(_mm256_mul_ps(silu(load(g)), load(u)));
    }
    for (g, u) in rest.iter_mut().zip(rest_up) {
        *g = *g / (1.0 + (-*g).exp()) * u;
    }
}

/// See [`super::Kernels::softmax_step`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn softmax_step(scores: &mut [f32], max: f32) -> (f32, f32) {
    let (chunks, rest) = scores.as_chunks_mut::<8>();
    let mut highest = _mm256_set1_ps(max);
    for s in chunks.iter() {
        highest = _mm256_max_ps(load(s), highest);
    }
    let max = store(highest).iter().chain(rest.iter()).fold(max, |m, s| m.max(*s));
    let shift = _mm256_set1_ps(max);
    let mut total = _mm256_setzero_ps();
    for s in chunks.iter_mut() {
        let e = exp(_mm256_sub_ps(load(s), shift));
        total = _mm256_add_ps(total, e);
        *s = store(e);
    }
    let mut total = sum(total);
    for s in rest {
        *s = (*s - max).exp();
        total += *s;
    }
    (max, total)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn silu(x: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let e = exp(_mm256_sub_ps(_mm256_setzero_ps(), x));
    _mm256_div_ps(x, _mm256_add_ps(one, e))
}

/// `e^x` within 2 units in the last place where the result is a normal number: `x = n · ln 2 + r`
/// with `|r| ≤ ln 2 / 2`, the series of `e^r` to the seventh power, times `2^n`. Below −87.3 it is
/// zero, above 88 it stays at `e^88`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp(x: __m256) -> __m256 {
    let underflow = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(-87.3));
    // The order of operands lets a NaN through.
    let x = _mm256_min_ps(_mm256_set1_ps(88.0), x);
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(std::f32::consts::LOG2_E),
    ));
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693_359_4), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.121_944_4e-4), r);
    let mut p = _mm256_set1_ps(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
    }
    let two_to_n =
        _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    let y = _mm256_mul_ps(p, _mm256_castsi256_ps(two_to_n));
    _mm256_andnot_ps(underflow, y)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(v: &[f32; 8]) -> __m256 {
    // SAFETY: 8 numbers; the load needs no alignment.
    unsafe { _mm256_loadu_ps(v.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(v: &[f32; 16]) -> (__m256, __m256) {
    // SAFETY: 16 numbers; the loads need no alignment.
    unsafe { (_mm256_loadu_ps(v.as_ptr()), _mm256_loadu_ps(v.as_ptr().add(8))) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(v: __m256) -> [f32; 8] {
    let mut out = [0.0; 8];
    // SAFETY: 8 numbers; the store needs no alignment.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
    out
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}
