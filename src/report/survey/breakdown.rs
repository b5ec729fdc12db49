//! Figure 12: where the time of prefill and decode goes, by part of the model and by kind of operation.

use std::collections::BTreeMap;

use super::data::{self, Share};
use super::marks::{bar, pale};
use super::runs::Runs;
use super::{Figure, Missing, percent, table};
use crate::model::TensorGroup;
use crate::record::{OpKind, OpTotal};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::canvas::{Color, FAINT};
use crate::report::plot::distinct;
use crate::report::plot::frame::{Frame, Key, Sign};
use crate::report::plot::part_color;
use crate::report::profile::{PhaseView, part_word};
use crate::report::text;

/// What measures the figure.
const COMMAND: &str = "slmbench profile Qwen1.5-0.5B Qwen2-0.5B --engine llama-cpp --quant Q4_K_M@2024 \
                       -p 50 -n 49";

/// A share's name and colour.
type Slice = (&'static str, Color);

/// Everything that belongs to none of the others.
const OTHER: &str = "other";

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Parts of the model.
    Layer,
    /// Kinds of operation.
    Operation,
}

impl By {
    /// Both.
    pub const BOTH: [By; 2] = [By::Layer, By::Operation];

    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            By::Layer => ("12a", "fig12a-layers", "Share of the time by part of the model"),
            By::Operation => ("12b", "fig12b-operations", "Share of the time by kind of operation"),
        }
    }

    fn slices(self) -> Vec<Slice> {
        use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
        match self {
            By::Layer => [Embedding, Attention, Ffn, Output, Norm]
                .map(|part| (part_word(part), part_color(part_word(part))))
                .into_iter()
                .chain([(OTHER, FAINT)])
                .collect(),
            By::Operation => vec![
                ("matmul", Color(0x00, 0x72, 0xb2)),
                ("attention", Color(0xd5, 0x5e, 0x00)),
                ("copy", Color(0x00, 0x9e, 0x73)),
                ("add, activation", Color(0xcc, 0x79, 0xa7)),
                ("quantise", Color(0x56, 0xb4, 0xe9)),
                ("norm, rope", Color(0xe6, 0x9f, 0x00)),
                (OTHER, FAINT),
            ],
        }
    }

    /// The slice of an operation.
    fn of(self, total: &OpTotal) -> &'static str {
        match self {
            By::Layer => total.op.part.map_or(OTHER, part_word),
            By::Operation => match total.op.kind {
                OpKind::Matmul => "matmul",
                OpKind::Attention => "attention",
                OpKind::Copy => "copy",
                OpKind::Add | OpKind::Activation => "add, activation",
                OpKind::Quantise => "quantise",
                OpKind::Norm | OpKind::Rope => "norm, rope",
                OpKind::Lookup | OpKind::Wait | OpKind::Spans | OpKind::Other => OTHER,
            },
        }
    }

    /// The slice of a share of the survey's, whose kernels are those of a GPU.
    fn of_survey(self, share: &Share) -> Option<&'static str> {
        let slice = match (self, share.kind.as_str(), share.component.as_str()) {
            (By::Layer, "layer", "embedding") => part_word(TensorGroup::Embedding),
            (By::Layer, "layer", "attention") => part_word(TensorGroup::Attention),
            (By::Layer, "layer", "ffn") => part_word(TensorGroup::Ffn),
            (By::Layer, "layer", "lm_head") => part_word(TensorGroup::Output),
            (By::Operation, "operator", "mul_mat_vec_q") => "matmul",
            (By::Operation, "operator", "gemm") => "attention",
            (By::Operation, "operator", "cpy_f32_f16") => "copy",
            (By::Operation, "operator", "k_bin_bcast") => "add, activation",
            (By::Operation, "operator", "quantize_q8_1") => "quantise",
            (By::Operation, "operator", _) => OTHER,
            _ => return None,
        };
        Some(slice)
    }

    /// Slices whose shares are written behind a bar.
    fn written(self) -> &'static [&'static str] {
        match self {
            By::Layer => &["attention", "FFN", "LM head"],
            By::Operation => &["matmul", "attention"],
        }
    }
}

