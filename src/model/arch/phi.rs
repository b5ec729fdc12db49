//! Phi and its successors.

use super::Dim::{AttnOut, Embd, Ff, HalfRot, K, Q, Qkv, TwoFf, V, Vocab};
use super::gated::LLAMA;
use super::{
    ArchSpec, Head, KeyValue, LAYER_EPS, N_ROT, NormKind, Opt, RMS_EPS, SHARED_HEADS, SIZES, When,
    key, row, row_when,
};

pub(super) const PHI2: ArchSpec = ArchSpec {
    before: &[
        row("output.bias", &[Vocab]),
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
        row("token_embd.weight", &[Embd, Vocab]),
        row("output_norm.bias", &[Embd]),
        row("output_norm.weight", &[Embd]),
    ],
    layer: &[
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_up.bias", &[Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_down.bias", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("attn_output.bias", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_k.bias", &[K]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_q.bias", &[Q]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.bias", &[V]),
        row("attn_v.weight", &[Embd, V]),
    ],
    after: &[],
    keys: &[SIZES, SHARED_HEADS, LAYER_EPS, N_ROT],
    norm: NormKind::Layer,
    head: Head::Own,
    free_heads: false,
    options: &[],
    ..LLAMA
};

pub(super) const PHI3: ArchSpec = ArchSpec {
    before: &[
        row_when(When::LongRope, "rope_factors_long.weight", &[HalfRot]),
        row_when(When::LongRope, "rope_factors_short.weight", &[HalfRot]),
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
        row("token_embd.weight", &[Embd, Vocab]),
    ],
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.weight", &[Embd, TwoFf]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_qkv.weight", &[Embd, Qkv]),
    ],
    keys: &[
        &[
            key("context_length", KeyValue::NCtx),
            key("rope.scaling.original_context_length", KeyValue::NCtxOrig),
            key("embedding_length", KeyValue::NEmbd),
            key("feed_forward_length", KeyValue::NFf),
            key("block_count", KeyValue::NLayer),
            key("attention.head_count", KeyValue::NHead),
        ],
        SHARED_HEADS,
        RMS_EPS,
        N_ROT,
        &[
            key("rope.freq_base", KeyValue::FreqBase),
            // llama.cpp reads it and leaves it aside: no layer slides.
            key("attention.sliding_window", KeyValue::Window),
            key("rope.scaling.attn_factor", KeyValue::AttnFactor),
        ],
    ],
    free_heads: false,
    options: &[Opt::Window],
    ..LLAMA
};
