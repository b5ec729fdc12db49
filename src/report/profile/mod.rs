//! Profiles brought down to what people ask: which part takes the time, what it does with it, how far
//! that is from what the device could do, and what finding out has cost.
//!
//! The rows of a phase add up to its whole: what belongs to no operation is a row of its own.

mod csv;
mod table;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::BTreeMap;

use crate::model::TensorGroup;
use crate::record::{Op, OpCost, OpKind, OpTotal, Outcome, PhaseProfile, Record, RunInfo};
use crate::roofline::{Binds, Ceilings};
use crate::stats::LogRatio;

pub use csv::write_profile;
pub use table::{every_phase, markdown, terminal};
pub use trace::{file_name as trace_file_name, has_trace, write_trace};

/// How sure intervals are.
const ALPHA: f64 = 0.05;

/// The profile of an invocation.
#[derive(Debug)]
pub struct ProfileView<'a> {
    /// Whose.
    pub record: &'a Record,
    /// What the device could do, where that was measured.
    pub ceilings: Option<Ceilings>,
    /// Prefill and decode, as far as they were profiled.
    pub phases: Vec<PhaseView<'a>>,
}

/// The profile of a phase.
#[derive(Debug)]
pub struct PhaseView<'a> {
    /// `prefill` or `decode`.
    pub phase: &'static str,
    /// What is timed: `pp128`, `tg32 @ d128`.
    pub test: String,
    /// As recorded.
    pub profile: &'a PhaseProfile,
    /// Nanoseconds in all passes with spans.
    pub total_ns: u64,
    /// Share of that which belongs to an operation.
    pub covered: f64,
    /// How much longer passes with spans took than those without, in pairs: by this factor.
    pub longer: Option<LogRatio>,
    /// By what share reading the clock should have made them longer; absent where the engine has to
    /// take its graph apart.
    pub expected_overhead: Option<f64>,
    /// Whether the engine had to take its graph apart: then shares are worth something, times are not.
    pub is_taken_apart: bool,
    /// Operations of all layers together, by part of the model, by kind, and by layer.
    pub groupings: [Grouping; 3],
    /// Each operation, all layers together.
    pub ops: Vec<Row>,
}

/// Rows that add up to a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouping {
    /// By what: `part`, `kind`, `layer`.
    pub by: &'static str,
    /// In the order of the model, what is nobody's last.
    pub rows: Vec<Row>,
}

/// What some operations took and did.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What they are called together.
    pub name: String,
    /// Their kind, where it is one.
    pub kind: Option<OpKind>,
    /// Their part of the model, where it is one.
    pub part: Option<TensorGroup>,
    /// Sums over all calls.
    pub cost: OpCost,
    /// Share of the phase, 0 to 1.
    pub share: f64,
    /// How it stands to the ceilings; absent where they or the work are not known.
    pub ceiling: Option<Ceiling>,
}

/// The ceiling that a row meets first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Which.
    pub binds: Limit,
    /// The least time it would take ÷ the time it took.
    pub share: f64,
}

/// What bounds a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Weights and KV cache come from memory.
    Memory,
    /// Activations lie in a core's cache.
    Cache,
    /// Arithmetic.
    Compute,
}

impl Limit {
    /// As in tables and CSV.
    pub fn word(self) -> &'static str {
        match self {
            Limit::Memory => Binds::Memory.word(),
            Limit::Cache => "cache",
            Limit::Compute => Binds::Compute.word(),
        }
    }
}

impl Row {
    /// Bytes moved in a second, in GB.
    pub fn gb_per_s(&self) -> Option<f64> {
        self.rate(self.cost.bytes)
    }

    /// Operations in a second, in billions.
    pub fn gops_per_s(&self) -> Option<f64> {
        self.rate(self.cost.ops)
    }

    fn rate(&self, what: u64) -> Option<f64> {
        (what > 0 && self.cost.ns > 0).then(|| what as f64 / self.cost.ns as f64)
    }
}

