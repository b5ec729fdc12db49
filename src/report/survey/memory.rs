//! Figure 13: memory by model, stacked, at a context of 2048 tokens and at the longest one that each
//! model was trained for. Predicted from shapes alone, beside what was measured and what the survey has.

use super::caveats::{self, About};
use super::data::{self, MemoryBar};
use super::marks::{bar, pale};
use super::names::{self, Name};
use super::overview::{N_GEN, N_PROMPT};
use super::runs::{self, Measured, Runs};
use super::{Figure, percent, table};
use crate::memory::{ByKind, MemoryDetail, Offload, Request, WeightBytes};
use crate::model::{FileMix, ModelShape, Rules};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::canvas::Color;
use crate::report::plot::distinct;
use crate::report::plot::frame::{Frame, Key, Sign};
use crate::report::text;
use crate::settings::FlashAttn;

/// Parts with their colours, as everywhere.
const PARTS: [(&str, Color); 5] = [
    ("model parameters", Color(0x00, 0x72, 0xb2)),
    ("KV cache", Color(0xe6, 0x9f, 0x00)),
    ("compute buffer", Color(0x00, 0x9e, 0x73)),
    ("weights a second time", Color(0x56, 0xb4, 0xe9)),
    ("other", Color(0xb8, 0xb8, 0xb8)),
];

/// The survey's files, by the rules of their time.
const QUANT: &str = "Q4_K_M@2024";

/// Which context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// 2048 tokens.
    Usual,
    /// The longest that a model was trained for.
    Longest,
}

impl Context {
    /// Both.
    pub const BOTH: [Context; 2] = [Context::Usual, Context::Longest];

    fn name(self) -> Name {
        match self {
            Context::Usual => names::FIG_13A,
            Context::Longest => names::FIG_13B,
        }
    }

    fn n_ctx(self, shape: &ModelShape) -> u32 {
        if self == Context::Usual { Request::survey().n_ctx } else { shape.n_ctx_train }
    }
}

/// A bar of the figure.
struct Row<'a> {
    /// The survey's name of the model.
    model: String,
    n_ctx: u32,
    what: String,
    /// MiB, in the order of [`PARTS`].
    parts: [f64; 5],
    is_survey: bool,
    /// The cell that was measured.
    cell: Option<Measured<'a>>,
}

impl Row<'_> {
    fn total(&self) -> f64 {
        self.parts.iter().sum()
    }

    /// Cache and compute buffer.
    fn growing(&self) -> f64 {
        (self.parts[1] + self.parts[2]) / self.total()
    }
}

