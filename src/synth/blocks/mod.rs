//! Random weights, drawn straight as blocks of each tensor type.
//!
//! Quants are uniform, scales chosen so that a matrix has a given standard deviation. No scale, no
//! min and no value is ever subnormal: subnormal arithmetic is slow on some machines, and real
//! weights have next to none. Where that needs scales larger than asked for, the spread is larger.
//!
//! A block is filled with random bytes first; its own random bits then choose among the scales.
//!
//! Source of truth for the layouts: `ggml-common.h` and `ggml-quants.c` of ggml.

mod scale;
mod stream;

use half::{bf16, f16};

use self::scale::{Scales, SubScales, rms};
pub(super) use self::stream::Stream;
use crate::ggml::GgmlType;
use crate::reference::quant::IQ4_VALUES;

/// Smallest normal half-precision number, 2^-14.
const MIN_SCALE: f32 = 6.103_515_6e-5;
/// Largest scale or plain value used: far from where products with quants overflow half precision.
const MAX_SCALE: f32 = 256.0;

/// Random bytes made before scales are put into them, about: what stays in the nearest cache.
/// Part of what determines the content.
const CHUNK_BYTES: usize = 16 << 10;

/// What a tensor's values look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// Symmetric around 0 with this standard deviation.
    Spread(f32),
    /// Between 0.85 and 1.21, 1 on average, as norms are.
    AroundOne,
}

/// The types of which weights can be drawn.
pub const DRAWABLE_TYPES: &[GgmlType] = {
    use GgmlType::*;
    &[F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS]
};

/// Fills `out` with random blocks of type `ty` whose values have the standard deviation `std`.
///
/// # Panics
///
/// For a type that is not in [`DRAWABLE_TYPES`], and when `out` is no whole number of blocks.
pub fn draw_blocks(ty: GgmlType, std: f32, seed: u64, out: &mut [u8]) {
    draw(&mut Stream::new(seed, "", 0), ty, Fill::Spread(std), out);
}

/// Fills `out` with random blocks of type `ty`.
///
/// # Panics
///
/// For a type that is not in [`DRAWABLE_TYPES`], and when `out` is no whole number of blocks.
pub(super) fn draw(stream: &mut Stream, ty: GgmlType, fill: Fill, out: &mut [u8]) {
    match ty {
        GgmlType::F32 => {
            let codes = Codes::new(fill, 23, f32::to_bits, f32::from_bits);
            each(stream, out, |v| {
                *v = codes.apply(u32::from_le_bytes(*v)).to_le_bytes();
            });
        }
        GgmlType::F16 => {
            let decode = |bits| f16::from_bits(bits as u16).to_f32();
            halves(
                stream,
                Codes::new(fill, 10, |v| f16::from_f32(v).to_bits().into(), decode),
                out,
            );
        }
        GgmlType::BF16 => {
            let decode = |bits| bf16::from_bits(bits as u16).to_f32();
            halves(
                stream,
                Codes::new(fill, 7, |v| bf16::from_f32(v).to_bits().into(), decode),
                out,
            );
        }
        _ => {
            let Fill::Spread(std) = fill else { panic!("norms are not quantised") };
            draw_quants(stream, ty, std, out);
        }
    }
}

/// Fills `out` with random bytes and lets `patch` make a block of every `N` of them.
fn each<const N: usize>(stream: &mut Stream, out: &mut [u8], patch: impl Fn(&mut [u8; N])) {
    assert!(out.len().is_multiple_of(N), "{} bytes in blocks of {N}", out.len());
    for chunk in out.chunks_mut(CHUNK_BYTES / N * N) {
        stream.fill(chunk);
        chunk.as_chunks_mut().0.iter_mut().for_each(&patch);
    }
}

/// Plain values as their bits: neighbours in magnitude are neighbours as whole numbers, so random
/// low bits on top of a smallest code are random magnitudes, and need no arithmetic on floats.
#[derive(Clone, Copy)]
struct Codes {
    /// Code of the smallest magnitude.
    base: u32,
    /// Random bits kept; the sign among them where it is random.
    mask: u32,
}

impl Codes {
    /// Codes of a type of `mantissa` bits. Those of a spread lie in two octaves.
    fn new(
        fill: Fill,
        mantissa: u32,
        encode: impl Fn(f32) -> u32,
        decode: impl Fn(u32) -> f32,
    ) -> Codes {
        // The same for every type: the bit behind the mantissa and the exponent.
        let sign = if mantissa == 23 { 1 << 31 } else { 1 << 15 };
        match fill {
            // Half an octave from (2 + sqrt 2) / 4 on: its codes lie twice as close below 1, which
            // makes their mean 1.
            Fill::AroundOne => Codes { base: encode(0.853_553_4), mask: (1 << (mantissa - 1)) - 1 },
            Fill::Spread(std) => {
                let span = 1 << (mantissa + 1);
                let (least, most) = (encode(MIN_SCALE), encode(MAX_SCALE) - span);
                // Evenly spaced samples of the codes are enough to know their spread.
                let spread = |base: u32| rms((0..256).map(|i| decode(base + span / 256 * i)));
                // The code is about the logarithm of the value, so few rounds are needed.
                let mut smallest = std / 2.5;
                for _ in 0..4 {
                    smallest = smallest.clamp(MIN_SCALE, MAX_SCALE / 4.0);
                    smallest *= std / spread(encode(smallest).clamp(least, most));
                }
                let smallest = smallest.clamp(MIN_SCALE, MAX_SCALE / 4.0);
                Codes { base: encode(smallest).clamp(least, most), mask: sign | (span - 1) }
            }
        }
    }

