//! Model families as data: which tensors one has, under which names, in which order, and which
//! metadata goes with them.
//!
//! Source of truth: llama.cpp's model loaders for names and dimensions, its converter for keys and
//! order. `opt` and `galactica` are names of this program: llama.cpp knows neither.

mod gated;
mod gemma;
mod gpt;
mod phi;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! archs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $spec:expr;)*) => {
        /// An architecture: models that share one graph, by its GGUF name (`general.architecture`).
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(rename_all = "lowercase")]
        pub enum Arch { $($(#[$doc])* $variant,)* }

        impl Arch {
            /// Every architecture.
            pub const ALL: &'static [Arch] = &[$(Arch::$variant,)*];
            /// The names of all of them.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// Its GGUF name.
            pub fn name(self) -> &'static str {
                match self { $(Arch::$variant => $name,)* }
            }

            /// What a model of it is made of.
            pub(super) fn spec(self) -> &'static ArchSpec {
                match self { $(Arch::$variant => &$spec,)* }
            }
        }
    };
}

archs! {
    /// RMS norm, gated SiLU, rotary position on neighbouring pairs, no biases.
    Llama = "llama", gated::LLAMA;
    /// As `llama`; every fourth layer knows no positions.
    Smollm3 = "smollm3", gated::LLAMA;
    /// Fused queries, keys and values with a bias; rotary position on halves.
    Qwen = "qwen", gated::QWEN;
    /// As `llama`, with biases on q, k, v and rotary position on halves.
    Qwen2 = "qwen2", gated::QWEN2;
    /// As `llama`, with norms on queries and keys and rotary position on halves.
    Qwen3 = "qwen3", gated::QWEN3;
    /// Gated GELU, embeddings scaled by the root of their width.
    Gemma = "gemma", gemma::GEMMA;
    /// As `gemma`, with norms behind both parts, soft caps, and a window in every other layer.
    Gemma2 = "gemma2", gemma::GEMMA2;
    /// As `gemma2`, with norms on queries and keys, no soft caps, windows in five of six layers.
    Gemma3 = "gemma3", gemma::GEMMA3;
    /// Attention and feed-forward side by side behind one layer norm; biases everywhere.
    Phi2 = "phi2", phi::PHI2;
    /// As `llama`, with q, k, v fused and gate and up fused.
    Phi3 = "phi3", phi::PHI3;
    /// Attention and feed-forward side by side behind norms of their own; fused q, k, v.
    Gptneox = "gptneox", gpt::GPTNEOX;
    /// Learned positions, layer norms, GELU, biases everywhere.
    Gpt2 = "gpt2", gpt::GPT2;
    /// Positions as a slope on the scores (ALiBi), a norm behind the embedding.
    Bloom = "bloom", gpt::BLOOM;
    /// As `gpt2` with ReLU and q, k, v apart.
    Opt = "opt", gpt::OPT;
    /// As `opt` with GELU and without biases on the matrices.
    Galactica = "galactica", gpt::GALACTICA;
    /// As `llama` with norms that have no weights.
    Olmo = "olmo", gated::OLMO;
    /// Every layer of its own width; fused q, k, v with norms on queries and keys.
    Openelm = "openelm", gated::OPENELM;
    /// Layer norms, gated SiLU, part of each head rotated.
    Stablelm = "stablelm", gated::STABLELM;
    /// As `llama` with scaled embeddings, residuals and logits.
    Minicpm = "minicpm", gated::MINICPM;
    /// Queries, keys and values through narrow latents.
    Minicpm3 = "minicpm3", gated::MINICPM3;
    /// As `llama`.
    Internlm2 = "internlm2", gated::INTERNLM2;
    /// Layer norms, squared ReLU without a gate, half of each head rotated.
    Nemotron = "nemotron", gpt::NEMOTRON;
}

impl Arch {
    /// The architecture of that GGUF name.
    pub fn from_name(name: &str) -> Option<Arch> {
        Arch::ALL.iter().copied().find(|a| a.name() == name)
    }

    /// How its tokens get to know where they stand.
    pub fn position(self) -> Position {
        self.spec().position
    }

    /// Whether positions turn queries and keys.
    pub fn rotates(self) -> bool {
        self.position() == Position::Rotary
    }

    /// Which norm its models have.
    pub fn norm(self) -> NormKind {
        self.spec().norm
    }

