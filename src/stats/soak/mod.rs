//! What a sustained run says: how fast at first, how fast in the end, when it changed and how.
//!
//! Pure functions over windows of throughput, of one phase at a time. Nothing here knows why a device
//! slowed down: that takes its clocks and flags. `docs/soak-analysis.md` has the formulas, the
//! thresholds and what simulated devices say of both.
//!
//! A slowdown is a claim, and noise with a memory makes claims too: the load of a shared machine
//! wanders by several percent for minutes. So a curve is accepted only if it explains the windows far
//! better than a level that wanders, and everything computed from neighbouring windows counts them as
//! the few independent ones that they are worth.

mod analysis;
mod curve;
mod level;
mod noise;
mod oscillation;
mod temperature;
mod verdict;
mod window;

#[cfg(test)]
mod simulation;

pub use analysis::{Soak, analyse};
pub use curve::Fit;
pub use level::{Sustained, burst, is_steady, onset, sustained};
pub use noise::Noise;
pub use oscillation::Oscillation;
pub use temperature::{Warming, thermal_resistance, warming};
pub use verdict::{Shape, Verdict};
pub use window::{
    Piece, Point, Stability, Window, spacing_s, tokens_until, windows, windows_of_points,
};

/// What is asked of a soak. All times are windows, so that a device that lives in quarters of a second
/// is judged by the same rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Length of a window in seconds.
    pub window_s: f64,
    /// First pieces that do not count: they page in, allocate and compile.
    pub warm_up: usize,
    /// Windows below which nothing is told.
    pub least_windows: usize,
    /// Windows that the burst is the median of, and that a step needs before it.
    pub burst_windows: usize,
    /// Share of a soak's time that is its end.
    pub sustained_share: f64,
    /// Windows that the end has at least.
    pub sustained_windows: usize,
    /// Share of the burst below which windows count as slow.
    pub onset_share: f64,
    /// Slow windows in a row that make an onset.
    pub onset_windows: usize,
    /// Windows of one loop of [`Stability`].
    pub loop_windows: usize,
    /// Windows that [`is_steady`] looks at.
    pub steady_windows: usize,
    /// Change over those windows, as a share, from which on a soak is not steady.
    pub steady_change: f64,
    /// Change up to which a curve is not told from a level, however much evidence it has.
    pub least_drop: f64,
    /// A fall with a time constant of fewer windows is a step.
    pub step_windows: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            window_s: 10.0,
            warm_up: 1,
            least_windows: 15,
            burst_windows: 3,
            sustained_share: 0.2,
            sustained_windows: 12,
            onset_share: 0.95,
            onset_windows: 3,
            loop_windows: 6,
            steady_windows: 30,
            steady_change: 0.01,
            least_drop: 0.03,
            step_windows: 3.0,
        }
    }
}

impl Rules {
    /// The default rules for windows of this length.
    pub fn with_window(window_s: f64) -> Rules {
        Rules { window_s, ..Rules::default() }
    }

    /// How long the end of a soak of `span_s` is, in seconds.
    pub fn sustained_s(&self, span_s: f64) -> f64 {
        let least = self.sustained_windows as f64 * self.window_s;
        (self.sustained_share * span_s).max(least)
    }

    /// The time constant below which a fall is a step, in seconds, of windows that lie `spacing_s`
    /// apart: long iterations still tell one that is half as long again as they are.
    fn step_s(&self, spacing_s: f64) -> f64 {
        (self.step_windows * self.window_s).max(1.5 * spacing_s)
    }
}
