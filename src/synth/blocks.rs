//! Random weights, drawn straight as blocks of each tensor type.
//!
//! Quants are uniform, scales chosen so that a matrix has a given standard deviation. No scale and
//! no value is ever subnormal: subnormal arithmetic is slow on some machines, and real weights
//! have next to none.
//!
//! Source of truth for the layouts: `ggml-common.h` of ggml.

use half::{bf16, f16};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use crate::ggml::GgmlType;

/// Smallest normal half-precision number, 2^-14.
const MIN_SCALE: f32 = 6.103_515_6e-5;
/// Largest scale or plain value used: far from where products with quants overflow half precision.
const MAX_SCALE: f32 = 256.0;

/// What a tensor's values look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// Symmetric around 0 with this standard deviation.
    Spread(f32),
    /// Between 0.75 and 1.25, as norms are.
    AroundOne,
}

/// The stream of random numbers of one piece of one tensor. Its own for each, so that pieces can
/// be drawn in any order by any number of threads.
pub(super) fn stream(seed: u64, tensor: &str, piece: u64) -> Xoshiro256PlusPlus {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(piece.to_le_bytes());
    hasher.update(tensor.as_bytes());
    Xoshiro256PlusPlus::from_seed(hasher.finalize().into())
}

/// Whether weights of this type can be drawn.
pub(super) fn can_draw(ty: GgmlType) -> bool {
    use GgmlType::{BF16, F16, F32, Q4_0, Q6_K, Q8_0};
    matches!(ty, F32 | F16 | BF16 | Q8_0 | Q4_0 | Q6_K)
}

/// Appends `n_blocks` random blocks of type `ty` to `out`.
///
/// # Panics
///
/// For a type of which [`can_draw`] says no.
pub(super) fn draw(
    rng: &mut Xoshiro256PlusPlus,
    ty: GgmlType,
    fill: Fill,
    n_blocks: u64,
    out: &mut Vec<u8>,
) {
    let n = n_blocks as usize;
    match ty {
        GgmlType::F32 => draw_plain(rng, &table(fill, f32::to_le_bytes), n, out),
        GgmlType::F16 => draw_plain(rng, &table(fill, |v| f16::from_f32(v).to_le_bytes()), n, out),
        GgmlType::BF16 => {
            draw_plain(rng, &table(fill, |v| bf16::from_f32(v).to_le_bytes()), n, out);
        }
        GgmlType::Q8_0 => draw_q8_0(rng, spread(fill), n, out),
        GgmlType::Q4_0 => draw_q4_0(rng, spread(fill), n, out),
        GgmlType::Q6_K => draw_q6_k(rng, spread(fill), n, out),
        other => panic!("no synthetic weights of type {other}"),
    }
}

fn spread(fill: Fill) -> f32 {
    match fill {
        Fill::Spread(std) => std,
        Fill::AroundOne => panic!("norms are not quantised"),
    }
}

/// Distinct values that plain types take.
const VALUES: usize = 4096;

/// The values to choose from, evenly spaced, none of them near zero.
fn table<const N: usize>(fill: Fill, encode: impl Fn(f32) -> [u8; N]) -> Vec<[u8; N]> {
    // Odd multiples of a step: symmetric around zero without touching it. The standard deviation
    // of those below `VALUES` is `VALUES` / sqrt(3) steps.
    let odd = |i: usize| (2 * i as i32 + 1 - VALUES as i32) as f32;
    let value = |i| match fill {
        Fill::AroundOne => 1.0 + 0.25 * odd(i) / VALUES as f32,
        Fill::Spread(std) => {
            let v = odd(i) * (std * 3f32.sqrt() / VALUES as f32);
            v.abs().clamp(MIN_SCALE, MAX_SCALE).copysign(odd(i))
        }
    };
    (0..VALUES).map(|i| encode(value(i))).collect()
}

fn draw_plain<const N: usize>(
    rng: &mut Xoshiro256PlusPlus,
    table: &[[u8; N]],
    n: usize,
    out: &mut Vec<u8>,
) {
    let mut left = n;
    while left > 0 {
        let bits = rng.next_u64();
        for lane in 0..left.min(4) {
            let index = (bits >> (16 * lane)) as usize % VALUES;
            out.extend_from_slice(&table[index]);
        }
        left = left.saturating_sub(4);
    }
}

/// A scale for quants whose root mean square is `rms`: within a third of what gives `std`, of
/// either sign, so that the quants' own mean cancels.
fn scale(bits: u64, std: f32, rms: f32) -> [u8; 2] {
    // 0.75 to 1.25 has the mean square 1.0208.
    let jitter = 0.75 + 0.5 * (bits & 0xff) as f32 / 255.0;
    let d = (std / rms * jitter / 1.010_36).clamp(MIN_SCALE, MAX_SCALE);
    let signed = if bits & 0x100 == 0 { d } else { -d };
    f16::from_f32(signed).to_le_bytes()
}

fn draw_q8_0(rng: &mut Xoshiro256PlusPlus, std: f32, n: usize, out: &mut Vec<u8>) {
    // -127 to 127; -128 never occurs in real files, and kernels may count on that.
    const RMS: f32 = 73.6;
    let mut block = [0u8; 34];
    for _ in 0..n {
        let head = rng.next_u64();
        block[..2].copy_from_slice(&scale(head, std, RMS));
        for four in block[2..].chunks_exact_mut(8) {
            four.copy_from_slice(&rng.next_u64().to_le_bytes());
            for q in four {
                *q = (*q as i8).max(-127) as u8;
            }
        }
        out.extend_from_slice(&block);
    }
}

fn draw_q4_0(rng: &mut Xoshiro256PlusPlus, std: f32, n: usize, out: &mut Vec<u8>) {
    // -8 to 7.
    const RMS: f32 = 4.637;
    let mut block = [0u8; 18];
    for _ in 0..n {
        let head = rng.next_u64();
        block[..2].copy_from_slice(&scale(head, std, RMS));
        block[2..10].copy_from_slice(&rng.next_u64().to_le_bytes());
        block[10..].copy_from_slice(&rng.next_u64().to_le_bytes());
        out.extend_from_slice(&block);
    }
}

fn draw_q6_k(rng: &mut Xoshiro256PlusPlus, std: f32, n: usize, out: &mut Vec<u8>) {
    // Quants from -32 to 31 (rms 18.48) times scales of ±4 to ±7 (rms 5.61). Small scales keep
    // the block's own scale above the subnormals.
    const RMS: f32 = 18.48 * 5.61;
    const QUANTS: usize = 128 + 64;
    let mut block = [0u8; 210];
    for _ in 0..n {
        for eight in block[..QUANTS].chunks_exact_mut(8) {
            eight.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        let mut bits = rng.next_u64();
        for sub in &mut block[QUANTS..QUANTS + 16] {
            let magnitude = 4 + (bits & 3) as i8;
            *sub = if bits & 4 == 0 { magnitude } else { -magnitude } as u8;
            bits >>= 3;
        }
        let head = rng.next_u64();
        block[QUANTS + 16..].copy_from_slice(&scale(head, std, RMS));
        out.extend_from_slice(&block);
    }
}
