//! Two sides taken in turns: who is next, when it is enough, and what came out. Pure: whoever drives it
//! measures.
//!
//! Pairs of one invocation of each side follow one another; within a pair chance says which side goes
//! first, and the pair after it goes the other way round, so that a steady drift falls on both alike.
//! The pairs are looked at twice, after half of them and after all, with an error rate for each look
//! that together make 5 % (Pocock and O'Brien–Fleming lie on either side): looking after every pair
//! would give 12 to 17 % false alarms. What is settled at a look stays as it is, and a cell of which
//! everything is settled is not measured any further.
//!
//! What regressed can be asked for again with as many fresh pairs, of which the first know nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::verdict::{Design, Judged, Policy, Verdict, judge, missing};

/// Fewest pairs at which a trial is looked at twice.
const TWO_LOOKS_FROM: u32 = 10;

/// Pairs after which a side of which nothing has finished is given up.
const HOPELESS: u32 = 3;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The baseline.
    A,
    /// The candidate.
    B,
}

impl Which {
    /// The other one.
    pub fn other(self) -> Which {
        match self {
            Which::A => Which::B,
            Which::B => Which::A,
        }
    }
}

/// How long a trial lasts and when it is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Pairs of a cell at the most; as many again where something is to be confirmed.
    pub pairs: u32,
    /// After how many pairs it is looked at, and one less the confidence of the intervals then.
    pub looks: Vec<(u32, f64)>,
    /// Seed of every order.
    pub seed: u64,
    /// Whether what regressed is asked for again.
    pub confirm: bool,
}

impl Schedule {
    /// Two looks, or one where there are fewer than ten pairs.
    pub fn new(pairs: u32, seed: u64, confirm: bool) -> Schedule {
        let looks = match pairs {
            n if n >= TWO_LOOKS_FROM => vec![(n / 2, 0.005), (n, 0.048)],
            n => vec![(n, 0.05)],
        };
        Schedule { pairs, looks, seed, confirm }
    }
}

/// An invocation to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the cell.
    pub cell: usize,
    /// Number of the pair, from 0; those that confirm come behind all others.
    pub pair: u32,
    /// Which side.
    pub which: Which,
}

/// What one invocation measured; empty where it did not finish.
type Values = BTreeMap<Measure, f64>;

/// Both sides of a pair, as far as they were made.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pair {
    a: Option<Values>,
    b: Option<Values>,
}

/// A trial of several cells.
#[derive(Clone, Debug)]
pub struct Trial {
    schedule: Schedule,
    policy: Policy,
    cells: Vec<BTreeMap<u32, Pair>>,
}

/// What the pairs of one part of a trial say.
struct Part {
    judged: BTreeMap<Measure, Judged>,
    /// Whether no further pair is wanted.
    is_over: bool,
}

impl Trial {
    /// A trial of `n_cells` cells, of which nothing is known yet.
    pub fn new(schedule: Schedule, policy: Policy, n_cells: usize) -> Trial {
        Trial { schedule, policy, cells: vec![BTreeMap::new(); n_cells] }
    }

    /// Its schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Takes in what an invocation measured: nothing where it did not finish.
    pub fn take(&mut self, step: Step, values: BTreeMap<Measure, f64>) {
        let pair = self.cells[step.cell].entry(step.pair).or_default();
        match step.which {
            Which::A => pair.a = Some(values),
            Which::B => pair.b = Some(values),
        }
    }

    /// What is to be measured next; `None` when everything is settled or the pairs are used up.
    pub fn next(&self) -> Option<Step> {
        let wanted: Vec<Range<u32>> = (0..self.cells.len()).map(|cell| self.wanted(cell)).collect();
        (0..2 * self.schedule.pairs).find_map(|pair| {
            let order = self.shuffled(pair).into_iter();
            let open = order.filter(|&cell| wanted[cell].contains(&pair));
            let mut steps = open.flat_map(|cell| {
                let first = self.first(cell, pair);
                [first, first.other()].map(|which| Step { cell, pair, which })
            });
            steps.find(|step| !self.has(*step))
        })
    }

    /// Invocations that may still come, at the most; those that would confirm are not foreseen.
    pub fn left(&self) -> usize {
        let of_cell =
            |cell: usize| self.wanted(cell).map(|pair| self.missing(cell, pair)).sum::<usize>();
        (0..self.cells.len()).map(of_cell).sum()
    }

