//! The gap between neighbouring tokens over their position, a picture per model: a panel per
//! quantisation and depth, a line per engine.

use std::collections::BTreeMap;

use super::frame::{Frame, Sign};
use super::panels::{self, Axes, Line, MAX_POINTS, Panel, Point};
use super::{Plot, Sheet, distinct, file_of_model, joined, named};
use crate::record::Outcome;
use crate::report::axes;
use crate::report::text;
use crate::report::view::{CellView, ms};
use crate::stats::quantile;

/// A plot per model that decoded anything.
pub fn plots(sheet: &Sheet) -> Vec<Plot> {
    let mut taken = Vec::new();
    sheet.models.iter().filter_map(|model| plot(sheet, model, &mut taken)).collect()
}

fn plot(sheet: &Sheet, model: &str, taken: &mut Vec<String>) -> Option<Plot> {
    let cells: Vec<&CellView> = sheet
        .view
        .cells
        .iter()
        .filter(|c| c.cell.model == model && c.measures.itl_p50_ms.is_some())
        .collect();
    if cells.is_empty() {
        return None;
    }
    let axes = axes::differing_with_threads(&cells);
    let lengths = distinct(cells.iter().map(|c| c.cell.n_gen));
    let heading = |cell: &CellView| {
        let length =
            if lengths.len() > 1 { format!("tg{}", cell.cell.n_gen) } else { String::new() };
        let from = format!("from depth {}", cell.decode_depth());
        let own = [text::plain(&cell.cell.quant), length, from];
        joined(own.into_iter().chain(axes::describe(cell, &axes)))
    };
    let panel = |(name, own): (String, Vec<&CellView>)| Panel {
        y: None,
        heading: name,
        lines: own.iter().map(|cell| line(sheet, cell)).collect(),
        marked: Vec::new(),
        from: own.iter().map(|c| f64::from(c.decode_depth())).fold(f64::INFINITY, f64::min),
    };
    let panels: Vec<Panel> = named(&cells, heading).into_iter().map(panel).collect();

    let repetitions = |c: &&CellView| c.records.iter().map(|r| r.samples.len()).sum::<usize>();
    let title = format!("Inter-token latency over position: {}", text::title_name(model));
    let most = cells.iter().map(repetitions).max().unwrap_or(0);
    let lines = if most > 1 {
        format!(
            "Lines: median over repetitions (up to {most} a line); bands: 10th to 90th percentile."
        )
    } else {
        "Lines: the only repetition.".to_owned()
    };
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            format!("{lines} Each panel has its own scale."),
        ],
        keys: sheet.engine_keys(&cells, if most > 1 { Sign::Band } else { Sign::Line }),
    };
    let depths = distinct(cells.iter().map(|c| c.decode_depth())).len();
    let axes = Axes {
        x: "position (tokens in the KV cache)",
        y: "inter-token latency (ms)",
        columns: if panels.len() == 1 { 1 } else { depths.clamp(2, 3) },
    };
    let svg = panels::draw(&frame, &panels, &axes);
    Some(Plot { file: file_of_model("itl", model, taken), title, svg })
}

fn line(sheet: &Sheet, cell: &CellView) -> Line {
    let point = |(x, y, spread)| Point { x, y, spread };
    Line {
        name: text::plain(&cell.cell.engine),
        color: sheet.color(cell),
        point: None,
        points: gaps_over_position(cell, MAX_POINTS).into_iter().map(point).collect(),
        band: true,
    }
}

/// A place on the line, the median there, and the 10th and the 90th percentile.
type Gap = (f64, f64, Option<(f64, f64)>);

/// The gaps between tokens in milliseconds over the position in the cache, in at most `most` steps.
pub fn gaps_over_position(cell: &CellView, most: usize) -> Vec<Gap> {
    let mut by_step: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let finished = cell.records.iter().filter(|r| r.outcome == Outcome::Finished);
    let longest =
        finished.clone().flat_map(|r| r.samples.iter().map(|s| s.itl_ns.len())).max().unwrap_or(0);
    // Neighbouring positions share a point where there are more of them than pixels.
    let stride = longest.div_ceil(most).max(1);
    for sample in finished.flat_map(|r| &r.samples) {
        for (i, &ns) in sample.itl_ns.iter().enumerate() {
            by_step.entry(i / stride).or_default().push(ms(ns));
        }
    }
    let middle = (stride - 1) as f64 / 2.0;
    let point = |(step, values): (usize, Vec<f64>)| {
        let x = f64::from(cell.decode_depth()) + (step * stride) as f64 + middle;
        let spread = quantile(&values, 0.1).zip(quantile(&values, 0.9));
        Some((x, quantile(&values, 0.5)?, spread))
    };
    by_step.into_iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_tame_and_differ() {
        let mut taken = Vec::new();
        let names = ["a/../b", "a b", "a-b", "A-B"].map(|m| file_of_model("itl", m, &mut taken));
        assert_eq!(names, ["itl-a-..-b.svg", "itl-a-b.svg", "itl-a-b.1.svg", "itl-A-B.2.svg"]);
        assert_eq!(file_of_model("itl", &"x".repeat(300), &mut taken).len(), 68);
    }
}
