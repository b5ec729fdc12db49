//! `slmbench history check`: whether the newest run costs more than those before, with an exit code
//! that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use clap::Args;
use serde_json::{Value, json};

use super::{Db, Which, check_branch, no_run, rows};
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::print;
use crate::cli::report::terminal_width;
use crate::cli::select::between;
use crate::compare::{Kind, Verdict};
use crate::history::{Checked, History, Run, Series, Unfinished, check};
use crate::report::{Align, Column, MISSING, Narrow, Table, plain, wrapped};

/// Version of what `--json` prints.
const FORMAT: u32 = 1;

const EXAMPLES: &str = "Examples:
  slmbench history check --db h.db                    ends with 3 where the newest run is slower";

/// Arguments of `history check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    db: Db,
    #[command(flatten)]
    which: Which,
    /// How many of the newest runs are looked at together
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = between::<1, 10_000>, allow_negative_numbers = true)]
    last: u32,
    /// Hold the newest against runs of this branch alone, whatever branch they are on themselves
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Places by the beginning of their fingerprints, or all [default: that of the newest run]
    #[arg(long, value_name = "ID")]
    place: Option<String>,
    /// End with 6 where something is unclear
    #[arg(long)]
    strict: bool,
    /// List what is the same as well
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

/// What is said of one place.
struct Place {
    fingerprint: String,
    words: String,
    /// The newest runs, in order.
    newest: Vec<Rc<Run>>,
    rows: Vec<(Series, Checked)>,
    /// Cells of the newest run of which nothing finished.
    unfinished: Vec<Unfinished>,
}

/// Judges the newest runs.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let history = History::open(&arguments.db.db).or_usage()?;
    let runs = history.runs().or_usage()?;
    let Some(newest) = runs.last() else {
        return Err(no_run(&arguments.db.db)).or_usage();
    };
    check_branch(&arguments.db.db, &runs, arguments.branch.as_deref())?;
    let known: BTreeSet<&str> = runs.iter().map(|run| run.environment.as_str()).collect();
    let places: Vec<&str> = match arguments.place.as_deref() {
        None => vec![&newest.environment],
        Some("all") => known.into_iter().collect(),
        Some(start) => known.into_iter().filter(|place| place.starts_with(start)).collect(),
    };
    if places.is_empty() {
        let place = arguments.place.as_deref().unwrap_or_default();
        let db = arguments.db.db.display();
        return Err(format!(
            "{db}: no place begins with `{place}`\n\
             hint: `slmbench history show --db {db}` names them"
        ))
        .or_usage();
    }
    let mut checked = Vec::new();
    for place in places {
        checked.push(judge(arguments, &history, &runs, place)?);
    }
    // A gate that was asked about nothing must not say that all is well.
    if checked.iter().all(|place| place.rows.is_empty() && place.unfinished.is_empty()) {
        return Err(nothing(arguments)).or_usage();
    }
    match arguments.json {
        true => print(&format!("{:#}\n", as_json(&checked)))?,
        false => {
            let texts: Vec<String> =
                checked.iter().map(|place| as_text(place, arguments, terminal_width())).collect();
            print(&texts.join("\n"))?;
        }
    }
    let n = |verdict| checked.iter().map(|place| place.n(verdict)).sum::<usize>();
    // A cell of which nothing finished has no number that could be slower.
    let is_lost = checked.iter().any(|place| !place.unfinished.is_empty());
    Ok(match (n(Verdict::Regressed), n(Verdict::Unclear)) {
        _ if is_lost => Exit::Unfinished,
        (1.., _) => Exit::Regressed,
        (0, 1..) if arguments.strict => Exit::Unclear,
        _ => Exit::Done,
    })
}

/// Why there is nothing to be judged.
fn nothing(arguments: &Arguments) -> String {
    let db = arguments.db.db.display();
    let newest = if arguments.last == 1 { "the newest run" } else { "the newest runs" };
    match arguments.which.narrowed() {
        Some(narrowed) => format!(
            "{db}: no cell of {newest} fits {narrowed}\n\
             hint: `slmbench history show --db {db}` lists the cells"
        ),
        None => format!(
            "{db}: {newest} measured nothing that can be judged\n\
             hint: --measure names what is judged, --place where"
        ),
    }
}

