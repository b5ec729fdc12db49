//! Two sides brought together: which cells belong together, what is said of each, and the whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::identity::{Axis, Difference, Words, differences};
use super::measure::{Kind, Measure};
use super::side::{Case, Side};
use super::verdict::{Design, Judged, Policy, Verdict, counted, judge, missing};
use crate::record::{Mark, PROGRAM};
use crate::stats::{MIN_INVOCATIONS, geometric_mean};

/// Version of `comparison.json`.
const FORMAT: u32 = 1;

/// Confidence of the intervals of stored runs.
const ALPHA: f64 = 0.05;

/// Two sides, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this format.
    pub format: u32,
    /// Who judged.
    pub program: &'static str,
    /// How the invocations belong together.
    pub design: Design,
    /// What the baseline is called.
    pub base: String,
    /// What the candidate is called.
    pub head: String,
    /// What may differ in the cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub across: Option<Axis>,
    /// What counts as a difference.
    pub policy: Policy,
    /// With what was measured, as far as it differs: that is what is judged.
    pub makers: Vec<Difference>,
    /// Where was measured, as far as it differs.
    pub places: Vec<Difference>,
    /// A row for each measure of each cell, the largest effect first.
    pub rows: Vec<Row>,
    /// By measure: geometric mean of the ratios of all cells that could be compared.
    pub headline: BTreeMap<Measure, Headline>,
    /// How often each verdict was given.
    pub counts: BTreeMap<Verdict, usize>,
    /// How many rows would be called regressed although nothing had changed, at the most.
    pub regressed_by_chance: f64,
    /// Cells that only the baseline has.
    pub only_base: Vec<String>,
    /// Cells that only the candidate has.
    pub only_head: Vec<String>,
    /// Cells of which an invocation of the baseline did not finish, and how it ended.
    pub unfinished_base: Vec<String>,
    /// Cells of which an invocation of the candidate did not finish, and how it ended.
    pub unfinished_head: Vec<String>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// The geometric mean of ratios.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Headline {
    /// Candidate ÷ baseline.
    pub ratio: f64,
    /// Cells in it.
    pub n_cells: usize,
}

/// A measure of a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The cell's id in the baseline, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// What the baseline measured.
    pub what: Words,
    /// What of it is otherwise in the candidate.
    pub what_differs: Vec<Difference>,
    /// What is timed: `pp128`, `tg32 @ d128`, `peak memory`.
    pub test: String,
    /// What is said of it.
    #[serde(flatten)]
    pub judged: Judged,
    /// Marks on invocations of either side, with their numbers.
    pub marks: BTreeMap<&'static str, (usize, usize)>,
}

/// Why two sides cannot be compared at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// They have nothing in common.
    #[error(
        "{base} and {head} have no cell in common\n{closest}{}hint: {hint}",
        if closest.is_empty() { "" } else { "\n" }
    )]
    NothingInCommon {
        /// The baseline.
        base: String,
        /// The candidate.
        head: String,
        /// How the two cells that are most alike differ.
        closest: String,
        /// What to do.
        hint: String,
    },
    /// Their common cells have none of what is to be judged.
    #[error("{base} and {head} have cells in common, but neither has measured {measures}")]
    NothingMeasured {
        /// The baseline.
        base: String,
        /// The candidate.
        head: String,
        /// What was to be judged.
        measures: String,
    },
}

impl Comparison {
    /// Two runs at different times, or one with itself across an axis.
    pub fn of_sides(
        base: &Side,
        head: &Side,
        across: Option<Axis>,
        policy: Policy,
    ) -> Result<Comparison, CompareError> {
        let matched = matched(base, head, across);
        if matched.is_empty() {
            return Err(nothing_in_common(base, head, across));
        }
        let mut places = match across {
            Some(Axis::Host) => Vec::new(),
            _ => differences(&base.place, &head.place),
        };
        let gpus_differ = across == Some(Axis::BackendDevice);
        places.retain(|d| !(gpus_differ && d.name == "GPUs"));
        let cases: Vec<(&Case, &Case, Vec<Judged>)> = matched
            .iter()
            .map(|&(base, head)| {
                let mut judged = judged(base, head, &policy);
                if let Some(why) = kept_apart(base, head, &places) {
                    for one in &mut judged {
                        one.verdict = Verdict::NotComparable;
                        one.why = Some(why.clone());
                        one.pairs_needed = None;
                    }
                }
                (base, head, judged)
            })
            .collect();
        let mut comparison = Comparison::of_cases(&cases, Design::Stored, policy);
        comparison.base.clone_from(&base.label);
        comparison.head.clone_from(&head.label);
        comparison.across = across;
        comparison.places = places;
        let lonely = |side: &Side, is_in: &dyn Fn(&Case) -> bool| -> Vec<String> {
            side.cases.iter().filter(|case| !is_in(case)).map(Case::name).collect()
        };
        // Of a run compared with itself every other engine is elsewhere in the table.
        if !std::ptr::eq(base, head) {
            comparison.only_base =
                lonely(base, &|case| matched.iter().any(|(b, _)| std::ptr::eq(*b, case)));
            comparison.only_head =
                lonely(head, &|case| matched.iter().any(|(_, h)| std::ptr::eq(*h, case)));
        }
        comparison.unfinished_base.extend(base.unfinished.iter().cloned());
        comparison.unfinished_head.extend(head.unfinished.iter().cloned());
        comparison.notes.extend(base.notes.iter().chain(&head.notes).cloned());
        comparison.notes.dedup();
        if comparison.rows.is_empty() {
            let measures: Vec<&str> = comparison.policy.measures.iter().map(|m| m.word()).collect();
            let (base, head) = (base.label.clone(), head.label.clone());
            return Err(CompareError::NothingMeasured {
                base,
                head,
                measures: measures.join(", "),
            });
        }
        Ok(comparison)
    }

