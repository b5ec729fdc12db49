//! `slmbench selftest`: a side against itself, and what this device can tell apart now.

use clap::Args;

use super::drive::Driving;
use super::side::SideWords;
use crate::cli::conduct::Conduct;
use crate::cli::exit::{Exit, Failure};
use crate::cli::print;
use crate::cli::select::{Select, between};
use crate::compare::{Policy, Schedule};
use crate::report;

const EXAMPLES: &str = "Examples:
  slmbench selftest                                   what the suite `gate` can tell apart here
  slmbench selftest quick --model SmolLM2-135M --quant Q4_0 --pairs 20";

/// Arguments of `selftest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Suite: its name, or a file
    #[arg(default_value = super::DEFAULT_SUITE)]
    suite: String,
    /// Pairs of each cell
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = between::<3, 1000>,
        allow_negative_numbers = true)]
    pairs: u32,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    conduct: Conduct,
}

/// Compares a side with itself.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let side = || SideWords::read("--a", &[], None);
    let driving = Driving {
        suite: &arguments.suite,
        sides: [side()?, side()?],
        labels: ("one side".to_owned(), "the same again".to_owned()),
        // One look: the noise is to be known, not a verdict to be had early.
        schedule: &|seed| Schedule {
            looks: vec![(arguments.pairs, 0.05)],
            ..Schedule::new(arguments.pairs, seed, false)
        },
        policy: Policy::default(),
        select: &arguments.select,
        conduct: &arguments.conduct,
        resume: None,
    };
    let Some(done) = driving.go()? else { return Ok(Exit::Done) };
    let json = report::comparison_json(&done.comparison);
    let path = done.folder.join("comparison.json");
    crate::cli::exit::Ending::or_unwritable(report::write_text(&path, &json))?;
    if !arguments.conduct.quiet {
        let width = crate::cli::report::terminal_width();
        print(&report::selftest_text(&done.comparison, width))?;
        print(&format!("\nResults: {}\n", done.folder.display()))?;
    }
    Ok(match done {
        _ if done.interrupted => Exit::Interrupted,
        _ if !done.comparison.unfinished_base.is_empty() => Exit::Unfinished,
        _ if !done.comparison.unfinished_head.is_empty() => Exit::Unfinished,
        _ => Exit::Done,
    })
}
