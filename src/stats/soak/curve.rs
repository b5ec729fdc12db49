//! The slowdown as a curve: a level until an onset, then an exponential towards another level.
//!
//! y(t) = y₀ before t_on, y∞ + (y₀ − y∞)·e^(−(t − t_on)/τ) after it: what a clock does that follows
//! the temperature of a body of one heat capacity. τ = 0 is a step. For a given (t_on, τ) the curve is
//! a straight combination of two known series, so y₀ and y∞ come from least squares and only a plane
//! is searched. A window shows the mean of the curve over its time, so that an onset inside a window
//! can be told from one at its edge.

use super::noise::{self, Line, Series};
use super::window::{Lasts, Mean, rates, spacing_of};
use super::{Rules, Window};

/// The curve that fits best, however well it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Throughput before the onset, in tok/s.
    pub y0: f64,
    /// Throughput that the curve tends to, in tok/s.
    pub y_inf: f64,
    /// When the curve leaves `y0`, in seconds since the soak began.
    pub t_on_s: f64,
    /// Time constant in seconds; zero for a step.
    pub tau_s: f64,
    /// The 95 % interval of the time constant in seconds, within what was searched: 0 to the length
    /// of the soak.
    pub tau_interval_s: (f64, f64),
    /// What is lost from the level before the onset to the curve's last window, as a share; below
    /// zero for a rise.
    pub drop: f64,
    /// Twice the logarithm of how much likelier the windows are around this curve than around a
    /// level, each with the wander that suits it best.
    pub evidence: f64,
    /// The evidence that a curve must have, given the noise that it leaves.
    pub bar: f64,
    /// Whether the evidence is above the bar and the change above [`Rules::least_drop`].
    pub accepted: bool,
}

impl Fit {
    /// The mean of the curve over a window.
    pub fn at(&self, window: &Window) -> f64 {
        self.y_inf
            + (self.y0 - self.y_inf)
                * shapes(std::slice::from_ref(window), self.t_on_s, self.tau_s)[0]
    }
}

/// Windows that are needed after an onset.
const AFTER_ONSET: usize = 6;

/// Evidence that a curve must have over a level where what it leaves is white; what is added where all
/// of it wanders without end; and what is added for a rise. The more wanders, the more often a wander
/// looks like a curve. The figures come from flat series, of which they let through less than 1 %.
const WHITE_BAR: f64 = 9.5;
const WANDER_BAR: f64 = 18.0;
const RISE_BAR: f64 = 6.0;

/// What a curve has: y₀, y∞, t_on, τ, and the wander's share and correlation.
const PARAMETERS: f64 = 6.0;

/// Half the 95 % quantile of χ² with one degree of freedom.
const HALF_CHI2_95: f64 = 1.920_729;

/// The best curve. `None` where windows are too few for an onset with something on either side.
pub(super) fn fit(windows: &[Window], rules: &Rules) -> Option<Fit> {
    if windows.len() < rules.least_windows.max(rules.burst_windows + AFTER_ONSET + 1) {
        return None;
    }
    let search = Search::new(windows, rates(windows), rules);
    let best = search.best();
    let Judged { y0, y_inf, last, evidence, bar } = search.judge(&best);
    let drop = 1.0 - last / y0;
    // Nothing that a soak looks for makes a device faster, so a rise wants more.
    let bar = if drop < 0.0 { bar + RISE_BAR } else { bar };
    Some(Fit {
        y0,
        y_inf,
        t_on_s: best.t_on,
        tau_s: best.tau,
        tau_interval_s: search.tau_interval(&best),
        drop,
        evidence,
        bar,
        accepted: evidence > bar && drop.abs() > rules.least_drop && y0 > 0.0,
    })
}

/// A point of the searched plane, and the fit there.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    t_on: f64,
    pub tau: f64,
    line: Line,
}

/// A curve held against a level.
pub(super) struct Judged {
    pub y0: f64,
    pub y_inf: f64,
    /// The curve in the last window.
    pub last: f64,
    pub evidence: f64,
    pub bar: f64,
}

