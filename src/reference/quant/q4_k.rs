//! `Q4_K`: 256 elements in 144 bytes: 8 sub-blocks of 32 with a 6-bit scale and a 6-bit minimum
//! each, f16 scales `d` and `dmin` over them; `x = d · scale · q − dmin · min`.
//!
//! Bytes: `d`, `dmin`, 12 of scales and minima, 128 of nibbles. Byte `32 p + j` of the nibbles
//! holds element `64 p + j` and, above, element `64 p + 32 + j`.

use super::search;
use super::{SuperBlock, f16_at, put_f16};

const SCALES: usize = 4;
const Q: usize = 16;

pub(super) fn read(block: &[u8]) -> SuperBlock {
    let (scales, mins) = scales_and_mins(&block[SCALES..Q]);
    SuperBlock {
        q: nibbles(&block[Q..]).map(|q| q as i8),
        scales,
        mins,
        d: f16_at(block),
        dmin: f16_at(&block[2..]),
    }
}

pub(super) fn write(from: &SuperBlock, block: &mut [u8]) {
    put_head(from, block);
    put_nibbles(&from.q.map(|q| q as u8), &mut block[Q..]);
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    write(&search::with_mins::<32>(x, 15.0, 63.0), block);
}

/// Scales and minima of 8 sub-blocks of 32 in 12 bytes. Bytes 0 to 3 hold the scales 0 to 3, bytes
/// 4 to 7 their minima, bytes 8 to 11 the low nibbles of the scales 4 to 7 and, above, of their
/// minima. The high bits of these are the highest two of bytes 0 to 3 and 4 to 7.
pub(super) fn scales_and_mins(bytes: &[u8]) -> ([i8; 16], [i8; 16]) {
    let of = |first: usize, shift: usize, c: usize| match c {
        0..4 => bytes[first + c] & 63,
        _ => bytes[4 + c] >> shift & 15 | bytes[first + c - 4] >> 6 << 4,
    };
    let scales = std::array::from_fn(|s| of(0, 0, s / 2) as i8);
    (scales, std::array::from_fn(|s| of(4, 4, s / 2) as i8))
}

/// Writes `d`, `dmin`, scales and minima as `Q4_K` and `Q5_K` begin.
pub(super) fn put_head(from: &SuperBlock, block: &mut [u8]) {
    put_f16(block, from.d);
    put_f16(&mut block[2..], from.dmin);
    let bytes = &mut block[SCALES..Q];
    for c in 0..4 {
        let [scale, min] = [from.scales, from.mins].map(|s| s[2 * c] as u8);
        let [scale4, min4] = [from.scales, from.mins].map(|s| s[2 * c + 8] as u8);
        bytes[c] = scale | scale4 >> 4 << 6;
        bytes[4 + c] = min | min4 >> 4 << 6;
        bytes[8 + c] = scale4 & 15 | (min4 & 15) << 4;
    }
}

/// 256 nibbles.
pub(super) fn nibbles(bytes: &[u8]) -> [u8; 256] {
    std::array::from_fn(|i| bytes[i / 64 * 32 + i % 32] >> (4 * (i % 64 / 32)) & 15)
}

/// The inverse of [`nibbles`].
pub(super) fn put_nibbles(q: &[u8; 256], bytes: &mut [u8]) {
    bytes.fill(0);
    for (i, q) in q.iter().enumerate() {
        bytes[i / 64 * 32 + i % 32] |= q << (4 * (i % 64 / 32));
    }
}
