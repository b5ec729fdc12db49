//! Windows: what is computed from work pieces before anything else is asked of a soak.
//!
//! A window's figure is tokens ÷ time busy with them, so pauses and the other phase, which has the
//! machine in between, do not count.

use crate::stats::{median, quantile};

use super::Rules;

/// One piece of work of one phase: an iteration of the soak, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// When it ended, in seconds since the soak began.
    pub end_s: f64,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// Tokens that were computed in it.
    pub tokens: f64,
}

/// A throughput that somebody else computed, at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the soak began.
    pub time_s: f64,
    /// Tokens per second.
    pub tok_per_s: f64,
}

/// Throughput over a short stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Start of its first piece, in seconds since the soak began.
    pub start_s: f64,
    /// End of its last piece, in seconds since the soak began.
    pub end_s: f64,
    /// Tokens ÷ time busy with them.
    pub tok_per_s: f64,
    /// Pieces, or points, in it.
    pub n: usize,
}

impl Window {
    /// The middle of its time, in seconds since the soak began.
    pub fn mid_s(&self) -> f64 {
        0.5 * (self.start_s + self.end_s)
    }
}

/// What lasts from one time to another, in seconds.
pub(super) trait Lasts {
    fn start_s(&self) -> f64;
    fn end_s(&self) -> f64;
}

impl Lasts for Window {
    fn start_s(&self) -> f64 {
        self.start_s
    }

    fn end_s(&self) -> f64 {
        self.end_s
    }
}

/// The windows of pieces in the order of time. A piece belongs to the window in which its middle
/// lies; one that is longer than a window is a window of its own. The first [`Rules::warm_up`]
/// pieces, and pieces without time or tokens, do not count. The windows start with the first piece
/// that counts.
pub fn windows(pieces: &[Piece], rules: &Rules) -> Vec<Window> {
    let counts = |p: &&Piece| {
        p.end_s.is_finite() && p.duration_s.is_finite() && p.duration_s > 0.0 && p.tokens > 0.0
    };
    let kept: Vec<&Piece> = pieces.iter().skip(rules.warm_up).filter(counts).collect();
    let Some(first) = kept.first() else { return Vec::new() };
    let origin = first.end_s - first.duration_s;
    let stretches: Vec<Stretch> = kept
        .iter()
        .map(|p| Stretch {
            start_s: p.end_s - p.duration_s,
            end_s: p.end_s,
            amount: p.tokens,
            busy_s: p.duration_s,
        })
        .collect();
    gather(&stretches, origin, rules.window_s)
        .into_iter()
        .map(|Mean { start_s, end_s, value, n }| Window { start_s, end_s, tok_per_s: value, n })
        .collect()
}

/// The windows of points in the order of time: the mean of the points in each. Points that are not
/// finite do not count; none is taken for a warm-up.
pub fn windows_of_points(points: &[Point], rules: &Rules) -> Vec<Window> {
    let readings: Vec<(f64, f64)> = points.iter().map(|p| (p.time_s, p.tok_per_s)).collect();
    means(&readings, rules)
        .into_iter()
        .map(|Mean { start_s, end_s, value, n }| Window { start_s, end_s, tok_per_s: value, n })
        .collect()
}

/// The mean of readings of anything over a short stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub start_s: f64,
    pub end_s: f64,
    pub value: f64,
    pub n: usize,
}

impl Lasts for Mean {
    fn start_s(&self) -> f64 {
        self.start_s
    }

    fn end_s(&self) -> f64 {
        self.end_s
    }
}

/// The means of readings (seconds, value) in the order of time, over windows. Those that are not
/// finite do not count.
pub(super) fn means(readings: &[(f64, f64)], rules: &Rules) -> Vec<Mean> {
    let finite: Vec<(f64, f64)> =
        readings.iter().copied().filter(|(t, v)| t.is_finite() && v.is_finite()).collect();
    let Some((first, _)) = finite.first() else { return Vec::new() };
    let gaps: Vec<f64> = finite.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // A reading stands for the time around it.
    let gap = median(&gaps).filter(|gap| *gap > 0.0).unwrap_or(rules.window_s);
    let half = 0.5 * gap.min(rules.window_s);
    let stretches: Vec<Stretch> = finite
        .iter()
        .map(|(time_s, value)| Stretch {
            start_s: time_s - half,
            end_s: time_s + half,
            amount: value * 2.0 * half,
            busy_s: 2.0 * half,
        })
        .collect();
    gather(&stretches, first - half, rules.window_s)
}

