//! Panels of points with their names beside them.

use super::canvas::{self, Anchor, Canvas, Color, FAINT, GRID, HEADING, INK, LABEL, MUTED, Type};
use super::canvas::{fitting, text_width};
use super::frame::{Frame, MARGIN, WIDTH, draw_ghost, draw_point};
use super::labels::{Labels, Name, POINT, Rect, in_a_row};
use super::scale::{Scale, Ticks};
use crate::report::text;

/// One panel.
pub struct Panel {
    /// Its heading.
    pub heading: String,
    /// What the vertical axis is called, with its unit.
    pub y: String,
    /// Its points.
    pub dots: Vec<Dot>,
    /// Pairs of them that are told.
    pub links: Vec<Link>,
    /// Lines behind the points, from value to value.
    pub fronts: Vec<(Vec<(f64, f64)>, Color)>,
}

/// A line from point to point, and what it tells.
pub struct Link {
    /// The points, by their places in [`Panel::dots`].
    pub ends: (usize, usize),
    /// What stands beside the line.
    pub text: String,
}

/// A point.
pub struct Dot {
    /// Where, above 0.
    pub x: f64,
    /// How much.
    pub y: f64,
    /// From here to there.
    pub spread: Option<(f64, f64)>,
    /// Its colour.
    pub color: Color,
    /// Its shape.
    pub shape: usize,
    /// Its name; empty where another point at the same place in the row has it.
    pub name: String,
    /// Where it would stand by another count.
    pub ghost: Option<f64>,
    /// What is told of it to who points at it.
    pub tip: String,
}

/// How the axes of all panels run.
pub struct Axes<'a> {
    /// What the horizontal axis, which is logarithmic, is called, with its unit.
    pub x: &'a str,
    /// What it marks where there is room, in ascending order.
    pub x_marks: Marks,
    /// Whether the vertical axis is logarithmic too; otherwise it begins at 0.
    pub log_y: bool,
    /// Whether names stand in a row above the points, each with a line down through all points at
    /// its place; otherwise beside them.
    pub names_above: bool,
    /// Panels in a row.
    pub columns: usize,
    /// Height of a panel's data in pixels.
    pub height: f64,
}

/// What a logarithmic axis marks.
#[derive(Clone, Copy)]
pub enum Marks {
    /// Counts of parameters: `200 M`, `1 B`.
    Parameters,
    /// Bits: whole numbers.
    Bits,
}

impl Marks {
    /// The values, from one below `lo` to one above `hi`.
    fn values(self, lo: f64, hi: f64) -> Vec<f64> {
        match self {
            Marks::Parameters => Ticks::log(lo, hi).values,
            Marks::Bits => {
                let known = [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0];
                let first = known.iter().rposition(|v| *v < lo * 0.97).unwrap_or(0);
                let last = known.iter().position(|v| *v > hi * 1.03);
                match last {
                    Some(last) => known[first..=last].to_vec(),
                    None => known[first..].iter().copied().chain([hi * 1.25]).collect(),
                }
            }
        }
    }

    fn word(self, value: f64) -> String {
        match self {
            Marks::Bits if value.fract() != 0.0 && value != 0.5 => String::new(),
            Marks::Bits => value.to_string(),
            Marks::Parameters if value >= 1e9 => format!("{} B", value / 1e9),
            Marks::Parameters if value >= 1e6 => format!("{} M", value / 1e6),
            Marks::Parameters => text::grouped(value, 0),
        }
    }
}

const HEAD: f64 = 34.0;
const FOOT: f64 = 52.0;
const GAP: f64 = 22.0;
/// Names in a row that are at most so many lie; more stand upright, where each takes less room
/// and stays nearer to its points.
const MOST_LYING: usize = 8;
/// Room for a row of names, and below it for the lines that lead down from them.
const LYING: f64 = 14.0;
const UPRIGHT: f64 = 52.0;
const LEADERS: f64 = 22.0;
/// Names beside points.
const NAME: Type = Type { size: 11.0, color: INK, bold: false };
/// What is told of two points, and the line between them.
const LINK: Color = Color(0x8c, 0x2d, 0x04);
const TOLD: Type = Type { size: 11.0, color: LINK, bold: false };

/// Draws `panels` under `frame`.
pub fn draw(frame: &Frame, panels: &[Panel], axes: &Axes) -> String {
    let columns = axes.columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns);
    let width = (WIDTH - 2.0 * MARGIN - GAP * (columns - 1) as f64) / columns as f64;
    let band = panels.iter().map(|p| names_band(p, axes)).fold(0.0, f64::max);
    let row = HEAD + band + axes.height + FOOT;
    let top = frame.height();
    canvas::draw(WIDTH, top + row * rows as f64 + 6.0, &frame.title, |canvas| {
        frame.draw(canvas);
        for (i, panel) in panels.iter().enumerate() {
            let x = MARGIN + (i % columns) as f64 * (width + GAP);
            let y = top + (i / columns) as f64 * row;
            draw_panel(canvas, panel, axes, (x, y), width);
        }
    })
}

