//! The runs that the survey's figures are drawn from: cells of several folders with the device they
//! were measured on. Folders of one device are taken together; where a cell stands in several of them,
//! the one with the most invocations counts, and among those the last.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::{Catalogue, CatalogueModel, ModelShape};
use crate::plan::CellId;
use crate::report::axes;
use crate::report::plot::distinct;
use crate::report::text;
use crate::report::view::{CellView, ReportView};

/// All runs.
pub struct Runs<'a> {
    /// As given.
    pub views: &'a [ReportView<'a>],
    /// Models by name.
    pub catalogue: &'a Catalogue,
    /// Every device once.
    pub devices: Vec<String>,
    /// Every cell that finished at least once.
    pub cells: Vec<Measured<'a>>,
    /// Every cell that was planned and finished nowhere.
    pub unfinished: Vec<Measured<'a>>,
}

/// A cell and where it was measured.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// A place in [`Runs::devices`].
    pub device: usize,
    /// The cell.
    pub cell: &'a CellView<'a>,
    /// What the catalogue knows of its model.
    pub model: Option<&'a CatalogueModel>,
}

impl<'a> Runs<'a> {
    /// The runs of `views`.
    pub fn new(views: &'a [ReportView<'a>], catalogue: &'a Catalogue) -> Runs<'a> {
        let names: Vec<String> = views.iter().map(|view| text::plain(&view.device())).collect();
        let devices = distinct(names.iter().cloned());
        let mut all: Vec<Measured> = Vec::new();
        let mut places: BTreeMap<(usize, &CellId), usize> = BTreeMap::new();
        for (view, name) in views.iter().zip(&names) {
            let device = devices.iter().position(|known| known == name).unwrap_or(0);
            for cell in &view.cells {
                let model = catalogue.find(&cell.cell.model).ok();
                let measured = Measured { device, cell, model };
                match places.entry((device, &cell.cell.id)) {
                    Entry::Vacant(free) => {
                        free.insert(all.len());
                        all.push(measured);
                    }
                    Entry::Occupied(known) => {
                        let known = &mut all[*known.get()];
                        if how_much(known.cell) <= how_much(cell) {
                            *known = measured;
                        }
                    }
                }
            }
        }
        let (cells, unfinished) = all.into_iter().partition(|m| m.cell.n_invocations > 0);
        Runs { views, catalogue, devices, cells, unfinished }
    }

    /// The device that a run was made on.
    pub fn device_of(&self, view: &ReportView) -> usize {
        let name = text::plain(&view.device());
        self.devices.iter().position(|device| *device == name).unwrap_or(0)
    }

    /// The devices of `cells` by name.
    pub fn place(&self, cells: &[Measured]) -> String {
        let has = |at: usize| cells.iter().any(|m| m.device == at);
        let names = self.devices.iter().enumerate().filter(|(at, _)| has(*at));
        names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" and ")
    }
}

/// Invocations that finished, and those of which anything is known.
fn how_much(cell: &CellView) -> (usize, usize) {
    (cell.n_invocations, cell.records.len())
}

impl<'a> Measured<'a> {
    /// The name of its model.
    pub fn name(&self) -> String {
        text::plain(&self.cell.cell.model)
    }

    /// What the survey calls it, where it measured it.
    pub fn survey_name(&self) -> Option<&'a str> {
        self.model?.survey_name.as_deref()
    }

    fn shape(&self) -> Option<&'a ModelShape> {
        self.model?.shape()
    }

    /// Unique parameters: as the record says, else as its shape does.
    pub fn n_params(&self) -> Option<f64> {
        let recorded = self.cell.model.map(|model| model.n_params).filter(|&n| n > 0);
        recorded.or_else(|| self.shape().map(ModelShape::n_params)).map(|n| n as f64)
    }

    /// Parameters as llama.cpp counts them, where that tells something new.
    pub fn other_count(&self) -> Option<f64> {
        let counted = self.cell.model?.n_params_llama_cpp as f64;
        ((counted / self.n_params()? - 1.0).abs() > 0.01).then_some(counted)
    }

    /// Its architecture.
    pub fn arch(&self) -> &'a str {
        let recorded = self.cell.model.map(|model| model.arch.as_str()).filter(|a| !a.is_empty());
        recorded.or_else(|| self.shape().map(|shape| shape.arch.name())).unwrap_or("?")
    }

    /// Its quantisation without the state of the rules.
    pub fn format(&self) -> &'a str {
        let quant = self.cell.cell.quant.as_str();
        quant.split('@').next().unwrap_or(quant)
    }
}

/// Cells that differ in nothing that a heading does not tell: device, engine, and the settings in which
/// `cells` differ; in the order in which they come. `more` tells what else sets them apart.
pub fn grouped<'a>(
    runs: &Runs,
    cells: &[Measured<'a>],
    more: impl Fn(&Measured) -> String,
) -> Vec<(String, Vec<Measured<'a>>)> {
    let views: Vec<&CellView> = cells.iter().map(|m| m.cell).collect();
    let axes = axes::differing(&views);
    // As the engine took them: on another device the same setting may be another number.
    let threads = |m: &Measured| m.cell.n_threads();
    let do_threads_differ = cells.iter().any(|m| threads(m) != threads(&cells[0]));
    let heading = |m: &Measured| {
        let n_threads = threads(m).filter(|_| do_threads_differ);
        let parts = [
            runs.devices[m.device].clone(),
            text::plain(&m.cell.cell.engine),
            more(m),
            n_threads.map_or_else(String::new, |n| text::count(n as usize, "thread")),
        ];
        let parts = parts.into_iter().chain(axes::describe(m.cell, &axes));
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let groups = distinct(cells.iter().map(&heading)).into_iter().map(|name| {
        let own = cells.iter().copied().filter(|m| heading(m) == name).collect();
        (name, own)
    });
    groups.collect()
}

/// `n = 3 invocations`, `n = 1 to 3 invocations`.
pub fn how_often(cells: &[Measured]) -> String {
    let counts = || cells.iter().map(|m| m.cell.n_invocations);
    match (counts().min(), counts().max()) {
        (Some(a), Some(b)) if a != b => format!("n = {a} to {b} invocations"),
        (Some(a), _) => format!("n = {}", text::count(a, "invocation")),
        _ => String::new(),
    }
}
