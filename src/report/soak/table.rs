//! Sustained runs as a table with a few sentences below, for the terminal and for `summary.md`.

use super::{SoakView, TraceKind, WorkView};
use crate::record::Work;
use crate::report::paint::Tone;
use crate::report::table::{Align, Column, Narrow, Table};
use crate::report::text::{self, MISSING};
use crate::stats::soak::{Shape, Sustained, Verdict};

/// The word for a verdict in CSV.
pub fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::TooShort => "too_short",
        Verdict::Steady => "steady",
        Verdict::Slowdown(Shape::Decay { .. }) => "decay",
        Verdict::Slowdown(Shape::Step) => "step",
        Verdict::Slowdown(Shape::Unshaped) => "slowdown",
        Verdict::Oscillating(_) => "oscillating",
        Verdict::Faster => "faster",
        Verdict::Passing => "passing",
    }
}

/// For a terminal of this width; nothing without sustained runs.
pub fn terminal(soaks: &[SoakView], width: usize) -> String {
    if soaks.is_empty() {
        return String::new();
    }
    let mut out = table(soaks).to_text(width);
    for line in sentences(soaks) {
        out.push_str(&text::wrapped(&line, width, "  "));
    }
    out
}

/// For `summary.md`.
pub fn markdown(soaks: &[SoakView]) -> String {
    let mut out = table(soaks).to_markdown();
    out.push('\n');
    for line in sentences(soaks) {
        out.push_str(&format!("- {}\n", text::markdown(&line)));
    }
    out
}

/// A row for each run and kind of work.
pub fn table(soaks: &[SoakView]) -> Table {
    let left = |header: &str| Column::new(header, Align::Left);
    let right = |header: &str| Column::new(header, Align::Right);
    let mut table = Table::new(vec![
        left("model").narrow(Narrow::ElideTo(14)),
        left("quant"),
        left("engine").narrow(Narrow::ElideTo(10)),
        left("which"),
        left("test"),
        right("burst t/s"),
        right("sustained t/s"),
        right("95 % interval ").narrow(Narrow::Drop(1)),
        right("kept"),
        right("onset").narrow(Narrow::Drop(2)),
        left("what happened").toned(tone),
    ]);
    for soak in soaks {
        let [model, quant, engine] = &soak.names;
        let which = soak.apart.join(", ");
        let front = |test: &str| [model, quant, engine, &which, test].map(text::plain).to_vec();
        if soak.works.is_empty() {
            let mut row = front(MISSING);
            row.extend([MISSING; 5].map(str::to_owned));
            let word = soak.ended_by.replace('_', " ");
            row.push(if soak.trouble.is_some() { word } else { "too short to tell".to_owned() });
            table.push(row);
        }
        for work in &soak.works {
            let mut row = front(&work.test);
            row.extend(numbers(work));
            row.push(what_happened(soak, work));
            table.push(row);
        }
    }
    table
}

fn numbers(work: &WorkView) -> [String; 5] {
    let analysis = &work.analysis;
    let sustained = &analysis.sustained;
    [
        text::number(analysis.burst),
        text::number(sustained.tok_per_s),
        format!("{} – {} ", text::number(sustained.lo), text::number(sustained.hi)),
        format!("{:.0} %", 100.0 * analysis.retention()),
        super::slowdown_at(analysis).map_or(MISSING.to_owned(), seconds),
    ]
}

/// In a few words: the shape and the cause.
fn what_happened(soak: &SoakView, work: &WorkView) -> String {
    let shape = match &work.analysis.verdict {
        Verdict::TooShort => return "too short to tell".to_owned(),
        Verdict::Steady => return steady(soak, &work.analysis.sustained),
        Verdict::Faster => return "faster than at first".to_owned(),
        Verdict::Passing => return "changed on the way; first and last speed agree".to_owned(),
        Verdict::Slowdown(Shape::Decay { tau_s }) => {
            format!("falls, τ {}", seconds(*tau_s))
        }
        Verdict::Slowdown(Shape::Step) => "falls at once".to_owned(),
        Verdict::Slowdown(Shape::Unshaped) => "falls".to_owned(),
        Verdict::Oscillating(line) => format!("oscillates, period {}", seconds(line.period_s)),
    };
    match &work.why {
        Some(why) => format!("{shape}; {}", why.words()),
        None => shape,
    }
}

/// How what happened looks.
fn tone(words: &str) -> Option<Tone> {
    if words.starts_with("falls") || words.starts_with("oscillates") {
        Some(Tone::Bad)
    } else {
        words.starts_with("unclear").then_some(Tone::Care)
    }
}

/// Half of the interval as a share of the sustained speed above which a wander hides what may be there.
const WIDE: f64 = 0.1;