fn judge(
    arguments: &Arguments,
    history: &History,
    runs: &[Rc<Run>],
    place: &str,
) -> Result<Place, Failure> {
    let here: Vec<&Rc<Run>> = runs.iter().filter(|run| run.environment == place).collect();
    let newest: Vec<Rc<Run>> = here
        .iter()
        .skip(here.len().saturating_sub(arguments.last as usize))
        .map(|run| Rc::clone(run))
        .collect();
    let is_newest = |run: &Run| newest.iter().any(|one| one.id == run.id);
    let takes = |run: &Run| {
        run.environment == place
            && (arguments.branch.is_none() || run.branch == arguments.branch || is_newest(run))
    };
    let rules = arguments.which.rules();
    let filter = arguments.which.filter()?;
    let series = history.series(&filter, &arguments.which.measures(), takes).or_usage()?;
    let mut rows = Vec::new();
    for series in series {
        // What the newest runs did not measure says nothing of them.
        let n = series.points.iter().rev().take_while(|point| is_newest(&point.run)).count();
        if n > 0 {
            let checked = check(&series, n, &rules);
            rows.push((series, checked));
        }
    }
    let size = |checked: &Checked| checked.relative().map_or(f64::INFINITY, f64::abs);
    rows.sort_by(|(_, a), (_, b)| a.verdict.cmp(&b.verdict).then(size(b).total_cmp(&size(a))));
    let mut unfinished = Vec::new();
    if let Some(run) = newest.last() {
        let lost = history.unfinished(run).or_usage()?;
        unfinished.extend(lost.into_iter().filter(|lost| filter.holds(&lost.cell, &lost.what)));
    }
    let words = history.environments().or_usage()?;
    Ok(Place {
        fingerprint: place.to_owned(),
        words: words.get(place).map(rows::place).unwrap_or_default(),
        newest,
        rows,
        unfinished,
    })
}

impl Place {
    /// How often a verdict was given; what did not finish is unclear.
    fn n(&self, verdict: Verdict) -> usize {
        let lost = if verdict == Verdict::Unclear { self.unfinished.len() } else { 0 };
        self.rows.iter().filter(|(_, checked)| checked.verdict == verdict).count() + lost
    }

    /// How many rows chance alone would call regressed, at the most.
    fn by_chance(&self, confidence: f64) -> f64 {
        let uncertain = |series: &Series| series.measure.kind() != Kind::Exact;
        let n = self.rows.iter().filter(|(series, _)| uncertain(series)).count();
        n as f64 * (1.0 - confidence) / 2.0
    }
}

fn as_text(place: &Place, arguments: &Arguments, width: usize) -> String {
    let names: Vec<String> = place
        .newest
        .iter()
        .map(|run| format!("{} ({}, {})", run.name(), rows::moment(&run.date), run.suite))
        .collect();
    let newest = match &names[..] {
        [one] => format!("newest run: {one}"),
        [first, .., last] => format!("newest {} runs: {first} to {last}", names.len()),
        [] => String::new(),
    };
    let mut out = wrapped(&plain(&newest), width, "");
    out.push_str(&wrapped(&plain(&format!("{}: {}", place.fingerprint, place.words)), width, ""));
    let told: Vec<&(Series, Checked)> = place
        .rows
        .iter()
        .filter(|(_, checked)| arguments.all || checked.verdict != Verdict::Same)
        .collect();
    if !told.is_empty() {
        out.push('\n');
        out.push_str(&table(&told).to_text(width));
    }
    if !place.unfinished.is_empty() {
        out.push_str("\nnot finished in the newest run, so unclear:\n");
    }
    for lost in &place.unfinished {
        let cell = rows::cell(&lost.what, &[]).join(" ");
        let text = format!("{cell} ({}): {}", lost.cell, lost.ended);
        out.push_str(&wrapped(&plain(&text), width, "  "));
    }
    out.push('\n');
    out.push_str(&counts(place, arguments));
    out
}

