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
pub use taken::{justified, most_taken};
