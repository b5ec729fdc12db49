//! What the figures are said to show, computed: models that cost less than smaller ones, what a format
//! saves, and a constant that was divided by one token too many. Pure.

use crate::stats::{LogRatio, StraightLine};

/// How sure intervals are.
const ALPHA: f64 = 0.05;
/// Fewer lengths than this tell nothing of two curves.
const MIN_PAIRS: usize = 3;

/// A model and what it costs: time or bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Unique parameters.
    pub n_params: f64,
    /// The cost.
    pub cost: f64,
    /// From where to where it may be; absent where too few invocations tell.
    pub interval: Option<(f64, f64)>,
}

/// A model with more parameters that costs less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallOut {
    /// The one with more parameters.
    pub larger: usize,
    /// The one that costs more.
    pub smaller: usize,
    /// More parameters by this share.
    pub more_params: f64,
    /// Less cost by this share.
    pub less_cost: f64,
}

/// Models whose sizes differ by less than this are of one size.
const SAME_SIZE: f64 = 0.02;
/// Less than this is not worth a word, however narrow the intervals: bytes hardly vary.
const LEAST_GAIN: f64 = 0.02;

/// Pairs in which the model with more parameters costs less and the intervals do not touch, those
/// furthest from what sizes let expect first. A model stands in one of them, so that each tells of
/// another; at most `most`. Without its interval a model stands in none.
pub fn call_outs(subjects: &[Subject], most: usize) -> Vec<CallOut> {
    let mut found = Vec::new();
    for (larger, a) in subjects.iter().enumerate() {
        for (smaller, b) in subjects.iter().enumerate() {
            let is_below = a.interval.zip(b.interval).is_some_and(|(a, b)| a.1 < b.0);
            if a.n_params > b.n_params * (1.0 + SAME_SIZE)
                && is_below
                && a.cost < b.cost * (1.0 - LEAST_GAIN)
            {
                let (more_params, less_cost) =
                    (a.n_params / b.n_params - 1.0, 1.0 - a.cost / b.cost);
                found.push(CallOut { larger, smaller, more_params, less_cost });
            }
        }
    }
    let surprise = |c: &CallOut| (1.0 + c.more_params).ln() - (1.0 - c.less_cost).ln();
    found.sort_by(|a, b| surprise(b).total_cmp(&surprise(a)));
    let mut taken: Vec<usize> = Vec::new();
    found.retain(|c| {
        let free = !taken.contains(&c.larger) && !taken.contains(&c.smaller);
        if free {
            taken.extend([c.larger, c.smaller]);
        }
        free
    });
    found.truncate(most);
    found
}

/// The power of the parameters with which a cost grows: 1 where twice the parameters cost twice as
/// much.
pub fn exponent(points: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points
        .into_iter()
        .filter(|p| p.0 > 0.0 && p.1 > 0.0)
        .map(|p| (p.0.ln(), p.1.ln()))
        .collect();
    (logs.len() > 2).then(|| StraightLine::through(&logs).map(|line| line.slope))?
}

/// What a format takes off another's time, over the lengths that both have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduction {
    /// Mean share.
    pub mean: f64,
    /// The largest.
    pub max: f64,
    /// The smallest; below zero where it takes longer.
    pub min: f64,
    /// Mean over the shorter half of the lengths, and over the longer one.
    pub halves: (f64, f64),
    /// Lengths.
    pub n: usize,
}

/// How much less `curve` takes than `base`.
pub fn reduction(base: &[(f64, f64)], curve: &[(f64, f64)]) -> Option<Reduction> {
    let shares: Vec<f64> = kept(base, curve).into_iter().map(|share| 1.0 - share).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let half = shares.len().div_ceil(2);
    (!shares.is_empty()).then(|| Reduction {
        mean: mean(&shares),
        max: shares.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        min: shares.iter().copied().fold(f64::INFINITY, f64::min),
        halves: (mean(&shares[..half]), mean(&shares[shares.len() - half..])),
        n: shares.len(),
    })
}

/// How two curves stand to each other at the lengths that both have: by what factor the second takes
/// longer, with the interval over the lengths, each of which is a pair. `None` for fewer than
/// [`MIN_PAIRS`].
pub fn factor(base: &[(f64, f64)], curve: &[(f64, f64)]) -> Option<LogRatio> {
    let (a, b) =
        in_common(base, curve).into_iter().map(|(_, a, b)| (a, b)).unzip::<_, _, Vec<_>, Vec<_>>();
    LogRatio::paired(&a, &b, ALPHA).filter(|_| a.len() >= MIN_PAIRS)
}

