//! The state at a depth: both engines keep it in their caches and go back to it, whatever the cache
//! is like.

use slmbench::engine::llama_cpp::LlamaCpp;
use slmbench::engine::{Engine, ReferenceEngine, Session};
use slmbench::ggml::GgmlType;
use slmbench::model::{Arch, FileMix, ModelShape};
use slmbench::settings::{Auto, FlashAttn, Settings};

use super::archs::{first_layers, topology};
use super::{Case, settings};

/// Beyond the windows of the models here.
const DEPTH: u32 = 40;

/// Bits of the logits of a prompt and of two tokens decoded behind it; each `seed` has its tokens.
fn pass(session: &mut dyn Session, seed: u32, n_prompt: u32) -> Vec<u32> {
    let token = |i: u32| (i * 7919 + seed) % 1000;
    let prompt: Vec<u32> = (0..n_prompt).map(token).collect();
    session.prefill(&prompt).unwrap();
    let mut bits = Vec::new();
    for i in 0..3 {
        bits.extend(session.logits().unwrap().iter().map(|logit| logit.to_bits()));
        session.decode(token(n_prompt + i)).unwrap();
    }
    bits
}

/// Fails unless a session that goes back to a depth goes on as one that has never been further.
#[track_caller]
fn goes_back(engine: &dyn Engine, case: &Case, kv: [GgmlType; 2], flash_attn: FlashAttn) {
    // llama.cpp looks at 256 positions of the cache, or a multiple: the other pass goes beyond.
    let settings = Settings { n_ctx: Auto::Fixed(512), ..settings(kv, flash_attn) };
    let at_depth = || {
        let mut session = engine.load(&case.model, &settings).unwrap();
        let depth: Vec<u32> = (0..DEPTH).map(|i| (i * 31 + 7) % 1000).collect();
        session.prefill(&depth).unwrap();
        session
    };
    let expected = pass(at_depth().as_mut(), 3, 9);
    let mut session = at_depth();
    let other = pass(session.as_mut(), 4, 230);
    assert!(other.iter().all(|bits| f32::from_bits(*bits).is_finite()) && other != expected);
    for _ in 0..2 {
        session.rewind(DEPTH).unwrap();
        let name = engine.info().name;
        let found = pass(session.as_mut(), 3, 9);
        assert!(found == expected, "{name}, {}, {kv:?}, {flash_attn}", case.name);
    }
}

fn case(arch: Arch) -> Case {
    let whole = topology(arch);
    // Of gemma3 only the sixth layer has no window.
    let n_layer = if arch == Arch::Gemma3 { whole.n_layer } else { 2 };
    let shape = ModelShape { n_ctx_train: 512, ..first_layers(&whole, n_layer) };
    Case::new(&shape, n_layer, FileMix::Q8_0, GgmlType::F32)
}

fn both(check: impl Fn(&dyn Engine)) {
    check(&ReferenceEngine::new().unwrap());
    check(&LlamaCpp::quiet());
}

#[test]
fn windows_latents_and_layers_of_several_widths_are_gone_back_to() {
    for arch in [Arch::Gemma2, Arch::Gemma3, Arch::Openelm, Arch::Minicpm3, Arch::Bloom, Arch::Gpt2]
    {
        let case = case(arch);
        for flash_attn in [FlashAttn::Off, FlashAttn::On] {
            both(|engine| goes_back(engine, &case, [GgmlType::F16; 2], flash_attn));
        }
    }
}

#[test]
fn caches_of_every_type_are_gone_back_to() {
    use GgmlType::{BF16, F16, F32, Q4_0, Q8_0};
    for arch in [Arch::Llama, Arch::Gemma3] {
        let case = case(arch);
        for ty in [F32, F16, BF16, Q8_0, Q4_0] {
            both(|engine| goes_back(engine, &case, [ty; 2], FlashAttn::On));
        }
        // Without flash attention llama.cpp has no quantised values.
        for kv in [[F32; 2], [F16; 2], [BF16; 2], [Q8_0, F16], [Q4_0, F32]] {
            both(|engine| goes_back(engine, &case, kv, FlashAttn::Off));
        }
    }
}
