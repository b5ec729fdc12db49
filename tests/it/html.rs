//! The page of a run, and one page over several, through the real program.

use crate::support::Bench;

const SUITE: &str = r#"
name = "paged"
repetitions = 2
invocations = 3
seed = 7

[[matrix]]
engine = [
    "fake:prefill_ms=50,decode_ms=10,clock=scripted",
    "fake:prefill_ms=55,decode_ms=11,clock=scripted",
]
model = "tiny-llama"
quant = "F16"
n_threads = 2
n_prompt = 100
n_gen = 4
n_depth = [0, 1000]
"#;

#[test]
fn a_run_leaves_a_page_and_report_writes_the_same_again() {
    let bench = Bench::new();
    bench.write("paged.toml", SUITE);
    bench.run(&["run", "paged.toml", "--out", "out", "--label", "<b>x", "--quiet"]).ends_with(0);
    let page = bench.read("out/report.html");
    assert!(page.starts_with("<!doctype html>"));
    for word in ["paged on &#60;b&#62;x", "pp100 @ d1000", "id=\"r1-engines\"", "id=\"r1-cells\""] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains("<b>"));
    std::fs::remove_file(bench.path("out/report.html")).unwrap();
    bench.run(&["report", "out", "--quiet"]).ends_with(0);
    assert_eq!(page, bench.read("out/report.html"));
}

#[test]
fn one_page_over_several_runs_is_written_where_it_is_asked_for_and_nothing_else() {
    let bench = Bench::new();
    bench.write("paged.toml", SUITE);
    for (out, label) in [("a", "first board"), ("b", "second board")] {
        bench.run(&["run", "paged.toml", "--out", out, "--label", label, "--quiet"]).ends_with(0);
        std::fs::remove_file(bench.path(&format!("{out}/report.html"))).unwrap();
    }
    let ran = bench.run(&["report", "a", "b"]).ends_with(2);
    assert!(ran.stderr.contains("hint: -o page.html"), "{}", ran.stderr);
    bench.run(&["report", "a", "b", "-o", "page.html"]).ends_with(0);
    let page = bench.read("page.html");
    for word in
        ["paged on first board", "paged on second board", "id=\"devices\"", "id=\"r2-cells\""]
    {
        assert!(page.contains(word), "{word}");
    }
    assert!(!bench.path("a/report.html").exists());
    bench.run(&["report", "a", "-o", "one.html"]).ends_with(0);
    assert!(bench.read("one.html").contains("paged on first board"));
    assert!(!bench.path("a/report.html").exists());
    bench.run(&["report", "a", "-o", "nowhere/one.html"]).ends_with(7);
}
