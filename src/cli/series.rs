//! `slmbench soak --from-csv FILE`: the analysis of a series that somebody else measured, or of a
//! `soak.csv` of this program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::{print, report};
use crate::record::Work;
use crate::report::plain;
use crate::report::soak::{self, SoakView, Span, Trace, TraceKind, Why, WorkView};
use crate::stats::soak::{Point, Rules, analyse as analyse_windows, spacing_s, windows_of_points};
use crate::system;

/// Names that a column may have, and what it holds.
const COLUMNS: [(Column, &[&str]); 11] = [
    (Column::Time, &["time_s", "t_s", "time", "t", "end_s", "seconds"]),
    (Column::Start, &["start_s"]),
    (Column::Speed, &["tok_per_s", "t/s", "tps", "tokens_per_s", "decode_tok_per_s"]),
    (Column::Run, &["run"]),
    (Column::Model, &["model", "device", "label"]),
    (Column::Quant, &["quant"]),
    (Column::Engine, &["engine"]),
    (Column::Work, &["work", "phase"]),
    (Column::Trace(TraceKind::Temperature), &["temperature_c", "temp_c", "temperature"]),
    (Column::Trace(TraceKind::Clock), &["clock_mhz", "mhz", "clock"]),
    (Column::Trace(TraceKind::Power), &["power_w", "watts", "power"]),
];

/// Windows at most: an analysis takes their square.
const MOST_WINDOWS: f64 = 3600.0;

/// A column that says when something held the machine back.
const HELD_BACK: &[&str] = &["held_back", "throttled"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Time,
    Start,
    Speed,
    Run,
    Model,
    Quant,
    Engine,
    Work,
    Trace(TraceKind),
}

/// Reads the series of all files, says what it comes to, and writes `soak.csv`, `sustained.csv` and a plot where
/// `--out` names a folder.
pub fn analyse(files: &[PathBuf], window_ms: u64, conduct: &Conduct) -> Result<Exit, Failure> {
    let rules = Rules::with_window(window_ms as f64 / 1000.0);
    let ambient = conduct.rest.ambient()?.map(|ambient| ambient.0);
    let mut soaks = Vec::new();
    let mut names = Vec::new();
    for file in files {
        let said = |message: String| format!("{}: {message}", file.display());
        let text = std::fs::read_to_string(file).map_err(|e| said(system::said(&e))).or_usage()?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = read(&text, &name, &rules, ambient).map_err(said).or_usage()?;
        if files.len() > 1 {
            // Runs of several files may have the same names.
            let file = plain(&name);
            found.iter_mut().for_each(|soak| soak.names[2] = format!("({file})"));
        }
        soaks.extend(found);
        names.push(name);
    }
    if let Some(run) = conduct.out.as_ref().filter(|folder| folder.join("run.json").exists()) {
        let message = format!(
            "{} holds a run, whose tables would be lost\nhint: --out another folder",
            run.display()
        );
        return Err(message).or_usage();
    }
    if !conduct.quiet {
        print(&soak::terminal(&soaks, report::terminal_width()))?;
    }
    if let Some(folder) = &conduct.out {
        crate::report::write_soaks(&soaks, &names.join(", "), folder).or_unwritable()?;
        if !conduct.quiet {
            print(&format!("\nResults: {}\n", folder.display()))?;
        }
    }
    Ok(Exit::Done)
}

/// One line, understood.
struct Row {
    time_s: f64,
    start_s: Option<f64>,
    speed: Option<f64>,
    names: [String; 3],
    work: Work,
    traces: [Option<f64>; 3],
    held_back: bool,
}

/// Tokens per second of a device that computes nothing, so that its logarithm is a number.
const STALLED: f64 = 1e-6;

const TRACES: [TraceKind; 3] = [TraceKind::Temperature, TraceKind::Clock, TraceKind::Power];