    /// Cells whose measures have been judged already.
    pub fn of_cases(
        cases: &[(&Case, &Case, Vec<Judged>)],
        design: Design,
        policy: Policy,
    ) -> Comparison {
        let mut rows: Vec<Row> = Vec::new();
        let mut makers: Vec<Difference> = Vec::new();
        let (mut unfinished_base, mut unfinished_head) = (Vec::new(), Vec::new());
        for (base, head, judged) in cases {
            makers.extend(differences(&base.maker, &head.maker));
            unfinished_base.extend(base.told_unfinished());
            unfinished_head.extend(head.told_unfinished());
            for one in judged {
                let Some(test) = one.measure.test(base.lengths) else { continue };
                rows.push(Row {
                    cell: base.id.clone(),
                    what: base.what.clone(),
                    what_differs: differences(&base.what, &head.what),
                    test,
                    marks: marks(base, head),
                    judged: one.clone(),
                });
            }
        }
        makers.sort();
        makers.dedup();
        // What cannot be compared has no effect to be sorted by.
        let effect = |row: &Row| match row.judged.verdict {
            Verdict::NotComparable => -1.0,
            _ if row.judged.ratio.is_finite() && row.judged.ratio > 0.0 => {
                row.judged.ratio.ln().abs()
            }
            _ => f64::INFINITY,
        };
        rows.sort_by(|a, b| effect(b).total_cmp(&effect(a)));
        // One mean over a → b and b → c would say nothing of either.
        let mut pairs: Vec<&Vec<Difference>> = rows.iter().map(|row| &row.what_differs).collect();
        pairs.dedup();
        let headline = match pairs.iter().all(|one| one == &pairs[0]) {
            true => headline(&rows),
            false => BTreeMap::new(),
        };
        let counts = counted(rows.iter().map(|row| &row.judged));
        let by_chance = |row: &Row| match row.judged.verdict {
            Verdict::NotComparable => 0.0,
            _ => row.judged.alpha.unwrap_or(0.0) / 2.0,
        };
        Comparison {
            format: FORMAT,
            program: PROGRAM,
            design,
            base: String::new(),
            head: String::new(),
            across: None,
            policy,
            makers,
            places: Vec::new(),
            regressed_by_chance: rows.iter().map(by_chance).sum(),
            rows,
            headline,
            counts,
            only_base: Vec::new(),
            only_head: Vec::new(),
            unfinished_base,
            unfinished_head,
            notes: Vec::new(),
        }
    }

    /// Rows with this verdict.
    pub fn n(&self, verdict: Verdict) -> usize {
        self.counts.get(&verdict).copied().unwrap_or(0)
    }
}

/// The measures of two cells that belong together.
fn judged(base: &Case, head: &Case, policy: &Policy) -> Vec<Judged> {
    let one = |&measure: &Measure| {
        let values = |case: &Case| case.values.get(&measure).cloned().unwrap_or_default();
        let (b, h) = (values(base), values(head));
        let threshold = policy.threshold(measure);
        let mut judged = judge(measure, &b, &h, Design::Stored, threshold, ALPHA)
            .or_else(|| missing(measure, &b, &h))?;
        if judged.n.0.min(judged.n.1) < MIN_INVOCATIONS
            && let Some(ranges) = ranges(measure, base, head)
            && let Some(why) = &mut judged.why
        {
            why.push_str(&ranges);
        }
        Some(judged)
    };
    policy.measures.iter().filter_map(one).collect()
}

