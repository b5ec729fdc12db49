//! What trackers are given: the cells of a run under names that stay, each with its estimates.
//!
//! A name holds everything by which cells differ, and of the settings those that depart from what a
//! run does by itself. It must not depend on what else the run measured, or a history would break
//! when a suite grows.

use std::collections::BTreeMap;

use crate::plan::Cell;
use crate::record::RunInfo;
use crate::settings::{Auto, Settings, TokenFeed};
use crate::stats::Estimate;

/// What a measure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The prompt.
    Prefill,
    /// The tokens behind it.
    Decode,
    /// The process as a whole.
    Process,
}

impl Phase {
    /// The word in names.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
            Phase::Process => "process",
        }
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Times and bytes.
    Smaller,
    /// Speeds.
    Bigger,
}

/// What a measure of the reports means to a tracker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meaning {
    /// Its name in `cells.csv`.
    pub name: &'static str,
    /// What it is of.
    pub phase: Phase,
    /// Which way is better.
    pub direction: Direction,
    /// Its unit.
    pub unit: &'static str,
    /// Bencher's measure, and what the value is multiplied by for it: its latencies are nanoseconds.
    pub bencher: (&'static str, f64),
}

const fn of(
    name: &'static str,
    phase: Phase,
    direction: Direction,
    unit: &'static str,
    bencher: (&'static str, f64),
) -> Meaning {
    Meaning { name, phase, direction, unit, bencher }
}

const MEANINGS: [Meaning; 10] = {
    use Direction::{Bigger, Smaller};
    use Phase::{Decode, Prefill, Process};
    [
        of("prefill_ms", Prefill, Smaller, "ms", ("latency", 1e6)),
        of("prefill_tok_per_s", Prefill, Bigger, "tokens/s", ("throughput", 1.0)),
        of("ttft_ms", Prefill, Smaller, "ms", ("ttft", 1e6)),
        of("tpot_ms", Decode, Smaller, "ms/token", ("latency", 1e6)),
        of("decode_tok_per_s", Decode, Bigger, "tokens/s", ("throughput", 1.0)),
        of("itl_p50_ms", Decode, Smaller, "ms", ("itl-p50", 1e6)),
        of("itl_p90_ms", Decode, Smaller, "ms", ("itl-p90", 1e6)),
        of("itl_p99_ms", Decode, Smaller, "ms", ("itl-p99", 1e6)),
        of("load_ms", Process, Smaller, "ms", ("load-time", 1e6)),
        of("peak_rss_bytes", Process, Smaller, "bytes", ("peak-rss", 1.0)),
    ]
};

/// What the measure `name` means; `None` for one that trackers are not given.
pub fn meaning(name: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.name == name)
}

/// A cell's estimates.
#[derive(Clone, Debug, PartialEq)]
pub struct CellNumbers<'a> {
    /// What was measured.
    pub cell: &'a Cell,
    /// Marks of its invocations.
    pub marks: Vec<&'static str>,
    /// Invocations that finished.
    pub n_invocations: usize,
    /// Measures by their names in `cells.csv`.
    pub measures: Vec<(&'static str, Estimate)>,
}

impl CellNumbers<'_> {
    /// Its estimates with what they mean. One that is not finite is not among them.
    pub fn known(&self) -> impl Iterator<Item = (&'static Meaning, &Estimate)> {
        self.measures
            .iter()
            .filter(|(_, estimate)| estimate.value.is_finite())
            .filter_map(|(name, estimate)| Some((meaning(name)?, estimate)))
    }
}

/// A run's estimates.
#[derive(Clone, Debug, PartialEq)]
pub struct RunNumbers<'a> {
    /// Who, when, where.
    pub run: &'a RunInfo,
    /// What the device is called.
    pub device: String,
    /// Its cells in the order of the plan.
    pub cells: Vec<CellNumbers<'a>>,
}

impl<'a> RunNumbers<'a> {
    /// Every cell that has a number, by its name: `SmolLM2-135M/Q4_0/reference/pp128+tg64 @ d512`.
    /// Cells of a run that differ in something that no name holds have their ids behind it.
    pub fn named(&self) -> Vec<(String, &CellNumbers<'a>)> {
        let mut named: Vec<(String, &CellNumbers)> = self
            .cells
            .iter()
            .filter(|cell| !cell.measures.is_empty())
            .map(|cell| (name(cell.cell), cell))
            .collect();
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for (name, _) in &named {
            *count.entry(name.clone()).or_default() += 1;
        }
        for (name, cell) in &mut named {
            if count[name] > 1 {
                name.push_str(&format!(" #{}", cell.cell.id));
            }
        }
        named
    }
}

/// Two runs that measured the same, where only one can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is in two of the folders, and this format holds one run\nhint: export one folder at a time"
)]
pub struct TwoOfOneName {
    /// What was measured twice.
    pub name: String,
}

