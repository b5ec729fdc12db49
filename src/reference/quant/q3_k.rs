//! `Q3_K`: 256 elements in 110 bytes: 16 sub-blocks of 16 with a 6-bit scale each, one f16 scale
//! `d` over all; `x = d · (scale − 32) · (q − 4)`.
//!
//! Bytes: 32 of high bits (byte `j`, bit `c`: element `32 c + j`), 64 of low pairs of bits as in
//! `Q2_K`, 12 of scales, `d`. Of the scales, bytes 0 to 7 hold the low nibbles of scale `s` and,
//! above, `s + 8`; bytes 8 to 11 the high bits of `s`, `s + 4`, `s + 8`, `s + 12`, lowest first.

use super::levels::Whole;
use super::q2_k::{pairs, put_pairs};
use super::search;
use super::{SuperBlock, f16_at, put_f16};

const LOW: usize = 32;
const SCALES: usize = 96;
const D: usize = 108;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    let low = pairs(&block[LOW..SCALES]);
    let scales = &block[SCALES..D];
    SuperBlock {
        q: std::array::from_fn(|i| (low[i] | (block[i % 32] >> (i / 32) & 1) << 2) as i8 - 4),
        scales: std::array::from_fn(|s| {
            let low = scales[s % 8] >> (4 * (s / 8)) & 15;
            let high = scales[8 + s % 4] >> (2 * (s / 4)) & 3;
            (low | high << 4) as i8 - 32
        }),
        d: f16_at(&block[D..]),
        ..SuperBlock::ZERO
    }
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    let q = from.q.map(|q| (q + 4) as u8);
    block[..LOW].fill(0);
    for (i, q) in q.iter().enumerate() {
        block[i % 32] |= (q >> 2) << (i / 32);
    }
    put_pairs(&q.map(|q| q & 3), &mut block[LOW..SCALES]);
    let scales = &mut block[SCALES..D];
    scales.fill(0);
    for (s, scale) in from.scales.iter().enumerate() {
        let scale = (scale + 32) as u8;
        scales[s % 8] |= (scale & 15) << (4 * (s / 8));
        scales[8 + s % 4] |= (scale >> 4) << (2 * (s / 4));
    }
    put_f16(&mut block[D..], from.d);
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let levels = Whole { low: -4.0, high: 3.0 };
    write(&search::symmetric::<16>(x, levels, Whole { low: -32.0, high: 31.0 }), block);
}
