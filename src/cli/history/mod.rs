//! `slmbench history`: runs taken into a database, their series shown, the newest of them judged.

mod add;
mod check;
mod rows;
mod show;
mod trends;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, Subcommand};

use super::exit::{Ending, Exit, Failure};
use super::judging::share;
use crate::compare::Measure;
use crate::history::{Filter, HistoryError, Rules, Run};

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
    /// Conditions on cells, all of which have to hold: model=Qwen*,quant=Q4_*,engine=reference
    #[arg(long, value_name = "CONDITIONS")]
    filter: Option<String>,
    /// Measures: prefill_ms, tpot_ms, ttft_ms, itl_p99_ms, load_ms, peak_rss_bytes, weight_bytes,
    /// kv_bytes, compute_bytes, output_bytes [default: all but ttft_ms, itl_p99_ms and load_ms]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    measure: Vec<Measure>,
    /// Times that differ by less are the same
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share,
        allow_hyphen_values = true)]
    time: f64,
    /// Measured memory that differs by less is the same
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share,
        allow_hyphen_values = true)]
    memory: f64,
}

impl Which {
    /// The options that leave cells out, as typed; nothing where none does.
    fn narrowed(&self) -> Option<String> {
        let cell = self.cell.iter().map(|id| format!("--cell {id}"));
        let filter = self.filter.iter().map(|text| format!("--filter {text}"));
        cell.chain(filter).next()
    }

    fn filter(&self) -> Result<Filter, Failure> {
        match (&self.cell, &self.filter) {
            (Some(id), _) => Ok(Filter::cell(id)),
            (None, Some(text)) => {
                text.parse().map_err(|e: HistoryError| format!("--filter {text}: {e}")).or_usage()
            }
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
        rules.policy.time = self.time;
        rules.policy.memory = self.memory;
        rules
    }
}

/// What is said of a history without a run.
fn no_run(db: &Path) -> String {
    let db = db.display();
    format!("{db} holds no run\nhint: `slmbench history add DIR --db {db}` adds one")
}

/// Refuses a branch that no run is of.
fn check_branch(db: &Path, runs: &[Rc<Run>], branch: Option<&str>) -> Result<(), Failure> {
    let known: BTreeSet<&str> = runs.iter().filter_map(|run| run.branch.as_deref()).collect();
    let Some(branch) = branch.filter(|branch| !known.contains(branch)) else { return Ok(()) };
    let known: Vec<&str> = known.into_iter().collect();
    let known = match &known[..] {
        [] => "no run has a branch".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Err(format!(
        "{}: no run of branch `{branch}`; {known}\n\
         hint: `slmbench history add --branch NAME` says of which branch a run is",
        db.display()
    ))
    .or_usage()
}
