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
        T::Q5_0 => max / 16.0 * 1.01,
        T::Q4_1 => 2.0 * max / 15.0 * 0.52,
        T::Q5_1 => 2.0 * max / 31.0 * 0.53,
        _ => unreachable!(),
    }
}

/// The largest error of a row, as a part of its length (both as roots of sums of squares), in the
/// formats whose scales are searched for: they may sacrifice a value for the sake of many.
fn searched(ty: T) -> Option<f32> {
    Some(match ty {
        T::Q2_K => 0.45,
        T::Q3_K => 0.22,
        T::IQ4_NL | T::IQ4_XS => 0.12,
        T::Q4_K => 0.1,
        T::Q5_K => 0.05,
        T::Q6_K => 0.03,
        _ => return None,
    })
}

fn back_and_forth(ty: T, x: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0xAA; row_bytes(ty, x.len())];
    let mut back = vec![f32::NAN; x.len()];
    quantize_row(ty, x, &mut bytes);
    dequantize_row(ty, &bytes, &mut back);
    back
}

fn length(x: impl IntoIterator<Item = f32>) -> f32 {
    x.into_iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// A generator for bytes.
fn bytes(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }
}

proptest! {
    #[test]
    fn a_value_comes_back_within_a_step(x in prop::collection::vec(-8f32..8.0, 256), shrink in -3i32..3) {
        let x: Vec<f32> = x.iter().map(|v| v * 2f32.powi(shrink)).collect();
        let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        for &ty in WEIGHT_TYPES {
            let back = back_and_forth(ty, &x);
            if let Some(bound) = searched(ty) {
                let (error, all) = (length(x.iter().zip(&back).map(|(a, b)| a - b)), length(x.clone()));
                prop_assert!(error <= bound * all, "{ty}: {error} of {all}");
                continue;
            }
            for (a, b) in x.iter().zip(&back) {
                prop_assert!((a - b).abs() <= bound(ty, max), "{ty}: {a} became {b}, max {max}");
            }
        }
    }

    #[test]
    fn a_row_is_finite_exactly_where_no_number_of_it_is_found_that_is_not(
        seed in any::<u64>(),
        calm in any::<bool>(),
    ) {
        let mut byte = bytes(seed);
        for &ty in WEIGHT_TYPES {
            let mut row: Vec<u8> = (0..row_bytes(ty, 512)).map(|_| byte()).collect();
            if calm && ty.block_size() == 1 {
                // Without exponents that are all ones; of 512 random halves some always have them.
                row.iter_mut().for_each(|byte| *byte &= 0xbb);
            }
            let mut values = vec![0f32; 512];
            dequantize_row(ty, &row, &mut values);
            let first = values.iter().position(|v| !v.is_finite());
            let found = first_not_finite(ty, &row);
            prop_assert_eq!(found.is_some(), first.is_some(), "{} {:?}", ty, found);
            if let (Some(found), Some(first)) = (found, first) {
                let (block, size) = (first / ty.block_size() as usize, ty.block_bytes() as usize);
                prop_assert_eq!(found.byte / size, block, "{} {:?}", ty, found);
                prop_assert!(!found.found.is_finite());
                if ty.block_size() == 1 {
                    prop_assert_eq!(found.found.to_bits(), values[first].to_bits());
                }
            }
        }
    }

    #[test]
    fn any_bytes_survive_packing_into_panels(seed in any::<u64>(), n_rows in 1usize..=16) {
        let mut byte = bytes(seed);
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
fn a_block_of_256_is_written_as_it_is_read() {
    type Pair = (fn(&[u8]) -> SuperBlock, fn(&SuperBlock, &mut [u8]));
    let formats: [(T, Pair); 6] = [
        (T::Q2_K, (q2_k::read, q2_k::write)),
        (T::Q3_K, (q3_k::read, q3_k::write)),
        (T::Q4_K, (q4_k::read, q4_k::write)),
        (T::Q5_K, (q5_k::read, q5_k::write)),
        (T::Q6_K, (q6_k::read, q6_k::write)),
        (T::IQ4_XS, (iq4_xs::read, iq4_xs::write)),
    ];
    let mut byte = bytes(17);
    for (ty, (read, write)) in formats {
        for _ in 0..50 {
            // Of a scale that is no number other bytes may come back.
            let (block, found) = loop {
                let block: Vec<u8> = (0..ty.block_bytes()).map(|_| byte()).collect();
                let found = read(&block);
                if !found.d.is_nan() && !found.dmin.is_nan() {
                    break (block, found);
                }
            };
            let mut back = vec![0x55; block.len()];
            write(&found, &mut back);
            assert_eq!(back, block, "{ty}");
        }
    }
}

#[test]
fn every_scale_of_a_block_is_looked_at() {
    for &ty in WEIGHT_TYPES.iter().filter(|ty| ty.block_size() > 1) {
        let size = ty.block_bytes() as usize;
        let clean = vec![0u8; 2 * size];
        assert_eq!(first_not_finite(ty, &clean), None, "{ty}");
        let mut n_found = 0;
        for at in 0..2 * size - 1 {
            let mut row = clean.clone();
            put_f16(&mut row[at..], f32::INFINITY);
            let mut values = vec![0f32; 2 * ty.block_size() as usize];
            dequantize_row(ty, &row, &mut values);
            let Some(found) = first_not_finite(ty, &row) else {
                assert!(values.iter().all(|v| v.is_finite()), "{ty} {at}");
                continue;
            };
            assert!(values.iter().any(|v| !v.is_finite()), "{ty} {at}");
            if found.byte == at {
                assert_eq!(found.found, f32::INFINITY);
                assert!(found.what.ends_with(" of a block"));
                n_found += 1;
            }
        }
        let has_minimum = matches!(ty, T::Q4_1 | T::Q5_1 | T::Q2_K | T::Q4_K | T::Q5_K);
        assert_eq!(n_found, if has_minimum { 4 } else { 2 }, "{ty}");
    }
}

#[test]
fn zeros_stay_zeros_in_every_format() {
    for &ty in WEIGHT_TYPES {
        assert!(back_and_forth(ty, &[0.0; 256]).iter().all(|v| *v == 0.0), "{ty}");
    }
}

#[test]
fn values_of_every_size_are_quantised_to_numbers() {
    for &ty in WEIGHT_TYPES.iter().filter(|ty| searched(**ty).is_some()) {
        for size in [1e-38f32, 1e-20, 1e-10, 1e-5, 1e3, 1e5, 1e9, 1e20, 3e38] {
            let mut byte = bytes(3);
            let x: Vec<f32> = (0..256).map(|_| size * (f32::from(byte()) / 128.0 - 1.0)).collect();
            let back = back_and_forth(ty, &x);
            assert!(back.iter().all(|v| v.is_finite()), "{ty} {size:e}");
        }
    }
}
