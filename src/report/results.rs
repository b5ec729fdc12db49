//! The table of results, in llama-bench's words, for the terminal and for `summary.md`.

use std::collections::BTreeSet;

use super::paint::Tone;
use super::table::{Align, Column, Narrow, Table};
use super::text::{self, MISSING};
use super::types;
use super::view::{CellView, ReportView};
use super::{axes, ceilings, profile, soak};
use crate::record::Mark;
use crate::stats::{Estimate, MIN_INVOCATIONS};

/// The narrowest terminal that is taken at its word.
const MIN_WIDTH: usize = 60;

/// The table that a run ends with: a row per cell and test, footnotes, and below them what did
/// not finish and why. Lines are at most `width` columns wide where that can be reached.
pub fn terminal_table(view: &ReportView, width: usize) -> String {
    let width = width.max(MIN_WIDTH);
    let mut out = soak::terminal(&view.soaks, width);
    out.push_str(&profile::terminal(&view.profiles, width));
    if view.cells.is_empty() {
        return out;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&results(view).to_text(width));
    for note in footnotes(view) {
        out.push_str(&text::wrapped(&text::plain(&note), width, ""));
    }
    let unfinished: Vec<&CellView> =
        view.cells.iter().filter(|c| c.outcome.reason.is_some()).collect();
    if !unfinished.is_empty() {
        out.push_str("\nnot finished:\n");
    }
    for cell in unfinished {
        let reason = cell.outcome.reason.as_ref().expect("cells without a reason were left out");
        let log = reason.log.as_ref().map(|log| format!(" (log: {log})")).unwrap_or_default();
        let text = text::plain(&format!("{}: {}: {}{log}", name(cell), share(cell), reason.text));
        out.push_str(&text::wrapped(&text, width, "  "));
    }
    out
}

/// A row per cell and test.
pub fn results(view: &ReportView) -> Table {
    let cells: Vec<&CellView> = view.cells.iter().collect();
    let axes = axes::differing(&cells);
    let starred = cells.iter().any(|c| has_range(c));
    let all_starred = !cells.iter().any(|c| rates(c).any(|e| e.interval().is_some()));
    let spread = match (starred, all_starred) {
        (true, true) => "range* ",
        (true, false) => "95 % interval or range* ",
        _ => "95 % interval ",
    };
    let mut columns = vec![
        Column::new("model", Align::Left).narrow(Narrow::ElideTo(14)),
        Column::new("quant", Align::Left),
        Column::new("bpw", Align::Right).narrow(Narrow::Drop(6)),
        Column::new("types by bytes", Align::Left).narrow(Narrow::Drop(0)),
        Column::new("size MiB", Align::Right).narrow(Narrow::Drop(1)),
        Column::new("engine", Align::Left).narrow(Narrow::ElideTo(10)),
        Column::new("threads", Align::Right).narrow(Narrow::Drop(3)),
    ];
    columns.extend(axes.iter().map(|axis| Column::new(axis.header, Align::Left)));
    columns.extend([
        Column::new("test", Align::Left),
        Column::new("t/s", Align::Right),
        Column::new(ceilings::HEADER, Align::Right).narrow(Narrow::Drop(5)),
        Column::new(spread, Align::Right).narrow(Narrow::Drop(5)).toned(outcome_tone),
        Column::new("peak MiB", Align::Right).narrow(Narrow::Drop(4)),
        Column::new("marks", Align::Left).narrow(Narrow::Drop(2)).toned(mark_tone),
    ]);
    let mut table = Table::new(columns);
    // Where no engine reads a model there is no column of dashes.
    let known = cells.iter().any(|c| c.bits_per_weight.is_some());
    for cell in &view.cells {
        let mut push = |test: String, rate: String, share: String, spread: String| {
            let mut row = vec![
                cell.cell.model.clone(),
                cell.cell.quant.clone(),
                if known { bits(cell) } else { String::new() },
                types::in_words(cell.model),
                cell.weight_bytes.map_or(MISSING.to_owned(), |b| text::mib(b as f64)),
                cell.cell.engine.clone(),
                cell.n_threads().map_or(MISSING.to_owned(), |n| n.to_string()),
            ];
            row.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
            let peak = cell.measures.peak_rss_bytes;
            let peak = peak.map_or(MISSING.to_owned(), |e| text::mib(e.value));
            row.extend([test, rate, share, spread, peak, marks(cell)]);
            table.push(row);
        };
        if !cell.outcome.finished() {
            let word = cell.outcome.word.replace('_', " ") + " ";
            push(cell.cell.test(), MISSING.to_owned(), String::new(), word);
            continue;
        }
        for (test, rate, share) in tests(cell) {
            let spread = rate.as_ref().map(text::spread).unwrap_or_default();
            push(test, text::value(rate), share, spread);
        }
    }
    table
}

