//! Plots: what they show, in SVG that needs no font of this machine to be read.
//!
//! One colour per engine and one shape of point per quantisation, the same in all plots of a
//! report; where models are compared, each panel has one engine, and colours are families. A plot
//! without data is not made.

pub mod across;
pub(super) mod bars;
mod bits;
pub(super) mod canvas;
mod depth;
pub(super) mod frame;
mod labels;
mod latency;
mod memory;
pub mod needs;
pub(super) mod panels;
mod params;
pub mod predicted;
mod profile;
mod roofline;
mod scale;
pub(super) mod scatter;
pub mod soak;
mod tail;
mod throughput;
pub mod trend;

use std::collections::{BTreeMap, BTreeSet};

use super::text;
use super::view::{CellView, ReportView};
use crate::stats::{Estimate, MIN_INVOCATIONS};
use canvas::{Color, FAINT};
use frame::{Key, Sign};
pub use latency::gaps_over_position;
pub(super) use profile::color as part_color;

/// A plot, ready to be written.
pub struct Plot {
    /// Its file's name.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// The picture.
    pub svg: String,
}

/// Every plot that has data.
pub fn plots(view: &ReportView) -> Vec<Plot> {
    let sheet = Sheet::new(view);
    let mut plots = Vec::new();
    plots.extend(Rate::BOTH.iter().filter_map(|&rate| throughput::plot(&sheet, rate)));
    plots.extend(Rate::BOTH.iter().filter_map(|&rate| depth::plot(&sheet, rate)));
    plots.extend(tail::plot(&sheet));
    plots.extend(latency::plots(&sheet));
    plots.extend(memory::plot(&sheet));
    plots.extend(params::plot(&sheet));
    plots.extend(bits::plots(&sheet));
    plots.extend(profile::plot(&sheet));
    plots.extend(roofline::plot(&sheet));
    plots.extend(soak::plot(&view.soaks, &view.device()));
    plots
}

/// Whether a file of this name in the folder of plots is one that [`plots`] may have made.
pub fn is_plot(name: &str) -> bool {
    let fixed = [
        "prefill.svg",
        "decode.svg",
        "prefill-depth.svg",
        "decode-depth.svg",
        "memory.svg",
        "params.svg",
        predicted::FILE,
        profile::FILE,
        roofline::FILE,
        soak::FILE,
        tail::FILE,
    ];
    let of_models = ["itl-", "bits-"];
    fixed.contains(&name)
        || of_models.iter().any(|start| name.starts_with(start)) && name.ends_with(".svg")
}

/// One of the two throughputs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rate {
    Prefill,
    Decode,
}

impl Rate {
    const BOTH: [Rate; 2] = [Rate::Prefill, Rate::Decode];

    fn word(self) -> &'static str {
        match self {
            Rate::Prefill => "prefill",
            Rate::Decode => "decode",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Rate::Prefill => "Prefill throughput",
            Rate::Decode => "Decode throughput",
        }
    }

    fn of(self, cell: &CellView) -> Option<Estimate> {
        match self {
            Rate::Prefill => cell.measures.prefill_tok_per_s,
            Rate::Decode => cell.measures.decode_tok_per_s,
        }
    }

    /// Whether the cell measures it.
    fn asked(self, cell: &CellView) -> bool {
        self.length(cell) > 0
    }

    /// Tokens timed.
    fn length(self, cell: &CellView) -> u32 {
        match self {
            Rate::Prefill => cell.cell.n_prompt,
            Rate::Decode => cell.cell.n_gen,
        }
    }

    /// `pp128`, `tg64`.
    fn test(self, cell: &CellView) -> String {
        let short = if self == Rate::Prefill { "pp" } else { "tg" };
        format!("{short}{}", self.length(cell))
    }

    fn depth(self, cell: &CellView) -> u32 {
        match self {
            Rate::Prefill => cell.prefill_depth(),
            Rate::Decode => cell.decode_depth(),
        }
    }
}

/// What all plots of a report share.
struct Sheet<'a> {
    view: &'a ReportView<'a>,
    engines: Vec<&'a str>,
    quants: Vec<&'a str>,
    models: Vec<&'a str>,
}

