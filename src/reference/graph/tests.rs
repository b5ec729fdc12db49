//! A tiny seeded model, run in every way there is.

mod archs;
mod damaged;
mod memory;
mod scores;

use std::sync::Arc;

use super::*;
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, GgufWriter};
use crate::model::fixtures::small;
use crate::model::{Arch, MetaValue, ModelShape, RopeScaling, TensorSpec};
use crate::reference::ReferenceError;
use crate::reference::kernel::{self, Kernels};
use crate::reference::quant;

fn shape(arch: Arch) -> ModelShape {
    let small = small(arch);
    let latents = small.kv_lora_rank.is_some();
    let n_kv = 2 * small.n_head_kv.at(0);
    let head_dim = if latents { 48 } else { 32 };
    ModelShape {
        n_embd: 256,
        n_ff: 256.into(),
        n_head: 8.into(),
        n_head_kv: n_kv.into(),
        head_dim,
        value_dim: latents.then_some(32),
        n_rot: match arch {
            _ if !arch.rotates() => 0,
            Arch::Phi2 | Arch::Phi3 | Arch::Gptneox | Arch::Stablelm | Arch::Nemotron => 16,
            _ if latents => 16,
            _ => 32,
        },
        q_lora_rank: latents.then_some(96),
        kv_lora_rank: latents.then_some(64),
        n_vocab: 301,
        n_ctx_train: 512,
        n_swa: small.n_swa.map(|_| 16),
        tied_output: small.tied_output && arch != Arch::Qwen2,
        rope_scaling: (arch == Arch::Llama).then_some(RopeScaling::Factors),
        ..small
    }
}

/// A file of `shape` whose matrices have the types that `ty` gives to their names.
fn file(shape: &ModelShape, ty: impl Fn(&str) -> GgmlType) -> Gguf {
    file_with(shape, ty, &[], &[])
}

/// The header of a file of `shape` with `tensors`, and with numbers and truths under keys of their
/// own or instead of the usual.
fn header(
    shape: &ModelShape,
    tensors: &[(TensorSpec, GgmlType)],
    keys: &[(&str, MetaValue)],
) -> GgufWriter {
    let mut w = GgufWriter::new();
    let arch = shape.arch.name();
    w.set_str("general.architecture", arch).set_str("general.name", &shape.name);
    let keys = keys.iter().map(|(name, value)| (format!("{arch}.{name}"), value.clone()));
    let mut metadata = shape.metadata();
    for (key, value) in keys {
        metadata.retain(|(usual, _)| *usual != key);
        metadata.push((key, value));
    }
    for (key, value) in metadata {
        value.write(&mut w, &key);
    }
    for (tensor, ty) in tensors {
        w.tensor(&tensor.name, &tensor.dims, *ty);
    }
    w
}

/// The tensors of `shape` and `more` of one dimension behind them, name and length of each, with the
/// types that `ty` gives to the names of matrices.
fn tensors(
    shape: &ModelShape,
    ty: impl Fn(&str) -> GgmlType,
    more: &[(&str, u64)],
) -> Vec<(TensorSpec, GgmlType)> {
    let more = more.iter().map(|&(name, len)| TensorSpec { name: name.into(), dims: vec![len] });
    let of = |t: &TensorSpec| if t.dims.len() == 1 { GgmlType::F32 } else { ty(&t.name) };
    shape.tensors().into_iter().chain(more).map(|t| (of(&t), t)).map(|(ty, t)| (t, ty)).collect()
}

/// A file of `shape` with tensors of [`tensors`] and keys of [`header`].
fn file_with(
    shape: &ModelShape,
    ty: impl Fn(&str) -> GgmlType,
    more: &[(&str, u64)],
    keys: &[(&str, MetaValue)],
) -> Gguf {
    Gguf::parse(bytes_with(shape, ty, more, keys)).unwrap()
}

/// The bytes of that file.
fn bytes_with(
    shape: &ModelShape,
    ty: impl Fn(&str) -> GgmlType,
    more: &[(&str, u64)],
    keys: &[(&str, MetaValue)],
) -> Vec<u8> {
    let tensors = tensors(shape, ty, more);
    let w = header(shape, &tensors, keys);
    let mut out = w.start(Vec::new()).unwrap();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for (tensor, ty) in &tensors {
        let dims = &tensor.dims;
        let k = dims[0] as usize;
        for _ in 0..dims.get(1).copied().unwrap_or(1) {
            let row: Vec<f32> = (0..k)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    let v = (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
                    match dims.len() {
                        1 => 1.0 + 0.25 * v,
                        _ => v * (3.0 / k as f32).sqrt(),
                    }
                })
                .collect();
            let mut bytes = vec![0; quant::row_bytes(*ty, k)];
            quant::quantize_row(*ty, &row, &mut bytes);
            out.write(&bytes).unwrap();
        }
    }
    out.finish().unwrap()
}

