//! From records to what people read: tables, CSV, plots. Everything here can be made anew from
//! the journal, and nothing is measured or decided here.
//!
//! [`ReportView`] brings records down to numbers once; every writer reads it. Files are written
//! under a temporary name and renamed, so a full disk leaves the old one.

mod axes;
mod ceilings;
mod comparison;
mod csv;
mod energy;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod front;
mod html;
mod memory;
mod outcome;
mod paint;
mod plot;
mod predicted;
mod profile;
mod results;
mod show;
pub mod soak;
mod spark;
mod summary;
mod survey;
mod table;
mod text;
mod types;
mod view;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::model::Catalogue;
use crate::system::said;

pub use comparison::{comparison_json, comparison_markdown, comparison_text, selftest_text};
pub use files::{make_folder, write_whole};
pub use outcome::{OutcomeSummary, Reason};
pub use paint::Tone;
pub use plot::needs::{MAX_LINES, Need, NeedsPlot, draw as draw_needs};
pub use plot::trend::{Trend, TrendChange, TrendPoint, TrendStrip};
pub use predicted::{MeasuredPhase, class_for, measured_phases};
pub use results::terminal_table;
pub use show::{cell_text, cells as shown_cells, run_text};
pub use spark::sparkline;
pub use survey::{Missing as MissingFigure, PAGE as SURVEY_PAGE, SurveyFiles, write_survey};
pub use table::{Align, Column, Narrow, Table};
pub use text::{MISSING, count, elide, grouped, laid_out, number, plain, wrapped};
pub use view::{CellView, Measures, ReportView};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder cannot be written.
    #[error("{}: {}", path.display(), why(path, source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a path cannot be written: the folder that is missing, or the file in a folder's place, by name.
fn why(path: &Path, source: &io::Error) -> String {
    let is_taken = |part: &&Path| part.exists() && !part.is_dir();
    let in_the_way = match source.kind() {
        io::ErrorKind::AlreadyExists => path.ancestors().find(is_taken),
        io::ErrorKind::NotADirectory => path.ancestors().skip(1).find(is_taken),
        _ => None,
    };
    let missing = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    match (in_the_way, missing) {
        (Some(part), _) => format!("{} is a file, a folder is needed", part.display()),
        (None, Some(folder)) if source.kind() == io::ErrorKind::NotFound => {
            format!("there is no folder {}", folder.display())
        }
        _ => said(source),
    }
}

/// What writes one file.
type Writer = fn(&ReportView, &mut dyn Write) -> io::Result<()>;

/// What writes a file about sustained runs.
type SoakWriter = fn(&[soak::SoakView], &mut dyn Write) -> io::Result<()>;

/// Files about sustained runs.
const SOAK_TABLES: [(&str, SoakWriter); 2] =
    [("soak.csv", soak::write_series), ("sustained.csv", soak::write_sustained)];

/// Writes `cells.csv`, `samples.csv`, `tokens.csv`, `plots/*.svg`, `report.html` and `summary.md` into `dir`, where power
/// could be read `energy.csv`, with a probe `predicted.csv`, of sustained runs `soak.csv` and
/// `sustained.csv`, of profiles `profile.csv` and a trace for each,
/// and removes plots of an earlier report that no longer have data. Answers what was written.
pub fn write_all(view: &ReportView, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    files::make_folder(dir)?;
    let mut written = Vec::new();
    let tables: [(&str, Writer); 3] = [
        ("cells.csv", csv::write_cells),
        ("samples.csv", csv::write_samples),
        ("tokens.csv", csv::write_tokens),
    ];
    for (name, write) in tables {
        let path = dir.join(name);
        files::write_whole(&path, |out| write(view, out))?;
        written.push(path);
    }

    if energy::is_known(view) {
        let path = dir.join("energy.csv");
        files::write_whole(&path, |out| energy::write(view, out))?;
        written.push(path);
    }
    if !view.soaks.is_empty() {
        for (name, write) in SOAK_TABLES {
            let path = dir.join(name);
            files::write_whole(&path, |out| write(&view.soaks, out))?;
            written.push(path);
        }
    }

    let catalogue = Catalogue::built_in().ok();
    let predicted = predictions(view, catalogue.as_ref());
    if !predicted.is_empty() {
        let path = dir.join("predicted.csv");
        files::write_whole(&path, |out| predicted::write(&predicted, out))?;
        written.push(path);
    }
    if !view.profiles.is_empty() {
        let path = dir.join("profile.csv");
        files::write_whole(&path, |out| profile::write_profile(&view.profiles, out))?;
        written.push(path);
        let traced = view.profiles.iter().filter(|p| profile::has_trace(p.record));
        for profile in traced {
            let path = dir.join(profile::trace_file_name(profile.record));
            files::write_whole(&path, |out| profile::write_trace(profile.record, out))?;
            written.push(path);
        }
    }

    let folder = dir.join("plots");
    let drawn = html::Drawn::new(view, &predicted);
    if !drawn.plots.is_empty() {
        files::make_folder(&folder)?;
    }
    let mut shown = Vec::new();
    for plot in &drawn.plots {
        let path = folder.join(&plot.file);
        files::write_whole(&path, |out| out.write_all(plot.svg.as_bytes()))?;
        written.push(path);
        shown.push((Path::new("plots").join(&plot.file), plot.title.clone()));
    }
    files::remove_stale(&folder, &written, plot::is_plot)?;

    let path = dir.join("report.html");
    let page = html::html(&[drawn]);
    files::write_whole(&path, |out| out.write_all(page.as_bytes()))?;
    written.push(path);

    let errors = predicted::errors(&predicted);
    // Last, because it names the plots.
    let path = dir.join("summary.md");
    files::write_whole(&path, |out| summary::write_summary(view, errors.as_ref(), &shown, out))?;
    written.push(path);
    Ok(written)
}

