//! Bars of prefill or decode throughput by model, quantisation and engine, at the lowest depth.

use super::bars::{self, Bar, Group, Section};
use super::frame::{Frame, Sign};
use super::{Plot, Rate, Sheet, distinct, joined, named, spread_keys};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

/// The plot; `None` when no cell has the number.
pub fn plot(sheet: &Sheet, rate: Rate) -> Option<Plot> {
    let asked: Vec<&CellView> = sheet.view.cells.iter().filter(|c| rate.asked(c)).collect();
    // Each model is shown where its cache was emptiest: models of one run may differ in that.
    let lowest =
        |model: &str| asked.iter().filter(|c| c.cell.model == model).map(|c| rate.depth(c)).min();
    let cells: Vec<&CellView> =
        asked.iter().copied().filter(|c| Some(rate.depth(c)) == lowest(&c.cell.model)).collect();
    let estimates: Vec<_> = cells.iter().filter_map(|c| rate.of(c)).collect();
    if estimates.is_empty() {
        return None;
    }

    let tests = distinct(cells.iter().map(|c| rate.test(c)));
    let depths = distinct(cells.iter().map(|c| rate.depth(c)));
    let axes = axes::differing_with_threads(&cells);
    let label = |cell: &CellView| {
        let test = if tests.len() > 1 { rate.test(cell) } else { String::new() };
        let depth = if depths.len() > 1 { format!("d{}", rate.depth(cell)) } else { String::new() };
        let own = [text::plain(&cell.cell.quant), test, depth];
        joined(own.into_iter().chain(axes::describe(cell, &axes)))
    };
    let bar = |cell: &CellView| {
        let estimate = rate.of(cell);
        Bar {
            label: String::new(),
            parts: estimate.iter().map(|e| (e.value, sheet.color(cell))).collect(),
            spread: estimate,
            tick: None,
            text: match estimate {
                Some(e) => text::grouped(e.value, text::decimals(e.value).min(1)),
                None => format!("{}: {}", cell.cell.engine, cell.outcome.word.replace('_', " ")),
            },
            tip: estimate.map_or(String::new(), |e| {
                let (value, spread) = (text::number(e.value), text::spread(&e));
                format!("{}: {value} tokens/s {spread}, n = {}", cell.cell.engine, e.n)
            }),
        }
    };
    let sections: Vec<Section> = sheet
        .models
        .iter()
        .map(|model| {
            let own: Vec<&CellView> =
                cells.iter().copied().filter(|c| c.cell.model == *model).collect();
            let group = |(label, cells): (String, Vec<&CellView>)| Group {
                label,
                bars: cells.into_iter().map(&bar).collect(),
            };
            let groups = named(&own, label).into_iter().map(group).collect();
            Section { heading: text::plain(model), groups }
        })
        .filter(|section: &Section| !section.groups.is_empty())
        .collect();

    let what = match (&tests[..], &depths[..]) {
        ([test], [0]) => format!(" ({test})"),
        ([test], [depth]) => format!(" ({test} @ d{depth})"),
        _ => String::new(),
    };
    let title = format!("{} by model, quantisation and engine{what}", rate.title());
    let mut keys = sheet.engine_keys(&cells, Sign::Area);
    keys.extend(spread_keys(&estimates));
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            "Bars: geometric mean of the medians of the invocations. Longer is better.".into(),
        ],
        keys,
    };
    let svg = bars::draw(&frame, &sections, &format!("{} throughput (tokens/s)", rate.word()));
    Some(Plot { file: format!("{}.svg", rate.word()), title, svg })
}
