//! The graph of `llama` and `qwen2`: weights, cache, one pass.

mod attend;
mod attention;
mod budget;
mod kv;
mod linear;
mod load;
mod ops;
mod pass;
mod rope;
mod session;
#[cfg(test)]
mod tests;

pub use kv::N_CTX_PADDING;
pub use load::{ARCHS, Loading, Model};
pub use session::{Buffers, Session, SessionConfig};
