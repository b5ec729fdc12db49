//! Sustained runs on one axis of time: speed with the curve that was found, temperature, clock,
//! power; stretches in which something held the machine back are shaded.

use super::Plot;
use super::canvas::{self, Anchor, Canvas, Color, FAINT, GRID, HEADING, LABEL};
use super::frame::{Frame, Key, MARGIN, Sign, WIDTH, color};
use super::scale::{Scale, Ticks, thinned};
use crate::record::Work;
use crate::report::soak::{SoakView, TraceKind};
use crate::report::text;

const HEIGHT: f64 = 150.0;
const HEAD: f64 = 26.0;
const FOOT: f64 = 46.0;
const LEFT: f64 = 78.0;
/// Points of a line at most: more than pixels it is drawn on.
const MAX_POINTS: usize = 2000;
/// Points of a line of which more is told, at most.
const MOST_TOLD: usize = 120;

/// What stands above one another.
#[derive(Clone, Copy, PartialEq)]
enum Strip {
    Speed(Work),
    Trace(TraceKind),
}

impl Strip {
    const ALL: [Strip; 5] = [
        Strip::Speed(Work::Decode),
        Strip::Speed(Work::Prefill),
        Strip::Trace(TraceKind::Temperature),
        Strip::Trace(TraceKind::Clock),
        Strip::Trace(TraceKind::Power),
    ];

    fn heading(self) -> &'static str {
        match self {
            Strip::Speed(Work::Decode) => "Decode",
            Strip::Speed(Work::Prefill) => "Prefill",
            Strip::Trace(TraceKind::Temperature) => "Temperature",
            Strip::Trace(TraceKind::Clock) => "Clock",
            Strip::Trace(TraceKind::Power) => "Power",
        }
    }

    fn axis(self) -> &'static str {
        match self {
            Strip::Speed(_) => "tokens/s",
            Strip::Trace(TraceKind::Temperature) => "°C",
            Strip::Trace(TraceKind::Clock) => "MHz",
            Strip::Trace(TraceKind::Power) => "W",
        }
    }

    fn points(self, soak: &SoakView) -> Vec<(f64, f64)> {
        match self {
            Strip::Speed(work) => {
                let windows = soak.works.iter().filter(|w| w.work == work).flat_map(|w| &w.windows);
                windows.map(|w| (w.mid_s(), w.tok_per_s)).collect()
            }
            Strip::Trace(kind) => {
                let scale = if kind == TraceKind::Clock { 1e-6 } else { 1.0 };
                let points = soak.trace(kind).map(|trace| trace.points.as_slice());
                points.unwrap_or_default().iter().map(|(t, v)| (*t, v * scale)).collect()
            }
        }
    }

    fn fit(self, soak: &SoakView) -> Vec<(f64, f64)> {
        let Strip::Speed(work) = self else { return Vec::new() };
        let Some(view) = soak.works.iter().find(|w| w.work == work) else { return Vec::new() };
        let Some(fit) = view.analysis.accepted_fit() else { return Vec::new() };
        view.windows.iter().map(|w| (w.mid_s(), fit.at(w))).collect()
    }

    /// The channels that it shows, each once.
    fn channels(self, soaks: &[SoakView]) -> String {
        let Strip::Trace(kind) = self else { return String::new() };
        let ids = soaks.iter().filter_map(|soak| Some(text::plain(&soak.trace(kind)?.id)));
        super::distinct(ids).join(", ")
    }
}

/// The plot; `None` without a window. `place` is the device, or where the series is from.
pub fn plot(soaks: &[SoakView], place: &str) -> Option<Plot> {
    let strips: Vec<Strip> = Strip::ALL
        .into_iter()
        .filter(|strip| soaks.iter().any(|soak| strip.points(soak).len() > 1))
        .collect();
    if !strips.iter().any(|strip| matches!(strip, Strip::Speed(_))) {
        return None;
    }
    let title = "Sustained speed".to_owned();
    let mut keys: Vec<Key> = soaks
        .iter()
        .enumerate()
        .map(|(i, soak)| Key::new(Sign::Line(color(i)), text::plain(&soak.name())))
        .collect();
    if soaks.iter().any(|soak| strips.iter().any(|strip| !strip.fit(soak).is_empty())) {
        keys.push(Key::new(Sign::Line(FIT), "the curve that was found"));
    }
    if soaks.iter().any(|soak| !soak.held_back.is_empty()) {
        let (sign, how) = match soaks {
            [_] => (Sign::Area(SHADE), "held back, as flags, caps or cooling states tell"),
            _ => (
                Sign::Area(FAINT),
                "bars at the foot: held back, as flags, caps or cooling states tell",
            ),
        };
        keys.push(Key::new(sign, how));
    }
    let window = soaks.iter().map(|soak| soak.rules.window_s).fold(0.0, f64::max);
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            text::plain(place),
            format!(
                "Speed in windows of {} s. Passes without a pause, the model loaded once.",
                window_words(window)
            ),
        ],
        keys,
    };
    let svg = draw(&frame, soaks, &strips);
    Some(Plot { file: FILE.to_owned(), title, svg })
}

/// The file's name.
pub const FILE: &str = "soak.svg";

/// The curve that was found.
const FIT: Color = Color(0xb4, 0xb4, 0xb4);
/// Stretches in which something held the machine back.
const SHADE: Color = Color(0xf3, 0xd9, 0xc4);

fn window_words(s: f64) -> String {
    if s >= 1.0 { format!("{s:.0}") } else { format!("{s}") }
}

