//! From what is wanted to the ordered work: a suite becomes cells, cells become a shuffled list
//! of invocations. Pure: no file, no clock, no environment; what engines can do and how much
//! memory there is come in as data.

mod budget;
mod cell;
mod demand;
mod error;
mod layout;
mod order;
mod selection;
mod table;
mod weights;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use cell::{Cell, CellId, ModelSource};
pub use demand::{Demand, needs_no_less_memory};
pub use error::PlanError;
pub use layout::{engine_words, lay_out, named_models};
pub use order::{Step, shuffled};
pub use selection::{Cost, Expected, Facts, ModelFile, Selection, SpeedGuess};
pub use table::PlanTable;
pub use weights::{TensorList, Terms, WEIGHT_SEED, Weights};

use crate::memory::MemoryBudget;
use crate::units::Nanos;

/// The ordered work.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The suite's name.
    pub suite: String,
    /// Seed of the order and of the token ids.
    pub seed: u64,
    /// What is to be measured, in the order of the suite.
    pub cells: Vec<PlannedCell>,
    /// What is not, each with its reason in plain words.
    pub skipped: Vec<(Cell, String)>,
    /// Every invocation, in the order in which they run.
    pub order: Vec<Step>,
    /// What a person should be told about this plan, one line each.
    pub notes: Vec<String>,
}

/// A cell that is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCell {
    /// The cell.
    pub cell: Cell,
    /// Child processes.
    pub invocations: u32,
    /// Bits per weight of its file.
    pub bits_per_weight: f64,
    /// The share of each tensor type in the file's bytes: `66% Q4_0, 33% Q8_0`.
    pub types: String,
    /// Memory it will need; `None` for engines that read no model.
    pub predicted: Option<MemoryBudget>,
    /// What an invocation costs on this machine, if it was measured here or can be expected.
    pub cost: Option<Cost>,
    /// Whether that is only expected.
    pub is_expected: bool,
    /// What an invocation may cost by the size of the model, if it has one.
    pub guess: Option<Cost>,
}

impl PlannedCell {
    /// Time of all its invocations, where that is known or expected.
    pub fn estimate(&self) -> Option<Nanos> {
        let seconds = self.cost?.invocation_s(&self.cell) * f64::from(self.invocations);
        Some(Nanos((seconds * 1e9) as u64))
    }
}

impl Plan {
    /// Time of everything, where that of every cell is known or expected.
    pub fn estimate(&self) -> Option<Nanos> {
        self.cells
            .iter()
            .map(PlannedCell::estimate)
            .try_fold(Nanos(0), |sum, cell| Some(Nanos(sum.0.saturating_add(cell?.0))))
    }

    /// Time of everything, by the models' size where nothing better is known.
    pub fn guess(&self) -> Option<Nanos> {
        let seconds: Option<f64> = self
            .cells
            .iter()
            .map(|planned| {
                let cost = planned.cost.or(planned.guess)?;
                Some(cost.invocation_s(&planned.cell) * f64::from(planned.invocations))
            })
            .sum();
        seconds.map(|seconds| Nanos((seconds * 1e9) as u64))
    }

    /// Whether that of any cell is only expected.
    pub fn is_expected(&self) -> bool {
        self.cells.iter().any(|planned| planned.is_expected)
    }

    /// The cell of a step.
    pub fn cell(&self, step: Step) -> &PlannedCell {
        &self.cells[step.cell]
    }
}
