//! Medians, quantiles, geometric means.

/// The quantile at `p` (0 to 1) by linear interpolation between order statistics: type 7 of
/// Hyndman and Fan (1996), the default of R and NumPy. `None` for no values.
///
/// Panics when `p` lies outside 0 to 1.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    assert!((0.0..=1.0).contains(&p), "a quantile lies between 0 and 1, not at {p}");
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = p * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(if below == above { below } else { below + (above - below) * at.fract() })
}

/// The middle value; the mean of the two middle ones of an even number. `None` for no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The geometric mean of values that are zero or more; zero when one of them is. `None` for no
/// values. Equal values give exactly that value.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    if values.iter().all(|&v| v == first) {
        return Some(first);
    }
    let mean_log = values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64;
    Some(mean_log.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        assert_eq!(quantile(&values, 0.4), Some(29.0));
        assert_eq!(quantile(&values, 0.0), Some(15.0));
        assert_eq!(quantile(&values, 1.0), Some(50.0));
        assert!((quantile(&values, 0.99).unwrap() - 49.6).abs() < 1e-12);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_order_of_the_values_does_not_matter() {
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 6.0]), Some(5.0));
        assert_eq!(median(&[7.0]), Some(7.0));
    }

    #[test]
    fn the_geometric_mean_of_a_value_and_its_inverse_is_one() {
        assert!((geometric_mean(&[4.0, 0.25]).unwrap() - 1.0).abs() < 1e-15);
        assert!((geometric_mean(&[1.0, 2.0, 4.0]).unwrap() - 2.0).abs() < 1e-15);
        assert_eq!(geometric_mean(&[0.1, 0.1, 0.1]), Some(0.1));
        assert_eq!(geometric_mean(&[0.0, 3.0]), Some(0.0));
        assert_eq!(geometric_mean(&[]), None);
    }
}
