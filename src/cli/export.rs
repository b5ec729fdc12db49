//! `slmbench export DIR…`: runs in the formats of other tools.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::{Ending, Exit, Failure};
use super::files;
use crate::exchange::otava::{self, Point};
use crate::exchange::{CellNumbers, RunNumbers, bencher, github, llama_bench, program_commit};
use crate::record::{Record, RunInfo};
use crate::report::{ReportView, make_folder, write_whole};
use crate::system::said;

const EXAMPLES: &str = "Examples:
  slmbench export reports/RUN --to llama-bench-json   on standard output
  slmbench export reports/RUN --to bencher -o bmf.json
  slmbench export reports/monday reports/friday --to otava-csv --commit 1a2b3c,4d5e6f -o otava/";

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folders of runs
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// The format
    #[arg(long, value_enum)]
    to: Format,
    /// The file to write, or the folder where a format is of several files; standard output where
    /// it is not said
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The commit that was measured: one for all folders, or one for each, with commas between
    /// (otava-csv, llama-bench)
    #[arg(long, value_delimiter = ',', value_name = "COMMIT")]
    commit: Vec<String>,
    /// The branch that it is on (otava-csv); without it the table has no such column
    #[arg(long)]
    branch: Option<String>,
}

/// A format of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// llama-bench -o json, a row per invocation and phase
    LlamaBenchJson,
    /// llama-bench -o jsonl
    LlamaBenchJsonl,
    /// llama-bench -o csv
    LlamaBenchCsv,
    /// llama-bench -o sql
    LlamaBenchSql,
    /// llama-bench -o md
    LlamaBenchMd,
    /// Two files for github-action-benchmark
    GithubActionBenchmark,
    /// Bencher Metric Format
    Bencher,
    /// Table and configuration for Apache Otava, a row per folder
    OtavaCsv,
}

/// A run that was read.
struct Run {
    info: RunInfo,
    records: Vec<Record>,
    commit: Option<String>,
}

/// What goes into a folder.
type Files = Vec<(String, Vec<u8>)>;

/// Writes runs in another format.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let runs = read(arguments)?;
    let mut text = Vec::new();
    let out: &mut dyn Write = &mut text;
    match arguments.to {
        Format::LlamaBenchJson => llama_bench::json(&rows(&runs)?, out).or_unwritable()?,
        Format::LlamaBenchJsonl => llama_bench::jsonl(&rows(&runs)?, out).or_unwritable()?,
        Format::LlamaBenchCsv => llama_bench::csv(&rows(&runs)?, out).or_unwritable()?,
        Format::LlamaBenchSql => llama_bench::sql(&rows(&runs)?, out).or_unwritable()?,
        Format::LlamaBenchMd => llama_bench::markdown(&rows(&runs)?, out).or_unwritable()?,
        Format::Bencher => {
            let bmf = bencher::bencher(&numbers(&runs)?).or_usage()?;
            writeln!(out, "{bmf:#}").or_unwritable()?;
        }
        Format::GithubActionBenchmark => return write_files(arguments, &github(&runs)?),
        Format::OtavaCsv => return write_files(arguments, &otava(arguments, &runs)?),
    }
    match &arguments.output {
        // A device or a pipe cannot be renamed over.
        Some(path) if path.exists() && !path.is_file() => {
            let named = |e| format!("{}: {}", path.display(), said(&e));
            std::fs::write(path, &text).map_err(named).or_unwritable()?;
        }
        Some(path) => write_whole(path, |file| file.write_all(&text)).or_unwritable()?,
        None => to_stdout(&text)
            .map_err(|e| format!("standard output: {}", said(&e)))
            .or_unwritable()?,
    }
    Ok(Exit::Done)
}

