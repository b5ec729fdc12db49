//! `slmbench history`: runs taken into a database, their series shown, the newest of them judged.

mod add;
mod check;
mod rows;
mod show;
mod trends;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::{Ending, Exit, Failure};
use crate::compare::Measure;
use crate::history::{Filter, Rules};

const EXAMPLES: &str = "Examples:
  slmbench history add reports/20261102T103857Z-quick --db h.db --branch main
  slmbench history add --all reports --db h.db            every run in that folder
  slmbench history show --db h.db --filter 'model=Qwen*'
  slmbench history show --db h.db --plot trends/
  slmbench history check --db h.db                        ends with 3 where the newest run is slower

docs/history.md tells what a series is, what counts as a change, and the tables.";

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take runs in; one that is there already adds nothing
    Add(add::Arguments),
    /// Show how the measures of each cell went over time, and where they changed
    Show(show::Arguments),
    /// Tell whether the newest run costs more than those before
    Check(check::Arguments),
}

/// Does what is asked.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Add(arguments) => add::run(arguments),
        What::Show(arguments) => show::run(arguments),
        What::Check(arguments) => check::run(arguments),
    }
}

/// Where the history is.
#[derive(Debug, Args)]
struct Db {
    /// The history's file
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
}

/// Which series.
#[derive(Debug, Args)]
struct Which {
    /// Cells by the beginning of their ids
    #[arg(long, value_name = "ID", conflicts_with = "filter")]
    cell: Option<String>,
    /// Conditions on cells: model=Qwen*,quant=Q4_*,engine=reference
    #[arg(long, value_name = "CONDITIONS")]
    filter: Option<String>,
    /// Measures: prefill_ms, tpot_ms, ttft_ms, itl_p99_ms, load_ms, peak_rss_bytes, weight_bytes,
    /// kv_bytes, compute_bytes, output_bytes [default: all but ttft_ms, itl_p99_ms and load_ms]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    measure: Vec<Measure>,
    /// Times that differ by less are the same
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = percent)]
    time: f64,
    /// Measured memory that differs by less is the same
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = percent)]
    memory: f64,
}

impl Which {
    fn filter(&self) -> Result<Filter, Failure> {
        match (&self.cell, &self.filter) {
            (Some(id), _) => Ok(Filter::cell(id)),
            (None, Some(text)) => text.parse().or_usage(),
            (None, None) => Ok(Filter::default()),
        }
    }

    fn measures(&self) -> Vec<Measure> {
        match &self.measure[..] {
            [] => Measure::JUDGED.to_vec(),
            given => given.to_vec(),
        }
    }

    fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.policy.time = self.time / 100.0;
        rules.policy.memory = self.memory / 100.0;
        rules
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    number
        .filter(|n| (0.0..=1000.0).contains(n))
        .ok_or_else(|| "expected a number of percent, 0 to 1000".to_owned())
}
