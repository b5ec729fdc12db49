//! Made-up runs for the tests of this room.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::{Point, Run, RunEntry, Said, Series};
use crate::compare::{Measure, Words};
use crate::record::{Record, RunInfo};
use crate::report::fixture::single;

/// A run of one cell with three invocations that began at `started_at`; a decode call takes about
/// `decode_ms`, everything else what it always takes.
pub fn run(started_at: &str, decode_ms: f64) -> (RunInfo, Vec<Record>) {
    let mut made = single(3);
    made.run.started_at = started_at.to_owned();
    for (i, record) in made.records.iter_mut().enumerate() {
        let ns = decode_ms * 1e6 * [0.999, 1.0, 1.001][i];
        for sample in &mut record.samples {
            sample.itl_ns = vec![ns as u64; 8];
            sample.prefill_ns = Some(50_000_000);
        }
    }
    (made.run, made.records)
}

/// The entry of such a run, and what is said of it.
pub fn entry(started_at: &str, decode_ms: f64, commit: &str) -> (RunEntry, Said) {
    let (info, records) = run(started_at, decode_ms);
    let said = Said { commit: Some(commit.to_owned()), ..Said::default() };
    (RunEntry::new(&info, &records).unwrap(), said)
}

/// A series of these values: run `i` at day `i`, commit `ci`, three invocations of the same value.
pub fn series(measure: Measure, values: &[f64]) -> Series {
    let point = |(i, &value): (usize, &f64)| {
        let date = format!("2026-01-{:02}T{:02}:00:00.000Z", i / 24 + 1, i % 24);
        let run = Run {
            id: format!("{i:016x}"),
            started_at: date.clone(),
            date,
            suite: "quick".to_owned(),
            label: None,
            program: format!("slmbench 0.1.0 (c{i})"),
            commit: Some(format!("c{i}")),
            branch: None,
            environment: "e".to_owned(),
            os: "Debian".to_owned(),
            kernel: "6.1.0".to_owned(),
        };
        Point::new(Rc::new(run), vec![value; 3], Words::new(), BTreeSet::new()).unwrap()
    };
    Series {
        cell: "c".to_owned(),
        what: Words::new(),
        environment: "e".to_owned(),
        measure,
        points: values.iter().enumerate().map(point).collect(),
    }
}
