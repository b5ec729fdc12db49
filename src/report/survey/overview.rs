//! Figure 8: first-token time, decode latency and memory against parameters, with call-outs where a
//! model with more parameters costs less.

use super::caveats::{self, About};
use super::computed::{CallOut, Subject, call_outs, exponent};
use super::data::{self, Overview};
use super::marks::{self, FOR_SHAPE, HOLLOW, SURVEY};
use super::names::{self, Name};
use super::runs::{self, Measured, Runs};
use super::{Figure, Missing, percent, table};
use crate::memory::MemoryBudget;
use crate::model::ModelShape;
use crate::report::plot::canvas::Color;
use crate::report::plot::distinct;
use crate::report::plot::frame::{self, Frame, Key, Sign};
use crate::report::plot::scatter::{self, Axes, Dot, Link, Marks, Panel};
use crate::report::text;
use crate::stats::{Estimate, MIN_INVOCATIONS, spearman};

/// Fewer models than this are no scatter.
const MIN_MODELS: usize = 3;
/// Call-outs of a panel.
const MOST_CALL_OUTS: usize = 3;
/// The survey's lengths: 50 tokens in, and out of them one from the prefill.
pub const N_PROMPT: u32 = 50;
/// Decode calls.
pub const N_GEN: u32 = 49;
/// Its context.
const N_CTX: u32 = 2048;

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Time of the first token.
    FirstToken,
    /// Time per token after it.
    Decode,
    /// Memory.
    Memory,
}

/// A pair that the survey calls out, with its percentages: more parameters as llama.cpp counts them,
/// less cost.
struct Printed {
    larger: &'static str,
    smaller: &'static str,
    more_params: f64,
    less_cost: f64,
}

const fn printed(
    larger: &'static str,
    smaller: &'static str,
    more_params: f64,
    less_cost: f64,
) -> Printed {
    Printed { larger, smaller, more_params, less_cost }
}

impl Cost {
    /// All, as the survey orders them.
    pub const ALL: [Cost; 3] = [Cost::FirstToken, Cost::Decode, Cost::Memory];

    fn name(self) -> Name {
        match self {
            Cost::FirstToken => names::FIG_8A,
            Cost::Decode => names::FIG_8B,
            Cost::Memory => names::FIG_8C,
        }
    }

    fn about(self) -> About {
        if self == Cost::Memory { About::Memory } else { About::Time }
    }

    fn axis(self) -> &'static str {
        match self {
            Cost::FirstToken => "TTFT, 50 tokens in (ms)",
            Cost::Decode => "TPOT, 50 tokens out (ms)",
            Cost::Memory => "memory at n_ctx 2048 (MiB)",
        }
    }

    fn unit(self) -> &'static str {
        if self == Cost::Memory { "MiB" } else { "ms" }
    }

    /// What is said of less of it.
    fn less(self) -> &'static str {
        if self == Cost::Memory { "less memory" } else { "less time" }
    }

    /// Whether a cell is one of the survey's lengths, and where it matters of its context.
    fn is_asked(self, cell: &Measured) -> bool {
        let plan = cell.cell.cell;
        (plan.n_depth, plan.n_prompt, plan.n_gen) == (0, N_PROMPT, N_GEN)
            && (self != Cost::Memory || cell.cell.n_ctx() == Some(N_CTX))
    }

    /// The estimate of a cell that was measured as the survey did.
    fn of(self, cell: &Measured) -> Option<Estimate> {
        let measures = &cell.cell.measures;
        let estimate = match self {
            Cost::FirstToken => measures.ttft_ms.or(measures.prefill_ms),
            Cost::Decode => measures.tpot_ms,
            Cost::Memory => measures.peak_rss_bytes.map(|e| e.scaled(1.0 / f64::from(1 << 20))),
        };
        estimate.filter(|_| self.is_asked(cell))
    }

    /// The survey's.
    fn of_survey(self, point: &Overview) -> f64 {
        match self {
            Cost::FirstToken => point.first_token_ms,
            Cost::Decode => point.decode_ms,
            Cost::Memory => point.memory_mib,
        }
    }

    fn printed(self) -> &'static [Printed] {
        const FIRST_TOKEN: &[Printed] = &[
            printed("Qwen1.5-0.5B", "Qwen2-0.5B", 0.254, 0.319),
            printed("Qwen1.5-1.8B", "Pythia-1.4B", 0.305, 0.185),
            printed("OpenELM-3B", "Phi-2", 0.094, 0.099),
        ];
        const DECODE: &[Printed] = &[printed("Qwen1.5-0.5B", "Qwen2-0.5B", 0.254, 0.118)];
        const MEMORY: &[Printed] = &[
            printed("OpenELM-1.1B", "Bloom-560M", 0.323, 0.238),
            printed("OpenELM-3B", "Gemma-2B", 0.211, 0.138),
        ];
        match self {
            Cost::FirstToken => FIRST_TOKEN,
            Cost::Decode => DECODE,
            Cost::Memory => MEMORY,
        }
    }
}

