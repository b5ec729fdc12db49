//! The search for scales and minima with which a block comes closest to its values, by the sum of
//! squared errors.
//!
//! For given whole numbers the best scale is a matter of least squares, and for a given scale the
//! best whole numbers are the nearest ones. So a grid of ranges is laid over each sub-block, each
//! gives numbers, they give a scale, and the best of all is refined by taking the two in turns.
//! The scales found are then rounded to the few bits that a format has for them, with their
//! neighbours tried as well, and the scale over all is fitted again to what came out.

use half::f16;

use super::levels::{Levels, Whole};
use super::range::{ends, inverse};
use super::{Block, SuperBlock};

/// Values below this are nothing: no scale in half precision reaches them.
const NOTHING: f32 = 1e-15;

/// How often numbers and scales take turns at most.
const ROUNDS: usize = 4;

/// The range that one end of the levels is laid on, as parts of the largest value.
const RANGES: [f32; 24] = {
    let mut ranges = [0.0; 24];
    let mut i = 0;
    while i < 24 {
        ranges[i] = 0.62 + 0.03 * i as f32;
        i += 1;
    }
    ranges
};

/// How far inside smallest and largest value the levels begin and end, in steps.
const INSETS: [f32; 5] = [-0.25, 0.05, 0.35, 0.65, 0.95];

/// Scale and numbers of a block of 32 of which each has one scale.
pub(super) fn block(x: &[f32; 32], levels: impl Levels) -> Block {
    let mut best = Block { q: [0; 32], d: 0.0, m: Block::NO_MIN };
    let (mut least, mut d) = (f32::INFINITY, to_f16(best_scale(x, levels)));
    for _ in 0..ROUNDS {
        let found = error(x, levels, d, 0.0);
        if d == 0.0 || found >= least {
            break;
        }
        least = found;
        best.d = d;
        best.q = x.map(|v| levels.nearest(v / d) as i8);
        d = to_f16(fit(x, levels, 1.0 / d).d);
    }
    best
}

/// A block of sub-blocks of `N` without minima; `scales` are those that a sub-block can have.
pub(super) fn symmetric<const N: usize>(
    x: &[f32],
    levels: impl Levels,
    scales: Whole,
) -> SuperBlock {
    let subs = x.as_chunks::<N>().0;
    let mut wanted = [0.0; SuperBlock::LEN / SuperBlock::SUB];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        *wanted = best_scale(x, levels);
    }
    let (mut least, mut best) = (f32::INFINITY, SuperBlock::ZERO);
    let mut d = to_f16(largest(&wanted) / scales.low);
    for _ in 0..ROUNDS {
        if d == 0.0 {
            break;
        }
        let mut found = SuperBlock { d, ..SuperBlock::ZERO };
        let (mut total, mut xa, mut aa) = (0.0, 0.0, 0.0);
        for (s, x) in subs.iter().enumerate() {
            let near = scales.nearest(wanted[s] / d);
            let (mut here, mut scale) = (f32::INFINITY, near);
            for tried in [near, scales.nearest(near - 1.0), scales.nearest(near + 1.0)] {
                let error = error(x, levels, d * tried, 0.0);
                if error < here {
                    (here, scale) = (error, tried);
                }
            }
            total += here;
            let inverse = inverse(d * scale);
            let of = &mut found.q[s * N..][..N];
            for (q, v) in of.iter_mut().zip(x) {
                let level = levels.nearest(v * inverse);
                *q = level as i8;
                xa += f64::from(v * scale * level);
                aa += f64::from(scale * level).powi(2);
            }
            found.scales[s * N / SuperBlock::SUB..][..N / SuperBlock::SUB].fill(scale as i8);
        }
        if total >= least {
            break;
        }
        (least, best) = (total, found);
        // Nothing but zeros came out: there is nothing to fit.
        if aa == 0.0 {
            break;
        }
        d = to_f16((xa / aa) as f32);
    }
    best
}

