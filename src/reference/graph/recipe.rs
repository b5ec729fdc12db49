//! What a model computes, as data: one row for each architecture, and the numbers of the file.
//!
//! Most of it follows from the tensors a model has and is not repeated here: a norm without a tensor
//! is none, a bias that is there is added, a gate that is there gates. This table has the rest. An
//! architecture is added by a row here and by its tensors and keys in `model::arch`.
//!
//! Source of truth: llama.cpp's graph builders (`src/models/`), and for `opt` and `galactica` the
//! papers (Zhang and others 2022, Taylor and others 2022) with the models' published code.

use super::rope::{Frequencies, Pairing};
use crate::gguf::Gguf;
use crate::model::{Arch, ModelError, ModelShape, NormKind, Position, RopeScaling};
use crate::reference::ReferenceError;
use crate::reference::kernel::Activation;

/// What all models of an architecture have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Family {
    /// Which elements of a head are turned together.
    pub pairing: Pairing,
    /// The turned elements are the last of a head instead of the first.
    pub turns_end: bool,
    /// Every so many layers one knows no positions.
    pub rope_free_step: Option<u32>,
    /// Layers with a sliding window turn by a base of their own; this where the file has none.
    pub base_of_windows: Option<f32>,
    /// Rows of the table of positions before the first that is used.
    pub position_offset: usize,
    /// The most that a step of position takes from a score.
    pub alibi_bias: Option<f32>,
    /// The function of the feed-forward layer.
    pub activation: Activation,
    /// Gate and up lie in one matrix, gate first.
    pub is_gate_fused: bool,
    /// Norms have neither weight nor bias.
    pub has_bare_norms: bool,
    /// What each part adds to the residual stream goes through a norm of its own.
    pub norms_results: bool,
    /// Attention and the feed-forward layer read the same residual stream, where the file says
    /// nothing else.
    pub is_parallel: bool,
    /// A file may say that they do not. Others have the key and lay no weight on it.
    pub may_be_sequential: bool,
    /// A file may bound queries, keys and values.
    pub may_clamp: bool,
    /// What embeddings are multiplied with.
    pub embedding_scale: Scale,
    /// What each part is multiplied with before it is added to the residual stream.
    pub residual_scale: Scale,
    /// What goes into the output matrix is multiplied with: a factor of logits, but for how activations
    /// are rounded in between.
    pub output_scale: Scale,
    /// What logits are divided by.
    pub logit_scale: Scale,
    /// A file may name other scales of embeddings, parts and logits.
    pub may_rescale: bool,
    /// Queries are scaled before they are made to meet keys; elsewhere their products are.
    pub scales_queries: bool,
    /// Layers of the one model that scales its scores by `n_embd / n_head`, not by `head_dim`.
    pub n_layer_wide_scale: Option<u32>,
    /// Scores are held below a cap, softly: this where the file names none. 0 is no cap.
    pub attention_cap: Option<f32>,
    /// The same of logits.
    pub logit_cap: Option<f32>,
}

/// A factor that depends on the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// None.
    One,
    /// This.
    Of(f32),
    /// The root of the residual stream's width.
    RootOfWidth,
    /// So much ÷ √layers.
    ByDepth(f32),
    /// So much ÷ the residual stream's width.
    ByWidth(f32),
}

impl Scale {
    /// That of a model of `shape`.
    fn of(self, shape: &ModelShape) -> f32 {
        let (width, depth) = (shape.n_embd as f32, shape.n_layer as f32);
        match self {
            Scale::One => 1.0,
            Scale::Of(scale) => scale,
            Scale::RootOfWidth => width.sqrt(),
            Scale::ByDepth(scale) => scale / depth.sqrt(),
            Scale::ByWidth(scale) => scale / width,
        }
    }
}

const LLAMA: Family = Family {
    pairing: Pairing::Neighbours,
    turns_end: false,
    rope_free_step: None,
    base_of_windows: None,
    position_offset: 0,
    alibi_bias: None,
    activation: Activation::Silu,
    is_gate_fused: false,
    has_bare_norms: false,
    norms_results: false,
    is_parallel: false,
    may_be_sequential: false,
    may_clamp: false,
    embedding_scale: Scale::One,
    residual_scale: Scale::One,
    output_scale: Scale::One,
    logit_scale: Scale::One,
    may_rescale: false,
    scales_queries: false,
    n_layer_wide_scale: None,
    attention_cap: None,
    logit_cap: None,
};

const QWEN: Family = Family { pairing: Pairing::Halves, ..LLAMA };

