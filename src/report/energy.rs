//! The table of energy: joules per token by channel, with what each channel covers and how its
//! numbers come about.

use std::io::{self, Write};

use super::table::{Align, Column, Narrow, Table};
use super::text::{self, MISSING};
use super::view::{CellView, ReportView};
use crate::record::{EnergyUse, Work};
use crate::stats;

/// What stands below the table.
pub const NOTE: &str = "Medians over invocations. Gross: everything the channel covers. Net: less what \
     the idle machine drew at the beginning of the run. Channels of different scope measure different \
     things: they are not to be added or compared.";

/// A row per cell, work and channel; `None` where no channel of power or energy could be read.
pub fn table(view: &ReportView) -> Option<Table> {
    let left = |header: &str| Column::new(header, Align::Left);
    let right = |header: &str| Column::new(header, Align::Right);
    let mut table = Table::new(vec![
        left("model").narrow(Narrow::ElideTo(14)),
        left("quant"),
        left("engine"),
        left("test"),
        left("channel"),
        left("scope"),
        left("quality"),
        right("W"),
        right("gross J/token"),
        right("net J/token"),
    ]);
    let mut any = false;
    for cell in &view.cells {
        for usage in uses(view, cell) {
            any = true;
            let c = cell.cell;
            table.push(vec![
                c.model.clone(),
                c.quant.clone(),
                c.engine.clone(),
                format!("{}, {}", c.test(), usage.work.name()),
                usage.id,
                usage.scope.to_owned(),
                usage.quality.to_owned(),
                text::number(usage.watts),
                text::number(usage.gross),
                usage.net.map_or(MISSING.to_owned(), text::number),
            ]);
        }
    }
    any.then_some(table)
}

/// `energy.csv`: the same, with every digit.
pub fn write(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "cell_id",
        "engine",
        "model",
        "quant",
        "work",
        "channel",
        "scope",
        "quality",
        "n_invocations",
        "watts",
        "gross_j_per_token",
        "net_j_per_token",
        "idle_watts",
    ])?;
    for cell in &view.cells {
        for usage in uses(view, cell) {
            let c = cell.cell;
            csv.write_record([
                &c.id.to_string(),
                &c.engine,
                &c.model,
                &c.quant,
                usage.work.name(),
                &usage.id,
                usage.scope,
                usage.quality,
                &usage.n_invocations.to_string(),
                &format!("{:.4}", usage.watts),
                &format!("{:.6}", usage.gross),
                &usage.net.map_or_else(String::new, |net| format!("{net:.6}")),
                &usage.idle_watts.map_or_else(String::new, |watts| format!("{watts:.4}")),
            ])?;
        }
    }
    csv.flush()
}

/// Whether any channel of power or energy could be read.
pub fn is_known(view: &ReportView) -> bool {
    view.cells.iter().any(|cell| !uses(view, cell).is_empty())
}

/// Medians over the invocations of one cell.
struct Usage {
    work: Work,
    id: String,
    scope: &'static str,
    quality: &'static str,
    n_invocations: usize,
    idle_watts: Option<f64>,
    watts: f64,
    gross: f64,
    net: Option<f64>,
}

fn uses(view: &ReportView, cell: &CellView) -> Vec<Usage> {
    let baseline = view.run.sensing.as_ref().and_then(|sensing| sensing.baseline.as_ref());
    let mut all = Vec::new();
    for work in Work::ALL {
        let by_record: Vec<Vec<EnergyUse>> =
            cell.records.iter().map(|record| record.energy(work, baseline)).collect();
        let ids = by_record.iter().flatten().map(|usage| (&usage.id, usage));
        let mut seen: Vec<&String> = Vec::new();
        for (id, first) in ids {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let of_channel = || by_record.iter().flatten().filter(|usage| usage.id == *id);
            let median = |of: &dyn Fn(&EnergyUse) -> Option<f64>| {
                stats::median(&of_channel().filter_map(of).collect::<Vec<f64>>())
            };
            let (Some(watts), Some(gross)) =
                (median(&|u| Some(u.watts())), median(&|u| Some(u.gross_j_per_token())))
            else {
                continue;
            };
            all.push(Usage {
                work,
                id: id.clone(),
                scope: first.scope.name(),
                quality: first.quality.name(),
                n_invocations: of_channel().count(),
                idle_watts: first.idle_watts,
                watts,
                gross,
                net: median(&|u| u.net_j_per_token()),
            });
        }
    }
    all
}
