//! `IQ4_NL`: 32 elements in 18 bytes: a scale `d` (f16) and 32 nibbles that choose among
//! [`VALUES`]; `x = d · value`. Nibbles lie as in `Q4_0`.

use super::levels::Curve;
use super::search;
use super::{Block, f16_at, put_f16};

/// What the nibbles stand for (`kvalues_iq4nl`): closer together near zero, where most weights are.
pub const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(super) fn read(block: &[u8]) -> Block {
    Block { q: values(&block[2..]), d: f16_at(block), m: Block::NO_MIN }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let found = search::block(&x.as_chunks().0[0], Curve);
    put_f16(block, found.d);
    put_values(&found.q, &mut block[2..]);
}

/// What 32 nibbles stand for.
pub(super) fn values(bytes: &[u8]) -> [i8; 32] {
    std::array::from_fn(|i| VALUES[usize::from(bytes[i % 16] >> (4 * (i / 16)) & 15)])
}

/// The inverse of [`values`].
pub(super) fn put_values(q: &[i8], bytes: &mut [u8]) {
    // The list ascends, so the number of smaller ones is a value's place.
    let index = |q: i8| VALUES.iter().filter(|v| **v < q).count() as u8;
    for (j, byte) in bytes.iter_mut().enumerate() {
        *byte = index(q[j]) | index(q[j + 16]) << 4;
    }
}
