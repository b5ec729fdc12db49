//! Two sides taken in turns, through the real binary.

use crate::support::{Bench, records};

const A: &str = "engine=fake:decode_ms=10,noise=2%,seed=1,clock=scripted";
const A_AGAIN: &str = "engine=fake:decode_ms=10,noise=2%,seed=2,clock=scripted";
const SLOWER: &str = "engine=fake:decode_ms=10.5,noise=2%,seed=2,clock=scripted";
const TIMES: [&str; 2] = ["--measure", "prefill_ms,tpot_ms"];

/// `slmbench ab` of two sides into the folder `t`.
fn ab<'a>(a: &'a str, b: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["ab", "-q", "--out", "t", "--a", a, "--b", b];
    arguments.extend(TIMES);
    arguments.extend(more);
    arguments
}

fn verdicts(bench: &Bench, folder: &str) -> Vec<(String, String)> {
    let text = bench.read(&format!("{folder}/comparison.json"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let word = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = json["rows"].as_array().unwrap().iter();
    let mut found: Vec<_> = rows.map(|row| (word(row, "measure"), word(row, "verdict"))).collect();
    found.sort();
    found
}

#[test]
fn a_slower_candidate_regresses_and_closes_the_gate_once_fresh_pairs_agree() {
    let bench = Bench::new();
    bench.run(&ab(A, SLOWER, &[])).ends_with(0);
    let expected = [("prefill_ms", "same"), ("tpot_ms", "regressed")];
    assert_eq!(verdicts(&bench, "t"), expected.map(|(m, v)| (m.to_owned(), v.to_owned())));
    assert!(!bench.read("t/comparison.json").contains("confirmed"));

    let gated =
        ["ab", "-q", "--out", "u", "--a", A, "--b", SLOWER, "--gate", "--measure", "tpot_ms"];
    bench.run(&gated).ends_with(3);
    assert!(bench.read("u/comparison.json").contains(r#""confirmed": true"#));
    assert!(bench.read("u/comparison.md").contains("regressed (confirmed)"));
    // Five pairs, and five fresh ones behind all that might have come.
    let pairs: Vec<u64> = records(&bench.path("u/a"))
        .iter()
        .map(|record| record["invocation"].as_u64().unwrap())
        .collect();
    assert_eq!(pairs.len(), 10);
    assert!(pairs[5..].iter().all(|pair| *pair >= 10), "{pairs:?}");
}

#[test]
fn a_faster_candidate_improves_and_the_same_one_is_the_same() {
    let bench = Bench::new();
    bench.run(&ab(SLOWER, A, &["--gate"])).ends_with(0);
    assert_eq!(verdicts(&bench, "t")[1].1, "improved");
    let mut same = ab(A, A_AGAIN, &["--gate"]);
    same[3] = "u";
    bench.run(&same).ends_with(0);
    assert!(verdicts(&bench, "u").iter().all(|(_, verdict)| verdict == "same"));
}

#[test]
fn what_is_shown_can_be_shown_again_from_the_folder() {
    let bench = Bench::new();
    let mut loud = ab(A, SLOWER, &[]);
    loud.remove(1);
    let shown = bench.run_unseen(&loud).ends_with(0).stdout;
    insta::assert_snapshot!(shown);
    let again = bench.run(&["compare", "t"]).ends_with(0).stdout;
    assert_eq!(format!("{again}\nResults: t\n"), shown);
    // Each side is a run like any other.
    bench.run(&["report", "-q", "t/a"]).ends_with(0);
    let across =
        bench.run(&["compare", "t/a", "t/b", "--across", "engine", "--measure", "tpot_ms"]);
    assert!(across.ends_with(0).stdout.contains("1 regressed"));
}

#[test]
fn an_invocation_that_does_not_finish_is_told_and_the_report_is_there_all_the_same() {
    let bench = Bench::new();
    let b = "engine=fake:crash=decode,clock=scripted";
    bench.run(&ab(A, b, &["--pairs", "10"])).ends_with(4);
    let told = bench.read("t/comparison.md");
    assert!(told.contains("did not finish in head:"), "{told}");
    assert!(told.contains("crashed in 3 of 3 invocations"), "{told}");
    assert_eq!(bench.records("t/b").len(), 3);
    assert!(bench.path("t/b/cells.csv").exists() && bench.path("t/trial.json").exists());
}

#[test]
fn a_trial_that_was_cut_off_continues_to_the_same_end() {
    let bench = Bench::new();
    bench.run_unseen(&ab(A, SLOWER, &["--pairs", "6", "--gate"])).ends_with(3);
    let whole = bench.read("t/comparison.json");
    for side in ["a", "b"] {
        let journal = bench.read(&format!("t/{side}/records.jsonl"));
        let lines: Vec<&str> = journal.lines().take(4).collect();
        bench.write(&format!("t/{side}/records.jsonl"), &(lines.join("\n") + "\n{\"format\":1,"));
    }
    let mut again = ab(A, SLOWER, &["--pairs", "6", "--gate"]);
    again[2] = "--resume";
    bench.run_unseen(&again).ends_with(3);
    assert_eq!(bench.read("t/comparison.json"), whole);
    // Another trial is not continued by it, and a folder that holds one is not written over.
    let mut other = ab(A, SLOWER, &["--pairs", "5"]);
    other[2] = "--resume";
    let refused = bench.run(&other).ends_with(2).stderr;
    assert!(refused.contains("it was begun with other arguments"), "{refused}");
    let refused = bench.run(&ab(A, SLOWER, &[])).ends_with(2).stderr;
    assert!(refused.contains("t holds a trial already"), "{refused}");
}

#[test]
fn sides_that_are_the_same_or_make_no_sense_are_refused_before_anything_is_measured() {
    let bench = Bench::new();
    let refused = |arguments: &[&str]| bench.run(arguments).ends_with(2).stderr;
    assert!(refused(&["ab"]).contains("nothing sets them apart"));
    assert!(refused(&["ab", "--b", "motor=v8"]).contains("the keys are engine"));
    let two = refused(&["ab", "--engine", "fake", "--b", "quant=Q4_0,Q8_0"]);
    assert!(two.contains("--b: a side is one thing"), "{two}");
    assert!(refused(&["ab", "--b", "n_gen=8", "--invocations", "3"]).contains("--pairs"));
    assert!(refused(&["ab", "--b", "n_gen=8", "--time", "3"]).contains("a share such as 3%"));
    assert!(refused(&["ab", "--b-bin", "/bin/true"]).contains("is no slmbench"));
    assert!(refused(&["ab", "--b-bin", "absent"]).contains("absent"));
    assert!(!bench.path("reports").exists());
}

#[test]
fn another_build_measures_its_side_in_the_protocol_it_speaks() {
    let bench = Bench::new();
    let own = env!("CARGO_BIN_EXE_slmbench");
    // A build that speaks the second version of the protocol and no other.
    bench.write_script(
        "old",
        &format!(
            r#"#!/bin/sh
case $1 in
--version) echo 'slmbench 0.0.9 (old)' ;;
child)
    IFS= read -r job
    case $job in
    *'"protocol":2,'*) # What feeds it would wait for the parent, so all of them end with the child.
        trap 'exit 0' TERM
        {{ printf '%s\n' "$job"; cat; }} | {{ "{own}" child; kill -TERM 0; }} ;;
    *) echo '{{"event":"failed","kind":"protocol","message":"protocol 2 is all I speak"}}' ;;
    esac ;;
*) exec "{own}" "$@" ;;
esac
"#
        ),
    );
    let engine = "fake:noise=2%,clock=scripted";
    let mut arguments = vec!["ab", "-q", "--out", "t", "--a-bin", "old", "--pairs", "3"];
    arguments.extend(["--engine", engine]);
    arguments.extend(TIMES);
    bench.run(&arguments).ends_with(0);
    assert!(verdicts(&bench, "t").iter().all(|(_, verdict)| verdict == "same"));
    let program = |side: &str| bench.records(side)[0]["program"].as_str().unwrap().to_owned();
    assert_eq!(program("t/a"), "slmbench 0.0.9 (old)");
    assert_ne!(program("t/b"), program("t/a"));
    assert!(bench.read("t/comparison.md").contains("program: slmbench 0.0.9"));
}

