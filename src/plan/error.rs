//! Why there is no plan. All of these are the asker's to mend, most of them on the command line: they are
//! told by the options as they are typed.

use crate::model::{UnknownMix, hint_of_models};
use crate::suite::{Flaw, MAX_CELLS};

/// Why a suite and a selection make no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Models that no table knows.
    #[error(
        "unknown {} {}\nhint: {}",
        if found.len() == 1 { "model" } else { "models" },
        quoted(found),
        hint_of_model(&found[0], near),
    )]
    UnknownModel {
        /// What was asked for.
        found: Vec<String>,
        /// Names like the first of these, the nearest first.
        near: Vec<String>,
    },
    /// A model that is a file, which nobody has opened.
    #[error("model `{0}` is a file that was not opened")]
    NoFile(String),
    /// A file mix that nobody knows.
    #[error(transparent)]
    UnknownQuant(#[from] UnknownMix),
    /// An engine that nobody knows.
    #[error(
        "unknown engine `{found}`, there are {}\nhint: {}",
        known.join(", "),
        match nearest {
            _ if found.contains(',') => "one engine each: --engine A --engine B".to_owned(),
            Some(word) => format!("did you mean `{word}`?"),
            None => "`slmbench list engines` tells what this build has".to_owned(),
        }
    )]
    UnknownEngine {
        /// What was asked for.
        found: String,
        /// What there is, but for the engines that only try the program.
        known: Vec<String>,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// CPUs that cannot be read.
    #[error("--cpus {0}: expected all, big, or a list of CPUs such as 0,2-3")]
    UnknownCpus(String),
    /// A list without values.
    #[error("an empty list for {0}: give at least one value")]
    EmptyAxis(&'static str),
    /// Zero where at least one is needed.
    #[error("{0} 0: expected 1 or more")]
    Zero(&'static str),
    /// A cell that cannot be.
    #[error("{}", impossible(.0))]
    Impossible(Flaw),
    /// A plan too large to be meant.
    #[error("more than {MAX_CELLS} cells in a matrix\nhint: give fewer values to the axes")]
    TooManyCells,
    /// The filter takes everything out.
    #[error(
        "--filter {filter}: it leaves none of {n_cells} cells\nhint: --dry-run without it shows them"
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
    #[error("{option} {word}: {}", refused(option, reasons))]
    CannotRun {
        /// The option that asks for it.
        option: &'static str,
        /// What was asked for.
        word: String,
        /// Why, each reason once.
        reasons: Vec<String>,
    },
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn hint_of_model(found: &str, near: &[String]) -> String {
    match found.contains('/') || found.to_ascii_lowercase().ends_with(".gguf") {
        true => format!("-m takes a file: -m {found}"),
        false => hint_of_models(near),
    }
}

/// A flaw in the words of the command line.
fn impossible(flaw: &Flaw) -> String {
    match flaw {
        Flaw::NothingTimed => {
            "neither prompt nor decode: nothing would be timed\nhint: -p or -n above 0".to_owned()
        }
        Flaw::MicroBatchTooLarge { n_ubatch, n_batch } => format!(
            "--n-ubatch {n_ubatch} is more than --n-batch {n_batch}\n\
             hint: --n-batch {n_ubatch} or more"
        ),
        Flaw::ContextTooSmall { n_ctx, n_depth, n_prompt, n_gen } => format!(
            "--n-ctx {n_ctx} is too small: depth {n_depth} + prompt {n_prompt} + decode {n_gen} \
             need {}\nhint: without --n-ctx it becomes what each cell needs",
            u64::from(*n_depth) + u64::from(*n_prompt) + u64::from(*n_gen)
        ),
    }
}

/// The reasons, then the hints of all of them, each once.
fn refused(option: &str, reasons: &[String]) -> String {
    let about_types = reasons.iter().any(|reason| reason.contains(" tensors"));
    let mut hints: Vec<&str> = match option {
        "-m" if about_types => vec!["another --engine, or the file in another quantisation"],
        "--quant" | "--engine" | "--model" if about_types => {
            vec!["another --quant, or another --engine"]
        }
        "--backend-device" => vec![
            "`slmbench list engines` shows the devices there are; \
             `scripts/slmbench --cuda run` builds with CUDA",
        ],
        _ => Vec::new(),
    };
    let mut told: Vec<&str> = Vec::new();
    for reason in reasons {
        let mut lines = reason.lines();
        told.extend(lines.next());
        for hint in lines.map(|line| line.trim_start_matches("hint: ")) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    let hints: String = hints.iter().map(|hint| format!("\nhint: {hint}")).collect();
    told.join("; ") + &hints
}
