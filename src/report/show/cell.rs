//! One cell in full: what it was, its measures, every invocation, the gap before each token, memory.

use super::super::table::{Align, Column, Narrow, Table};
use super::super::text::{self, MISSING};
use super::super::view::{CellView, ReportView, decode_tok_per_s, ms, prefill_tok_per_s};
use super::super::{memory, profile, results, soak, types};
use super::chart::{Bar, chart};
use super::{line, prefills, token_bars};
use crate::plan::{Cell, CellId};
use crate::record::{Outcome, Record, Sample};
use crate::stats::{median, quantile};

/// A gap longer than this multiple of the median is worth a line.
const LATE: f64 = 1.5;

/// Late tokens that are listed.
const MOST_LATE: usize = 5;

/// Everything about one cell, lines at most `width` columns wide where that can be reached; nothing
/// where there is no such cell.
pub fn cell_text(view: &ReportView, id: &CellId, width: usize) -> String {
    let Some(cell) = super::cells(view).into_iter().find(|cell| cell.id == *id) else {
        return String::new();
    };
    let mut out = text::wrapped(&text::plain(&name(cell)), width, "");
    let mut say = |words: String| out.push_str(&text::wrapped(&text::plain(&words), width, "  "));
    say(format!("cell: {id}"));
    let timed = view.cells.iter().find(|timed| timed.cell.id == *id);
    if let Some(timed) = timed {
        facts(timed).into_iter().for_each(&mut say);
        timed_text(timed, &mut out, width);
    }
    let soaks: Vec<soak::SoakView> = view
        .soaks
        .iter()
        .filter(|soak| soak.of.as_ref().is_some_and(|(of, _)| *of == id.0))
        .cloned()
        .collect();
    if !soaks.is_empty() {
        out.push('\n');
        out.push_str(&soak::terminal(&soaks, width));
        out.push_str(&soak_charts(&soaks, width));
    }
    let profiles = view.profiles.iter().filter(|profile| profile.record.cell.id == *id);
    for profile in profiles {
        out.push('\n');
        out.push_str(&profile::terminal(std::slice::from_ref(profile), width));
    }
    out
}

/// In one line what it is.
fn name(cell: &Cell) -> String {
    format!("{} {} {} {}", cell.model, cell.quant, cell.engine, cell.test())
}

/// What became of it, and of what it was made.
fn facts(timed: &CellView) -> Vec<String> {
    let (cell, outcome) = (timed.cell, &timed.outcome);
    let counts = outcome.counts.iter().map(|(word, n)| format!("{n} {}", word.replace('_', " ")));
    let mut counted: Vec<String> = counts.collect();
    if counted.is_empty() {
        counted.push("not run".to_owned());
    }
    let of = text::count(outcome.planned, "invocation");
    let mut facts = vec![format!("outcome: {} of {of}", counted.join(", "))];
    let marks: Vec<String> = timed
        .marks
        .iter()
        .map(|mark| format!("{} ({})", mark.word().replace('_', " "), results::meaning(*mark)))
        .collect();
    if !marks.is_empty() {
        facts.push(format!("marks: {}", marks.join("; ")));
    }
    if let Some(model) = timed.model {
        let seed = model.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
        facts.push(format!(
            "model: {}, {}{seed}, {} MiB, {:.2} bits per weight: {}",
            model.arch,
            model.origin,
            text::mib(model.weight_bytes as f64),
            model.bits_per_weight,
            types::in_words(Some(model)),
        ));
    }
    if let Some(engine) = timed.records.iter().find_map(|record| record.engine.as_ref()) {
        facts.push(format!("engine: {} {}", engine.name, engine.version));
    }
    let settings = &cell.settings;
    let auto = |value: Option<u32>| value.map_or("auto".to_owned(), |value| value.to_string());
    let load_mode = match timed.resolved {
        Some(resolved) => resolved.load_mode.clone(),
        None => settings.load_mode.to_string(),
    };
    facts.push(format!(
        "settings: {} threads on CPUs {}, n_ctx {}, n_batch {}, n_ubatch {}, KV cache {} and {}, flash \
         attention {}, device {}, weights by {load_mode}, tokens {}",
        auto(timed.n_threads()),
        cell.cpus,
        auto(timed.n_ctx()),
        timed.resolved.map_or(settings.n_batch, |resolved| resolved.n_batch),
        timed.n_ubatch(),
        settings.type_k,
        settings.type_v,
        timed.flash_attn(),
        timed.backend_device(),
        cell.feed,
    ));
    facts
}

