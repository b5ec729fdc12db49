//! `slmbench compare`: two runs that were measured at different times, one run across an axis, or a trial
//! judged again.

use std::path::{Path, PathBuf};

use clap::Args;

use super::ab::read_trial;
use super::exit::{Ending, Exit, Failure};
use super::judging::Judging;
use crate::compare::{Axis, Case, Comparison, Policy, Side, Verdict};
use crate::exchange::llama_bench::{self, Row};
use crate::record::{JournalRead, RunInfo, read_journal_whole};
use crate::runner::RunFolder;

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "BASE and HEAD are folders of runs, journals (records.jsonl), or files of \
    llama-bench (JSON, JSONL, CSV). Examples:\n  \
    slmbench compare reports/before reports/after --gate\n  \
    slmbench compare reports/RUN --across engine\n  \
    slmbench compare reports/pi5 reports/laptop --across host\n  \
    slmbench compare reports/TRIAL")]
pub struct Arguments {
    /// The baseline, or the folder of a trial
    base: PathBuf,
    /// The candidate; absent, the baseline is compared with itself across an axis
    head: Option<PathBuf>,
    /// What may differ between two cells: engine, quant, backend_device, host
    #[arg(long, value_name = "AXIS")]
    across: Option<Axis>,
    /// Exit with 6 where something is unclear, cannot be compared, or is missing from HEAD
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    judging: Judging,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    arguments.judging.check_files()?;
    let comparison = match &arguments.head {
        None if arguments.across.is_none() => trial(arguments)?,
        head => stored(arguments, head.as_deref().unwrap_or(&arguments.base))?,
    };
    arguments.judging.report(&comparison, None, arguments.quiet)?;
    arguments.judging.exit(&comparison, arguments.strict)
}

fn stored(arguments: &Arguments, head: &Path) -> Result<Comparison, Failure> {
    let (base, mut head) = sides(arguments, head)?;
    if arguments.head.is_none() {
        head.label.clone_from(&base.label);
    }
    let policy = arguments.judging.policy(Policy::default())?;
    let mut comparison = Comparison::of_sides(&base, &head, arguments.across, policy).or_usage()?;
    if comparison.n(Verdict::NotComparable) < comparison.rows.len() {
        let drift = match arguments.head {
            Some(_) => {
                "the two were measured at different times: what changed on the machine in \
                between is not controlled"
            }
            None => {
                "the cells of one run are compared as if they were two runs: what they share of \
                the machine's ups and downs is not used"
            }
        };
        comparison.notes.push(drift.to_owned());
    }
    Ok(comparison)
}

/// A trial, judged again as it was.
fn trial(arguments: &Arguments) -> Result<Comparison, Failure> {
    let folder = &arguments.base;
    let Some(mut info) = read_trial(folder)? else {
        return Err(format!(
            "{}: one side alone, and no trial\n\
             hint: name HEAD, or what to compare across: --across engine",
            folder.display()
        ))
        .or_usage();
    };
    info.policy = arguments.judging.policy(info.policy.clone())?;
    let read = |name: &str| -> Result<(RunInfo, JournalRead), Failure> {
        let (run, info) = RunFolder::open(&folder.join(name)).or_usage()?;
        Ok((info, read_journal_whole(&run.journal()).or_usage()?))
    };
    let (a, b) = (read("a")?, read("b")?);
    let comparison = info.comparison((&a.0, &a.1.records), (&b.0, &b.1.records));
    let mut comparison = comparison.map_err(|e| format!("{}: {e}", folder.display())).or_usage()?;
    comparison.notes.extend(a.1.truncated.then(|| cut_off("a")));
    comparison.notes.extend(b.1.truncated.then(|| cut_off("b")));
    Ok(comparison)
}

fn cut_off(label: &str) -> String {
    format!("{label}: the journal ends in the middle of a record, which is left out")
}

/// What a path holds.
enum Input {
    /// A run, or its journal alone.
    Run(Option<Box<RunInfo>>, JournalRead),
    /// A file of llama-bench.
    Rows(Vec<Row>),
}

fn sides(arguments: &Arguments, head: &Path) -> Result<(Side, Side), Failure> {
    let inputs = (input(&arguments.base)?, input(head)?);
    // Beside a file of llama-bench, a run of ours is one too: its cells are then named as theirs.
    let as_rows = matches!(inputs, (Input::Rows(_), _) | (_, Input::Rows(_)));
    let labels = labels(&arguments.base, head);
    let named = |path: &Path, input, label| {
        side(label, input, as_rows)
            .map_err(|e| Failure { message: format!("{}: {}", path.display(), e.message), ..e })
    };
    Ok((named(&arguments.base, inputs.0, labels.0)?, named(head, inputs.1, labels.1)?))
}

/// What two paths are called in reports, which get passed around: their last parts, with as much before
/// them as tells them apart.
fn labels(base: &Path, head: &Path) -> (String, String) {
    let tail = |path: &Path, n: usize| -> String {
        let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        parts[parts.len().saturating_sub(n)..].join("/")
    };
    let n = (1..8).find(|&n| tail(base, n) != tail(head, n)).unwrap_or(1);
    (tail(base, n), tail(head, n))
}

fn side(label: String, input: Input, as_rows: bool) -> Result<Side, Failure> {
    match input {
        Input::Rows(rows) => llama_bench::side(&label, &rows).or_usage(),
        Input::Run(Some(info), read) if as_rows => {
            let rows = llama_bench::rows(&info, &read.records, None);
            let mut side = llama_bench::side(&label, &rows).or_usage()?;
            // Rows know nothing of what did not finish.
            let whole = Side::of_records(&label, Some(&info), &read.records).or_usage()?;
            side.unfinished = whole.cases.iter().filter_map(Case::told_unfinished).collect();
            side.notes.extend(read.truncated.then(|| cut_off(&label)));
            Ok(side)
        }
        Input::Run(None, _) if as_rows => {
            Err("a journal alone cannot stand beside a file of llama-bench\n\
                 hint: name the folder of the run")
            .or_usage()
        }
        Input::Run(info, read) => {
            let side = Side::of_records(&label, info.as_deref(), &read.records);
            let mut side = side.or_usage()?;
            side.notes.extend(read.truncated.then(|| cut_off(&label)));
            Ok(side)
        }
    }
}

/// Reads a run's folder, its journal, or a file of another tool.
fn input(path: &Path) -> Result<Input, Failure> {
    if path.is_dir() {
        if read_trial(path)?.is_some() {
            let shown = path.display();
            return Err(format!(
                "{shown} is a trial of two sides\nhint: name one of them, {shown}/a or {shown}/b"
            ))
            .or_usage();
        }
        let (folder, info) = RunFolder::open(path).or_usage()?;
        let read = read_journal_whole(&folder.journal()).or_usage()?;
        return Ok(Input::Run(Some(Box::new(info)), read));
    }
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| format!("{shown}: {e}")).or_usage()?;
    // A journal of ours says what it is in every line.
    let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let first = serde_json::from_slice::<serde_json::Value>(first).unwrap_or_default();
    if first.get("cell").is_some() && first.get("format").is_some() {
        return Ok(Input::Run(None, read_journal_whole(path).or_usage()?));
    }
    llama_bench::read(bytes, &shown).map(Input::Rows).or_usage()
}
