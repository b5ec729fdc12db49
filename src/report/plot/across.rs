//! The same cell in several runs: a bar for each, a colour for each run.

use std::collections::BTreeMap;

use super::bars::{self, Bar, Group, Section};
use super::frame::{self, Frame, Key, Sign};
use super::{Plot, Rate, spread_keys};
use crate::plan::CellId;
use crate::report::axes;
use crate::report::table::{Align, Column, Table};
use crate::report::text;
use crate::report::view::{CellView, ReportView};
use crate::stats::Estimate;

/// `n = 3 invocations`, `n = 1 to 3 invocations`.
fn how_often(estimates: &[Estimate]) -> String {
    let counts = || estimates.iter().map(|e| e.n);
    match (counts().min(), counts().max()) {
        (Some(a), Some(b)) if a != b => format!("n = {a} to {b} invocations"),
        (Some(a), _) => format!("n = {}", text::count(a, "invocation")),
        _ => String::new(),
    }
}

/// Cells that are drawn at most: the table has the others.
const MOST_CELLS: usize = 40;

/// Prefill and decode of the cells that two runs at least have measured, with the numbers behind.
pub fn plots(runs: &[(&ReportView, &str)]) -> Vec<(Plot, Table)> {
    Rate::BOTH.into_iter().filter_map(|rate| plot(runs, rate)).collect()
}

fn plot(runs: &[(&ReportView, &str)], rate: Rate) -> Option<(Plot, Table)> {
    let measured = |cell: &&CellView| rate.of(cell).is_some();
    // A cell's id is a hash of everything but where it runs.
    let mut by_cell: Vec<Vec<(usize, &CellView)>> = Vec::new();
    let mut places: BTreeMap<&CellId, usize> = BTreeMap::new();
    for (i, (view, _)) in runs.iter().enumerate() {
        for cell in view.cells.iter().filter(measured) {
            let at = *places.entry(&cell.cell.id).or_insert_with(|| {
                by_cell.push(Vec::new());
                by_cell.len() - 1
            });
            by_cell[at].push((i, cell));
        }
    }
    by_cell.retain(|cells| cells.len() > 1);
    if by_cell.is_empty() {
        return None;
    }
    let test = |cell: &CellView| match rate {
        Rate::Prefill => cell.prefill_test(),
        Rate::Decode => cell.decode_test(),
    };
    let first: Vec<&CellView> = by_cell.iter().map(|cells| cells[0].1).collect();
    let axes = axes::differing_with_threads(&first);
    let left = |header: &str| Column::new(header, Align::Left);
    let mut columns = vec![left("model"), left("quant"), left("engine")];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.extend([
        left("test"),
        left("run"),
        Column::new("tokens/s", Align::Right),
        Column::new("spread", Align::Right),
        Column::new("n", Align::Right),
        left("marks"),
    ]);
    let mut table = Table::new(columns);
    // Beyond the colours, bars have the numbers of their runs.
    let is_numbered = runs.len() > frame::N_COLORS;
    let mut sections: Vec<Section> = Vec::new();
    let mut estimates = Vec::new();
    for (drawn, cells) in by_cell.iter().enumerate() {
        let c = cells[0].1.cell;
        let mut bars = Vec::new();
        for (i, cell) in cells {
            let Some(estimate) = rate.of(cell) else { continue };
            let name = text::plain(runs[*i].1);
            let marks: Vec<&str> = cell.marks.iter().map(|mark| mark.word()).collect();
            let mut row = vec![c.model.clone(), c.quant.clone(), c.engine.clone()];
            row.extend(axes.iter().map(|axis| (axis.value)(c)));
            row.extend([
                test(cell).unwrap_or_default(),
                name.clone(),
                text::number(estimate.value),
                text::spread(&estimate).trim_end().to_owned(),
                estimate.n.to_string(),
                marks.join(", ").replace('_', " "),
            ]);
            table.push(row);
            estimates.push(estimate);
            bars.push(Bar {
                label: if is_numbered { (i + 1).to_string() } else { String::new() },
                parts: vec![(estimate.value, frame::color(*i))],
                spread: Some(estimate),
                tick: None,
                text: text::grouped(estimate.value, text::decimals(estimate.value).min(1)),
                tip: format!("{name}: {} tokens/s", text::number(estimate.value)),
            });
        }
        if drawn >= MOST_CELLS {
            continue;
        }
        let names = [c.quant.clone(), test(cells[0].1).unwrap_or_default(), c.engine.clone()];
        let label = std::iter::once(names.join(" ")).chain(axes::words(c, &axes));
        let label = label.collect::<Vec<_>>().join(", ");
        let group = Group { label: text::plain(&label), bars };
        let heading = text::plain(&c.model);
        match sections.iter_mut().find(|section| section.heading == heading) {
            Some(section) => section.groups.push(group),
            None => sections.push(Section { heading, groups: vec![group] }),
        }
    }
    let title = format!("{}: the same cells in several runs", rate.title());
    let mut keys: Vec<Key> = runs
        .iter()
        .enumerate()
        .map(|(i, (_, name))| {
            let number = if is_numbered { format!("{}: ", i + 1) } else { String::new() };
            Key::new(Sign::Area(frame::color(i)), number + &text::plain(name))
        })
        .collect();
    keys.extend(spread_keys(&estimates));
    let shown = by_cell.len().min(MOST_CELLS);
    let of = text::count(by_cell.len(), "cell");
    let drawn = if shown < by_cell.len() { format!("{shown} of {of}; ") } else { String::new() };
    let frame = Frame {
        title: title.clone(),
        notes: vec![format!(
            "{drawn}{}; bars: geometric mean of the medians of the invocations. Longer is better.",
            how_often(&estimates)
        )],
        keys,
    };
    let svg = bars::draw(&frame, &sections, &format!("{} throughput (tokens/s)", rate.word()));
    Some((Plot { file: format!("{}-across.svg", rate.word()), title, svg }, table))
}
