//! What the history tells: runs, and the series that their values make.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::compare::{Lengths, Measure, Words};
use crate::stats::geometric_mean;

/// A run as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The moment at which it stands in the history.
    pub date: String,
    /// When it began.
    pub started_at: String,
    /// The suite's name.
    pub suite: String,
    /// What the user calls the device.
    pub label: Option<String>,
    /// The program's version and commit.
    pub program: String,
    /// The commit that was measured.
    pub commit: Option<String>,
    /// The branch that it is on.
    pub branch: Option<String>,
    /// Fingerprint of where it was measured.
    pub environment: String,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
}

impl Run {
    /// The commit, or the run's id where none is known.
    pub fn name(&self) -> String {
        match &self.commit {
            // As git shortens it; marks behind a dash stay.
            Some(commit) => {
                let (hash, mark) = match commit.split_once('-') {
                    Some((hash, mark)) => (hash, format!("-{mark}")),
                    None => (commit.as_str(), String::new()),
                };
                let is_hash = hash.len() > 12 && hash.bytes().all(|b| b.is_ascii_hexdigit());
                if is_hash { format!("{}{mark}", &hash[..10]) } else { commit.clone() }
            }
            None => format!("run {}", &self.id[..self.id.len().min(8)]),
        }
    }

    /// The program, without its commit where that is the run's.
    fn program_beside_commit(&self) -> String {
        let own = self.commit.as_ref().map(|commit| format!(" ({commit})"));
        match own.and_then(|own| self.program.strip_suffix(&own).map(str::to_owned)) {
            Some(version) => version,
            None => self.program.clone(),
        }
    }

    /// The day of its date.
    pub fn day(&self) -> &str {
        self.date.get(..10).unwrap_or(&self.date)
    }
}

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The run.
    pub run: Rc<Run>,
    /// One value per invocation that finished.
    pub values: Vec<f64>,
    /// Their geometric mean.
    pub value: f64,
    /// With what was measured.
    pub maker: Words,
    /// Marks on more than half of the invocations.
    pub marks: BTreeSet<String>,
}

impl Point {
    /// The point of these invocations; `None` without a value.
    pub fn new(
        run: Rc<Run>,
        values: Vec<f64>,
        maker: Words,
        marks: BTreeSet<String>,
    ) -> Option<Point> {
        let value = geometric_mean(&values)?;
        Some(Point { run, values, value, maker, marks })
    }

    /// The smallest and the largest invocation.
    pub fn range(&self) -> (f64, f64) {
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        self.values.iter().fold(ends, |(lo, hi), &v| (lo.min(v), hi.max(v)))
    }

    /// What stands around the number and may have changed with it. The commit is told by itself.
    pub fn surroundings(&self) -> Words {
        let mut words = self.maker.clone();
        words.insert("program".to_owned(), self.run.program_beside_commit());
        words.insert("kernel".to_owned(), self.run.kernel.clone());
        words.insert("system".to_owned(), self.run.os.clone());
        words.insert("suite".to_owned(), self.run.suite.clone());
        let marks: Vec<&str> = self.marks.iter().map(String::as_str).collect();
        let marks = if marks.is_empty() { "none".to_owned() } else { marks.join(", ") };
        words.insert("marks".to_owned(), marks);
        words.extend(self.run.branch.iter().map(|b| ("branch".to_owned(), b.clone())));
        words.extend(self.run.label.iter().map(|l| ("label".to_owned(), l.clone())));
        words.retain(|_, word| !word.is_empty());
        words
    }
}

/// One measure of one cell in one place, a point per run, in the order of their dates.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The cell's id.
    pub cell: String,
    /// What it measures.
    pub what: Words,
    /// Fingerprint of where.
    pub environment: String,
    /// Which of its numbers.
    pub measure: Measure,
    /// The points, at least one.
    pub points: Vec<Point>,
}

impl Series {
    /// The values of the runs.
    pub fn values(&self) -> Vec<f64> {
        self.points.iter().map(|point| point.value).collect()
    }

    /// The last point.
    pub fn newest(&self) -> &Point {
        self.points.last().expect("a series has a point")
    }

    /// Whether no run has a value that varies among its invocations: bytes that are equal or not.
    pub fn is_exact(&self) -> bool {
        let even = |point: &Point| point.values.iter().all(|&v| v == point.values[0]);
        self.points.iter().all(even)
    }

    /// What is timed: `pp128`, `tg32 @ d128`, `peak memory`.
    pub fn test(&self) -> String {
        self.measure.test(self.lengths()).unwrap_or_else(|| self.measure.to_string())
    }

    /// A word of what it measures, or nothing.
    pub fn word(&self, name: &str) -> &str {
        self.what.get(name).map_or("", String::as_str)
    }

    /// What the cell times in all: `pp128+tg32 @ d512`.
    pub fn lengths_in_words(&self) -> String {
        let Lengths { n_prompt, n_gen, n_depth } = self.lengths();
        let parts = [("pp", n_prompt), ("tg", n_gen)].into_iter().filter(|(_, n)| *n > 0);
        let parts: Vec<String> = parts.map(|(word, n)| format!("{word}{n}")).collect();
        match n_depth {
            0 => parts.join("+"),
            depth => format!("{} @ d{depth}", parts.join("+")),
        }
    }

    /// What the cell times.
    pub fn lengths(&self) -> Lengths {
        let length = |name| self.word(name).parse().unwrap_or(0);
        Lengths { n_prompt: length("n_prompt"), n_gen: length("n_gen"), n_depth: length("n_depth") }
    }
}