/// Height of the row of names above a panel's points.
fn names_band(panel: &Panel, axes: &Axes) -> f64 {
    let n = panel.dots.iter().filter(|dot| !dot.name.is_empty()).count();
    match (axes.names_above, n <= MOST_LYING) {
        (false, _) => 0.0,
        (true, true) => LYING + LEADERS,
        (true, false) => UPRIGHT + LEADERS,
    }
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, axes: &Axes, (x, y): (f64, f64), width: f64) {
    let band = names_band(panel, axes);
    let above = y + HEAD + band;
    let below = above + axes.height;
    let ends = |dot: &Dot| dot.spread.map_or((dot.y, dot.y), |(a, b)| (a.min(dot.y), b.max(dot.y)));
    let lowest = panel.dots.iter().map(|d| ends(d).0).fold(f64::INFINITY, f64::min);
    let highest = panel.dots.iter().map(|d| ends(d).1).fold(0.0, f64::max);
    let (y_ticks, up) = if axes.log_y && lowest > 0.0 {
        let ticks = Ticks::log(lowest, highest);
        let (first, last) = (ticks.values[0], ticks.values[ticks.values.len() - 1]);
        (ticks, Scale::log((first, last), (below, above)))
    } else {
        let (ticks, top) = Ticks::from_zero(highest, 5);
        (ticks, Scale::new((0.0, top), (below, above)))
    };
    let y_labels: Vec<String> = y_ticks.values.iter().map(|&v| y_label(v, &y_ticks)).collect();
    let label_room = y_labels.iter().map(|l| text_width(l, LABEL)).fold(0.0, f64::max);
    let (left, right) = (x + 18.0 + label_room + 6.0, x + width - 10.0);
    let nearest = panel.dots.iter().map(|d| d.x).fold(f64::INFINITY, f64::min);
    let farthest = panel.dots.iter().map(|d| d.ghost.unwrap_or(d.x).max(d.x)).fold(0.0, f64::max);
    let marks = axes.x_marks.values(nearest, farthest);
    let across = Scale::log((marks[0], marks[marks.len() - 1]), (left, right));

    let heading = fitting(&panel.heading, width, HEADING);
    canvas.text((x, y + 10.0), Anchor::Start, HEADING, &heading);
    for (&value, label) in y_ticks.values.iter().zip(&y_labels) {
        canvas.line((left, up.at(value)), (right, up.at(value)), GRID, 1.0);
        canvas.text((left - 6.0, up.at(value)), Anchor::End, LABEL, label);
    }
    canvas.text_upwards((x + 7.0, (above + below) / 2.0), LABEL, &panel.y);
    canvas.line((left, below), (right, below), INK, 1.0);
    let mut free = f64::NEG_INFINITY;
    for value in marks {
        let (at, word) = (across.at(value), axes.x_marks.word(value));
        let half = text_width(&word, LABEL) / 2.0;
        if at - half < free {
            continue;
        }
        free = at + half + 6.0;
        if !axes.names_above {
            canvas.line((at, above), (at, below), GRID, 1.0);
        }
        canvas.line((at, below), (at, below + 4.0), INK, 1.0);
        canvas.text((at.min(right + 8.0 - half), below + 14.0), Anchor::Middle, LABEL, &word);
    }
    canvas.text(((left + right) / 2.0, below + 33.0), Anchor::Middle, LABEL, axes.x);

    for (front, color) in &panel.fronts {
        let path: Vec<_> = front.iter().map(|&(x, y)| (across.at(x), up.at(y))).collect();
        canvas.path(&path, *color, 1.4);
    }
    let place = |dot: &Dot| (across.at(dot.x), up.at(dot.y));
    if axes.names_above {
        draw_names_above(canvas, panel, place, (left, right + 8.0), (y + HEAD - 8.0, above));
    }
    let mut labels = Labels::new(Rect(left + 2.0, above - 8.0, x + width + 8.0, below - 2.0));
    for dot in &panel.dots {
        let at = place(dot);
        labels.take(Rect::around(at, POINT, POINT));
        if let Some(x) = dot.ghost.map(|x| across.at(x)) {
            labels.take(Rect(at.0.min(x), at.1 - 3.0, at.0.max(x) + POINT, at.1 + 3.0));
            draw_ghost(canvas, at, x);
        }
        if let Some((lo, hi)) = dot.spread.map(|(lo, hi)| (up.at(lo), up.at(hi))) {
            labels.take(Rect(at.0 - 4.0, lo.min(hi), at.0 + 4.0, lo.max(hi)));
            canvas.line((at.0, lo), (at.0, hi), dot.color, 1.3);
            for y in [lo, hi] {
                canvas.line((at.0 - 4.0, y), (at.0 + 4.0, y), dot.color, 1.3);
            }
        }
    }
    for (from, to) in panel.links.iter().map(|link| link_ends(panel, link, place)) {
        labels.keep_off((from, to));
        canvas.line(from, to, LINK, 1.2);
    }
    if !axes.names_above {
        draw_names_beside(canvas, panel, place, &labels);
    }
    for dot in &panel.dots {
        draw_point(canvas, dot.shape, place(dot), dot.color);
        if !dot.tip.is_empty() {
            canvas.tip_at(place(dot), &dot.tip);
        }
    }
}

