//! What cells took against what a probe and their shapes let expect: `predicted.csv`, and what its plot
//! and `slmbench predict --check` stand on.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::table::{Align, Column, Table};
use super::text;
use super::view::{CellView, ReportView};
use crate::model::{Catalogue, FileMix};
use crate::plan::ModelSource;
use crate::probe::Probe;
use crate::record::{EngineInfo, Outcome};
use crate::roofline::{AMX, Book, Machine, Observation, Pass, Phase, Prediction, Task, class_of};
use crate::stats::median;

/// A phase of a cell that was measured.
#[derive(Debug)]
pub struct MeasuredPhase<'a> {
    /// The cell.
    pub cell: &'a CellView<'a>,
    /// The model's architecture by its GGUF name.
    pub arch: &'a str,
    /// What was to be done, where, and how long it took.
    pub observation: Observation,
}

impl MeasuredPhase<'_> {
    /// Which phase.
    pub fn phase(&self) -> Phase {
        self.observation.task.phase
    }

    /// What it is called: `pp128`, `tg32 @ d128`.
    pub fn test(&self) -> String {
        let test = match self.phase() {
            Phase::Prefill => self.cell.prefill_test(),
            Phase::Decode => self.cell.decode_test(),
        };
        test.unwrap_or_default()
    }

    /// Tokens in a second when the phase takes so long.
    pub fn tok_per_s(&self, time_s: f64) -> f64 {
        f64::from(self.observation.task.n_tokens) / time_s
    }

    /// What `book` lets expect; `None` where it knows nothing of the engine.
    pub fn prediction(&self, book: &Book) -> Option<Prediction> {
        let Observation { task, machine, .. } = &self.observation;
        let known = book.find(&self.cell.cell.engine, &machine.class).ok()?;
        Some(Prediction::new(task, self.arch, machine, &known))
    }
}

/// The phases of all cells that finished on the CPU and whose model `catalogue` knows by its shape. The
/// machine is that of `given`, or else of the probe that each cell is held against.
pub fn measured_phases<'a>(
    view: &'a ReportView<'a>,
    given: Option<&Probe>,
    catalogue: &'a Catalogue,
) -> Vec<MeasuredPhase<'a>> {
    view.cells.iter().flat_map(|cell| phases_of(view, cell, given, catalogue)).collect()
}

/// The machine on which a cell was measured; `None` where no probe knows it.
fn machine_of(view: &ReportView, cell: &CellView, given: Option<&Probe>) -> Option<Machine> {
    let n_threads = cell.resolved?.n_threads;
    let mut finished = cell.records.iter().filter(|r| r.outcome == Outcome::Finished);
    let of_run = view.run.probe.as_ref();
    let (probe, whole) = match given {
        Some(given) => (given, Some(given)),
        None => (finished.find_map(|record| record.held_against(of_run))?.1, of_run),
    };
    let class = class_for(probe, &view.run.engines);
    let machine = Machine::of(probe, n_threads, Some(&class))?;
    // A probe right before a cell does not time how work is handed out.
    let fork_join_s = match machine.fork_join_s > 0.0 {
        true => machine.fork_join_s,
        false => Machine::of(whole?, n_threads, None).map_or(0.0, |whole| whole.fork_join_s),
    };
    Some(Machine { fork_join_s, ..machine })
}

fn phases_of<'a>(
    view: &ReportView,
    cell: &'a CellView<'a>,
    given: Option<&Probe>,
    catalogue: &'a Catalogue,
) -> Vec<MeasuredPhase<'a>> {
    let of_cell = || {
        let (planned, settings) = (cell.cell, &cell.cell.settings);
        let ModelSource::Synthetic { shape: hash, .. } = &planned.source else { return None };
        let shape = catalogue.get(&planned.model).ok().filter(|shape| shape.hash() == *hash)?;
        let mix: FileMix = planned.quant.parse().ok()?;
        let resolved = cell.resolved.filter(|r| r.backend_device.eq_ignore_ascii_case("cpu"))?;
        let machine = machine_of(view, cell, given)?;
        let pass = Pass {
            n_prompt: planned.n_prompt,
            n_gen: planned.n_gen,
            n_depth: planned.n_depth,
            n_ubatch: resolved.n_ubatch.min(resolved.n_batch),
            type_k: settings.type_k,
            type_v: settings.type_v,
            flash_attn: resolved.flash_attn,
        };
        Some((shape, mix.tensors(shape), machine, pass))
    };
    let Some((shape, tensors, machine, pass)) = of_cell() else { return Vec::new() };
    let phase = |phase| {
        let tok_per_s = match phase {
            Phase::Prefill => cell.measures.prefill_tok_per_s,
            Phase::Decode => cell.measures.decode_tok_per_s,
        };
        let tok_per_s = tok_per_s?.value;
        let task = Task::new(phase, shape, &tensors, &pass)?;
        let time_s = f64::from(task.n_tokens) / tok_per_s;
        let is_time = time_s.is_finite() && time_s > 0.0;
        let (model, machine) = (shape.name.clone(), machine.clone());
        let observation = Observation { model, task, machine, time_s };
        is_time.then_some(MeasuredPhase { cell, arch: shape.arch.name(), observation })
    };
    Phase::BOTH.into_iter().filter_map(phase).collect()
}

/// The class of the machine of `probe`, of which one of `engines` may know that it has tile units.
pub fn class_for<'e>(probe: &Probe, engines: impl IntoIterator<Item = &'e EngineInfo>) -> String {
    let knows = |engine: &EngineInfo| engine.system.contains("AMX_INT8 = 1");
    match engines.into_iter().any(knows) {
        true => AMX.to_owned(),
        false => class_of(probe),
    }
}

