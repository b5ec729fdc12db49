//! How the gaps between tokens are distributed: of each cell the median, the 90th and the 99th percentile,
//! so that a stutter shows where the mean hides it.

use super::bars::{self, Bar, Group, Section};
use super::canvas::{Color, FAINT};
use super::frame::{Frame, Key, Sign};
use super::{Plot, Sheet, distinct, joined};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

/// The file.
pub const FILE: &str = "itl.svg";

/// From the 90th to the 99th percentile.
const LAST: Color = Color(0xd0, 0xd0, 0xd0);

/// The plot; `None` when no cell decoded.
pub fn plot(sheet: &Sheet) -> Option<Plot> {
    let cells: Vec<&CellView> =
        sheet.view.cells.iter().filter(|c| c.measures.itl_p99_ms.is_some()).collect();
    if cells.is_empty() {
        return None;
    }
    let axes = axes::differing_with_threads(&cells);
    let tests = distinct(cells.iter().map(|c| c.decode_test()));
    let label = |cell: &CellView| {
        let test = if tests.len() > 1 { cell.decode_test() } else { None };
        let own = [text::plain(&cell.cell.quant), test.unwrap_or_default()];
        joined(own.into_iter().chain(axes::describe(cell, &axes)))
    };
    let mut sections: Vec<Section> = Vec::new();
    for cell in &cells {
        let heading = text::plain(&cell.cell.model);
        let at = sections.iter().position(|s| s.heading == heading).unwrap_or_else(|| {
            sections.push(Section { heading, groups: Vec::new() });
            sections.len() - 1
        });
        let (groups, label) = (&mut sections[at].groups, label(cell));
        let bar = bar(sheet, cell);
        match groups.iter_mut().find(|group| group.label == label) {
            Some(group) => group.bars.extend(bar),
            None => groups.push(Group { label, bars: bar.into_iter().collect() }),
        }
    }
    let title = match &tests[..] {
        [Some(test)] => format!("Inter-token latency by cell: median and tail ({test})"),
        _ => "Inter-token latency by cell: median and tail".to_owned(),
    };
    let mut keys = sheet.engine_keys(&cells, Sign::Area);
    keys.push(Key::new(Sign::Area(FAINT), "on to the 90th percentile"));
    keys.push(Key::new(Sign::Area(LAST), "on to the 99th"));
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            "Coloured: up to the median. Quantiles are of all gaps of an invocation together, then the \
             geometric mean over invocations. Shorter is better."
                .to_owned(),
        ],
        keys,
    };
    let svg = bars::draw(&frame, &sections, "inter-token latency (ms)");
    Some(Plot { file: FILE.to_owned(), title, svg })
}

fn bar(sheet: &Sheet, cell: &CellView) -> Option<Bar> {
    let m = &cell.measures;
    let [p50, p90, p99] = [m.itl_p50_ms?, m.itl_p90_ms?, m.itl_p99_ms?].map(|e| e.value);
    let shown = [p50, p90, p99].map(text::number);
    Some(Bar {
        label: String::new(),
        parts: vec![
            (p50, sheet.color(cell)),
            ((p90 - p50).max(0.0), FAINT),
            ((p99 - p90).max(0.0), LAST),
        ],
        spread: None,
        tick: None,
        text: format!("{} · {}", shown[0], shown[2]),
        tip: format!(
            "{}: p50 {} ms, p90 {} ms, p99 {} ms",
            cell.cell.engine, shown[0], shown[1], shown[2]
        ),
    })
}