/// A model in a panel: its cell and its estimate.
type Shown<'a> = (Measured<'a>, Estimate);

/// The figure.
pub fn figure(runs: &Runs, cost: Cost) -> Result<Figure, Missing> {
    let is_known = |m: &&Measured| cost.of(m).is_some() && m.n_params().is_some();
    let known: Vec<Measured> = runs.cells.iter().filter(is_known).copied().collect();
    let groups: Vec<(String, Vec<Shown>)> =
        runs::grouped(runs, &known, |m| text::plain(&m.cell.cell.quant))
            .into_iter()
            .map(|(name, cells)| (name, one_each(&cells, cost)))
            .filter(|(_, shown)| shown.len() >= MIN_MODELS)
            .collect();
    if groups.is_empty() {
        return Err(Missing::new(cost.name(), "slmbench run survey"));
    }
    // Of the devices, engines and files that are shown.
    let place = |m: &Measured| {
        let plan = m.cell.cell;
        (m.device, plan.engine.clone(), plan.quant.clone())
    };
    let is_absent = |m: &&Measured| {
        let mut shown = groups.iter().flat_map(|(_, shown)| shown.first());
        cost.is_asked(m) && shown.any(|(first, _)| place(first) == place(m))
    };
    let unfinished: Vec<Measured> = runs.unfinished.iter().filter(is_absent).copied().collect();
    let survey = survey_subjects(runs, cost);
    let mut told = Vec::new();
    let mut panels = Vec::new();
    let mut has_links = false;
    let all = || groups.iter().flat_map(|(_, shown)| shown);
    let survey_archs = survey.iter().map(|s| s.arch);
    let archs = distinct(all().map(|(m, _)| m.arch()).chain(survey_archs));
    for (name, shown) in &groups {
        let subjects = subjects(shown);
        let found = call_outs(&subjects, MOST_CALL_OUTS);
        panels.push(panel(cost, name, shown, &found, &archs));
        told.push(shape_told(cost, name, shown, &survey));
        told.extend(memory_told(cost, shown));
        has_links |= !found.is_empty();
        told.push(call_outs_told(cost, &subjects, &found));
        told.extend(printed_told(cost, &subjects, shown, &survey));
    }
    panels.push(survey_panel(cost, &survey));
    let cells: Vec<Measured> = all().map(|(m, _)| *m).collect();
    let estimates: Vec<Estimate> = all().map(|(_, e)| *e).collect();
    told.extend(cost.about().told(runs, &cells, &unfinished));
    let keys = keys(cost, &archs, &cells, &estimates);
    let mut notes =
        vec![format!("{}; {}.", runs.place(&cells), marks::certainty(&cells, &estimates))];
    notes.extend(cost.about().note("*", &cells, &unfinished));
    notes.push(format!(
        "Points: geometric mean of the medians of the invocations, at the model's unique parameters; \
         both axes are logarithmic. Each panel has its own scale.{}",
        match has_links {
            true => format!(" Red: more parameters, yet {}, by more than the intervals.", cost.less()),
            false => String::new(),
        }
    ));
    let frame = Frame { title: cost.name().title.to_owned(), notes, keys };
    let axes = Axes {
        x: "unique parameters",
        x_marks: Marks::Parameters,
        log_y: true,
        names_above: false,
        columns: 1,
        height: 320.0,
    };
    Ok(Figure {
        name: cost.name(),
        svg: scatter::draw(&frame, &panels, &axes),
        csv: csv(runs, cost, &groups, &survey),
        told,
    })
}

/// One cell for each model: the one that ran with the most invocations.
fn one_each<'a>(cells: &[Measured<'a>], cost: Cost) -> Vec<Shown<'a>> {
    let names = distinct(cells.iter().map(|m| &m.cell.cell.model));
    let best = |name: &&String| {
        let own = cells.iter().filter(|m| m.cell.cell.model == **name);
        let cell = *own.max_by_key(|m| m.cell.n_invocations)?;
        Some((cell, cost.of(&cell)?))
    };
    names.iter().filter_map(best).collect()
}