const COLUMNS: [&str; 18] = [
    "cell_id",
    "engine",
    "model",
    "quant",
    "n_threads",
    "n_prompt",
    "n_gen",
    "n_depth",
    "phase",
    "measured_tok_per_s",
    "predicted_tok_per_s",
    "predicted_tok_per_s_lo",
    "predicted_tok_per_s_hi",
    "error",
    "bound_by",
    "bound_share",
    "class",
    "basis",
];

/// A phase that was measured, and what was predicted of it.
pub type Held<'a> = (MeasuredPhase<'a>, Prediction);

/// `predicted.csv`: a row for each phase.
pub fn write(phases: &[Held], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for (measured, prediction) in phases {
        let (cell, machine) = (measured.cell.cell, &measured.observation.machine);
        let tok_per_s = measured.tok_per_s(measured.observation.time_s);
        let (low, high) = prediction.tok_per_s_interval();
        let (binds, share) = prediction.parts.binds();
        csv.write_record([
            cell.id.to_string(),
            cell.engine.clone(),
            cell.model.clone(),
            cell.quant.clone(),
            machine.ceilings.n_threads.to_string(),
            cell.n_prompt.to_string(),
            cell.n_gen.to_string(),
            cell.n_depth.to_string(),
            prediction.phase.word().to_owned(),
            format!("{tok_per_s:.4}"),
            format!("{:.4}", prediction.tok_per_s()),
            format!("{low:.4}"),
            format!("{high:.4}"),
            format!("{:.4}", prediction.tok_per_s() / tok_per_s - 1.0),
            binds.word().to_owned(),
            format!("{share:.4}"),
            machine.class.clone(),
            if prediction.was_measured { "fit" } else { "prior" }.to_owned(),
        ])?;
    }
    csv.flush()
}

/// For each engine and phase how far predictions are from what was measured, and the cell that is
/// furthest off; `None` without any.
pub fn errors(phases: &[Held]) -> Option<Table> {
    if phases.is_empty() {
        return None;
    }
    let error = |(measured, prediction): &(MeasuredPhase, Prediction)| {
        prediction.tok_per_s() / measured.tok_per_s(measured.observation.time_s) - 1.0
    };
    let mut groups: BTreeMap<(&str, Phase), Vec<&(MeasuredPhase, Prediction)>> = BTreeMap::new();
    for phase in phases {
        let engine = phase.0.cell.cell.engine.as_str();
        groups.entry((engine, phase.1.phase)).or_default().push(phase);
    }
    let left = |header: &str| Column::new(header, Align::Left);
    let right = |header: &str| Column::new(header, Align::Right);
    let mut table = Table::new(vec![
        left("engine"),
        left("phase"),
        right("cells"),
        right("median error %"),
        right("within aim"),
        left("furthest off"),
        right("error %"),
        left("by"),
    ]);
    for ((engine, phase), all) in groups {
        let errors: Vec<f64> = all.iter().map(|one| error(one).abs()).collect();
        let close = errors.iter().filter(|error| **error <= phase.aim()).count();
        let furthest = all.iter().max_by(|a, b| error(a).abs().total_cmp(&error(b).abs()))?;
        let (cell, basis) = (furthest.0.cell.cell, furthest.1.was_measured);
        table.push(vec![
            engine.to_owned(),
            phase.word().to_owned(),
            all.len().to_string(),
            format!("{:.0}", 100.0 * median(&errors)?),
            close.to_string(),
            format!("{} {} {}", cell.model, cell.quant, furthest.0.test()),
            format!("{:+.0}", 100.0 * error(furthest)),
            if basis { "fit" } else { "prior" }.to_owned(),
        ]);
    }
    Some(table)
}

/// The same as a table; `None` without a phase.
pub fn table(phases: &[Held]) -> Option<Table> {
    let mut columns: Vec<Column> =
        ["model", "quant", "engine", "test"].map(|header| Column::new(header, Align::Left)).into();
    columns.extend(
        ["measured t/s", "predicted t/s", "from", "to", "error %"]
            .map(|header| Column::new(header, Align::Right)),
    );
    columns.push(Column::new("bound by", Align::Left));
    let mut table = Table::new(columns);
    for (measured, prediction) in phases {
        let cell = measured.cell.cell;
        let was = measured.tok_per_s(measured.observation.time_s);
        let (low, high) = prediction.tok_per_s_interval();
        let mut row =
            vec![cell.model.clone(), cell.quant.clone(), cell.engine.clone(), measured.test()];
        row.extend([was, prediction.tok_per_s(), low, high].map(text::number));
        row.push(format!("{:+.1}", 100.0 * (prediction.tok_per_s() / was - 1.0)));
        row.push(prediction.parts.binds().0.word().to_owned());
        table.push(row);
    }
    (!phases.is_empty()).then_some(table)
}

/// Each phase with what the built-in coefficients let expect; nothing where the run has no probe.
pub fn held_against_measured<'a>(
    view: &'a ReportView<'a>,
    catalogue: &'a Catalogue,
) -> Vec<Held<'a>> {
    let (Some(_), Ok(book)) = (&view.run.probe, Book::built_in()) else { return Vec::new() };
    let phases = measured_phases(view, None, catalogue);
    phases.into_iter().filter_map(|phase| phase.prediction(&book).map(|p| (phase, p))).collect()
}
