//! Warming up: the temperature of a body that is heated evenly, T(t) = T∞ − (T∞ − T₀)·e^(−t/τ).

use super::Rules;
use super::curve::Search;
use super::window::means;

/// A temperature that tends to a limit, by warming or by cooling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warming {
    /// Temperature when the windows begin, in °C.
    pub t_0_c: f64,
    /// Temperature that it tends to, in °C.
    pub t_inf_c: f64,
    /// Time constant in seconds.
    pub tau_s: f64,
    /// The 95 % interval of the time constant, in seconds.
    pub tau_interval_s: (f64, f64),
}

/// Change in K up to which no limit is told: sensors tell whole degrees.
const LEAST_CHANGE_C: f64 = 2.0;

/// The limit of a temperature from readings of (seconds, °C) in the order of time. `None` where there
/// are too few, where less than 2 K of change was seen, where a level explains them as
/// well, and where the temperature still climbs so straight that its limit cannot be told.
pub fn warming(readings: &[(f64, f64)], rules: &Rules) -> Option<Warming> {
    let windows = means(readings, rules);
    if windows.len() < rules.least_windows {
        return None;
    }
    let degrees = windows.iter().map(|mean| mean.value).collect();
    let search = Search::new(&windows, degrees, rules).starting_at_once();
    let best = search.best();
    let judged = search.judge(&best);
    let seen = judged.last - judged.y0;
    let interval = search.tau_interval(&best);
    let told = judged.evidence > judged.bar
        && seen.abs() > LEAST_CHANGE_C
        && interval.1 < search.longest_tau();
    told.then_some(Warming {
        t_0_c: judged.y0,
        t_inf_c: judged.y_inf,
        tau_s: best.tau,
        tau_interval_s: interval,
    })
}

/// Kelvin per watt from a temperature's limit, the ambient temperature (both °C) and the power that
/// heats. `None` where no power is told.
pub fn thermal_resistance(t_inf_c: f64, ambient_c: f64, watts: f64) -> Option<f64> {
    (watts > 0.0).then(|| (t_inf_c - ambient_c) / watts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings every second of a sensor that tells whole degrees.
    fn readings(seconds: i32, t: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..seconds).map(|s| (f64::from(s), t(f64::from(s)).round())).collect()
    }

    #[test]
    fn a_limit_is_found_through_whole_degrees() {
        let warm = readings(1200, |t| 78.0 - 36.0 * (-t / 140.0).exp());
        let fit = warming(&warm, &Rules::default()).unwrap();
        assert!((fit.t_0_c - 42.0).abs() < 1.0, "{fit:?}");
        assert!((fit.t_inf_c - 78.0).abs() < 0.5, "{fit:?}");
        assert!((fit.tau_s / 140.0 - 1.0).abs() < 0.05, "{fit:?}");
        assert!((fit.tau_interval_s.0..=fit.tau_interval_s.1).contains(&fit.tau_s));
    }

    #[test]
    fn cooling_has_a_limit_too() {
        let cool = readings(900, |t| 30.0 + 40.0 * (-t / 90.0).exp());
        let fit = warming(&cool, &Rules::default()).unwrap();
        assert!((fit.t_inf_c - 30.0).abs() < 0.5 && (fit.tau_s / 90.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn what_does_not_bend_has_no_limit() {
        let rules = Rules::default();
        assert_eq!(warming(&readings(1200, |_| 45.0), &rules), None);
        assert_eq!(warming(&readings(1200, |t| 45.0 + (t / 7.0).sin()), &rules), None);
        assert_eq!(warming(&readings(1200, |t| 40.0 + t / 60.0), &rules), None, "still climbing");
        assert_eq!(warming(&readings(60, |t| 80.0 - 40.0 * (-t / 9.0).exp()), &rules), None);
        assert_eq!(warming(&[], &rules), None);
    }

    #[test]
    fn thermal_resistance_is_kelvin_per_watt() {
        assert_eq!(thermal_resistance(80.0, 20.0, 12.0), Some(5.0));
        assert_eq!(thermal_resistance(80.0, 20.0, 0.0), None);
        assert_eq!(thermal_resistance(80.0, 20.0, f64::NAN), None);
    }
}
