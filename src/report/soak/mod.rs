//! Sustained runs brought down to what people ask: how fast at first, how fast in the end, when and
//! why it changed, how hot it got, what a token costs in joules.

mod csv;
mod table;
#[cfg(test)]
mod tests;
mod why;

use super::outcome::OutcomeSummary;
use crate::record::{
    ChannelKind, EnergyUse, HeldBack, Record, RunInfo, Series, Work, held_back, widest,
};
use crate::stats;
use crate::stats::soak::{self, Rules, Verdict, Warming, Window};

pub use csv::{write_series, write_sustained};
pub use table::{markdown, sentences, table, terminal};
pub use why::Why;

const NS: f64 = 1e9;

/// One sustained run, or a series that somebody else measured.
#[derive(Clone, Debug)]
pub struct SoakView {
    /// What is measured: model, quantisation, engine; or the file's name and nothing.
    pub names: [String; 3],
    /// What sets it apart from others of these names: settings that differ, the number of the invocation.
    pub apart: Vec<String>,
    /// The cell's id and the number of the invocation; absent of other people's series.
    pub of: Option<(String, u32)>,
    /// What stands beside the outcome.
    pub marks: Vec<&'static str>,
    /// Seconds that the machine took to come to rest before; absent where nobody waited.
    pub waited_s: Option<f64>,
    /// What ended it: `steady`, `time`, `user`, or the word for its outcome.
    pub ended_by: String,
    /// What became of it, where it did not finish.
    pub trouble: Option<String>,
    /// Seconds from the beginning of the first pass to the end of the last.
    pub lasted_s: f64,
    /// How it is judged.
    pub rules: Rules,
    /// Decode and prefill, as far as they were measured.
    pub works: Vec<WorkView>,
    /// Temperature, clock and power, one of each at most.
    pub traces: Vec<Trace>,
    /// When something held the machine back.
    pub held_back: Vec<Span>,
    /// Charge of the battery at first and in the end, 0 to 1.
    pub charge: Option<(f64, f64)>,
    /// How it warmed up, where it did.
    pub warming: Option<Warming>,
    /// Kelvin per watt against the room, where its temperature and the power are known.
    pub thermal_resistance: Option<f64>,
}

/// One kind of work of a sustained run.
#[derive(Clone, Debug)]
pub struct WorkView {
    /// Which.
    pub work: Work,
    /// Of how many tokens at a time: `pp512`, `tg128`.
    pub test: String,
    /// Speed by time.
    pub windows: Vec<Window>,
    /// What the windows say.
    pub analysis: soak::Soak,
    /// Why it became slower, where it did.
    pub why: Option<Why>,
    /// Tokens in the first minute.
    pub tokens_first_minute: f64,
    /// Tokens in all.
    pub tokens: f64,
    /// The machine at first, at the onset, in the end.
    pub moments: [Option<Moment>; 3],
    /// Energy at first and in the end, of one channel.
    pub energy: Option<[EnergyUse; 2]>,
}

/// The machine around one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Degrees Celsius of the hottest part that computes.
    pub temperature_c: Option<f64>,
    /// Hertz of the fastest CPU or GPU.
    pub clock_hz: Option<f64>,
    /// Watts of the channel that covers most.
    pub watts: Option<f64>,
}

/// A channel by time.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it is.
    pub kind: TraceKind,
    /// Its name.
    pub id: String,
    /// Of a power: what it covers, and how its numbers come about.
    pub scope: Option<String>,
    /// Seconds since the first pass began, and the value.
    pub points: Vec<(f64, f64)>,
}

/// What a trace shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKind {
    /// Degrees Celsius.
    Temperature,
    /// Hertz.
    Clock,
    /// Watts.
    Power,
}

/// A stretch of time in which something held the machine back.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Seconds since the first pass began.
    pub from_s: f64,
    /// Likewise.
    pub to_s: f64,
    /// The channel that says so.
    pub id: String,
}

impl Trace {
    /// The values from one time to another.
    fn median_between(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let inside = self.points.iter().filter(|(t, _)| (from_s..=to_s).contains(t));
        let values: Vec<f64> = inside.map(|(_, value)| *value).collect();
        stats::median(&values)
    }
}

