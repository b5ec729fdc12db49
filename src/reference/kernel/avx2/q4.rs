//! Panels of `Q4_0` and `Q4_1`: 8 rows × up to 4 activations.
//!
//! Nibbles are unsigned, so the byte product of AVX2 applies as it is; eight of its 16-bit sums
//! fit without overflow (8 · 2 · 15 · 127 = 30480), so a block of 8 × 32 products costs eight
//! multiplications, seven additions and one widening. The offset of `Q4_0` and the minimum of
//! `Q4_1` come in through the sums of the activations.

use std::arch::x86_64::*;

use crate::reference::kernel::acts::QuantisedActs;

/// Bytes of 8 rows of a `Q4_0` block.
pub(super) const BYTES_0: usize = 144;
/// Bytes of 8 rows of a `Q4_1` block.
pub(super) const BYTES_1: usize = 160;

/// # Safety
/// `panel` holds `x.k / 32` blocks, `x` holds `n` activations, `out` has room for `n` times 8.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn panel<const MIN: bool>(
    panel: &[u8],
    x: QuantisedActs<'_>,
    n: usize,
    out: &mut [f32],
) {
    let mut t = 0;
    while t < n {
        // SAFETY: each arm takes no more activations than are left.
        unsafe {
            t += match n - t {
                1 => tile::<MIN, 1>(panel, x, t, out),
                2 => tile::<MIN, 2>(panel, x, t, out),
                3 => tile::<MIN, 3>(panel, x, t, out),
                _ => tile::<MIN, 4>(panel, x, t, out),
            };
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const MIN: bool, const T: usize>(
    panel: &[u8],
    x: QuantisedActs<'_>,
    first: usize,
    out: &mut [f32],
) -> usize {
    let (bytes, head) = if MIN { (BYTES_1, 32) } else { (BYTES_0, 16) };
    let n_blocks = x.k / 32;
    let mask = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut acc = [_mm256_setzero_ps(); T];
    for b in 0..n_blocks {
        // SAFETY: block `b` lies within the panel, and activations `first..first + T` within `x`
        // (caller). The loads need no alignment.
        unsafe {
            let w = panel.as_ptr().add(b * bytes);
            let d = _mm256_cvtph_ps(_mm_loadu_si128(w.cast()));
            let mut low = [_mm256_setzero_si256(); 4];
            let mut high = [_mm256_setzero_si256(); 4];
            for g in 0..4 {
                let v = _mm256_loadu_si256(w.add(head + g * 32).cast());
                low[g] = _mm256_and_si256(v, mask);
                high[g] = _mm256_and_si256(_mm256_srli_epi16::<4>(v), mask);
            }
            for t in 0..T {
                let q = x.q8.as_ptr().add((first + t) * x.k + b * 32).cast::<i32>();
                let mut sum = _mm256_setzero_si256();
                for g in 0..4 {
                    let q0 = _mm256_set1_epi32(q.add(g).read_unaligned());
                    let q1 = _mm256_set1_epi32(q.add(4 + g).read_unaligned());
                    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(low[g], q0));
                    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(high[g], q1));
                }
                let mut sum = _mm256_madd_epi16(sum, ones);
                let at = (first + t) * n_blocks + b;
                let dx = *x.d.as_ptr().add(at);
                let of_x = *x.sums.as_ptr().add(at);
                if !MIN {
                    sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(of_x));
                }
                let scale = _mm256_mul_ps(d, _mm256_set1_ps(dx));
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, acc[t]);
                if MIN {
                    let m = _mm256_cvtph_ps(_mm_loadu_si128(w.add(16).cast()));
                    let of_x = _mm256_set1_ps(dx * 0.125 * of_x as f32);
                    acc[t] = _mm256_fmadd_ps(m, of_x, acc[t]);
                }
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: `out` has 8 values for each activation (caller).
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add((first + t) * 8), acc) };
    }
    T
}
