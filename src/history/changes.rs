//! Where a series changed. Pure.
//!
//! Bytes that do not vary change wherever they differ. Of everything else, long series are divided
//! by E-divisive with a t test and windows, as Apache Otava does it, on the values themselves, so that
//! the original can be asked about the same file. It needs several values on either side; short series
//! are judged step by step, as rustc-perf does: a step counts that is far beyond what the series' own
//! steps are. A fence is hasty (one odd run makes two changes), which is what a short series has.

use super::Series;
use crate::compare::{Kind, Measure, Policy};
use crate::stats::{ChangeRules, change_points, quantile};

/// What counts as a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Thresholds of times and of memory.
    pub policy: Policy,
    /// Values that E-divisive looks at together.
    pub window: usize,
    /// The largest p value of a change point.
    pub max_p: f64,
    /// Series of fewer runs are judged by the fence.
    pub min_divided: usize,
    /// Series of fewer runs are not judged.
    pub min_fenced: usize,
    /// Confidence of the interval in which the next run is expected.
    pub confidence: f64,
}

impl Default for Rules {
    /// 3 % of times, 1 % of memory; window 50, p 0.001 as Otava; a fence below 12 runs, nothing
    /// below 5; 99 % for the next run.
    fn default() -> Rules {
        Rules {
            policy: Policy::default(),
            window: 50,
            max_p: 0.001,
            min_divided: 12,
            min_fenced: 5,
            confidence: 0.99,
        }
    }
}

impl Rules {
    /// By how much a series has to change, as a share; zero for bytes that do not vary.
    pub fn threshold(&self, series: &Series) -> f64 {
        match series.measure.kind() {
            // What was to be exact and was not is weighed like what is measured.
            Kind::Exact if !series.is_exact() => self.policy.threshold(Measure::PeakMemory),
            _ => self.policy.threshold(series.measure),
        }
    }

    fn is_exact(&self, series: &Series) -> bool {
        series.measure.kind() == Kind::Exact && series.is_exact()
    }
}

/// How a series was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Value by value.
    Exact,
    /// E-divisive.
    Divided,
    /// Steps against a fence.
    Fence,
    /// Not at all.
    TooShort,
}

impl Method {
    /// The word used in files.
    pub fn word(self) -> &'static str {
        match self {
            Method::Exact => "exact",
            Method::Divided => "change_points",
            Method::Fence => "fence",
            Method::TooShort => "too_short",
        }
    }
}

/// A change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Index of the first point after it; never zero.
    pub index: usize,
    /// Mean from the change before, or the beginning.
    pub before: f64,
    /// Mean up to the next change, or the end.
    pub after: f64,
    /// p value, where a test was made.
    pub p: Option<f64>,
}

impl Change {
    /// By which share of what was before it changed: above zero is worse. `None` from zero.
    pub fn relative(&self) -> Option<f64> {
        (self.before != 0.0).then(|| self.after / self.before - 1.0)
    }
}

/// What is said of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// How it was judged.
    pub method: Method,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

impl Analysis {
    /// The stretches between changes: where they begin, where the next begins, and their mean.
    pub fn segments(&self, values: &[f64]) -> Vec<(usize, usize, f64)> {
        let ends = self.changes.iter().map(|change| change.index).chain([values.len()]);
        let mut from = 0;
        let stretches = ends.map(|to| (std::mem::replace(&mut from, to), to));
        stretches.map(|(from, to)| (from, to, mean(&values[from..to]))).collect()
    }

    /// Index of the first point behind the last change.
    pub fn current(&self) -> usize {
        self.changes.last().map_or(0, |change| change.index)
    }
}

/// The changes of a series.
pub fn changes(series: &Series, rules: &Rules) -> Analysis {
    let values = series.values();
    if rules.is_exact(series) {
        let differ = (1..values.len()).filter(|&i| values[i] != values[i - 1]);
        return Analysis { method: Method::Exact, changes: at(&values, differ.collect()) };
    }
    of_values(&values, rules.threshold(series), rules)
}

/// The changes of values that vary.
pub(super) fn of_values(values: &[f64], threshold: f64, rules: &Rules) -> Analysis {
    match values.len() {
        n if n < rules.min_fenced => Analysis { method: Method::TooShort, changes: Vec::new() },
        n if n < rules.min_divided => {
            Analysis { method: Method::Fence, changes: at(values, beyond_fence(values, threshold)) }
        }
        _ => {
            let rules =
                ChangeRules { window: rules.window, max_p: rules.max_p, min_magnitude: threshold };
            let changes = change_points(values, &rules).into_iter().map(|point| Change {
                index: point.index,
                before: point.before,
                after: point.after,
                p: Some(point.p),
            });
            Analysis { method: Method::Divided, changes: changes.collect() }
        }
    }
}

