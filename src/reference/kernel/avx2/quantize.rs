//! Activations into blocks of signed numbers, and into half precision; blocks of a KV cache back
//! into numbers.

use std::arch::x86_64::*;

use super::vector::{load, store};

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8(x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
    let n = x.len() / 32;
    assert!(q.len() == x.len() && d.len() == n && sums.len() == n, "blocks of 32");
    for (b, (x, q)) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0).enumerate() {
        let (exact, v) = block(x);
        d[b] = round(exact);
        // Of what is no number the sum is none either, and may wrap: the scale says what it is.
        sums[b] = bytes(v, q).wrapping_mul(8);
    }
}

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_sum(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [f32]) {
    let n = x.len() / 32;
    assert!(q.len() == x.len() && d.len() == n && s.len() == n, "blocks of 32");
    for (b, (x, q)) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0).enumerate() {
        let (exact, v) = block(x);
        d[b] = round(exact);
        s[b] = round(exact * bytes(v, q) as f32);
    }
}

/// Writes the numbers of a block as bytes and gives their sum.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn bytes(v: [__m256i; 4], q: &mut [i8; 32]) -> i32 {
    let half0 = _mm256_packs_epi32(v[0], v[1]);
    let half1 = _mm256_packs_epi32(v[2], v[3]);
    // Packing works within halves of a register: put the groups of four back in order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(half0, half1), order);
    // SAFETY: `q` is 32 bytes long; the store needs no alignment.
    unsafe { _mm256_storeu_si256(q.as_mut_ptr().cast(), bytes) };
    sum_epi32(_mm256_add_epi32(_mm256_add_epi32(v[0], v[1]), _mm256_add_epi32(v[2], v[3])))
}

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_wide(x: &[f32], q: &mut [i16], d: &mut [f32]) {
    assert!(q.len() == x.len() && d.len() == x.len() / 32, "blocks of 32");
    for (b, (x, q)) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0).enumerate() {
        let (exact, v) = block(x);
        d[b] = round(exact);
        for half in 0..2 {
            let words = _mm256_packs_epi32(v[2 * half], v[2 * half + 1]);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            // SAFETY: `q` is 32 words long; the store needs no alignment.
            unsafe { _mm256_storeu_si256(q.as_mut_ptr().add(16 * half).cast(), words) };
        }
    }
}

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_k(x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
    let n = x.len() / 256;
    assert!(q.len() == x.len() && d.len() == n && sums.len() == 8 * n, "blocks of 256");
    for (b, (x, q)) in x.as_chunks::<256>().0.iter().zip(q.as_chunks_mut::<256>().0).enumerate() {
        let (mut low, mut high) = (_mm256_setzero_ps(), _mm256_setzero_ps());
        let mut none = _mm256_setzero_ps();
        for x in x.as_chunks::<8>().0 {
            let v = load(x);
            (low, high) = (_mm256_min_ps(v, low), _mm256_max_ps(v, high));
            none = _mm256_or_ps(none, is_none(v));
        }
        let low = -max_ps(_mm256_sub_ps(_mm256_setzero_ps(), low));
        let high = max_ps(high);
        let max = if high >= -low { high } else { low };
        let max = if any(none) { f32::NAN } else { max };
        let scale = if max == 0.0 { 0.0 } else { -127.0 / max };
        d[b] = if max == 0.0 { 0.0 } else { 1.0 / scale };
        let scale = _mm256_set1_ps(scale);
        let chunks = x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0);
        for ((x, q), pair) in chunks.zip(&mut sums[8 * b..8 * b + 8]) {
            let x = x.as_chunks::<8>().0;
            let v: [__m256i; 4] =
                std::array::from_fn(|i| _mm256_cvtps_epi32(_mm256_mul_ps(load(&x[i]), scale)));
            bytes(v, q);
            let [first, second] =
                [[v[0], v[1]], [v[2], v[3]]].map(|[a, b]| sum_epi32(_mm256_add_epi32(a, b)));
            *pair = first & 0xFFFF | second << 16;
        }
    }
}

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn from_q8_0(blocks: &[u8], out: &mut [f32]) {
    assert_eq!(blocks.len() / 34 * 32, out.len(), "blocks of 32");
    for (block, out) in blocks.as_chunks::<34>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (g, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: bytes `2 + 8 g` to `9 + 8 g` of 34; the load needs no alignment.
            let q = unsafe { _mm_loadl_epi64(block.as_ptr().add(2 + 8 * g).cast()) };
            *out = store(scaled(q, scale(block)));
        }
    }
}

