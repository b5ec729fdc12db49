//! `slmbench memory`: what is shown of models and files, what fits, and the survey's figure.

use std::fs::File;

use serde_json::Value;
use slmbench::engine::{Engine, ReferenceEngine};
use slmbench::ggml::GgmlType;
use slmbench::memory::predict_built_in;
use slmbench::model::{Catalogue, FileMix};
use slmbench::settings::{Auto, FlashAttn, LoadMode, Settings};
use slmbench::synth::Synthesis;

#[cfg(feature = "llama-cpp")]
use crate::support::number;
use crate::support::{Bench, Ran};

fn memory(arguments: &[&str]) -> Ran {
    Bench::new().run(&[&["memory"], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&memory(&[arguments, &["--json"]].concat()).ends_with(0).stdout).unwrap()
}

#[test]
fn what_a_model_needs_is_shown_in_a_table() {
    let ran = memory(&["SmolLM2-135M", "qwen3-0*", "--quant", "Q4_K_M,Q8_0", "-c", "2048,max"]);
    insta::assert_snapshot!(ran.ends_with(0).stdout);
}

#[test]
fn the_page_on_memory_shows_what_the_command_prints() {
    let page = include_str!("../../docs/memory.md");
    let (_, block) = page.split_once("$ slmbench memory ").unwrap();
    let (arguments, block) = block.split_once('\n').unwrap();
    let (shown, _) = block.split_once("```").unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    assert_eq!(memory(&arguments).ends_with(0).stdout, shown);
}

#[test]
fn what_fits_into_a_device_is_told_for_each_model() {
    let device = ["--device", "raspberry pi 5 2gb", "-c", "2048,8192"];
    let ran = memory(&[&["SmolLM2-135M", "Qwen3-0.6B", "Qwen3-4B"], &device[..]].concat());
    insta::assert_snapshot!(ran.ends_with(0).stdout);
}

#[test]
fn the_json_of_memory_keeps_the_names_of_its_fields() {
    let told = json(&["tiny-llama", "-q", "Q4_0", "-c", "1,max", "--budget", "9MiB", "--offload"]);
    insta::assert_snapshot!(format!("{told:#}"));
}

#[test]
fn csv_goes_to_a_file_or_to_standard_output() {
    let bench = Bench::new();
    let rows = bench.run(&["memory", "tiny-*", "--csv", "-"]).ends_with(0).stdout;
    insta::assert_snapshot!(rows);
    let ran = bench.run(&["memory", "tiny-*", "--csv", "rows.csv"]).ends_with(0);
    assert_eq!(bench.read("rows.csv"), rows);
    assert!(ran.stdout.starts_with("model"), "{}", ran.stdout);
    let ran = bench.run(&["memory", "tiny-*", "--csv", "no/such/folder.csv"]).ends_with(7);
    assert!(ran.stderr.contains("no/such/folder.csv"), "{}", ran.stderr);
}

#[test]
fn a_file_needs_what_the_model_of_its_shape_needs() {
    let bench = Bench::new();
    bench.run(&["synth", "tiny-llama", "-q", "Q8_0", "-o", "mine.gguf"]).ends_with(0);
    let rows = |arguments: &[&str]| -> Value {
        let all = [&["memory", "--json", "--budget", "1GiB"], arguments].concat();
        serde_json::from_str(&bench.run(&all).ends_with(0).stdout).unwrap()
    };
    let (mut file, named) = (rows(&["mine.gguf"]), rows(&["tiny-llama", "-q", "Q8_0"]));
    assert_eq!(file["rows"][0]["model"], "mine.gguf");
    file["rows"][0]["model"] = "tiny-llama".into();
    assert_eq!(file["rows"], named["rows"]);
    // A file is what it is: no other mix of it can be made.
    assert_eq!(file["best_quant"], Value::Array(vec![]));
    assert_eq!(named["best_quant"][0]["quant"], "F16");
}

#[test]
fn all_parts_of_a_row_make_its_total() {
    let told = json(&["*", "-q", "Q4_K_M", "-c", "300,max", "--offload", "--flash-attn", "off"]);
    let rows = told["rows"].as_array().unwrap();
    assert!(rows.len() > 160, "{}", rows.len());
    for row in rows {
        let of = |key: &str| row[key].as_u64().unwrap();
        let parts = ["weight", "weight_copy", "kv", "compute", "mask", "input", "output"];
        let sum: u64 = parts.iter().map(|part| of(&format!("{part}_bytes"))).sum();
        assert_eq!(sum, of("total_bytes"), "{row}");
        for (parts, whole) in [
            ("weight_type_bytes", "weight_bytes"),
            ("weight_group_bytes", "weight_bytes"),
            ("kv_layer_bytes", "kv_bytes"),
        ] {
            let sum: u64 = match &row[parts] {
                Value::Array(all) => all.iter().map(|n| n.as_u64().unwrap()).sum(),
                Value::Object(all) => all.values().map(|n| n.as_u64().unwrap()).sum(),
                other => panic!("{other}"),
            };
            assert_eq!(sum, of(whole), "{row}");
        }
        assert_eq!(of("n_ctx") % 256, 0);
    }
}

#[test]
fn a_quantised_cache_and_a_window_cost_less() {
    let kv = |more: &[&str]| {
        let told = json(&[&["Gemma-3-1B", "-c", "32768"], more].concat());
        told["rows"][0]["kv_bytes"].as_u64().unwrap()
    };
    let whole = kv(&[]);
    assert_eq!(kv(&["--type-kv", "q8_0"]) * 64, whole * 34);
    let told = json(&["Gemma-3-1B", "-c", "32768"]);
    assert_eq!(told["rows"][0]["kv_windowed_bytes"].as_u64(), Some(kv(&["--windowed"])));
    assert!(kv(&["--windowed"]) * 4 < whole);
}

/// The survey's figure "memory at n_ctx 2048" (arXiv 2409.15790), digitised from its vector file;
/// its parameters and "other" agree in their sum only.
#[test]
fn the_surveys_figure_is_redrawn_within_what_the_survey_can_tell() {
    let bars = json(&["--paper"]);
    let bars = bars.as_array().unwrap();
    assert_eq!(bars.len(), 22);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/survey-memory.csv");
    let csv = std::fs::read_to_string(path).unwrap();
    for row in csv.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let bar = bars.iter().find(|bar| bar["model"] == fields[0]).unwrap();
        let figure = |i: usize| fields[i].parse::<f64>().unwrap();
        let of = |key: &str| bar[key].as_f64().unwrap();
        assert!((of("compute_mib") - figure(1)).abs() <= 0.5, "{bar}");
        assert!((of("kv_mib") - figure(2)).abs() <= 0.1, "{bar}");
        let rest = of("weights_mib") + of("other_mib") - figure(3) - figure(4);
        assert!(rest.abs() <= 0.5, "{bar}");
    }
    insta::assert_snapshot!(memory(&["--paper"]).ends_with(0).stdout);
}

