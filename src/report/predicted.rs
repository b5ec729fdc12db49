//! What cells took against what a probe and their shapes let expect: `predicted.csv`, and what its plot
//! and `slmbench predict --check` stand on.

use std::io::{self, Write};

use super::table::{Align, Column, Table};
use super::text;
use super::view::{CellView, ReportView};
use crate::model::{Catalogue, FileMix};
use crate::plan::ModelSource;
use crate::probe::Probe;
use crate::record::EngineInfo;
use crate::roofline::{AMX, Book, Machine, Observation, Pass, Phase, Prediction, Task, class_of};

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

/// The phases of all cells that finished on the CPU and whose model `catalogue` knows by its shape.
pub fn measured_phases<'a>(
    view: &'a ReportView<'a>,
    probe: &Probe,
    catalogue: &'a Catalogue,
) -> Vec<MeasuredPhase<'a>> {
    view.cells.iter().flat_map(|cell| phases_of(view, cell, probe, catalogue)).collect()
}

fn phases_of<'a>(
    view: &ReportView,
    cell: &'a CellView<'a>,
    probe: &Probe,
    catalogue: &'a Catalogue,
) -> Vec<MeasuredPhase<'a>> {
    let of_cell = || {
        let (planned, settings) = (cell.cell, &cell.cell.settings);
        let ModelSource::Synthetic { shape: hash, .. } = &planned.source else { return None };
        let shape = catalogue.get(&planned.model).ok().filter(|shape| shape.hash() == *hash)?;
        let mix: FileMix = planned.quant.parse().ok()?;
        let resolved = cell.resolved.filter(|r| r.backend_device.eq_ignore_ascii_case("cpu"))?;
        let class = class_for(probe, &view.run.engines);
        let machine = Machine::of(probe, resolved.n_threads, Some(&class))?;
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

/// `predicted.csv`: a row for each phase.
pub fn write(phases: &[(MeasuredPhase, Prediction)], out: &mut dyn Write) -> io::Result<()> {
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

/// The same as a table; `None` without a phase.
pub fn table(phases: &[(MeasuredPhase, Prediction)]) -> Option<Table> {
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
) -> Vec<(MeasuredPhase<'a>, Prediction)> {
    let (Some(probe), Ok(book)) = (&view.run.probe, Book::built_in()) else { return Vec::new() };
    let phases = measured_phases(view, probe, catalogue);
    phases.into_iter().filter_map(|phase| phase.prediction(&book).map(|p| (phase, p))).collect()
}
