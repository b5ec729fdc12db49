//! Figure 13: memory by model, stacked, at a context of 2048 tokens and at the longest one that each
//! model was trained for. Predicted from shapes alone, beside what was measured and what the survey has.

use super::data::{self, MemoryBar};
use super::marks::{bar, pale};
use super::runs::{Measured, Runs};
use super::{Figure, Missing, percent, table};
use crate::memory::{ByKind, MemoryDetail, Request, WeightBytes};
use crate::model::{FileMix, ModelShape, Rules};
use crate::plan::CellId;
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::canvas::Color;
use crate::report::plot::frame::{Frame, Key, Sign};
use crate::report::text;

/// Parts with their colours, as everywhere.
const PARTS: [(&str, Color); 5] = [
    ("model parameters", Color(0x00, 0x72, 0xb2)),
    ("KV cache", Color(0xe6, 0x9f, 0x00)),
    ("compute buffer", Color(0x00, 0x9e, 0x73)),
    ("weights a second time", Color(0x56, 0xb4, 0xe9)),
    ("other", Color(0xb8, 0xb8, 0xb8)),
];

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

    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Context::Usual => ("13a", "fig13a-memory-2048", "Memory by model at a context of 2048"),
            Context::Longest => {
                ("13b", "fig13b-memory-max", "Memory by model at its longest context")
            }
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
    cell: Option<&'a CellId>,
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
pub fn figure(runs: &Runs, context: Context) -> Result<Figure, Missing> {
    let (number, stem, title) = context.names();
    let mut models: Vec<(&str, &ModelShape)> = runs
        .catalogue
        .models()
        .iter()
        .filter_map(|model| Some((model.survey_name.as_deref()?, model.shape()?)))
        .collect();
    models.sort_by_key(|(_, shape)| shape.n_params());
    let survey = data::memory();
    let measured = runs.cells();
    let mut rows: Vec<Row> = Vec::new();
    for (name, shape) in &models {
        rows.extend(of_model(runs, context, name, shape, &measured));
        if context == Context::Usual {
            rows.extend(survey.iter().filter(|bar| bar.model == *name).map(of_survey));
        }
    }
    let groups = models.iter().map(|(name, shape)| Group {
        label: match context {
            Context::Usual => (*name).to_owned(),
            Context::Longest => format!("{name}, {}", context.n_ctx(shape)),
        },
        bars: rows.iter().filter(|row| row.model == *name).map(|r| row_bar(context, r)).collect(),
    });
    let section = Section { heading: String::new(), groups: groups.collect() };
    let shown: Vec<Measured> = measured
        .iter()
        .copied()
        .filter(|m| rows.iter().any(|row| row.cell == Some(&m.cell.cell.id)))
        .collect();
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
            "Measured on {}: what is resident at the peak, CPU alone, llama.cpp of today; a second time: \
             what it repacked for this CPU; other: the process and what belongs to nothing.",
            runs.place(&shown)
        ));
    }
    let frame = Frame { title: title.to_owned(), notes, keys };
    Ok(Figure {
        number,
        stem,
        title: title.to_owned(),
        svg: bars::draw(&frame, &[section], "memory (MiB)"),
        csv: csv(&rows),
        told: told(context, &rows),
    })
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
    measured: &[Measured<'a>],
) -> Vec<Row<'a>> {
    let n_ctx = context.n_ctx(shape);
    let request = Request { n_ctx, ..Request::survey() };
    let mut rows = vec![predicted(name, PREDICTED, shape, request)];
    if context == Context::Longest {
        let request = Request { flash_attn: true, ..request };
        rows.push(predicted(name, WITH_FLASH, shape, request));
    }
    let own = measured.iter().filter(|m| {
        m.survey_name() == Some(name) && m.format() == "Q4_K_M" && m.cell.n_ctx() == Some(n_ctx)
    });
    let mut seen: Vec<(usize, &str)> = Vec::new();
    for m in own {
        let key = (m.device, m.cell.cell.engine.as_str());
        let Some(memory) = m.cell.memory.as_ref().filter(|_| !seen.contains(&key)) else {
            continue;
        };
        seen.push(key);
        let mut what = format!("{MEASURED}, {}", text::plain(&m.cell.cell.engine));
        if runs.devices.len() > 1 {
            what += &format!(", {}", runs.devices[m.device]);
        }
        let ByKind { weights, weight_copies, kv, compute, .. } = memory.resident;
        let known = weights + weight_copies + kv + compute;
        rows.push(Row {
            model: name.to_owned(),
            n_ctx,
            what,
            parts: [
                mib(weights),
                mib(kv),
                mib(compute),
                mib(weight_copies),
                mib(memory.peak_bytes.saturating_sub(known)),
            ],
            is_survey: false,
            cell: Some(&m.cell.cell.id),
        });
    }
    rows
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
    bar(row.what.clone(), parts.collect(), text)
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
    let measured: Vec<f64> = rows
        .iter()
        .filter(|row| row.cell.is_some())
        .filter_map(|row| Some(row.total() / predicted(&row.model)?.total()))
        .collect();
    let least = measured.iter().copied().reduce(f64::min);
    let most = measured.iter().copied().reduce(f64::max);
    if let Some((least, most)) = least.zip(most) {
        told.push(format!(
            "Measured here, {} models take {} to {} % of that. The compute buffer is reserved for 512 tokens \
             and touched for those of the prompt, which makes it less; weights that llama.cpp repacks for a \
             CPU are there twice, which makes it more.",
            measured.len(),
            percent(least),
            percent(most),
        ));
    }
    told
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
         for Qwen1.5, which agrees, and says that at 32k the cache alone is over 80 %, which does not. The \
         compute buffer there is the matrix of attention scores: with flash attention it is gone."
            .to_owned(),
    ]
}

fn csv(rows: &[Row]) -> String {
    let rows = rows.iter().map(|row| {
        let mut fields = vec![row.model.clone(), row.n_ctx.to_string(), row.what.clone()];
        fields.extend(row.parts.iter().map(|value| format!("{value:.2}")));
        fields.push(format!("{:.2}", row.total()));
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
    ];
    table(&header, rows)
}
