use proptest::prelude::*;

use super::*;
use crate::ggml::GgmlType as T;

/// The largest error of a value in a block whose largest value has size `max`: half a step, and
/// the rounding of the scale to f16 on top.
fn bound(ty: T, max: f32) -> f32 {
    match ty {
        T::F32 => 0.0,
        T::F16 => max * 4.9e-4,
        T::BF16 => max * 4e-3,
        T::Q8_0 => max / 127.0 * 0.6,
        // The end of the range that is not hit exactly lies a whole step away.
        T::Q4_0 => max / 8.0 * 1.01,
        T::Q4_1 => 2.0 * max / 15.0 * 0.52,
        T::Q6_K => max / 32.0 * 1.6,
        _ => unreachable!(),
    }
}

proptest! {
    #[test]
    fn a_value_comes_back_within_a_step(x in prop::collection::vec(-8f32..8.0, 256), shrink in -3i32..3) {
        let x: Vec<f32> = x.iter().map(|v| v * 2f32.powi(shrink)).collect();
        let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        for &ty in WEIGHT_TYPES {
            let mut bytes = vec![0xAA; row_bytes(ty, x.len())];
            let mut back = vec![f32::NAN; x.len()];
            quantize_row(ty, &x, &mut bytes);
            dequantize_row(ty, &bytes, &mut back);
            for (a, b) in x.iter().zip(&back) {
                prop_assert!((a - b).abs() <= bound(ty, max), "{ty}: {a} became {b}, max {max}");
            }
        }
    }

    #[test]
    fn any_bytes_survive_packing_into_panels(seed in any::<u64>(), n_rows in 1usize..=16) {
        let mut state = seed | 1;
        let mut byte = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state as u8 };
        for &ty in WEIGHT_TYPES {
            let (k, n) = (512, n_rows.min(panel::rows(ty)));
            let row = row_bytes(ty, k);
            let src: Vec<u8> = (0..n * row).map(|_| byte()).collect();
            let mut packed = vec![0xAA; panel::bytes(ty, k)];
            panel::pack(ty, k, &src, &mut packed);
            let mut back = vec![0x55; row];
            for r in 0..n {
                panel::unpack_row(ty, k, &packed, r, &mut back);
                prop_assert!(back == src[r * row..(r + 1) * row], "{} row {}", ty, r);
            }
            for r in n..panel::rows(ty) {
                panel::unpack_row(ty, k, &packed, r, &mut back);
                prop_assert!(back.iter().all(|b| *b == 0), "{} row {} of zeros", ty, r);
            }
        }
    }
}

#[test]
fn the_elements_of_a_block_lie_where_ggml_puts_them() {
    let mut block = [0u8; 18];
    block[..2].copy_from_slice(&half::f16::from_f32(0.5).to_le_bytes());
    block[2..].fill(0x88);
    block[2 + 3] = 0xF1;
    let mut x = [0f32; 32];
    dequantize_row(T::Q4_0, &block, &mut x);
    assert_eq!((x[3], x[19], x[4]), (-3.5, 3.5, 0.0));

    let mut block = [0u8; 210];
    block[208..].copy_from_slice(&half::f16::from_f32(0.25).to_le_bytes());
    block[192..208].fill(1);
    block[192 + 10] = -2i8 as u8;
    // Element 165 = 128 + 37: low byte 64 + 37, low nibble; high byte 32 + 5, second pair.
    block[64 + 37] = 0x05;
    block[128 + 32 + 5] = 0b1100;
    let mut x = [0f32; 256];
    dequantize_row(T::Q6_K, &block, &mut x);
    assert_eq!((x[165], x[166], x[0]), (0.25 * -2.0 * (53.0 - 32.0), 16.0, -8.0));
}

#[test]
fn zeros_stay_zeros_in_every_format() {
    for &ty in WEIGHT_TYPES {
        let mut bytes = vec![0xAA; row_bytes(ty, 256)];
        let mut back = vec![f32::NAN; 256];
        quantize_row(ty, &[0.0; 256], &mut bytes);
        dequantize_row(ty, &bytes, &mut back);
        assert!(back.iter().all(|v| *v == 0.0), "{ty}");
    }
}
