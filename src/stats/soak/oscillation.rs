//! A governor that switches to and fro: found as a line in the spectrum of what a curve leaves.
//!
//! The periodogram is divided by the spectrum of the noise that suits the series best, wander and
//! white, so that a wander's low frequencies make no line. A governor keeps no time, so a line is five
//! neighbouring frequencies wide.

use std::f64::consts::TAU;

use super::noise;
use super::window::{mean, rates};
use super::{Window, curve::span_s};
use crate::stats::median;

/// A regular to and fro.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oscillation {
    /// Time from one maximum to the next, in seconds.
    pub period_s: f64,
    /// Amplitude of the sine that fits best, relative to the level: half the distance from its
    /// lowest to its highest. Of a switching between two levels it is 4/π of half their distance.
    pub amplitude: f64,
    /// Mean throughput of the windows in which it was found, in tok/s.
    pub level: f64,
    /// The share of what the curve leaves that lies in the line.
    pub share: f64,
}

/// Frequencies on either side that belong to a line.
const HALF_LINE: usize = 2;

/// What a line must have: this many times the mean power of one frequency of the noise (chance gives
/// 25 to one series in a thousand), this share of what the curve leaves, and this amplitude.
const STRENGTH: f64 = 40.0;
const SHARE: f64 = 0.5;
const AMPLITUDE: f64 = 0.02;

/// Windows below which no line is looked for.
const LEAST_WINDOWS: usize = 18;

/// The strongest line in residuals relative to their level, if it is one: above the noise, in at least
/// four periods, and large enough to be what the device does rather than a trifle beside its noise.
pub(super) fn find(windows: &[Window], residuals: &[f64]) -> Option<Oscillation> {
    let n = residuals.len();
    if n < LEAST_WINDOWS {
        return None;
    }
    let centre = mean(residuals);
    let r: Vec<f64> = residuals.iter().map(|r| r - centre).collect();
    let variance = mean(&r.iter().map(|r| r * r).collect::<Vec<_>>());
    if variance < 1e-18 {
        return None;
    }
    let noise = noise::likelihood(&r, None);
    let power: Vec<f64> = powers(windows, &r);
    let whitened: Vec<f64> = power
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let cos = (TAU * (i + 1) as f64 / n as f64).cos();
            let (wander, phi) = (noise.wander, noise.phi);
            let colour =
                1.0 - wander + wander * (1.0 - phi * phi) / (1.0 - 2.0 * phi * cos + phi * phi);
            p / colour
        })
        .collect();
    // Powers of noise are exponentially distributed: their mean is their median ÷ ln 2, and the
    // median does not see a line.
    let background = median(&whitened)? / std::f64::consts::LN_2;
    let line = |i: usize| i.saturating_sub(HALF_LINE)..(i + HALF_LINE + 1).min(power.len());
    // At least four periods, and three windows in each.
    let (first, last) = (3, (n / 3).min(power.len()));
    let at = (first..last).max_by(|&a, &b| {
        let sum = |i| whitened[line(i)].iter().sum::<f64>();
        sum(a).total_cmp(&sum(b))
    })?;
    let strength = whitened[line(at)].iter().sum::<f64>() / background;
    let inside: f64 = power[line(at)].iter().sum();
    let share = inside / variance;
    let amplitude = (2.0 * inside).sqrt();
    let centroid = line(at).map(|i| (i + 1) as f64 * power[i]).sum::<f64>() / inside;
    let told = strength > STRENGTH && share > SHARE && amplitude > AMPLITUDE;
    // The edge of a line may reach into frequencies that are asked for while its middle does not.
    (told && centroid > 3.5).then(|| Oscillation {
        period_s: span_s(windows) / centroid,
        amplitude,
        level: mean(&rates(windows)),
        share,
    })
}

/// The variance that a sine of one, two, … n/2 periods over all windows takes. From one number of
/// periods to the next every window's pointer turns by its own angle, so that thousands of windows cost
/// no sines.
fn powers(windows: &[Window], r: &[f64]) -> Vec<f64> {
    let (start, span, n) = (windows[0].start_s, span_s(windows), r.len());
    let turn: Vec<(f64, f64)> =
        windows.iter().map(|w| (TAU * (w.mid_s() - start) / span).sin_cos()).collect();
    let mut pointer: Vec<(f64, f64)> = r.iter().map(|r| (0.0, *r)).collect();
    let power = |_| {
        let (mut re, mut im) = (0.0, 0.0);
        for ((y, x), (sin, cos)) in pointer.iter_mut().zip(&turn) {
            (*y, *x) = (*y * cos + *x * sin, *x * cos - *y * sin);
            (re, im) = (re + *x, im + *y);
        }
        2.0 * (re * re + im * im) / (n as f64).powi(2)
    };
    (1..=n / 2).map(power).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(y: impl Fn(usize) -> f64) -> Vec<Window> {
        let window = |i: usize| Window {
            start_s: 10.0 * i as f64,
            end_s: 10.0 * (i + 1) as f64,
            tok_per_s: 100.0 * (1.0 + y(i)),
            n: 3,
        };
        (0..120).map(window).collect()
    }

    fn found(y: impl Fn(usize) -> f64) -> Option<Oscillation> {
        let windows = windows(y);
        let residuals: Vec<f64> = windows.iter().map(|w| w.tok_per_s / 100.0 - 1.0).collect();
        find(&windows, &residuals)
    }

    /// Something that is neither flat nor repeats itself soon.
    fn ripple(i: usize) -> f64 {
        ((i * i * i * 7 + i * 3) % 101) as f64 / 50.0 - 1.0
    }

    #[test]
    fn a_sine_has_its_period_and_amplitude() {
        let sine = |i: usize| 0.08 * (TAU * i as f64 / 7.3).sin();
        let line = found(|i| sine(i) + 0.01 * ripple(i)).unwrap();
        assert!((line.period_s / 73.0 - 1.0).abs() < 0.03, "{line:?}");
        assert!((line.amplitude / 0.08 - 1.0).abs() < 0.1, "{line:?}");
        assert!(line.share > 0.9 && (line.level - 100.0).abs() < 1.0, "{line:?}");
    }

    #[test]
    fn a_trifle_and_fewer_than_four_periods_are_no_oscillation() {
        assert_eq!(found(|_| 0.0), None);
        assert_eq!(found(|i| 0.05 * ripple(i)), None);
        assert_eq!(found(|i| 0.01 * (TAU * i as f64 / 8.0).sin()), None);
        assert_eq!(found(|i| 0.1 * (TAU * i as f64 / 60.0).sin() + 0.01 * ripple(i)), None);
    }
}
