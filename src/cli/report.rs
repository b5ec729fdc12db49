//! `slmbench report DIR`: everything again from the journal; `-o page.html`: one page over several runs;
//! `--layout survey`: the figures of the SLM survey.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::exit::{Ending, Exit, Failure};
use super::measuring::quoted;
use super::{files, print};
use crate::record::{Record, RunInfo};
use crate::report::{self, ReportView};
use crate::runner::RunFolder;

const EXAMPLES: &str = "Examples:
  slmbench report reports/RUN                         the files of one run, from its records
  slmbench report reports/pi5 reports/laptop -o devices.html
  slmbench report reports/RUN --layout survey         figures 8 to 13 of the SLM survey";

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run's folder; several with --output or --layout
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Another form: the figures of the SLM survey (arXiv 2409.15790), from all folders together
    #[arg(long)]
    layout: Option<Layout>,
    /// One page over all of them, and nothing else; with --layout the folder of its figures
    #[arg(long, short, value_name = "PAGE.html|FOLDER")]
    output: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// A form that a report may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Figures 8 to 13 of the survey
    Survey,
}

/// Rebuilds the files of runs.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let runs: Vec<(RunFolder, RunInfo, Vec<Record>)> =
        arguments.dirs.iter().map(|dir| files::run(dir)).collect::<Result<_, Failure>>()?;
    let views = || -> Vec<ReportView> {
        runs.iter().map(|(_, info, records)| ReportView::new(info, records)).collect()
    };
    match (arguments.layout, &arguments.output, &runs[..]) {
        (Some(Layout::Survey), output, _) => {
            let usual = || runs[0].0.path().join("survey");
            let out = output.clone().unwrap_or_else(usual);
            let files = report::write_survey(&views(), &out).or_unwritable()?;
            if !arguments.quiet {
                print(&survey_text(&files, &out))?;
            }
        }
        (None, Some(page), _) => {
            if !page.extension().is_some_and(|end| end.eq_ignore_ascii_case("html")) {
                let hint = "hint: with --layout it is a folder";
                return Err(format!("-o {}: expected PAGE.html\n{hint}", page.display()))
                    .or_usage();
            }
            report::write_text(page, &report::page(&views())).or_unwritable()?;
        }
        (None, None, [(folder, info, records)]) => {
            write(folder, info, records, arguments.quiet)?;
        }
        (None, None, _) => {
            let hint = "hint: -o page.html writes one page over several";
            return Err(format!("each run has a report in its own folder\n{hint}")).or_usage();
        }
    }
    Ok(Exit::Done)
}

/// Which figures were drawn and where they are, and what would measure the others.
fn survey_text(files: &report::SurveyFiles, out: &std::path::Path) -> String {
    let mut text = format!(
        "figures {}: {}\n",
        files.drawn.join(", "),
        out.join(report::SURVEY_PAGE).display()
    );
    for report::MissingFigure { number, title, command } in &files.missing {
        text += &format!("no data for figure {number}, {title}\n    {command}\n");
    }
    text
}

/// Writes everything that is drawn from records, and shows the table.
pub fn write(
    folder: &RunFolder,
    info: &RunInfo,
    records: &[Record],
    quiet: bool,
) -> Result<(), Failure> {
    let view = ReportView::new(info, records);
    report::write_all(&view, folder.path())
        .map_err(|e| {
            let again = quoted(&folder.path().display());
            format!("{e}\nhint: the records are safe; `slmbench report {again}` draws them again")
        })
        .or_unwritable()?;
    if !quiet {
        print(&report::terminal_table(&view, terminal_width()))?;
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
