//! Throughput against parameters: a point per model. Each panel holds everything else fixed.

use super::frame::{self, Frame, Key, Sign};
use super::scatter::{self, Axes, Dot, Marks, Panel};
use super::{Plot, Rate, Sheet, distinct, joined, named, spread_keys};
use crate::report::axes;
use crate::report::text;
use crate::report::view::CellView;

/// Fewer models than this are no scatter: the bars show them better.
const MIN_MODELS: usize = 3;
/// Where the two counts of parameters differ by no more than this, one mark is enough.
const SAME_COUNT: f64 = 0.01;

/// The plot; `None` where no engine and quantisation has the numbers of three models.
pub fn plot(sheet: &Sheet) -> Option<Plot> {
    let known: Vec<&CellView> = sheet
        .view
        .cells
        .iter()
        .filter(|c| c.model.is_some_and(|m| m.n_params > 0))
        .filter(|c| Rate::BOTH.iter().any(|rate| rate.of(c).is_some()))
        .collect();
    let axes = axes::differing_with_threads(&known);
    let group = |c: &CellView| {
        let own = [text::plain(&c.cell.engine), text::plain(&c.cell.quant)];
        joined(own.into_iter().chain(axes::describe(c, &axes)))
    };
    let archs = distinct(known.iter().filter_map(|c| c.model).map(|m| m.arch.as_str()));

    let (mut panels, mut shown) = (Vec::new(), Vec::new());
    for (name, own) in named(&known, group) {
        for rate in Rate::BOTH {
            let own: Vec<&CellView> =
                own.iter().copied().filter(|c| rate.of(c).is_some()).collect();
            for test in distinct(own.iter().map(|c| rate.test(c))) {
                let cells: Vec<&CellView> =
                    own.iter().copied().filter(|c| rate.test(c) == test).collect();
                let Some(cells) = at_one_depth(&cells, rate) else { continue };
                let depth = match rate.depth(cells[0]) {
                    0 => String::new(),
                    depth => format!(" @ d{depth}"),
                };
                panels.push(Panel {
                    heading: format!("{name}: {test}{depth}"),
                    y: format!("{} (tokens/s)", rate.word()),
                    dots: cells.iter().filter_map(|c| dot(c, rate, &archs)).collect(),
                    links: Vec::new(),
                    fronts: Vec::new(),
                });
                shown.extend(cells.into_iter().map(|c| (c, rate)));
            }
        }
    }
    if panels.is_empty() {
        return None;
    }

    let title = "Throughput against parameters".to_owned();
    let cells: Vec<&CellView> = shown.iter().map(|(c, _)| *c).collect();
    let mut keys: Vec<Key> = archs
        .iter()
        .enumerate()
        .filter(|(_, arch)| cells.iter().any(|c| c.model.is_some_and(|m| m.arch == **arch)))
        .map(|(i, arch)| {
            let (color, shape) = frame::color_and_shape(i);
            Key::new(Sign::Dot(color, shape), text::plain(arch))
        })
        .collect();
    if cells.iter().any(|c| other_count(c).is_some()) {
        keys.push(Key::new(Sign::Ghost, "to the count as llama.cpp counts, where it differs"));
    }
    let estimates: Vec<_> = shown.iter().filter_map(|(c, rate)| rate.of(c)).collect();
    keys.extend(spread_keys(&estimates).into_iter().filter(|key| key.sign == Sign::Interval));
    let certain = estimates.iter().any(|e| e.interval().is_some());
    let doubt = if certain { "" } else { " Too few invocations for intervals." };
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            format!(
                "Points: geometric mean of the medians of the invocations, at the model's unique \
                 parameters. Both axes are logarithmic: where half the parameters are twice as \
                 fast, points lie on a straight line. Each panel has its own scale.{doubt}"
            ),
        ],
        keys,
    };
    let axes = Axes {
        x: "unique parameters",
        x_marks: Marks::Parameters,
        log_y: true,
        names_above: false,
        columns: 2,
        height: 270.0,
    };
    let svg = scatter::draw(&frame, &panels, &axes);
    Some(Plot { file: "params.svg".into(), title, svg })
}

/// One cell per model, all at the lowest depth at which there are enough of them.
fn at_one_depth<'a>(cells: &[&'a CellView<'a>], rate: Rate) -> Option<Vec<&'a CellView<'a>>> {
    let mut depths = distinct(cells.iter().map(|c| rate.depth(c)));
    depths.sort_unstable();
    depths.into_iter().find_map(|depth| {
        let at: Vec<&CellView> = cells.iter().copied().filter(|c| rate.depth(c) == depth).collect();
        let models = distinct(at.iter().map(|c| &c.cell.model));
        let first = |model: &&String| at.iter().copied().find(|c| c.cell.model == **model);
        (models.len() >= MIN_MODELS).then(|| models.iter().filter_map(first).collect())
    })
}

fn dot(cell: &CellView, rate: Rate, archs: &[&str]) -> Option<Dot> {
    let (model, estimate) = (cell.model?, rate.of(cell)?);
    let arch = archs.iter().position(|f| *f == model.arch).unwrap_or(0);
    let (color, shape) = frame::color_and_shape(arch);
    Some(Dot {
        x: model.n_params as f64,
        y: estimate.value,
        spread: estimate.interval(),
        color,
        shape,
        name: text::plain(&cell.cell.model),
        ghost: other_count(cell),
        tip: format!(
            "{} {}: {} tokens/s {}",
            cell.cell.model,
            cell.cell.quant,
            text::number(estimate.value),
            text::spread(&estimate),
        ),
    })
}

/// Parameters as llama.cpp counts them, where that tells something new.
fn other_count(cell: &CellView) -> Option<f64> {
    let (unique, counted) = cell.model.map(|m| (m.n_params as f64, m.n_params_llama_cpp as f64))?;
    ((counted / unique - 1.0).abs() > SAME_COUNT).then_some(counted)
}
