//! `slmbench report DIR`: everything again from the journal; `-o page.html`: one page over several runs.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::record::{Record, RunInfo, read_journal};
use crate::report::{self, ReportView};
use crate::runner::RunFolder;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run's folder; several with --output
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Write one page over all of them into this file, and nothing else
    #[arg(long, short, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Rebuilds a run's files.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(path) = &arguments.output {
        return page(&arguments.dirs, path);
    }
    let [dir] = &arguments.dirs[..] else {
        return Err("each run has a report in its own folder\nhint: -o page.html writes one page over several")
            .or_usage();
    };
    let (folder, info) = RunFolder::open(dir).or_usage()?;
    let records = read_journal(&folder.journal()).or_usage()?;
    write(&folder, &info, &records, arguments.quiet)?;
    Ok(Exit::Done)
}

/// Writes one page over the runs in `dirs`.
fn page(dirs: &[PathBuf], path: &Path) -> Result<Exit, Failure> {
    let read = |dir: &PathBuf| -> Result<(RunInfo, Vec<Record>), Failure> {
        let (folder, info) = RunFolder::open(dir).or_usage()?;
        Ok((info, read_journal(&folder.journal()).or_usage()?))
    };
    let runs = dirs.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let views: Vec<ReportView> =
        runs.iter().map(|(info, records)| ReportView::new(info, records)).collect();
    report::write_text(path, &report::page(&views)).or_unwritable()?;
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
