//! From two sets of invocations to a verdict, and what the verdict rests on.
//!
//! A measure is *the same* where the interval of its ratio lies within the threshold, else *regressed*
//! or *improved* where the interval does not hold one, else *unclear*, with the pairs that would settle
//! it. Demanding the whole interval beyond the threshold instead would find a true 3 % in 2.6 % of
//! runs; asking only whether it holds one would call the smallest of differences a regression.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::measure::{Kind, Measure};
use crate::stats::{
    Bootstrap, LogRatio, MIN_BOOTSTRAP, MIN_INVOCATIONS, MannWhitney, geometric_mean, median,
};

/// What is said of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate costs more.
    Regressed,
    /// Whether it does cannot be said.
    Unclear,
    /// The candidate costs less.
    Improved,
    /// It costs as much, within the threshold.
    Same,
    /// The two were measured in places that differ.
    NotComparable,
}

impl Verdict {
    /// Every verdict, the one that needs attention most first.
    pub const ALL: [Verdict; 5] = [
        Verdict::Regressed,
        Verdict::Unclear,
        Verdict::Improved,
        Verdict::Same,
        Verdict::NotComparable,
    ];

    /// The word used in files.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Regressed => "regressed",
            Verdict::Unclear => "unclear",
            Verdict::Improved => "improved",
            Verdict::Same => "same",
            Verdict::NotComparable => "not_comparable",
        }
    }

    /// Whether measuring more would not change it.
    pub fn is_settled(self) -> bool {
        matches!(self, Verdict::Regressed | Verdict::Improved | Verdict::Same)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.word().replace('_', " "))
    }
}

/// What counts as a difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Times that differ by less are the same: a share of the baseline.
    pub time: f64,
    /// Measured memory that differs by less is the same: a share of the baseline.
    pub memory: f64,
    /// What is judged.
    pub measures: Vec<Measure>,
}

impl Default for Policy {
    /// 3 % of time, 1 % of memory, bytes that do not vary exactly.
    fn default() -> Policy {
        Policy { time: 0.03, memory: 0.01, measures: Measure::JUDGED.to_vec() }
    }
}

impl Policy {
    /// The threshold of a measure. Zero for those that do not vary.
    pub fn threshold(&self, measure: Measure) -> f64 {
        match measure.kind() {
            Kind::Time => self.time,
            Kind::Memory => self.memory,
            Kind::Exact => 0.0,
        }
    }
}

/// A measure of one cell, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Which.
    pub measure: Measure,
    /// The baseline: geometric mean of its invocations.
    pub base: f64,
    /// The candidate: geometric mean of its invocations.
    pub head: f64,
    /// Candidate ÷ baseline.
    pub ratio: f64,
    /// The interval of the ratio. Absent where there are too few invocations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// One less the confidence of the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// p value of the test that the ratio is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Invocations of the baseline and of the candidate that went in; equal for pairs.
    pub n: (usize, usize),
    /// What is said of it.
    pub verdict: Verdict,
    /// Why it is unclear or cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Pairs that would settle what is unclear, if ratio and spread stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs_needed: Option<usize>,
    /// The smallest change that this comparison would have found in 80 % of cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
    /// A second opinion: whether one side tends to be larger (Mann–Whitney), p value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_p: Option<f64>,
    /// A second opinion: by how much (Cliff's delta, −1 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cliffs_delta: Option<f64>,
    /// Standard deviation of the logarithms of the ratios of pairs: the noise of one pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair_sd: Option<f64>,
    /// Whether fresh pairs said the same, where they were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// How the invocations of two sides belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Taken in turns: the i-th of one with the i-th of the other.
    Paired,
    /// Two runs at different times.
    Stored,
}

