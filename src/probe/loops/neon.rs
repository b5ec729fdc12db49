//! NEON, which every ARM64 processor has.
//!
//! Half precision, bfloat16 and dot products of bytes are extensions that Rust does not offer yet
//! or that not every processor has: those kinds of number are absent.

use std::arch::aarch64::*;
use std::arch::asm;
use std::hint::black_box;

use super::{Loops, Number, Product, Reader};

/// Sums in flight: up to four units of four cycles each.
const SUMS: usize = 16;

pub(super) fn add_to(loops: &mut Loops) {
    loops.readers.push(Reader { set: "neon", run: sum });
    loops.products.push(Product {
        number: Number::F32,
        instructions: "neon fmla v.4s",
        per_round: 4 * SUMS as u64,
        run: f32,
    });
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

#[target_feature(enable = "neon")]
fn f32(a: i8, b: i8, rounds: u64) -> f64 {
    let (a, b) = (vdupq_n_f32(f32::from(a)), vdupq_n_f32(f32::from(b)));
    let mut sums = [vdupq_n_f32(0.0); SUMS];
    for sum in &mut sums {
        // Without this all sums were one.
        // SAFETY: there is no instruction in it.
        unsafe { asm!("/* {0:v} */", inout(vreg) * sum, options(nomem, nostack)) };
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = vfmaq_f32(*sum, a, b);
        }
    }
    sums.iter().map(|sum| f64::from(vaddvq_f32(*sum))).sum()
}
