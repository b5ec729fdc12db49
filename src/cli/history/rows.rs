//! Series as people read them: values with their units, and the words that tell cells apart.

use crate::compare::{Kind, Measure, Words, differences};
use crate::history::{Change, Point, Series};
use crate::report::{MISSING, number};

/// The unit in which a measure is shown.
pub fn unit(measure: Measure) -> &'static str {
    match measure.kind() {
        Kind::Time => "ms",
        Kind::Memory | Kind::Exact => "MiB",
    }
}

/// A value in its unit.
pub fn in_unit(measure: Measure, value: f64) -> f64 {
    match measure.kind() {
        Kind::Time => value,
        Kind::Memory | Kind::Exact => value / f64::from(1 << 20),
    }
}

/// A value in its unit, in about four digits.
pub fn value(measure: Measure, value: f64) -> String {
    number(in_unit(measure, value))
}

/// `+8.0 %`; where that would say nothing, `+16 B`.
pub fn change(measure: Measure, from: f64, to: f64) -> String {
    let sign = |v: f64| if v < 0.0 { "−" } else { "+" };
    let share = if from == 0.0 { f64::INFINITY } else { (to / from - 1.0) * 100.0 };
    match measure.kind() {
        _ if from == to => "0".to_owned(),
        Kind::Exact if share.abs() < 0.05 || !share.is_finite() => {
            format!("{}{} B", sign(to - from), (to - from).abs())
        }
        _ if !share.is_finite() => "from 0".to_owned(),
        _ => format!("{}{:.1} %", sign(share), share.abs()),
    }
}

/// `+8.0 %` of a change between two stretches.
pub fn of_change(measure: Measure, found: &Change) -> String {
    change(measure, found.before, found.after)
}

/// A moment as tables show it: to the minute, UTC.
pub fn moment(date: &str) -> String {
    date.get(..16).unwrap_or(date).replace('T', " ")
}

/// What stood around the number and changed with it, beside the commit.
pub fn also(before: &Point, after: &Point) -> Vec<String> {
    let found = differences(&before.surroundings(), &after.surroundings());
    found.iter().map(ToString::to_string).collect()
}

/// Names under which the cells of these series differ, beside those that always have a column or are
/// told by the test.
pub fn axes(series: &[&Series]) -> Vec<String> {
    const TOLD: [&str; 8] =
        ["model", "quant", "engine", "n_prompt", "n_gen", "n_depth", "shape", "file"];
    let Some(first) = series.first() else { return Vec::new() };
    let names = series.iter().flat_map(|s| s.what.keys()).filter(|n| !TOLD.contains(&n.as_str()));
    let mut names: Vec<String> = names.cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| series.iter().any(|s| s.what.get(name) != first.what.get(name)));
    names
}

/// What is timed, told apart from what `others` of its table time.
pub fn test(series: &Series, others: &[&Series]) -> String {
    let tells = series.measure.kind() == Kind::Time && series.measure != Measure::Load;
    if tells || others.iter().all(|other| other.lengths() == series.lengths()) {
        return series.test();
    }
    format!("{} ({})", series.test(), series.lengths_in_words())
}

/// A cell's words: model, quantisation, engine, and those that tell it apart.
pub fn cell(what: &Words, axes: &[String]) -> Vec<String> {
    let names = ["model", "quant", "engine"].into_iter().chain(axes.iter().map(String::as_str));
    names.map(|name| what.get(name).cloned().unwrap_or_else(|| MISSING.to_owned())).collect()
}

/// A place in one line: `AMD EPYC, 2 CPUs, governor performance`.
pub fn place(words: &Words) -> String {
    let word = |name: &str| words.get(name).map(String::as_str);
    let mut parts: Vec<String> = Vec::new();
    parts.extend(word("machine").map(str::to_owned));
    parts.extend(word("CPU").map(str::to_owned));
    parts.extend(word("CPUs").map(|n| format!("{n} CPU{}", if n == "1" { "" } else { "s" })));
    for name in ["governor", "power mode", "GPUs", "gate"] {
        parts.extend(word(name).map(|word| format!("{name} {word}")));
    }
    parts.join(", ")
}