    /// Whether some of its layers look back only so far.
    pub fn has_windows(self) -> bool {
        self.spec().options.contains(&Opt::Window)
    }

    /// Whether a layer slides a window where a model has one.
    pub fn slides(self, layer: u32) -> bool {
        let pattern = self.spec().window_pattern;
        layer % pattern + 1 < pattern
    }

    /// The window of a file that names none, as llama.cpp presumes it.
    pub(super) fn usual_window(self) -> Option<u32> {
        self.spec().usual_window
    }

    /// Whether its models' files have a key of that name, the architecture's not in front.
    pub(super) fn has_key(self, name: &str) -> bool {
        self.keys().any(|key| key.name == name)
    }

    /// Its keys, list behind list.
    pub(super) fn keys(self) -> impl Iterator<Item = &'static Key> {
        self.spec().keys.iter().flat_map(|list| list.iter())
    }

    /// Whether some of its models have biases on q, k, v and some do not.
    pub(super) fn may_have_qkv_bias(self) -> bool {
        self.spec().options.contains(&Opt::QkvBias)
    }

    /// Whether several query heads may share keys and values.
    pub(super) fn shares_heads(self) -> bool {
        self.keys().any(|key| key.value == KeyValue::NHeadKv)
    }

    /// Whether llama.cpp has it under this name.
    pub fn is_llama_cpps(self) -> bool {
        !matches!(self, Arch::Opt | Arch::Galactica)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a model of one architecture is made of.
pub(super) struct ArchSpec {
    /// Tensors before the layers, as the converter orders them.
    pub before: &'static [Row],
    /// Tensors of one layer, named without `blk.N.`.
    pub layer: &'static [Row],
    /// Tensors behind the layers.
    pub after: &'static [Row],
    /// Metadata as the converter writes it, list behind list, keys without the architecture's name.
    pub keys: &'static [&'static [Key]],
    /// How tokens get to know where they stand.
    pub position: Position,
    /// Which norm it has.
    pub norm: NormKind,
    /// What its output head may be.
    pub head: Head,
    /// Whether all heads together may be wider or narrower than the residual stream.
    pub free_heads: bool,
    /// Of so many layers one after the other all but the last slide a window, where a model has one
    /// (`set_swa_pattern` of llama.cpp); 1 where none does.
    pub window_pattern: u32,
    /// The window of files that name none.
    pub usual_window: Option<u32>,
    /// Fields of a shape that only some architectures have, and this one has.
    pub options: &'static [Opt],
}

/// A tensor of every model of an architecture.
pub(super) struct Row {
    pub name: &'static str,
    pub dims: &'static [Dim],
    pub when: When,
}

/// A row of every model.
pub(super) const fn row(name: &'static str, dims: &'static [Dim]) -> Row {
    Row { name, dims, when: When::Always }
}

/// A row of some models.
pub(super) const fn row_when(when: When, name: &'static str, dims: &'static [Dim]) -> Row {
    Row { name, dims, when }
}

/// The length of one dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// Width of the residual stream.
    Embd,
    /// Width of the token embedding, mostly that of the residual stream.
    EmbdTok,
    /// Width of the feed-forward layer.
    Ff,
    /// Gate and up side by side.
    TwoFf,
    /// All query heads.
    Q,
    /// All key heads.
    K,
    /// All value heads.
    V,
    /// Queries, keys and values side by side.
    Qkv,
    /// What attention hands to its output projection.
    AttnOut,
    /// One head.
    Head,
    /// Half of the rotated elements of a head.
    HalfRot,
    /// Tokens.
    Vocab,
    /// Positions.
    Ctx,
    /// Positions, two of which OPT never uses.
    CtxAndTwo,
    /// The latent of the queries.
    QLatent,
    /// The latent of keys and values.
    KvLatent,
    /// That latent with the rotated part of the keys beside it.
    KvLatentRot,
    /// The plain part of the keys and the values, of all heads.
    KvPlain,
}

/// Which models of an architecture have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// The output head is a tensor of its own.
    Untied,
    /// Rotary frequencies are divided by factors.
    Factors,
    /// Rotary frequencies have two sets of factors, for short and for long contexts.
    LongRope,
    /// q, k and v have biases.
    QkvBias,
    /// Tokens are embedded in another width and projected.
    TokProjection,
    /// Norms stand before each part, so the last part needs one behind it.
    PreNorm,
}

