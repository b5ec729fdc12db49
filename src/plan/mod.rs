//! From what is wanted to the ordered work: a suite becomes cells, cells become a shuffled list
//! of invocations. Pure: no file, no clock, no environment; what engines can do and how much
//! memory there is come in as data.

mod cell;

pub use cell::{Cell, CellId, ModelSource};

/// placeholder
pub fn needs_no_less_memory(_a: &Cell, _b: &Cell) -> bool {
    false
}
