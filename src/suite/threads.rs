//! Numbers of threads as suites write them: `4`, `"auto"`, `"1..4"`, `"all"`, `"1..all*2"`.
//!
//! A suite knows nothing of the machine, so what ends with `all` becomes numbers only when a plan
//! is made.

use std::iter::successors;

use super::range::{MAX_VALUES, RangeError, Step, parse_range, split_range};
use crate::settings::Auto;

/// One value of the axis `n_threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as the machine has physical cores.
    Auto,
    /// A number.
    Fixed(u32),
    /// As many as there are CPUs.
    All,
    /// From a number up to all CPUs, these always the last.
    UpToAll(UpToAll),
}

/// A range that ends with all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpToAll {
    first: u32,
    step: Step,
}

/// Why a text is no number of threads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// It is no number and no range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// It names a number that no machine has.
    #[error("found {0}, allowed are 1 to {MAX_THREADS}")]
    OutOfBounds(u32),
}

/// The most threads a suite may ask for.
pub const MAX_THREADS: u32 = 4096;

/// The word for as many threads as there are CPUs.
pub const ALL: &str = "all";

impl Threads {
    /// The values that `text` names: `auto`, `all`, a number, or a range whose last value may be
    /// `all`.
    pub fn parse(text: &str) -> Result<Vec<Threads>, ThreadsError> {
        let values = Threads::parse_unbounded(text)?;
        let mut numbers = values.iter().filter_map(|threads| threads.least());
        match numbers.find(|n| !(1..=MAX_THREADS).contains(n)) {
            Some(found) => Err(ThreadsError::OutOfBounds(found)),
            None => Ok(values),
        }
    }

    fn parse_unbounded(text: &str) -> Result<Vec<Threads>, RangeError> {
        match text.trim() {
            "auto" => return Ok(vec![Threads::Auto]),
            ALL => return Ok(vec![Threads::All]),
            _ => {}
        }
        match split_range(text)? {
            Some((first, last, step)) if last.trim() == ALL => {
                if step.from(first) <= first {
                    return Err(RangeError::Endless(text.to_owned(), first));
                }
                Ok(vec![Threads::UpToAll(UpToAll { first, step })])
            }
            _ => Ok(parse_range(text)?.into_iter().map(Threads::Fixed).collect()),
        }
    }

    /// What it is on a machine with `n_cpus` CPUs, in rising order.
    pub fn on(self, n_cpus: u32) -> Vec<Auto<u32>> {
        let n_cpus = n_cpus.max(1);
        match self {
            Threads::Auto => vec![Auto::Auto],
            Threads::Fixed(n) => vec![Auto::Fixed(n)],
            Threads::All => vec![Auto::Fixed(n_cpus)],
            Threads::UpToAll(UpToAll { first, step }) => {
                let below = successors(Some(first), |n| Some(step.from(*n)));
                let below = below.take_while(|n| *n < n_cpus).take(MAX_VALUES - 1);
                below.chain([n_cpus]).map(Auto::Fixed).collect()
            }
        }
    }

    /// Whether it is known only on a machine which numbers it means.
    pub(super) fn depends_on_machine(self) -> bool {
        matches!(self, Threads::All | Threads::UpToAll(_))
    }

    /// The number it is or begins with, if it has one.
    fn least(self) -> Option<u32> {
        match self {
            Threads::Fixed(n) => Some(n),
            Threads::UpToAll(UpToAll { first, .. }) => Some(first),
            Threads::Auto | Threads::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str, n_cpus: u32) -> Vec<u32> {
        let all = Threads::parse(text).unwrap();
        all.into_iter().flat_map(|t| t.on(n_cpus)).map(|n| n.unwrap_or(0)).collect()
    }

    #[test]
    fn a_range_up_to_all_holds_all_cpus_of_whatever_machine() {
        assert_eq!(on("1..all", 4), [1, 2, 3, 4]);
        assert_eq!(on("1..all*2", 12), [1, 2, 4, 8, 12]);
        assert_eq!(on("1..all*2", 16), [1, 2, 4, 8, 16]);
        assert_eq!(on("2..all+2", 5), [2, 4, 5]);
        assert_eq!(on("4..all", 2), [2]);
        assert_eq!(on("1..all", 1), [1]);
        assert_eq!(on("all", 8), [8]);
        assert_eq!(on("auto", 8), [0]);
        assert_eq!(on("1..3", 2), [1, 2, 3]);
        assert_eq!(on("1..all", 5000).len(), MAX_VALUES);
    }

    #[test]
    fn what_is_no_number_of_threads_is_refused_with_its_reason() {
        for (text, reason) in [
            ("many", "allowed are a number or a range"),
            ("all..4", "allowed are a number or a range"),
            ("1..all*1", "never ends"),
            ("0..all*2", "never ends"),
            ("0..all", "allowed are 1 to 4096"),
            ("0", "allowed are 1 to 4096"),
            ("4097", "allowed are 1 to 4096"),
            ("1..all+0", "never ends"),
            ("1..alls", "allowed are a number or a range"),
        ] {
            let error = Threads::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
