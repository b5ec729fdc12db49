//! `slmbench history add DIR…`: run folders into the history, each whole or not at all.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::Db;
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::print;
use crate::history::{Added, History, HistoryError, RunEntry, Said};
use crate::record::{JournalRead, read_journal_whole};
use crate::report::{count, plain};
use crate::runner::RunFolder;

const EXAMPLES: &str = "Examples:
  slmbench history add reports/RUN --db h.db --branch main --commit 1a2b3c
  slmbench history add --all reports --db h.db        every run in that folder";

/// Arguments of `history add`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folders of runs
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    db: Db,
    /// Take every run that is in a folder of these, such as reports/
    #[arg(long)]
    all: bool,
    /// The commit that was measured [default: the one that slmbench was built from]
    #[arg(long, value_name = "SHA", value_parser = commit)]
    commit: Option<String>,
    /// The branch that it is on
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// When it stands in the history: 2026-11-02, or 2026-11-02T10:38:57Z [default: when it began]
    #[arg(long, value_name = "DATE", value_parser = date)]
    date: Option<Timestamp>,
    /// Say nothing but errors and warnings
    #[arg(long, short)]
    quiet: bool,
}

/// One commit: `export` takes a list of them, and a list must not become a commit's name.
fn commit(text: &str) -> Result<String, String> {
    match text.contains([',', ' ']) {
        true => Err("expected one commit; runs of several commits are added one by one".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn date(text: &str) -> Result<Timestamp, String> {
    let midnight = |day: jiff::civil::Date| {
        day.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp()).ok()
    };
    let moment = text.parse::<Timestamp>().ok();
    moment
        .or_else(|| text.parse::<jiff::civil::Date>().ok().and_then(midnight))
        .ok_or_else(|| "expected 2026-11-02, or 2026-11-02T10:38:57Z with the time".to_owned())
}

/// What became of the folders.
#[derive(Default)]
struct Tally {
    n_added: usize,
    n_extended: usize,
    n_known: usize,
    n_refused: usize,
    n_unfinished: usize,
}

/// Takes runs in.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let folders = folders(&arguments.dirs, arguments.all)?;
    let said = Said {
        commit: arguments.commit.clone(),
        branch: arguments.branch.clone(),
        date: arguments.date,
    };
    let mut history = History::open_or_begin(&arguments.db.db).map_err(failed)?;
    let mut tally = Tally::default();
    for folder in &folders {
        let shown = folder.display();
        match take_in(&mut history, folder, &said) {
            Ok(taken) => {
                let Added { is_new, n_new, n_changed, is_retold, .. } = taken.added;
                let is_more = n_new + n_changed > 0 || is_retold;
                match (is_new, is_more) {
                    (true, _) => tally.n_added += 1,
                    (false, true) => tally.n_extended += 1,
                    (false, false) => tally.n_known += 1,
                }
                tally.n_unfinished += taken.n_unfinished;
                if !arguments.quiet {
                    print(&format!("{shown}: {}\n", taken.words()))?;
                }
                for note in taken.notes {
                    eprintln!("warning: {shown}: {}", plain(&note));
                }
            }
            Err(Failure { exit: Exit::Usage, message }) => {
                tally.n_refused += 1;
                eprintln!("error: {message}");
            }
            Err(failure) => return Err(failure),
        }
    }
    if !arguments.quiet && folders.len() > 1 {
        print(&tally.words())?;
    }
    Ok(match tally {
        Tally { n_refused: 1.., .. } => Exit::Usage,
        Tally { n_unfinished: 1.., .. } => Exit::Unfinished,
        _ => Exit::Done,
    })
}

fn failed(error: HistoryError) -> Failure {
    let exit = if error.is_unwritable() { Exit::Unwritable } else { Exit::Usage };
    Failure::new(exit, &error)
}

impl Tally {
    fn words(&self) -> String {
        let parts = [
            (self.n_added, "added"),
            (self.n_extended, "extended"),
            (self.n_known, "known already"),
            (self.n_refused, "refused"),
        ];
        let parts = parts.iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, what)| format!("{n} {what}")).collect();
        format!("{}\n", parts.join(", "))
    }
}

