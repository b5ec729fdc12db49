//! Sweeps over the number of tokens, each length a cell of its own; and figures 10 and 11, in which the
//! same sweep stands beside itself on several devices.

use super::computed::divided_by_one_too_many;
use super::data::{self, Curve, JETSON, MEIZU, Phase};
use super::marks::{self, FOR_SHAPE};
use super::runs::{self, Measured, Runs};
use super::{Figure, Missing, percent, table};
use crate::report::plot::canvas::{Color, FAINT};
use crate::report::plot::distinct;
use crate::report::plot::frame::{self, Frame, Key, Sign};
use crate::report::plot::panels::{self, Axes, Line, Panel};
use crate::report::text;
use crate::stats::{Estimate, StraightLine};

/// Fewer lengths than this are no curve.
const MIN_LENGTHS: usize = 3;
/// The format of the survey's sweep over devices.
const FORMAT: &str = "Q4_K_M";
/// The model of its figure 11, of which only a text tells.
const PHONES_MODEL: &str = "Qwen1.5-1.8B";
/// What measures these figures.
const COMMAND: &str = "slmbench run survey-devices --out here, the same on another device, and then \
                       slmbench report --layout survey here there";

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
    /// Its format, without the state of the rules.
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
}

/// What a cell says of a phase at a length: the first token of a prompt of so many, or the mean time of
/// the calls after it, at so many tokens out.
fn point(cell: &Measured, phase: Phase) -> Option<(u32, Estimate)> {
    let (plan, measures) = (cell.cell.cell, &cell.cell.measures);
    if plan.n_depth > 0 {
        return None;
    }
    match phase {
        Phase::Prefill if plan.n_prompt > 0 => {
            Some((plan.n_prompt, measures.ttft_ms.or(measures.prefill_ms)?))
        }
        // One token comes from the prefill.
        Phase::Decode if plan.n_gen > 0 => Some((plan.n_gen + 1, measures.tpot_ms?)),
        _ => None,
    }
}

/// Every sweep of at least three lengths. A prompt that stands in several cells counts where the
/// fewest tokens follow it; decode stands behind one prompt, the one with the most lengths.
pub fn sweeps<'a>(runs: &Runs<'a>, phase: Phase) -> Vec<Sweep<'a>> {
    let cells: Vec<Measured> =
        runs.cells().into_iter().filter(|m| point(m, phase).is_some()).collect();
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
    let length = |m: &Measured| point(m, phase).map_or(0, |(n, _)| n);
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
        format: first.format(),
        points: points.collect(),
        cells: chosen.clone(),
    })
}

/// Which of the two figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Figure 10: Bloom-1B1 on a GPU and on a phone; here any model but that of figure 11.
    Two,
    /// Figure 11: Qwen1.5-1.8B on three phones.
    Phones,
}

impl Devices {
    /// Both.
    pub const BOTH: [Devices; 2] = [Devices::Two, Devices::Phones];

    fn names(self, phase: Phase) -> (&'static str, &'static str, &'static str) {
        match (self, phase) {
            (Devices::Two, Phase::Prefill) => {
                ("10a", "fig10a-devices-prefill", "First-token time against the prompt, by device")
            }
            (Devices::Two, Phase::Decode) => {
                ("10b", "fig10b-devices-decode", "Decode latency against tokens, by device")
            }
            (Devices::Phones, Phase::Prefill) => (
                "11a",
                "fig11a-qwen-prefill",
                "First-token time of Qwen1.5-1.8B against the prompt, by device",
            ),
            (Devices::Phones, Phase::Decode) => (
                "11b",
                "fig11b-qwen-decode",
                "Decode latency of Qwen1.5-1.8B against tokens, by device",
            ),
        }
    }

    fn holds(self, sweep: &Sweep) -> bool {
        let is_qwen = sweep.survey_name == Some(PHONES_MODEL);
        sweep.format == FORMAT && is_qwen == (self == Devices::Phones)
    }

    fn survey(self, phase: Phase) -> Vec<Curve> {
        if self == Devices::Two { data::devices(phase) } else { Vec::new() }
    }
}

/// What the axes of a sweep are called.
pub fn axes(phase: Phase, columns: usize) -> Axes<'static> {
    match phase {
        Phase::Prefill => Axes { x: "prompt (tokens)", y: "TTFT (ms)", columns },
        Phase::Decode => Axes { x: "tokens out", y: "TPOT (ms)", columns },
    }
}

