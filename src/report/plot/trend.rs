//! A cell over many runs: a strip per measure on one axis of time, the spread of the invocations as a
//! band, a line for the mean between changes, and an upright where it changed.

use super::canvas::{self, Anchor, Canvas, Color, FAINT, GRID, HEADING, INK, LABEL, PAPER, Type};
use super::frame::{Frame, Key, MARGIN, Sign, WIDTH, color};
use super::scale::{Scale, Ticks};
use crate::report::text;

const HEIGHT: f64 = 150.0;
const HEAD: f64 = 28.0;
const FOOT: f64 = 46.0;
const LEFT: f64 = 84.0;
/// Room above the data for what is written at an upright.
const SIGNS: f64 = 18.0;
/// More points than this are too close to each other to be drawn as such.
const MAX_DOTS: usize = 150;

const DAY_S: i64 = 86_400;
/// Days from tick to tick.
const STEPS: [i64; 12] = [1, 2, 4, 7, 14, 28, 56, 91, 182, 365, 730, 1825];
const MAX_DATES: i64 = 8;

/// Data, and the two ways in which it can change.
const DATA: usize = 0;
const WORSE: usize = 1;
const BETTER: usize = 2;

/// What is drawn of one cell in one place.
pub struct Trend {
    /// The picture's file, without a folder.
    pub file: String,
    /// What was measured.
    pub title: String,
    /// Where, and what else a reader has to know.
    pub notes: Vec<String>,
    /// Date of each run in seconds since 1970, in order.
    pub runs: Vec<i64>,
    /// A strip per measure.
    pub strips: Vec<TrendStrip>,
}

/// One measure.
pub struct TrendStrip {
    /// What is timed.
    pub heading: String,
    /// The unit of its values.
    pub unit: &'static str,
    /// Its points, in order.
    pub points: Vec<TrendPoint>,
    /// Stretches between changes: first and last point, and the mean.
    pub segments: Vec<(usize, usize, f64)>,
    /// The changes.
    pub changes: Vec<TrendChange>,
}

/// What one run measured.
pub struct TrendPoint {
    /// Which of the runs.
    pub run: usize,
    /// How much.
    pub value: f64,
    /// The smallest and the largest invocation.
    pub range: (f64, f64),
}

/// A change.
pub struct TrendChange {
    /// The first point after it.
    pub index: usize,
    /// What is written beside it.
    pub label: String,
    /// Whether it costs more since.
    pub is_worse: bool,
}

/// Where runs lie on the horizontal axis.
enum Across {
    Date(Scale),
    Number(Scale),
}

impl Across {
    /// By date, or by number where dates coincide or lie too close together to be told apart.
    fn new(runs: &[i64]) -> Across {
        let (first, last) = (runs.first().copied().unwrap_or(0), runs.last().copied().unwrap_or(0));
        let pixels = (MARGIN + LEFT + 8.0, WIDTH - MARGIN - 12.0);
        let coincide = runs.windows(2).any(|pair| pair[0] >= pair[1]);
        if coincide || last - first < 2 * DAY_S {
            return Across::Number(Scale::new((1.0, runs.len().max(2) as f64), pixels));
        }
        // From midnight, for that is where the ticks stand.
        let from = first.div_euclid(DAY_S) * DAY_S;
        Across::Date(Scale::new((from as f64, last as f64), pixels))
    }

    fn at(&self, trend: &Trend, run: usize) -> f64 {
        match self {
            Across::Date(scale) => scale.at(trend.runs[run] as f64),
            Across::Number(scale) => scale.at((run + 1) as f64),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Across::Date(_) => "date of the run (UTC)",
            Across::Number(_) => "run (number, by date)",
        }
    }

    /// Where ticks stand, and what is written there.
    fn ticks(&self, trend: &Trend) -> Vec<(f64, String)> {
        match self {
            Across::Number(scale) => {
                let ticks = Ticks::whole(1.0, trend.runs.len().max(2) as f64, 10).values;
                ticks.into_iter().map(|v| (scale.at(v), text::grouped(v, 0))).collect()
            }
            Across::Date(scale) => {
                let (first, last) = (trend.runs[0], trend.runs[trend.runs.len() - 1]);
                let fits = |step: &&i64| (last - first) / DAY_S / **step < MAX_DATES;
                let step = STEPS.iter().find(fits).unwrap_or(&STEPS[STEPS.len() - 1]) * DAY_S;
                let from = first.div_euclid(DAY_S) * DAY_S;
                let days = (0..).map(|i| from + i * step).take_while(|&at| at <= last);
                days.map(|at| (scale.at(at as f64), day(at))).collect()
            }
        }
    }
}

