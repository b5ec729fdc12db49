//! Records as rows of llama-bench: one per invocation that finished and phase, its repetitions as
//! samples.
//!
//! A field that is a setting says what was asked for, as llama-bench's does; where the engine was
//! left to choose and llama-bench has no word for that, what it became. A field that records do not
//! know has the value that llama-bench prints when nobody asked for it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::held::Switch;
use super::model_type::model_type;
use super::row::Row;
use crate::exchange::program_commit;
use crate::plan::{Cell, ModelSource};
use crate::record::{Outcome, Record, RunInfo};
use crate::settings::{Auto, FlashAttn, LoadMode};

/// The fields of mid-2026 in their order, then what is ours, then the samples.
///
/// `use_mmap` went away when `load_mode` came; readers of before want it, newer ones pass over it.
const KEYS: &str = "build_commit build_number cpu_info gpu_info backends model_filename model_type model_size \
    model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k type_v \
    n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices tensor_split \
    tensor_buft_overrides load_mode embeddings no_op_offload no_host fit_target fit_min_ctx \
    n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts use_mmap engine cell_id \
    invocation marks samples_ns samples_ts";

/// The rows of a run: cells in the order of the plan, invocations in theirs, prefill before decode.
/// Sustained runs are left out, their passes are no repetitions. `commit` stands in place of the one
/// that the records know.
pub fn rows(run: &RunInfo, records: &[Record], commit: Option<&str>) -> Vec<Row> {
    let mut by_cell: BTreeMap<&str, BTreeMap<u32, &Record>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.cell.is_timed()) {
        // Of an invocation that was made more than once, the last record counts.
        by_cell.entry(&record.cell.id.0).or_default().insert(record.invocation, record);
    }
    let planned = run.cells.iter().chain(records.iter().map(|r| &r.cell));
    planned
        .filter_map(|cell| by_cell.remove(cell.id.0.as_str()))
        .flat_map(BTreeMap::into_values)
        .filter(|record| record.outcome == Outcome::Finished)
        .flat_map(|record| phases(run, record, commit))
        .collect()
}

/// What an invocation says of its prefill, and of its decode behind depth and prompt.
fn phases(run: &RunInfo, record: &Record, commit: Option<&str>) -> Vec<Row> {
    let cell = &record.cell;
    let (n_prompt, n_gen, n_depth) =
        (u64::from(cell.n_prompt), u64::from(cell.n_gen), u64::from(cell.n_depth));
    let prefill: Vec<u64> = record.samples.iter().filter_map(|s| s.prefill_ns).collect();
    let decode: Vec<u64> = record.samples.iter().filter_map(|s| s.decode_ns()).collect();
    [(n_prompt, 0, n_depth, prefill), (0, n_gen, n_depth + n_prompt, decode)]
        .into_iter()
        .filter(|(p, g, _, samples)| p + g > 0 && !samples.is_empty() && !samples.contains(&0))
        .map(|(n_prompt, n_gen, n_depth, samples)| {
            let row = identity(run, record, commit);
            timed(Row { n_prompt, n_gen, n_depth: Some(n_depth), ..row }, samples)
        })
        .collect()
}

