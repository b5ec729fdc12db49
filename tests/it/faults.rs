//! Whatever goes wrong with one measurement loses nothing else.

use std::collections::BTreeMap;

use crate::support::{Bench, Ran};

/// A suite of one matrix over `engines`.
fn suite(engines: &[&str], more: &str) -> String {
    let engines: Vec<String> = engines.iter().map(|e| format!("{e:?}")).collect();
    format!(
        "repetitions = 2\nprobe = \"off\"\n\n[[matrix]]\nengine = [{}]\nmodel = \"tiny-llama\"\nquant = \"F16\"\n\
         n_prompt = 4\nn_gen = 3\n{more}\n",
        engines.join(", ")
    )
}

/// What became of each engine's cell: outcome and what is said about it.
fn outcomes(bench: &Bench, folder: &str) -> BTreeMap<String, (String, String)> {
    let said = |outcome: &serde_json::Value| -> String {
        let mut rest = outcome.as_object().unwrap().clone();
        rest.remove("kind");
        rest.values()
            .map(|v| v.to_string().trim_matches('"').to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    bench
        .records(folder)
        .iter()
        .map(|record| {
            let outcome = &record["outcome"];
            let engine = record["cell"]["engine"].as_str().unwrap().to_owned();
            (engine, (outcome["kind"].as_str().unwrap().to_owned(), said(outcome)))
        })
        .collect()
}

#[test]
fn every_way_an_invocation_can_end_is_a_record_and_the_others_finish() {
    let bench = Bench::new();
    bench.write("machine/proc/vmstat", "oom_kill 0\n");
    let engines = [
        "fake:clock=scripted",
        "fake:fail=decode",
        "fake:crash=decode",
        "fake:exit=load",
        "fake:hang=decode",
        "fake:refuse=load",
        "fake:oom=prefill",
        "fake:rubbish=prefill",
        "fake:half=decode",
        "fake:protocol=9",
    ];
    bench.write("suite.toml", &suite(&engines, "timeout_s = 2"));
    let root = bench.path("machine");
    let ran: Ran = bench
        .command(&["run", "suite.toml", "--out", "out"])
        .env("SLMBENCH_ROOT", root)
        .output()
        .unwrap()
        .into();
    ran.ends_with(4);

    let outcomes = outcomes(&bench, "out");
    let expected = [
        ("fake:clock=scripted", "finished", ""),
        ("fake:fail=decode", "failed", "scripted failure engine"),
        ("fake:crash=decode", "crashed", "11"),
        ("fake:exit=load", "crashed", "3"),
        ("fake:hang=decode", "timed_out", "2"),
        ("fake:refuse=load", "out_of_memory", "scripted refusal"),
        ("fake:oom=prefill", "out_of_memory", "killed by the kernel for memory"),
        ("fake:rubbish=prefill", "failed", "no event: `just some chatter` protocol"),
        ("fake:half=decode", "failed", "in the middle of a line protocol"),
        ("fake:protocol=9", "failed", "protocol 9, 3 was asked for protocol"),
    ];
    assert_eq!(outcomes.len(), expected.len());
    for (engine, kind, said) in expected {
        let (found_kind, found_said) = &outcomes[engine];
        assert_eq!(found_kind, kind, "{engine}");
        assert!(found_said.contains(said), "{engine}: {found_said}");
    }
    let csv = bench.read("out/cells.csv");
    assert_eq!(csv.lines().count(), 1 + engines.len(), "{csv}");
}

#[test]
fn a_model_that_cannot_be_made_is_unfit_and_the_rest_goes_on() {
    let bench = Bench::new();
    bench.write("home-of-somebody", "a file stands where the cache should be");
    bench.write("suite.toml", &suite(&["fake:clock=scripted", "reference"], ""));
    let cache = ["--cache-dir", "home-of-somebody/cache"];
    let ran =
        bench.run(&[&["run", "suite.toml", "--out", "out"], &cache[..]].concat()).ends_with(4);
    assert!(ran.stderr.contains("home-of-somebody/cache"), "{}", ran.stderr);
    let outcomes = outcomes(&bench, "out");
    assert_eq!(outcomes["fake:clock=scripted"].0, "finished");
    assert_eq!(outcomes["reference"].0, "unfit");
    let text = bench.read("out/records.jsonl") + &bench.read("out/run.json");
    assert!(!text.contains("home-of-somebody"), "the folder's name stays on the screen");
}

#[test]
fn cells_spared_for_memory_stay_spared_when_the_run_is_continued() {
    let bench = Bench::new();
    let text = suite(&["fake:refuse=load"], "n_ctx = [64, 128]\nn_threads = 1\ninvocations = 2");
    bench.write("suite.toml", &text);
    bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(4);
    let all = bench.read("out/records.jsonl");
    let refused = all.lines().find(|line| line.contains("out_of_memory")).unwrap();
    let smallest = refused.contains("\"n_ctx\":64");
    bench.write("out/records.jsonl", &format!("{refused}\n"));
    bench.run(&["run", "--resume", "out", "--quiet"]).ends_with(4);
    let records = bench.records("out");
    assert_eq!(records.len(), 4);
    let spared = records.iter().filter(|r| r["outcome"]["kind"] == "skipped").count();
    assert!(spared >= if smallest { 3 } else { 1 }, "{spared} were spared");
}

#[test]
fn a_continued_run_refuses_what_it_was_not_begun_with() {
    let bench = Bench::new();
    let model = bench.path("mine.gguf");
    let model = model.to_str().unwrap();
    bench.run(&["synth", "tiny-llama", "-q", "Q8_0", "-o", model]).ends_with(0);
    bench.write("suite.toml", &suite(&["reference"], ""));
    bench.run(&["run", "suite.toml", "-m", model, "--out", "out", "--quiet"]).ends_with(0);
    let ran = bench.run(&["run", "--resume", "out"]).ends_with(2);
    assert!(ran.stderr.contains("name it again with -m"), "{}", ran.stderr);
    bench.run(&["run", "--resume", "out", "-m", model, "--quiet"]).ends_with(0);
    assert_eq!(bench.records("out").len(), 1);
    let ran = bench.run(&["run", "--resume", "out", "--repetitions", "9"]).ends_with(2);
    assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}

#[test]
fn what_an_engine_cannot_do_is_skipped_with_its_reason_and_is_no_failure() {
    let bench = Bench::new();
    let text = suite(&["fake:clock=scripted", "reference"], "type_k = \"Q5_1\"");
    bench.write("suite.toml", &text);
    let ran = bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(0);
    assert!(ran.stderr.contains("skipped: "), "{}", ran.stderr);
    let outcomes = outcomes(&bench, "out");
    assert_eq!(outcomes["reference"].0, "skipped");
    assert!(outcomes["reference"].1.contains("Q5_1"), "{:?}", outcomes["reference"]);
    assert_eq!(outcomes["fake:clock=scripted"].0, "finished");

    let ran = bench.run(&["run", "suite.toml", "--out", "other", "--engine", "reference"]);
    let ran = ran.ends_with(2);
    assert!(ran.stderr.contains("Q5_1"), "asked for by name it is an error: {}", ran.stderr);
}

#[test]
fn cells_larger_than_one_that_ran_out_of_memory_are_not_tried() {
    let bench = Bench::new();
    let text = suite(&["fake:refuse=load"], "n_ctx = [64, 128, 256, 512]\nn_threads = 1");
    bench.write("suite.toml", &text);
    bench.run(&["run", "suite.toml", "--out", "out", "--seed", "3"]).ends_with(4);
    let records = bench.records("out");
    let tried: Vec<u64> = records
        .iter()
        .filter(|r| r["outcome"]["kind"] == "out_of_memory")
        .map(|r| r["cell"]["n_ctx"].as_u64().unwrap())
        .collect();
    let spared: Vec<u64> = records
        .iter()
        .filter(|r| r["outcome"]["kind"] == "skipped")
        .map(|r| r["cell"]["n_ctx"].as_u64().unwrap())
        .collect();
    assert_eq!(tried.len() + spared.len(), 4);
    assert!(!spared.is_empty(), "whatever the order, the first to fail spares the larger ones");
    for n_ctx in spared {
        assert!(tried.iter().any(|tried| *tried < n_ctx), "{n_ctx} was spared without reason");
    }
}

/// The program under limits that a shell sets.
fn limited(bench: &Bench, limits: &str, arguments: &str) -> Ran {
    let program = env!("CARGO_BIN_EXE_slmbench");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("{limits}; exec {program} {arguments}")]);
    shell.current_dir(bench.path("."));
    for (key, value) in bench.command(&[]).get_envs() {
        if let Some(value) = value {
            shell.env(key, value);
        }
    }
    shell.output().unwrap().into()
}

