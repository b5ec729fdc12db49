//! Runs that were measured before, brought together through the real binary.

use crate::support::Bench;

/// A run of the scripted engine into `folder`, its wander file giving each process its slowness.
fn measured(bench: &Bench, folder: &str, slowness: &[f64], more: &[&str]) {
    let lines: String = slowness.iter().map(|x| format!("{x}\n")).collect();
    bench.write("machine/wander", &lines);
    bench.write("machine/wander-at", "0");
    let n = slowness.len().to_string();
    let mut arguments = vec!["run", "gate", "-q", "--out", folder];
    if !more.contains(&"--invocations") {
        arguments.extend(["--invocations", n.as_str()]);
    }
    arguments.extend(["--engine", "fake:follow=wander,clock=scripted", "--no-gate"]);
    arguments.extend(more);
    bench.run_unseen(&arguments).ends_with(0);
}

const CALM: [f64; 5] = [1.0, 1.004, 0.997, 1.002, 0.999];
const SLOWER: [f64; 5] = [1.05, 1.053, 1.048, 1.055, 1.049];
const TIMES: [&str; 2] = ["--measure", "prefill_ms,tpot_ms"];

fn compare<'a>(base: &'a str, head: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["compare", base, head];
    arguments.extend(TIMES);
    arguments.extend(more);
    arguments
}

#[test]
fn a_slower_run_regresses_and_a_gate_closes_behind_its_report() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM, &[]);
    measured(&bench, "head", &SLOWER, &[]);
    let more = ["--gate", "--markdown", "out.md", "--json", "out.json"];
    let shown = bench.run(&compare("base", "head", &more)).ends_with(3).stdout;
    insta::assert_snapshot!(shown);
    insta::assert_snapshot!(bench.read("out.md"));
    assert!(bench.read("out.json").contains(r#""verdict": "regressed""#));
    bench.run(&compare("base", "head", &[])).ends_with(0);
    let turned = bench.run(&compare("head", "base", &["--gate"])).ends_with(0).stdout;
    assert!(turned.contains("2 improved"), "{turned}");
    // Journals alone compare as well, and say what they do not know.
    let alone = bench.run(&compare("base/records.jsonl", "head/records.jsonl", &[])).ends_with(0);
    assert!(alone.stdout.contains("does not tell where it was measured"), "{}", alone.stdout);
}

#[test]
fn what_was_measured_in_another_place_is_not_comparable() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM, &[]);
    measured(&bench, "head", &SLOWER, &[]);
    let info = bench.read("head/run.json");
    let mut json: serde_json::Value = serde_json::from_str(&info).unwrap();
    json["host"]["cpu"] = "Another CPU".into();
    json["host"]["governor"] = "powersave".into();
    bench.write("head/run.json", &json.to_string());
    // A gate that could compare nothing has not passed.
    let gated = bench.run(&compare("base", "head", &["--gate"])).ends_with(2);
    assert!(gated.stderr.contains("nothing could be compared"), "{}", gated.stderr);
    let shown = bench.run(&compare("base", "head", &[])).ends_with(0).stdout;
    assert!(shown.contains("not comparable"), "{shown}");
    assert!(shown.contains("CPU:") && shown.contains("Another CPU"), "{shown}");
    bench.run(&compare("base", "head", &["--strict"])).ends_with(6);
    let across = bench.run(&compare("base", "head", &["--across", "host"])).ends_with(0).stdout;
    assert!(across.contains("2 regressed"), "{across}");
}

#[test]
fn runs_of_one_invocation_are_unclear_and_say_why() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM[..1], &[]);
    measured(&bench, "head", &SLOWER[..1], &[]);
    let shown = bench.run(&compare("base", "head", &["--gate"])).ends_with(0).stdout;
    assert!(shown.contains("2 unclear") && shown.contains("one invocation"), "{shown}");
    bench.run(&compare("base", "head", &["--strict"])).ends_with(6);
}

#[test]
fn without_a_common_cell_the_closest_are_named() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM, &[]);
    measured(&bench, "head", &CALM, &["--n-gen", "16"]);
    let said = bench.run(&compare("base", "head", &[])).ends_with(2).stderr;
    assert!(said.contains("no cell in common"), "{said}");
    assert!(said.contains("which differ in n_gen (32 → 16)"), "{said}");
    measured(&bench, "other", &CALM, &["--quant", "Q8_0"]);
    let said = bench.run(&compare("base", "other", &[])).ends_with(2).stderr;
    assert!(said.contains("hint: --across quant"), "{said}");
    bench.run(&compare("base", "other", &["--across", "quant"])).ends_with(0);
}

#[test]
fn one_run_is_compared_with_itself_across_an_axis() {
    let bench = Bench::new();
    let engines = ["--engine", "fake:decode_ms=20,clock=scripted"];
    measured(&bench, "run", &[1.0; 3], &engines);
    let shown = bench.run(&["compare", "run", "--across", "engine", TIMES[0], TIMES[1]]);
    let shown = shown.ends_with(0).stdout;
    assert!(shown.contains("tg32 @ d128") && shown.contains("2.00 ×"), "{shown}");
    let said = bench.run(&["compare", "run"]).ends_with(2).stderr;
    assert!(said.contains("name HEAD, or what to compare across"), "{said}");
}