/// Shares of a phase by slice, which add up to 1.
type Shares = BTreeMap<&'static str, f64>;

/// A bar.
struct Row {
    source: String,
    model: String,
    phase: &'static str,
    test: String,
    shares: Shares,
    is_survey: bool,
}

/// The figure.
pub fn figure(runs: &Runs, by: By) -> Result<Figure, Missing> {
    let (number, stem, title) = by.names();
    let own = own(runs, by);
    if own.is_empty() {
        return Err(Missing { number, title, command: COMMAND });
    }
    let models = distinct(own.iter().map(|row| row.model.clone()));
    let theirs = survey(runs, by, &models);
    let rows: Vec<&Row> = own.iter().chain(&theirs).collect();
    let slices = by.slices();
    let sections: Vec<Section> =
        models.iter().map(|model| section(by, &slices, model, &rows)).collect();
    let mut keys: Vec<Key> =
        slices.iter().map(|(name, color)| Key::new(Sign::Area(*color), *name)).collect();
    if !theirs.is_empty() {
        keys.push(Key::new(Sign::Area(pale(slices[0].1)), "paler: the survey's shares, for shape"));
    }
    let profiled = runs.views.iter().filter(|view| !view.profiles.is_empty());
    let devices = distinct(profiled.map(|view| runs.devices[runs.device_of(view)].as_str()));
    let written = by.written().join(" · ");
    let mut notes = vec![
        format!("{}; each phase in passes of its own.", devices.join(" and ")),
        format!("Behind each bar: {written}, in %. {}", by.note()),
    ];
    if by == By::Operation {
        notes.push(
            "The survey's are GPU kernels: mul_mat_vec_q stands as matmul, gemm as attention, \
             k_bin_bcast as add, and norms and RoPE are in its other."
                .to_owned(),
        );
    }
    let frame = Frame { title: title.to_owned(), notes, keys };
    Ok(Figure {
        number,
        stem,
        title: title.to_owned(),
        svg: bars::draw(&frame, &sections, "share of the time (%)"),
        csv: csv(by, &rows),
        told: told(by, &own, &theirs),
    })
}

impl By {
    fn note(self) -> &'static str {
        match self {
            By::Layer => "Norms have no part of their own in the survey.",
            By::Operation => "Waiting for other threads, lookups and the rest stand in other.",
        }
    }
}

fn own(runs: &Runs, by: By) -> Vec<Row> {
    let mut rows = Vec::new();
    for view in runs.views {
        for profile in &view.profiles {
            let cell = &profile.record.cell;
            let device = &runs.devices[runs.device_of(view)];
            let source = format!("{}, {}", text::plain(&cell.engine), text::plain(&cell.quant));
            let source =
                if runs.devices.len() > 1 { format!("{device}, {source}") } else { source };
            rows.extend(profile.phases.iter().map(|phase| Row {
                source: source.clone(),
                model: text::plain(&cell.model),
                phase: phase.phase,
                test: phase.test.clone(),
                shares: shares(by, phase),
                is_survey: false,
            }));
        }
    }
    rows
}

fn shares(by: By, phase: &PhaseView) -> Shares {
    let whole = phase.total_ns.max(1) as f64;
    let mut shares = Shares::from([(OTHER, phase.profile.rest_ns() as f64 / whole)]);
    for total in &phase.profile.ops {
        *shares.entry(by.of(total)).or_default() += total.cost.ns as f64 / whole;
    }
    shares
}

/// The survey's bars of these models.
fn survey(runs: &Runs, by: By, models: &[String]) -> Vec<Row> {
    let all = data::breakdown();
    let mut rows: Vec<Row> = Vec::new();
    for model in models {
        let name = runs.catalogue.find(model).ok().and_then(|m| m.survey_name.clone());
        for phase in ["prefill", "decode"] {
            let mut shares = Shares::new();
            let own = all.iter().filter(|s| Some(&s.model) == name.as_ref() && s.phase == phase);
            for share in own {
                if let Some(slice) = by.of_survey(share) {
                    *shares.entry(slice).or_default() += share.share;
                }
            }
            if !shares.is_empty() {
                rows.push(Row {
                    source: "survey: Jetson, GPU".to_owned(),
                    model: model.clone(),
                    phase,
                    test: String::new(),
                    shares,
                    is_survey: true,
                });
            }
        }
    }
    rows
}

