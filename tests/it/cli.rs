//! Commands and what they print. The scripted clock makes every number exact.

use crate::support::Bench;

/// Two engines, two depths, three invocations; the second engine is slower by a tenth.
const SUITE: &str = r#"
name = "exact"
repetitions = 2
invocations = 3
seed = 7

[[matrix]]
engine = [
    "fake:prefill_ms=50,decode_ms=10,depth_token_us=10,clock=scripted",
    "fake:prefill_ms=55,decode_ms=11,depth_token_us=10,clock=scripted",
]
model = "tiny-llama"
quant = "F16"
n_threads = 2
n_prompt = 100
n_gen = 4
n_depth = [0, 1000]
"#;

fn exact() -> Bench {
    let bench = Bench::new();
    bench.write("exact.toml", SUITE);
    bench
}

/// The columns `names` of a CSV file.
fn columns(csv: &str, names: &[&str]) -> String {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at: Vec<usize> =
        names.iter().map(|n| headers.iter().position(|h| h == *n).expect(n)).collect();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        at.iter().map(|&i| row[i].to_owned()).collect::<Vec<_>>().join(" ")
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn numbers_are_exact_under_a_scripted_clock() {
    let bench = exact();
    bench.run(&["run", "exact.toml", "--out", "out", "--quiet"]).ends_with(0);
    let names = [
        "n_depth",
        "outcome",
        "n_invocations",
        "prefill_ms",
        "prefill_tok_per_s",
        "ttft_ms",
        "tpot_ms",
        "decode_tok_per_s",
        "itl_p50_ms",
        "itl_p99_ms",
        "prefill_ms_lo",
        "prefill_ms_hi",
    ];
    // Depth 1000 adds 10 ms to the prefill. Decode stands behind depth and prompt, 1 ms or 11 ms
    // more, and 10 µs more for every token decoded.
    insta::assert_snapshot!(columns(&bench.read("out/cells.csv"), &names), @"
    0 finished 3 50.000000 2000.000000 50.000000 11.015000 90.785293 11.015000 11.030000 50.000000 50.000000
    1000 finished 3 60.000000 1666.666667 60.000000 21.015000 47.585058 21.015000 21.030000 60.000000 60.000000
    0 finished 3 55.000000 1818.181818 55.000000 12.015000 83.229297 12.015000 12.030000 55.000000 55.000000
    1000 finished 3 65.000000 1538.461538 65.000000 22.015000 45.423575 22.015000 22.030000 65.000000 65.000000
    ");
    let tokens = bench.read("out/tokens.csv");
    assert_eq!(tokens.lines().count(), 1 + 4 * 3 * 2 * 4, "a row for every token time");
    let samples = bench.read("out/samples.csv");
    assert_eq!(samples.lines().count(), 1 + 4 * 3 * 2, "a row for every repetition");
}

#[test]
fn the_table_speaks_llama_benchs_words() {
    let bench = exact();
    let ran = bench.run(&["run", "exact.toml", "--out", "out"]).ends_with(0);
    // Peak memory and disturbance are measured even of the fake engine.
    let steady: Vec<String> = ran
        .stdout
        .lines()
        .filter(|line| line.contains("tiny-llama"))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[4..]
                .iter()
                .take_while(|w| !w.ends_with(']'))
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    insta::assert_snapshot!(steady.join("\n"), @"
    2 pp100 2000 [2000,
    2 tg4 @ d100 90.79 [90.79,
    2 pp100 @ d1000 1667 [1667,
    2 tg4 @ d1100 47.59 [47.59,
    2 pp100 1818 [1818,
    2 tg4 @ d100 83.23 [83.23,
    2 pp100 @ d1000 1538 [1538,
    2 tg4 @ d1100 45.42 [45.42,
    ");
}

#[test]
fn report_rebuilds_everything_from_the_journal() {
    let bench = exact();
    bench.run(&["run", "exact.toml", "--out", "out", "--quiet"]).ends_with(0);
    let files = ["cells.csv", "samples.csv", "tokens.csv", "summary.md", "plots/decode.svg"];
    let before = files.map(|file| bench.read(&format!("out/{file}")));
    for file in files {
        std::fs::remove_file(bench.path(&format!("out/{file}"))).unwrap();
    }
    bench.run(&["report", "out"]).ends_with(0);
    assert_eq!(before, files.map(|file| bench.read(&format!("out/{file}"))));
}

#[test]
fn a_dry_run_shows_the_plan_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let ran = bench.run(&["run", "--dry-run", "--model", "smollm2-135m", "--engine", "fake:"]);
    let ran = ran.ends_with(0);
    assert!(ran.stdout.contains("SmolLM2-135M"), "{}", ran.stdout);
    assert!(ran.stdout.contains("time: unknown"), "{}", ran.stdout);
    assert!(!bench.path("reports").exists());

    let ran = bench.run(&["run", "--dry-run", "--model", "SmolLM2-135M", "--engine", "reference"]);
    let ran = ran.ends_with(0);
    // Exact: the bytes of all tensors, and 2 × 30 layers × 3 heads × 64 × 160 tokens × 2 bytes.
    assert!(ran.stdout.contains("85.8 MiB"), "{}", ran.stdout);
    assert!(ran.stdout.contains("3.5 MiB"), "{}", ran.stdout);
}

#[test]
fn a_plan_measured_before_has_an_estimate() {
    let bench = exact();
    bench.run(&["run", "exact.toml", "--quiet"]).ends_with(0);
    let folder = std::fs::read_dir(bench.path("reports")).unwrap().next().unwrap().unwrap();
    assert!(folder.file_name().to_str().unwrap().ends_with("Z-exact"), "{folder:?}");
    let ran = bench.run(&["run", "exact.toml", "--dry-run"]).ends_with(0);
    assert!(ran.stdout.contains("time: about"), "{}", ran.stdout);
}

#[test]
fn everything_wrong_with_a_suite_is_said_at_once_with_its_line() {
    let bench = Bench::new();
    bench.write(
        "bad.toml",
        "repetitons = 3\n[[matrix]]\nengine = \"fake\"\nmodel = \"tiny-llama\"\nquant = \"Q9\"\n\
         n_prompt = 4\nn_ubatch = 0\n",
    );
    let ran = bench.run(&["run", "bad.toml"]).ends_with(2);
    for said in ["bad.toml:1:", "`repetitions`", "bad.toml:5:", "bad.toml:7:"] {
        assert!(ran.stderr.contains(said), "{said} is missing in:\n{}", ran.stderr);
    }
}

#[test]
fn wrong_words_on_the_command_line_end_with_2_and_name_what_is_allowed() {
    let bench = Bench::new();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "qiuck"], "quick"),
        (&["run", "--model", "SmolLM2-135"], "SmolLM2-135M"),
        (&["run", "--quant", "Q5"], "Q8_0"),
        (&["run", "--engine", "vllm"], "reference"),
        (&["run", "--filter", "speed>3"], "n_depth"),
        (&["run", "--budget", "soon"], "5m"),
        (&["run", "--threads", "0..", "--dry-run"], "--threads"),
        (&["run", "-m", "nothing.gguf"], "nothing.gguf"),
        (&["run", "--resume", "nowhere"], "nowhere"),
        (&["report", "nowhere"], "there is no folder nowhere"),
        (&["synth", "SmolLM2-153M", "-o", "x.gguf"], "SmolLM2-135M"),
    ];
    for (arguments, said) in cases {
        let ran = bench.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_filter_keeps_what_it_names() {
    let bench = exact();
    let filter = ["--filter", "n_depth=0"];
    bench
        .run(&[&["run", "exact.toml", "--out", "out", "--quiet"], &filter[..]].concat())
        .ends_with(0);
    assert_eq!(bench.read("out/cells.csv").lines().count(), 1 + 2);
}

#[test]
fn a_budget_that_is_too_small_shortens_the_plan_and_says_so() {
    let bench = exact();
    // A first run tells what cells cost here.
    let slow = SUITE.replace("clock=scripted", "load_ms=50");
    bench.write("exact.toml", &slow);
    bench.run(&["run", "exact.toml", "--quiet"]).ends_with(0);
    let ran = bench.run(&["run", "exact.toml", "--dry-run", "--budget", "2s"]).ends_with(0);
    assert!(ran.stderr.contains("note: "), "{}", ran.stderr);
}

#[test]
fn nothing_in_the_results_tells_who_measured_where() {
    let bench = Bench::new();
    let model = bench.path("secret-folder/mine.gguf");
    std::fs::create_dir_all(model.parent().unwrap()).unwrap();
    let model = model.to_str().unwrap();
    bench.run(&["synth", "tiny-llama", "--quant", "Q8_0", "-o", model]).ends_with(0);
    bench.write("one.toml", "repetitions = 1\nprobe = \"off\"\n[[matrix]]\nengine = \"reference\"\nmodel = \"tiny-llama\"\nquant = \"Q8_0\"\nn_prompt = 4\nn_gen = 2\n");
    bench.run(&["run", "one.toml", "-m", model, "--out", "out", "--quiet"]).ends_with(0);
    let files = ["run.json", "records.jsonl", "cells.csv", "summary.md"];
    let text = files.map(|file| bench.read(&format!("out/{file}"))).concat();
    assert!(text.contains("mine.gguf"));
    assert!(!text.contains("secret-folder"), "a path is in the results");
    let folder = bench.path("");
    assert!(!text.contains(folder.to_str().unwrap().trim_end_matches('/')));
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        let host = host.trim();
        assert!(host.len() < 4 || !text.contains(host), "the host's name is in the results");
    }
    let record = &bench.records("out")[0];
    assert_eq!(record["model"]["origin"], "file");
    assert_eq!(record["model"]["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bench = Bench::new();
    for (file, seed) in [("a.gguf", "5"), ("b.gguf", "5"), ("c.gguf", "6")] {
        bench.run(&["synth", "tiny-qwen2", "-q", "Q4_0", "--seed", seed, "-o", file]).ends_with(0);
    }
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert_eq!(read("a.gguf"), read("b.gguf"));
    assert_ne!(read("a.gguf"), read("c.gguf"));
    assert!(!bench.path("a.gguf.part").exists());
}

#[test]
fn every_model_is_listed_with_the_engines_that_run_it() {
    let bench = Bench::new();
    let ran = bench.run(&["list", "models", "--json"]).ends_with(0);
    let models: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let models = models.as_array().unwrap();
    assert_eq!(models.len(), 86);
    for model in models {
        let engines: Vec<&str> =
            model["engines"].as_array().unwrap().iter().filter_map(|e| e.as_str()).collect();
        let arch = model["arch"].as_str().unwrap();
        assert!(engines.contains(&"reference"), "{model}");
        let known = cfg!(feature = "llama-cpp") && !["opt", "galactica"].contains(&arch);
        assert_eq!(engines.contains(&"llama-cpp"), known, "{model}");
        assert!(!engines.contains(&"fake"), "{model}");
    }
    let ran = bench.run(&["list", "suites"]).ends_with(0);
    assert!(ran.stdout.contains("quick") && ran.stdout.contains("smoke"), "{}", ran.stdout);
}

#[test]
fn models_are_listed_by_name_family_architecture_engine_and_size() {
    let bench = Bench::new();
    bench.write(
        "more.toml",
        "[[model]]\nname = \"mine\"\nfamily = \"Own\"\npath = \"mine.gguf\"\n\
         [[model]]\nname = \"theirs\"\nhf = \"someone/some-repo:file.gguf\"\n",
    );
    let names = |arguments: &[&str]| -> Vec<String> {
        let ran = bench.run(&[&["list", "models"], arguments].concat()).ends_with(0);
        let rows = ran.stdout.lines().map(|l| l.split("  ").next().unwrap_or_default().to_owned());
        rows.filter(|name| !name.is_empty() && name != "model" && !name.contains('─')).collect()
    };
    assert_eq!(names(&["qwen3-*"]), ["Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B"]);
    assert_eq!(names(&["--family", "gemma", "--params", "..1B"]), ["Gemma-3-270M", "Gemma-3-1B"]);
    assert_eq!(
        names(&["--engine", "reference", "--arch", "qwen2", "--params", "2B.."]),
        ["Qwen1.5-4B", "Qwen2.5-3B"]
    );
    assert_eq!(names(&["--models", "more.toml"]), ["mine", "theirs"]);
    assert_eq!(names(&["--models", "more.toml", "--family", "Own"]), ["mine"]);

    let page = bench.run(&["list", "models", "qwen2-0.5b"]).ends_with(0).stdout;
    let page = page.replace('\u{202f}', " ");
    for said in ["unique: 494 032 768", "12.0 KiB per token in F16", "Q4_K_M  373.7 MiB", "6.35"] {
        assert!(page.contains(said), "{said} is missing in:\n{page}");
    }
    for (arguments, said) in [
        (&["Qwen9"][..], "unknown model `Qwen9`"),
        (&["Qwen9-*"], "no model fits"),
        (&["--params", "1B"], "500M..2B"),
        (&["--engine", "vllm"], "reference"),
    ] {
        let ran = bench.run(&[&["list", "models"], arguments].concat()).ends_with(2);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn the_smoke_suite_finishes_on_every_engine_of_this_build() {
    let bench = Bench::new();
    bench.run(&["run", "smoke", "--out", "out", "--probe", "off"]).ends_with(0);
    let records = bench.records("out");
    for record in &records {
        let expected = match record["cell"]["engine"].as_str().unwrap() {
            "llama-cpp" if !cfg!(feature = "llama-cpp") => "skipped",
            _ => "finished",
        };
        assert_eq!(record["outcome"]["kind"], expected, "{record}");
        if expected == "finished" {
            let memory = &record["memory"];
            let peak = memory["peak_rss_bytes"].as_u64().unwrap();
            assert!(peak > memory["rss_before_load_bytes"].as_u64().unwrap());
            // Every kind is predicted to the byte.
            let (allocated, predicted) = (&memory["allocated"], &memory["predicted"]);
            for kind in ["weight_copy_bytes", "kv_bytes", "compute_bytes", "output_bytes"] {
                assert_eq!(allocated[kind], predicted[kind], "{kind}: {record}");
            }
            let basis = &predicted["basis"];
            if record["cell"]["engine"] == "reference" {
                assert_eq!(basis, "planner");
                assert_eq!(allocated["weight_bytes"], predicted["weight_bytes"], "{record}");
            } else {
                // What is mapped depends on which tensors are laid out anew.
                assert_eq!(basis, "library");
                assert_eq!(record["model"]["weight_bytes"], predicted["weight_bytes"]);
            }
            assert!(record["surroundings"]["parent_cpu_ns"].as_u64().is_some());
        }
    }
    for plot in ["prefill", "decode", "prefill-depth", "decode-depth", "memory"] {
        let svg = bench.read(&format!("out/plots/{plot}.svg"));
        assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{plot}");
    }
}

#[test]
fn memory_is_seen_phase_by_phase_and_adds_up_to_its_peak() {
    const MIB: u64 = 1 << 20;
    let bench = Bench::new();
    let engines = ["fake:memory_mb=64,load_ms=100,prefill_ms=1,decode_ms=60", "reference"];
    bench.write("two.toml", &format!("repetitions = 1\nprobe = \"off\"\n[[matrix]]\nengine = {engines:?}\nmodel = \"tiny-llama\"\nquant = \"Q8_0\"\nn_prompt = 16\nn_gen = 4\n"));
    bench.run(&["run", "two.toml", "--out", "out", "--quiet"]).ends_with(0);
    for record in bench.records("out") {
        let memory = &record["memory"];
        let phases = memory["phases"].as_array().unwrap();
        let names: Vec<&str> = phases.iter().map(|p| p["phase"].as_str().unwrap()).collect();
        assert_eq!(names, ["start", "load", "warm_up", "passes"]);
        let peak = memory["peak_rss_bytes"].as_u64().unwrap();
        for phase in phases {
            let number = |field: &str| phase[field].as_u64().unwrap_or(0);
            assert!(number("rss_bytes") > 0 && number("peak_rss_bytes") <= peak, "{phase}");
            assert!(number("sampled_rss_bytes") <= peak, "{phase}");
            assert_eq!(number("rss_anon_bytes") + number("rss_file_bytes"), number("rss_bytes"));
            assert!(phase["minor_faults"].is_u64() && phase["major_faults"].is_u64(), "{phase}");
        }
        assert!(memory["sampler_cpu_ns"].as_u64() > Some(0));
        if record["cell"]["engine"] != "reference" {
            assert!(phases[1]["peak_rss_bytes"].as_u64() >= Some(64 * MIB), "{}", phases[1]);
            assert!(phases[1]["minor_faults"].as_u64() > Some(16), "{}", phases[1]);
            assert!(phases[1]["samples"].as_u64() > Some(1), "{}", phases[1]);
            assert!(phases[3]["samples"].as_u64() > Some(0), "{}", phases[3]);
            assert!(memory["rss_before_load_bytes"].as_u64() < Some(64 * MIB));
        }
    }
    let parts = ["weight", "weight_copy", "kv", "compute", "output", "heap"]
        .map(|kind| format!("resident_{kind}_bytes"));
    let names: Vec<&str> = ["peak_rss_bytes", "process_bytes", "unaccounted_bytes"]
        .into_iter()
        .chain(parts.iter().map(String::as_str))
        .collect();
    for row in columns(&bench.read("out/cells.csv"), &names).lines() {
        let numbers: Vec<i64> = row.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers[0], numbers[1..].iter().sum::<i64>(), "{row}");
        assert!(numbers[2].abs() < 10 * MIB as i64, "unaccounted: {row}");
    }
    let summary = bench.read("out/summary.md");
    assert!(
        summary.contains("<summary>Memory</summary>") && summary.contains("| unaccounted |"),
        "{summary}"
    );
    let cost: serde_json::Value = serde_json::from_str(&bench.read("out/run.json")).unwrap();
    assert!(cost["cost"]["parent_cpu_share"].as_f64() > Some(0.0));
}

#[test]
fn the_instruction_set_can_be_forced_and_is_in_the_record() {
    let bench = Bench::new();
    bench.write("one.toml", "repetitions = 1\nprobe = \"off\"\n[[matrix]]\nengine = \"reference\"\nmodel = \"tiny-llama\"\nquant = \"Q4_0\"\nn_prompt = 4\nn_gen = 2\n");
    let status = bench
        .command(&["run", "one.toml", "--out", "out", "--quiet"])
        .env("SLMBENCH_ISA", "plain")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(bench.records("out")[0]["engine"]["system"], "plain");
}
