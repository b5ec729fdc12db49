//! What the targets share: files to begin with, changes that leave most of a file as it was, and what
//! a file may make the program take.
//!
//! Bytes that are changed blindly are refused by the first check of a header. So a file is walked
//! through here, and what is changed is a number, a type, a place or a name where one stands; or the
//! file is written anew with a key or a tensor more, less or of another size.

mod change;
mod seeds;
#[path = "../../src/gguf/taken.rs"]
mod taken;

pub use change::change;
pub use seeds::{files, write_seeds};
pub use taken::most_taken;

/// Heap, or memory of the engine's own, that a file of `len` bytes may justify: some hundred bytes for a
/// tensor of no more than a name, panels of 16 rows for matrices of one, and what a session takes for
/// itself.
pub fn justified(len: usize) -> usize {
    64 * len + (256 << 10)
}
