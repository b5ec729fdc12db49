//! The sections of a run, each there only where it has data.

use super::super::plot::Plot;
use super::super::table::Table;
use super::super::view::ReportView;
use super::super::{energy, memory, profile, results, soak, summary, text};
use super::page::{Block, Chart, Grid, Prose, Section};
use super::{Drawn, across, cells, data, methods};

/// Rows of a table beside which there is the one of all cells.
const ROWS: usize = 120;
/// Rows of the table behind a picture.
const DATA_ROWS: usize = 200;
/// Bytes of a run's pictures on the page, together; what does not fit is in its folder.
const MOST_SVG: usize = 900_000;
/// Of pictures of one kind, a picture a model, those from here on wait to be unfolded.
const OPEN: usize = 2;

/// All of a run.
pub fn of(run: &Drawn, id: &str) -> Vec<Section> {
    let mut room = Room { left: MOST_SVG };
    let found = [
        speed(run, &mut room),
        sustained(run, &mut room),
        quantisation(run, &mut room),
        latency(run, &mut room),
        memory(run, &mut room),
        energy_of(run.view),
        time(run, &mut room),
        engines(run),
        unfinished(run.view),
        all_cells(run.view),
    ];
    let named = found.into_iter().flatten().map(|(word, title, blocks)| Section {
        id: format!("{id}-{word}"),
        title: title.to_owned(),
        blocks,
    });
    named.chain([methods::section(run.view.run, id)]).collect()
}

/// The word of a section, its title, and what stands in it.
type Found = Option<(&'static str, &'static str, Vec<Block>)>;

/// What pictures may still take.
struct Room {
    left: usize,
}

impl Room {
    /// Blocks for the pictures for which `which` answers yes, each with its data.
    fn charts(
        &mut self,
        run: &Drawn,
        which: impl Fn(&Plot) -> bool,
        data: impl Fn(&Plot) -> Option<Table>,
    ) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut left_out = Vec::new();
        for plot in run.plots.iter().filter(|plot| which(plot)) {
            let grid = data(plot).map(|table| Grid::new(&plot.title, &table, DATA_ROWS));
            let chart = Chart::new(plot, grid);
            if chart.svg.len() > self.left {
                left_out.push(format!("plots/{}", plot.file));
                continue;
            }
            self.left -= chart.svg.len();
            blocks.push(chart);
        }
        let n = blocks.len();
        let mut blocks: Vec<Block> = blocks
            .into_iter()
            .enumerate()
            .map(|(i, chart)| Block::Chart(Chart { is_folded: n > 4 && i >= OPEN, ..chart }))
            .collect();
        if !left_out.is_empty() {
            let some: Vec<&str> = left_out.iter().take(6).map(String::as_str).collect();
            let more = if left_out.len() > 6 { ", …" } else { "" };
            blocks.push(Block::Text(Prose::plain(&format!(
                "{} more would make this page too large; they are in the run's folder: {}{more}",
                super::super::text::count(left_out.len(), "picture"),
                some.join(", ")
            ))));
        }
        blocks
    }
}

fn found(word: &'static str, title: &'static str, blocks: Vec<Block>) -> Found {
    (!blocks.is_empty()).then_some((word, title, blocks))
}

fn speed(run: &Drawn, room: &mut Room) -> Found {
    let files = ["prefill.svg", "decode.svg", "prefill-depth.svg", "decode-depth.svg"];
    let mut blocks = room.charts(
        run,
        |plot| files.contains(&plot.file.as_str()),
        |plot| Some(data::rates(run.view, plot.file.starts_with("prefill"))),
    );
    if !blocks.is_empty() {
        blocks.push(Block::Text(Prose::new(summary::THROUGHPUT_NOTE)));
    }
    found("speed", "Prefill and decode", blocks)
}

fn sustained(run: &Drawn, room: &mut Room) -> Found {
    let soaks = &run.view.soaks;
    if soaks.is_empty() {
        return None;
    }
    let mut blocks =
        room.charts(run, |plot| plot.file == "soak.svg", |_| Some(data::windows(soaks)));
    // Without cells it is the headline.
    if !run.view.cells.is_empty() {
        blocks.push(Block::Table(Grid::new("sustained speed", &soak::table(soaks), ROWS)));
    }
    let sentences = soak::sentences(soaks);
    blocks.push(Block::List(sentences.iter().map(|s| Prose::plain(s)).collect()));
    blocks.push(Block::Text(Prose::new(summary::SUSTAINED_NOTE)));
    found("sustained", "Sustained speed", blocks)
}