/// A run that was taken in.
struct Taken {
    added: Added,
    n_cells: usize,
    n_unfinished: usize,
    commit: Option<String>,
    notes: Vec<String>,
}

impl Taken {
    fn words(&self) -> String {
        let at = match &self.commit {
            Some(commit) => format!(", commit {}", plain(commit)),
            None => String::new(),
        };
        let Added { is_new, n_new, n_changed, is_retold, .. } = self.added;
        if is_new {
            let cells = count(self.n_cells, "cell");
            return format!("added, {cells}, {}{at}", count(n_new, "invocation"));
        }
        let mut parts = Vec::new();
        if n_new > 0 {
            parts.push(format!("{} more", count(n_new, "invocation")));
        }
        if n_changed > 0 {
            parts.push(format!("{} changed", count(n_changed, "invocation")));
        }
        if is_retold {
            parts.push("told anew".to_owned());
        }
        if parts.is_empty() { "known already".to_owned() } else { parts.join(", ") }
    }
}

fn take_in(history: &mut History, path: &Path, said: &Said) -> Result<Taken, Failure> {
    let (folder, info) = RunFolder::open(path).or_usage()?;
    let JournalRead { records, truncated } = read_journal_whole(&folder.journal()).or_usage()?;
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut notes = Vec::new();
    if truncated {
        notes.push("its last record was cut off and is left out".to_owned());
    }
    let entry = RunEntry::new(&info, &records).map_err(|e| named(&e)).or_usage()?;
    let added = history.add(&entry, said).map_err(|e| match e {
        e @ HistoryError::TwoOfOneId(_) => Failure::new(Exit::Usage, &named(&e)),
        e => Failure::new(Exit::Unwritable, &e),
    })?;
    if let Some(newest) = &added.behind {
        notes.push(format!(
            "it began before a run that is there already ({newest}); it stands at its date"
        ));
    }
    if entry.n_untimed > 0 {
        let cells = count(entry.n_untimed, "cell");
        notes.push(format!("{cells} left out: sustained runs and profiles have no repetitions"));
    }
    if entry.invocations.is_empty() {
        notes.push("it holds no record yet".to_owned());
    }
    let n_unfinished = entry.unfinished.len();
    if n_unfinished > 0 && n_unfinished == entry.cells.len() {
        notes.push("nothing of it finished: it adds to no series".to_owned());
    } else {
        for (cell, ended) in &entry.unfinished {
            let word = |name: &str| entry.cells[cell].get(name).cloned().unwrap_or_default();
            let names = ["model", "quant", "engine"].map(word).join(" ");
            notes.push(format!("cell {cell} ({names}) adds to no series: {ended}"));
        }
    }
    Ok(Taken {
        commit: said.commit.clone().or(entry.commit),
        added,
        n_cells: entry.cells.len(),
        n_unfinished,
        notes,
    })
}

/// The folders themselves, and with `all` those in them that hold a run.
fn folders(dirs: &[PathBuf], all: bool) -> Result<Vec<PathBuf>, Failure> {
    let holds_run = |path: &Path| path.join("run.json").exists();
    let mut found = Vec::new();
    for dir in dirs {
        if !all || holds_run(dir) {
            let within = runs_within(dir).unwrap_or_default().len();
            if !holds_run(dir) && within > 0 {
                let dir = dir.display();
                return Err(format!(
                    "{dir} holds no run itself, but there are {within} in its folders\n\
                     hint: --all takes them"
                ))
                .or_usage();
            }
            found.push(dir.clone());
            continue;
        }
        let within = runs_within(dir).map_err(|e| format!("{}: {e}", dir.display())).or_usage()?;
        if within.is_empty() {
            return Err(format!("{}: no run is in any folder of it", dir.display())).or_usage();
        }
        found.extend(within);
    }
    Ok(found)
}

/// Folders of `dir` that hold a run, by name, which is by date.
fn runs_within(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.join("run.json").exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
