//! Panels of types with blocks of 256: 8 rows × up to 4 activations.
//!
//! A block is taken apart 32 elements at a time, as in `block`. The multiplication that widens sums
//! of pairs to 32 bits applies the whole-number scale of the sub-block at once, so that a block costs
//! one multiplication of floats per row. What is subtracted from unsigned weights, and the minima,
//! come in through the sums of the activations of each sub-block.

use std::arch::x86_64::*;

use super::block::dot_groups;
use crate::reference::kernel::acts::QuantisedActs;

/// A format of blocks of 256, in panels of 8 rows.
///
/// # Safety
/// `scales` and `chunk` read no more than `BYTES` bytes, `D` and `DMIN` lie 16 bytes before their
/// end or further, and weights stay in the bounds that `FIT` is chosen for.
pub(super) unsafe trait Format {
    /// Bytes of 8 rows of a block.
    const BYTES: usize;
    /// Where the scales over all lie.
    const D: usize;
    /// Elements under one scale: 16 or 32.
    const SUB: usize;
    /// Sums of pairs that fit into 16 bits; 1 stands for signed weights.
    const FIT: usize;
    /// What comes in through the sums of the activations.
    const OFFSET: Offset;

    /// Scales and minima of the block at `w`.
    ///
    /// # Safety
    /// A block lies at `w`, and the machine has AVX2.
    unsafe fn scales(w: *const u8) -> Scales;

    /// The numbers of elements `32 c` to `32 c + 31` of the block at `w`; register `g` holds the
    /// elements `4 g` to `4 g + 3` of each row.
    ///
    /// # Safety
    /// A block lies at `w`, `c < 8`, and the machine has AVX2.
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8];
}

/// What comes in through the sums of the activations.
#[derive(PartialEq)]
pub(super) enum Offset {
    /// Nothing.
    None,
    /// Weights are too large by `1 << shift`.
    Power { shift: i32 },
    /// A minimum per sub-block, and a scale of the minima at this place.
    Mins { dmin: usize },
}

/// Scales and minima of a block: for each sub-block, eight rows.
#[repr(align(32))]
pub(super) struct Scales {
    pub scales: [__m256i; 4],
    /// Unused in formats without minima.
    pub mins: [__m256i; 4],
}

impl Scales {
    /// `bytes` of sub-blocks `first` and `second`, in 16 bits, side by side for each row.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn pair(bytes: &[__m256i; 4], first: usize, second: usize) -> __m256i {
        assert!(first < 16 && second < 16, "sub-blocks {first} and {second}");
        let bytes = bytes.as_ptr().cast::<u8>();
        // SAFETY: 16 groups of 8 bytes lie there.
        let [first, second] =
            [first, second].map(|s| unsafe { _mm_loadl_epi64(bytes.add(8 * s).cast()) });
        _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second))
    }
}

/// # Safety
/// `panel` holds `x.k / 256` blocks, `x` holds `n` activations with their sums, `out` has room for
/// `n` times 8.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn panel<F: Format>(
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
                1 => tile::<F, 1>(panel, x, t, out),
                2 => tile::<F, 2>(panel, x, t, out),
                3 => tile::<F, 3>(panel, x, t, out),
                _ => tile::<F, 4>(panel, x, t, out),
            };
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<F: Format, const T: usize>(
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
            let w = panel.as_ptr().add(b * F::BYTES);
            let q = x.q8.as_ptr().add(first * x.k + b * 256).cast::<i32>();
            let scales = F::scales(w);
            let mut sum = [_mm256_setzero_si256(); T];
            for c in 0..8 {
                let weights = F::chunk(w, c);
                if F::SUB == 32 {
                    let scale = Scales::pair(&scales.scales, c, c);
                    for t in 0..T {
                        let q = q.byte_add(t * x.k).add(8 * c);
                        let dot = dot_groups::<8>(F::FIT, &weights, q, scale);
                        sum[t] = _mm256_add_epi32(sum[t], dot);
                    }
                } else {
                    let low = Scales::pair(&scales.scales, 2 * c, 2 * c);
                    let high = Scales::pair(&scales.scales, 2 * c + 1, 2 * c + 1);
                    for t in 0..T {
                        let q = q.byte_add(t * x.k).add(8 * c);
                        let dot = dot_groups::<4>(F::FIT, &weights[..4], q, low);
                        sum[t] = _mm256_add_epi32(sum[t], dot);
                        let dot = dot_groups::<4>(F::FIT, &weights[4..], q.add(4), high);
                        sum[t] = _mm256_add_epi32(sum[t], dot);
                    }
                }
            }
            let d = _mm256_cvtph_ps(_mm_loadu_si128(w.add(F::D).cast()));
            for t in 0..T {
                let dx = _mm256_set1_ps(*x.d.as_ptr().add((first + t) * n_blocks + b));
                let sums = x.sums.as_ptr().add((first + t) * (x.k / 32) + b * 8);
                match F::OFFSET {
                    Offset::None => {}
                    Offset::Power { shift } => {
                        let of_x = offset::<F>(&scales.scales, sums);
                        let of_x = _mm256_sll_epi32(of_x, _mm_cvtsi32_si128(shift));
                        sum[t] = _mm256_sub_epi32(sum[t], of_x);
                    }
                    Offset::Mins { dmin } => {
                        let dmin = _mm256_cvtph_ps(_mm_loadu_si128(w.add(dmin).cast()));
                        let of_x = _mm256_cvtepi32_ps(offset::<F>(&scales.mins, sums));
                        acc[t] = _mm256_fnmadd_ps(of_x, _mm256_mul_ps(dmin, dx), acc[t]);
                    }
                }
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), _mm256_mul_ps(d, dx), acc[t]);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: `out` has 8 values for each activation (caller).
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add((first + t) * 8), acc) };
    }
    T
}

/// `factors` times the sums of the activations of their sub-blocks.
///
/// # Safety
/// Eight pairs of sums of 16 activations lie at `sums`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn offset<F: Format>(factors: &[__m256i; 4], sums: *const i32) -> __m256i {
    let mut total = _mm256_setzero_si256();
    for c in 0..8 {
        let (first, second) = if F::SUB == 32 { (c, c) } else { (2 * c, 2 * c + 1) };
        let factors = Scales::pair(factors, first, second);
        // SAFETY: pair `c < 8` is there (caller).
        let of_x = _mm256_set1_epi32(unsafe { *sums.add(c) });
        total = _mm256_add_epi32(total, _mm256_madd_epi16(factors, of_x));
    }
    total
}
