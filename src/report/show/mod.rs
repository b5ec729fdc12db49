//! Runs on a terminal, without a page: all cells with their course in a line, or one cell in full.

mod cell;
mod chart;

use super::paint::Tone;
use super::sparkline;
use super::table::{Align, Column, Narrow, Table};
use super::text::{self, MISSING};
use super::view::{CellView, ReportView, ms};
use super::{axes, results, soak, summary};
use crate::plan::Cell;
use crate::record::Outcome;
use crate::stats::{median, quantile};
use chart::Bar;

pub use cell::cell_text;

/// Columns of a course in one line.
const SPARKS: usize = 24;

/// Changes below this share of the largest value do not fill the height of a line.
const LEAST: f64 = 0.25;

/// Every cell that has something to show, in the order of the plan.
pub fn cells<'a>(view: &ReportView<'a>) -> Vec<&'a Cell> {
    let run = view.run;
    let later = view.cells.iter().map(|cell| cell.cell);
    let profiled = view.profiles.iter().map(|profile| &profile.record.cell);
    let mut seen = std::collections::BTreeSet::new();
    let all = run.cells.iter().chain(later).chain(profiled);
    all.filter(|cell| seen.insert(&cell.id)).collect()
}

/// What was measured on what, the warnings, the tables of results, and a line for each cell, lines at
/// most `width` columns wide where that can be reached.
pub fn run_text(view: &ReportView, width: usize) -> String {
    let title = format!("{} on {}", view.run.suite, view.device());
    let mut out = text::wrapped(&text::title_name(&title), width, "");
    let facts = summary::facts(view);
    for name in ["Measured", "CPU", "Memory", "Started"] {
        if let Some((_, value)) = facts.iter().find(|(fact, _)| fact == name) {
            out.push_str(&text::wrapped(&text::plain(&format!("{name}: {value}")), width, ""));
        }
    }
    for warning in summary::warnings(view) {
        let words = text::wrapped(&text::plain(&format!("warning: {warning}")), width, "");
        out.push_str(&words.replacen("warning:", &Tone::Care.paint_bold("warning:"), 1));
    }
    out.push('\n');
    out.push_str(&results::terminal_table(view, width));
    out.push('\n');
    out.push_str(&courses(view).to_text(width));
    let mut note = "course: the gaps between tokens, one after the other; of cells that decode \
        nothing their prefills; of sustained runs the speed"
        .to_owned();
    if view.soaks.is_empty() {
        note.truncate(note.find("; of sustained").unwrap_or(note.len()));
    }
    out.push_str(&text::wrapped(&note, width, ""));
    out
}

/// A row for each cell: its id, and how its measure went from first to last.
fn courses(view: &ReportView) -> Table {
    let shown = cells(view);
    let axes = axes::differing_among(&shown);
    let left = |header: &str| Column::new(header, Align::Left);
    let mut columns = vec![
        left("cell"),
        left("model").narrow(Narrow::ElideTo(12)),
        left("quant"),
        left("engine").narrow(Narrow::ElideTo(9)),
    ];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.extend([
        left("test"),
        left("course").narrow(Narrow::Drop(3)).toned(results::outcome_tone),
    ]);
    columns.extend(
        [("p50 ms", 2), ("p99 ms", 0), ("slowest", 1)]
            .map(|(header, rank)| Column::new(header, Align::Right).narrow(Narrow::Drop(rank))),
    );
    let mut table = Table::new(columns);
    for cell in shown {
        let timed = view.cells.iter().find(|timed| timed.cell.id == cell.id);
        let mut row = [cell.id.0.as_str(), &cell.model, &cell.quant, &cell.engine]
            .map(str::to_owned)
            .to_vec();
        row.extend(axes.iter().map(|axis| (axis.value)(cell)));
        row.push(cell.test());
        row.extend(match timed {
            Some(timed) => of_timed(timed),
            None => [of_soak(view, cell), String::new(), String::new(), String::new()],
        });
        table.push(row);
    }
    table
}

