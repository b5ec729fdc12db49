//! The functions of feed-forward layers, and the soft cap, eight numbers at a time.

use std::arch::x86_64::*;

use super::super::Activation;
use super::super::activation::{ERF_A, ERF_P, GELU_CUBE, SQRT_2_OVER_PI};
use super::vector::{exp, load, store};

macro_rules! over_all {
    ($(#[$doc:meta])* $name:ident, $eight:ident, $one:expr) => {
        $(#[$doc])*
        #[target_feature(enable = "avx2,fma,f16c")]
        pub(super) fn $name(x: &mut [f32]) {
            let (chunks, rest) = x.as_chunks_mut::<8>();
            for x in chunks {
                *x = store($eight(load(x)));
            }
            rest.iter_mut().for_each(|x| *x = $one.of(*x));
        }
    };
}

over_all!(
    /// See [`Activation::Silu`].
    silu, silu_of, Activation::Silu
);
over_all!(
    /// See [`Activation::Gelu`].
    gelu, gelu_of, Activation::Gelu
);
over_all!(
    /// See [`Activation::GeluErf`].
    gelu_erf, gelu_erf_of, Activation::GeluErf
);
over_all!(
    /// See [`Activation::Relu`].
    relu, relu_of, Activation::Relu
);
over_all!(
    /// See [`Activation::ReluSquared`].
    relu_squared, relu_squared_of, Activation::ReluSquared
);

/// # Panics
/// When the lengths differ.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gelu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "as many up as gate");
    let (gate, rest) = gate.as_chunks_mut::<8>();
    let (up, rest_up) = up.as_chunks::<8>();
    for (g, u) in gate.iter_mut().zip(up) {
        *g = store(_mm256_mul_ps(gelu_of(load(g)), load(u)));
    }
    for (g, u) in rest.iter_mut().zip(rest_up) {
        *g = Activation::Gelu.of(*g) * u;
    }
}

/// `x = cap · tanh(x / cap)`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn soft_cap(x: &mut [f32], cap: f32) {
    let (chunks, rest) = x.as_chunks_mut::<8>();
    let (all, part) = (_mm256_set1_ps(cap), _mm256_set1_ps(1.0 / cap));
    for x in chunks {
        *x = store(_mm256_mul_ps(all, tanh_of(_mm256_mul_ps(load(x), part))));
    }
    rest.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
}

/// `1 − 2 / (e^(2u) + 1)`, and below ¼, where that would cancel, the series to the ninth power.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tanh_of(u: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let e = exp(_mm256_add_ps(u, u));
    let far = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0), _mm256_add_ps(e, one)));
    let square = _mm256_mul_ps(u, u);
    let mut series = _mm256_set1_ps(62.0 / 2835.0);
    for c in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = _mm256_fmadd_ps(series, square, _mm256_set1_ps(c));
    }
    let is_near = _mm256_cmp_ps::<_CMP_LT_OQ>(square, _mm256_set1_ps(0.0625));
    _mm256_blendv_ps(far, _mm256_mul_ps(series, u), is_near)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn silu_of(x: __m256) -> __m256 {
    super::vector::silu(x)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn gelu_of(x: __m256) -> __m256 {
    let half = |v| _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v));
    let h = half(x);
    let cube = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(GELU_CUBE), h), h, _mm256_set1_ps(1.0));
    let u = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-2.0 * SQRT_2_OVER_PI), h), cube);
    let y = half(_mm256_div_ps(h, _mm256_add_ps(_mm256_set1_ps(1.0), exp(u))));
    let low = _mm256_cmp_ps::<_CMP_LE_OQ>(x, _mm256_set1_ps(-10.0));
    let high = _mm256_cmp_ps::<_CMP_GE_OQ>(x, _mm256_set1_ps(10.0));
    _mm256_blendv_ps(_mm256_andnot_ps(low, y), x, high)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn gelu_erf_of(x: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    let z = _mm256_mul_ps(size, _mm256_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
    let t = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(ERF_P), z, one));
    let mut series = _mm256_setzero_ps();
    for a in ERF_A.iter().rev() {
        series = _mm256_mul_ps(_mm256_add_ps(series, _mm256_set1_ps(*a)), t);
    }
    let fall = exp(_mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(z, z)));
    let tail = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5), series), fall);
    // The sign of x chooses: `blendv` looks at it alone.
    _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, tail), tail, x))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn relu_of(x: __m256) -> __m256 {
    _mm256_max_ps(x, _mm256_setzero_ps())
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn relu_squared_of(x: __m256) -> __m256 {
    let x = relu_of(x);
    _mm256_mul_ps(x, x)
}
