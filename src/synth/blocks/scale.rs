//! Scales that give quants a standard deviation, all of them normal half-precision numbers.
//!
//! Everything here is computed from the quants themselves, with operations that IEEE 754 rounds
//! the same way on every machine.

use half::f16;

use super::{MAX_SCALE, MIN_SCALE};

/// Distinct magnitudes of a scale: evenly spaced from 3/4 to 5/4 of their middle.
const MAGNITUDES: usize = 128;

fn jitter(i: usize) -> f32 {
    0.75 + 0.5 * i as f32 / (MAGNITUDES - 1) as f32
}

/// Root mean square of `values`. Those given are small whole numbers and halves, whose sums are
/// exact.
pub(super) fn rms(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len() as f32;
    (values.map(|v| v * v).sum::<f32>() / n).sqrt()
}

/// The scales that a block's random byte chooses among.
pub(super) struct Scales {
    pub(super) table: [[u8; 2]; 2 * MAGNITUDES],
}

impl Scales {
    fn new(d: f32, most: f32, encode: impl Fn(f32, usize) -> f32) -> Scales {
        let middle = d / rms((0..MAGNITUDES).map(jitter));
        let entry = |i: usize| {
            let d = (middle * jitter(i % MAGNITUDES)).clamp(MIN_SCALE, most);
            f16::from_f32(encode(d, i)).to_le_bytes()
        };
        Scales { table: std::array::from_fn(entry) }
    }

    /// Scales of root mean square `d` and either sign, so that the quants' own mean cancels; none
    /// above `most`.
    pub(super) fn signed(d: f32, most: f32) -> Scales {
        Scales::new(d, most, |d, i| if i < MAGNITUDES { d } else { -d })
    }

    /// Scales above zero, and for each the min that is `factor` times it.
    pub(super) fn with_min(d: f32, most: f32, factor: f32) -> (Scales, Scales) {
        // The min of what is stored: both are rounded once.
        let min = |d: f32, _| f16::from_f32(d).to_f32() * factor;
        (Scales::new(d, most, |d, _| d), Scales::new(d, most, min))
    }

    pub(super) fn pick(&self, random: u8) -> [u8; 2] {
        self.table[usize::from(random)]
    }
}

/// Scales of parts of a block: `unit` times 1 to 2^n, all equally likely.
///
/// As many as keep the block's own scale out of the subnormals, as far as one bit fewer helps.
pub(super) struct SubScales {
    /// What is left of a random byte; one less than the factor on `unit`.
    pub(super) mask: u8,
    /// Root mean square of the block's own scale.
    pub(super) d: f32,
    /// The largest of the block's own scales that is safe.
    pub(super) most: f32,
}

impl SubScales {
    /// For quants of root mean square `rms_q` that are to have the standard deviation `std`.
    pub(super) fn new(std: f32, rms_q: f32, unit: u8, most_bits: u32) -> SubScales {
        let with = |bits: u32| {
            let n = 1u8 << bits;
            let subs = (0..usize::from(n)).map(|i| f32::from(unit) * (i + 1) as f32);
            let (d, largest) = (std / (rms_q * rms(subs)), f32::from(unit * n));
            SubScales { mask: n - 1, d, most: MAX_SCALE / largest }
        };
        // The smallest of the magnitudes is 0.74 of their root mean square.
        let is_normal = |s: &SubScales| s.d * 0.74 >= MIN_SCALE;
        (1..=most_bits).rev().map(with).find(is_normal).unwrap_or_else(|| with(0))
    }
}
