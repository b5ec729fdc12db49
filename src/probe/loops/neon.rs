//! NEON, which every ARM64 processor has, and the dot products that some have beside it.
//!
//! Instructions for which Rust has no stable function are written out.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};
use std::hint::black_box;

use super::{Loops, Number, Product, Reader, Unit};

/// Sums in flight: up to four units of four cycles each.
const SUMS: usize = 16;
/// Products of each converted vector, as in a product of matrices.
const PER_CONVERSION: usize = 8;

pub(super) fn add_to(loops: &mut Loops) {
    let per_round = 4 * SUMS as u64;
    loops.readers.push(Reader { set: "neon", run: sum });
    if is_aarch64_feature_detected!("dotprod") {
        loops.products.push(Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "dotprod sdot v.4s",
            per_round: 4 * per_round,
            run: int8,
        });
    }
    if is_aarch64_feature_detected!("bf16") {
        loops.products.push(Product {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: "bf16 bfdot v.4s",
            per_round: 2 * per_round,
            run: bf16,
        });
    }
    loops.products.extend([
        Product {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: "neon convert+fmla v.4s",
            per_round,
            run: bf16_converted,
        },
        Product {
            number: Number::F16,
            unit: Unit::Vectors,
            instructions: "neon convert+fmla v.4s",
            per_round,
            run: f16,
        },
        Product {
            number: Number::F32,
            unit: Unit::Vectors,
            instructions: "neon fmla v.4s",
            per_round,
            run: f32,
        },
    ]);
}

#[target_feature(enable = "neon")]
fn sum(words: &[u64], passes: u64) -> u64 {
    let mut sums = [vdupq_n_u64(0); 16];
    let mut tail = 0u64;
    for _ in 0..passes {
        let (blocks, rest) = black_box(words).as_chunks::<32>();
        for block in blocks {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a block is sixteen times two words.
                *sum = vaddq_u64(*sum, unsafe { vld1q_u64(block.as_ptr().add(2 * i)) });
            }
        }
        tail = rest.iter().fold(tail, |sum, word| sum.wrapping_add(*word));
    }
    sums.iter().fold(tail, |all, sum| all.wrapping_add(vaddvq_u64(*sum)))
}

#[target_feature(enable = "neon,dotprod")]
fn int8(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (vdupq_n_s8(a), vdupq_n_s8(b));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: it reads and writes these registers only, and this function has the feature.
            unsafe {
                asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) *sum, in(vreg) a,
                     in(vreg) b, options(nomem, nostack, preserves_flags));
            }
        }
    }
    sums.iter().map(|sum| f64::from(vaddvq_s32(*sum))).sum()
}

#[target_feature(enable = "neon,bf16")]
fn bf16(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (vdupq_n_u16(upper_half(a)), vdupq_n_u16(upper_half(b)));
    let mut sums = [vdupq_n_f32(0.0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: it reads and writes these registers only, and this function has the feature.
            unsafe {
                asm!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.8h", inout(vreg) *sum, in(vreg) a,
                     in(vreg) b, options(nomem, nostack, preserves_flags));
            }
        }
    }
    total(&sums)
}

#[target_feature(enable = "neon")]
fn bf16_converted(a: i8, b: i8, rounds: u64) -> f64 {
    let half = vdup_n_u16(upper_half(a));
    converted(half, b, rounds, |half| vreinterpretq_f32_u32(vshll_n_u16::<16>(half)))
}

#[target_feature(enable = "neon")]
fn f16(a: i8, b: i8, rounds: u64) -> f64 {
    let half = vdup_n_u16(half::f16::from_f32(f32::from(a)).to_bits());
    converted(half, b, rounds, |half| {
        let floats: float32x4_t;
        // SAFETY: it reads and writes these registers only.
        unsafe {
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) half,
                 options(nomem, nostack, preserves_flags));
        }
        floats
    })
}

/// Products of vectors that come in 16 bits and are converted, each for several products.
#[inline]
#[target_feature(enable = "neon")]
fn converted(
    mut half: uint16x4_t,
    b: i8,
    rounds: u64,
    convert: impl Fn(uint16x4_t) -> float32x4_t,
) -> f64 {
    let b = vdupq_n_f32(f32::from(b));
    let mut sums = [vdupq_n_f32(0.0); SUMS];
    for sum in &mut sums {
        *sum = opaque(*sum);
    }
    for _ in 0..rounds {
        for sums in sums.as_chunks_mut::<PER_CONVERSION>().0 {
            // Without this one conversion would do for all rounds.
            // SAFETY: there is no instruction in it.
            unsafe { asm!("/* {0:v} */", inout(vreg) half, options(nomem, nostack)) };
            let a = convert(half);
            for sum in sums {
                *sum = vfmaq_f32(*sum, a, b);
            }
        }
    }
    total(&sums)
}

#[target_feature(enable = "neon")]
fn f32(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (vdupq_n_f32(f32::from(a)), vdupq_n_f32(f32::from(b)));
    let mut sums = [vdupq_n_f32(0.0); SUMS];
    // Without this all sums were one.
    for sum in &mut sums {
        *sum = opaque(*sum);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = vfmaq_f32(*sum, a, b);
        }
    }
    total(&sums)
}

/// The same, which the compiler cannot know.
#[inline]
#[target_feature(enable = "neon")]
fn opaque(mut v: float32x4_t) -> float32x4_t {
    // SAFETY: there is no instruction in it.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// A small integer as bfloat16, which is the upper half of an f32.
fn upper_half(v: i8) -> u16 {
    (f32::from(v).to_bits() >> 16) as u16
}

#[target_feature(enable = "neon")]
fn total(sums: &[float32x4_t]) -> f64 {
    sums.iter().map(|sum| f64::from(vaddvq_f32(*sum))).sum()
}
