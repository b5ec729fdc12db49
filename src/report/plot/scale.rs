//! From values to pixels, and the round values that ticks stand at.

/// A linear scale.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    values: (f64, f64),
    pixels: (f64, f64),
}

impl Scale {
    /// Values `values.0` to `values.1` lie on pixels `pixels.0` to `pixels.1`.
    pub fn new(values: (f64, f64), pixels: (f64, f64)) -> Scale {
        let values = if values.0 == values.1 { (values.0, values.0 + 1.0) } else { values };
        Scale { values, pixels }
    }

    /// The pixel of `value`, held within the scale.
    pub fn at(&self, value: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn positions_are_whole() {
        assert_eq!(Ticks::whole(0.0, 3.0, 10).values, [0.0, 1.0, 2.0, 3.0]);
    }
}