/// The figure. Shapes are always known, so it needs no run.
pub fn figure(runs: &Runs, context: Context) -> Figure {
    let name = context.name();
    let mut models: Vec<(&str, &ModelShape)> = runs
        .catalogue
        .models()
        .iter()
        .filter_map(|model| Some((model.survey_name.as_deref()?, model.shape()?)))
        .collect();
    models.sort_by_key(|(_, shape)| shape.n_params());
    let survey = data::memory();
    let mut rows: Vec<Row> = Vec::new();
    let mut unfinished: Vec<Measured> = Vec::new();
    for (name, shape) in &models {
        let request = Request { n_ctx: context.n_ctx(shape), ..Request::survey() };
        let is_own = |m: &&Measured| m.survey_name() == Some(*name) && is_asked(m, &request);
        let own: Vec<Measured> = runs.cells.iter().filter(is_own).copied().collect();
        rows.extend(of_model(runs, context, name, shape, &own));
        if context == Context::Usual {
            rows.extend(survey.iter().filter(|bar| bar.model == *name).map(of_survey));
        }
        unfinished.extend(runs.unfinished.iter().filter(is_own));
    }
    let groups = models.iter().map(|(name, shape)| Group {
        label: match context {
            Context::Usual => (*name).to_owned(),
            Context::Longest => format!("{name}, {}", context.n_ctx(shape)),
        },
        bars: rows.iter().filter(|row| row.model == *name).map(|r| row_bar(context, r)).collect(),
    });
    let section = Section { heading: String::new(), groups: groups.collect() };
    let shown: Vec<Measured> = rows.iter().filter_map(|row| row.cell).collect();
    let mut keys: Vec<Key> =
        PARTS.iter().map(|(name, color)| Key::new(Sign::Area(*color), *name)).collect();
    if context == Context::Usual {
        keys.push(Key::new(Sign::Area(pale(PARTS[0].1)), "paler: the survey's bars"));
    }
    let settings = Request::survey();
    let mut notes = vec![format!(
        "Predicted from shapes: Q4_K_M, {settings}. Other: mask, input embeddings \
         and logits on the host; a second time: a tied embedding on the CPU as well, which the survey has \
         in other.{}",
        if context == Context::Longest {
            " Behind the model: its context. Behind each bar: MiB, and the share of KV cache and compute \
             buffer."
        } else {
            ""
        }
    )];
    if !shown.is_empty() {
        notes.push(format!(
            "Measured on {}, {}: what is resident at the peak, after {N_PROMPT} tokens in and {} out, of \
             {} the one with the largest peak; {}. A second time: what it repacked; other: the process \
             and what belongs to nothing.",
            runs.place(&shown),
            on_what(&shown),
            N_GEN + 1,
            runs::how_often(&shown),
            Request { offload: Offload::None, rules: Rules::Today, ..settings },
        ));
    }
    notes.extend(About::Memory.note("*", &shown, &unfinished));
    let frame = Frame { title: name.title.to_owned(), notes, keys };
    let mut told = told(context, &rows);
    told.extend(About::Memory.told(runs, &shown, &unfinished));
    Figure { name, svg: bars::draw(&frame, &[section], "memory (MiB)"), csv: csv(&rows), told }
}

/// Whether a cell stands beside a prediction: a file by the rules of the survey's time, its lengths, and
/// the settings that memory depends on.
fn is_asked(m: &Measured, request: &Request) -> bool {
    let (plan, cell) = (m.cell.cell, m.cell);
    let settings = &plan.settings;
    let asked = Request {
        n_ctx: cell.n_ctx().unwrap_or(0),
        n_ubatch: cell.n_ubatch(),
        type_k: settings.type_k,
        type_v: settings.type_v,
        flash_attn: cell.flash_attn() != FlashAttn::Off,
        ..*request
    };
    (plan.n_depth, plan.n_prompt, plan.n_gen) == (0, N_PROMPT, N_GEN)
        && plan.quant == QUANT
        && asked == *request
}

/// Engine, version and device, as the records say.
fn on_what(shown: &[Measured]) -> String {
    let engine = |m: &Measured| {
        let engine = m.cell.records.iter().find_map(|record| record.engine.as_ref())?;
        let (name, version) = (text::plain(&engine.name), text::plain(&engine.version));
        Some(format!("{name} {version} on {}", text::plain(m.cell.backend_device())))
    };
    distinct(shown.iter().filter_map(engine)).join(" and ")
}

/// How rows are called.
const PREDICTED: &str = "predicted";
const WITH_FLASH: &str = "with flash attention";
const MEASURED: &str = "measured";
const SURVEY: &str = "survey";

fn of_model<'a>(
    runs: &Runs,
    context: Context,
    name: &str,
    shape: &ModelShape,
    own: &[Measured<'a>],
) -> Vec<Row<'a>> {
    let n_ctx = context.n_ctx(shape);
    let request = Request { n_ctx, ..Request::survey() };
    let mut rows = vec![predicted(name, PREDICTED, shape, request)];
    if context == Context::Longest {
        let request = Request { flash_attn: true, ..request };
        rows.push(predicted(name, WITH_FLASH, shape, request));
    }
    // Of one device and engine the cell with the most invocations.
    let key = |m: &Measured| (m.device, m.cell.cell.engine.clone());
    let with_memory: Vec<Measured> =
        own.iter().filter(|m| m.cell.memory.is_some()).copied().collect();
    for place in distinct(with_memory.iter().map(key)) {
        let those = with_memory.iter().filter(|m| key(m) == place);
        let best = those.max_by_key(|m| m.cell.n_invocations);
        rows.extend(best.and_then(|m| measured(runs, name, n_ctx, m)));
    }
    rows
}

