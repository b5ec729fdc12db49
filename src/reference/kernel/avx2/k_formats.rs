//! How the blocks of 256 are taken apart: `Q2_K` to `Q6_K` and `IQ4_XS`.
//!
//! Places are those of `quant::panel`: those in a block of one row, times eight.

use std::arch::x86_64::*;

use super::block::iq4_values;
use super::super_block::{Format, Offset, Scales};

/// The register number `i` of those that lie at `w`.
///
/// # Safety
/// It is there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(w: *const u8, i: usize) -> __m256i {
    // SAFETY: handed on to the caller; the load needs no alignment.
    unsafe { _mm256_loadu_si256(w.add(32 * i).cast()) }
}

/// The bits `mask` of every byte, after a shift to the right.
#[inline]
#[target_feature(enable = "avx2")]
fn bits(v: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = _mm256_srl_epi16(v, _mm_cvtsi32_si128(shift as i32));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// Pairs of bits of elements `32 c` to `32 c + 31`, of 16 registers of them at `w`.
///
/// # Safety
/// They are there, and `c < 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(w: *const u8, c: usize) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    for (g, out) in out.iter_mut().enumerate() {
        // SAFETY: `8 · (c / 4) + g < 16`.
        *out = bits(unsafe { load(w, 8 * (c / 4) + g) }, 2 * (c % 4), 3);
    }
    out
}

/// Nibbles of elements `32 c` to `32 c + 31`, of 32 registers of them at `w`.
///
/// # Safety
/// They are there, and `c < 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn nibbles(w: *const u8, c: usize) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    for (g, out) in out.iter_mut().enumerate() {
        // SAFETY: `8 · (c / 2) + g < 32`.
        *out = bits(unsafe { load(w, 8 * (c / 2) + g) }, 4 * (c % 2), 15);
    }
    out
}

/// `low` with the single bits of elements `32 c` to `32 c + 31` above, of 8 registers of them at `w`.
///
/// # Safety
/// They are there, and `c < 8`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn with_bits<const ABOVE: i32>(
    mut low: [__m256i; 8],
    w: *const u8,
    c: usize,
) -> [__m256i; 8] {
    for (g, low) in low.iter_mut().enumerate() {
        // SAFETY: `g < 8`.
        let bit = bits(unsafe { load(w, g) }, c, 1);
        *low = _mm256_or_si256(*low, _mm256_slli_epi16::<ABOVE>(bit));
    }
    low
}

/// Scales and minima of 6 bits in 12 bytes, as `Q4_K` and `Q5_K` have them, at `w`.
///
/// # Safety
/// Three registers lie there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn six_bit_scales(w: *const u8) -> Scales {
    // SAFETY: handed on to the caller.
    let [a, b, c] = [0, 1, 2].map(|i| unsafe { load(w, i) });
    // The two highest bits of a byte come to stand above a nibble.
    let high = |v| _mm256_and_si256(_mm256_srli_epi16::<2>(v), _mm256_set1_epi8(0x30));
    let zero = _mm256_setzero_si256();
    let scales = [bits(a, 0, 63), _mm256_or_si256(bits(c, 0, 15), high(a)), zero, zero];
    let mins = [bits(b, 0, 63), _mm256_or_si256(bits(c, 4, 15), high(b)), zero, zero];
    Scales { scales, mins }
}

/// `Q2_K`.
pub(super) struct Q2K;

// SAFETY: weights are below 4; 4 registers of scales, 16 of pairs, then `d` and `dmin`.
unsafe impl Format for Q2K {
    const BYTES: usize = 672;
    const D: usize = 640;
    const SUB: usize = 16;
    const FIT: usize = 4;
    const OFFSET: Offset = Offset::Mins { dmin: 656 };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // SAFETY: four registers of scales lie at the start (caller).
        let bytes = [0, 1, 2, 3].map(|i| unsafe { load(w, i) });
        Scales { scales: bytes.map(|v| bits(v, 0, 15)), mins: bytes.map(|v| bits(v, 4, 15)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 16 registers of pairs lie behind the scales (caller).
        unsafe { pairs(w.add(128), c) }
    }
}

/// `Q3_K`.
pub(super) struct Q3K;

// SAFETY: weights are below 8; 8 registers of high bits, 16 of pairs, 3 of scales, then `d`.
unsafe impl Format for Q3K {
    const BYTES: usize = 880;
    const D: usize = 864;
    const SUB: usize = 16;
    const FIT: usize = 4;
    const OFFSET: Offset = Offset::Power { shift: 2 };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // SAFETY: three registers of scales lie there (caller).
        let [a, b, high] = [0, 1, 2].map(|i| unsafe { load(w.add(768), i) });
        let join = |low, shift| {
            let high = _mm256_slli_epi16::<4>(bits(high, shift, 3));
            _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32))
        };
        let scales = [
            join(bits(a, 0, 15), 0),
            join(bits(b, 0, 15), 2),
            join(bits(a, 4, 15), 4),
            join(bits(b, 4, 15), 6),
        ];
        Scales { scales, mins: [_mm256_setzero_si256(); 4] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 8 registers of high bits lie at the start, 16 of pairs behind them (caller).
        unsafe { with_bits::<2>(pairs(w.add(256), c), w, c) }
    }
}

