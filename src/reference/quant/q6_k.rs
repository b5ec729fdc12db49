//! `Q6_K`: 256 elements in 210 bytes: 16 sub-blocks of 16 with a signed 8-bit scale each, one
//! f16 scale over all; `x = d · scale · (q − 32)`.
//!
//! Bytes: 128 of low nibbles, 64 of high pairs of bits, 16 scales, `d`. Elements come in two
//! halves of 128; in a half, low byte `j` (0..64) holds the low nibble of element `j` and, in its
//! high nibble, of element `j + 64`; high byte `j` (0..32) holds bits 4 and 5 of elements `j`,
//! `j + 32`, `j + 64`, `j + 96`, lowest first.

use super::{f16_at, put_f16};

pub(super) const BLOCK: usize = 256;
pub(super) const BYTES: usize = 210;
const QH: usize = 128;
const SCALES: usize = 192;
const D: usize = 208;

/// The 256 unsigned 6-bit numbers of a block.
pub(super) fn unpack(block: &[u8]) -> [u8; BLOCK] {
    let mut q = [0; BLOCK];
    for (i, q) in q.iter_mut().enumerate() {
        let (half, j) = (i / 128, i % 128);
        let low = block[half * 64 + j % 64] >> (4 * (j / 64)) & 15;
        let high = block[QH + half * 32 + j % 32] >> (2 * (j / 32)) & 3;
        *q = low | high << 4;
    }
    q
}

/// Writes 256 unsigned 6-bit numbers into a block, leaving its scales alone.
pub(super) fn pack(q: &[u8; BLOCK], block: &mut [u8]) {
    block[..SCALES].fill(0);
    for (i, q) in q.iter().enumerate() {
        let (half, j) = (i / 128, i % 128);
        block[half * 64 + j % 64] |= (q & 15) << (4 * (j / 64));
        block[QH + half * 32 + j % 32] |= (q >> 4) << (2 * (j / 32));
    }
}

/// The 16 scales of a block, still as bytes.
pub(super) fn scales(block: &[u8]) -> &[u8] {
    &block[SCALES..D]
}

/// The 16 scales of a block, to be written.
pub(super) fn scales_mut(block: &mut [u8]) -> &mut [u8] {
    &mut block[SCALES..D]
}

/// The two bytes of `d`.
pub(super) fn d(block: &[u8]) -> &[u8] {
    &block[D..]
}

/// The two bytes of `d`, to be written.
pub(super) fn d_mut(block: &mut [u8]) -> &mut [u8] {
    &mut block[D..]
}

pub(super) fn dequantize(src: &[u8], dst: &mut [f32]) {
    for (block, out) in src.chunks_exact(BYTES).zip(dst.chunks_exact_mut(BLOCK)) {
        let d = f16_at(&block[D..]);
        let q = unpack(block);
        for (i, v) in out.iter_mut().enumerate() {
            let scale = f32::from(block[SCALES + i / 16] as i8);
            *v = d * scale * (i32::from(q[i]) - 32) as f32;
        }
    }
}

pub(super) fn quantize(src: &[f32], dst: &mut [u8]) {
    for (x, block) in src.chunks_exact(BLOCK).zip(dst.chunks_exact_mut(BYTES)) {
        let mut scale = [0f32; 16];
        for (s, x) in scale.iter_mut().zip(x.chunks_exact(16)) {
            // The value of largest size becomes -32, which +32 could not be.
            *s = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m }) / -32.0;
        }
        let max = scale.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
        let d = half::f16::from_f32(max / -128.0).to_f32();
        put_f16(&mut block[D..], d);
        let mut q = [32u8; BLOCK];
        for (s, &scale) in scale.iter().enumerate() {
            let whole = if d == 0.0 { 0.0 } else { (scale / d).round().clamp(-128.0, 127.0) };
            block[SCALES + s] = whole as i8 as u8;
            let step = d * whole;
            for i in s * 16..s * 16 + 16 {
                let v = if step == 0.0 { 0.0 } else { (x[i] / step).round() };
                q[i] = (v.clamp(-32.0, 31.0) + 32.0) as u8;
            }
        }
        pack(&q, block);
    }
}
