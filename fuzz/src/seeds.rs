//! The smallest file of every architecture and of every type of weights.

use std::io::{self, Write};
use std::path::Path;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use slmbench::ggml::GgmlType;
use slmbench::gguf::GgufWriter;
use slmbench::model::{Arch, MetaValue, ModelShape, PerLayer, RopeScaling};
use slmbench::reference::quant::{self, WEIGHT_TYPES};

/// A model of two layers, a few hundred bytes each, with all that is peculiar to `arch`.
fn tiny(arch: Arch) -> ModelShape {
    let has_latents = arch == Arch::Minicpm3;
    let shape = ModelShape {
        name: arch.name().to_owned(),
        arch,
        n_layer: 2,
        n_embd: 8,
        n_ff: 8.into(),
        n_head: 2.into(),
        n_head_kv: 1.into(),
        head_dim: 4,
        value_dim: has_latents.then_some(2),
        n_rot: match arch {
            _ if !arch.rotates() => 0,
            _ if has_latents => 2,
            _ => 4,
        },
        n_vocab: 5,
        n_ctx_train: 16,
        tied_output: true,
        rope_freq_base: arch.rotates().then_some(1e4),
        rope_scaling: None,
        norm_eps: 1e-5,
        n_swa: arch.has_windows().then_some(2),
        q_lora_rank: has_latents.then_some(4),
        kv_lora_rank: has_latents.then_some(4),
        n_embd_tok: None,
        post_norm: false,
        qkv_bias: false,
        shared_ffn: false,
        copied_output_2024: false,
        sharded: false,
    };
    // What an architecture does not allow is said of the field.
    let is_wrong = |shape: &ModelShape, field| shape.problems().iter().any(|p| p.field == field);
    let tied_output = !is_wrong(&shape, "tied_output");
    let n_head_kv = if is_wrong(&shape, "n_head_kv") || has_latents { 2.into() } else { 1.into() };
    let shape = ModelShape { tied_output, n_head_kv, ..shape };
    assert!(shape.problems().is_empty(), "{arch}: {:?}", shape.problems());
    shape
}

/// What models of one architecture differ in.
fn variants() -> Vec<ModelShape> {
    let long = RopeScaling::LongRope { n_ctx_orig: 4, attn_factor: 1.19 };
    vec![
        ModelShape { n_embd_tok: Some(4), post_norm: true, ..tiny(Arch::Opt) },
        ModelShape { qkv_bias: true, ..tiny(Arch::Stablelm) },
        ModelShape { rope_scaling: Some(long), ..tiny(Arch::Phi3) },
        ModelShape {
            rope_scaling: Some(RopeScaling::Linear { factor: 8.0 }),
            n_layer: 6,
            ..tiny(Arch::Gemma3)
        },
        ModelShape {
            rope_scaling: Some(RopeScaling::Factors),
            tied_output: false,
            ..tiny(Arch::Llama)
        },
        ModelShape {
            n_ff: PerLayer::Each(vec![8, 12]),
            n_head: PerLayer::Each(vec![2, 4]),
            n_head_kv: PerLayer::Each(vec![1, 2]),
            ..tiny(Arch::Openelm)
        },
    ]
}

/// A model whose matrices can be of `ty`, as far as their rows are whole blocks.
fn of_type(ty: GgmlType) -> ModelShape {
    let block = ty.block_size() as u32;
    ModelShape {
        name: ty.name().to_owned(),
        n_layer: 1,
        n_embd: block.max(8),
        n_ff: 32.into(),
        n_head: 1.into(),
        n_head_kv: 1.into(),
        head_dim: 32,
        n_rot: 32,
        ..tiny(Arch::Qwen3)
    }
}

/// Every file with the name that it gets.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for &arch in Arch::ALL {
        all.push((format!("{arch}.gguf"), file(&tiny(arch), GgmlType::F32)));
    }
    for shape in variants() {
        all.push((format!("{}-2.gguf", shape.arch), file(&shape, GgmlType::F16)));
    }
    for &ty in WEIGHT_TYPES {
        all.push((format!("{ty}.gguf"), file(&of_type(ty), ty)));
    }
    all
}

/// Writes the seeds of `target` into the corpus that libFuzzer was given: its first argument that is
/// a folder.
pub fn write_seeds(seeds: &[(String, Vec<u8>)]) {
    let folder = std::env::args().skip(1).find(|a| !a.starts_with('-') && Path::new(a).is_dir());
    let Some(folder) = folder else { return };
    for (name, bytes) in seeds {
        let written = write(&Path::new(&folder).join(name), bytes);
        written.unwrap_or_else(|e| panic!("{folder}/{name}: {e}"));
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::File::create(path)?.write_all(bytes)
}

/// A file of `shape` with matrices of `ty` where their rows are whole blocks of it.
fn file(shape: &ModelShape, ty: GgmlType) -> Vec<u8> {
    let mut w = GgufWriter::new();
    w.set_str("general.architecture", shape.arch.name()).set_str("general.name", &shape.name);
    for (key, value) in shape.metadata() {
        match value {
            MetaValue::Bool(v) => w.set(&key, v),
            MetaValue::U32(v) => w.set(&key, v),
            MetaValue::F32(v) => w.set(&key, v),
            MetaValue::I32s(v) => w.set_array(&key, &v),
            MetaValue::Str(v) => w.set_str(&key, &v),
        };
    }
    w.set("general.file_type", 0u32).set_strs("tokenizer.ggml.tokens", &["a", "b", "", "Ġd", "e"]);
    let tensors: Vec<(String, Vec<u64>, GgmlType)> = shape
        .tensors()
        .into_iter()
        .map(|t| {
            let fits = t.dims.len() > 1 && t.dims[0].is_multiple_of(ty.block_size());
            (t.name, t.dims, if fits { ty } else { GgmlType::F32 })
        })
        .collect();
    for (name, dims, ty) in &tensors {
        w.tensor(name, dims, *ty);
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut out = w.start(Vec::new()).expect("memory can be written");
    for (_, dims, ty) in &tensors {
        for _ in 0..dims.iter().skip(1).product::<u64>() {
            let row: Vec<f32> = (0..dims[0])
                .map(|_| random.next_u32() as f32 / (1u64 << 31) as f32 - 1.0)
                .collect();
            let mut bytes = vec![0; quant::row_bytes(*ty, row.len())];
            quant::quantize_row(*ty, &row, &mut bytes);
            out.write(&bytes).expect("memory can be written");
        }
    }
    out.finish().expect("memory can be written")
}
