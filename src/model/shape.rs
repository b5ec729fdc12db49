//! The shape of a model: everything its cost depends on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arch::{Arch, Head, Opt, Position};
use super::per_layer::PerLayer;
use crate::ggml::GgmlType;

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
    /// Every position divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Two sets of factors, for contexts up to `n_ctx_orig` and beyond; in GGUF the tensors
    /// `rope_factors_short` and `rope_factors_long`.
    #[serde(rename = "longrope")]
    LongRope {
        /// Context length the model was first trained for.
        n_ctx_orig: u32,
        /// What rotated queries and keys are multiplied with.
        attn_factor: f64,
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
    pub n_ff: PerLayer,
    /// Query heads (`{arch}.attention.head_count`).
    pub n_head: PerLayer,
    /// Key and value heads (`{arch}.attention.head_count_kv`).
    pub n_head_kv: PerLayer,
    /// Elements of a query or key head (`{arch}.attention.key_length`, `n_embd / n_head` where
    /// absent).
    pub head_dim: u32,
    /// Elements of a value head where they are others (`{arch}.attention.value_length`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value_dim: Option<u32>,
    /// Rotated elements of a head (`{arch}.rope.dimension_count`); 0 where positions are learned
    /// or a slope on the scores.
    pub n_rot: u32,
    /// Token ids (rows of `token_embd`).
    pub n_vocab: u32,
    /// Longest context trained for (`{arch}.context_length`).
    pub n_ctx_train: u32,
    /// The output head shares the token embedding: there is no tensor `output.weight`.
    pub tied_output: bool,
    /// Base of the rotary frequencies (`{arch}.rope.freq_base`), where positions are rotary.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rope_freq_base: Option<f64>,
    /// Scaling of the rotary frequencies, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Epsilon of the norms (`{arch}.attention.layer_norm_rms_epsilon` or
    /// `{arch}.attention.layer_norm_epsilon`).
    pub norm_eps: f64,
    /// Tokens that layers with a sliding window look back (`{arch}.attention.sliding_window`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub n_swa: Option<u32>,
    /// Width of the queries' latent (`{arch}.attention.q_lora_rank`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub q_lora_rank: Option<u32>,
    /// Width of the keys' and values' latent (`{arch}.attention.kv_lora_rank`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kv_lora_rank: Option<u32>,
    /// Width of the token embedding where it is projected to `n_embd`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub n_embd_tok: Option<u32>,
    /// Norms stand behind each part instead of before it.
    #[serde(skip_serializing_if = "is_false", default)]
    pub post_norm: bool,
    /// Queries, keys and values have biases, where models of the architecture differ in that.
    #[serde(skip_serializing_if = "is_false", default)]
    pub qkv_bias: bool,
    /// All layers share one feed-forward layer, which a GGUF file has to repeat.
    #[serde(skip_serializing_if = "is_false", default)]
    pub shared_ffn: bool,
    /// Files made in mid-2024 hold the embedding a second time, as `output.weight`.
    #[serde(skip_serializing_if = "is_false", default)]
    pub copied_output_2024: bool,
    /// The weights were published in several files, so a converted file has its layers in the
    /// order of their numbers; otherwise in that of their names: 0, 1, 10, 11, 2.
    #[serde(skip_serializing_if = "is_false", default)]
    pub sharded: bool,
}

