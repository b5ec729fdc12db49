//! Figure 9: prefill and decode time against the number of tokens, a line for each quantisation.

use super::computed::{Reduction, reduction};
use super::data::{self, Curve, Phase};
use super::marks::{self, FOR_SHAPE};
use super::runs::{Measured, Runs};
use super::sweep::{self, Sweep, sweeps};
use super::{Figure, Missing, percent};
use crate::report::plot::distinct;
use crate::report::plot::frame::{self, Frame, Key, Sign};
use crate::report::plot::panels::{self, Panel};
use crate::stats::Estimate;

/// Formats of the survey's figure, from many bits to few: each has a colour.
const FORMATS: [&str; 6] = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"];
/// What measures the figure.
const COMMAND: &str =
    "slmbench run survey-quant, or with --model Qwen1.5-0.5B in a third of the time";

fn names(phase: Phase) -> (&'static str, &'static str, &'static str) {
    match phase {
        Phase::Prefill => (
            "9a",
            "fig09a-quantisation-prefill",
            "First-token time against the prompt, by quantisation",
        ),
        Phase::Decode => {
            ("9b", "fig09b-quantisation-decode", "Decode latency against tokens, by quantisation")
        }
    }
}

/// The figure.
pub fn figure(runs: &Runs, phase: Phase) -> Result<Figure, Missing> {
    let (number, stem, title) = names(phase);
    let of = |phase| -> Vec<Sweep> {
        let all = sweeps(runs, phase).into_iter();
        let mut all: Vec<Sweep> = all.filter(|s| FORMATS.contains(&s.format)).collect();
        all.sort_by_key(|s| place(s.format));
        all
    };
    let all = of(phase);
    let mut groups = distinct(all.iter().map(|s| (s.heading.clone(), s.model.clone())));
    let within = |all: &[Sweep], group: &(String, String)| -> Vec<Curve> {
        let own = all.iter().filter(|s| (&s.heading, &s.model) == (&group.0, &group.1));
        let curves = own.map(|s| Curve { name: FORMATS[place(s.format)], points: s.curve() });
        curves.collect()
    };
    groups.retain(|group| within(&all, group).len() > 1);
    if groups.is_empty() {
        return Err(Missing { number, title, command: COMMAND });
    }
    let shown: Vec<Sweep> = all
        .iter()
        .filter(|s| groups.contains(&(s.heading.clone(), s.model.clone())))
        .cloned()
        .collect();
    let survey = data::quantisation(phase);
    let mut panels: Vec<Panel> = groups
        .iter()
        .map(|group| {
            let own = shown.iter().filter(|s| (&s.heading, &s.model) == (&group.0, &group.1));
            let lines = own.map(|s| marks::line(&s.points, frame::color(place(s.format))));
            sweep::panel(format!("{}: {}", group.1, group.0), lines.collect())
        })
        .collect();
    let lines = survey.iter().map(|c| marks::curve(&c.points, frame::color(place(c.name))));
    panels.push(sweep::panel(format!("{FOR_SHAPE}: Phi-1.5, Jetson GPU"), lines.collect()));
    let mut told = Vec::new();
    let other_phase = match phase {
        Phase::Prefill => Phase::Decode,
        Phase::Decode => Phase::Prefill,
    };
    let other = of(other_phase);
    for group in &groups {
        let own = within(&all, group);
        told.push(format!("{} on {}. {}", group.1, group.0, reductions_told(&own)));
        let here = facts(phase, &own, &within(&other, group));
        let theirs = facts(phase, &survey, &data::quantisation(other_phase));
        told.push(facts_told(&here, &theirs));
    }
    told.push(format!("The survey's curves of Phi-1.5. {}", reductions_told(&survey)));
    told.push(claim(phase).to_owned());
    let cells: Vec<Measured> = shown.iter().flat_map(|s| s.cells.iter().copied()).collect();
    let estimates: Vec<Estimate> =
        shown.iter().flat_map(|s| s.points.iter().map(|(_, e)| *e)).collect();
    let formats =
        FORMATS.iter().enumerate().map(|(i, name)| Key::new(Sign::Line(frame::color(i)), *name));
    let frame = Frame {
        title: title.to_owned(),
        notes: vec![
            format!("{}; {}.", runs.place(&cells), marks::certainty(&cells, &estimates)),
            sweep::note(phase).to_owned(),
        ],
        keys: formats.collect(),
    };
    Ok(Figure {
        number,
        stem,
        title: title.to_owned(),
        svg: panels::draw(&frame, &panels, &sweep::axes(phase, 2)),
        csv: sweep::csv(runs, &shown, &survey),
        told,
    })
}

