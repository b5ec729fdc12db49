//! Models by shape: what one is made of, which tensors it has, which types a file mix gives them.

mod catalogue;
mod from_gguf;
mod groups;
mod identity;
mod mix;
mod shape;
mod tensors;

pub use catalogue::{Catalogue, CatalogueError, CatalogueProblem, UnknownModel};
pub use from_gguf::ModelError;
pub use groups::group_of;
pub use identity::{ModelIdentity, file_sha256};
pub use mix::{FileMix, UnknownMix, quant_name};
pub use shape::{Arch, ModelShape, RopeScaling, ShapeError, ShapeProblem};
pub use tensors::{TensorGroup, TensorSpec};
