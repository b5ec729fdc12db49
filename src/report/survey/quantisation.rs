//! Figure 9: prefill and decode time against the number of tokens, a line for each quantisation.

use super::caveats::About;
use super::computed::{Reduction, factor, kept_between, kept_with_length, reduction};
use super::data::{self, Curve, Phase};
use super::marks::{self, FOR_SHAPE};
use super::names::{self, Name};
use super::runs::{Measured, Runs};
use super::sweep::{self, Course, Sweep, course, divided_told, sweeps};
use super::{Figure, Missing, percent};
use crate::report::plot::canvas::Color;
use crate::report::plot::distinct;
use crate::report::plot::frame::{self, Frame, Key, Sign};
use crate::report::plot::panels;
use crate::report::text;
use crate::stats::{Estimate, LogRatio};

/// Formats of the survey's figure, from many bits to few: each has a colour.
const FORMATS: [&str; 6] = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"];
/// What measures the figure.
const COMMAND: &str =
    "slmbench run survey-quant, or with --model Qwen1.5-0.5B in a third of the time";

/// Curves of one model on one device with one engine, of each format one.
struct Group<'a> {
    heading: String,
    model: String,
    sweeps: Vec<Sweep<'a>>,
}

impl Group<'_> {
    fn curves(&self) -> Vec<Curve> {
        let curve = |s: &Sweep| Curve { name: FORMATS[place(s.format)], points: s.curve() };
        self.sweeps.iter().map(curve).collect()
    }
}

fn name(phase: Phase) -> Name {
    match phase {
        Phase::Prefill => names::FIG_9A,
        Phase::Decode => names::FIG_9B,
    }
}

/// The figure.
pub fn figure(runs: &Runs, phase: Phase) -> Result<Figure, Missing> {
    let name = name(phase);
    let groups = groups(runs, phase);
    if groups.is_empty() {
        return Err(Missing::new(name, COMMAND));
    }
    let other_phase = match phase {
        Phase::Prefill => Phase::Decode,
        Phase::Decode => Phase::Prefill,
    };
    let others = self::groups(runs, other_phase);
    let (survey, survey_other) = (data::quantisation(phase), data::quantisation(other_phase));
    let theirs = facts(phase, &survey, &survey_other);
    let (mut panels, mut told) = (Vec::new(), Vec::new());
    for group in &groups {
        let lines = group.sweeps.iter().flat_map(|s| s.lines(s.quant, color(s.format)));
        let heading = format!("{}: {}", group.model, group.heading);
        panels.push(sweep::panel(heading, lines.collect()));
        let own = group.curves();
        told.push(format!("{} on {}. {}", group.model, group.heading, reductions_told(&own)));
        let is_same = |o: &&Group| (&o.heading, &o.model) == (&group.heading, &group.model);
        let other = others.iter().find(is_same).map(Group::curves).unwrap_or_default();
        told.push(facts_told(&facts(phase, &own, &other), &theirs));
        told.extend((phase == Phase::Decode).then(|| along_told("Along the tokens out", &own)));
    }
    let lines = survey.iter().map(|c| marks::curve(c.name, &c.points, color(c.name)));
    panels.push(sweep::panel(format!("{FOR_SHAPE}: Phi-1.5, Jetson GPU"), lines.collect()));
    told.push(format!("The survey's curves of Phi-1.5. {}", reductions_told(&survey)));
    if phase == Phase::Decode {
        told.push(along_told("Along the tokens out, the survey's", &survey));
    }
    told.push(claim(phase).to_owned());
    let shown: Vec<Sweep> = distinct_sweeps(&groups);
    let cells: Vec<Measured> = shown.iter().flat_map(|s| s.cells.iter().copied()).collect();
    let estimates: Vec<Estimate> =
        shown.iter().flat_map(|s| s.points.iter().map(|(_, e)| *e)).collect();
    let absent = sweep::absent(runs, &shown, phase, |m| FORMATS.contains(&m.format()));
    told.extend(About::Time.told(runs, &cells, &absent));
    let mut notes =
        vec![format!("{}; {}.", runs.place(&cells), marks::certainty(&cells, &estimates))];
    notes.extend(About::Time.note("hollow", &cells, &absent));
    notes.push(sweep::note(phase).to_owned());
    let formats = FORMATS.map(|name| Key::new(Sign::Line(color(name)), name));
    let frame = Frame { title: name.title.to_owned(), notes, keys: formats.into() };
    Ok(Figure {
        name,
        svg: panels::draw(&frame, &panels, &sweep::axes(phase, 2)),
        csv: sweep::csv(runs, &shown, &survey),
        told,
    })
}