/// A block of sub-blocks of `N` whose numbers go from 0 to `high` and have minima; scales and minima
/// go from 0 to `most`.
pub(super) fn with_mins<const N: usize>(x: &[f32], high: f32, most: f32) -> SuperBlock {
    let (subs, levels) = (x.as_chunks::<N>().0, Whole { low: 0.0, high });
    let scales = Whole { low: 0.0, high: most };
    let mut wanted = [(0.0, 0.0); SuperBlock::LEN / SuperBlock::SUB];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        *wanted = best_scale_and_min(x, levels);
    }
    let (scale, min) = wanted.iter().fold((0f32, 0f32), |(d, m), w| (d.max(w.0), m.max(w.1)));
    let (mut least, mut best) = (f32::INFINITY, SuperBlock::ZERO);
    let (mut d, mut dmin) = (to_f16(scale / most), to_f16(min / most));
    for _ in 0..ROUNDS {
        let mut found = SuperBlock { d, dmin, ..SuperBlock::ZERO };
        let (mut total, mut fit) = (0.0, Normal::default());
        for (s, x) in subs.iter().enumerate() {
            let near = scales.nearest(wanted[s].0 * inverse(d));
            let near_min = scales.nearest(wanted[s].1 * inverse(dmin));
            let (mut here, mut chosen) = (f32::INFINITY, (0.0, 0.0));
            for scale in [near, scales.nearest(near - 1.0), scales.nearest(near + 1.0)] {
                let around = [near_min, near_min - 1.0, near_min + 1.0];
                for min in around.map(|min| scales.nearest(min)) {
                    let error = error(x, levels, d * scale, dmin * min);
                    if error < here {
                        (here, chosen) = (error, (scale, min));
                    }
                }
            }
            total += here;
            let (scale, min) = chosen;
            let inverse = inverse(d * scale);
            for (q, v) in found.q[s * N..][..N].iter_mut().zip(x) {
                let level = levels.nearest((v + dmin * min) * inverse);
                *q = level as i8;
                fit.add(*v, scale * level, min);
            }
            let of = s * N / SuperBlock::SUB..(s + 1) * N / SuperBlock::SUB;
            found.scales[of.clone()].fill(scale as i8);
            found.mins[of].fill(min as i8);
        }
        if total >= least {
            break;
        }
        (least, best) = (total, found);
        let Some(fitted) = fit.solve(dmin) else { break };
        (d, dmin) = fitted;
    }
    best
}

/// What the numbers of a scale explain of the values, and the scale and the minimum that fit them.
#[derive(Clone, Copy, Default)]
struct Fit {
    /// By how much the sum of squares shrinks.
    gain: f32,
    d: f32,
    min: f32,
}

impl Fit {
    fn better(self, other: Fit) -> Fit {
        if other.gain > self.gain { other } else { self }
    }
}

/// The scale with which the levels come closest to `x`.
fn best_scale<const N: usize>(x: &[f32; N], levels: impl Levels) -> f32 {
    let max = largest(x);
    if max.abs() < NOTHING {
        return 0.0;
    }
    let mut best = Fit::default();
    for end in levels.ends() {
        for range in RANGES {
            best = best.better(fit(x, levels, end * range / max));
        }
    }
    for _ in 0..2 {
        best = best.better(fit(x, levels, inverse(best.d)));
    }
    best.d
}

/// Scale and minimum (at least 0) with which `d · level − min` comes closest to `x`.
fn best_scale_and_min<const N: usize>(x: &[f32; N], levels: Whole) -> (f32, f32) {
    let (min, max) = ends(x);
    let min = min.min(0.0);
    if max - min < NOTHING {
        return (0.0, -min);
    }
    let step = (max - min) / levels.high;
    let total = sums(x, |v| [v])[0];
    let mut best = Fit::default();
    for low in INSETS.map(|inset| min + inset * step) {
        for high in INSETS.map(|inset| max - inset * step) {
            best = best.better(fit_with_min(x, total, levels, low, levels.high / (high - low)));
        }
    }
    for _ in 0..2 {
        best = best.better(fit_with_min(x, total, levels, -best.min, inverse(best.d)));
    }
    (best.d, best.min)
}

