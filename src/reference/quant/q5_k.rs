//! `Q5_K`: 256 elements in 176 bytes: as `Q4_K`, with a fifth bit for each number.
//!
//! Bytes: `d`, `dmin`, 12 of scales and minima as in `Q4_K`, 32 of high bits (byte `j`, bit `c`:
//! element `32 c + j`), 128 of nibbles as in `Q4_K`.

use super::q4_k::{nibbles, put_head, put_nibbles, scales_and_mins};
use super::search;
use super::{SuperBlock, f16_at};

const SCALES: usize = 4;
const HIGH: usize = 16;
const LOW: usize = 48;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    let (scales, mins) = scales_and_mins(&block[SCALES..HIGH]);
    let low = nibbles(&block[LOW..]);
    let high = |i: usize| block[HIGH + i % 32] >> (i / 32) & 1;
    SuperBlock {
        q: std::array::from_fn(|i| (low[i] | high(i) << 4) as i8),
        scales,
        mins,
        d: f16_at(block),
        dmin: f16_at(&block[2..]),
    }
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    put_head(from, block);
    block[HIGH..LOW].fill(0);
    for (i, q) in from.q.iter().enumerate() {
        block[HIGH + i % 32] |= ((q >> 4) as u8) << (i / 32);
    }
    put_nibbles(&from.q.map(|q| q as u8 & 15), &mut block[LOW..]);
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    write(&search::with_mins::<32>(x, 31.0, 63.0), block);
}
