//! `slmbench quantize` as its users meet it.

use crate::support::Bench;

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
    let mut all = String::new();
    for (arguments, code) in [
        (["q8_0.gguf", "q.gguf", "Q4_0"], 2),
        (["f16.gguf", "f16.gguf", "Q4_0"], 2),
        (["f16.gguf", "q.gguf", "Q4_0_M"], 2),
        (["missing.gguf", "q.gguf", "Q4_0"], 2),
        (["f16.gguf", "no/folder/q.gguf", "Q4_0"], 7),
        (["f16.gguf", ".", "Q4_0"], 2),
    ] {
        let ran = bench.run(&[&["quantize"], &arguments[..]].concat()).ends_with(code);
        all.push_str(&format!("$ slmbench quantize {}\n{}\n", arguments.join(" "), ran.stderr));
    }
    insta::assert_snapshot!(all);
    let names = std::fs::read_dir(bench.path("")).unwrap();
    let mut names: Vec<_> = names.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["f16.gguf", "q8_0.gguf"]);
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