/// A file of `shape` with `tensors` that are all zeros.
fn hollow(shape: &ModelShape, tensors: &[(TensorSpec, GgmlType)]) -> Gguf {
    let w = header(shape, tensors, &[]);
    let len = w.file_len() as usize;
    let mut bytes = Vec::with_capacity(len);
    let _ = w.start(&mut bytes).unwrap();
    bytes.resize(len, 0);
    Gguf::parse(bytes).unwrap()
}

fn model(arch: Arch, ty: GgmlType) -> Arc<Model> {
    Arc::new(Model::load(file(&shape(arch), |_| ty), Loading::Owned).unwrap())
}

fn config() -> SessionConfig {
    SessionConfig {
        n_ctx: 150,
        n_ubatch: 512,
        n_threads: 1,
        type_k: GgmlType::F32,
        type_v: GgmlType::F32,
        flash_attn: true,
    }
}

fn session(model: &Arc<Model>, config: SessionConfig) -> Session {
    Session::new(Arc::clone(model), kernel::choose(None).unwrap(), config).unwrap()
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * 97 + 13) % 301).collect()
}

/// Normalised mean squared error.
fn nmse(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let error: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    error / a.iter().map(|a| square(f64::from(*a))).sum::<f64>()
}

const TYPES: [GgmlType; 7] = [
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::BF16,
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::Q6_K,
];

/// Every type, and another family with two of them. All families are in `archs`.
fn all() -> impl Iterator<Item = (Arch, GgmlType)> {
    let qwen2 = [GgmlType::F32, GgmlType::Q4_0].map(|ty| (Arch::Qwen2, ty));
    TYPES.into_iter().map(|ty| (Arch::Llama, ty)).chain(qwen2)
}

/// Where activations are quantised, a difference in the last place can move one across a rounding
/// step; elsewhere only the order of sums differs.
fn bound(ty: GgmlType) -> f64 {
    match ty {
        GgmlType::F32 => 1e-11,
        GgmlType::F16 => 1e-6,
        GgmlType::BF16 => 3e-5,
        _ => 1e-4,
    }
}

#[test]
fn a_prompt_in_micro_batches_gives_the_logits_of_one_token_after_the_other() {
    for (arch, ty) in all() {
        {
            let model = model(arch, ty);
            let prompt = tokens(41);
            let mut single = session(&model, config());
            prompt.iter().for_each(|t| single.decode(*t).unwrap());
            let expected = single.logits().unwrap();
            assert!(expected.iter().all(|v| v.is_finite()));
            for n_ubatch in [7, 33, 512] {
                let mut batched = session(&model, SessionConfig { n_ubatch, ..config() });
                batched.prefill(&prompt).unwrap();
                let error = nmse(expected, batched.logits().unwrap());
                assert!(error <= bound(ty), "{arch} {ty} {n_ubatch}: {error:e}");
            }
        }
    }
}

