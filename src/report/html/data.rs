//! The numbers behind the pictures, as tables.

use super::super::soak::{SoakView, WorkView};
use super::super::table::{Align, Column, Table};
use super::super::text::{self, MISSING};
use super::super::view::{CellView, ReportView};
use super::super::{axes, front, plot, profile::ProfileView};
use crate::stats::Estimate;

/// Positions of a line of latencies that are told: every one is in `tokens.csv`.
const POSITIONS: usize = 24;
/// Windows of a sustained run that are told: every one is in `soak.csv`.
const WINDOWS: usize = 120;

fn left(header: &str) -> Column {
    Column::new(header, Align::Left)
}

fn right(header: &str) -> Column {
    Column::new(header, Align::Right)
}

/// Both ends of the interval, or empty.
fn ends(estimate: Option<Estimate>) -> [String; 2] {
    match estimate.and_then(|e| e.interval()) {
        Some((lo, hi)) => [lo, hi].map(text::number),
        None => [String::new(), String::new()],
    }
}

/// Prefill or decode of every cell that was asked for it.
pub fn rates(view: &ReportView, is_prefill: bool) -> Table {
    let test = |cell: &CellView| match is_prefill {
        true => cell.prefill_test(),
        false => cell.decode_test(),
    };
    let cells: Vec<&CellView> = view.cells.iter().filter(|c| test(c).is_some()).collect();
    let axes = axes::differing_with_threads(&cells);
    let mut columns = vec![left("model"), left("quant"), left("engine")];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.push(left("test"));
    columns.extend(["depth", "tokens/s", "95 % from", "to", "n"].map(right));
    let mut table = Table::new(columns);
    for cell in cells {
        let (c, m) = (cell.cell, &cell.measures);
        let (estimate, depth) = match is_prefill {
            true => (m.prefill_tok_per_s, cell.prefill_depth()),
            false => (m.decode_tok_per_s, cell.decode_depth()),
        };
        let mut row = vec![c.model.clone(), c.quant.clone(), c.engine.clone()];
        row.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
        row.extend([test(cell).unwrap_or_default(), depth.to_string(), text::value(estimate)]);
        row.extend(ends(estimate));
        row.push(cell.n_invocations.to_string());
        table.push(row);
    }
    table
}

/// The gaps between tokens over their position, of the cells of a model.
pub fn gaps(view: &ReportView, model: &str) -> Table {
    let cells: Vec<&CellView> = view
        .cells
        .iter()
        .filter(|c| c.cell.model == model && c.measures.itl_p50_ms.is_some())
        .collect();
    let axes = axes::differing_with_threads(&cells);
    let mut columns = vec![left("quant"), left("engine")];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.push(left("test"));
    columns.extend(["position", "median ms", "p10 ms", "p90 ms"].map(right));
    let mut table = Table::new(columns);
    for cell in cells {
        for (position, middle, spread) in plot::gaps_over_position(cell, POSITIONS) {
            let mut row = vec![cell.cell.quant.clone(), cell.cell.engine.clone()];
            row.extend(axes.iter().map(|axis| (axis.value)(cell.cell)));
            row.push(cell.decode_test().unwrap_or_default());
            row.extend([format!("{position:.0}"), text::number(middle)]);
            let spread = spread.map(|(lo, hi)| [lo, hi].map(text::number));
            row.extend(spread.unwrap_or_default());
            table.push(row);
        }
    }
    table
}

/// Speed and memory of each mix, and which of them nothing beats: those that no other of the same
/// model, engine and settings equals in bits per weight while it decodes as fast. Of one model where it is
/// named.
pub fn mixes(view: &ReportView, model: Option<&str>) -> Option<Table> {
    let is_asked = |c: &CellView| model.is_none_or(|model| c.cell.model == model);
    let known = |c: &&CellView| is_asked(c) && c.bits_per_weight.is_some() && c.outcome.finished();
    let cells: Vec<&CellView> = view.cells.iter().filter(known).collect();
    let axes = axes::differing_with_threads(&cells);
    let place = |c: &CellView| {
        let mut words = vec![c.cell.model.clone(), c.cell.engine.clone(), c.cell.test()];
        words.extend(axes.iter().map(|axis| (axis.value)(c.cell)));
        words
    };
    let mut by_place: std::collections::BTreeMap<Vec<String>, Vec<&CellView>> = Default::default();
    for &cell in &cells {
        by_place.entry(place(cell)).or_default().push(cell);
    }
    if !by_place.values().any(|cells| cells.len() > 1) {
        return None;
    }
    let mut columns = vec![left("model"), left("engine"), left("test")];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.push(left("quant"));
    columns.extend(["bpw", "weights MiB", "peak MiB", "prefill t/s", "decode t/s"].map(right));
    columns.push(left("front"));
    let mut table = Table::new(columns);
    for (words, mut cells) in by_place {
        let bits = |cell: &CellView| cell.bits_per_weight.unwrap_or(f64::NAN);
        cells.sort_by(|a, b| bits(b).total_cmp(&bits(a)));
        let speed = |cell: &CellView| {
            let m = &cell.measures;
            m.decode_tok_per_s.or(m.prefill_tok_per_s).map_or(f64::NAN, |e| e.value)
        };
        let places: Vec<(f64, f64)> = cells.iter().map(|cell| (bits(cell), speed(cell))).collect();
        let front = front::is_on(&places);
        for (at, cell) in cells.iter().enumerate() {
            let mut row = words.clone();
            let m = &cell.measures;
            row.push(cell.cell.quant.clone());
            row.push(cell.bits_per_weight.map_or(String::new(), |b| format!("{b:.2}")));
            row.push(cell.weight_bytes.map_or(String::new(), |b| text::mib(b as f64)));
            row.push(m.peak_rss_bytes.map_or(String::new(), |e| text::mib(e.value)));
            row.extend(
                [m.prefill_tok_per_s, m.decode_tok_per_s]
                    .map(|e| e.map_or(String::new(), |e| text::number(e.value))),
            );
            row.push(if front[at] { "yes".to_owned() } else { String::new() });
            table.push(row);
        }
    }
    Some(table)
}

