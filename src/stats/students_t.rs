//! Student's t distribution: the quantile behind every interval here and the p value behind every
//! test.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::beta_reg;

/// The quantile at `p` of Student's t distribution with `freedom` degrees of freedom; to
/// nine digits up to 10 000 of them.
///
/// Panics when `freedom` is not above zero.
pub fn t_quantile(p: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom above zero").inverse_cdf(p)
}

/// The probability of a value of Student's t at least as far from zero as `t`: the p value of a
/// two-sided test. By the incomplete beta function (Abramowitz and Stegun, 26.7.1), so that small
/// ones keep their digits. One for `t` that is zero, zero for `t` that is infinite.
pub fn t_two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_t_are_those_of_the_printed_tables() {
        for (freedom, t) in
            [(2.0, 4.302_653), (4.0, 2.776_445), (9.0, 2.262_157), (29.0, 2.045_230)]
        {
            assert!((t_quantile(0.975, freedom) - t).abs() < 1e-6, "{freedom}");
        }
    }

    #[test]
    fn the_p_value_of_a_quantile_is_what_lies_beyond_it() {
        for freedom in [1.0, 2.5, 9.0, 300.0, 1e4] {
            for alpha in [0.3, 0.05, 1e-3, 1e-6] {
                let p = t_two_sided(t_quantile(1.0 - alpha / 2.0, freedom), freedom);
                assert!((p / alpha - 1.0).abs() < 1e-8, "{p} for {alpha}, {freedom}");
            }
        }
        assert_eq!((t_two_sided(0.0, 3.0), t_two_sided(f64::NEG_INFINITY, 3.0)), (1.0, 0.0));
    }
}