fn place(format: &str) -> usize {
    FORMATS.iter().position(|known| *known == format).unwrap_or(0)
}

fn points<'a>(curves: &'a [Curve], format: &str) -> Option<&'a [(f64, f64)]> {
    curves.iter().find(|c| c.name == format).map(|c| c.points.as_slice())
}

fn of_f16(curves: &[Curve], format: &str) -> Option<Reduction> {
    reduction(points(curves, "F16")?, points(curves, format)?)
}

/// What each format takes off the time of F16.
fn reductions_told(curves: &[Curve]) -> String {
    let one = |format: &&str| {
        let r = of_f16(curves, format)?;
        Some(format!(
            "{format} {} % (from {} to {} %)",
            percent(r.mean),
            percent(r.min),
            percent(r.max)
        ))
    };
    let all: Vec<String> = FORMATS[1..].iter().filter_map(one).collect();
    match all.is_empty() {
        true => "F16 is not among the formats: there is nothing to be reduced.".to_owned(),
        false => format!("Less time than F16, mean over the lengths: {}.", all.join(", ")),
    }
}

/// Something that a figure may show, and whether it does.
type Fact = (&'static str, Option<bool>);

/// What holds of curves in shape, where they tell.
fn facts(phase: Phase, curves: &[Curve], other: &[Curve]) -> Vec<Fact> {
    let mean = |format: &str| {
        let points = points(curves, format)?;
        Some(points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64)
    };
    let slower = |a: &str, b: &str| Some(mean(a)? > mean(b)?);
    let fastest = || {
        let own = mean("Q4_K_M")?;
        let all: Vec<f64> = FORMATS.iter().filter_map(|format| mean(format)).collect();
        (all.len() > 2).then(|| all.iter().all(|ms| *ms >= own))
    };
    let mut facts = vec![
        ("Q4_K_M is the fastest", fastest()),
        ("Q3_K_M is slower than Q4_K_M", slower("Q3_K_M", "Q4_K_M")),
        ("Q6_K is slower than Q8_0", slower("Q6_K", "Q8_0")),
    ];
    match phase {
        Phase::Prefill => facts.push((
            "what Q4_K_M gains shrinks with longer prompts",
            of_f16(curves, "Q4_K_M").map(|r| r.halves.0 > r.halves.1),
        )),
        Phase::Decode => facts.push((
            "decode gains more from Q4_K_M than prefill does",
            of_f16(curves, "Q4_K_M").zip(of_f16(other, "Q4_K_M")).map(|(d, p)| d.mean > p.mean),
        )),
    }
    facts
}

fn facts_told(here: &[Fact], survey: &[Fact]) -> String {
    let word = |holds: Option<bool>| match holds {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not measured",
    };
    let one = |((what, here), (_, there)): (&Fact, &Fact)| {
        format!("{what}: {} here, {} in the survey", word(*here), word(*there))
    };
    let all: Vec<String> = here.iter().zip(survey).map(one).collect();
    format!("In shape, by means over the lengths: {}.", all.join("; "))
}

/// What the survey's text says of its figure, and what follows from the figure.
fn claim(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => {
            "The survey's text says that Q4_K_M takes 50 % off prefill on average. Its own points say \
             what stands above."
        }
        Phase::Decode => {
            "The survey's text says that quantisation takes up to 75 % off decode and no less than 17 %. \
             Its own points say what stands above."
        }
    }
}
