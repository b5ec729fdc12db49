//! The functions of feed-forward layers, number by number: the definition of correct.

use half::f16;

/// The function of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^(−x))`.
    Silu,
    /// `x · Φ(x)`, with the normal distribution Φ by Hendrycks and Gimpel's tanh. Argument and
    /// result are rounded to F16, but for arguments beyond ±10: llama.cpp looks both up in a table
    /// of such numbers.
    Gelu,
    /// `x · Φ(x)`, with Φ by the error function.
    GeluErf,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
}

impl Activation {
    /// The function of one number.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu => gelu(x),
            Activation::GeluErf => gelu_erf(x),
            Activation::Relu => x.max(0.0),
            Activation::ReluSquared => x.max(0.0) * x.max(0.0),
        }
    }
}

/// `½ (1 + tanh u) = 1 / (1 + e^(−2u))` with `u = √(2/π) · (x + 0.044715 x³)`.
fn gelu(x: f32) -> f32 {
    if x <= -10.0 {
        return 0.0;
    }
    if x >= 10.0 {
        return x;
    }
    let x = f16::from_f32(x).to_f32();
    f16::from_f32(x / (1.0 + (-2.0 * gelu_inner(x)).exp())).to_f32()
}

fn gelu_inner(x: f32) -> f32 {
    SQRT_2_OVER_PI * x * (1.0 + GELU_CUBE * x * x)
}

/// `√(2/π)`.
pub(super) const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// Weight of the cube.
pub(super) const GELU_CUBE: f32 = 0.044_715;

/// Φ by formula 7.1.26 of Abramowitz and Stegun, within 8e-8.
fn gelu_erf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + ERF_P * z);
    let series = ERF_A.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    // What is left of the distribution beyond |x|.
    let tail = 0.5 * series * (-z * z).exp();
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// `p` of that formula.
pub(super) const ERF_P: f32 = 0.327_591_1;
/// `a₁` to `a₅` of that formula.
pub(super) const ERF_A: [f32; 5] =
    [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_the_values_of_their_definitions() {
        for (f, x, expected, within) in [
            (Activation::Silu, 1.0, 0.731_058_6, 1e-7),
            (Activation::Gelu, 1.0, 0.841_192, 5e-4),
            (Activation::Gelu, -0.5, -0.154_286, 1e-4),
            (Activation::Gelu, -12.0, 0.0, 0.0),
            (Activation::Gelu, 10.001, 10.001, 0.0),
            (Activation::GeluErf, 1.0, 0.841_344_8, 2e-7),
            (Activation::GeluErf, -0.5, -0.154_268_8, 1e-7),
            (Activation::GeluErf, -3.0, -0.004_049_7, 5e-7),
            (Activation::GeluErf, 0.0, 0.0, 0.0),
            (Activation::Relu, -2.0, 0.0, 0.0),
            (Activation::Relu, 2.0, 2.0, 0.0),
            (Activation::ReluSquared, 1.5, 2.25, 0.0),
            (Activation::ReluSquared, -1.5, 0.0, 0.0),
        ] {
            let found = f.of(x);
            assert!((found - expected).abs() <= within, "{f:?}({x}) = {found}");
        }
    }
}
