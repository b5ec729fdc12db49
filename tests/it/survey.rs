//! The survey's layout of a report, through the real binary and with the scripted engine.

use crate::support::Bench;

const ENGINE: [&str; 2] = ["--engine", "fake:prefill_ms=40,decode_ms=10,clock=scripted"];

/// Runs a suite with the scripted engine into a folder.
fn run(bench: &Bench, suite: &str, out: &str, more: &[&str]) {
    let arguments = [&["run", suite, "--out", out, "--quiet"], &ENGINE[..], more].concat();
    bench.run(&arguments).ends_with(0);
}

#[test]
fn the_survey_s_figures_come_out_of_its_suites() {
    let bench = Bench::new();
    run(
        &bench,
        "survey",
        "models",
        &["--label", "desk", "--model", "SmolLM-*,Pythia-160M,Qwen2-0.5B"],
    );
    let sweep = ["--invocations", "1", "--label", "desk"];
    run(&bench, "survey-quant", "quant", &[&sweep[..], &["--quant", "F16,Q4_K_M@2024"]].concat());
    run(&bench, "survey-devices", "here", &sweep);
    run(&bench, "survey-devices", "there", &["--invocations", "1", "--label", "phone"]);
    bench
        .run(
            &[
                &["profile", "Qwen2-0.5B", "--out", "parts", "--quiet", "--label", "desk"],
                &ENGINE[..],
            ]
            .concat(),
        )
        .ends_with(0);

    let report = ["report", "--layout", "survey", "models", "quant", "here", "there", "parts"];
    let said = bench.run(&report).ends_with(0).stdout;
    let all = "figures 8a, 8b, 8c, 9a, 9b, 10a, 10b, 11a, 11b, 12a, 12b, 13a, 13b: models/survey/survey.md\n";
    assert_eq!(said, all);
    let page = bench.read("models/survey/survey.md");
    // The scripted engine takes 10 ms for every call, at all lengths: no slope, and no division.
    assert!(
        page.contains("10.00 ms per token on average, and +0.0 % from the fewest tokens"),
        "{page}"
    );
    assert!(page.contains("takes 1.0 to 1.0 times what"), "{page}");
    assert!(page.contains("79.51 ms × (n − 1) ÷ n"), "{page}");
    let csv = bench.read("models/survey/fig10b-devices-decode.csv");
    let ours = csv.lines().filter(|line| line.starts_with("desk,") || line.starts_with("phone,"));
    assert_eq!(ours.count(), 2 * 8, "{csv}");
    for figure in ["fig08a-first-token", "fig12a-layers", "fig13b-memory-max"] {
        assert!(bench.read(&format!("models/survey/{figure}.svg")).contains("</svg>"), "{figure}");
    }
}

#[test]
fn figures_without_data_are_named_and_go_to_the_folder_asked_for() {
    let bench = Bench::new();
    run(&bench, "smoke", "out", &[]);
    bench.write("figures/fig1.svg", "somebody else's");
    let said =
        bench.run(&["report", "out", "--layout", "survey", "-o", "figures"]).ends_with(0).stdout;
    assert!(said.starts_with("figures 13a, 13b: figures/survey.md\n"), "{said}");
    assert!(said.contains(
        "no data for figure 8a, First-token time against parameters\n    slmbench run survey\n"
    ));
    assert!(said.contains("no data for figure 12a"), "{said}");
    assert!(bench.path("figures/fig13a-memory-2048.csv").exists());
    assert_eq!(bench.read("figures/fig1.svg"), "somebody else's");
    assert!(!bench.path("out/survey").exists());
    let quiet = bench.run(&["report", "out", "--layout", "survey", "--quiet"]).ends_with(0);
    assert_eq!((quiet.stdout, bench.path("out/survey/survey.md").exists()), (String::new(), true));
}

#[test]
fn a_model_that_ran_out_of_memory_is_on_the_page_with_its_reason() {
    let bench = Bench::new();
    let models = ["--label", "desk", "--invocations", "1", "--model"];
    let some = [&models[..], &["SmolLM-135M,SmolLM-360M,Pythia-160M"]].concat();
    run(&bench, "survey", "some", &some);
    let engine = "fake:prefill_ms=40,decode_ms=10,clock=scripted,refuse=load";
    let run = ["run", "survey", "--out", "lost", "--quiet", "--engine", engine];
    bench.run(&[&run[..], &models, &["Qwen2-0.5B"]].concat()).ends_with(4);
    bench.run(&["report", "--layout", "survey", "some", "lost", "-o", "figures"]).ends_with(0);
    let page = bench.read("figures/survey.md");
    assert!(page.contains("\n## Not finished\n\n- desk: Qwen2-0.5B "), "{page}");
    assert!(page.contains(": out of memory: scripted refusal\n"), "{page}");
}

#[test]
fn a_folder_for_a_layout_that_was_not_asked_for_is_a_mistake() {
    let bench = Bench::new();
    run(&bench, "smoke", "out", &[]);
    bench.run(&["report", "out", "-o", "figures"]).ends_with(2);
    bench.run(&["report", "out", "out"]).ends_with(2);
    bench.run(&["report", "out", "--layout", "thesis"]).ends_with(2);
}