fn timed_text(timed: &CellView, out: &mut String, width: usize) {
    if timed.outcome.finished() {
        out.push('\n');
        out.push_str(&measures(timed).to_text(width));
        if timed.measures.named().iter().flat_map(|(_, e)| e).any(|e| e.interval().is_none()) {
            out.push_str(&text::wrapped(&results::range_meaning(), width, ""));
        }
    }
    if !timed.records.is_empty() {
        out.push('\n');
        out.push_str(&invocations(timed).to_text(width));
    }
    if let Some(reason) = &timed.outcome.reason {
        let log = reason.log.as_ref().map(|log| format!(" (log: {log})")).unwrap_or_default();
        let words = format!("{}: {}{log}", results::share(timed), reason.text);
        out.push_str(&text::wrapped(&text::plain(&words), width, ""));
    }
    out.push_str(&timeline(timed, width));
    if let Some(table) = memory::of_cell(timed) {
        out.push('\n');
        out.push_str(&table.to_text(width));
    }
}

/// A row per measure.
fn measures(timed: &CellView) -> Table {
    let mut table = Table::new(vec![
        Column::new("measure", Align::Left),
        Column::new("", Align::Right),
        Column::new("unit", Align::Left),
        Column::new("95 % interval ", Align::Right),
        Column::new("n", Align::Right),
    ]);
    let m = &timed.measures;
    let peak = m.peak_rss_bytes.map(|e| e.scaled(1.0 / f64::from(1 << 20)));
    let rows = [
        ("prefill", "t/s", m.prefill_tok_per_s),
        ("prefill", "ms", m.prefill_ms),
        ("TTFT", "ms", m.ttft_ms),
        ("decode", "t/s", m.decode_tok_per_s),
        ("TPOT", "ms", m.tpot_ms),
        ("ITL p50", "ms", m.itl_p50_ms),
        ("ITL p90", "ms", m.itl_p90_ms),
        ("ITL p99", "ms", m.itl_p99_ms),
        ("load", "ms", m.load_ms),
        ("peak memory", "MiB", peak),
    ];
    for (name, unit, estimate) in rows {
        let Some(estimate) = estimate else { continue };
        table.push(vec![
            name.to_owned(),
            text::number(estimate.value),
            unit.to_owned(),
            text::spread(&estimate),
            estimate.n.to_string(),
        ]);
    }
    table
}

