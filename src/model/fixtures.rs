//! Small shapes for tests.

use super::{Arch, ModelShape};

/// A model of two layers of architecture `arch`.
pub fn small(arch: Arch) -> ModelShape {
    let spec = arch.spec();
    let rotates = arch.rotates();
    let latents = matches!(arch, Arch::Minicpm3);
    ModelShape {
        name: "small".to_owned(),
        arch,
        n_layer: 2,
        n_embd: 64,
        n_ff: 96.into(),
        n_head: 4.into(),
        n_head_kv: (if latents || !arch.shares_heads() { 4 } else { 2 }).into(),
        head_dim: if latents { 24 } else { 16 },
        value_dim: latents.then_some(16),
        n_rot: if latents {
            8
        } else if rotates {
            16
        } else {
            0
        },
        n_vocab: 300,
        n_ctx_train: 128,
        tied_output: spec.head != super::arch::Head::Own,
        rope_freq_base: rotates.then_some(1e4),
        rope_scaling: None,
        norm_eps: 1e-5,
        n_swa: arch.has_windows().then_some(32),
        q_lora_rank: latents.then_some(32),
        kv_lora_rank: latents.then_some(16),
        n_embd_tok: None,
        post_norm: false,
        qkv_bias: false,
        shared_ffn: false,
        copied_output_2024: false,
        sharded: false,
    }
}