/// `Q4_K`.
pub(super) struct Q4K;

// SAFETY: weights are below 16; `d` and `dmin`, 3 registers of scales, 32 of nibbles.
unsafe impl Format for Q4K {
    const BYTES: usize = 1152;
    const D: usize = 0;
    const SUB: usize = 32;
    const FIT: usize = 8;
    const OFFSET: Offset = Offset::Mins { dmin: 16 };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // SAFETY: the scales lie behind `d` and `dmin` (caller).
        unsafe { six_bit_scales(w.add(32)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 32 registers of nibbles lie behind the scales (caller).
        unsafe { nibbles(w.add(128), c) }
    }
}

/// `Q5_K`.
pub(super) struct Q5K;

// SAFETY: weights are below 32; `d` and `dmin`, 3 registers of scales, 8 of high bits, 32 of nibbles.
unsafe impl Format for Q5K {
    const BYTES: usize = 1408;
    const D: usize = 0;
    const SUB: usize = 32;
    const FIT: usize = 4;
    const OFFSET: Offset = Offset::Mins { dmin: 16 };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // SAFETY: the scales lie behind `d` and `dmin` (caller).
        unsafe { six_bit_scales(w.add(32)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 8 registers of high bits lie behind the scales, 32 of nibbles behind them (caller).
        unsafe { with_bits::<4>(nibbles(w.add(384), c), w.add(128), c) }
    }
}

/// `Q6_K`.
pub(super) struct Q6K;

// SAFETY: weights are below 64 (2 · 2 · 63 · 127 = 32004); 32 registers of nibbles, 16 of pairs, 4 of
// scales, then `d`.
unsafe impl Format for Q6K {
    const BYTES: usize = 1680;
    const D: usize = 1664;
    const SUB: usize = 16;
    const FIT: usize = 2;
    const OFFSET: Offset = Offset::Power { shift: 5 };

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // SAFETY: four registers of scales lie there (caller).
        let scales = [0, 1, 2, 3].map(|i| unsafe { load(w.add(1536), i) });
        Scales { scales, mins: [_mm256_setzero_si256(); 4] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 32 registers of nibbles lie at the start, 16 of pairs behind them (caller). Each half
        // of the block has 16 registers of nibbles: `32 · (c % 2)` and the next 28 elements, low ones
        // for `c % 4 < 2`.
        let mut q = unsafe { pairs(w.add(1024), c) };
        for (g, q) in q.iter_mut().enumerate() {
            // SAFETY: `16 · (c / 4) + 8 · (c % 2) + g < 32`.
            let low = unsafe { load(w, 16 * (c / 4) + 8 * (c % 2) + g) };
            let low = bits(low, 4 * (c % 4 / 2), 15);
            *q = _mm256_or_si256(low, _mm256_slli_epi16::<4>(*q));
        }
        q
    }
}

/// `IQ4_XS`.
pub(super) struct Iq4Xs;

// SAFETY: weights are signed, none is −128; `d`, 16 and 32 bytes of scales, 32 registers of nibbles.
unsafe impl Format for Iq4Xs {
    const BYTES: usize = 1088;
    const D: usize = 0;
    const SUB: usize = 32;
    const FIT: usize = 1;
    const OFFSET: Offset = Offset::None;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scales(w: *const u8) -> Scales {
        // Sub-block `c` has its nibble in byte `c / 2` and its high bits in byte `c / 4`: bytes are put
        // beside themselves until there is one for each sub-block.
        // SAFETY: 16 bytes of high bits and 32 of nibbles lie behind `d` (caller).
        let (high, low) = unsafe { (_mm_loadu_si128(w.add(16).cast()), load(w.add(32), 0)) };
        let twice =
            |v: __m128i| _mm256_permute4x64_epi64::<0b01_01_00_00>(_mm256_castsi128_si256(v));
        let halves = [_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low)];
        let counts = _mm256_setr_epi64x(0, 4, 0, 4);
        let low = halves.map(|v| {
            let (v, mask) = (twice(v), _mm256_set1_epi8(15));
            _mm256_and_si256(_mm256_srlv_epi64(v, counts), mask)
        });
        let counts = _mm256_setr_epi64x(0, 2, 4, 6);
        let high =
            [_mm256_broadcastq_epi64(high), _mm256_broadcastq_epi64(_mm_srli_si128::<8>(high))]
                .map(|v| _mm256_and_si256(_mm256_srlv_epi64(v, counts), _mm256_set1_epi8(3)));
        let join = |i: usize| {
            let scale = _mm256_or_si256(low[i], _mm256_slli_epi16::<4>(high[i]));
            _mm256_sub_epi8(scale, _mm256_set1_epi8(32))
        };
        let zero = _mm256_setzero_si256();
        Scales { scales: [join(0), join(1), zero, zero], mins: [zero; 4] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn chunk(w: *const u8, c: usize) -> [__m256i; 8] {
        // SAFETY: 32 registers of nibbles lie behind the scales, four for each sub-block (caller).
        unsafe { iq4_values(w.add(64 + 128 * c)) }
    }
}
