//! Figure 12: where the time of prefill and decode goes, by part of the model and by kind of operation.

use std::collections::{BTreeMap, BTreeSet};

use super::caveats::{self, About};
use super::data::{self, Share};
use super::marks::{bar, pale};
use super::names::{self, Name};
use super::runs::{Measured, Runs};
use super::{Figure, Missing, percent, table};
use crate::model::TensorGroup;
use crate::plan::Cell;
use crate::record::{Mark, OpKind, OpTotal};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::canvas::{Color, FAINT};
use crate::report::plot::distinct;
use crate::report::plot::frame::{Frame, Key, Sign};
use crate::report::plot::part_color;
use crate::report::profile::{PhaseView, ProfileView, part_word};
use crate::report::{results, text};
use crate::stats::LogRatio;

/// How sure intervals are.
const ALPHA: f64 = 0.05;
/// What measures the figure.
const COMMAND: &str = "slmbench profile Qwen1.5-0.5B Qwen2-0.5B --engine llama-cpp --quant Q4_K_M@2024 \
                       -p 50 -n 49";

/// A share's name and colour.
type Slice = (&'static str, Color);

/// What the survey's shares are called.
const SURVEY: &str = "survey: Jetson, GPU";

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

    fn name(self) -> Name {
        match self {
            By::Layer => names::FIG_12A,
            By::Operation => names::FIG_12B,
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
struct Row<'a> {
    source: String,
    /// The source without the device, where the figure has only one.
    label: String,
    model: String,
    phase: &'static str,
    test: String,
    /// Means over the invocations.
    shares: Shares,
    /// Those of each invocation; none of the survey.
    each: Vec<Shares>,
    /// What looking has cost, in words.
    looking: String,
    /// What it was measured in; nothing of the survey.
    profiled: Option<&'a Profiled<'a>>,
}

impl Row<'_> {
    fn is_survey(&self) -> bool {
        self.profiled.is_none()
    }

    fn share(&self, slice: &str) -> f64 {
        self.shares.get(slice).copied().unwrap_or(0.0)
    }

    /// The least and the largest share of an invocation, where there are several.
    fn range(&self, slice: &str) -> Option<(f64, f64)> {
        let each = || self.each.iter().map(|shares| shares.get(slice).copied().unwrap_or(0.0));
        let (lo, hi) = each().fold((1.0f64, 0.0f64), |s, v| (s.0.min(v), s.1.max(v)));
        (self.each.len() > 1).then_some((lo, hi))
    }
}

/// A cell that was profiled, and its invocations.
struct Profiled<'a> {
    device: usize,
    invocations: Vec<&'a ProfileView<'a>>,
}

impl<'a> Profiled<'a> {
    /// Every cell once; of one that stands in several folders the one with the most invocations, and
    /// among those the last.
    fn all(runs: &Runs<'a>) -> Vec<Profiled<'a>> {
        let mut all: Vec<Profiled> = Vec::new();
        for view in runs.views {
            let device = runs.device_of(view);
            for id in distinct(view.profiles.iter().map(|p| &p.record.cell.id)) {
                let own = view.profiles.iter().filter(|p| p.record.cell.id == *id);
                let profiled = Profiled { device, invocations: own.collect() };
                let is_same = |known: &&mut Profiled| {
                    known.device == device && known.cell().id == profiled.cell().id
                };
                match all.iter_mut().find(is_same) {
                    None => all.push(profiled),
                    Some(known) if known.invocations.len() <= profiled.invocations.len() => {
                        *known = profiled;
                    }
                    Some(_) => {}
                }
            }
        }
        all
    }

    fn cell(&self) -> &'a Cell {
        &self.invocations[0].record.cell
    }

    fn marks(&self) -> BTreeSet<Mark> {
        self.invocations.iter().flat_map(|p| p.record.marks.iter().copied()).collect()
    }

    /// Its phases of one name.
    fn phases(&self, phase: &str) -> Vec<&'a PhaseView<'a>> {
        let phases = self.invocations.iter().flat_map(|profile| &profile.phases);
        phases.filter(|view| view.phase == phase).collect()
    }
}

