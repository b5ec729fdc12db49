//! Estimates from samples: pure functions over `&[f64]` that know nothing of cells or records.
//!
//! The unit of statistics is the invocation. Repetitions and tokens of one process are not
//! independent of each other, so an interval computed from them would be too narrow; they are
//! brought down to one number per invocation first. Ratios matter, not differences, so means and
//! intervals are taken on logarithms.

mod estimate;
mod quantile;
pub mod soak;

pub use estimate::{Estimate, MIN_INVOCATIONS, t_quantile};
pub use quantile::{geometric_mean, median, quantile};