fn subjects(shown: &[Shown]) -> Vec<Subject> {
    let subject = |(m, e): &Shown| Subject {
        name: m.name(),
        n_params: m.n_params().unwrap_or(1.0),
        cost: e.value,
        interval: e.interval(),
    };
    shown.iter().map(subject).collect()
}

/// The survey's point of a model.
struct SurveyPoint {
    name: String,
    arch: &'static str,
    n_params: f64,
    n_params_llama_cpp: f64,
    cost: f64,
}

fn survey_subjects(runs: &Runs, cost: Cost) -> Vec<SurveyPoint> {
    let of = |point: Overview| {
        let shape: &ModelShape = runs.catalogue.get(&point.model).ok()?;
        Some(SurveyPoint {
            arch: shape.arch.name(),
            n_params: shape.n_params() as f64,
            n_params_llama_cpp: point.n_params_llama_cpp,
            cost: cost.of_survey(&point),
            name: point.model,
        })
    };
    data::overview().into_iter().filter_map(of).collect()
}

/// Filled by size: below 1, 2, and above.
fn size_class(n_params: f64) -> usize {
    match n_params {
        n if n < 1e9 => 0,
        n if n < 2e9 => 1,
        _ => 2,
    }
}

/// Colour of the family, shape of the size; of families beyond the colours points are hollow.
fn look(archs: &[&str], arch: &str, n_params: f64) -> (Color, usize) {
    let at = archs.iter().position(|known| *known == arch).unwrap_or(0);
    let (color, round) = frame::color_and_shape(at);
    (color, size_class(n_params) + HOLLOW * round.min(1))
}

fn panel(cost: Cost, name: &str, shown: &[Shown], found: &[CallOut], archs: &[&str]) -> Panel {
    let mut dots: Vec<Dot> = shown
        .iter()
        .map(|(m, e)| {
            let n_params = m.n_params().unwrap_or(1.0);
            let (color, shape) = look(archs, m.arch(), n_params);
            let star = if cost.about().is_marked(m) { " *" } else { "" };
            let dot = marks::dot((n_params, e.value), color, shape, &(m.name() + star));
            let tip = format!("{}: {}, {}", m.name(), in_words(e), cost.axis());
            Dot { spread: e.interval(), ghost: m.other_count(), tip, ..dot }
        })
        .collect();
    if cost == Cost::Memory {
        dots.extend(shown.iter().filter_map(|(m, _)| {
            let n_params = m.n_params()?;
            let (color, _) = look(archs, m.arch(), n_params);
            let predicted = predicted_mib(m)?;
            Some(marks::dot((n_params, predicted), color, HOLLOW + 3, ""))
        }));
    }
    let link = |c: &CallOut| Link {
        ends: (c.smaller, c.larger),
        text: format!(
            "+{:.0} % parameters, {:.0} % {}",
            100.0 * c.more_params,
            100.0 * c.less_cost,
            cost.less()
        ),
    };
    Panel {
        heading: name.to_owned(),
        y: cost.axis().to_owned(),
        dots,
        links: found.iter().map(link).collect(),
        fronts: Vec::new(),
    }
}

/// `12.34 [12.10, 12.58]`.
fn in_words(estimate: &Estimate) -> String {
    let value = text::number(estimate.value);
    let d = text::decimals(estimate.value);
    estimate.interval().map_or(value.clone(), |(lo, hi)| format!("{value} [{lo:.d$}, {hi:.d$}]"))
}

fn survey_panel(cost: Cost, survey: &[SurveyPoint]) -> Panel {
    let dots = survey.iter().map(|point| {
        let shape = HOLLOW + size_class(point.n_params);
        let dot = marks::dot((point.n_params, point.cost), SURVEY, shape, &point.name);
        let differs = (point.n_params_llama_cpp / point.n_params - 1.0).abs() > 0.01;
        let tip = format!("{}: {}, {}", point.name, text::number(point.cost), cost.axis());
        Dot { ghost: differs.then_some(point.n_params_llama_cpp), tip, ..dot }
    });
    Panel {
        heading: format!("{FOR_SHAPE}: Jetson Orin NX 16GB, GPU, llama.cpp of 2024, Q4_K_M"),
        y: cost.axis().to_owned(),
        dots: dots.collect(),
        links: Vec::new(),
        fronts: Vec::new(),
    }
}

