//! The table of memory: predicted, allocated and resident, kind by kind, and what is left over.

use super::axes;
use super::table::{Align, Column, Table};
use super::text::{self, MISSING};
use super::view::{CellView, ReportView};
use crate::memory::{ByKind, Kind};

/// What stands beside each kind.
const NUMBERS: [&str; 3] = ["predicted", "allocated", "resident"];

fn shown(numbers: [Option<f64>; 3]) -> [String; 3] {
    numbers.map(|bytes| bytes.map_or(MISSING.to_owned(), text::mib))
}

/// A row per cell and kind; `None` when nothing is known of any cell.
pub fn table(view: &ReportView) -> Option<Table> {
    let known = |cell: &&CellView| cell.predicted.is_some() || cell.allocated.is_some();
    let cells: Vec<&CellView> = view.cells.iter().filter(known).collect();
    if cells.is_empty() {
        return None;
    }
    let axes = axes::differing_with_threads(&cells);
    let name = |header: &str| Column::new(header, Align::Left).said_once();
    let mut columns: Vec<Column> = ["model", "quant", "engine"].map(name).into();
    columns.extend(axes.iter().map(|axis| name(axis.header)));
    columns.extend([name("test"), Column::new("MiB", Align::Left)]);
    columns.extend(NUMBERS.map(|header| Column::new(header, Align::Right)));
    let mut table = Table::new(columns);
    for cell in cells {
        let mut names: Vec<String> =
            vec![cell.cell.model.clone(), cell.cell.quant.clone(), cell.cell.engine.clone()];
        names.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
        names.push(cell.cell.test());
        for (what, numbers) in rows(cell) {
            let mut row = names.clone();
            row.push(what.to_owned());
            row.extend(shown(numbers));
            table.push(row);
        }
    }
    Some(table)
}

/// The same of one cell, which is named elsewhere.
pub fn of_cell(cell: &CellView) -> Option<Table> {
    (cell.predicted.is_some() || cell.allocated.is_some()).then(|| {
        let mut columns = vec![Column::new("MiB", Align::Left)];
        columns.extend(NUMBERS.map(|header| Column::new(header, Align::Right)));
        let mut table = Table::new(columns);
        for (what, numbers) in rows(cell) {
            table.push(std::iter::once(what.to_owned()).chain(shown(numbers)).collect());
        }
        table
    })
}

/// What a cell's rows are called, and their three numbers in bytes.
fn rows(cell: &CellView) -> Vec<(&'static str, [Option<f64>; 3])> {
    let predicted = cell.predicted.as_ref().map(ByKind::from);
    let allocated = cell.allocated.map(ByKind::from);
    let memory = cell.memory.as_ref();
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let columns = [predicted, allocated, memory.map(|m| m.resident)];
        // A kind that nobody predicted and nobody took has no row of zeros.
        if columns.iter().flatten().any(|by_kind| by_kind.of(kind) > 0) {
            let mut numbers = columns.map(|c| c.map(|by_kind| by_kind.of(kind) as f64));
            numbers[1] = numbers[1].filter(|_| kind.is_counted_by_engines());
            rows.push((kind.name(), numbers));
        }
    }
    let resident = |number: Option<f64>| [None, None, number];
    rows.push(("process", resident(memory.map(|m| m.process_bytes as f64))));
    rows.push(("unaccounted", resident(memory.map(|m| m.unaccounted_bytes() as f64))));
    let total = |by_kind: Option<ByKind>| by_kind.map(|b| b.total() as f64);
    let peak = memory.map(|m| m.peak_bytes as f64);
    rows.push(("all", [total(predicted), total(allocated), peak]));
    let untouched = cell.predicted_untouched_bytes().map(|bytes| bytes as f64);
    let never_touched = total(memory.map(|m| m.untouched()));
    rows.push(("of it untouched", [untouched, never_touched, None]));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};

    fn shown(fixture: &Fixture) -> String {
        let view = ReportView::new(&fixture.run, &fixture.records);
        table(&view).map(|table| table.to_text(120)).unwrap_or_default()
    }

    #[test]
    fn memory_is_shown_kind_by_kind_with_what_is_left_over() {
        let mut fixture = fixture::matrix(1);
        fixture.run.cells.truncate(3);
        fixture.records.truncate(3);
        insta::assert_snapshot!(shown(&fixture));
    }

    #[test]
    fn without_what_was_seen_before_the_model_was_opened_there_is_no_reckoning() {
        let mut fixture = fixture::single(1);
        fixture.records[0].memory.rss_before_load_bytes = None;
        let text = shown(&fixture);
        let line = text.lines().find(|line| line.contains("unaccounted")).unwrap();
        assert!(line.trim_end().ends_with("–"), "{text}");
        fixture.records.clear();
        assert_eq!(shown(&fixture), "");
    }
}