/// Judges a measure by the values of its invocations. With [`Design::Paired`] both sides are equally
/// long. `None` where a side has no value, or one that is no cost: below zero, or not finite.
pub fn judge(
    measure: Measure,
    base: &[f64],
    head: &[f64],
    design: Design,
    threshold: f64,
    alpha: f64,
) -> Option<Judged> {
    let sound = |values: &[f64]| values.iter().all(|v| v.is_finite() && *v >= 0.0);
    if base.is_empty() || head.is_empty() || !sound(base) || !sound(head) {
        return None;
    }
    let all_equal = |values: &[f64]| values.iter().all(|&v| v == values[0]);
    let is_exact = measure.kind() == Kind::Exact && all_equal(base) && all_equal(head);
    let (base_value, head_value) = match is_exact {
        true => (base[0], head[0]),
        false => (geometric_mean(base)?, geometric_mean(head)?),
    };
    let ranks = MannWhitney::of(base, head);
    let mut judged = Judged {
        measure,
        base: base_value,
        head: head_value,
        ratio: if base_value == head_value { 1.0 } else { head_value / base_value },
        interval: None,
        alpha: None,
        p: None,
        n: (base.len(), head.len()),
        verdict: Verdict::Unclear,
        why: None,
        pairs_needed: None,
        detectable: None,
        rank_p: ranks.map(|r| r.p),
        cliffs_delta: ranks.map(|r| r.delta),
        pair_sd: None,
        confirmed: None,
    };
    if is_exact {
        judged.verdict = match head_value.total_cmp(&base_value) {
            std::cmp::Ordering::Greater => Verdict::Regressed,
            std::cmp::Ordering::Less => Verdict::Improved,
            std::cmp::Ordering::Equal => Verdict::Same,
        };
        (judged.rank_p, judged.cliffs_delta) = (None, None);
        return Some(judged);
    }
    let n = base.len().min(head.len());
    if n < MIN_INVOCATIONS {
        judged.why = Some(match n {
            1 => format!(
                "one invocation on a side says nothing of the next; {MIN_INVOCATIONS} or more do"
            ),
            n => format!(
                "{n} invocations on a side are too few; {MIN_INVOCATIONS} or more give an interval"
            ),
        });
        return Some(judged);
    }
    let log_ratio = match design {
        Design::Paired => LogRatio::paired(base, head, alpha),
        Design::Stored => LogRatio::unpaired(base, head, alpha),
    };
    let Some(log_ratio) = log_ratio else {
        judged.why = Some("a value of zero has no ratio".to_owned());
        return Some(judged);
    };
    // What was to be exact and was not is weighed like what is measured.
    let threshold = if threshold > 0.0 { threshold } else { Policy::default().memory };
    let interval =
        tail_interval(measure, base, head, design, alpha).unwrap_or((log_ratio.lo, log_ratio.hi));
    judged.ratio = log_ratio.ratio;
    judged.interval = Some(interval);
    judged.alpha = Some(alpha);
    judged.p = Some(log_ratio.p);
    judged.detectable = Some(log_ratio.mde());
    judged.pair_sd = (design == Design::Paired).then(|| log_ratio.se * (log_ratio.n as f64).sqrt());
    judged.verdict = of_interval(interval, threshold);
    if judged.verdict == Verdict::Unclear {
        judged.pairs_needed = log_ratio.pairs_needed(threshold);
        judged.why = Some(match judged.pairs_needed {
            Some(n) => match design {
                Design::Paired => format!("about {n} pairs would settle it"),
                Design::Stored => format!("about {n} invocations of each would settle it"),
            },
            None => "too noisy to be settled by measuring more".to_owned(),
        });
    }
    Some(judged)
}

/// A measure that one side has and the other has not: nothing can be said, and that is said.
pub fn missing(measure: Measure, base: &[f64], head: &[f64]) -> Option<Judged> {
    let mean = |values: &[f64]| geometric_mean(values).unwrap_or(f64::NAN);
    let lacking = match (base.is_empty(), head.is_empty()) {
        (false, true) => "head",
        (true, false) => "base",
        _ => return None,
    };
    Some(Judged {
        measure,
        base: mean(base),
        head: mean(head),
        ratio: f64::NAN,
        interval: None,
        alpha: None,
        p: None,
        n: (base.len(), head.len()),
        verdict: Verdict::Unclear,
        why: Some(format!("{lacking} has not measured it")),
        pairs_needed: None,
        detectable: None,
        rank_p: None,
        cliffs_delta: None,
        pair_sd: None,
        confirmed: None,
    })
}

/// The verdict that an interval of the ratio leads to.
pub fn of_interval((lo, hi): (f64, f64), threshold: f64) -> Verdict {
    let bound = threshold.ln_1p();
    if lo.ln() >= -bound && hi.ln() <= bound {
        Verdict::Same
    } else if lo > 1.0 {
        Verdict::Regressed
    } else if hi < 1.0 {
        Verdict::Improved
    } else {
        Verdict::Unclear
    }
}

