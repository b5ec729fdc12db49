//! `report.html`: one file that holds everything, to be read without a network, on any screen.
//!
//! [`page`] and its neighbours say what stands on the page, without a word of markup; the templates
//! below `templates/` know how that looks and compute nothing. Names are strangers' text and are
//! escaped by the templates everywhere; only pictures, whose text the canvas has escaped, and our own
//! style and script go in as they are. A policy in the page names both by their hashes and forbids
//! everything else: whatever should ever slip through is not run.

mod across;
mod cells;
mod data;
mod fitness;
mod methods;
mod page;
mod policy;
mod sections;
#[cfg(test)]
mod tests;

use askama::Template;

use super::plot::{self, Plot};
use super::predicted;
use super::table::Table;
use super::view::ReportView;
use page::{Block, Page};

/// A run with what was drawn of it.
pub struct Drawn<'v> {
    /// Its numbers.
    pub view: &'v ReportView<'v>,
    /// Its plots.
    pub plots: Vec<Plot>,
    /// What was predicted of it, where anything was.
    pub predicted: Option<Table>,
}

impl<'v> Drawn<'v> {
    /// Draws a run of which this was predicted.
    pub fn new(view: &'v ReportView<'v>, predicted: &[predicted::Held]) -> Drawn<'v> {
        let mut plots = plot::plots(view);
        plots.extend(plot::predicted::plot(view, predicted));
        Drawn { view, plots, predicted: predicted::table(predicted) }
    }
}

const STYLE: &str = include_str!("templates/style.css");
const SCRIPT: &str = include_str!("templates/script.js");

/// The page in HTML.
#[derive(Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
struct Markup<'p> {
    page: &'p Page,
    policy: String,
    style: &'static str,
    script: &'static str,
}

/// The page of one run, or of several with what they have in common.
pub fn html(runs: &[Drawn]) -> String {
    let page = Page::new(runs);
    let policy = policy::of(STYLE, SCRIPT);
    let markup = Markup { page: &page, policy, style: STYLE, script: SCRIPT };
    markup.render().expect("writing into a string cannot fail")
}