/// Groups of at least two formats, from many bits to few. Where a format occurs by several states of
/// the rules, each state has a group of its own, called by it; formats that occur once stand in all.
fn groups<'a>(runs: &Runs<'a>, phase: Phase) -> Vec<Group<'a>> {
    let mut all = sweeps(runs, phase);
    all.retain(|s| FORMATS.contains(&s.format));
    all.sort_by_key(|s| place(s.format));
    let mut groups = Vec::new();
    for (heading, model) in distinct(all.iter().map(|s| (s.heading.clone(), s.model.clone()))) {
        let own: Vec<&Sweep> =
            all.iter().filter(|s| (&s.heading, &s.model) == (&heading, &model)).collect();
        let is_twice = |s: &&Sweep| own.iter().any(|o| o.format == s.format && o.quant != s.quant);
        let twice: Vec<&Sweep> = own.iter().copied().filter(is_twice).collect();
        let mut states = distinct(twice.iter().map(|s| rules(s.quant)));
        if states.is_empty() {
            states.push("");
        }
        for state in states {
            let sweeps: Vec<Sweep> = own
                .iter()
                .filter(|s| !is_twice(s) || rules(s.quant) == state)
                .map(|s| (*s).clone())
                .collect();
            let quants = twice.iter().filter(|s| rules(s.quant) == state);
            let called = quants.map(|s| text::plain(s.quant));
            let heading =
                [heading.clone()].into_iter().chain(called).collect::<Vec<_>>().join(", ");
            groups.push(Group { heading, model: model.clone(), sweeps });
        }
    }
    groups.retain(|group| group.sweeps.len() > 1);
    groups
}

/// The state of the rules in a quantisation's name.
fn rules(quant: &str) -> &str {
    quant.split_once('@').map_or("", |(_, rules)| rules)
}

/// Every sweep once, though it stands in several groups.
fn distinct_sweeps<'a>(groups: &[Group<'a>]) -> Vec<Sweep<'a>> {
    let mut shown: Vec<Sweep> = Vec::new();
    for sweep in groups.iter().flat_map(|group| &group.sweeps) {
        let (first, device) = (&sweep.cells[0].cell.cell.id, sweep.device);
        if !shown.iter().any(|s| (&s.cells[0].cell.cell.id, s.device) == (first, device)) {
            shown.push(sweep.clone());
        }
    }
    shown
}

fn color(format: &str) -> Color {
    frame::color(place(format))
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
    let is_more = |format: &&str| of_f16(curves, format).is_some_and(|r| r.min < 0.0);
    let sign = if FORMATS.iter().any(is_more) { " (below zero: more)" } else { "" };
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
        false => format!("Less time than F16{sign}, mean over the lengths: {}.", all.join(", ")),
    }
}