/// # Panics
/// When the lengths do not belong together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn from_q4_0(blocks: &[u8], out: &mut [f32]) {
    assert_eq!(blocks.len() / 18 * 32, out.len(), "blocks of 32");
    let (nibble, eight) = (_mm_set1_epi8(0x0F), _mm_set1_epi8(8));
    for (block, out) in blocks.as_chunks::<18>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        // SAFETY: bytes 2 to 17 of 18; the load needs no alignment.
        let q = unsafe { _mm_loadu_si128(block.as_ptr().add(2).cast()) };
        // The first half of a block lies in the low nibbles, the second in the high ones.
        let halves = [q, _mm_srli_epi16::<4>(q)];
        for (q, out) in halves.into_iter().zip(out.as_chunks_mut::<16>().0) {
            let q = _mm_sub_epi8(_mm_and_si128(q, nibble), eight);
            let (first, second) = out.split_at_mut(8);
            first.copy_from_slice(&store(scaled(q, scale(block))));
            second.copy_from_slice(&store(scaled(_mm_unpackhi_epi64(q, q), scale(block))));
        }
    }
}

/// The scale at the beginning of a block, eight times.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scale(block: &[u8]) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([block[0], block[1]])))
}

/// Eight signed bytes times `d`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scaled(q: __m128i, d: __m256) -> __m256 {
    _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), d)
}

/// The scale of a block and its numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block(x: &[f32; 32]) -> (f32, [__m256i; 4]) {
    // SAFETY: `x` is 32 numbers long; the loads need no alignment.
    let v: [__m256; 4] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) });
    let sign = _mm256_set1_ps(-0.0);
    let abs = v.map(|v| _mm256_andnot_ps(sign, v));
    let max = max_ps(_mm256_max_ps(_mm256_max_ps(abs[0], abs[1]), _mm256_max_ps(abs[2], abs[3])));
    // The largest of two of which one is no number can be the other: looked at apart, so that it
    // reaches the logits, where somebody looks.
    let none = v.map(|v| is_none(v));
    let none = _mm256_or_ps(_mm256_or_ps(none[0], none[1]), _mm256_or_ps(none[2], none[3]));
    let max = if any(none) { f32::NAN } else { max };
    let inverse = _mm256_set1_ps(if max == 0.0 { 0.0 } else { 127.0 / max });
    (max / 127.0, v.map(|v| _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse))))
}

/// Rounded to f16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn round(v: f32) -> f32 {
    let half = _mm_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm_set_ss(v));
    _mm_cvtss_f32(_mm_cvtph_ps(half))
}

/// Which of eight numbers are none.
#[inline]
#[target_feature(enable = "avx2")]
fn is_none(v: __m256) -> __m256 {
    _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v)
}

/// Whether one of eight is marked.
#[inline]
#[target_feature(enable = "avx2")]
fn any(marks: __m256) -> bool {
    _mm256_movemask_ps(marks) != 0
}

/// The largest of eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn max_ps(v: __m256) -> f32 {
    let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_epi32(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v)))
}

/// # Panics
/// When the lengths differ.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn round_f16(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "as many out as in");
    let (x, rest) = x.as_chunks::<8>();
    let (out, rest_out) = out.as_chunks_mut::<8>();
    for (x, out) in x.iter().zip(out) {
        // SAFETY: both are 8 numbers long; the accesses need no alignment.
        unsafe {
            let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(x.as_ptr()));
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(half));
        }
    }
    for (v, out) in rest.iter().zip(rest_out) {
        *out = half::f16::from_f32(*v).to_f32();
    }
}