/// The plane of onsets and time constants over some windows, each with a value.
pub(super) struct Search<'a, T> {
    windows: &'a [T],
    series: Series,
    rules: &'a Rules,
    spacing_s: f64,
    /// The onset is the start of the windows.
    from_the_start: bool,
}

/// Windows above which the first search is done on windows merged to so few: it costs the square of
/// their number.
const SEARCHED: usize = 500;

impl<'a, T: Lasts> Search<'a, T> {
    pub fn new(windows: &'a [T], values: Vec<f64>, rules: &'a Rules) -> Search<'a, T> {
        Search {
            windows,
            series: Series::new(values),
            rules,
            spacing_s: spacing_of(windows, rules),
            from_the_start: false,
        }
    }

    /// Only curves that begin where the windows do.
    pub fn starting_at_once(self) -> Search<'a, T> {
        Search { from_the_start: true, ..self }
    }

    /// The evidence of a curve over a level, and the bar for it.
    pub fn judge(&self, best: &Candidate) -> Judged {
        let shapes = shapes(self.windows, best.t_on, best.tau);
        let level = noise::likelihood(&self.series.y, None);
        let curve = noise::likelihood(&self.series.y, Some(&shapes));
        let (y0, y_inf) = (best.line.a + best.line.b, best.line.a);
        Judged {
            y0,
            y_inf,
            last: y_inf + best.line.b * shapes[shapes.len() - 1],
            // Bartlett's correction for as many parameters: short series find more by chance.
            evidence: 2.0
                * (curve.log - level.log)
                * (1.0 - PARAMETERS / self.series.y.len() as f64),
            bar: WHITE_BAR + WANDER_BAR * curve.phi * curve.wander.sqrt(),
        }
    }

    /// The longest time constant that is searched: one that bends within the soak.
    pub fn longest_tau(&self) -> f64 {
        span_s(self.windows)
    }

    /// A grid over the plane, then eight ever finer ones around the best point. The grid has every
    /// window's start, and every other one for slow curves, which change so little from one to the next.
    pub fn best(&self) -> Candidate {
        let mut best = self.at(self.windows[0].start_s(), self.longest_tau());
        if self.windows.len() > SEARCHED {
            let near = self.onset_among_merged(best);
            let reach = 1.5 * self.n_merged() as f64 * self.spacing_s;
            for tau in self.taus() {
                let stride = 1 + (tau / (4.0 * self.spacing_s)) as usize;
                let around = self.windows.iter().filter(|w| (w.start_s() - near).abs() <= reach);
                for window in around.step_by(stride) {
                    self.improve(&mut best, window.start_s(), tau);
                }
            }
        } else {
            for tau in self.taus() {
                for window in self.windows.iter().step_by(self.stride(tau)) {
                    self.improve(&mut best, window.start_s(), tau);
                }
            }
        }
        const FINER: f64 = 0.6;
        let (mut by_t, mut by_tau) = (self.n_merged() as f64 * self.spacing_s, 1.35f64);
        let n_more = ((self.n_merged() as f64).ln() / -FINER.ln()).ceil() as usize;
        for _ in 0..8 + n_more {
            let centre = best;
            for t in [-1.0, -0.5, 0.0, 0.5, 1.0] {
                for tau in [-1.0, -0.5, 0.0, 0.5, 1.0] {
                    let t_on = centre.t_on + t * by_t;
                    self.improve(&mut best, t_on, centre.tau * by_tau.powf(tau));
                }
            }
            (by_t, by_tau) = (FINER * by_t, by_tau.powf(FINER));
        }
        best
    }

    fn stride(&self, tau: f64) -> usize {
        if tau < self.step_s() { 1 } else { 2 }
    }

    fn step_s(&self) -> f64 {
        self.rules.step_s(self.spacing_s)
    }

    /// How many windows are one where there are too many for a full search.
    fn n_merged(&self) -> usize {
        self.windows.len().div_ceil(SEARCHED)
    }

    /// The onset that suits merged windows best, of those that these windows allow.
    fn onset_among_merged(&self, begin: Candidate) -> f64 {
        let n = self.n_merged();
        let pairs = self.windows.chunks(n).zip(self.series.y.chunks(n));
        let merged: Vec<Mean> = pairs.map(|(windows, values)| merged(windows, values)).collect();
        let values = merged.iter().map(|mean| mean.value).collect();
        let coarse = Search::new(&merged, values, self.rules);
        let mut best = coarse.at(begin.t_on, begin.tau);
        for tau in self.taus() {
            let onsets = merged.iter().step_by(coarse.stride(tau)).map(|window| window.start_s);
            for t_on in onsets.filter(|t_on| self.allows(*t_on, tau)) {
                let next = coarse.at(t_on, tau);
                if next.line.log > best.line.log {
                    best = next;
                }
            }
        }
        best.t_on
    }

    fn improve(&self, best: &mut Candidate, t_on: f64, tau: f64) {
        if self.allows(t_on, tau) {
            let next = self.at(t_on, tau);
            if next.line.log > best.line.log {
                *best = next;
            }
        }
    }

    fn at(&self, t_on: f64, tau: f64) -> Candidate {
        Candidate { t_on, tau, line: self.series.line(&shapes(self.windows, t_on, tau)) }
    }

    /// A fast fall wants windows before it that hold the level it falls from; a slow one may begin
    /// at once.
    fn allows(&self, t_on: f64, tau: f64) -> bool {
        if self.from_the_start {
            return t_on == self.windows[0].start_s() && tau > 0.0 && tau <= self.longest_tau();
        }
        let before = if tau < self.step_s() { self.rules.burst_windows } else { 0 };
        let last = self.windows.len() - AFTER_ONSET;
        self.windows[before].start_s() <= t_on
            && t_on <= self.windows[last].start_s()
            && tau <= self.longest_tau()
    }

    /// Zero, then from half a window to the length of the soak by factors of 1.5.
    fn taus(&self) -> impl Iterator<Item = f64> {
        let longest = self.longest_tau();
        let rising = std::iter::successors(Some(0.5 * self.spacing_s), |tau| Some(tau * 1.5));
        std::iter::once(0.0).chain(rising.take_while(move |tau| *tau <= longest))
    }

    /// Time constants that are nearly as likely as the best one, the onset following them.
    pub fn tau_interval(&self, best: &Candidate) -> (f64, f64) {
        let floor = 0.25 * self.spacing_s;
        let longest = self.longest_tau();
        let likely = |tau: f64, near: f64| {
            let onsets = (-6..=6).map(|i| near + 0.7 * self.spacing_s * f64::from(i));
            let fits = onsets.filter(|t| self.allows(*t, tau)).map(|t| self.at(t, tau));
            fits.reduce(|a, b| if b.line.log > a.line.log { b } else { a })
                .filter(|fit| fit.line.log >= best.line.log - HALF_CHI2_95)
        };
        let walk = |factor: f64, end: f64| {
            let (mut tau, mut t_on) = (best.tau.max(floor), best.t_on);
            while (tau * factor - end) * (factor - 1.0) < 0.0 {
                let Some(fit) = likely(tau * factor, t_on) else { return tau };
                (tau, t_on) = (fit.tau, fit.t_on);
            }
            end
        };
        let shortest = if best.tau <= floor { 0.0 } else { walk(1.0 / 1.15, floor) };
        (if shortest <= floor { 0.0 } else { shortest }, walk(1.15, longest))
    }
}

