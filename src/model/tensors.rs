//! Which tensors a model of a given shape has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arch::{Dim, Row, When};
use super::{ModelShape, RopeScaling};

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
}

impl TensorSpec {
    /// Number of elements.
    pub fn n_elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

impl ModelShape {
    /// All tensors, in the order in which llama.cpp's converter writes them: that of the names
    /// they had before, as safetensors files keep them. The shape must be valid.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let spec = self.arch.spec();
        let n_rows =
            spec.before.len() + spec.after.len() + spec.layer.len() * self.n_layer as usize;
        let mut all = Vec::with_capacity(n_rows);
        let mut add = |row: &Row, layer: Option<u32>| {
            if !self.has(row.when) {
                return;
            }
            let name = match layer {
                Some(layer) => format!("blk.{layer}.{}", row.name),
                None => row.name.to_owned(),
            };
            let dims = row.dims.iter().map(|dim| self.length(*dim, layer.unwrap_or(0))).collect();
            all.push(TensorSpec { name, dims });
        };
        spec.before.iter().for_each(|row| add(row, None));
        for layer in self.layer_order() {
            spec.layer.iter().for_each(|row| add(row, Some(layer)));
        }
        spec.after.iter().for_each(|row| add(row, None));
        all
    }

    /// Layers in the order of a converted file.
    fn layer_order(&self) -> Vec<u32> {
        let mut layers: Vec<u32> = (0..self.n_layer).collect();
        if !self.sharded {
            layers.sort_by_cached_key(u32::to_string);
        }
        layers
    }

    fn has(&self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Untied => !self.tied_output,
            When::Factors => {
                matches!(self.rope_scaling, Some(RopeScaling::Llama3 { .. } | RopeScaling::Factors))
            }
            When::LongRope => matches!(self.rope_scaling, Some(RopeScaling::LongRope { .. })),
            When::QkvBias => self.qkv_bias,
            When::TokProjection => self.n_embd_tok.is_some_and(|n| n != self.n_embd),
            When::PreNorm => !self.post_norm,
        }
    }

    fn length(&self, dim: Dim, layer: u32) -> u64 {
        let (q, k, v) = (self.n_embd_q(layer), self.n_embd_k(layer), self.n_embd_v(layer));
        let n_head = u64::from(self.n_head.at(layer));
        let (n_rot, value_dim) = (u64::from(self.n_rot), u64::from(self.value_dim()));
        let kv_latent = u64::from(self.kv_lora_rank.unwrap_or(0));
        let n_ff = u64::from(self.n_ff.at(layer));
        match dim {
            Dim::Embd => u64::from(self.n_embd),
            Dim::EmbdTok => u64::from(self.n_embd_tok.unwrap_or(self.n_embd)),
            Dim::Ff => n_ff,
            Dim::TwoFf => 2 * n_ff,
            Dim::Q => q,
            Dim::K => k,
            Dim::V => v,
            Dim::Qkv => q + k + v,
            Dim::AttnOut => n_head * value_dim,
            Dim::Head => u64::from(self.head_dim),
            Dim::HalfRot => n_rot / 2,
            Dim::Vocab => u64::from(self.n_vocab),
            Dim::Ctx => u64::from(self.n_ctx_train),
            Dim::CtxAndTwo => u64::from(self.n_ctx_train) + 2,
            Dim::QLatent => u64::from(self.q_lora_rank.unwrap_or(0)),
            Dim::KvLatent => kv_latent,
            Dim::KvLatentRot => kv_latent + n_rot,
            Dim::KvPlain => n_head * (u64::from(self.head_dim).saturating_sub(n_rot) + value_dim),
        }
    }

    /// Unique parameters: every element of every tensor a published count would count. Rotary
    /// factors are computed, not learned, and left out; a feed-forward layer that all layers
    /// share counts once.
    pub fn n_params(&self) -> u64 {
        let repeated = |name: &str| {
            self.shared_ffn
                && !name.starts_with("blk.0.")
                && name.contains(".ffn_")
                && !name.contains("_norm.")
        };
        self.tensors()
            .iter()
            .filter(|t| !t.name.starts_with("rope_") && !repeated(&t.name))
            .map(TensorSpec::n_elements)
            .sum()
    }
}
