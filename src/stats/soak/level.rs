//! Figures that assume no curve: the rate at first, the rate in the end, when the first was left, and
//! whether a soak has settled.

use super::noise::Noise;
use super::window::{rates, spacing_s};
use super::{Rules, Window, curve::span_s};
use crate::stats::{median, t_quantile};

/// The median of the windows that start in the first [`Rules::burst_windows`] windows' time, and of as
/// many windows at least. `None` without windows.
pub fn burst(windows: &[Window], rules: &Rules) -> Option<f64> {
    let origin = windows.first()?.start_s;
    // Half a window of grace, as windows begin where pieces do.
    let until = origin + (rules.burst_windows as f64 - 0.5) * rules.window_s;
    let inside = windows.iter().take_while(|w| w.start_s < until).count();
    median(&rates(&windows[..inside.max(rules.burst_windows).min(windows.len())]))
}

/// The rate at the end of a soak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sustained {
    /// Median of the last windows, in tok/s.
    pub tok_per_s: f64,
    /// Lower end of the 95 % interval.
    pub lo: f64,
    /// Upper end of the 95 % interval.
    pub hi: f64,
    /// Windows that it is the median of.
    pub n: usize,
    /// Independent windows that would know as much: what the interval is computed with.
    pub effective_n: f64,
}

/// How many windows the end of a soak has: those of the last fifth of its time, or as many as make the
/// least stretch; all of them where there are no more, and one where the last is longer than that.
pub(super) fn sustained_windows(windows: &[Window], rules: &Rules) -> usize {
    let Some(last) = windows.last() else { return 0 };
    let from = last.end_s - rules.sustained_s(span_s(windows));
    // A window belongs to the end if its middle does.
    windows.iter().rev().take_while(|w| w.mid_s() > from).count().max(1)
}

/// The rate at the end of a soak, with an interval for the level of a device that makes such noise: a
/// median's standard error is √(π/2) of a mean's, and the windows count as many as their memory leaves
/// of them. `None` without windows.
pub fn sustained(windows: &[Window], noise: &Noise, rules: &Rules) -> Option<Sustained> {
    let n = sustained_windows(windows, rules);
    let tok_per_s = median(&rates(&windows[windows.len() - n..]))?;
    let effective_n = noise.effective_n(n);
    let standard_error =
        std::f64::consts::FRAC_PI_2.sqrt() * noise.sd * tok_per_s / effective_n.sqrt();
    // The noise is known from the whole soak.
    let freedom = (noise.effective_n(windows.len()) - 1.0).max(2.0);
    let half = t_quantile(0.975, freedom) * standard_error;
    Some(Sustained {
        tok_per_s,
        lo: (tok_per_s - half).max(0.0),
        hi: tok_per_s + half,
        n,
        effective_n,
    })
}

/// The start of the first [`Rules::onset_windows`] windows in a row that all lie below
/// [`Rules::onset_share`] of the burst, in seconds since the soak began. Noise can bring that about
/// too: it tells when something happened, not that it did.
pub fn onset(windows: &[Window], burst: f64, rules: &Rules) -> Option<f64> {
    let below = |w: &Window| w.tok_per_s < rules.onset_share * burst;
    windows
        .windows(rules.onset_windows.max(1))
        .find(|run| run.iter().all(below))
        .map(|run| run[0].start_s)
}

