//! Models by shape: what one is made of, which tensors it has, which types a file mix gives them.

mod identity;
mod shape;

pub use identity::ModelIdentity;
pub use shape::{Arch, ModelShape, RopeScaling};