impl SoakView {
    /// What a record of a sustained run says; `None` for other records.
    pub fn of_record(run: &RunInfo, record: &Record) -> Option<SoakView> {
        let soak = record.cell.soak?;
        let outcome = OutcomeSummary::of(std::slice::from_ref(&record), 1);
        let origin = record.origin_ns();
        let end = record.samples.iter().map(|sample| sample.end_ns()).max().unwrap_or(origin);
        let seconds = |ns: u64| (ns as f64 - origin as f64) / NS;
        // However small the windows were asked for: thousands of them are enough.
        let window_s = (soak.window_ms as f64 / 1000.0).max(seconds(end) / MOST_WINDOWS);
        let rules = Rules::with_window(window_s.max(1e-3));
        let series: Vec<&Series> = record.relevant_series().collect();
        let baseline = run.sensing.as_ref().and_then(|sensing| sensing.baseline.as_ref());
        let idle = baseline.map(|b| b.values.clone()).unwrap_or_default();
        let spans = held_back(series.iter().copied(), &idle);

        let mut view = SoakView {
            names: [&record.cell.model, &record.cell.quant, &record.cell.engine].map(String::clone),
            apart: Vec::new(),
            of: Some((record.cell.id.to_string(), record.invocation)),
            marks: record.marks.iter().map(|mark| mark.word()).collect(),
            waited_s: record.gate.as_ref().map(|gate| gate.waited_ns as f64 / NS),
            ended_by: record.soak_end.map_or(record.outcome.word(), |end| end.word()).to_owned(),
            trouble: outcome.reason.map(|reason| reason.text),
            lasted_s: seconds(end),
            rules,
            works: Vec::new(),
            traces: traces(&series, (origin, end), &rules),
            held_back: spans
                .iter()
                .map(|span| Span {
                    from_s: seconds(span.from_ns).max(0.0),
                    to_s: seconds(span.to_ns).min(seconds(end)),
                    id: span.id.clone(),
                })
                .filter(|span| span.to_s >= span.from_s)
                .collect(),
            charge: charge(&series),
            warming: None,
            thermal_resistance: None,
        };
        for work in [Work::Decode, Work::Prefill] {
            view.works.extend(WorkView::of_record(&view, record, work, &spans, baseline));
        }
        view.warm_up(run.ambient.map(|ambient| ambient.0));
        Some(view)
    }

    /// Looks at how it warmed up.
    pub fn warm_up(&mut self, ambient_c: Option<f64>) {
        let Some(trace) = self.trace(TraceKind::Temperature) else { return };
        self.warming = soak::warming(&trace.points, &self.rules);
        let last = self.lasted_s;
        let watts = self
            .trace(TraceKind::Power)
            .and_then(|power| power.median_between(last - self.rules.sustained_s(last), last));
        if let (Some(warming), Some(ambient), Some(watts)) = (self.warming, ambient_c, watts) {
            self.thermal_resistance = soak::thermal_resistance(warming.t_inf_c, ambient, watts);
        }
    }

    /// The trace of a kind.
    pub fn trace(&self, kind: TraceKind) -> Option<&Trace> {
        self.traces.iter().find(|trace| trace.kind == kind)
    }

    /// Model, quantisation and engine in one line, and what sets it apart from others of these.
    pub fn name(&self) -> String {
        let names = self.names.iter().filter(|n| !n.is_empty()).cloned();
        let name = names.collect::<Vec<_>>().join(" ");
        std::iter::once(name).chain(self.apart.iter().cloned()).collect::<Vec<_>>().join(", ")
    }

    /// The machine from one time to another.
    pub fn moment(&self, from_s: f64, to_s: f64) -> Option<Moment> {
        let median = |kind| self.trace(kind)?.median_between(from_s, to_s);
        let moment = Moment {
            temperature_c: median(TraceKind::Temperature),
            clock_hz: median(TraceKind::Clock),
            watts: median(TraceKind::Power),
        };
        (moment != Moment::default()).then_some(moment)
    }

    /// The machine at first, at the onset and in the end.
    pub fn moments(&self, analysis: &soak::Soak, windows: &[Window]) -> [Option<Moment>; 3] {
        let (burst, sustained) = ends(windows, &self.rules);
        let width = soak::spacing_s(windows, &self.rules);
        [
            self.moment(burst.0, burst.1),
            onset_s(analysis).and_then(|at| self.moment(at - width, at + width)),
            self.moment(sustained.0, sustained.1),
        ]
    }
}

impl WorkView {
    fn of_record(
        view: &SoakView,
        record: &Record,
        work: Work,
        spans: &[HeldBack],
        baseline: Option<&crate::record::Baseline>,
    ) -> Option<WorkView> {
        let (rules, origin) = (&view.rules, record.origin_ns());
        let grain_s = rules.window_s / GRAINS;
        let pieces = record.pieces(work, grain_s);
        let windows = soak::windows(&record.settled_pieces(work, grain_s), rules);
        let analysis = soak::analyse(&windows, rules)?;
        let moments = view.moments(&analysis, &windows);
        let why = slowdown_at(&analysis).map(|at_s| {
            let ns = |s: f64| origin.saturating_add((s.max(0.0) * NS) as u64);
            let time_ns = (origin, ns(view.lasted_s));
            let window_ns = (soak::spacing_s(&windows, rules) * NS) as u64;
            Why::of(spans, time_ns, ns(at_s), window_ns, moments)
        });
        let (short, n) = match work {
            Work::Prefill => ("pp", record.cell.n_prompt),
            Work::Decode => ("tg", record.cell.n_gen),
        };
        Some(WorkView {
            work,
            test: format!("{short}{n}"),
            why,
            tokens_first_minute: soak::tokens_until(&pieces, 60.0),
            tokens: pieces.iter().map(|piece| piece.tokens).sum(),
            moments,
            energy: energy(record, work, ends(&windows, rules), baseline),
            windows,
            analysis,
        })
    }
}

