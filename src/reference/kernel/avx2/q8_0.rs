//! Panels of `Q8_0`: 8 rows × up to 4 activations, products of 16-bit numbers.
//!
//! AVX2 multiplies bytes only unsigned by signed and saturates; 16-bit products are exact and as
//! many per cycle once the weights, widened once, serve several activations.

use std::arch::x86_64::*;

use crate::reference::kernel::acts::QuantisedActs;

/// Bytes of 8 rows of a block.
pub(super) const BYTES: usize = 272;

/// # Safety
/// `panel` holds `x.k / 32` blocks, `x` holds `n` activations, `out` has room for `n` times 8.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn panel(panel: &[u8], x: QuantisedActs<'_>, n: usize, out: &mut [f32]) {
    let mut t = 0;
    while t < n {
        // SAFETY: each arm takes no more activations than are left.
        unsafe {
            t += match n - t {
                1 => tile::<1>(panel, x, t, out),
                2 => tile::<2>(panel, x, t, out),
                3 => tile::<3>(panel, x, t, out),
                _ => tile::<4>(panel, x, t, out),
            };
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const T: usize>(
    panel: &[u8],
    x: QuantisedActs<'_>,
    first: usize,
    out: &mut [f32],
) -> usize {
    let n_blocks = x.k / 32;
    let mut acc = [_mm256_setzero_ps(); T];
    for b in 0..n_blocks {
        // SAFETY: block `b` lies within the panel, and activations `first..first + T` within `x`
        // (caller). The loads need no alignment.
        unsafe {
            let w = panel.as_ptr().add(b * BYTES);
            let q = x.q16.as_ptr().add(first * x.k + b * 32);
            let mut low = [_mm256_setzero_si256(); T];
            let mut high = [_mm256_setzero_si256(); T];
            for g in 0..8 {
                let p = w.add(16 + g * 32).cast::<__m128i>();
                let w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
                let w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(1)));
                for t in 0..T {
                    let q = q.add(t * x.k + g * 4).cast::<i64>().read_unaligned();
                    let q = _mm256_set1_epi64x(q);
                    low[t] = _mm256_add_epi32(low[t], _mm256_madd_epi16(w0, q));
                    high[t] = _mm256_add_epi32(high[t], _mm256_madd_epi16(w1, q));
                }
            }
            // Adding neighbours leaves rows 0 1 4 5 | 2 3 6 7; scales are put in that order.
            let d = _mm256_cvtph_ps(_mm_loadu_si128(w.cast()));
            let d = reorder(d);
            for t in 0..T {
                let sum = _mm256_cvtepi32_ps(_mm256_hadd_epi32(low[t], high[t]));
                let dx = _mm256_set1_ps(*x.d.as_ptr().add((first + t) * n_blocks + b));
                acc[t] = _mm256_fmadd_ps(sum, _mm256_mul_ps(d, dx), acc[t]);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: `out` has 8 values for each activation (caller).
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add((first + t) * 8), reorder(acc)) };
    }
    T
}

/// Swaps the two middle pairs.
#[inline]
#[target_feature(enable = "avx2")]
fn reorder(v: __m256) -> __m256 {
    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)))
}