/// Times and their tails, a row per cell that finished.
pub fn latencies(view: &ReportView) -> Table {
    let finished: Vec<&CellView> = view.cells.iter().filter(|c| c.outcome.finished()).collect();
    let axes = axes::differing_with_threads(&finished);
    let mut columns: Vec<Column> =
        ["model", "quant", "engine"].map(|header| Column::new(header, Align::Left)).into();
    columns.extend(axes.iter().map(|axis| Column::new(axis.header, Align::Left)));
    columns.push(Column::new("test", Align::Left));
    columns.extend(
        [
            "prefill ms",
            "TTFT ms",
            "TPOT ms",
            "ITL p50 ms",
            "ITL p90 ms",
            "ITL p99 ms",
            "load ms",
            "KV MiB",
            "bpw",
            "n",
        ]
        .map(|header| Column::new(header, Align::Right)),
    );
    let mut table = Table::new(columns);
    for cell in finished {
        let m = &cell.measures;
        let mut row =
            vec![cell.cell.model.clone(), cell.cell.quant.clone(), cell.cell.engine.clone()];
        row.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
        row.push(cell.cell.test());
        row.extend(
            [
                m.prefill_ms,
                m.ttft_ms,
                m.tpot_ms,
                m.itl_p50_ms,
                m.itl_p90_ms,
                m.itl_p99_ms,
                m.load_ms,
            ]
            .map(text::value),
        );
        row.push(cell.kv_bytes.map_or(MISSING.to_owned(), |b| text::mib(b as f64)));
        row.push(bits(cell));
        row.push(cell.n_invocations.to_string());
        table.push(row);
    }
    table
}

/// Effective bits per weight, or a dash.
fn bits(cell: &CellView) -> String {
    cell.bits_per_weight.map_or(MISSING.to_owned(), |b| format!("{b:.2}"))
}

/// What the star in the table means, where there is one.
pub fn range_note(view: &ReportView) -> Option<String> {
    view.cells.iter().any(has_range).then(range_meaning)
}

/// What a star says.
pub fn range_meaning() -> String {
    format!(
        "* fewer than {MIN_INVOCATIONS} invocations: no interval, only the smallest and the \
         largest repetition"
    )
}

/// What the signs in the table mean; only those that occur in it.
pub fn footnotes(view: &ReportView) -> Vec<String> {
    let mut notes = Vec::from_iter(range_note(view));
    notes.extend(ceilings::note(view));
    let words: BTreeSet<Mark> = view.cells.iter().flat_map(table_marks).collect();
    notes.extend(words.into_iter().map(|mark| format!("{}: {}", mark.word(), meaning(mark))));
    notes.extend(
        below_machine(view)
            .into_iter()
            .map(|(engine, why)| format!("{engine} is slower than this machine allows: {why}")),
    );
    notes
}

/// Engines built for less than the machine has, and how.
pub fn below_machine<'a>(view: &'a ReportView) -> Vec<(&'a str, &'a str)> {
    let said = view.cells.iter().flat_map(|c| &c.records).filter_map(|r| r.engine.as_ref());
    let mut engines: Vec<(&str, &str)> = view
        .run
        .engines
        .iter()
        .chain(said)
        .filter_map(|e| Some((e.name.as_str(), e.below_machine.as_deref()?)))
        .collect();
    engines.sort_unstable();
    engines.dedup();
    engines
}

/// What a mark says about the numbers beside it.
pub fn meaning(mark: Mark) -> &'static str {
    match mark {
        Mark::Throttled => "heat or power held the machine back while this was measured",
        Mark::Disturbed => "other work took part of the machine while this was measured",
        Mark::GateTimeout => "the machine was not calm when this began, and waiting was given up",
        Mark::BelowMachine => "the engine was built for less than the machine has",
        Mark::Unaccounted => {
            "more than 5 % of the peak memory is not what the engine took, or is missing from it"
        }
    }
}

