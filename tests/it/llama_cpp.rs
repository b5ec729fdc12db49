//! llama.cpp on synthetic models: what it loads, computes, forgets and reports.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use slmbench::engine::llama_cpp::{LlamaCpp, LlamaCppSession};
use slmbench::engine::{Allocated, Engine, EngineError, Session};
use slmbench::ggml::GgmlType;
use slmbench::memory;
use slmbench::model::{Arch, Catalogue, FileMix, ModelShape};
use slmbench::settings::{Auto, FlashAttn, LoadMode, Settings};
use slmbench::synth;

use crate::shapes::tiny;

/// Two that stand for all: what differs between architectures is in `differential`.
const ARCHS: [Arch; 2] = [Arch::Llama, Arch::Qwen2];

fn shape(arch: Arch) -> ModelShape {
    ModelShape {
        n_embd: 256,
        n_ff: 512.into(),
        n_head: 8.into(),
        n_head_kv: 2.into(),
        head_dim: 32,
        n_rot: 32,
        tied_output: arch == Arch::Qwen2,
        ..tiny(arch)
    }
}

fn file(dir: &Path, shape: &ModelShape, mix: FileMix) -> PathBuf {
    let path = dir.join(format!("{}-{mix}.gguf", shape.name));
    let out = BufWriter::new(File::create(&path).unwrap());
    synth::write_model(shape, mix, 1, out).unwrap();
    path
}

fn settings() -> Settings {
    Settings {
        n_threads: Auto::Fixed(2),
        n_ctx: Auto::Fixed(256),
        load_mode: LoadMode::None,
        backend_device: "cpu".to_owned(),
        ..Settings::default()
    }
}

fn open(path: &Path, settings: &Settings) -> LlamaCppSession {
    LlamaCpp::quiet().open(path, settings).unwrap()
}

fn prompt(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * 97 + 13) % 512).collect()
}

/// Normalised mean squared error of `found` against `expected`.
fn nmse(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().chain(expected).all(|x| x.is_finite()));
    let error: f64 = found.iter().zip(expected).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    error / expected.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
}