/// What is predicted of a run's cells, held against what was measured; nothing without a probe.
fn predictions<'a>(
    view: &'a ReportView<'a>,
    catalogue: Option<&'a Catalogue>,
) -> Vec<predicted::Held<'a>> {
    let catalogue = catalogue.filter(|_| view.run.probe.is_some());
    catalogue.map_or_else(Vec::new, |c| predicted::held_against_measured(view, c))
}

/// One page of HTML over these runs, with what they have in common.
pub fn page(views: &[ReportView]) -> String {
    let catalogue = Catalogue::built_in().ok();
    let drawn = |view| html::Drawn::new(view, &predictions(view, catalogue.as_ref()));
    html::html(&views.iter().map(drawn).collect::<Vec<_>>())
}

/// Writes a text, whole or not at all. What is no ordinary file, such as a pipe, is written to as it is.
pub fn write_text(path: &Path, text: &str) -> Result<(), ReportError> {
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        return std::fs::write(path, text)
            .map_err(|source| ReportError::Write { path: path.to_owned(), source });
    }
    files::write_whole(path, |out| out.write_all(text.as_bytes()))
}

/// The error of a path that the system would not open for writing.
pub fn cannot_write(path: &Path, source: io::Error) -> ReportError {
    ReportError::Write { path: path.to_owned(), source }
}

/// Writes `soak.csv`, `sustained.csv` and the plot of series that come from `place` into `dir`.
pub fn write_soaks(
    soaks: &[soak::SoakView],
    place: &str,
    dir: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    files::make_folder(dir)?;
    let mut written = Vec::new();
    for (name, write) in SOAK_TABLES {
        let path = dir.join(name);
        files::write_whole(&path, |out| write(soaks, out))?;
        written.push(path);
    }
    if let Some(plot) = plot::soak::plot(soaks, place) {
        let path = dir.join(&plot.file);
        files::write_whole(&path, |out| out.write_all(plot.svg.as_bytes()))?;
        written.push(path);
    }
    Ok(written)
}

/// Draws trends into `dir`, each into a file of its own.
pub fn write_trends(trends: &[Trend], dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let draw = |trend: &Trend| (trend.file.clone(), plot::trend::draw(trend));
    write_texts(trends.iter().map(draw), dir)
}

/// Writes files under their names into `dir`, each whole or not at all.
pub fn write_texts(
    files: impl IntoIterator<Item = (String, String)>,
    dir: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    files::make_folder(dir)?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = dir.join(name);
        files::write_whole(&path, |out| out.write_all(text.as_bytes()))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(paths: &[PathBuf], dir: &Path) -> Vec<String> {
        paths.iter().map(|p| p.strip_prefix(dir).unwrap().display().to_string()).collect()
    }

    #[test]
    fn everything_is_written_and_plots_without_data_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let full = fixture::matrix(3);
        let written = write_all(&ReportView::new(&full.run, &full.records), &dir).unwrap();
        assert_eq!(
            names(&written, &dir),
            [
                "cells.csv",
                "samples.csv",
                "tokens.csv",
                "plots/prefill.svg",
                "plots/decode.svg",
                "plots/prefill-depth.svg",
                "plots/decode-depth.svg",
                "plots/itl.svg",
                "plots/itl-SmolLM2-135M.svg",
                "plots/itl-Qwen2.5-0.5B.svg",
                "plots/memory.svg",
                "plots/bits-SmolLM2-135M.svg",
                "plots/bits-Qwen2.5-0.5B.svg",
                "report.html",
                "summary.md",
            ]
        );
        fs::write(dir.join("plots/mine.svg"), "").unwrap();

        let one = fixture::single(1);
        let written = write_all(&ReportView::new(&one.run, &one.records), &dir).unwrap();
        let mut left: Vec<String> = fs::read_dir(dir.join("plots"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "decode.svg",
                "itl-SmolLM2-135M.svg",
                "itl.svg",
                "memory.svg",
                "mine.svg",
                "prefill.svg"
            ]
        );
        assert_eq!(written.len(), 10);
    }

    #[test]
    fn a_run_without_a_single_record_still_leaves_its_tables() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = fixture::single(1);
        let view = ReportView::new(&fixture.run, &[]);
        let written = write_all(&view, folder.path()).unwrap();
        assert_eq!(
            names(&written, folder.path()),
            ["cells.csv", "samples.csv", "tokens.csv", "report.html", "summary.md"]
        );
        assert_eq!(view.cells[0].outcome.word, "not_run");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        fs::write(&file, "").unwrap();
        let fixture = fixture::single(1);
        let error = write_all(&ReportView::new(&fixture.run, &fixture.records), &file).unwrap_err();
        assert!(error.to_string().ends_with("taken is a file, a folder is needed"), "{error}");
    }

    #[test]
    fn a_missing_folder_and_a_file_in_its_place_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.gguf"), "").unwrap();
        let said = |name: &str| write_text(&folder.path().join(name), "x").unwrap_err().to_string();
        let missing = said("nowhere/page.html");
        assert!(missing.contains("page.html: there is no folder /"), "{missing}");
        assert!(missing.ends_with("/nowhere"), "{missing}");
        assert!(said("m.gguf/page.html").ends_with("m.gguf is a file, a folder is needed"));
    }
}