/// Something that a figure may show, and what it shows; `None` where the curves are not there.
type Fact = (&'static str, Option<String>);

/// What holds of curves in shape. Pairs of curves are held against each other at the lengths that both
/// have, and told apart where the interval of their ratio over those lengths does not hold 1.
fn facts(phase: Phase, curves: &[Curve], other: &[Curve]) -> Vec<Fact> {
    let pair = |a: &str, b: &str| factor(points(curves, a)?, points(curves, b)?);
    let slower = |a: &str, b: &str| {
        let ratio = pair(b, a)?;
        Some(format!("{} ({})", word(is_above(&ratio)), longer(&ratio)))
    };
    let q4 = |curves| Some([points(curves, "F16")?, points(curves, "Q4_K_M")?]);
    let mut facts = vec![
        ("Q4_K_M is the fastest", fastest("Q4_K_M", &pair)),
        ("Q3_K_M is slower than Q4_K_M", slower("Q3_K_M", "Q4_K_M")),
        ("Q6_K is slower than Q8_0", slower("Q6_K", "Q8_0")),
    ];
    let gain = |curves| of_f16(curves, "Q4_K_M");
    match phase {
        Phase::Prefill => facts.push((
            "what Q4_K_M gains shrinks with longer prompts",
            q4(curves).and_then(|[f16, q4]| kept_with_length(f16, q4)).zip(gain(curves)).map(
                |(ratio, gain)| {
                    let (short, long) = gain.halves;
                    let halves = format!("from {} to {} %", percent(short), percent(long));
                    format!("{} ({halves})", word(is_above(&ratio)))
                },
            ),
        )),
        Phase::Decode => facts.push((
            "decode gains more from Q4_K_M than prefill does",
            q4(other)
                .zip(q4(curves))
                .and_then(|(prefill, decode)| kept_between(prefill, decode))
                .zip(gain(curves).zip(gain(other)))
                .map(|(ratio, (decode, prefill))| {
                    let below = is_above(&ratio).map(|above| !above);
                    let means = format!("{} and {} %", percent(decode.mean), percent(prefill.mean));
                    format!("{} ({means})", word(below))
                }),
        )),
    }
    facts
}

/// Whether a ratio is above 1, below it, or not told apart from it.
fn is_above(ratio: &LogRatio) -> Option<bool> {
    (ratio.lo > 1.0 || ratio.hi < 1.0).then_some(ratio.lo > 1.0)
}

fn word(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not told apart",
    }
}

/// `+20.3 %, +18.9 to +21.7`.
fn longer(ratio: &LogRatio) -> String {
    let percent = |factor: f64| 100.0 * (factor - 1.0);
    let (mean, lo, hi) = (percent(ratio.ratio), percent(ratio.lo), percent(ratio.hi));
    format!("{mean:+.1} %, {lo:+.1} to {hi:+.1}")
}

/// Whether `format` takes less than every other, of which at least two are there.
fn fastest(format: &str, pair: &dyn Fn(&str, &str) -> Option<LogRatio>) -> Option<String> {
    let others: Vec<(&str, LogRatio)> = FORMATS
        .into_iter()
        .filter(|other| *other != format)
        .filter_map(|other| Some((other, pair(format, other)?)))
        .collect();
    let those = |holds: Option<bool>| {
        let names = others.iter().filter(|(_, ratio)| is_above(ratio) == holds);
        names.map(|(name, _)| *name).collect::<Vec<_>>()
    };
    let (faster, alike) = (those(Some(false)), those(None));
    (others.len() > 1).then(|| match (faster.is_empty(), alike.is_empty()) {
        (false, _) => format!("no ({} takes less)", faster.join(", ")),
        (true, false) => format!("not told apart from {}", alike.join(", ")),
        (true, true) => word(Some(true)).to_owned(),
    })
}

fn facts_told(here: &[Fact], survey: &[Fact]) -> String {
    let or_not = |told: &Option<String>| told.clone().unwrap_or_else(|| "not measured".to_owned());
    let one = |((what, here), (_, there)): (&Fact, &Fact)| {
        format!("{what}: {} here, {} in the survey", or_not(here), or_not(there))
    };
    let all: Vec<String> = here.iter().zip(survey).map(one).collect();
    format!(
        "In shape, by the ratio of two curves at the lengths that both have, with its 95 % interval over \
         those lengths: {}.",
        all.join("; ")
    )
}

/// How each curve goes along the tokens out, and which of them were divided by one token too many.
fn along_told(what: &str, curves: &[Curve]) -> String {
    let courses: Vec<(&str, Course)> =
        curves.iter().filter_map(|c| Some((c.name, course(&c.points)?))).collect();
    let along = courses.iter().filter_map(|(name, course)| match course {
        Course::Along { change, .. } => Some(format!("{name} {:+.1} %", 100.0 * change)),
        Course::Divided(_) => None,
    });
    let along = along.collect::<Vec<_>>().join(", ");
    let divided = courses.iter().filter_map(|(name, course)| match course {
        Course::Divided(artefact) => Some(format!(" {name}: {}", divided_told(artefact))),
        Course::Along { .. } => None,
    });
    let divided: String = divided.collect();
    let none = match divided.is_empty() {
        true => " None is a constant divided by one token too many.",
        false => "",
    };
    match along.is_empty() {
        true => format!("{what}:{divided}"),
        false => {
            format!("{what}, from the fewest to the most by least squares: {along}.{none}{divided}")
        }
    }
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
