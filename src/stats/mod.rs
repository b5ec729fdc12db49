//! Estimates from samples: pure functions over `&[f64]` that know nothing of cells or records.
//!
//! The unit of statistics is the invocation. Repetitions and tokens of one process are not
//! independent of each other, so an interval computed from them would be too narrow; they are
//! brought down to one number per invocation first. Ratios matter, not differences, so means and
//! intervals are taken on logarithms.

mod association;
mod bootstrap;
mod change_points;
mod estimate;
#[cfg(test)]
mod golden;
mod quantile;
mod ranks;
mod ratio;
mod robust;
pub mod soak;
mod students_t;

pub use association::{StraightLine, spearman};
pub use bootstrap::{Bootstrap, BootstrapInterval, MIN_BOOTSTRAP};
pub use change_points::{ChangePoint, ChangeRules, change_points};
pub use estimate::{Estimate, MIN_INVOCATIONS};
pub use quantile::{geometric_mean, median, quantile};
pub use ranks::{EXACT_UP_TO, EffectSize, MannWhitney};
pub use ratio::{LogRatio, MAX_PAIRS, POWER, mde, pairs_needed};
pub use robust::{MAD_TO_SD, MadScale, OUTLIER_SCORE, mad, modified_z_scores, outliers};
pub use students_t::{t_quantile, t_two_sided};