/// Figure 10 or 11.
pub fn figure(runs: &Runs, which: Devices, phase: Phase) -> Result<Figure, Missing> {
    let (number, stem, title) = which.names(phase);
    let sweeps = to_compare(which, &sweeps(runs, phase));
    if sweeps.is_empty() {
        return Err(Missing { number, title, command: COMMAND });
    }
    let survey = which.survey(phase);
    let headings = distinct(sweeps.iter().map(|sweep| sweep.heading.clone()));
    let color = |heading: &str| {
        frame::color(headings.iter().position(|known| known == heading).unwrap_or(0))
    };
    let models = distinct(sweeps.iter().map(|sweep| sweep.model.clone()));
    let mut panels: Vec<Panel> = models
        .iter()
        .map(|model| {
            let own = sweeps.iter().filter(|sweep| sweep.model == *model);
            let lines = own.map(|sweep| marks::line(&sweep.points, color(&sweep.heading)));
            panel(format!("{model}, {FORMAT}"), lines.collect())
        })
        .collect();
    let mut keys: Vec<Key> =
        headings.iter().map(|heading| Key::new(Sign::Line(color(heading)), heading)).collect();
    if !survey.is_empty() {
        let lines = survey_lines(&survey, phase);
        keys.extend(lines.iter().map(|(name, line)| Key::new(Sign::Line(line.color), name)));
        let lines = lines.into_iter().map(|(_, line)| line).collect();
        panels.push(panel(format!("{FOR_SHAPE}: labelled Bloom-1B1"), lines));
    }
    let cells: Vec<Measured> = sweeps.iter().flat_map(|s| s.cells.iter().copied()).collect();
    let estimates: Vec<Estimate> =
        sweeps.iter().flat_map(|s| s.points.iter().map(|(_, e)| *e)).collect();
    let frame = Frame {
        title: title.to_owned(),
        notes: vec![
            format!("{}; {}.", runs.place(&cells), marks::certainty(&cells, &estimates)),
            note(phase).to_owned(),
        ],
        keys,
    };
    Ok(Figure {
        number,
        stem,
        title: title.to_owned(),
        svg: panels::draw(&frame, &panels, &axes(phase, 2)),
        csv: csv(runs, &sweeps, &survey),
        told: told(which, phase, &sweeps, &survey, &models),
    })
}