/// By what factor the share of its time that `base` keeps in `curve` is larger over the longer half of
/// the lengths than over the shorter one: above 1 where the gain shrinks. Of an odd number the middle
/// one counts in neither.
pub fn kept_with_length(base: &[(f64, f64)], curve: &[(f64, f64)]) -> Option<LogRatio> {
    let kept = kept(base, curve);
    let half = kept.len() / 2;
    LogRatio::unpaired(&kept[..half], &kept[kept.len() - half..], ALPHA)
}

/// By what factor the share that `curve` keeps of `base` in a second pair is larger than in the first:
/// below 1 where the second gains more.
pub fn kept_between(first: [&[(f64, f64)]; 2], second: [&[(f64, f64)]; 2]) -> Option<LogRatio> {
    let (first, second) = (kept(first[0], first[1]), kept(second[0], second[1]));
    let enough = first.len().min(second.len()) >= MIN_PAIRS;
    LogRatio::unpaired(&first, &second, ALPHA).filter(|_| enough)
}

/// `curve` ÷ `base` at each length that both have, by length.
fn kept(base: &[(f64, f64)], curve: &[(f64, f64)]) -> Vec<f64> {
    in_common(base, curve).into_iter().map(|(_, a, b)| b / a).collect()
}

/// Lengths that both have, in ascending order, with what each takes there.
fn in_common(base: &[(f64, f64)], curve: &[(f64, f64)]) -> Vec<(f64, f64, f64)> {
    let at = |&(x, b): &(f64, f64)| {
        let whole = base.iter().find(|p| p.0 == x && p.1 > 0.0)?;
        Some((x, whole.1, b))
    };
    let mut common: Vec<(f64, f64, f64)> = curve.iter().filter_map(at).collect();
    common.sort_by(|a, b| a.0.total_cmp(&b.0));
    common
}

/// A constant time per decode call, divided by the tokens instead of the calls: c · (n − 1) ÷ n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Artefact {
    /// The constant, in milliseconds.
    pub constant: f64,
    /// Root of the mean square by which the curve departs from it.
    pub rms: f64,
    /// The largest departure.
    pub max: f64,
}

/// A curve that departs by more than this from what a division would draw is something else.
const AS_DRAWN: f64 = 0.02;
/// The least that such a curve must rise, of its constant: below it nothing is to be told apart.
const RISE: f64 = 0.1;

