//! Sweeps over the number of tokens, each length a cell of its own: what figures 9, 10 and 11 are drawn
//! from.

use std::collections::BTreeSet;

use super::caveats::{self, About};
use super::computed::{Artefact, divided_by_one_too_many};
use super::data::{Curve, JETSON, MEIZU, Phase};
use super::marks;
use super::runs::{self, Measured, Runs};
use super::{percent, table};
use crate::report::plot::canvas::Color;
use crate::report::plot::distinct;
use crate::report::plot::panels::{Axes, Line, Panel};
use crate::report::text;
use crate::stats::{Estimate, StraightLine};

/// Fewer lengths than this are no curve.
pub const MIN_LENGTHS: usize = 3;

/// A curve of one model in one format on one device.
#[derive(Clone)]
pub struct Sweep<'a> {
    /// Device, engine and settings that differ.
    pub heading: String,
    /// A place in [`Runs::devices`].
    pub device: usize,
    /// The model.
    pub model: String,
    /// The survey's name of it.
    pub survey_name: Option<&'a str>,
    /// Its quantisation.
    pub quant: &'a str,
    /// That without the state of the rules.
    pub format: &'a str,
    /// Tokens in or out and milliseconds, in ascending order.
    pub points: Vec<(f64, Estimate)>,
    /// Its cells.
    pub cells: Vec<Measured<'a>>,
}

impl Sweep<'_> {
    /// Tokens and milliseconds alone.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|(n, e)| (*n, e.value)).collect()
    }

    /// As it is drawn: points of cells under a mark are hollow.
    pub fn lines(&self, name: &str, color: Color) -> Vec<Line> {
        let marked = self.curve().into_iter().zip(&self.cells);
        let marked = marked.filter(|(_, m)| About::Time.is_marked(m));
        let hollow = marked.map(|(at, _)| marks::hollow(name, at, color));
        std::iter::once(marks::line(name, &self.points, color)).chain(hollow).collect()
    }
}

/// Of which length a cell was to say something: tokens in, or tokens out, of which one comes from the
/// prefill.
fn length(cell: &Measured, phase: Phase) -> Option<u32> {
    let plan = cell.cell.cell;
    match phase {
        _ if plan.n_depth > 0 => None,
        Phase::Prefill => (plan.n_prompt > 0).then_some(plan.n_prompt),
        Phase::Decode => (plan.n_gen > 0).then(|| plan.n_gen.saturating_add(1)),
    }
}

/// What a cell says of a phase at a length: the first token of a prompt of so many, or the mean time of
/// the calls after it, at so many tokens out.
fn point(cell: &Measured, phase: Phase) -> Option<(u32, Estimate)> {
    let measures = &cell.cell.measures;
    let estimate = match phase {
        Phase::Prefill => measures.ttft_ms.or(measures.prefill_ms),
        Phase::Decode => measures.tpot_ms,
    };
    length(cell, phase).zip(estimate)
}

/// Every sweep of at least three lengths. A prompt that stands in several cells counts where the
/// fewest tokens follow it; decode stands behind one prompt, the one with the most lengths.
pub fn sweeps<'a>(runs: &Runs<'a>, phase: Phase) -> Vec<Sweep<'a>> {
    let cells: Vec<Measured> =
        runs.cells.iter().copied().filter(|m| point(m, phase).is_some()).collect();
    let mut sweeps = Vec::new();
    for (heading, own) in runs::grouped(runs, &cells, |_| String::new()) {
        for (model, quant) in distinct(own.iter().map(|m| (m.name(), m.cell.cell.quant.as_str()))) {
            let own: Vec<Measured> = own
                .iter()
                .copied()
                .filter(|m| (m.name(), m.cell.cell.quant.as_str()) == (model.clone(), quant))
                .collect();
            sweeps.extend(sweep(&heading, &own, phase));
        }
    }
    // Settings in which other cells differ need not be told.
    let shown: Vec<Measured> = sweeps.iter().flat_map(|s: &Sweep| s.cells.clone()).collect();
    for (heading, own) in runs::grouped(runs, &shown, |_| String::new()) {
        let is_own = |sweep: &Sweep| {
            let first = &sweep.cells[0];
            own.iter().any(|m| m.device == first.device && m.cell.cell.id == first.cell.cell.id)
        };
        sweeps.iter_mut().filter(|s| is_own(s)).for_each(|s| s.heading.clone_from(&heading));
    }
    sweeps
}

