//! The shape of a model: everything its cost depends on.

use std::fmt;

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

impl Arch {
    /// Every architecture.
    pub const ALL: [Arch; 2] = [Arch::Llama, Arch::Qwen2];
    /// The names of all of them.
    pub const NAMES: [&str; 2] = ["llama", "qwen2"];

    /// Its GGUF name.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Llama => "llama",
            Arch::Qwen2 => "qwen2",
        }
    }

    /// The architecture of that GGUF name.
    pub fn from_name(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|a| a.name() == name)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
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
    /// As the tensor `rope_freqs` of a file says; what its factors were computed from is not in
    /// the file.
    Factors,
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

/// A field that no model can have so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeProblem {
    /// The field's name in [`ModelShape`].
    pub field: &'static str,
    /// What was found and what is allowed.
    pub message: String,
}

impl fmt::Display for ShapeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A shape that no model can have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("model `{name}`: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ShapeError {
    /// The model.
    pub name: String,
    /// All that is wrong with it.
    pub problems: Vec<ShapeProblem>,
}

impl ModelShape {
    /// Everything wrong with this shape; empty when it can be built.
    ///
    /// The upper bounds are far above any model and keep every product of fields within 64 bits.
    pub fn problems(&self) -> Vec<ShapeProblem> {
        let mut problems = Vec::new();
        let mut refuse = |field, message| problems.push(ShapeProblem { field, message });

        for (field, found, max) in [
            ("n_layer", self.n_layer, 1 << 12),
            ("n_embd", self.n_embd, 1 << 18),
            ("n_ff", self.n_ff, 1 << 20),
            ("n_head", self.n_head, 1 << 12),
            ("n_head_kv", self.n_head_kv, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("n_vocab", self.n_vocab, 1 << 24),
            ("n_ctx_train", self.n_ctx_train, u32::MAX),
        ] {
            if found == 0 || found > max {
                refuse(field, format!("found {found}, allowed are 1 to {max}"));
            }
        }
        if self.n_head_kv != 0 && !self.n_head.is_multiple_of(self.n_head_kv) {
            let message =
                format!("{} query heads cannot share {} evenly", self.n_head, self.n_head_kv);
            refuse("n_head_kv", message);
        }
        if !self.head_dim.is_multiple_of(2) {
            refuse(
                "head_dim",
                format!("found {}, must be even: positions rotate pairs", self.head_dim),
            );
        }
        if self.n_rot != self.head_dim {
            let message = format!("found {}, must be head_dim ({})", self.n_rot, self.head_dim);
            refuse("n_rot", message);
        }
        if self.arch == Arch::Qwen2 && self.n_embd_q() != u64::from(self.n_embd) {
            let message = format!("{} heads of it must make n_embd ({})", self.n_head, self.n_embd);
            refuse("head_dim", message);
        }
        if !(self.rope_freq_base.is_finite() && self.rope_freq_base > 0.0) {
            refuse("rope_freq_base", format!("found {}, must be above 0", self.rope_freq_base));
        }
        if !(self.norm_eps.is_finite() && self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            refuse("norm_eps", format!("found {}, must lie between 0 and 1", self.norm_eps));
        }
        if let Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, n_ctx_orig }) =
            self.rope_scaling
        {
            if !(factor.is_finite() && factor >= 1.0) {
                refuse("rope_scaling", format!("factor {factor}, must be 1 or more"));
            }
            if !(low_freq_factor > 0.0
                && high_freq_factor.is_finite()
                && high_freq_factor > low_freq_factor)
            {
                let found = format!("found {low_freq_factor} and {high_freq_factor}");
                let rule = "low_freq_factor must be above 0 and below high_freq_factor";
                refuse("rope_scaling", format!("{found}, {rule}"));
            }
            if n_ctx_orig == 0 {
                refuse("rope_scaling", "n_ctx_orig is 0".to_owned());
            }
        }
        problems
    }

    /// Refuses a shape that no model can have, with all that is wrong.
    pub fn validate(&self) -> Result<(), ShapeError> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ShapeError { name: self.name.clone(), problems }),
        }
    }
}