/// The scale that fits the levels nearest to `x · inverse`.
fn fit<const N: usize>(x: &[f32; N], levels: impl Levels, inverse: f32) -> Fit {
    let [xl, ll] = sums(x, |v| {
        let level = levels.nearest(v * inverse);
        [v * level, level * level]
    });
    if ll > 0.0 { Fit { gain: xl * xl / ll, d: xl / ll, min: 0.0 } } else { Fit::default() }
}

/// Scale and minimum that fit the levels nearest to `(x − low) · inverse`; `total` is the sum of `x`.
fn fit_with_min<const N: usize>(
    x: &[f32; N],
    total: f32,
    levels: Whole,
    low: f32,
    inverse: f32,
) -> Fit {
    let [l, ll, xl] = sums(x, |v| {
        let level = levels.nearest((v - low) * inverse);
        [level, level * level, v * level]
    });
    let n = N as f32;
    let determinant = n * ll - l * l;
    if determinant <= 0.0 {
        return Fit::default();
    }
    let (d, offset) = ((n * xl - total * l) / determinant, (ll * total - l * xl) / determinant);
    if offset > 0.0 {
        return Fit { gain: xl * xl / ll, d: xl / ll, min: 0.0 };
    }
    if d > 0.0 { Fit { gain: d * xl + offset * total, d, min: -offset } } else { Fit::default() }
}

/// The equations of least squares for `x ≈ d · a − dmin · b`.
#[derive(Default)]
struct Normal {
    aa: f64,
    ab: f64,
    bb: f64,
    xa: f64,
    xb: f64,
}

impl Normal {
    fn add(&mut self, x: f32, a: f32, b: f32) {
        let [x, a, b] = [x, a, b].map(f64::from);
        self.aa += a * a;
        self.ab += a * b;
        self.bb += b * b;
        self.xa += x * a;
        self.xb += x * b;
    }

    /// `d` and `dmin`, the latter as it was where no minimum says anything of it.
    fn solve(&self, dmin: f32) -> Option<(f32, f32)> {
        let determinant = self.aa * self.bb - self.ab * self.ab;
        let (d, dmin) = if self.bb == 0.0 {
            (self.xa / self.aa, f64::from(dmin))
        } else {
            let d = (self.xa * self.bb - self.xb * self.ab) / determinant;
            (d, (self.xa * self.ab - self.xb * self.aa) / determinant)
        };
        // What is no number is refused as well.
        (d > 0.0 && dmin >= 0.0).then(|| (to_f16(d as f32), to_f16(dmin as f32)))
    }
}

/// The sum of squared errors of `step · level − min` with the nearest levels.
fn error<const N: usize>(x: &[f32; N], levels: impl Levels, step: f32, min: f32) -> f32 {
    let inverse = inverse(step);
    sums(x, |v| {
        let error = step * levels.nearest((v + min) * inverse) - min - v;
        [error * error]
    })[0]
}

/// Sums of terms of every value, in eight lanes so that they run over whole registers.
#[inline(always)]
fn sums<const N: usize, const K: usize>(x: &[f32; N], terms: impl Fn(f32) -> [f32; K]) -> [f32; K] {
    let mut lanes = [[0f32; 8]; K];
    for x in x.as_chunks::<8>().0 {
        let terms = x.map(&terms);
        for (k, lanes) in lanes.iter_mut().enumerate() {
            for (lane, terms) in lanes.iter_mut().zip(&terms) {
                *lane += terms[k];
            }
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The value of largest size.
fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m })
}

/// As it will be stored. What half precision has no number for becomes the largest it has.
fn to_f16(v: f32) -> f32 {
    f16::from_f32(v.clamp(-65504.0, 65504.0)).to_f32()
}