fn draw(frame: &Frame, soaks: &[SoakView], strips: &[Strip]) -> String {
    let top = frame.height();
    let height = top + strips.len() as f64 * (HEAD + HEIGHT) + FOOT;
    let end = soaks.iter().map(|soak| soak.lasted_s).fold(0.0, f64::max).max(1e-3);
    // In minutes where they are many.
    let (unit, name) = if end >= 300.0 { (60.0, "minutes") } else { (1.0, "seconds") };
    let ticks = Ticks::within(0.0, end / unit, 10);
    let across = Scale::new((0.0, end / unit), (MARGIN + LEFT, WIDTH - MARGIN));
    canvas::draw(WIDTH, height, &frame.title, |canvas| {
        frame.draw(canvas);
        for (i, strip) in strips.iter().enumerate() {
            let y = top + i as f64 * (HEAD + HEIGHT);
            draw_strip(canvas, *strip, soaks, (&across, &ticks, unit), y);
        }
        let below = top + strips.len() as f64 * (HEAD + HEIGHT);
        for &value in &ticks.values {
            let label = text::grouped(value, ticks.decimals);
            canvas.text((across.at(value), below + 12.0), Anchor::Middle, LABEL, &label);
        }
        let middle = (MARGIN + LEFT + WIDTH - MARGIN) / 2.0;
        let axis = format!("time since the first pass began ({name})");
        canvas.text((middle, below + 32.0), Anchor::Middle, LABEL, &axis);
    })
}

fn draw_strip(
    canvas: &mut Canvas,
    strip: Strip,
    soaks: &[SoakView],
    (across, ticks, unit): (&Scale, &Ticks, f64),
    y: f64,
) {
    let (above, below) = (y + HEAD, y + HEAD + HEIGHT - 8.0);
    let values: Vec<f64> =
        soaks.iter().flat_map(|soak| strip.points(soak)).map(|(_, value)| value).collect();
    let (lowest, highest) =
        values.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &v| (a.min(v), b.max(v)));
    // A temperature has no zero worth showing; everything else begins there.
    let (y_ticks, range) = match strip {
        Strip::Trace(TraceKind::Temperature) => {
            let (lo, hi) = (lowest.floor() - 1.0, highest.ceil() + 1.0);
            (Ticks::within(lo, hi, 4), (lo, hi))
        }
        _ => {
            let (ticks, top) = Ticks::from_zero(highest, 4);
            (ticks, (0.0, top))
        }
    };
    let up = Scale::new(range, (below, above));
    canvas.text((MARGIN, y + 12.0), Anchor::Start, HEADING, strip.heading());
    let channels = strip.channels(soaks);
    if !channels.is_empty() {
        let channels = canvas::fitting(&channels, WIDTH - MARGIN - 180.0, LABEL);
        canvas.text((WIDTH - MARGIN, y + 12.0), Anchor::End, canvas::NOTE, &channels);
    }
    for (i, soak) in soaks.iter().enumerate() {
        // The shades of several would be told apart by nobody: a bar for each stands at the foot.
        let (top, bottom, shade) = match soaks {
            [_] => (above, below, SHADE),
            _ => (below - 4.0 * i as f64 - 4.0, below - 4.0 * i as f64 - 1.0, color(i)),
        };
        for (from, to) in merged(soak) {
            let (a, b) = (across.at(from / unit), across.at(to / unit));
            canvas.rect((a, top), (b.max(a + 1.0), bottom), shade, 0.6);
        }
    }
    for &value in &ticks.values {
        canvas.line((across.at(value), above), (across.at(value), below), GRID, 1.0);
    }
    for &value in &y_ticks.values {
        let at = up.at(value);
        canvas.line((MARGIN + LEFT, at), (WIDTH - MARGIN, at), GRID, 1.0);
        let label = text::grouped(value, y_ticks.decimals);
        canvas.text((MARGIN + LEFT - 6.0, at), Anchor::End, LABEL, &label);
    }
    canvas.text_upwards((MARGIN + 8.0, (above + below) / 2.0), LABEL, strip.axis());
    canvas.line((MARGIN + LEFT, below), (WIDTH - MARGIN, below), FAINT, 1.0);
    let path = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        points.into_iter().map(|(t, v)| (across.at(t / unit), up.at(v))).collect()
    };
    // The curve lies behind what it was drawn through.
    for soak in soaks {
        let line = path(thinned(strip.fit(soak), MAX_POINTS));
        if line.len() > 1 {
            canvas.path(&line, FIT, 4.0);
        }
    }
    for (i, soak) in soaks.iter().enumerate() {
        let points = thinned(strip.points(soak), MAX_POINTS);
        let every = points.len().div_ceil(MOST_TOLD).max(1);
        for &(t, value) in points.iter().step_by(every) {
            let (t, at) = (t / unit, (across.at(t / unit), up.at(value)));
            let (value, minutes) = (text::number(value), if unit > 1.0 { "min" } else { "s" });
            canvas.tip_at(at, &format!("{t:.1} {minutes}: {value} {}", strip.axis()));
        }
        let line = path(points);
        if line.len() > 1 {
            canvas.path(&line, color(i), 1.6);
        }
    }
}

/// Stretches in which anything held it back, those that touch as one.
fn merged(soak: &SoakView) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = soak.held_back.iter().map(|s| (s.from_s, s.to_s)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => merged.push((from, to)),
        }
    }
    merged
}