/// A row per invocation: its medians, the machine, the course of its gaps.
fn invocations(timed: &CellView) -> Table {
    let right = |header: &str| Column::new(header, Align::Right);
    let mut table = Table::new(vec![
        right("invocation"),
        Column::new("outcome", Align::Left).toned(results::outcome_tone),
        right("passes"),
        right("prefill t/s"),
        right("TTFT ms"),
        right("decode t/s"),
        right("p50 ms"),
        right("slowest"),
        right("load ms").narrow(Narrow::Drop(3)),
        right("peak MiB").narrow(Narrow::Drop(4)),
        right("°C").narrow(Narrow::Drop(5)),
        right("MHz").narrow(Narrow::Drop(5)),
        right("other work").narrow(Narrow::Drop(2)),
        Column::new("marks", Align::Left).narrow(Narrow::Drop(6)).toned(results::mark_tone),
        Column::new("by pass", Align::Left).narrow(Narrow::Drop(1)),
    ]);
    for record in &timed.records {
        let each = |number: fn(&Record, &Sample) -> Option<f64>| {
            let values: Vec<f64> =
                record.samples.iter().filter_map(|s| number(record, s)).collect();
            shown(median(&values))
        };
        let gaps: Vec<f64> =
            record.samples.iter().flat_map(|s| &s.itl_ns).map(|&ns| ms(ns)).collect();
        let around = &record.surroundings;
        let marks: Vec<String> =
            record.marks.iter().map(|mark| mark.word().replace('_', " ")).collect();
        table.push(vec![
            (record.invocation + 1).to_string(),
            record.outcome.word().replace('_', " "),
            record.samples.len().to_string(),
            each(prefill_tok_per_s),
            each(|_, s| s.ttft_ns.map(ms)),
            each(|_, s| decode_tok_per_s(s)),
            shown(median(&gaps)),
            shown(quantile(&gaps, 1.0)),
            shown(record.load.as_ref().map(|load| ms(load.load_ns))),
            record.memory.peak_rss_bytes.map_or(String::new(), |bytes| text::mib(bytes as f64)),
            around.temperature_end.map_or(String::new(), |celsius| format!("{:.1}", celsius.0)),
            around.clock_end.map_or(String::new(), |hertz| format!("{:.0}", hertz.0 as f64 / 1e6)),
            around
                .foreign_cpu_share
                .map_or(String::new(), |share| format!("{:.1} %", 100.0 * share)),
            marks.join(", "),
            line(&by_pass(record)),
        ]);
    }
    table
}

fn shown(value: Option<f64>) -> String {
    value.map_or(String::new(), text::number)
}

/// Milliseconds of each pass: its prefill and its decode together.
fn by_pass(record: &Record) -> Vec<f64> {
    let pass = |sample: &Sample| ms(sample.ttft_ns.unwrap_or(0) + sample.decode_ns().unwrap_or(0));
    record.samples.iter().map(pass).collect()
}

/// The gap before each token as a chart, and the tokens that were late; of cells that decode nothing the
/// passes.
fn timeline(timed: &CellView, width: usize) -> String {
    let bars = token_bars(timed);
    if !bars.is_empty() {
        let n = bars.len().to_string();
        let title = "gap before each token in ms: median of all passes, with a dot for the slowest";
        let chart = chart(&bars, ["1", "token", &n], width);
        return format!("\n{}{chart}{}", text::wrapped(title, width, ""), late(timed, width));
    }
    let bars: Vec<Bar> = prefills(timed).iter().map(|&ms| Bar { typical: ms, worst: ms }).collect();
    if bars.is_empty() {
        return String::new();
    }
    let n = bars.len().to_string();
    let chart = chart(&bars, ["1", "pass", &n], width);
    format!("\nprefill of each pass in ms, one invocation after the other\n{chart}")
}

/// The tokens that kept waiting longest, where they did so much longer than others.
fn late(timed: &CellView, width: usize) -> String {
    let mut gaps: Vec<(f64, String)> = Vec::new();
    let mut all = Vec::new();
    for record in timed.records.iter().filter(|r| r.outcome == Outcome::Finished) {
        for (pass, sample) in record.samples.iter().enumerate() {
            for (token, &ns) in sample.itl_ns.iter().enumerate() {
                all.push(ms(ns));
                let [token, pass] = [token, pass].map(|i| i + 1);
                let place =
                    format!("token {token}, pass {pass}, invocation {}", record.invocation + 1);
                gaps.push((ms(ns), place));
            }
        }
    }
    let typical = median(&all).unwrap_or(f64::NAN);
    gaps.retain(|(gap, _)| *gap > LATE * typical);
    if gaps.is_empty() {
        return String::new();
    }
    gaps.sort_by(|a, b| b.0.total_cmp(&a.0));
    let share = 100.0 * gaps.len() as f64 / all.len() as f64;
    let mut out = text::wrapped(
        &format!(
            "{} of {} ({share:.1} %) took more than {LATE} × the median of {} ms; the longest:",
            gaps.len(),
            text::count(all.len(), "gap"),
            text::number(typical),
        ),
        width,
        "",
    );
    for (gap, place) in gaps.iter().take(MOST_LATE) {
        let words = format!("{} ms, {:.1} ×: {place}", text::number(*gap), gap / typical);
        out.push_str(&text::wrapped(&words, width, "  "));
    }
    out
}

