//! The header of a synthetic file: keys as llama.cpp's converter writes them.

use super::SYNTH_VERSION;
use super::tokenizer::tokenizer;
use crate::ggml::GgmlType;
use crate::gguf::GgufWriter;
use crate::model::{Arch, FileMix, ModelShape, TensorSpec};

/// ggml's version of its quantised formats (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// Describes the whole file; the tensors' bytes are still to come.
pub(super) fn header(
    shape: &ModelShape,
    mix: FileMix,
    seed: u64,
    weight_scale: f32,
    tensors: &[(TensorSpec, GgmlType)],
) -> GgufWriter {
    let mut w = GgufWriter::new();
    let arch = shape.arch;
    let key = |name: &str| format!("{arch}.{name}");
    w.set_str("general.architecture", arch.name())
        .set_str("general.type", "model")
        .set_str("general.name", &shape.name)
        .set(&key("block_count"), shape.n_layer)
        .set(&key("context_length"), shape.n_ctx_train)
        .set(&key("embedding_length"), shape.n_embd)
        .set(&key("feed_forward_length"), shape.n_ff)
        .set(&key("attention.head_count"), shape.n_head)
        .set(&key("attention.head_count_kv"), shape.n_head_kv)
        .set(&key("rope.freq_base"), shape.rope_freq_base as f32)
        .set(&key("attention.layer_norm_rms_epsilon"), shape.norm_eps as f32);
    if shape.n_embd_q() != u64::from(shape.n_embd) {
        w.set(&key("attention.key_length"), shape.head_dim);
        w.set(&key("attention.value_length"), shape.head_dim);
    }
    w.set("general.file_type", mix.file_type());
    if arch == Arch::Llama {
        w.set(&key("vocab_size"), shape.n_vocab);
        w.set(&key("rope.dimension_count"), shape.n_rot);
    }
    w.set("general.quantization_version", QUANTIZATION_VERSION);

    let t = tokenizer(shape.n_vocab);
    w.set_str("tokenizer.ggml.model", "gpt2")
        .set_str("tokenizer.ggml.pre", "gpt-2")
        .set_strs("tokenizer.ggml.tokens", &t.tokens)
        .set_array("tokenizer.ggml.token_type", &t.types)
        .set_strs("tokenizer.ggml.merges", &t.merges)
        .set("tokenizer.ggml.bos_token_id", t.end_of_text)
        .set("tokenizer.ggml.eos_token_id", t.end_of_text)
        .set("tokenizer.ggml.add_bos_token", false);

    w.set("slmbench.synth.version", SYNTH_VERSION)
        .set("slmbench.synth.seed", seed)
        .set("slmbench.synth.weight_scale", weight_scale)
        .set_str("slmbench.synth.shape", &shape.hash());
    for (tensor, ty) in tensors {
        w.tensor(&tensor.name, &tensor.dims, *ty);
    }
    w
}