/// Whether a curve of mean times over `n` tokens is what a constant draws that is divided by one
/// token too many: least squares of c · (n − 1) ÷ n. `None` where the curve is not that, where a
/// straight line follows it better, where it has fewer than four points, or none at lengths at which the
/// division would show.
pub fn divided_by_one_too_many(curve: &[(f64, f64)]) -> Option<Artefact> {
    let whole: Vec<(f64, f64)> = curve.iter().copied().filter(|p| p.0 >= 2.0).collect();
    let shares: Vec<(f64, f64)> = whole.iter().map(|&(n, ms)| ((n - 1.0) / n, ms)).collect();
    let span = shares.iter().map(|p| p.0).fold((1.0f64, 0.0f64), |s, v| (s.0.min(v), s.1.max(v)));
    if shares.len() < 4 || span.1 - span.0 < RISE {
        return None;
    }
    let weight: f64 = shares.iter().map(|p| p.0 * p.0).sum();
    let constant = shares.iter().map(|p| p.0 * p.1).sum::<f64>() / weight;
    let left: Vec<f64> = shares.iter().map(|p| (p.1 - constant * p.0).abs()).collect();
    let rms = (left.iter().map(|l| l * l).sum::<f64>() / left.len() as f64).sqrt();
    let max = left.into_iter().fold(0.0, f64::max);
    // A straight line has one number more to go by: what it follows better is none of this.
    let line = StraightLine::through(&whole)?;
    (rms < AS_DRAWN * constant && rms < line.rms).then_some(Artefact { constant, rms, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::survey::data::{self, Phase};

    fn subject(name: &str, n_params: f64, cost: f64) -> Subject {
        let interval = Some((cost * 0.97, cost * 1.03));
        Subject { name: name.into(), n_params, cost, interval }
    }

    #[test]
    fn a_larger_model_that_costs_less_is_called_out() {
        let models = [
            subject("small", 100.0, 10.0),
            subject("middle", 150.0, 8.0),
            subject("slow", 200.0, 30.0),
            subject("large", 400.0, 20.0),
        ];
        let found = call_outs(&models, 4);
        let names: Vec<(&str, &str)> =
            found.iter().map(|c| (&*models[c.larger].name, &*models[c.smaller].name)).collect();
        assert_eq!(names, [("large", "slow"), ("middle", "small")]);
        assert!((found[0].more_params - 1.0).abs() < 1e-12);
        assert!((found[0].less_cost - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(call_outs(&models, 1).len(), 1);
    }

    #[test]
    fn what_intervals_do_not_tell_apart_is_not_called_out() {
        let near = [subject("small", 100.0, 10.0), subject("large", 150.0, 9.6)];
        assert!(call_outs(&near, 4).is_empty());
        let same_size = [subject("a", 100.0, 10.0), subject("b", 101.0, 5.0)];
        assert!(call_outs(&same_size, 4).is_empty());
        let mut without = [subject("small", 100.0, 10.0), subject("large", 150.0, 5.0)];
        assert_eq!(call_outs(&without, 4).len(), 1);
        without[0].interval = None;
        assert!(call_outs(&without, 4).is_empty());
    }

    #[test]
    fn a_cost_that_grows_with_the_square_has_the_exponent_two() {
        let power = exponent((1..9).map(f64::from).map(|x| (x, 3.0 * x * x))).unwrap();
        assert!((power - 2.0).abs() < 1e-9);
        assert_eq!(exponent([(1.0, 2.0)]), None);
    }

    #[test]
    fn what_the_survey_says_of_quantisation_does_not_follow_from_what_it_plots() {
        let of = |phase, name: &str| {
            let curves = data::quantisation(phase);
            let curve = curves.iter().find(|c| c.name == name).unwrap();
            reduction(&curves[0].points, &curve.points).unwrap()
        };
        let prefill = of(Phase::Prefill, "Q4_K_M");
        assert!((prefill.mean - 0.269).abs() < 0.001, "{prefill:?}, the text says 50 %");
        assert!((prefill.max - 0.402).abs() < 0.001 && (prefill.min - 0.104).abs() < 0.001);
        assert!(prefill.halves.0 > prefill.halves.1);
        let decode = of(Phase::Decode, "Q4_K_M");
        assert!((decode.mean - 0.515).abs() < 0.001 && (decode.max - 0.567).abs() < 0.001);
        assert_eq!(decode.n, 43);
    }

    #[test]
    fn lengths_that_one_curve_lacks_do_not_count() {
        let base = [(8.0, 10.0), (16.0, 20.0), (32.0, 40.0)];
        let half = reduction(&base, &[(8.0, 5.0), (16.0, 15.0), (99.0, 1.0)]).unwrap();
        assert_eq!((half.n, half.max, half.min), (2, 0.5, 0.25));
        assert_eq!(half.halves, (0.5, 0.25));
        assert_eq!(reduction(&base, &[(99.0, 1.0)]), None);
    }

    #[test]
    fn the_survey_s_curve_of_throttling_is_a_constant_divided_by_one_token_too_many() {
        let curves = data::devices(Phase::Decode);
        let of = |name: &str| {
            divided_by_one_too_many(&curves.iter().find(|c| c.name == name).unwrap().points)
        };
        let meizu = of(data::MEIZU).unwrap();
        assert!((meizu.constant - 79.51).abs() < 0.01, "{meizu:?}");
        assert!((meizu.rms - 0.37).abs() < 0.01 && meizu.max < 0.75, "{meizu:?}");
        assert_eq!(of(data::JETSON), None);
    }

    #[test]
    fn only_that_curve_is_taken_for_it() {
        let curve =
            |ms: &dyn Fn(f64) -> f64| (2..50).map(|n| (f64::from(n), ms(f64::from(n)))).collect();
        let drawn: Vec<(f64, f64)> = curve(&|n| 79.5 * (n - 1.0) / n);
        let found = divided_by_one_too_many(&drawn).unwrap();
        assert!((found.constant - 79.5).abs() < 1e-9 && found.max < 1e-9);
        let constant: Vec<(f64, f64)> = curve(&|_| 79.5);
        assert_eq!(divided_by_one_too_many(&constant), None);
        let slower: Vec<(f64, f64)> = curve(&|n| 60.0 + 0.4 * n);
        assert_eq!(divided_by_one_too_many(&slower), None);
        // Between 8 and 50 tokens a slow rise is within 2 % of the division, and nearer to a line.
        let rising: Vec<(f64, f64)> =
            [8.0, 15.0, 22.0, 29.0, 36.0, 43.0, 50.0].map(|n| (n, 24.0 + 0.07 * n)).into();
        assert_eq!(divided_by_one_too_many(&rising), None);
        // From 20 tokens on a constant and its division differ by less than one knows.
        let late: Vec<(f64, f64)> = drawn.iter().copied().filter(|p| p.0 >= 20.0).collect();
        assert_eq!(divided_by_one_too_many(&late), None);
    }
}
