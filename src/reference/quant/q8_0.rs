//! `Q8_0`: 32 elements in 34 bytes: a scale `d` (f16) and 32 signed bytes `q`; `x = d · q`.

use super::{f16_at, put_f16};

pub(super) const BLOCK: usize = 32;
pub(super) const BYTES: usize = 34;

pub(super) fn dequantize(src: &[u8], dst: &mut [f32]) {
    for (block, out) in src.chunks_exact(BYTES).zip(dst.chunks_exact_mut(BLOCK)) {
        let d = f16_at(block);
        for (q, v) in block[2..].iter().zip(out) {
            *v = d * f32::from(*q as i8);
        }
    }
}

pub(super) fn quantize(src: &[f32], dst: &mut [u8]) {
    for (x, block) in src.chunks_exact(BLOCK).zip(dst.chunks_exact_mut(BYTES)) {
        let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        let d = max / 127.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, d);
        for (v, q) in x.iter().zip(&mut block[2..]) {
            *q = (v * inverse).round() as i8 as u8;
        }
    }
}