/// What fills windows: an amount, and the time busy with it.
struct Stretch {
    start_s: f64,
    end_s: f64,
    amount: f64,
    busy_s: f64,
}

/// A window that is being filled: its value is a sum as yet.
struct Sum {
    index: i64,
    mean: Mean,
    busy_s: f64,
}

impl Sum {
    fn add(&mut self, other: &Mean, busy_s: f64) {
        self.mean.start_s = self.mean.start_s.min(other.start_s);
        self.mean.end_s = self.mean.end_s.max(other.end_s);
        self.mean.value += other.value;
        self.mean.n += other.n;
        self.busy_s += busy_s;
    }
}

fn gather(stretches: &[Stretch], origin: f64, window_s: f64) -> Vec<Mean> {
    let mut sums: Vec<Sum> = Vec::new();
    for &Stretch { start_s, end_s, amount, busy_s } in stretches {
        let index = ((0.5 * (start_s + end_s) - origin) / window_s).floor() as i64;
        let mean = Mean { start_s, end_s, value: amount, n: 1 };
        match sums.last_mut() {
            Some(last) if last.index == index => last.add(&mean, busy_s),
            _ => sums.push(Sum { index, mean, busy_s }),
        }
    }
    merge_sparse(sums, window_s)
        .into_iter()
        .map(|sum| Mean { value: sum.mean.value / sum.busy_s, ..sum.mean })
        .collect()
}

/// A window with less than half of the busy time of the median one, or of its own length, would be
/// noisier than its neighbours: it goes to the window before it, the first one to the window after
/// it, if that lies beside it and holds less than one and a half already. Pieces do not count here:
/// where a device becomes several times slower, each of its windows is one long piece.
fn merge_sparse(sums: Vec<Sum>, window_s: f64) -> Vec<Sum> {
    let busy: Vec<f64> = sums.iter().map(|sum| sum.busy_s).collect();
    let full = median(&busy).unwrap_or(0.0).min(window_s);
    let sparse = |sum: &Sum| sum.busy_s < 0.5 * full;
    let mut merged: Vec<Sum> = Vec::new();
    for sum in sums {
        // The first one waits for the second.
        let into = match &merged[..] {
            [first] if sparse(first) => Some(first),
            [.., last] if sparse(&sum) => Some(last),
            _ => None,
        };
        let takes = into.is_some_and(|into| {
            sum.mean.start_s - into.mean.end_s <= window_s
                && into.busy_s.max(sum.busy_s) < 1.5 * full
        });
        match merged.last_mut() {
            Some(last) if takes => last.add(&sum.mean, sum.busy_s),
            _ => merged.push(sum),
        }
    }
    merged
}

/// How far windows lie apart, in seconds, and so how finely they tell of time: [`Rules::window_s`]
/// where pieces are short; the length of a piece where pieces are longer, or more where another phase
/// lies in between. The median of the mean over four neighbours, as windows begin where pieces do.
pub fn spacing_s(windows: &[Window], rules: &Rules) -> f64 {
    spacing_of(windows, rules)
}

pub(super) fn spacing_of<T: Lasts>(windows: &[T], rules: &Rules) -> f64 {
    let reach = windows.len().saturating_sub(1).min(4);
    if reach == 0 {
        return rules.window_s;
    }
    let apart: Vec<f64> = windows
        .windows(reach + 1)
        .map(|run| (run[reach].start_s() - run[0].start_s()) / reach as f64)
        .collect();
    median(&apart).unwrap_or(0.0).max(rules.window_s)
}

/// Tokens computed until `until_s`; of a piece that goes on after that, the share before it. Every
/// piece counts, the first one too.
pub fn tokens_until(pieces: &[Piece], until_s: f64) -> f64 {
    pieces
        .iter()
        .map(|piece| {
            let after = (piece.end_s - until_s).max(0.0);
            if after == 0.0 {
                piece.tokens
            } else {
                piece.tokens * (1.0 - after / piece.duration_s).max(0.0)
            }
        })
        .sum()
}

