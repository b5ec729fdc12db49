//! Which settings set the cells of a run apart: only those are worth a column or a label.

use super::view::CellView;
use crate::plan::Cell;

/// A setting that may differ from cell to cell.
#[derive(Clone, Copy)]
pub struct Axis {
    /// As llama-bench heads it, where it does.
    pub header: &'static str,
    /// The cell's value.
    pub value: fn(&Cell) -> String,
}

/// Every setting beside model, quantisation, engine, threads, prompt, generation and depth.
const AXES: [Axis; 11] = [
    Axis { header: "cpus", value: |c| c.cpus.clone() },
    Axis { header: "n_ctx", value: |c| c.settings.n_ctx.to_string() },
    Axis { header: "n_batch", value: |c| c.settings.n_batch.to_string() },
    Axis { header: "n_ubatch", value: |c| c.settings.n_ubatch.to_string() },
    Axis { header: "type_k", value: |c| c.settings.type_k.to_string() },
    Axis { header: "type_v", value: |c| c.settings.type_v.to_string() },
    Axis { header: "fa", value: |c| c.settings.flash_attn.to_string() },
    Axis { header: "dev", value: |c| c.settings.backend_device.clone() },
    Axis { header: "ngl", value: |c| c.settings.n_gpu_layers.to_string() },
    Axis { header: "lm", value: |c| c.settings.load_mode.to_string() },
    Axis { header: "feed", value: |c| c.feed.to_string() },
];

const THREADS: Axis = Axis { header: "threads", value: |c| c.settings.n_threads.to_string() };

/// The settings in which `cells` differ, threads apart: those always have a column.
pub fn differing(cells: &[&CellView]) -> Vec<Axis> {
    let cells: Vec<&Cell> = cells.iter().map(|c| c.cell).collect();
    AXES.into_iter().filter(|axis| differs(axis, &cells)).collect()
}

/// The settings in which `cells` differ, threads among them.
pub fn differing_with_threads(cells: &[&CellView]) -> Vec<Axis> {
    differing_among(&cells.iter().map(|c| c.cell).collect::<Vec<_>>())
}

/// The same of cells that need not have been measured pass by pass.
pub fn differing_among(cells: &[&Cell]) -> Vec<Axis> {
    std::iter::once(THREADS).chain(AXES).filter(|axis| differs(axis, cells)).collect()
}

fn differs(axis: &Axis, cells: &[&Cell]) -> bool {
    let mut values = cells.iter().map(|c| (axis.value)(c));
    let first = values.next();
    values.any(|v| Some(&v) != first.as_ref())
}

/// `fa on, threads 4`: a cell's values on `axes`.
pub fn describe(cell: &CellView, axes: &[Axis]) -> Vec<String> {
    words(cell.cell, axes)
}

/// The same of a cell that need not have been measured pass by pass.
pub fn words(cell: &Cell, axes: &[Axis]) -> Vec<String> {
    axes.iter().map(|axis| format!("{} {}", axis.header, (axis.value)(cell))).collect()
}
