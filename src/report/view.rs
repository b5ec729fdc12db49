//! The one type all writers read: a run's records brought down to numbers, cell by cell.
//!
//! What each number means stands in `docs/csv.md`. A number that is not there is `None`.

use std::collections::{BTreeMap, BTreeSet};

use super::axes;
use super::ceilings::Shares;
use super::outcome::OutcomeSummary;
use super::profile::ProfileView;
use super::soak::SoakView;
use crate::memory::{MemoryBudget, Reconciled};
use crate::plan::Cell;
use crate::record::{Allocated, Mark, ModelIdentity, Outcome, Record, Resolved, RunInfo, Sample};
use crate::settings::{Auto, FlashAttn};
use crate::stats::{Estimate, quantile};

/// A run, ready to be written down.
#[derive(Debug)]
pub struct ReportView<'a> {
    /// The run's identity and its machine.
    pub run: &'a RunInfo,
    /// Every cell of the plan in its order; behind them cells that only the records know.
    pub cells: Vec<CellView<'a>>,
    /// Sustained runs, a view for each record of one, in the order in which they ran.
    pub soaks: Vec<SoakView>,
    /// Where the time went, a view for each invocation that was profiled.
    pub profiles: Vec<ProfileView<'a>>,
    /// Every record that counts, whatever it is of: the last of each invocation.
    pub records: Vec<&'a Record>,
}

