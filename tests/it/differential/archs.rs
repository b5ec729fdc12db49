//! Every architecture that llama.cpp has, in a model of its own topology.

use slmbench::ggml::GgmlType;
use slmbench::model::{Arch, Catalogue, FileMix, ModelShape, PerLayer, RopeScaling};
use slmbench::settings::FlashAttn;

use super::{Case, SEQUENTIAL, departing, n_same_top, worst};

/// A narrow model with all that is peculiar to `arch`: odd head counts, queries that share keys
/// where they may, heads that do not make up the width where they need not, part of a head turned,
/// windows shorter than the prompt, layers of several widths.
pub(super) fn topology(arch: Arch) -> ModelShape {
    let catalogue = Catalogue::built_in().unwrap();
    let whole = catalogue.shapes().find(|m| m.arch == arch).unwrap();
    let shares = whole.n_head != whole.n_head_kv || arch == Arch::Minicpm;
    let base = ModelShape {
        name: "topology".to_owned(),
        n_layer: 4,
        n_embd: 576,
        n_ff: 864.into(),
        n_head: 9.into(),
        n_head_kv: if shares { 3.into() } else { 9.into() },
        head_dim: 64,
        n_rot: if arch.rotates() { 64 } else { 0 },
        n_vocab: 1000,
        n_ctx_train: 256,
        n_swa: whole.n_swa.map(|_| 24),
        ..whole.clone()
    };
    let (n_head, n_head_kv) = (3.into(), 1.into());
    match arch {
        Arch::Smollm3 => ModelShape { n_layer: 5, ..base },
        Arch::Qwen3 => ModelShape { head_dim: 96, n_rot: 96, ..base },
        Arch::Gptneox | Arch::Stablelm => ModelShape { n_rot: 16, ..base },
        Arch::Phi2 | Arch::Nemotron => ModelShape { n_rot: 32, ..base },
        Arch::Phi3 => {
            let scaling = RopeScaling::LongRope { n_ctx_orig: 64, attn_factor: 1.19 };
            ModelShape { n_rot: 48, rope_scaling: Some(scaling), ..base }
        }
        Arch::Gemma | Arch::Gemma2 => {
            ModelShape { n_head, n_head_kv, head_dim: 96, n_rot: 96, ..base }
        }
        Arch::Gemma3 => {
            let rope_scaling = Some(RopeScaling::Linear { factor: 8.0 });
            let dims = ModelShape { head_dim: 96, n_rot: 96, rope_scaling, ..base };
            ModelShape { n_layer: 6, n_head, n_head_kv, ..dims }
        }
        Arch::Openelm => ModelShape {
            n_head: PerLayer::Each(vec![3, 6, 6, 9]),
            n_head_kv: PerLayer::Each(vec![1, 2, 2, 3]),
            n_ff: PerLayer::Each(vec![288, 416, 608, 864]),
            ..base
        },
        Arch::Minicpm3 => ModelShape {
            head_dim: 96,
            n_rot: 32,
            value_dim: Some(64),
            q_lora_rank: Some(160),
            kv_lora_rank: Some(96),
            rope_scaling: Some(RopeScaling::LongRope { n_ctx_orig: 512, attn_factor: 1.0 }),
            ..base
        },
        _ => base,
    }
}

/// The topology of `arch`, and what else models of it may have.
fn topologies(arch: Arch) -> Vec<ModelShape> {
    let base = topology(arch);
    let named = |name: &str, shape: ModelShape| ModelShape { name: name.to_owned(), ..shape };
    let other = match arch {
        Arch::Llama => {
            let scaling = RopeScaling::Llama3 {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                n_ctx_orig: 64,
            };
            Some(named("factors", ModelShape { rope_scaling: Some(scaling), ..base.clone() }))
        }
        Arch::Stablelm => Some(named("biased", ModelShape { qkv_bias: true, ..base.clone() })),
        Arch::Phi3 => {
            let short = RopeScaling::LongRope { n_ctx_orig: 512, attn_factor: 1.0 };
            Some(named("short", ModelShape { rope_scaling: Some(short), ..base.clone() }))
        }
        Arch::Gptneox => Some(named(SEQUENTIAL, base.clone())),
        Arch::Gpt2 => Some(named("untied", ModelShape { tied_output: false, ..base.clone() })),
        _ => None,
    };
    [base].into_iter().chain(other).collect()
}

