//! The values that quantised numbers can have, and which of them is nearest.

use super::iq4_nl::VALUES;

/// Values that a number can have.
pub(super) trait Levels: Copy {
    /// The level nearest to `v`; some level where `v` is no number.
    fn nearest(self, v: f32) -> f32;

    /// The lowest and the highest level.
    fn ends(self) -> [f32; 2];
}

/// The whole numbers from `low` to `high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub low: f32,
    pub high: f32,
}

/// Added and taken away again, it leaves a number of size below 2^22 rounded to a whole one. Baseline
/// x86-64 has no instruction for that, and this runs over whole registers.
const ROUND: f32 = 12_582_912.0;

impl Levels for Whole {
    #[inline]
    fn nearest(self, v: f32) -> f32 {
        let v = if v > self.low { v } else { self.low };
        let v = if v < self.high { v } else { self.high };
        v + ROUND - ROUND
    }

    fn ends(self) -> [f32; 2] {
        [self.low, self.high]
    }
}

/// The values of `IQ4_NL`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve;

impl Levels for Curve {
    #[inline]
    fn nearest(self, v: f32) -> f32 {
        // Comparisons and sums alone, which compilers turn into those of whole registers.
        let mut level = f32::from(VALUES[0]);
        for pair in VALUES.windows(2) {
            let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
            level += if v > (low + high) * 0.5 { high - low } else { 0.0 };
        }
        level
    }

    fn ends(self) -> [f32; 2] {
        [f32::from(VALUES[0]), f32::from(VALUES[15])]
    }
}
