//! Which tensors a model of a given shape has.
//!
//! Source of truth: llama.cpp's `convert_hf_to_gguf.py` for names and order, its model loaders for
//! dimensions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arch, ModelShape};

/// The part of a model that a tensor belongs to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TensorGroup {
    /// The token embedding.
    Embedding,
    /// Projections and biases of attention, rotary factors.
    Attention,
    /// The feed-forward layers.
    Ffn,
    /// Norms.
    Norm,
    /// The output head where it is a tensor of its own.
    Output,
}

/// A tensor of a model, without its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in GGUF.
    pub name: String,
    /// Dimensions in ggml's order: the first is the length of a row.
    pub dims: Vec<u64>,
    /// The part it belongs to.
    pub group: TensorGroup,
}

impl TensorSpec {
    /// Number of elements.
    pub fn n_elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

impl ModelShape {
    /// Width of all query heads together.
    pub fn n_embd_q(&self) -> u64 {
        u64::from(self.n_head) * u64::from(self.head_dim)
    }

    /// Width of all key heads together, which is that of the value heads.
    pub fn n_embd_kv(&self) -> u64 {
        u64::from(self.n_head_kv) * u64::from(self.head_dim)
    }

    /// All tensors, in the order in which llama.cpp's converter writes them: that of the names
    /// the tensors had before, layer by layer.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
        let (embd, ff, vocab) =
            (u64::from(self.n_embd), u64::from(self.n_ff), u64::from(self.n_vocab));
        let (q, kv) = (self.n_embd_q(), self.n_embd_kv());
        let mut all = Vec::with_capacity(4 + 12 * self.n_layer as usize);
        let mut add = |name: String, dims: &[u64], group| {
            all.push(TensorSpec { name, dims: dims.to_vec(), group });
        };

        if self.rope_scaling.is_some() {
            add("rope_freqs.weight".to_owned(), &[u64::from(self.n_rot / 2)], Attention);
        }
        if !self.tied_output {
            add("output.weight".to_owned(), &[embd, vocab], Output);
        }
        add("token_embd.weight".to_owned(), &[embd, vocab], Embedding);
        for layer in 0..self.n_layer {
            let mut add = |part: &str, dims: &[u64], group| {
                add(format!("blk.{layer}.{part}"), dims, group);
            };
            add("attn_norm.weight", &[embd], Norm);
            add("ffn_down.weight", &[ff, embd], Ffn);
            add("ffn_gate.weight", &[embd, ff], Ffn);
            add("ffn_up.weight", &[embd, ff], Ffn);
            add("ffn_norm.weight", &[embd], Norm);
            let biased = self.arch == Arch::Qwen2;
            if biased {
                add("attn_k.bias", &[kv], Attention);
            }
            add("attn_k.weight", &[embd, kv], Attention);
            add("attn_output.weight", &[q, embd], Attention);
            if biased {
                add("attn_q.bias", &[q], Attention);
            }
            add("attn_q.weight", &[embd, q], Attention);
            if biased {
                add("attn_v.bias", &[kv], Attention);
            }
            add("attn_v.weight", &[embd, kv], Attention);
        }
        add("output_norm.weight".to_owned(), &[embd], Norm);
        all
    }

    /// Unique parameters: every element of every tensor a published count would count. Rotary
    /// factors are computed, not learned, and left out.
    pub fn n_params(&self) -> u64 {
        self.tensors()
            .iter()
            .filter(|t| t.name != "rope_freqs.weight")
            .map(TensorSpec::n_elements)
            .sum()
    }
}
