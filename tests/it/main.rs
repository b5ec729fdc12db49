//! The program as its users meet it: the real binary, the fake engine, a scripted clock. And what
//! holds for the tree as a whole.

mod ab;
mod cli;
mod compare;
#[cfg(feature = "llama-cpp")]
mod differential;
mod doctor;
mod exchange;
mod faults;
mod format;
mod gate;
mod gpu;
mod history;
mod html;
mod hub;
mod inspect;
mod interrupt;
mod layers;
#[cfg(feature = "llama-cpp")]
mod llama_cpp;
mod memory;
mod mistakes;
#[cfg(feature = "llama-cpp")]
mod oracle;
mod papers;
mod predict;
mod probe;
mod profile;
#[cfg(feature = "llama-cpp")]
mod quantisers;
mod quantize;
mod rust_text;
mod schemas;
mod scripts;
#[cfg(feature = "llama-cpp")]
mod shapes;
mod show;
mod simulated;
mod soak;
mod suites;
mod support;
mod survey;
