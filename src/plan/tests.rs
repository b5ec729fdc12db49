//! Plans, whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fixtures::{able, catalogue, facts, plain, suite_of};
use super::*;
use crate::ggml::GgmlType;
use crate::model::{Catalogue, FileMix};
use crate::settings::{Auto, Capabilities, FlashAttn, MemoryRule};
use crate::suite::{self, Filter, Suite, Threads};

fn quick() -> Suite {
    suite::parse(suite::builtin("quick").unwrap(), "quick.toml").unwrap()
}

fn aligned(table: &PlanTable) -> String {
    let mut widths: Vec<usize> = table.header.iter().map(|word| word.len()).collect();
    for row in &table.rows {
        assert_eq!(row.len(), widths.len());
        for (width, word) in widths.iter_mut().zip(row) {
            *width = (*width).max(word.chars().count());
        }
    }
    let line = |words: Vec<&str>| {
        let padded = words.iter().zip(&widths).map(|(word, &width)| format!("{word:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(table.header.clone())];
    lines.extend(table.rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

fn steps(plan: &Plan) -> String {
    let order = plan.order.iter().map(|step| format!("{}:{}", step.cell, step.invocation));
    order.collect::<Vec<_>>().join(" ")
}

fn file(shape: &crate::model::ModelShape) -> ModelFile {
    ModelFile {
        path: PathBuf::from("/models/mine.gguf"),
        label: "mine.gguf".to_owned(),
        sha256: "ab".repeat(32),
        quant: "Q4_K_M".to_owned(),
        arch: shape.arch.name().to_owned(),
        shape: Ok(shape.clone()),
        weight_bytes: 1 << 20,
        tensors: [].into(),
        type_bytes: [(GgmlType::Q4_K, 70), (GgmlType::Q6_K, 29), (GgmlType::F32, 1)].into(),
        bits_per_weight: 4.9,
    }
}

#[test]
fn the_quick_suite_is_laid_out_as_a_person_would_expect() {
    let catalogue = catalogue();
    let plan = lay_out(&quick(), &Selection::default(), &facts(&catalogue)).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{}", aligned(&plan.describe()), steps(&plan)));
}

#[test]
fn every_suite_compiled_in_can_be_planned_without_a_skip() {
    let catalogue = catalogue();
    for name in suite::known_suites(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))) {
        let suite = suite::parse(suite::builtin(&name).unwrap(), &name).unwrap();
        let plan = lay_out(&suite, &Selection::default(), &facts(&catalogue)).unwrap();
        assert!(plan.skipped.is_empty() && plan.notes.is_empty(), "{name}: {plan:?}");
        assert_eq!(
            plan.order.len(),
            plan.cells.iter().map(|c| c.invocations as usize).sum::<usize>()
        );
    }
}

#[test]
fn the_quick_suite_takes_under_three_minutes_on_two_cores() {
    // Measured on two cores of 2023, in tokens per second: prefill, decode.
    let speeds =
        BTreeMap::from([("SmolLM2-135M", (500.0, 120.0)), ("Qwen2.5-0.5B", (200.0, 45.0))]);
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    let plan = lay_out(&quick(), &Selection::default(), &facts).unwrap();
    let mut made = BTreeMap::new();
    for planned in &plan.cells {
        let cell = &planned.cell;
        let (prefill, decode) = speeds[&*cell.model];
        let cost = Cost {
            setup_s: 0.5 + f64::from(cell.n_depth) / prefill,
            prefill_s_per_token: 1.0 / prefill,
            decode_s_per_token: 1.0 / decode,
        };
        facts.earlier.insert(cell.id.clone(), cost);
        made.insert((&cell.model, &cell.quant), planned.predicted.unwrap().weight_bytes);
    }
    let running = lay_out(&quick(), &Selection::default(), &facts).unwrap().estimate().unwrap();
    let making_s = made.values().sum::<u64>() as f64 / 100e6;
    assert!(running.as_s() + making_s < 150.0, "{running} and {making_s} s for the files");
}

#[test]
fn what_an_engine_cannot_run_or_memory_cannot_hold_is_skipped_with_its_reason() {
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    facts.engines.insert("reference".into(), Ok(plain()));
    facts.engines.insert("llama-cpp".into(), Err("this build has no llama.cpp".into()));
    facts.engines.insert(
        "fake:a".into(),
        Ok(crate::settings::Capabilities {
            n_ctx_padding: 256,
            needs_model_file: false,
            kv_types: vec![GgmlType::F16],
            ..able()
        }),
    );
    facts.memory_available_bytes = Some(100 << 20);
    let suite = suite_of(
        r#"
[[matrix]]
engine = ["reference", "llama-cpp", "fake:a"]
model = ["tiny-llama", "Qwen2.5-0.5B"]
quant = "Q8_0"
n_gen = 4
[[matrix]]
engine = "reference"
model = ["tiny-llama", "SmolLM2-360M"]
quant = ["Q4_0", "F16"]
n_gen = 4
[[matrix]]
engine = "reference"
model = "tiny-llama"
quant = "F16"
n_gen = 4
flash_attn = ["on", "off"]
backend_device = ["cpu", "CUDA0"]
type_v = ["F16", "Q8_0"]
load_mode = ["mmap", "mlock"]
"#,
    );
    let plan = lay_out(&suite, &Selection::default(), &facts).unwrap();
    let skipped: Vec<String> = plan
        .skipped
        .iter()
        .map(|(cell, why)| format!("{} {} {}: {why}", cell.engine, cell.model, cell.quant))
        .collect();
    insta::assert_snapshot!(format!("{}\n\n{}", aligned(&plan.describe()), skipped.join("\n")));
}

#[test]
fn what_was_asked_for_by_name_and_cannot_run_is_an_error() {
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    facts.engines.insert("reference".into(), Ok(plain()));
    facts.engines.insert("llama-cpp".into(), Err("this build has no llama.cpp".into()));
    let words = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    let small = catalogue.get("tiny-llama").unwrap();
    let selections = [
        Selection { engines: words(&["llama-cpp"]), ..Selection::default() },
        Selection { models: words(&["Qwen2.5-0.5B"]), ..Selection::default() },
        Selection { quants: words(&["q4_0"]), ..Selection::default() },
        Selection { model_files: vec![file(small)], ..Selection::default() },
        Selection { engines: words(&["llama"]), ..Selection::default() },
        Selection { models: words(&["SmolLM-2-135M", "gpt-5"]), ..Selection::default() },
        Selection { quants: words(&["Q4_K_X"]), ..Selection::default() },
        Selection { cpus: words(&["0-"]), ..Selection::default() },
        Selection { repetitions: Some(0), ..Selection::default() },
        Selection { n_gen: Some(vec![]), ..Selection::default() },
        Selection { n_ctx: Some(vec![Auto::Fixed(64)]), ..Selection::default() },
        Selection { n_prompt: Some(vec![0]), n_gen: Some(vec![0]), ..Selection::default() },
        Selection { filter: Filter::parse("quant=Q5*,n_gen>1").unwrap(), ..Selection::default() },
    ];
    let said: Vec<String> = selections
        .iter()
        .map(|selection| lay_out(&quick(), selection, &facts).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    // Named, but part of it runs: the rest is skipped as ever.
    let some = Selection { engines: words(&["reference"]), ..Selection::default() };
    let plan = lay_out(&quick(), &some, &facts).unwrap();
    assert!(!plan.cells.is_empty() && !plan.skipped.is_empty());
}

#[test]
fn what_an_engine_would_refuse_once_it_runs_is_skipped_in_the_plan() {
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    facts.engines.insert(
        "llama-cpp".into(),
        Ok(crate::settings::Capabilities { flash_attn_for_values: true, ..able() }),
    );
    let quantised = Selection {
        type_v: Some(vec![GgmlType::Q8_0]),
        flash_attn: Some(vec![FlashAttn::Off]),
        ..Selection::default()
    };
    let plan = lay_out(&quick(), &quantised, &facts).unwrap();
    assert!(plan.cells.iter().all(|planned| planned.cell.engine == "reference"));
    let why = "llama-cpp keeps values in Q8_0 only with flash attention";
    assert!(plan.skipped.iter().any(|(_, reason)| reason == why), "{:?}", plan.skipped);
    let on_gpu = Selection { n_gpu_layers: Some(vec![Auto::Fixed(5)]), ..Selection::default() };
    let error = lay_out(&quick(), &on_gpu, &facts).unwrap_err().to_string();
    let said =
        "--n-gpu-layers 5: reference has no device for n_gpu_layers = 5, it computes on the CPU";
    assert!(error.starts_with(said), "{error}");
}

#[test]
fn more_tokens_than_a_model_was_trained_for_are_told() {
    let catalogue = catalogue();
    let deep = Selection {
        models: Some(vec!["SmolLM2-135M".into()]),
        n_depth: Some(vec![0, 100_000]),
        ..Selection::default()
    };
    let plan = lay_out(&quick(), &deep, &facts(&catalogue)).unwrap();
    let told = |note: &&String| note.ends_with("are more than the 8192 it was trained for");
    assert_eq!(plan.notes.iter().filter(told).count(), 1, "{:?}", plan.notes);
    assert!(plan.estimate().is_none() && plan.guess().is_some());
}

#[test]
fn a_selection_replaces_axes_and_equal_cells_are_one() {
    let catalogue = catalogue();
    let selection = Selection {
        models: Some(vec!["smollm2-135m".into()]),
        quants: Some(vec!["q8_0".into()]),
        n_depth: Some(vec![0]),
        n_threads: Some(vec![Threads::Fixed(1), Threads::Fixed(8)]),
        type_k: Some(vec![GgmlType::Q8_0]),
        flash_attn: Some(vec![FlashAttn::On]),
        filter: Filter::parse("engine=ref*").unwrap(),
        invocations: Some(2),
        seed: Some(5),
        ..Selection::default()
    };
    let plan = lay_out(&quick(), &selection, &facts(&catalogue)).unwrap();
    insta::assert_snapshot!(format!(
        "{}\n\n{}\n{}",
        aligned(&plan.describe()),
        steps(&plan),
        plan.notes.join("\n")
    ));
    let mut plain = quick();
    plain.matrices.truncate(1);
    let twice = Suite { matrices: [&plain.matrices[..], &plain.matrices[..]].concat(), ..plain };
    let mut more = twice.clone();
    more.matrices[1].times.invocations = 4;
    let cells =
        |suite: &Suite| lay_out(suite, &Selection::default(), &facts(&catalogue)).unwrap().cells;
    assert_eq!(cells(&twice).len(), 12);
    assert!(cells(&more).iter().all(|planned| planned.invocations == 4));
}

#[test]
fn a_pattern_means_every_model_by_shape_that_matches_and_all_means_all_cpus() {
    let catalogue = catalogue();
    let facts = Facts { n_cpus: 6, n_cores: 6, ..facts(&catalogue) };
    let planned = |models: &[&str], threads: &str| {
        let selection = Selection {
            models: Some(models.iter().map(|m| (*m).to_owned()).collect()),
            n_threads: Some(Threads::parse(threads).unwrap()),
            ..Selection::default()
        };
        let suite = suite_of(
            "[[matrix]]\nengine = \"reference\"\nmodel = \"*\"\nquant = \"Q8_0\"\nn_gen = 8\n\
             exclude = [{ model = \"tiny-*\" }]",
        );
        lay_out(&suite, &selection, &facts).map(|plan| {
            let words = plan
                .cells
                .iter()
                .map(|c| format!("{} {}", c.cell.model, c.cell.settings.n_threads));
            words.collect::<Vec<_>>()
        })
    };
    assert_eq!(
        planned(&["qwen3-*", "Qwen3-4B", "tiny-*"], "1").unwrap(),
        ["Qwen3-0.6B 1", "Qwen3-1.7B 1", "Qwen3-4B 1"]
    );
    assert_eq!(
        planned(&["GPT-2"], "1..all*2").unwrap(),
        ["GPT-2 1", "GPT-2 2", "GPT-2 4", "GPT-2 6"]
    );
    let error = planned(&["Qwen9-*"], "1").unwrap_err().to_string();
    assert!(error.contains("unknown model `Qwen9-*`"), "{error}");
}

#[test]
fn users_files_stand_alone_or_beside_named_models() {
    let catalogue = catalogue();
    let facts = facts(&catalogue);
    let files = vec![file(catalogue.get("tiny-llama").unwrap())];
    let alone = Selection { model_files: files.clone(), ..Selection::default() };
    let plan = lay_out(&quick(), &alone, &facts).unwrap();
    assert_eq!(plan.cells.len(), 4);
    assert!(plan.cells.iter().all(|c| c.cell.model == "mine.gguf" && c.cell.quant == "Q4_K_M"));
    assert_eq!(plan.cells[0].predicted.unwrap().weight_bytes, 1 << 20);

    let models = Some(vec!["tiny-qwen2".to_owned()]);
    let beside = Selection { model_files: files, models, ..Selection::default() };
    let plan = lay_out(&quick(), &beside, &facts).unwrap();
    assert_eq!(plan.cells.iter().filter(|c| c.cell.model == "tiny-qwen2").count(), 12);
    assert_eq!(plan.cells.iter().filter(|c| c.cell.model == "mine.gguf").count(), 4);
}

/// The catalogue compiled in and two models that are files.
fn with_files() -> crate::model::Catalogue {
    let files = "[[model]]\nname = \"Mine\"\naliases = [\"my-model\"]\npath = \"mine.gguf\"\n\
                 [[model]]\nname = \"Theirs\"\nhf = \"owner/repo:m.gguf\"\n";
    let text = format!("{}\n{files}", include_str!("../../models.toml"));
    crate::model::Catalogue::parse(&text, "models.toml").unwrap()
}

#[test]
fn a_model_that_is_a_file_has_one_cell_whatever_the_file_mixes() {
    let catalogue = with_files();
    let mut facts = facts(&catalogue);
    let own = file(catalogue.get("tiny-llama").unwrap());
    facts.files.insert("Mine".into(), ModelFile { label: "Mine".into(), ..own });
    let suite = suite_of(
        r#"
[[matrix]]
engine = "reference"
model = ["SmolLM2-135M", "my-model", "Mine"]
quant = ["Q8_0", "F16"]
n_gen = [4, 8]
exclude = [{ model = "m*", n_gen = 8 }]
"#,
    );
    let plan = lay_out(&suite, &Selection::default(), &facts).unwrap();
    let cells =
        plan.cells.iter().map(|p| format!("{} {} {}", p.cell.model, p.cell.quant, p.cell.test()));
    let cells: Vec<String> = cells.collect();
    insta::assert_snapshot!(cells.join("\n"), @"
    SmolLM2-135M Q8_0 tg4
    SmolLM2-135M Q8_0 tg8
    SmolLM2-135M F16 tg4
    SmolLM2-135M F16 tg8
    Mine Q4_K_M tg4
    ");
    assert_eq!(plan.cells[4].cell.source, ModelSource::File { sha256: "ab".repeat(32) });
    assert_eq!(plan.cells[4].predicted.unwrap().weight_bytes, 1 << 20);
}

#[test]
fn only_models_that_the_plan_wants_are_asked_for() {
    let catalogue = with_files();
    let facts = facts(&catalogue);
    let suite = suite_of(
        "[[matrix]]\nengine = \"reference\"\nmodel = [\"tiny-llama\", \"Theirs\"]\n\
         quant = \"F16\"\nn_gen = 4\n",
    );
    let named = |selection: &Selection| {
        let models = named_models(&suite, selection, &catalogue).unwrap();
        models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(named(&Selection::default()), ["tiny-llama", "Theirs"]);
    let models = Some(vec!["my-model".to_owned(), "MINE".to_owned()]);
    assert_eq!(named(&Selection { models, ..Selection::default() }), ["Mine"]);
    let model_files = vec![file(catalogue.get("tiny-llama").unwrap())];
    assert!(named(&Selection { model_files, ..Selection::default() }).is_empty());

    let filter = Filter::parse("model=tiny*,n_gen=4").unwrap();
    let some = Selection { filter, ..Selection::default() };
    assert_eq!(named(&some), ["tiny-llama"]);
    // Nobody opened the other, and nobody misses it.
    assert_eq!(lay_out(&suite, &some, &facts).unwrap().cells.len(), 1);
    let error = lay_out(&suite, &Selection::default(), &facts).unwrap_err();
    assert_eq!(error, PlanError::NoFile("Theirs".into()));

    let quants = Some(vec!["Q9".to_owned()]);
    let wrong = Selection { quants, ..Selection::default() };
    assert!(named_models(&suite, &wrong, &catalogue).is_err(), "wrong words are told first");
}

#[test]
fn a_budget_lowers_repetitions_then_lengths_and_says_so() {
    let catalogue = catalogue();
    let facts = facts(&catalogue);
    let plan_with = |seconds: u64| {
        let budget = Some(Nanos(seconds * 1_000_000_000));
        let suite = suite_of(
            r#"
repetitions = 8
[[matrix]]
engine = "reference"
model = "SmolLM2-135M"
quant = "Q4_0"
n_prompt = [512, 256, 0]
n_gen = 128
"#,
        );
        let selection = Selection { budget, ..Selection::default() };
        lay_out(&suite, &selection, &facts).unwrap()
    };
    let told: Vec<String> = [3600, 40, 15, 5, 1]
        .map(|seconds| {
            let plan = plan_with(seconds);
            format!("{}\n{}\n", aligned(&plan.describe()), plan.notes.join("\n"))
        })
        .into();
    insta::assert_snapshot!(told.join("\n"));
    for seconds in 1..60 {
        let plan = plan_with(seconds);
        assert!(plan.cells.iter().all(|c| c.cell.id == c.cell.compute_id()));
        assert!(plan.cells.iter().all(|c| c.cell.repetitions >= 2 && c.cell.n_gen >= 8));
        let ids: BTreeMap<&CellId, ()> = plan.cells.iter().map(|c| (&c.cell.id, ())).collect();
        assert_eq!(ids.len(), plan.cells.len());
    }
}

#[test]
fn times_measured_before_make_the_estimate() {
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    let plan = lay_out(&quick(), &Selection::default(), &facts).unwrap();
    assert_eq!(plan.estimate(), None);
    let cell = &plan.cells[0].cell;
    let cost = Cost::measured(cell, 3.0, 0.5, 0.1);
    assert!((cost.invocation_s(cell) - 3.0).abs() < 1e-9);
    // Four prefills; three timed passes of 32 decode calls and a warm-up of 8.
    assert!((cost.setup_s - (3.0 - 4.0 * 0.5 - 3.25 * 0.1)).abs() < 1e-9);
    for planned in &plan.cells {
        facts.earlier.insert(planned.cell.id.clone(), Cost { setup_s: 2.0, ..Cost::default() });
    }
    let twice = Selection { invocations: Some(2), ..Selection::default() };
    let plan = lay_out(&quick(), &twice, &facts).unwrap();
    assert_eq!(plan.estimate(), Some(Nanos(80_000_000_000)));
    assert_eq!(plan.describe().rows[0].last().unwrap(), "4.0 s");
}

#[test]
fn what_was_never_measured_has_the_time_that_is_expected_and_says_so() {
    let catalogue = catalogue();
    let mut facts = facts(&catalogue);
    let plan = lay_out(&quick(), &Selection::default(), &facts).unwrap();
    let measured = plan.cells[0].cell.id.clone();
    facts.earlier.insert(measured, Cost { setup_s: 2.0, ..Cost::default() });
    facts.expected = Some(Expected::new(|cell, shape, tensors| {
        assert!(!tensors.is_empty() && shape.name == cell.model);
        (cell.n_depth == 0).then(|| Cost { setup_s: 3.0, ..Cost::default() })
    }));
    let plan = lay_out(&quick(), &Selection::default(), &facts).unwrap();
    let times: Vec<String> =
        plan.describe().rows.into_iter().filter_map(|row| row.last().cloned()).collect();
    assert_eq!(times[..3], ["2.0 s", "unknown", "~3.0 s"], "{times:?}");
    assert!(plan.is_expected() && plan.estimate().is_none());
    let budget = Some(Nanos(1_000_000_000));
    let plan = lay_out(&quick(), &Selection { budget, ..Selection::default() }, &facts).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("guessed")), "{:?}", plan.notes);
}

#[test]
fn a_seed_changes_order_and_tokens_but_neither_cells_nor_weights() {
    let catalogue = catalogue();
    let plan = |seed| {
        let selection = Selection { seed: Some(seed), ..Selection::default() };
        lay_out(&quick(), &selection, &facts(&catalogue)).unwrap()
    };
    let (a, b) = (plan(1), plan(2));
    assert_ne!(a.order, b.order);
    for (a, b) in a.cells.iter().zip(&b.cells) {
        assert_eq!((&a.cell.id, &a.cell.source), (&b.cell.id, &b.cell.source));
        assert_ne!(a.cell.token_seed, b.cell.token_seed);
    }
}

#[test]
fn on_huge_pages_no_part_of_the_built_in_cache_stays_untouched() {
    let catalogue = Catalogue::built_in().unwrap();
    let weights = Weights::synthetic(catalogue.get("SmolLM2-135M").unwrap(), FileMix::Q4_0);
    let short = |n_ctx| {
        let mut cell = super::fixtures::cell("reference", "SmolLM2-135M", "Q4_0", 128, 16);
        cell.settings.n_ctx = Auto::Fixed(n_ctx);
        cell
    };
    let untouched = |n_ctx, huge_pages| {
        let can = Capabilities { memory_rule: MemoryRule::BuiltIn, ..able() };
        let terms = Terms::of(&can, 2, huge_pages);
        weights.predict(&short(n_ctx), terms).unwrap().untouched_bytes
    };
    assert_eq!(untouched(2048, true), 0);
    assert!(untouched(2048, false) > 40 << 20);
    // There a huge page holds nothing but later tokens.
    assert!(untouched(131_072, true) > 1 << 30);
}
