//! Comparisons by rank: the Mann–Whitney U test and Cliff's delta. A second opinion beside the
//! ratio, which outliers cannot sway; they say whether one side tends to be larger, not by how
//! much.
//!
//! Source: Mann and Whitney (1947); correction for ties and for continuity as in `mannwhitneyu`
//! of SciPy, its `method="auto"` included; Cliff (1993); words by Romano et al. (2006).

use statrs::function::erf::erfc;

/// Up to this many values on the smaller side, and without ties, the p value is exact.
pub const EXACT_UP_TO: usize = 8;

/// Above this many pairs the exact distribution is not worth its time.
const MAX_EXACT_PAIRS: usize = 100_000;

/// A comparison by rank of `b`, the candidate, with `a`, the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// Pairs of a value of `b` and one of `a` in which that of `b` is larger, and half of those in
    /// which they are equal.
    pub u: f64,
    /// p value of the two-sided test that neither side tends to be larger.
    pub p: f64,
    /// Whether `p` is exact, or from the normal approximation.
    pub exact: bool,
    /// Cliff's delta, −1 to 1: the share of pairs in which `b` is larger, less the share in which
    /// it is smaller.
    pub delta: f64,
}

impl MannWhitney {
    /// Compares two samples. `None` when one is empty or holds NaN.
    ///
    /// The p value is exact up to [`EXACT_UP_TO`] values on the smaller side when no two values are
    /// equal, else that of the normal approximation. One where all values are equal.
    pub fn of(a: &[f64], b: &[f64]) -> Option<MannWhitney> {
        if a.is_empty() || b.is_empty() || a.iter().chain(b).any(|v| v.is_nan()) {
            return None;
        }
        let mut all: Vec<(f64, bool)> =
            a.iter().map(|&v| (v, false)).chain(b.iter().map(|&v| (v, true))).collect();
        all.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));

        let (mut u, mut below, mut ties) = (0.0, 0usize, 0.0);
        for equal in all.chunk_by(|x, y| x.0 == y.0) {
            let of_b = equal.iter().filter(|v| v.1).count();
            let of_a = equal.len() - of_b;
            u += of_b as f64 * (below as f64 + of_a as f64 / 2.0);
            below += of_a;
            let t = equal.len() as f64;
            ties += t * t * t - t;
        }

        let pairs = a.len() as f64 * b.len() as f64;
        let exact = ties == 0.0
            && a.len().min(b.len()) <= EXACT_UP_TO
            && a.len().saturating_mul(b.len()) <= MAX_EXACT_PAIRS;
        let larger = u.max(pairs - u);
        let p = if exact {
            exact_two_sided(larger as usize, a.len(), b.len())
        } else {
            let n = (a.len() + b.len()) as f64;
            let variance = pairs / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
            normal_two_sided(larger - pairs / 2.0 - 0.5, variance)
        };
        Some(MannWhitney { u, p, exact, delta: 2.0 * u / pairs - 1.0 })
    }

    /// What the size of [`MannWhitney::delta`] is called.
    pub fn size(&self) -> EffectSize {
        EffectSize::of_delta(self.delta)
    }
}

/// What the size of a Cliff's delta is called: bounds 0.147, 0.33 and 0.474 (Romano et al. 2006).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectSize {
    /// Below 0.147.
    Negligible,
    /// 0.147 and more.
    Small,
    /// 0.33 and more.
    Medium,
    /// 0.474 and more.
    Large,
}

impl EffectSize {
    /// The word for `delta`, whose sign does not matter.
    pub fn of_delta(delta: f64) -> EffectSize {
        match delta.abs() {
            d if d < 0.147 => EffectSize::Negligible,
            d if d < 0.33 => EffectSize::Small,
            d if d < 0.474 => EffectSize::Medium,
            _ => EffectSize::Large,
        }
    }

    /// The word, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            EffectSize::Negligible => "negligible",
            EffectSize::Small => "small",
            EffectSize::Medium => "medium",
            EffectSize::Large => "large",
        }
    }
}

/// Twice the probability, at most one, of U at or above `u` where every order of `m` and `n`
/// values is as likely as any other.
///
/// The orders with U = k are counted by the coefficient of qᵏ in the Gaussian binomial
/// coefficient ∏ (1 − q^(n+i)) / (1 − q^i), i = 1 … m, which is built up factor by factor.
fn exact_two_sided(u: usize, m: usize, n: usize) -> f64 {
    let (m, n) = (m.min(n), m.max(n));
    let mut counts = vec![0i128; m * n + 1];
    counts[0] = 1;
    for i in 1..=m {
        for k in (n + i..counts.len()).rev() {
            counts[k] -= counts[k - n - i];
        }
        for k in i..counts.len() {
            counts[k] += counts[k - i];
        }
    }
    let all: i128 = counts.iter().sum();
    let beyond: i128 = counts[u..].iter().sum();
    (2.0 * beyond as f64 / all as f64).min(1.0)
}

fn normal_two_sided(distance: f64, variance: f64) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    erfc(distance / variance.sqrt() / std::f64::consts::SQRT_2).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_values_above_three_others_have_one_order_in_twenty() {
        let found = MannWhitney::of(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert_eq!((found.u, found.delta, found.exact), (9.0, 1.0, true));
        assert!((found.p - 0.1).abs() < 1e-15);
    }

    #[test]
    fn equal_sides_differ_by_nothing() {
        let found = MannWhitney::of(&[7.0; 9], &[7.0; 4]).unwrap();
        assert_eq!((found.u, found.p, found.delta), (18.0, 1.0, 0.0));
        assert_eq!(MannWhitney::of(&[7.0], &[7.0]).unwrap().p, 1.0);
    }

    #[test]
    fn ties_have_no_exact_distribution() {
        let found = MannWhitney::of(&[1.0, 2.0, 2.0], &[2.0, 3.0]).unwrap();
        assert!(!found.exact && found.p <= 1.0);
        assert_eq!(found.u, 5.0);
    }

    #[test]
    fn nothing_to_compare_gives_none() {
        assert_eq!(MannWhitney::of(&[], &[1.0]), None);
        assert_eq!(MannWhitney::of(&[1.0], &[f64::NAN]), None);
    }

    #[test]
    fn sizes_are_those_of_romano() {
        for (delta, word) in
            [(0.146, "negligible"), (-0.147, "small"), (0.33, "medium"), (-0.474, "large")]
        {
            assert_eq!(EffectSize::of_delta(delta).as_str(), word);
        }
    }

    proptest! {
        #[test]
        fn exchanging_the_sides_turns_delta_round(
            a in prop::collection::vec(0u8..30, 1..25),
            b in prop::collection::vec(0u8..30, 1..25),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) =
                (a.into_iter().map(f64::from).collect(), b.into_iter().map(f64::from).collect());
            let (found, back) = (MannWhitney::of(&a, &b).unwrap(), MannWhitney::of(&b, &a).unwrap());
            prop_assert_eq!(found.u + back.u, (a.len() * b.len()) as f64);
            prop_assert!((found.delta + back.delta).abs() < 1e-12);
            prop_assert!((found.p - back.p).abs() < 1e-12 && (0.0..=1.0).contains(&found.p));
            let shrunk = |v: &[f64]| v.iter().map(|v| v.sqrt()).collect::<Vec<_>>();
            prop_assert_eq!(MannWhitney::of(&shrunk(&a), &shrunk(&b)), Some(found));
        }
    }
}
