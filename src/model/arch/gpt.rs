//! Families after GPT-2: layer norms, a feed-forward layer without a gate, mostly biases.

use super::Dim::{AttnOut, Ctx, CtxAndTwo, Embd, EmbdTok, Ff, K, Q, Qkv, V, Vocab};
use super::gated::LLAMA;
use super::{
    ArchSpec, Head, KeyValue, LAYER_EPS, N_ROT, N_VOCAB, NormKind, Opt, Position, RMS_EPS,
    SHARED_HEADS, SIZES, When, key, row, row_when,
};

pub(super) const GPT2: ArchSpec = ArchSpec {
    before: &[],
    layer: &[
        row("attn_qkv.bias", &[Qkv]),
        row("attn_qkv.weight", &[Embd, Qkv]),
        row("attn_output.bias", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("ffn_up.bias", &[Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_down.bias", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
    ],
    after: &[
        row("output_norm.bias", &[Embd]),
        row("output_norm.weight", &[Embd]),
        row("position_embd.weight", &[Embd, Ctx]),
        row("token_embd.weight", &[Embd, Vocab]),
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
    ],
    keys: &[SIZES, LAYER_EPS],
    position: Position::Learned,
    norm: NormKind::Layer,
    head: Head::Either,
    free_heads: false,
    window_pattern: 1,
    usual_window: None,
    options: &[],
};

pub(super) const BLOOM: ArchSpec = ArchSpec {
    layer: &[
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.bias", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.bias", &[Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_output.bias", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_qkv.bias", &[Qkv]),
        row("attn_qkv.weight", &[Embd, Qkv]),
    ],
    after: &[
        row("output_norm.bias", &[Embd]),
        row("output_norm.weight", &[Embd]),
        row("token_embd.weight", &[Embd, Vocab]),
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
        row("token_embd_norm.bias", &[Embd]),
        row("token_embd_norm.weight", &[Embd]),
    ],
    keys: &[SIZES, SHARED_HEADS, LAYER_EPS],
    position: Position::Alibi,
    ..GPT2
};

pub(super) const GPTNEOX: ArchSpec = ArchSpec {
    before: &[
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
        row("token_embd.weight", &[Embd, Vocab]),
        row("output_norm.bias", &[Embd]),
        row("output_norm.weight", &[Embd]),
    ],
    layer: &[
        row("attn_output.bias", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_qkv.bias", &[Qkv]),
        row("attn_qkv.weight", &[Embd, Qkv]),
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.bias", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.bias", &[Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
    ],
    after: &[],
    keys: &[SIZES, N_ROT, &[key("use_parallel_residual", KeyValue::Truth(true))], LAYER_EPS],
    position: Position::Rotary,
    head: Head::Own,
    ..GPT2
};

pub(super) const OPT: ArchSpec = ArchSpec {
    before: &[
        row("position_embd.weight", &[Embd, CtxAndTwo]),
        row("token_embd.weight", &[EmbdTok, Vocab]),
        row_when(When::PreNorm, "output_norm.bias", &[Embd]),
        row_when(When::PreNorm, "output_norm.weight", &[Embd]),
    ],
    layer: &[
        row("ffn_up.bias", &[Ff]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_down.bias", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.bias", &[K]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.bias", &[Embd]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.bias", &[Q]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.bias", &[V]),
        row("attn_v.weight", &[Embd, V]),
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
    ],
    after: &[
        row_when(When::TokProjection, "token_embd_in.weight", &[EmbdTok, Embd]),
        row_when(When::TokProjection, "token_embd_out.weight", &[Embd, EmbdTok]),
    ],
    keys: &[
        SIZES,
        LAYER_EPS,
        &[key("token_embedding_length", KeyValue::EmbdTok), key("post_norm", KeyValue::PostNorm)],
    ],
    head: Head::Tied,
    options: &[Opt::EmbdTok, Opt::PostNorm],
    ..GPT2
};

pub(super) const GALACTICA: ArchSpec = ArchSpec {
    before: &[
        row("position_embd.weight", &[Embd, CtxAndTwo]),
        row("token_embd.weight", &[Embd, Vocab]),
        row("output_norm.bias", &[Embd]),
        row("output_norm.weight", &[Embd]),
    ],
    layer: &[
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
    ],
    after: &[],
    keys: &[SIZES, LAYER_EPS],
    head: Head::Tied,
    ..GPT2
};

pub(super) const NEMOTRON: ArchSpec = ArchSpec {
    before: &[
        row_when(When::Untied, "output.weight", &[Embd, Vocab]),
        row("token_embd.weight", &[Embd, Vocab]),
    ],
    layer: &[
        row("attn_norm.bias", &[Embd]),
        row("attn_norm.weight", &[Embd]),
        row("ffn_down.weight", &[Ff, Embd]),
        row("ffn_up.weight", &[Embd, Ff]),
        row("ffn_norm.bias", &[Embd]),
        row("ffn_norm.weight", &[Embd]),
        row("attn_k.weight", &[Embd, K]),
        row("attn_output.weight", &[AttnOut, Embd]),
        row("attn_q.weight", &[Embd, Q]),
        row("attn_v.weight", &[Embd, V]),
    ],
    after: &[row("output_norm.bias", &[Embd]), row("output_norm.weight", &[Embd])],
    keys: &[
        SIZES,
        SHARED_HEADS,
        &[key("rope.freq_base", KeyValue::FreqBase)],
        RMS_EPS,
        N_VOCAB,
        LAYER_EPS,
        N_ROT,
        &[key("rope.scaling.type", KeyValue::Word("none"))],
    ],
    norm: NormKind::Layer,
    head: Head::Own,
    free_heads: false,
    options: &[],
    ..LLAMA
};