/// How even a soak was.
///
/// The worst of many noisy loops is below the best even where nothing ever slows down; the quantiles
/// beside it depend less on how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stability {
    /// The worst loop of [`Rules::loop_windows`] windows ÷ the best one, as 3DMark's stress tests
    /// tell it. Where windows are longer than their rule, a loop is as many as come nearest to its
    /// time.
    pub worst_by_best: f64,
    /// Loops it was taken over.
    pub n_loops: usize,
    /// The 5 % quantile of the windows in tok/s: few windows were slower.
    pub p5: f64,
    /// The 95 % quantile of the windows in tok/s: few windows were faster.
    pub p95: f64,
}

impl Stability {
    /// Over windows in the order of time; a last loop that is not full does not count. `None` below
    /// two loops.
    pub fn of(windows: &[Window], rules: &Rules) -> Option<Stability> {
        let loop_s = rules.loop_windows as f64 * rules.window_s;
        let in_loop = (loop_s / spacing_s(windows, rules)).round().max(1.0);
        let loops: Vec<f64> =
            windows.chunks_exact(in_loop as usize).map(|chunk| mean(&rates(chunk))).collect();
        if loops.len() < 2 {
            return None;
        }
        let (worst, best) = (quantile(&loops, 0.0)?, quantile(&loops, 1.0)?);
        let y = rates(windows);
        Some(Stability {
            worst_by_best: worst / best,
            n_loops: loops.len(),
            p5: quantile(&y, 0.05)?,
            p95: quantile(&y, 0.95)?,
        })
    }
}