/// That no slowdown was seen, and how large one could have gone unseen.
fn steady(soak: &SoakView, sustained: &Sustained) -> String {
    let half = (sustained.hi - sustained.lo) / 2.0 / sustained.tok_per_s;
    match half > WIDE {
        true => format!("unclear: the speed wanders by ±{:.0} %", 100.0 * half),
        false => format!("no slowdown seen in {}", seconds(soak.lasted_s)),
    }
}

/// What does not fit a table: temperature, clock, power, energy, how it ended.
pub fn sentences(soaks: &[SoakView]) -> Vec<String> {
    let sentence =
        |soak: &SoakView| text::plain(&format!("{}: {}.", soak.name(), parts(soak).join("; ")));
    soaks.iter().map(sentence).collect()
}

fn parts(soak: &SoakView) -> Vec<String> {
    if soak.works.is_empty() && soak.lasted_s == 0.0 {
        let word = soak.ended_by.replace('_', " ");
        return vec![match &soak.trouble {
            Some(trouble) => format!("{word}: {trouble}"),
            None => word,
        }];
    }
    let mut parts = vec![match soak.ended_by.as_str() {
        "steady" => format!("steady after {}", seconds(soak.lasted_s)),
        "time" => format!("ran for {}", seconds(soak.lasted_s)),
        "user" => format!("stopped by the user after {}", seconds(soak.lasted_s)),
        word => format!("{} after {}", word.replace('_', " "), seconds(soak.lasted_s)),
    }];
    parts.extend(soak.trouble.clone());
    if !soak.marks.is_empty() {
        parts.push(format!("marked {}", soak.marks.join(", ").replace('_', " ")));
    }
    // A machine at rest is waited for as long as it has to hold; what is beyond is recovery.
    if let Some(waited) = soak.waited_s.filter(|s| *s >= 1.0) {
        parts.push(format!("{} before it the machine came to rest", seconds(waited)));
    }
    let Some(work) = soak.works.first() else { return parts };
    let done = match work.work {
        Work::Decode => "tokens decoded",
        Work::Prefill => "prompt tokens evaluated",
    };
    parts.push(format!(
        "{} {done}, {} of them in the first minute",
        text::grouped(work.tokens, 0),
        text::grouped(work.tokens_first_minute, 0),
    ));
    let [first, _, last] = work.moments;
    if let Some((first, last)) = first.zip(last) {
        let mut change = |of: fn(super::Moment) -> Option<f64>, show: fn(f64) -> String| {
            if let Some((a, b)) = of(first).zip(of(last)) {
                parts.push(format!("{} at first, {} in the end", show(a), show(b)));
            }
        };
        change(|m| m.temperature_c, |c| format!("{c:.1} °C"));
        change(|m| m.clock_hz, |hz| format!("{:.0} MHz", hz / 1e6));
    }
    if let (Some(power), Some((first, last))) = (soak.trace(TraceKind::Power), first.zip(last))
        && let Some((first, last)) = first.watts.zip(last.watts)
    {
        let of = match &power.scope {
            Some(scope) => format!("{}, {scope}", power.id),
            None => power.id.clone(),
        };
        parts.push(format!("{first:.1} W at first, {last:.1} W in the end ({of})"));
    }
    for work in &soak.works {
        parts.extend(energy(work));
    }
    if let Some((first, last)) = soak.charge {
        let (first, last) = (100.0 * first, 100.0 * last);
        parts.push(format!("battery {first:.0} % at first, {last:.0} % in the end"));
    }
    if let Some(warming) = &soak.warming {
        let mut words = format!(
            "warms towards {:.1} °C with a time constant of {}",
            warming.t_inf_c,
            seconds(warming.tau_s)
        );
        if let Some(resistance) = soak.thermal_resistance {
            words.push_str(&format!(", {resistance:.1} K/W against the room"));
        }
        parts.push(words);
    }
    if let Some(stability) = soak.works[0].analysis.stability.as_ref() {
        parts.push(format!(
            "worst ÷ best loop {:.1} % (noise alone lowers it)",
            100.0 * stability.worst_by_best
        ));
    }
    if soak.traces.is_empty() && soak.of.is_some() {
        parts.push("no sensor of temperature, clock or power could be read".to_owned());
    }
    parts
}

/// Joules per token with channel, scope and quality beside them.
fn energy(work: &WorkView) -> Option<String> {
    let [first, last] = work.energy.as_ref()?;
    let net = last.net_j_per_token().map(|net| format!(" ({} net of idle)", text::number(net)));
    Some(format!(
        "{}: {} J/token at first, {}{} in the end ({}, {}, {})",
        work.work.name(),
        text::number(first.gross_j_per_token()),
        text::number(last.gross_j_per_token()),
        net.unwrap_or_default(),
        last.id,
        last.scope.name(),
        last.quality.name(),
    ))
}

/// `45 s`, `6 min 20 s`.
fn seconds(s: f64) -> String {
    match s {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => {
            let whole = s.round() as u64;
            match whole % 60 {
                0 => format!("{} min", whole / 60),
                rest => format!("{} min {rest} s", whole / 60),
            }
        }
    }
}