/// A cell in one line of words.
pub fn name(cell: &CellView) -> String {
    format!("{} {} {} {}", cell.cell.model, cell.cell.quant, cell.cell.engine, cell.cell.test())
}

/// `crashed`, or `crashed in 1 of 3 invocations` where others did otherwise.
pub fn share(cell: &CellView) -> String {
    let Some(reason) = &cell.outcome.reason else { return String::new() };
    let (n, all) = (cell.outcome.counts[reason.word], cell.records.len());
    let word = reason.word.replace('_', " ");
    if n == all { word } else { format!("{word} in {n} of {all} invocations") }
}

/// Each test with its speed, and that as a share of what the device can do.
fn tests(cell: &CellView) -> impl Iterator<Item = (String, Option<Estimate>, String)> {
    let (prefill, decode) = (cell.measures.prefill_tok_per_s, cell.measures.decode_tok_per_s);
    let prefill = cell.prefill_test().map(|test| (test, prefill, ceilings::of_peak(cell)));
    let decode = cell.decode_test().map(|test| (test, decode, ceilings::of_memory(cell)));
    prefill.into_iter().chain(decode)
}

fn rates(cell: &CellView) -> impl Iterator<Item = Estimate> {
    tests(cell).filter_map(|(_, rate, _)| rate)
}

fn has_range(cell: &CellView) -> bool {
    rates(cell).any(|e| e.interval().is_none())
}

/// Marks worth a word in every row. An engine below the machine is one warning for all of them.
fn table_marks(cell: &CellView) -> impl Iterator<Item = Mark> {
    cell.marks.iter().copied().filter(|m| *m != Mark::BelowMachine)
}

/// How marks look.
pub fn mark_tone(words: &str) -> Option<Tone> {
    let tone = if words.contains(Mark::Throttled.word()) { Tone::Bad } else { Tone::Care };
    (!words.is_empty()).then_some(tone)
}

/// How the word of an outcome looks that stands where numbers would: only those begin with a letter.
pub fn outcome_tone(word: &str) -> Option<Tone> {
    let tone = if matches!(word.trim(), "skipped" | "not run") { Tone::Care } else { Tone::Bad };
    (word.trim() != "finished" && word.starts_with(char::is_alphabetic)).then_some(tone)
}

fn marks(cell: &CellView) -> String {
    table_marks(cell).map(|m| m.word().replace('_', " ")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};
    use crate::report::paint::without_colour;
    use unicode_width::UnicodeWidthStr;

    fn table(fixture: &Fixture, width: usize) -> String {
        let view = ReportView::new(&fixture.run, &fixture.records);
        without_colour(&terminal_table(&view, width))
    }

    #[test]
    fn the_terminal_table_is_as_it_was() {
        insta::assert_snapshot!(table(&fixture::matrix(3), 120));
    }

    #[test]
    fn what_a_cell_used_of_the_device_stands_beside_its_speed_or_below_a_narrow_table() {
        insta::assert_snapshot!(table(&fixture::probed(3), 120));
        let narrow = table(&fixture::probed(3), 80);
        assert!(narrow.contains("95 % interval") && narrow.contains("of memory bandwidth"));
    }

    #[test]
    fn one_cell_with_one_invocation_shows_a_range_that_says_so() {
        insta::assert_snapshot!(table(&fixture::single(1), 100));
    }

    #[test]
    fn every_mishap_has_a_row_and_a_reason() {
        insta::assert_snapshot!(table(&fixture::mishaps(), 110));
    }

    #[test]
    fn lines_keep_to_the_width_of_the_terminal() {
        for fixture in
            [fixture::matrix(3), fixture::probed(3), fixture::single(1), fixture::mishaps()]
        {
            for width in [80, 100, 120] {
                for line in table(&fixture, width).lines() {
                    assert!(line.width() <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_setting_that_differs_has_a_column_and_one_that_does_not_has_none() {
        let mut fixture = fixture::matrix(1);
        fixture.run.cells[0].settings.n_ubatch = 128;
        let text = table(&fixture, 120);
        assert!(text.lines().next().unwrap().contains("n_ubatch"), "{text}");
        assert!(!text.contains("type_k"), "{text}");
    }
}