/// Where there is no interval, what the repetitions spanned: no measure of how sure one may be.
fn ranges(measure: Measure, base: &Case, head: &Case) -> Option<String> {
    let of = |case: &Case| case.ranges.get(&measure).filter(|(lo, hi)| lo < hi).copied();
    let ((a, b), (c, d)) = (of(base)?, of(head)?);
    (measure.kind() == Kind::Time)
        .then(|| format!("; repetitions: base {a:.2} to {b:.2} ms, head {c:.2} to {d:.2} ms"))
}

/// Why two cells cannot be compared although they are the same cell.
fn kept_apart(base: &Case, head: &Case, places: &[Difference]) -> Option<String> {
    if !places.is_empty() {
        let listed: Vec<String> = places.iter().map(Difference::to_string).collect();
        return Some(format!("measured in different places: {}", listed.join("; ")));
    }
    let (base, head) = (base.prevailing_marks(), head.prevailing_marks());
    // An engine built for less than the machine has is what is judged.
    let differ: Vec<&str> = base
        .symmetric_difference(&head)
        .filter(|mark| **mark != Mark::BelowMachine)
        .map(|mark| mark.word())
        .collect();
    (!differ.is_empty())
        .then(|| format!("one side alone was {}", differ.join(", ").replace('_', " ")))
}

/// The cells that belong together.
fn matched<'a>(base: &'a Side, head: &'a Side, across: Option<Axis>) -> Vec<(&'a Case, &'a Case)> {
    let left_out = across.map_or(&[][..], Axis::names);
    let key = |case: &Case| -> Words {
        let kept = case.what.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
        kept.map(|(name, word)| (name.clone(), word.clone())).collect()
    };
    let mut by_key: BTreeMap<Words, Vec<&Case>> = BTreeMap::new();
    for case in &head.cases {
        by_key.entry(key(case)).or_default().push(case);
    }
    let mut pairs: Vec<(&Case, &Case)> = Vec::new();
    for case in &base.cases {
        for &other in by_key.get(&key(case)).into_iter().flatten() {
            // A run compared with itself across an axis: each two cells once, and none with itself.
            let is_itself = case.what == other.what;
            let is_turned = pairs.iter().any(|(b, h)| b.what == other.what && h.what == case.what);
            if left_out.is_empty() || !(is_itself || is_turned) {
                pairs.push((case, other));
            }
        }
    }
    pairs
}

fn nothing_in_common(base: &Side, head: &Side, across: Option<Axis>) -> CompareError {
    let closest = base
        .cases
        .iter()
        .flat_map(|b| head.cases.iter().map(move |h| (b, h, apart(&b.what, &h.what))))
        .min_by_key(|(.., apart)| apart.len());
    let closest = closest.map_or(String::new(), |(b, h, apart)| {
        format!(
            "the closest are {} and {}, which differ in {}",
            b.name(),
            h.name(),
            apart.join("; ")
        )
    });
    let mut others = Axis::ALL.into_iter().filter(|axis| Some(*axis) != across);
    let hint = others
        .find(|&axis| !matched(base, head, Some(axis)).is_empty())
        .map(|axis| format!("--across {axis} compares cells that differ in nothing else"))
        .unwrap_or_else(|| {
            "both need the same model, quant and lengths; --across engine, quant, backend_device or \
             host compares what differs on purpose"
                .to_owned()
        });
    CompareError::NothingInCommon {
        base: base.label.clone(),
        head: head.label.clone(),
        closest,
        hint,
    }
}

/// In what two cells differ, words that only one of them has among them.
fn apart(base: &Words, head: &Words) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = base.keys().chain(head.keys()).collect();
    let word = |words: &Words, name: &String| {
        words.get(name).cloned().unwrap_or_else(|| "not set".to_owned())
    };
    // Another model has another shape, and another file: hashes say it no better than names.
    let is_told = |name: &str| match name {
        "shape" | "file" => base.get("model") == head.get("model"),
        _ => true,
    };
    let differ =
        names.into_iter().filter(|&name| base.get(name) != head.get(name) && is_told(name));
    differ.map(|name| format!("{name} ({} → {})", word(base, name), word(head, name))).collect()
}

fn headline(rows: &[Row]) -> BTreeMap<Measure, Headline> {
    let mut ratios: BTreeMap<Measure, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let ratio = row.judged.ratio;
        if row.judged.verdict != Verdict::NotComparable && ratio.is_finite() && ratio > 0.0 {
            ratios.entry(row.judged.measure).or_default().push(ratio);
        }
    }
    ratios
        .into_iter()
        .filter_map(|(measure, ratios)| {
            let ratio = geometric_mean(&ratios)?;
            Some((measure, Headline { ratio, n_cells: ratios.len() }))
        })
        .collect()
}