    fn missing(&self, cell: usize, pair: u32) -> usize {
        [Which::A, Which::B].iter().filter(|&&which| !self.has(Step { cell, pair, which })).count()
    }

    fn has(&self, step: Step) -> bool {
        self.cells[step.cell].get(&step.pair).is_some_and(|pair| match step.which {
            Which::A => pair.a.is_some(),
            Which::B => pair.b.is_some(),
        })
    }

    /// The pairs of a cell that may still be wanted, by what is known: the first ones, those that
    /// confirm, or none.
    fn wanted(&self, cell: usize) -> Range<u32> {
        let pairs = self.schedule.pairs;
        let first = self.first_part(cell);
        if !first.is_over {
            return 0..pairs;
        }
        let doubted = self.doubted(&first.judged);
        match doubted.is_empty() || self.again(cell, &doubted).is_over {
            true => 0..0,
            false => pairs..2 * pairs,
        }
    }

    /// What is to be confirmed. Bytes that do not vary were the same in all pairs already.
    fn doubted(&self, judged: &BTreeMap<Measure, Judged>) -> Vec<Measure> {
        let regressed = |j: &&Judged| j.verdict == Verdict::Regressed && j.interval.is_some();
        match self.schedule.confirm {
            true => judged.values().filter(regressed).map(|j| j.measure).collect(),
            false => Vec::new(),
        }
    }

    /// What the first pairs say.
    fn first_part(&self, cell: usize) -> Part {
        self.part(cell, 0, &self.policy.measures)
    }

    /// What the fresh pairs say of what is doubted.
    fn again(&self, cell: usize, doubted: &[Measure]) -> Part {
        self.part(cell, self.schedule.pairs, doubted)
    }

    fn part(&self, cell: usize, from: u32, measures: &[Measure]) -> Part {
        let pairs = &self.cells[cell];
        let whole = |i: u32| pairs.get(&(from + i)).is_some_and(|p| p.a.is_some() && p.b.is_some());
        let n = (0..self.schedule.pairs).take_while(|&i| whole(i)).count() as u32;
        let mut judged: BTreeMap<Measure, Judged> = BTreeMap::new();
        for &(after, alpha) in self.schedule.looks.iter().filter(|(after, _)| *after <= n) {
            for &measure in measures {
                if judged.get(&measure).is_some_and(|j| j.verdict.is_settled()) {
                    continue;
                }
                judged.extend(
                    self.judged(cell, measure, from..from + after, alpha).map(|j| (measure, j)),
                );
            }
            // Nothing to judge means nothing finished: more of the same may still do.
            if !judged.is_empty() && judged.values().all(|j| j.verdict.is_settled()) {
                return Part { judged, is_over: true };
            }
        }
        // A side that never finishes will not.
        let never = |side: fn(&Pair) -> &Option<Values>| {
            let of = |i: u32| pairs.get(&(from + i)).and_then(|pair| side(pair).as_ref());
            n >= HOPELESS && (0..n).all(|i| of(i).is_none_or(BTreeMap::is_empty))
        };
        let is_hopeless = never(|pair| &pair.a) || never(|pair| &pair.b);
        Part { judged, is_over: is_hopeless || n == self.schedule.pairs }
    }

    fn judged(
        &self,
        cell: usize,
        measure: Measure,
        pairs: std::ops::Range<u32>,
        alpha: f64,
    ) -> Option<Judged> {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs
            .filter_map(|i| {
                let pair = self.cells[cell].get(&i)?;
                Some((*pair.a.as_ref()?.get(&measure)?, *pair.b.as_ref()?.get(&measure)?))
            })
            .unzip();
        judge(measure, &a, &b, Design::Paired, self.policy.threshold(measure), alpha)
    }

    /// Every value of a side.
    fn values(&self, cell: usize, measure: Measure, which: Which) -> Vec<f64> {
        let pairs = self.cells[cell].values();
        let sides = pairs.filter_map(|pair| match which {
            Which::A => pair.a.as_ref(),
            Which::B => pair.b.as_ref(),
        });
        sides.filter_map(|values| values.get(&measure).copied()).collect()
    }

