//! Commands, one file each. The only room that reads arguments, writes to the terminal and chooses
//! the exit code.

mod ab;
mod asked;
mod catalogue_files;
mod compare;
mod conduct;
mod doctor;
mod engines;
mod exit;
mod expected;
mod export;
mod files;
mod history;
mod inspect;
mod judging;
mod list;
mod measuring;
mod memory;
mod predict;
mod preparing;
mod probe;
mod probing;
mod profile;
mod quantize;
mod report;
mod resume;
mod run;
mod select;
mod series;
mod soak;
mod synth;
mod until;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::record::PROGRAM;
use exit::{Exit, Failure};

/// What a small language model really costs on this device: latency per token, memory, heat.
#[derive(Debug, Parser)]
#[command(name = "slmbench", version = version(), max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done · 1 a fault of this program · 2 usage or bad input · \
    3 regressed · 4 some invocations did not finish · 6 unclear, with --strict · \
    7 results cannot be written · 130 stopped, can be resumed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure: a suite, or any part of one, or your own GGUF files
    Run(Box<run::Arguments>),
    /// Find out how fast this device is when it has been at work for a while
    Soak(Box<soak::Arguments>),
    /// Find out where the time goes: by part of the model, kind of operation, layer; with a trace
    Profile(Box<profile::Arguments>),
    /// Take two sides in turns and say how they stand: engines, settings, models, builds
    Ab(Box<ab::Arguments>),
    /// Compare a side with itself: what this device can tell apart now
    Selftest(Box<ab::SelftestArguments>),
    /// Compare runs that were measured before
    Compare(compare::Arguments),
    /// Draw table, CSV and plots again from the records of a run
    Report(report::Arguments),
    /// Write a run in the format of another tool: llama-bench, Bencher, Otava and others
    Export(export::Arguments),
    /// Keep runs in a database, and tell what changed from run to run, and since when
    History(history::Arguments),
    /// Show what there is: models, suites, engines, devices
    List(list::Arguments),
    /// Show what a GGUF file is made of: bytes by type and part, parameters, tensors, metadata
    Inspect(inspect::Arguments),
    /// Tell what a model needs: weights, KV cache, buffers; what fits into how much memory
    Memory(memory::Arguments),
    /// Tell what can be read of this machine, and whether it is fit to be measured
    Doctor(doctor::Arguments),
    /// Measure what this device could do: bandwidth of memory and caches, peak arithmetic, fork-join
    Probe(probe::Arguments),
    /// Tell how fast a model will be, from a probe and its shape; how far off that is
    Predict(Box<predict::Arguments>),
    /// Write a GGUF file of a model's exact shape with synthetic weights
    Synth(synth::Arguments),
    /// Turn a GGUF file of numbers into one of a file mix: Q4_K_M, Q8_0 and so on
    Quantize(quantize::Arguments),
    /// The child's side of a run
    #[command(hide = true)]
    Child,
    /// Answers what an engine would take, for a run
    #[command(hide = true)]
    PlanMemory,
    /// Measures the ceilings, for a probe
    #[command(hide = true)]
    ProbeHere,
}

/// Version and commit, without the program's name.
fn version() -> &'static str {
    PROGRAM.trim_start_matches("slmbench ")
}

/// Writes to standard output. A reader that has gone, such as `head`, is no fault.
fn print(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Clap ends by itself on --help, --version (0) and wrong usage (2).
    let arguments = Arguments::parse();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| obey(arguments.command)));
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(Failure { exit, message })) => {
            eprintln!("error: {message}");
            exit.into()
        }
        // The panic's own message has been printed.
        Err(_) => {
            eprintln!("error: this is a fault of slmbench, please report it");
            Exit::Bug.into()
        }
    }
}

fn obey(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Soak(arguments) => soak::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Ab(arguments) => ab::run(&arguments),
        Command::Selftest(arguments) => ab::run_selftest(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Memory(arguments) => memory::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::ProbeHere => probe::answer(),
        Command::Synth(arguments) => synth::run(&arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::PlanMemory => engines::answer_about_memory(),
        Command::Child => match crate::measure::run() {
            0 => Ok(Exit::Done),
            _ => Ok(Exit::Bug),
        },
    }
}
