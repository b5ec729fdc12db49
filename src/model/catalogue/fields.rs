//! The fields of a model in a catalogue: what each means, what may stand behind it, what counts
//! without it.
//!
//! The reader takes the names from here, the JSON Schema everything. Bounds are those of
//! [`ModelShape::problems`](crate::model::ModelShape::problems); `tests/it/schemas.rs` holds one
//! against the other.

/// A field of a table.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    /// What it means, with its unit, in Markdown.
    pub about: &'static str,
    pub value: Value,
    pub absent: Absent,
}

/// What may stand behind a field.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// A text that is not blank.
    Text,
    /// A list of texts.
    Texts,
    Truth,
    /// A whole number within these bounds.
    Count(u32, u32),
    /// A whole number from 1 to this, or a list with one of each layer.
    PerLayer(u32),
    /// An even number up to this.
    Even(u32),
    /// A number above 0.
    Positive,
    /// A number between 0 and 1.
    Fraction,
    /// A number from 1 on.
    Factor,
    /// A number of parameters.
    Parameters,
    /// An architecture.
    Arch,
    /// A file of a repository on Hugging Face.
    HuggingFace,
    /// A table whose `kind` says what else is in it.
    RopeScaling,
}

/// What counts where a field is absent.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// The field must be there.
    Refused,
    False,
    /// What these words say.
    Said(&'static str),
}

const fn field(name: &'static str, value: Value, absent: Absent, about: &'static str) -> Field {
    Field { name, about, value, absent }
}

/// Fields of every model.
pub(super) const NAMES: &[Field] = &[
    field("name", Value::Text, Absent::Refused, "The name people use: `SmolLM2-135M`."),
    field(
        "family",
        Value::Text,
        Absent::Said("not told"),
        "What its makers call the line it belongs to: `SmolLM`.",
    ),
    field(
        "survey_name",
        Value::Text,
        Absent::Said("the survey did not measure it, or calls it the same"),
        "The name under which the survey measured it (arXiv 2409.15790). The model answers to it.",
    ),
    field("aliases", Value::Texts, Absent::Said("none"), "Other names that the model answers to."),
    field(
        "source",
        Value::Text,
        Absent::Said("not told"),
        "Where its shape is published: a repository on Hugging Face, `owner/name`.",
    ),
    field(
        "published",
        Value::Text,
        Absent::Said("`n_params` is the published number"),
        "Its size as its makers state it, where they give no exact count: `1.3B`.",
    ),
];

/// The field of a model that is a file on this machine.
pub(super) const PATH: Field =
    field("path", Value::Text, Absent::Refused, "A GGUF file on this machine.");

/// The field of a model that is a file on Hugging Face.
pub(super) const HF: Field = field(
    "hf",
    Value::HuggingFace,
    Absent::Refused,
    "A GGUF file of a repository on Hugging Face: `owner/repo:file.gguf`.",
);

