//! The roofline (Williams, Waterman and Patterson, 2009) with the operations on it: how much is computed
//! for each byte from memory, and how fast; under the ceilings that the probe found.

use super::canvas::{
    self, Anchor, Canvas, Color, FAINT, GRID, HEADING, INK, LABEL, MUTED, NOTE, Type,
};
use super::canvas::{fitting, text_width};
use super::frame::{Frame, Key, MARGIN, Sign, WIDTH, draw_point};
use super::labels::{Labels, Name, POINT, Rect};
use super::profile::color;
use super::scale::{Scale, Ticks};
use super::{Plot, Sheet};
use crate::record::OpKind;
use crate::report::profile::{PhaseView, ProfileView, Row, part_word};
use crate::report::text;
use crate::roofline::Ceilings;

/// The file.
pub const FILE: &str = "roofline.svg";

/// Operations with a smaller share of their phase are not drawn...
const LEAST_SHARE: f64 = 0.005;
/// ...and below this one not named.
const NAMED_SHARE: f64 = 0.03;

/// Profiles that are drawn; the others are in the tables.
const MOST_PANELS: usize = 12;

const HEAD: f64 = 30.0;
const DATA: f64 = 300.0;
const FOOT: f64 = 56.0;
const NAME: Type = Type { size: 11.0, color: INK, bold: false };

/// An operation on the plot.
struct Point<'a> {
    /// Operations for a byte from memory.
    intensity: f64,
    /// Billions of operations in a second.
    gops: f64,
    row: &'a Row,
    shape: usize,
}

/// The plot; `None` where no profile has ceilings.
pub fn plot(sheet: &Sheet) -> Option<Plot> {
    let profiles = sheet.view.profiles.iter();
    let panels: Vec<(&ProfileView, &Ceilings, Vec<Point>)> = profiles
        .filter_map(|view| {
            let ceilings = view.ceilings.as_ref()?;
            let points: Vec<Point> = view.phases.iter().flat_map(points).collect();
            (!points.is_empty()).then_some((view, ceilings, points))
        })
        .take(MOST_PANELS)
        .collect();
    if panels.is_empty() {
        return None;
    }
    let title = "Roofline: operations under the device's ceilings".to_owned();
    let parts = ["attention", "FFN", "LM head"];
    let mut keys: Vec<Key> =
        parts.iter().map(|part| Key::new(Sign::Area(color(part)), *part)).collect();
    keys.extend(PHASES.iter().map(|(phase, shape)| Key::new(Sign::Dot(MUTED, *shape), *phase)));
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            format!("{}; ceilings as probed on it.", text::plain(&sheet.view.device())),
            "A point is a product with weights or attention, all layers together; bytes are weights and \
             KV cache. Above the slope of memory lies what a cache held. Shares below 0.5 % are left out."
                .to_owned(),
        ],
        keys,
    };
    let row = HEAD + DATA + FOOT;
    let height = frame.height() + row * panels.len() as f64;
    let svg = canvas::draw(WIDTH, height, &title, |canvas| {
        frame.draw(canvas);
        for (i, (view, ceilings, points)) in panels.iter().enumerate() {
            draw_panel(canvas, view, ceilings, points, frame.height() + row * i as f64);
        }
    });
    Some(Plot { file: FILE.to_owned(), title, svg })
}

/// Shapes of the phases.
const PHASES: [(&str, usize); 2] = [("prefill", 1), ("decode", 0)];

fn points<'a>(phase: &'a PhaseView<'a>) -> impl Iterator<Item = Point<'a>> {
    let shape = PHASES.iter().find(|(name, _)| *name == phase.phase).map_or(0, |(_, shape)| *shape);
    phase.ops.iter().filter_map(move |row| {
        let cost = &row.cost;
        let multiplies = matches!(row.kind, Some(OpKind::Matmul | OpKind::Attention));
        let has_both = cost.memory_bytes > 0 && cost.ops > 0 && row.share >= LEAST_SHARE;
        (multiplies && has_both).then(|| Point {
            intensity: cost.ops as f64 / cost.memory_bytes as f64,
            gops: cost.ops as f64 / cost.ns.max(1) as f64,
            row,
            shape,
        })
    })
}

