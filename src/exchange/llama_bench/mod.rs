//! llama-bench's format, both ways: its rows read whatever their era, records written as such rows.
//!
//! Source of truth: `tools/llama-bench/llama-bench.cpp` of llama.cpp. What a row cannot hold (token
//! times, memory, temperature) is lost on the way; `docs/exchange.md` has the list.

#[cfg(test)]
mod eras;
mod error;
mod held;
mod markdown;
mod model_type;
mod of_records;
mod read;
mod row;
mod side;
#[cfg(test)]
mod tests;
mod write;

pub use error::{Place, ReadError, ReadErrorKind};
pub use held::Switch;
pub use markdown::markdown;
pub use of_records::rows;
pub use read::read;
pub use row::Row;
pub use side::side;
pub use write::{csv, json, jsonl, sql};
