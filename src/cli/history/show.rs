//! `slmbench history show`: a row per series, and below them where they changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::rows::{self, also};
use super::{Db, Which, check_branch, no_run, trends};
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::print;
use crate::cli::report::terminal_width;
use crate::compare::Words;
use crate::history::{Analysis, Change, History, Method, Point, Rules, Series, changes, p_value};
use crate::report::{Align, Column, MISSING, Narrow, Table, count, plain, sparkline, wrapped};

/// Version of what `--json` prints.
const FORMAT: u32 = 1;

/// Runs that a sparkline shows.
const SPARKS: usize = 20;

const EXAMPLES: &str = "Examples:
  slmbench history show --db h.db --filter 'model=Qwen*,quant=Q4_0'
  slmbench history show --db h.db --plot trends/      a picture of each cell";

/// Arguments of `history show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    db: Db,
    #[command(flatten)]
    which: Which,
    /// Only runs of this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// As JSON, with every point
    #[arg(long)]
    json: bool,
    /// Draw a picture of each cell and place into this folder
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Write a table of each cell and place into this folder, as Apache Otava reads it
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
}

/// Series with what is said of them, and the words of their places.
pub struct Shown {
    /// Each series with its changes.
    pub series: Vec<(Series, Analysis)>,
    /// The words of every place.
    pub places: BTreeMap<String, Words>,
}

impl Shown {
    /// The series by place, in order.
    pub fn by_place(&self) -> Vec<(&str, Vec<&(Series, Analysis)>)> {
        let mut groups: Vec<(&str, Vec<&(Series, Analysis)>)> = Vec::new();
        for shown in &self.series {
            match groups.last_mut().filter(|(place, _)| *place == shown.0.environment) {
                Some((_, group)) => group.push(shown),
                None => groups.push((&shown.0.environment, vec![shown])),
            }
        }
        groups
    }
}

/// Shows series.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let history = History::open(&arguments.db.db).or_usage()?;
    let rules = arguments.which.rules();
    let of_branch =
        |branch: &Option<String>| arguments.branch.is_none() || *branch == arguments.branch;
    let series = history
        .series(&arguments.which.filter()?, &arguments.which.measures(), |run| {
            of_branch(&run.branch)
        })
        .or_usage()?;
    if series.is_empty() {
        return Err(nothing(&history, arguments)?).or_usage();
    }
    let judged = series.into_iter().map(|series| {
        let analysis = changes(&series, &rules);
        (series, analysis)
    });
    let shown = Shown { series: judged.collect(), places: history.environments().or_usage()? };
    if let Some(folder) = &arguments.plot {
        trends::draw(&shown, folder)?;
    }
    if let Some(folder) = &arguments.csv {
        trends::write_csv(&shown, folder)?;
    }
    match arguments.json {
        true => print(&format!("{:#}\n", as_json(&shown)))?,
        false => print(&as_text(&shown, &rules, terminal_width()))?,
    }
    Ok(Exit::Done)
}

/// Why there is nothing to show.
fn nothing(history: &History, arguments: &Arguments) -> Result<String, Failure> {
    let db = arguments.db.db.display();
    let runs = history.runs().or_usage()?;
    if runs.is_empty() {
        return Ok(no_run(&arguments.db.db));
    }
    check_branch(&arguments.db.db, &runs, arguments.branch.as_deref())?;
    let there = if runs.len() == 1 { "there is" } else { "there are" };
    Ok(format!(
        "{db}: no series fits; {there} {}\n\
         hint: `slmbench history show --db {db}` alone shows every series",
        count(runs.len(), "run")
    ))
}

fn as_text(shown: &Shown, rules: &Rules, width: usize) -> String {
    let mut out = String::new();
    for (place, group) in shown.by_place() {
        if !out.is_empty() {
            out.push('\n');
        }
        let words = shown.places.get(place).map(rows::place).unwrap_or_default();
        out.push_str(&wrapped(&plain(&format!("{place}: {words}")), width, ""));
        let series: Vec<&Series> = group.iter().map(|(series, _)| series).collect();
        let axes = rows::axes(&series);
        // Buffers that an engine does not have would be rows of zeros.
        let held = |(series, _): &&&(Series, Analysis)| series.points.iter().any(|p| p.value > 0.0);
        let held: Vec<&(Series, Analysis)> = group.iter().filter(held).copied().collect();
        let table = overview(&held, &axes, rules);
        out.push_str(&table.to_text(width));
        if group.iter().any(|(_, analysis)| !analysis.changes.is_empty()) {
            out.push('\n');
            out.push_str(&changes_table(&group, &axes).to_text(width));
            for line in beside(&group) {
                out.push_str(&wrapped(&plain(&line), width, ""));
            }
        }
    }
    out
}

fn head(axes: &[String]) -> Vec<Column> {
    let mut columns = vec![
        Column::new("model", Align::Left).narrow(Narrow::ElideTo(12)),
        Column::new("quant", Align::Left),
        Column::new("engine", Align::Left).narrow(Narrow::ElideTo(9)),
    ];
    columns.extend(axes.iter().map(|axis| Column::new(axis.as_str(), Align::Left)));
    columns.push(Column::new("test", Align::Left));
    columns
}

