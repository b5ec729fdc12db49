//! One side of a comparison: what a run or a file of another tool measured, cell by cell.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{self, Words};
use super::measure::{Lengths, Measure};
use crate::plan::Cell;
use crate::record::{Mark, Outcome, Record, RunInfo};

/// What was measured of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// What is measured.
    pub what: Words,
    /// What it times.
    pub lengths: Lengths,
    /// With what it was measured.
    pub maker: Words,
    /// One value per invocation that finished, in the order in which they were made.
    pub values: BTreeMap<Measure, Vec<f64>>,
    /// The smallest and the largest repetition.
    pub ranges: BTreeMap<Measure, (f64, f64)>,
    /// Invocations that finished.
    pub n_finished: usize,
    /// Of those, how many bear a mark.
    pub marks: BTreeMap<Mark, usize>,
    /// Invocations that did not finish, by what became of them. Planned skips are not among them.
    pub unfinished: BTreeMap<&'static str, usize>,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// What it is called.
    pub label: String,
    /// Where it was measured. Empty where nothing tells.
    pub place: Words,
    /// Its cells, each once.
    pub cases: Vec<Case>,
    /// What did not finish beside its cells, and how it ended.
    pub unfinished: Vec<String>,
    /// What a reader has to know of it.
    pub notes: Vec<String>,
}

/// Why records make no side of a comparison.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SideError {
    /// Two cells that differ have one id.
    #[error(
        "cell {0} stands for two different things\nhint: the folder was changed by hand, or two were mixed"
    )]
    TwoOfOneId(String),
    /// A cell finished and measured nothing.
    #[error(
        "cell {id} ({what}) finished without having measured anything: a run without work says nothing\nhint: measure it with a prompt or with decode calls"
    )]
    NoWork {
        /// The cell's id.
        id: String,
        /// What it is.
        what: String,
    },
    /// Nothing finished.
    #[error("no invocation of it finished, so there is nothing to compare")]
    Nothing,
    /// One cell was measured by two programs or on two machines.
    #[error(
        "{what} was measured by more than one: {one}; {other}\nhint: a side is one build on one machine; put them into files of their own"
    )]
    Mixed {
        /// The cell.
        what: String,
        /// One of them.
        one: String,
        /// Another.
        other: String,
    },
}

impl Side {
    /// The side that these records are. Where an invocation was made more than once, its last record
    /// counts. Sustained runs are left out: they have no repetitions. `run` is absent for a journal
    /// without its folder, which does not tell where it was measured.
    pub fn of_records(
        label: &str,
        run: Option<&RunInfo>,
        records: &[Record],
    ) -> Result<Side, SideError> {
        let mut cells: BTreeMap<&str, (&Cell, BTreeMap<u32, &Record>)> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        let of_run = run.iter().flat_map(|run| &run.cells).map(|cell| (cell, None));
        let of_records = records.iter().map(|record| (&record.cell, Some(record)));
        for (cell, record) in of_run.chain(of_records).filter(|(cell, _)| cell.is_timed()) {
            let id = cell.id.0.as_str();
            let (known, by_invocation) = cells.entry(id).or_insert_with(|| {
                order.push(id);
                (cell, BTreeMap::new())
            });
            if identity::what(known) != identity::what(cell) {
                return Err(SideError::TwoOfOneId(id.to_owned()));
            }
            by_invocation.extend(record.map(|record| (record.invocation, record)));
        }
        let mut side = Side {
            label: label.to_owned(),
            place: run.map(identity::place).unwrap_or_default(),
            ..Side::default()
        };
        for id in order {
            let (cell, by_invocation) = &cells[id];
            let records: Vec<&Record> = by_invocation.values().copied().collect();
            side.cases.push(Case::of_records(cell, &records)?);
        }
        if run.is_none() {
            let note = "a journal alone does not tell where it was measured";
            side.notes.push(format!("{label}: {note}"));
        }
        // What did not finish is a result too; without a single invocation there is none.
        let is_anything = |case: &Case| case.n_finished > 0 || !case.unfinished.is_empty();
        match side.cases.iter().any(is_anything) {
            true => Ok(side),
            false => Err(SideError::Nothing),
        }
    }
}

impl Case {
    /// What the records of one cell say, each invocation once.
    pub fn of_records(cell: &Cell, records: &[&Record]) -> Result<Case, SideError> {
        let mut case = Case {
            id: Some(cell.id.0.clone()),
            what: identity::what(cell),
            lengths: cell.into(),
            ..Case::default()
        };
        for record in records {
            match record.outcome {
                Outcome::Finished => case.n_finished += 1,
                Outcome::Skipped { .. } => continue,
                _ => {
                    *case.unfinished.entry(record.outcome.word()).or_default() += 1;
                    continue;
                }
            }
            if record.samples.iter().all(|s| s.prefill_ns.is_none() && s.itl_ns.is_empty()) {
                let what = format!("{} {}", cell.model, cell.test());
                return Err(SideError::NoWork { id: cell.id.0.clone(), what });
            }
            for measure in Measure::ALL {
                if let Some(value) = measure.of(record).filter(|v| v.is_finite()) {
                    case.values.entry(measure).or_default().push(value);
                    case.widen(measure, record, value);
                }
            }
            for &mark in &record.marks {
                *case.marks.entry(mark).or_default() += 1;
            }
            if case.maker.is_empty() {
                case.maker = identity::maker(record);
            }
        }
        Ok(case)
    }

    /// Takes the repetitions of an invocation into the range of a measure.
    fn widen(&mut self, measure: Measure, record: &Record, value: f64) {
        let repetitions = record.samples.iter().filter_map(|sample| measure.of_sample(sample));
        let range = self.ranges.entry(measure).or_insert((value, value));
        for v in repetitions.chain([value]) {
            *range = (range.0.min(v), range.1.max(v));
        }
    }

    /// `M Q4_0 reference pp128 + tg32: crashed in 2 of 5 invocations`; nothing where all finished.
    pub fn told_unfinished(&self) -> Option<String> {
        let n_unfinished: usize = self.unfinished.values().sum();
        let all = self.n_finished + n_unfinished;
        let ends: Vec<String> = self
            .unfinished
            .iter()
            .map(|(word, n)| format!("{} in {n}", word.replace('_', " ")))
            .collect();
        let s = if all == 1 { "" } else { "s" };
        (n_unfinished > 0)
            .then(|| format!("{}: {} of {all} invocation{s}", self.name(), ends.join(", ")))
    }

    /// The cell in one line of words.
    pub fn name(&self) -> String {
        let words = ["model", "model_type", "quant", "engine"].map(|name| self.word(name));
        let mut words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let tests = [Measure::Prefill, Measure::Decode].map(|m| m.test(self.lengths));
        let tests: Vec<String> = tests.into_iter().flatten().collect();
        let tests = tests.join(" + ");
        words.push(&tests);
        words.join(" ")
    }

    /// Marks that stand on more than half of the finished invocations.
    pub fn prevailing_marks(&self) -> BTreeSet<Mark> {
        let prevails = |n: usize| 2 * n > self.n_finished;
        self.marks.iter().filter(|(_, n)| prevails(**n)).map(|(mark, _)| *mark).collect()
    }

    /// A word of *what*, or nothing.
    pub fn word(&self, name: &str) -> &str {
        self.what.get(name).map_or("", String::as_str)
    }
}
