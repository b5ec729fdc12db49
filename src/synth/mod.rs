//! Model files of a given shape with random weights, and the cache of such files.
//!
//! What a forward pass costs depends on shapes and types, not on what the weights say; so a
//! benchmark needs no download. The files are whole and valid: any engine that reads GGUF loads
//! them, text tokenises, activations stay finite. What they say is noise.

mod blocks;
mod cache;
mod metadata;
mod tokenizer;
mod write;

#[cfg(test)]
mod tests;

pub use blocks::{DRAWABLE_TYPES, draw_blocks};
pub use cache::{Cache, CacheError, CachedModel};
pub use write::{SynthError, Synthesis, write_model};

/// Version of the weights and metadata written. Files of different versions are not comparable
/// byte for byte; raise it with every change of what is written.
pub const SYNTH_VERSION: u32 = 2;
