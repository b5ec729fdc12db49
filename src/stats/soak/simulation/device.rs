//! A device that slows down as it is told to, in virtual time.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::stats::soak::{Piece, Rules, Window, level::sustained_windows, window::mean};

/// The rate of a device without noise, 1 at first.
#[derive(Clone, Copy, Debug)]
pub enum Curve {
    Flat,
    /// From `t_on`, exponential with `tau` towards 1 − `drop`; a step where `tau` is zero.
    Fall {
        drop: f64,
        t_on: f64,
        tau: f64,
    },
    /// From `t_on`, to and fro between 1 and 1 − `drop`, half periods off by up to a tenth.
    Switching {
        drop: f64,
        t_on: f64,
        period: f64,
    },
}

impl Curve {
    fn at(self, t: f64, switches: &[f64]) -> f64 {
        match self {
            Curve::Flat => 1.0,
            Curve::Fall { t_on, .. } if t < t_on => 1.0,
            Curve::Fall { drop, tau: 0.0, .. } => 1.0 - drop,
            Curve::Fall { drop, t_on, tau } => 1.0 - drop + drop * (-(t - t_on) / tau).exp(),
            Curve::Switching { drop, .. } => {
                let passed = switches.partition_point(|&at| at <= t);
                1.0 - if passed % 2 == 1 { drop } else { 0.0 }
            }
        }
    }
}

/// Relative noise of a window: white, and a wander with this correlation from window to window.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    pub white: f64,
    pub wander: f64,
    pub phi: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Device {
    pub curve: Curve,
    pub around: Around,
    pub seconds: f64,
    /// How long iterations take at the first rate, from and to.
    pub iteration_s: (f64, f64),
    pub window_s: f64,
}

pub const RATE: f64 = 100.0;

struct Dice(Xoshiro256PlusPlus);

impl Dice {
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

impl Device {
    pub fn run(&self, seed: u64) -> Vec<Piece> {
        let mut dice = Dice(Xoshiro256PlusPlus::seed_from_u64(seed));
        let Around { white, wander, phi } = self.around;
        let steps = (self.seconds / self.window_s) as usize + 40;
        let mut drift = vec![wander * dice.normal()];
        for i in 0..steps {
            drift.push(phi * drift[i] + wander * (1.0 - phi * phi).sqrt() * dice.normal());
        }
        let mut switches = Vec::new();
        if let Curve::Switching { t_on, period, .. } = self.curve {
            let mut t = t_on;
            while t < self.seconds {
                switches.push(t);
                t += 0.5 * period * (0.9 + 0.2 * dice.uniform());
            }
        }
        let mut pieces = Vec::new();
        let mut now = 0.0;
        while now < self.seconds {
            let (from, to) = self.iteration_s;
            let planned = from + (to - from) * dice.uniform();
            // Iterations are so noisy that a window of them has this white noise.
            let per_window = (self.window_s / planned).max(1.0);
            let luck = (1.0 + white * per_window.sqrt() * dice.normal()).max(0.1);
            let tokens = (planned * RATE).round().max(1.0);
            let (start, mut left) = (now, tokens);
            while left > 0.0 {
                let drifted = 1.0 + drift[((now / self.window_s) as usize).min(steps)];
                let rate = RATE * luck * drifted.max(0.1) * self.curve.at(now, &switches);
                let step = (0.05 * self.window_s).min(left / rate);
                left -= rate * step;
                now += step;
                if left < 1e-6 * tokens {
                    break;
                }
            }
            pieces.push(Piece { end_s: now, duration_s: now - start, tokens });
        }
        pieces
    }

    /// The mean of the true curve over the windows of the end.
    pub fn true_end(&self, windows: &[Window], rules: &Rules) -> f64 {
        let n = sustained_windows(windows, rules);
        let tail = &windows[windows.len() - n..];
        match self.curve {
            Curve::Flat => RATE,
            Curve::Fall { .. } => {
                let y: Vec<f64> =
                    tail.iter().map(|w| RATE * self.curve.at(w.mid_s(), &[])).collect();
                mean(&y)
            }
            Curve::Switching { drop, .. } => RATE * (1.0 - 0.5 * drop),
        }
    }

    /// When the true curve goes below this share of the first rate.
    pub fn true_crossing(&self, share: f64) -> Option<f64> {
        match self.curve {
            Curve::Flat => None,
            Curve::Fall { drop, .. } | Curve::Switching { drop, .. } if drop <= 1.0 - share => None,
            Curve::Fall { drop, t_on, tau } => {
                Some(t_on + tau * (drop / (drop - (1.0 - share))).ln())
            }
            Curve::Switching { t_on, .. } => Some(t_on),
        }
    }
}
