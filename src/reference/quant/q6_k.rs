//! `Q6_K`: 256 elements in 210 bytes: 16 sub-blocks of 16 with a signed 8-bit scale each, one
//! f16 scale over all; `x = d · scale · (q − 32)`.
//!
//! Bytes: 128 of low nibbles, 64 of high pairs of bits, 16 scales, `d`. Elements come in two
//! halves of 128; in a half, low byte `j` (0..64) holds the low nibble of element `j` and, in its
//! high nibble, of element `j + 64`; the high pairs lie as in `Q2_K`.

use super::levels::Whole;
use super::q2_k::{pairs, put_pairs};
use super::search;
use super::{SuperBlock, f16_at, put_f16};

const HIGH: usize = 128;
const SCALES: usize = 192;
const D: usize = 208;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    let high = pairs(&block[HIGH..SCALES]);
    let low = |i: usize| block[i / 128 * 64 + i % 64] >> (4 * (i % 128 / 64)) & 15;
    SuperBlock {
        q: std::array::from_fn(|i| (low(i) | high[i] << 4) as i8 - 32),
        scales: std::array::from_fn(|s| block[SCALES + s] as i8),
        d: f16_at(&block[D..]),
        ..SuperBlock::ZERO
    }
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    let q = from.q.map(|q| (q + 32) as u8);
    block[..HIGH].fill(0);
    for (i, q) in q.iter().enumerate() {
        block[i / 128 * 64 + i % 64] |= (q & 15) << (4 * (i % 128 / 64));
    }
    put_pairs(&q.map(|q| q >> 4), &mut block[HIGH..SCALES]);
    for (byte, scale) in block[SCALES..D].iter_mut().zip(from.scales) {
        *byte = scale as u8;
    }
    put_f16(&mut block[D..], from.d);
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let levels = Whole { low: -32.0, high: 31.0 };
    write(&search::symmetric::<16>(x, levels, Whole { low: -128.0, high: 127.0 }), block);
}