pub(super) fn rates(windows: &[Window]) -> Vec<f64> {
    windows.iter().map(|window| window.tok_per_s).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start_s: f64, duration_s: f64, tokens: f64) -> Piece {
        Piece { end_s: start_s + duration_s, duration_s, tokens }
    }

    #[test]
    fn a_window_is_tokens_by_busy_time() {
        // Of every 4 s, 1 s is this phase's: 50 tokens in it are 50 tok/s.
        let pieces: Vec<Piece> = (0..20).map(|i| piece(4.0 * f64::from(i), 1.0, 50.0)).collect();
        let windows = windows(&pieces, &Rules { warm_up: 0, ..Rules::default() });
        assert_eq!(windows.len(), 8);
        assert!(windows.iter().all(|w| (w.tok_per_s - 50.0).abs() < 1e-9));
        assert_eq!((windows[0].start_s, windows[0].end_s, windows[0].n), (0.0, 9.0, 3));
    }

    #[test]
    fn the_first_piece_and_empty_ones_do_not_count() {
        let mut pieces = vec![piece(0.0, 30.0, 1.0), piece(30.0, 0.0, 5.0), piece(30.0, 5.0, 0.0)];
        pieces.extend((0..4).map(|i| piece(35.0 + 5.0 * f64::from(i), 5.0, 10.0)));
        let windows = windows(&pieces, &Rules::default());
        assert_eq!(windows.len(), 2);
        assert_eq!((windows[0].start_s, windows[0].tok_per_s), (35.0, 2.0));
        assert!(super::windows(&pieces[..3], &Rules::default()).is_empty());
    }

    #[test]
    fn an_iteration_longer_than_a_window_is_a_window() {
        let pieces: Vec<Piece> = (0..9).map(|i| piece(25.0 * f64::from(i), 25.0, 100.0)).collect();
        let windows = windows(&pieces, &Rules::default());
        assert_eq!(windows.len(), 8);
        assert!(windows.iter().all(|w| w.n == 1 && w.tok_per_s == 4.0));
        assert_eq!((windows[0].start_s, windows[0].mid_s()), (25.0, 37.5));
    }

    #[test]
    fn the_rest_at_the_end_joins_the_window_before_it() {
        let rules = Rules { warm_up: 0, ..Rules::default() };
        let pieces: Vec<Piece> =
            (0..21).map(|i| piece(2.0 * f64::from(i), 2.0, f64::from(i + 1))).collect();
        let windows = windows(&pieces, &rules);
        assert_eq!(windows.iter().map(|w| w.n).collect::<Vec<_>>(), [5, 5, 5, 6]);
        let tokens: f64 = windows.iter().map(|w| w.tok_per_s * (w.end_s - w.start_s)).sum();
        assert!((tokens - 231.0).abs() < 1e-9, "{tokens}");
    }

    #[test]
    fn a_window_that_one_slow_piece_fills_is_not_sparse() {
        // Passes of 3 s become passes of 12 s.
        let mut pieces: Vec<Piece> =
            (0..230).map(|i| piece(3.0 * f64::from(i), 3.0, 3.0)).collect();
        pieces.extend((0..40).map(|i| piece(690.0 + 12.0 * f64::from(i), 12.0, 3.0)));
        let windows = windows(&pieces, &Rules::default());
        let slow: Vec<&Window> = windows.iter().filter(|w| w.start_s >= 690.0).collect();
        assert_eq!(slow.len(), 40);
        assert!(slow.iter().all(|w| w.n == 1 && (w.end_s - w.start_s - 12.0).abs() < 1e-9));
    }

    #[test]
    fn sparse_windows_far_apart_stay_apart() {
        // The other phase takes 3 s at first and 60 s in the end.
        let mut pieces: Vec<Piece> =
            (0..60).map(|i| piece(4.0 * f64::from(i), 1.0, 50.0)).collect();
        pieces.extend((0..9).map(|i| piece(240.0 + 61.0 * f64::from(i), 1.0, 50.0)));
        let windows = windows(&pieces, &Rules { warm_up: 0, ..Rules::default() });
        assert_eq!(windows.iter().filter(|w| w.start_s >= 240.0).count(), 9);
        assert!(windows.iter().all(|w| w.end_s - w.start_s < 20.0));
    }

    #[test]
    fn the_spacing_is_the_rule_unless_pieces_are_longer() {
        let rules = Rules::default();
        let spacing = |every: f64, long: f64| {
            let pieces: Vec<Piece> =
                (0..40).map(|i| piece(every * f64::from(i), long, 1.0)).collect();
            spacing_s(&windows(&pieces, &rules), &rules)
        };
        assert!((spacing(3.0, 3.0) - 10.0).abs() < 1.0);
        assert_eq!(spacing(45.0, 45.0), 45.0);
        assert_eq!(spacing(60.0, 20.0), 60.0, "another phase in between");
        assert_eq!(spacing_s(&[], &rules), 10.0);
    }

    #[test]
    fn points_are_averaged_and_none_is_a_warm_up() {
        let points: Vec<Point> = (0..40)
            .map(|i| Point { time_s: f64::from(i), tok_per_s: f64::from(i % 10) })
            .chain([Point { time_s: 40.0, tok_per_s: f64::NAN }])
            .collect();
        let windows = windows_of_points(&points, &Rules::default());
        assert_eq!(windows.len(), 4);
        assert!(windows.iter().all(|w| w.tok_per_s == 4.5 && w.n == 10));
    }

    #[test]
    fn every_window_of_points_has_a_length() {
        let twins = [(5.0, 3.0), (5.0, 3.0), (30.0, 3.0)];
        let points = twins.map(|(time_s, tok_per_s)| Point { time_s, tok_per_s });
        for n in 0..=3 {
            let windows = windows_of_points(&points[..n], &Rules::default());
            assert_eq!(windows.is_empty(), n == 0);
            assert!(windows.iter().all(|w| w.end_s > w.start_s), "{windows:?}");
        }
    }

    #[test]
    fn tokens_of_a_piece_are_shared_out_by_time() {
        let pieces = [piece(0.0, 50.0, 100.0), piece(50.0, 20.0, 30.0), piece(70.0, 9.0, 1.0)];
        assert_eq!(tokens_until(&pieces, 60.0), 115.0);
        assert_eq!(tokens_until(&pieces, 1e9), 131.0);
        assert_eq!(tokens_until(&pieces, 0.0), 0.0);
    }

    #[test]
    fn stability_is_the_worst_full_loop_by_the_best() {
        let window = |i: usize, tok_per_s: f64| Window {
            start_s: 10.0 * i as f64,
            end_s: 10.0 * (i + 1) as f64,
            tok_per_s,
            n: 3,
        };
        // Two loops of 10 and of 8 on average, and a last one that is not full.
        let y = [10.0, 11.0, 9.0, 10.0, 12.0, 8.0, 8.0, 9.0, 7.0, 8.0, 8.0, 8.0, 1.0];
        let windows: Vec<Window> = y.iter().enumerate().map(|(i, y)| window(i, *y)).collect();
        let stability = Stability::of(&windows, &Rules::default()).unwrap();
        assert!((stability.worst_by_best - 0.8).abs() < 1e-12);
        assert_eq!(stability.n_loops, 2);
        assert!(stability.p5 < 7.0 && stability.p95 > 11.0);
        assert_eq!(Stability::of(&windows[..11], &Rules::default()), None);
    }
}
