//! The one type all writers read: a run's records brought down to numbers, cell by cell.
//!
//! What each number means stands in `docs/csv.md`. A number that is not there is `None`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Cell;
use crate::record::{Mark, Outcome, Record, Resolved, RunInfo, Sample, Stage};
use crate::settings::{Auto, FlashAttn};
use crate::stats::{Estimate, quantile};

/// A run, ready to be written down.
#[derive(Debug)]
pub struct ReportView<'a> {
    /// The run's identity and its machine.
    pub run: &'a RunInfo,
    /// Every cell of the plan in its order; behind them cells that only the records know.
    pub cells: Vec<CellView<'a>>,
}

impl<'a> ReportView<'a> {
    /// Brings `records` down to numbers. Where an invocation was measured more than once, the
    /// last record counts.
    pub fn new(run: &'a RunInfo, records: &'a [Record]) -> ReportView<'a> {
        let mut by_cell: BTreeMap<&str, BTreeMap<u32, &Record>> = BTreeMap::new();
        for record in records {
            by_cell.entry(&record.cell.id.0).or_default().insert(record.invocation, record);
        }
        let mut seen = BTreeSet::new();
        let cells = run
            .cells
            .iter()
            .chain(records.iter().map(|r| &r.cell))
            .filter(|cell| seen.insert(&cell.id))
            .map(|cell| {
                let records = by_cell.remove(cell.id.0.as_str()).unwrap_or_default();
                CellView::new(cell, records.into_values().collect(), run.invocations)
            })
            .collect();
        ReportView { run, cells }
    }

    /// What the device is called: the label, else the machine and its CPU.
    pub fn device(&self) -> String {
        let host = &self.run.host;
        let cpu = if host.cpu.is_empty() { "unknown CPU" } else { &host.cpu };
        match (&self.run.label, &host.machine) {
            (Some(label), _) => label.clone(),
            (None, Some(machine)) => format!("{machine}, {cpu}"),
            (None, None) => cpu.to_owned(),
        }
    }

    /// Fewest and most finished invocations of the cells that finished.
    pub fn finished_invocations(&self) -> Option<(usize, usize)> {
        let counts = || self.cells.iter().map(|c| c.n_invocations).filter(|&n| n > 0);
        counts().min().zip(counts().max())
    }
}

/// A cell with its numbers.
#[derive(Debug)]
pub struct CellView<'a> {
    /// What was measured.
    pub cell: &'a Cell,
    /// Its records by invocation: raw samples, memory, surroundings.
    pub records: Vec<&'a Record>,
    /// What became of it.
    pub outcome: OutcomeSummary,
    /// Every mark of every invocation.
    pub marks: BTreeSet<Mark>,
    /// Invocations that finished: those the estimates stand on.
    pub n_invocations: usize,
    /// What the settings became; absent when nothing was loaded.
    pub resolved: Option<&'a Resolved>,
    /// The measures.
    pub measures: Measures,
    /// Bytes of the model's tensors.
    pub weight_bytes: Option<u64>,
    /// Bytes of the KV cache: as allocated, else as predicted.
    pub kv_bytes: Option<u64>,
    /// 8 × weight bytes ÷ unique parameters.
    pub bits_per_weight: Option<f64>,
}

/// What became of a cell's invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeSummary {
    /// `finished` when at least one did; else the word of the most telling outcome; `not_run`
    /// when there is no record.
    pub word: &'static str,
    /// Why the most telling of the invocations that did not finish did not, and its log file.
    pub reason: Option<Reason>,
    /// Invocations by the word of their outcome.
    pub counts: BTreeMap<&'static str, usize>,
    /// Invocations planned.
    pub planned: usize,
}

/// Why an invocation did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The word of its outcome.
    pub word: &'static str,
    /// What was said.
    pub text: String,
    /// The child's log, relative to the run folder.
    pub log: Option<String>,
}

/// Estimates of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    /// Prompt evaluation, milliseconds.
    pub prefill_ms: Option<Estimate>,
    /// Prompt tokens ÷ prefill time.
    pub prefill_tok_per_s: Option<Estimate>,
    /// Prompt handed over → first token chosen, milliseconds.
    pub ttft_ms: Option<Estimate>,
    /// (t_last − t_first) ÷ `n_gen`, milliseconds.
    pub tpot_ms: Option<Estimate>,
    /// Decode calls ÷ decode time.
    pub decode_tok_per_s: Option<Estimate>,
    /// Median gap between tokens, milliseconds.
    pub itl_p50_ms: Option<Estimate>,
    /// 90th percentile of the gaps, milliseconds.
    pub itl_p90_ms: Option<Estimate>,
    /// 99th percentile of the gaps, milliseconds.
    pub itl_p99_ms: Option<Estimate>,
    /// Open file → ready, milliseconds.
    pub load_ms: Option<Estimate>,
    /// Largest resident set.
    pub peak_rss_bytes: Option<Estimate>,
}