/// The figure.
pub fn figure(runs: &Runs, by: By) -> Result<Figure, Missing> {
    let name = by.name();
    let profiled = Profiled::all(runs);
    let own = own(runs, by, &profiled);
    if own.is_empty() {
        return Err(Missing::new(name, COMMAND));
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
    let devices = distinct(profiled.iter().map(|p| runs.devices[p.device].as_str()));
    let written = by.written().join(" · ");
    let mut notes = vec![
        format!(
            "{}; {}; each phase in passes of its own.",
            devices.join(" and "),
            how_often(&profiled)
        ),
        format!("Behind each bar: {written}, in %. {}", by.note()),
    ];
    if by == By::Operation {
        notes.push(
            "The survey's are GPU kernels: mul_mat_vec_q stands as matmul, gemm as attention, \
             k_bin_bcast as add, and norms and RoPE are in its other."
                .to_owned(),
        );
    }
    let marked: Vec<&Profiled> = profiled.iter().filter(|p| is_marked(p)).collect();
    if !marked.is_empty() {
        let all = text::count(profiled.len(), "profile");
        notes.push(format!("{} of {all} under a mark (*).", marked.len()));
    }
    let mut told = told(by, &own, &theirs);
    told.extend(marked.iter().map(|p| mark_told(runs, p)));
    let unfinished: Vec<Measured> =
        runs.unfinished.iter().filter(|m| m.cell.cell.profile).copied().collect();
    told.extend(About::Time.told(runs, &[], &unfinished));
    let frame = Frame { title: name.title.to_owned(), notes, keys };
    Ok(Figure {
        name,
        svg: bars::draw(&frame, &sections, "share of the time (%)"),
        csv: csv(by, &rows),
        told,
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

/// `n = 3 invocations: bars are their means`.
fn how_often(profiled: &[Profiled]) -> String {
    let counts = || profiled.iter().map(|p| p.invocations.len());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let often = match least == most {
        true => text::count(most, "invocation"),
        false => format!("{least} to {most} invocations"),
    };
    let means = if most > 1 { ": bars are their means" } else { "" };
    format!("n = {often}{means}")
}

fn is_marked(profiled: &Profiled) -> bool {
    profiled.marks().into_iter().any(|mark| About::Time.minds(mark))
}

/// `Qwen2-0.5B, llama-cpp, Q4_K_M@2024: disturbed, other work took part of …`.
fn mark_told(runs: &Runs, profiled: &Profiled) -> String {
    let marks = profiled.marks().into_iter().filter(|mark| About::Time.minds(*mark));
    let words = marks.map(|mark| format!("{}: {}", caveats::word(mark), results::meaning(mark)));
    let cell = profiled.cell();
    format!(
        "{}, {}: {}.",
        text::plain(&cell.model),
        source(runs, profiled, &[]),
        words.collect::<Vec<_>>().join("; ")
    )
}

fn own<'a>(runs: &Runs, by: By, profiled: &'a [Profiled<'a>]) -> Vec<Row<'a>> {
    let has_several_devices = profiled.iter().any(|p| p.device != profiled[0].device);
    let mut rows = Vec::new();
    for one in profiled {
        let alike = profiled.iter().filter(|p| p.device == one.device);
        let alike = alike.filter(|p| is_of_one_file(p.cell(), one.cell()));
        let source = source(runs, one, &alike.map(Profiled::cell).collect::<Vec<_>>());
        let device = format!("{}, ", runs.devices[one.device]);
        let bare = source.strip_prefix(&device).filter(|_| !has_several_devices);
        let label = bare.unwrap_or(&source).to_owned();
        for phase in ["prefill", "decode"] {
            let views = one.phases(phase);
            let Some(first) = views.first() else { continue };
            let each: Vec<Shares> = views.iter().map(|view| shares(by, view)).collect();
            rows.push(Row {
                source: source.clone(),
                label: label.clone(),
                model: text::plain(&one.cell().model),
                phase,
                test: first.test.clone(),
                shares: mean(&each),
                each,
                looking: looking(&views),
                profiled: Some(one),
            });
        }
    }
    rows
}

fn is_of_one_file(a: &Cell, b: &Cell) -> bool {
    (&a.model, &a.quant, &a.engine) == (&b.model, &b.quant, &b.engine)
}

/// Engine and quantisation, before them the device where there are several, and behind them the settings
/// in which it differs from other profiles of its file.
fn source(runs: &Runs, profiled: &Profiled, alike: &[&Cell]) -> String {
    let cell = profiled.cell();
    let device = Some(runs.devices[profiled.device].clone()).filter(|_| runs.devices.len() > 1);
    let named = [text::plain(&cell.engine), text::plain(&cell.quant)];
    let settings = |cell: &Cell| {
        let s = &cell.settings;
        [
            format!("threads {}", s.n_threads),
            format!("fa {}", s.flash_attn),
            format!("n_ubatch {}", s.n_ubatch),
            format!("dev {}", text::plain(&s.backend_device)),
        ]
    };
    let own = settings(cell);
    let differing = (0..own.len())
        .filter(|&i| alike.iter().any(|other| settings(other)[i] != own[i]))
        .map(|i| own[i].clone());
    let parts = device.into_iter().chain(named).chain(differing);
    parts.collect::<Vec<_>>().join(", ")
}

fn shares(by: By, phase: &PhaseView) -> Shares {
    let whole = phase.total_ns.max(1) as f64;
    let mut shares = Shares::from([(OTHER, phase.profile.rest_ns() as f64 / whole)]);
    for total in &phase.profile.ops {
        *shares.entry(by.of(total)).or_default() += total.cost.ns as f64 / whole;
    }
    shares
}

/// Each invocation counts once.
fn mean(each: &[Shares]) -> Shares {
    let mut mean = Shares::new();
    for (slice, share) in each.iter().flatten() {
        *mean.entry(slice).or_default() += share / each.len() as f64;
    }
    mean
}

/// How much longer passes with spans took than those without, over the pairs of all invocations, with its
/// interval.
fn looking(views: &[&PhaseView]) -> String {
    let profiles = || views.iter().map(|view| view.profile);
    let plain: Vec<f64> = profiles().flat_map(|p| &p.plain_ns).map(|ns| *ns as f64).collect();
    let spanned: Vec<f64> = profiles().flat_map(|p| &p.profiled_ns).map(|ns| *ns as f64).collect();
    let are_pairs = profiles().all(|p| p.plain_ns.len() == p.profiled_ns.len());
    let longer = are_pairs.then(|| LogRatio::paired(&plain, &spanned, ALPHA)).flatten();
    let apart = match views.iter().any(|view| view.is_taken_apart) {
        true => ", for the graph was taken apart for it",
        false => "",
    };
    let percent = |factor: f64| format!("{:+.1}", 100.0 * (factor - 1.0));
    match longer {
        Some(ratio) => format!(
            "looking cost {} %, {} to {}{apart}",
            percent(ratio.ratio),
            percent(ratio.lo),
            percent(ratio.hi)
        ),
        None => "what looking cost is not known".to_owned(),
    }
}

/// The survey's bars of these models.
fn survey<'a>(runs: &Runs, by: By, models: &[String]) -> Vec<Row<'a>> {
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
                    source: SURVEY.to_owned(),
                    label: SURVEY.to_owned(),
                    model: model.clone(),
                    phase,
                    test: String::new(),
                    shares,
                    each: Vec::new(),
                    looking: String::new(),
                    profiled: None,
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
    let tint = |color: Color| if row.is_survey() { pale(color) } else { color };
    let parts = slices.iter().map(|(name, color)| (100.0 * row.share(name), tint(*color)));
    let written: Vec<String> = by.written().iter().map(|name| percent(row.share(name))).collect();
    let star = if row.profiled.is_some_and(is_marked) { " *" } else { "" };
    let label = match row.test.is_empty() {
        true => row.label.clone(),
        false => format!("{}, {}{star}", row.label, row.test),
    };
    bar(label, parts.collect(), written.join(" · "))
}

/// What differs between here and there.
fn told(by: By, own: &[Row], theirs: &[Row]) -> Vec<String> {
    let of = |row: &Row| {
        let written = by.written().iter().map(|name| {
            let range = row
                .range(name)
                .map_or(String::new(), |(lo, hi)| format!(" ({} to {})", percent(lo), percent(hi)));
            format!("{name} {} %{range}", percent(row.share(name)))
        });
        written.collect::<Vec<_>>().join(", ")
    };
    let mut told: Vec<String> = own
        .iter()
        .map(|row| {
            let often = text::count(row.each.len(), "invocation");
            let (model, phase, source, test) = (&row.model, row.phase, &row.source, &row.test);
            let mut line = format!(
                "{model}, {phase} ({source}, {test}, {often}; {}): {}.",
                row.looking,
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
    let products = own.iter().map(|row| row.share("matmul"));
    let (lo, hi) = products.fold((1.0f64, 0.0f64), |s, v| (s.0.min(v), s.1.max(v)));
    format!("Products with weights take {} to {} % here.", percent(lo), percent(hi))
}

fn csv(by: By, rows: &[&Row]) -> String {
    let header = [
        "source",
        "model",
        "phase",
        "test",
        "component",
        "share",
        "lo",
        "hi",
        "n_invocations",
        "marks",
    ];
    let written = |share: f64| format!("{share:.4}");
    let rows = rows.iter().flat_map(|row| {
        by.slices().into_iter().map(|(slice, _)| {
            let range = row.range(slice);
            let end = |end: Option<f64>| end.map_or_else(String::new, written);
            vec![
                row.source.clone(),
                row.model.clone(),
                row.phase.to_owned(),
                row.test.clone(),
                slice.to_owned(),
                end(row.shares.get(slice).copied()),
                end(range.map(|r| r.0)),
                end(range.map(|r| r.1)),
                row.profiled.map_or_else(String::new, |_| row.each.len().to_string()),
                row.profiled.map_or_else(String::new, |p| caveats::in_csv(p.marks())),
            ]
        })
    });
    table(&header, rows)
}
