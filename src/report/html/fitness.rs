//! Whether the machine was fit while it was measured, as its records tell.

use super::super::soak::Why;
use super::super::text;
use super::super::view::ReportView;
use crate::record::{GateOutcome, Mark, Record};
use crate::stats::median;

/// What is said of the machine.
pub struct Fitness {
    /// In a few words.
    pub word: &'static str,
    /// How that looks: `good`, `mark`, `bad`, or nothing.
    pub class: &'static str,
    /// What is known beside it: names with their values.
    pub facts: Vec<(&'static str, String)>,
}

impl Fitness {
    /// Of a run.
    pub fn new(view: &ReportView) -> Fitness {
        let marked = view.marked();
        let any = |mark: Mark| marked.contains_key(&mark);
        let works = || view.soaks.iter().flat_map(|soak| &soak.works);
        let was_throttled = any(Mark::Throttled)
            || works().any(|work| work.why.as_ref().is_some_and(|why| *why != Why::Unknown));
        // Whether anything at all told of the machine.
        let is_known = view.records.iter().any(|r| r.surroundings.foreign_cpu_share.is_some())
            || view.soaks.iter().any(|soak| !soak.traces.is_empty());
        let facts = facts(view, &view.records);
        let (word, class) = if was_throttled {
            ("held back by heat or power", "bad")
        } else if any(Mark::Disturbed) {
            ("disturbed by other work", "mark")
        } else if any(Mark::GateTimeout) {
            ("not at rest before every invocation", "mark")
        } else if is_known {
            ("nothing disturbed it or held it back, as far as can be told", "good")
        } else {
            ("not known: nothing tells of its surroundings", "")
        };
        Fitness { word, class, facts }
    }
}

fn facts(view: &ReportView, records: &[&Record]) -> Vec<(&'static str, String)> {
    let host = &view.run.host;
    let mut facts = Vec::new();
    // What governors and power modes are called comes from the machine's files.
    let mut fact = |name, value: Option<String>| {
        facts.extend(value.map(|value| (name, text::elide(&text::plain(&value), 200))));
    };
    fact("Governor", host.governor.clone());
    fact("Power mode", host.power_mode.clone());
    fact("Room", view.run.ambient.map(|ambient| ambient.to_string()));
    let of = |number: fn(&Record) -> Option<f64>| -> Vec<f64> {
        records.iter().filter_map(|record| number(record)).collect()
    };
    let least = |values: &[f64]| values.iter().copied().min_by(f64::total_cmp);
    let most = |values: &[f64]| values.iter().copied().max_by(f64::total_cmp);
    let starts = of(|r| r.surroundings.temperature_start.map(|c| c.0));
    let ends = of(|r| r.surroundings.temperature_end.map(|c| c.0));
    fact(
        "Temperature",
        least(&starts)
            .zip(most(&ends))
            .map(|(a, b)| format!("{a:.1} °C at the coolest start, {b:.1} °C at the hottest end")),
    );
    let clocks = of(|r| r.surroundings.clock_end.map(|hz| hz.0 as f64 / 1e6));
    fact(
        "Clock",
        least(&clocks)
            .zip(most(&clocks))
            .map(|(a, b)| format!("{a:.0} to {b:.0} MHz at the end of invocations")),
    );
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let foreign = of(|r| r.surroundings.foreign_cpu_share);
    fact(
        "Other work",
        median(&foreign).zip(most(&foreign)).map(|(middle, most)| {
            format!("{} of the CPUs, {} at the most", percent(middle), percent(most))
        }),
    );
    let steal = of(|r| r.surroundings.steal_share);
    fact(
        "Taken by the hypervisor",
        most(&steal).filter(|s| *s > 0.0).map(|s| format!("up to {}", percent(s))),
    );
    fact("Rest before invocations", gates(records));
    fact(
        "Marked",
        Some(marked(view)).filter(|marked| !marked.is_empty()).map(|marked| marked.join(", ")),
    );
    facts
}

/// How the machine came to rest, in words.
fn gates(records: &[&Record]) -> Option<String> {
    let gates: Vec<_> = records.iter().filter_map(|r| r.gate.as_ref()).collect();
    let n = |outcome| gates.iter().filter(|gate| gate.outcome == outcome).count();
    let waits: Vec<f64> = gates.iter().map(|gate| gate.waited_ns as f64 / 1e9).collect();
    let waited = median(&waits)?;
    let mut words = vec![format!("{waited:.0} s of waiting, the median")];
    for (outcome, what) in [
        (GateOutcome::TimedOut, "given up"),
        (GateOutcome::NoSensors, "without a sensor to wait for"),
    ] {
        if n(outcome) > 0 {
            words.push(format!("{} of {} {what}", n(outcome), gates.len()));
        }
    }
    Some(words.join("; "))
}

fn marked(view: &ReportView) -> Vec<String> {
    let marked = view.marked();
    let all = [Mark::Throttled, Mark::Disturbed, Mark::GateTimeout, Mark::Unaccounted];
    let told = |mark: Mark| {
        let cells = text::count(*marked.get(&mark)?, "cell");
        Some(format!("{cells} {}", mark.word().replace('_', " ")))
    };
    all.into_iter().filter_map(told).collect()
}
