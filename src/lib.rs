//! `slmbench` measures what a small language model really costs on a device.
//!
//! The rooms stand in the order in which data passes through them: what is to be measured is
//! read and checked, laid out as a plan of cells, measured by one child process per invocation,
//! kept as records, turned into numbers, and drawn. Imports run one way; `tests/it/layers.rs` holds
//! the table. `ARCHITECTURE.md` is the map.

pub mod clock;
pub mod ggml;
pub mod settings;
pub mod system;
pub mod units;

pub mod gguf;
pub mod hub;
pub mod model;
pub mod suite;

pub mod memory;
pub mod quantize;
pub mod reference;
pub mod synth;

pub mod plan;
pub mod sensors;

pub mod engine;
pub mod probe;
pub mod roofline;

pub mod record;

pub mod measure;
pub mod runner;

pub mod stats;

pub mod compare;
pub mod history;

pub mod exchange;
pub mod report;

pub mod cli;