/// The first `n` layers of `shape`.
pub(super) fn first_layers(shape: &ModelShape, n: u32) -> ModelShape {
    let cut = |each: &PerLayer| match each {
        PerLayer::Same(n) => PerLayer::Same(*n),
        PerLayer::Each(all) => PerLayer::from_list(all[..n as usize].to_vec()),
    };
    ModelShape {
        n_layer: n,
        n_ff: cut(&shape.n_ff),
        n_head: cut(&shape.n_head),
        n_head_kv: cut(&shape.n_head_kv),
        ..shape.clone()
    }
}

/// Fails unless models of `arch` give the logits of llama.cpp; prints a row of the table in
/// `docs/differential.md`.
#[track_caller]
fn check(arch: Arch) {
    for shape in topologies(arch) {
        let [(f32, _), (f16, top)] =
            [FileMix::F32, FileMix::F16].map(|mix| gives_its_logits(&shape, mix));
        let first = Case::new(&first_layers(&shape, 1), 1, FileMix::Q8_0, GgmlType::F32);
        // What falls to the other side within a latent is in the keys and values of all that follows.
        let share = if shape.kv_lora_rank.is_some() { 0.25 } else { 0.75 };
        let same = first.agrees_but_for_rounding_edges(share);
        // Twice as far: both distances are made of a few such steps.
        let deep = Case::new(&shape, shape.n_layer, FileMix::Q8_0, GgmlType::F32);
        let [q8, own_q8] = deep.is_as_close_as_llama_cpp_to_itself(2.0);
        let cached = Case::new(&shape, shape.n_layer, FileMix::F16, GgmlType::F16);
        let [cache, own_cache] = cached.is_as_close_as_llama_cpp_to_itself(2.0);
        let (name, n) = (&shape.name, 1 + super::N_DECODE);
        println!(
            "archs | {arch} | {name} | {} | {f32:.0e} | {f16:.0e} | {top} of {n} | {same} of {n} | {q8:.0e} \
             ({own_q8:.0e}) | {cache:.0e} ({own_cache:.0e}) |",
            shape.n_layer
        );
    }
}

/// Whether its feed-forward layer has a GELU, which both engines round to F16.
pub(super) fn has_gelu(arch: Arch) -> bool {
    use Arch::{Bloom, Gemma, Gemma2, Gemma3, Gpt2, Gptneox, Phi2};
    matches!(arch, Bloom | Gemma | Gemma2 | Gemma3 | Gpt2 | Gptneox | Phi2)
}

/// Fails unless unquantised weights give the logits of llama.cpp, and layers what its layers give.
/// Answers the largest error, and at how many steps the likeliest token is the same.
#[track_caller]
fn gives_its_logits(shape: &ModelShape, mix: FileMix) -> (f64, usize) {
    // What is found, with room for other machines: an error of its own would not be seen within 1e-6.
    let bound = match (mix, has_gelu(shape.arch)) {
        (FileMix::F32, false) => 1e-9,
        (FileMix::F32, true) => 2e-7,
        _ => 1e-6,
    };
    let case = Case::new(shape, shape.n_layer, mix, GgmlType::F32);
    let (ours, theirs) = (case.ours(FlashAttn::Off), case.theirs_plain(FlashAttn::Off));
    let (error, step) = worst(&ours, &theirs);
    assert!(
        error <= bound,
        "{}: error {error:.2e} at step {step}, allowed {bound:.0e}; {}",
        case.name,
        case.departing(FlashAttn::Off, step, bound)
    );
    departing::agree_layer_by_layer(&case, shape, bound);
    (error, n_same_top(&ours, &theirs))
}

test_each_architecture!(check);
