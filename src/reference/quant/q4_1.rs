//! `Q4_1`: 32 elements in 20 bytes: a scale `d` and a minimum `m` (f16) and 32 nibbles `q`;
//! `x = d · q + m`. Nibbles lie as in `Q4_0`.

use super::{f16_at, put_f16};

pub(super) const BLOCK: usize = 32;
pub(super) const BYTES: usize = 20;

pub(super) fn dequantize(src: &[u8], dst: &mut [f32]) {
    for (block, out) in src.chunks_exact(BYTES).zip(dst.chunks_exact_mut(BLOCK)) {
        let (d, m) = (f16_at(block), f16_at(&block[2..]));
        for (j, q) in block[4..].iter().enumerate() {
            out[j] = d * f32::from(q & 15) + m;
            out[j + 16] = d * f32::from(q >> 4) + m;
        }
    }
}

pub(super) fn quantize(src: &[f32], dst: &mut [u8]) {
    for (x, block) in src.chunks_exact(BLOCK).zip(dst.chunks_exact_mut(BYTES)) {
        let min = x.iter().copied().fold(f32::INFINITY, f32::min);
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let d = (max - min) / 15.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, d);
        put_f16(&mut block[2..], min);
        let nibble = |v: f32| (((v - min) * inverse + 0.5) as u8).min(15);
        for (j, q) in block[4..].iter_mut().enumerate() {
            *q = nibble(x[j]) | nibble(x[j + 16]) << 4;
        }
    }
}
