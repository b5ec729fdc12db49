//! `Q5_1`: 32 elements in 24 bytes: a scale `d` and a minimum `m` (f16), then numbers `q` of 5 bits
//! that lie as in `Q5_0`; `x = d · q + m`.

use super::q5_0::{numbers, put_numbers};
use super::range::{ends, inverse};
use super::{Block, f16_at, put_f16};

pub(super) fn read(block: &[u8]) -> Block {
    let q = numbers(&block[4..]).map(|q| q as i8);
    Block { q, d: f16_at(block), m: f16_at(&block[2..]) }
}

pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let (min, max) = ends(x);
    let d = (max - min) / 31.0;
    let inverse = inverse(d);
    put_f16(block, d);
    put_f16(&mut block[2..], min);
    let number = |v: f32| (((v - min) * inverse + 0.5) as u8).min(31);
    put_numbers(&std::array::from_fn(|i| number(x[i])), &mut block[4..]);
}
