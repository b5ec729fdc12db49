//! `slmbench report DIR`: everything again from the journal.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::record::{Record, RunInfo, read_journal};
use crate::report::{self, ReportView};
use crate::runner::RunFolder;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run's folder
    dir: PathBuf,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Rebuilds a run's files.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (folder, info) = RunFolder::open(&arguments.dir).or_usage()?;
    let records = read_journal(&folder.journal()).or_usage()?;
    write(&folder, &info, &records, arguments.quiet)?;
    Ok(Exit::Done)
}

/// Writes everything that is drawn from records, and shows the table.
pub fn write(
    folder: &RunFolder,
    info: &RunInfo,
    records: &[Record],
    quiet: bool,
) -> Result<(), Failure> {
    let view = ReportView::new(info, records);
    report::write_all(&view, folder.path()).or_unwritable()?;
    if !quiet {
        print(&report::terminal_table(&view, terminal_width()));
    }
    Ok(())
}

/// Columns of the terminal; 120 where there is none.
pub fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0)
        .unwrap_or(120)
}
