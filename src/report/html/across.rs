//! Side by side: engine against engine within a run, run against run, device against device. Judged by
//! `compare`, with the words of its table.

use super::super::comparison;
use super::super::plot;
use super::super::text;
use super::super::view::ReportView;
use super::Drawn;
use super::page::{Block, Chart, Grid, Prose, Section};
use crate::compare::{Axis, Case, Comparison, Policy, Side, differences, place};

/// Rows of a table of verdicts at most, the largest effects first.
const ROWS: usize = 100;
/// More cells than this are not brought together within a run: nobody would read it.
const MOST_CELLS: usize = 2000;

fn side(view: &ReportView, label: &str) -> Side {
    let timed = view.cells.iter().filter(|c| c.cell.is_timed());
    Side {
        label: label.to_owned(),
        place: place(view.run),
        cases: timed.filter_map(|c| Case::of_records(c.cell, &c.records).ok()).collect(),
        ..Side::default()
    }
}

/// The cells of a run in one engine against the same in another; nothing where there is one engine.
pub fn engines(view: &ReportView) -> Vec<Block> {
    let mut engines = view.cells.iter().map(|c| &c.cell.engine);
    let first = engines.next();
    if !engines.any(|engine| Some(engine) != first) {
        return Vec::new();
    }
    if view.cells.len() > MOST_CELLS {
        return vec![Block::Text(Prose::new(&format!(
            "{} cells are too many to be brought together here: `slmbench compare DIR --across engine` \
             does it.",
            view.cells.len()
        )))];
    }
    let side = side(view, &view.device());
    let found = Comparison::of_sides(&side, &side, Some(Axis::Engine), Policy::default());
    let Ok(comparison) = found else { return Vec::new() };
    let mut blocks = verdicts(&comparison);
    blocks.push(Block::Text(Prose::new(
        "The cells of one run are compared as if they were two runs: what they share of the machine's \
         ups and downs is not used.",
    )));
    blocks
}

/// What a comparison found.
fn verdicts(comparison: &Comparison) -> Vec<Block> {
    let comparison::Parts { words, table, differences, lines } =
        comparison::parts(comparison, ROWS);
    let prose = |lines: Vec<String>| -> Vec<Prose> {
        lines.iter().map(|line| Prose::plain(line)).collect()
    };
    let mut blocks = vec![Block::Text(Prose::plain(&format!("{words}.")))];
    blocks.push(Block::List(prose(differences)));
    blocks.push(Block::Table(Grid::new("verdicts", &table, ROWS).with_tools()));
    let title = format!("What else is to be known: {}", text::count(lines.len(), "line"));
    blocks.push(Block::Fold(title, prose(lines)));
    blocks
}

/// Everything that several runs have in common.
pub fn sections(runs: &[Drawn], titles: &[String]) -> Vec<Section> {
    let views: Vec<&ReportView> = runs.iter().map(|run| run.view).collect();
    let mut blocks = Vec::new();
    let named: Vec<(&ReportView, &str)> =
        views.iter().copied().zip(titles.iter().map(String::as_str)).collect();
    for (plot, table) in plot::across::plots(&named) {
        let grid = Grid::new(&plot.title, &table, 2 * ROWS);
        blocks.push(Block::Chart(Chart::new(&plot, Some(grid))));
    }
    let base = side(views[0], &titles[0]);
    let (mut verdict_blocks, mut apart) = (Vec::new(), Vec::new());
    for (view, title) in views.iter().zip(titles).skip(1) {
        let head = side(view, title);
        let is_elsewhere = !differences(&base.place, &head.place).is_empty();
        let across = is_elsewhere.then_some(Axis::Host);
        match Comparison::of_sides(&base, &head, across, Policy::default()) {
            Ok(comparison) => {
                let heading = format!("{title}, against {}", titles[0]);
                verdict_blocks.push(Block::Heading(heading));
                verdict_blocks.extend(verdicts(&comparison));
            }
            // The first line says what is the matter, the others what could be done on a command line.
            Err(error) => apart.extend(error.to_string().lines().next().map(Prose::plain)),
        }
    }
    if !apart.is_empty() {
        verdict_blocks.push(Block::List(apart));
    }
    let mut sections = Vec::new();
    if !blocks.is_empty() {
        let places: Vec<_> = views.iter().map(|view| place(view.run)).collect();
        let is_one = places.iter().all(|other| differences(&places[0], other).is_empty());
        let title = if is_one { "The same cells in each run" } else { "Device against device" };
        let title = title.to_owned();
        sections.push(Section { id: "devices".to_owned(), title, blocks });
    }
    let title = "Run against run".to_owned();
    sections.push(Section { id: "verdicts".to_owned(), title, blocks: verdict_blocks });
    sections
}
