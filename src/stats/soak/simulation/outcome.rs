//! What the analysis said of many runs of one device, against what is true and what is possible.

use statrs::function::erf::erf;

use super::device::{Curve, Device, RATE};
use crate::stats::soak::{Rules, Shape, Soak, Sustained, Verdict, Window, analyse, curve, windows};

/// What many seeds said of one device: how many of them, or how far off they were.
#[derive(Debug, Default)]
pub struct Outcome {
    pub n: usize,
    pub slowdown: usize,
    pub step: usize,
    pub decay: usize,
    pub oscillating: usize,
    pub other: usize,
    pub covered: usize,
    pub onset_off: Vec<f64>,
    pub crossing_off: Vec<f64>,
    pub steady_off: Vec<f64>,
    pub tau_off: Vec<f64>,
    pub period_off: Vec<f64>,
    pub worst_by_best: Vec<f64>,
}

/// A device, once for every seed.
pub fn simulate(device: &Device, seeds: usize) -> Outcome {
    let rules = Rules::with_window(device.window_s);
    let analysed = |seed: usize| {
        let windows = windows(&device.run(seed as u64), &rules);
        let end = device.true_end(&windows, &rules);
        (analyse(&windows, &rules).expect("a soak has windows"), end)
    };
    let (even, odd): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| (1..seeds).step_by(2).map(analysed).collect());
        ((0..seeds).step_by(2).map(analysed).collect(), odd.join().expect("no panic"))
    });
    let mut outcome = Outcome { n: seeds, ..Outcome::default() };
    for (soak, end) in even.iter().chain(&odd) {
        outcome.count(device, soak, *end);
    }
    outcome
}

impl Outcome {
    fn count(&mut self, device: &Device, soak: &Soak, end: f64) {
        match soak.verdict {
            Verdict::Slowdown(shape) => {
                self.slowdown += 1;
                self.step += usize::from(shape == Shape::Step);
                self.decay += usize::from(matches!(shape, Shape::Decay { .. }));
            }
            Verdict::Oscillating(_) => self.oscillating += 1,
            Verdict::Faster | Verdict::Passing => self.other += 1,
            Verdict::Steady | Verdict::TooShort => {}
        }
        let Sustained { lo, hi, .. } = soak.sustained;
        self.covered += usize::from(lo <= end && end <= hi);
        self.worst_by_best.extend(soak.stability.map(|s| s.worst_by_best));
        if let Some(truth) = device.true_crossing(0.95) {
            self.crossing_off.push(soak.onset_s.map_or(f64::INFINITY, |t| (t - truth).abs()));
        }
        match device.curve {
            Curve::Flat => {}
            Curve::Fall { drop, t_on, tau } => {
                let onset = soak.accepted_fit().map(|fit| (fit.t_on_s - t_on).abs());
                self.onset_off.push(onset.unwrap_or(f64::INFINITY));
                self.steady_off.push((soak.steady_rate() / (RATE * (1.0 - drop)) - 1.0).abs());
                if tau > 0.0 {
                    self.tau_off.push(match soak.verdict {
                        Verdict::Slowdown(Shape::Decay { tau_s }) => (tau_s / tau - 1.0).abs(),
                        _ => f64::INFINITY,
                    });
                }
            }
            Curve::Switching { period, .. } => {
                self.steady_off.push((soak.steady_rate() / end - 1.0).abs());
                if let Verdict::Oscillating(line) = soak.verdict {
                    self.period_off.push((line.period_s / period - 1.0).abs());
                }
            }
        }
    }

    pub fn found(&self) -> f64 {
        (self.slowdown + self.oscillating) as f64 / self.n as f64
    }

    /// The share that was called what the device is.
    pub fn named(&self, curve: Curve) -> f64 {
        let count = match curve {
            Curve::Flat => self.n - self.slowdown - self.oscillating - self.other,
            Curve::Fall { tau: 0.0, .. } => self.step,
            Curve::Fall { .. } => self.decay,
            Curve::Switching { .. } => self.oscillating,
        };
        count as f64 / self.n as f64
    }
}

/// The share of errors up to a limit.
pub fn within(errors: &[f64], limit: f64) -> Option<f64> {
    let inside = errors.iter().filter(|e| **e <= limit).count();
    (!errors.is_empty()).then(|| inside as f64 / errors.len() as f64)
}

/// The shares of onsets within two windows and of time constants within a quarter that an unbiased
/// estimate with the least possible variance gives: Cramér and Rao, for white noise and a curve that
/// is no step.
pub fn bounds(device: &Device) -> Option<(f64, f64)> {
    let Curve::Fall { drop, t_on, tau } = device.curve else { return None };
    if tau == 0.0 || device.around.wander > 0.0 {
        return None;
    }
    let truth = [1.0, 1.0 - drop, t_on, tau];
    let steps = [1e-4, 1e-4, 0.05 * device.window_s, 0.01 * tau];
    let width = device.window_s.max(0.5 * (device.iteration_s.0 + device.iteration_s.1));
    let n = (device.seconds / width) as usize;
    let mut information = [[0.0; 4]; 4];
    for i in 0..n {
        let (start_s, end_s) = (i as f64 * width, (i + 1) as f64 * width);
        let window = Window { start_s, end_s, tok_per_s: 1.0, n: 1 };
        let at = |p: [f64; 4]| p[1] + (p[0] - p[1]) * curve::shapes(&[window], p[2], p[3])[0];
        let slope = |k: usize| {
            let (mut above, mut below) = (truth, truth);
            above[k] += steps[k];
            below[k] -= steps[k];
            (at(above) - at(below)) / (2.0 * steps[k])
        };
        let slopes = [slope(0), slope(1), slope(2), slope(3)];
        for (row, a) in information.iter_mut().zip(slopes) {
            for (cell, b) in row.iter_mut().zip(slopes) {
                *cell += a * b / (device.around.white * at(truth)).powi(2);
            }
        }
    }
    let sd = |k: usize| variance(information, k).sqrt();
    let within = |limit: f64, sd: f64| erf(limit / sd / std::f64::consts::SQRT_2);
    Some((within(2.0 * device.window_s, sd(2)), within(0.25 * tau, sd(3))))
}

/// The `k`-th diagonal element of a matrix's inverse, by elimination.
fn variance(mut matrix: [[f64; 4]; 4], k: usize) -> f64 {
    let mut right = [0.0; 4];
    right[k] = 1.0;
    for column in 0..4 {
        let pivot = matrix[column];
        for row in (0..4).filter(|row| *row != column) {
            let factor = matrix[row][column] / pivot[column];
            for (cell, p) in matrix[row].iter_mut().zip(pivot) {
                *cell -= factor * p;
            }
            right[row] -= factor * right[column];
        }
    }
    right[k] / matrix[k][k]
}