impl<'a> ProfileView<'a> {
    /// The profiles of a run, of each invocation the last one.
    pub fn all(run: &RunInfo, records: &'a [Record]) -> Vec<ProfileView<'a>> {
        let mut views: Vec<ProfileView<'a>> = Vec::new();
        for record in records.iter().filter(|record| record.outcome == Outcome::Finished) {
            let Some(view) = ProfileView::of(run, record) else { continue };
            let same = |known: &ProfileView| {
                (&known.record.cell.id, known.record.invocation)
                    == (&record.cell.id, record.invocation)
            };
            match views.iter().position(same) {
                Some(at) => views[at] = view,
                None => views.push(view),
            }
        }
        views
    }

    fn of(run: &RunInfo, record: &'a Record) -> Option<ProfileView<'a>> {
        let profile = record.profile.as_ref()?;
        let ceilings = ceilings(run, record);
        let cell = &record.cell;
        let at = |depth: u32| if depth > 0 { format!(" @ d{depth}") } else { String::new() };
        let named = [
            ("prefill", &profile.prefill, format!("pp{}{}", cell.n_prompt, at(cell.n_depth))),
            (
                "decode",
                &profile.decode,
                format!("tg{}{}", cell.n_gen, at(cell.n_depth.saturating_add(cell.n_prompt))),
            ),
        ];
        let phases = named.into_iter().filter_map(|(phase, profiled, test)| {
            let profiled = profiled.as_ref().filter(|profiled| profiled.total_ns() > 0)?;
            Some(PhaseView::new(phase, test, profiled, profile.stamp_ns, ceilings.as_ref()))
        });
        let phases: Vec<PhaseView> = phases.collect();
        (!phases.is_empty()).then_some(ProfileView { record, ceilings, phases })
    }

    /// Model, quantisation, engine, test.
    pub fn name(&self) -> String {
        let cell = &self.record.cell;
        format!("{} {} {} {}", cell.model, cell.quant, cell.engine, cell.test())
    }
}

/// What the device could do with the threads of a record, by the probe right before it or else that of
/// the run. Absent where another device than the CPU computed.
fn ceilings(run: &RunInfo, record: &Record) -> Option<Ceilings> {
    let of_run = run.probe.as_ref();
    let (_, probe) = record.held_against(of_run)?;
    let n_threads = record.resolved.as_ref()?.n_threads;
    let ceilings = Ceilings::of(probe, n_threads)?;
    // A probe right before a cell leaves out caches, whose speed does not move with the neighbours.
    let whole = of_run.filter(|whole| whole.cpus == probe.cpus);
    let of_whole = || Ceilings::of(whole?, n_threads)?.cache_bytes_per_s;
    let cache_bytes_per_s = ceilings.cache_bytes_per_s.or_else(of_whole);
    Some(Ceilings { cache_bytes_per_s, ..ceilings })
}

impl<'a> PhaseView<'a> {
    fn new(
        phase: &'static str,
        test: String,
        profile: &'a PhaseProfile,
        stamp_ns: Option<f64>,
        ceilings: Option<&Ceilings>,
    ) -> PhaseView<'a> {
        let total_ns = profile.total_ns();
        let times = |ns: &[u64]| ns.iter().map(|ns| *ns as f64).collect::<Vec<f64>>();
        let (plain, profiled) = (times(&profile.plain_ns), times(&profile.profiled_ns));
        let are_pairs = plain.len() == profiled.len();
        let longer = are_pairs.then(|| LogRatio::paired(&plain, &profiled, ALPHA)).flatten();
        let sum = |by: &'static str, key: &dyn Fn(&Op) -> (u32, String)| Grouping {
            by,
            rows: rows(profile, total_ns, ceilings, key),
        };
        PhaseView {
            phase,
            test,
            profile,
            total_ns,
            covered: 1.0 - profile.rest_ns() as f64 / total_ns as f64,
            longer,
            expected_overhead: profile.expected_overhead(stamp_ns),
            is_taken_apart: stamp_ns.is_none(),
            groupings: [sum("part", &part), sum("kind", &kind), sum("layer", &layer)],
            ops: rows(profile, total_ns, ceilings, &in_order(profile)),
        }
    }

    /// The rows by part, by kind or by layer.
    pub fn by(&self, by: &str) -> &[Row] {
        let grouping = self.groupings.iter().find(|grouping| grouping.by == by);
        grouping.map_or(&[], |grouping| &grouping.rows)
    }

    /// Milliseconds of a call with spans; absent where they are those of a graph taken apart.
    pub fn call_ms(&self) -> Option<f64> {
        let ms = self.total_ns as f64 / 1e6 / self.profile.n_calls.max(1) as f64;
        (!self.is_taken_apart).then_some(ms)
    }
}

/// What belongs to no operation.
const REST: &str = "other";

/// Parts of a model as people call them, in the order in which a token passes them.
pub fn part_word(part: TensorGroup) -> &'static str {
    match part {
        TensorGroup::Embedding => "embedding",
        TensorGroup::Norm => "norms",
        TensorGroup::Attention => "attention",
        TensorGroup::Ffn => "FFN",
        TensorGroup::Output => "LM head",
    }
}

fn part(op: &Op) -> (u32, String) {
    use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
    let order = [Embedding, Norm, Attention, Ffn, Output];
    match op.part {
        Some(part) => {
            let at = order.iter().position(|known| *known == part).unwrap_or(order.len());
            (at as u32, part_word(part).to_owned())
        }
        None if op.kind == OpKind::Spans => (90, OpKind::Spans.word().to_owned()),
        None => (99, REST.to_owned()),
    }
}

fn kind(op: &Op) -> (u32, String) {
    let at = OpKind::ALL.iter().position(|known| *known == op.kind).unwrap_or(0) as u32;
    match op.ty {
        Some(ty) => (at, format!("{} {ty}", op.kind.word())),
        None if op.kind == OpKind::Other => (99, REST.to_owned()),
        None => (at, op.kind.word().to_owned()),
    }
}

