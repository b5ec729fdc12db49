//! The figures of "Small Language Models: Survey, Measurements, and Insights" (Lu et al., arXiv
//! 2409.15790), its section on what running costs, drawn from runs made here and in the survey's form.
//!
//! Each figure stands beside the survey's own numbers, for their shape: absolute times of another
//! device have an axis of their own. What differs in shape is computed and told. A figure without
//! data is left out, and the command that would measure it named. What the survey got wrong stands in
//! `docs/survey.md`.

mod breakdown;
mod caveats;
mod computed;
mod data;
mod devices;
mod marks;
mod memory;
mod names;
mod overview;
mod page;
mod quantisation;
mod runs;
mod sweep;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::view::ReportView;
use super::{ReportError, files};
use crate::model::Catalogue;
use names::Name;
use runs::Runs;

/// A figure that could be drawn.
#[derive(Debug)]
struct Figure {
    /// What it is called.
    name: Name,
    /// The picture.
    svg: String,
    /// The numbers behind it.
    csv: String,
    /// What it shows here, what the survey's showed, and what differs, a paragraph each.
    told: Vec<String>,
}

/// A figure for which the runs hold nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The survey's number of it.
    pub number: &'static str,
    /// What it would show.
    pub title: &'static str,
    /// What measures it.
    pub command: &'static str,
}

impl Missing {
    fn new(name: Name, command: &'static str) -> Missing {
        Missing { number: name.number, title: name.title, command }
    }
}

/// What became of the survey's figures.
#[derive(Debug)]
pub struct SurveyFiles {
    /// Files written.
    pub written: Vec<PathBuf>,
    /// Figures drawn, by their numbers.
    pub drawn: Vec<&'static str>,
    /// Figures left out.
    pub missing: Vec<Missing>,
}

/// The page that shows all figures.
pub const PAGE: &str = "survey.md";

/// Draws the survey's figures from `views` into `dir`: an SVG and a CSV for each, and a page that shows
/// them. Files of an earlier layout that no longer have data are removed.
pub fn write_survey(views: &[ReportView], dir: &Path) -> Result<SurveyFiles, ReportError> {
    let catalogue = Catalogue::built_in().expect("the catalogue compiled in is read by its tests");
    let runs = Runs::new(views, &catalogue);
    let (figures, missing) = figures(&runs);
    files::make_folder(dir)?;
    let mut written = Vec::new();
    for figure in &figures {
        for (ending, text) in [("svg", &figure.svg), ("csv", &figure.csv)] {
            let path = dir.join(format!("{}.{ending}", figure.name.stem));
            files::write_whole(&path, |out| out.write_all(text.as_bytes()))?;
            written.push(path);
        }
    }
    files::remove_stale(dir, &written, names::is_figure)?;
    let path = dir.join(PAGE);
    let page = page::write(&runs, &figures, &missing);
    files::write_whole(&path, |out| out.write_all(page.as_bytes()))?;
    written.push(path);
    Ok(SurveyFiles { written, drawn: figures.iter().map(|f| f.name.number).collect(), missing })
}

/// All figures in the survey's order, and those without data.
fn figures(runs: &Runs) -> (Vec<Figure>, Vec<Missing>) {
    let (mut figures, mut missing) = (Vec::new(), Vec::new());
    let mut add = |drawn: Result<Figure, Missing>| match drawn {
        Ok(figure) => figures.push(figure),
        Err(without) => missing.push(without),
    };
    overview::Cost::ALL.into_iter().for_each(|cost| add(overview::figure(runs, cost)));
    let phases = [data::Phase::Prefill, data::Phase::Decode];
    phases.into_iter().for_each(|phase| add(quantisation::figure(runs, phase)));
    for which in devices::Devices::BOTH {
        phases.into_iter().for_each(|phase| add(devices::figure(runs, which, phase)));
    }
    breakdown::By::BOTH.into_iter().for_each(|by| add(breakdown::figure(runs, by)));
    figures.extend(memory::Context::BOTH.map(|context| memory::figure(runs, context)));
    (figures, missing)
}

/// A table with a header as CSV.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(header).expect("writing into memory cannot fail");
    for row in rows {
        csv.write_record(row).expect("every row has the columns of the header");
    }
    let bytes = csv.into_inner().expect("writing into memory cannot fail");
    String::from_utf8(bytes).expect("fields are text")
}

/// `12.3`, of a share of 1.
fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}
