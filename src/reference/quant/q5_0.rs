//! `Q5_0`: 32 elements in 22 bytes: a scale `d` (f16), 32 high bits and 32 nibbles; together they
//! are `q`, and `x = d · (q − 16)`.
//!
//! Bit `i` of the 32 (little-endian) belongs to element `i`. Nibbles lie as in `Q4_0`.

use super::range::scale;
use super::{Block, f16_at, put_f16};

pub(super) fn read(block: &[u8]) -> Block {
    let q = numbers(&block[2..]).map(|q| q as i8 - 16);
    Block { q, d: f16_at(block), m: Block::NO_MIN }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let (d, inverse) = scale(x, -16.0);
    put_f16(block, d);
    let number = |v: f32| ((v * inverse + 16.5) as u8).min(31);
    put_numbers(&std::array::from_fn(|i| number(x[i])), &mut block[2..]);
}

/// 32 numbers of 5 bits.
pub(super) fn numbers(bytes: &[u8]) -> [u8; 32] {
    let (high, low) = bytes.split_at(4);
    std::array::from_fn(|i| {
        let bit = high[i / 8] >> (i % 8) & 1;
        low[i % 16] >> (4 * (i / 16)) & 15 | bit << 4
    })
}

/// The inverse of [`numbers`].
pub(super) fn put_numbers(q: &[u8; 32], bytes: &mut [u8]) {
    bytes.fill(0);
    let (high, low) = bytes.split_at_mut(4);
    for (i, q) in q.iter().enumerate() {
        high[i / 8] |= (q >> 4) << (i % 8);
        low[i % 16] |= (q & 15) << (4 * (i / 16));
    }
}