#[test]
fn each_kind_of_plot_is_drawn_and_a_bad_one_is_refused() {
    let bench = Bench::new();
    let ask = |more: &[&str]| bench.run(&[&["memory", "SmolLM2-135M", "Phi-2"], more].concat());
    for kind in ["models", "context", "groups", "cache"] {
        let table = ask(&["--plot", "p.svg", "--plot-kind", kind, "--budget", "2GiB"]).ends_with(0);
        assert!(table.stdout.starts_with("model"));
        let svg = bench.read("p.svg");
        assert!(svg.starts_with("<svg") && svg.contains("MiB)") && svg.contains("phi-2"), "{svg}");
    }
    bench.run(&["memory", "--paper", "--plot", "paper.svg"]).ends_with(0);
    let svg = bench.read("paper.svg");
    for model in ["StableLM-zephyr-3B", "Bloom-560M", "mid-2024"] {
        assert!(svg.contains(model), "{model}");
    }
    let ran = ask(&["--plot", "p.svg", "--plot-kind", "pie"]).ends_with(2);
    assert!(ran.stderr.contains("allowed are models, context, groups, cache"), "{}", ran.stderr);
    let ran = ask(&["Qwen*", "--plot", "p.svg", "--plot-kind", "context"]).ends_with(2);
    assert!(ran.stderr.contains("hint: name fewer"), "{}", ran.stderr);
    ask(&["--plot-kind", "cache"]).ends_with(2);
    let ran = ask(&["--plot", "no/folder/p.svg"]).ends_with(7);
    assert!(ran.stderr.contains("no/folder/p.svg"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_told_is_refused_with_what_is_allowed() {
    let bench = Bench::new();
    bench.write("no.gguf", "nothing of the kind");
    let mut said = String::new();
    for arguments in [
        &["SmolLM2-135M", "--budget", "4"][..],
        &["SmolLM2-135M", "--budget", "lots"],
        &["SmolLM2-135M", "--device", "Raspberry Pi 5"],
        &["SmolLM2-135M", "--device", "Raspberry Pi 6 8GB"],
        &["SmolLM2-135M", "--device", "Cray-1"],
        &["SmolLM2-135M", "-c", "0"],
        &["SmolLM2-135M", "-c", "many"],
        &["SmolLM2-135M", "-q", "Q9"],
        &["SmolLM2-135M", "--type-kv", "Q4_K"],
        &["SmolLM2-135M", "--type-kv", "Q8_0", "--flash-attn", "off"],
        &["Phi-2", "--type-kv", "Q8_0"],
        &["GPT-5"],
        &["GPT-5*"],
        &["gone.gguf"],
        &["no.gguf"],
        &["no.gguf", "-q", "Q4_0"],
        &["--paper", "-q", "Q4_0"],
        &["--paper", "SmolLM2-135M"],
    ] {
        let ran = bench.run(&[&["memory"], arguments].concat()).ends_with(2);
        assert!(ran.stdout.is_empty(), "{arguments:?}");
        said.push_str(&format!("{}\n{}\n", arguments.join(" "), ran.stderr));
    }
    bench.run(&["memory"]).ends_with(2);
    insta::assert_snapshot!(said);
}

#[test]
fn devices_are_listed_with_their_memory_and_the_one_that_is_here() {
    let bench = Bench::new();
    bench.write("pi/proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
    bench.write("pi/proc/meminfo", "MemTotal:        8245000 kB\nMemAvailable:    7600000 kB\n");
    let list = |more: &[&str]| {
        let mut command = bench.command(&[&["list", "devices"], more].concat());
        let ran: Ran = command.env("SLMBENCH_ROOT", bench.path("pi")).output().unwrap().into();
        ran.ends_with(0).stdout
    };
    insta::assert_snapshot!(list(&[]));
    let rows: Value = serde_json::from_str(&list(&["--json"])).unwrap();
    let here: Vec<&Value> =
        rows.as_array().unwrap().iter().filter(|row| row["is_this_machine"] == true).collect();
    insta::assert_snapshot!(format!("{:#}", Value::from_iter(here.into_iter().cloned())));
    bench.write("mine.toml", "[[device]]\nname = 'mine'\nrecognise = { machine = 'Rasp*' }\n");
    let mine = list(&["--devices", "mine.toml"]);
    assert!(mine.contains("this machine"), "{mine}");
}

#[test]
fn what_an_engine_answers_is_what_a_run_then_allocates() {
    let bench = Bench::new();
    for engine in ["reference", "llama-cpp"] {
        let ask = ["memory", "tiny-llama", "-q", "Q8_0", "-c", "256", "--engine", engine, "--json"];
        if engine == "llama-cpp" && !cfg!(feature = "llama-cpp") {
            assert!(bench.run(&ask).ends_with(2).stderr.contains("engine llama-cpp: "));
            continue;
        }
        let told = bench.run(&ask).ends_with(0).stdout;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["basis"], &told["engine"]), (&"engine".into(), &engine.into()));
        let row = &told["rows"][0];
        let run = [
            "run",
            "smoke",
            "--engine",
            engine,
            "--model",
            "tiny-llama",
            "--quant",
            "Q8_0",
            "-p",
            "32",
            "-n",
            "4",
            "-d",
            "0",
            "-c",
            "256",
            "--probe",
            "off",
            "--quiet",
            "--out",
            engine,
        ];
        bench.run(&run).ends_with(0);
        let allocated = &bench.records(engine)[0]["memory"]["allocated"];
        for kind in ["weight_copy_bytes", "kv_bytes", "compute_bytes", "output_bytes"] {
            assert_eq!(row[kind], allocated[kind], "{engine} {kind}: {row} {allocated}");
        }
        assert!(row.get("mask_bytes").is_none());
        let table = bench.run(&ask[..ask.len() - 1]).ends_with(0).stdout;
        assert!(table.contains(&format!("In MiB, as {engine} would take it here")), "{table}");
    }
    let nobody = bench.run(&["memory", "tiny-llama", "--engine", "vllm"]).ends_with(2);
    assert!(nobody.stderr.contains("vllm"), "{}", nobody.stderr);
}

/// Both from the files as they are written, but for their weights: of each model one mix, all mixes in
/// turn. What loading takes is held against the plan beside the engine, for every mix.
#[test]
fn what_is_predicted_of_every_model_is_what_the_built_in_engine_plans_of_its_file() {
    let bench = Bench::new();
    let (catalogue, engine) = (Catalogue::built_in().unwrap(), ReferenceEngine::new().unwrap());
    let path = bench.path("hollow.gguf");
    for (i, shape) in catalogue.shapes().enumerate() {
        let mix = FileMix::ALL[i % FileMix::ALL.len()];
        Synthesis::new(shape, mix, 1).write_hollow(&File::create(&path).unwrap()).unwrap();
        for (n_ctx, n_ubatch, flash_attn, load_mode, type_v) in [
            (2048, 512, FlashAttn::On, LoadMode::Auto, GgmlType::F16),
            (300, 64, FlashAttn::Off, LoadMode::Mmap, GgmlType::F32),
        ] {
            let settings = Settings {
                n_threads: Auto::Fixed(3),
                n_ctx: Auto::Fixed(n_ctx),
                n_ubatch,
                flash_attn,
                load_mode,
                type_v,
                ..Settings::default()
            };
            let planned = engine.plan(&path, &settings).unwrap().unwrap().budget();
            let predicted = predict_built_in(shape, &mix.tensors(shape), &settings, n_ctx);
            assert_eq!(planned, predicted, "{} {mix} {n_ctx}", shape.name);
        }
    }
}

/// A vocabulary of 200,000 makes the tokenizer the largest thing beside the buffers.
#[cfg(feature = "llama-cpp")]
#[test]
fn what_llama_cpp_keeps_beside_its_buffers_is_foretold_and_nothing_is_left_unaccounted() {
    let bench = Bench::new();
    let shape = "arch = \"llama\"\nn_layer = 2\nn_embd = 64\nn_ff = 128\nn_head = 2\nn_head_kv = 2\n\
                 n_ctx_train = 512\ntied_output = true\nrope_freq_base = 1e4\nnorm_eps = 1e-6\n";
    let model = |name: &str, n_vocab: u32| {
        format!(
            "[[model]]\nname = \"{name}\"\nfamily = \"tiny\"\nn_vocab = {n_vocab}\n\
                 n_params = {}\n{shape}",
            82_240 + 64 * n_vocab
        )
    };
    bench.write("m.toml", &(model("few", 1_000) + &model("many", 200_000)));
    bench.write(
        "one.toml",
        "repetitions = 1\nprobe = \"off\"\n[[matrix]]\nengine = \"llama-cpp\"\nmodel = [\"few\", \"many\"]\n\
         quant = \"Q8_0\"\nn_prompt = 16\nn_gen = 2\n",
    );
    bench.run(&["run", "one.toml", "--models", "m.toml", "--out", "out", "-q"]).ends_with(0);
    let rows = bench.rows("out/cells.csv");
    let mib = |row: usize, name: &str| number(&rows[row], name) / f64::from(1 << 20);
    let (few, many) = if rows[0]["model"] == "few" { (0, 1) } else { (1, 0) };
    let grown = mib(many, "predicted_heap_bytes") - mib(few, "predicted_heap_bytes");
    assert!((15.0..60.0).contains(&grown), "{grown} MiB for 199,000 tokens");
    for row in [few, many] {
        assert_eq!(rows[row]["allocated_heap_bytes"], "");
        assert!(mib(row, "unaccounted_bytes").abs() < 10.0, "{}", mib(row, "unaccounted_bytes"));
    }
}
