//! `Q4_0`: 32 elements in 18 bytes: a scale `d` (f16) and 32 nibbles `q`; `x = d · (q − 8)`.
//!
//! Byte `j` holds element `j` in its low nibble and element `j + 16` in its high one.

use super::range::scale;
use super::{Block, f16_at, put_f16};

pub(super) fn read(block: &[u8]) -> Block {
    let mut q = [0; 32];
    for (j, byte) in block[2..].iter().enumerate() {
        q[j] = (byte & 15) as i8 - 8;
        q[j + 16] = (byte >> 4) as i8 - 8;
    }
    Block { q, d: f16_at(block), m: Block::NO_MIN }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let (d, inverse) = scale(x, -8.0);
    put_f16(block, d);
    let nibble = |v: f32| ((v * inverse + 8.5) as u8).min(15);
    for (j, byte) in block[2..].iter_mut().enumerate() {
        *byte = nibble(x[j]) | nibble(x[j + 16]) << 4;
    }
}
