//! Verdicts as people read them: a table for the terminal, Markdown for a pull request, JSON.

use std::collections::{BTreeMap, BTreeSet};

use super::paint::Tone;
use super::table::{Align, Column, Narrow, Table};
use super::text::{self, MISSING};
use crate::compare::{Comparison, Design, Difference, Judged, Kind, Measure, Row, Verdict};
use crate::stats;

/// Words of *what* that have columns of their own, or are told by the name of the test.
const TOLD: &[&str] = &[
    "model",
    "model_type",
    "model_filename",
    "model_size",
    "model_n_params",
    "quant",
    "engine",
    "backends",
    "shape",
    "file",
    "n_prompt",
    "n_gen",
    "n_depth",
];

/// Everything about a comparison, lines at most `width` columns wide where that can be reached.
pub fn comparison_text(comparison: &Comparison, width: usize) -> String {
    let mut out = String::new();
    for (name, label) in [("base", &comparison.base), ("head", &comparison.head)] {
        out.push_str(&text::wrapped(&format!("{name}  {}", text::plain(label)), width, ""));
    }
    let shown: Vec<&Row> = shown(comparison).collect();
    for difference in untold(comparison, &shown).iter().chain(&comparison.makers) {
        out.push_str(&text::wrapped(&text::plain(&difference.to_string()), width, "  "));
    }
    out.push('\n');
    if !shown.is_empty() {
        out.push_str(&table(comparison, &shown).to_text(width));
    }
    for line in reasons(&shown).into_iter().chain(findings(comparison)) {
        out.push_str(&text::wrapped(&text::plain(&line), width, ""));
    }
    out
}

/// The same as Markdown, fit for a job's summary.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut out = format!("### slmbench: {}\n\n", text::markdown(&in_words(comparison)));
    out.push_str(&format!(
        "base: {}; head: {}\n\n",
        text::markdown(&comparison.base),
        text::markdown(&comparison.head)
    ));
    let shown: Vec<&Row> = shown(comparison).collect();
    if !shown.is_empty() {
        out.push_str(&table(comparison, &shown).to_markdown());
        out.push('\n');
    }
    for line in reasons(&shown).into_iter().chain(findings(comparison)) {
        out.push_str(&format!("- {}\n", text::markdown(&line)));
    }
    for difference in untold(comparison, &shown).iter().chain(&comparison.makers) {
        out.push_str(&format!("- {}\n", text::markdown(&difference.to_string())));
    }
    out
}

/// A comparison in parts, for those who lay it out themselves.
pub struct Parts {
    /// How often each verdict was given.
    pub words: String,
    /// The largest effects.
    pub table: Table,
    /// In what the sides differ.
    pub differences: Vec<String>,
    /// What stands below the table.
    pub lines: Vec<String>,
}

/// The parts of it, with the `most` largest effects.
pub fn parts(comparison: &Comparison, most: usize) -> Parts {
    let shown: Vec<&Row> = shown(comparison).take(most).collect();
    let differences = untold(comparison, &shown);
    Parts {
        words: in_words(comparison),
        table: table(comparison, &shown),
        differences: differences
            .iter()
            .chain(&comparison.makers)
            .map(Difference::to_string)
            .collect(),
        lines: reasons(&shown).into_iter().chain(findings(comparison)).collect(),
    }
}

/// In what the sides differ in every row alike: told once, above the table.
fn everywhere(rows: &[&Row]) -> Vec<Difference> {
    let Some((first, rest)) = rows.split_first() else { return Vec::new() };
    let in_all = |d: &&Difference| rest.iter().all(|row| row.what_differs.contains(d));
    first.what_differs.iter().filter(in_all).cloned().collect()
}

/// The same as JSON.
pub fn comparison_json(comparison: &Comparison) -> String {
    let text = serde_json::to_string_pretty(comparison);
    text.expect("a comparison is always valid JSON") + "\n"
}