impl<'a> Sheet<'a> {
    fn new(view: &'a ReportView<'a>) -> Sheet<'a> {
        let cells = || view.cells.iter().map(|c| c.cell);
        Sheet {
            view,
            engines: distinct(cells().map(|c| c.engine.as_str())),
            quants: distinct(cells().map(|c| c.quant.as_str())),
            models: distinct(cells().map(|c| c.model.as_str())),
        }
    }

    fn color(&self, cell: &CellView) -> Color {
        frame::color(self.engines.iter().position(|e| *e == cell.cell.engine).unwrap_or(0))
    }

    fn point(&self, cell: &CellView) -> usize {
        self.quants.iter().position(|q| *q == cell.cell.quant).unwrap_or(0)
    }

    /// A key per engine that occurs in `cells`.
    fn engine_keys(&self, cells: &[&CellView], sign: fn(Color) -> Sign) -> Vec<Key> {
        let present: BTreeSet<&str> = cells.iter().map(|c| c.cell.engine.as_str()).collect();
        let keys = self.engines.iter().enumerate().filter(|(_, e)| present.contains(*e));
        keys.map(|(i, engine)| Key::new(sign(frame::color(i)), text::plain(engine))).collect()
    }

    /// A key per quantisation that occurs in `cells`.
    fn quant_keys(&self, cells: &[&CellView]) -> Vec<Key> {
        let present: BTreeSet<&str> = cells.iter().map(|c| c.cell.quant.as_str()).collect();
        let keys = self.quants.iter().enumerate().filter(|(_, q)| present.contains(*q));
        keys.map(|(i, quant)| Key::new(Sign::Point(i), text::plain(quant))).collect()
    }

    /// The device, and how often was measured.
    fn where_and_how_often(&self, cells: &[&CellView]) -> String {
        let counts = || cells.iter().map(|c| c.n_invocations).filter(|&n| n > 0);
        let often = match (counts().min(), counts().max()) {
            (Some(a), Some(b)) if a != b => format!(" · n = {a} to {b} invocations"),
            (Some(a), _) => format!(" · n = {}", text::count(a, "invocation")),
            _ => String::new(),
        };
        let host = &self.view.run.host;
        let cpus = text::count(host.n_cpus as usize, "CPU");
        format!("{}, {cpus}{often}", text::plain(&self.view.device()))
    }
}

/// Keys for the whiskers that occur among `estimates`.
pub(super) fn spread_keys(estimates: &[Estimate]) -> Vec<Key> {
    let mut keys = Vec::new();
    if estimates.iter().any(|e| e.interval().is_some()) {
        keys.push(Key::new(Sign::Interval, "95 % interval over invocations"));
    }
    if estimates.iter().any(|e| e.interval().is_none()) {
        let label = format!("range of repetitions (fewer than {MIN_INVOCATIONS} invocations)");
        keys.push(Key::new(Sign::Range, label));
    }
    keys
}

/// A file name that begins with `kind`, that every system takes, and that is different for
/// different models; `taken` are those given out before.
fn file_of_model(kind: &str, model: &str, taken: &mut Vec<String>) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let slug: String = model.chars().map(|c| if fit(c) { c } else { '-' }).take(60).collect();
    // Some systems do not tell upper from lower case.
    let same = taken.iter().filter(|t| t.eq_ignore_ascii_case(&slug)).count();
    taken.push(slug.clone());
    if same == 0 { format!("{kind}-{slug}.svg") } else { format!("{kind}-{slug}.{same}.svg") }
}

/// Each value once, in the order in which they come.
pub(super) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// The cells under what each is called, in the order in which they come.
fn named<'a>(
    cells: &[&'a CellView<'a>],
    name: impl Fn(&CellView) -> String,
) -> Vec<(String, Vec<&'a CellView<'a>>)> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<(String, Vec<&CellView>)> = Vec::new();
    for &cell in cells {
        let name = name(cell);
        let at = *places.entry(name.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((name, Vec::new()));
        }
        groups[at].1.push(cell);
    }
    groups
}

/// The first of `parts` that are not empty, and the others, with commas between.
fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests;