fn layer(op: &Op) -> (u32, String) {
    match (op.layer, op.part) {
        (Some(layer), _) => (1 + layer, format!("layer {layer}")),
        (None, Some(TensorGroup::Embedding)) => (0, "before layers".to_owned()),
        (None, _) if op.kind == OpKind::Other => (u32::MAX, REST.to_owned()),
        (None, _) => (u32::MAX - 1, "outside layers".to_owned()),
    }
}

/// What the part or the kind of an operation is called, and where it stands among the others.
pub fn place_and_word(by: &str, op: &Op) -> (u32, String) {
    match by {
        "part" => part(op),
        _ => kind(op),
    }
}

/// What an operation is called where layers are taken together.
fn label(op: &Op) -> String {
    match (op.kind, op.ty) {
        (OpKind::Wait | OpKind::Spans | OpKind::Other, _) => op.kind.word().to_owned(),
        (_, Some(ty)) => format!("{} {ty}", op.name),
        (OpKind::Quantise, _) => format!("{} {}", op.name, op.kind.word()),
        _ => op.name.clone(),
    }
}

/// Operations in the order in which they were first done; those of the same name stand together.
fn in_order(profile: &PhaseProfile) -> impl Fn(&Op) -> (u32, String) {
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    for total in &profile.ops {
        let next = places.len() as u32;
        places.entry(label(&total.op)).or_insert(next);
    }
    move |op| {
        let label = label(op);
        let place = match op.kind {
            OpKind::Other => u32::MAX,
            OpKind::Spans => u32::MAX - 1,
            OpKind::Wait => u32::MAX - 2,
            _ => places.get(&label).copied().unwrap_or(0),
        };
        (place, if op.kind == OpKind::Other { REST.to_owned() } else { label })
    }
}

/// A row for each answer of `key`, in its order; what is nobody's joins what is called other.
fn rows(
    profile: &PhaseProfile,
    total_ns: u64,
    ceilings: Option<&Ceilings>,
    key: &dyn Fn(&Op) -> (u32, String),
) -> Vec<Row> {
    let mut groups: BTreeMap<(u32, String), Vec<&OpTotal>> = BTreeMap::new();
    for total in &profile.ops {
        groups.entry(key(&total.op)).or_default().push(total);
    }
    let nobody = nobodys(profile);
    groups.entry(key(&nobody.op)).or_default().push(&nobody);
    let row = |((_, name), totals): ((u32, String), Vec<&OpTotal>)| {
        let mut cost = OpCost::default();
        totals.iter().for_each(|total| cost.add(&total.cost));
        Row {
            name,
            kind: same(totals.iter().map(|total| Some(total.op.kind))),
            part: same(totals.iter().map(|total| total.op.part)),
            share: cost.ns as f64 / total_ns as f64,
            ceiling: ceilings.and_then(|ceilings| ceiling(ceilings, &totals, cost.ns)),
            cost,
        }
    };
    groups.into_iter().map(row).collect()
}

/// What belongs to no operation, as one.
fn nobodys(profile: &PhaseProfile) -> OpTotal {
    OpTotal {
        op: Op {
            name: REST.to_owned(),
            kind: OpKind::Other,
            part: None,
            layer: None,
            ty: None,
            is_alone: false,
        },
        cost: OpCost { ns: profile.rest_ns(), ..OpCost::default() },
    }
}

/// What all of them say, where they agree.
fn same<T: PartialEq + Copy>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// The least time that operations would take one after the other, and what bounds most of it. Waiting
/// and the like have no work: a row with much of it is further from its ceiling. `None` where all of it
/// is done by one thread of several.
fn ceiling(ceilings: &Ceilings, totals: &[&OpTotal], ns: u64) -> Option<Ceiling> {
    let mut by_limit = [(Limit::Memory, 0.0), (Limit::Cache, 0.0), (Limit::Compute, 0.0)];
    for total in totals {
        // What one thread does alone cannot be held against the ceilings of all.
        if total.op.is_alone && ceilings.n_threads > 1 {
            continue;
        }
        let cost = &total.cost;
        let (limit, read) = match (cost.memory_bytes, ceilings.cache_bytes_per_s) {
            (0, None) => (Limit::Cache, 0.0),
            (0, Some(rate)) => (Limit::Cache, cost.bytes as f64 / rate),
            (bytes, _) => (Limit::Memory, bytes as f64 / ceilings.read_bytes_per_s),
        };
        let ty = total.op.ty.unwrap_or(crate::ggml::GgmlType::F32);
        let compute = ceilings.ops_per_s_of(ty).map_or(0.0, |rate| cost.ops as f64 / rate);
        let (limit, least) = if compute > read { (Limit::Compute, compute) } else { (limit, read) };
        by_limit.iter_mut().filter(|(l, _)| *l == limit).for_each(|(_, sum)| *sum += least);
    }
    let least: f64 = by_limit.iter().map(|(_, sum)| sum).sum();
    let (binds, _) = by_limit.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (least > 0.0 && ns > 0).then(|| Ceiling { binds, share: least * 1e9 / ns as f64 })
}
