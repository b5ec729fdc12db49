//! Figures 10 and 11: the same sweeps beside themselves on several devices.

use super::caveats::About;
use super::data::{self, Curve, JETSON, MEIZU, Phase};
use super::marks::{self, FOR_SHAPE};
use super::names::{self, Name};
use super::runs::{Measured, Runs};
use super::sweep::{self, Sweep, growth, sweeps};
use super::{Figure, Missing};
use crate::report::plot::canvas::{Color, FAINT};
use crate::report::plot::distinct;
use crate::report::plot::frame::{self, Frame, Key, Sign};
use crate::report::plot::panels::{self, Line, Panel};
use crate::report::text;
use crate::stats::Estimate;

/// The format of the survey's sweep over devices.
const FORMAT: &str = "Q4_K_M";
/// The model of its figure 11, of which only a text tells.
const PHONES_MODEL: &str = "Qwen1.5-1.8B";
/// What measures these figures.
const COMMAND: &str = "slmbench run survey-devices --out here, the same on another device, and then \
                       slmbench report --layout survey here there";

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

    fn name(self, phase: Phase) -> Name {
        match (self, phase) {
            (Devices::Two, Phase::Prefill) => names::FIG_10A,
            (Devices::Two, Phase::Decode) => names::FIG_10B,
            (Devices::Phones, Phase::Prefill) => names::FIG_11A,
            (Devices::Phones, Phase::Decode) => names::FIG_11B,
        }
    }

    fn holds(self, survey_name: Option<&str>, format: &str) -> bool {
        let is_qwen = survey_name == Some(PHONES_MODEL);
        format == FORMAT && is_qwen == (self == Devices::Phones)
    }

    fn survey(self, phase: Phase) -> Vec<Curve> {
        if self == Devices::Two { data::devices(phase) } else { Vec::new() }
    }
}

/// Figure 10 or 11.
pub fn figure(runs: &Runs, which: Devices, phase: Phase) -> Result<Figure, Missing> {
    let name = which.name(phase);
    let mut sweeps = to_compare(which, &sweeps(runs, phase));
    if sweeps.is_empty() {
        return Err(Missing::new(name, COMMAND));
    }
    tell_files_apart(&mut sweeps);
    let quants = distinct(sweeps.iter().map(|sweep| sweep.quant));
    let absent = sweep::absent(runs, &sweeps, phase, |m| {
        which.holds(m.survey_name(), m.format()) && quants.contains(&m.cell.cell.quant.as_str())
    });
    let survey = which.survey(phase);
    let headings = distinct(sweeps.iter().map(|sweep| sweep.heading.clone()));
    let color = |heading: &str| {
        frame::color(headings.iter().position(|known| known == heading).unwrap_or(0))
    };
    let models = distinct(sweeps.iter().map(|sweep| sweep.model.clone()));
    let mut panels: Vec<Panel> = models
        .iter()
        .map(|model| {
            let own = || sweeps.iter().filter(|sweep| sweep.model == *model);
            let quants = distinct(own().map(|sweep| sweep.quant));
            let quant = if quants.len() == 1 { text::plain(quants[0]) } else { FORMAT.to_owned() };
            let lines = own().flat_map(|s| s.lines(&s.heading, color(&s.heading)));
            sweep::panel(format!("{model}, {quant}"), lines.collect())
        })
        .collect();
    let mut keys: Vec<Key> =
        headings.iter().map(|heading| Key::new(Sign::Line(color(heading)), heading)).collect();
    if !survey.is_empty() {
        let lines = survey_lines(&survey, phase);
        keys.extend(lines.iter().map(|(name, line)| Key::new(Sign::Line(line.color), name)));
        let lines = lines.into_iter().map(|(_, line)| line).collect();
        panels.push(sweep::panel(format!("{FOR_SHAPE}: labelled Bloom-1B1"), lines));
    }
    let cells: Vec<Measured> = sweeps.iter().flat_map(|s| s.cells.iter().copied()).collect();
    let estimates: Vec<Estimate> =
        sweeps.iter().flat_map(|s| s.points.iter().map(|(_, e)| *e)).collect();
    let mut notes =
        vec![format!("{}; {}.", runs.place(&cells), marks::certainty(&cells, &estimates))];
    notes.extend(About::Time.note("hollow", &cells, &absent));
    notes.push(sweep::note(phase).to_owned());
    let frame = Frame { title: name.title.to_owned(), notes, keys };
    let mut told = told(which, phase, &sweeps, &survey, &models);
    told.extend(About::Time.told(runs, &cells, &absent));
    Ok(Figure {
        name,
        svg: panels::draw(&frame, &panels, &sweep::axes(phase, 2)),
        csv: sweep::csv(runs, &sweeps, &survey),
        told,
    })
}

/// The sweeps of the figure: of models that ran on several devices, else of those that ran in one format,
/// for one in several formats has figure 9; else all.
fn to_compare<'a>(which: Devices, all: &[Sweep<'a>]) -> Vec<Sweep<'a>> {
    let own: Vec<&Sweep<'a>> =
        all.iter().filter(|s| which.holds(s.survey_name, s.format)).collect();
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

/// Curves of one model that are not of one file are called by what their files are.
fn tell_files_apart(sweeps: &mut [Sweep]) {
    let files = distinct(sweeps.iter().map(|s| (s.model.clone(), s.quant)));
    let has_several = |model: &str| files.iter().filter(|(m, _)| m == model).count() > 1;
    for sweep in sweeps.iter_mut().filter(|sweep| has_several(&sweep.model)) {
        sweep.heading = format!("{}, {}", sweep.heading, text::plain(sweep.quant));
    }
}

/// The survey's curves, and of the one that was divided by one token too many what it says without
/// that.
fn survey_lines(survey: &[Curve], phase: Phase) -> Vec<(String, Line)> {
    let greys = [Color(0x6e, 0x6e, 0x6e), FAINT];
    let mut lines: Vec<(String, Line)> = survey
        .iter()
        .zip(greys)
        .map(|(curve, grey)| {
            let name = format!("survey: {}", curve.name);
            (name.clone(), marks::curve(&name, &curve.points, grey))
        })
        .collect();
    let meizu = survey.iter().find(|curve| curve.name == MEIZU && phase == Phase::Decode);
    if let Some(meizu) = meizu {
        let mended: Vec<(f64, f64)> = mended(&meizu.points);
        let color = Color(0x8c, 0x2d, 0x04);
        let name = format!("survey: {MEIZU}, times n ÷ (n − 1)");
        lines.push((name.clone(), marks::curve(&name, &mended, color)));
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
                        "{model}: {} takes {lo:.1} to {hi:.1} times what {} takes.",
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

/// The least and the largest factor from one curve to another at lengths that both have.
fn ratio(base: &[(f64, f64)], other: &[(f64, f64)]) -> Option<(f64, f64)> {
    let at = |n: f64| base.iter().find(|p| p.0 == n).map(|p| p.1);
    let factors: Vec<f64> = other.iter().filter_map(|p| Some(p.1 / at(p.0)?)).collect();
    let lo = factors.iter().copied().reduce(f64::min)?;
    Some((lo, factors.iter().copied().fold(lo, f64::max)))
}