impl<'a> ReportView<'a> {
    /// Brings `records` down to numbers. Where an invocation was measured more than once, the
    /// last record counts.
    pub fn new(run: &'a RunInfo, records: &'a [Record]) -> ReportView<'a> {
        let mut by_cell: BTreeMap<&str, BTreeMap<u32, &Record>> = BTreeMap::new();
        for record in records {
            by_cell.entry(&record.cell.id.0).or_default().insert(record.invocation, record);
        }
        let last = by_cell.values().flat_map(|invocations| invocations.values().copied()).collect();
        let mut planned: BTreeMap<&str, u32> = BTreeMap::new();
        for (index, _) in &run.order {
            if let Some(cell) = run.cells.get(*index) {
                *planned.entry(&cell.id.0).or_default() += 1;
            }
        }
        let profiles = ProfileView::all(run, records);
        // A profile that did not come about is told among the cells: there is nothing else to show.
        let is_profiled =
            |cell: &Cell| profiles.iter().any(|profile| profile.record.cell.id == cell.id);
        let is_shown = |cell: &Cell| cell.is_timed() || cell.profile && !is_profiled(cell);
        let mut seen = BTreeSet::new();
        let cells = run
            .cells
            .iter()
            .chain(records.iter().map(|r| &r.cell))
            .filter(|cell| is_shown(cell) && seen.insert(&cell.id))
            .map(|cell| {
                let records = by_cell.remove(cell.id.0.as_str()).unwrap_or_default();
                let planned = planned.get(cell.id.0.as_str()).copied().unwrap_or(0);
                CellView::new(cell, records.into_values().collect(), planned)
            })
            .collect();
        ReportView { run, cells, soaks: soaks(run, records), profiles, records: last }
    }

    /// Cells by the marks that stand beside any of their invocations, sustained runs and profiles among
    /// them.
    pub fn marked(&self) -> BTreeMap<Mark, usize> {
        let timed = self.cells.iter().flat_map(|c| c.marks.iter().map(|mark| (*mark, &c.cell.id)));
        let all = self.records.iter().flat_map(|r| r.marks.iter().map(|mark| (*mark, &r.cell.id)));
        let mut marked = BTreeMap::new();
        for (mark, _) in timed.chain(all).collect::<BTreeSet<_>>() {
            *marked.entry(mark).or_default() += 1;
        }
        marked
    }

    /// How many cells there are, of any kind.
    pub fn n_cells(&self) -> usize {
        let timed = self.cells.iter().map(|c| &c.cell.id);
        timed.chain(self.records.iter().map(|r| &r.cell.id)).collect::<BTreeSet<_>>().len()
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

/// A view for each record of a sustained run, and what sets those of one name apart.
fn soaks(run: &RunInfo, records: &[Record]) -> Vec<SoakView> {
    let of: Vec<(&Record, SoakView)> =
        records.iter().filter_map(|r| Some((r, SoakView::of_record(run, r)?))).collect();
    let cells: Vec<&Cell> = of.iter().map(|(record, _)| &record.cell).collect();
    let axes = axes::differing_among(&cells);
    let is_repeated = |record: &Record| {
        of.iter().filter(|(other, _)| other.cell.id == record.cell.id).count() > 1
    };
    let apart = |record: &Record| {
        let number = is_repeated(record).then(|| format!("#{}", record.invocation + 1));
        axes::words(&record.cell, &axes).into_iter().chain(number).collect()
    };
    let apart: Vec<Vec<String>> = of.iter().map(|(record, _)| apart(record)).collect();
    let views = of.into_iter().zip(apart);
    views.map(|((_, soak), apart)| SoakView { apart, ..soak }).collect()
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
    /// Every mark of every invocation, and those that are told when a record is read.
    pub marks: BTreeSet<Mark>,
    /// Invocations that finished: those the estimates stand on.
    pub n_invocations: usize,
    /// What the settings became; absent when nothing was loaded.
    pub resolved: Option<&'a Resolved>,
    /// The measures.
    pub measures: Measures,
    /// How much of what the device can do it used.
    pub shares: Shares,
    /// Bytes of the model's tensors.
    pub weight_bytes: Option<u64>,
    /// Bytes of the KV cache: as allocated, else as predicted.
    pub kv_bytes: Option<u64>,
    /// Memory that its shape lets expect.
    pub predicted: Option<MemoryBudget>,
    /// Memory that the engine says it took.
    pub allocated: Option<&'a Allocated>,
    /// Where the memory of the finished invocation with the largest peak went.
    pub memory: Option<Reconciled>,
    /// 8 × weight bytes ÷ unique parameters.
    pub bits_per_weight: Option<f64>,
    /// The model's identity; absent for engines that read none.
    pub model: Option<&'a ModelIdentity>,
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
        let reconciled: Vec<Reconciled> = records.iter().filter_map(|r| r.reconciled()).collect();
        let mut marks: BTreeSet<Mark> =
            records.iter().flat_map(|r| r.marks.iter().copied()).collect();
        if reconciled.iter().any(Reconciled::is_notable) {
            marks.insert(Mark::Unaccounted);
        }
        CellView {
            cell,
            outcome: OutcomeSummary::of(&records, planned),
            marks,
            n_invocations: finished.len(),
            resolved: known.iter().find_map(|r| r.resolved.as_ref()),
            measures: Measures::of(&finished),
            shares: Shares::of(&finished),
            weight_bytes: model.map(|m| m.weight_bytes).or(predicted.map(|p| p.weight_bytes)),
            kv_bytes: allocated.map(|a| a.kv_bytes).or(predicted.map(|p| p.kv_bytes)),
            predicted,
            allocated,
            memory: reconciled.into_iter().max_by_key(|memory| memory.peak_bytes),
            bits_per_weight: model.map(|m| m.bits_per_weight),
            model,
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

    /// Memory predicted to stay untouched; absent where no prediction says.
    pub fn predicted_untouched_bytes(&self) -> Option<u64> {
        self.predicted.map(|p| p.untouched_bytes).filter(|&bytes| bytes > 0)
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
        (self.cell.n_gen > 0)
            .then(|| at_depth(format!("tg{}", self.cell.n_gen), self.decode_depth()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};

    /// One cell of 100 prompt tokens and 4 decode calls, with these samples in each invocation.
    fn measured(invocations: &[&[Sample]]) -> Fixture {
        let mut fixture = fixture::single(invocations.len() as u32);
        fixture.run.cells[0].n_prompt = 100;
        fixture.run.cells[0].n_gen = 4;
        for (record, samples) in fixture.records.iter_mut().zip(invocations) {
            record.cell = fixture.run.cells[0].clone();
            record.samples = samples.to_vec();
        }
        fixture
    }

    fn sample(prefill_ms: u64, itl_ms: [u64; 4]) -> Sample {
        Sample {
            start_ns: 0,
            prefill_ns: Some(prefill_ms * 1_000_000),
            ttft_ns: Some(prefill_ms * 1_000_000 + 500_000),
            itl_ns: itl_ms.map(|ms| ms * 1_000_000).into(),
        }
    }

    fn value(estimate: Option<Estimate>) -> f64 {
        estimate.unwrap().value
    }

    #[test]
    fn numbers_are_what_the_documents_define() {
        let fixture = measured(&[&[sample(50, [10, 10, 10, 50])]]);
        let view = ReportView::new(&fixture.run, &fixture.records);
        let m = &view.cells[0].measures;
        assert_eq!(value(m.prefill_ms), 50.0);
        assert_eq!(value(m.prefill_tok_per_s), 2000.0);
        assert_eq!(value(m.ttft_ms), 50.5);
        assert_eq!(value(m.tpot_ms), 20.0);
        assert_eq!(value(m.decode_tok_per_s), 50.0);
        assert_eq!(value(m.itl_p50_ms), 10.0);
        assert!((value(m.itl_p90_ms) - 38.0).abs() < 1e-9);
    }

    #[test]
    fn the_tail_of_an_invocation_is_that_of_all_its_tokens() {
        let calm = sample(50, [10; 4]);
        let fixture = measured(&[&[calm.clone(), calm.clone(), sample(50, [10, 10, 10, 50])]]);
        let view = ReportView::new(&fixture.run, &fixture.records);
        let p99 = view.cells[0].measures.itl_p99_ms.unwrap();
        assert!((p99.value - 45.6).abs() < 1e-9, "{p99:?}");
        assert_eq!(p99.range.0, 10.0);
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let none = Sample { prefill_ns: None, ttft_ns: None, itl_ns: vec![], start_ns: 0 };
        let fixture = measured(&[&[none]]);
        let view = ReportView::new(&fixture.run, &fixture.records);
        let absent = view.cells[0].measures.named().map(|(_, e)| e.is_none());
        assert_eq!(absent, [true, true, true, true, true, true, true, true, false, false]);
    }

    #[test]
    fn an_invocation_that_did_not_finish_lends_no_numbers() {
        let mut fixture =
            measured(&[&[sample(50, [10; 4])], &[sample(9999, [999; 4])], &[sample(50, [10; 4])]]);
        fixture.records[1].outcome = Outcome::TimedOut { limit_s: 1 };
        let view = ReportView::new(&fixture.run, &fixture.records);
        assert_eq!(value(view.cells[0].measures.prefill_ms), 50.0);
        assert_eq!(view.cells[0].n_invocations, 2);
        assert_eq!(view.cells[0].measures.prefill_ms.unwrap().interval(), None);
    }

    #[test]
    fn of_an_invocation_measured_twice_the_last_record_counts() {
        let mut fixture = measured(&[&[sample(50, [10; 4])], &[sample(70, [10; 4])]]);
        fixture.records[1].invocation = 0;
        let view = ReportView::new(&fixture.run, &fixture.records);
        assert_eq!(view.cells[0].n_invocations, 1);
        assert_eq!(value(view.cells[0].measures.prefill_ms), 70.0);
    }

    #[test]
    fn a_cell_with_memory_that_belongs_to_nothing_is_marked_when_it_is_read() {
        let mut fixture = fixture::single(1);
        let marked = |fixture: &Fixture| {
            ReportView::new(&fixture.run, &fixture.records).cells[0]
                .marks
                .contains(&Mark::Unaccounted)
        };
        assert!(!marked(&fixture));
        *fixture.records[0].memory.peak_rss_bytes.as_mut().unwrap() += 30 << 20;
        assert!(marked(&fixture));
        fixture.records[0].resolved.as_mut().unwrap().backend_device = "Vulkan0".into();
        assert!(!marked(&fixture), "what lies on a device is not in the resident set");
    }

    #[test]
    fn cells_stand_in_the_order_of_the_plan_and_none_is_lost() {
        let mut fixture = fixture::matrix(1);
        fixture.records.reverse();
        let gone = fixture.run.cells.remove(0);
        let view = ReportView::new(&fixture.run, &fixture.records);
        let mut expected: Vec<_> = fixture.run.cells.iter().map(|c| &c.id).collect();
        expected.push(&gone.id);
        assert_eq!(view.cells.iter().map(|c| &c.cell.id).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_an_engine_that_speaks_settings_are_as_asked_or_absent() {
        let mut fixture = fixture::single(1);
        fixture.records[0].resolved = None;
        fixture.run.cells[0].settings.n_ctx = Auto::Fixed(512);
        let view = ReportView::new(&fixture.run, &fixture.records);
        let cell = &view.cells[0];
        assert_eq!((cell.n_threads(), cell.n_ctx()), (None, Some(512)));
        assert_eq!((cell.flash_attn(), cell.backend_device()), (FlashAttn::Auto, "auto"));
    }
}
