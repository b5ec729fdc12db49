//! Runs taken in, in every order, and what is told of them.

use super::*;
use crate::history::fixture::{entry, run};

fn of(entries: &[(RunEntry, Said)]) -> History {
    let mut history = History::in_memory();
    for (entry, said) in entries {
        history.add(entry, said).unwrap();
    }
    history
}

fn decode(history: &History) -> Vec<Series> {
    history.series(&Filter::default(), &[Measure::Decode], |_| true).unwrap()
}

/// Every row of every table, in order.
fn dump(history: &History) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["environment", "run", "cell", "invocation", "measure"] {
        let mut statement = history.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let n = statement.column_count();
        let read = statement.query_map([], |row| {
            let values = (0..n).map(|i| format!("{:?}", row.get_ref(i).unwrap()));
            Ok(format!("{table} {}", values.collect::<Vec<_>>().join("|")))
        });
        rows.extend(read.unwrap().map(Result::unwrap));
    }
    rows.sort();
    rows
}

#[test]
fn adding_twice_adds_nothing() {
    let (entry, said) = entry("2026-11-02T10:00:00Z", 10.0, "a");
    let mut history = of(&[]);
    let first = history.add(&entry, &said).unwrap();
    assert_eq!((first.is_new, first.n_new), (true, 3));
    let before = dump(&history);
    assert_eq!(history.add(&entry, &said).unwrap(), Added::default());
    assert_eq!(history.add(&entry, &Said::default()).unwrap(), Added::default());
    assert_eq!(dump(&history), before);
}

#[test]
fn the_order_in_which_runs_are_added_does_not_matter() {
    let entries: Vec<(RunEntry, Said)> = (1..6)
        .map(|day| entry(&format!("2026-11-0{day}T10:00:00Z"), f64::from(day), "a"))
        .collect();
    let turned: Vec<_> = entries.iter().rev().cloned().collect();
    assert_eq!(dump(&of(&entries)), dump(&of(&turned)));
    let values = decode(&of(&turned))[0].values();
    assert!(values.is_sorted() && values.len() == 5, "{values:?}");
}

#[test]
fn a_resumed_run_adds_what_is_new_and_a_shortened_journal_takes_nothing_away() {
    let (info, records) = run("2026-11-02T10:00:00Z", 10.0);
    let begun = RunEntry::new(&info, &records[..1]).unwrap();
    let mut records = records;
    records[0].wall_ns += 1;
    records[0].samples[0].prefill_ns = Some(1);
    let whole = RunEntry::new(&info, &records).unwrap();
    let mut history = of(&[(begun.clone(), Said::default())]);
    let added = history.add(&whole, &Said::default()).unwrap();
    assert_eq!((added.is_new, added.n_new, added.n_changed), (false, 2, 0));
    let full = dump(&history);
    history.add(&begun, &Said::default()).unwrap();
    assert_eq!(dump(&history), full);
    for sample in &mut records[0].samples {
        sample.prefill_ns = Some(1);
    }
    let other = RunEntry::new(&info, &records).unwrap();
    assert_eq!(history.add(&other, &Said::default()).unwrap().n_changed, 1);
}

#[test]
fn what_was_said_of_a_run_stays_until_something_else_is_said() {
    let (entry, said) = entry("2026-11-02T10:00:00Z", 10.0, "a");
    let mut history = of(&[(entry.clone(), said)]);
    history.add(&entry, &Said::default()).unwrap();
    assert_eq!(history.runs().unwrap()[0].commit.as_deref(), Some("a"));
    let other = Said {
        commit: Some("b".to_owned()),
        branch: Some("main".to_owned()),
        date: Some("2026-10-01T00:00:00Z".parse().unwrap()),
    };
    assert!(history.add(&entry, &other).unwrap().is_retold);
    let run = &history.runs().unwrap()[0];
    assert_eq!((run.commit.as_deref(), run.branch.as_deref()), (Some("b"), Some("main")));
    assert_eq!((run.day(), run.started_at.as_str()), ("2026-10-01", "2026-11-02T10:00:00.000Z"));
}

#[test]
fn a_run_older_than_the_one_before_stands_at_its_date_and_says_so() {
    let mut history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
    let (late, said) = entry("2026-11-01T10:00:00Z", 20.0, "b");
    let added = history.add(&late, &said).unwrap();
    assert_eq!(added.behind.as_deref(), Some("2026-11-02T10:00:00.000Z"));
    let names: Vec<String> =
        decode(&history)[0].points.iter().map(|point| point.run.name()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn another_place_begins_another_series_and_another_kernel_does_not() {
    let at = |day: u32, governor: &str, kernel: &str| {
        let (mut info, records) = run(&format!("2026-11-0{day}T10:00:00Z"), 10.0);
        info.host.governor = Some(governor.to_owned());
        info.host.kernel = kernel.to_owned();
        (RunEntry::new(&info, &records).unwrap(), Said::default())
    };
    let history =
        of(&[at(1, "ondemand", "6.1"), at(2, "ondemand", "6.2"), at(3, "powersave", "6.2")]);
    let mut lengths: Vec<usize> = decode(&history).iter().map(|s| s.points.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [1, 2]);
    assert_eq!(history.environments().unwrap().len(), 2);
}

#[test]
fn a_point_is_the_geometric_mean_of_what_finished() {
    let (info, mut records) = run("2026-11-02T10:00:00Z", 10.0);
    records[2].outcome = Outcome::TimedOut { limit_s: 1 };
    let history = of(&[(RunEntry::new(&info, &records).unwrap(), Said::default())]);
    let series = decode(&history);
    let point = &series[0].points[0];
    assert_eq!(point.values, [9.99, 10.0]);
    assert_eq!(point.value, geometric(9.99, 10.0));
    assert_eq!(series[0].test(), "tg64 @ d128");
    assert!(history.unfinished(&point.run).unwrap().is_empty());
    records[0].outcome = Outcome::TimedOut { limit_s: 1 };
    records[1].outcome = Outcome::Crashed { signal: Some(11), status: None };
    let history = of(&[(RunEntry::new(&info, &records).unwrap(), Said::default())]);
    assert!(decode(&history).is_empty());
    let lost = history.unfinished(&history.runs().unwrap()[0]).unwrap();
    assert_eq!(lost[0].ended, "crashed in 1, timed out in 2");
}

fn geometric(a: f64, b: f64) -> f64 {
    ((a.ln() + b.ln()) / 2.0).exp()
}

#[test]
fn a_cell_that_means_something_else_is_refused_and_nothing_of_its_run_is_kept() {
    let mut history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
    let before = dump(&history);
    let (mut other, said) = entry("2026-11-03T10:00:00Z", 10.0, "b");
    other.cells.values_mut().next().unwrap().insert("engine".to_owned(), "x".to_owned());
    let error = history.add(&other, &said).unwrap_err();
    assert!(matches!(error, HistoryError::TwoOfOneId(_)), "{error}");
    assert_eq!(dump(&history), before);
}

#[test]
fn the_flat_view_speaks_of_every_value() {
    let history = of(&[entry("2026-11-02T10:00:00Z", 10.0, "a")]);
    let (n, model): (u32, String) = history
        .connection
        .query_row("SELECT count(*), max(model) FROM flat WHERE measure = 'tpot_ms'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((n, model.as_str()), (3, "SmolLM2-135M"));
}
