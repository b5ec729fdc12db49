//! Runs in the formats of other tools: the real binary, the fake engine, a scripted clock.

use serde_json::Value;
use slmbench::exchange::llama_bench;

use crate::support::Bench;

const SUITE: &str = r#"
name = "exact"
repetitions = 2
invocations = 3
seed = 7

[[matrix]]
engine = "fake:prefill_ms=50,decode_ms=10,depth_token_us=10,clock=scripted"
model = "tiny-llama"
quant = "F16"
n_threads = 2
n_prompt = 100
n_gen = 4
n_depth = [0, 1000]
"#;

/// A run in the folder `out`.
fn measured() -> Bench {
    let bench = Bench::new();
    bench.write("exact.toml", SUITE);
    bench.run(&["run", "exact.toml", "--out", "out", "--quiet"]).ends_with(0);
    bench
}

fn exported(bench: &Bench, format: &str) -> String {
    bench.run(&["export", "out", "--to", format]).ends_with(0).stdout
}

#[test]
fn a_run_is_rows_of_llama_bench_that_are_read_back() {
    let bench = measured();
    let rows = llama_bench::read(exported(&bench, "llama-bench-json"), "f").unwrap();
    let jsonl = llama_bench::read(exported(&bench, "llama-bench-jsonl"), "f").unwrap();
    assert_eq!(rows, jsonl);
    let of_csv = llama_bench::read(exported(&bench, "llama-bench-csv"), "f").unwrap();
    assert_eq!(of_csv.len(), 2 * 3 * 2, "cells, invocations, phases");
    let told: Vec<String> = rows
        .iter()
        .filter(|row| row.other["invocation"] == 0)
        .map(|row| {
            let samples = row.samples_ns.as_deref().unwrap();
            format!("{} {} {samples:?} {:.2}", row.test(), row.avg_ns, row.avg_ts.unwrap())
        })
        .collect();
    // Decode stands behind depth and prompt: 10 ms and 10 µs for each token before it.
    insta::assert_snapshot!(told.join("\n"), @"
    pp100 50000000 [50000000, 50000000] 2000.00
    tg4 @ d100 44060000 [44060000, 44060000] 90.79
    pp100 @ d1000 60000000 [60000000, 60000000] 1666.67
    tg4 @ d1100 84060000 [84060000, 84060000] 47.59
    ");
    for (json, csv) in rows.iter().zip(&of_csv) {
        assert_eq!((json.avg_ns, json.avg_ts, json.test()), (csv.avg_ns, csv.avg_ts, csv.test()));
    }
}

#[test]
fn a_table_can_be_pasted_into_an_issue() {
    let bench = measured();
    let text = exported(&bench, "llama-bench-md");
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("tg4 @ d1100")).collect();
    assert_eq!(rows.len(), 3, "a row per invocation\n{text}");
    assert!(rows[0].contains("tiny-llama F16") && rows[0].contains("47.59 ± 0.00"), "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("build: "), "{text}");
}

#[test]
fn a_commit_can_be_named_for_every_folder() {
    let bench = measured();
    bench.run(&["run", "exact.toml", "--out", "later", "--quiet"]).ends_with(0);
    let both = ["export", "out", "later", "--to", "llama-bench-jsonl", "--commit"];
    let ran = bench.run(&[&both[..], &["aaa,bbb"]].concat()).ends_with(0);
    let rows = llama_bench::read(ran.stdout, "f").unwrap();
    let commits: Vec<&str> = rows.iter().filter_map(|row| row.build_commit.as_deref()).collect();
    assert_eq!(commits, [["aaa"; 12], ["bbb"; 12]].concat());
    let ran = bench.run(&[&both[..], &["a,b,c"]].concat()).ends_with(2);
    assert!(ran.stderr.contains("3 commits for 2 folders"), "{}", ran.stderr);
}

#[test]
fn trackers_get_the_numbers_of_the_report() {
    let bench = measured();
    let bmf: Value = serde_json::from_str(&exported(&bench, "bencher")).unwrap();
    let name = "tiny-llama/F16/fake:prefill_ms=50,decode_ms=10,depth_token_us=10,clock=scripted/\
                threads=2/pp100+tg4 @ d1000";
    let prefill = &bmf[format!("{name}/prefill")];
    let exact = |value: f64| serde_json::json!({ "value": value, "lower_value": value, "upper_value": value });
    assert_eq!(prefill["latency"], exact(60e6), "nanoseconds, and no spread gives no width");
    assert_eq!(bmf[format!("{name}/decode")]["latency"], exact(21_015_000.0));

    bench.run(&["export", "out", "--to", "github-action-benchmark", "-o", "github"]).ends_with(0);
    let smaller: Value =
        serde_json::from_str(&bench.read("github/smaller-is-better.json")).unwrap();
    let bigger: Value = serde_json::from_str(&bench.read("github/bigger-is-better.json")).unwrap();
    assert_eq!((smaller.as_array().unwrap().len(), bigger.as_array().unwrap().len()), (16, 4));
    let entry =
        smaller.as_array().unwrap().iter().find(|e| e["name"] == format!("{name}/prefill_ms"));
    assert_eq!(entry.unwrap()["value"], 60.0);
    assert_eq!(entry.unwrap()["range"], "± 0");
}

#[test]
fn a_history_is_a_row_per_folder() {
    let bench = measured();
    bench.run(&["run", "exact.toml", "--out", "later", "--quiet"]).ends_with(0);
    let arguments =
        ["export", "later", "out", "--to", "otava-csv", "-o", "otava", "--branch", "main"];
    bench.run(&arguments).ends_with(0);
    let mut table = csv::Reader::from_path(bench.path("otava/slmbench.csv")).unwrap();
    assert_eq!(
        table.headers().unwrap().iter().take(3).collect::<Vec<_>>(),
        ["time", "commit", "branch"]
    );
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0][0] < rows[1][0], "in the order of time");
    assert!(bench.read("otava/otava.yaml").contains("direction: -1"));
}