/// Speeds by parameters, of cells whose model is known.
pub fn parameters(view: &ReportView) -> Table {
    let known = |c: &&CellView| c.model.is_some_and(|m| m.n_params > 0) && c.outcome.finished();
    let cells: Vec<&CellView> = view.cells.iter().filter(known).collect();
    let axes = axes::differing_with_threads(&cells);
    let mut columns = vec![left("model"), left("architecture"), left("quant"), left("engine")];
    columns.extend(axes.iter().map(|axis| left(axis.header)));
    columns.push(left("test"));
    let numbers = ["unique parameters", "as llama.cpp counts", "prefill t/s", "decode t/s", "n"];
    columns.extend(numbers.map(right));
    let mut table = Table::new(columns);
    for cell in cells {
        let Some(model) = cell.model else { continue };
        let (c, m) = (cell.cell, &cell.measures);
        let mut row = vec![c.model.clone(), model.arch.clone(), c.quant.clone(), c.engine.clone()];
        row.extend(axes.iter().map(|axis| (axis.value)(c)));
        row.push(c.test());
        row.extend([model.n_params, model.n_params_llama_cpp].map(|n| text::grouped(n as f64, 0)));
        let rate = |e: Option<Estimate>| e.map_or(String::new(), |e| text::number(e.value));
        row.extend([m.prefill_tok_per_s, m.decode_tok_per_s].map(rate));
        row.push(cell.n_invocations.to_string());
        table.push(row);
    }
    table
}

/// Windows of sustained runs, thinned.
pub fn windows(soaks: &[SoakView]) -> Table {
    let mut columns = vec![left("run"), left("test")];
    columns.extend(["from s", "to s", "t/s", "curve t/s", "°C", "MHz", "W"].map(right));
    columns.push(left("held back"));
    let mut table = Table::new(columns);
    for soak in soaks {
        let every = |work: &WorkView| work.windows.len().div_ceil(WINDOWS).max(1);
        for work in &soak.works {
            let fit = work.analysis.accepted_fit();
            for window in work.windows.iter().step_by(every(work)) {
                let moment = soak.moment(window.start_s, window.end_s).unwrap_or_default();
                let or_empty = |value: Option<String>| value.unwrap_or_default();
                let mut held = soak.held_back.iter();
                let is_held = held.any(|s| s.from_s < window.end_s && s.to_s > window.start_s);
                table.push(vec![
                    soak.name(),
                    work.test.clone(),
                    format!("{:.1}", window.start_s),
                    format!("{:.1}", window.end_s),
                    text::number(window.tok_per_s),
                    or_empty(fit.map(|fit| text::number(fit.at(window)))),
                    or_empty(moment.temperature_c.map(|c| format!("{c:.1}"))),
                    or_empty(moment.clock_hz.map(|hz| format!("{:.0}", hz / 1e6))),
                    or_empty(moment.watts.map(text::number)),
                    if is_held { "yes".to_owned() } else { String::new() },
                ]);
            }
        }
    }
    table
}

/// Each operation of every phase: how much it computes for a byte, how fast, what bounds it. Where the
/// graph was taken apart there is no time of a call, as in the tables of profiles.
pub fn operations(profiles: &[ProfileView]) -> Table {
    let mut columns = vec![left("profile"), left("phase"), left("operation")];
    columns.extend(
        ["share %", "ms/call", "operations/byte", "Gop/s", "GB/s", "of ceiling %"].map(right),
    );
    columns.push(left("bound by"));
    let mut table = Table::new(columns);
    for view in profiles {
        for phase in &view.phases {
            let n_calls = phase.profile.n_calls.max(1) as f64;
            for row in &phase.ops {
                let cost = &row.cost;
                let call_ms = cost.ns as f64 / 1e6 / n_calls;
                let intensity = (cost.memory_bytes > 0 && cost.ops > 0)
                    .then(|| cost.ops as f64 / cost.memory_bytes as f64);
                let or_dash = |value: Option<f64>| value.map_or(MISSING.to_owned(), text::number);
                table.push(vec![
                    view.name(),
                    phase.phase.to_owned(),
                    row.name.clone(),
                    format!("{:.1}", 100.0 * row.share),
                    or_dash((!phase.is_taken_apart).then_some(call_ms)),
                    or_dash(intensity),
                    or_dash(row.gops_per_s()),
                    or_dash(row.gb_per_s()),
                    or_dash(row.ceiling.map(|ceiling| 100.0 * ceiling.share)),
                    row.ceiling.map_or(String::new(), |ceiling| ceiling.binds.word().to_owned()),
                ]);
            }
        }
    }
    table
}
