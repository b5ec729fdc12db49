//! `Q4_0`: 32 elements in 18 bytes: a scale `d` (f16) and 32 nibbles `q`; `x = d · (q − 8)`.
//!
//! Byte `j` holds element `j` in its low nibble and element `j + 16` in its high one.

use super::{f16_at, put_f16};

pub(super) const BLOCK: usize = 32;
pub(super) const BYTES: usize = 18;

pub(super) fn dequantize(src: &[u8], dst: &mut [f32]) {
    for (block, out) in src.chunks_exact(BYTES).zip(dst.chunks_exact_mut(BLOCK)) {
        let d = f16_at(block);
        for (j, q) in block[2..].iter().enumerate() {
            out[j] = d * (i32::from(q & 15) - 8) as f32;
            out[j + 16] = d * (i32::from(q >> 4) - 8) as f32;
        }
    }
}

pub(super) fn quantize(src: &[f32], dst: &mut [u8]) {
    for (x, block) in src.chunks_exact(BLOCK).zip(dst.chunks_exact_mut(BYTES)) {
        // The value of largest size becomes -8, which +8 could not be.
        let max = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
        let d = max / -8.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, d);
        let nibble = |v: f32| ((v * inverse + 8.5) as u8).min(15);
        for (j, q) in block[2..].iter_mut().enumerate() {
            *q = nibble(x[j]) | nibble(x[j + 16]) << 4;
        }
    }
}
