//! Bootstrap intervals of statistics that have no formula: quantiles above all.
//!
//! Bias-corrected and accelerated (BCa), by Efron (1987), as `bootstrap(method="BCa")` of SciPy.
//! From few values every bootstrap is too narrow, and no number of resamples mends that: below
//! [`MIN_BOOTSTRAP`] there is no interval, and Student's t is the one to ask. Values that depend on
//! each other, such as the tokens of one process, make it too narrow at any length.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use statrs::distribution::{ContinuousCDF, Normal};

use super::quantile;

/// Below this many values there is no interval.
pub const MIN_BOOTSTRAP: usize = 15;

/// How an interval is drawn. The same one always gives the same interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Samples drawn with replacement.
    pub resamples: usize,
    /// One less the confidence of the interval: 0.05 for 95 %.
    pub alpha: f64,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 10 000 resamples, 95 %.
    fn default() -> Bootstrap {
        Bootstrap { resamples: 10_000, alpha: 0.05, seed: 0 }
    }
}

/// A statistic of a sample and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BootstrapInterval {
    /// The statistic of the sample itself.
    pub value: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
    /// Values in the sample.
    pub n: usize,
}

impl Bootstrap {
    /// The BCa interval of `statistic`, which is called once per resample and once per value with
    /// that value left out. `None` below [`MIN_BOOTSTRAP`], and where the statistic of a resample is
    /// not a finite number.
    ///
    /// Where corrections for bias would push the interval off the statistic, as they can for the
    /// extremes of a sample, it is widened to hold it.
    ///
    /// Panics without resamples, and when `alpha` is not between 0 and 1.
    pub fn interval(
        &self,
        values: &[f64],
        statistic: impl Fn(&[f64]) -> f64,
    ) -> Option<BootstrapInterval> {
        if values.len() < MIN_BOOTSTRAP {
            return None;
        }
        let without_one: Vec<f64> = (0..values.len())
            .map(|i| statistic(&[&values[..i], &values[i + 1..]].concat()))
            .collect();
        self.corrected(values, statistic(values), &without_one, |sample| statistic(sample))
    }

