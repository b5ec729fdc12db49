//! From values to pixels, and the round values that ticks stand at.

/// A scale, linear or logarithmic.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    values: (f64, f64),
    pixels: (f64, f64),
    log: bool,
}

impl Scale {
    /// Values `values.0` to `values.1` lie on pixels `pixels.0` to `pixels.1`.
    pub fn new(values: (f64, f64), pixels: (f64, f64)) -> Scale {
        let values = if values.0 == values.1 { (values.0, values.0 + 1.0) } else { values };
        Scale { values, pixels, log: false }
    }

    /// The same on a logarithmic scale; values are above 0.
    pub fn log(values: (f64, f64), pixels: (f64, f64)) -> Scale {
        Scale { log: true, ..Scale::new((values.0.ln(), values.1.ln()), pixels) }
    }

    /// The pixel of `value`, held within the scale.
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.ln() } else { value };
        let share = (value - self.values.0) / (self.values.1 - self.values.0);
        self.pixels.0 + share.clamp(0.0, 1.0) * (self.pixels.1 - self.pixels.0)
    }
}

/// Round values for ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// Where they stand.
    pub values: Vec<f64>,
    /// Decimals needed to tell them apart.
    pub decimals: usize,
}

impl Ticks {
    /// Round values from `lo` to `hi`, both within, at most about `most` of them.
    pub fn within(lo: f64, hi: f64, most: usize) -> Ticks {
        let span = if hi > lo { hi - lo } else { 1.0 };
        let rough = span / most.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|step| *step >= rough * (1.0 - 1e-9))
            .unwrap_or(10.0 * power);
        let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        Ticks { values: (first..=last).map(|i| i as f64 * step).collect(), decimals }
    }

    /// Round values from 0 to the first one at or above `hi`, which is answered too.
    pub fn from_zero(hi: f64, most: usize) -> (Ticks, f64) {
        let hi = if hi > 0.0 { hi } else { 1.0 };
        let step = Ticks::within(0.0, hi, most).values.get(1).copied().unwrap_or(hi);
        let top = (hi / step - 1e-9).ceil().max(1.0) * step;
        (Ticks::within(0.0, top, (top / step).round() as usize), top)
    }

    /// Round values for a logarithmic axis, 1, 2 and 5 of each power of ten: from the last one
    /// below all of `lo` to `hi`, which are above 0, to the first above them.
    pub fn log(lo: f64, hi: f64) -> Ticks {
        let power = |value: f64| value.log10().floor() as i32;
        let round = (power(lo) - 1..=power(hi) + 1)
            .flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)))
            .collect::<Vec<f64>>();
        let first = round.iter().rposition(|v| *v < lo * 0.95).unwrap_or(0);
        let last = round.iter().position(|v| *v > hi * 1.05).unwrap_or(round.len() - 1);
        let decimals = (-power(round[first])).max(0) as usize;
        Ticks { values: round[first..=last].to_vec(), decimals }
    }

    /// Round whole numbers within `lo` to `hi`.
    pub fn whole(lo: f64, hi: f64, most: usize) -> Ticks {
        let ticks = Ticks::within(lo, hi, most);
        if ticks.decimals == 0 {
            return ticks;
        }
        let values = (lo.ceil() as i64..=hi.floor() as i64).map(|v| v as f64).collect();
        Ticks { values, decimals: 0 }
    }
}

/// At most `most` of `points`, which stand by their place: of each stretch its lowest and its highest,
/// so that no peak is lost.
pub fn thinned(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points;
    }
    let stretch = points.len().div_ceil((most / 2).max(1));
    let ends = |points: &[(f64, f64)]| {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let low = points.iter().min_by(by_value).copied();
        let high = points.iter().max_by(by_value).copied();
        let (low, high) = (low.into_iter(), high.into_iter());
        let mut ends: Vec<(f64, f64)> = low.chain(high).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.dedup();
        ends
    };
    points.chunks(stretch).flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_peaks_and_its_order() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[4321].1 = 9.0;
        points[77].1 = -3.0;
        let thin = thinned(points.clone(), 2000);
        assert!(thin.len() <= 2000 && thin.contains(&points[4321]) && thin.contains(&points[77]));
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(points[..5].to_vec(), 2000), points[..5]);
    }

    #[test]
    fn ticks_stand_at_round_values() {
        assert_eq!(Ticks::within(128.0, 192.0, 5).values, [140.0, 160.0, 180.0]);
        assert_eq!(
            Ticks::from_zero(87.0, 5),
            (Ticks { values: vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0], decimals: 0 }, 100.0)
        );
        let (ticks, top) = Ticks::from_zero(0.034, 4);
        assert_eq!((ticks.decimals, top), (2, 0.04));
    }

    #[test]
    fn no_span_at_all_gives_finite_ticks() {
        for (lo, hi) in [(0.0, 0.0), (5.0, 5.0)] {
            assert!(Ticks::within(lo, hi, 4).values.iter().all(|v| v.is_finite()));
            assert!(Scale::new((lo, hi), (0.0, 10.0)).at(lo).is_finite());
        }
        let (ticks, top) = Ticks::from_zero(0.0, 4);
        assert!(top == 1.0 && ticks.values.len() <= 6, "{ticks:?} {top}");
    }

    #[test]
    fn a_logarithmic_scale_has_equal_room_for_equal_factors() {
        let ticks = Ticks::log(134.0, 1711.0);
        assert_eq!(ticks.values, [100.0, 200.0, 500.0, 1000.0, 2000.0]);
        let scale = Scale::log((100.0, 10_000.0), (0.0, 10.0));
        assert!((scale.at(1000.0) - 5.0).abs() < 1e-9);
        assert_eq!(Ticks::log(3.0, 3.0).values, [2.0, 5.0]);
        assert_eq!(Ticks::log(0.25, 0.4).decimals, 1);
    }

    #[test]
    fn positions_are_whole() {
        assert_eq!(Ticks::whole(0.0, 3.0, 10).values, [0.0, 1.0, 2.0, 3.0]);
    }
}
