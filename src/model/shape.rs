//! The shape of a model: everything its cost depends on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model family that shares one graph, by its GGUF name (`general.architecture`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// RMS norm, gated SiLU, rotary position on neighbouring pairs, no biases.
    Llama,
    /// As `llama`, with biases on q, k, v and rotary position on halves.
    Qwen2,
}

/// Rotary frequencies changed for long contexts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RopeScaling {
    /// Llama 3.1 and later; written to GGUF as the tensor `rope_freqs`.
    Llama3 {
        /// Factor of the low frequencies.
        factor: f64,
        /// Wavelengths above `n_ctx_orig / low_freq_factor` are scaled whole.
        low_freq_factor: f64,
        /// Wavelengths below `n_ctx_orig / high_freq_factor` are left alone.
        high_freq_factor: f64,
        /// Context length the model was first trained for.
        n_ctx_orig: u32,
    },
}

/// A model by shape. Fields carry the names of llama.cpp's hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelShape {
    /// The name people use, for example `SmolLM2-135M`.
    pub name: String,
    /// Architecture (`general.architecture`).
    pub arch: Arch,
    /// Layers (`{arch}.block_count`).
    pub n_layer: u32,
    /// Width of the residual stream (`{arch}.embedding_length`).
    pub n_embd: u32,
    /// Width of the feed-forward layer (`{arch}.feed_forward_length`).
    pub n_ff: u32,
    /// Query heads (`{arch}.attention.head_count`).
    pub n_head: u32,
    /// Key and value heads (`{arch}.attention.head_count_kv`).
    pub n_head_kv: u32,
    /// Elements of a head (`{arch}.attention.key_length`, `n_embd / n_head` where absent).
    pub head_dim: u32,
    /// Rotated elements of a head (`{arch}.rope.dimension_count`).
    pub n_rot: u32,
    /// Token ids (rows of `token_embd`).
    pub n_vocab: u32,
    /// Longest context trained for (`{arch}.context_length`).
    pub n_ctx_train: u32,
    /// The output head shares the token embedding: there is no tensor `output.weight`.
    pub tied_output: bool,
    /// Base of the rotary frequencies (`{arch}.rope.freq_base`).
    pub rope_freq_base: f64,
    /// Scaling of the rotary frequencies, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Epsilon of the norms (`{arch}.attention.layer_norm_rms_epsilon`).
    pub norm_eps: f64,
}
