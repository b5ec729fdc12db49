//! Small multiples: the same axes again and again, few lines in each.

use super::canvas::{self, Anchor, Canvas, Color, GRID, HEADING, INK, LABEL, fitting, text_width};
use super::frame::{Frame, MARGIN, WIDTH, draw_point};
use super::scale::{Scale, Ticks};
use crate::report::text;

/// Points of one line at most: more than pixels it is drawn on.
pub const MAX_POINTS: usize = 800;

/// Points of a line of which more is told, at most.
const MOST_TOLD: usize = 32;

/// One small plot.
pub struct Panel {
    /// Its heading.
    pub heading: String,
    /// What its vertical axis is called where it is not what those of all others are.
    pub y: Option<String>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Values that the horizontal axis marks where they have room; round ones when empty.
    pub marked: Vec<f64>,
    /// Smallest value of the horizontal axis.
    pub from: f64,
}

/// A line.
pub struct Line {
    /// What it is called to who points at it.
    pub name: String,
    /// Its colour.
    pub color: Color,
    /// The shape of its points; none when it has too many.
    pub point: Option<usize>,
    /// What it goes through.
    pub points: Vec<Point>,
    /// Whether `lo` to `hi` is a band rather than a whisker at each point.
    pub band: bool,
}

/// A point of a line.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// How much.
    pub y: f64,
    /// From here to there.
    pub spread: Option<(f64, f64)>,
}

/// What the axes are called, with their units, and how many panels stand side by side.
pub struct Axes<'a> {
    /// Horizontal.
    pub x: &'a str,
    /// Vertical.
    pub y: &'a str,
    /// Panels in a row.
    pub columns: usize,
}

const HEIGHT: f64 = 190.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 52.0;
const GAP: f64 = 22.0;

/// Draws `panels` under `frame`.
pub fn draw(frame: &Frame, panels: &[Panel], axes: &Axes) -> String {
    let columns = axes.columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns);
    let width = (WIDTH - 2.0 * MARGIN - GAP * (columns - 1) as f64) / columns as f64;
    let row = HEAD + if columns == 1 { HEIGHT * 1.4 } else { HEIGHT } + FOOT;
    let top = frame.height();
    canvas::draw(WIDTH, top + row * rows as f64 + 6.0, &frame.title, |canvas| {
        frame.draw(canvas);
        for (i, panel) in panels.iter().enumerate() {
            let x = MARGIN + (i % columns) as f64 * (width + GAP);
            let y = top + (i / columns) as f64 * row;
            draw_panel(canvas, panel, axes, (x, y), (width, row));
        }
    })
}

fn draw_panel(
    canvas: &mut Canvas,
    panel: &Panel,
    axes: &Axes,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
) {
    let points = || panel.lines.iter().flat_map(|l| &l.points);
    let highest = points().map(|p| p.spread.map_or(p.y, |s| s.1.max(p.y))).fold(0.0, f64::max);
    let farthest = points().map(|p| p.x).fold(panel.from, f64::max);
    let (y_ticks, y_top) = Ticks::from_zero(highest, 5);
    let y_labels: Vec<String> =
        y_ticks.values.iter().map(|&v| text::grouped(v, y_ticks.decimals)).collect();
    let label_room = y_labels.iter().map(|l| text_width(l, LABEL)).fold(0.0, f64::max);
    let (left, right) = (x + 18.0 + label_room + 6.0, x + width - 10.0);
    let (above, below) = (y + HEAD, y + height - FOOT);
    let across = Scale::new((panel.from, farthest), (left, right));
    let up = Scale::new((0.0, y_top), (below, above));

    let heading = fitting(&panel.heading, width, HEADING);
    canvas.text((x, y + 10.0), Anchor::Start, HEADING, &heading);
    for (&value, label) in y_ticks.values.iter().zip(&y_labels) {
        canvas.line((left, up.at(value)), (right, up.at(value)), GRID, 1.0);
        canvas.text((left - 6.0, up.at(value)), Anchor::End, LABEL, label);
    }
    canvas.text_upwards(
        (x + 7.0, (above + below) / 2.0),
        LABEL,
        panel.y.as_deref().unwrap_or(axes.y),
    );
    canvas.line((left, below), (right, below), INK, 1.0);
    for value in x_ticks(panel, farthest, &across) {
        canvas.line((across.at(value), below), (across.at(value), below + 4.0), INK, 1.0);
        let label = text::grouped(value, 0);
        canvas.text((across.at(value), below + 14.0), Anchor::Middle, LABEL, &label);
    }
    canvas.text(((left + right) / 2.0, below + 33.0), Anchor::Middle, LABEL, axes.x);

    for line in &panel.lines {
        draw_spread(canvas, line, &across, &up);
    }
    for line in &panel.lines {
        let path: Vec<_> = line.points.iter().map(|p| (across.at(p.x), up.at(p.y))).collect();
        if path.len() > 1 {
            canvas.path(&path, line.color, if line.point.is_some() { 2.0 } else { 1.4 });
        }
        let shape = line.point.or((path.len() == 1).then_some(0));
        if let Some(shape) = shape {
            for &at in &path {
                draw_point(canvas, shape, at, line.color);
            }
        }
        let y = panel.y.as_deref().unwrap_or(axes.y);
        for (point, &at) in line.points.iter().zip(&path).step_by(told_every(line.points.len())) {
            let spread = point.spread.map_or(String::new(), |(lo, hi)| {
                let d = text::decimals(point.y);
                format!(" [{lo:.d$}, {hi:.d$}]")
            });
            let (x, value) = (text::grouped(point.x, 0), text::number(point.y));
            canvas.tip_at(at, &format!("{}: {value}{spread}, {y}, at {x}", line.name));
        }
    }
}

/// Of a line of so many points each such one is told.
fn told_every(n_points: usize) -> usize {
    n_points.div_ceil(MOST_TOLD).max(1)
}

fn draw_spread(canvas: &mut Canvas, line: &Line, across: &Scale, up: &Scale) {
    let spreads = || line.points.iter().filter_map(|p| Some((across.at(p.x), p.spread?)));
    if line.band {
        let upper = spreads().map(|(x, (_, hi))| (x, up.at(hi)));
        let lower: Vec<_> = spreads().map(|(x, (lo, _))| (x, up.at(lo))).collect();
        let outline: Vec<_> = upper.chain(lower.into_iter().rev()).collect();
        if outline.len() > 2 {
            canvas.area(&outline, line.color, 0.22);
        }
        return;
    }
    for (x, (lo, hi)) in spreads() {
        canvas.line((x, up.at(lo)), (x, up.at(hi)), line.color, 1.3);
        for value in [lo, hi] {
            canvas.line((x - 4.0, up.at(value)), (x + 4.0, up.at(value)), line.color, 1.3);
        }
    }
}

/// Marked values as far as their labels do not touch, from the right, where the spaces of a
/// doubling series are widest; else round ones.
fn x_ticks(panel: &Panel, farthest: f64, across: &Scale) -> Vec<f64> {
    if panel.marked.is_empty() {
        return Ticks::whole(panel.from, farthest, 5).values;
    }
    let mut shown: Vec<f64> = Vec::new();
    let mut free = f64::INFINITY;
    for &value in panel.marked.iter().rev() {
        let half = text_width(&text::grouped(value, 0), LABEL) / 2.0;
        if across.at(value) + half + 6.0 < free {
            shown.push(value);
            free = across.at(value) - half;
        }
    }
    shown
}
