//! The runs that the survey's figures are drawn from: cells of several folders with the device they
//! were measured on. Folders of one device are taken together; where a cell stands in several of them,
//! the one with the most invocations counts, and among those the last.

use crate::model::{Catalogue, CatalogueModel, ModelShape};
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
        let devices = distinct(views.iter().map(|view| text::plain(&view.device())));
        Runs { views, catalogue, devices }
    }

    /// The device that a run was made on.
    pub fn device_of(&self, view: &ReportView) -> usize {
        let name = text::plain(&view.device());
        self.devices.iter().position(|device| *device == name).unwrap_or(0)
    }

    /// Every cell that finished at least once.
    pub fn cells(&self) -> Vec<Measured<'a>> {
        let mut cells: Vec<Measured> = Vec::new();
        for view in self.views {
            let device = self.device_of(view);
            for cell in view.cells.iter().filter(|cell| cell.n_invocations > 0) {
                let model = self.catalogue.find(&cell.cell.model).ok();
                let same =
                    |known: &Measured| known.device == device && known.cell.cell.id == cell.cell.id;
                let measured = Measured { device, cell, model };
                match cells.iter().position(same) {
                    Some(at) if cells[at].cell.n_invocations <= cell.n_invocations => {
                        cells[at] = measured;
                    }
                    Some(_) => {}
                    None => cells.push(measured),
                }
            }
        }
        cells
    }

    /// The devices of `cells` by name.
    pub fn place(&self, cells: &[Measured]) -> String {
        let has = |at: usize| cells.iter().any(|m| m.device == at);
        let names = self.devices.iter().enumerate().filter(|(at, _)| has(*at));
        names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" and ")
    }
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
    let axes = axes::differing_with_threads(&views);
    let heading = |m: &Measured| {
        let parts = [runs.devices[m.device].clone(), text::plain(&m.cell.cell.engine), more(m)];
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