/// The sweeps of the figure: of models that ran on several devices, else of those that ran in one format,
/// for one in several formats has figure 9; else all.
fn to_compare<'a>(which: Devices, all: &[Sweep<'a>]) -> Vec<Sweep<'a>> {
    let own: Vec<&Sweep<'a>> = all.iter().filter(|sweep| which.holds(sweep)).collect();
    let several_devices =
        |sweep: &Sweep| own.iter().any(|s| s.model == sweep.model && s.heading != sweep.heading);
    let one_format =
        |sweep: &Sweep| !all.iter().any(|s| s.model == sweep.model && s.format != sweep.format);
    let those = |is: &dyn Fn(&Sweep<'a>) -> bool| -> Vec<Sweep<'a>> {
        own.iter().filter(|sweep| is(sweep)).map(|sweep| (*sweep).clone()).collect()
    };
    let choices = [those(&several_devices), those(&one_format), those(&|_| true)];
    choices.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
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

/// The survey's curves, and of the one that was divided by one token too many what it says without
/// that.
fn survey_lines(survey: &[Curve], phase: Phase) -> Vec<(String, Line)> {
    let greys = [Color(0x6e, 0x6e, 0x6e), FAINT];
    let mut lines: Vec<(String, Line)> = survey
        .iter()
        .zip(greys)
        .map(|(curve, grey)| (format!("survey: {}", curve.name), marks::curve(&curve.points, grey)))
        .collect();
    let meizu = survey.iter().find(|curve| curve.name == MEIZU && phase == Phase::Decode);
    if let Some(meizu) = meizu {
        let mended: Vec<(f64, f64)> = mended(&meizu.points);
        let color = Color(0x8c, 0x2d, 0x04);
        lines.push((format!("survey: {MEIZU}, times n ÷ (n − 1)"), marks::curve(&mended, color)));
    }
    lines
}

/// A mean over n tokens of n − 1 calls, as one over the calls.
fn mended(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().filter(|p| p.0 > 1.0).map(|&(n, ms)| (n, ms * n / (n - 1.0))).collect()
}

fn told(
    which: Devices,
    phase: Phase,
    sweeps: &[Sweep],
    survey: &[Curve],
    models: &[String],
) -> Vec<String> {
    let mut told: Vec<String> = sweeps
        .iter()
        .map(|s| format!("{} on {}: {}", s.model, s.heading, growth(&s.curve(), phase)))
        .collect();
    for model in models {
        let own: Vec<&Sweep> = sweeps.iter().filter(|sweep| sweep.model == *model).collect();
        match own.as_slice() {
            [] => {}
            [_] => told.push(format!(
                "One device has run {model}: name the folder of another device as well to see both."
            )),
            [first, others @ ..] => told.extend(others.iter().filter_map(|s| {
                ratio(&first.curve(), &s.curve()).map(|(lo, hi)| {
                    format!(
                        "{} takes {lo:.1} to {hi:.1} times what {} takes.",
                        s.heading, first.heading
                    )
                })
            })),
        }
    }
    told.extend(
        survey
            .iter()
            .map(|curve| format!("The survey's {}: {}", curve.name, growth(&curve.points, phase))),
    );
    match (which, phase) {
        (Devices::Two, phase) => {
            let of = |name: &str| survey.iter().find(|curve| curve.name == name);
            if let Some((jetson, meizu)) = of(JETSON).zip(of(MEIZU)) {
                let meizu = match phase {
                    Phase::Prefill => meizu.points.clone(),
                    Phase::Decode => mended(&meizu.points),
                };
                if let Some((lo, hi)) = ratio(&jetson.points, &meizu) {
                    told.push(format!(
                        "Between the survey's devices the factor is {lo:.1} to {hi:.1}{}. Its Jetson curve \
                         is point for point the one of Phi-1.5 in Q4_K_M in figure 9, so two models may \
                         be compared here under one name.",
                        if phase == Phase::Decode { ", with the division mended" } else { "" }
                    ));
                }
            }
        }
        (Devices::Phones, _) => told.push(
            "Of figure 11 the survey's repository holds no points; its text says that time grows linearly \
             with the tokens, least on the Xiaomi 12S and most on the Meizu 18 Pro."
                .to_owned(),
        ),
    }
    told
}

/// How a curve goes: a line over the prompt; over tokens out its level, or the division.
pub fn growth(curve: &[(f64, f64)], phase: Phase) -> String {
    let Some(line) = StraightLine::through(curve) else { return String::new() };
    let mean = curve.iter().map(|p| p.1).sum::<f64>() / curve.len() as f64;
    if phase == Phase::Prefill {
        return format!(
            "{} ms per token of the prompt and {} ms besides, by least squares over {} lengths, which \
             depart from that by {} % of their mean (root of the mean square).",
            text::number(line.slope),
            text::number(line.intercept),
            curve.len(),
            percent(line.rms / mean)
        );
    }
    if let Some(artefact) = divided_by_one_too_many(curve) {
        return format!(
            "{:.2} ms × (n − 1) ÷ n, to {:.2} ms at every length: a constant time per call, divided by \
             one token too many. Nothing becomes slower along it.",
            artefact.constant, artefact.max
        );
    }
    let span =
        curve.iter().map(|p| p.0).fold((f64::INFINITY, 0.0f64), |s, n| (s.0.min(n), s.1.max(n)));
    format!(
        "{} ms per token on average, and {:+.1} % from the fewest tokens to the most along the line of \
         least squares, about which lengths scatter by {} %.",
        text::number(mean),
        100.0 * line.slope * (span.1 - span.0) / (line.intercept + line.slope * span.0),
        percent(line.rms / mean)
    )
}

/// The least and the largest factor from one curve to another at lengths that both have.
fn ratio(base: &[(f64, f64)], other: &[(f64, f64)]) -> Option<(f64, f64)> {
    let at = |n: f64| base.iter().find(|p| p.0 == n).map(|p| p.1);
    let factors: Vec<f64> = other.iter().filter_map(|p| Some(p.1 / at(p.0)?)).collect();
    let lo = factors.iter().copied().reduce(f64::min)?;
    Some((lo, factors.iter().copied().fold(lo, f64::max)))
}

/// The numbers of sweeps, and of the survey's curves by format or device.
pub fn csv(runs: &Runs, sweeps: &[Sweep], survey: &[Curve]) -> String {
    let header =
        ["source", "engine", "model", "quant", "tokens", "ms", "lo", "hi", "n_invocations"];
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
            row.extend([String::new(), String::new(), String::new()]);
            row
        })
    });
    table(&header, ours.chain(theirs))
}