fn sweep<'a>(heading: &str, own: &[Measured<'a>], phase: Phase) -> Option<Sweep<'a>> {
    // What the length is not: decode calls behind a prompt, or the prompt before decode calls.
    let other = |m: &Measured| match phase {
        Phase::Prefill => m.cell.cell.n_gen,
        Phase::Decode => m.cell.cell.n_prompt,
    };
    let length = |m: &Measured| length(m, phase).unwrap_or(0);
    let mut chosen: Vec<Measured> = match phase {
        Phase::Prefill => {
            let lengths = distinct(own.iter().map(length));
            let of = |n: &u32| own.iter().filter(|m| length(m) == *n).min_by_key(|m| other(m));
            lengths.iter().filter_map(of).copied().collect()
        }
        Phase::Decode => {
            let with = |prompt: u32| own.iter().filter(move |m| other(m) == prompt);
            let prompts = distinct(own.iter().map(other));
            let best = prompts.into_iter().max_by_key(|&prompt| with(prompt).count())?;
            with(best).copied().collect()
        }
    };
    chosen.sort_by_key(length);
    chosen.dedup_by_key(|m| length(m));
    let first = *chosen.first()?;
    let points = chosen.iter().filter_map(|m| point(m, phase)).map(|(n, e)| (f64::from(n), e));
    (chosen.len() >= MIN_LENGTHS).then(|| Sweep {
        heading: heading.to_owned(),
        device: first.device,
        model: first.name(),
        survey_name: first.survey_name(),
        quant: &first.cell.cell.quant,
        format: first.format(),
        points: points.collect(),
        cells: chosen.clone(),
    })
}

/// Cells of the models and engines of `sweeps` that finished nowhere and would be points of them, or
/// curves beside them; `belongs` says which quantisations the figure has.
pub fn absent<'a>(
    runs: &Runs<'a>,
    sweeps: &[Sweep],
    phase: Phase,
    belongs: impl Fn(&Measured) -> bool,
) -> Vec<Measured<'a>> {
    let is_of = |m: &Measured, s: &Sweep| {
        let first = s.cells[0].cell.cell;
        (&m.cell.cell.model, &m.cell.cell.engine) == (&first.model, &first.engine)
    };
    let has = |m: &Measured, n: u32, s: &Sweep| {
        let is_same = (m.device, m.cell.cell.quant.as_str()) == (s.device, s.quant);
        is_same && is_of(m, s) && s.points.iter().any(|p| p.0 == f64::from(n))
    };
    let is_absent = |m: &&Measured| {
        let Some(n) = length(m, phase) else { return false };
        belongs(m) && sweeps.iter().any(|s| is_of(m, s)) && !sweeps.iter().any(|s| has(m, n, s))
    };
    let mut absent: Vec<Measured> = runs.unfinished.iter().filter(is_absent).copied().collect();
    // A prompt that stands in several cells is told once.
    absent.sort_by_key(|m| m.cell.cell.n_gen);
    let place = |m: &Measured<'a>| (m.device, &m.cell.cell.model, &m.cell.cell.quant);
    let mut seen = BTreeSet::new();
    absent.retain(|m| seen.insert((place(m), length(m, phase))));
    absent
}

/// What the axes of a sweep are called.
pub fn axes(phase: Phase, columns: usize) -> Axes<'static> {
    match phase {
        Phase::Prefill => Axes { x: "prompt (tokens)", y: "TTFT (ms)", columns },
        Phase::Decode => Axes { x: "tokens out", y: "TPOT (ms)", columns },
    }
}

/// What every length is.
pub fn note(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "Each length is a cell of its own. Each panel has its own scale.",
        Phase::Decode => {
            "Each length is a cell of its own; TPOT is the time from the first token to the last ÷ decode \
             calls, one fewer than tokens. Each panel has its own scale."
        }
    }
}

/// A panel of a sweep.
pub fn panel(heading: String, lines: Vec<Line>) -> Panel {
    Panel { heading, y: None, lines, marked: Vec::new(), from: 0.0 }
}