/// `2026-11-02`.
fn day(at: i64) -> String {
    let at = jiff::Timestamp::from_second(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d").to_string()
}

/// The picture.
pub fn draw(trend: &Trend) -> String {
    let mut keys = vec![
        Key::new(Sign::Band(color(DATA)), "a run, and the range of its invocations"),
        Key::new(Sign::Line(INK), "mean between changes"),
    ];
    let any = |is_worse: bool| {
        trend.strips.iter().flat_map(|strip| &strip.changes).any(|c| c.is_worse == is_worse)
    };
    for (is_worse, i, label) in
        [(true, WORSE, "costs more since"), (false, BETTER, "costs less since")]
    {
        if any(is_worse) {
            keys.push(Key::new(Sign::Line(color(i)), label));
        }
    }
    let mut notes: Vec<String> = trend.notes.iter().map(|note| text::plain(note)).collect();
    notes.push("Each strip has its own scale, which does not begin at zero.".to_owned());
    let frame = Frame { title: text::plain(&trend.title), notes, keys };
    let top = frame.height();
    let below = top + trend.strips.len() as f64 * (HEAD + HEIGHT);
    let across = Across::new(&trend.runs);
    let ticks = across.ticks(trend);
    canvas::draw(WIDTH, below + FOOT, &frame.title, |canvas| {
        frame.draw(canvas);
        for (i, strip) in trend.strips.iter().enumerate() {
            let y = top + i as f64 * (HEAD + HEIGHT);
            draw_strip(canvas, trend, strip, &across, &ticks, y);
        }
        for (x, label) in &ticks {
            canvas.text((*x, below + 8.0), Anchor::Middle, LABEL, label);
        }
        let middle = (MARGIN + LEFT + WIDTH - MARGIN) / 2.0;
        canvas.text((middle, below + 30.0), Anchor::Middle, LABEL, across.name());
    })
}

fn draw_strip(
    canvas: &mut Canvas,
    trend: &Trend,
    strip: &TrendStrip,
    across: &Across,
    ticks: &[(f64, String)],
    y: f64,
) {
    let (above, below) = (y + HEAD + SIGNS, y + HEAD + HEIGHT - 8.0);
    let (left, right) = (MARGIN + LEFT, WIDTH - MARGIN);
    let (lo, hi) = limits(strip);
    let up = Scale::new((lo, hi), (below, above));
    canvas.text((MARGIN, y + 12.0), Anchor::Start, HEADING, &text::plain(&strip.heading));
    for (x, _) in ticks {
        canvas.line((*x, above), (*x, below), GRID, 1.0);
    }
    let y_ticks = Ticks::within(lo, hi, 4);
    for &value in &y_ticks.values {
        canvas.line((left, up.at(value)), (right, up.at(value)), GRID, 1.0);
        let label = text::grouped(value, y_ticks.decimals);
        canvas.text((left - 6.0, up.at(value)), Anchor::End, LABEL, &label);
    }
    canvas.text_upwards((MARGIN + 8.0, (above + below) / 2.0), LABEL, strip.unit);
    canvas.line((left, below), (right, below), FAINT, 1.0);

    let x: Vec<f64> = strip.points.iter().map(|point| across.at(trend, point.run)).collect();
    let edge = |value: fn(&TrendPoint) -> f64| {
        x.iter().zip(&strip.points).map(move |(&x, point)| (x, value(point))).collect::<Vec<_>>()
    };
    let place = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        points.into_iter().map(|(x, value)| (x, up.at(value))).collect()
    };
    let mut outline = place(edge(|point| point.range.1));
    outline.extend(place(edge(|point| point.range.0)).into_iter().rev());
    if x.len() > 1 {
        canvas.area(&outline, color(DATA), 0.22);
    }
    // Half-way between two runs: which of the commits between them it was is not known.
    let between = |index: usize| (x[index - 1] + x[index]) / 2.0;
    let mut free = f64::NEG_INFINITY;
    for change in &strip.changes {
        let (at, shade) = (between(change.index), if change.is_worse { WORSE } else { BETTER });
        canvas.line((at, above - 4.0), (at, below), color(shade), 1.6);
        let style = Type { color: color(shade), ..LABEL };
        let width = canvas::text_width(&change.label, style);
        let from = (at - width / 2.0).clamp(left, right - width);
        // Of changes close to each other the first is told; all of them are in the table.
        if from > free {
            canvas.text((from, above - SIGNS / 2.0 - 3.0), Anchor::Start, style, &change.label);
            free = from + width + 8.0;
        }
    }
    let line = place(edge(|point| point.value));
    if line.len() > 1 {
        canvas.path(&line, color(DATA), 1.2);
    }
    if line.len() <= MAX_DOTS {
        for &at in &line {
            canvas.disc(at, 3.2, PAPER);
            canvas.disc(at, 2.4, color(DATA));
        }
    }
    draw_means(canvas, strip, &x, &up, INK);
}