/// Without a key logits of `minicpm` are divided by 256 ÷ width, where its authors divide by the
/// inverse: llama.cpp presumes so of older files. No order of logits depends on it.
const MINICPM: Family = Family {
    embedding_scale: Scale::Of(12.0),
    residual_scale: Scale::ByDepth(1.4),
    logit_scale: Scale::ByWidth(256.0),
    may_rescale: true,
    ..LLAMA
};

/// llama.cpp reads none of the scales' keys of it.
const MINICPM3: Family = Family {
    pairing: Pairing::Halves,
    turns_end: true,
    output_scale: Scale::ByWidth(256.0),
    logit_scale: Scale::One,
    may_rescale: false,
    ..MINICPM
};

const GEMMA: Family = Family {
    activation: Activation::Gelu,
    embedding_scale: Scale::RootOfWidth,
    scales_queries: true,
    ..QWEN
};

const GPT2: Family = Family { activation: Activation::Gelu, ..QWEN };

impl Family {
    /// The row of `arch`.
    pub fn of(arch: Arch) -> Family {
        match arch {
            Arch::Llama | Arch::Internlm2 => LLAMA,
            Arch::Olmo => Family { has_bare_norms: true, may_clamp: true, ..LLAMA },
            Arch::Smollm3 => Family { rope_free_step: Some(4), ..LLAMA },
            Arch::Qwen | Arch::Qwen2 | Arch::Qwen3 | Arch::Openelm | Arch::Stablelm => QWEN,
            Arch::Phi3 => Family { is_gate_fused: true, scales_queries: true, ..QWEN },
            Arch::Minicpm => MINICPM,
            Arch::Minicpm3 => MINICPM3,
            Arch::Gemma => GEMMA,
            Arch::Gemma2 => Family {
                norms_results: true,
                attention_cap: Some(50.0),
                logit_cap: Some(30.0),
                n_layer_wide_scale: Some(46),
                ..GEMMA
            },
            Arch::Gemma3 => Family {
                norms_results: true,
                base_of_windows: Some(10_000.0),
                logit_cap: Some(0.0),
                n_layer_wide_scale: Some(62),
                ..GEMMA
            },
            Arch::Gpt2 => GPT2,
            Arch::Bloom => Family { alibi_bias: Some(8.0), ..GPT2 },
            Arch::Gptneox => Family { is_parallel: true, may_be_sequential: true, ..GPT2 },
            Arch::Phi2 => Family { is_parallel: true, scales_queries: true, ..GPT2 },
            Arch::Opt => Family { activation: Activation::Relu, position_offset: 2, ..GPT2 },
            Arch::Galactica => {
                Family { activation: Activation::GeluErf, position_offset: 2, ..GPT2 }
            }
            Arch::Nemotron => Family { activation: Activation::ReluSquared, ..QWEN },
        }
    }

    /// Sets of angles that a pass needs.
    pub fn n_angle_sets(&self, shape: &ModelShape) -> usize {
        let is_turned = shape.arch.rotates();
        let has_two = self.base_of_windows.is_some() && shape.n_swa.is_some();
        usize::from(is_turned) + usize::from(is_turned && has_two)
    }
}

/// What one model computes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    /// What it has in common with others.
    pub family: Family,
    /// Which norm it has.
    pub norm: NormKind,
    /// Epsilon of the norms.
    pub eps: f32,
    /// How angles grow, where positions turn.
    pub frequencies: Option<Frequencies>,
    /// The same in layers with a sliding window, where those differ.
    pub frequencies_of_windows: Option<Frequencies>,
    /// Attention and the feed-forward layer read the same residual stream.
    pub is_parallel: bool,
    /// What embeddings are multiplied with.
    pub embedding_scale: f32,
    /// What each part is multiplied with before it is added to the residual stream.
    pub residual_scale: f32,
    /// What goes into the output matrix is multiplied with.
    pub output_scale: f32,
    /// What logits are multiplied with.
    pub logit_scale: f32,
    /// What queries are multiplied with before they are made to meet keys.
    pub query_scale: f32,
    /// What products of queries and keys are multiplied with.
    pub attention_scale: f32,
    /// Scores are held below this, softly.
    pub attention_cap: Option<f32>,
    /// Logits are held below this, softly.
    pub logit_cap: Option<f32>,
    /// Queries, keys and values are held below this, hard.
    pub clamp_kqv: Option<f32>,
}