#[test]
fn what_takes_more_memory_than_it_may_have_ends_as_out_of_memory() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:memory_mb=6000", "fake:clock=scripted"], ""));
    let run = "run suite.toml --out out --ignore-memory";
    let ran = limited(&bench, "ulimit -v 4000000", run).ends_with(4);
    assert!(ran.stderr.contains("out_of_memory"), "{}", ran.stderr);
    let outcomes = outcomes(&bench, "out");
    assert_eq!(outcomes["fake:memory_mb=6000"].0, "out_of_memory");
    assert_eq!(outcomes["fake:clock=scripted"].0, "finished");
}

#[test]
fn a_cell_beyond_the_address_space_is_refused_with_its_numbers_or_ends_as_foretold() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["reference"], "n_threads = 1\nn_ctx = 16777216"));
    let limit_bytes = 4_000_000 << 10;
    let refused = limited(&bench, "ulimit -v 4000000", "run suite.toml --out refused");
    refused.ends_with(0);
    let (kind, reason) = &outcomes(&bench, "refused")["reference"];
    assert_eq!(kind, "skipped");
    assert!(reason.contains("KV cache") && reason.contains("3.8 GiB are available"), "{reason}");

    let run = "run suite.toml --out tried --ignore-memory";
    limited(&bench, "ulimit -v 4000000", run).ends_with(4);
    let record = &bench.records("tried")[0];
    assert_eq!(record["outcome"]["kind"], "out_of_memory", "{record}");
    let kv_bytes = record["memory"]["predicted"]["kv_bytes"].as_u64();
    assert!(kv_bytes > Some(limit_bytes), "{record}");
}

