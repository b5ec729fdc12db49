//! Where a series of measurements changes: E-divisive with a t test and windows.
//!
//! The divergence is that of Matteson and James (2014), the energy statistic of Székely and Rizzo
//! for consecutive stretches. Hunter (Fleming et al., ICPE 2023) made of it what Apache Otava does:
//! Student's t in the place of permutations, so that an answer does not depend on chance; windows,
//! so that an old change does not hide when a series grows; and two levels, so that weak points
//! are found first and the doubtful ones merged away. Where Otava 0.8.0 is odd it is followed and
//! the place says so, for it is what the answers are held against.
//!
//! A series is the values themselves: a relative change is asked of their means. It assumes one
//! machine in one state; a changed environment is for the caller to begin a new series with.

use super::t_two_sided;

/// What counts as a change point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangeRules {
    /// Values looked at together; each window begins half of one after that before, or at the last
    /// change found in it. Two or more.
    pub window: usize,
    /// The largest p value that is kept.
    pub max_p: f64,
    /// The relative change of the mean that a point has to exceed, up or down, whichever is larger.
    pub min_magnitude: f64,
}

impl Default for ChangeRules {
    /// Window 50, p 0.001, any magnitude: the defaults of Hunter and Otava.
    fn default() -> ChangeRules {
        ChangeRules { window: 50, max_p: 0.001, min_magnitude: 0.0 }
    }
}

/// A place where a series changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of the first value after the change; never zero.
    pub index: usize,
    /// Mean from the change point before, or the beginning.
    pub before: f64,
    /// Mean up to the next change point, or the end.
    pub after: f64,
    /// p value of Student's t test between the two stretches. Rarely above the limit, as the
    /// magnitude is rarely below its own: where the last point to the right was merged away after
    /// this one had been tested.
    pub p: f64,
}

impl ChangePoint {
    /// The larger of the relative changes forth and back, so that a fall to a half and a rise to
    /// the double weigh the same. A change from or to zero counts as one of 100 %.
    pub fn magnitude(&self) -> f64 {
        let change = |from: f64, to: f64| if from == 0.0 { 0.0 } else { (to / from - 1.0).abs() };
        change(self.before, self.after).max(change(self.after, self.before))
    }
}

/// The change points of a series in its order in time, by index. None in series of fewer than
/// three values.
///
/// Where values repeat so often that several cuts are equally good, as with coarse clocks, the
/// answer is as good as Otava's but need not be the same.
///
/// Panics when a value is not finite, or the window is shorter than two.
pub fn change_points(series: &[f64], rules: &ChangeRules) -> Vec<ChangePoint> {
    assert!(rules.window >= 2, "a window holds two values or more, not {}", rules.window);
    assert!(series.iter().all(|v| v.is_finite()), "a series holds finite values");
    let cuts = weak_cuts(series, rules);
    merged(series, cuts, rules)
}

/// The level at which points are found at first: ten times the last one, where that is far from
/// one.
fn weak_p(max_p: f64) -> f64 {
    match max_p {
        p if p < 0.05 => 10.0 * p,
        p if p < 0.5 => 2.0 * p,
        p => p,
    }
}

