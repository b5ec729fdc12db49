//! What is compared: one number per invocation for each measure. All of them are costs, so that more is
//! worse everywhere.

use std::fmt;
use std::str::FromStr;

use crate::plan::Cell;
use crate::record::{Outcome, Record, Sample};
use crate::stats::{median, quantile};

/// A number that an invocation has, named as in `cells.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Prompt evaluation, milliseconds.
    Prefill,
    /// Time per decode call, milliseconds.
    Decode,
    /// Prompt handed over → first token chosen, milliseconds.
    Ttft,
    /// 99th percentile of the gaps between tokens, milliseconds.
    ItlP99,
    /// Open file → ready, milliseconds.
    Load,
    /// Largest resident set, bytes.
    PeakMemory,
    /// Weights, however they are held, as the engine says it took them.
    Weights,
    /// The KV cache, as the engine says it took it.
    KvCache,
    /// What the graph needs beside them, as the engine says it took it.
    Compute,
    /// Results kept for the caller, as the engine says it took them.
    Output,
}

/// How a measure is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A time: statistics, and the threshold of times.
    Time,
    /// Memory that was measured: statistics, and the threshold of memory.
    Memory,
    /// Bytes that do not vary: equal or not.
    Exact,
}

impl Measure {
    /// Every measure, in the order in which they are shown.
    pub const ALL: [Measure; 10] = [
        Measure::Prefill,
        Measure::Decode,
        Measure::Ttft,
        Measure::ItlP99,
        Measure::Load,
        Measure::PeakMemory,
        Measure::Weights,
        Measure::KvCache,
        Measure::Compute,
        Measure::Output,
    ];

    /// What is judged unless something else is asked for: the two phases, the peak, and what has no
    /// noise. Every further measure is one more chance of a false alarm.
    pub const JUDGED: [Measure; 7] = [
        Measure::Prefill,
        Measure::Decode,
        Measure::PeakMemory,
        Measure::Weights,
        Measure::KvCache,
        Measure::Compute,
        Measure::Output,
    ];

    /// Its name in files and options.
    pub fn word(self) -> &'static str {
        match self {
            Measure::Prefill => "prefill_ms",
            Measure::Decode => "tpot_ms",
            Measure::Ttft => "ttft_ms",
            Measure::ItlP99 => "itl_p99_ms",
            Measure::Load => "load_ms",
            Measure::PeakMemory => "peak_rss_bytes",
            Measure::Weights => "weight_bytes",
            Measure::KvCache => "kv_bytes",
            Measure::Compute => "compute_bytes",
            Measure::Output => "output_bytes",
        }
    }

    /// How it is judged.
    pub fn kind(self) -> Kind {
        match self {
            Measure::Prefill
            | Measure::Decode
            | Measure::Ttft
            | Measure::ItlP99
            | Measure::Load => Kind::Time,
            Measure::PeakMemory => Kind::Memory,
            Measure::Weights | Measure::KvCache | Measure::Compute | Measure::Output => Kind::Exact,
        }
    }

    /// What a cell with these lengths calls it: `pp128`, `tg32 @ d128`, `peak memory`. `None` where
    /// the cell does not have it.
    pub fn test(self, lengths: Lengths) -> Option<String> {
        let Lengths { n_prompt, n_gen, n_depth } = lengths;
        let at_depth = |test: String, depth: u32| match depth {
            0 => test,
            depth => format!("{test} @ d{depth}"),
        };
        let prefill = (n_prompt > 0).then(|| at_depth(format!("pp{n_prompt}"), n_depth));
        let decode =
            (n_gen > 0).then(|| at_depth(format!("tg{n_gen}"), n_depth.saturating_add(n_prompt)));
        match self {
            Measure::Prefill => prefill,
            Measure::Decode => decode,
            Measure::Ttft => prefill.map(|test| format!("{test} TTFT")),
            Measure::ItlP99 => decode.map(|test| format!("{test} ITL p99")),
            Measure::Load => Some("load".to_owned()),
            Measure::PeakMemory => Some("peak memory".to_owned()),
            Measure::Weights => Some("weights".to_owned()),
            Measure::KvCache => Some("KV cache".to_owned()),
            Measure::Compute => Some("compute buffer".to_owned()),
            Measure::Output => Some("output buffer".to_owned()),
        }
    }

    /// The number of an invocation: the median of its repetitions for times. `None` where it did not
    /// finish, or did not measure it.
    pub fn of(self, record: &Record) -> Option<f64> {
        if record.outcome != Outcome::Finished {
            return None;
        }
        let middle = || {
            median(&record.samples.iter().filter_map(|s| self.of_sample(s)).collect::<Vec<f64>>())
        };
        let bytes = |of: fn(&crate::record::Allocated) -> u64| {
            record.memory.allocated.as_ref().map(|a| of(a) as f64)
        };
        match self {
            Measure::Prefill | Measure::Decode | Measure::Ttft => middle(),
            // A stutter that comes in every third repetition belongs to the tail.
            Measure::ItlP99 => {
                let gaps = record.samples.iter().flat_map(|s| &s.itl_ns);
                quantile(&gaps.map(|&ns| ms(ns)).collect::<Vec<f64>>(), 0.99)
            }
            Measure::Load => record.load.as_ref().map(|load| ms(load.load_ns)),
            Measure::PeakMemory => record.memory.peak_rss_bytes.map(|b| b as f64),
            Measure::Weights => {
                bytes(|a| a.weight_bytes + a.weight_mapped_bytes + a.weight_copy_bytes)
            }
            Measure::KvCache => bytes(|a| a.kv_bytes),
            Measure::Compute => bytes(|a| a.compute_bytes),
            Measure::Output => bytes(|a| a.output_bytes),
        }
    }

    /// The number of one repetition; `None` for what an invocation has only once.
    pub fn of_sample(self, sample: &Sample) -> Option<f64> {
        match self {
            Measure::Prefill => sample.prefill_ns.map(ms),
            Measure::Decode => Some(ms(sample.decode_ns()?) / sample.itl_ns.len() as f64),
            Measure::Ttft => sample.ttft_ns.map(ms),
            Measure::ItlP99 => {
                quantile(&sample.itl_ns.iter().map(|&ns| ms(ns)).collect::<Vec<f64>>(), 0.99)
            }
            _ => None,
        }
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(word: &str) -> Result<Measure, String> {
        Measure::ALL.into_iter().find(|m| m.word() == word).ok_or_else(|| {
            let words: Vec<&str> = Measure::ALL.iter().map(|m| m.word()).collect();
            format!("no measure `{word}`; there are {}", words.join(", "))
        })
    }
}

impl serde::Serialize for Measure {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}

impl<'de> serde::Deserialize<'de> for Measure {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Measure, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a cell times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lengths {
    /// Prompt tokens.
    pub n_prompt: u32,
    /// Decode calls.
    pub n_gen: u32,
    /// Tokens in the cache before.
    pub n_depth: u32,
}

impl From<&Cell> for Lengths {
    fn from(cell: &Cell) -> Lengths {
        Lengths { n_prompt: cell.n_prompt, n_gen: cell.n_gen, n_depth: cell.n_depth }
    }
}
