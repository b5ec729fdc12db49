//! How two measures of the same things go together: the rank correlation, and the straight line of
//! least squares.

/// Fewer pairs than this say nothing of an order.
const MIN_PAIRS: usize = 3;

/// Spearman's rank correlation, −1 to 1, equal values at the mean of their ranks. `None` for fewer
/// than three pairs, where one side is all the same, and with a NaN.
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < MIN_PAIRS || pairs.iter().any(|p| p.0.is_nan() || p.1.is_nan()) {
        return None;
    }
    let x = ranks(&pairs.iter().map(|p| p.0).collect::<Vec<f64>>());
    let y = ranks(&pairs.iter().map(|p| p.1).collect::<Vec<f64>>());
    let mean = (pairs.len() as f64 + 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    let spread = sum(&x, &x) * sum(&y, &y);
    (spread > 0.0).then(|| sum(&x, &y) / spread.sqrt())
}

/// The rank of each value among all, from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|v| *v < value).count() as f64;
        let equal = values.iter().filter(|v| *v == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// A straight line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StraightLine {
    /// How much y grows with x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Root of the mean square that is left.
    pub rms: f64,
}

impl StraightLine {
    /// The line of least squares. `None` where fewer than two places of x are told.
    pub fn through(points: &[(f64, f64)]) -> Option<StraightLine> {
        let n = points.len() as f64;
        let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
        let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
        let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
        let together: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
        let slope = (spread > 0.0).then(|| together / spread)?;
        let intercept = mean_y - slope * mean_x;
        let left: f64 = points.iter().map(|p| (p.1 - intercept - slope * p.0).powi(2)).sum();
        Some(StraightLine { slope, intercept, rms: (left / n).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_correlation_looks_at_the_order_alone() {
        let up = [(1.0, 1.0), (2.0, 10.0), (3.0, 11.0), (9.0, 400.0)];
        assert_eq!(spearman(&up), Some(1.0));
        let down = up.map(|(x, y)| (x, -y));
        assert_eq!(spearman(&down), Some(-1.0));
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])
        let ties = [(1.0, 5.0), (2.0, 6.0), (3.0, 7.0), (4.0, 8.0), (5.0, 7.0)];
        assert!((spearman(&ties).unwrap() - 0.820_782_681_668_123_3).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_order_has_no_correlation() {
        assert_eq!(spearman(&[(1.0, 2.0), (2.0, 3.0)]), None);
        assert_eq!(spearman(&[(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]), None);
        assert_eq!(spearman(&[(1.0, f64::NAN), (2.0, 2.0), (3.0, 1.0)]), None);
    }

    #[test]
    fn a_line_is_found_through_points_that_lie_on_one() {
        let line = StraightLine::through(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-12 && (line.intercept - 3.0).abs() < 1e-12);
        assert!(line.rms < 1e-12);
        assert_eq!(StraightLine::through(&[(1.0, 5.0), (1.0, 7.0)]), None);
        assert_eq!(StraightLine::through(&[]), None);
    }
}
