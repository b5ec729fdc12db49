//! Throughput and memory against effective bits per weight, a picture per model: a point per
//! quantisation and engine.

use super::canvas::{Color, FAINT, LABEL, fitting};
use super::frame::{Frame, Key, Sign};
use super::scatter::{self, Axes, Dot, Marks, Panel};
use super::{Plot, Rate, Sheet, distinct, file_of_model, joined, named, spread_keys};
use crate::report::axes;
use crate::report::front;
use crate::report::text;
use crate::report::view::CellView;
use crate::stats::Estimate;

/// Fewer quantisations than this are no scatter: the bars show them better.
const MIN_QUANTS: usize = 3;

/// Bytes of the weights: not measured, the same for all engines.
const WEIGHTS: Color = Color(0x5c, 0x5c, 0x5c);
/// A hollow square.
const WEIGHTS_SHAPE: usize = 6;

/// A plot per model of which a panel can be made.
pub fn plots(sheet: &Sheet) -> Vec<Plot> {
    let mut taken = Vec::new();
    sheet.models.iter().filter_map(|model| plot(sheet, model, &mut taken)).collect()
}

/// What stands on the vertical axis.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Rate(Rate),
    Memory,
}

impl Measure {
    const ALL: [Measure; 3] =
        [Measure::Rate(Rate::Prefill), Measure::Rate(Rate::Decode), Measure::Memory];

    fn of(self, cell: &CellView) -> Option<Estimate> {
        match self {
            Measure::Rate(rate) => rate.of(cell),
            Measure::Memory => cell.measures.peak_rss_bytes.map(|e| e.scaled(mib(1.0))),
        }
    }

    /// What is held fixed beside the settings.
    fn test(self, cell: &CellView) -> String {
        match self {
            Measure::Rate(rate) => rate.test(cell),
            Measure::Memory => format!("{} + {} tokens", cell.cell.n_prompt, cell.cell.n_gen),
        }
    }

    fn depth(self, cell: &CellView) -> u32 {
        match self {
            Measure::Rate(rate) => rate.depth(cell),
            Measure::Memory => cell.cell.n_depth,
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Measure::Rate(Rate::Prefill) => ("Prefill", "prefill (tokens/s)"),
            Measure::Rate(Rate::Decode) => ("Decode", "decode (tokens/s)"),
            Measure::Memory => ("Memory", "memory (MiB)"),
        }
    }
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

fn plot(sheet: &Sheet, model: &str, taken: &mut Vec<String>) -> Option<Plot> {
    let known: Vec<&CellView> = sheet
        .view
        .cells
        .iter()
        .filter(|c| c.cell.model == model && c.bits_per_weight.is_some_and(|b| b > 0.0))
        .collect();
    let axes = axes::differing_with_threads(&known);

    let (mut panels, mut shown) = (Vec::new(), Vec::new());
    for measure in Measure::ALL {
        let own: Vec<&CellView> =
            known.iter().copied().filter(|c| measure.of(c).is_some()).collect();
        let group =
            |c: &CellView| joined([measure.test(c)].into_iter().chain(axes::describe(c, &axes)));
        for (name, cells) in named(&own, group) {
            let Some(cells) = at_one_depth(&cells, measure) else { continue };
            let depth = match measure.depth(cells[0]) {
                0 => String::new(),
                depth => format!(" @ d{depth}"),
            };
            let (word, y) = measure.words();
            panels.push(Panel {
                heading: format!("{word}: {name}{depth}"),
                y: y.to_owned(),
                dots: dots(sheet, &cells, measure),
                links: Vec::new(),
                fronts: fronts(sheet, &cells, measure),
            });
            shown.extend(cells.into_iter().map(|c| (c, measure)));
        }
    }
    if panels.is_empty() {
        return None;
    }

    let title =
        format!("Throughput and memory against bits per weight: {}", text::title_name(model));
    let cells: Vec<&CellView> = shown.iter().map(|(c, _)| *c).collect();
    let mut keys = sheet.engine_keys(&cells, |color| Sign::Dot(color, 0));
    if shown.iter().any(|(c, m)| *m == Measure::Memory && c.weight_bytes.is_some()) {
        keys.push(Key::new(Sign::Point(WEIGHTS_SHAPE), "bytes of the weights"));
    }
    if panels.iter().any(|panel| !panel.fronts.is_empty()) {
        keys.push(Key::new(Sign::Line(FAINT), "front: nothing keeps as many bits and is as fast"));
    }
    let estimates: Vec<_> = shown.iter().filter_map(|(c, m)| m.of(c)).collect();
    keys.extend(spread_keys(&estimates).into_iter().filter(|key| key.sign == Sign::Interval));
    let certain = estimates.iter().any(|e| e.interval().is_some());
    let doubt = if certain { "" } else { " Too few invocations for intervals." };
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            format!(
                "Bits per weight: 8 × bytes of all tensors ÷ unique parameters, on a logarithmic \
                 axis. Throughput: geometric mean of the medians of the invocations. Memory: peak \
                 of the resident set.{doubt}"
            ),
        ],
        keys,
    };
    let axes = Axes {
        x: "effective bits per weight",
        x_marks: Marks::Bits,
        log_y: false,
        names_above: true,
        columns: 1,
        height: 230.0,
    };
    let svg = scatter::draw(&frame, &panels, &axes);
    Some(Plot { file: file_of_model("bits", model, taken), title, svg })
}