fn measured<'a>(runs: &Runs, name: &str, n_ctx: u32, m: &Measured<'a>) -> Option<Row<'a>> {
    let memory = m.cell.memory.as_ref()?;
    let mut what = format!("{MEASURED}, {}", text::plain(&m.cell.cell.engine));
    if runs.devices.len() > 1 {
        what += &format!(", {}", runs.devices[m.device]);
    }
    let ByKind { weights, weight_copies, kv, compute, .. } = memory.resident;
    let other = memory.peak_bytes.saturating_sub(weights + weight_copies + kv + compute);
    Some(Row {
        model: name.to_owned(),
        n_ctx,
        what,
        parts: [weights, kv, compute, weight_copies, other].map(mib),
        is_survey: false,
        cell: Some(*m),
    })
}

fn predicted<'a>(name: &str, what: &str, shape: &ModelShape, request: Request) -> Row<'a> {
    let weights = WeightBytes::of_mix(shape, FileMix::Q4_K_M.by(Rules::Mid2024));
    let detail = MemoryDetail::new(&weights, shape, &request);
    let buffers = &detail.buffers;
    let other = buffers.host_bytes() + buffers.output_bytes;
    Row {
        model: name.to_owned(),
        n_ctx: request.n_ctx,
        what: what.to_owned(),
        parts: [
            mib(weights.total_bytes()),
            mib(detail.kv_bytes()),
            mib(buffers.compute_bytes),
            mib(detail.weight_copy_bytes),
            mib(other),
        ],
        is_survey: false,
        cell: None,
    }
}