fn draw_panel(
    canvas: &mut Canvas,
    view: &ProfileView,
    ceilings: &Ceilings,
    points: &[Point],
    y: f64,
) {
    let threads = text::count(ceilings.n_threads as usize, "thread");
    let is_apart = view.phases.iter().any(|phase| phase.is_taken_apart);
    let least = if is_apart { ", node by node: at least so fast" } else { "" };
    let heading = format!("{}, {threads}{least}", view.name());
    let heading = fitting(&heading, WIDTH - 2.0 * MARGIN, HEADING);
    canvas.text((MARGIN, y + 10.0), Anchor::Start, HEADING, &heading);
    let (above, below) = (y + HEAD, y + HEAD + DATA);
    let (left, right) = (MARGIN + 64.0, WIDTH - MARGIN - 12.0);
    let slope = ceilings.read_bytes_per_s / 1e9;
    let peaks: Vec<(String, f64)> = ceilings
        .ops_per_s
        .iter()
        .map(|(number, rate)| (number.name().to_owned(), rate / 1e9))
        .collect();
    let highest_peak = peaks.iter().map(|(_, gops)| *gops).fold(slope, f64::max);
    let lo_x = points.iter().map(|p| p.intensity).fold(1.0, f64::min) / 1.5;
    let hi_x = points.iter().map(|p| p.intensity).fold(highest_peak / slope * 2.0, f64::max) * 1.5;
    let lo_y = points.iter().map(|p| p.gops).fold(slope * lo_x, f64::min) / 1.3;
    let hi_y = points.iter().map(|p| p.gops).fold(highest_peak, f64::max) * 1.3;
    let across = Scale::log((lo_x, hi_x), (left, right));
    let up = Scale::log((lo_y, hi_y), (below, above));

    let within = |lo: f64, hi: f64| {
        let ticks = Ticks::log(lo, hi).values.into_iter();
        ticks.filter(move |value| (lo..=hi).contains(value)).collect::<Vec<f64>>()
    };
    let word = |value: f64| if value < 1.0 { format!("{value}") } else { text::grouped(value, 0) };
    let mut free = f64::NEG_INFINITY;
    for value in within(lo_x, hi_x) {
        let (x, half) = (across.at(value), text_width(&word(value), LABEL) / 2.0);
        canvas.line((x, above), (x, below), GRID, 1.0);
        if x - half > free {
            canvas.text((x, below + 14.0), Anchor::Middle, LABEL, &word(value));
            free = x + half + 8.0;
        }
    }
    let mut free = f64::INFINITY;
    for value in within(lo_y, hi_y) {
        let y = up.at(value);
        canvas.line((left, y), (right, y), GRID, 1.0);
        if y + 7.0 < free {
            canvas.text((left - 6.0, y), Anchor::End, LABEL, &word(value));
            free = y - 7.0;
        }
    }
    canvas.line((left, below), (right, below), INK, 1.0);
    let middle = (left + right) / 2.0;
    let axis = "operations for each byte of weights and KV cache (log)";
    canvas.text((middle, below + 34.0), Anchor::Middle, LABEL, axis);
    canvas.text_upwards((MARGIN + 6.0, (above + below) / 2.0), LABEL, "Gop/s (log)");

    let mut labels = Labels::new(Rect(left + 2.0, above - 4.0, right + 10.0, below - 2.0));
    draw_roofs(canvas, (slope, &peaks), (&across, &up), (lo_x, hi_x), &mut labels);
    let place = |point: &Point| (across.at(point.intensity), up.at(point.gops));
    for point in points {
        labels.take(Rect::around(place(point), POINT, POINT));
    }
    draw_names(canvas, points, place, &labels);
    for point in points {
        draw_point(canvas, point.shape, place(point), ink(point));
        let row = point.row;
        let told = format!(
            "{}: {} Gop/s at {} operations a byte, {:.1} % of the time",
            row.name,
            text::number(point.gops),
            text::number(point.intensity),
            100.0 * row.share
        );
        canvas.tip_at(place(point), &told);
    }
}

fn ink(point: &Point) -> Color {
    point.row.part.map_or(FAINT, |part| color(part_word(part)))
}

