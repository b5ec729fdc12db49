//! Formats: their schemas are checked in, and what was written once can be read for ever.

use std::path::{Path, PathBuf};

use serde::Serialize;
use slmbench::model::models_schema;
use slmbench::record::{Record, RunInfo, read_journal};
use slmbench::suite::{devices_schema, suite_schema};

use crate::support::Bench;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Holds a schema against the file that is checked in; with `UPDATE_SCHEMA` set writes it.
#[track_caller]
fn is_checked_in(schema: &impl Serialize, file: &str, if_not: &str) {
    let found = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let path = repository(file);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is not what the program writes: run this test with UPDATE_SCHEMA=1. {if_not}"
    );
}

#[test]
fn the_schemas_that_are_checked_in_are_those_of_the_program() {
    const WRITTEN: &str =
        "Where old readers do not understand it: raise RECORD_FORMAT as well, and keep a fixture";
    const READ: &str = "Where it refuses files that were read before: say so in docs/suites.md";
    is_checked_in(&schemars::schema_for!(Record), "docs/schema/record.schema.json", WRITTEN);
    is_checked_in(&schemars::schema_for!(RunInfo), "docs/schema/run.schema.json", WRITTEN);
    is_checked_in(&suite_schema(), "docs/schema/suite.schema.json", READ);
    is_checked_in(&models_schema(), "docs/schema/models.schema.json", READ);
    is_checked_in(&devices_schema(), "docs/schema/devices.schema.json", READ);
}

#[test]
fn a_run_of_format_1_is_read_and_reported() {
    let records = read_journal(&repository("tests/data/format-1/records.jsonl")).unwrap();
    let outcomes: Vec<&str> = records.iter().map(|record| record.outcome.word()).collect();
    for word in ["finished", "failed", "crashed", "timed_out", "out_of_memory", "skipped"] {
        assert!(outcomes.contains(&word), "the fixture holds every outcome; {word} is missing");
    }
    let bench = Bench::new();
    for file in ["run.json", "records.jsonl"] {
        let text = std::fs::read_to_string(repository("tests/data/format-1").join(file)).unwrap();
        bench.write(&format!("run/{file}"), &text);
    }
    bench.run(&["report", "run"]).ends_with(0);
    let cells = bench.read("run/cells.csv");
    assert_eq!(cells.lines().count(), 1 + records.len());
}
