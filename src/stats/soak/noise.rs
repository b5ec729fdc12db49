//! Noise with a memory: levels and curves fitted to a series that wanders, and how much such a
//! series knows.
//!
//! Neighbouring windows of one run are not independent: other load, a fan, a governor last longer
//! than a window. Noise here is the sum of a wander w, w(t) = φ w(t − 1) + u(t), and of white noise;
//! with the wander's share of the variance at 0 or at 1 it is one of them alone. Its exact likelihood
//! comes from the recursion of Kalman's filter, which turns the series into independent innovations;
//! what is fitted goes through the same recursion, and least squares does the rest.
//!
//! For a search over thousands of curves there is a quicker model of first-order autoregressive noise,
//! the case of share 1, whose whitening costs one pass for all correlations together (Prais and
//! Winsten, 1954).

/// Noise around a level or a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// The wander's share of the variance, 0 to 1; the rest is white.
    pub wander: f64,
    /// Correlation of the wander from one window to the next; zero where there is none.
    pub phi: f64,
    /// Standard deviation of a window, wander and white together, relative to its level.
    pub sd: f64,
}

impl Noise {
    /// The noise in residuals around zero, which are relative to their level.
    pub(super) fn of(residuals: &[f64]) -> Noise {
        let n = residuals.len().max(1) as f64;
        let sd = (residuals.iter().map(|r| r * r).sum::<f64>() / n).sqrt();
        if sd < 1e-9 {
            return Noise { wander: 0.0, phi: 0.0, sd };
        }
        let fit = likelihood(residuals, None);
        Noise { wander: fit.wander, phi: fit.phi, sd }
    }

    /// How many neighbouring windows know as much about a level as one independent window: the sum
    /// of the autocorrelations over all distances, (1 + φ) ÷ (1 − φ) for a wander alone.
    pub fn memory(&self) -> f64 {
        1.0 + 2.0 * self.wander * self.phi / (1.0 - self.phi)
    }

    /// How many independent windows know as much about a level as these `n` do: n ÷ memory, at least
    /// one.
    pub fn effective_n(&self, n: usize) -> f64 {
        (n as f64 / self.memory()).max(1.0)
    }
}

/// Wander's share of the variance and its correlation, as they are tried.
const WANDER: [f64; 7] = [0.1, 0.25, 0.45, 0.65, 0.82, 0.94, 1.0];
const PHI: [f64; 10] = [0.3, 0.5, 0.7, 0.8, 0.87, 0.92, 0.95, 0.97, 0.985, 0.995];

/// A fit of the full model of noise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likelihood {
    /// Logarithm, without terms that all fits share.
    pub log: f64,
    /// The wander's share of the variance.
    pub wander: f64,
    /// The wander's correlation from window to window.
    pub phi: f64,
}

/// The likelihood of a series around a level, or around a + b·s where a shape is given.
pub(super) fn likelihood(y: &[f64], shape: Option<&[f64]>) -> Likelihood {
    let at = |wander, phi| Likelihood { log: log_likelihood(y, shape, wander, phi), wander, phi };
    let tried = WANDER.iter().flat_map(|&wander| PHI.iter().map(move |&phi| at(wander, phi)));
    tried.fold(at(0.0, 0.0), |best, next| if next.log > best.log { next } else { best })
}

fn log_likelihood(y: &[f64], shape: Option<&[f64]>, wander: f64, phi: f64) -> f64 {
    let white = 1.0 - wander;
    // What the filter expects of the series, of a constant one and of the shape.
    let (mut expect_y, mut expect_1, mut expect_s) = (0.0, 0.0, 0.0);
    let mut sums = Sums::default();
    let mut log_det = 0.0;
    let mut variance = wander;
    for (i, &y) in y.iter().enumerate() {
        let total = variance + white;
        let weight = 1.0 / total;
        let gain = phi * variance * weight;
        let new_y = y - expect_y;
        let new_1 = 1.0 - expect_1;
        let new_s = shape.map_or(0.0, |s| s[i]) - expect_s;
        expect_y = phi * expect_y + gain * new_y;
        expect_1 = phi * expect_1 + gain * new_1;
        expect_s = phi * expect_s + gain * new_s;
        sums.add(new_y, new_1, new_s, weight);
        log_det += total.ln();
        variance = phi * gain * white + wander * (1.0 - phi * phi);
    }
    let n = y.len() as f64;
    -0.5 * n * sums.solve(n).squares.ln() - 0.5 * log_det
}

/// A fit of a + b·s under autoregressive noise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub a: f64,
    pub b: f64,
    /// Logarithm of the likelihood, without terms that all fits share.
    pub log: f64,
}

/// Correlations of neighbours that are tried in the search.
const RHO: [f64; 14] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.86, 0.91, 0.94, 0.965, 0.98];

/// A series that many shapes are fitted to.
pub(super) struct Series {
    pub y: Vec<f64>,
    one: Vec<f64>,
    yy: Product,
    y1: Product,
    ones: Product,
}

impl Series {
    pub fn new(y: Vec<f64>) -> Series {
        let one = vec![1.0; y.len()];
        let (yy, y1, ones) = (Product::of(&y, &y), Product::of(&y, &one), Product::of(&one, &one));
        Series { y, one, yy, y1, ones }
    }

    /// The quick fit of a + b·s, with the correlation that suits it best.
    pub fn line(&self, s: &[f64]) -> Line {
        let (sy, ss) = (Product::of(s, &self.y), Product::of(s, s));
        let s1 = Product::of(s, &self.one);
        let n = self.y.len() as f64;
        let fits = RHO.iter().map(|&rho| {
            let sums = Sums {
                yy: self.yy.at(rho),
                y1: self.y1.at(rho),
                sy: sy.at(rho),
                ss: ss.at(rho),
                s1: s1.at(rho),
                ones: self.ones.at(rho),
            };
            let solved = sums.solve(n);
            let log = -0.5 * n * solved.squares.ln() + 0.5 * (1.0 - rho * rho).ln();
            Line { a: solved.a, b: solved.b, log }
        });
        fits.reduce(|best, next| if next.log > best.log { next } else { best }).expect("some ρ")
    }
}