#[test]
fn broken_input_is_named_and_nothing_is_written() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM, &[]);
    measured(&bench, "head", &CALM, &[]);
    let journal = bench.read("head/records.jsonl");

    // Cut off in its last record: told, and the rest counts.
    bench.write("head/records.jsonl", &journal[..journal.len() - 40]);
    let shown = bench.run(&compare("base", "head", &[])).ends_with(0).stdout;
    assert!(shown.contains("ends in the middle of a record"), "{shown}");

    bench.write("head/records.jsonl", &format!("{journal}rubbish\n"));
    let said = bench.run(&compare("base", "head", &[])).ends_with(2).stderr;
    assert!(said.contains("records.jsonl:6: not a record"), "{said}");

    bench.write("head/records.jsonl", &journal.replacen(r#""format":1"#, r#""format":9"#, 1));
    let said = bench.run(&compare("base", "head", &[])).ends_with(2).stderr;
    assert!(said.contains("record format 9, this program reads up to 1"), "{said}");

    // Two cells under one id.
    bench.write("head/records.jsonl", &journal.replacen(r#""n_gen":32"#, r#""n_gen":16"#, 1));
    let said = bench.run(&compare("base", "head", &[])).ends_with(2).stderr;
    assert!(said.contains("stands for two different things"), "{said}");

    // A run that finished without having done anything.
    let lines = journal.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["samples"] = serde_json::json!([]);
        record.to_string() + "\n"
    });
    bench.write("head/records.jsonl", &lines.collect::<String>());
    let said = bench.run(&compare("base", "head", &[])).ends_with(2).stderr;
    assert!(said.contains("without having measured anything"), "{said}");

    let said = bench.run(&compare("base", "nowhere", &[])).ends_with(2).stderr;
    assert!(said.contains("nowhere"), "{said}");
    let out = ["--markdown", "no/such/folder/out.md"];
    bench.write("head/records.jsonl", &journal);
    let said = bench.run(&compare("base", "head", &out)).ends_with(7).stderr;
    assert!(said.contains("no/such/folder"), "{said}");
}

#[test]
fn files_of_llama_bench_compare_with_each_other_and_with_runs() {
    let bench = Bench::new();
    measured(&bench, "base", &CALM, &[]);
    measured(&bench, "head", &SLOWER, &[]);
    for (run, format, file) in
        [("base", "llama-bench-jsonl", "base.jsonl"), ("head", "llama-bench-csv", "head.csv")]
    {
        bench.run(&["export", run, "--to", format, "-o", file]).ends_with(0);
    }
    for (base, head) in [("base.jsonl", "head.csv"), ("base.jsonl", "head"), ("base", "head.csv")] {
        let shown = bench.run(&compare(base, head, &["--gate"])).ends_with(3).stdout;
        assert!(shown.contains("verdicts: 2 regressed"), "{base} {head}:\n{shown}");
        assert!(shown.contains("tg32 @ d128") && shown.contains("+5."), "{shown}");
    }
    let said = bench.run(&compare("base.jsonl", "head/records.jsonl", &[])).ends_with(2).stderr;
    assert!(said.contains("hint: name the folder of the run"), "{said}");
    let rows = bench.read("base.jsonl");
    assert!(rows.contains(r#""n_gen": 32"#), "{rows}");
    bench.write("none.jsonl", &rows.replace(r#""n_gen": 32"#, r#""n_gen": 0"#));
    let said = bench.run(&compare("none.jsonl", "head.csv", &[])).ends_with(2).stderr;
    assert!(said.contains("none.jsonl"), "{said}");
    bench.write("notes.txt", "nothing of the kind\n");
    let said = bench.run(&compare("notes.txt", "head.csv", &[])).ends_with(2).stderr;
    assert!(said.contains("notes.txt"), "{said}");
}

#[test]
fn what_the_candidate_has_not_measured_is_told_and_does_not_pass_a_strict_gate() {
    let bench = Bench::new();
    let two = ["--quant", "Q4_0,Q8_0"];
    measured(&bench, "base", &[CALM, CALM].concat(), &[&two[..], &["--invocations", "5"]].concat());
    measured(&bench, "head", &CALM, &[]);
    let strict = ["--gate", "--strict"];
    let shown = bench.run(&compare("base", "head", &strict)).ends_with(6).stdout;
    assert!(shown.contains("only in base: 1 cell: SmolLM2-135M Q8_0"), "{shown}");
    let across = [&strict[..], &["--across", "host"]].concat();
    let shown = bench.run(&compare("base", "head", &across)).ends_with(6).stdout;
    assert!(shown.contains("only in base: 1 cell"), "{shown}");

    // A cell that was planned and never measured, and a measure that is no longer told.
    let journal = bench.read("base/records.jsonl");
    let no_decode = journal.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["cell"]["quant"] == "Q4_0" {
            for sample in record["samples"].as_array_mut().unwrap() {
                sample["itl_ns"] = serde_json::json!([]);
            }
        }
        (record["cell"]["quant"].clone(), record.to_string() + "\n")
    });
    let kept: String =
        no_decode.filter(|(quant, _)| quant == "Q4_0").map(|(_, line)| line).collect();
    measured(&bench, "less", &[CALM, CALM].concat(), &[&two[..], &["--invocations", "5"]].concat());
    bench.write("less/records.jsonl", &kept);
    let shown = bench.run(&compare("base", "less", &strict)).ends_with(6).stdout;
    assert!(shown.contains("head has not measured it"), "{shown}");
    assert!(shown.contains("3 unclear, 1 same"), "{shown}");

    // Nothing that is asked for is there.
    let asked = ["compare", "base", "head", "--measure", "kv_bytes,load_ms", "--gate"];
    bench.run(&asked).ends_with(0);
    let rows = ["export", "head", "--to", "llama-bench-jsonl", "-o", "head.jsonl"];
    bench.run(&rows).ends_with(0);
    let said = bench.run(&["compare", "head.jsonl", "head.jsonl", "--measure", "kv_bytes"]);
    let said = said.ends_with(2).stderr;
    assert!(said.contains("neither has measured kv_bytes"), "{said}");
}
