//! Spread and outliers by the median, which a few wild values cannot sway.

use super::median;

/// What the median absolute deviation is multiplied by to estimate the standard deviation of
/// values from a normal distribution: one over its upper quartile.
pub const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// A modified z-score at or beyond this, either way, is an outlier to hyperfine: ten standard
/// deviations, where its rounded 1.4826 stands for [`MAD_TO_SD`].
pub const OUTLIER_SCORE: f64 = 14.826;

/// In which unit a median absolute deviation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadScale {
    /// As it is.
    Plain,
    /// Times [`MAD_TO_SD`], to stand beside standard deviations.
    Normal,
}

/// The median absolute deviation from the median (Hampel 1974), as `median_abs_deviation` of SciPy.
/// `None` for no values.
pub fn mad(values: &[f64], scale: MadScale) -> Option<f64> {
    let middle = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let factor = match scale {
        MadScale::Plain => 1.0,
        MadScale::Normal => MAD_TO_SD,
    };
    Some(median(&deviations)? * factor)
}

/// The modified z-score of each value, (x − median) / MAD, as hyperfine has it: without the factor
/// 0.6745 of Iglewicz and Hoaglin (1993), which is why its bound is [`OUTLIER_SCORE`] and not 10. Where
/// the deviation is zero, the smallest step above one, `f64::EPSILON`, stands in its place, as
/// there. No values have no scores.
pub fn modified_z_scores(values: &[f64]) -> Vec<f64> {
    let Some((middle, mad)) = median(values).zip(mad(values, MadScale::Plain)) else {
        return Vec::new();
    };
    let unit = if mad > 0.0 { mad } else { f64::EPSILON };
    values.iter().map(|v| (v - middle) / unit).collect()
}

/// The values that are outliers by [`OUTLIER_SCORE`].
pub fn outliers(values: &[f64]) -> usize {
    modified_z_scores(values).iter().filter(|z| z.abs() > OUTLIER_SCORE).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_value_moves_the_deviation_little_and_is_an_outlier() {
        let values = [1.0, 2.0, 3.0, 4.0, 1000.0];
        assert_eq!(mad(&values, MadScale::Plain), Some(1.0));
        assert_eq!(mad(&values, MadScale::Normal), Some(MAD_TO_SD));
        assert_eq!(modified_z_scores(&values), [-2.0, -1.0, 0.0, 1.0, 997.0]);
        assert_eq!(outliers(&values), 1);
        assert_eq!(outliers(&values[..4]), 0);
    }

    #[test]
    fn no_spread_has_no_outliers_and_no_nan() {
        assert_eq!(mad(&[0.1; 6], MadScale::Normal), Some(0.0));
        assert_eq!(modified_z_scores(&[0.1; 6]), [0.0; 6]);
        assert_eq!(outliers(&[2.0, 2.0, 2.0, 2.0, 2.1]), 1);
        assert_eq!(mad(&[], MadScale::Plain), None);
        assert!(modified_z_scores(&[]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn the_unit_of_measurement_scales_the_deviation(
            values in proptest::collection::vec(1e-3f64..1e6, 1..40),
            unit in 1e-6f64..1e6,
        ) {
            let scaled: Vec<f64> = values.iter().map(|v| v * unit).collect();
            let (plain, other) = (mad(&values, MadScale::Plain), mad(&scaled, MadScale::Plain));
            let (plain, other) = (plain.unwrap() * unit, other.unwrap());
            proptest::prop_assert!((plain - other).abs() <= 1e-9 * unit * 1e6);
        }
    }
}