/// The product of two whitened series as a polynomial in ρ:
/// (1 − ρ²) u₀v₀ + Σ (uᵢ − ρ uᵢ₋₁)(vᵢ − ρ vᵢ₋₁) = all − ρ·neighbours + ρ²·inner.
struct Product {
    all: f64,
    neighbours: f64,
    inner: f64,
}

impl Product {
    fn of(u: &[f64], v: &[f64]) -> Product {
        let (mut all, mut neighbours) = (0.0, 0.0);
        let (mut last_u, mut last_v) = (0.0, 0.0);
        for (&u, &v) in u.iter().zip(v) {
            all += u * v;
            neighbours += u * last_v + last_u * v;
            (last_u, last_v) = (u, v);
        }
        Product { all, neighbours, inner: all - u[0] * v[0] - last_u * last_v }
    }

    fn at(&self, rho: f64) -> f64 {
        self.all - rho * self.neighbours + rho * rho * self.inner
    }
}

/// Products of whitened series: y, the shape s, and 1.
#[derive(Default)]
struct Sums {
    yy: f64,
    y1: f64,
    sy: f64,
    ss: f64,
    s1: f64,
    ones: f64,
}

struct Solved {
    a: f64,
    b: f64,
    /// Mean square of what is left.
    squares: f64,
}

impl Sums {
    fn add(&mut self, y: f64, one: f64, s: f64, weight: f64) {
        let (weighted_y, weighted_s) = (weight * y, weight * s);
        self.yy += weighted_y * y;
        self.y1 += weighted_y * one;
        self.sy += weighted_s * y;
        self.ss += weighted_s * s;
        self.s1 += weighted_s * one;
        self.ones += weight * one * one;
    }

    /// Least squares; a shape that cannot be told from a constant is left out.
    fn solve(&self, n: f64) -> Solved {
        let det = self.ones * self.ss - self.s1 * self.s1;
        let (a, b) = if det > 1e-9 * self.ones * self.ss {
            let b = (self.ones * self.sy - self.s1 * self.y1) / det;
            ((self.y1 - b * self.s1) / self.ones, b)
        } else {
            (self.y1 / self.ones, 0.0)
        };
        let left = self.yy - a * self.y1 - b * self.sy;
        // A series without noise has a likelihood too.
        Solved { a, b, squares: left.max(1e-12 * self.yy).max(f64::MIN_POSITIVE) / n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wander with this correlation and white noise, from a generator that is good enough.
    fn noisy(n: usize, wander: f64, phi: f64, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut normal = || {
            let twelve = (0..12).map(|_| {
                state =
                    state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 40) as f64 / (1u64 << 24) as f64
            });
            twelve.sum::<f64>() - 6.0
        };
        let mut drift = normal();
        (0..n)
            .map(|_| {
                drift = phi * drift + (1.0 - phi * phi).sqrt() * normal();
                100.0 + wander.sqrt() * drift + (1.0 - wander).sqrt() * normal()
            })
            .collect()
    }

    #[test]
    fn the_noise_that_is_in_a_series_is_found_in_it() {
        for seed in 1..6 {
            let white = likelihood(&noisy(600, 0.0, 0.0, seed), None);
            assert!(white.wander * white.phi < 0.15, "{white:?}");
            let both = likelihood(&noisy(600, 0.5, 0.95, seed), None);
            assert!((0.2..0.85).contains(&both.wander) && both.phi > 0.8, "{both:?}");
            let wander = likelihood(&noisy(600, 1.0, 0.9, seed), None);
            assert!(wander.wander > 0.9 && (0.8..0.96).contains(&wander.phi), "{wander:?}");
        }
    }

    #[test]
    fn both_models_agree_where_the_wander_is_all_there_is() {
        let y = noisy(50, 1.0, 0.7, 3);
        let shape: Vec<f64> = (0..50).map(|i| if i < 20 { 1.0 } else { 0.0 }).collect();
        let quick = Series::new(y.clone()).line(&shape);
        let full = RHO.iter().map(|&phi| {
            let wander = if phi > 0.0 { 1.0 } else { 0.0 };
            log_likelihood(&y, Some(&shape), wander, phi)
        });
        assert!((quick.log - full.fold(f64::NEG_INFINITY, f64::max)).abs() < 1e-6);
    }

    #[test]
    fn without_noise_the_line_is_exact() {
        let shape: Vec<f64> = (0..30).map(|i| (-f64::from(i) / 7.0).exp()).collect();
        let y: Vec<f64> = shape.iter().map(|s| 40.0 + 9.0 * s).collect();
        let line = Series::new(y).line(&shape);
        assert!((line.a - 40.0).abs() < 1e-6 && (line.b - 9.0).abs() < 1e-6, "{line:?}");
        assert!(line.log.is_finite());
    }

    #[test]
    fn a_wander_leaves_few_independent_windows() {
        let noise = |wander, phi| Noise { wander, phi, sd: 0.01 };
        assert_eq!(noise(0.0, 0.0).effective_n(24), 24.0);
        // (1 − 0.9) ÷ (1 + 0.9) of 38 are 2.
        assert!((noise(1.0, 0.9).effective_n(38) - 2.0).abs() < 1e-9);
        assert_eq!(noise(1.0, 0.99).effective_n(24), 1.0);
    }
}
