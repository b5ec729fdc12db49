//! `slmbench predict` through the real binary, for a device of which a probe and coefficients are at
//! hand, so that nothing is measured.

use std::path::Path;

use serde_json::Value;

use crate::support::{Bench, Ran};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
/// A run of `quick` that was made without a probe.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/unprobed-run");

/// A device, and what is known of how near engines come to its ceilings.
fn known() -> [String; 4] {
    let file = |name: &str| format!("{DATA}/{name}");
    let [probe, coefficients] = ["--probe", "--coefficients"].map(str::to_owned);
    [probe, file("probe.json"), coefficients, file("coefficients.toml")]
}

fn predict_in(bench: &Bench, arguments: &[&str]) -> Ran {
    let known = known();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    bench.run(&[&["predict"], arguments, &known[..]].concat())
}

fn predict(arguments: &[&str]) -> Ran {
    predict_in(&Bench::new(), arguments)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&predict(&[arguments, &["--json"]].concat()).ends_with(0).stdout).unwrap()
}

#[test]
fn speeds_are_told_with_their_interval_and_what_binds_them() {
    let models = ["SmolLM2-135M", "Qwen2.5-0.5B", "Llama-3.2-1B"];
    let ran = predict(&[&models[..], &["-q", "Q8_0,Q4_K_M", "-d", "0,4096"]].concat());
    insta::assert_snapshot!(ran.ends_with(0).stdout);
}

#[test]
fn engines_stand_side_by_side_and_a_word_is_known_by_its_name() {
    let ran =
        predict(&["SmolLM2-135M", "-q", "F16", "--engine", "llama-cpp,reference:avx2", "-t", "1"]);
    insta::assert_snapshot!(ran.ends_with(0).stdout);
}

#[test]
fn the_json_of_predict_keeps_the_names_of_its_fields() {
    insta::assert_snapshot!(format!("{:#}", json(&["tiny-llama", "-q", "Q4_0", "-n", "0"])));
}

#[test]
fn csv_goes_to_a_file_or_to_standard_output() {
    let bench = Bench::new();
    let rows = predict_in(&bench, &["tiny-*", "-p", "0", "--csv", "-"]).ends_with(0).stdout;
    assert!(rows.starts_with("model,quant,engine,weight_bytes,n_threads,"), "{rows}");
    assert!(rows.lines().skip(1).all(|row| row.contains(",,,,,,")), "no prefill: {rows}");
    let ran = predict_in(&bench, &["tiny-*", "-p", "0", "--csv", "rows.csv"]).ends_with(0);
    assert_eq!(bench.read("rows.csv"), rows);
    assert!(ran.stdout.starts_with("model"), "{}", ran.stdout);
    predict_in(&bench, &["tiny-*", "--csv", "no/such/folder.csv"]).ends_with(7);
}

#[test]
fn every_model_of_the_catalogue_has_a_speed() {
    let told = json(&["*"]);
    let rows = told["rows"].as_array().unwrap();
    assert!(rows.len() >= 84, "{}", rows.len());
    for row in rows {
        for phase in ["prefill", "decode"] {
            let of = |name: &str| row[phase][name].as_f64().unwrap();
            assert!(of("tok_per_s_lo") <= of("tok_per_s"), "{row:#}");
            assert!(of("tok_per_s") <= of("tok_per_s_hi"), "{row:#}");
            assert!(of("ms") > 0.0 && of("bound_share") > 1.0 / 3.0, "{row:#}");
        }
    }
}