/// When it became slower, by the curve or else by the windows; `None` where it did not.
pub fn slowdown_at(analysis: &soak::Soak) -> Option<f64> {
    let slower = match analysis.verdict {
        Verdict::Slowdown(_) => true,
        Verdict::Oscillating(_) => analysis.onset_s.is_some() || analysis.accepted_fit().is_some(),
        _ => false,
    };
    onset_s(analysis).filter(|_| slower)
}

fn onset_s(analysis: &soak::Soak) -> Option<f64> {
    analysis.accepted_fit().map(|fit| fit.t_on_s).or(analysis.onset_s)
}

/// The stretches that burst and sustained speed are of, in seconds.
fn ends(windows: &[Window], rules: &Rules) -> ((f64, f64), (f64, f64)) {
    let Some((first, last)) = windows.first().zip(windows.last()) else {
        return ((0.0, 0.0), (0.0, 0.0));
    };
    let third = &windows[(rules.burst_windows.max(1) - 1).min(windows.len() - 1)];
    let sustained = rules.sustained_s(last.end_s - first.start_s);
    ((first.start_s, third.end_s), (last.end_s - sustained, last.end_s))
}

/// Energy at first and in the end, of the channel that covers most.
fn energy(
    record: &Record,
    work: Work,
    (burst, sustained): ((f64, f64), (f64, f64)),
    baseline: Option<&crate::record::Baseline>,
) -> Option<[EnergyUse; 2]> {
    let origin = record.origin_ns();
    let at = |s: f64| origin.saturating_add((s.max(0.0) * NS).round() as u64);
    let of = |(from, to): (f64, f64)| record.energy_between(work, (at(from), at(to)), baseline);
    let first = widest(&of(burst))?.clone();
    let last = of(sustained).into_iter().find(|usage| usage.id == first.id)?;
    Some([first, last])
}

/// Pieces of decode in a window.
const GRAINS: f64 = 4.0;

/// Windows at most: an analysis takes their square.
const MOST_WINDOWS: f64 = 3600.0;

/// Points of a trace in each window.
const POINTS_PER_WINDOW: f64 = 5.0;

/// One trace of each kind: the part that computes and is hottest in the end, the fastest clock, the
/// power that covers most. Readings are put on even steps, for of those that do not change only the
/// first and the last were kept.
fn traces(series: &[&Series], (origin, end): (u64, u64), rules: &Rules) -> Vec<Trace> {
    let step = ((rules.window_s / POINTS_PER_WINDOW * NS) as u64).max(1);
    let steps = || (origin..end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let best = |kind: ChannelKind, score: &dyn Fn(&Series) -> Option<f64>| {
        let known = series.iter().filter(|s| s.channel.relevant && s.channel.kind == kind);
        let known = known.filter_map(|s| Some((score(s)?, *s)));
        known.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, series)| series)
    };
    // The part that is hottest in the end, and the clock that is fastest at first: cores that never
    // were fast tell nothing of a fall.
    let last = |s: &Series| s.values.last().copied();
    let first = |s: &Series| s.at(origin + (end - origin) / 50).or(s.values.first().copied());
    let trace = |kind, series: &Series, value: &dyn Fn(u64) -> Option<f64>| {
        let point = |at: u64| Some(((at - origin) as f64 / NS, value(at)?));
        let points: Vec<(f64, f64)> = steps().filter_map(point).collect();
        let channel = &series.channel;
        let scope = (kind == TraceKind::Power)
            .then(|| format!("{}, {}", channel.scope.name(), channel.quality.name()));
        (points.len() > 1).then(|| Trace { kind, id: channel.id.clone(), scope, points })
    };
    let hot = best(ChannelKind::Temperature, &last)
        .and_then(|s| trace(TraceKind::Temperature, s, &|at| s.at(at)));
    let fast =
        best(ChannelKind::Clock, &first).and_then(|s| trace(TraceKind::Clock, s, &|at| s.at(at)));
    let drawn = power(series).and_then(|s| {
        let watts = |at: u64| Some(s.joules_between(at, at + step)? / (step as f64 / NS));
        trace(TraceKind::Power, s, &watts)
    });
    [hot, fast, drawn].into_iter().flatten().collect()
}

/// The battery's charge at the first and at the last reading.
fn charge(series: &[&Series]) -> Option<(f64, f64)> {
    let battery = series.iter().find(|s| s.channel.kind == ChannelKind::Charge)?;
    Some((*battery.values.first()?, *battery.values.last()?))
}

/// The channel of power or energy that covers most.
fn power<'s>(series: &[&'s Series]) -> Option<&'s Series> {
    let uses: Vec<EnergyUse> = series
        .iter()
        .filter_map(|s| {
            let (joules, seconds) = s.joules()?;
            Some(EnergyUse {
                id: s.channel.id.clone(),
                scope: s.channel.scope,
                quality: s.channel.quality,
                joules,
                seconds,
                tokens: 1.0,
                idle_watts: None,
            })
        })
        .collect();
    let id = &widest(&uses)?.id;
    series.iter().copied().find(|s| s.channel.id == *id)
}
