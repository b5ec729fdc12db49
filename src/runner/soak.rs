//! A sustained run as the parent follows it: when it has lasted long enough.

use std::time::Duration;

use crate::record::{Sample, SoakEnd, Work};
use crate::settings::{Soak, SoakUntil};
use crate::stats::soak::{self, Piece, Rules};

/// Of its time a run takes at least this share, however steady it looks: a case warms up for many
/// minutes before anything happens.
const LEAST_SHARE: f64 = 0.5;

/// A temperature that rises by less than this over the windows that are looked at is steady, in
/// degrees.
const STEADY_C: f64 = 1.0;

/// Pieces of decode in a window.
const GRAINS: f64 = 4.0;

/// Follows one sustained run.
pub struct SoakWatch<'a> {
    soak: Soak,
    rules: Rules,
    n_prompt: u32,
    /// The hottest part that computes.
    hottest: &'a dyn Fn() -> Option<f64>,
    /// The beginning of the first pass.
    began_ns: Option<u64>,
    /// The end of the last one.
    ended_ns: u64,
    pieces: [Vec<Piece>; 2],
    /// The hottest part, once in every window; `None` where there is no sensor.
    heat: Vec<Option<f64>>,
    /// Whether the last window that ended found everything steady.
    is_steady: bool,
}

impl<'a> SoakWatch<'a> {
    /// Begins to follow passes of `n_prompt` prompt tokens.
    pub fn new(soak: Soak, n_prompt: u32, hottest: &'a dyn Fn() -> Option<f64>) -> SoakWatch<'a> {
        SoakWatch {
            soak,
            rules: Rules::with_window(soak.window_ms as f64 / 1000.0),
            n_prompt,
            hottest,
            began_ns: None,
            ended_ns: 0,
            pieces: [Vec::new(), Vec::new()],
            heat: Vec::new(),
            is_steady: false,
        }
    }

    /// Takes in a pass. Answers whether it began in time.
    pub fn take(&mut self, sample: &Sample) -> bool {
        let began = *self.began_ns.get_or_insert(sample.start_ns);
        if sample.start_ns.saturating_sub(began) >= self.soak.limit_ns() {
            return false;
        }
        self.ended_ns = sample.end_ns();
        let grain_s = self.rules.window_s / GRAINS;
        for (pieces, work) in self.pieces.iter_mut().zip(Work::ALL) {
            pieces.extend(work.pieces(sample, self.n_prompt, began, grain_s));
            // Only the end is looked at, and twice as much of it as is needed.
            let needed_s = 2.0 * self.rules.steady_windows as f64 * self.rules.window_s;
            let end_s = pieces.last().map_or(0.0, |piece| piece.end_s);
            let old = pieces.partition_point(|piece| piece.end_s < end_s - needed_s);
            if old > pieces.len() / 2 {
                pieces.drain(..old);
            }
        }
        let n_windows = self.lasted_ns() / (self.soak.window_ms * 1_000_000).max(1);
        if n_windows > self.heat.len() as u64 {
            // A pass may be longer than a window.
            self.heat.resize(n_windows as usize, (self.hottest)());
            self.is_steady = self.find_steady();
        }
        true
    }

    /// How long its passes may take in all.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.soak.timeout_s().into())
    }

    /// Why it should end now, if so.
    pub fn end(&self) -> Option<SoakEnd> {
        self.began_ns?;
        if self.lasted_ns() >= self.soak.limit_ns() {
            Some(SoakEnd::Time)
        } else {
            (self.soak.until == SoakUntil::Steady && self.is_steady).then_some(SoakEnd::Steady)
        }
    }

    fn lasted_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.began_ns.unwrap_or(self.ended_ns))
    }

    fn find_steady(&self) -> bool {
        if (self.lasted_ns() as f64) < LEAST_SHARE * self.soak.limit_ns() as f64 {
            return false;
        }
        let speeds_are = self
            .pieces
            .iter()
            .filter(|pieces| !pieces.is_empty())
            .all(|pieces| soak::is_steady(&soak::windows(pieces, &self.rules), &self.rules));
        speeds_are && self.heat_is_steady()
    }

    fn heat_is_steady(&self) -> bool {
        let known: Vec<f64> = self.heat.iter().rev().map_while(|heat| *heat).collect();
        let recent = &known[..known.len().min(self.rules.steady_windows)];
        if recent.is_empty() {
            return true;
        }
        let third = recent.len().div_ceil(3);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // The newest come first.
        mean(&recent[..third]) - mean(&recent[recent.len() - third..]) < STEADY_C
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes of a second, 20 tokens each, until it should end; their speed falls from the second
    /// `falls_at` on for a minute. Answers after how many seconds it ended, and why.
    fn lasts(
        soak: Soak,
        falls_at: u64,
        hottest: &dyn Fn() -> Option<f64>,
    ) -> (u64, Option<SoakEnd>) {
        let mut watch = SoakWatch::new(soak, 0, hottest);
        for second in 0..10_000u64 {
            let falling = second.saturating_sub(falls_at).min(60);
            let itl_ns = vec![50_000_000 + falling * 500_000; 20];
            let sample = Sample { start_ns: second * 1_000_000_000, itl_ns, ..Sample::default() };
            assert!(watch.take(&sample) || watch.end().is_some());
            if let Some(end) = watch.end() {
                return (second + 1, Some(end));
            }
        }
        (0, None)
    }

    const MINUTE: u64 = 60;

    fn soak(until: SoakUntil) -> Soak {
        Soak { until, ..Soak::default() }
    }

    #[test]
    fn a_steady_run_ends_at_half_its_time_and_one_that_is_to_last_does_not() {
        let cold = || None;
        let (at, end) = lasts(soak(SoakUntil::Steady), u64::MAX, &cold);
        assert_eq!((at / MINUTE, end), (10, Some(SoakEnd::Steady)));
        let (at, end) = lasts(soak(SoakUntil::Limit), u64::MAX, &cold);
        assert_eq!((at, end), (20 * MINUTE, Some(SoakEnd::Time)));
    }

    #[test]
    fn a_run_that_has_just_slowed_down_goes_on_until_it_is_steady_again() {
        let (at, end) = lasts(soak(SoakUntil::Steady), 8 * MINUTE, &|| None);
        assert_eq!(end, Some(SoakEnd::Steady));
        assert!((13 * MINUTE..17 * MINUTE).contains(&at), "{at}");
    }

    #[test]
    fn a_run_whose_temperature_still_rises_goes_on() {
        let degrees = std::cell::Cell::new(40.0);
        let warming = || {
            degrees.set(degrees.get() + 0.2);
            Some(degrees.get())
        };
        let (at, end) = lasts(soak(SoakUntil::Steady), u64::MAX, &warming);
        assert_eq!((at, end), (20 * MINUTE, Some(SoakEnd::Time)));
    }

    #[test]
    fn passes_that_begin_after_its_time_are_not_kept() {
        let limit = Soak { limit_ms: 3000, ..Soak::default() };
        let mut watch = SoakWatch::new(limit, 0, &|| None);
        let pass = |second: u64| Sample {
            start_ns: second * 1_000_000_000,
            itl_ns: vec![1_000_000_000],
            ..Sample::default()
        };
        let kept: Vec<bool> = (0..5).map(|second| watch.take(&pass(second))).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!(watch.end(), Some(SoakEnd::Time));
    }
}