/// A row per series.
fn overview(group: &[&(Series, Analysis)], axes: &[String], rules: &Rules) -> Table {
    let mut columns = head(axes);
    columns.extend([
        Column::new("runs", Align::Right),
        Column::new("first", Align::Right).narrow(Narrow::Drop(1)),
        Column::new("last", Align::Right),
        Column::new("", Align::Left),
        Column::new("latest change", Align::Left),
        Column::new("last 20 runs", Align::Left).narrow(Narrow::Drop(0)),
    ]);
    let mut table = Table::new(columns);
    let others: Vec<&Series> = group.iter().map(|(series, _)| series).collect();
    for (series, analysis) in group {
        let measure = series.measure;
        let values = series.values();
        let latest = match (analysis.method, analysis.changes.last()) {
            (Method::TooShort, _) => "too short to tell".to_owned(),
            (_, Some(change)) => {
                let at = series.points[change.index].run.name();
                format!("{} at {at}", rows::of_change(measure, change))
            }
            (_, None) => MISSING.to_owned(),
        };
        let tail = &values[values.len().saturating_sub(SPARKS)..];
        let mut row = rows::cell(&series.what, axes);
        row.extend([
            rows::test(series, &others),
            values.len().to_string(),
            rows::value(measure, values[0]),
            rows::value(measure, series.newest().value),
            rows::unit(measure).to_owned(),
            latest,
            // Twice the threshold, so that noise within it stays in the lower half.
            sparkline(tail, 2.0 * rules.threshold(series).max(1e-12)),
        ]);
        table.push(row);
    }
    table
}

/// A row per change.
fn changes_table(group: &[&(Series, Analysis)], axes: &[String]) -> Table {
    let mut columns = head(axes);
    columns.extend([
        Column::new("date", Align::Left),
        Column::new("from", Align::Left).narrow(Narrow::ElideTo(12)),
        Column::new("to", Align::Left).narrow(Narrow::ElideTo(12)),
        Column::new("before", Align::Right),
        Column::new("after", Align::Right),
        Column::new("", Align::Left),
        Column::new("change", Align::Right),
        Column::new("p", Align::Right).narrow(Narrow::Drop(0)),
    ]);
    let mut table = Table::new(columns);
    let others: Vec<&Series> = group.iter().map(|(series, _)| series).collect();
    for (series, analysis) in group {
        for change in &analysis.changes {
            let (before, after) = around(series, change);
            let mut row = rows::cell(&series.what, axes);
            row.extend([
                rows::test(series, &others),
                rows::moment(&after.run.date),
                before.run.name(),
                after.run.name(),
                rows::value(series.measure, change.before),
                rows::value(series.measure, change.after),
                rows::unit(series.measure).to_owned(),
                rows::of_change(series.measure, change),
                change.p.map(p_value).unwrap_or_default(),
            ]);
            table.push(row);
        }
    }
    table
}

/// What changed beside the commit, once for each pair of runs between which anything did.
fn beside(group: &[&(Series, Analysis)]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (series, analysis) in group {
        for change in &analysis.changes {
            let (before, after) = around(series, change);
            let also = also(before, after);
            let line = format!(
                "{} → {} changed as well: {}",
                before.run.name(),
                after.run.name(),
                also.join("; ")
            );
            if !also.is_empty() && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// The points on both sides of a change.
pub fn around<'a>(series: &'a Series, change: &Change) -> (&'a Point, &'a Point) {
    (&series.points[change.index - 1], &series.points[change.index])
}

fn as_json(shown: &Shown) -> Value {
    let series = shown.series.iter().map(|(series, analysis)| {
        let points = series.points.iter().map(|point| {
            let (lo, hi) = point.range();
            json!({
                "run": point.run.id,
                "date": point.run.date,
                "commit": point.run.commit,
                "branch": point.run.branch,
                "value": point.value,
                "lo": lo,
                "hi": hi,
                "n_invocations": point.values.len(),
                "marks": point.marks,
            })
        });
        let changes = analysis.changes.iter().map(|change| {
            let (before, after) = around(series, change);
            json!({
                "index": change.index,
                "date": after.run.date,
                "commit_before": before.run.commit,
                "commit": after.run.commit,
                "before": change.before,
                "after": change.after,
                "relative": change.relative(),
                "p": change.p,
                "changed_as_well": also(before, after),
            })
        });
        json!({
            "cell": series.cell,
            "what": series.what,
            "environment": series.environment,
            "measure": series.measure,
            "test": series.test(),
            "method": analysis.method.word(),
            "points": points.collect::<Vec<_>>(),
            "changes": changes.collect::<Vec<_>>(),
        })
    });
    json!({
        "format": FORMAT,
        "environments": shown.places,
        "series": series.collect::<Vec<_>>(),
    })
}
