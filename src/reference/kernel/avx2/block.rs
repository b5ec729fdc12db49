//! Panels of types with blocks of 32: 8 rows × up to 4 activations.
//!
//! A block is taken apart into eight registers; register `g` holds the elements `4 g` to `4 g + 3`
//! of each row as bytes. The byte product of AVX2 takes unsigned by signed numbers and adds pairs in
//! 16 bits: of 4-bit weights eight such sums fit (8 · 2 · 15 · 127 = 30480), of 5-bit weights four
//! (4 · 2 · 31 · 127 = 31496). Signed weights lend their signs to the activations, and one sum fits
//! (2 · 127 · 127 = 32258). What is subtracted from unsigned weights and the minima of `Q4_1` and
//! `Q5_1` come in through the sums of the activations.

use std::arch::x86_64::*;

use crate::reference::kernel::acts::QuantisedActs;
use crate::reference::quant::IQ4_VALUES;

/// A format of blocks of 32, in panels of 8 rows.
///
/// # Safety
/// `weights` reads no more than `BYTES` bytes, and what it gives stays in the bounds that `FIT` is
/// chosen for.
pub(super) unsafe trait Format {
    /// Bytes of 8 rows of a block. The scales of the rows come first.
    const BYTES: usize;
    /// Sums of pairs that fit into 16 bits: 8 or 4 of unsigned weights, 1 of signed ones.
    const FIT: usize;
    /// What comes in through the sums of the activations.
    const OFFSET: Offset;

    /// The numbers of the block at `w`.
    ///
    /// # Safety
    /// A block lies at `w`, and the machine has AVX2.
    unsafe fn weights(w: *const u8) -> [__m256i; 8];
}

/// What comes in through the sums of the activations.
#[derive(PartialEq)]
pub(super) enum Offset {
    /// Nothing.
    None,
    /// Weights are too large by `8 << shift`.
    Eights { shift: i32 },
    /// A minimum per row, behind the scales.
    Min,
}