fn counts(place: &Place, arguments: &Arguments) -> String {
    let verdicts = [Verdict::Regressed, Verdict::Improved, Verdict::Unclear, Verdict::Same];
    let parts: Vec<String> =
        verdicts.iter().map(|verdict| format!("{} {verdict}", place.n(*verdict))).collect();
    let mut out = format!("{}\n", parts.join(", "));
    let by_chance = place.by_chance(arguments.which.rules().confidence);
    if by_chance >= 0.05 {
        out.push_str(&format!("regressed by chance alone: {by_chance:.1} at the most\n"));
    }
    out
}

fn table(told: &[&(Series, Checked)]) -> Table {
    let all: Vec<&Series> = told.iter().map(|(series, _)| series).collect();
    let axes = rows::axes(&all);
    let mut columns = vec![
        Column::new("verdict", Align::Left),
        Column::new("model", Align::Left).narrow(Narrow::ElideTo(12)),
        Column::new("quant", Align::Left),
        Column::new("engine", Align::Left).narrow(Narrow::ElideTo(9)),
    ];
    columns.extend(axes.iter().map(|axis| Column::new(axis.as_str(), Align::Left)));
    columns.extend([
        Column::new("test", Align::Left),
        Column::new("before", Align::Right),
        Column::new("now", Align::Right),
        Column::new("", Align::Left),
        Column::new("change", Align::Right),
        Column::new("expected", Align::Right).narrow(Narrow::Drop(0)),
        Column::new("why", Align::Left).narrow(Narrow::Drop(1)),
    ]);
    let mut table = Table::new(columns);
    for (series, checked) in told {
        let value = |v: f64| rows::value(series.measure, v);
        let expected = checked
            .expected
            .map(|range| format!("[{}, {}]", value(range.lo), value(range.hi)))
            .unwrap_or_default();
        let change = checked
            .before
            .map_or(MISSING.to_owned(), |before| rows::change(series.measure, before, checked.now));
        let mut row = vec![checked.verdict.to_string()];
        row.extend(rows::cell(&series.what, &axes));
        row.extend([
            rows::test(series, &all),
            checked.before.map_or(MISSING.to_owned(), value),
            value(checked.now),
            rows::unit(series.measure).to_owned(),
            change,
            expected,
            checked.why.clone(),
        ]);
        table.push(row);
    }
    table
}

fn as_json(places: &[Place]) -> Value {
    let places = places.iter().map(|place| {
        let rows = place.rows.iter().map(|(series, checked)| {
            json!({
                "cell": series.cell,
                "what": series.what,
                "measure": series.measure,
                "test": series.test(),
                "verdict": checked.verdict.word(),
                "before": checked.before,
                "now": checked.now,
                "relative": checked.relative(),
                "expected": checked.expected,
                "commit": checked.changed_at.map(|at| series.points[at].run.commit.clone()),
                "n_runs": series.points.len(),
                "why": checked.why,
            })
        });
        let newest = place.newest.iter().map(|run| {
            json!({
                "run": run.id,
                "date": run.date,
                "commit": run.commit,
                "branch": run.branch,
                "suite": run.suite,
            })
        });
        let unfinished = place
            .unfinished
            .iter()
            .map(|lost| json!({"cell": lost.cell, "what": lost.what, "ended": lost.ended}));
        let counts: BTreeMap<&str, usize> = Verdict::ALL
            .into_iter()
            .filter(|verdict| *verdict != Verdict::NotComparable)
            .map(|verdict| (verdict.word(), place.n(verdict)))
            .collect();
        json!({
            "environment": place.fingerprint,
            "newest": newest.collect::<Vec<_>>(),
            "counts": counts,
            "rows": rows.collect::<Vec<_>>(),
            "unfinished": unfinished.collect::<Vec<_>>(),
        })
    });
    json!({"format": FORMAT, "places": places.collect::<Vec<_>>()})
}