    fn apply(self, random: u32) -> u32 {
        (random & self.mask) + self.base
    }
}

fn halves(stream: &mut Stream, codes: Codes, out: &mut [u8]) {
    let (base, mask) = (codes.base as u16, codes.mask as u16);
    each(stream, out, |v| *v = ((u16::from_le_bytes(*v) & mask) + base).to_le_bytes());
}

/// Root mean square of `2^bits` quants around 0, the lowest of them `-2^(bits - 1)`.
fn rms_signed(bits: u32) -> f32 {
    let half = 1i32 << (bits - 1);
    rms((0..2 * half as usize).map(|i| (i as i32 - half) as f32))
}

/// The middle of `2^bits` quants from 0 on, and their root mean square around it.
fn around_middle(bits: u32) -> (f32, f32) {
    let n = 1usize << bits;
    let middle = (n - 1) as f32 / 2.0;
    (middle, rms((0..n).map(|q| q as f32 - middle)))
}

fn draw_quants(stream: &mut Stream, ty: GgmlType, std: f32, out: &mut [u8]) {
    let iq4 = || rms(IQ4_VALUES.iter().map(|&v| f32::from(v)));
    match ty {
        GgmlType::Q8_0 => draw_q8_0(stream, std, out),
        GgmlType::Q4_0 => draw_scaled::<18>(stream, std, rms_signed(4), out),
        GgmlType::Q5_0 => draw_scaled::<22>(stream, std, rms_signed(5), out),
        GgmlType::IQ4_NL => draw_scaled::<18>(stream, std, iq4(), out),
        GgmlType::Q4_1 => draw_with_min::<20>(stream, std, 4, out),
        GgmlType::Q5_1 => draw_with_min::<24>(stream, std, 5, out),
        GgmlType::Q2_K => draw_q2_k(stream, std, out),
        GgmlType::Q3_K => draw_q3_k(stream, std, out),
        GgmlType::Q4_K => draw_q45_k::<144>(stream, std, 4, out),
        GgmlType::Q5_K => draw_q45_k::<176>(stream, std, 5, out),
        GgmlType::Q6_K => draw_q6_k(stream, std, out),
        GgmlType::IQ4_XS => draw_iq4_xs(stream, std, iq4(), out),
        other => panic!("no synthetic weights of type {other}"),
    }
}

/// Types of a scale and quants of which any bits will do: Q4_0, Q5_0, IQ4_NL.
fn draw_scaled<const N: usize>(stream: &mut Stream, std: f32, rms_q: f32, out: &mut [u8]) {
    let scales = Scales::signed(std / rms_q, MAX_SCALE);
    each::<N>(stream, out, |block| {
        let d = scales.pick(block[0]);
        block[..2].copy_from_slice(&d);
    });
}

fn draw_q8_0(stream: &mut Stream, std: f32, out: &mut [u8]) {
    // -128 never occurs in real files, and kernels may count on that: -127 is twice as likely.
    let quants = (0..256).map(|i: i32| (i - 128).max(-127) as f32);
    let scales = Scales::signed(std / rms(quants), MAX_SCALE);
    each::<34>(stream, out, |block| {
        let d = scales.pick(block[0]);
        for q in &mut block[2..] {
            *q += u8::from(*q == i8::MIN as u8);
        }
        block[..2].copy_from_slice(&d);
    });
}

/// Types of a scale, a min and quants from 0 on: Q4_1, Q5_1.
fn draw_with_min<const N: usize>(stream: &mut Stream, std: f32, bits: u32, out: &mut [u8]) {
    let (middle, rms_q) = around_middle(bits);
    let (scales, mins) = Scales::with_min(std / rms_q, MAX_SCALE, -middle);
    each::<N>(stream, out, |block| {
        let (d, m) = (scales.pick(block[0]), mins.pick(block[0]));
        block[..2].copy_from_slice(&d);
        block[2..4].copy_from_slice(&m);
    });
}

/// In types with both, scales of parts of a block are 2 to a multiple of their mins' 3: so that
/// neither can be taken for the other, and what the mins take away is in proportion.
const SCALE_UNIT: u8 = 2;
const MIN_UNIT: u8 = 3;

/// Factor from a block's scale to its `dmin`, for quants around `middle`.
fn min_factor(middle: f32) -> f32 {
    middle * f32::from(SCALE_UNIT) / f32::from(MIN_UNIT)
}

