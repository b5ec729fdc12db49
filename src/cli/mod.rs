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
mod pages;
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
mod show;
mod soak;
mod synth;
mod until;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::record::PROGRAM;
use crate::report::{Tone, laid_out};
use crate::runner;
use crate::system::said;
use exit::{Exit, Failure};

/// What a small language model really costs on this device: latency per token, memory, heat.
#[derive(Debug, Parser)]
#[command(name = "slmbench", version = version(), max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    slmbench run                                        two small models, two minutes, a report\n  \
    slmbench run survey --model 'Qwen*'                 part of a suite\n  \
    slmbench run -m model.gguf -p 512 -n 128            a file of your own\n  \
    slmbench ab --model SmolLM2-135M --quant Q4_0 --a engine=reference --b engine=llama-cpp\n  \
    slmbench memory Qwen3-1.7B --quant Q4_K_M -c 4096   what it needs, before anything is run\n\n\
    A cell is one thing that is measured: a model in a quantisation, on an engine, with its lengths \
    and settings.\nAn invocation measures a cell once, in a child process of its own; 3 or more of them \
    give an interval.\nA repetition is one timed pass in an invocation.\n\n\
    Exit codes: 0 done · 1 a fault of this program · 2 usage or bad input · \
    3 regressed, with --gate or history check · 4 some invocations did not finish · 6 unclear, with --strict · \
    7 results cannot be written · 130 stopped, can be resumed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a suite, or any part of one, or your own GGUF files (-m)
    Run(Box<run::Arguments>),
    /// Find out how fast this device runs a model when it has been at work for a while
    Soak(Box<soak::Arguments>),
    /// Find out where a model's time goes: by its parts, kinds of operation, layers; with a trace
    Profile(Box<profile::Arguments>),
    /// Measure a suite on two sides in turns and say how they stand: engines, settings, models, builds
    Ab(Box<ab::Arguments>),
    /// Measure a suite against itself: what this device can tell apart now
    Selftest(Box<ab::SelftestArguments>),
    /// Compare runs that were measured before
    Compare(compare::Arguments),
    /// Show a run on the terminal: speed, the course of every cell; one cell token by token
    Show(show::Arguments),
    /// Draw table, CSV, plots and page again from the records of a run; one page over several runs
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
    /// Measure what this device could do: bandwidth of memory and caches, peak arithmetic
    Probe(probe::Arguments),
    /// Tell how fast a model will be, from a probe and its shape; how far off that is
    Predict(Box<predict::Arguments>),
    /// Write a GGUF file of a model's exact shape with synthetic weights
    Synth(synth::Arguments),
    /// Turn a GGUF file of numbers into one of a file mix: Q4_K_M, Q8_0 and so on
    Quantize(quantize::Arguments),
    /// Print the completions of a shell
    Completions(pages::CompletionsArguments),
    /// Write the manual's pages: one for the program, one for each command
    Man(pages::ManArguments),
}

/// What the program asks of itself in a process of its own. Neither help nor completions tell of it.
fn own_errand(words: &[OsString]) -> Option<fn() -> Result<Exit, Failure>> {
    let [word] = words else { return None };
    match word.to_str()? {
        runner::CHILD => Some(|| match crate::measure::run() {
            0 => Ok(Exit::Done),
            _ => Ok(Exit::Bug),
        }),
        engines::PLAN_MEMORY => Some(engines::answer_about_memory),
        probe::PROBE_HERE => Some(probe::answer),
        _ => None,
    }
}

/// Version and commit, without the program's name.
fn version() -> &'static str {
    PROGRAM.trim_start_matches("slmbench ")
}

/// Writes to standard output, in colour where that is a terminal and `NO_COLOR` is not set. A reader that
/// has gone, such as `head`, is no fault; a full disk behind `>` is one.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Unwritable, &format!("standard output: {}", said(&e))))
        }
        _ => Ok(()),
    }
}

/// Says why the program ends as it does.
fn complain(message: &str) {
    let mut out = format!("{} ", Tone::Bad.paint_bold("error:"));
    for line in message.lines().map(laid_out) {
        match line.strip_prefix("hint: ") {
            Some(hint) => out.push_str(&format!("{} {hint}\n", Tone::Good.paint("hint:"))),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    let _ = std::io::Write::write_all(&mut anstream::stderr(), out.as_bytes());
}

/// Runs the program.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match own_errand(&words) {
        Some(errand) => std::panic::catch_unwind(errand),
        None => {
            // Clap ends by itself on --help, --version (0) and wrong usage (2).
            let arguments = Arguments::parse();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| obey(arguments.command)))
        }
    };
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(Failure { exit, message })) => {
            complain(&message);
            exit.into()
        }
        // The panic's own message has been printed.
        Err(_) => {
            complain("this is a fault of slmbench, please report it");
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
        Command::Show(arguments) => show::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Memory(arguments) => memory::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Synth(arguments) => synth::run(&arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::Completions(arguments) => pages::completions(&arguments),
        Command::Man(arguments) => pages::man(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command that help tells of, with the words that lead to it.
    fn commands(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((path.to_owned(), after));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            commands(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }

    /// The words of an example as a shell would hand them over: without the remark behind it, up to what
    /// is the shell's own.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
        let line = line.trim_start();
        let end = [" | ", " > ", " && "].iter().filter_map(|shell| line.find(shell)).min();
        let line = &line[..end.unwrap_or(line.len())];
        for (i, c) in line.char_indices() {
            match c {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted && line[i..].starts_with("  ") => break,
                ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_understood() {
        let mut found = Vec::new();
        commands(&Arguments::command(), "slmbench", &mut found);
        assert!(found.len() > 20, "{found:?}");
        for (path, after) in found {
            let examples: Vec<&str> =
                after.lines().filter(|line| line.starts_with("  slmbench")).collect();
            assert!(
                examples.iter().any(|line| line.trim().starts_with(&path)),
                "`{path} --help` shows no example"
            );
            for line in examples {
                let parsed = Arguments::try_parse_from(words(line));
                assert!(parsed.is_ok(), "{line}\n{}", parsed.unwrap_err());
            }
        }
    }
}