/// One cell per quantisation and engine, all at the lowest depth with enough quantisations.
fn at_one_depth<'a>(cells: &[&'a CellView<'a>], measure: Measure) -> Option<Vec<&'a CellView<'a>>> {
    let mut depths = distinct(cells.iter().map(|c| measure.depth(c)));
    depths.sort_unstable();
    depths.into_iter().find_map(|depth| {
        let at: Vec<&CellView> =
            cells.iter().copied().filter(|c| measure.depth(c) == depth).collect();
        let quants = distinct(at.iter().map(|c| &c.cell.quant)).len();
        let points = distinct(at.iter().map(|c| (&c.cell.quant, &c.cell.engine)));
        let first = |point: &(&String, &String)| {
            at.iter().copied().find(|c| (&c.cell.quant, &c.cell.engine) == *point)
        };
        (quants >= MIN_QUANTS).then(|| points.iter().filter_map(first).collect())
    })
}

/// Of each engine a line through the quantisations that no other beats: none keeps as many bits and is as
/// fast. Of memory there is none: it follows the bits.
fn fronts(sheet: &Sheet, cells: &[&CellView], measure: Measure) -> Vec<(Vec<(f64, f64)>, Color)> {
    if measure == Measure::Memory {
        return Vec::new();
    }
    let front = |engine: &String| {
        let own: Vec<&CellView> =
            cells.iter().copied().filter(|c| c.cell.engine == *engine).collect();
        let place = |c: &&CellView| Some((c.bits_per_weight?, measure.of(c)?.value));
        let mut places: Vec<(f64, f64)> = own.iter().filter_map(place).collect();
        let mut is_on = front::is_on(&places).into_iter();
        places.retain(|_| is_on.next() == Some(true));
        places.sort_by(|a, b| b.0.total_cmp(&a.0));
        (places.len() > 1).then(|| (places, sheet.color(own[0])))
    };
    distinct(cells.iter().map(|c| &c.cell.engine)).into_iter().filter_map(front).collect()
}

fn dots(sheet: &Sheet, cells: &[&CellView], measure: Measure) -> Vec<Dot> {
    let mut dots = Vec::new();
    for quant in distinct(cells.iter().map(|c| &c.cell.quant)) {
        let own: Vec<&CellView> =
            cells.iter().copied().filter(|c| c.cell.quant == *quant).collect();
        if measure == Measure::Memory
            && let Some((bits, bytes)) = own[0].bits_per_weight.zip(own[0].weight_bytes)
        {
            dots.push(Dot {
                x: bits,
                y: mib(bytes as f64),
                spread: None,
                color: WEIGHTS,
                shape: WEIGHTS_SHAPE,
                name: String::new(),
                ghost: None,
                tip: format!(
                    "{quant}: weights {} MiB, {bits:.2} bits",
                    text::number(mib(bytes as f64))
                ),
            });
        }
        for (i, cell) in own.into_iter().enumerate() {
            let Some((x, estimate)) = cell.bits_per_weight.zip(measure.of(cell)) else { continue };
            // Engines stand above one another: one point carries the name for all.
            dots.push(Dot {
                x,
                y: estimate.value,
                spread: estimate.interval(),
                color: sheet.color(cell),
                shape: 0,
                name: if i == 0 { fitting(quant, 130.0, LABEL) } else { String::new() },
                ghost: None,
                tip: format!(
                    "{quant}, {}: {} {}, {x:.2} bits",
                    cell.cell.engine,
                    text::number(estimate.value),
                    measure.words().1,
                ),
            });
        }
    }
    dots
}
