//! Mistakes that people make at the command line: the exit code of each, the place it names and the way out.

use std::fs::File;
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};

use crate::support::Bench;

const SUITE: &str = r#"
name = "two"
repetitions = 1

[[matrix]]
engine = "fake:prefill_ms=50,decode_ms=10,clock=scripted"
model = "tiny-llama"
quant = "F16"
n_prompt = 8
n_gen = [2, 4]
"#;

/// A run in `out`.
fn measured(bench: &Bench) {
    bench.write("two.toml", SUITE);
    bench.run_unseen(&["run", "two.toml", "--out", "out", "--quiet"]).ends_with(0);
}

#[track_caller]
fn refused(bench: &Bench, arguments: &[&str], code: i32, said: &[&str]) {
    let ran = bench.run(arguments).ends_with(code);
    for said in said {
        assert!(ran.stderr.contains(said), "{arguments:?}: `{said}` is not in\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("os error"), "{}", ran.stderr);
}

#[test]
fn what_standard_output_refuses_ends_with_7() {
    let bench = Bench::new();
    measured(&bench);
    for arguments in [
        &["memory", "SmolLM2-135M", "--json"][..],
        &["memory", "SmolLM2-135M", "--csv", "-"],
        &["list", "models"],
        &["list", "engines", "--json"],
        &["report", "out"],
        &["show", "out"],
        &["export", "out", "--to", "bencher"],
        &["run", "two.toml", "--dry-run"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = bench.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(7), "{arguments:?}: {said}");
        let expected = "error: standard output: No space left on device\n";
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // A reader that has gone is no fault.
    let mut child = bench
        .command(&["list", "models", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_journal_that_was_cut_is_told_by_everything_that_reads_it() {
    let bench = Bench::new();
    measured(&bench);
    let journal = bench.read("out/records.jsonl");
    let cells = bench.read("out/cells.csv");
    let cut = [
        "warning: out/records.jsonl ends in the middle of a record, which is left out",
        "hint: `slmbench run --resume out` measures it again",
    ];
    bench.write("out/records.jsonl", &journal[..journal.len() - 20]);
    for arguments in
        [&["show", "out"][..], &["export", "out", "--to", "bencher"], &["report", "out"]]
    {
        refused(&bench, arguments, 0, &cut);
    }
    assert_ne!(bench.read("out/cells.csv"), cells, "the report is drawn from what is left");
    // Without a record there is nothing to draw, and what was drawn stays.
    let cells = bench.read("out/cells.csv");
    for left in ["", &journal[..40]] {
        bench.write("out/records.jsonl", left);
        for arguments in
            [&["show", "out"][..], &["export", "out", "--to", "bencher"], &["report", "out"]]
        {
            refused(
                &bench,
                arguments,
                2,
                &["out: nothing was measured yet\nhint: `slmbench run --resume out`"],
            );
        }
    }
    assert_eq!(bench.read("out/cells.csv"), cells);
    // A damaged line in the middle is named with what mends it.
    bench.write("out/records.jsonl", &format!("{{\n{journal}"));
    let line =
        ["out/records.jsonl:1: not a record", "hint: take line 1 out; `slmbench run --resume out`"];
    refused(&bench, &["report", "out"], 2, &line);
    bench.write("out/run.json", "{\n  \"format\": 1,\n  \"suite");
    let damaged =
        ["out/run.json:3:8: the file is cut off or damaged", "hint: restore it from a copy"];
    refused(&bench, &["report", "out"], 2, &damaged);
}

#[test]
fn a_folder_that_is_no_run_is_told_apart_from_one_that_is_not_there() {
    let bench = Bench::new();
    bench.write("m.gguf", "GGUF");
    bench.write("empty/notes.txt", "");
    for command in [
        &["report"][..],
        &["show"],
        &["export", "--to", "bencher"],
        &["predict", "--check"],
        &["run", "--resume"],
    ] {
        let of = |dir: &'static str| [command, &[dir]].concat();
        refused(
            &bench,
            &of("nowhere"),
            2,
            &["there is no folder nowhere\nhint: runs are in reports/"],
        );
        refused(&bench, &of("m.gguf"), 2, &["m.gguf is a file; name the folder of a run"]);
        refused(&bench, &of("empty"), 2, &["empty holds no run", "hint: runs are in reports/"]);
    }
}

#[test]
fn what_can_be_told_at_once_is_told_before_another_run_is_waited_for() {
    let bench = Bench::new();
    measured(&bench);
    bench.write("m.gguf", "text");
    let lock = File::create(bench.path("machine.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    for (arguments, said) in [
        (&["run", "--resume", "nowhere"][..], "there is no folder nowhere"),
        (&["run", "two.toml", "--out", "out"], "out holds a run already"),
        (&["run", "two.toml", "--dry-run", "--out", "out"], "out holds a run already"),
        (&["run", "two.toml", "--power-source", "csv:absent.csv"], "absent.csv: no such file"),
        (&["run", "two.toml", "--dry-run", "--power-source", "csv:absent.csv"], "absent.csv: no"),
        (&["run", "-m", "m.gguf"], "-m m.gguf: byte 0: not a GGUF file: it starts with \"text\""),
        (&["run", "-m", "absent.gguf"], "-m absent.gguf: no such file or folder"),
        (&["run", "--model", "absent"], "unknown model `absent`"),
        (&["run", "two.toml", "--n-prompt", "many"], "--n-prompt many: expected a number"),
        (&["run", "two.toml", "--filter", "quant==F16"], "--filter quant==F16: found"),
        (&["run", "two.toml", "--models", "absent.toml"], "--models: cannot read `absent.toml`"),
        (&["ab", "two.toml", "--resume", "nowhere"], "there is no folder nowhere"),
        (&["run", "two.toml", "--when-busy", "refuse"], "hint: --when-busy wait waits for it"),
    ] {
        refused(&bench, arguments, 2, &[said]);
    }
}

#[test]
fn a_model_or_a_file_in_a_suites_place_is_answered_with_its_option() {
    let bench = Bench::new();
    bench.write("m.gguf", "GGUF");
    bench.write("weights", "GGUFxxxx");
    bench.write("adir/notes.txt", "");
    for (arguments, said) in [
        (
            &["run", "m.gguf"][..],
            "m.gguf is no suite but a model file\nhint: did you mean `-m m.gguf`?",
        ),
        (&["run", "weights"], "hint: did you mean `-m weights`?"),
        (&["run", "SmolLM2-135M"], "hint: did you mean `--model SmolLM2-135M`?"),
        (&["ab", "smollm2-135m", "--b", "n_gen=8"], "hint: did you mean `--model SmolLM2-135M`?"),
        (&["run", "adir"], "cannot read `adir`: it is a folder"),
        (&["run", "--model", "m.gguf"], "hint: -m takes a file: -m m.gguf"),
        (&["run", "--model", "SmolLM2-135"], "hint: did you mean `SmolLM2-135M` or `SmolLM-135M`"),
        (&["list", "models", "SmolLM2-135"], "hint: did you mean `SmolLM2-135M` or `SmolLM-135M`"),
        (&["inspect", "adir"], "adir is a folder; name a GGUF file, or a model"),
        // These take a file in front, as `memory` does.
        (&["soak", "m.gguf"], "m.gguf: byte 4: the file ends"),
        (&["profile", "m.gguf"], "m.gguf: byte 4: the file ends"),
        (&["run", "-m", "m.gguf", "--quant", "Q8_0"], "--quant is for models by name"),
    ] {
        refused(&bench, arguments, 2, &[said]);
    }
}

#[test]
fn what_cannot_be_written_is_told_without_words_of_rescue() {
    let bench = Bench::new();
    measured(&bench);
    bench.write("m.gguf", "");
    let to = |path: &'static str| ["export", "out", "--to", "otava-csv", "-o", path];
    refused(
        &bench,
        &["export", "out", "--to", "bencher", "-o", "nowhere/x"],
        7,
        &["nowhere/x: there is no folder nowhere"],
    );
    refused(&bench, &to("m.gguf"), 7, &["m.gguf: m.gguf is a file, a folder is needed"]);
    let page = bench.run(&["report", "out", "-o", "nowhere/x.html"]).ends_with(7).stderr;
    assert!(page.contains("there is no folder nowhere") && !page.contains("safe"), "{page}");
    // The report of a run's own folder is drawn again.
    std::fs::remove_file(bench.path("out/cells.csv")).unwrap();
    std::fs::create_dir(bench.path("out/cells.csv")).unwrap();
    bench.write("out/cells.csv/x", "");
    refused(
        &bench,
        &["report", "out"],
        7,
        &["hint: the records are safe; `slmbench report out` draws"],
    );
}

#[test]
fn numbers_and_words_are_refused_in_plain_words() {
    let bench = Bench::new();
    for (arguments, said) in [
        (&["run", "--invocations", "x"][..], "expected a whole number"),
        (&["run", "--seed", "x"], "expected a whole number"),
        (&["soak", "SmolLM2-135M", "--minutes", "foo"], "expected a number"),
        (&["run", "--ambient-c", "hot"], "expected a number"),
        (&["predict", "SmolLM2-135M", "-p", "abc"], "expected a whole number from 0 to"),
        (&["predict", "SmolLM2-135M", "-t", "foo"], "expected a whole number from 1 to"),
        (&["run", "-p", "-5"], "--n-prompt -5: expected a number"),
        (&["run", "-p", "128,"], "--n-prompt: an empty value"),
        (&["run", "--budget", "-1m"], "--budget -1m: expected a time above 0"),
        (&["run", "--budget", "0s"], "--budget 0s: expected a time above 0"),
        (&["compare", "a", "b", "--time", "-3"], "expected a share such as 3%"),
        (&["ab", "--b", "n_gen=8", "--pairs", "1"], "expected a whole number from 3 to 1000"),
        (&["run", "--until", "200%"], "below 100%"),
        (
            &["run", "-p", "0", "-n", "0"],
            "neither prompt nor decode: nothing would be timed\nhint: -p or -n above 0",
        ),
        (&["run", "--n-batch", "0"], "--n-batch 0: expected 1 or more"),
        (&["run", "--n-ubatch", "4096"], "hint: --n-batch 4096 or more"),
        (&["run", "-t", "foo"], "--threads foo: expected auto, all, a number"),
        (&["run", "-c", "foo"], "--n-ctx foo: expected auto, a number"),
        (&["run", "--n-gpu-layers", "foo"], "--n-gpu-layers foo: expected auto, a number"),
        (&["run", "--type-k", "Q4"], "allowed are F32, F16"),
        (&["run", "--engine", "reference,fake"], "hint: one engine each: --engine A --engine B"),
        (
            &["run", "--engine", "llama.cpp"],
            "unknown engine `llama.cpp`, there are reference, llama-cpp\nhint: did you mean `llama-cpp`?",
        ),
        (&["list", "models", "--engine", "llama.cpp"], "did you mean `llama-cpp`?"),
        (
            &["list", "engines", "foo"],
            "unknown engine `foo`\nhint: `slmbench list engines` without",
        ),
        (&["run", "--quant", "Q4"], "unknown quant `Q4`, known are"),
        (&["run", "--quant", "Q4"], "hint: did you mean `Q4_K_M` or `Q4_K_S` or `Q4_1` or `Q4_0`?"),
        (&["run", "--quant", "Q4*"], "hint: patterns are for --filter: --filter 'quant=Q4*'"),
        (&["synth", "SmolLM2-135M", "-q", "Q4_0@2023", "-o", "x"], "there is only @2024"),
        (
            &["synth", "SmolLM2-135M", "-o", "x", "--weight-scale", "nan"],
            "expected a number above 0",
        ),
        (&["ab", "--a", "engin=reference"], "unknown key `engin`, the keys are"),
        (&["ab", "--a", "engine=reference", "--b", "engine=reference"], "`slmbench selftest`"),
        (&["ab", "--b-bin", "absent"], "--b-bin "),
        (&["memory", "SmolLM2-135M", "--plot", "x.png"], "--plot x.png: expected FILE.svg"),
        (&["predict", "--fit", "x.toml"], "hint: slmbench predict --check"),
        (&["soak", "SmolLM2-135M", "--budget", "5m"], "--budget has no meaning in a sustained run"),
        (&["run", "--cpus", "4000"], "--cpus 4000: this process may use CPUs 0"),
        (&["run", "--engine", "reference", "--n-gpu-layers", "5"], "it computes on the CPU"),
    ] {
        refused(&bench, arguments, 2, &[said]);
    }
    assert!(!bench.path("x").exists() && !bench.path("x.part").exists());
}

#[test]
fn a_plan_says_what_is_likely_a_mistake_and_what_it_guesses() {
    let bench = Bench::new();
    let deep =
        ["run", "--dry-run", "--model", "SmolLM2-135M", "--engine", "reference", "-d", "100000"];
    let ran = bench.run(&[&deep[..], &["--ignore-memory"]].concat()).ends_with(0);
    let note = "tokens are more than the 8192 it was trained for";
    assert!(
        ran.stderr.contains("note: SmolLM2-135M: ") && ran.stderr.contains(note),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("guessed from the models' size"), "{}", ran.stdout);
}

#[test]
fn a_trial_is_continued_with_its_own_arguments_and_nothing_else() {
    let bench = Bench::new();
    bench.write("two.toml", &SUITE.replace("[2, 4]", "2"));
    let fake = "engine=fake:prefill_ms=60,decode_ms=12,clock=scripted";
    bench.run_unseen(&["ab", "two.toml", "--out", "t", "--b", fake, "--pairs", "3"]).ends_with(0);
    let again =
        ["the trial's own arguments have to be repeated", "hint: it was begun with: slmbench ab"];
    refused(&bench, &["ab", "two.toml", "--resume", "t"], 2, &again);
    refused(&bench, &["report", "t"], 2, &["t holds no run", "hint: there is one in t/a"]);
    refused(
        &bench,
        &["ab", "two.toml", "--resume", "t/a"],
        2,
        &["t/a holds no trial", "hint: it is a run"],
    );
    let shown = bench.run_unseen(&["ab", "two.toml", "--b", fake, "--dry-run"]).ends_with(0).stdout;
    let sides = [shown.find("side A:\n"), shown.find("side B:\n"), shown.find("1 cell in common")];
    assert!(sides[0].is_some() && sides[0] < sides[1] && sides[1] < sides[2], "{shown}");
}
