//! Throughput against depth: a panel per model, a line per engine and quantisation.

use super::frame::{Frame, Sign};
use super::panels::{self, Axes, Line, MAX_POINTS, Panel, Point};
use super::{Plot, Rate, Sheet, distinct, joined, named};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

/// The plot; `None` when no model has the number at two depths.
pub fn plot(sheet: &Sheet, rate: Rate) -> Option<Plot> {
    let cells: Vec<&CellView> = sheet.view.cells.iter().filter(|c| rate.of(c).is_some()).collect();
    let axes = axes::differing_with_threads(&cells);
    let axes: Vec<_> = axes.into_iter().filter(|axis| axis.header != "n_ctx").collect();
    let tests = distinct(cells.iter().map(|c| rate.test(c)));
    // What sets the lines of a panel apart beside engine and quantisation makes a panel of its own.
    let heading = |cell: &CellView| {
        let test = if tests.len() > 1 { rate.test(cell) } else { String::new() };
        let own = [text::plain(&cell.cell.model), test];
        joined(own.into_iter().chain(axes::describe(cell, &axes)))
    };
    let mut panels = Vec::new();
    let mut shown = Vec::new();
    for (name, own) in named(&cells, heading) {
        let mut depths = distinct(own.iter().map(|c| rate.depth(c)));
        if depths.len() < 2 {
            continue;
        }
        depths.sort_unstable();
        let series = distinct(own.iter().map(|c| (&c.cell.engine, &c.cell.quant)));
        let lines = series.into_iter().map(|(engine, quant)| {
            let mut on: Vec<&CellView> = own
                .iter()
                .copied()
                .filter(|c| (&c.cell.engine, &c.cell.quant) == (engine, quant))
                .collect();
            on.sort_by_key(|c| rate.depth(c));
            line(sheet, rate, &on)
        });
        panels.push(Panel {
            y: None,
            heading: name,
            lines: lines.collect(),
            from: 0.0,
            marked: depths.into_iter().map(f64::from).collect(),
        });
        shown.extend(own);
    }
    if panels.is_empty() {
        return None;
    }

    let title = match &tests[..] {
        [test] => format!("{} against depth ({test})", rate.title()),
        _ => format!("{} against depth", rate.title()),
    };
    let certain = shown.iter().filter_map(|c| rate.of(c)).any(|e| e.interval().is_some());
    let mut notes = vec![sheet.where_and_how_often(&shown)];
    notes.push(if certain {
        "Points: geometric mean of the medians of the invocations; whiskers: 95 % interval over \
         invocations. Each panel has its own scale."
            .into()
    } else {
        "Points: geometric mean of the medians of the invocations; too few for intervals. Each \
         panel has its own scale."
            .into()
    });
    let mut keys = sheet.engine_keys(&shown, Sign::Line);
    keys.extend(sheet.quant_keys(&shown));
    let frame = Frame { title: title.clone(), notes, keys };
    let y = format!("{} (tokens/s)", rate.word());
    let axes = Axes { x: "depth (tokens in the KV cache before)", y: &y, columns: 2 };
    let svg = panels::draw(&frame, &panels, &axes);
    Some(Plot { file: format!("{}-depth.svg", rate.word()), title, svg })
}

/// A line through the cells, which stand by depth.
fn line(sheet: &Sheet, rate: Rate, cells: &[&CellView]) -> Line {
    let stride = cells.len().div_ceil(MAX_POINTS).max(1);
    let point = |cell: &&CellView| {
        let estimate = rate.of(cell)?;
        let x = f64::from(rate.depth(cell));
        Some(Point { x, y: estimate.value, spread: estimate.interval() })
    };
    Line {
        name: text::plain(&format!("{} {}", cells[0].cell.engine, cells[0].cell.quant)),
        color: sheet.color(cells[0]),
        point: Some(sheet.point(cells[0])),
        points: cells.iter().step_by(stride).filter_map(point).collect(),
        band: false,
    }
}