impl Measures {
    /// Every measure with its name, in the order of `cells.csv`.
    pub fn named(&self) -> [(&'static str, Option<Estimate>); 10] {
        [
            ("prefill_ms", self.prefill_ms),
            ("prefill_tok_per_s", self.prefill_tok_per_s),
            ("ttft_ms", self.ttft_ms),
            ("tpot_ms", self.tpot_ms),
            ("decode_tok_per_s", self.decode_tok_per_s),
            ("itl_p50_ms", self.itl_p50_ms),
            ("itl_p90_ms", self.itl_p90_ms),
            ("itl_p99_ms", self.itl_p99_ms),
            ("load_ms", self.load_ms),
            ("peak_rss_bytes", self.peak_rss_bytes),
        ]
    }

    fn of(finished: &[&Record]) -> Measures {
        let each = |number: fn(&Record, &Sample) -> Option<f64>| {
            let invocations: Vec<Vec<f64>> = finished
                .iter()
                .map(|r| r.samples.iter().filter_map(|s| number(r, s)).collect())
                .collect();
            Estimate::of_repetitions(&invocations)
        };
        let once = |number: fn(&Record) -> Option<f64>| {
            let values: Vec<f64> = finished.iter().filter_map(|r| number(r)).collect();
            Estimate::of_invocations(&values, &values)
        };
        Measures {
            prefill_ms: each(|_, s| s.prefill_ns.map(ms)),
            prefill_tok_per_s: each(prefill_tok_per_s),
            ttft_ms: each(|_, s| s.ttft_ns.map(ms)),
            tpot_ms: each(|_, s| tpot_ms(s)),
            decode_tok_per_s: each(|_, s| decode_tok_per_s(s)),
            itl_p50_ms: gaps_at(0.5, finished),
            itl_p90_ms: gaps_at(0.9, finished),
            itl_p99_ms: gaps_at(0.99, finished),
            load_ms: once(|r| r.load.as_ref().map(|l| ms(l.load_ns))),
            peak_rss_bytes: once(|r| r.memory.peak_rss_bytes.map(|b| b as f64)),
        }
    }
}

/// Milliseconds of a count of nanoseconds.
pub(super) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Prompt tokens per second of one repetition.
pub(super) fn prefill_tok_per_s(record: &Record, sample: &Sample) -> Option<f64> {
    let ns = sample.prefill_ns.filter(|&ns| ns > 0)?;
    Some(f64::from(record.cell.n_prompt) * 1e9 / ns as f64)
}

/// Milliseconds per token of one repetition.
pub(super) fn tpot_ms(sample: &Sample) -> Option<f64> {
    Some(ms(sample.decode_ns()?) / sample.itl_ns.len() as f64)
}

/// Decode calls per second of one repetition.
pub(super) fn decode_tok_per_s(sample: &Sample) -> Option<f64> {
    let ns = sample.decode_ns().filter(|&ns| ns > 0)?;
    Some(sample.itl_ns.len() as f64 * 1e9 / ns as f64)
}

/// The quantile of an invocation is that of all its gaps together: a stutter that comes in every
/// third repetition belongs to its tail. The range is that of each repetition's own quantile.
fn gaps_at(p: f64, finished: &[&Record]) -> Option<Estimate> {
    let gaps = |s: &Sample| s.itl_ns.iter().map(|&ns| ms(ns)).collect::<Vec<f64>>();
    let invocations: Vec<f64> = finished
        .iter()
        .filter_map(|r| quantile(&r.samples.iter().flat_map(gaps).collect::<Vec<f64>>(), p))
        .collect();
    let repetitions: Vec<f64> = finished
        .iter()
        .flat_map(|r| r.samples.iter().filter_map(|s| quantile(&gaps(s), p)))
        .collect();
    Estimate::of_invocations(&invocations, &repetitions)
}

impl<'a> CellView<'a> {
    fn new(cell: &'a Cell, records: Vec<&'a Record>, planned: u32) -> CellView<'a> {
        let finished: Vec<&Record> =
            records.iter().copied().filter(|r| r.outcome == Outcome::Finished).collect();
        // What finished speaks first; what did not may still know what it was about to do.
        let known: Vec<&'a Record> = records
            .iter()
            .filter(|r| r.outcome == Outcome::Finished)
            .chain(records.iter().filter(|r| r.outcome != Outcome::Finished))
            .copied()
            .collect();
        let predicted = known.iter().find_map(|r| r.memory.predicted);
        let allocated = known.iter().find_map(|r| r.memory.allocated.as_ref());
        let model = known.iter().find_map(|r| r.model.as_ref());
        CellView {
            cell,
            outcome: OutcomeSummary::of(&records, planned),
            marks: records.iter().flat_map(|r| r.marks.iter().copied()).collect(),
            n_invocations: finished.len(),
            resolved: known.iter().find_map(|r| r.resolved.as_ref()),
            measures: Measures::of(&finished),
            weight_bytes: model
                .map(|m| m.weight_bytes)
                .or(predicted.map(|p| p.weight_bytes)),
            kv_bytes: allocated.map(|a| a.kv_bytes).or(predicted.map(|p| p.kv_bytes)),
            bits_per_weight: model.map(|m| m.bits_per_weight),
            records,
        }
    }