/// # Safety
/// `panel` holds `x.k / 32` blocks, `x` holds `n` activations (with sums where there is an offset of
/// eights, with `s` where there is a minimum), `out` has room for `n` times 8.
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
    let n_blocks = x.k / 32;
    let ones = _mm256_set1_epi16(1);
    let mut acc = [_mm256_setzero_ps(); T];
    for b in 0..n_blocks {
        // SAFETY: block `b` lies within the panel, and activations `first..first + T` within `x`
        // (caller). The loads need no alignment.
        unsafe {
            let w = panel.as_ptr().add(b * F::BYTES);
            let d = _mm256_cvtph_ps(_mm_loadu_si128(w.cast()));
            let weights = F::weights(w);
            for t in 0..T {
                let q = x.q8.as_ptr().add((first + t) * x.k + b * 32).cast::<i32>();
                let mut sum = dot_groups::<8>(F::FIT, &weights, q, ones);
                let at = (first + t) * n_blocks + b;
                let dx = *x.d.as_ptr().add(at);
                if let Offset::Eights { shift } = F::OFFSET {
                    let of_x = _mm256_set1_epi32(*x.sums.as_ptr().add(at) << shift);
                    sum = _mm256_sub_epi32(sum, of_x);
                }
                let scale = _mm256_mul_ps(d, _mm256_set1_ps(dx));
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, acc[t]);
                if F::OFFSET == Offset::Min {
                    let m = _mm256_cvtph_ps(_mm_loadu_si128(w.add(16).cast()));
                    let of_x = _mm256_set1_ps(*x.s.as_ptr().add(at));
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

/// Products of `N` groups of four weights of eight rows with the activations at `q`, in 32 bits and
/// times `scale`, which has 16 bits for every pair; `fit` sums of pairs fit into 16 bits.
///
/// # Safety
/// `4 · N` activations lie at `q`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_groups<const N: usize>(
    fit: usize,
    w: &[__m256i],
    q: *const i32,
    scale: __m256i,
) -> __m256i {
    let mut total = _mm256_setzero_si256();
    let mut first = 0;
    while first < N {
        let mut sum = _mm256_setzero_si256();
        for g in first..(first + fit).min(N) {
            // SAFETY: group `g < N` of activations is there (caller).
            let q = _mm256_set1_epi32(unsafe { q.add(g).read_unaligned() });
            let pairs = match fit {
                1 => _mm256_maddubs_epi16(_mm256_abs_epi8(w[g]), _mm256_sign_epi8(q, w[g])),
                _ => _mm256_maddubs_epi16(w[g], q),
            };
            sum = if g == first { pairs } else { _mm256_add_epi16(sum, pairs) };
        }
        let scaled = _mm256_madd_epi16(sum, scale);
        total = if first == 0 { scaled } else { _mm256_add_epi32(total, scaled) };
        first += fit;
    }
    total
}

/// Groups of four nibbles of eight rows at `w`: the low ones of `N` registers, then the high ones.
///
/// # Safety
/// `N` registers of bytes lie at `w`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nibbles(w: *const u8) -> [__m256i; 8] {
    let mask = _mm256_set1_epi8(15);
    let mut out = [_mm256_setzero_si256(); 8];
    for g in 0..4 {
        // SAFETY: register `g` lies within what the caller vouches for.
        let v = unsafe { _mm256_loadu_si256(w.add(g * 32).cast()) };
        out[g] = _mm256_and_si256(v, mask);
        out[4 + g] = _mm256_and_si256(_mm256_srli_epi16::<4>(v), mask);
    }
    out
}

/// `Q4_0`, and `Q4_1` with a minimum.
pub(super) struct Q4<const MIN: bool>;

// SAFETY: nibbles are below 16, and 4 registers of them lie behind the head.
unsafe impl<const MIN: bool> Format for Q4<MIN> {
    const BYTES: usize = if MIN { 160 } else { 144 };
    const FIT: usize = 8;
    const OFFSET: Offset = if MIN { Offset::Min } else { Offset::Eights { shift: 0 } };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn weights(w: *const u8) -> [__m256i; 8] {
        // SAFETY: the nibbles lie behind the head (caller).
        unsafe { nibbles(w.add(Self::BYTES - 128)) }
    }
}

/// `Q5_0`, and `Q5_1` with a minimum.
pub(super) struct Q5<const MIN: bool>;

// SAFETY: numbers are below 32; one register of high bits and 4 of nibbles lie behind the head.
unsafe impl<const MIN: bool> Format for Q5<MIN> {
    const BYTES: usize = if MIN { 192 } else { 176 };
    const FIT: usize = 4;
    const OFFSET: Offset = if MIN { Offset::Min } else { Offset::Eights { shift: 1 } };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn weights(w: *const u8) -> [__m256i; 8] {
        // SAFETY: high bits and nibbles lie behind the head (caller).
        let (high, mut q) = unsafe {
            let high = _mm256_loadu_si256(w.add(Self::BYTES - 160).cast());
            (high, nibbles(w.add(Self::BYTES - 128)))
        };
        let bit = _mm256_set1_epi8(16);
        // The high bit of group `g` is bit `g` of its byte.
        let shifted = [
            _mm256_slli_epi16::<4>(high),
            _mm256_slli_epi16::<3>(high),
            _mm256_slli_epi16::<2>(high),
            _mm256_slli_epi16::<1>(high),
            high,
            _mm256_srli_epi16::<1>(high),
            _mm256_srli_epi16::<2>(high),
            _mm256_srli_epi16::<3>(high),
        ];
        for (q, high) in q.iter_mut().zip(shifted) {
            *q = _mm256_or_si256(*q, _mm256_and_si256(high, bit));
        }
        q
    }
}

/// `IQ4_NL`.
pub(super) struct Iq4Nl;

// SAFETY: values are signed, none is −128, and 4 registers of nibbles lie behind the head.
unsafe impl Format for Iq4Nl {
    const BYTES: usize = 144;
    const FIT: usize = 1;
    const OFFSET: Offset = Offset::None;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn weights(w: *const u8) -> [__m256i; 8] {
        // SAFETY: the nibbles lie behind the head (caller).
        unsafe { iq4_values(w.add(16)) }
    }
}

/// The values that four registers of nibbles at `w` choose.
///
/// # Safety
/// Four registers of bytes lie at `w`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn iq4_values(w: *const u8) -> [__m256i; 8] {
    // SAFETY: the list has 16 bytes; the load needs no alignment.
    let values = unsafe { _mm_loadu_si128(IQ4_VALUES.as_ptr().cast()) };
    let values = _mm256_broadcastsi128_si256(values);
    // SAFETY: handed on to the caller.
    let mut q = unsafe { nibbles(w) };
    for q in &mut q {
        *q = _mm256_shuffle_epi8(values, *q);
    }
    q
}
