//! The graph: one pass for all architectures, led by what a recipe says and a model has.

mod attend;
mod attention;
mod budget;
mod ends;
mod kv;
mod linear;
mod load;
mod model;
mod norm;
mod ops;
mod pass;
mod product;
mod project;
mod recipe;
mod rope;
mod session;
#[cfg(test)]
mod tests;
mod widths;

use crate::model::Arch;

pub use kv::N_CTX_PADDING;
pub use load::Loading;
pub use model::Model;
pub use session::{Buffers, Session, SessionConfig};

/// Architectures that this engine runs: all there are.
pub const ARCHS: &[Arch] = Arch::ALL;