    /// What came out for a cell, as far as it was measured.
    pub fn outcome(&self, cell: usize) -> Vec<Judged> {
        let mut first = self.first_part(cell).judged;
        let doubted = self.doubted(&first);
        let again = self.again(cell, &doubted);
        for measure in doubted {
            let Some(first) = first.get_mut(&measure) else { continue };
            if let Some(fresh) = again.judged.get(&measure) {
                // The numbers of the fresh pairs: those that raised the alarm are biased by it.
                *first = confirmed(first, fresh);
            }
        }
        // Where the trial was stopped before its first look, what there is.
        for &measure in &self.policy.measures {
            if let std::collections::btree_map::Entry::Vacant(empty) = first.entry(measure)
                && let Some(mut judged) = self.judged(cell, measure, 0..self.schedule.pairs, 0.05)
            {
                if judged.interval.is_some() {
                    judged.verdict = Verdict::Unclear;
                    judged.why = Some("stopped before it was looked at".to_owned());
                }
                empty.insert(judged);
            }
            if !first.contains_key(&measure) {
                let [a, b] = [Which::A, Which::B].map(|which| self.values(cell, measure, which));
                first.extend(missing(measure, &a, &b).map(|judged| (measure, judged)));
            }
        }
        first.into_values().collect()
    }

    /// Whether everything that was to be measured was.
    pub fn is_over(&self) -> bool {
        self.next().is_none()
    }

    /// Who goes first. Of two pairs that follow each other, one begins with each side.
    fn first(&self, cell: usize, pair: u32) -> Which {
        let mut random = self.random(1 + cell as u64, pair / 2);
        let which = if random.next_u64() >> 63 == 0 { Which::A } else { Which::B };
        if pair.is_multiple_of(2) { which } else { which.other() }
    }

    /// Every cell, in the order of this pair.
    fn shuffled(&self, pair: u32) -> Vec<usize> {
        let mut random = self.random(0, pair);
        let mut cells: Vec<(u64, usize)> =
            (0..self.cells.len()).map(|cell| (random.next_u64(), cell)).collect();
        cells.sort_unstable();
        cells.into_iter().map(|(_, cell)| cell).collect()
    }