fn read(arguments: &Arguments) -> Result<Vec<Run>, Failure> {
    let (n_dirs, n_commits) = (arguments.dirs.len(), arguments.commit.len());
    if n_commits > 1 && n_commits != n_dirs {
        return Err(usage(format!(
            "{n_commits} commits for {n_dirs} folders\nhint: --commit takes one for all, or one for \
             each folder in their order"
        )));
    }
    let commit = |i: usize| arguments.commit.get(if n_commits == 1 { 0 } else { i }).cloned();
    let read = |(i, dir): (usize, &PathBuf)| {
        let (_, info, records) = files::run(dir)?;
        Ok(Run { info, records, commit: commit(i) })
    };
    arguments.dirs.iter().enumerate().map(read).collect()
}

/// All runs as rows of llama-bench.
fn rows(runs: &[Run]) -> Result<Vec<llama_bench::Row>, Failure> {
    let rows: Vec<llama_bench::Row> = runs
        .iter()
        .flat_map(|run| llama_bench::rows(&run.info, &run.records, run.commit.as_deref()))
        .collect();
    if rows.is_empty() { Err(nothing()) } else { Ok(rows) }
}

/// All runs with the estimates that reports show.
fn numbers(runs: &[Run]) -> Result<Vec<RunNumbers<'_>>, Failure> {
    let numbers: Vec<RunNumbers> = runs.iter().map(numbers_of).collect();
    if numbers.iter().all(|run| run.named().is_empty()) { Err(nothing()) } else { Ok(numbers) }
}

fn numbers_of(run: &Run) -> RunNumbers<'_> {
    let view = ReportView::new(&run.info, &run.records);
    let device = view.device();
    let cells = view.cells.iter().map(|cell| CellNumbers {
        cell: cell.cell,
        marks: cell.marks.iter().map(|mark| mark.word()).collect(),
        n_invocations: cell.n_invocations,
        measures: cell
            .measures
            .named()
            .into_iter()
            .filter_map(|(name, estimate)| Some((name, estimate?)))
            .collect(),
    });
    RunNumbers { run: &run.info, device, cells: cells.collect() }
}

fn github(runs: &[Run]) -> Result<Files, Failure> {
    let numbers = numbers(runs)?;
    let file = |(name, direction): (&str, _)| {
        let entries = github::github(&numbers, direction).or_usage()?;
        Ok((name.to_owned(), format!("{entries:#}\n").into_bytes()))
    };
    github::FILES.into_iter().map(file).collect()
}

fn otava(arguments: &Arguments, runs: &[Run]) -> Result<Files, Failure> {
    let points: Vec<Point> = runs
        .iter()
        .zip(numbers(runs)?)
        .map(|(run, numbers)| {
            let own = program_commit(&run.info.program);
            let commit = run.commit.clone().unwrap_or_else(|| own.to_owned());
            Point { numbers, commit, branch: arguments.branch.clone() }
        })
        .collect();
    let tables = otava::tables(&points);
    let mut files = Files::new();
    for table in &tables {
        let mut text = Vec::new();
        table.write(&mut text).or_unwritable()?;
        files.push((table.file(), text));
    }
    let mut text = Vec::new();
    otava::write_configuration(&tables, &mut text).or_unwritable()?;
    files.push((otava::CONFIGURATION.to_owned(), text));
    Ok(files)
}

fn write_files(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let folder: &Path = arguments.output.as_deref().ok_or_else(|| {
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        usage(format!(
            "this format is {}\nhint: name their folder with -o DIR",
            names.join(" and ")
        ))
    })?;
    make_folder(folder).or_unwritable()?;
    for (name, text) in files {
        write_whole(&folder.join(name), |file| file.write_all(text)).or_unwritable()?;
    }
    Ok(Exit::Done)
}

/// A reader that has gone is no fault, a full disk behind `>` is one.
fn to_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn nothing() -> Failure {
    usage(
        "no invocation of a cell finished, so there is nothing to export\nhint: sustained runs and profiles have \
         CSV files of their own, see docs/exchange.md"
            .to_owned(),
    )
}

fn usage(message: String) -> Failure {
    Failure { exit: Exit::Usage, message }
}