#[test]
fn every_set_of_kernels_gives_the_logits_of_the_plain_one() {
    for (arch, ty) in all() {
        {
            let model = model(arch, ty);
            let run = |set: &'static dyn Kernels| {
                let mut s = Session::new(Arc::clone(&model), set, config()).unwrap();
                s.prefill(&tokens(11)).unwrap();
                s.decode(5).unwrap();
                s.logits().unwrap().to_vec()
            };
            let expected = run(&kernel::Plain);
            for set in kernel::available() {
                let error = nmse(&expected, &run(set));
                assert!(error <= bound(ty), "{} {arch} {ty}: {error:e}", set.name());
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_logits() {
    for ty in [GgmlType::F16, GgmlType::Q4_0] {
        let model = model(Arch::Llama, ty);
        let run = |n_threads| {
            let mut s = session(&model, SessionConfig { n_threads, ..config() });
            s.prefill(&tokens(130)).unwrap();
            let prefill = s.logits().unwrap().to_vec();
            // Behind 128 tokens positions are shared out between threads.
            s.decode(7).unwrap();
            (prefill, s.logits().unwrap().to_vec())
        };
        let (prefill, decode) = run(1);
        for n in [2, 3] {
            let (p, d) = run(n);
            assert_eq!(prefill, p, "{n} threads");
            let error = nmse(&decode, &d);
            assert!(error <= bound(ty), "{n} threads: {error:e}");
        }
    }
}

#[test]
fn attention_in_blocks_is_attention_over_full_rows() {
    for (type_k, type_v) in [(GgmlType::F32, GgmlType::F32), (GgmlType::F16, GgmlType::F32)] {
        let model = model(Arch::Qwen2, GgmlType::F32);
        let run = |flash_attn| {
            let mut s = session(&model, SessionConfig { flash_attn, type_k, type_v, ..config() });
            s.prefill(&tokens(140)).unwrap();
            s.decode(3).unwrap();
            s.logits().unwrap().to_vec()
        };
        let error = nmse(&run(true), &run(false));
        assert!(error <= 1e-9, "{type_k} {type_v}: {error:e}");
    }
}

#[test]
fn a_cache_of_half_precision_changes_logits_by_no_more_than_its_rounding() {
    let model = model(Arch::Llama, GgmlType::F32);
    let run = |ty| {
        let mut s = session(&model, SessionConfig { type_k: ty, type_v: ty, ..config() });
        s.prefill(&tokens(100)).unwrap();
        s.logits().unwrap().to_vec()
    };
    let error = nmse(&run(GgmlType::F32), &run(GgmlType::F16));
    assert!(error > 0.0 && error <= 1e-6, "{error:e}");
}

#[test]
fn a_rewound_session_goes_on_as_a_fresh_one() {
    let model = model(Arch::Llama, GgmlType::Q8_0);
    let prompt = tokens(50);
    let mut fresh = session(&model, config());
    fresh.prefill(&prompt[..30]).unwrap();
    fresh.decode(9).unwrap();
    let mut rewound = session(&model, config());
    rewound.prefill(&prompt[..30]).unwrap();
    rewound.prefill(&prompt[30..]).unwrap();
    rewound.rewind(30).unwrap();
    assert!(matches!(rewound.logits(), Err(ReferenceError::NoLogits)));
    rewound.decode(9).unwrap();
    assert_eq!(fresh.logits().unwrap(), rewound.logits().unwrap());
    let error = rewound.rewind(32).unwrap_err().to_string();
    assert_eq!(error, "rewind to 32 tokens, the cache holds 31");
}

#[test]
fn what_goes_through_the_layers_is_that_of_the_last_token_and_changes_no_bit() {
    let archs = [Arch::Llama, Arch::Gptneox, Arch::Gemma2, Arch::Minicpm3];
    let tokens = tokens(40);
    let quantised = (Arch::Llama, GgmlType::Q8_0);
    for (arch, ty) in archs.map(|arch| (arch, GgmlType::F32)).into_iter().chain([quantised]) {
        let model = model(arch, ty);
        let run = |parts: [usize; 2], on: bool| {
            let mut s = session(&model, config());
            s.take_trace(on);
            let (first, rest) = tokens.split_at(parts[0]);
            s.prefill(first).unwrap();
            rest.chunks(parts[1]).for_each(|part| s.prefill(part).unwrap());
            (s.trace().to_vec(), s.logits().unwrap().to_vec())
        };
        let (trace, logits) = run([25, 15], true);
        let (nothing, untraced) = run([25, 15], false);
        assert_eq!((nothing, untraced), (vec![], logits), "{arch} {ty}");

        let is_parallel = model.recipe.is_parallel;
        let names = ["kqv_out", "ffn_inp", "l_out"].into_iter();
        let names: Vec<&str> = names.filter(|name| !is_parallel || *name != "ffn_inp").collect();
        let shape = &model.shape;
        let expected = (0..shape.n_layer).flat_map(|layer| names.iter().map(move |n| (*n, layer)));
        let told: Vec<_> = trace.iter().map(|point| (point.name, point.layer)).collect();
        assert_eq!(told, expected.collect::<Vec<_>>(), "{arch} {ty}");

        // The same token as one of a micro-batch and alone.
        let (alone, _) = run([39, 1], true);
        for (point, alone) in trace.iter().zip(&alone) {
            let error = nmse(&point.row, &alone.row);
            assert!(error <= bound(ty), "{arch} {ty}, {}-{}: {error:e}", point.name, point.layer);
        }
    }
}

#[test]
fn the_tiny_model_says_what_it_has_always_said() {
    for (arch, golden) in [
        (Arch::Llama, [167, 197, 174, 167, 116, 15, 18, 217]),
        (Arch::Qwen2, [197, 197, 197, 113, 197, 197, 197, 113]),
    ] {
        let model = model(arch, GgmlType::F32);
        let mut s = session(&model, config());
        s.prefill(&tokens(20)).unwrap();
        let mut said = Vec::new();
        // Feeding a neighbour of what was said keeps a random model from repeating itself.
        for i in 0..golden.len() as u32 {
            let logits = s.logits().unwrap();
            let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            said.push(best as u32);
            s.decode((best as u32 + 50 * i) % 301).unwrap();
        }
        assert_eq!(said, golden, "{arch}");
    }
}

#[test]
fn a_matrix_may_have_another_type_than_its_neighbours() {
    let mixed = |name: &str| {
        let last = name.trim_start_matches("blk.").trim_start_matches(|c: char| c.is_numeric());
        match last {
            ".attn_v.weight" => GgmlType::Q6_K,
            ".attn_k.weight" | ".ffn_up.weight" => GgmlType::F16,
            "token_embd.weight" => GgmlType::Q8_0,
            _ => GgmlType::Q4_0,
        }
    };
    let model = Arc::new(Model::load(file(&shape(Arch::Qwen2), mixed), Loading::Owned).unwrap());
    let run = |set: &'static dyn Kernels, n_ubatch| {
        let config = SessionConfig { n_ubatch, n_threads: 2, ..config() };
        let mut s = Session::new(Arc::clone(&model), set, config).unwrap();
        s.prefill(&tokens(40)).unwrap();
        s.logits().unwrap().to_vec()
    };
    let expected = run(&kernel::Plain, 1);
    for set in kernel::available() {
        let error = nmse(&expected, &run(set, 33));
        assert!(error <= 1e-4, "{}: {error:e}", set.name());
    }
}

#[test]
fn a_mapped_file_gives_the_same_logits_and_is_reported() {
    for arch in [Arch::Llama, Arch::Qwen2] {
        let shape = shape(arch);
        let open =
            |loading| Arc::new(Model::load(file(&shape, |_| GgmlType::Q8_0), loading).unwrap());
        let (owned, mapped) = (open(Loading::Owned), open(Loading::Mapped));
        let run = |model: &Arc<Model>| {
            let mut s = session(model, config());
            s.prefill(&tokens(9)).unwrap();
            (s.logits().unwrap().to_vec(), s.buffers())
        };
        let ((a, of_owned), (b, of_mapped)) = (run(&owned), run(&mapped));
        assert_eq!(a, b);
        let embedding = 301 * 256 / 32 * 34;
        assert_eq!((of_owned.weight_mapped_bytes, of_mapped.weight_mapped_bytes), (0, embedding));
        let in_both = if shape.tied_output { 0 } else { embedding.next_multiple_of(64) };
        assert_eq!(of_owned.weight_bytes - of_mapped.weight_bytes, in_both);
    }
}

#[test]
fn the_report_of_memory_follows_from_shape_and_settings() {
    let model = model(Arch::Qwen2, GgmlType::Q8_0);
    let of = |config| session(&model, config).buffers();
    let half = SessionConfig { type_k: GgmlType::F16, type_v: GgmlType::F16, ..config() };
    let (full, half) = (of(config()), of(half));
    // 160 positions, 4 heads of 32, keys and values, 2 layers, 4 bytes.
    assert_eq!(full.kv_bytes, 160 * 4 * 32 * 2 * 2 * 4);
    assert_eq!(half.kv_bytes * 2, full.kv_bytes);
    assert_eq!(full.output_bytes, 301 * 4);
    // Matrices with up to 7 rows of zeros behind the 301 of the output, vectors as numbers.
    let mut bytes = 0;
    for t in model.shape.tensors() {
        bytes += match (t.dims.len(), t.name.as_str()) {
            (1, _) => 4 * t.dims[0],
            (_, "output.weight") => 304 * 256 / 32 * 34,
            _ => (t.dims[0] * t.dims[1] / 32 * 34).next_multiple_of(64),
        };
    }
    assert_eq!(full.weight_bytes, bytes);
    let more = of(SessionConfig { n_ubatch: 40, ..config() });
    assert!(more.compute_bytes < full.compute_bytes);
    let rows = of(SessionConfig { flash_attn: false, ..config() });
    // 24 tokens × 2 heads of scores over 160 positions instead of 128.
    assert_eq!(rows.compute_bytes - full.compute_bytes, 48 * (160 - 128) * 4);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let model = model(Arch::Llama, GgmlType::Q4_0);
    let mut s = session(&model, SessionConfig { n_ctx: 20, ..config() });
    assert_eq!(s.config().n_ctx, 32);
    assert!(matches!(s.logits(), Err(ReferenceError::NoLogits)));
    assert!(matches!(s.prefill(&[]), Err(ReferenceError::EmptyPrompt)));
    let error = s.prefill(&[1, 2, 301]).unwrap_err().to_string();
    assert_eq!(error, "token id 301, the model has ids below 301");
    s.prefill(&tokens(30)).unwrap();
    let before = s.logits().unwrap().to_vec();
    let error = s.prefill(&tokens(3)).unwrap_err().to_string();
    assert!(error.starts_with("3 more tokens after 30 do not fit into a KV cache of 32"));
    assert_eq!((s.n_past(), s.logits().unwrap()), (30, &before[..]));
    s.prefill(&tokens(2)).unwrap();
    assert!(matches!(s.decode(1), Err(ReferenceError::ContextFull { n_past: 32, .. })));

    let new = |config| {
        let made = Session::new(Arc::clone(&model), &kernel::Plain, config);
        made.err().expect("refused").to_string()
    };
    let error = new(SessionConfig { type_v: GgmlType::Q5_0, ..config() });
    assert_eq!(
        error,
        "type_v is Q5_0, the built-in engine's KV cache can be F32, F16, BF16, Q8_0, Q4_0"
    );
    let error = new(SessionConfig { n_threads: 0, ..config() });
    assert_eq!(error, "n_threads is 0, allowed are 1 to 1024");
}

#[test]
fn a_type_without_kernels_is_refused_with_the_tensor_it_was_found_in() {
    let shape = shape(Arch::Llama);
    let odd = |name: &str| match name {
        "blk.1.ffn_up.weight" => GgmlType::IQ3_S,
        _ => GgmlType::F32,
    };
    let file = hollow(&shape, &tensors(&shape, odd, &[]));
    let error = Model::load(file, Loading::Owned).unwrap_err().to_string();
    let expected = "tensor `blk.1.ffn_up.weight` has type IQ3_S, the built-in engine computes with";
    assert!(error.starts_with(expected), "{error}");
}

fn loaded_with(more: &[(&str, u64)]) -> Result<Model, String> {
    let file = file_with(&shape(Arch::Llama), |_| GgmlType::F32, more, &[]);
    Model::load(file, Loading::Owned).map_err(|e| e.to_string())
}

#[test]
fn biases_of_a_llama_file_are_added_and_must_be_whole() {
    let (q, k, v) =
        (("blk.1.attn_q.bias", 256), ("blk.1.attn_k.bias", 128), ("blk.1.attn_v.bias", 128));
    let run = |model: Model| {
        let mut s = session(&Arc::new(model), config());
        s.prefill(&tokens(9)).unwrap();
        s.logits().unwrap().to_vec()
    };
    let plain = run(loaded_with(&[]).unwrap());
    let biased = run(loaded_with(&[q, k, v]).unwrap());
    assert!(nmse(&plain, &biased) > 1e-3);

    let error = loaded_with(&[q, (k.0, 64), v]).unwrap_err();
    let expected =
        "tensor `blk.1.attn_k.bias` has dimensions [64], the metadata says [128]".to_owned();
    assert_eq!(error, expected);
    let error = loaded_with(&[k, v]).unwrap_err();
    assert!(error.contains("tensor `blk.1.attn_q.bias`: the tensor is missing"), "{error}");
}

#[test]
fn a_tensor_that_the_graph_would_leave_out_is_refused_by_name() {
    for name in ["blk.0.attn_output.bias", "blk.1.ffn_up.bias", "output.bias", "blk.2.attn_q.bias"]
    {
        let error = loaded_with(&[(name, 256)]).unwrap_err();
        assert!(error.starts_with(&format!("tensor `{name}` has no place in the")), "{error}");
    }
}