    /// Threads that computed; absent when left to an engine that never said.
    pub fn n_threads(&self) -> Option<u32> {
        self.resolved.map(|r| r.n_threads).or(fixed(self.cell.settings.n_threads))
    }

    /// Capacity of the KV cache; absent when left to an engine that never said.
    pub fn n_ctx(&self) -> Option<u32> {
        self.resolved.map(|r| r.n_ctx).or(fixed(self.cell.settings.n_ctx))
    }

    /// Physical batch.
    pub fn n_ubatch(&self) -> u32 {
        self.resolved.map_or(self.cell.settings.n_ubatch, |r| r.n_ubatch)
    }

    /// Flash attention as it was; as asked for when nothing was loaded.
    pub fn flash_attn(&self) -> FlashAttn {
        match self.resolved.map(|r| r.flash_attn) {
            Some(true) => FlashAttn::On,
            Some(false) => FlashAttn::Off,
            None => self.cell.settings.flash_attn,
        }
    }

    /// The device that computed; as asked for when nothing was loaded.
    pub fn backend_device(&self) -> &str {
        self.resolved.map_or(&self.cell.settings.backend_device, |r| &r.backend_device)
    }

    /// Depth at which prefill starts.
    pub fn prefill_depth(&self) -> u32 {
        self.cell.n_depth
    }

    /// Depth at which decode starts: the prompt is in the cache by then.
    pub fn decode_depth(&self) -> u32 {
        self.cell.n_depth.saturating_add(self.cell.n_prompt)
    }

    /// What its prefill is called: `pp128`, `pp128 @ d512`. Absent without a prompt.
    pub fn prefill_test(&self) -> Option<String> {
        (self.cell.n_prompt > 0)
            .then(|| at_depth(format!("pp{}", self.cell.n_prompt), self.prefill_depth()))
    }

    /// What its decode is called: `tg64`, `tg64 @ d128`. Absent when nothing is decoded.
    pub fn decode_test(&self) -> Option<String> {
        (self.cell.n_gen > 0).then(|| at_depth(format!("tg{}", self.cell.n_gen), self.decode_depth()))
    }
}

fn at_depth(test: String, depth: u32) -> String {
    if depth == 0 { test } else { format!("{test} @ d{depth}") }
}

fn fixed(value: Auto<u32>) -> Option<u32> {
    match value {
        Auto::Auto => None,
        Auto::Fixed(v) => Some(v),
    }
}

impl OutcomeSummary {
    fn of(records: &[&Record], planned: u32) -> OutcomeSummary {
        let mut counts = BTreeMap::new();
        for record in records {
            *counts.entry(record.outcome.word()).or_insert(0) += 1;
        }
        let telling = records
            .iter()
            .filter(|r| r.outcome != Outcome::Finished)
            .max_by_key(|r| weight(&r.outcome));
        let word = match telling {
            _ if counts.contains_key(Outcome::Finished.word()) => Outcome::Finished.word(),
            Some(record) => record.outcome.word(),
            None => "not_run",
        };
        let reason = telling.map(|record| Reason {
            word: record.outcome.word(),
            text: said(&record.outcome),
            log: record.log.clone(),
        });
        OutcomeSummary { word, reason, counts, planned: planned as usize }
    }

    /// Whether at least one invocation finished.
    pub fn finished(&self) -> bool {
        self.word == Outcome::Finished.word()
    }

    /// Whether an invocation ended otherwise than planned: neither finished nor skipped.
    pub fn any_failed(&self) -> bool {
        self.counts.keys().any(|word| !["finished", "skipped"].contains(word))
    }
}

/// How much an outcome tells about a cell, beside others.
fn weight(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::OutOfMemory { .. } => 6,
        Outcome::Crashed { .. } => 5,
        Outcome::Failed { .. } => 4,
        Outcome::TimedOut { .. } => 3,
        Outcome::Unfit { .. } => 2,
        Outcome::Skipped { .. } => 1,
        Outcome::Finished => 0,
    }
}

/// An outcome in words, without its own word.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => String::new(),
        Outcome::Failed { stage: Stage::Engine, message } => format!("engine: {message}"),
        Outcome::Failed { stage: Stage::Protocol, message } => format!("protocol: {message}"),
        Outcome::Crashed { signal: Some(signal), .. } => match signal_name(*signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        Outcome::Crashed { status: Some(status), .. } => format!("exit status {status}"),
        Outcome::Crashed { .. } => "ended without a word".to_owned(),
        Outcome::TimedOut { limit_s } => format!("ended after {limit_s} s"),
        Outcome::OutOfMemory { message } => message.clone(),
        Outcome::Unfit { reason } | Outcome::Skipped { reason } => reason.clone(),
    }
}

/// Signals whose number is the same on every Linux and on macOS.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}
