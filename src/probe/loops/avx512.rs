//! AVX-512: servers from 2017 on, Zen 4 and later; products of bytes (VNNI) and of bfloat16 (BF16)
//! where the machine has them.
//!
//! Handed out only where detection says so.

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use super::{Loops, Number, Product, Reader, Unit};

/// Sums in flight: two units of five or six cycles each.
const SUMS: usize = 12;
/// Products of each converted vector, as in a product of matrices.
const PER_CONVERSION: usize = 6;

pub(super) fn add_to(loops: &mut Loops) {
    if !is_x86_feature_detected!("avx512f") {
        return;
    }
    let per_round = 16 * SUMS as u64;
    loops.readers.push(Reader { set: "avx512f", run: sum });
    if is_x86_feature_detected!("avx512vnni") {
        loops.products.push(Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "avx512_vnni vpdpbusd zmm",
            per_round: 4 * per_round,
            run: int8,
        });
    }
    if is_x86_feature_detected!("avx512bw") {
        loops.products.push(Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "avx512bw vpmaddubsw+vpmaddwd+vpaddd zmm",
            per_round: 4 * per_round,
            run: int8_in_three,
        });
    }
    if is_x86_feature_detected!("avx512bf16") {
        loops.products.push(Product {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: "avx512_bf16 vdpbf16ps zmm",
            per_round: 2 * per_round,
            run: bf16,
        });
    }
    loops.products.extend([
        Product {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: "avx512f convert+vfmadd zmm",
            per_round,
            run: bf16_converted,
        },
        Product {
            number: Number::F16,
            unit: Unit::Vectors,
            instructions: "avx512f convert+vfmadd zmm",
            per_round,
            run: f16,
        },
        Product {
            number: Number::F32,
            unit: Unit::Vectors,
            instructions: "avx512f vfmadd zmm",
            per_round,
            run: f32,
        },
    ]);
}

#[target_feature(enable = "avx512f")]
fn sum(words: &[u64], passes: u64) -> u64 {
    let mut sums = [_mm512_setzero_si512(); 8];
    let mut tail = 0u64;
    for _ in 0..passes {
        let (blocks, rest) = black_box(words).as_chunks::<64>();
        for block in blocks {
            let first = block.as_ptr().cast::<__m512i>();
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a block is eight times 64 bytes; the load needs no alignment.
                *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(first.add(i)) });
            }
        }
        tail = rest.iter().fold(tail, |sum, word| sum.wrapping_add(*word));
    }
    let lanes = sums.iter().map(|sum| _mm512_reduce_add_epi64(*sum).cast_unsigned());
    lanes.fold(tail, u64::wrapping_add)
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int8(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (_mm512_set1_epi8(a), _mm512_set1_epi8(b));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    // Without this all sums were one.
    for sum in &mut sums {
        *sum = opaque(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, a, b);
        }
    }
    total_i32(&sums)
}

#[target_feature(enable = "avx512f,avx512bw")]
fn int8_in_three(a: i8, b: i8, rounds: u64) -> f64 {
    let (mut a, b) = (_mm512_set1_epi8(a), opaque(_mm512_set1_epi8(b)));
    let ones = opaque(_mm512_set1_epi16(1));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // Without this all products were one.
            a = opaque(a);
            let pairs = _mm512_maddubs_epi16(a, b);
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(pairs, ones));
        }
    }
    total_i32(&sums)
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16(a: i8, b: i8, rounds: u64) -> f64 {
    let pairs = |v: i8| {
        let v = _mm512_set1_ps(f32::from(v));
        _mm512_cvtne2ps_pbh(v, v)
    };
    let (a, b) = (pairs(a), pairs(b));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = opaque_ps(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, a, b);
        }
    }
    total(&sums)
}

#[target_feature(enable = "avx512f")]
fn bf16_converted(a: i8, b: i8, rounds: u64) -> f64 {
    let half = _mm256_set1_epi16((f32::from(a).to_bits() >> 16) as i16);
    converted(half, b, rounds, |half| {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)))
    })
}

#[target_feature(enable = "avx512f")]
fn f16(a: i8, b: i8, rounds: u64) -> f64 {
    let half = _mm256_set1_epi16(half::f16::from_f32(f32::from(a)).to_bits() as i16);
    converted(half, b, rounds, |half| _mm512_cvtph_ps(half))
}

/// Products of vectors that come in 16 bits and are converted, each for several products.
#[inline]
#[target_feature(enable = "avx512f")]
fn converted(mut half: __m256i, b: i8, rounds: u64, convert: impl Fn(__m256i) -> __m512) -> f64 {
    let b = _mm512_set1_ps(f32::from(b));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = opaque_ps(*sum);
    }
    for _ in 0..rounds {
        for sums in sums.as_chunks_mut::<PER_CONVERSION>().0 {
            // Without this one conversion would do for all rounds.
            // SAFETY: there is no instruction in it.
            unsafe { asm!("/* {0} */", inout(ymm_reg) half, options(nomem, nostack)) };
            let a = convert(half);
            for sum in sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
    }
    total(&sums)
}

#[target_feature(enable = "avx512f")]
fn f32(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (_mm512_set1_ps(f32::from(a)), _mm512_set1_ps(f32::from(b)));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = opaque_ps(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(a, b, *sum);
        }
    }
    total(&sums)
}

/// The same, which the compiler cannot know.
#[inline]
#[target_feature(enable = "avx512f")]
fn opaque(mut v: __m512i) -> __m512i {
    // SAFETY: there is no instruction in it.
    unsafe { asm!("/* {0} */", inout(zmm_reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

#[inline]
#[target_feature(enable = "avx512f")]
fn opaque_ps(v: __m512) -> __m512 {
    _mm512_castsi512_ps(opaque(_mm512_castps_si512(v)))
}

#[target_feature(enable = "avx512f")]
fn total_i32(sums: &[__m512i]) -> f64 {
    sums.iter().map(|sum| f64::from(_mm512_reduce_add_epi32(*sum))).sum()
}

#[target_feature(enable = "avx512f")]
fn total(sums: &[__m512]) -> f64 {
    sums.iter().map(|sum| f64::from(_mm512_reduce_add_ps(*sum))).sum()
}