fn section(by: By, slices: &[Slice], model: &str, rows: &[&Row]) -> Section {
    let own: Vec<&&Row> = rows.iter().filter(|row| row.model == *model).collect();
    let groups = ["prefill", "decode"].into_iter().map(|phase| Group {
        label: phase.to_owned(),
        bars: own
            .iter()
            .filter(|row| row.phase == phase)
            .map(|row| row_bar(by, slices, row))
            .collect(),
    });
    let groups = groups.filter(|group| !group.bars.is_empty());
    Section { heading: model.to_owned(), groups: groups.collect() }
}

fn row_bar(by: By, slices: &[Slice], row: &Row) -> Bar {
    let share = |name: &str| row.shares.get(name).copied().unwrap_or(0.0);
    let tint = |color: Color| if row.is_survey { pale(color) } else { color };
    let parts = slices.iter().map(|(name, color)| (100.0 * share(name), tint(*color))).collect();
    let written: Vec<String> = by.written().iter().map(|name| percent(share(name))).collect();
    let label = match row.test.is_empty() {
        true => row.source.clone(),
        false => format!("{}, {}", row.source, row.test),
    };
    bar(label, parts, written.join(" · "))
}

/// What differs between here and there, in points of a hundred.
fn told(by: By, own: &[Row], theirs: &[Row]) -> Vec<String> {
    let of = |row: &Row| {
        let written = by.written().iter().map(|name| {
            format!("{name} {} %", percent(row.shares.get(name).copied().unwrap_or(0.0)))
        });
        written.collect::<Vec<_>>().join(", ")
    };
    let mut told: Vec<String> = own
        .iter()
        .map(|row| {
            let mut line = format!(
                "{}, {} ({}, {}): {}.",
                row.model,
                row.phase,
                row.source,
                row.test,
                of(row)
            );
            let same = |other: &&Row| (&other.model, other.phase) == (&row.model, row.phase);
            if let Some(there) = theirs.iter().find(same) {
                line += &format!(" The survey: {}.", of(there));
            }
            line
        })
        .collect();
    told.push(
        match by {
            By::Layer => {
                "The survey has embedding, attention, FFN and LM head; what norms take is in one of them \
                 there, and apart here. Prefill of a whole prompt runs the LM head for one token: that it \
                 is a quarter of the survey's prefill says that its prompt was very short."
            }
            By::Operation => {
                "The survey's text says that mul_mat_vec_q is over 80 %; its own bars say 75 to 79 %. That \
                 kernel is used for at most 8 tokens at once, so its prefill was one of a very short \
                 prompt. A CPU has other kernels for the same products."
            }
        }
        .to_owned(),
    );
    if by == By::Operation {
        told.push(order_told(own));
    }
    told
}

/// Between which shares products lie here.
fn order_told(own: &[Row]) -> String {
    let products = own.iter().map(|row| row.shares.get("matmul").copied().unwrap_or(0.0));
    let (lo, hi) = products.fold((1.0f64, 0.0f64), |s, v| (s.0.min(v), s.1.max(v)));
    format!("Products with weights take {} to {} % here.", percent(lo), percent(hi))
}

fn csv(by: By, rows: &[&Row]) -> String {
    let rows = rows.iter().flat_map(|row| {
        by.slices().into_iter().map(|(name, _)| {
            let share =
                row.shares.get(name).map_or_else(String::new, |share| format!("{share:.4}"));
            vec![
                row.source.clone(),
                row.model.clone(),
                row.phase.to_owned(),
                row.test.clone(),
                name.to_owned(),
                share,
            ]
        })
    });
    table(&["source", "model", "phase", "test", "component", "share"], rows)
}
