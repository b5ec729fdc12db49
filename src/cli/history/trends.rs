//! Pictures and tables of series, a file for each cell and place.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use jiff::Timestamp;

use super::rows;
use super::show::Shown;
use crate::cli::exit::{Ending, Failure};
use crate::compare::Kind;
use crate::history::{Analysis, Method, Run, Series};
use crate::report::{
    MISSING, Trend, TrendChange, TrendPoint, TrendStrip, count, write_texts, write_trends,
};

/// The series of one cell in one place.
type OfCell<'a> = Vec<&'a (Series, Analysis)>;

fn by_cell(shown: &Shown) -> Vec<OfCell<'_>> {
    let mut cells: BTreeMap<(&str, &str), OfCell> = BTreeMap::new();
    for one in &shown.series {
        cells.entry((&one.0.environment, &one.0.cell)).or_default().push(one);
    }
    cells.into_values().collect()
}

/// The runs of these series, each once, in order.
fn runs_of(cell: &[&(Series, Analysis)]) -> Vec<Rc<Run>> {
    let all = cell.iter().flat_map(|(series, _)| series.points.iter().map(|p| p.run.clone()));
    let mut runs: Vec<Rc<Run>> = all.collect();
    runs.sort_by(|a, b| (&a.date, &a.started_at, &a.id).cmp(&(&b.date, &b.started_at, &b.id)));
    runs.dedup();
    runs
}

/// `SmolLM2-135M-Q8_0-1a2b3c-d4e5f6`: cell and place by the beginnings of what stands for them.
fn stem(series: &Series) -> String {
    let tame = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = format!("{}-{}", series.word("model"), series.word("quant"));
    let name: String = name.chars().map(|c| if tame(c) { c } else { '-' }).take(60).collect();
    let short = |id: &str| id.get(..8).unwrap_or(id).to_owned();
    format!("{name}-{}-{}", short(&series.cell), short(&series.environment))
}

/// Draws a picture of each cell and place.
pub fn draw(shown: &Shown, folder: &Path) -> Result<(), Failure> {
    let all: Vec<&Series> = shown.series.iter().map(|(series, _)| series).collect();
    let axes = rows::axes(&all);
    let trends: Vec<Trend> = by_cell(shown).iter().map(|cell| trend(shown, cell, &axes)).collect();
    write_trends(&trends, folder).map(drop).or_unwritable()
}

fn trend(shown: &Shown, cell: &[&(Series, Analysis)], axes: &[String]) -> Trend {
    let runs = runs_of(cell);
    let first = &cell[0].0;
    let seconds = |run: &Rc<Run>| run.date.parse::<Timestamp>().map_or(0, |date| date.as_second());
    let is_even = |series: &Series| {
        series.measure.kind() == Kind::Exact
            && series.values().iter().all(|&v| v == series.newest().value)
    };
    let mut titles = rows::cell(&first.what, &[]);
    titles.retain(|word| word != MISSING);
    let places = shown.places.get(&first.environment).map(rows::place).unwrap_or_default();
    let told: Vec<String> = axes
        .iter()
        .filter_map(|axis| Some(format!("{axis} {}", first.what.get(axis)?)))
        .chain([format!("cell {}", first.cell)])
        .collect();
    let mut notes = vec![format!("{places} · {}", count(runs.len(), "run")), told.join(", ")];
    let even: Vec<String> = cell
        .iter()
        .filter(|(series, _)| is_even(series) && series.newest().value > 0.0)
        .map(|(series, _)| {
            let value = rows::value(series.measure, series.newest().value);
            format!("{} {value} {}", series.test(), rows::unit(series.measure))
        })
        .collect();
    if !even.is_empty() {
        notes.push(format!("The same in all runs: {}.", even.join(", ")));
    }
    if cell.iter().any(|(_, analysis)| analysis.method == Method::TooShort) {
        notes.push("Too few runs to tell whether anything changed.".to_owned());
    }
    let drawn = cell.iter().filter(|(series, _)| !is_even(series));
    Trend {
        file: format!("{}.svg", stem(first)),
        title: titles.join(" "),
        notes,
        strips: drawn.map(|(series, analysis)| strip(series, analysis, &runs)).collect(),
        runs: runs.iter().map(seconds).collect(),
    }
}

fn strip(series: &Series, analysis: &Analysis, runs: &[Rc<Run>]) -> TrendStrip {
    let shown = |value: f64| rows::in_unit(series.measure, value);
    let points = series.points.iter().map(|point| TrendPoint {
        run: runs.iter().position(|run| run.id == point.run.id).unwrap_or(0),
        value: shown(point.value),
        range: (shown(point.range().0), shown(point.range().1)),
    });
    let segments = analysis.segments(&series.values()).into_iter();
    let changes = analysis.changes.iter().map(|change| {
        let commit = series.points[change.index].run.name();
        TrendChange {
            index: change.index,
            label: format!("{} at {commit}", rows::of_change(series.measure, change)),
            is_worse: change.after > change.before,
        }
    });
    TrendStrip {
        heading: series.test(),
        unit: rows::unit(series.measure),
        points: points.collect(),
        segments: segments.map(|(from, to, mean)| (from, to - 1, shown(mean))).collect(),
        changes: changes.collect(),
    }
}

/// Writes a table of each cell and place: a row per run, a column per measure.
pub fn write_csv(shown: &Shown, folder: &Path) -> Result<(), Failure> {
    let tables = by_cell(shown);
    let files = tables.iter().map(|cell| (format!("{}.csv", stem(&cell[0].0)), table(cell)));
    write_texts(files, folder).map(drop).or_unwritable()
}

fn table(cell: &[&(Series, Analysis)]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["time", "commit", "branch", "run", "program"];
    header.extend(cell.iter().map(|(series, _)| series.measure.word()));
    let mut rows: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    for run in runs_of(cell) {
        let value = |series: &Series| {
            let point = series.points.iter().find(|point| point.run.id == run.id);
            point.map(|point| point.value.to_string()).unwrap_or_default()
        };
        let mut row = vec![
            run.date.clone(),
            run.commit.clone().unwrap_or_default(),
            run.branch.clone().unwrap_or_default(),
            run.id.clone(),
            run.program.clone(),
        ];
        row.extend(cell.iter().map(|(series, _)| value(series)));
        rows.push(row);
    }
    for row in rows {
        writer.write_record(&row).expect("writing into memory cannot fail");
    }
    let bytes = writer.into_inner().expect("writing into memory cannot fail");
    String::from_utf8(bytes).expect("texts make a text")
}
