//! `slmbench ab`: two sides taken in turns, and a verdict. `slmbench selftest`: one side against itself.

mod drive;
mod kept;
mod matching;
mod selftest;
mod side;

use std::path::PathBuf;

use clap::Args;

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::judging::Judging;
use super::print;
use super::run::{Setting, find_suite};
use super::select::{Select, between};
use crate::compare::{Policy, Schedule};
use crate::suite;
use drive::Driving;
use side::SideWords;

pub use kept::read_trial;
pub use selftest::{Arguments as SelftestArguments, run as run_selftest};

/// The suite that is taken when none is named.
const DEFAULT_SUITE: &str = "gate";

/// What is said of two sides that are one.
const SAME: &str = "the two sides are the same: nothing sets them apart\n\
    hint: --b engine=llama-cpp, or --b-bin FILE; `slmbench selftest` compares a side with itself";

/// Arguments of `ab`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    slmbench ab --a engine=reference --b engine=llama-cpp\n  \
    slmbench ab --a n_threads=1 --b n_threads=2 --model Qwen2.5-0.5B\n  \
    slmbench ab --a-bin ./slmbench-main --b-bin ./slmbench-branch --gate")]
pub struct Arguments {
    /// Suite: its name, or a file
    #[arg(default_value = DEFAULT_SUITE)]
    suite: String,
    /// The baseline: what it has and the candidate has not, as KEY=VALUE,… with the keys of suites, such
    /// as engine=reference or n_threads=1; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    a: Vec<String>,
    /// The candidate, likewise
    #[arg(long, value_name = "KEY=VALUE")]
    b: Vec<String>,
    /// Another build of slmbench that measures the baseline; an older one does
    #[arg(long, value_name = "FILE")]
    a_bin: Option<PathBuf>,
    /// Another build of slmbench that measures the candidate
    #[arg(long, value_name = "FILE")]
    b_bin: Option<PathBuf>,
    /// Pairs of each cell at the most; looked at after half of them and after all
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = between::<3, 1000>,
        allow_negative_numbers = true)]
    pairs: u32,
    /// Let a first alarm close the gate, without asking for it again with fresh pairs
    #[arg(long)]
    no_confirm: bool,
    /// Continue the trial in this folder, with the same arguments
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "label", "dry_run"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    conduct: Conduct,
}

/// Measures two sides in turns and says how they stand.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let policy = arguments.judging.policy(Policy::default())?;
    arguments.judging.check_files()?;
    // What is continued is looked at first: without it nothing else matters.
    let then = arguments.resume.as_deref().map(kept::begun).transpose()?;
    let a = SideWords::read("--a", &arguments.a, arguments.a_bin.as_deref())?;
    let b = SideWords::read("--b", &arguments.b, arguments.b_bin.as_deref())?;
    let given = [&arguments.a, &arguments.b].iter().any(|words| !words.is_empty());
    let no_bins = arguments.a_bin.is_none() && arguments.b_bin.is_none();
    match &then {
        Some(then) if !given && no_bins => return Err(kept::repeat(then)).or_usage(),
        _ if no_bins && a.label == b.label => return Err(SAME).or_usage(),
        _ => {}
    }
    let labels = match (a.label.as_str(), b.label.as_str()) {
        (a, b) if a == b => (format!("A: {a}"), format!("B: {b}")),
        ("", b) => ("as the suite has it".to_owned(), b.to_owned()),
        (a, "") => (a.to_owned(), "as the suite has it".to_owned()),
        (a, b) => (a.to_owned(), b.to_owned()),
    };
    let driving = Driving {
        suite: &arguments.suite,
        sides: [a, b],
        labels,
        // The seed of the suite, unless one is named.
        schedule: &|seed| {
            Schedule::new(arguments.pairs, seed, arguments.judging.gate && !arguments.no_confirm)
        },
        policy,
        select: &arguments.select,
        conduct: &arguments.conduct,
        resume: arguments.resume.as_deref(),
    };
    let Some(done) = driving.go()? else { return Ok(Exit::Done) };
    let quiet = arguments.conduct.quiet;
    arguments.judging.report(&done.comparison, Some(&done.folder), quiet)?;
    if done.interrupted {
        eprintln!(
            "stopped; the same command with --resume {} continues",
            super::measuring::quoted(&done.folder.display())
        );
        return Ok(Exit::Interrupted);
    }
    if !quiet {
        print(&format!("\nResults: {}\n", done.folder.display()))?;
    }
    arguments.judging.exit(&done.comparison, arguments.conduct.rest.strict)
}

/// Reads the suite named `word`.
fn suite(word: &str) -> Result<(suite::Suite, String), Failure> {
    let found = find_suite(word)?;
    let suite = suite::parse(&found.text, &found.shown).or_usage()?;
    Ok((suite, found.source.to_string()))
}

/// What is measured and how, as `Setting` wants it.
fn setting<'a>(
    select: &'a Select,
    conduct: &'a Conduct,
    suite: &suite::Suite,
) -> Result<Setting<'a>, Failure> {
    if let Some(option) = select.not_in_pairs() {
        return Err(format!("--{option} has no meaning in pairs\nhint: --pairs says how many"))
            .or_usage();
    }
    Setting::new(select, conduct, Some(suite))
}
