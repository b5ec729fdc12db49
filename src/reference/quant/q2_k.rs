//! `Q2_K`: 256 elements in 84 bytes: 16 sub-blocks of 16 with a 4-bit scale and a 4-bit minimum
//! each, f16 scales `d` and `dmin` over them; `x = d · scale · q − dmin · min`.
//!
//! Bytes: 16 of scales (low nibble) and minima (high nibble), 64 of pairs of bits, `d`, `dmin`.

use super::search;
use super::{SuperBlock, f16_at, put_f16};

const Q: usize = 16;
const D: usize = 80;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    SuperBlock {
        q: pairs(&block[Q..D]).map(|q| q as i8),
        scales: std::array::from_fn(|s| (block[s] & 15) as i8),
        mins: std::array::from_fn(|s| (block[s] >> 4) as i8),
        d: f16_at(&block[D..]),
        dmin: f16_at(&block[D + 2..]),
    }
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    for (byte, (scale, min)) in block.iter_mut().zip(from.scales.iter().zip(from.mins)) {
        *byte = *scale as u8 | (min as u8) << 4;
    }
    put_pairs(&from.q.map(|q| q as u8), &mut block[Q..D]);
    put_f16(&mut block[D..], from.d);
    put_f16(&mut block[D + 2..], from.dmin);
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    write(&search::with_mins::<16>(x, 3.0, 15.0), block);
}

/// 256 numbers of two bits. In each of two halves, byte `j` holds the elements `j`, `j + 32`,
/// `j + 64`, `j + 96`, lowest bits first.
pub(super) fn pairs(bytes: &[u8]) -> [u8; 256] {
    std::array::from_fn(|i| bytes[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3)
}

/// The inverse of [`pairs`].
pub(super) fn put_pairs(q: &[u8; 256], bytes: &mut [u8]) {
    bytes.fill(0);
    for (i, q) in q.iter().enumerate() {
        bytes[i / 128 * 32 + i % 32] |= q << (2 * (i % 128 / 32));
    }
}