impl Recipe {
    /// That of a model of `shape` whose metadata `file` has.
    pub fn read(shape: &ModelShape, file: &Gguf) -> Result<Recipe, ReferenceError> {
        let (arch, family) = (shape.arch, Family::of(shape.arch));
        let refused = |name: &str, found: f32| {
            let what = format!("{arch}.{name} of {found}");
            ReferenceError::Model(ModelError::Unsupported { what })
        };
        let number = |is_heard: bool, name: &str| -> Result<Option<f32>, ReferenceError> {
            if is_heard { Ok(file.opt_f32(&format!("{arch}.{name}"))?) } else { Ok(None) }
        };
        // Where a cap is usual llama.cpp divides by it, also by 0.
        let cap = |name: &str, usual: Option<f32>| -> Result<Option<f32>, ReferenceError> {
            let Some(cap) = number(usual.is_some(), name)?.or(usual) else { return Ok(None) };
            let may_be_none = usual == Some(0.0);
            match cap > 0.0 || cap == 0.0 && may_be_none {
                true => Ok(Some(cap).filter(|cap| *cap > 0.0)),
                false => Err(refused(name, cap)),
            }
        };
        let scale = |name: &str, usual: Scale| -> Result<f32, ReferenceError> {
            Ok(number(family.may_rescale, name)?.unwrap_or_else(|| usual.of(shape)))
        };
        // A scale of 0 is none, but for that by which logits are divided.
        let or_one = |scale: f32| if scale == 0.0 { 1.0 } else { scale };
        let logit_scale = scale("logit_scale", family.logit_scale)?;
        if logit_scale == 0.0 {
            return Err(refused("logit_scale", logit_scale));
        }
        let per_head = match family.n_layer_wide_scale == Some(shape.n_layer) {
            true => shape.n_embd / shape.n_head.at(0),
            false => shape.head_dim,
        };
        let scale_of_scores = 1.0 / (per_head as f32).sqrt();
        let (query_scale, attention_scale) = match family.scales_queries {
            true => (scale_of_scores, 1.0),
            false => (1.0, scale_of_scores),
        };
        let says = file.opt_bool(&format!("{arch}.use_parallel_residual"))?;
        let frequencies = (arch.position() == Position::Rotary).then(|| of_rope(shape));
        let has_own_base = family.base_of_windows.is_some() && shape.n_swa.is_some();
        let own_base = number(has_own_base, "rope.freq_base_swa")?.or(family.base_of_windows);
        let frequencies_of_windows = own_base.filter(|_| has_own_base).map(|base| Frequencies {
            base,
            scale: 1.0,
            size: 1.0,
        });
        Ok(Recipe {
            family,
            norm: arch.norm(),
            eps: shape.norm_eps as f32,
            frequencies,
            frequencies_of_windows,
            is_parallel: family.is_parallel && (says.unwrap_or(true) || !family.may_be_sequential),
            embedding_scale: or_one(scale("embedding_scale", family.embedding_scale)?),
            residual_scale: or_one(scale("residual_scale", family.residual_scale)?),
            output_scale: family.output_scale.of(shape),
            logit_scale: 1.0 / logit_scale,
            query_scale,
            attention_scale,
            attention_cap: cap("attn_logit_softcapping", family.attention_cap)?,
            logit_cap: cap("final_logit_softcapping", family.logit_cap)?,
            clamp_kqv: number(family.may_clamp, "attention.clamp_kqv")?.filter(|v| *v > 0.0),
        })
    }

    /// The angles by which layer `layer` turns: the number of their set, or none where it does not.
    pub fn angle_set(&self, shape: &ModelShape, layer: u32) -> Option<usize> {
        self.frequencies?;
        if self.family.rope_free_step.is_some_and(|step| (layer + 1).is_multiple_of(step)) {
            return None;
        }
        let is_own = self.frequencies_of_windows.is_some() && shape.window(layer).is_some();
        Some(usize::from(is_own))
    }

    /// What each head takes from a score for every position between query and key (Press and others,
    /// ALiBi, 2021): a geometric row, and where the heads are no power of two, every other number of
    /// the next finer one for the rest. Empty where there is no such slope.
    pub fn slopes(&self, n_head: usize) -> Vec<f32> {
        let Some(bias) = self.family.alibi_bias else { return Vec::new() };
        let n_even = 1usize << n_head.ilog2();
        let step = |n: usize| (-bias / n as f32).exp2();
        let slope = |head: usize| match head.checked_sub(n_even) {
            None => step(n_even).powi(head as i32 + 1),
            Some(rest) => step(2 * n_even).powi(2 * rest as i32 + 1),
        };
        (0..n_head).map(slope).collect()
    }
}

fn of_rope(shape: &ModelShape) -> Frequencies {
    let base = shape.rope_freq_base.unwrap_or(10_000.0) as f32;
    let (scale, size) = match shape.rope_scaling {
        Some(RopeScaling::Linear { factor }) => (1.0 / factor as f32, 1.0),
        Some(RopeScaling::LongRope { attn_factor, .. }) => (1.0, attn_factor as f32),
        Some(RopeScaling::Llama3 { .. } | RopeScaling::Factors) | None => (1.0, 1.0),
    };
    Frequencies { base, scale, size }
}
