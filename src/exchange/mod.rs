//! The formats of other tools, in and out.
//!
//! Out go runs: as rows of llama-bench, and as what trackers of benchmarks take. In come rows of
//! llama-bench. A tracker gets the estimates that reports show, made elsewhere and handed in as
//! [`CellNumbers`]: this room knows formats, not statistics. Rows that came in are a side of a
//! comparison. It reads and writes no file.
//!
//! `docs/exchange.md` has the tables of fields, what is lost, and what the real tools made of it.

pub mod bencher;
pub mod github;
pub mod llama_bench;
mod numbers;
pub mod otava;

pub use numbers::{CellNumbers, Direction, Meaning, Phase, RunNumbers, TwoOfOneName, meaning};

/// The commit in a program's line about itself: `0123abc` of `slmbench 0.1.0 (0123abc)`.
pub fn program_commit(program: &str) -> &str {
    program.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("unknown", |(c, _)| c)
}
