//! The same cell in several runs: a bar for each, a colour for each run.

use std::collections::BTreeMap;

use super::bars::{self, Bar, Group, Section};
use super::frame::{self, Frame, Key, Sign};
use super::{Plot, Rate, spread_keys};
use crate::plan::CellId;
use crate::report::table::{Align, Column, Table};
use crate::report::text;
use crate::report::view::{CellView, ReportView};

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
    let mut table = Table::new(vec![
        Column::new("model", Align::Left),
        Column::new("quant", Align::Left),
        Column::new("engine", Align::Left),
        Column::new("test", Align::Left),
        Column::new("run", Align::Left),
        Column::new("tokens/s", Align::Right),
        Column::new("spread", Align::Right),
        Column::new("n", Align::Right),
        Column::new("marks", Align::Left),
    ]);
    let mut sections: Vec<Section> = Vec::new();
    let mut estimates = Vec::new();
    for (drawn, cells) in by_cell.iter().enumerate() {
        let c = cells[0].1.cell;
        let mut bars = Vec::new();
        for (i, cell) in cells {
            let Some(estimate) = rate.of(cell) else { continue };
            let name = text::plain(runs[*i].1);
            let marks: Vec<&str> = cell.marks.iter().map(|mark| mark.word()).collect();
            table.push(vec![
                c.model.clone(),
                c.quant.clone(),
                c.engine.clone(),
                test(cell).unwrap_or_default(),
                name.clone(),
                text::number(estimate.value),
                text::spread(&estimate).trim_end().to_owned(),
                estimate.n.to_string(),
                marks.join(", ").replace('_', " "),
            ]);
            estimates.push(estimate);
            bars.push(Bar {
                label: String::new(),
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
        let names = [&c.quant, &test(cells[0].1).unwrap_or_default(), &c.engine];
        let group = Group { label: text::plain(&names.map(String::as_str).join(" ")), bars };
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
        .map(|(i, (_, name))| Key::new(Sign::Area(frame::color(i)), text::plain(name)))
        .collect();
    keys.extend(spread_keys(&estimates));
    let shown = by_cell.len().min(MOST_CELLS);
    let of = text::count(by_cell.len(), "cell");
    let drawn = if shown < by_cell.len() { format!("{shown} of {of}; ") } else { String::new() };
    let frame = Frame {
        title: title.clone(),
        notes: vec![format!(
            "{drawn}bars: geometric mean of the medians of the invocations. Longer is better."
        )],
        keys,
    };
    let svg = bars::draw(&frame, &sections, &format!("{} throughput (tokens/s)", rate.word()));
    Some((Plot { file: format!("{}-across.svg", rate.word()), title, svg }, table))
}
