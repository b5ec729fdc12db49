//! `IQ4_XS`: 256 elements in 136 bytes: 8 sub-blocks of 32 with a 6-bit scale each, one f16 scale
//! `d` over all; `x = d · (scale − 32) · value`, with the values of `IQ4_NL`.
//!
//! Bytes: `d`, 8 pairs of high bits of the scales, 8 low nibbles of them, 128 of nibbles. Nibbles
//! lie in every 16 bytes as in `Q4_0`.

use super::iq4_nl::{put_values, values};
use super::levels::{Curve, Whole};
use super::search;
use super::{SuperBlock, f16_at, put_f16};

const HIGH: usize = 2;
const LOW: usize = 4;
const Q: usize = 8;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    let mut out = SuperBlock { d: f16_at(block), ..SuperBlock::ZERO };
    for c in 0..8 {
        let low = block[LOW + c / 2] >> (4 * (c % 2)) & 15;
        let high = block[HIGH + c / 4] >> (2 * (c % 4)) & 3;
        out.scales[2 * c..2 * c + 2].fill((low | high << 4) as i8 - 32);
        out.q[32 * c..32 * c + 32].copy_from_slice(&values(&block[Q + 16 * c..Q + 16 * c + 16]));
    }
    out
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    put_f16(block, from.d);
    block[HIGH..Q].fill(0);
    for c in 0..8 {
        let scale = (from.scales[2 * c] + 32) as u8;
        block[LOW + c / 2] |= (scale & 15) << (4 * (c % 2));
        block[HIGH + c / 4] |= (scale >> 4) << (2 * (c % 4));
        put_values(&from.q[32 * c..32 * c + 32], &mut block[Q + 16 * c..Q + 16 * c + 16]);
    }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    write(&search::symmetric::<32>(x, Curve, Whole { low: -32.0, high: 31.0 }), block);
}