/// The runs in a file, in the order in which they come.
fn read(
    text: &str,
    name: &str,
    rules: &Rules,
    ambient_c: Option<f64>,
) -> Result<Vec<SoakView>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    // As spreadsheets of many countries write.
    let delimiter = if first.contains(';') && !first.contains(',') { b';' } else { b',' };
    let mut csv = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let header = csv.headers().map_err(|e| e.to_string())?.clone();
    let find = |names: &[&str]| {
        header.iter().position(|h| names.iter().any(|name| h.eq_ignore_ascii_case(name)))
    };
    let place = |column: Column| {
        let (_, names) =
            COLUMNS.iter().find(|(c, _)| *c == column).expect("every column is listed");
        find(names)
    };
    for column in [Column::Time, Column::Speed] {
        if place(column).is_none() {
            let (_, names) = COLUMNS.iter().find(|(c, _)| *c == column).expect("listed");
            return Err(format!(
                "no column `{}`, nor one called {}\nhint: the first line names the columns; needed \
                 are time_s and tok_per_s, understood are temperature_c, clock_mhz, power_w, \
                 held_back, work, run, model, quant, engine",
                names[0],
                names[1..].join(", ")
            ));
        }
    }
    let mut runs: Vec<(String, Vec<Row>)> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    // A run's lines about decode and about prefill may stand in two parts.
    let mut before: BTreeMap<(usize, &str), f64> = BTreeMap::new();
    for line in csv.records() {
        let line = line.map_err(|e| e.to_string())?;
        let number = line.position().map_or(0, |position| position.line());
        let text = |column: Column| place(column).and_then(|i| line.get(i)).unwrap_or_default();
        let value = |column: Column| -> Result<Option<f64>, String> {
            let found = text(column);
            if found.is_empty() {
                return Ok(None);
            }
            let parsed = found.parse::<f64>().ok().filter(|v| v.is_finite());
            let name = place(column).and_then(|i| header.get(i)).unwrap_or_default();
            parsed.map(Some).ok_or_else(|| {
                format!("line {number}: {name} = `{found}`: expected a number, or nothing")
            })
        };
        let Some(time_s) = value(Column::Time)? else {
            return Err(format!("line {number}: no time"));
        };
        let work = match text(Column::Work) {
            "" => Work::Decode,
            word => *Work::ALL.iter().find(|work| work.name() == word).ok_or_else(|| {
                format!("line {number}: work = `{word}`: allowed are decode, prefill")
            })?,
        };
        let mut traces = [None; 3];
        for (slot, kind) in traces.iter_mut().zip(TRACES) {
            *slot = value(Column::Trace(kind))?;
        }
        let row = Row {
            time_s,
            start_s: value(Column::Start)?,
            // A device that stalls computes next to nothing.
            speed: value(Column::Speed)?.map(|speed| speed.max(STALLED)),
            names: [Column::Model, Column::Quant, Column::Engine].map(|c| text(c).to_owned()),
            work,
            traces,
            held_back: match find(HELD_BACK).and_then(|i| line.get(i)) {
                None => false,
                Some(word) => yes_or_no(word).ok_or_else(|| {
                    format!("line {number}: `{word}`: expected 1 or 0 for whether it was held back")
                })?,
            },
        };
        let key = format!("{} {:?}", text(Column::Run), row.names);
        let index = *at.entry(key).or_insert_with(|| {
            runs.push((name.to_owned(), Vec::new()));
            runs.len() - 1
        });
        if let Some(before) = before.insert((index, work.name()), time_s)
            && time_s < before
        {
            let name = place(Column::Time).and_then(|i| header.get(i)).unwrap_or_default();
            return Err(format!(
                "line {number}: {name} = {time_s}, earlier than the line before ({before})\n\
                 hint: sort the lines by time; several runs are told apart by a column `run`"
            ));
        }
        runs[index].1.push(row);
    }
    if runs.is_empty() {
        return Err("there is no line behind the header".to_owned());
    }
    let span = |rows: &[Row]| {
        let times = || rows.iter().map(|row| row.time_s);
        times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min)
    };
    let longest = runs.iter().map(|(_, rows)| span(rows)).fold(0.0, f64::max);
    if longest > MOST_WINDOWS * rules.window_s {
        return Err(format!(
            "it lasts {longest:.0} s, {:.0} windows of {} s\nhint: are its times seconds? --window-s \
             {:.0} takes it as it is",
            longest / rules.window_s,
            rules.window_s,
            (longest / MOST_WINDOWS).ceil()
        ));
    }
    Ok(runs.into_iter().map(|(name, rows)| view(&name, rows, rules, ambient_c)).collect())
}