    /// The BCa interval of the quantile at `p`, as [`quantile`] has it. `None` below
    /// [`MIN_BOOTSTRAP`].
    ///
    /// A quantile far out is hardly more than the largest values: with fewer than ten values
    /// beyond it, the interval says little of what longer samples would show.
    ///
    /// Panics as [`Bootstrap::interval`] does, and when `p` lies outside 0 to 1.
    pub fn quantile(&self, values: &[f64], p: f64) -> Option<BootstrapInterval> {
        if values.len() < MIN_BOOTSTRAP {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        // What is left of sorted values without one is sorted: no list for each is needed.
        let last = sorted.len() - 2;
        let at = p * last as f64;
        let without_one: Vec<f64> = (0..sorted.len())
            .map(|out| {
                let order = |k: usize| sorted[if k < out { k } else { k + 1 }];
                let (below, above) = (order(at.floor() as usize), order(at.ceil() as usize));
                below + (above - below) * at.fract()
            })
            .collect();
        self.corrected(values, quantile(values, p)?, &without_one, |sample| {
            quantile_in_place(sample, p)
        })
    }

    /// The interval from the statistic, its values with each value left out, and what it is of a
    /// resample, which may be reordered.
    fn corrected(
        &self,
        values: &[f64],
        value: f64,
        without_one: &[f64],
        of_sample: impl Fn(&mut [f64]) -> f64,
    ) -> Option<BootstrapInterval> {
        assert!(self.resamples > 0, "an interval needs resamples");
        assert!(self.alpha > 0.0 && self.alpha < 1.0, "alpha {} is not within 0 to 1", self.alpha);
        let n = values.len();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut sample = vec![0.0; n];
        let drawn: Vec<f64> = (0..self.resamples)
            .map(|_| {
                sample.fill_with(|| values[below(&mut random, n)]);
                of_sample(&mut sample)
            })
            .collect();
        if !value.is_finite() || drawn.iter().chain(without_one).any(|v| !v.is_finite()) {
            return None;
        }

        let ends = self.corrected_shares(value, without_one, &drawn);
        let lo = quantile(&drawn, ends.0)?.min(value);
        let hi = quantile(&drawn, ends.1)?.max(value);
        Some(BootstrapInterval { value, lo, hi, n })
    }

    /// Which quantiles of the resamples are the ends: α/2 and 1 − α/2, moved by the bias z₀ and
    /// the acceleration a (Efron 1987, equations 2.3 and 6.6).
    fn corrected_shares(&self, value: f64, without_one: &[f64], drawn: &[f64]) -> (f64, f64) {
        let normal = Normal::standard();
        let total = drawn.len() as f64;
        // Half of the equal ones count, so that a statistic with few values has no bias of its own.
        let lower: f64 = drawn
            .iter()
            .map(|v| {
                if *v < value {
                    1.0
                } else if *v == value {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        let share = (lower / total).clamp(0.5 / total, 1.0 - 0.5 / total);
        let bias = normal.inverse_cdf(share);

        let mean = without_one.iter().sum::<f64>() / without_one.len() as f64;
        let moment = |power| without_one.iter().map(|v| (mean - v).powi(power)).sum::<f64>();
        let (squares, cubes) = (moment(2), moment(3));
        let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };

        let moved = |z: f64| {
            let z = bias + z;
            let left = 1.0 - acceleration * z;
            // Beyond the pole of the formula lies everything on that side.
            if left > 0.0 { normal.cdf(bias + z / left) } else { f64::from(u8::from(z > 0.0)) }
        };
        let z = normal.inverse_cdf(self.alpha / 2.0);
        (moved(z), moved(-z))
    }
}

/// A random index below `n`; what it favours some by is a share of n / 2⁶⁴.
fn below(random: &mut Xoshiro256PlusPlus, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// [`quantile`] in linear time, of values that may be reordered.
fn quantile_in_place(values: &mut [f64], p: f64) -> f64 {
    let at = p * (values.len() - 1) as f64;
    let (_, &mut below, rest) = values.select_nth_unstable_by(at.floor() as usize, f64::total_cmp);
    if at.fract() == 0.0 {
        return below;
    }
    let above = rest.iter().copied().fold(f64::INFINITY, f64::min);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_core::RngCore;

    use super::*;
    use crate::stats::median;

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    const QUICK: Bootstrap = Bootstrap { resamples: 500, alpha: 0.05, seed: 3 };

    #[test]
    fn a_seed_gives_one_interval_and_another_seed_another() {
        let values: Vec<f64> = (0..30).map(|i| (i as f64 * 0.7).sin() + 2.0).collect();
        let found = QUICK.interval(&values, mean).unwrap();
        assert_eq!(QUICK.interval(&values, mean), Some(found));
        assert_ne!(Bootstrap { seed: 4, ..QUICK }.interval(&values, mean), Some(found));
    }

    #[test]
    fn too_few_values_give_no_interval() {
        let values = [1.0; MIN_BOOTSTRAP];
        assert_eq!(QUICK.interval(&values[1..], mean), None);
        assert_eq!(QUICK.quantile(&values[1..], 0.99), None);
        assert!(QUICK.interval(&values, mean).is_some());
    }

    #[test]
    fn no_spread_gives_no_width() {
        let found = QUICK.quantile(&[0.1; 40], 0.99).unwrap();
        assert_eq!((found.lo, found.value, found.hi), (0.1, 0.1, 0.1));
        let found = QUICK.interval(&[0.1; 40], |v| median(v).unwrap()).unwrap();
        assert_eq!((found.lo, found.value, found.hi), (0.1, 0.1, 0.1));
    }

    #[test]
    fn a_statistic_that_is_not_a_number_has_no_interval() {
        assert_eq!(QUICK.interval(&[1.0; 20], |_| f64::NAN), None);
    }

    #[test]
    fn the_interval_of_the_mean_holds_the_truth_about_as_often_as_it_says() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut uniform = || -> f64 { (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 };
        let held = (0..400)
            .filter(|_| {
                // Exponential: skewed, with mean one.
                let values: Vec<f64> = (0..40).map(|_| -(1.0 - uniform()).ln()).collect();
                let found = QUICK.interval(&values, mean).unwrap();
                found.lo <= 1.0 && 1.0 <= found.hi
            })
            .count();
        assert!((360..=392).contains(&held), "{held} of 400");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_interval_holds_its_statistic(
            values in prop::collection::vec(1e-3f64..1e6, MIN_BOOTSTRAP..60),
            p in 0.0f64..=1.0,
        ) {
            for found in [QUICK.quantile(&values, p), QUICK.interval(&values, mean)] {
                let found = found.unwrap();
                prop_assert!(found.lo <= found.value && found.value <= found.hi);
            }
        }

        #[test]
        fn a_quantile_is_a_statistic_like_any_other(
            values in prop::collection::vec(1e-3f64..1e6, MIN_BOOTSTRAP..60),
            p in 0.0f64..=1.0,
        ) {
            let quick = QUICK.quantile(&values, p).unwrap();
            let plain = QUICK.interval(&values, |v| quantile(v, p).unwrap()).unwrap();
            for (x, y) in [(quick.value, plain.value), (quick.lo, plain.lo), (quick.hi, plain.hi)] {
                prop_assert!((x - y).abs() <= 1e-6 * (1.0 + y.abs()), "{x} and {y}");
            }
        }

        #[test]
        fn the_unit_of_measurement_does_not_matter(
            values in prop::collection::vec(1e-3f64..1e6, MIN_BOOTSTRAP..60),
        ) {
            // A power of two, for which scaling loses nothing.
            let scaled: Vec<f64> = values.iter().map(|v| v * 1024.0).collect();
            let (found, other) = (QUICK.quantile(&values, 0.9), QUICK.quantile(&scaled, 0.9));
            let (found, other) = (found.unwrap(), other.unwrap());
            prop_assert!((found.lo * 1024.0 - other.lo).abs() <= 1e-6 * other.lo);
            prop_assert!((found.hi * 1024.0 - other.hi).abs() <= 1e-6 * other.hi);
        }
    }
}
