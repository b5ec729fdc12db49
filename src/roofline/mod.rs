//! What a call has to do, what the device could do, and so how long it must take: the roofline model
//! (Williams, Waterman and Patterson, 2009) for a language model's two phases.
//!
//! [`Work`] follows from shapes alone, [`Ceilings`] from a probe; a call takes at least as long as the
//! slower of the two needs. Pure: nothing is measured here, and no engine is known.

mod ceilings;
mod work;

pub use ceilings::{Binds, Ceilings, number_of};
pub use work::{Call, Work};