fn keys(cost: Cost, archs: &[&str], cells: &[Measured], estimates: &[Estimate]) -> Vec<Key> {
    let present: Vec<&&str> =
        archs.iter().filter(|arch| cells.iter().any(|m| m.arch() == **arch)).collect();
    let mut keys: Vec<Key> = present
        .into_iter()
        .map(|arch| {
            let (color, shape) = look(archs, arch, 0.0);
            Key::new(Sign::Dot(color, shape), text::plain(arch))
        })
        .collect();
    let smallest = match cost {
        Cost::Memory => "measured peak of the resident set, below 1 B",
        Cost::FirstToken | Cost::Decode => "below 1 B",
    };
    let classes = [smallest, "1 to 2 B", "above 2 B"].into_iter().enumerate();
    keys.extend(classes.map(|(class, word)| Key::new(Sign::Point(class), word)));
    if cost == Cost::Memory {
        keys.push(Key::new(Sign::Point(HOLLOW + 3), "predicted, all that is reserved"));
    }
    keys.push(Key::new(Sign::Dot(SURVEY, HOLLOW), FOR_SHAPE));
    keys.push(Key::new(Sign::Ghost, "to the count as llama.cpp counts, where it differs"));
    if estimates.iter().any(|e| e.interval().is_some()) {
        keys.push(Key::new(Sign::Interval, "95 % interval over invocations"));
    }
    keys
}

fn predicted_mib(m: &Measured) -> Option<f64> {
    let bytes = m.cell.predicted.as_ref().map(MemoryBudget::total_bytes)?;
    Some(bytes as f64 / f64::from(1 << 20))
}

/// How the cost grows with the parameters, here and there, and whether models stand in one order.
fn shape_told(cost: Cost, name: &str, shown: &[Shown], survey: &[SurveyPoint]) -> String {
    let by_cost = |a: &&Shown, b: &&Shown| a.1.value.total_cmp(&b.1.value);
    let (least, most) = (shown.iter().min_by(by_cost), shown.iter().max_by(by_cost));
    let end = |end: Option<&Shown>| {
        end.map_or(String::new(), |(m, e)| {
            format!("{} {} ({})", text::number(e.value), cost.unit(), m.name())
        })
    };
    let points: Vec<(f64, f64)> =
        shown.iter().map(|(m, e)| (m.n_params().unwrap_or(1.0), e.value)).collect();
    let theirs: Vec<(f64, f64)> = survey.iter().map(|s| (s.n_params, s.cost)).collect();
    let mut told = format!(
        "{name}: {} from {} to {}.",
        text::count(shown.len(), "model"),
        end(least),
        end(most)
    );
    let word = |value: Option<f64>| value.map_or(text::MISSING.to_owned(), |v| format!("{v:.2}"));
    let common: Vec<(f64, f64, f64)> = shown
        .iter()
        .filter_map(|(m, e)| {
            let own = survey.iter().find(|s| Some(&*s.name) == m.survey_name())?;
            Some((own.n_params, e.value, own.cost))
        })
        .collect();
    told += &format!(
        " It grows with the power {} of the unique parameters, and by rank follows them with {} \
         (Spearman); over all {} points of the survey these are {} and {}.",
        word(exponent(points.iter().copied())),
        word(spearman(&points)),
        survey.len(),
        word(exponent(theirs.iter().copied())),
        word(spearman(&theirs)),
    );
    let pairs: Vec<(f64, f64)> = common.iter().map(|c| (c.1, c.2)).collect();
    if let Some(rho) = spearman(&pairs) {
        told += &format!(
            " Of the {} models that both have, the orders agree by {rho:.2}; the power over those is {} \
             here and {} there.",
            pairs.len(),
            word(exponent(common.iter().map(|c| (c.0, c.1)))),
            word(exponent(common.iter().map(|c| (c.0, c.2)))),
        );
    }
    told
}

/// How measured memory stands to what was predicted and to what the survey plots.
fn memory_told(cost: Cost, shown: &[Shown]) -> Option<String> {
    let pairs = shown.iter().filter_map(|(m, e)| Some(e.value / predicted_mib(m)?));
    let ratios: Vec<f64> = pairs.filter(|_| cost == Cost::Memory).collect();
    let least = ratios.iter().copied().reduce(f64::min)?;
    let most = ratios.iter().copied().reduce(f64::max)?;
    Some(format!(
        "The measured peak is {least:.2} to {most:.2} times what is predicted to be reserved: of the \
         compute buffer llama.cpp touches what {N_PROMPT} tokens need and one row of logits, and the \
         program itself stands in the peak. The survey's values are sums of buffers, with a second copy \
         of a tied embedding on the CPU."
    ))
}