/// Fields of a model by shape.
pub(super) const SHAPE: &[Field] = &[
    field(
        "arch",
        Value::Arch,
        Absent::Refused,
        "Architecture, which is one graph for many models, by its GGUF name (`general.architecture`).",
    ),
    field(
        "n_layer",
        Value::Count(1, 1 << 12),
        Absent::Refused,
        "Layers; mostly `num_hidden_layers` in a `config.json`.",
    ),
    field(
        "n_embd",
        Value::Count(1, 1 << 18),
        Absent::Refused,
        "Width of the residual stream; mostly `hidden_size` in a `config.json`.",
    ),
    field(
        "n_ff",
        Value::PerLayer(1 << 20),
        Absent::Refused,
        "Width of the feed-forward layer; mostly `intermediate_size` in a `config.json`. One \
         number, or a list with one of each layer.",
    ),
    field(
        "n_head",
        Value::PerLayer(1 << 12),
        Absent::Refused,
        "Query heads; mostly `num_attention_heads` in a `config.json`. One number, or a list with \
         one of each layer.",
    ),
    field(
        "n_head_kv",
        Value::PerLayer(1 << 12),
        Absent::Said("as many as `n_head`"),
        "Key and value heads; mostly `num_key_value_heads` in a `config.json`. One number, or a \
         list with one of each layer.",
    ),
    field(
        "head_dim",
        Value::Count(1, 1 << 12),
        Absent::Said("`n_embd / n_head`"),
        "Elements of a query or key head.",
    ),
    field(
        "value_dim",
        Value::Count(1, 1 << 12),
        Absent::Said("`head_dim`"),
        "Elements of a value head.",
    ),
    field(
        "n_rot",
        Value::Even(1 << 12),
        Absent::Said("`head_dim`, or 0 where the architecture does not rotate"),
        "Elements of a head that are rotated by their position, an even number.",
    ),
    field(
        "n_vocab",
        Value::Count(1, 1 << 24),
        Absent::Refused,
        "Token ids: rows of the embedding; mostly `vocab_size` in a `config.json`.",
    ),
    field(
        "n_ctx_train",
        Value::Count(1, u32::MAX - 2),
        Absent::Refused,
        "Longest context trained for, in tokens; mostly `max_position_embeddings` in a \
         `config.json`.",
    ),
    field(
        "tied_output",
        Value::Truth,
        Absent::Refused,
        "Whether the token embedding is the output head as well; mostly `tie_word_embeddings` in a \
         `config.json`.",
    ),
    field(
        "rope_freq_base",
        Value::Positive,
        Absent::Said("the architecture does not rotate; otherwise it must be there"),
        "Base of the rotary frequencies; mostly `rope_theta` in a `config.json`.",
    ),
    field(
        "rope_scaling",
        Value::RopeScaling,
        Absent::Said("none"),
        "How rotary frequencies are changed for long contexts.",
    ),
    field(
        "norm_eps",
        Value::Fraction,
        Absent::Refused,
        "Epsilon of the norms; mostly `rms_norm_eps` or `layer_norm_eps` in a `config.json`. \
         Changes nothing that is measured.",
    ),
    field(
        "n_swa",
        Value::Count(1, u32::MAX),
        Absent::Said("none"),
        "Tokens that layers with a sliding window look back; only in families that have such \
         layers.",
    ),
    field(
        "q_lora_rank",
        Value::Count(1, 1 << 18),
        Absent::Said("none"),
        "Width of the queries' latent; only in families whose attention is low-rank, which must \
         have it.",
    ),
    field(
        "kv_lora_rank",
        Value::Count(1, 1 << 18),
        Absent::Said("none"),
        "Width of the keys' and values' latent; only in families whose attention is low-rank, \
         which must have it.",
    ),
    field(
        "n_embd_tok",
        Value::Count(1, 1 << 18),
        Absent::Said("`n_embd`"),
        "Width of the token embedding where it is projected to `n_embd`.",
    ),
    field(
        "post_norm",
        Value::Truth,
        Absent::False,
        "Whether norms stand behind attention and feed-forward layer instead of before, with none \
         at the end.",
    ),
    field(
        "qkv_bias",
        Value::Truth,
        Absent::False,
        "Whether queries, keys and values have biases, in families whose models differ in that.",
    ),
    field(
        "shared_ffn",
        Value::Truth,
        Absent::False,
        "Whether one feed-forward layer serves all layers.",
    ),
    field(
        "copied_output_2024",
        Value::Truth,
        Absent::False,
        "Whether files converted in mid-2024 hold a tied embedding twice, as `output.weight`.",
    ),
    field(
        "sharded",
        Value::Truth,
        Absent::False,
        "Whether the source comes in several files, so that layers in a converted file follow \
         their numbers instead of their names.",
    ),
    field(
        "n_params",
        Value::Parameters,
        Absent::Refused,
        "Number of parameters, a tied output counted once. It must be what follows from the shape: \
         that proves the other fields.",
    ),
];

const KIND: Field = field("kind", Value::Text, Absent::Refused, "How frequencies are changed.");

const FACTOR: Field = field(
    "factor",
    Value::Factor,
    Absent::Refused,
    "What frequencies or positions are divided by.",
);

const N_CTX_ORIG: Field = field(
    "n_ctx_orig",
    Value::Count(1, u32::MAX),
    Absent::Refused,
    "Context the model was first trained for, in tokens; mostly \
     `original_max_position_embeddings` in a `config.json`.",
);

/// Kinds of `rope_scaling`: the word, what it is, and the fields.
pub(super) const SCALINGS: &[(&str, &str, &[Field])] = &[
    (
        "llama3",
        "As in Llama 3.1 and later: low frequencies divided by a factor.",
        &[
            KIND,
            FACTOR,
            field(
                "low_freq_factor",
                Value::Positive,
                Absent::Refused,
                "Wavelengths above `n_ctx_orig / low_freq_factor` are scaled whole.",
            ),
            field(
                "high_freq_factor",
                Value::Positive,
                Absent::Refused,
                "Wavelengths below `n_ctx_orig / high_freq_factor` are left alone.",
            ),
            N_CTX_ORIG,
        ],
    ),
    ("linear", "Every position divided by a factor.", &[KIND, FACTOR]),
    (
        "longrope",
        "Two sets of factors, for contexts up to `n_ctx_orig` and beyond.",
        &[
            KIND,
            N_CTX_ORIG,
            field(
                "attn_factor",
                Value::Factor,
                Absent::Refused,
                "What rotated queries and keys are multiplied with.",
            ),
        ],
    ),
];
