//! Predicted speeds against measured ones: where both are the same there is a line.

use super::canvas::{self, Anchor, Canvas, FAINT, GRID, HEADING, INK, LABEL, text_width};
use super::frame::{Frame, Key, MARGIN, Sign, WIDTH, draw_point};
use super::scale::{Scale, Ticks};
use super::{Plot, Sheet};
use crate::report::predicted::Held;
use crate::report::text;
use crate::report::view::{CellView, ReportView};
use crate::roofline::Phase;

/// The file's name.
pub const FILE: &str = "predicted.svg";

fn heading(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "Prefill, tokens per second",
        Phase::Decode => "Decode, tokens per second",
    }
}

const GAP: f64 = 34.0;
const HEAD: f64 = 30.0;
const FOOT: f64 = 50.0;
/// Left of the data: what the axis is called, and labels up to six digits.
const BESIDE: f64 = 68.0;

/// A panel for each phase, square, both axes logarithmic and alike.
pub fn plot(view: &ReportView, pairs: &[Held]) -> Option<Plot> {
    let sheet = Sheet::new(view);
    let phases: Vec<(Phase, Vec<&Held>)> = Phase::BOTH
        .into_iter()
        .map(|phase| (phase, pairs.iter().filter(|(m, _)| m.phase() == phase).collect::<Vec<_>>()))
        .filter(|(_, pairs)| !pairs.is_empty())
        .collect();
    if phases.is_empty() {
        return None;
    }
    let cells: Vec<&CellView> = pairs.iter().map(|(measured, _)| measured.cell).collect();
    let mut keys = sheet.engine_keys(&cells, Sign::Area);
    keys.extend(sheet.quant_keys(&cells));
    keys.push(Key::new(Sign::Line(FAINT), "predicted = measured"));
    let bands: Vec<String> = phases
        .iter()
        .map(|(phase, _)| format!("± {:.0} % of {}", phase.aim() * 100.0, phase.word()))
        .collect();
    keys.push(Key::new(Sign::Band(FAINT), bands.join(", ")));
    let title = "Predicted against measured".to_owned();
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            sheet.where_and_how_often(&cells),
            "Predicted from the probe at the beginning of the run and the models' shapes"
                .to_owned(),
        ],
        keys,
    };
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let top = frame.height();
    let svg = canvas::draw(WIDTH, top + HEAD + width - BESIDE + FOOT, &title, |canvas| {
        frame.draw(canvas);
        for (i, (phase, pairs)) in phases.iter().enumerate() {
            let x = MARGIN + i as f64 * (width + GAP);
            draw_panel(canvas, &sheet, *phase, pairs, (x, top), width);
        }
    });
    Some(Plot { file: FILE.to_owned(), title, svg })
}

fn draw_panel(
    canvas: &mut Canvas,
    sheet: &Sheet,
    phase: Phase,
    pairs: &[&Held],
    (x, y): (f64, f64),
    width: f64,
) {
    let points: Vec<(f64, f64, &CellView)> = pairs
        .iter()
        .map(|(measured, predicted)| {
            let was = measured.tok_per_s(measured.observation.time_s);
            (was, predicted.tok_per_s(), measured.cell)
        })
        .collect();
    let all = || points.iter().flat_map(|(a, b, _)| [*a, *b]);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let ticks = Ticks::log(low, high);
    let labels: Vec<String> = ticks
        .values
        .iter()
        .map(|v| text::grouped(*v, if *v >= 1.0 { 0 } else { ticks.decimals }))
        .collect();
    let (left, right) = (x + BESIDE, x + width - 4.0);
    let (above, below) = (y + HEAD, y + HEAD + (right - left));
    let ends = (ticks.values[0], ticks.values[ticks.values.len() - 1]);
    let across = Scale::log(ends, (left, right));
    let up = Scale::log(ends, (below, above));
    canvas.text((x, y + 10.0), Anchor::Start, HEADING, heading(phase));

    // Measured values between which a line at `factor` times them lies within the panel.
    let line = |factor: f64| {
        let (from, to) = (ends.0.max(ends.0 / factor), ends.1.min(ends.1 / factor));
        [(across.at(from), up.at(from * factor)), (across.at(to), up.at(to * factor))]
    };
    let (lower, upper) = (line(1.0 - phase.aim()), line(1.0 + phase.aim()));
    let corners = [upper[0], upper[1], (right, above), lower[1], lower[0], (left, below)];
    canvas.area(&corners, FAINT, 0.22);
    let mut free = f64::NEG_INFINITY;
    for (value, label) in ticks.values.iter().zip(&labels) {
        let (at, height) = (across.at(*value), up.at(*value));
        canvas.line((left, height), (right, height), GRID, 1.0);
        canvas.line((at, above), (at, below), GRID, 1.0);
        canvas.text((left - 6.0, height), Anchor::End, LABEL, label);
        let half = text_width(label, LABEL) / 2.0;
        if at - half >= free {
            canvas.text((at.min(right - half + 4.0), below + 14.0), Anchor::Middle, LABEL, label);
            free = at + half + 6.0;
        }
    }
    let [from, to] = line(1.0);
    canvas.line(from, to, FAINT, 1.5);
    canvas.line((left, below), (right, below), INK, 1.0);
    canvas.line((left, below), (left, above), INK, 1.0);
    canvas.text(((left + right) / 2.0, below + 33.0), Anchor::Middle, LABEL, "measured");
    canvas.text_upwards((x + 7.0, (above + below) / 2.0), LABEL, "predicted");
    for (was, predicted, cell) in points {
        draw_point(
            canvas,
            sheet.point(cell),
            (across.at(was), up.at(predicted)),
            sheet.color(cell),
        );
        let told = format!(
            "{} {} {}: {} predicted, {} measured",
            cell.cell.model,
            cell.cell.quant,
            cell.cell.engine,
            text::number(predicted),
            text::number(was)
        );
        canvas.tip_at((across.at(was), up.at(predicted)), &told);
    }
}