/// What programs write for yes and no; nothing is no.
fn yes_or_no(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "" | "false" | "no" => Some(false),
        "true" | "yes" => Some(true),
        number => number.parse::<f64>().ok().map(|n| n != 0.0),
    }
}

/// One run.
fn view(name: &str, mut rows: Vec<Row>, rules: &Rules, ambient_c: Option<f64>) -> SoakView {
    rows.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    // A column `start_s` is of this program, and counts from the first pass on.
    let origin = match rows.first() {
        Some(row) if row.start_s.is_none() => row.time_s,
        _ => 0.0,
    };
    // A point of a window lies in its middle.
    let at = |row: &Row| (row.start_s.map_or(row.time_s, |s| (s + row.time_s) / 2.0)) - origin;
    let mut names = rows.first().map_or_else(Default::default, |row| row.names.clone());
    if names.iter().all(String::is_empty) {
        names[0] = name.to_owned();
    }
    let traces = TRACES.iter().enumerate().filter_map(|(i, &kind)| {
        let scale = if kind == TraceKind::Clock { 1e6 } else { 1.0 };
        let mut points: Vec<(f64, f64)> =
            rows.iter().filter_map(|row| Some((at(row), row.traces[i]? * scale))).collect();
        points.dedup_by(|a, b| a.0 == b.0);
        (points.len() > 1).then(|| Trace { kind, id: name.to_owned(), scope: None, points })
    });
    let mut soak = SoakView {
        apart: Vec::new(),
        names,
        of: None,
        marks: Vec::new(),
        waited_s: None,
        ended_by: "time".to_owned(),
        trouble: None,
        lasted_s: rows.last().map_or(0.0, |row| row.time_s - origin),
        rules: *rules,
        works: Vec::new(),
        traces: traces.collect(),
        held_back: spans(&rows, &at),
        charge: None,
        warming: None,
        thermal_resistance: None,
    };
    for work in [Work::Decode, Work::Prefill] {
        let of_work = rows.iter().filter(|row| row.work == work);
        let points: Vec<Point> = of_work
            .filter_map(|row| Some(Point { time_s: at(row), tok_per_s: row.speed? }))
            .collect();
        let windows = windows_of_points(&points, rules);
        let Some(analysis) = analyse_windows(&windows, rules) else { continue };
        let moments = soak.moments(&analysis, &windows);
        let spacing_s = spacing_s(&windows, rules);
        let why = soak::slowdown_at(&analysis)
            .map(|onset| Why::of_spans(&soak.held_back, onset, spacing_s, moments));
        // Tokens are not in such a file: speed × time stands for them.
        let tokens = |until: f64| -> f64 {
            let inside = windows.iter().filter(|w| w.start_s < until);
            inside.map(|w| w.tok_per_s * (w.end_s.min(until) - w.start_s)).sum()
        };
        soak.works.push(WorkView {
            work,
            test: work.name().to_owned(),
            why,
            tokens_first_minute: tokens(60.0),
            tokens: tokens(f64::INFINITY),
            moments,
            energy: None,
            analysis,
            windows,
        });
    }
    soak.warm_up(ambient_c);
    soak
}