fn marks(base: &Case, head: &Case) -> BTreeMap<&'static str, (usize, usize)> {
    let n = |case: &Case, mark| case.marks.get(&mark).copied().unwrap_or(0);
    let all = base.marks.keys().chain(head.marks.keys());
    all.map(|&mark| (mark.word(), (n(base, mark), n(head, mark)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Lengths;

    /// A cell of an engine, with these milliseconds per token.
    fn case(engine: &str, n_gen: u32, tpot_ms: &[f64]) -> Case {
        let words = [
            ("engine", engine.to_owned()),
            ("model", "M".to_owned()),
            ("n_gen", n_gen.to_string()),
        ];
        Case {
            what: words.map(|(name, word)| (name.to_owned(), word)).into(),
            lengths: Lengths { n_prompt: 0, n_gen, n_depth: 0 },
            values: BTreeMap::from([(Measure::Decode, tpot_ms.to_vec())]),
            n_finished: tpot_ms.len(),
            ..Case::default()
        }
    }

    fn side(label: &str, cases: &[Case]) -> Side {
        Side { label: label.to_owned(), cases: cases.to_vec(), ..Side::default() }
    }

    fn compared(base: &Side, head: &Side) -> Comparison {
        Comparison::of_sides(base, head, None, Policy::default()).unwrap()
    }

    const CALM: [f64; 3] = [10.0, 10.02, 9.99];

    #[test]
    fn the_largest_effect_stands_first_whichever_way_it_goes() {
        let slower = CALM.map(|t| 1.1 * t);
        let faster = CALM.map(|t| 0.5 * t);
        let base = side("base", &[case("e", 1, &CALM), case("e", 2, &CALM), case("e", 3, &CALM)]);
        let head =
            side("head", &[case("e", 1, &CALM), case("e", 2, &slower), case("e", 3, &faster)]);
        let found = compared(&base, &head);
        let order: Vec<(&str, Verdict)> =
            found.rows.iter().map(|row| (row.test.as_str(), row.judged.verdict)).collect();
        let expected =
            [("tg3", Verdict::Improved), ("tg2", Verdict::Regressed), ("tg1", Verdict::Same)];
        assert_eq!(order, expected);
        let headline = found.headline[&Measure::Decode];
        assert!((headline.ratio - (1.1f64 * 0.5).cbrt()).abs() < 1e-9);
        assert_eq!(headline.n_cells, 3);
        assert!((found.regressed_by_chance - 0.075).abs() < 1e-9);
    }

    #[test]
    fn cells_of_one_side_alone_are_named() {
        let base = side("base", &[case("e", 1, &CALM), case("e", 2, &CALM)]);
        let head = side("head", &[case("e", 1, &CALM), case("e", 4, &CALM)]);
        let found = compared(&base, &head);
        assert_eq!(found.only_base, ["M e tg2"]);
        assert_eq!(found.only_head, ["M e tg4"]);
    }

    #[test]
    fn a_mark_that_prevails_on_one_side_alone_keeps_them_apart() {
        let mut throttled = case("e", 1, &CALM);
        throttled.marks.insert(Mark::Throttled, 2);
        let base = side("base", &[case("e", 1, &CALM)]);
        let found = compared(&base, &side("head", &[throttled.clone()]));
        assert_eq!(found.rows[0].judged.verdict, Verdict::NotComparable);
        assert_eq!(found.rows[0].judged.why.as_deref(), Some("one side alone was throttled"));
        assert!(found.headline.is_empty());
        // One invocation of three does not make the cell.
        throttled.marks.insert(Mark::Throttled, 1);
        let found = compared(&base, &side("head", &[throttled]));
        assert_eq!(found.rows[0].judged.verdict, Verdict::Same);
    }

    #[test]
    fn a_run_across_engines_brings_every_two_engines_together_once() {
        let engines = ["a", "b", "c"].map(|engine| case(engine, 1, &CALM));
        let run = side("run", &engines);
        let found =
            Comparison::of_sides(&run, &run, Some(Axis::Engine), Policy::default()).unwrap();
        let mut pairs: Vec<String> =
            found.rows.iter().map(|row| row.what_differs[0].to_string()).collect();
        pairs.sort();
        assert_eq!(pairs, ["engine: a → b", "engine: a → c", "engine: b → c"]);
    }

    #[test]
    fn what_did_not_finish_in_the_candidate_is_told() {
        let mut crashed = case("e", 1, &[]);
        crashed.unfinished.insert("crashed", 3);
        let base = side("base", &[case("e", 1, &CALM), case("e", 2, &CALM)]);
        let found = compared(&base, &side("head", &[crashed, case("e", 2, &CALM)]));
        assert_eq!(found.unfinished_head, ["M e tg1: crashed in 3 of 3 invocations"]);
        let unclear = found.rows.iter().find(|row| row.test == "tg1").unwrap();
        assert_eq!(unclear.judged.why.as_deref(), Some("head has not measured it"));
    }
}