    fn random(&self, stream: u64, pair: u32) -> Xoshiro256PlusPlus {
        let mixed = (stream << 32 | u64::from(pair)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Xoshiro256PlusPlus::seed_from_u64(self.schedule.seed ^ mixed)
    }
}

/// An alarm with what fresh pairs say of it.
fn confirmed(first: &Judged, fresh: &Judged) -> Judged {
    let holds = fresh.verdict == Verdict::Regressed;
    let mut judged = Judged { confirmed: Some(holds), ..fresh.clone() };
    if !holds {
        judged.verdict = Verdict::Unclear;
        judged.why = Some(format!(
            "regressed by {:.1} % in the first {} pairs, {} in {} fresh ones",
            100.0 * (first.ratio - 1.0),
            first.n.0,
            fresh.verdict,
            fresh.n.0,
        ));
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { measures: vec![Measure::Decode], ..Policy::default() }
    }

    /// Runs a trial of one cell to its end; `time` gives the milliseconds of a step.
    fn run(schedule: Schedule, time: impl Fn(Step) -> f64) -> (Trial, Vec<Step>) {
        let mut trial = Trial::new(schedule, policy(), 1);
        let mut steps = Vec::new();
        while let Some(step) = trial.next() {
            trial.take(step, BTreeMap::from([(Measure::Decode, time(step))]));
            steps.push(step);
            assert!(steps.len() < 1000, "it never ends");
        }
        (trial, steps)
    }

    /// A per cent of noise that no two pairs share.
    fn wobble(step: Step) -> f64 {
        let i = f64::from(2 * step.pair + u32::from(step.which == Which::B));
        1.0 + 0.01 * (2.399_963 * i).sin()
    }

    #[test]
    fn every_pair_has_both_sides_and_two_pairs_begin_with_each_of_them() {
        let (_, steps) =
            run(Schedule::new(10, 7, false), |s| 10.0 + f64::from(s.pair % 7) * 3.0 * wobble(s));
        let firsts: Vec<Which> = steps.chunks(2).map(|pair| pair[0].which).collect();
        for pair in steps.chunks(2) {
            assert_eq!((pair[0].pair, pair[0].which), (pair[1].pair, pair[1].which.other()));
        }
        assert!(firsts.chunks(2).all(|two| two.len() < 2 || two[0] != two[1]));
    }

    #[test]
    fn a_plain_difference_is_seen_at_the_first_look_and_nothing_more_is_measured() {
        let slower = |s: Step| wobble(s) * if s.which == Which::B { 1.2 } else { 1.0 };
        let (trial, steps) = run(Schedule::new(10, 1, false), slower);
        assert_eq!(steps.len(), 10);
        let judged = &trial.outcome(0)[0];
        assert_eq!((judged.verdict, judged.alpha), (Verdict::Regressed, Some(0.005)));
    }

    #[test]
    fn an_alarm_is_asked_for_again_with_fresh_pairs() {
        let slower = |s: Step| wobble(s) * if s.which == Which::B { 1.2 } else { 1.0 };
        let (trial, steps) = run(Schedule::new(10, 1, true), slower);
        assert_eq!(steps.len(), 20);
        assert!(steps[10..].iter().all(|step| step.pair >= 10));
        let judged = &trial.outcome(0)[0];
        assert_eq!((judged.verdict, judged.confirmed), (Verdict::Regressed, Some(true)));

        // What was slower for as long as the first pairs lasted is no regression.
        let at_first =
            |s: Step| wobble(s) * if s.which == Which::B && s.pair < 10 { 1.2 } else { 1.0 };
        let (trial, _) = run(Schedule::new(10, 1, true), at_first);
        let judged = &trial.outcome(0)[0];
        assert_eq!((judged.verdict, judged.confirmed), (Verdict::Unclear, Some(false)));
        assert!(judged.why.as_ref().unwrap().contains("same in 10 fresh ones"), "{judged:?}");
    }

    #[test]
    fn what_differs_in_bytes_needs_no_fresh_pairs() {
        let policy = Policy { measures: vec![Measure::KvCache], ..Policy::default() };
        let mut trial = Trial::new(Schedule::new(10, 1, true), policy, 1);
        while let Some(step) = trial.next() {
            let bytes = if step.which == Which::B { 200.0 } else { 100.0 };
            trial.take(step, BTreeMap::from([(Measure::KvCache, bytes)]));
            assert!(step.pair < 5);
        }
        assert_eq!(trial.outcome(0)[0].verdict, Verdict::Regressed);
    }

    #[test]
    fn a_pair_of_which_one_side_did_not_finish_counts_for_nothing() {
        let mut trial = Trial::new(Schedule::new(5, 1, false), policy(), 1);
        while let Some(step) = trial.next() {
            let lost = step.pair == 2 && step.which == Which::B;
            let values = if lost {
                BTreeMap::new()
            } else {
                BTreeMap::from([(Measure::Decode, wobble(step))])
            };
            trial.take(step, values);
        }
        assert_eq!(trial.outcome(0)[0].n, (4, 4));
    }

    #[test]
    fn a_side_that_never_finishes_is_given_up_and_told() {
        let mut trial = Trial::new(Schedule::new(10, 1, true), policy(), 1);
        let mut n = 0;
        while let Some(step) = trial.next() {
            let finished = BTreeMap::from([(Measure::Decode, wobble(step))]);
            trial.take(step, if step.which == Which::A { finished } else { BTreeMap::new() });
            n += 1;
        }
        assert_eq!(n, 6);
        let judged = &trial.outcome(0)[0];
        assert_eq!(judged.verdict, Verdict::Unclear);
        assert_eq!(judged.why.as_deref(), Some("head has not measured it"));
    }

    #[test]
    fn a_trial_that_was_stopped_goes_on_where_it_was() {
        let slower = |s: Step| wobble(s) * if s.which == Which::B { 1.015 } else { 1.0 };
        let (whole, steps) = run(Schedule::new(10, 3, true), slower);
        let mut again = Trial::new(Schedule::new(10, 3, true), policy(), 1);
        for step in &steps[..7] {
            again.take(*step, BTreeMap::from([(Measure::Decode, slower(*step))]));
        }
        for expected in &steps[7..] {
            assert_eq!(again.next(), Some(*expected));
            again.take(*expected, BTreeMap::from([(Measure::Decode, slower(*expected))]));
        }
        assert_eq!(again.next(), None);
        assert_eq!(again.outcome(0), whole.outcome(0));
    }
}
