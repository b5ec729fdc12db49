//! Verdicts: two sides brought together cell by cell, judged measure by measure. Pure.
//!
//! The unit is the invocation. Two sides are either taken in turns ([`Trial`]), or two runs at
//! different times ([`Comparison::of_sides`]); what follows from their numbers is decided in one place,
//! [`judge`].

mod comparison;
mod identity;
mod measure;
mod side;
mod trial;
mod trial_info;
mod verdict;

pub use comparison::{CompareError, Comparison, Row};
pub use identity::{Axis, Difference, Words, differences, fingerprint, maker, place, what};
pub use measure::{Kind, Lengths, Measure};
pub use side::{Case, Side, SideError};
pub use trial::{Schedule, Step, Trial, Which};
pub use trial_info::{TRIAL_FORMAT, TrialInfo, values};
pub use verdict::{Design, Judged, Policy, Verdict, counted, judge, missing, of_interval};