/// The slope of memory up to the highest peak, and each peak from the slope on.
fn draw_roofs(
    canvas: &mut Canvas,
    (slope, peaks): (f64, &[(String, f64)]),
    (across, up): (&Scale, &Scale),
    (lo_x, hi_x): (f64, f64),
    labels: &mut Labels,
) {
    let highest = peaks.iter().map(|(_, gops)| *gops).fold(0.0, f64::max);
    let ridge = |gops: f64| (gops / slope).clamp(lo_x, hi_x);
    let end = if highest > 0.0 { ridge(highest) } else { hi_x };
    let (from, to) = ((across.at(lo_x), up.at(slope * lo_x)), (across.at(end), up.at(slope * end)));
    canvas.line(from, to, INK, 1.6);
    // Along the slope nothing is to be written.
    let steps = 40;
    for i in 0..=steps {
        let share = f64::from(i) / f64::from(steps);
        let at = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
        labels.take(Rect::around(at, 4.0, 4.0));
    }
    let mut written: Vec<f64> = Vec::new();
    let mut taken: Vec<Rect> = Vec::new();
    for (_, gops) in peaks {
        let (y, begin) = (up.at(*gops), across.at(ridge(*gops)));
        canvas.line((begin, y), (across.at(hi_x), y), INK, 1.2);
        labels.take(Rect(begin, y - 2.0, across.at(hi_x), y + 2.0));
        // Peaks that lie together share a line: f16 is multiplied as f32 on most machines.
        if written.iter().any(|other| (other - y).abs() < 14.0) {
            continue;
        }
        written.push(y);
        let near = peaks.iter().filter(|(_, other)| (up.at(*other) - y).abs() < 14.0);
        let names: Vec<&str> = near.map(|(name, _)| name.as_str()).collect();
        let text = format!("{} {} Gop/s", names.join(", "), text::grouped(*gops, 0));
        // Where the line begins there are few points: they lie at its end, or far below.
        let x = begin + 10.0;
        canvas.text((x, y + 9.0), Anchor::Start, NOTE, &text);
        taken.push(Rect(x, y + 2.0, x + text_width(&text, NOTE), y + 17.0));
    }
    let text = format!("memory {} GB/s", text::number(slope));
    let width = text_width(&text, NOTE);
    // Below the slope, in its middle or, where a peak's name stands there, further down.
    let below = [0.5, 0.35, 0.2, 0.05].map(|share| {
        let at = |from: f64, to: f64| from + share * (to - from);
        let (x, y) = (at(from.0, to.0) + 10.0, at(from.1, to.1) + 12.0);
        Rect(x, y - 7.0, x + width, y + 7.0)
    });
    let is_free = |rect: &&Rect| !taken.iter().any(|other| other.overlaps(rect));
    let rect = *below.iter().find(is_free).unwrap_or(&below[0]);
    canvas.text((rect.0, rect.1 + 7.0), Anchor::Start, NOTE, &text);
    taken.push(rect);
    taken.into_iter().for_each(|rect| labels.take(rect));
}

fn draw_names(
    canvas: &mut Canvas,
    points: &[Point],
    place: impl Fn(&Point) -> (f64, f64),
    labels: &Labels,
) {
    let named: Vec<&Point> = points.iter().filter(|p| p.row.share >= NAMED_SHARE).collect();
    let texts: Vec<String> = named.iter().map(|p| fitting(&p.row.name, 150.0, NAME)).collect();
    let names: Vec<Name> = named
        .iter()
        .zip(&texts)
        .map(|(point, text)| Name {
            at: place(point),
            width: text_width(text, NAME),
            height: NAME.size + 1.0,
        })
        .collect();
    for ((text, name), found) in texts.iter().zip(&names).zip(labels.place_all(&names)) {
        let Some(found) = found else { continue };
        if let Some((from, to)) = found.leader {
            canvas.line(from, to, MUTED, 0.7);
        }
        let Rect(x, top, right, bottom) = found.rect;
        let (at, anchor) = match name.at.0 {
            point if x >= point => (x, Anchor::Start),
            point if right <= point => (right, Anchor::End),
            _ => ((x + right) / 2.0, Anchor::Middle),
        };
        canvas.text((at, (top + bottom) / 2.0), anchor, NAME, text);
    }
}
