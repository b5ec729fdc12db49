//! Models by shape: what one is made of, which tensors it has, which types a file mix gives them.

mod from_gguf;
mod identity;
mod shape;
mod tensors;

pub use from_gguf::ModelError;
pub use identity::ModelIdentity;
pub use shape::{Arch, ModelShape, RopeScaling, ShapeError, ShapeProblem};
pub use tensors::{TensorGroup, TensorSpec};
