//! Peak memory by cell: what of it belongs to what, and what was predicted.

use super::bars::{self, Bar, Group, Section};
use super::canvas::{Color, LABEL, fitting};
use super::frame::{Frame, Key, Sign};
use super::{Plot, Sheet, distinct, joined};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

/// What a bar is made of, in the order from the axis on.
const PARTS: [(&str, Color); 7] = [
    ("weights", Color(0x00, 0x72, 0xb2)),
    ("copies of weights", Color(0x56, 0xb4, 0xe9)),
    ("KV cache", Color(0xe6, 0x9f, 0x00)),
    ("compute and output", Color(0x00, 0x9e, 0x73)),
    ("process", Color(0xcc, 0x79, 0xa7)),
    ("unaccounted", Color(0x8c, 0x8c, 0x8c)),
    ("not told apart", Color(0xd0, 0xd0, 0xd0)),
];

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
    let occurs = |i: usize| cells.iter().any(|cell| bytes(cell)[i] > 0.0);
    let mut keys: Vec<Key> = (0..PARTS.len())
        .filter(|&i| occurs(i))
        .map(|i| Key::new(Sign::Area(PARTS[i].1), PARTS[i].0))
        .collect();
    if cells.iter().any(|cell| cell.predicted.is_some()) {
        keys.push(Key::new(Sign::Tick, "predicted: all that is reserved"));
    }
    let mut notes = vec![
        sheet.where_and_how_often(&cells),
        "The number is the peak: the largest resident set of the process. Of each kind stands what \
         was touched, as far as it can be told."
            .to_owned(),
    ];
    if cells.iter().any(|cell| missing(cell) > 0.0) {
        notes.push(
            "In brackets: by how much less was resident than the parts of the bar add up to."
                .into(),
        );
    }
    let frame = Frame { title: title.clone(), notes, keys };
    let svg = bars::draw(&frame, &sections, "memory (MiB)");
    Some(Plot { file: "memory.svg".into(), title, svg })
}

fn bar(cell: &CellView, label: String) -> Bar {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let number = |bytes: f64| text::grouped(mib(bytes), if mib(bytes) < 100.0 { 1 } else { 0 });
    let peak = number(peak(cell));
    let parts = bytes(cell).into_iter().zip(PARTS).filter(|(bytes, _)| *bytes > 0.0);
    Bar {
        label,
        parts: parts.map(|(bytes, (_, color))| (mib(bytes), color)).collect(),
        spread: None,
        tick: cell.predicted.map(|predicted| mib(predicted.total_bytes() as f64)),
        // What rounds to nothing is not worth brackets.
        text: match missing(cell) {
            missing if mib(missing) < 0.05 => peak,
            missing => format!("{peak} (−{})", number(missing)),
        },
        tip: bytes(cell)
            .into_iter()
            .zip(PARTS)
            .filter(|(bytes, _)| *bytes > 0.0)
            .map(|(bytes, (name, _))| format!("{name} {} MiB", number(bytes)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The peak of the invocation that is drawn.
fn peak(cell: &CellView) -> f64 {
    let estimate = || cell.measures.peak_rss_bytes.map_or(0.0, |e| e.value);
    cell.memory.map_or_else(estimate, |memory| memory.peak_bytes as f64)
}

/// By how much the parts of the bar are more than the peak.
fn missing(cell: &CellView) -> f64 {
    cell.memory.map_or(0.0, |memory| (-memory.unaccounted_bytes()).max(0) as f64)
}

/// Bytes of each of [`PARTS`].
fn bytes(cell: &CellView) -> [f64; 7] {
    let Some(memory) = &cell.memory else {
        // Weights and cache by their buffers; nobody knows what of them was touched.
        let weights = cell.weight_bytes.unwrap_or(0) as f64;
        let kv = cell.kv_bytes.unwrap_or(0) as f64;
        let rest = (peak(cell) - weights - kv).max(0.0);
        return [weights, 0.0, kv, 0.0, 0.0, 0.0, rest];
    };
    let resident = memory.resident;
    [
        resident.weights as f64,
        resident.weight_copies as f64,
        resident.kv as f64,
        (resident.compute + resident.output) as f64,
        memory.process_bytes as f64,
        memory.unaccounted_bytes().max(0) as f64,
        0.0,
    ]
}
