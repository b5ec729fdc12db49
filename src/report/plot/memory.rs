//! Peak memory by cell: what the shape predicts, stacked up to what was measured.

use super::bars::{self, Bar, Group, Section};
use super::canvas::{Color, LABEL, fitting};
use super::frame::{Frame, Key, Sign};
use super::{Plot, Sheet, distinct, joined};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

const WEIGHTS: Color = Color(0x00, 0x72, 0xb2);
const KV: Color = Color(0xe6, 0x9f, 0x00);
const REST: Color = Color(0xb8, 0xb8, 0xb8);

/// The plot; `None` when no peak was measured.
pub fn plot(sheet: &Sheet) -> Option<Plot> {
    let cells: Vec<&CellView> =
        sheet.view.cells.iter().filter(|c| c.measures.peak_rss_bytes.is_some()).collect();
    if cells.is_empty() {
        return None;
    }
    let axes = axes::differing_with_threads(&cells);
    let tests = distinct(cells.iter().map(|c| (c.cell.n_prompt, c.cell.n_gen)));
    let depths = distinct(cells.iter().map(|c| c.cell.n_depth));
    let label = |cell: &CellView| {
        let test = match (tests.len() > 1, depths.len() > 1) {
            (true, _) => cell.cell.test(),
            (false, true) => format!("d{}", cell.cell.n_depth),
            (false, false) => String::new(),
        };
        let own = [fitting(&cell.cell.engine, 120.0, LABEL), test];
        joined(own.into_iter().chain(axes::describe(cell, &axes)))
    };
    let mut sections = Vec::new();
    for model in &sheet.models {
        let own = || cells.iter().copied().filter(|c| c.cell.model == *model);
        let groups: Vec<Group> = distinct(own().map(|c| &c.cell.quant))
            .into_iter()
            .map(|quant| Group {
                label: text::plain(quant),
                bars: own().filter(|c| c.cell.quant == *quant).map(|c| bar(c, label(c))).collect(),
            })
            .collect();
        if !groups.is_empty() {
            sections.push(Section { heading: text::plain(model), groups });
        }
    }

    let title = "Peak memory by cell".to_owned();
    let mut keys = Vec::new();
    if cells.iter().any(|c| c.weight_bytes.is_some()) {
        keys.push(Key::new(Sign::Area(WEIGHTS), "weights"));
    }
    if cells.iter().any(|c| c.kv_bytes.is_some()) {
        keys.push(Key::new(Sign::Area(KV), "KV cache"));
    }
    keys.push(Key::new(Sign::Area(REST), "rest: compute buffers, process, unaccounted"));
    keys.push(Key::new(Sign::Tick, "measured peak"));
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            "Peak: largest resident set of the process. Weights and KV cache are whole buffers, \
             touched or not."
                .into(),
        ],
        keys,
    };
    let svg = bars::draw(&frame, &sections, "memory (MiB)");
    Some(Plot { file: "memory.svg".into(), title, svg })
}

fn bar(cell: &CellView, label: String) -> Bar {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let peak = cell.measures.peak_rss_bytes.map_or(0.0, |e| e.value);
    let weights = cell.weight_bytes.unwrap_or(0) as f64;
    let kv = cell.kv_bytes.unwrap_or(0) as f64;
    let rest = (peak - weights - kv).max(0.0);
    Bar {
        label,
        parts: [(weights, WEIGHTS), (kv, KV), (rest, REST)]
            .into_iter()
            .filter(|(bytes, _)| *bytes > 0.0)
            .map(|(bytes, color)| (mib(bytes), color))
            .collect(),
        spread: None,
        tick: Some(mib(peak)),
        text: text::grouped(mib(peak), if mib(peak) < 100.0 { 1 } else { 0 }),
    }
}