/// Steps beyond Q3 + 3 · IQR of the series' other steps, and beyond the threshold. A step is the
/// relative change from one run to the next; the one that is judged is not part of its own fence, or
/// in series as short as these none would ever be beyond it. Of so few steps quartiles lie close
/// together by chance: the IQR counts as no less than the median, which brings alarms where nothing
/// changed from 15 % of series down to 5 %.
fn beyond_fence(values: &[f64], threshold: f64) -> Vec<usize> {
    let size = |i: usize| match (values[i - 1], values[i]) {
        (a, b) if a == b => 0.0,
        (a, b) => (b / a).ln().abs(),
    };
    let steps: Vec<f64> = (1..values.len()).map(size).collect();
    let is_beyond = |&i: &usize| {
        let step = steps[i - 1];
        let mut others = steps.clone();
        others.remove(i - 1);
        let at = |p: f64| quantile(&others, p).unwrap_or(f64::INFINITY);
        let (q1, middle, q3) = (at(0.25), at(0.5), at(0.75));
        // Steps from or to zero are infinite, and have no difference.
        let spread = if q1 == q3 { 0.0 } else { q3 - q1 }.max(middle);
        step > threshold.ln_1p() && step > q3 + 3.0 * spread
    };
    (1..values.len()).filter(is_beyond).collect()
}

/// Changes at these places, each between the means of its neighbouring stretches.
fn at(values: &[f64], indices: Vec<usize>) -> Vec<Change> {
    let ends = |i: usize| {
        let from = if i == 0 { 0 } else { indices[i - 1] };
        (from, indices[i], indices.get(i + 1).copied().unwrap_or(values.len()))
    };
    let change = |i: usize| {
        let (from, index, to) = ends(i);
        Change {
            index,
            before: mean(&values[from..index]),
            after: mean(&values[index..to]),
            p: None,
        }
    };
    (0..indices.len()).map(change).collect()
}

/// The mean; exact where all values are equal.
pub(super) fn mean(values: &[f64]) -> f64 {
    match values {
        [first, rest @ ..] if rest.iter().all(|v| v == first) => *first,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of about one percent with a period that divides no window.
    fn wobble(i: usize) -> f64 {
        1.0 + 0.01 * (i as f64 * 2.399_963).sin()
    }

    fn indices(values: &[f64]) -> Vec<usize> {
        let found = of_values(values, 0.03, &Rules::default());
        found.changes.iter().map(|change| change.index).collect()
    }

    #[test]
    fn long_series_are_divided_and_short_ones_fenced() {
        let step = |n: usize, at: usize| -> Vec<f64> {
            (0..n).map(|i| 10.0 * wobble(i) * if i < at { 1.0 } else { 1.08 }).collect()
        };
        let long = of_values(&step(20, 12), 0.03, &Rules::default());
        assert_eq!((long.method, indices(&step(20, 12))), (Method::Divided, vec![12]));
        let change = long.changes[0];
        assert!((change.relative().unwrap() - 0.08).abs() < 0.01 && change.p.unwrap() < 1e-6);
        let short = of_values(&step(8, 5), 0.03, &Rules::default());
        assert_eq!((short.method, indices(&step(8, 5))), (Method::Fence, vec![5]));
        assert_eq!(of_values(&step(4, 2), 0.03, &Rules::default()).method, Method::TooShort);
    }

    #[test]
    fn steps_no_larger_than_those_of_the_series_or_the_threshold_are_none() {
        assert!(indices(&[10.0, 10.6, 10.1, 10.7, 10.0, 10.5, 10.2]).is_empty());
        assert!(indices(&[10.0, 10.0, 10.0, 10.0, 10.2]).is_empty());
        assert_eq!(indices(&[10.0, 10.0, 10.0, 10.0, 10.4]), [4]);
        assert_eq!(indices(&[10.0, 10.0, 10.0, 10.0, 9.6]), [4]);
        assert_eq!(indices(&[10.0, 10.0, 12.0, 10.0, 10.0, 10.0, 10.0, 10.0]), [2, 3]);
        assert!(indices(&[0.0, 0.0, 0.0, 0.0, 0.0]).is_empty());
        assert_eq!(indices(&[0.0, 0.0, 0.0, 0.0, 5.0]), [4]);
    }

    #[test]
    fn stretches_lie_between_changes_and_cover_the_series() {
        let values = [10.0, 10.0, 10.0, 10.0, 20.0, 20.0];
        let found = of_values(&values, 0.03, &Rules::default());
        assert_eq!(found.segments(&values), [(0, 4, 10.0), (4, 6, 20.0)]);
        assert_eq!(found.current(), 4);
        assert_eq!(found.changes[0].relative(), Some(1.0));
    }
}