/// Neighbouring windows as one.
fn merged<T: Lasts>(windows: &[T], values: &[f64]) -> Mean {
    let length = |w: &T| w.end_s() - w.start_s();
    let all: f64 = windows.iter().map(length).sum();
    Mean {
        start_s: windows[0].start_s(),
        end_s: windows[windows.len() - 1].end_s(),
        value: windows.iter().zip(values).map(|(w, value)| value * length(w)).sum::<f64>() / all,
        n: windows.len(),
    }
}

/// From the start of the first window to the end of the last one.
pub(super) fn span_s<T: Lasts>(windows: &[T]) -> f64 {
    windows[windows.len() - 1].end_s() - windows[0].start_s()
}

/// The mean over each window of what is 1 before the onset and e^(−(t − t_on)/τ) after it.
pub(super) fn shapes<T: Lasts>(windows: &[T], t_on: f64, tau: f64) -> Vec<f64> {
    let rate = if tau > 0.0 { 1.0 / tau } else { 0.0 };
    // Mostly a window begins where the one before it ended.
    let (mut last_t, mut last_left) = (t_on, 1.0);
    let one = |window: &T| {
        let (start, end) = (window.start_s(), window.end_s());
        if end <= t_on {
            return 1.0;
        }
        if tau <= 0.0 {
            return (t_on - start).max(0.0) / (end - start);
        }
        let from = start.max(t_on);
        let left = if from == last_t { last_left } else { ((t_on - from) * rate).exp() };
        (last_t, last_left) = (end, ((t_on - end) * rate).exp());
        ((t_on - start).max(0.0) + tau * (left - last_left)) / (end - start)
    };
    windows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(n: usize, y: impl Fn(&Window) -> f64) -> Vec<Window> {
        let window = |i: usize| {
            let (start_s, end_s) = (10.0 * i as f64, 10.0 * (i + 1) as f64);
            let blank = Window { start_s, end_s, tok_per_s: 0.0, n: 3 };
            Window { tok_per_s: y(&blank), ..blank }
        };
        (0..n).map(window).collect()
    }

    #[test]
    fn the_mean_over_a_window_is_that_of_many_small_ones() {
        let whole = Window { start_s: 20.0, end_s: 32.0, tok_per_s: 1.0, n: 1 };
        let parts: Vec<Window> = (0..1200)
            .map(|i| {
                let start_s = 20.0 + 0.01 * f64::from(i);
                Window { start_s, end_s: start_s + 0.01, ..whole }
            })
            .collect();
        for (t_on, tau) in [(25.0, 7.0), (3.0, 40.0), (25.004, 0.0), (31.0, 0.5), (40.0, 9.0)] {
            let mean = shapes(&parts, t_on, tau).iter().sum::<f64>() / 1200.0;
            assert!((mean - shapes(&[whole], t_on, tau)[0]).abs() < 1e-9, "{t_on} {tau}");
        }
    }

    #[test]
    fn without_noise_the_curve_is_found_as_it_is() {
        for (t_on, tau) in [(123.0, 77.0), (301.0, 35.0), (60.0, 250.0)] {
            let decay = windows(120, |w| 60.0 + 40.0 * shapes(&[*w], t_on, tau)[0]);
            let fit = fit(&decay, &Rules::default()).unwrap();
            assert!(fit.accepted);
            assert!((fit.t_on_s - t_on).abs() < 1.5, "{fit:?}");
            assert!((fit.tau_s / tau - 1.0).abs() < 0.02, "{fit:?}");
            assert!((fit.y_inf - 60.0).abs() < 0.2 && (fit.y0 - 100.0).abs() < 0.2, "{fit:?}");
        }
    }

    #[test]
    fn an_onset_within_a_window_is_found_within_it() {
        for t_on in [200.0, 204.0, 207.0] {
            let step = windows(60, |w| 50.0 + 50.0 * shapes(&[*w], t_on, 0.0)[0]);
            let fit = fit(&step, &Rules::default()).unwrap();
            assert!((fit.t_on_s - t_on).abs() < 5.0 && fit.tau_s < 5.0, "{fit:?}");
        }
    }

    #[test]
    fn a_curve_over_thousands_of_windows_is_found_as_well() {
        for (t_on, tau) in [(123.0, 77.0), (30_010.0, 2_000.0), (12_345.0, 0.0)] {
            let curve = windows(5000, |w| 60.0 + 40.0 * shapes(&[*w], t_on, tau)[0]);
            let fit = fit(&curve, &Rules::default()).unwrap();
            assert!(fit.accepted && (fit.t_on_s - t_on).abs() < 6.0, "{fit:?}");
            assert!((fit.tau_s - tau).abs() < 0.02 * tau + 6.0, "{fit:?}");
        }
    }

    #[test]
    fn what_happens_in_the_last_minute_is_not_judged() {
        let late = windows(60, |w| if w.start_s < 570.0 { 100.0 } else { 50.0 });
        assert!(fit(&late, &Rules::default()).unwrap().t_on_s < 550.0);
        assert_eq!(fit(&late[..14], &Rules::default()), None);
    }
}
