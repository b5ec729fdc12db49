//! `slmbench quantize` as its users meet it.

use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use slmbench::gguf::Gguf;
use slmbench::model::{Catalogue, FileMix, MetaValue};
use slmbench::synth::Synthesis;

use crate::support::{Bench, Ran, set_key, signal, wait_until};

#[test]
fn a_file_of_numbers_becomes_one_of_a_mix() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "F16", "-o", "f16.gguf"]).ends_with(0);
    let ran = bench.run(&["quantize", "f16.gguf", "q.gguf", "q4_0"]).ends_with(0);
    insta::assert_snapshot!(ran.stdout);
    assert_eq!(ran.stderr, "");
    let types = |arguments: &[&str]| -> Vec<(String, String)> {
        let ran = bench.run(arguments).ends_with(0);
        let facts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let word = |t: &serde_json::Value, key: &str| t[key].as_str().unwrap().to_owned();
        facts["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| (word(t, "name"), word(t, "type")))
            .collect()
    };
    assert_eq!(
        types(&["inspect", "q.gguf", "--json"]),
        types(&["inspect", "tiny-llama", "--quant", "Q4_0", "--json"])
    );
    // The same bytes whatever the number of threads, and again over a file that is there.
    let first = std::fs::read(bench.path("q.gguf")).unwrap();
    bench.run(&["quantize", "f16.gguf", "q.gguf", "Q4_0", "--threads", "1"]).ends_with(0);
    assert!(std::fs::read(bench.path("q.gguf")).unwrap() == first);
    assert!(!bench.path("q.gguf.part").exists());
}

#[test]
fn what_cannot_be_quantised_is_refused_and_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "F16", "-o", "f16.gguf"]).ends_with(0);
    bench.run(&["synth", "tiny-llama", "-q", "Q8_0", "-o", "q8_0.gguf"]).ends_with(0);
    symlink("f16.gguf", bench.path("link.gguf")).unwrap();
    for (name, value) in [("inf.gguf", half::f16::INFINITY), ("nan.gguf", half::f16::NAN)] {
        let path = bench.path(name);
        std::fs::copy(bench.path("f16.gguf"), &path).unwrap();
        let at = Gguf::open(&path).unwrap().tensor("blk.1.ffn_up.weight").unwrap().offset;
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&value.to_le_bytes(), at + 2 * 300).unwrap();
    }
    std::fs::copy(bench.path("f16.gguf"), bench.path("split.gguf")).unwrap();
    set_key(&bench.path("split.gguf"), "split.count", Some(&MetaValue::U32(3)));
    let there = names(&bench);
    let mut all = String::new();
    for (arguments, code) in [
        (["q8_0.gguf", "q.gguf", "Q4_0"], 2),
        (["inf.gguf", "q.gguf", "Q4_K_M"], 2),
        (["nan.gguf", "q.gguf", "Q4_0"], 2),
        (["split.gguf", "q.gguf", "Q4_0"], 2),
        (["f16.gguf", "f16.gguf", "Q4_0"], 2),
        (["f16.gguf", "link.gguf", "Q4_0"], 2),
        (["f16.gguf", "q.gguf", "Q4_0_M"], 2),
        (["missing.gguf", "q.gguf", "Q4_0"], 2),
        (["f16.gguf", "no/folder/q.gguf", "Q4_0"], 7),
        (["f16.gguf", ".", "Q4_0"], 2),
    ] {
        let ran = bench.run(&[&["quantize"], &arguments[..]].concat()).ends_with(code);
        all.push_str(&format!("$ slmbench quantize {}\n{}\n", arguments.join(" "), ran.stderr));
    }
    insta::assert_snapshot!(all);
    assert_eq!(names(&bench), there);
}

/// What is in the folder.
fn names(bench: &Bench) -> Vec<String> {
    let names = std::fs::read_dir(bench.path("")).unwrap();
    let mut names: Vec<_> = names.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A model that takes seconds to quantise; its weights are a hole in the file.
fn write_large(bench: &Bench) {
    let catalogue = Catalogue::built_in().unwrap();
    let shape = catalogue.get("Llama-3.2-3B").unwrap();
    let file = File::create(bench.path("f16.gguf")).unwrap();
    Synthesis::new(shape, FileMix::F16, 1).write_hollow(&file).unwrap();
}

#[test]
fn an_interrupt_in_the_middle_of_the_work_leaves_what_was_there() {
    let bench = Bench::new();
    write_large(&bench);
    bench.write("q.gguf", "from before");
    for stop in [Signal::INT, Signal::TERM] {
        let mut command = bench.command(&["quantize", "f16.gguf", "q.gguf", "Q4_K_M", "-t", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let is_part = |name: &String| name.ends_with(".part");
        let at_work = wait_until(Duration::from_secs(60), || names(&bench).iter().any(is_part));
        assert!(at_work, "nothing was begun");
        signal(child.id(), stop);
        let ran = Ran::from(child.wait_with_output().unwrap()).ends_with(130);
        assert_eq!(ran.stderr, "error: q.gguf: stopped before it was whole\n");
        assert_eq!(names(&bench), ["f16.gguf", "q.gguf"]);
        assert_eq!(bench.read("q.gguf"), "from before");
    }
}

#[test]
fn a_file_that_there_is_no_room_for_is_said_and_leaves_what_was_there() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "F16", "-o", "f16.gguf"]).ends_with(0);
    bench.write("q.gguf", "from before");
    let program = bench.command(&["quantize", "f16.gguf", "q.gguf", "Q4_0"]);
    // A limit on the length of files stands for a full disk: the system refuses to write as well.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.current_dir(bench.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let ran = Ran::from(shell.output().unwrap()).ends_with(7);
    assert_eq!(ran.stderr, "error: q.gguf: File too large\n");
    assert_eq!(names(&bench), ["f16.gguf", "q.gguf"]);
    assert_eq!(bench.read("q.gguf"), "from before");
}

#[test]
fn a_source_whose_name_looks_unfinished_is_read_and_stays() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "F16", "-o", "q.gguf.part"]).ends_with(0);
    let before = std::fs::read(bench.path("q.gguf.part")).unwrap();
    bench.run(&["quantize", "q.gguf.part", "q.gguf", "Q4_0"]).ends_with(0);
    assert!(std::fs::read(bench.path("q.gguf.part")).unwrap() == before);
    assert!(bench.path("q.gguf").exists());
}