#[test]
fn a_selftest_tells_what_could_be_told_apart() {
    let bench = Bench::new();
    bench.write(
        "machine/wander",
        &(0..40)
            .map(|i| format!("{}\n", 1.0 + 0.01 * (2.4 * f64::from(i)).sin()))
            .collect::<String>(),
    );
    let arguments = [
        "selftest",
        "--engine",
        "fake:follow=wander,clock=scripted",
        "--pairs",
        "6",
        "--out",
        "t",
        "--no-gate",
    ];
    let shown = bench.run_unseen(&arguments).ends_with(0).stdout;
    let line = shown.lines().find(|line| line.contains("tg32")).unwrap();
    assert!(line.contains("1.") && line.ends_with("same"), "{shown}");
    assert!(shown.contains("a side against itself: 0 of"), "{shown}");
}

#[test]
fn invocations_are_added_until_the_interval_is_narrow_or_enough_is_enough() {
    let bench = Bench::new();
    let run = |folder: &str, noise: &str, more: &[&str]| {
        let engine = format!("fake:decode_ms=10,{noise},clock=scripted");
        let mut arguments = vec!["run", "gate", "--out", folder, "--engine", &engine];
        arguments.extend(["--invocations", "1", "--no-gate"]);
        arguments.extend(more);
        bench.run(&arguments).ends_with(0);
        bench.records(folder).len()
    };
    // Without noise three invocations give an interval, and it has no width.
    assert_eq!(run("calm", "noise=0%", &["--until", "2%"]), 3);
    let n = run("noisy", "noise=20%", &["--until", "8%"]);
    assert!((4..20).contains(&n), "{n}");
    assert_eq!(run("hopeless", "noise=20%", &["--until", "0.01%", "--max-invocations", "5"]), 5);
    // The plan knows of them, so that a report does and a continued run would.
    let info: serde_json::Value = serde_json::from_str(&bench.read("noisy/run.json")).unwrap();
    assert_eq!(info["order"].as_array().unwrap().len(), n);
}