/// The row with its times. Deviations are those of a sample, over n − 1, and 0 for one repetition,
/// as llama-bench prints them; times are cut to whole nanoseconds.
fn timed(row: Row, samples_ns: Vec<u64>) -> Row {
    let n_tokens = row.n_tokens() as f64;
    let samples_ts: Vec<f64> = samples_ns.iter().map(|&ns| 1e9 * n_tokens / ns as f64).collect();
    let ns: Vec<f64> = samples_ns.iter().map(|&ns| ns as f64).collect();
    Row {
        avg_ns: mean(&ns) as u64,
        stddev_ns: Some(deviation(&ns) as u64),
        avg_ts: Some(mean(&samples_ts)),
        stddev_ts: Some(deviation(&samples_ts)),
        samples_ns: Some(samples_ns),
        samples_ts: Some(samples_ts),
        ..row
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Everything that is not a time.
fn identity(run: &RunInfo, record: &Record, commit: Option<&str>) -> Row {
    let cell = &record.cell;
    let settings = &cell.settings;
    let device = record.resolved.as_ref().map_or("cpu", |r| r.backend_device.as_str());
    let on_cpu = device.eq_ignore_ascii_case("cpu");
    let load_mode = load_mode(record);
    let predicted = record.memory.predicted.map(|p| p.weight_bytes);
    let marks: Vec<&str> = record.marks.iter().map(|m| m.word()).collect();
    let text = |text: &str| Some(text.to_owned());
    Row {
        build_commit: Some(commit.map_or_else(|| build_commit(record), str::to_owned)),
        build_number: Some(0),
        cpu_info: text(&run.host.cpu),
        gpu_info: Some(if on_cpu { String::new() } else { run.host.gpus.join(", ") }),
        backends: Some(backend(device)),
        model_filename: Some(model_filename(cell)),
        model_type: model_type(cell, record.model.as_ref()),
        model_size: Some(record.model.as_ref().map(|m| m.weight_bytes).or(predicted).unwrap_or(0)),
        model_n_params: Some(record.model.as_ref().map_or(0, |m| m.n_params_llama_cpp)),
        n_batch: Some(settings.n_batch.into()),
        n_ubatch: Some(settings.n_ubatch.into()),
        n_threads: Some(n_threads(record).into()),
        cpu_mask: Some(cpu_mask(record)),
        cpu_strict: Some(Switch::Bool(false)),
        poll: Some(50),
        type_k: Some(cache_type(&settings.type_k.to_string())),
        type_v: Some(cache_type(&settings.type_v.to_string())),
        n_gpu_layers: Some(match settings.n_gpu_layers {
            Auto::Auto => -1,
            Auto::Fixed(n) => n.into(),
        }),
        n_cpu_moe: Some(0),
        split_mode: text("layer"),
        main_gpu: Some(0),
        no_kv_offload: Some(Switch::Bool(false)),
        flash_attn: Some(Switch::Number(match settings.flash_attn {
            FlashAttn::Auto => -1,
            FlashAttn::Off => 0,
            FlashAttn::On => 1,
        })),
        devices: Some(match settings.backend_device.as_str() {
            "cpu" => "none".to_owned(),
            asked => asked.to_owned(),
        }),
        tensor_split: text("0.00"),
        tensor_buft_overrides: text("none"),
        use_mmap: Some(Switch::Bool(load_mode.starts_with("mmap"))),
        load_mode: Some(load_mode),
        embeddings: Some(Switch::Bool(false)),
        no_op_offload: Some(Switch::Number(0)),
        no_host: Some(Switch::Bool(false)),
        fit_target: Some(0),
        fit_min_ctx: Some(0),
        test_time: Some(whole_second(&record.started_at)),
        other: BTreeMap::from([
            ("engine".to_owned(), Value::from(cell.engine.as_str())),
            ("cell_id".to_owned(), Value::from(cell.id.0.as_str())),
            ("invocation".to_owned(), Value::from(record.invocation)),
            ("marks".to_owned(), Value::from(marks.join(";"))),
        ]),
        keys: KEYS.split_whitespace().map(str::to_owned).collect(),
        ..Row::default()
    }
}

/// The commit of the engine where it is a library that tells one, else its version. Engines of this
/// program are of its commit.
fn build_commit(record: &Record) -> String {
    let Some(engine) = record.engine.as_ref().filter(|e| e.name == "llama-cpp") else {
        return program_commit(&record.program).to_owned();
    };
    let (llama, ggml) = engine.version.split_once(" (").unwrap_or((&engine.version, ""));
    let commit = ggml.trim_end_matches(')').split_whitespace().nth(2);
    commit.unwrap_or(llama).to_owned()
}

/// A registry of ggml's by the name of one of its devices: `CUDA0` is of `CUDA`.
fn backend(device: &str) -> String {
    match device.trim_end_matches(|c: char| c.is_ascii_digit()) {
        cpu if cpu.eq_ignore_ascii_case("cpu") => "CPU".to_owned(),
        "" => device.to_owned(),
        registry => registry.to_owned(),
    }
}

/// A user's file by its name; a synthetic one by model and mix, for its file's name is nobody's.
fn model_filename(cell: &Cell) -> String {
    match cell.source {
        ModelSource::File { .. } => cell.model.clone(),
        ModelSource::Synthetic { .. } => format!("{}-{}", cell.model, cell.quant),
    }
}

/// What it became; where nobody told, what llama-bench does by itself.
fn load_mode(record: &Record) -> String {
    let asked = record.cell.settings.load_mode.to_string();
    let resolved = record.resolved.as_ref().map_or(asked, |r| r.load_mode.clone());
    if resolved == LoadMode::Auto.to_string() { LoadMode::Mmap.to_string() } else { resolved }
}

fn n_threads(record: &Record) -> u32 {
    let resolved = record.resolved.as_ref().map(|r| r.n_threads);
    resolved.unwrap_or(record.cell.settings.n_threads.unwrap_or(0))
}

/// The CPUs as llama-bench's `--cpu-mask` wants them; `0x0` where all were allowed.
fn cpu_mask(record: &Record) -> String {
    if record.cell.cpus == "all" {
        return "0x0".to_owned();
    }
    let digits = record.cpus.iter().max().map_or(1, |&last| last / 4 + 1);
    let digit = |at: u32| {
        let bits =
            record.cpus.iter().filter(|&&cpu| cpu / 4 == at).fold(0, |d, cpu| d | 1 << (cpu % 4));
        char::from_digit(bits, 16).unwrap_or('0')
    };
    format!("0x{}", (0..digits).rev().map(digit).collect::<String>())
}

/// `q8_0`, `q4_K`: as ggml prints a type's name.
fn cache_type(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.strip_suffix("_k").map_or(lower.clone(), |ty| format!("{ty}_K"))
}

/// RFC 3339 without the fraction of the second.
fn whole_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EngineInfo, Mark, Sample};
    use crate::report::fixture;

    #[test]
    fn decode_starts_behind_depth_and_prompt() {
        let fixture = fixture::matrix(1);
        let rows = rows(&fixture.run, &fixture.records, None);
        assert_eq!(rows.len(), 24 * 2, "a row per invocation and phase");
        let tests: Vec<String> = rows.iter().take(4).map(Row::test).collect();
        assert_eq!(tests, ["pp128", "tg64 @ d128", "pp128 @ d512", "tg64 @ d640"]);
        let of = &fixture.records[0];
        let sums: Vec<u64> = of.samples.iter().map(|s| s.itl_ns.iter().sum()).collect();
        assert_eq!(rows[1].samples_ns.as_deref(), Some(&*sums));
    }

    #[test]
    fn means_and_deviations_are_llama_benchs() {
        let mut fixture = fixture::single(1);
        let ns = [50_000_000u64, 50_000_000, 56_000_001];
        fixture.records[0].samples =
            ns.map(|ns| Sample { prefill_ns: Some(ns), ..Sample::default() }).into();
        let rows = rows(&fixture.run, &fixture.records, None);
        assert_eq!(rows.len(), 1, "nothing was decoded");
        let row = &rows[0];
        assert_eq!((row.avg_ns, row.stddev_ns), (52_000_000, Some(3_464_102)));
        let ts = ns.map(|ns| 128e9 / ns as f64);
        assert_eq!(row.avg_ts, Some(ts.iter().sum::<f64>() / 3.0));
        assert!((row.stddev_ts.unwrap() - 158.36).abs() < 0.01, "{row:?}");
        fixture.records[0].samples.truncate(1);
        let alone = super::rows(&fixture.run, &fixture.records, None).remove(0);
        assert_eq!((alone.stddev_ns, alone.stddev_ts), (Some(0), Some(0.0)));
    }

    #[test]
    fn what_did_not_finish_has_no_row() {
        let fixture = fixture::mishaps();
        let finished = fixture.records.iter().filter(|r| r.outcome == Outcome::Finished).count();
        let rows = rows(&fixture.run, &fixture.records, None);
        assert_eq!(rows.len(), 2 * finished);
    }

    #[test]
    fn settings_are_spelled_as_llama_bench_spells_them() {
        let mut fixture = fixture::single(1);
        let record = &mut fixture.records[0];
        record.cell.cpus = "big".into();
        record.cpus = vec![2, 3, 4, 9];
        record.cell.settings.type_k = crate::ggml::GgmlType::Q8_0;
        record.cell.settings.n_gpu_layers = Auto::Fixed(7);
        record.cell.settings.backend_device = "CUDA0".into();
        record.resolved.as_mut().unwrap().backend_device = "CUDA0".into();
        record.marks = vec![Mark::Throttled, Mark::Disturbed];
        record.started_at = "2026-11-26T09:26:17.946Z".into();
        let row = rows(&fixture.run, &fixture.records, None).remove(0);
        assert_eq!(row.cpu_mask.as_deref(), Some("0x21c"));
        assert_eq!(row.type_k.as_deref(), Some("q8_0"));
        assert_eq!(row.n_gpu_layers, Some(7));
        assert_eq!(row.backends.as_deref(), Some("CUDA"));
        assert_eq!(row.devices.as_deref(), Some("CUDA0"));
        assert_eq!(row.other["marks"], "throttled;disturbed");
        assert_eq!(row.test_time.as_deref(), Some("2026-11-26T09:26:17Z"));
        assert_eq!(cache_type("Q4_K"), "q4_K");
    }

    #[test]
    fn a_build_is_known_by_its_commit_or_its_version() {
        let mut fixture = fixture::single(1);
        fixture.records[0].program = "slmbench 0.1.0 (0123abc)".into();
        let commit = |fixture: &fixture::Fixture, given| {
            rows(&fixture.run, &fixture.records, given).remove(0).build_commit.unwrap()
        };
        let engine = |version: &str| EngineInfo {
            name: "llama-cpp".into(),
            version: version.into(),
            build: String::new(),
            system: String::new(),
            below_machine: None,
        };
        fixture.records[0].engine = None;
        assert_eq!(commit(&fixture, None), "0123abc");
        fixture.records[0].engine = Some(engine("0.6.0-dev (ggml 0.26.0)"));
        assert_eq!(commit(&fixture, None), "0.6.0-dev");
        fixture.records[0].engine = Some(engine("0.6.0 (ggml 0.26.0 deadbee)"));
        assert_eq!(commit(&fixture, None), "deadbee");
        assert_eq!(commit(&fixture, Some("mine")), "mine");
    }
}
