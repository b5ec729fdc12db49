//! The whole analysis of one phase: every figure of it, and the order in which they need each other.

use super::Rules;
use super::curve::{self, Fit};
use super::level::{Sustained, burst, onset, sustained};
use super::noise::Noise;
use super::oscillation::{self, Oscillation};
use super::verdict::{Shape, Verdict};
use super::window::{Stability, Window, mean, rates};

/// The analysis of one phase of a soak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Soak {
    /// What became of the throughput.
    pub verdict: Verdict,
    /// From the first window's start to the last one's end, in seconds.
    pub span_s: f64,
    /// Windows in it.
    pub n_windows: usize,
    /// The rate at first, in tok/s.
    pub burst: f64,
    /// The rate in the end.
    pub sustained: Sustained,
    /// The first time at which the rate stays below 95 % of the burst, without any model, in seconds
    /// since the soak began. Noise alone can bring it about: only a verdict makes it a slowdown's.
    pub onset_s: Option<f64>,
    /// The curve that fits best, accepted or not.
    pub fit: Option<Fit>,
    /// The noise around the accepted curve, or else around the level.
    pub noise: Noise,
    /// How even the rate was; absent below two loops.
    pub stability: Option<Stability>,
}

impl Soak {
    /// Sustained ÷ burst.
    pub fn retention(&self) -> f64 {
        self.sustained.tok_per_s / self.burst
    }

    /// 1 − retention.
    pub fn drop(&self) -> f64 {
        1.0 - self.retention()
    }

    /// The curve, if its evidence was enough.
    pub fn accepted_fit(&self) -> Option<&Fit> {
        self.fit.as_ref().filter(|fit| fit.accepted)
    }

    /// The rate that the device tends to, in tok/s: the curve's limit where a time constant is told,
    /// the middle of an oscillation, else the sustained rate.
    pub fn steady_rate(&self) -> f64 {
        match (self.verdict, &self.fit) {
            (Verdict::Slowdown(Shape::Decay { .. }), Some(fit)) => fit.y_inf,
            (Verdict::Oscillating(line), _) => line.level,
            _ => self.sustained.tok_per_s,
        }
    }
}

/// The analysis of windows in the order of time. `None` without windows, and where a window's figure
/// is not above zero.
pub fn analyse(windows: &[Window], rules: &Rules) -> Option<Soak> {
    if windows.iter().any(|w| !w.tok_per_s.is_finite() || w.tok_per_s <= 0.0) {
        return None;
    }
    let burst = burst(windows, rules)?;
    let fit = curve::fit(windows, rules);
    let accepted = fit.filter(|fit| fit.accepted);
    let level = mean(&rates(windows));
    let residuals: Vec<f64> = windows
        .iter()
        .map(|w| w.tok_per_s / accepted.map_or(level, |fit| fit.at(w)) - 1.0)
        .collect();
    let line = line(windows, &residuals, accepted.as_ref());
    let mut noise = Noise::of(&residuals);
    if line.is_some() {
        // It comes back by itself, so it is no wander that hides the level.
        noise = Noise { wander: 0.0, phi: 0.0, ..noise };
    }
    let sustained = sustained(windows, &noise, rules)?;
    let verdict = if windows.len() < rules.least_windows {
        Verdict::TooShort
    } else if let Some(line) = line {
        Verdict::Oscillating(line)
    } else {
        accepted.map_or(Verdict::Steady, |fit| {
            let ends = (burst, sustained.tok_per_s);
            Verdict::of_curve(&fit, ends, &noise, windows, rules)
        })
    };
    Some(Soak {
        verdict,
        span_s: curve::span_s(windows),
        n_windows: windows.len(),
        burst,
        sustained,
        onset_s: onset(windows, burst, rules),
        fit,
        noise,
        stability: Stability::of(windows, rules),
    })
}

