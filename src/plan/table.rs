//! A plan as rows of words, for `--dry-run`: llama-bench's columns, then what is predicted.

use super::{Plan, PlannedCell};
use crate::settings::Settings;
use crate::units::{Bytes, Nanos};

/// Rows of words under a header. Every row is as long as the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanTable {
    /// The columns. Settings have one only where a cell departs from the default.
    pub header: Vec<&'static str>,
    /// A row for each cell, in the order of the plan.
    pub rows: Vec<Vec<String>>,
}

/// A column that is shown only when a cell departs from the default.
type Setting = (&'static str, fn(&PlannedCell) -> String);

const SETTINGS: &[Setting] = &[
    ("n_threads", |c| c.cell.settings.n_threads.to_string()),
    ("cpus", |c| c.cell.cpus.clone()),
    ("n_ctx", |c| c.cell.settings.n_ctx.to_string()),
    ("n_batch", |c| c.cell.settings.n_batch.to_string()),
    ("n_ubatch", |c| c.cell.settings.n_ubatch.to_string()),
    ("type_k", |c| c.cell.settings.type_k.to_string()),
    ("type_v", |c| c.cell.settings.type_v.to_string()),
    ("flash_attn", |c| c.cell.settings.flash_attn.to_string()),
    ("load_mode", |c| c.cell.settings.load_mode.to_string()),
    ("backend_device", |c| c.cell.settings.backend_device.clone()),
    ("n_gpu_layers", |c| c.cell.settings.n_gpu_layers.to_string()),
];

impl Plan {
    /// The plan as a table. What is unknown is a dash; an unknown time says so.
    pub fn describe(&self) -> PlanTable {
        let shown: Vec<&Setting> = SETTINGS
            .iter()
            .filter(|(_, read)| {
                self.cells.iter().any(|planned| {
                    let mut plain = planned.clone();
                    plain.cell.settings = Settings::default();
                    plain.cell.cpus = "all".to_owned();
                    read(planned) != read(&plain)
                })
            })
            .collect();
        let mut header = vec!["cell_id", "model", "quant", "bpw", "types by bytes", "engine"];
        header.extend(shown.iter().map(|(name, _)| *name));
        header.extend(["test", "weights", "KV", "invocations", "repetitions", "time"]);
        let rows = self.cells.iter().map(|planned| row(planned, &shown)).collect();
        PlanTable { header, rows }
    }
}

fn row(planned: &PlannedCell, shown: &[&Setting]) -> Vec<String> {
    let cell = &planned.cell;
    let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |b| Bytes(b).to_string());
    let mut row = vec![
        cell.id.to_string(),
        cell.model.clone(),
        cell.quant.clone(),
        format!("{:.2}", planned.bits_per_weight),
        planned.types.clone(),
        cell.engine.clone(),
    ];
    row.extend(shown.iter().map(|(_, read)| read(planned)));
    row.push(cell.test());
    row.push(bytes(planned.predicted.map(|p| p.weight_bytes)));
    row.push(bytes(planned.predicted.map(|p| p.kv_bytes)));
    row.push(planned.invocations.to_string());
    row.push(cell.repetitions.to_string());
    let mark = if planned.is_expected { "~" } else { "" };
    let time = planned.estimate().map(|time: Nanos| format!("{mark}{time}"));
    row.push(time.unwrap_or("unknown".to_owned()));
    row
}
