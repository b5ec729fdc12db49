//! The program as its users meet it: the real binary, the fake engine, a scripted clock. And what
//! holds for the tree as a whole.

mod cli;
#[cfg(feature = "llama-cpp")]
mod differential;
mod faults;
mod format;
mod inspect;
mod interrupt;
mod layers;
#[cfg(feature = "llama-cpp")]
mod llama_cpp;
mod rust_text;
mod scripts;
mod support;