/// How a curve over the tokens out goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// As a constant that was divided by one token too many.
    Divided(Artefact),
    /// Otherwise.
    Along {
        /// Mean of the lengths, in milliseconds.
        mean: f64,
        /// By what share it changes from the fewest tokens to the most, along the line of least
        /// squares.
        change: f64,
        /// By what share of the mean lengths scatter about that line.
        scatter: f64,
    },
}

/// How a curve over the tokens out goes, where it has points enough.
pub fn course(curve: &[(f64, f64)]) -> Option<Course> {
    if let Some(artefact) = divided_by_one_too_many(curve) {
        return Some(Course::Divided(artefact));
    }
    let line = StraightLine::through(curve)?;
    let mean = curve.iter().map(|p| p.1).sum::<f64>() / curve.len() as f64;
    let ends = (f64::INFINITY, 0.0f64);
    let (fewest, most) = curve.iter().fold(ends, |s, p| (s.0.min(p.0), s.1.max(p.0)));
    let change = line.slope * (most - fewest) / (line.intercept + line.slope * fewest);
    Some(Course::Along { mean, change, scatter: line.rms / mean })
}

/// A curve that was divided by one token too many, in words.
pub fn divided_told(artefact: &Artefact) -> String {
    format!(
        "{:.2} ms × (n − 1) ÷ n, to {:.2} ms at every length: a constant time per call, divided by one \
         token too many. Nothing becomes slower along it.",
        artefact.constant, artefact.max
    )
}

/// How a curve goes: a line over the prompt; over tokens out its level, or the division.
pub fn growth(curve: &[(f64, f64)], phase: Phase) -> String {
    match phase {
        Phase::Prefill => along_the_prompt(curve).unwrap_or_default(),
        Phase::Decode => match course(curve) {
            None => String::new(),
            Some(Course::Divided(artefact)) => divided_told(&artefact),
            Some(Course::Along { mean, change, scatter }) => format!(
                "{} ms per token on average, and {:+.1} % from the fewest tokens to the most along the \
                 line of least squares, about which lengths scatter by {} %.",
                text::number(mean),
                100.0 * change,
                percent(scatter)
            ),
        },
    }
}

fn along_the_prompt(curve: &[(f64, f64)]) -> Option<String> {
    let line = StraightLine::through(curve)?;
    let mean = curve.iter().map(|p| p.1).sum::<f64>() / curve.len() as f64;
    Some(format!(
        "{} ms per token of the prompt and {} ms besides, by least squares over {} lengths, which depart \
         from that by {} % of their mean (root of the mean square).",
        text::number(line.slope),
        text::number(line.intercept),
        curve.len(),
        percent(line.rms / mean)
    ))
}

/// The numbers of sweeps, and of the survey's curves by format or device.
pub fn csv(runs: &Runs, sweeps: &[Sweep], survey: &[Curve]) -> String {
    let header = [
        "source",
        "engine",
        "model",
        "quant",
        "tokens",
        "ms",
        "lo",
        "hi",
        "n_invocations",
        "marks",
    ];
    let or_empty = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v}"));
    let ours = sweeps.iter().flat_map(|sweep| {
        sweep.points.iter().zip(&sweep.cells).map(|((n, e), m)| {
            vec![
                runs.devices[sweep.device].clone(),
                text::plain(&m.cell.cell.engine),
                sweep.model.clone(),
                text::plain(&m.cell.cell.quant),
                format!("{n}"),
                format!("{}", e.value),
                or_empty(e.lo),
                or_empty(e.hi),
                e.n.to_string(),
                caveats::in_csv(m.cell.marks.iter().copied()),
            ]
        })
    });
    let theirs = survey.iter().flat_map(|curve| {
        curve.points.iter().map(|(n, ms)| {
            let (source, model, quant) = match curve.name {
                JETSON | MEIZU => (curve.name, "labelled Bloom-1B1", "4-bit"),
                format => (JETSON, "Phi-1.5", format),
            };
            let mut row: Vec<String> =
                [&format!("survey: {source}"), "llama.cpp", model, quant].map(str::to_owned).into();
            row.extend([format!("{n}"), format!("{ms}")]);
            row.extend([String::new(), String::new(), String::new(), String::new()]);
            row
        })
    });
    table(&header, ours.chain(theirs))
}