fn of_survey<'a>(bar: &MemoryBar) -> Row<'a> {
    // Its other holds the embeddings that are there twice.
    let [weights, kv, compute, other] = bar.parts;
    Row {
        model: bar.model.clone(),
        n_ctx: Request::survey().n_ctx,
        what: SURVEY.to_owned(),
        parts: [weights, kv, compute, 0.0, other],
        is_survey: true,
        cell: None,
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn row_bar(context: Context, row: &Row) -> Bar {
    let tint = |color: Color| if row.is_survey { pale(color) } else { color };
    let parts = PARTS.iter().zip(row.parts).map(|((_, color), value)| (value, tint(*color)));
    let total = text::grouped(row.total(), if row.total() < 100.0 { 1 } else { 0 });
    let text = match context {
        Context::Usual => total,
        Context::Longest => format!("{total}, {:.0} %", 100.0 * row.growing()),
    };
    let is_marked = row.cell.is_some_and(|m| About::Memory.is_marked(&m));
    let star = if is_marked { " *" } else { "" };
    bar(format!("{}{star}", row.what), parts.collect(), text)
}

fn told(context: Context, rows: &[Row]) -> Vec<String> {
    match context {
        Context::Usual => usual_told(rows),
        Context::Longest => longest_told(rows),
    }
}

/// How the predictions stand to the survey's bars, and the measured ones to both.
fn usual_told(rows: &[Row]) -> Vec<String> {
    let predicted = |model: &str| rows.iter().find(|r| r.model == model && r.what == PREDICTED);
    let pairs: Vec<(&Row, &Row)> = rows
        .iter()
        .filter(|row| row.is_survey)
        .filter_map(|row| Some((row, predicted(&row.model)?)))
        .collect();
    let largest =
        |of: &dyn Fn(&Row, &Row) -> f64| pairs.iter().map(|(s, p)| of(s, p)).fold(0.0f64, f64::max);
    let part = |i: usize| move |s: &Row, p: &Row| (s.parts[i] - p.parts[i]).abs();
    let rest = |row: &Row| row.parts[0] + row.parts[3] + row.parts[4];
    let both = |s: &Row, p: &Row| (rest(s) - rest(p)).abs();
    let mut told = vec![format!(
        "Of {} bars of the survey the prediction differs by at most {:.1} MiB in the KV cache, {:.1} in the \
         compute buffer and {:.1} in parameters and other together. What the survey writes as MB are MiB; \
         from 1 GiB on its parameters are GiB × 1000, up to {:.0} MiB short, which its other has instead.",
        pairs.len(),
        largest(&part(1)),
        largest(&part(2)),
        largest(&both),
        largest(&|s: &Row, p: &Row| p.parts[0] - s.parts[0]),
    )];
    told.push(measured_told(rows));
    told
}

/// How what was measured stands to what was predicted.
fn measured_told(rows: &[Row]) -> String {
    let predicted = |model: &str| rows.iter().find(|r| r.model == model && r.what == PREDICTED);
    let pairs: Vec<(&Row, &Row)> = rows
        .iter()
        .filter(|row| row.cell.is_some())
        .filter_map(|row| Some((row, predicted(&row.model)?)))
        .collect();
    let ends = |of: &dyn Fn(&Row, &Row) -> f64| {
        let shares = pairs.iter().map(|(here, there)| of(here, there));
        let ends = shares.fold((f64::INFINITY, f64::NEG_INFINITY), |s, v| (s.0.min(v), s.1.max(v)));
        format!("{} to {} %", percent(ends.0), percent(ends.1))
    };
    if pairs.is_empty() {
        return "No model of the survey was measured at these settings.".to_owned();
    }
    let models = distinct(pairs.iter().map(|(here, _)| &here.model));
    let mut told = format!(
        "Measured here, {} {} {} of what is predicted: of the compute buffer {}, for it is reserved for \
         a micro-batch and touched for the tokens of the prompt",
        text::count(models.len(), "model"),
        if models.len() == 1 { "takes" } else { "take" },
        ends(&|here, there| here.total() / there.total()),
        ends(&|here, there| here.parts[2] / there.parts[2]),
    );
    if pairs.iter().any(|(here, _)| here.parts[3] > 0.0) {
        told += &format!(
            "; weights that the engine holds a second time, repacked for this CPU, are {} of the weights",
            ends(&|here, _| here.parts[3] / here.parts[0])
        );
    }
    told + "."
}

/// The four models of which the survey tells, and what is left with flash attention.
fn longest_told(rows: &[Row]) -> Vec<String> {
    let of = |model: &str, what: &str| rows.iter().find(|r| r.model == model && r.what == what);
    let one = |model: &str| {
        let (off, on) = (of(model, PREDICTED)?, of(model, WITH_FLASH)?);
        Some(format!(
            "{model} at {}: {} MiB, KV cache {} %, with the compute buffer {} %; with flash attention {} MiB",
            off.n_ctx,
            text::grouped(off.total(), 0),
            percent(off.parts[1] / off.total()),
            percent(off.growing()),
            text::grouped(on.total(), 0),
        ))
    };
    let models = ["Qwen2-0.5B", "Qwen2-1.5B", "Qwen1.5-0.5B", "Qwen1.5-1.8B"];
    let lines: Vec<String> = models.into_iter().filter_map(one).collect();
    vec![
        format!("{}.", lines.join(". ")),
        "The survey's text puts KV cache and compute buffer together at 83 to 87 % for Qwen2 and 85 to 90 % \
         for Qwen1.5, which agrees, and says that at 32k the cache alone is over 80 %, which does not. Most \
         of the compute buffer there is the matrix of attention scores: with flash attention that part is \
         gone."
            .to_owned(),
    ]
}

fn csv(rows: &[Row]) -> String {
    let rows = rows.iter().map(|row| {
        let mut fields = vec![row.model.clone(), row.n_ctx.to_string(), row.what.clone()];
        fields.extend(row.parts.iter().map(|value| format!("{value:.2}")));
        fields.push(format!("{:.2}", row.total()));
        fields.push(row.cell.map_or_else(String::new, |m| m.cell.n_invocations.to_string()));
        fields.push(
            row.cell.map_or_else(String::new, |m| caveats::in_csv(m.cell.marks.iter().copied())),
        );
        fields
    });
    let header = [
        "model",
        "n_ctx",
        "what",
        "parameters_mib",
        "kv_mib",
        "compute_mib",
        "copies_mib",
        "other_mib",
        "total_mib",
        "n_invocations",
        "marks",
    ];
    table(&header, rows)
}
