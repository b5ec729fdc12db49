//! Families after Llama: a gated feed-forward layer and, but for a few, RMS norms.

use super::Dim::{
    AttnOut, Embd, Ff, HalfRot, Head as HeadDim, K, KvLatent, KvLatentRot, KvPlain, Q, QLatent,
    Qkv, V, Vocab,
};
use super::{
    ArchSpec, FREE_HEAD_LENGTH, HEAD_LENGTH, Head, KeyValue, LAYER_EPS, N_ROT, N_VOCAB, NormKind,
    Opt, Position, RMS_EPS, ROTARY, Row, SHARED_HEADS, SIZES, When, key, row, row_when,
};

/// What stands before the layers: rotary factors, head, embedding.
pub(super) const BEFORE: &[Row] = &[
    row_when(When::Factors, "rope_freqs.weight", &[HalfRot]),
    row_when(When::LongRope, "rope_factors_long.weight", &[HalfRot]),
    row_when(When::LongRope, "rope_factors_short.weight", &[HalfRot]),
    row_when(When::Untied, "output.weight", &[Embd, Vocab]),
    row("token_embd.weight", &[Embd, Vocab]),
];

pub(super) const AFTER: &[Row] = &[row("output_norm.weight", &[Embd])];

pub(super) const LLAMA: ArchSpec = ArchSpec {
    before: BEFORE,
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    after: AFTER,
    keys: &[SIZES, SHARED_HEADS, ROTARY, RMS_EPS, FREE_HEAD_LENGTH, N_VOCAB, N_ROT],
    position: Position::Rotary,
    norm: NormKind::Rms,
    head: Head::Either,
    free_heads: true,
    window_pattern: 1,
    usual_window: None,
    options: &[Opt::SharedFfn],
};

pub(super) const MINICPM: ArchSpec = ArchSpec {
    keys: &[
        SIZES,
        SHARED_HEADS,
        ROTARY,
        RMS_EPS,
        FREE_HEAD_LENGTH,
        &[
            key("embedding_scale", KeyValue::Real(12.0)),
            key("residual_scale", KeyValue::ResidualScale),
            key("logit_scale", KeyValue::LogitScale),
        ],
    ],
    options: &[],
    ..LLAMA
};

pub(super) const QWEN: ArchSpec = ArchSpec {
    before: &[row_when(When::Untied, "output.weight", &[Embd, Vocab])],
    layer: &[
        row("attn_qkv.bias", &[Qkv]),
        row("attn_qkv.weight", &[Embd, Qkv]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_gate.weight", &[Embd, Ff]),
    ],
    after: &[row("output_norm.weight", &[Embd]), row("token_embd.weight", &[Embd, Vocab])],
    keys: &[
        &[
            key("context_length", KeyValue::NCtx),
            key("block_count", KeyValue::NLayer),
            key("embedding_length", KeyValue::NEmbd),
            key("feed_forward_length", KeyValue::TwoNFf),
        ],
        ROTARY,
        N_ROT,
        &[key("attention.head_count", KeyValue::NHead)],
        RMS_EPS,
    ],
    head: Head::Own,
    free_heads: false,
    options: &[],
    ..LLAMA
};

pub(super) const QWEN2: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.bias", &[K]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.bias", &[Q]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.bias", &[V]),
        row("attn_v.weight", &[Embd, V]),
    ],
    keys: &[SIZES, SHARED_HEADS, ROTARY, RMS_EPS],
    free_heads: false,
    options: &[],
    ..LLAMA
};

pub(super) const QWEN3: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k_norm.weight", &[HeadDim]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q_norm.weight", &[HeadDim]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    keys: &[SIZES, SHARED_HEADS, ROTARY, RMS_EPS, HEAD_LENGTH],
    options: &[],
    ..LLAMA
};

pub(super) const OLMO: ArchSpec = ArchSpec {
    layer: &[
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    after: &[],
    keys: &[SIZES, SHARED_HEADS, ROTARY, LAYER_EPS],
    norm: NormKind::Layer,
    free_heads: false,
    options: &[],
    ..LLAMA
};

pub(super) const OPENELM: ArchSpec = ArchSpec {
    before: &[],
    layer: &[
        row("attn_k_norm.weight", &[HeadDim]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q_norm.weight", &[HeadDim]),
        row("attn_qkv.weight", &[Embd, Qkv]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_norm.weight", &[Embd]),
    ],
    after: &[row("output_norm.weight", &[Embd]), row("token_embd.weight", &[Embd, Vocab])],
    keys: &[SIZES, SHARED_HEADS, ROTARY, RMS_EPS, N_ROT, HEAD_LENGTH],
    head: Head::Tied,
    options: &[Opt::PerLayer],
    ..LLAMA
};

pub(super) const STABLELM: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row_when(When::QkvBias, "attn_k.bias", &[K]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row_when(When::QkvBias, "attn_q.bias", &[Q]),
        row("attn_q.weight", &[Embd, Q]),
        row_when(When::QkvBias, "attn_v.bias", &[V]),
        row("attn_v.weight", &[Embd, V]),
    ],
    after: &[row("output_norm.bias", &[Embd]), row("output_norm.weight", &[Embd])],
    keys: &[
        SIZES,
        N_ROT,
        SHARED_HEADS,
        // Written of every model; the graph looks at the tensors.
        &[key("use_parallel_residual", KeyValue::Truth(false))],
        LAYER_EPS,
    ],
    norm: NormKind::Layer,
    head: Head::Own,
    free_heads: false,
    options: &[Opt::QkvBias],
    ..LLAMA
};

pub(super) const MINICPM3: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_kv_a_norm.weight", &[KvLatent]),
        row("attn_kv_a_mqa.weight", &[Embd, KvLatentRot]),
        row("attn_kv_b.weight", &[KvLatent, KvPlain]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q_a_norm.weight", &[QLatent]),
        row("attn_q_a.weight", &[Embd, QLatent]),
        row("attn_q_b.weight", &[QLatent, Q]),
    ],
    keys: &[
        SIZES,
        SHARED_HEADS,
        RMS_EPS,
        N_VOCAB,
        &[
            key("attention.q_lora_rank", KeyValue::QLatent),
            key("attention.kv_lora_rank", KeyValue::KvLatent),
            key("attention.key_length", KeyValue::KeyLength),
        ],
        N_ROT,
    ],
    options: &[Opt::Latents],
    ..LLAMA
};

pub(super) const INTERNLM2: ArchSpec = ArchSpec {
    before: &[],
    layer: &[
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_v.weight", &[Embd, V]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.weight", &[Embd]),
    ],
    after: &[
        row("output_norm.weight", &[Embd]),
        row("token_embd.weight", &[Embd, Vocab]),
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
    ],
    keys: &[SIZES, SHARED_HEADS, ROTARY, RMS_EPS],
    head: Head::Own,
    free_heads: false,
    options: &[],
    ..LLAMA
};