/// The indices at which any window divides, in order.
fn weak_cuts(series: &[f64], rules: &ChangeRules) -> Vec<usize> {
    let max_p = weak_p(rules.max_p);
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < series.len() {
        let end = (start + rules.window).min(series.len());
        let found: Vec<usize> =
            divided(&series[start..end], max_p).into_iter().map(|cut| start + cut).collect();
        start = found.last().copied().unwrap_or(0).max(start + rules.window / 2);
        cuts.extend(found);
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Divides at the most divergent place of all stretches, again and again, until the best one left
/// is not significant.
fn divided(series: &[f64], max_p: f64) -> Vec<usize> {
    let distances = Distances::of(series);
    let mut bounds = vec![0, series.len()];
    // The best cut of each stretch between neighbouring bounds.
    let mut best = vec![distances.most_divergent(0, series.len())];
    loop {
        let mut chosen: Option<(usize, Cut)> = None;
        for (stretch, cut) in best.iter().enumerate() {
            if let Some(cut) = cut
                && chosen.is_none_or(|(_, c)| cut.divergence > c.divergence)
            {
                chosen = Some((stretch, *cut));
            }
        }
        let Some((stretch, cut)) = chosen else { break };
        let (from, to) = (bounds[stretch], bounds[stretch + 1]);
        if compared(&series[from..cut.index], &series[cut.index..to], cut.index).p > max_p {
            break;
        }
        bounds.insert(stretch + 1, cut.index);
        best[stretch] = distances.most_divergent(from, cut.index);
        best.insert(stretch + 1, distances.most_divergent(cut.index, to));
    }
    bounds[1..bounds.len() - 1].to_vec()
}

#[derive(Clone, Copy)]
struct Cut {
    index: usize,
    divergence: f64,
}

/// Sums of |x − y| over any two stretches of a window, by a table of sums from its corner.
struct Distances {
    /// Row-major, [len + 1, len + 1].
    sums: Vec<f64>,
    width: usize,
}

impl Distances {
    fn of(series: &[f64]) -> Distances {
        let width = series.len() + 1;
        let mut sums = vec![0.0; width * width];
        for (i, x) in series.iter().enumerate() {
            let mut row = 0.0;
            for (j, y) in series.iter().enumerate() {
                row += (x - y).abs();
                sums[(i + 1) * width + j + 1] = sums[i * width + j + 1] + row;
            }
        }
        Distances { sums, width }
    }

    /// The sum over x in `a..b` and y in `c..d`.
    fn between(&self, (a, b): (usize, usize), (c, d): (usize, usize)) -> f64 {
        let at = |i: usize, j: usize| self.sums[i * self.width + j];
        at(b, d) - at(a, d) - at(b, c) + at(a, c)
    }

    /// The mean distance between two values of `a..b`; zero for one value.
    fn within(&self, a: usize, b: usize) -> f64 {
        let n = (b - a) as f64;
        if b - a < 2 { 0.0 } else { self.between((a, b), (a, b)) / (n * (n - 1.0)) }
    }

    /// Where the stretch `start..end` divides best, the second part being free to end early: the
    /// first maximum over τ, then κ, of
    ///
    /// ```text
    /// Q(τ, κ) = nm / (n + m) · (2·|X − Y| − |X − X'| − |Y − Y'|)
    /// ```
    ///
    /// with X the n values from `start` to τ, Y the m values from τ to κ, and means of distances.
    /// `None` for fewer than two values.
    fn most_divergent(&self, start: usize, end: usize) -> Option<Cut> {
        let mut best: Option<Cut> = None;
        for index in start + 1..end {
            let n = (index - start) as f64;
            let left = self.within(start, index);
            for stop in index + 1..=end {
                let m = (stop - index) as f64;
                let apart = self.between((start, index), (index, stop)) / (n * m);
                let divergence = n * m / (n + m) * (2.0 * apart - left - self.within(index, stop));
                if best.is_none_or(|b| divergence > b.divergence) {
                    best = Some(Cut { index, divergence });
                }
            }
        }
        best
    }
}

/// Student's t test with equal variances between two stretches, neither empty.
///
/// As in Otava the standard deviations are those of populations, divided by n and not n − 1, yet
/// weighed as if they were not: p is a little smaller than the textbook's.
fn compared(left: &[f64], right: &[f64], index: usize) -> ChangePoint {
    let ((before, vl), (after, vr)) = (moments(left), moments(right));
    let (n, m) = (left.len() as f64, right.len() as f64);
    let freedom = n + m - 2.0;
    let p = if before == after || freedom == 0.0 {
        1.0
    } else {
        let pooled = ((n - 1.0) * vl + (m - 1.0) * vr) / freedom;
        t_two_sided((after - before) / (pooled * (1.0 / n + 1.0 / m)).sqrt(), freedom)
    };
    ChangePoint { index, before, after, p }
}

/// Mean and variance of a population; exact where all values are equal.
fn moments(values: &[f64]) -> (f64, f64) {
    if values.iter().all(|&v| v == values[0]) {
        return (values[0], 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

/// Takes away the weakest point until all are strong: while there is one whose p is too large that
/// with the largest, then that with the smallest change.
///
/// As in Otava, after a removal the two points that follow are tested anew, but not the one before,
/// although its second stretch has grown; with that one too, fewer points would stay. The means and
/// p of those that stay are then computed once more from where the points are.
fn merged(series: &[f64], mut cuts: Vec<usize>, rules: &ChangeRules) -> Vec<ChangePoint> {
    let tested = |cuts: &[usize], i: usize| {
        let from = if i == 0 { 0 } else { cuts[i - 1] };
        let to = cuts.get(i + 1).copied().unwrap_or(series.len());
        compared(&series[from..cuts[i]], &series[cuts[i]..to], cuts[i])
    };
    let mut points: Vec<ChangePoint> = (0..cuts.len()).map(|i| tested(&cuts, i)).collect();
    while let Some(weakest) = weakest(&points, rules) {
        cuts.remove(weakest);
        points.remove(weakest);
        for i in weakest..(weakest + 2).min(points.len()) {
            points[i] = tested(&cuts, i);
        }
    }
    (0..cuts.len()).map(|i| tested(&cuts, i)).collect()
}

/// The point to take away next; `None` when all may stay. Of equals, the first.
fn weakest(points: &[ChangePoint], rules: &ChangeRules) -> Option<usize> {
    let first = |better: fn(&ChangePoint, &ChangePoint) -> bool| {
        (0..points.len()).reduce(|a, b| if better(&points[b], &points[a]) { b } else { a })
    };
    let doubtful = first(|b, a| b.p > a.p)?;
    if points[doubtful].p >= rules.max_p {
        return Some(doubtful);
    }
    let smallest = first(|b, a| b.magnitude() < a.magnitude())?;
    (points[smallest].magnitude() <= rules.min_magnitude).then_some(smallest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indices(series: &[f64], rules: &ChangeRules) -> Vec<usize> {
        change_points(series, rules).iter().map(|p| p.index).collect()
    }

    /// Noise with a period that divides no window.
    fn wobble(i: usize) -> f64 {
        1.0 + 0.01 * (i as f64 * 2.399_963).sin()
    }

    #[test]
    fn a_step_is_found_where_it_is_with_what_was_before_and_after() {
        let series: Vec<f64> = (0..40).map(|i| if i < 23 { 10.0 } else { 11.0 }).collect();
        let found = change_points(&series, &ChangeRules::default());
        let expected = ChangePoint { index: 23, before: 10.0, after: 11.0, p: 0.0 };
        assert_eq!(found, [expected]);
        assert!((expected.magnitude() - 0.1).abs() < 1e-12);
    }

    #[test]
    fn steps_are_found_through_all_windows_of_a_long_series() {
        let steps = [70, 140, 333, 480];
        let series: Vec<f64> = (0..600)
            .map(|i| wobble(i) * 1.1f64.powi(steps.iter().filter(|&&s| s <= i).count() as i32))
            .collect();
        assert_eq!(indices(&series, &ChangeRules::default()), steps);
    }

    #[test]
    fn changes_smaller_than_asked_for_are_not_told() {
        let series: Vec<f64> =
            (0..60).map(|i| wobble(i) * if i < 30 { 1.0 } else { 1.02 }).collect();
        assert_eq!(indices(&series, &ChangeRules::default()), [30]);
        let rules = ChangeRules { min_magnitude: 0.03, ..ChangeRules::default() };
        assert!(indices(&series, &rules).is_empty());
    }

    #[test]
    fn rises_and_falls_weigh_the_same_and_those_from_zero_are_finite() {
        for (before, after, magnitude) in
            [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (0.0, 3.0, 1.0), (3.0, 0.0, 1.0), (0.0, 0.0, 0.0)]
        {
            assert_eq!(ChangePoint { index: 1, before, after, p: 0.0 }.magnitude(), magnitude);
        }
    }

    #[test]
    fn short_series_have_no_change_points() {
        for series in [&[][..], &[1.0], &[1.0, 2.0]] {
            assert_eq!(change_points(series, &ChangeRules::default()), []);
        }
    }

    #[test]
    fn sums_of_distances_are_those_of_the_pairs() {
        let series = [3.0, 1.0, 4.0, 1.5, 9.0, 2.5];
        let distances = Distances::of(&series);
        let slow = |a: usize, b: usize, c: usize, d: usize| -> f64 {
            series[a..b].iter().flat_map(|x| series[c..d].iter().map(move |y| (x - y).abs())).sum()
        };
        assert!((distances.between((1, 3), (3, 6)) - slow(1, 3, 3, 6)).abs() < 1e-12);
        assert!((distances.within(2, 5) - slow(2, 5, 2, 5) / 6.0).abs() < 1e-12);
        assert_eq!(distances.within(2, 3), 0.0);
    }

    proptest! {
        #[test]
        fn a_constant_series_has_no_change_points(
            value in -1e9f64..1e9,
            n in 0usize..200,
            window in 2usize..60,
        ) {
            let rules = ChangeRules { window, max_p: 0.3, min_magnitude: 0.0 };
            prop_assert_eq!(change_points(&vec![value; n], &rules), []);
        }

        #[test]
        fn change_points_stand_in_order_and_between_their_means(
            series in prop::collection::vec(0.5f64..2.0, 0..150),
            window in 2usize..60,
        ) {
            let rules = ChangeRules { window, max_p: 0.05, min_magnitude: 0.0 };
            let found = change_points(&series, &rules);
            prop_assert!(found.iter().all(|p| p.index > 0 && p.index < series.len()));
            for pair in found.windows(2) {
                prop_assert!(pair[0].index < pair[1].index);
                prop_assert_eq!(pair[0].after, pair[1].before);
            }
        }

        #[test]
        fn the_unit_of_measurement_moves_no_change_point(
            series in prop::collection::vec(0.5f64..2.0, 0..150),
            power in -40i32..40,
        ) {
            // A power of two, for which scaling loses nothing.
            let scaled: Vec<f64> = series.iter().map(|v| v * 2f64.powi(power)).collect();
            let rules = ChangeRules { max_p: 0.05, ..ChangeRules::default() };
            prop_assert_eq!(indices(&series, &rules), indices(&scaled, &rules));
        }
    }
}