fn call_outs_told(cost: Cost, subjects: &[Subject], found: &[CallOut]) -> String {
    let with = subjects.iter().filter(|s| s.interval.is_some()).count();
    if with < 2 {
        return format!(
            "No call-outs: fewer than {MIN_INVOCATIONS} invocations give no intervals, and without \
             them no difference is told."
        );
    }
    let (whose, of) = match with == subjects.len() {
        true => (String::new(), String::new()),
        false => {
            let these = format!("the {with} of {} models that have intervals", subjects.len());
            (format!(" of {these}"), format!(" among {these}"))
        }
    };
    if found.is_empty() {
        return format!(
            "No call-outs: by more than the intervals, no model{whose} takes {} here than one with fewer \
             unique parameters.",
            cost.less()
        );
    }
    let one = |c: &CallOut| {
        format!(
            "{} has {} % more unique parameters than {} and takes {} % {}",
            subjects[c.larger].name,
            percent(c.more_params),
            subjects[c.smaller].name,
            percent(c.less_cost),
            cost.less()
        )
    };
    let found = found.iter().map(one).collect::<Vec<_>>().join("; ");
    format!("Call-outs{of}: {found}.")
}

/// The survey's own call-outs held against unique parameters and against what was measured here.
fn printed_told(
    cost: Cost,
    subjects: &[Subject],
    shown: &[Shown],
    survey: &[SurveyPoint],
) -> Vec<String> {
    let here = |name: &str| {
        let at = shown.iter().position(|(m, _)| m.survey_name() == Some(name))?;
        Some(&subjects[at])
    };
    let there = |name: &str| survey.iter().find(|point| point.name == name);
    let one = |p: &Printed| {
        let (a, b) = (there(p.larger)?, there(p.smaller)?);
        let mut told = format!(
            "The survey calls out {} against {}: {} % more parameters, {} % {}. Of unique parameters \
             the first has {:+.1} %",
            p.larger,
            p.smaller,
            percent(p.more_params),
            percent(p.less_cost),
            cost.less(),
            100.0 * (a.n_params / b.n_params - 1.0),
        );
        match here(p.larger).zip(here(p.smaller)) {
            Some((a, b)) => {
                let sure = match a.interval.zip(b.interval) {
                    Some((a, b)) if a.1 < b.0 || b.1 < a.0 => "",
                    Some(_) => ", within the intervals",
                    None => ", without intervals to tell whether that says anything",
                };
                let more = a.cost / b.cost - 1.0;
                let word = if more < 0.0 { "less" } else { "more" };
                told += &format!("; here it takes {} % {word}{sure}.", percent(more.abs()));
            }
            None => told += "; these runs do not hold both.",
        }
        Some(told)
    };
    cost.printed().iter().filter_map(one).collect()
}

fn csv(runs: &Runs, cost: Cost, groups: &[(String, Vec<Shown>)], survey: &[SurveyPoint]) -> String {
    let header = [
        "source",
        "engine",
        "quant",
        "model",
        "survey_model",
        "arch",
        "n_params",
        "n_params_llama_cpp",
        "unit",
        "value",
        "lo",
        "hi",
        "n_invocations",
        "predicted_mib",
        "marks",
    ];
    let or_empty = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v}"));
    let ours = groups.iter().flat_map(|(_, shown)| shown).map(|(m, e)| {
        vec![
            runs.devices[m.device].clone(),
            text::plain(&m.cell.cell.engine),
            text::plain(&m.cell.cell.quant),
            m.name(),
            m.survey_name().unwrap_or_default().to_owned(),
            m.arch().to_owned(),
            or_empty(m.n_params()),
            or_empty(m.cell.model.map(|model| model.n_params_llama_cpp as f64)),
            cost.unit().to_owned(),
            format!("{}", e.value),
            or_empty(e.lo),
            or_empty(e.hi),
            e.n.to_string(),
            or_empty(predicted_mib(m).filter(|_| cost == Cost::Memory)),
            caveats::in_csv(m.cell.marks.iter().copied()),
        ]
    });
    let theirs = survey.iter().map(|s| {
        vec![
            "survey: Jetson Orin NX 16GB".to_owned(),
            "llama.cpp".to_owned(),
            "Q4_K_M".to_owned(),
            s.name.clone(),
            s.name.clone(),
            s.arch.to_owned(),
            format!("{}", s.n_params),
            format!("{}", s.n_params_llama_cpp),
            cost.unit().to_owned(),
            format!("{}", s.cost),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]
    });
    table(&header, ours.chain(theirs))
}
