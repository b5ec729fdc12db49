//! What can be wrong with a suite file, and where.

use std::fmt;

use super::axes::Flaw;
use super::filter::FilterError;
use super::range::RangeError;

/// Everything wrong with a suite file, in the order in which it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteErrors(pub Vec<SuiteError>);

impl fmt::Display for SuiteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SuiteErrors {}

/// One thing wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct SuiteError {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: SuiteErrorKind,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

impl Place {
    /// The place of byte `at` of `text`.
    pub(super) fn of(file: &str, text: &str, at: usize) -> Place {
        let before: Vec<&str> =
            text.get(..at.min(text.len())).unwrap_or(text).split('\n').collect();
        Place {
            file: file.to_owned(),
            line: before.len(),
            column: before.last().map_or(0, |line| line.chars().count()) + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteErrorKind {
    /// It is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that nobody reads.
    #[error("unknown key `{found}`, allowed are {}{}", allowed.join(", "), did_you_mean(*nearest))]
    UnknownKey {
        /// What stood there.
        found: String,
        /// What may stand there.
        allowed: &'static [&'static str],
        /// The nearest of these.
        nearest: Option<&'static str>,
    },
    /// A value of another type.
    #[error("{key}: found {found}, allowed are {allowed}")]
    WrongType {
        /// The key.
        key: String,
        /// What stood there.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A word that is none of those allowed.
    #[error("{key}: found `{found}`, allowed are {allowed}{}", did_you_mean(nearest.as_deref()))]
    UnknownWord {
        /// The key.
        key: String,
        /// What stood there.
        found: String,
        /// What may stand there.
        allowed: String,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// A number out of its bounds.
    #[error("{key}: found {found}, allowed are {least} to {most}")]
    OutOfBounds {
        /// The key.
        key: String,
        /// What stood there.
        found: String,
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A text that is no range of numbers.
    #[error("{key}: {error}")]
    Range {
        /// The key.
        key: String,
        /// What is wrong with it.
        error: RangeError,
    },
    /// An axis without values.
    #[error("{0}: found an empty list, allowed is at least one value")]
    EmptyList(String),
    /// Two keys that say the same.
    #[error(
        "`type_kv` sets keys and values in pairs, `{0}` sets them apart: allowed is one of the two"
    )]
    TypesTwice(&'static str),
    /// A key that must be there.
    #[error("`{key}` is missing\nhint: {hint}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// Neither prefill nor decode is asked for.
    #[error(
        "neither `n_prompt` nor `n_gen` is there: nothing would be timed\n\
         hint: give n_prompt = 512, n_gen = 128, or both"
    )]
    NothingTimed,
    /// A condition that cannot be read.
    #[error("exclude: {0}")]
    Condition(FilterError),
    /// An exclusion without conditions, which would exclude everything.
    #[error(
        "exclude: found a table without conditions\nhint: write for example {{ quant = \"F16\" }}"
    )]
    EmptyExclude,
    /// An exclusion to which no cell answers.
    #[error("exclude: no cell of this matrix answers to `{0}`\nhint: correct it or take it out")]
    ExcludesNothing(String),
    /// A matrix of which nothing is left.
    #[error("the matrix is empty: `exclude` takes out all there is (cells before: {0})")]
    EmptyMatrix(usize),
    /// A matrix too large to be meant.
    #[error("the matrix has {} cells, allowed are at most {most}", n.map_or("too many".to_owned(), |n| n.to_string()))]
    TooManyCells {
        /// How many it has; `None` when they cannot even be counted.
        n: Option<usize>,
        /// How many it may have.
        most: usize,
    },
    /// Cells that cannot be.
    #[error("{}", with_more(flaw, *n_more))]
    Impossible {
        /// What is wrong with the first of them.
        flaw: Flaw,
        /// How many more cells of the matrix share it.
        n_more: usize,
    },
}

fn did_you_mean(word: Option<&str>) -> String {
    word.map(|word| format!("\nhint: did you mean `{word}`?")).unwrap_or_default()
}

/// The flaw, how many more cells have it, and then its hint.
fn with_more(flaw: &Flaw, n_more: usize) -> String {
    let text = flaw.to_string();
    let more = match n_more {
        0 => return text,
        1 => "; so in 1 more cell of this matrix".to_owned(),
        n => format!("; so in {n} more cells of this matrix"),
    };
    match text.split_once('\n') {
        Some((what, hint)) => format!("{what}{more}\n{hint}"),
        None => text + &more,
    }
}