fn draw_q2_k(stream: &mut Stream, std: f32, out: &mut [u8]) {
    let (middle, rms_q) = around_middle(2);
    let subs = SubScales::new(std, rms_q, SCALE_UNIT, 2);
    let (scales, mins) = Scales::with_min(subs.d, subs.most, min_factor(middle));
    each::<84>(stream, out, |block| {
        for sub in &mut block[..16] {
            let n = 1 + (*sub & subs.mask);
            *sub = (SCALE_UNIT * n) | ((MIN_UNIT * n) << 4);
        }
        let (d, m) = (scales.pick(block[80]), mins.pick(block[80]));
        block[80..82].copy_from_slice(&d);
        block[82..].copy_from_slice(&m);
    });
}

/// Q4_K and Q5_K: after both scales, eight 6-bit scales and mins in 12 bytes. The first four of
/// each have a byte of their own; its two high bits are those of the last four, whose low bits
/// share the last four bytes.
fn draw_q45_k<const N: usize>(stream: &mut Stream, std: f32, bits: u32, out: &mut [u8]) {
    let (middle, rms_q) = around_middle(bits);
    let subs = SubScales::new(std, rms_q, SCALE_UNIT, 4);
    let (scales, mins) = Scales::with_min(subs.d, subs.most, min_factor(middle));
    each::<N>(stream, out, |block| {
        let (d, m) = (scales.pick(block[0]), mins.pick(block[0]));
        block[..2].copy_from_slice(&d);
        block[2..4].copy_from_slice(&m);
        for j in 0..4 {
            let (first, last) = (1 + (block[4 + j] & subs.mask), 1 + (block[8 + j] & subs.mask));
            let (scale, min) = (SCALE_UNIT * last, MIN_UNIT * last);
            block[4 + j] = (SCALE_UNIT * first) | ((scale >> 4) << 6);
            block[8 + j] = (MIN_UNIT * first) | ((min >> 4) << 6);
            block[12 + j] = scale & 15 | min << 4;
        }
    });
}

/// Sub-scale of magnitude 1 to `mask + 1` and either sign as 6 bits that stand for 32 less.
fn offset_32(magnitude: u8, mask: u8, negative: bool) -> u8 {
    let magnitude = 1 + (magnitude & mask);
    if negative { 32 - magnitude } else { 32 + magnitude }
}

fn draw_q3_k(stream: &mut Stream, std: f32, out: &mut [u8]) {
    // Behind the high bits and the low ones: low halves of the first eight sub-scales and of the
    // last eight in the same eight bytes, then the two high bits of each four in the next four.
    const SUBS: usize = 32 + 64;
    let subs = SubScales::new(std, rms_signed(3), 1, 4);
    let scales = Scales::signed(subs.d, subs.most);
    each::<110>(stream, out, |block| {
        let mut high = [0u8; 4];
        for j in 0..8 {
            let (random, signs) = (block[SUBS + j], block[SUBS + 8 + j % 4] >> (j / 4));
            let low = offset_32(random, subs.mask, signs & 1 != 0);
            let last = offset_32(random >> 4, subs.mask, signs & 4 != 0);
            block[SUBS + j] = low & 15 | last << 4;
            high[j % 4] |= (low >> 4) << (2 * (j / 4)) | (last >> 4) << (2 * (j / 4) + 4);
        }
        block[SUBS + 8..][..4].copy_from_slice(&high);
        let d = scales.pick(block[108]);
        block[108..].copy_from_slice(&d);
    });
}

fn draw_q6_k(stream: &mut Stream, std: f32, out: &mut [u8]) {
    const SUBS: usize = 128 + 64;
    let subs = SubScales::new(std, rms_signed(6), 1, 5);
    let scales = Scales::signed(subs.d, subs.most);
    each::<210>(stream, out, |block| {
        for sub in &mut block[SUBS..SUBS + 16] {
            let magnitude = 1 + (*sub & subs.mask);
            // The highest bit is the sign: all ones or all zeros.
            let sign = (*sub as i8 >> 7) as u8;
            *sub = (magnitude ^ sign).wrapping_sub(sign);
        }
        let d = scales.pick(block[208]);
        block[208..].copy_from_slice(&d);
    });
}

fn draw_iq4_xs(stream: &mut Stream, std: f32, rms_q: f32, out: &mut [u8]) {
    let subs = SubScales::new(std, rms_q, 1, 4);
    let scales = Scales::signed(subs.d, subs.most);
    each::<136>(stream, out, |block| {
        let d = scales.pick(block[0]);
        block[..2].copy_from_slice(&d);
        let signs = block[2];
        let mut high = 0u16;
        for j in 0..4 {
            let random = block[4 + j];
            let even = offset_32(random, subs.mask, signs >> (2 * j) & 1 != 0);
            let odd = offset_32(random >> 4, subs.mask, signs >> (2 * j) & 2 != 0);
            block[4 + j] = even & 15 | odd << 4;
            high |= u16::from(even >> 4 | (odd >> 4) << 2) << (4 * j);
        }
        block[2..4].copy_from_slice(&high.to_le_bytes());
    });
}