/// Stretches of lines that say that something held the machine back.
fn spans(rows: &[Row], at: &dyn Fn(&Row) -> f64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut open = false;
    for row in rows {
        let time = at(row);
        match (row.held_back, open) {
            (true, true) => {
                if let Some(span) = spans.last_mut() {
                    span.to_s = span.to_s.max(time);
                }
            }
            (true, false) => {
                spans.push(Span { from_s: time, to_s: time, id: "the file".to_owned() });
            }
            (false, _) => {}
        }
        open = row.held_back;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::soak::Verdict;

    fn series(n: usize, speed: impl Fn(f64) -> f64) -> String {
        let lines = (0..n).map(|i| {
            let t = 2.0 * i as f64;
            // A little noise that is the same every time.
            let noise = 1.0 + 0.01 * f64::sin(i as f64 * 12.9898);
            format!("{t},{},{}\n", speed(t) * noise, u8::from(speed(t) < 9.0))
        });
        format!("time_s,tok_per_s,throttled\n{}", lines.collect::<String>())
    }

    fn read_one(text: &str) -> SoakView {
        read(text, "x.csv", &Rules::default(), None).unwrap().remove(0)
    }

    #[test]
    fn a_step_in_a_file_is_found_with_what_the_file_says_of_it() {
        let soak = read_one(&series(600, |t| if t < 300.0 { 10.0 } else { 6.0 }));
        let work = &soak.works[0];
        assert!(matches!(work.analysis.verdict, Verdict::Slowdown(_)), "{:?}", work.analysis);
        assert_eq!(work.why, Some(Why::HeldBack("the file".to_owned())));
        assert!((work.analysis.sustained.tok_per_s - 6.0).abs() < 0.1);
        assert_eq!(soak.held_back.len(), 1);
        let tokens = 300.0 * 10.0 + 900.0 * 6.0;
        assert!((work.tokens / tokens - 1.0).abs() < 0.02, "{}", work.tokens);
    }

    #[test]
    fn a_steady_file_has_no_slowdown_and_no_cause() {
        let soak = read_one(&series(600, |_| 10.0));
        assert_eq!(soak.works[0].analysis.verdict, Verdict::Steady);
        assert_eq!(soak.works[0].why, None);
    }

    #[test]
    fn several_runs_and_both_kinds_of_work_are_kept_apart() {
        let text = "run,model,work,time_s,tok_per_s,temperature_c\n\
                    0,a,decode,0,10,40\n0,a,prefill,1,100,41\n0,a,decode,12,11,42\n1,b,decode,0,20,\n";
        let soaks = read(text, "x.csv", &Rules::default(), None).unwrap();
        assert_eq!(soaks.len(), 2);
        assert_eq!(soaks[0].works.len(), 2);
        assert_eq!(soaks[0].trace(TraceKind::Temperature).unwrap().points.len(), 3);
        assert_eq!(soaks[1].names[0], "b");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_line() {
        let said = |text: &str| read(text, "x.csv", &Rules::default(), None).unwrap_err();
        assert!(said("").contains("no column `time_s`"));
        assert!(said("time_s,speed\n1,2\n").contains("no column `tok_per_s`"));
        assert!(said("time_s,tok_per_s\n").contains("no line"));
        assert!(said("time_s,tok_per_s\n1,2\nsoon,2\n").starts_with("line 3: time_s = `soon`"));
        assert!(said("time_s,tok_per_s,work\n1,2,thinking\n").contains("decode, prefill"));
        assert!(said("time_s,tok_per_s\n1\n").contains("found record"));
        assert!(said("time_s,tok_per_s,throttled\n1,2,maybe\n").contains("1 or 0"));
        assert!(said("time_s,tok_per_s\n1,2\n9000000,2\n").contains("--window-s"));
        let back = said("t,tps\n1,2\n0,2\n");
        assert!(back.starts_with("line 3: t = 0, earlier than the line before (1)\nhint: sort"));
        let text = "work,time_s,tok_per_s\ndecode,1,2\ndecode,2,2\nprefill,1,9\nprefill,2,9\n";
        assert!(read(text, "x.csv", &Rules::default(), None).is_ok(), "parts of one run");
    }

    #[test]
    fn what_spreadsheets_make_of_a_series_is_understood() {
        let text =
            "\u{feff}time_s;tok_per_s;throttled\n0;10;False\n10;10;True\n20;10;0.0\n30;10;TRUE\n";
        let soak = read_one(text);
        let spans: Vec<(f64, f64)> = soak.held_back.iter().map(|s| (s.from_s, s.to_s)).collect();
        assert_eq!(spans, [(10.0, 10.0), (30.0, 30.0)]);
        assert_eq!(soak.works.len(), 1);
    }
}
