//! `soak.csv`, the series of every sustained run, and `sustained.csv`, what they come to.

use std::io::{self, Write};

use super::{SoakView, TraceKind, WorkView};
use crate::record::EnergyUse;
use crate::stats::soak::{Shape, Verdict, Window};

/// A row per window: speed, and the machine at that time.
pub fn write_series(soaks: &[SoakView], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "run",
        "model",
        "quant",
        "engine",
        "work",
        "start_s",
        "end_s",
        "tok_per_s",
        "fit_tok_per_s",
        "temperature_c",
        "clock_mhz",
        "power_w",
        "held_back",
    ])?;
    for (run, soak) in soaks.iter().enumerate() {
        for work in &soak.works {
            for window in &work.windows {
                csv.write_record(series_row(run, soak, work, window))?;
            }
        }
    }
    csv.flush()
}

fn series_row(run: usize, soak: &SoakView, work: &WorkView, window: &Window) -> Vec<String> {
    let at = |kind, scale: f64, decimals: usize| {
        let median = soak.trace(kind).and_then(|t| t.median_between(window.start_s, window.end_s));
        median.map_or_else(String::new, |value| format!("{:.decimals$}", value * scale))
    };
    let fit = work.analysis.accepted_fit().map(|fit| fit.at(window));
    let is_held_back =
        soak.held_back.iter().any(|s| s.from_s <= window.end_s && s.to_s >= window.start_s);
    let [model, quant, engine] = soak.names.clone();
    vec![
        run.to_string(),
        model,
        quant,
        engine,
        work.work.name().to_owned(),
        format!("{:.3}", window.start_s),
        format!("{:.3}", window.end_s),
        number(Some(window.tok_per_s)),
        number(fit),
        at(TraceKind::Temperature, 1.0, 2),
        at(TraceKind::Clock, 1e-6, 1),
        at(TraceKind::Power, 1.0, 3),
        u8::from(is_held_back).to_string(),
    ]
}

/// A row per sustained run and kind of work.
pub fn write_sustained(soaks: &[SoakView], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "run",
        "model",
        "quant",
        "engine",
        "work",
        "test",
        "cell_id",
        "invocation",
        "marks",
        "waited_s",
        "ended_by",
        "lasted_s",
        "window_s",
        "n_windows",
        "burst_tok_per_s",
        "sustained_tok_per_s",
        "sustained_lo",
        "sustained_hi",
        "retention",
        "onset_s",
        "verdict",
        "fit_onset_s",
        "fit_tau_s",
        "fit_sustained_tok_per_s",
        "fit_evidence",
        "period_s",
        "cause",
        "stability_min_by_max",
        "p5_tok_per_s",
        "p95_tok_per_s",
        "tokens_first_minute",
        "tokens",
        "burst_temperature_c",
        "sustained_temperature_c",
        "burst_clock_mhz",
        "sustained_clock_mhz",
        "burst_w",
        "sustained_w",
        "energy_channel",
        "energy_scope",
        "energy_quality",
        "burst_j_per_token",
        "sustained_j_per_token",
        "sustained_net_j_per_token",
        "onset_temperature_c",
        "onset_clock_mhz",
        "onset_w",
        "charge_first",
        "charge_last",
        "limit_temperature_c",
        "warming_tau_s",
        "thermal_resistance_k_per_w",
    ])?;
    for (run, soak) in soaks.iter().enumerate() {
        for work in &soak.works {
            csv.write_record(sustained_row(run, soak, work))?;
        }
    }
    csv.flush()
}

fn sustained_row(run: usize, soak: &SoakView, work: &WorkView) -> Vec<String> {
    let analysis = &work.analysis;
    let fit = analysis.accepted_fit();
    let tau = match analysis.verdict {
        Verdict::Slowdown(Shape::Decay { tau_s }) => Some(tau_s),
        _ => None,
    };
    let period = match analysis.verdict {
        Verdict::Oscillating(line) => Some(line.period_s),
        _ => None,
    };
    let [model, quant, engine] = soak.names.clone();
    let mut row = vec![
        run.to_string(),
        model,
        quant,
        engine,
        work.work.name().to_owned(),
        work.test.clone(),
        soak.of.as_ref().map_or_else(String::new, |(id, _)| id.clone()),
        soak.of.as_ref().map_or_else(String::new, |(_, invocation)| invocation.to_string()),
        soak.marks.join(";"),
        number(soak.waited_s),
        soak.ended_by.clone(),
        number(Some(soak.lasted_s)),
        number(Some(soak.rules.window_s)),
        analysis.n_windows.to_string(),
    ];
    let stability = analysis.stability.as_ref();
    row.extend([
        number(Some(analysis.burst)),
        number(Some(analysis.sustained.tok_per_s)),
        number(Some(analysis.sustained.lo)),
        number(Some(analysis.sustained.hi)),
        number(Some(analysis.retention())),
        number(analysis.onset_s),
        super::table::verdict_word(&analysis.verdict).to_owned(),
        number(fit.map(|fit| fit.t_on_s)),
        number(tau),
        number(fit.map(|fit| fit.y_inf)),
        number(analysis.fit.map(|fit| fit.evidence)),
        number(period),
        work.why.as_ref().map_or_else(String::new, |why| why.words()),
        number(stability.map(|s| s.worst_by_best)),
        number(stability.map(|s| s.p5)),
        number(stability.map(|s| s.p95)),
        number(Some(work.tokens_first_minute)),
        number(Some(work.tokens)),
    ]);
    let [first, onset, last] = work.moments;
    let both = |of: &dyn Fn(super::Moment) -> Option<f64>| {
        [first, last].map(|moment| number(moment.and_then(of)))
    };
    row.extend(both(&|m| m.temperature_c));
    row.extend(both(&|m| m.clock_hz.map(|hz| hz / 1e6)));
    row.extend(both(&|m| m.watts));
    let energy = work.energy.as_ref();
    let word = |of: &dyn Fn(&EnergyUse) -> String| energy.map_or_else(String::new, |e| of(&e[1]));
    row.extend([
        word(&|usage| usage.id.clone()),
        word(&|usage| usage.scope.name().to_owned()),
        word(&|usage| usage.quality.name().to_owned()),
        number(energy.map(|e| e[0].gross_j_per_token())),
        number(energy.map(|e| e[1].gross_j_per_token())),
        number(energy.and_then(|e| e[1].net_j_per_token())),
        number(onset.and_then(|m| m.temperature_c)),
        number(onset.and_then(|m| m.clock_hz.map(|hz| hz / 1e6))),
        number(onset.and_then(|m| m.watts)),
        number(soak.charge.map(|(first, _)| first)),
        number(soak.charge.map(|(_, last)| last)),
        number(soak.warming.map(|w| w.t_inf_c)),
        number(soak.warming.map(|w| w.tau_s)),
        number(soak.thermal_resistance),
    ]);
    row
}

/// Six significant digits, or nothing.
fn number(value: Option<f64>) -> String {
    let digits = |v: f64| match v.abs() {
        0.0 => 0,
        v => (5 - v.log10().floor() as i32).clamp(0, 9) as usize,
    };
    value.filter(|v| v.is_finite()).map_or_else(String::new, |v| format!("{v:.*}", digits(v)))
}