/// Whether the last [`Rules::steady_windows`] windows change by less than [`Rules::steady_change`] over
/// their time, and are enough to know that: both the slope and its standard error lie below it. With
/// white noise of 3 % that is never known, and a soak runs its full time.
pub fn is_steady(windows: &[Window], rules: &Rules) -> bool {
    let n = rules.steady_windows;
    if n < 3 || windows.len() < n {
        return false;
    }
    let tail = &windows[windows.len() - n..];
    let (y, middle) = (rates(tail), 0.5 * (tail[0].mid_s() + tail[n - 1].mid_s()));
    let span = n as f64 * spacing_s(tail, rules);
    let x: Vec<f64> = tail.iter().map(|w| (w.mid_s() - middle) / span).collect();
    let mean_x = x.iter().sum::<f64>() / n as f64;
    let level = y.iter().sum::<f64>() / n as f64;
    let squares: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    if level <= 0.0 || squares <= 0.0 {
        return false;
    }
    let slope = x.iter().zip(&y).map(|(x, y)| (x - mean_x) * (y - level)).sum::<f64>() / squares;
    let left: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y - level - slope * (x - mean_x)).collect();
    let variance = left.iter().map(|r| r * r).sum::<f64>() / (n - 2) as f64;
    let memory = Noise::of(&left).memory();
    let standard_error = (variance * memory / squares).sqrt();
    slope.abs() < rules.steady_change * level && standard_error < rules.steady_change * level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(y: &[f64]) -> Vec<Window> {
        let window = |(i, &tok_per_s): (usize, &f64)| Window {
            start_s: 10.0 * i as f64,
            end_s: 10.0 * (i + 1) as f64,
            tok_per_s,
            n: 3,
        };
        y.iter().enumerate().map(window).collect()
    }

    /// Something that is neither flat nor repeats itself soon.
    fn ripple(i: usize) -> f64 {
        ((i * i * 7 + i * 3) % 11) as f64 / 5.0 - 1.0
    }

    #[test]
    fn the_burst_is_the_median_of_the_first_half_minute() {
        let rules = Rules::default();
        assert_eq!(burst(&of(&[9.0, 11.0, 10.0, 1.0, 1.0]), &rules), Some(10.0));
        assert_eq!(burst(&of(&[8.0]), &rules), Some(8.0));
        assert_eq!(burst(&[], &rules), None);
        // Windows of 25 s: three of them all the same.
        let mut long = of(&[9.0, 11.0, 10.0, 1.0]);
        for (i, window) in long.iter_mut().enumerate() {
            (window.start_s, window.end_s) = (25.0 * i as f64, 25.0 * (i + 1) as f64);
        }
        assert_eq!(burst(&long, &rules), Some(10.0));
    }

    #[test]
    fn the_end_is_a_fifth_of_the_time_and_two_minutes_at_least() {
        let rules = Rules::default();
        assert_eq!(sustained_windows(&of(&[1.0; 120]), &rules), 24);
        assert_eq!(sustained_windows(&of(&[1.0; 30]), &rules), 12);
        assert_eq!(sustained_windows(&of(&[1.0; 5]), &rules), 5);
    }

    #[test]
    fn the_interval_of_the_end_is_that_of_a_median_of_independent_windows() {
        let windows = of(&[50.0; 120]);
        let noise = |wander, phi| Noise { wander, phi, sd: 0.02 };
        let white = sustained(&windows, &noise(0.0, 0.0), &Rules::default()).unwrap();
        // t(0.975, 119) × √(π/2) × 1 ÷ √24.
        let half = 1.980_1 * 1.253_314 / 24f64.sqrt();
        assert!((white.hi - 50.0 - half).abs() < 1e-4 && (50.0 - white.lo - half).abs() < 1e-4);
        let wander = sustained(&windows, &noise(1.0, 0.9), &Rules::default()).unwrap();
        assert!((wander.effective_n - 24.0 / 19.0).abs() < 1e-9);
        assert!(wander.hi - wander.lo > 4.0 * (white.hi - white.lo));
    }

    #[test]
    fn an_onset_is_three_slow_windows_in_a_row() {
        let rules = Rules::default();
        let y = [100.0, 94.0, 94.0, 96.0, 94.0, 94.0, 94.0, 100.0];
        assert_eq!(onset(&of(&y), 100.0, &rules), Some(40.0));
        assert_eq!(onset(&of(&y[..6]), 100.0, &rules), None);
    }

    #[test]
    fn a_soak_is_steady_when_its_last_five_minutes_are() {
        let rules = Rules::default();
        let noisy = |level: &dyn Fn(usize) -> f64, noise: f64| -> Vec<Window> {
            of(&(0..60).map(|i| level(i) * (1.0 + noise * ripple(i))).collect::<Vec<_>>())
        };
        let settled = |i: usize| if i < 30 { 100.0 - i as f64 } else { 70.0 };
        assert!(is_steady(&noisy(&settled, 0.01), &rules));
        assert!(!is_steady(&noisy(&settled, 0.01)[..50], &rules));
        assert!(!is_steady(&noisy(&settled, 0.01)[..29], &rules), "too few windows");
        assert!(!is_steady(&noisy(&|i| 100.0 - 0.1 * i as f64, 0.005), &rules), "3 % in 5 min");
        assert!(!is_steady(&noisy(&|_| 100.0, 0.06), &rules), "nobody can know");
        assert!(is_steady(&of(&[5.0; 30]), &rules));
    }
}