/// Speed by time for each kind of work, and below it when something held the machine back.
fn soak_charts(soaks: &[soak::SoakView], width: usize) -> String {
    let mut out = String::new();
    for soak in soaks {
        for work in &soak.works {
            let bars: Vec<Bar> = work
                .windows
                .iter()
                .map(|window| Bar { typical: window.tok_per_s, worst: window.tok_per_s })
                .collect();
            let end = format!("{:.0} s", soak.lasted_s);
            let chart = chart(&bars, ["0 s", "time", &end], width);
            out.push_str(&format!("\n{} in t/s, window by window\n{chart}", work.test));
        }
        for trace in &soak.traces {
            out.push_str(&text::wrapped(&trace_line(trace), width, ""));
        }
        for span in &soak.held_back {
            let words = format!("held back from {:.0} s to {:.0} s", span.from_s, span.to_s);
            out.push_str(&text::wrapped(&format!("{words}: {}", text::plain(&span.id)), width, ""));
        }
    }
    out
}

/// A sensor's course in one line.
fn trace_line(trace: &soak::Trace) -> String {
    let (scale, unit) = match trace.kind {
        soak::TraceKind::Temperature => (1.0, "°C"),
        soak::TraceKind::Clock => (1e-6, "MHz"),
        soak::TraceKind::Power => (1.0, "W"),
    };
    let bars: Vec<Bar> = trace
        .points
        .iter()
        .map(|&(_, value)| Bar { typical: value * scale, worst: value * scale })
        .collect();
    let values: Vec<f64> =
        super::chart::thinned(&bars, 2 * super::SPARKS).iter().map(|bar| bar.typical).collect();
    let [first, last] = [values.first(), values.last()]
        .map(|value| value.map_or(MISSING.to_owned(), |value| format!("{value:.1}")));
    format!("{}  {}  {first} to {last} {unit}", text::plain(&trace.id), line(&values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};
    use crate::report::paint::without_colour;

    fn first(fixture: &Fixture, width: usize) -> String {
        let view = ReportView::new(&fixture.run, &fixture.records);
        let id = super::super::cells(&view)[0].id.clone();
        without_colour(&cell_text(&view, &id, width))
    }

    #[test]
    fn a_cell_is_shown_with_every_token() {
        let mut fixture = fixture::single(3);
        // A stutter that has to be found.
        let pass = &mut fixture.records[1].samples[0];
        pass.itl_ns[4] *= 4;
        insta::assert_snapshot!(first(&fixture, 100));
    }

    #[test]
    fn a_cell_that_never_ran_says_so() {
        let mut fixture = fixture::single(1);
        fixture.records.clear();
        let text = first(&fixture, 80);
        assert!(text.contains("outcome: not run of 1 invocation"), "{text}");
        assert!(!text.contains("measure") && !text.contains("token,"), "{text}");
    }

    #[test]
    fn a_profile_is_shown_as_its_tables() {
        let text = first(&fixture::profiled(), 100);
        assert!(text.contains("attention") && text.contains("prefill"), "{text}");
    }

    #[test]
    fn of_a_cell_without_decode_the_passes_are_drawn() {
        let mut fixture = fixture::single(3);
        fixture.run.cells[0].n_gen = 0;
        for record in &mut fixture.records {
            record.cell.n_gen = 0;
            record.samples.iter_mut().for_each(|sample| sample.itl_ns.clear());
        }
        let text = first(&fixture, 80);
        assert!(text.contains("prefill of each pass in ms") && text.contains("pass"), "{text}");
    }
}
