//! What is said of a soak in a word or two.

use super::Rules;
use super::curve::{self, Fit};
use super::noise::Noise;
use super::oscillation::Oscillation;
use super::window::{Window, spacing_s};
use crate::stats::median;

/// What became of the throughput.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Too few windows to tell anything.
    TooShort,
    /// No slowdown was seen in this time, which is not to say that the device never slows down.
    Steady,
    /// Slower than at first.
    Slowdown(Shape),
    /// It went to and fro; its level may have dropped too.
    Oscillating(Oscillation),
    /// Faster than at first: a cold start, or other load that ended.
    Faster,
    /// It changed for certain, but first and last rate agree: the change came and went, or came too
    /// late to show.
    Passing,
}

/// How a device got slower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// An exponential with this time constant.
    Decay {
        /// Time constant in seconds.
        tau_s: f64,
    },
    /// At once, or too fast for windows of this length to show a time constant.
    Step,
    /// Found, but the windows do not determine a time constant.
    Unshaped,
}

/// Upper end ÷ lower end of a time constant's interval up to which the constant is told.
const WIDEST_TAU: f64 = 2.5;

/// How many standard deviations of the wander that a curve leaves its drop has to be, for its form to
/// be told: a slowdown in two steps leaves more.
const CLEAR_OF_WANDER: f64 = 4.0;

impl Verdict {
    /// What an accepted curve means, beside the burst and the sustained rate.
    pub(super) fn of_curve(
        fit: &Fit,
        (burst, sustained): (f64, f64),
        left: &Noise,
        windows: &[Window],
        rules: &Rules,
    ) -> Verdict {
        // Half of the change, or what chance makes of a median of three windows.
        let change = (fit.drop * fit.y0).abs();
        let off = (0.5 * change).max(3.0 * jitter(windows));
        let end = fit.y0 * (1.0 - fit.drop);
        let one_way = (burst - fit.y0).abs() < off && (sustained - end).abs() < off;
        let drop = 1.0 - sustained / burst;
        if one_way && fit.drop > 0.0 {
            let step_s = rules.step_s(spacing_s(windows, rules));
            Verdict::Slowdown(shape(fit, left, curve::span_s(windows), step_s))
        } else if one_way || drop < -rules.least_drop {
            Verdict::Faster
        } else if drop > rules.least_drop {
            Verdict::Slowdown(Shape::Unshaped)
        } else {
            Verdict::Passing
        }
    }
}

/// The standard deviation of what changes from one window to the next, which neither a change of level
/// nor a wander enlarges by much.
fn jitter(windows: &[Window]) -> f64 {
    let change = |pair: &[Window]| (pair[1].tok_per_s - pair[0].tok_per_s).abs();
    let changes: Vec<f64> = windows.windows(2).map(change).collect();
    // A normal deviation's median is 0.6745 of its standard deviation; a difference has two.
    median(&changes).unwrap_or(0.0) / (0.674_49 * std::f64::consts::SQRT_2)
}

fn shape(fit: &Fit, left: &Noise, span_s: f64, step_s: f64) -> Shape {
    let (shortest, longest) = fit.tau_interval_s;
    if fit.drop < CLEAR_OF_WANDER * left.sd * left.wander.sqrt() * left.phi {
        Shape::Unshaped
    } else if fit.tau_s < step_s && longest < 1.5 * step_s {
        // The interval of what is a step may reach somewhat above the limit.
        Shape::Step
    } else if fit.tau_s >= step_s && longest < WIDEST_TAU * shortest && longest < span_s {
        Shape::Decay { tau_s: fit.tau_s }
    } else {
        Shape::Unshaped
    }
}
