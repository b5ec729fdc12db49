//! What a call has to do, what the device could do, and so how long it must take: the roofline model
//! (Williams, Waterman and Patterson, 2009) for a language model's two phases. And how long it will
//! take, with what is known of how near an engine comes to the ceilings.
//!
//! [`Work`] follows from shapes alone, [`Ceilings`] from a probe; a call takes at least as long as the
//! slower of the two needs. A [`Prediction`] adds [`Coefficients`], which are data, fitted to runs.
//! Pure: nothing is measured here, and no engine is known but by its name in that data.

mod ceilings;
mod coefficients;
mod fit;
mod predict;
mod task;
#[cfg(test)]
mod tests;
mod work;

pub use ceilings::{Binds, Ceilings, number_of};
pub use coefficients::{
    AMX, Book, BookError, Coefficients, Fit, Known, PhaseCoefficients, Prior, Spread, base_name,
    class_of,
};
pub use fit::{Observation, fit, leave_one_model_out, spread};
pub use predict::{Machine, Parts, Prediction, parts};
pub use task::{Pass, Phase, Product, Task};
pub use work::{Call, Work};