fn draw_means(canvas: &mut Canvas, strip: &TrendStrip, x: &[f64], up: &Scale, ink: Color) {
    for &(from, last, mean) in &strip.segments {
        let begin = if from == 0 { x[0] } else { (x[from - 1] + x[from]) / 2.0 };
        let end = if last + 1 == x.len() { x[last] } else { (x[last] + x[last + 1]) / 2.0 };
        canvas.line((begin, up.at(mean)), (end, up.at(mean)), ink, 1.6);
    }
}

/// From below the smallest to above the largest, with something to see where all are equal.
fn limits(strip: &TrendStrip) -> (f64, f64) {
    let ends = strip.points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), point| {
        (lo.min(point.range.0).min(point.value), hi.max(point.range.1).max(point.value))
    });
    // Less than a percent in all is not worth filling the strip with.
    let least = (ends.1.abs() * 0.01).max(1e-9);
    let pad = ((ends.1 - ends.0) * 0.08).max((least - (ends.1 - ends.0)) / 2.0);
    ((ends.0 - pad).max(0.0), ends.1 + pad)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_on_the_sheet, assert_well_formed};
    use super::*;

    /// Twenty runs `gap_s` apart, of which those from the twelfth on cost more.
    pub fn trend(gap_s: i64) -> Trend {
        let value = |i: usize| 10.0 + 0.1 * (i as f64 * 2.4).sin() + if i < 12 { 0.0 } else { 0.8 };
        let point = |run: usize| TrendPoint {
            run,
            value: value(run),
            range: (value(run) * 0.99, value(run) * 1.01),
        };
        let strip = |unit| TrendStrip {
            heading: "tg64 @ d128".to_owned(),
            unit,
            points: (0..20).map(point).collect(),
            segments: vec![(0, 11, 10.0), (12, 19, 10.8)],
            changes: vec![TrendChange { index: 12, label: "+8.0 %".to_owned(), is_worse: true }],
        };
        Trend {
            file: "trend.svg".to_owned(),
            title: "SmolLM2-135M Q8_0".to_owned(),
            notes: vec!["a <board>".to_owned()],
            runs: (0..20).map(|i| 1_790_000_000 + i * gap_s).collect(),
            strips: vec![strip("ms"), strip("MiB")],
        }
    }

    #[test]
    fn a_trend_has_its_dates_its_units_and_its_changes() {
        let svg = draw(&trend(DAY_S));
        assert_well_formed(&svg);
        assert_on_the_sheet(&svg, "trend");
        let has = |word: &str| svg.lines().filter(|line| line.trim() == word).count();
        assert_eq!((has("2026-09-21"), has("ms"), has("MiB"), has("+8.0 %")), (1, 1, 1, 2));
        assert_eq!((has("date of the run (UTC)"), has("costs more since")), (1, 1));
        assert_eq!(has("costs less since"), 0);
    }

    #[test]
    fn runs_whose_dates_coincide_stand_by_their_number() {
        for gap in [0, 60] {
            let svg = draw(&trend(gap));
            assert!(svg.contains("run (number, by date)") && !svg.contains("2026-"));
        }
    }

    #[test]
    fn one_run_alone_and_bytes_that_never_change_are_drawn_without_faults() {
        let mut one = trend(DAY_S);
        one.runs.truncate(1);
        for strip in &mut one.strips {
            strip.points.truncate(1);
            strip.points[0].range = (10.0, 10.0);
            strip.points[0].value = 10.0;
            strip.segments = vec![(0, 0, 10.0)];
            strip.changes.clear();
        }
        one.strips[1].points[0] = TrendPoint { run: 0, value: 0.0, range: (0.0, 0.0) };
        let svg = draw(&one);
        assert_well_formed(&svg);
        assert_on_the_sheet(&svg, "one");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
