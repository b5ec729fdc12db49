//! Models by shape: what one is made of, which tensors it has, which types a file mix gives them.

mod arch;
mod catalogue;
#[cfg(test)]
pub mod fixtures;
mod from_gguf;
mod groups;
mod identity;
mod keys;
mod mix;
mod per_layer;
mod shape;
mod tensors;
mod types;

pub use arch::{Arch, NormKind, Position};
pub use catalogue::{
    Catalogue, CatalogueError, CatalogueModel, CatalogueProblem, NoShape, Origin, UnknownModel,
    hint_of_models, models_schema,
};
pub use from_gguf::{ModelError, check_whole};
pub use groups::group_of;
pub use identity::{ModelIdentity, file_sha256};
pub use keys::MetaValue;
pub use mix::{FileMix, Rules, SUFFIX_2024, UnknownMix, quant_name, type_bytes};
pub use per_layer::PerLayer;
pub use shape::{ModelShape, RopeScaling, ShapeError, ShapeProblem};
pub use tensors::{TensorGroup, TensorSpec};
pub use types::{type_shares, types_in_words};
