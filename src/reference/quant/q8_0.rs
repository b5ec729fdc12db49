//! `Q8_0`: 32 elements in 34 bytes: a scale `d` (f16) and 32 signed bytes `q`; `x = d · q`.

use super::range::inverse;
use super::{Block, f16_at, put_f16};

pub(super) fn read(block: &[u8]) -> Block {
    let q = std::array::from_fn(|i| block[2 + i] as i8);
    Block { q, d: f16_at(block), m: Block::NO_MIN }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let d = x.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0;
    let inverse = inverse(d);
    put_f16(block, d);
    for (v, q) in x.iter().zip(&mut block[2..]) {
        *q = (v * inverse).round() as i8 as u8;
    }
}
