//! The tables of `docs/soak-analysis.md`.

use super::device;
use super::device::{Around, Curve, Device};
use super::outcome::{Outcome, bounds, within};
use crate::stats::median;

impl Device {
    fn name(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let what = match self.curve {
            Curve::Flat => "flat".to_owned(),
            Curve::Fall { drop, t_on, tau: 0.0 } => format!("step {} at {t_on} s", percent(drop)),
            Curve::Fall { drop, t_on, tau } => {
                format!("{} from {t_on} s, τ {tau} s", percent(drop))
            }
            Curve::Switching { drop, t_on, period } => {
                format!("switching {} from {t_on} s, period {period} s", percent(drop))
            }
        };
        let usual = device(self.curve, self.around);
        let mut name = what;
        if self.window_s != usual.window_s {
            name += &format!("; windows of {} s, {} s", self.window_s, self.seconds);
        } else if self.seconds != usual.seconds {
            name += &format!("; {} min", self.seconds / 60.0);
        }
        if self.iteration_s.0 > usual.iteration_s.0 {
            name += &format!("; iterations of {} to {} s", self.iteration_s.0, self.iteration_s.1);
        }
        name
    }

    fn noise(&self) -> String {
        let Around { white, wander, phi } = self.around;
        let percent = |share: f64| format!("{:.2} %", 100.0 * share).replace(".00", "");
        match (white > 0.0, wander > 0.0) {
            (true, false) => percent(white),
            (false, true) => format!("wander {}, φ {phi}", percent(wander)),
            _ => format!("{} + wander {}, φ {phi}", percent(white), percent(wander)),
        }
    }
}

pub const FALLS_HEAD: [&str; 10] = [
    "device",
    "noise",
    "found",
    "named",
    "onset ± 2 windows (bound)",
    "onset ± 3 windows",
    "off by, s",
    "95 % crossing off by, s",
    "steady ± 3 %",
    "τ ± 25 % (bound)",
];

pub fn falls_row(device: &Device, outcome: &Outcome) -> Vec<String> {
    let share = |share: Option<f64>| share.map_or("–".into(), |s| format!("{:.0} %", 100.0 * s));
    let beside = |value: Option<f64>, bound: Option<f64>| match (value, bound) {
        (Some(_), Some(_)) => format!("{} ({})", share(value), share(bound)),
        _ => share(value),
    };
    let seconds = |errors: &[f64]| match median(errors) {
        None => "–".to_owned(),
        Some(s) if s.is_finite() => format!("{s:.*}", usize::from(device.window_s < 1.0) * 2),
        Some(_) => "not there".to_owned(),
    };
    let bounds = bounds(device);
    vec![
        device.name(),
        device.noise(),
        share(Some(outcome.found())),
        share(Some(outcome.named(device.curve))),
        beside(within(&outcome.onset_off, 2.0 * device.window_s), bounds.map(|b| b.0)),
        share(within(&outcome.onset_off, 3.0 * device.window_s)),
        seconds(&outcome.onset_off),
        seconds(&outcome.crossing_off),
        share(within(&outcome.steady_off, 0.03)),
        beside(within(&outcome.tau_off, 0.25), bounds.map(|b| b.1)),
    ]
}

pub const FLATS_HEAD: [&str; 6] = [
    "device",
    "noise",
    "slowdowns",
    "other verdicts",
    "level in its interval",
    "worst ÷ best loop",
];

pub fn flats_row(device: &Device, outcome: &Outcome) -> Vec<String> {
    vec![
        device.name(),
        device.noise(),
        format!("{} of {}", outcome.slowdown, outcome.n),
        format!("{}", outcome.oscillating + outcome.other),
        format!("{:.0} %", 100.0 * outcome.covered as f64 / outcome.n as f64),
        format!("{:.1} %", 100.0 * median(&outcome.worst_by_best).expect("loops")),
    ]
}

pub fn print_table(head: &[&str], rows: &[Vec<String>]) {
    let wide = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().map(|row| wide(&row[i])).fold(wide(head[i]), usize::max))
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, w)| format!(" {cell:<w$} |"));
        println!("|{}", padded.collect::<String>());
    };
    println!();
    line(head.to_vec());
    println!("|{}", widths.iter().map(|w| format!("{}|", "-".repeat(w + 2))).collect::<String>());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}
