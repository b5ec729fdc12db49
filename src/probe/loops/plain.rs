//! Plain Rust: what the compiler makes of it for any machine of the architecture.
//!
//! The reading loop is the definition of correct for all others. Products are there of the kinds
//! that plain Rust multiplies without converting them first.

use std::hint::black_box;

use super::{Loops, Number, Product, Reader, Unit};

/// Sums side by side, each of one lane.
const SUMS: usize = 64;

pub(super) fn add_to(loops: &mut Loops) {
    let per_round = SUMS as u64;
    loops.readers.push(Reader { set: "plain", run: sum });
    loops.products.extend([
        Product {
            number: Number::Int8,
            unit: Unit::Vectors,
            instructions: "plain",
            per_round,
            run: int8,
        },
        Product {
            number: Number::F32,
            unit: Unit::Vectors,
            instructions: "plain",
            per_round,
            run: f32,
        },
    ]);
}

fn sum(words: &[u64], passes: u64) -> u64 {
    let mut sums = [0u64; SUMS];
    let mut tail = 0u64;
    for _ in 0..passes {
        let (blocks, rest) = black_box(words).as_chunks::<SUMS>();
        for block in blocks {
            for (sum, word) in sums.iter_mut().zip(block) {
                *sum = sum.wrapping_add(*word);
            }
        }
        tail = rest.iter().fold(tail, |sum, word| sum.wrapping_add(*word));
    }
    sums.iter().fold(tail, |sum, word| sum.wrapping_add(*word))
}

fn int8(a: i8, b: i8, rounds: u64) -> f64 {
    let (mut a, b) = ([a; SUMS], black_box([b; SUMS]));
    let mut sums = [0i32; SUMS];
    for _ in 0..rounds {
        a = black_box(a);
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = sum.wrapping_add(i32::from(a) * i32::from(b));
        }
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

fn f32(a: i8, b: i8, rounds: u64) -> f64 {
    let (mut a, b) = ([f32::from(a); SUMS], black_box([f32::from(b); SUMS]));
    let mut sums = [0f32; SUMS];
    for _ in 0..rounds {
        a = black_box(a);
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}