#[test]
fn what_does_not_fit_is_not_started_and_with_ignore_memory_it_is() {
    let bench = Bench::new();
    bench.write("machine/proc/meminfo", "MemTotal: 400 kB\nMemAvailable: 300 kB\n");
    bench.write("suite.toml", &suite(&["reference"], "n_threads = 1"));
    let run = |more: &[&str]| -> Ran {
        let mut command = bench.command(&[&["run", "suite.toml", "--out"], more].concat());
        command.env("SLMBENCH_ROOT", bench.path("machine")).output().unwrap().into()
    };
    let ran = run(&["refused"]).ends_with(0);
    assert!(ran.stderr.contains("300.0 KiB are available"), "{}", ran.stderr);
    let (kind, reason) = &outcomes(&bench, "refused")["reference"];
    assert_eq!(kind, "skipped");
    assert!(reason.contains("weights") && reason.contains("KV cache"), "{reason}");

    run(&["tried", "--ignore-memory"]).ends_with(0);
    let record = &bench.records("tried")[0];
    assert_eq!(record["outcome"]["kind"], "finished", "{record}");
    assert!(record["memory"]["predicted"]["weight_bytes"].as_u64() > Some(300 << 10));
}

#[test]
fn a_full_disk_ends_the_run_with_its_own_code_and_leaves_whole_records() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted,prefill_ms=1"], "n_depth = \"0..60\""));
    // A limit on file size stands for the full disk; the signal that goes with it is ignored.
    let ran = limited(&bench, "trap '' XFSZ; ulimit -f 64", "run suite.toml --out out");
    let ran = ran.ends_with(7);
    assert!(ran.stderr.contains("records.jsonl"), "{}", ran.stderr);
    let text = bench.read("out/records.jsonl");
    assert!(text.ends_with('\n'), "the last line is whole");
    let kept = bench.records("out").len();
    assert!(kept > 3, "{kept} records were kept");

    bench.run(&["run", "--resume", "out", "--quiet"]).ends_with(0);
    assert_eq!(bench.records("out").len(), 61);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_before_anything_is_measured() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted"], ""));
    bench.write("file", "");
    let ran = bench.run(&["run", "suite.toml", "--out", "file/out"]).ends_with(7);
    assert!(ran.stderr.contains("file/out"), "{}", ran.stderr);
}

#[test]
fn a_run_of_a_newer_format_is_refused_by_report_and_resume() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted"], ""));
    bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(0);
    let newer = bench.read("out/records.jsonl").replacen("\"format\":1", "\"format\":2", 1);
    bench.write("out/records.jsonl", &newer);
    for arguments in [["report", "out"].as_slice(), &["run", "--resume", "out"]] {
        let ran = bench.run(arguments).ends_with(2);
        assert!(ran.stderr.contains("format 2, this program reads up to 1"), "{}", ran.stderr);
    }
    let newer = bench.read("out/run.json").replacen("\"format\": 1", "\"format\": 7", 1);
    bench.write("out/run.json", &newer);
    let ran = bench.run(&["report", "out"]).ends_with(2);
    assert!(ran.stderr.contains("run.json: format 7"), "{}", ran.stderr);
}

#[test]
fn a_journal_cut_in_its_last_line_is_continued() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted"], "n_depth = [0, 1, 2]"));
    bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(0);
    let text = bench.read("out/records.jsonl");
    bench.write("out/records.jsonl", &text[..text.len() - 40]);
    bench.run(&["report", "out"]).ends_with(0);
    assert_eq!(
        bench.read("out/cells.csv").lines().count(),
        4,
        "the cell is there without a result"
    );
    let ran = bench.run(&["run", "--resume", "out"]).ends_with(0);
    assert!(ran.stderr.contains("1 of 3 invocations are left"), "{}", ran.stderr);
    assert_eq!(bench.records("out").len(), 3);
}

#[test]
fn another_program_version_is_not_mixed_into_a_run_without_force() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted"], ""));
    bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(0);
    let older = bench.read("out/run.json").replacen("slmbench ", "slmbench 0.0.9-", 1);
    bench.write("out/run.json", &older);
    let ran = bench.run(&["run", "--resume", "out"]).ends_with(2);
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    bench.run(&["run", "--resume", "out", "--force"]).ends_with(0);
}

#[test]
fn a_folder_that_holds_a_run_is_not_written_over() {
    let bench = Bench::new();
    bench.write("suite.toml", &suite(&["fake:clock=scripted"], ""));
    bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(0);
    let ran = bench.run(&["run", "suite.toml", "--out", "out"]).ends_with(2);
    assert!(ran.stderr.contains("--resume"), "{}", ran.stderr);
}
