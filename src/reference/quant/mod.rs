//! Quantised formats: what the bytes of a row mean, and how matrices are laid out for the kernels.
//!
//! One format per file. A row is a whole number of blocks; `dequantize_row` is the definition of
//! a format, `quantize_row` a plain round-to-nearest into it (no search for better scales, no
//! importance matrix). `panel` holds the interleaved layout that kernels read.
//! Source of truth: the block structures of ggml 0.26 (`ggml-common.h`).

mod float;
pub mod panel;
mod q4_0;
mod q4_1;
mod q6_k;
mod q8_0;

use crate::ggml::GgmlType;

/// Element types of weights that the engine computes with.
pub const WEIGHT_TYPES: &[GgmlType] = &[
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::BF16,
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::Q6_K,
];

/// Element types of the KV cache that the engine computes with.
pub const KV_TYPES: &[GgmlType] = &[GgmlType::F32, GgmlType::F16];

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

/// Writes the values of the row `src` into `dst`.
///
/// # Panics
/// When the lengths do not belong together or the type is not supported.
pub fn dequantize_row(ty: GgmlType, src: &[u8], dst: &mut [f32]) {
    assert_eq!(src.len(), row_bytes(ty, dst.len()), "bytes of a row");
    match ty {
        GgmlType::F32 => float::dequantize_f32(src, dst),
        GgmlType::F16 => float::dequantize_f16(src, dst),
        GgmlType::BF16 => float::dequantize_bf16(src, dst),
        GgmlType::Q8_0 => q8_0::dequantize(src, dst),
        GgmlType::Q4_0 => q4_0::dequantize(src, dst),
        GgmlType::Q4_1 => q4_1::dequantize(src, dst),
        GgmlType::Q6_K => q6_k::dequantize(src, dst),
        _ => panic!("{ty} is none of {WEIGHT_TYPES:?}"),
    }
}

/// Writes `src` as a row of the type into `dst`.
///
/// # Panics
/// When the lengths do not belong together or the type is not supported.
pub fn quantize_row(ty: GgmlType, src: &[f32], dst: &mut [u8]) {
    assert_eq!(dst.len(), row_bytes(ty, src.len()), "bytes of a row");
    match ty {
        GgmlType::F32 => float::quantize_f32(src, dst),
        GgmlType::F16 => float::quantize_f16(src, dst),
        GgmlType::BF16 => float::quantize_bf16(src, dst),
        GgmlType::Q8_0 => q8_0::quantize(src, dst),
        GgmlType::Q4_0 => q4_0::quantize(src, dst),
        GgmlType::Q4_1 => q4_1::quantize(src, dst),
        GgmlType::Q6_K => q6_k::quantize(src, dst),
        _ => panic!("{ty} is none of {WEIGHT_TYPES:?}"),
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