/// The cells of all runs, each name once.
pub(super) fn all_named<'a, 'b>(
    runs: &'b [RunNumbers<'a>],
) -> Result<Vec<(String, &'b RunNumbers<'a>, &'b CellNumbers<'a>)>, TwoOfOneName> {
    let mut all: Vec<(String, &RunNumbers, &CellNumbers)> = Vec::new();
    for run in runs {
        for (name, cell) in run.named() {
            if all.iter().any(|(known, ..)| *known == name) {
                return Err(TwoOfOneName { name });
            }
            all.push((name, run, cell));
        }
    }
    Ok(all)
}

/// Model, mix, engine, settings that are not the usual ones, test.
fn name(cell: &Cell) -> String {
    let usual = Settings::default();
    let asked = &cell.settings;
    let number = |value: Auto<u32>| match value {
        Auto::Auto => None,
        Auto::Fixed(n) => Some(n.to_string()),
    };
    let other = |differs: bool, word: &dyn std::fmt::Display| differs.then(|| word.to_string());
    let settings = [
        ("cpus", other(cell.cpus != "all", &cell.cpus)),
        ("threads", number(asked.n_threads)),
        ("n_ctx", number(asked.n_ctx)),
        ("n_batch", other(asked.n_batch != usual.n_batch, &asked.n_batch)),
        ("n_ubatch", other(asked.n_ubatch != usual.n_ubatch, &asked.n_ubatch)),
        ("type_k", other(asked.type_k != usual.type_k, &asked.type_k)),
        ("type_v", other(asked.type_v != usual.type_v, &asked.type_v)),
        ("fa", other(asked.flash_attn != usual.flash_attn, &asked.flash_attn)),
        ("lm", other(asked.load_mode != usual.load_mode, &asked.load_mode)),
        ("dev", other(asked.backend_device != usual.backend_device, &asked.backend_device)),
        ("ngl", number(asked.n_gpu_layers)),
        ("feed", other(cell.feed != TokenFeed::Random, &cell.feed)),
    ];
    let mut words = vec![cell.model.clone(), cell.quant.clone(), cell.engine.clone()];
    words.extend(settings.into_iter().filter_map(|(key, v)| Some(format!("{key}={}", v?))));
    words.push(cell.test());
    words.join("/")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::ReportView;
    use crate::report::fixture::{self, Fixture};

    /// The numbers of a made-up run.
    pub fn numbers(fixture: &Fixture) -> RunNumbers<'_> {
        let view = ReportView::new(&fixture.run, &fixture.records);
        let cells = view.cells.iter().map(|cell| CellNumbers {
            cell: cell.cell,
            marks: cell.marks.iter().map(|m| m.word()).collect(),
            n_invocations: cell.n_invocations,
            measures: cell
                .measures
                .named()
                .into_iter()
                .filter_map(|(name, estimate)| Some((name, estimate?)))
                .collect(),
        });
        RunNumbers { run: &fixture.run, device: view.device(), cells: cells.collect() }
    }

    #[test]
    fn a_name_holds_what_differs_and_nothing_usual() {
        let mut cell = fixture::cell("SmolLM2-135M", crate::ggml::GgmlType::Q4_0, "reference", 512);
        assert_eq!(name(&cell), "SmolLM2-135M/Q4_0/reference/pp128+tg64 @ d512");
        cell.settings.n_threads = Auto::Fixed(4);
        cell.settings.type_k = crate::ggml::GgmlType::Q8_0;
        cell.cpus = "big".into();
        assert_eq!(
            name(&cell),
            "SmolLM2-135M/Q4_0/reference/cpus=big/threads=4/type_k=Q8_0/pp128+tg64 @ d512"
        );
    }

    #[test]
    fn cells_that_no_name_tells_apart_have_their_ids_in_it() {
        let mut fixture = fixture::matrix(1);
        fixture.run.cells.truncate(2);
        fixture.records.truncate(2);
        let mut twin = fixture.run.cells[0].clone();
        twin.id.0 = "feedfeedfeed".into();
        fixture.run.cells[1] = twin.clone();
        fixture.records[1].cell = twin;
        let numbers = numbers(&fixture);
        let named = numbers.named();
        assert!(named[0].0.ends_with(&format!(" #{}", fixture.run.cells[0].id)), "{}", named[0].0);
        assert!(named[1].0.ends_with(" #feedfeedfeed"), "{}", named[1].0);
    }

    #[test]
    fn every_measure_of_the_reports_means_something_to_a_tracker() {
        for (name, _) in crate::report::Measures::default().named() {
            assert!(meaning(name).is_some(), "{name}");
        }
    }

    #[test]
    fn two_folders_that_measured_the_same_are_refused() {
        let fixture = fixture::single(1);
        let error = all_named(&[numbers(&fixture), numbers(&fixture)]).unwrap_err();
        assert!(error.to_string().contains("one folder at a time"), "{error}");
    }
}
