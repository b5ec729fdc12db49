//! Suites, whole: what is read, and what is said about what cannot be.

use proptest::prelude::*;

use super::builtin::SUITES;
use super::*;
use crate::ggml::GgmlType;

fn said(text: &str) -> String {
    parse(text, "suites/mine.toml").unwrap_err().to_string()
}

/// A suite of one matrix with `lines` in it.
fn matrix(lines: &str) -> String {
    let known = |key: &str| lines.lines().any(|line| line.starts_with(&format!("{key} =")));
    let mut text = "description = \"d\"\n[[matrix]]\n".to_owned();
    for (key, value) in [("engine", "reference"), ("model", "SmolLM2-135M"), ("quant", "Q4_0")] {
        if !known(key) {
            text += &format!("{key} = \"{value}\"\n");
        }
    }
    if !known("n_prompt") && !known("n_gen") {
        text += "n_gen = 8\n";
    }
    text + lines
}

#[test]
fn every_suite_compiled_in_is_whole_and_called_as_its_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/suites");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, SUITES.len(), "a file in suites/ is not compiled in");
    for (name, text) in SUITES {
        let suite =
            parse(text, &format!("{name}.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(suite.name, *name);
        assert!(!suite.description.is_empty());
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_place_and_what_is_allowed() {
    insta::assert_snapshot!(said(
        r#"
name = "no/slashes"
repetitions = 0
seed = -1
feed = "gready"
warmups = 2

[[matrix]]
engine = ["referense", "llama-cpp", 7]
model = []
n_prompt = "512..128"
n_gen = ["1..8*1", 1.5]
n_thread = 4
n_threads = "many"
type_kv = "Q8_0"
type_k = "F16"
type_v = "Q6_K"
flash_attn = true
cpus = "3-1"
n_ubatch = 0

[[matrix]]
engine = "reference"
model = "SmolLM2-135M"
quant = ["Q4_0", "Q5_K_M"]
n_gen = 99999999
timeout_s = "10 min"
exclude = [{ quants = "F16" }, { n_gen = ">many" }, { quant = "<Q4_0" }, {}, 3]
"#
    ));
}

#[test]
fn cells_that_cannot_be_are_said_once_for_each_kind() {
    insta::assert_snapshot!(said(
        r#"description = "d"
[[matrix]]
engine = "reference"
model = "SmolLM2-135M"
quant = "Q4_0"
n_prompt = [0, 512]
n_gen = [0, 128]
n_batch = [256, 1024]
n_ubatch = 512
n_ctx = [512, 1024, "auto"]

[[matrix]]
engine = "reference"
model = "SmolLM2-135M"
quant = "Q4_0"
"#
    ));
}

#[test]
fn exclusions_that_exclude_nothing_or_everything_are_errors() {
    insta::assert_snapshot!(said(&format!(
        "{}\n{}",
        matrix("exclude = [{ quant = \"F16\", n_gen = 8 }, { n_gen = \"<8\" }]"),
        matrix("exclude = [{ n_gen = [4, 8] }]").replace("description = \"d\"\n", "")
    )));
}

#[test]
fn a_file_that_is_no_toml_or_no_suite_is_refused() {
    let texts = [
        "description = \"d\n[[matrix]]\nengine = \n",
        "",
        "description = \"d\"\nmatrix = 3",
        "description = \"d\"\n[matrix]\nengine = \"reference\"",
        "description = \"d\"\n[[matrix]]\n",
        "description = \"d\"\nmatrix = []",
        &matrix("n_depth = \"0..1023\"\nn_batch = \"512..1023\"\nn_ubatch = \"1..400\""),
    ];
    insta::assert_snapshot!(texts.map(said).join("\n\n"));
}

#[test]
fn a_matrix_spans_lists_ranges_and_pairs() {
    let text = matrix(
        "n_depth = [\"0..4096+1024\", 4096, 8192]\nn_threads = [\"auto\", \"1..2\"]\n\
         type_kv = [\"f16\", \"q8_0\"]\nn_batch = 0x400\ninvocations = 3\n\
         exclude = [{ n_depth = [\"1024..3072+1024\", 8192], n_threads = \"auto\" }]",
    );
    let suite = parse(&text, "a folder/mine.toml").unwrap();
    assert_eq!(suite.name, "mine");
    let [matrix] = &suite.matrices[..] else { panic!("one matrix") };
    assert_eq!(matrix.axes.n_depth, [0, 1024, 2048, 3072, 4096, 8192]);
    assert_eq!(matrix.axes.n_threads, [Threads::Auto, Threads::Fixed(1), Threads::Fixed(2)]);
    assert_eq!(matrix.axes.n_batch, [1024]);
    let same = |t| (t, t);
    assert_eq!(matrix.axes.type_kv, [same(GgmlType::F16), same(GgmlType::Q8_0)]);
    assert_eq!(matrix.times, Times { invocations: 3, ..Times::default() });
    let points = matrix.axes.points(8);
    assert_eq!(points.len(), 36);
    assert_eq!(points.iter().filter(|point| matrix.admits(point)).count(), 36 - 2 * 4);
}

#[test]
fn keys_and_values_of_the_cache_span_their_product_when_set_apart() {
    let suite = parse(&matrix("type_k = [\"F16\", \"Q8_0\"]\ntype_v = \"F32\""), "m.toml").unwrap();
    assert_eq!(
        suite.matrices[0].axes.type_kv,
        [(GgmlType::F16, GgmlType::F32), (GgmlType::Q8_0, GgmlType::F32)]
    );
}

#[test]
fn what_stands_behind_an_engines_name_is_left_to_the_engine() {
    for good in ["fake", "fake:prefill_ms=40,decode_ms=10", "delay:reference?decode=5%"] {
        parse(&matrix(&format!("engine = \"{good}\"")), "m.toml").unwrap();
    }
    for bad in ["delay", "delay:", "delay:other?decode=5%", "fakes:x=1", "llama.cpp", ""] {
        said(&matrix(&format!("engine = \"{bad}\"")));
    }
}

#[test]
fn a_matrix_overrides_what_the_top_says() {
    let text = format!("repetitions = 9\nwarmup = 0\n{}", matrix("repetitions = 2"));
    let suite = parse(&text, "m.toml").unwrap();
    let times = suite.matrices[0].times;
    assert_eq!((times.repetitions, times.warmup, times.timeout_s), (2, 0, 600));
}

/// Pieces that suites are made of, to be put in the wrong place.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"1..9*0\""),
        Just("\"0..4294967295\""),
        Just("[[matrix]]"),
        Just("exclude = [{ n_gen = [] }]"),
        Just("n_ctx = \"1..1000\""),
        Just("n_batch = \"1..1000\""),
        Just("-9223372036854775808"),
        Just("{ a = { b = [1, [2]] } }"),
        Just("1979-05-27"),
        Just("inf"),
        Just("\"\\u00e9\u{1f980}\""),
        Just("= ["),
        Just("\n"),
        Just("\u{0}"),
    ]
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text, "any.toml");
    }

    #[test]
    fn no_mutation_of_a_suite_makes_the_reader_panic(
        which in 0..SUITES.len(),
        at in 0.0f64..1.0,
        removed in 0usize..40,
        piece in piece(),
    ) {
        let text: Vec<char> = SUITES[which].1.chars().collect();
        let at = (at * text.len() as f64) as usize;
        let rest = (at + removed).min(text.len());
        let mutated: String =
            text[..at].iter().copied().chain(piece.chars()).chain(text[rest..].iter().copied()).collect();
        match parse(&mutated, "mutated.toml") {
            Ok(suite) => prop_assert!(suite.matrices.iter().all(|m| m.axes.empty_axis().is_none())),
            Err(errors) => prop_assert!(!errors.0.is_empty() && !errors.to_string().is_empty()),
        }
    }
}