/// What a device can tell apart, from a side compared with itself.
pub fn selftest_text(comparison: &Comparison, width: usize) -> String {
    let pairs = [5usize, 10, 20, 40];
    let shown: Vec<&Row> =
        comparison.rows.iter().filter(|row| row.judged.pair_sd.is_some()).collect();
    let mut columns = identity_columns(&shown);
    columns.push(Column::new("test", Align::Left));
    columns.push(Column::new("noise of a pair", Align::Right));
    columns.extend(pairs.map(|n| Column::new(format!("{n} pairs"), Align::Right)));
    columns.push(Column::new("here", Align::Left));
    let mut table = Table::new(columns);
    let mut in_order = shown.clone();
    in_order.sort_by_key(|row| (&row.what, row.judged.measure));
    let mut alarms = 0;
    for row in &in_order {
        let sd = row.judged.pair_sd.unwrap_or(0.0);
        let mut cells = identity(&shown, row);
        cells.push(row.test.clone());
        cells.push(format!("{:.2} %", 100.0 * sd));
        cells.extend(pairs.map(|n| match stats::mde(sd, n, 0.048) {
            Some(mde) => format!("{:.1} %", 100.0 * mde),
            None => MISSING.to_owned(),
        }));
        let is_alarm = matches!(row.judged.verdict, Verdict::Regressed | Verdict::Improved);
        alarms += usize::from(is_alarm);
        cells.push(match is_alarm {
            true => format!("{} by {}", row.judged.verdict, change(row.judged.ratio)),
            false => row.judged.verdict.to_string(),
        });
        table.push(cells);
    }
    let mut out = table.to_text(width);
    let mut lines = vec![
        "the columns of pairs: the smallest change that so many pairs find in 80 % of cases"
            .to_owned(),
        format!(
            "a side against itself: {} of {} measures called different{}",
            alarms,
            shown.len(),
            if alarms == 0 { "" } else { ", which is false: once in fifty is what to expect" }
        ),
    ];
    lines.extend(
        findings(comparison)
            .into_iter()
            .filter(|l| !l.starts_with("verdicts") && !l.starts_with("geometric")),
    );
    for line in lines {
        out.push_str(&text::wrapped(&text::plain(&line), width, ""));
    }
    out
}

/// Rows worth a line: bytes that do not vary and are the same are told in one for all.
fn shown(comparison: &Comparison) -> impl Iterator<Item = &Row> {
    comparison.rows.iter().filter(|row| !is_quiet(&row.judged))
}

fn is_quiet(judged: &Judged) -> bool {
    judged.measure.kind() == Kind::Exact && judged.verdict == Verdict::Same
}

fn table(comparison: &Comparison, rows: &[&Row]) -> Table {
    let mut columns = identity_columns(rows);
    columns.push(Column::new("test", Align::Left));
    columns.push(Column::new("base", Align::Right));
    columns.push(Column::new("head", Align::Right));
    columns.push(Column::new("unit", Align::Left).narrow(Narrow::Drop(3)));
    columns.push(Column::new("change", Align::Right));
    columns.push(Column::new("interval", Align::Right).narrow(Narrow::Drop(4)));
    let n = match comparison.design {
        Design::Paired => "pairs",
        Design::Stored => "n",
    };
    columns.push(Column::new(n, Align::Right).narrow(Narrow::Drop(5)));
    columns.push(Column::new("verdict", Align::Left).toned(verdict_tone));
    columns.push(Column::new("marks", Align::Left).narrow(Narrow::Drop(2)));
    let mut table = Table::new(columns);
    for row in rows {
        let judged = &row.judged;
        let (unit, shown) = unit(judged.measure);
        let value = |v: f64| if v.is_nan() { MISSING.to_owned() } else { shown(v) };
        let mut cells = identity(rows, row);
        cells.extend([
            row.test.clone(),
            value(judged.base),
            value(judged.head),
            unit.to_owned(),
            change(judged.ratio),
            judged.interval.map_or(String::new(), interval),
            match (comparison.design, judged.n) {
                (Design::Paired, (n, _)) => n.to_string(),
                (Design::Stored, (a, b)) if a == b => a.to_string(),
                (Design::Stored, (a, b)) => format!("{a}, {b}"),
            },
            verdict(judged),
            marks(row),
        ]);
        table.push(cells);
    }
    table
}

fn verdict(judged: &Judged) -> String {
    match judged.confirmed {
        Some(true) => format!("{} (confirmed)", judged.verdict),
        Some(false) => format!("{} (not confirmed)", judged.verdict),
        None => judged.verdict.to_string(),
    }
}

/// How a verdict looks, with what may stand behind it.
fn verdict_tone(words: &str) -> Option<Tone> {
    let verdict = Verdict::ALL.into_iter().find(|v| words.starts_with(&v.to_string()))?;
    match verdict {
        Verdict::Regressed => Some(Tone::Bad),
        Verdict::Unclear => Some(Tone::Care),
        Verdict::Improved => Some(Tone::Good),
        Verdict::Same | Verdict::NotComparable => None,
    }
}

fn marks(row: &Row) -> String {
    let words =
        row.marks.iter().map(|(word, (a, b))| format!("{} {a}, {b}", word.replace('_', " ")));
    words.collect::<Vec<_>>().join("; ")
}

