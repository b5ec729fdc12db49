//! `profile.csv`: a row for each row of each grouping, and for each operation of each layer.

use std::io::{self, Write};

use super::{PhaseView, ProfileView, Row, part_word};
use crate::record::OpTotal;

const COLUMNS: [&str; 23] = [
    "cell_id",
    "invocation",
    "model",
    "quant",
    "engine",
    "phase",
    "test",
    "by",
    "name",
    "layer",
    "part",
    "kind",
    "type",
    "ns_per_call",
    "share",
    "times_per_call",
    "ops_per_call",
    "bytes_per_call",
    "memory_bytes_per_call",
    "gb_per_s",
    "gop_per_s",
    "binds",
    "share_of_ceiling",
];

/// Writes the table: `by` says which rows add up to a whole, `part`, `kind`, `layer` or `op`.
pub fn write_profile(views: &[ProfileView], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for view in views {
        let cell = &view.record.cell;
        for phase in &view.phases {
            let head = |by: &str| {
                [
                    cell.id.to_string(),
                    view.record.invocation.to_string(),
                    cell.model.clone(),
                    cell.quant.clone(),
                    cell.engine.clone(),
                    phase.phase.to_owned(),
                    phase.test.clone(),
                    by.to_owned(),
                ]
            };
            for grouping in &phase.groupings {
                for row in &grouping.rows {
                    let fields = row_fields(row, phase);
                    csv.write_record(head(grouping.by).into_iter().chain(fields))?;
                }
            }
            for total in &phase.profile.ops {
                let fields = op_fields(total, phase);
                csv.write_record(head("op").into_iter().chain(fields))?;
            }
            let nobody = op_fields(&super::nobodys(phase.profile), phase);
            csv.write_record(head("op").into_iter().chain(nobody))?;
        }
    }
    csv.flush()
}

fn row_fields(row: &Row, phase: &PhaseView) -> Vec<String> {
    let mut fields = vec![
        row.name.clone(),
        String::new(),
        row.part.map_or_else(String::new, |part| part_word(part).to_owned()),
        row.kind.map_or_else(String::new, |kind| kind.word().to_owned()),
        String::new(),
    ];
    fields.extend(numbers(row, phase));
    fields
}

fn op_fields(total: &OpTotal, phase: &PhaseView) -> Vec<String> {
    let OpTotal { op, cost } = total;
    let row = Row {
        name: op.name.clone(),
        kind: Some(op.kind),
        part: op.part,
        cost: *cost,
        share: cost.ns as f64 / phase.total_ns as f64,
        ceiling: None,
    };
    let mut fields = vec![
        op.name.clone(),
        op.layer.map_or_else(String::new, |layer| layer.to_string()),
        op.part.map_or_else(String::new, |part| part_word(part).to_owned()),
        op.kind.word().to_owned(),
        op.ty.map_or_else(String::new, |ty| ty.to_string()),
    ];
    fields.extend(numbers(&row, phase));
    fields
}

/// Everything for one call of the engine; no time where the graph was taken apart.
fn numbers(row: &Row, phase: &PhaseView) -> [String; 10] {
    let n_calls = phase.profile.n_calls.max(1) as f64;
    let each = |sum: u64| format!("{}", (sum as f64 / n_calls).round());
    let rate = |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!("{rate:.3}"));
    let ceiling = row.ceiling;
    [
        if phase.is_taken_apart { String::new() } else { each(row.cost.ns) },
        format!("{:.6}", row.share),
        format!("{:.2}", row.cost.calls as f64 / n_calls),
        each(row.cost.ops),
        each(row.cost.bytes),
        each(row.cost.memory_bytes),
        rate(row.gb_per_s()),
        rate(row.gops_per_s()),
        ceiling.map_or_else(String::new, |ceiling| ceiling.binds.word().to_owned()),
        ceiling.map_or_else(String::new, |ceiling| format!("{:.4}", ceiling.share)),
    ]
}