/// A build of slmbench whose calls of `child` for an engine whose word holds `what` end with status 9.
fn broken_for(bench: &Bench, what: &str) {
    let own = env!("CARGO_BIN_EXE_slmbench");
    let script = format!(
        r#"#!/bin/sh
case $1 in
child)
    IFS= read -r job
    case $job in
    *'{what}'*) exit 9 ;;
    *) # What feeds it would wait for the parent, so all of them end with the child.
        trap 'exit 0' TERM
        {{ printf '%s\n' "$job"; cat; }} | {{ "{own}" child; kill -TERM 0; }} ;;
    esac ;;
*) exec "{own}" "$@" ;;
esac
"#
    );
    bench.write_script("broken", &script);
}

#[test]
fn a_cell_that_one_side_never_finishes_is_told_and_fails_whichever_side_it_is() {
    for side in ["--a-bin", "--b-bin"] {
        let bench = Bench::new();
        broken_for(&bench, "decode_ms=20");
        let mut arguments =
            vec!["ab", "-q", "--out", "t", side, "broken", "--gate", "--pairs", "6"];
        arguments.extend(["--engine", "fake:decode_ms=10,clock=scripted"]);
        arguments.extend(["--engine", "fake:decode_ms=20,clock=scripted"]);
        arguments.extend(TIMES);
        bench.run(&arguments).ends_with(4);
        // Given up after three pairs; the other cell has its verdicts.
        assert_eq!(bench.records("t/a").len(), 3 + 6, "{side}");
        let name = if side == "--a-bin" { "base" } else { "head" };
        let told = bench.read("t/comparison.md");
        assert!(told.contains(&format!("did not finish in {name}:")), "{told}");
        assert!(told.contains(&format!("{name} has not measured it")), "{told}");
        assert!(told.contains("| same |"), "{told}");
    }
}

