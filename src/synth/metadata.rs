//! The header of a synthetic file: keys as llama.cpp's converter writes them.

use super::SYNTH_VERSION;
use super::tokenizer::tokenizer;
use crate::ggml::{GgmlType, QUANTIZATION_VERSION};
use crate::gguf::GgufWriter;
use crate::model::{FileMix, ModelShape, TensorSpec};

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
    w.set_str("general.architecture", arch.name())
        .set_str("general.type", "model")
        .set_str("general.name", &shape.name);
    for (key, value) in shape.metadata() {
        value.write(&mut w, &key);
    }
    w.set("general.file_type", mix.file_type());
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
        .set_str("slmbench.synth.mix", mix.name())
        .set_str("slmbench.synth.shape", &shape.hash());
    for (tensor, ty) in tensors {
        w.tensor(&tensor.name, &tensor.dims, *ty);
    }
    w
}
