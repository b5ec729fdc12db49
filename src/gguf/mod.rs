//! The GGUF file format, versions 2 and 3, little-endian: a reader over a memory-mapped file and
//! a writer that streams.
//!
//! The reader believes nothing: every count, length and offset is checked against the file before
//! it is used, and no bytes whatever make it panic. It knows types and places, not models; what a
//! key means is `model`'s business.
//!
//! Source of truth: `docs/gguf.md` of ggml, and `gguf.cpp` where the two differ.

mod cursor;
mod error;
mod head;
mod header;
mod pieces;
mod read;
#[cfg(test)]
pub mod taken;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use error::{GgufError, GgufErrorKind, Place};
pub use head::{GgufHead, RawValue};
pub use header::{GgufHeader, TensorInfo};
pub use pieces::write_pieces;
pub use read::Gguf;
pub use value::{Element, Value, ValueType};
pub use write::{GgufWriter, TensorStream};

/// The four bytes a GGUF file starts with.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Alignment of tensor data where the file names none (`general.alignment`).
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Key of the alignment.
pub(crate) const KEY_ALIGNMENT: &str = "general.alignment";

/// Most dimensions a tensor may have.
pub const MAX_DIMS: u32 = 4;