#[test]
fn what_did_not_finish_goes_before_what_regressed() {
    let bench = Bench::new();
    broken_for(&bench, "decode_ms=20");
    let mut arguments = vec!["ab", "-q", "--out", "t", "--b-bin", "broken", "--gate"];
    arguments.extend(["--a", "n_gen=8", "--b", "n_gen=16", "--measure", "kv_bytes,tpot_ms"]);
    arguments.extend(["--engine", "fake:decode_ms=20,clock=scripted", "--pairs", "3"]);
    bench.run(&arguments).ends_with(4);
    // A candidate that is slower, and of which one invocation crashed.
    let both = ["run", "gate", "-q", "--engine", "fake:clock=scripted", "--no-gate"];
    bench.run(&[&both[..], &["--out", "base", "--invocations", "5"]].concat()).ends_with(0);
    bench.run(&[&both[..], &["--out", "head", "--invocations", "5"]].concat()).ends_with(0);
    let lines = bench.read("head/records.jsonl");
    let changed = lines.lines().enumerate().map(|(i, line)| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if i == 0 {
            record["outcome"] = serde_json::json!({"kind": "crashed", "signal": 11});
        }
        for sample in record["samples"].as_array_mut().unwrap() {
            let itl = sample["itl_ns"].as_array().unwrap().iter();
            sample["itl_ns"] = itl.map(|ns| 2 * ns.as_u64().unwrap()).collect();
        }
        record.to_string() + "\n"
    });
    bench.write("head/records.jsonl", &changed.collect::<String>());
    let compare = ["compare", "base", "head", "--gate", "--measure", "tpot_ms"];
    let shown = bench.run(&compare).ends_with(4).stdout;
    assert!(shown.contains("1 regressed"), "{shown}");
    assert!(
        shown.contains("did not finish in head:") && shown.contains("crashed in 1 of 5"),
        "{shown}"
    );
}

#[test]
fn a_cell_that_the_candidate_cannot_run_does_not_pass_a_gate_unseen() {
    let bench = Bench::new();
    let own = env!("CARGO_BIN_EXE_slmbench");
    // A build without one of the two engines.
    let script = format!(
        r#"#!/bin/sh
case "$*" in
*'list engines'*) exec "{own}" list engines --json -- 'fake:decode_ms=10,clock=scripted' 'nothing' ;;
*) exec "{own}" "$@" ;;
esac
"#
    );
    bench.write_script("poor", &script);
    // Of a suite; what the command line names and cannot run is refused at once.
    let suite = r#"
[[matrix]]
engine = ["fake:decode_ms=10,clock=scripted", "fake:decode_ms=20,clock=scripted"]
model = "SmolLM2-135M"
quant = "Q4_0"
n_prompt = 16
n_gen = 8
"#;
    bench.write("two.toml", suite);
    let mut arguments = vec!["ab", "two.toml", "-q", "--out", "t", "--b-bin", "poor"];
    arguments.extend(["--pairs", "3", "--gate"]);
    arguments.extend(TIMES);
    bench.run(&arguments).ends_with(4);
    let told = bench.read("t/comparison.md");
    assert!(told.contains("only in base: 1 cell: SmolLM2-135M"), "{told}");
    assert!(told.contains("nothing is known of the engine"), "{told}");
}

#[test]
fn a_trial_is_not_continued_with_another_build_or_another_threshold() {
    let bench = Bench::new();
    bench.run(&ab(A, SLOWER, &["--pairs", "3"])).ends_with(0);
    for more in [["--time", "50%"], ["--memory", "9%"]] {
        let mut again = ab(A, SLOWER, &["--pairs", "3"]);
        again.extend(more);
        again[2] = "--resume";
        let said = bench.run(&again).ends_with(2).stderr;
        assert!(said.contains("it was begun with other arguments"), "{said}");
    }
    // A file that cannot be written is found before anything is measured.
    let mut wrong = ab(A, SLOWER, &["--markdown", "no/such/file.md"]);
    wrong[3] = "u";
    bench.run(&wrong).ends_with(7);
    assert!(!bench.path("u").exists());
}
