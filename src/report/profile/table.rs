//! Profiles for a terminal and for Markdown.

use super::{PhaseView, ProfileView, Row};
use crate::report::table::{Align, Column, Narrow, Table};
use crate::report::text::{self, MISSING};

/// A screen holds so many: two engines with a prompt and tokens each.
const PHASES_ON_SCREEN: usize = 4;

/// The first profiles as text: what each cost, then the time by part and by kind.
pub fn terminal(views: &[ProfileView], width: usize) -> String {
    let mut out = String::new();
    for (heading, cost, [parts, kinds, _]) in every_phase(views).take(PHASES_ON_SCREEN) {
        let [parts, kinds] = [parts, kinds].map(|table| table.to_text(width));
        let lines = [text::plain(&heading), cost].map(|line| text::wrapped(&line, width, ""));
        out.push_str(&format!("{}\n{parts}\n{kinds}\n", lines.concat()));
    }
    let n_phases: usize = views.iter().map(|view| view.phases.len()).sum();
    if let Some(more) = n_phases.checked_sub(PHASES_ON_SCREEN).filter(|more| *more > 0) {
        out.push_str(&format!("{} more: summary.md.\n", text::count(more, "phase")));
    }
    if !views.is_empty() {
        out.push_str("Operation by operation: summary.md; layer by layer: profile.csv.\n\n");
    }
    out
}

/// The same with each operation, in Markdown, for a summary.
pub fn markdown(views: &[ProfileView]) -> String {
    let mut out = String::new();
    for (heading, cost, tables) in every_phase(views) {
        out.push_str(&format!("### {}\n\n", text::markdown(&heading)));
        out.push_str(&format!("{}\n\n", text::markdown(&cost)));
        let [parts, kinds, operations] = tables.map(|table| table.to_markdown());
        out.push_str(&format!(
            "{parts}\n{kinds}\n<details><summary>Operation by operation</summary>\n\n\
             {operations}\n</details>\n\n"
        ));
    }
    out
}

/// Of every phase what it is called, what looking has cost, and its tables: by part, by kind, by
/// operation.
pub fn every_phase<'a>(
    views: &'a [ProfileView],
) -> impl Iterator<Item = (String, String, [Table; 3])> + 'a {
    let phases = views.iter().flat_map(|view| view.phases.iter().map(move |phase| (view, phase)));
    phases.map(|(view, phase)| {
        let tables = tables(phase).map(|(title, rows)| table(title, rows, phase));
        (heading(view, phase), cost(phase), tables)
    })
}

fn heading(view: &ProfileView, phase: &PhaseView) -> String {
    let cell = &view.record.cell;
    format!("{} {} {}, {} {}", cell.model, cell.quant, cell.engine, phase.phase, phase.test)
}

fn tables<'a>(phase: &'a PhaseView) -> [(&'static str, &'a [Row]); 3] {
    [
        ("part", phase.by("part")),
        ("kind of operation", phase.by("kind")),
        ("operation, all layers together", &phase.ops),
    ]
}

/// What was profiled, and what that cost.
fn cost(phase: &PhaseView) -> String {
    let calls = text::count(phase.profile.n_calls as usize, "call");
    let mut words = calls;
    if let Some(ms) = phase.call_ms() {
        words.push_str(&format!(" of {} ms", text::number(ms)));
    }
    if let Some(longer) = &phase.longer {
        let percent = |factor: f64| format!("{:+.1}", 100.0 * (factor - 1.0));
        words.push_str(&format!(
            "; with spans against without {} % [{}, {}]",
            percent(longer.ratio),
            percent(longer.lo),
            percent(longer.hi)
        ));
    }
    match phase.expected_overhead {
        Some(share) => {
            let stamps = phase.profile.n_stamps / phase.profile.n_calls.max(1);
            words.push_str(&format!(
                "; {stamps} readings of the clock a call account for {:+.2} %",
                100.0 * share
            ));
        }
        None => words.push_str(
            "; the graph was taken apart for it: shares count, rates are the least there were",
        ),
    }
    words.push_str(&format!("; {:.1} % belong to an operation", 100.0 * phase.covered));
    words
}

fn table(title: &str, rows: &[Row], phase: &PhaseView) -> Table {
    let right = |header: &str| Column::new(header, Align::Right);
    let mut columns = vec![Column::new(title, Align::Left), right("share %")];
    if !phase.is_taken_apart {
        columns.push(right("ms/call"));
    }
    columns.extend([
        right("times/call").narrow(Narrow::Drop(1)),
        right("MB/call").narrow(Narrow::Drop(2)),
        right("GB/s"),
        right("Gop/s"),
        right("of ceiling %"),
        Column::new("bound by", Align::Left),
    ]);
    let mut table = Table::new(columns);
    let n = phase.profile.n_calls.max(1) as f64;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| MISSING.to_owned());
    let mut add = |row: &Row| {
        let mut texts = vec![row.name.clone(), format!("{:.1}", 100.0 * row.share)];
        if !phase.is_taken_apart {
            texts.push(format!("{:.3}", row.cost.ns as f64 / 1e6 / n));
        }
        texts.extend([
            format!("{:.0}", row.cost.calls as f64 / n),
            or_dash((row.cost.bytes > 0).then(|| text::number(row.cost.bytes as f64 / 1e6 / n))),
            or_dash(row.gb_per_s().map(text::number)),
            or_dash(row.gops_per_s().map(text::number)),
            or_dash(row.ceiling.map(|ceiling| format!("{:.0}", 100.0 * ceiling.share))),
            row.ceiling.map_or_else(String::new, |ceiling| ceiling.binds.word().to_owned()),
        ]);
        table.push(texts);
    };
    rows.iter().for_each(&mut add);
    table
}
