//! The built-in engine: reads a GGUF file and runs models of every architecture on the CPU.
//!
//! It knows nothing about benchmarking: no suites, cells or records, and no clock but for
//! calibrating how long a thread spins. The way of the data: a file is opened and its matrices
//! packed into panels ([`quant`]); a [`Session`] takes cache, activations and threads ([`pool`]);
//! a pass ([`graph`]) walks the layers and hands tiles of each product to the threads, which call
//! the [`kernel`]s of the instruction set chosen at start.

mod arena;
mod error;
pub mod graph;
pub mod kernel;
pub mod pool;
pub mod profile;
pub mod quant;
pub mod tiles;
pub mod trace;

pub use error::ReferenceError;
pub use graph::{ARCHS, Buffers, Loading, Model, N_CTX_PADDING, Session, SessionConfig};
