//! The estimate of a measure: one value, and how sure of it one may be.

use super::{geometric_mean, median, t_quantile};

/// Below this many invocations there is no interval, only the range of the repetitions.
pub const MIN_INVOCATIONS: usize = 3;

/// A measure of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Geometric mean of the invocations.
    pub value: f64,
    /// Lower end of the 95 % interval; absent below [`MIN_INVOCATIONS`].
    pub lo: Option<f64>,
    /// Upper end of the 95 % interval; absent below [`MIN_INVOCATIONS`].
    pub hi: Option<f64>,
    /// Invocations that went in.
    pub n: usize,
    /// Smallest and largest repetition. Not an interval: it says nothing about the next process.
    pub range: (f64, f64),
}

impl Estimate {
    /// The estimate from repetitions, one list per invocation: geometric mean of the invocations'
    /// medians. Lists without a finite value do not count; `None` when none is left.
    pub fn of_repetitions(invocations: &[Vec<f64>]) -> Option<Estimate> {
        let finite: Vec<Vec<f64>> = invocations
            .iter()
            .map(|reps| reps.iter().copied().filter(|v| v.is_finite()).collect())
            .collect();
        let medians: Vec<f64> = finite.iter().filter_map(|reps| median(reps)).collect();
        Estimate::of_invocations(&medians, &finite.concat())
    }

    /// The same in another unit.
    pub fn scaled(self, factor: f64) -> Estimate {
        let (lo, hi) = self.range;
        Estimate {
            value: self.value * factor,
            lo: self.lo.map(|lo| lo * factor),
            hi: self.hi.map(|hi| hi * factor),
            range: (lo * factor, hi * factor),
            ..self
        }
    }

    /// The estimate from one value per invocation, each zero or more, and the repetitions whose
    /// range is to be told. `None` without values.
    pub fn of_invocations(values: &[f64], repetitions: &[f64]) -> Option<Estimate> {
        let value = geometric_mean(values)?;
        let range = repetitions
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let range = if range.0 <= range.1 { range } else { (value, value) };
        let interval = interval_on_logs(values);
        let (lo, hi) = (interval.map(|i| i.0), interval.map(|i| i.1));
        Some(Estimate { value, lo, hi, n: values.len(), range })
    }

    /// Both ends of the 95 % interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.lo.zip(self.hi)
    }
}

/// The 95 % interval of the geometric mean: Student's t on the logarithms. Equal values give an
/// interval of no width. `None` for fewer than [`MIN_INVOCATIONS`] values, and where a zero
/// stands beside other values, for which a logarithm says nothing.
fn interval_on_logs(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < MIN_INVOCATIONS {
        return None;
    }
    if values.iter().all(|&v| v == values[0]) {
        return Some((values[0], values[0]));
    }
    if values.iter().any(|&v| v <= 0.0) {
        return None;
    }
    let n = values.len() as f64;
    let logs: Vec<f64> = values.iter().map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_quantile(0.975, n - 1.0) * (variance / n).sqrt();
    Some(((mean - half).exp(), (mean + half).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_t_on_logarithms() {
        // Logs 0, 1, 2: mean 1, standard deviation 1, half width 4.302653 / √3 = 2.484138.
        let e = std::f64::consts::E;
        let estimate = Estimate::of_repetitions(&[vec![1.0], vec![e], vec![e * e]]).unwrap();
        assert!((estimate.value - e).abs() < 1e-12);
        assert!((estimate.lo.unwrap().ln() - (1.0 - 2.484_138)).abs() < 1e-6);
        assert!((estimate.hi.unwrap().ln() - (1.0 + 2.484_138)).abs() < 1e-6);
        assert_eq!(estimate.n, 3);
    }

    #[test]
    fn an_invocation_counts_once_however_many_repetitions_it_has() {
        let estimate =
            Estimate::of_repetitions(&[vec![10.0], vec![40.0, 39.0, 41.0, 40.0, 900.0]]).unwrap();
        assert!((estimate.value - 20.0).abs() < 1e-12);
        assert_eq!(estimate.n, 2);
    }

    #[test]
    fn below_three_invocations_there_is_a_range_and_no_interval() {
        let estimate = Estimate::of_repetitions(&[vec![2.0, 3.0, 1.0], vec![2.0]]).unwrap();
        assert_eq!(estimate.interval(), None);
        assert_eq!(estimate.range, (1.0, 3.0));
    }

    #[test]
    fn no_spread_gives_no_width() {
        for value in [0.1, 0.0, 123.456] {
            let estimate = Estimate::of_repetitions(&vec![vec![value; 5]; 4]).unwrap();
            assert_eq!(estimate.interval(), Some((value, value)));
        }
    }

    #[test]
    fn a_zero_among_other_values_gives_no_nan() {
        let estimate = Estimate::of_repetitions(&[vec![0.0], vec![1.0], vec![2.0]]).unwrap();
        assert_eq!((estimate.value, estimate.interval()), (0.0, None));
    }

    #[test]
    fn what_is_not_finite_does_not_count() {
        let estimate =
            Estimate::of_repetitions(&[vec![f64::INFINITY, 4.0], vec![f64::NAN], vec![]]).unwrap();
        assert_eq!((estimate.value, estimate.n), (4.0, 1));
        assert_eq!(Estimate::of_repetitions(&[vec![]]), None);
    }

    proptest::proptest! {
        #[test]
        fn an_estimate_lies_within_its_interval_and_its_range(
            invocations in proptest::collection::vec(
                proptest::collection::vec(1e-6f64..1e9, 1..6),
                1..12,
            ),
        ) {
            let estimate = Estimate::of_repetitions(&invocations).unwrap();
            let within = |(lo, hi): (f64, f64)| {
                lo * (1.0 - 1e-9) <= estimate.value && estimate.value <= hi * (1.0 + 1e-9)
            };
            proptest::prop_assert!(within(estimate.range));
            proptest::prop_assert_eq!(estimate.interval().is_some(), invocations.len() >= 3);
            proptest::prop_assert!(estimate.interval().is_none_or(within));
        }
    }
}