fn quantisation(run: &Drawn, room: &mut Room) -> Found {
    let mixes = data::mixes(run.view, None);
    let mut blocks = room.charts(
        run,
        |plot| plot.file.starts_with("bits-") || plot.file == "params.svg",
        |plot| match plot.file.as_str() {
            "params.svg" => Some(data::parameters(run.view)),
            _ => data::mixes(run.view, Some(model_of(run.view, plot)?)),
        },
    );
    if let Some(mixes) = mixes {
        blocks.push(Block::Table(Grid::new("mixes", &mixes, 2 * ROWS).with_tools()));
        blocks.push(Block::Text(Prose::new(
            "Front: no other mix of the same model, engine and settings keeps as many bits per weight \
             and decodes as fast; of cells that decode nothing, is as fast in prefill.",
        )));
    }
    found("quantisation", "Models and quantisations", blocks)
}

/// The model that a plot is of, which stands at the end of its title.
fn model_of<'a>(view: &ReportView<'a>, plot: &Plot) -> Option<&'a str> {
    let models = view.cells.iter().map(|c| c.cell.model.as_str());
    // A name may end in another one.
    let fits = models.filter(|model| plot.title.ends_with(&text::title_name(model)));
    fits.max_by_key(|model| model.len())
}

fn latency(run: &Drawn, room: &mut Room) -> Found {
    let view = run.view;
    if !view.cells.iter().any(|c| c.outcome.finished()) {
        return None;
    }
    let mut blocks = room.charts(
        run,
        |plot| plot.file.starts_with("itl"),
        |plot| {
            if plot.file == "itl.svg" {
                return Some(results::latencies(view));
            }
            model_of(view, plot).map(|model| data::gaps(view, model))
        },
    );
    if blocks.is_empty() {
        blocks.push(Block::Table(Grid::new("latency", &results::latencies(view), ROWS)));
    }
    blocks.push(Block::Text(Prose::new(summary::LATENCY_NOTE)));
    found("latency", "Latency of tokens, and loading", blocks)
}

fn memory(run: &Drawn, room: &mut Room) -> Found {
    let table = memory::table(run.view);
    let mut blocks = room.charts(run, |plot| plot.file == "memory.svg", |_| table.clone());
    if blocks.is_empty() {
        let table = table.map(|table| Block::Table(Grid::new("memory", &table, ROWS)));
        blocks.extend(table);
    }
    if !blocks.is_empty() {
        blocks.push(Block::Text(Prose::new(summary::MEMORY_NOTE)));
    }
    found("memory", "Memory", blocks)
}

fn energy_of(view: &ReportView) -> Found {
    let table = energy::table(view)?;
    let blocks = vec![
        Block::Table(Grid::new("energy", &table, ROWS)),
        Block::Text(Prose::new(energy::NOTE)),
    ];
    found("energy", "Energy", blocks)
}

fn time(run: &Drawn, room: &mut Room) -> Found {
    let profiles = &run.view.profiles;
    let mut blocks = room.charts(
        run,
        |plot| ["profile.svg", "roofline.svg", "predicted.svg"].contains(&plot.file.as_str()),
        |plot| match plot.file.as_str() {
            "predicted.svg" => run.predicted.clone(),
            _ => Some(data::operations(profiles)),
        },
    );
    for (heading, cost, [parts, kinds, _]) in profile::every_phase(profiles) {
        blocks.push(Block::Heading(text::plain(&heading)));
        blocks.push(Block::Text(Prose::plain(&cost)));
        blocks.push(Block::Table(Grid::new("by part", &parts, ROWS)));
        blocks.push(Block::Table(Grid::new("by kind", &kinds, ROWS)));
    }
    if !profiles.is_empty() {
        blocks.push(Block::Text(Prose::new(summary::PROFILE_NOTE)));
    }
    found("time", "Where the time goes", blocks)
}

fn engines(run: &Drawn) -> Found {
    found("engines", "Engine against engine", across::engines(run.view))
}

fn unfinished(view: &ReportView) -> Found {
    let line = |cell: &super::super::view::CellView| {
        let reason = cell.outcome.reason.as_ref()?;
        let log = reason.log.as_ref().map(|log| format!(" (log: {log})")).unwrap_or_default();
        let (name, share) = (results::name(cell), results::share(cell));
        Some(Prose::plain(&format!("{name}: {share}: {}{log}", reason.text)))
    };
    let mut lines: Vec<Prose> = view.cells.iter().filter_map(line).collect();
    if lines.len() > ROWS {
        let more = lines.len() - ROWS;
        lines.truncate(ROWS);
        lines.push(Prose::plain(&format!("and {more} more, in the table of all cells")));
    }
    let blocks = if lines.is_empty() { Vec::new() } else { vec![Block::List(lines)] };
    found("unfinished", "Not finished", blocks)
}

fn all_cells(view: &ReportView) -> Found {
    if view.cells.is_empty() {
        return None;
    }
    let grid = Grid::new("all cells", &cells::table(view), usize::MAX).with_tools();
    let mut blocks = vec![Block::Table(grid)];
    blocks.extend(results::range_note(view).map(|note| Block::Text(Prose::plain(&note))));
    found("cells", "All cells", blocks)
}
