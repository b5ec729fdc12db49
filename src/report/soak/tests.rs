//! A sustained run from its record to what people read.

use super::*;
use crate::record::{
    Baseline, Cause, Channel, Quality, Sample, Scope, Sensing, SensorLog, SoakEnd,
};
use crate::report::{ReportView, fixture};
use crate::settings::Soak;
use crate::units::Celsius;

const SECOND: u64 = 1_000_000_000;

fn series(id: &str, kind: ChannelKind, cause: Option<Cause>, value: impl Fn(f64) -> f64) -> Series {
    let channel = Channel {
        id: id.to_owned(),
        kind,
        source: "sys/somewhere".to_owned(),
        scope: Scope::Board,
        quality: Quality::Instant,
        cause,
        relevant: true,
    };
    let at_ns: Vec<u64> = (0..=1210).map(|s| s * SECOND).collect();
    let values = (0..=1210).map(|s| value(f64::from(s))).collect();
    Series { channel, at_ns, values, n_readings: 0, n_failed: 0 }.thinned()
}

/// Full speed for 300 s, then down to 60 % with a time constant of 100 s.
fn share(t: f64) -> f64 {
    if t < 300.0 { 1.0 } else { 0.6 + 0.4 * (-(t - 300.0) / 100.0).exp() }
}

/// A board that becomes too hot after five minutes: passes of 64 prompt and 16 decoded tokens.
fn hot() -> fixture::Fixture {
    let mut hot = fixture::single(1);
    let record = &mut hot.records[0];
    record.cell.soak = Some(Soak::default());
    (record.cell.n_prompt, record.cell.n_gen) = (64, 16);
    record.soak_end = Some(SoakEnd::Time);
    record.samples.clear();
    let mut now = SECOND as f64;
    while now < 1200.0 * SECOND as f64 {
        // A little unevenness, the same every time.
        let wobble = 1.0 + 0.01 * f64::sin(now * 1e-9 * 12.9898);
        let speed = share(now / SECOND as f64) * wobble;
        let (prefill, decode) = (0.8e9 / speed, 0.2e9 / speed);
        let (prefill_ns, itl_ns) = (prefill as u64, vec![decode as u64; 16]);
        record.samples.push(Sample {
            start_ns: now as u64,
            prefill_ns: Some(prefill_ns),
            ttft_ns: Some(prefill_ns),
            itl_ns,
        });
        now += prefill + 16.0 * decode;
    }
    record.sensors = Some(SensorLog {
        series: vec![
            series("thermal/cpu-thermal", ChannelKind::Temperature, None, |t| {
                85.0 - 45.0 * (-t / 120.0).exp()
            }),
            series("cpufreq/policy0", ChannelKind::Clock, None, |t| 2.4e9 * share(t)),
            series("cooling/cpufreq-cpu0", ChannelKind::Cooling, Some(Cause::Thermal), |t| {
                if t < 298.0 { 0.0 } else { 3.0 }
            }),
            series("pi/pmic/total", ChannelKind::Power, None, |t| 3.0 + 6.0 * share(t)),
        ],
        ..SensorLog::default()
    });
    hot.run.cells[0] = record.cell.clone();
    hot.run.ambient = Some(Celsius(23.0));
    hot.run.sensing = Some(Sensing {
        baseline: Some(Baseline {
            took_ns: 60 * SECOND,
            values: [("cooling/cpufreq-cpu0".to_owned(), 0.0)].into(),
            idle_watts: [("pi/pmic/total".to_owned(), 3.0)].into(),
        }),
        ..Sensing::default()
    });
    hot
}

#[test]
fn a_board_that_becomes_too_hot_is_told_with_everything_around_it() {
    let hot = hot();
    let view = ReportView::new(&hot.run, &hot.records);
    assert!(view.cells.is_empty(), "it is no cell of the ordinary kind");
    let mut csv = Vec::new();
    write_sustained(&view.soaks, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    let told: Vec<String> = header
        .iter()
        .zip(&row)
        .filter(|(name, _)| !["cell_id", "run"].contains(name))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let shown = terminal(&view.soaks, 120);
    insta::assert_snapshot!(format!("{shown}\n{}\n", told.join("\n")));
}

#[test]
fn a_long_pass_fills_as_many_windows_as_it_lasts() {
    let mut slow = hot();
    let record = &mut slow.records[0];
    // Passes of three quarters of a minute, of which half a minute decodes.
    record.samples = (0..26)
        .map(|i| Sample {
            start_ns: i * 45 * SECOND,
            prefill_ns: Some(15 * SECOND),
            ttft_ns: Some(15 * SECOND),
            itl_ns: vec![SECOND; 30],
        })
        .collect();
    let view = ReportView::new(&slow.run, &slow.records);
    let decode = &view.soaks[0].works[0];
    assert!(decode.windows.len() > 60, "{}", decode.windows.len());
    assert_eq!(decode.analysis.verdict, Verdict::Steady);
    assert_eq!(decode.tokens, 26.0 * 30.0);
}

#[test]
fn a_run_that_never_began_says_why_and_has_no_numbers() {
    let mut none = hot();
    none.records[0].samples.clear();
    none.records[0].soak_end = None;
    none.records[0].outcome =
        crate::record::Outcome::Unfit { reason: "it does not fit".to_owned() };
    let view = ReportView::new(&none.run, &none.records);
    let shown = terminal(&view.soaks, 120);
    assert!(shown.contains("unfit: it does not fit."), "{shown}");
    assert!(view.soaks[0].works.is_empty());
}

#[test]
fn a_graphics_card_says_nothing_of_what_the_cpu_computed() {
    let mut both = hot();
    let log = both.records[0].sensors.as_mut().unwrap();
    log.series.push(series("nvml/0/power", ChannelKind::Power, None, |_| 300.0));
    log.series.push(series("nvml/0/temperature", ChannelKind::Temperature, None, |_| 99.0));
    let view = ReportView::new(&both.run, &both.records);
    let ids: Vec<&str> = view.soaks[0].traces.iter().map(|trace| trace.id.as_str()).collect();
    assert_eq!(ids, ["thermal/cpu-thermal", "cpufreq/policy0", "pi/pmic/total"]);
}
