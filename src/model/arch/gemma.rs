//! Gemma and its successors.

use super::Dim::{AttnOut, Embd, Ff, Head as HeadDim, K, Q, V, Vocab};
use super::gated::{AFTER, LLAMA};
use super::{
    ArchSpec, HEAD_LENGTH, Head, KeyValue, Opt, RMS_EPS, ROTARY, SHARED_HEADS, SIZES, key, row,
};

pub(super) const GEMMA: ArchSpec = ArchSpec {
    before: &[row("token_embd.weight", &[Embd, Vocab])],
    after: AFTER,
    keys: &[SIZES, SHARED_HEADS, RMS_EPS, HEAD_LENGTH],
    head: Head::Tied,
    options: &[],
    ..LLAMA
};

pub(super) const GEMMA2: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("post_attention_norm.weight", &[Embd]),
        row("post_ffw_norm.weight", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    keys: &[
        SIZES,
        SHARED_HEADS,
        RMS_EPS,
        HEAD_LENGTH,
        &[
            key("attn_logit_softcapping", KeyValue::Real(50.0)),
            key("final_logit_softcapping", KeyValue::Real(30.0)),
            key("attention.sliding_window", KeyValue::Window),
        ],
    ],
    window_pattern: 2,
    usual_window: Some(4096),
    options: &[Opt::Window],
    ..GEMMA
};

pub(super) const GEMMA3: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_gate.weight", &[Embd, Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("post_attention_norm.weight", &[Embd]),
        row("post_ffw_norm.weight", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k_norm.weight", &[HeadDim]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q_norm.weight", &[HeadDim]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    keys: &[
        SIZES,
        SHARED_HEADS,
        ROTARY,
        RMS_EPS,
        HEAD_LENGTH,
        &[
            key("rope.freq_base_swa", KeyValue::Real(10_000.0)),
            key("attention.sliding_window", KeyValue::Window),
        ],
    ],
    window_pattern: 6,
    options: &[Opt::Window],
    ..GEMMA
};