/// A metadata key and where its value comes from.
pub(super) struct Key {
    pub name: &'static str,
    pub value: KeyValue,
}

pub(super) const fn key(name: &'static str, value: KeyValue) -> Key {
    Key { name, value }
}

/// The value of a metadata key. One that a model has not is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum KeyValue {
    /// The same in every model.
    Truth(bool),
    /// The same in every model.
    Real(f32),
    /// The same in every model.
    Word(&'static str),
    /// Layers.
    NLayer,
    /// Context trained for.
    NCtx,
    /// Width of the residual stream.
    NEmbd,
    /// Width of the feed-forward layer.
    NFf,
    /// Width of gate and up together.
    TwoNFf,
    /// Query heads.
    NHead,
    /// Key and value heads.
    NHeadKv,
    /// Base of the rotary frequencies.
    FreqBase,
    /// Epsilon of the norms.
    NormEps,
    /// Rotated elements of a head.
    NRot,
    /// Token ids.
    NVocab,
    /// Elements of a key head.
    KeyLength,
    /// Elements of a value head.
    ValueLength,
    /// Elements of a head, where the heads together are not as wide as the residual stream.
    FreeHeadLength,
    /// The sliding window.
    Window,
    /// `linear`, where positions are divided.
    ScalingType,
    /// What positions are divided by.
    ScalingFactor,
    /// Context trained for before it was lengthened.
    NCtxOrig,
    /// What rotated queries and keys are multiplied with.
    AttnFactor,
    /// What the residual stream's additions are multiplied with: 1.4 / √layers.
    ResidualScale,
    /// What logits are divided by: width / 256.
    LogitScale,
    /// Width of the queries' latent.
    QLatent,
    /// Width of the keys' and values' latent.
    KvLatent,
    /// Width of the token embedding, where it is not that of the residual stream.
    EmbdTok,
    /// Norms stand behind each part.
    PostNorm,
}

/// Keys of every architecture.
pub(super) const SIZES: &[Key] = &[
    key("block_count", KeyValue::NLayer),
    key("context_length", KeyValue::NCtx),
    key("embedding_length", KeyValue::NEmbd),
    key("feed_forward_length", KeyValue::NFf),
    key("attention.head_count", KeyValue::NHead),
];

/// How many heads share keys and values.
pub(super) const SHARED_HEADS: &[Key] = &[key("attention.head_count_kv", KeyValue::NHeadKv)];

/// Rotary frequencies.
pub(super) const ROTARY: &[Key] = &[
    key("rope.scaling.type", KeyValue::ScalingType),
    key("rope.scaling.factor", KeyValue::ScalingFactor),
    key("rope.freq_base", KeyValue::FreqBase),
];

pub(super) const RMS_EPS: &[Key] = &[key("attention.layer_norm_rms_epsilon", KeyValue::NormEps)];

pub(super) const LAYER_EPS: &[Key] = &[key("attention.layer_norm_epsilon", KeyValue::NormEps)];

/// Length of a head, said outright.
pub(super) const HEAD_LENGTH: &[Key] = &[
    key("attention.key_length", KeyValue::KeyLength),
    key("attention.value_length", KeyValue::ValueLength),
];

/// Length of a head, said where it does not follow.
pub(super) const FREE_HEAD_LENGTH: &[Key] = &[
    key("attention.key_length", KeyValue::FreeHeadLength),
    key("attention.value_length", KeyValue::FreeHeadLength),
];

pub(super) const N_ROT: &[Key] = &[key("rope.dimension_count", KeyValue::NRot)];

pub(super) const N_VOCAB: &[Key] = &[key("vocab_size", KeyValue::NVocab)];

/// How tokens get to know where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Pairs of elements of queries and keys are turned.
    Rotary,
    /// A vector of its own for each position.
    Learned,
    /// A slope on the scores.
    Alibi,
}

/// Which norm a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square.
    Rms,
    /// Mean and variance.
    Layer,
}

impl NormKind {
    /// Key of its epsilon, without the architecture's name.
    pub(super) fn eps_key(self) -> &'static str {
        match self {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        }
    }
}

/// What an output head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Its own tensor or the embedding.
    Either,
    /// Always its own tensor.
    Own,
    /// Always the embedding.
    Tied,
}

/// Fields of a shape that most architectures do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    QkvBias,
    Window,
    Latents,
    EmbdTok,
    PostNorm,
    SharedFfn,
    PerLayer,
}
