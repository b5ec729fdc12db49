//! Numbers that are none: values and scales of blocks that are NaN or infinite.
//!
//! What a block stands for is its small whole numbers times its scales, so a row is finite exactly
//! where its scales are. Of a gigabyte of quantised weights some tens of megabytes are scales: looking at
//! them while a matrix is packed is nearly free. Of other types every number is looked at.

use super::f16_at;
use crate::ggml::GgmlType;

/// A number that is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// Its first byte in the data that was looked through.
    pub byte: usize,
    /// What it is in the format: `the value`, `the scale of a block`.
    pub what: &'static str,
    /// NaN or an infinity.
    pub found: f32,
}

/// Floating-point numbers that are looked at in one go.
const STRETCH: usize = 64;

/// The first number of `data`, whole blocks of type `ty`, that is not finite.
///
/// # Panics
/// When the type is not supported.
pub fn first_not_finite(ty: GgmlType, data: &[u8]) -> Option<NotFinite> {
    match ty {
        // Of an infinity and of what is no number all bits of the exponent are set.
        GgmlType::F32 => first_value(
            data,
            |b| u32::from_le_bytes(*b) & 0x7f80_0000 == 0x7f80_0000,
            |b| f32::from_le_bytes(*b),
        ),
        GgmlType::F16 => first_value(
            data,
            |b: &[u8; 2]| u16::from_le_bytes(*b) & 0x7c00 == 0x7c00,
            |b| f16_at(b),
        ),
        GgmlType::BF16 => first_value(
            data,
            |b| u16::from_le_bytes(*b) & 0x7f80 == 0x7f80,
            |b| half::bf16::from_le_bytes(*b).to_f32(),
        ),
        _ => first_scale(ty, data),
    }
}

/// Where the scales of a block lie: bytes from its start.
const fn scales(ty: GgmlType) -> &'static [usize] {
    match ty {
        GgmlType::Q8_0 | GgmlType::Q5_0 | GgmlType::Q4_0 | GgmlType::IQ4_NL | GgmlType::IQ4_XS => {
            &[0]
        }
        GgmlType::Q5_1 | GgmlType::Q4_1 | GgmlType::Q5_K | GgmlType::Q4_K => &[0, 2],
        GgmlType::Q2_K => &[80, 82],
        GgmlType::Q3_K => &[108],
        GgmlType::Q6_K => &[208],
        _ => panic!("a type without scales that are known"),
    }
}

fn first_scale(ty: GgmlType, data: &[u8]) -> Option<NotFinite> {
    let size = ty.block_bytes() as usize;
    let places = scales(ty);
    let is_none = |block: &[u8], at: usize| block[at + 1] & 0x7c == 0x7c;
    let block =
        data.chunks_exact(size).position(|block| places.iter().any(|at| is_none(block, *at)))?;
    let start = block * size;
    let at = places.iter().copied().find(|at| is_none(&data[start..], *at))?;
    let what = if at == places[0] { "the scale of a block" } else { "the minimum of a block" };
    Some(NotFinite { byte: start + at, what, found: f16_at(&data[start + at..]) })
}

fn first_value<const N: usize>(
    data: &[u8],
    is_none: impl Fn(&[u8; N]) -> bool,
    value: impl Fn(&[u8; N]) -> f32,
) -> Option<NotFinite> {
    let (numbers, _) = data.as_chunks::<N>();
    // No branch for each number: a stretch of them is one loop over vectors.
    let any = |stretch: &[[u8; N]]| stretch.iter().fold(false, |any, number| any | is_none(number));
    let first = numbers.chunks(STRETCH).position(any)? * STRETCH;
    let i = first + numbers[first..].iter().position(is_none)?;
    Some(NotFinite { byte: i * N, what: "the value", found: value(&numbers[i]) })
}
