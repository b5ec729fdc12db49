//! AVX2 with FMA and F16C: x86-64 from 2013 on; products of bytes (AVX-VNNI) where the machine has
//! them, as processors for clients without AVX-512 do.
//!
//! Handed out only against [`Avx2`], which detection alone can make.

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use super::{Loops, Number, Product, Reader, Unit};
use crate::reference::kernel::Avx2;

/// Sums in flight: FMA on Haswell takes five cycles, two begin in each. With both factors and a
/// product they fit 16 registers.
const SUMS: usize = 12;
/// Sums in flight of `int8_in_three`: only the last of the three instructions waits for the one before.
const SUMS_IN_THREE: usize = 8;
/// Products of each converted vector, as in a product of matrices.
const PER_CONVERSION: usize = 6;

pub(super) fn add_to(loops: &mut Loops, _proof: &'static Avx2) {
    let per_round = 8 * SUMS as u64;
    loops.readers.push(Reader { set: "avx2", run: sum });
    if is_x86_feature_detected!("avxvnni") {
        loops.products.push(Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "avx_vnni vpdpbusd ymm",
            per_round: 4 * per_round,
            run: int8,
        });
    }
    loops.products.extend([
        Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "avx2 vpmaddubsw+vpmaddwd+vpaddd ymm",
            per_round: 32 * SUMS_IN_THREE as u64,
            run: int8_in_three,
        },
        Product {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: "avx2 convert+vfmadd ymm",
            per_round,
            run: bf16,
        },
        Product {
            number: Number::F16,
            unit: Unit::Vectors,
            instructions: "f16c convert+vfmadd ymm",
            per_round,
            run: f16,
        },
        Product {
            number: Number::F32,
            unit: Unit::Vectors,
            instructions: "fma vfmadd ymm",
            per_round,
            run: f32,
        },
    ]);
}

#[target_feature(enable = "avx2")]
fn sum(words: &[u64], passes: u64) -> u64 {
    let mut sums = [_mm256_setzero_si256(); 8];
    let mut tail = 0u64;
    for _ in 0..passes {
        let (blocks, rest) = black_box(words).as_chunks::<32>();
        for block in blocks {
            let first = block.as_ptr().cast::<__m256i>();
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a block is eight times 32 bytes; the load needs no alignment.
                *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(first.add(i)) });
            }
        }
        tail = rest.iter().fold(tail, |sum, word| sum.wrapping_add(*word));
    }
    let lanes = sums.iter().flat_map(|sum| words_of(*sum));
    lanes.fold(tail, u64::wrapping_add)
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (_mm256_set1_epi8(a), _mm256_set1_epi8(b));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    // Without this all sums were one.
    for sum in &mut sums {
        *sum = opaque(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
        }
    }
    total_i32(&sums)
}

#[target_feature(enable = "avx2")]
fn int8_in_three(a: i8, b: i8, rounds: u64) -> f64 {
    let (mut a, b) = (_mm256_set1_epi8(a), opaque(_mm256_set1_epi8(b)));
    let ones = opaque(_mm256_set1_epi16(1));
    let mut sums = [_mm256_setzero_si256(); SUMS_IN_THREE];
    for _ in 0..rounds {
        for sum in &mut sums {
            // Without this all products were one.
            a = opaque(a);
            let pairs = _mm256_maddubs_epi16(a, b);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
        }
    }
    total_i32(&sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn bf16(a: i8, b: i8, rounds: u64) -> f64 {
    let half = _mm_set1_epi16((f32::from(a).to_bits() >> 16) as i16);
    converted(half, b, rounds, |half| {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(half)))
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn f16(a: i8, b: i8, rounds: u64) -> f64 {
    let half = _mm_set1_epi16(half::f16::from_f32(f32::from(a)).to_bits() as i16);
    converted(half, b, rounds, |half| _mm256_cvtph_ps(half))
}

/// Products of vectors that come in 16 bits and are converted, each for several products.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn converted(mut half: __m128i, b: i8, rounds: u64, convert: impl Fn(__m128i) -> __m256) -> f64 {
    let b = _mm256_set1_ps(f32::from(b));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = opaque_ps(*sum);
    }
    for _ in 0..rounds {
        for sums in sums.as_chunks_mut::<PER_CONVERSION>().0 {
            // Without this one conversion would do for all rounds.
            // SAFETY: there is no instruction in it.
            unsafe { asm!("/* {0} */", inout(xmm_reg) half, options(nomem, nostack)) };
            let a = convert(half);
            for sum in sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
    }
    total(&sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn f32(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (_mm256_set1_ps(f32::from(a)), _mm256_set1_ps(f32::from(b)));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    // Without this all sums were one.
    for sum in &mut sums {
        *sum = opaque_ps(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, b, *sum);
        }
    }
    total(&sums)
}

/// The same, which the compiler cannot know.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque(mut v: __m256i) -> __m256i {
    // SAFETY: there is no instruction in it.
    unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

#[inline]
#[target_feature(enable = "avx2")]
fn opaque_ps(v: __m256) -> __m256 {
    _mm256_castsi256_ps(opaque(_mm256_castps_si256(v)))
}

#[target_feature(enable = "avx2")]
fn words_of(v: __m256i) -> [u64; 4] {
    let mut words = [0; 4];
    // SAFETY: there is room for 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), v) };
    words
}

#[target_feature(enable = "avx2")]
fn total_i32(sums: &[__m256i]) -> f64 {
    let lanes = sums.iter().flat_map(|sum| words_of(*sum));
    lanes.map(|two| f64::from(two as i32) + f64::from((two >> 32) as i32)).sum()
}

#[target_feature(enable = "avx2")]
fn total(sums: &[__m256]) -> f64 {
    let lanes = sums.iter().flat_map(|sum| words_of(_mm256_castps_si256(*sum)));
    let float = |bits: u64| f64::from(f32::from_bits(bits as u32));
    lanes.map(|two| float(two) + float(two >> 32)).sum()
}