/// What the names of the sides do not say already.
fn untold(comparison: &Comparison, rows: &[&Row]) -> Vec<Difference> {
    let mut found = everywhere(rows);
    let names = |label: &str, word: &str| label.contains(word);
    found.retain(|d| !(names(&comparison.base, &d.base) && names(&comparison.head, &d.head)));
    found
}

/// Columns that say which cell a row is of: model, quantisation, engine, and what else differs.
fn identity_columns(rows: &[&Row]) -> Vec<Column> {
    let mut columns = vec![
        Column::new("model", Align::Left).narrow(Narrow::ElideTo(14)),
        Column::new("quant", Align::Left),
        Column::new("engine", Align::Left).narrow(Narrow::ElideTo(10)),
    ];
    columns.extend(differing(rows).into_iter().map(|name| Column::new(name, Align::Left)));
    columns.push(Column::new("cell", Align::Left));
    columns
}

/// The lengths of a row's cell, where another row has the same test in another cell: a prefill that is
/// followed by decode calls and one that is not, peaks of memory at several lengths.
fn cell(rows: &[&Row], row: &Row) -> String {
    let but_lengths = |row: &Row| -> Vec<String> {
        let is_length = |name: &str| ["n_prompt", "n_gen", "n_depth"].contains(&name);
        let others = row.what.iter().filter(|(name, _)| !is_length(name));
        others.map(|(name, word)| format!("{name}={word}")).collect()
    };
    let looks_alike = |other: &&&Row| {
        other.test == row.test && other.what != row.what && but_lengths(other) == but_lengths(row)
    };
    if !rows.iter().any(|other| looks_alike(&other)) {
        return String::new();
    }
    let n = |name: &str| row.what.get(name).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    let mut words = Vec::new();
    words.extend((n("n_prompt") > 0).then(|| format!("pp{}", n("n_prompt"))));
    words.extend((n("n_gen") > 0).then(|| format!("tg{}", n("n_gen"))));
    let depth = match n("n_depth") {
        0 => String::new(),
        depth => format!(" @ d{depth}"),
    };
    words.join("+") + &depth
}

fn identity(rows: &[&Row], row: &Row) -> Vec<String> {
    let told = everywhere(rows);
    let word = |name: &str| match told.iter().any(|d| d.name == name) {
        true => String::new(),
        false => word(row, name),
    };
    let first = |names: &[&str]| names.iter().map(|name| word(name)).find(|w| !w.is_empty());
    let mut words: Vec<String> =
        [&["model", "model_type"][..], &["quant"], &["engine", "backends"]]
            .iter()
            .map(|names| first(names).unwrap_or_default())
            .collect();
    words.extend(differing(rows).into_iter().map(|name| word(&name)));
    words.push(cell(rows, row));
    words
}

/// A word of a row: `reference → llama-cpp` where the sides differ in it.
fn word(row: &Row, name: &str) -> String {
    match row.what_differs.iter().find(|d| d.name == name) {
        Some(d) => format!("{} → {}", d.base, d.head),
        None => row.what.get(name).cloned().unwrap_or_default(),
    }
}

/// Names of *what* that are not told otherwise and are not the same in all rows and on both sides.
fn differing(rows: &[&Row]) -> Vec<String> {
    let mut words: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for row in rows {
        for (name, word) in &row.what {
            words.entry(name).or_default().insert(word);
        }
        for d in &row.what_differs {
            words.entry(&d.name).or_default().extend([&d.base, &d.head]);
        }
    }
    let told = everywhere(rows);
    let several = words.into_iter().filter(|(name, words)| {
        let is_told = TOLD.contains(&name.as_str()) || told.iter().any(|d| d.name == **name);
        words.len() > 1 && !is_told
    });
    several.map(|(name, _)| name.clone()).collect()
}

/// The unit of a measure and how its values are written.
fn unit(measure: Measure) -> (&'static str, fn(f64) -> String) {
    match measure {
        Measure::Decode => ("ms/token", text::number),
        _ if measure.kind() == Kind::Time => ("ms", text::number),
        _ => ("MiB", text::mib),
    }
}

/// From here on a ratio is told as a multiple. As written it is two.
const TWICE: f64 = 1.9995;

/// `+2.0 %`, `−4.8 %`, `2.31 ×`.
fn change(ratio: f64) -> String {
    if ratio.is_nan() {
        return MISSING.to_owned();
    }
    if !ratio.is_finite() {
        return "from nothing".to_owned();
    }
    if !(0.5..TWICE).contains(&ratio) {
        return format!("{ratio:.2} ×");
    }
    signed(100.0 * (ratio - 1.0), 1) + " %"
}