fn is_false(b: &bool) -> bool {
    !b
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
    /// Tokens that a layer looks back where it has a sliding window.
    pub fn window(&self, layer: u32) -> Option<u32> {
        self.n_swa.filter(|_| self.arch.slides(layer))
    }

    /// Why a KV cache of these types cannot be, if so: a head is a whole number of blocks.
    pub fn kv_flaw(&self, type_k: GgmlType, type_v: GgmlType) -> Option<String> {
        let sides = [(type_k, self.head_dim), (type_v, self.value_dim())];
        let (ty, width) =
            sides.into_iter().find(|(ty, width)| ty.bytes_for(u64::from(*width)).is_none())?;
        let block = ty.block_size();
        Some(format!(
            "a head of {width} elements is no whole number of {ty} blocks, which have {block}"
        ))
    }

    /// Elements of a value head.
    pub fn value_dim(&self) -> u32 {
        self.value_dim.unwrap_or(self.head_dim)
    }

    /// Width of all query heads of a layer together.
    pub fn n_embd_q(&self, layer: u32) -> u64 {
        u64::from(self.n_head.at(layer)) * u64::from(self.head_dim)
    }

    /// Width of all key heads of a layer together.
    pub fn n_embd_k(&self, layer: u32) -> u64 {
        u64::from(self.n_head_kv.at(layer)) * u64::from(self.head_dim)
    }

    /// Width of all value heads of a layer together.
    pub fn n_embd_v(&self, layer: u32) -> u64 {
        u64::from(self.n_head_kv.at(layer)) * u64::from(self.value_dim())
    }

    /// Query heads for each key head of the first layer.
    pub fn n_gqa(&self) -> u32 {
        self.n_head.at(0).checked_div(self.n_head_kv.at(0)).unwrap_or(0)
    }

    /// Everything wrong with this shape; empty when it can be built.
    ///
    /// The upper bounds are far above any model and keep every product of fields within 64 bits.
    pub fn problems(&self) -> Vec<ShapeProblem> {
        let mut problems = Vec::new();
        self.check_sizes(&mut problems);
        if problems.is_empty() {
            self.check_heads(&mut problems);
            self.check_position(&mut problems);
            self.check_architecture(&mut problems);
        }
        problems
    }

    fn check_sizes(&self, problems: &mut Vec<ShapeProblem>) {
        let allowed = |field, found: u32, max: u32| {
            let message = || format!("found {found}, allowed are 1 to {max}");
            (found == 0 || found > max).then(|| ShapeProblem { field, message: message() })
        };
        problems.extend(allowed("n_layer", self.n_layer, 1 << 12));
        for (field, found, max) in [
            ("n_embd", self.n_embd, 1 << 18),
            ("head_dim", self.head_dim, 1 << 12),
            ("n_vocab", self.n_vocab, 1 << 24),
            ("n_ctx_train", self.n_ctx_train, u32::MAX - 2),
        ] {
            problems.extend(allowed(field, found, max));
        }
        for (field, found, max) in [
            ("value_dim", self.value_dim, 1 << 12),
            ("n_swa", self.n_swa, u32::MAX),
            ("q_lora_rank", self.q_lora_rank, 1 << 18),
            ("kv_lora_rank", self.kv_lora_rank, 1 << 18),
            ("n_embd_tok", self.n_embd_tok, 1 << 18),
        ] {
            problems.extend(found.and_then(|found| allowed(field, found, max)));
        }
        for (field, found, max) in [
            ("n_ff", &self.n_ff, 1 << 20),
            ("n_head", &self.n_head, 1 << 12),
            ("n_head_kv", &self.n_head_kv, 1 << 12),
        ] {
            problems.extend(match found {
                PerLayer::Same(n) => allowed(field, *n, max),
                // Of a list one line: it may be as long as a file is.
                PerLayer::Each(all) if all.len() != self.n_layer as usize => {
                    let (found, n_layer) = (all.len(), self.n_layer);
                    let message = format!("found {found} numbers for {n_layer} layers");
                    Some(ShapeProblem { field, message })
                }
                PerLayer::Each(all) => all.iter().find_map(|n| allowed(field, *n, max)),
            });
        }
    }

    fn check_heads(&self, problems: &mut Vec<ShapeProblem>) {
        let mut refuse = |field, message| problems.push(ShapeProblem { field, message });
        let uneven = (0..self.n_layer)
            .map(|layer| (self.n_head.at(layer), self.n_head_kv.at(layer)))
            .find(|(q, kv)| !q.is_multiple_of(*kv));
        if let Some((q, kv)) = uneven {
            refuse("n_head_kv", format!("{q} query heads cannot share {kv} evenly"));
        }
        if !self.arch.shares_heads() && self.n_head_kv != self.n_head {
            let message = format!("found {}, must be n_head ({})", self.n_head_kv, self.n_head);
            refuse("n_head_kv", message);
        }
        let wrong = (0..self.n_layer).find(|l| self.n_embd_q(*l) != u64::from(self.n_embd));
        if let (false, Some(layer)) = (self.arch.spec().free_heads, wrong) {
            let n_head = self.n_head.at(layer);
            let message = format!("{n_head} heads of it must make n_embd ({})", self.n_embd);
            refuse("head_dim", message);
        }
    }

    fn check_position(&self, problems: &mut Vec<ShapeProblem>) {
        let mut refuse = |field, message| problems.push(ShapeProblem { field, message });
        if self.arch.spec().position != Position::Rotary {
            let why = format!("models of architecture `{}` do not rotate", self.arch);
            if self.n_rot != 0 {
                refuse("n_rot", why);
            } else if self.rope_freq_base.is_some() || self.rope_scaling.is_some() {
                refuse("rope_freq_base", why);
            }
            return;
        }
        if self.n_rot == 0 || self.n_rot > self.head_dim {
            let message = format!("found {}, allowed are 2 to {}", self.n_rot, self.head_dim);
            refuse("n_rot", message);
        } else if !self.n_rot.is_multiple_of(2) {
            let message = format!("found {}, must be even: positions rotate pairs", self.n_rot);
            refuse(if self.n_rot == self.head_dim { "head_dim" } else { "n_rot" }, message);
        }
        match self.rope_freq_base {
            Some(base) if base.is_finite() && base > 0.0 => {}
            Some(base) => refuse("rope_freq_base", format!("found {base}, must be above 0")),
            None => refuse("rope_freq_base", "is missing".to_owned()),
        }
        if let Some(scaling) = self.rope_scaling {
            scaling.check(refuse);
        }
    }

    fn check_architecture(&self, problems: &mut Vec<ShapeProblem>) {
        let mut refuse = |field, message| problems.push(ShapeProblem { field, message });
        let (arch, spec) = (self.arch, self.arch.spec());
        if !(self.norm_eps.is_finite() && self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            refuse("norm_eps", format!("found {}, must lie between 0 and 1", self.norm_eps));
        }
        match (spec.head, self.tied_output) {
            (Head::Own, true) => {
                let message = format!("models of architecture `{arch}` have an output head");
                refuse("tied_output", message);
            }
            (Head::Tied, false) => {
                let message = format!("models of architecture `{arch}` have no output head");
                refuse("tied_output", message);
            }
            _ => {}
        }
        let per_layer = |n: &PerLayer| n.same().is_none();
        for (opt, field, given) in [
            (Opt::QkvBias, "qkv_bias", self.qkv_bias),
            (Opt::Window, "n_swa", self.n_swa.is_some()),
            (Opt::Latents, "q_lora_rank", self.q_lora_rank.is_some()),
            (Opt::Latents, "kv_lora_rank", self.kv_lora_rank.is_some()),
            (Opt::Latents, "value_dim", self.value_dim.is_some_and(|n| n != self.head_dim)),
            (Opt::EmbdTok, "n_embd_tok", self.n_embd_tok.is_some()),
            (Opt::PostNorm, "post_norm", self.post_norm),
            (Opt::SharedFfn, "shared_ffn", self.shared_ffn),
            (Opt::PerLayer, "n_ff", per_layer(&self.n_ff)),
            (Opt::PerLayer, "n_head", per_layer(&self.n_head)),
            (Opt::PerLayer, "n_head_kv", per_layer(&self.n_head_kv)),
        ] {
            if given && !spec.options.contains(&opt) {
                let what = if opt == Opt::PerLayer { "one for all layers" } else { "none" };
                refuse(field, format!("models of architecture `{arch}` have {what}"));
            }
        }
        if spec.options.contains(&Opt::Latents) {
            let latents = [("q_lora_rank", self.q_lora_rank), ("kv_lora_rank", self.kv_lora_rank)];
            for (field, _) in latents.iter().filter(|(_, rank)| rank.is_none()) {
                refuse(field, "is missing".to_owned());
            }
        }
    }

    /// Refuses a shape that no model can have, with all that is wrong.
    pub fn validate(&self) -> Result<(), ShapeError> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ShapeError { name: self.name.clone(), problems }),
        }
    }
}

impl RopeScaling {
    fn check(self, mut refuse: impl FnMut(&'static str, String)) {
        let mut at_least_one = |what: &str, found: f64| {
            if !(found.is_finite() && found >= 1.0) {
                refuse("rope_scaling", format!("{what} {found}, must be 1 or more"));
            }
        };
        let n_ctx_orig = match self {
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, n_ctx_orig } => {
                at_least_one("factor", factor);
                let order = low_freq_factor > 0.0
                    && high_freq_factor.is_finite()
                    && high_freq_factor > low_freq_factor;
                if !order {
                    let found = format!("found {low_freq_factor} and {high_freq_factor}");
                    let rule = "low_freq_factor must be above 0 and below high_freq_factor";
                    refuse("rope_scaling", format!("{found}, {rule}"));
                }
                n_ctx_orig
            }
            RopeScaling::Linear { factor } => return at_least_one("factor", factor),
            RopeScaling::LongRope { n_ctx_orig, attn_factor } => {
                at_least_one("attn_factor", attn_factor);
                n_ctx_orig
            }
            RopeScaling::Factors => return,
        };
        if n_ctx_orig == 0 {
            refuse("rope_scaling", "n_ctx_orig is 0".to_owned());
        }
    }
}
