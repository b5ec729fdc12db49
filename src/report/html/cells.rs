//! The table of all cells: every measure of each, to be sorted, filtered and copied.

use super::super::axes;
use super::super::table::{Align, Column, Table};
use super::super::text::{self, MISSING};
use super::super::view::{CellView, ReportView};
use crate::stats::Estimate;

/// A row per cell. Of a speed stand the value and what spreads around it.
pub fn table(view: &ReportView) -> Table {
    let cells: Vec<&CellView> = view.cells.iter().collect();
    let axes = axes::differing(&cells);
    let left = |header: &str| Column::new(header, Align::Left);
    let right = |header: &str| Column::new(header, Align::Right);
    let mut columns = vec![left("model"), left("quant"), right("bpw"), left("engine")];
    columns.push(right("threads"));
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.extend(["prompt", "gen", "depth"].map(right));
    columns.extend(["prefill t/s", "prefill 95 %", "decode t/s", "decode 95 %"].map(right));
    columns.extend(
        [
            "TTFT ms",
            "TPOT ms",
            "ITL p50 ms",
            "ITL p90 ms",
            "ITL p99 ms",
            "load ms",
            "peak MiB",
            "KV MiB",
            "MBU %",
            "MFU %",
            "n",
        ]
        .map(right),
    );
    columns.extend(["outcome", "marks", "cell"].map(left));
    let mut table = Table::new(columns);
    for cell in cells {
        let (c, m) = (cell.cell, &cell.measures);
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| MISSING.to_owned());
        let mut row = vec![
            c.model.clone(),
            c.quant.clone(),
            cell.bits_per_weight.map_or(String::new(), |b| format!("{b:.2}")),
            c.engine.clone(),
            or_dash(cell.n_threads().map(|n| n.to_string())),
        ];
        row.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
        row.extend([c.n_prompt, c.n_gen, c.n_depth].map(|n| n.to_string()));
        row.extend(speed(m.prefill_tok_per_s, c.n_prompt > 0));
        row.extend(speed(m.decode_tok_per_s, c.n_gen > 0));
        let times = [m.ttft_ms, m.tpot_ms, m.itl_p50_ms, m.itl_p90_ms, m.itl_p99_ms, m.load_ms];
        row.extend(times.map(|time| time.map_or(String::new(), |e| text::number(e.value))));
        row.push(m.peak_rss_bytes.map_or(String::new(), |e| text::mib(e.value)));
        row.push(cell.kv_bytes.map_or(String::new(), |b| text::mib(b as f64)));
        let shares = [cell.shares.mbu, cell.shares.mfu];
        row.extend(shares.map(|s| s.map_or(String::new(), |s| format!("{:.0}", 100.0 * s))));
        row.push(cell.n_invocations.to_string());
        row.push(cell.outcome.word.to_owned());
        let marks: Vec<String> =
            cell.marks.iter().map(|mark| mark.word().replace('_', " ")).collect();
        row.extend([marks.join(", "), c.id.to_string()]);
        table.push(row);
    }
    table
}

/// Value and spread; nothing where it was not asked for, a dash where it is missing.
fn speed(estimate: Option<Estimate>, was_asked: bool) -> [String; 2] {
    match estimate {
        Some(e) => [text::number(e.value), text::spread(&e).trim_end().to_owned()],
        None if was_asked => [MISSING.to_owned(), String::new()],
        None => [String::new(), String::new()],
    }
}
