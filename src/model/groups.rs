//! Which part of a model a tensor belongs to, by its name alone: for files of any architecture.
//!
//! Source of truth: the table of tensor names in llama.cpp's `llama-arch.cpp`.

use super::TensorGroup;

/// The part that a tensor called `name` belongs to. Biases and scales go with the matrix they
/// stand beside; norms are a part of their own, wherever they stand.
///
/// The five parts are those of a dense transformer. Of other models, what mixes tokens
/// (state-space layers, short convolutions) counts as attention, and what else stands in a layer
/// as feed-forward.
pub fn group_of(name: &str) -> TensorGroup {
    use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
    let stem = [".weight", ".bias", ".scale", ".input_scale"]
        .into_iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    // Encoder and decoder of one model have the same parts.
    let stem = stem.strip_prefix("enc.").or_else(|| stem.strip_prefix("dec.")).unwrap_or(stem);
    if stem.split(['.', '_']).any(is_norm) {
        return Norm;
    }
    let Some(part) = part_of_layer(stem) else {
        let is = |starts: &[&str]| starts.iter().any(|start| stem.starts_with(start));
        return if is(&["output", "cls", "dense_"]) {
            Output
        } else if is(&["rope_", "hrm."]) {
            Attention
        } else {
            Embedding
        };
    };
    let is = |starts: &[&str]| starts.iter().any(|start| part.starts_with(start));
    if is(&["nextn.embed_tokens"]) {
        Embedding
    } else if is(&["nextn.shared_head"]) {
        Output
    } else if is(ATTENTION) {
        Attention
    } else {
        Ffn
    }
}

/// How names of parts that mix tokens begin.
const ATTENTION: &[&str] = &[
    "attn_",
    "cross_attn_",
    "vis_attn_",
    "hc_attn_",
    "indexer",
    "rope_",
    "ssm_",
    "shortconv",
    "time_mix_",
];

/// Whether a word of a name says norm: `norm`, `norm1`, `enorm`, `ln`.
fn is_norm(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    word.ends_with("norm") || word == "ln"
}

/// What stands behind the layer's number in `blk.7.attn_q`.
fn part_of_layer(stem: &str) -> Option<&str> {
    let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
    layer.bytes().all(|b| b.is_ascii_digit()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

    #[test]
    fn every_tensor_of_every_model_is_in_the_group_its_name_says() {
        use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
        let catalogue = Catalogue::built_in().unwrap();
        for tensor in catalogue.shapes().flat_map(|shape| shape.tensors()) {
            let name = tensor.name.as_str();
            let expected = match name {
                _ if name.contains("norm") => Norm,
                _ if name.starts_with("token_embd") || name.starts_with("position") => Embedding,
                _ if name.starts_with("output") => Output,
                _ if name.contains(".ffn_") => Ffn,
                _ if name.contains(".attn_") || name.starts_with("rope_") => Attention,
                _ => panic!("{name}"),
            };
            assert_eq!(group_of(name), expected, "{name}");
        }
    }

    #[test]
    fn names_of_other_architectures_have_their_group() {
        use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
        for (group, names) in [
            (Embedding, &["token_embd.weight", "position_embd.weight", "token_types.weight"][..]),
            (Embedding, &["per_layer_token_embd.weight", "per_layer_model_proj.weight"]),
            (
                Norm,
                &[
                    "token_embd_norm.weight",
                    "token_embd_norm.bias",
                    "output_norm.bias",
                    "per_layer_proj_norm.weight",
                    "blk.0.attn_norm.bias",
                    "blk.0.attn_norm_2.weight",
                    "blk.10.attn_q_norm.weight",
                    "blk.10.attn_k_norm.weight",
                    "blk.3.post_attention_norm.weight",
                    "blk.3.post_ffw_norm.weight",
                    "blk.3.post_ffw_norm_1.weight",
                    "blk.3.layer_output_norm.weight",
                    "blk.3.attn_sub_norm.weight",
                    "blk.3.time_mix_ln.weight",
                ],
            ),
            (
                Attention,
                &[
                    "rope_freqs.weight",
                    "rope_factors_long.weight",
                    "rope_factors_short.weight",
                    "blk.0.rope_freqs.weight",
                    "blk.0.attn_qkv.weight",
                    "blk.0.attn_qkv.bias",
                    "blk.0.attn_output.bias",
                    "blk.0.attn_q.scale",
                    "blk.0.attn_sinks.weight",
                    "blk.0.ssm_conv1d.weight",
                    "blk.0.ssm_a",
                    "blk.0.shortconv.in_proj.weight",
                    "dec.blk.2.cross_attn_q.weight",
                ],
            ),
            (
                Ffn,
                &[
                    "blk.0.ffn_up.weight",
                    "blk.0.ffn_down.bias",
                    "blk.0.ffn_gate_exps.weight",
                    "blk.0.exp_probs_b.bias",
                    "blk.0.channel_mix_key.weight",
                    "enc.blk.2.ffn_up.weight",
                ],
            ),
            (Output, &["output.weight", "output.bias", "cls.output.weight"]),
        ] {
            for name in names {
                assert_eq!(group_of(name), group, "{name}");
            }
        }
    }
}
