//! `F32`, `F16`, `BF16`: little-endian numbers, one after the other.

use half::{bf16, f16};

pub(super) fn dequantize_f32(src: &[u8], dst: &mut [f32]) {
    for (b, v) in src.as_chunks().0.iter().zip(dst) {
        *v = f32::from_le_bytes(*b);
    }
}

pub(super) fn dequantize_f16(src: &[u8], dst: &mut [f32]) {
    for (b, v) in src.as_chunks().0.iter().zip(dst) {
        *v = f16::from_le_bytes(*b).to_f32();
    }
}

pub(super) fn dequantize_bf16(src: &[u8], dst: &mut [f32]) {
    for (b, v) in src.as_chunks().0.iter().zip(dst) {
        *v = bf16::from_le_bytes(*b).to_f32();
    }
}

pub(super) fn quantize_f32(src: &[f32], dst: &mut [u8]) {
    for (v, b) in src.iter().zip(dst.as_chunks_mut().0) {
        *b = v.to_le_bytes();
    }
}

pub(super) fn quantize_f16(src: &[f32], dst: &mut [u8]) {
    for (v, b) in src.iter().zip(dst.as_chunks_mut().0) {
        *b = f16::from_f32(*v).to_le_bytes();
    }
}

pub(super) fn quantize_bf16(src: &[f32], dst: &mut [u8]) {
    for (v, b) in src.iter().zip(dst.as_chunks_mut().0) {
        *b = bf16::from_f32(*v).to_le_bytes();
    }
}