/// The course of a cell that is measured pass by pass, and its gaps: typical, late, latest.
fn of_timed(cell: &CellView) -> [String; 4] {
    if !cell.outcome.finished() {
        let word = cell.outcome.word.replace('_', " ");
        return [word, MISSING.to_owned(), MISSING.to_owned(), MISSING.to_owned()];
    }
    let bars = token_bars(cell);
    if bars.is_empty() {
        return [line(&prefills(cell)), String::new(), String::new(), String::new()];
    }
    let slowest = bars.iter().map(|bar| bar.worst).fold(f64::NAN, f64::max);
    let typical: Vec<f64> = chart::thinned(&bars, SPARKS).iter().map(|bar| bar.typical).collect();
    let [p50, p99] = [cell.measures.itl_p50_ms, cell.measures.itl_p99_ms].map(text::value);
    [line(&typical), p50, p99, text::number(slowest)]
}

/// The course of a sustained run; nothing of other cells.
fn of_soak(view: &ReportView, cell: &Cell) -> String {
    let is_this = |soak: &&soak::SoakView| soak.of.as_ref().is_some_and(|(id, _)| *id == cell.id.0);
    let Some(soak) = view.soaks.iter().find(is_this) else { return String::new() };
    let Some(work) = soak.works.first() else { return soak.ended_by.replace('_', " ") };
    line(&speeds(work, SPARKS))
}

/// At most so many speeds of a sustained run, in order.
fn speeds(work: &soak::WorkView, room: usize) -> Vec<f64> {
    let bars: Vec<Bar> = work
        .windows
        .iter()
        .map(|window| Bar { typical: window.tok_per_s, worst: window.tok_per_s })
        .collect();
    chart::thinned(&bars, room).iter().map(|bar| bar.typical).collect()
}

fn line(values: &[f64]) -> String {
    sparkline(values, LEAST)
}

/// For each token its gap in milliseconds: the median of all passes that finished, and the longest.
fn token_bars(cell: &CellView) -> Vec<Bar> {
    let finished = cell.records.iter().filter(|record| record.outcome == Outcome::Finished);
    let passes: Vec<&[u64]> =
        finished.flat_map(|record| &record.samples).map(|s| s.itl_ns.as_slice()).collect();
    let n = passes.iter().map(|gaps| gaps.len()).max().unwrap_or(0);
    let bar = |i: usize| {
        let gaps: Vec<f64> =
            passes.iter().filter_map(|gaps| gaps.get(i)).map(|&ns| ms(ns)).collect();
        Bar {
            typical: median(&gaps).unwrap_or(f64::NAN),
            worst: quantile(&gaps, 1.0).unwrap_or(f64::NAN),
        }
    };
    (0..n).map(bar).collect()
}

/// Milliseconds of every prefill that finished, in order.
fn prefills(cell: &CellView) -> Vec<f64> {
    let finished = cell.records.iter().filter(|record| record.outcome == Outcome::Finished);
    finished.flat_map(|r| &r.samples).filter_map(|sample| sample.prefill_ns).map(ms).collect()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::report::fixture::{self, Fixture};
    use crate::report::paint::without_colour;

    fn run(fixture: &Fixture, width: usize) -> String {
        without_colour(&run_text(&ReportView::new(&fixture.run, &fixture.records), width))
    }

    #[test]
    fn a_run_is_shown_with_the_course_of_every_cell() {
        insta::assert_snapshot!(run(&fixture::single(3), 100));
    }

    #[test]
    fn what_did_not_finish_has_a_line_that_says_so() {
        let text = run(&fixture::mishaps(), 110);
        let cells = text.rsplit("\n\n").next().unwrap();
        assert!(cells.contains("crashed") && cells.contains("timed out"), "{cells}");
    }

    #[test]
    fn lines_keep_to_the_width_of_the_terminal() {
        for fixture in [fixture::matrix(3), fixture::mishaps(), fixture::profiled()] {
            let view = ReportView::new(&fixture.run, &fixture.records);
            for width in [80, 120] {
                let cell = |id| without_colour(&cell_text(&view, id, width));
                let mut texts = vec![run(&fixture, width)];
                texts.extend(cells(&view).iter().map(|shown| cell(&shown.id)));
                for line in texts.iter().flat_map(|text| text.lines()) {
                    assert!(line.width() <= width, "{width}: {line}");
                }
            }
        }
    }
}
