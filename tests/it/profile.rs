//! Profiles through the real binary: exact ones of the scripted engine, and those of real engines as far
//! as they can be told without a quiet machine.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Bench, Row, number};

/// Profiles `tiny-llama` with an engine into `out`.
fn profile(bench: &Bench, engine: &str, more: &[&str]) -> String {
    let arguments = [
        "profile",
        "tiny-llama",
        "--engine",
        engine,
        "-p",
        "16",
        "-n",
        "6",
        "--out",
        "out",
        "--probe",
        "off",
    ];
    let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
    bench.run(&arguments).ends_with(0).stdout
}

/// The rows that are to add up: by phase and by grouping.
fn sums(rows: &[Row]) -> BTreeMap<(String, String), f64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        *sums.entry((row["phase"].clone(), row["by"].clone())).or_insert(0.0) +=
            number(row, "share");
    }
    sums
}

/// The trace of the only record, as events.
fn trace(bench: &Bench) -> Vec<Value> {
    let mut files =
        std::fs::read_dir(bench.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.to_string_lossy().contains("trace-")).expect("a trace");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    document["traceEvents"].as_array().unwrap().clone()
}

/// What must hold of any profile, whatever the machine does meanwhile.
fn holds_together(bench: &Bench) -> Vec<Row> {
    let rows = bench.rows("out/profile.csv");
    let sums = sums(&rows);
    assert_eq!(sums.len(), 2 * 4, "{:?}", sums.keys());
    for (key, sum) in sums {
        assert!((sum - 1.0).abs() < 0.005, "{key:?}: {sum}");
    }
    for event in trace(bench).iter().filter(|event| event["ph"] == "X") {
        assert!(event["ts"].as_f64().unwrap() >= 0.0 && event["dur"].as_f64().unwrap() >= 0.0);
    }
    assert!(bench.path("out/plots/profile.svg").exists());
    rows
}

#[test]
fn a_scripted_profile_is_exact() {
    let bench = Bench::new();
    let engine = "fake:prefill_ms=40,decode_ms=10,clock=scripted";
    let said = profile(&bench, engine, &["--label", "desk"]);
    insta::assert_snapshot!(said);
    let rows = holds_together(&bench);
    let part = |name: &str| {
        let row = rows
            .iter()
            .find(|row| (&*row["phase"], &*row["by"], &*row["name"]) == ("decode", "part", name));
        number(row.unwrap(), "ns_per_call")
    };
    // Per cent of 10 ms; the clock's own 16 µs belong to nobody, as the rest does.
    assert_eq!(part("attention"), 3_000_000.0);
    assert_eq!(part("LM head"), 2_000_000.0);
    assert_eq!(part("other"), 300_000.0 + 16_000.0);
}

#[test]
fn a_profile_is_no_result_and_no_result_is_a_profile() {
    let bench = Bench::new();
    bench.write(
        "both.toml",
        "repetitions = 2\n[[matrix]]\nengine = \"fake:decode_ms=10,clock=scripted\"\n\
         model = \"tiny-llama\"\nquant = \"F16\"\nn_gen = 4\nprofile = true\n",
    );
    bench.run(&["run", "both.toml", "--out", "out", "-q"]).ends_with(0);
    let records = bench.records("out");
    let profiled: Vec<bool> = records.iter().map(|r| !r["profile"].is_null()).collect();
    assert_eq!(profiled.iter().filter(|p| **p).count(), 1, "{profiled:?}");
    let cells = bench.rows("out/cells.csv");
    assert_eq!(cells.len(), 1);
    let timed = records.iter().find(|r| r["profile"].is_null()).unwrap();
    assert_eq!(cells[0]["cell_id"], timed["cell"]["id"].as_str().unwrap());
    assert_eq!(number(&cells[0], "tpot_ms"), 10.0);
    let again = bench.run(&["run", "--resume", "out", "-q"]);
    again.ends_with(0);
    assert_eq!(bench.records("out").len(), 2);
}

#[test]
fn an_engine_that_tells_nothing_is_a_record_that_says_so() {
    let bench = Bench::new();
    let arguments = ["profile", "tiny-llama", "--engine", "delay:fake?decode=5%", "--out", "out"];
    let ran = bench.run(&arguments).ends_with(4);
    let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("does not tell where its time goes"), "{said}");
}

#[test]
fn the_built_in_engine_tells_every_step() {
    let bench = Bench::new();
    profile(&bench, "reference", &["-t", "2", "--quant", "Q8_0"]);
    let rows = holds_together(&bench);
    let names = |by: &str| -> Vec<String> {
        let own = rows.iter().filter(|row| row["phase"] == "decode" && row["by"] == by);
        own.map(|row| row["name"].clone()).collect()
    };
    assert_eq!(
        names("part"),
        ["embedding", "norms", "attention", "FFN", "LM head", "spans", "other"]
    );
    for kind in ["matmul Q8_0", "attention", "rope", "norm", "activation", "copy", "quantise"] {
        assert!(names("kind").iter().any(|name| name == kind), "{kind}: {:?}", names("kind"));
    }
    let layers = names("layer").iter().filter(|name| name.starts_with("layer ")).count();
    let record = &bench.records("out")[0];
    assert!(layers > 1 && record["profile"]["stamp_ns"].as_f64().unwrap() > 0.0);
    // Two products of 16 tokens in a pass are those of one token sixteen times.
    let ops = |phase: &str| {
        let is_ours = |row: &&Row| row["phase"] == phase && row["name"] == "ffn_down";
        let own = rows.iter().filter(is_ours).find(|row| row["by"] == "op" && row["layer"] == "0");
        number(own.unwrap(), "ops_per_call")
    };
    assert_eq!(ops("prefill"), 16.0 * ops("decode"));
}

#[cfg(feature = "llama-cpp")]
#[test]
fn llama_cpp_tells_its_nodes() {
    let bench = Bench::new();
    profile(&bench, "llama-cpp", &["-t", "2", "--quant", "Q8_0"]);
    let rows = holds_together(&bench);
    let share = |by: &str, name: &str| {
        let found = rows
            .iter()
            .find(|row| (&*row["phase"], &*row["by"], &*row["name"]) == ("decode", by, name));
        number(found.unwrap_or_else(|| panic!("no {name}")), "share")
    };
    for part in ["norms", "attention", "FFN", "LM head"] {
        assert!(share("part", part) > 0.0, "{part}");
    }
    assert!(share("kind", "matmul Q8_0") > 0.0);
    // On a model this small the graph's nodes are not all: how much of a real one they are is measured
    // by hand.
    assert!(share("part", "other") < 0.5);
}