fn interval((lo, hi): (f64, f64)) -> String {
    if lo < 0.5 || hi >= TWICE {
        return format!("[{lo:.2}, {hi:.2}] ×");
    }
    let percent = |ratio: f64| signed(100.0 * (ratio - 1.0), 1);
    format!("[{}, {}] %", percent(lo), percent(hi))
}

/// A number with its sign; nothing is neither above nor below zero.
fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    match value {
        _ if is_zero => text,
        v if v < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// Why rows are unclear or cannot be compared, each reason once.
fn reasons(rows: &[&Row]) -> Vec<String> {
    let mut reasons: Vec<(Verdict, &str, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(why) = &row.judged.why else { continue };
        match reasons.iter_mut().find(|(v, known, _)| (*v, *known) == (row.judged.verdict, why)) {
            Some((.., tests)) => tests.push(&row.test),
            None => reasons.push((row.judged.verdict, why, vec![&row.test])),
        }
    }
    reasons
        .into_iter()
        .map(|(verdict, why, tests)| match tests.as_slice() {
            [one] => format!("{verdict}: {one}: {why}"),
            several => format!("{verdict}: {} rows: {why}", several.len()),
        })
        .collect()
}

/// What stands below the table.
fn findings(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    let quiet = comparison.rows.iter().filter(|row| is_quiet(&row.judged)).count();
    if quiet > 0 {
        lines.push(format!("bytes that do not vary: {} the same", text::count(quiet, "buffer")));
    }
    let means: Vec<String> = comparison
        .headline
        .iter()
        .filter(|(measure, _)| measure.kind() != Kind::Exact)
        .map(|(measure, h)| {
            format!("{} {} ({})", spoken(*measure), change(h.ratio), text::count(h.n_cells, "cell"))
        })
        .collect();
    // Of a single cell the table has said it.
    let has_several = comparison.headline.values().any(|h| h.n_cells > 1);
    if has_several && !means.is_empty() {
        lines.push(format!("geometric mean: {}", means.join(", ")));
    }
    let verdicts = in_words(comparison);
    lines.push(format!("verdicts: {verdicts} (every measure is a cost: more is worse)"));
    let has_interval = comparison.rows.iter().any(|row| row.judged.interval.is_some());
    let is_chance = comparison.regressed_by_chance > 0.0;
    if comparison.design == Design::Stored && has_interval && is_chance {
        lines.push(format!(
            "by chance alone up to {:.1} of {} would be called regressed",
            comparison.regressed_by_chance,
            text::count(
                comparison.rows.iter().filter(|r| r.judged.interval.is_some()).count(),
                "measure"
            ),
        ));
    }
    for (side, cells) in [("base", &comparison.only_base), ("head", &comparison.only_head)] {
        if !cells.is_empty() {
            let some: Vec<&str> = cells.iter().take(3).map(String::as_str).collect();
            let more = if cells.len() > 3 { ", …" } else { "" };
            lines.push(format!(
                "only in {side}: {}: {}{more}",
                text::count(cells.len(), "cell"),
                some.join(", ")
            ));
        }
    }
    for (side, cells) in
        [("base", &comparison.unfinished_base), ("head", &comparison.unfinished_head)]
    {
        let told = |what: &String| format!("did not finish in {side}: {}", text::elide(what, 200));
        lines.extend(cells.iter().map(told));
    }
    lines.extend(comparison.notes.iter().cloned());
    lines
}

fn spoken(measure: Measure) -> &'static str {
    match measure {
        Measure::Prefill => "prefill",
        Measure::Decode => "decode",
        Measure::Ttft => "TTFT",
        Measure::ItlP99 => "ITL p99",
        Measure::Load => "load",
        Measure::PeakMemory => "peak memory",
        Measure::Weights => "weights",
        Measure::KvCache => "KV cache",
        Measure::Compute => "compute buffer",
        Measure::Output => "output buffer",
    }
}

/// `1 regressed, 3 same`; what is told in one line for all is not counted.
fn in_words(comparison: &Comparison) -> String {
    let counts = crate::compare::counted(shown(comparison).map(|row| &row.judged));
    let words: Vec<String> = Verdict::ALL
        .iter()
        .filter_map(|verdict| Some(format!("{} {verdict}", counts.get(verdict)?)))
        .collect();
    match (words.is_empty(), comparison.rows.is_empty()) {
        (false, _) => words.join(", "),
        (true, false) => "everything the same".to_owned(),
        (true, true) => "nothing was compared".to_owned(),
    }
}