fn draw_names_beside(
    canvas: &mut Canvas,
    panel: &Panel,
    place: impl Fn(&Dot) -> (f64, f64),
    labels: &Labels,
) {
    let named = panel.dots.iter().filter(|d| !d.name.is_empty());
    let named = named.map(|dot| {
        let text = fitting(&dot.name, 130.0, NAME);
        let width = text_width(&text, NAME);
        (text, NAME, Name { at: place(dot), width, height: NAME.size + 1.0 })
    });
    let told = panel.links.iter().map(|link| {
        let (from, to) = link_ends(panel, link, &place);
        let width = text_width(&link.text, TOLD);
        let at = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        (link.text.clone(), TOLD, Name { at, width, height: TOLD.size + 1.0 })
    });
    let named: Vec<(String, Type, Name)> = named.chain(told).collect();
    let names: Vec<Name> = named.iter().map(|(_, _, name)| *name).collect();
    for ((text, style, name), found) in named.iter().zip(labels.place_all(&names)) {
        let Some(found) = found else { continue };
        if let Some((from, to)) = found.leader {
            let color = if style.color == LINK { LINK } else { MUTED };
            canvas.line(from, to, color, 0.7);
        }
        let Rect(x, top, right, bottom) = found.rect;
        // The reader's own font may be narrower than the box: names keep to their point's side.
        let (at, anchor) = match name.at.0 {
            point if x >= point => (x, Anchor::Start),
            point if right <= point => (right, Anchor::End),
            _ => ((x + right) / 2.0, Anchor::Middle),
        };
        canvas.text((at, (top + bottom) / 2.0), anchor, *style, text);
    }
}

fn link_ends(
    panel: &Panel,
    link: &Link,
    place: impl Fn(&Dot) -> (f64, f64),
) -> ((f64, f64), (f64, f64)) {
    (place(&panel.dots[link.ends.0]), place(&panel.dots[link.ends.1]))
}

/// Names in a row at `top`, and from each a line to `above`, where the data begins, and down
/// through all points at its place.
fn draw_names_above(
    canvas: &mut Canvas,
    panel: &Panel,
    place: impl Fn(&Dot) -> (f64, f64),
    sides: (f64, f64),
    (top, above): (f64, f64),
) {
    let mut named: Vec<&Dot> = panel.dots.iter().filter(|d| !d.name.is_empty()).collect();
    named.sort_by(|a, b| a.x.total_cmp(&b.x));
    let lying = named.len() <= MOST_LYING;
    let room = if lying { (sides.1 - sides.0) / MOST_LYING as f64 - 8.0 } else { UPRIGHT };
    let names: Vec<String> = named.iter().map(|dot| fitting(&dot.name, room, NAME)).collect();
    let width = |name: &String| if lying { text_width(name, NAME) + 8.0 } else { NAME.size + 3.0 };
    let widths: Vec<f64> = names.iter().map(width).collect();
    let wanted: Vec<f64> = named.iter().map(|dot| place(dot).0).collect();
    let middles = in_a_row(&wanted, &widths, sides);
    let foot = top + if lying { LYING } else { UPRIGHT };
    for ((dot, name), middle) in named.into_iter().zip(&names).zip(middles) {
        if lying {
            canvas.text((middle, top + LYING / 2.0), Anchor::Middle, NAME, name);
        } else {
            let half = text_width(name, NAME) / 2.0;
            canvas.text_upwards((middle, foot - half), NAME, name);
        }
        let (x, _) = place(dot);
        let below = panel.dots.iter().filter(|d| d.x == dot.x).map(|d| place(d).1);
        let lowest = below.fold(above, f64::max);
        canvas.path(&[(middle, foot + 3.0), (x, above), (x, lowest)], FAINT, 0.8);
    }
}

fn y_label(value: f64, ticks: &Ticks) -> String {
    let own = if value >= 1.0 { 0 } else { ticks.decimals };
    let linear = ticks.values[0] == 0.0;
    text::grouped(value, if linear { ticks.decimals } else { own })
}
