//! Why there is no plan. All of these are the asker's to mend.

use crate::suite::{Flaw, MAX_CELLS};

/// Why a suite and a selection make no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Models that no table knows.
    #[error(
        "unknown {} {}{}",
        if found.len() == 1 { "model" } else { "models" },
        quoted(found),
        match nearest {
            Some(_) => did_you_mean(nearest),
            None => format!("\nhint: `slmbench list models` shows the {n_known} there are"),
        }
    )]
    UnknownModel {
        /// What was asked for.
        found: Vec<String>,
        /// How many there are.
        n_known: usize,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// A model that is a file, which nobody has opened.
    #[error("model `{0}` is a file that was not opened")]
    NoFile(String),
    /// A file mix that nobody knows.
    #[error("unknown quant `{found}`, known are {}{}", known.join(", "), did_you_mean(nearest))]
    UnknownQuant {
        /// What was asked for.
        found: String,
        /// What there is.
        known: Vec<String>,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// An engine that nobody knows.
    #[error("unknown engine `{found}`, known are {}{}", known.join(", "), did_you_mean(nearest))]
    UnknownEngine {
        /// What was asked for.
        found: String,
        /// What there is.
        known: Vec<String>,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// CPUs that cannot be read.
    #[error("cpus: found `{0}`, allowed are all, big, or a list of CPUs such as `0,2-3`")]
    UnknownCpus(String),
    /// A list without values.
    #[error("an empty list for {0}: give at least one value")]
    EmptyAxis(&'static str),
    /// Zero where at least one is needed.
    #[error("{0} = 0, allowed is at least 1")]
    Zero(&'static str),
    /// A cell that cannot be.
    #[error("{0}")]
    Impossible(Flaw),
    /// A plan too large to be meant.
    #[error("more than {MAX_CELLS} cells in a matrix\nhint: give fewer values to the axes")]
    TooManyCells,
    /// The filter takes everything out.
    #[error(
        "the filter `{filter}` leaves none of {n_cells} cells\nhint: --dry-run without it shows them"
    )]
    NothingLeft {
        /// The filter.
        filter: String,
        /// Cells before.
        n_cells: usize,
    },
    /// The suite has nothing that could be timed as asked.
    #[error(
        "nothing is left to measure: the suite's exclusions and what was asked for leave no cell"
    )]
    Nothing,
    /// What was asked for by name cannot run.
    #[error("{what} cannot run: {}", reasons.join("; "))]
    CannotRun {
        /// What was asked for.
        what: String,
        /// Why, each reason once.
        reasons: Vec<String>,
    },
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn did_you_mean(word: &Option<String>) -> String {
    word.as_ref().map(|word| format!("\nhint: did you mean `{word}`?")).unwrap_or_default()
}