#[test]
fn what_cannot_be_exported_is_told_with_what_helps() {
    let bench = measured();
    let ran = bench.run(&["export", "out", "--to", "github-action-benchmark"]).ends_with(2);
    assert!(ran.stderr.contains("-o DIR"), "{}", ran.stderr);
    let ran = bench.run(&["export", "absent", "--to", "bencher"]).ends_with(2);
    assert!(ran.stderr.contains("absent"), "{}", ran.stderr);
    let ran = bench.run(&["export", "out", "out", "--to", "bencher"]).ends_with(2);
    assert!(ran.stderr.contains("one folder at a time"), "{}", ran.stderr);
    let ran = bench.run(&["export", "out", "--to", "bencher", "-o", "/dev/null/f"]).ends_with(7);
    assert!(ran.stderr.contains("/dev/null/f"), "{}", ran.stderr);
    std::fs::write(bench.path("out/records.jsonl"), "").unwrap();
    for format in ["llama-bench-json", "bencher"] {
        let ran = bench.run(&["export", "out", "--to", format]).ends_with(2);
        assert!(ran.stderr.contains("out: nothing was measured yet"), "{}", ran.stderr);
    }
}

#[test]
fn a_file_or_a_device_can_be_written_to() {
    let bench = measured();
    bench.run(&["export", "out", "--to", "llama-bench-sql", "-o", "f.sql"]).ends_with(0);
    assert!(bench.read("f.sql").starts_with("CREATE TABLE IF NOT EXISTS llama_bench ("));
    bench.run(&["export", "out", "--to", "llama-bench-sql", "-o", "/dev/null"]).ends_with(0);
    assert!(!std::path::Path::new("/dev/null").is_file(), "it is still a device");
}
