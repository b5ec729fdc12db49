//! Panels of `Q6_K`: 8 rows × up to 3 activations.
//!
//! Two byte products of 6-bit weights fit into 16 bits (2 · 2 · 63 · 127 = 32004); the
//! multiplication that widens them to 32 bits applies the scale of the sub-block at once. The
//! offset of 32 comes in through the sums of the activations.

use std::arch::x86_64::*;

use crate::reference::kernel::acts::QuantisedActs;
use crate::reference::quant::panel::q6_k_offsets as at;

/// Bytes of 8 rows of a block.
pub(super) const BYTES: usize = at::BYTES;

/// # Safety
/// `panel` holds `x.k / 256` blocks, `x` holds `n` activations, `out` has room for `n` times 8.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn panel(panel: &[u8], x: QuantisedActs<'_>, n: usize, out: &mut [f32]) {
    let mut t = 0;
    while t < n {
        // SAFETY: each arm takes no more activations than are left.
        unsafe {
            t += match n - t {
                1 => tile::<1>(panel, x, t, out),
                2 => tile::<2>(panel, x, t, out),
                _ => tile::<3>(panel, x, t, out),
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
    let n_blocks = x.k / 256;
    let mut acc = [_mm256_setzero_ps(); T];
    for b in 0..n_blocks {
        // SAFETY: block `b` lies within the panel, and activations `first..first + T` within `x`
        // (caller). The loads need no alignment.
        unsafe {
            let w = panel.as_ptr().add(b * BYTES);
            let q = x.q8.as_ptr().add(first * x.k + b * 256).cast::<i32>();
            let mut sum = [_mm256_setzero_si256(); T];
            for c in (0..16).step_by(2) {
                let (w0, w1) = (groups(w, c), groups(w, c + 1));
                for j in 0..4 {
                    let scale = scale(w, c / 4 + 4 * j);
                    for t in 0..T {
                        let q = q.byte_add(t * x.k).add(c + 16 * j);
                        let q0 = _mm256_set1_epi32(q.read_unaligned());
                        let q1 = _mm256_set1_epi32(q.add(1).read_unaligned());
                        let pair = _mm256_add_epi16(
                            _mm256_maddubs_epi16(w0[j], q0),
                            _mm256_maddubs_epi16(w1[j], q1),
                        );
                        sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pair, scale));
                    }
                }
            }
            let mut offset = [_mm256_setzero_si256(); T];
            for s in 0..8 {
                let p = w.add(at::SCALES + s * 16);
                let even = _mm_loadl_epi64(p.cast());
                let odd = _mm_loadl_epi64(p.add(8).cast());
                let scales = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(even, odd));
                for t in 0..T {
                    let of_x = *x.sums.as_ptr().add((first + t) * (x.k / 32) + b * 8 + s);
                    let part = _mm256_madd_epi16(scales, _mm256_set1_epi32(of_x));
                    offset[t] = _mm256_add_epi32(offset[t], part);
                }
            }
            let d = _mm256_cvtph_ps(_mm_loadu_si128(w.cast()));
            for t in 0..T {
                let sum = _mm256_sub_epi32(sum[t], _mm256_slli_epi32::<5>(offset[t]));
                let dx = _mm256_set1_ps(*x.d.as_ptr().add((first + t) * n_blocks + b));
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(d, dx), acc[t]);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: `out` has 8 values for each activation (caller).
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add((first + t) * 8), acc) };
    }
    T
}

/// The 6-bit weights of groups `c`, `c + 16`, `c + 32`, `c + 48` of the block at `w`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn groups(w: *const u8, c: usize) -> [__m256i; 4] {
    let (nibble, pair) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    // SAFETY: `c < 16`, so that all three loads lie within the block (caller).
    let (l0, l1, h) = unsafe {
        (
            _mm256_loadu_si256(w.add(at::LOW + c * 32).cast()),
            _mm256_loadu_si256(w.add(at::LOW + (c + 16) * 32).cast()),
            _mm256_loadu_si256(w.add(at::HIGH + c * 32).cast()),
        )
    };
    let join = |low: __m256i, high: __m256i| {
        _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(high, pair))
    };
    [
        join(l0, _mm256_slli_epi16::<4>(h)),
        join(l1, _mm256_slli_epi16::<2>(h)),
        join(_mm256_srli_epi16::<4>(l0), h),
        join(_mm256_srli_epi16::<4>(l1), _mm256_srli_epi16::<2>(h)),
    ]
}

/// The scale of sub-block `s` of each row, twice in 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scale(w: *const u8, s: usize) -> __m256i {
    // SAFETY: `s < 16`, so that the load lies within the block (caller).
    let bytes = unsafe { _mm_loadl_epi64(w.add(at::SCALES + s * 8).cast()) };
    _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(bytes, bytes))
}