#[test]
fn a_file_is_as_fast_as_the_model_of_its_shape() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "Q8_0", "-o", "mine.gguf"]).ends_with(0);
    let rows = |arguments: &[&str]| -> Value {
        let ran = predict_in(&bench, &[arguments, &["--json"]].concat()).ends_with(0);
        let mut told: Value = serde_json::from_str(&ran.stdout).unwrap();
        told["rows"][0].as_object_mut().unwrap().remove("model");
        told
    };
    assert_eq!(rows(&["mine.gguf"]), rows(&["tiny-llama", "-q", "Q8_0"]));
    let ran = predict_in(&bench, &["mine.gguf", "-q", "Q8_0"]).ends_with(2);
    assert!(ran.stderr.contains("--quant is for models by name"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_predicted_is_refused_with_what_is_allowed() {
    let bench = Bench::new();
    bench.write("other.json", "{\"threads\": 4}");
    let mut told = String::new();
    for arguments in [
        &["Smol"][..],
        &["SmolLM2-135M", "--engine", "vllm"],
        &["SmolLM2-135M", "-t", "3"],
        &["SmolLM2-135M", "-p", "0", "-n", "0"],
        &["SmolLM2-135M", "--type-kv", "Q3_K"],
        &["--check", "no-such-run"],
    ] {
        let ran = predict_in(&bench, arguments).ends_with(2);
        let shown = ran.stderr.replace(DATA, "DATA");
        told.push_str(&format!("$ slmbench predict {}\n{shown}\n", arguments.join(" ")));
    }
    for arguments in [&["SmolLM2-135M", "--probe", "other.json"][..], &["--check", EXAMPLE]] {
        let ran = bench.run(&[&["predict"], arguments].concat()).ends_with(2);
        let shown = ran.stderr.replace(EXAMPLE, "reports/example");
        let typed = arguments.join(" ").replace(EXAMPLE, "reports/example");
        told.push_str(&format!("$ slmbench predict {typed}\n{shown}\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_probe_for_a_prediction_waits_for_a_run() {
    let bench = Bench::new();
    let _held = slmbench::runner::Lock::try_take(&bench.path("machine.lock")).unwrap();
    let ran = bench.run(&["predict", "tiny-llama", "--when-busy", "refuse"]).ends_with(2);
    assert!(ran.stderr.contains("another slmbench measures"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: --probe"), "{}", ran.stderr);
}

#[test]
fn predictions_are_held_against_runs_without_the_model_that_is_predicted() {
    let bench = Bench::new();
    let ran = predict_in(&bench, &["--check", EXAMPLE, "--fit", "new.toml"]).ends_with(0);
    insta::assert_snapshot!(ran.stdout);
    // What was fitted is what predictions can be made with.
    let ran = bench.run(&[
        "predict",
        "SmolLM2-135M",
        "-q",
        "Q8_0",
        "--probe",
        &known()[1],
        "--coefficients",
        "new.toml",
    ]);
    let out = ran.ends_with(0).stdout;
    assert!(out.contains("llama-cpp: fitted to 20 times of 2 models on avx512_vnni"), "{out}");
    let told = json(&["--check", EXAMPLE]);
    assert_eq!(told["cells"].as_array().unwrap().len(), 40);
    assert!(told["summary"][0]["decode"]["left_out_median_error"].as_f64().unwrap() < 0.3);
}

/// The same run, begun with a probe.
fn example_with_probe(bench: &Bench) {
    let probe: Value =
        serde_json::from_str(&std::fs::read_to_string(&known()[1]).unwrap()).unwrap();
    let read = |name: &str| std::fs::read_to_string(Path::new(EXAMPLE).join(name)).unwrap();
    let mut info: Value = serde_json::from_str(&read("run.json")).unwrap();
    info["probe"] = probe;
    // As a run pins it: to the CPUs on which its cells were measured.
    let records = read("records.jsonl");
    let first: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    info["probe"]["cpus"] = first["cpus"].clone();
    bench.write("run/run.json", &format!("{info:#}"));
    bench.write("run/records.jsonl", &read("records.jsonl"));
}

#[test]
fn a_report_of_a_run_with_a_probe_shows_predicted_against_measured() {
    let bench = Bench::new();
    example_with_probe(&bench);
    bench.run(&["report", "run", "--quiet"]).ends_with(0);
    let rows = bench.read("run/predicted.csv");
    assert_eq!(rows.lines().count(), 1 + 40, "a row for each phase of each cell");
    let plot = bench.read("run/plots/predicted.svg");
    assert!(plot.contains("Predicted against measured") && plot.contains("± 20 % of decode"));
    assert!(bench.read("run/summary.md").contains("plots/predicted.svg"));
    // Without a probe there is neither.
    let known = bench.run(&["predict", "--check", "run"]).ends_with(0).stdout;
    assert!(known.contains("median |error|"), "{known}");
}

#[test]
fn a_dry_run_takes_from_the_probe_of_a_run_what_nobody_measured() {
    let bench = Bench::new();
    let plan = ["run", "quick", "--engine", "reference", "-t", "2", "--dry-run"];
    let before = bench.run(&plan).ends_with(0).stdout;
    assert!(before.contains("unknown") && !before.contains('~'), "{before}");
    let fake =
        ["run", "quick", "--engine", "fake:clock=scripted", "--quiet", "--model", "tiny-llama"];
    bench.run(&[&fake[..], &["--quant", "F16", "--out", "reports/a"]].concat()).ends_with(0);
    let probe: Value =
        serde_json::from_str(&std::fs::read_to_string(&known()[1]).unwrap()).unwrap();
    let mut info: Value = serde_json::from_str(&bench.read("reports/a/run.json")).unwrap();
    info["probe"] = probe;
    bench.write("reports/a/run.json", &info.to_string());
    let after = bench.run(&plan).ends_with(0).stdout;
    assert!(!after.contains("unknown") && after.contains("~"), "{after}");
    assert!(after.contains("expected from the probe of a run"), "{after}");
    let short = bench.run(&[&plan[..], &["--budget", "5s"]].concat()).ends_with(0);
    assert!(short.stderr.contains("expected from the probe of one"), "{}", short.stderr);
}
