//! `slmbench show DIR`: a run on the terminal, from its journal; with `--cell` one cell in full.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::report::terminal_width;
use super::{files, print};
use crate::plan::CellId;
use crate::record::{Outcome, Record};
use crate::report::{self, ReportView, plain};
use crate::runner::RunFolder;

const EXAMPLES: &str = "Examples:
  slmbench show reports/quick                         every cell: speed, and its course in a line
  slmbench show reports/quick --cell 3fa1             one cell: invocations, tokens, memory
  slmbench show reports/quick | less -S               tables as wide as they need

Nothing is written: `slmbench report` draws the files of a run again.";

/// Lines of a child's log that are shown.
const LOG_LINES: usize = 12;

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only this cell, in full: its id or the beginning of it; can be repeated
    #[arg(long, value_name = "ID")]
    cell: Vec<String>,
}

/// Shows a run.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (folder, info, records) = files::run(&arguments.dir)?;
    let view = ReportView::new(&info, &records);
    let width = terminal_width();
    if arguments.cell.is_empty() {
        let dir = arguments.dir.display().to_string();
        let hint = format!("one of them in full: slmbench show {} --cell ID\n", plain(&dir));
        print(&(report::run_text(&view, width) + &hint))?;
        return Ok(Exit::Done);
    }
    let ids = arguments.cell.iter().map(|word| find(&view, word, &arguments.dir));
    let ids = ids.collect::<Result<Vec<CellId>, Failure>>()?;
    let shown = ids.iter().map(|id| {
        let text = report::cell_text(&view, id, width);
        text + &logs(&folder, records.iter().filter(|record| record.cell.id == *id))
    });
    print(&shown.collect::<Vec<_>>().join("\n"))?;
    Ok(Exit::Done)
}

/// The one cell whose id begins so.
fn find(view: &ReportView, word: &str, dir: &Path) -> Result<CellId, Failure> {
    let cells = report::shown_cells(view);
    let fits: Vec<_> = cells.iter().filter(|cell| cell.id.0.starts_with(word)).collect();
    let dir = dir.display();
    match &fits[..] {
        [cell] => Ok(cell.id.clone()),
        [] => {
            Err(format!("--cell {word}: no cell of {dir} has an id that begins so\nhint: slmbench show {dir} lists them"))
                .or_usage()
        }
        several => {
            let ids: Vec<String> = several.iter().map(|cell| plain(&cell.id.0)).collect();
            Err(format!("--cell {word}: begins the ids of {} cells: {}", ids.len(), ids.join(", ")))
                .or_usage()
        }
    }
}

/// The last words of the children that did not finish.
fn logs<'a>(folder: &RunFolder, records: impl Iterator<Item = &'a Record>) -> String {
    let mut out = String::new();
    for record in records.filter(|record| record.outcome != Outcome::Finished) {
        let Some(log) = &record.log else { continue };
        // A log may be gone; the record says what became of the invocation all the same.
        let Some(text) = folder.end_of_log(log) else { continue };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        out.push_str(&format!("\nthe end of {}\n", plain(log)));
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            out.push_str(&format!("  {}\n", plain(line)));
        }
    }
    out
}
