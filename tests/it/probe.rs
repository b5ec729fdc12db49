//! `slmbench probe`, and probes of runs, through the real binary: what is told and how, not how fast
//! it is.

use serde_json::Value;
use slmbench::probe::{Number, Probe, Unit};

use crate::support::Bench;

#[test]
fn a_probe_tells_every_figure_or_why_it_is_absent() {
    let bench = Bench::new();
    let ran = bench.run(&["probe", "--quick", "--json", "--threads", "2,1,2"]).ends_with(0);
    let probe: Probe = serde_json::from_str(&ran.stdout).unwrap();
    let again: Value = serde_json::to_value(&probe).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(&ran.stdout).unwrap());

    let is_absent = |what: &str| probe.absent.iter().any(|absent| absent.what.contains(what));
    assert!(probe.quick && probe.took_ns > 0);
    assert_eq!(probe.fork_join.iter().map(|one| one.n_threads).collect::<Vec<_>>(), [1, 2]);
    for number in Number::ALL {
        for n_threads in [1, 2] {
            let told = probe.ops_per_s(number, n_threads);
            assert!(told.is_some_and(|ops| ops > 0.0) || is_absent(number.name()));
            // An engine without tiles can be judged wherever one with tiles can.
            let vectors = probe.ops_per_s_on(Unit::Vectors, number, n_threads);
            assert_eq!(vectors.is_some(), told.is_some());
        }
    }
    assert!(!probe.memory.is_empty() || is_absent("memory"));
    for reading in &probe.memory {
        assert!(reading.huge_bytes.is_none_or(|huge| huge <= reading.buffer_bytes));
        let last = probe.caches.last().map_or(0, |caches| caches.cache.size_bytes);
        assert!(reading.buffer_bytes >= 4 * last);
    }
    assert!(!probe.caches.is_empty() || is_absent("caches"));
    for caches in &probe.caches {
        for one in &caches.reading {
            let all = one.set_bytes * u64::from(one.n_threads.min(caches.cache.n_cpus));
            assert!(all <= caches.cache.size_bytes, "{caches:?}");
        }
    }
    let rates = probe.memory.iter().map(|reading| reading.bytes_per_s);
    let rates = rates.chain(probe.peaks.iter().map(|peak| peak.ops_per_s));
    for rate in rates {
        assert!(0.0 < rate.q25 && rate.q25 <= rate.median && rate.median <= rate.q75);
        assert!(rate.q75 <= rate.best && rate.n > 0);
    }
    for one in &probe.fork_join {
        assert!(0.0 < one.latency_ns.best && one.latency_ns.best <= one.latency_ns.q25);
    }
}

#[test]
fn a_number_of_threads_that_is_none_is_refused() {
    let bench = Bench::new();
    for bad in ["0", "1,x", "99999"] {
        let ran = bench.run(&["probe", "--threads", bad]).ends_with(2);
        assert!(ran.stderr.contains("--threads"), "{}", ran.stderr);
    }
}

#[test]
fn a_probe_does_not_disturb_a_run() {
    let bench = Bench::new();
    let held = slmbench::runner::Lock::try_take(&bench.path("machine.lock")).unwrap();
    let ran = bench.run(&["probe", "--when-busy", "refuse"]).ends_with(2);
    assert!(ran.stderr.contains("another slmbench measures"), "{}", ran.stderr);
    drop(held);
}

/// Engines that compute nothing, in a suite that wants a probe beside every cell.
const SCRIPTED: &str = "
repetitions = 1
probe = \"cells\"
[[matrix]]
engine = [\"fake:clock=scripted\", \"delay:fake:clock=scripted?decode=5%\"]
model = \"tiny-llama\"
quant = \"F16\"
n_prompt = 4
n_gen = 2
";

#[test]
fn nothing_is_probed_for_engines_that_are_scripted() {
    let bench = Bench::new();
    bench.write("suite.toml", SCRIPTED);
    let ran = bench.run(&["run", "suite.toml", "--out", "out", "--probe", "run"]).ends_with(0);
    assert!(!ran.stderr.contains("probing"), "{}", ran.stderr);
    bench.run(&["run", "suite.toml", "--out", "cells"]).ends_with(0);
    for folder in ["out", "cells"] {
        let run: Value = serde_json::from_str(&bench.read(&format!("{folder}/run.json"))).unwrap();
        assert_eq!((run.get("probing"), run.get("probe")), (None, None));
        for record in bench.records(folder) {
            assert_eq!((record.get("probe"), record.get("efficiency")), (None, None));
        }
    }
    let cells = bench.read("out/cells.csv");
    assert!(
        cells.lines().all(|line| line.ends_with("ops_per_s") || line.ends_with(",,,,")),
        "{cells}"
    );
    assert!(!bench.read("out/summary.md").contains("of device"));
    let wrong = bench.run(&["run", "suite.toml", "--probe", "often"]).ends_with(2);
    assert!(wrong.stderr.contains("off, run, cells"), "{}", wrong.stderr);
}

#[test]
fn a_run_keeps_its_probe_and_each_record_tells_what_it_used_of_it() {
    let bench = Bench::new();
    let suite = SCRIPTED.replace(
        "fake:clock=scripted\", \"delay:fake:clock=scripted",
        "reference\", \"delay:reference",
    );
    bench.write("suite.toml", &suite);
    let what = ["run", "suite.toml", "--out", "out", "-t", "1", "--no-gate"];
    let dry = bench.run(&[&what[..], &["--dry-run"]].concat()).ends_with(0);
    assert!(!dry.stderr.contains("probing"), "{}", dry.stderr);
    bench.run(&what).ends_with(0);
    let run: Value = serde_json::from_str(&bench.read("out/run.json")).unwrap();
    assert_eq!(run["probing"], "cells");
    let of_run: Probe = serde_json::from_value(run["probe"].clone()).unwrap();
    assert!(of_run.quick && of_run.fork_join.iter().all(|one| one.n_threads == 1));

    let share = |record: &Value, name: &str| record["efficiency"][name].as_f64();
    let records = bench.records("out");
    for record in &records {
        let probe: Probe = serde_json::from_value(record["probe"].clone()).unwrap();
        assert!(probe.caches.is_empty() && probe.fork_join.is_empty(), "{probe:?}");
        if probe.memory.is_empty() {
            // On a machine without room for a buffer.
            continue;
        }
        assert_eq!(record["efficiency"]["held_against"], "cell");
        let rate = record["efficiency"]["read_bytes_per_s"].as_f64();
        assert_eq!(rate, probe.read_bytes_per_s(1));
        assert!(share(record, "mbu") > Some(0.0) && share(record, "mfu") > Some(0.0), "{record}");
    }

    // What is left is held against the probe that the run began with.
    let journal = bench.read("out/records.jsonl");
    bench.write("out/records.jsonl", &format!("{}\n", journal.lines().next().unwrap()));
    let mut kept = run.clone();
    kept["probing"] = "run".into();
    bench.write("out/run.json", &kept.to_string());
    bench.run(&["run", "--resume", "out"]).ends_with(0);
    let then: Value = serde_json::from_str(&bench.read("out/run.json")).unwrap();
    assert_eq!(then["probe"], run["probe"]);
    let last = bench.records("out").pop().unwrap();
    assert_eq!(last.get("probe"), None);
    if of_run.read_bytes_per_s(1).is_some() {
        assert_eq!(last["efficiency"]["held_against"], "run");
        assert!(bench.read("out/summary.md").contains("- Ceilings: 1 thread: "));
    }
    bench.run(&["run", "--resume", "out", "--probe", "off"]).ends_with(2);
}