/// The interval of a tail's ratio, by resampling where there are invocations enough: a tail is not
/// normal on any scale. `None` for other measures, and where Student's t has to do.
fn tail_interval(
    measure: Measure,
    base: &[f64],
    head: &[f64],
    design: Design,
    alpha: f64,
) -> Option<(f64, f64)> {
    if measure != Measure::ItlP99 || design != Design::Paired || base.len() < MIN_BOOTSTRAP {
        return None;
    }
    let ratios: Vec<f64> = base.iter().zip(head).map(|(b, h)| (h / b).ln()).collect();
    let found = Bootstrap { alpha, ..Bootstrap::default() }
        .interval(&ratios, |sample| median(sample).unwrap_or(f64::NAN))?;
    Some((found.lo.exp(), found.hi.exp()))
}

/// Numbers of verdicts.
pub fn counted<'a>(judged: impl Iterator<Item = &'a Judged>) -> BTreeMap<Verdict, usize> {
    let mut counts = BTreeMap::new();
    for one in judged {
        *counts.entry(one.verdict).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(base: &[f64], head: &[f64]) -> Judged {
        judge(Measure::Decode, base, head, Design::Paired, 0.03, 0.05).unwrap()
    }

    #[test]
    fn an_interval_within_the_threshold_is_the_same_even_where_it_excludes_one() {
        assert_eq!(of_interval((1.001, 1.01), 0.03), Verdict::Same);
        assert_eq!(of_interval((0.98, 1.02), 0.03), Verdict::Same);
        assert_eq!(of_interval((1.001, 1.04), 0.03), Verdict::Regressed);
        assert_eq!(of_interval((0.95, 0.999), 0.03), Verdict::Improved);
        assert_eq!(of_interval((0.95, 1.01), 0.03), Verdict::Unclear);
    }

    #[test]
    fn bytes_are_compared_exactly_and_without_statistics() {
        let of = |base: &[f64], head: &[f64]| {
            judge(Measure::KvCache, base, head, Design::Stored, 0.0, 0.05).unwrap()
        };
        assert_eq!(of(&[100.0], &[100.0]).verdict, Verdict::Same);
        assert_eq!(of(&[100.0], &[101.0]).verdict, Verdict::Regressed);
        assert_eq!(of(&[0.0; 3], &[0.0; 3]).verdict, Verdict::Same);
        assert_eq!(of(&[0.0], &[5.0]).verdict, Verdict::Regressed);
        assert_eq!(of(&[100.0], &[99.0]).verdict, Verdict::Improved);
        let wavering = of(&[100.0, 101.0, 100.0, 101.0], &[100.0, 101.0, 101.0, 100.0]);
        assert_eq!((wavering.verdict, wavering.interval.is_some()), (Verdict::Same, true));
    }

    #[test]
    fn fewer_than_three_invocations_are_unclear_and_say_why() {
        let one = verdict(&[10.0], &[20.0]);
        assert_eq!((one.verdict, one.interval), (Verdict::Unclear, None));
        assert!(one.why.unwrap().contains("one invocation"));
    }

    #[test]
    fn without_spread_the_interval_has_no_width() {
        let equal = verdict(&[10.0; 5], &[10.0; 5]);
        assert_eq!((equal.verdict, equal.interval), (Verdict::Same, Some((1.0, 1.0))));
        assert_eq!(verdict(&[10.0; 5], &[11.0; 5]).verdict, Verdict::Regressed);
    }

    #[test]
    fn what_is_unclear_tells_how_many_pairs_would_settle_it() {
        let noisy = verdict(&[10.0, 12.0, 9.0, 11.0, 10.0], &[11.0, 10.0, 11.0, 12.0, 9.5]);
        assert_eq!(noisy.verdict, Verdict::Unclear);
        let pairs = noisy.pairs_needed.unwrap();
        assert!(pairs > 5 && noisy.why.unwrap().contains(&pairs.to_string()));
    }

    proptest! {
        #[test]
        fn exchanging_the_sides_exchanges_regressed_and_improved(
            pairs in prop::collection::vec((1.0f64..2.0, 1.0f64..2.0), 1..20),
        ) {
            let (base, head): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let other = match verdict(&base, &head).verdict {
                Verdict::Regressed => Verdict::Improved,
                Verdict::Improved => Verdict::Regressed,
                same => same,
            };
            prop_assert_eq!(verdict(&head, &base).verdict, other);
        }
    }
}
