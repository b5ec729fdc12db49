//! Decoding of every drawable type, written from ggml's layouts and not from what draws them.

use half::{bf16, f16};

use crate::ggml::GgmlType;

/// The values of the non-linear 4-bit quants, as ggml lists them.
const CODE_BOOK: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

fn part_with_min(d: f32, sub: u8, dmin: f32, min: u8, q: u8) -> f32 {
    assert!(sub > 0 && min > 0);
    d * f32::from(sub) * f32::from(q) - dmin * f32::from(min)
}

/// Decodes a tensor, and panics where a scale, a min or a plain value is subnormal,
/// zero or not finite, or a part's scale or min is zero.
pub(super) fn decode(ty: GgmlType, bytes: &[u8]) -> Vec<f32> {
    let half = |b: &[u8]| {
        let v = f16::from_le_bytes([b[0], b[1]]);
        assert!(v.is_normal(), "{ty}: {v}");
        v.to_f32()
    };
    let mut out = Vec::new();
    for block in bytes.chunks_exact(ty.block_bytes() as usize) {
        match ty {
            GgmlType::F32 => {
                let v = f32::from_le_bytes(block.try_into().unwrap());
                assert!(v.is_normal());
                out.push(v);
            }
            GgmlType::F16 => out.push(half(block)),
            GgmlType::BF16 => {
                let v = bf16::from_le_bytes(block.try_into().unwrap());
                assert!(v.is_normal());
                out.push(v.to_f32());
            }
            GgmlType::Q8_0 => {
                let d = half(block);
                for &q in &block[2..] {
                    assert_ne!(q as i8, -128);
                    out.push(d * f32::from(q as i8));
                }
            }
            GgmlType::Q4_0 => {
                let d = half(block);
                out.extend(block[2..].iter().map(|q| d * (f32::from(q & 15) - 8.0)));
                out.extend(block[2..].iter().map(|q| d * (f32::from(q >> 4) - 8.0)));
            }
            GgmlType::Q4_1 => {
                let (d, m) = (half(block), half(&block[2..]));
                out.extend(block[4..].iter().map(|q| d * f32::from(q & 15) + m));
                out.extend(block[4..].iter().map(|q| d * f32::from(q >> 4) + m));
            }
            GgmlType::Q5_0 | GgmlType::Q5_1 => {
                let has_min = ty == GgmlType::Q5_1;
                let d = half(block);
                let (m, block) = if has_min {
                    (half(&block[2..]), &block[4..])
                } else {
                    (-16.0 * d, &block[2..])
                };
                let high = u32::from_le_bytes(block[..4].try_into().unwrap());
                for i in 0..32 {
                    let low = block[4 + i % 16] >> (4 * (i / 16)) & 15;
                    let q = low | ((high >> i & 1) as u8) << 4;
                    out.push(d * f32::from(q) + m);
                }
            }
            GgmlType::Q2_K => {
                let (d, dmin) = (half(&block[80..]), half(&block[82..]));
                for i in 0..256 {
                    let (part, at) = (i / 128, i % 128);
                    let q = block[16 + 32 * part + at % 32] >> (2 * (at / 32)) & 3;
                    let sub = block[i / 16];
                    out.push(part_with_min(d, sub & 15, dmin, sub >> 4, q));
                }
            }
            GgmlType::Q3_K => {
                let d = half(&block[108..]);
                for i in 0..256 {
                    let (part, at) = (i / 128, i % 128);
                    let low = block[32 + 32 * part + at % 32] >> (2 * (at / 32)) & 3;
                    let high = block[i % 32] >> (i / 32) & 1;
                    let j = i / 16;
                    let sub_low = block[96 + j % 8] >> (4 * (j / 8)) & 15;
                    let sub_high = block[104 + j % 4] >> (2 * (j / 4)) & 3;
                    let sub = f32::from(sub_low | sub_high << 4) - 32.0;
                    assert_ne!(sub, 0.0);
                    out.push(d * sub * (f32::from(low | high << 2) - 4.0));
                }
            }
            GgmlType::Q4_K | GgmlType::Q5_K => {
                let (d, dmin) = (half(block), half(&block[2..]));
                let (subs, quants) = block[4..].split_at(12);
                let (high, low) = quants.split_at(if ty == GgmlType::Q5_K { 32 } else { 0 });
                for i in 0..256 {
                    let j = i / 32;
                    let (sub, min) = match j {
                        0..4 => (subs[j] & 63, subs[j + 4] & 63),
                        _ => (
                            subs[j + 4] & 15 | subs[j - 4] >> 6 << 4,
                            subs[j + 4] >> 4 | subs[j] >> 6 << 4,
                        ),
                    };
                    let q = low[32 * (i / 64) + i % 32] >> (4 * (j % 2)) & 15;
                    let fifth = high.get(i % 32).map_or(0, |bits| bits >> j & 1);
                    out.push(part_with_min(d, sub, dmin, min, q | fifth << 4));
                }
            }
            GgmlType::IQ4_NL => {
                let d = half(block);
                out.extend(block[2..].iter().map(|q| d * CODE_BOOK[usize::from(q & 15)]));
                out.extend(block[2..].iter().map(|q| d * CODE_BOOK[usize::from(q >> 4)]));
            }
            GgmlType::IQ4_XS => {
                let d = half(block);
                let high = u16::from_le_bytes([block[2], block[3]]);
                for i in 0..256 {
                    let j = i / 32;
                    let sub_low = block[4 + j / 2] >> (4 * (j % 2)) & 15;
                    let sub = f32::from(u16::from(sub_low) | (high >> (2 * j) & 3) << 4) - 32.0;
                    assert_ne!(sub, 0.0);
                    let q = block[8 + 16 * j + i % 16] >> (4 * (i % 32 / 16)) & 15;
                    out.push(d * sub * CODE_BOOK[usize::from(q)]);
                }
            }
            GgmlType::Q6_K => {
                let d = half(&block[208..]);
                for i in 0..256 {
                    let (part, at) = (i / 128, i % 128);
                    let low = block[64 * part + at % 64] >> (4 * (at / 64)) & 15;
                    let high = block[128 + 32 * part + at % 32] >> (2 * (at / 32)) & 3;
                    let sub = f32::from(block[192 + i / 16] as i8);
                    assert_ne!(sub, 0.0);
                    out.push(d * sub * (f32::from(low | high << 4) - 32.0));
                }
            }
            other => panic!("{other}"),
        }
    }
    out
}
