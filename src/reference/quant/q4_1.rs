//! `Q4_1`: 32 elements in 20 bytes: a scale `d` and a minimum `m` (f16) and 32 nibbles `q`;
//! `x = d · q + m`. Nibbles lie as in `Q4_0`.

use super::range::{ends, inverse};
use super::{Block, f16_at, put_f16};

pub(super) fn read(block: &[u8]) -> Block {
    let mut q = [0; 32];
    for (j, byte) in block[4..].iter().enumerate() {
        q[j] = (byte & 15) as i8;
        q[j + 16] = (byte >> 4) as i8;
    }
    Block { q, d: f16_at(block), m: f16_at(&block[2..]) }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let (min, max) = ends(x);
    let d = (max - min) / 15.0;
    let inverse = inverse(d);
    put_f16(block, d);
    put_f16(&mut block[2..], min);
    let nibble = |v: f32| (((v - min) * inverse + 0.5) as u8).min(15);
    for (j, byte) in block[4..].iter_mut().enumerate() {
        *byte = nibble(x[j]) | nibble(x[j + 16]) << 4;
    }
}