/// Runs `check` on every architecture and mix.
fn with_all(check: impl Fn(&ModelShape, FileMix, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    for arch in ARCHS {
        let shape = shape(arch);
        for mix in [FileMix::F16, FileMix::Q8_0, FileMix::Q4_0] {
            check(&shape, mix, &file(dir.path(), &shape, mix));
        }
    }
}

#[test]
fn what_it_allocates_is_what_the_shape_says() {
    with_all(|shape, mix, path| {
        let session = LlamaCpp::quiet().without_repacking().open(path, &settings()).unwrap();
        let tensors = mix.tensors(shape);
        let expected: u64 =
            tensors.iter().map(|(tensor, ty)| ty.bytes_for(tensor.n_elements()).unwrap()).sum();
        let allocated = session.allocated().unwrap();
        assert_eq!(allocated.weight_bytes, expected, "{} {mix}", shape.name);
        assert_eq!(allocated.weight_mapped_bytes, 0);
        let kv = u64::from(shape.n_layer) * 2 * shape.n_embd_k(0) * 256 * 2;
        assert_eq!(allocated.kv_bytes, kv);
        assert!(allocated.compute_bytes > 0);
        assert_eq!(allocated.output_bytes, 512 * 4);

        // Laid out anew for AMX, a block takes up to 4 bytes more.
        let repacked = open(path, &settings()).allocated().unwrap();
        assert!(
            (expected..=expected + expected / 4).contains(&repacked.weight_bytes),
            "{} {mix}: {} {expected}",
            shape.name,
            repacked.weight_bytes
        );
    });
}

#[test]
fn what_it_would_allocate_is_what_it_then_allocates() {
    let dir = tempfile::tempdir().unwrap();
    for &arch in Arch::ALL.iter().filter(|arch| arch.is_llama_cpps()) {
        let shape = crate::shapes::reduced(arch);
        for mix in [FileMix::Q4_K_M, FileMix::Q8_0] {
            // What the weights say does not matter here: holes are read as zeros.
            let path = dir.path().join("hollow.gguf");
            let out = File::create(&path).unwrap();
            synth::Synthesis::new(&shape, mix, 1).write_hollow(&out).unwrap();
            for (load_mode, flash_attn, n_ctx) in [
                (LoadMode::None, FlashAttn::Off, 512),
                (LoadMode::Mmap, FlashAttn::Off, 512),
                (LoadMode::None, FlashAttn::On, 2048),
                (LoadMode::Auto, FlashAttn::Auto, 300),
            ] {
                let n_ctx = Auto::Fixed(n_ctx);
                let settings = Settings { load_mode, flash_attn, n_ctx, ..settings() };
                let planned = LlamaCpp::quiet().plan(&path, &settings).unwrap().unwrap().buffers;
                let taken = open(&path, &settings).allocated().unwrap();
                let case = format!("{arch} {mix} {load_mode} {flash_attn} {n_ctx}");
                if load_mode == LoadMode::None {
                    assert_eq!(planned, taken, "{case}");
                    continue;
                }
                let weights = mix.weight_bytes(&shape);
                assert_eq!(planned.weight_mapped_bytes, weights, "{case}");
                // Padding between tensors is mapped as well.
                assert!(taken.weight_mapped_bytes <= weights + weights / 100, "{case}");
                let weight_mapped_bytes = taken.weight_mapped_bytes;
                assert_eq!(Allocated { weight_mapped_bytes, ..planned }, taken, "{case}");
            }
        }
    }
}

/// Architectures that the survey measured.
const SURVEYED: [Arch; 9] = [
    Arch::Llama,
    Arch::Qwen,
    Arch::Qwen2,
    Arch::Gemma,
    Arch::Phi2,
    Arch::Gptneox,
    Arch::Bloom,
    Arch::Openelm,
    Arch::Stablelm,
];

#[test]
fn the_formulas_of_the_pure_build_are_near_what_the_library_plans() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::built_in().unwrap();
    for &arch in Arch::ALL.iter().filter(|arch| arch.is_llama_cpps()) {
        let shape = catalogue.shapes().find(|m| m.arch == arch).unwrap();
        let path = dir.path().join("hollow.gguf");
        let out = File::create(&path).unwrap();
        synth::Synthesis::new(shape, FileMix::Q4_K_M, 1).write_hollow(&out).unwrap();
        for flash_attn in [FlashAttn::Off, FlashAttn::On] {
            for n_ctx in [512, 2048, 8192] {
                let settings = Settings { flash_attn, n_ctx: Auto::Fixed(n_ctx), ..settings() };
                let planned = LlamaCpp::quiet().plan(&path, &settings).unwrap().unwrap().buffers;
                let formula = memory::predict(0, shape, &settings, n_ctx);
                let off = formula.compute_bytes as f64 / planned.compute_bytes as f64 - 1.0;
                let case = format!("{arch}, flash attention {flash_attn}, {n_ctx} tokens");
                println!("{case}: {:+.1} %", 100.0 * off);
                let allowed = if SURVEYED.contains(&arch) { 0.05 } else { 0.08 };
                assert!(off.abs() <= allowed, "{case}: {:+.1} %", 100.0 * off);
                assert_eq!(formula.kv_bytes, planned.kv_bytes, "{case}");
                assert_eq!(formula.output_bytes, planned.output_bytes, "{case}");
            }
        }
    }
}

#[test]
fn mapped_weights_are_told_apart_from_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Llama), FileMix::F16);
    let session = open(&path, &Settings { load_mode: LoadMode::Mmap, ..settings() });
    let allocated = session.allocated().unwrap();
    assert!(allocated.weight_mapped_bytes > 0, "{allocated:?}");
    assert_eq!(session.resolved().load_mode, "mmap");
    assert_eq!(open(&path, &settings()).resolved().load_mode, "none");
}

#[test]
fn a_prompt_in_one_call_and_token_by_token_gives_the_same_logits() {
    with_all(|shape, mix, path| {
        // Every type rounds the activations the same way for one row and for many; what is left
        // is the order of sums, and its amplification where a sum lies on the edge of a rounding.
        let bound = if mix == FileMix::F16 { 1e-6 } else { 1e-4 };
        let mut session = open(path, &settings());
        let tokens = prompt(24);
        session.prefill(&tokens).unwrap();
        let at_once = session.logits().unwrap().to_vec();
        session.rewind(0).unwrap();
        for &token in &tokens {
            session.decode(token).unwrap();
        }
        let error = nmse(session.logits().unwrap(), &at_once);
        assert!(error <= bound, "{} {mix}: {error:e}", shape.name);

        let small = Settings { n_batch: 7, n_ubatch: 3, ..settings() };
        let mut session = open(path, &small);
        assert_eq!((session.resolved().n_batch, session.resolved().n_ubatch), (7, 3));
        session.prefill(&tokens).unwrap();
        let error = nmse(session.logits().unwrap(), &at_once);
        assert!(error <= bound, "{} {mix} in small batches: {error:e}", shape.name);
    });
}

