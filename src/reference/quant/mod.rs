//! Quantised formats: what the bytes of a row mean, and how matrices are laid out for the kernels.
//!
//! One format per file. A row is a whole number of blocks; `dequantize_row` is the definition of
//! a format. `quantize_row` gives the bytes of ggml's reference quantiser for the formats that round
//! to the nearest (`Q4_0` to `Q8_0`), and searches for scales itself for the others (`search`);
//! without an importance matrix. `panel` holds the interleaved layout that kernels read.
//! Source of truth: the block structures of ggml 0.26 (`ggml-common.h`, `ggml-quants.c`).

mod block;
mod finite;
mod float;
mod iq4_nl;
mod iq4_xs;
mod levels;
pub mod panel;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod range;
mod search;

pub use block::{Block, SuperBlock};
pub use finite::{NotFinite, first_not_finite};
pub use iq4_nl::VALUES as IQ4_VALUES;

use crate::ggml::GgmlType;

/// Element types of weights that the engine computes with.
pub const WEIGHT_TYPES: &[GgmlType] = &[
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::BF16,
    GgmlType::Q8_0,
    GgmlType::Q6_K,
    GgmlType::Q5_K,
    GgmlType::Q5_1,
    GgmlType::Q5_0,
    GgmlType::Q4_K,
    GgmlType::Q4_1,
    GgmlType::Q4_0,
    GgmlType::IQ4_NL,
    GgmlType::IQ4_XS,
    GgmlType::Q3_K,
    GgmlType::Q2_K,
];

/// Element types of the KV cache that the engine computes with.
pub const KV_TYPES: &[GgmlType] =
    &[GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q4_0];

/// Whether weights of this type can be computed with.
pub fn is_supported(ty: GgmlType) -> bool {
    WEIGHT_TYPES.contains(&ty)
}

/// Bytes of a row of `n` elements.
///
/// # Panics
/// When `n` is no whole number of blocks.
pub fn row_bytes(ty: GgmlType, n: usize) -> usize {
    assert!(n.is_multiple_of(ty.block_size() as usize), "{n} elements in blocks of {ty}");
    n / ty.block_size() as usize * ty.block_bytes() as usize
}

/// How bytes of a type are read.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    /// Numbers, one after the other.
    Floats(fn(&[u8], &mut [f32])),
    /// Blocks of 32.
    Blocks(fn(&[u8]) -> Block),
    /// Blocks of 256.
    SuperBlocks(fn(&[u8]) -> SuperBlock),
}

/// How bytes of a type are read.
///
/// # Panics
/// When the type is not supported.
pub(super) fn reader(ty: GgmlType) -> Reader {
    match ty {
        GgmlType::F32 => Reader::Floats(float::dequantize_f32),
        GgmlType::F16 => Reader::Floats(float::dequantize_f16),
        GgmlType::BF16 => Reader::Floats(float::dequantize_bf16),
        GgmlType::Q8_0 => Reader::Blocks(q8_0::read),
        GgmlType::Q5_0 => Reader::Blocks(q5_0::read),
        GgmlType::Q5_1 => Reader::Blocks(q5_1::read),
        GgmlType::Q4_0 => Reader::Blocks(q4_0::read),
        GgmlType::Q4_1 => Reader::Blocks(q4_1::read),
        GgmlType::IQ4_NL => Reader::Blocks(iq4_nl::read),
        GgmlType::Q2_K => Reader::SuperBlocks(q2_k::read),
        GgmlType::Q3_K => Reader::SuperBlocks(q3_k::read),
        GgmlType::Q4_K => Reader::SuperBlocks(q4_k::read),
        GgmlType::Q5_K => Reader::SuperBlocks(q5_k::read),
        GgmlType::Q6_K => Reader::SuperBlocks(q6_k::read),
        GgmlType::IQ4_XS => Reader::SuperBlocks(iq4_xs::read),
        _ => panic!("{ty} is none of {WEIGHT_TYPES:?}"),
    }
}

/// Writes the values of the row `src` into `dst`.
///
/// # Panics
/// When the lengths do not belong together or the type is not supported.
pub fn dequantize_row(ty: GgmlType, src: &[u8], dst: &mut [f32]) {
    assert_eq!(src.len(), row_bytes(ty, dst.len()), "bytes of a row");
    let blocks = src.chunks_exact(ty.block_bytes() as usize);
    let out = dst.chunks_exact_mut(ty.block_size() as usize);
    match reader(ty) {
        Reader::Floats(all) => all(src, dst),
        Reader::Blocks(read) => blocks.zip(out).for_each(|(b, out)| read(b).dequantize(out)),
        Reader::SuperBlocks(read) => blocks.zip(out).for_each(|(b, out)| read(b).dequantize(out)),
    }
}

/// Writes `src` as a row of the type into `dst`.
///
/// # Panics
/// When the lengths do not belong together or the type is not supported.
pub fn quantize_row(ty: GgmlType, src: &[f32], dst: &mut [u8]) {
    assert_eq!(dst.len(), row_bytes(ty, src.len()), "bytes of a row");
    let quantize: fn(&[f32], &mut [u8]) = match ty {
        GgmlType::F32 => return float::quantize_f32(src, dst),
        GgmlType::F16 => return float::quantize_f16(src, dst),
        GgmlType::BF16 => return float::quantize_bf16(src, dst),
        GgmlType::Q8_0 => q8_0::quantize,
        GgmlType::Q5_0 => q5_0::quantize,
        GgmlType::Q5_1 => q5_1::quantize,
        GgmlType::Q4_0 => q4_0::quantize,
        GgmlType::Q4_1 => q4_1::quantize,
        GgmlType::IQ4_NL => iq4_nl::quantize,
        GgmlType::Q2_K => q2_k::quantize,
        GgmlType::Q3_K => q3_k::quantize,
        GgmlType::Q4_K => q4_k::quantize,
        GgmlType::Q5_K => q5_k::quantize,
        GgmlType::Q6_K => q6_k::quantize,
        GgmlType::IQ4_XS => iq4_xs::quantize,
        _ => panic!("{ty} is none of {WEIGHT_TYPES:?}"),
    };
    let blocks = dst.chunks_exact_mut(ty.block_bytes() as usize);
    for (x, block) in src.chunks_exact(ty.block_size() as usize).zip(blocks) {
        quantize(x, block);
    }
}

fn f16_at(bytes: &[u8]) -> f32 {
    half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn put_f16(bytes: &mut [u8], v: f32) {
    bytes[..2].copy_from_slice(&half::f16::from_f32(v).to_le_bytes());
}

#[cfg(test)]
mod tests;