/// A governor begins to switch when the device is warm: what comes before the onset is left out, if
/// enough stays.
fn line(windows: &[Window], residuals: &[f64], accepted: Option<&Fit>) -> Option<Oscillation> {
    let from = accepted.map_or(0, |fit| windows.partition_point(|w| w.start_s < fit.t_on_s));
    let after = oscillation::find(&windows[from..], &residuals[from..]);
    after.or_else(|| oscillation::find(windows, residuals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::soak::{Piece, windows};

    /// Pieces of two seconds at a rate that depends on the time, one percent off to either side.
    fn soak(seconds: f64, rate: impl Fn(f64) -> f64) -> Vec<Window> {
        let mut pieces = Vec::new();
        let mut now = 0.0;
        while now < seconds {
            let off = ((pieces.len() * pieces.len() * 7) % 11) as f64 / 500.0 - 0.01;
            let duration_s = 2.0 + off;
            now += duration_s;
            pieces.push(Piece { end_s: now, duration_s, tokens: 2.0 * rate(now) });
        }
        windows(&pieces, &Rules::default())
    }

    fn verdict(windows: &[Window]) -> Verdict {
        analyse(windows, &Rules::default()).unwrap().verdict
    }

    #[test]
    fn nothing_is_told_of_a_few_windows() {
        assert_eq!(verdict(&soak(130.0, |t| 100.0 - t / 4.0)), Verdict::TooShort);
        assert_eq!(analyse(&[], &Rules::default()), None);
        let mut stalled = soak(600.0, |_| 100.0);
        stalled[9].tok_per_s = 0.0;
        assert_eq!(analyse(&stalled, &Rules::default()), None);
    }

    #[test]
    fn an_even_rate_is_steady() {
        let soak = analyse(&soak(1200.0, |_| 100.0), &Rules::default()).unwrap();
        assert_eq!(soak.verdict, Verdict::Steady);
        assert!((soak.retention() - 1.0).abs() < 0.01 && soak.onset_s.is_none());
        let Sustained { lo, hi, .. } = soak.sustained;
        assert!(lo < 100.2 && 99.8 < hi && hi - lo < 1.0, "{lo} {hi}");
    }

    #[test]
    fn a_rate_without_any_noise_is_steady_too() {
        let pieces: Vec<Piece> = (1..400)
            .map(|i| Piece { end_s: 3.0 * f64::from(i), duration_s: 3.0, tokens: 96.0 })
            .collect();
        let soak = analyse(&windows(&pieces, &Rules::default()), &Rules::default()).unwrap();
        assert_eq!((soak.verdict, soak.retention()), (Verdict::Steady, 1.0));
        assert_eq!((soak.sustained.lo, soak.sustained.hi), (32.0, 32.0));
    }

    #[test]
    fn two_steps_are_a_slowdown_without_a_form() {
        let rate = |t| {
            if t < 300.0 {
                100.0
            } else if t < 700.0 {
                80.0
            } else {
                60.0
            }
        };
        let soak = analyse(&soak(1200.0, rate), &Rules::default()).unwrap();
        assert_eq!(soak.verdict, Verdict::Slowdown(Shape::Unshaped));
        assert!((soak.retention() - 0.6).abs() < 0.01 && (soak.steady_rate() - 60.0).abs() < 1.0);
        assert!((soak.onset_s.unwrap() - 300.0).abs() < 11.0);
    }

    #[test]
    fn a_rise_is_no_slowdown() {
        assert_eq!(
            verdict(&soak(1200.0, |t| if t < 200.0 { 80.0 } else { 100.0 })),
            Verdict::Faster
        );
    }

    #[test]
    fn the_same_device_in_another_unit_has_the_same_verdict() {
        let rate = |t: f64| 60.0 + 40.0 * if t < 200.0 { 1.0 } else { (-(t - 200.0) / 90.0).exp() };
        let slow = soak(1200.0, rate);
        let fast: Vec<Window> = slow
            .iter()
            .map(|w| Window {
                start_s: w.start_s / 40.0,
                end_s: w.end_s / 40.0,
                tok_per_s: 7.0 * w.tok_per_s,
                n: w.n,
            })
            .collect();
        let slow = analyse(&slow, &Rules::default()).unwrap();
        let fast = analyse(&fast, &Rules::with_window(0.25)).unwrap();
        let Verdict::Slowdown(Shape::Decay { tau_s }) = slow.verdict else {
            panic!("{:?}", slow.verdict)
        };
        let Verdict::Slowdown(Shape::Decay { tau_s: fast_tau }) = fast.verdict else {
            panic!("{:?}", fast.verdict)
        };
        assert!((tau_s / 90.0 - 1.0).abs() < 0.05 && (tau_s / fast_tau / 40.0 - 1.0).abs() < 1e-3);
        assert!((slow.retention() - fast.retention()).abs() < 1e-9);
        assert!((slow.fit.unwrap().t_on_s / 40.0 - fast.fit.unwrap().t_on_s).abs() < 0.01);
    }

    #[test]
    fn what_comes_back_is_passing() {
        let dip = |from: f64, to: f64| {
            soak(1200.0, move |t| if (from..to).contains(&t) { 60.0 } else { 100.0 })
        };
        for windows in [dip(400.0, 700.0), dip(400.0, 440.0), dip(1165.0, 1300.0)] {
            let soak = analyse(&windows, &Rules::default()).unwrap();
            assert_eq!(soak.verdict, Verdict::Passing);
            assert!((soak.retention() - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn what_comes_back_in_part_is_a_slowdown_without_a_form() {
        let rate = |t| {
            if t < 300.0 {
                100.0
            } else if t < 600.0 {
                60.0
            } else {
                85.0
            }
        };
        assert_eq!(verdict(&soak(1200.0, rate)), Verdict::Slowdown(Shape::Unshaped));
    }

    #[test]
    fn a_slow_decline_is_found_and_has_no_time_constant() {
        let decline = soak(1200.0, |t| 100.0 - t / 60.0);
        assert_eq!(verdict(&decline), Verdict::Slowdown(Shape::Unshaped));
    }

    #[test]
    fn hiccups_neither_make_a_slowdown_nor_hide_one() {
        let hiccup = |t: f64| if (t as usize / 10) % 17 == 3 { 0.7 } else { 1.0 };
        assert_eq!(verdict(&soak(1200.0, |t| 100.0 * hiccup(t))), Verdict::Steady);
        let step = |t: f64| if t < 500.0 { 100.0 } else { 80.0 };
        let slower = verdict(&soak(1200.0, |t| step(t) * hiccup(t)));
        assert_eq!(slower, Verdict::Slowdown(Shape::Step));
    }

    #[test]
    fn another_phase_in_between_changes_nothing() {
        // Decode for 40 s, prefill for 40 s, and so on.
        let rate = |t: f64| 60.0 + 40.0 * if t < 200.0 { 1.0 } else { (-(t - 200.0) / 90.0).exp() };
        let mut pieces = Vec::new();
        let mut now: f64 = 0.0;
        while now < 1200.0 {
            let off = ((pieces.len() * pieces.len() * 7) % 11) as f64 / 500.0 - 0.01;
            now += 2.0 + off;
            if now.rem_euclid(80.0) < 40.0 {
                pieces.push(Piece { end_s: now, duration_s: 2.0 + off, tokens: 2.0 * rate(now) });
            }
        }
        let found = analyse(&windows(&pieces, &Rules::default()), &Rules::default()).unwrap();
        let Verdict::Slowdown(Shape::Decay { tau_s }) = found.verdict else { panic!("{found:?}") };
        assert!((tau_s / 90.0 - 1.0).abs() < 0.15, "{found:?}");
        assert!((found.fit.unwrap().t_on_s - 200.0).abs() < 15.0, "{found:?}");
        assert_eq!(verdict(&windows(&pieces[..50], &Rules::default())), Verdict::TooShort);
    }

    #[test]
    fn a_few_very_long_windows_are_too_short() {
        let pieces: Vec<Piece> = (1..9)
            .map(|i| Piece { end_s: 400.0 * f64::from(i), duration_s: 400.0, tokens: 9.0 })
            .collect();
        let windows = windows(&pieces, &Rules::default());
        assert_eq!(verdict(&windows), Verdict::TooShort);
        assert_eq!(analyse(&windows, &Rules::default()).unwrap().sustained.n, 1);
        assert_eq!(verdict(&windows[..1]), Verdict::TooShort);
    }

    #[test]
    fn long_passes_are_judged_like_short_ones() {
        for pass_s in [25.0, 45.0, 60.0] {
            let pieces = |fall_s: f64| -> Vec<Piece> {
                let off = |i: u32| f64::from((i * i * 7) % 11) / 500.0 - 0.01;
                let rate = |t: f64| if t < fall_s { 100.0 } else { 70.0 };
                (1..60)
                    .map(|i| (f64::from(i) * pass_s, i))
                    .map(|(t, i)| Piece {
                        end_s: t,
                        duration_s: pass_s,
                        tokens: pass_s * rate(t) * (1.0 + off(i)),
                    })
                    .collect()
            };
            let judged = |fall_s| verdict(&windows(&pieces(fall_s), &Rules::default()));
            assert_eq!(judged(f64::INFINITY), Verdict::Steady, "{pass_s}");
            assert_eq!(judged(20.0 * pass_s), Verdict::Slowdown(Shape::Step), "{pass_s}");
        }
    }

    #[test]
    fn a_soak_of_thousands_of_windows_is_analysed() {
        let long = soak(50_000.0, |t| if t < 20_000.0 { 100.0 } else { 80.0 });
        assert!(long.len() > 4900);
        assert_eq!(verdict(&long), Verdict::Slowdown(Shape::Step));
        let to_and_fro = soak(50_000.0, |t| if t.rem_euclid(100.0) < 50.0 { 100.0 } else { 80.0 });
        assert!(matches!(verdict(&to_and_fro), Verdict::Oscillating(_)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_the_windows_say_the_figures_are_finite(
            y in proptest::collection::vec(1e-3f64..1e6, 1..60),
        ) {
            let window = |(i, y): (usize, &f64)| Window {
                start_s: 10.0 * i as f64,
                end_s: 10.0 * (i + 1) as f64,
                tok_per_s: *y,
                n: 1,
            };
            let windows: Vec<Window> = y.iter().enumerate().map(window).collect();
            let soak = analyse(&windows, &Rules::default()).unwrap();
            proptest::prop_assert!(soak.retention().is_finite() && soak.steady_rate().is_finite());
            let Sustained { tok_per_s, lo, hi, .. } = soak.sustained;
            proptest::prop_assert!(0.0 <= lo && lo <= tok_per_s && tok_per_s <= hi);
            proptest::prop_assert!(hi.is_finite() && soak.noise.sd.is_finite());
            if let Some(fit) = soak.accepted_fit() {
                proptest::prop_assert!(fit.y0.is_finite() && fit.y_inf.is_finite());
                let (shortest, longest) = fit.tau_interval_s;
                proptest::prop_assert!(shortest <= fit.tau_s + 2.5 && fit.tau_s <= longest + 2.5);
            }
        }
    }
}