#[test]
fn going_back_and_on_again_repeats_every_bit() {
    with_all(|shape, mix, path| {
        let mut session = open(path, &settings());
        session.prefill(&prompt(20)).unwrap();
        let mut run = |from: u32| {
            session.rewind(from).unwrap();
            session.prefill(&prompt(20)[from as usize..]).unwrap();
            let mut seen = Vec::new();
            for token in [5, 6, 7] {
                session.decode(token).unwrap();
                seen.extend(session.logits().unwrap().iter().map(|x| x.to_bits()));
            }
            seen
        };
        let first = run(12);
        assert_eq!(run(12), first, "{} {mix}", shape.name);
        let whole = run(0);
        assert_eq!(run(0), whole, "{} {mix}", shape.name);
    });
}

#[test]
fn its_own_counters_keep_prompt_and_single_tokens_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Llama), FileMix::F16);
    let mut session = open(&path, &settings());
    session.prefill(&prompt(20)).unwrap();
    for token in 0..5 {
        session.decode(token).unwrap();
    }
    let counters = session.counters();
    assert_eq!((counters.n_prefill, counters.n_decode), (20, 5));
    assert!(counters.prefill_ms > 0.0 && counters.decode_ms > 0.0);
}

#[test]
fn settings_become_what_resolved_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Qwen2), FileMix::Q8_0);
    let resolved = |flash_attn, type_v| {
        let more = Settings { flash_attn, type_v, n_ctx: Auto::Fixed(300), ..settings() };
        open(&path, &more).resolved()
    };
    let on = resolved(FlashAttn::On, GgmlType::F16);
    assert_eq!((on.n_threads, on.n_ctx, on.flash_attn), (2, 512, true));
    assert_eq!(on.backend_device, "cpu");
    assert!(!resolved(FlashAttn::Off, GgmlType::F16).flash_attn);
    assert!(resolved(FlashAttn::Auto, GgmlType::F16).flash_attn);
    assert!(resolved(FlashAttn::Auto, GgmlType::Q8_0).flash_attn);
}

#[test]
fn flash_attention_and_the_cache_s_type_change_logits_only_a_little() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Llama), FileMix::F16);
    let logits = |flash_attn, cache| {
        let more = Settings { flash_attn, type_k: cache, type_v: cache, ..settings() };
        let mut session = open(&path, &more);
        session.prefill(&prompt(24)).unwrap();
        session.decode(3).unwrap();
        session.logits().unwrap().to_vec()
    };
    let plain = logits(FlashAttn::Off, GgmlType::F32);
    assert!(nmse(&logits(FlashAttn::On, GgmlType::F16), &plain) < 1e-4);
    assert!(nmse(&logits(FlashAttn::On, GgmlType::Q8_0), &plain) < 1e-3);
}

#[test]
fn what_it_cannot_do_is_said_and_leaves_the_session_usable() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Llama), FileMix::F16);
    let mut session = open(&path, &settings());
    assert!(matches!(session.logits(), Err(EngineError::Failed(_))));
    session.prefill(&prompt(250)).unwrap();
    assert!(matches!(session.prefill(&prompt(7)), Err(EngineError::ContextFull { n_ctx: 256 })));
    assert!(session.decode(512).unwrap_err().to_string().contains("token 512"));
    assert!(session.rewind(251).unwrap_err().to_string().contains("holds 250"));
    session.decode(1).unwrap();
    session.logits().unwrap();
    session.rewind(3).unwrap();
    assert!(matches!(session.logits(), Err(EngineError::Failed(_))));
}

#[test]
fn what_is_refused_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &shape(Arch::Llama), FileMix::F16);
    let refused = |path: &Path, settings: Settings| {
        LlamaCpp::quiet().open(path, &settings).map(|_| ()).unwrap_err()
    };

    let error = refused(&path, Settings { backend_device: "CUDA7".to_owned(), ..settings() });
    assert!(matches!(&error, EngineError::Unsupported(m) if m.contains("no device `CUDA7`")));
    let error = refused(&path, Settings { n_gpu_layers: Auto::Fixed(3), ..settings() });
    assert!(matches!(error, EngineError::Unsupported(_)));
    let error = refused(&path, Settings { type_k: GgmlType::Q6_K, ..settings() });
    assert!(matches!(&error, EngineError::Unsupported(m) if m.contains("type_k = Q6_K")));
    let flash_attn = FlashAttn::Off;
    let error = refused(&path, Settings { type_v: GgmlType::Q8_0, flash_attn, ..settings() });
    assert!(matches!(&error, EngineError::Unsupported(m) if m.contains("flash attention")));

    let error = refused(&dir.path().join("none.gguf"), settings());
    assert!(matches!(error, EngineError::Model(_)), "{error}");
    let bytes = std::fs::read(&path).unwrap();
    let cut = dir.path().join("cut.gguf");
    std::fs::write(&cut, &bytes[..bytes.len() - 1000]).unwrap();
    let error = refused(&cut, settings());
    assert!(matches!(&error, EngineError::Model(m) if m.contains("not within")), "{error}");
}
