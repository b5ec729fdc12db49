//! Every architecture of llama.cpp with weights of every type.
//!
//! One layer with what is peculiar to the architecture, in rows that every type fits; several layers
//! are in `archs`. Told is the error of all steps together, Σ(a − b)² ÷ Σb² over the logits of the prompt
//! and of every decoded token.
//!
//! - F32 and F16: what sums in another order are worth, as in `archs`.
//! - All others: 1e-4, and three of four steps agree within 1e-12, behind latents half of them. Both
//!   engines round activations alike, to 8 bits before quantised weights and to the 8 of BF16 before
//!   those; what is left are rounding edges (see `differential`), which no real difference hides
//!   behind: another scale or another bit would be seen at every step. Where an edge of the prompt is
//!   passed on to all later steps other weights are tried. Of five files one has to agree so, and none
//!   that was needed may be further off than edges are worth.

use slmbench::engine::ReferenceEngine;
use slmbench::engine::llama_cpp::LlamaCpp;
use slmbench::ggml::GgmlType;
use slmbench::model::{Arch, FileMix, ModelShape};
use slmbench::settings::{Auto, FlashAttn, Settings};

use super::archs::{first_layers, has_gelu, topology};
use super::{
    Case, EDGES, N_DECODE, N_PROMPT, departing, logits_with, n_same, n_same_top, nmse, settings,
    worst,
};

/// A file of each type that `synth` writes: of mixes of one type that with the least of others.
const MIXES: [FileMix; 15] = [
    FileMix::F32,
    FileMix::F16,
    FileMix::BF16,
    FileMix::Q8_0,
    FileMix::Q4_0,
    FileMix::Q4_1,
    FileMix::Q5_0,
    FileMix::Q5_1,
    FileMix::Q2_K,
    FileMix::Q3_K_S,
    FileMix::Q4_K_S,
    FileMix::Q5_K_S,
    FileMix::Q6_K,
    FileMix::IQ4_NL,
    FileMix::IQ4_XS,
];

/// The prompt and every decoded token.
const N_STEPS: usize = 1 + N_DECODE as usize;

/// One layer of the topology of `arch`, its rows multiples of 256.
fn wide(arch: Arch) -> ModelShape {
    let narrow = topology(arch);
    let shares = narrow.n_head.at(0) != narrow.n_head_kv.at(0);
    let base = ModelShape {
        name: "wide".to_owned(),
        n_embd: 512,
        n_ff: 768.into(),
        n_head: 8.into(),
        n_head_kv: if shares { 2.into() } else { 8.into() },
        n_vocab: 512,
        ..first_layers(&narrow, 1)
    };
    let heads = |n_head: u32, n_head_kv: u32, head_dim: u32| ModelShape {
        n_head: n_head.into(),
        n_head_kv: n_head_kv.into(),
        head_dim,
        n_rot: head_dim,
        ..base.clone()
    };
    match arch {
        Arch::Qwen3 => heads(6, 2, 128),
        Arch::Gemma | Arch::Gemma2 | Arch::Gemma3 => heads(2, 1, 128),
        Arch::Openelm => heads(4, 1, 64),
        Arch::Minicpm3 => {
            ModelShape { q_lora_rank: Some(256), kv_lora_rank: Some(256), ..base.clone() }
        }
        _ => base,
    }
}

/// What was found of a file.
struct Found {
    /// The error of all steps together.
    error: f64,
    /// Steps that agree but for the order of sums.
    n_same: usize,
    /// Steps at which the likeliest token is the same.
    n_same_top: usize,
}

/// Fails where a step is further off than `bound`.
#[track_caller]
fn run(case: &Case, bound: f64) -> Found {
    // Alone: so small a model has a thread nothing to share.
    let settings = Settings { n_threads: Auto::Fixed(1), ..settings([case.kv; 2], FlashAttn::Off) };
    let ours = logits_with(&ReferenceEngine::new().unwrap(), &case.model, &settings);
    let theirs = logits_with(&LlamaCpp::quiet().without_repacking(), &case.model, &settings);
    let (most, step) = worst(&ours, &theirs);
    assert!(
        most <= bound,
        "{}: error {most:.2e} at step {step}, allowed {bound:.0e}; {}",
        case.name,
        departing::told([&case.model; 2], &settings, (N_PROMPT, step), bound)
    );
    Found {
        error: nmse(&ours.concat(), &theirs.concat()),
        n_same: n_same(&ours, &theirs),
        n_same_top: n_same_top(&ours, &theirs),
    }
}

/// What was found of a file with weights of `mix`, and of others where that is to be held against
/// them; of the first, whatever came out.
#[track_caller]
fn agrees(shape: &ModelShape, mix: FileMix) -> Found {
    let case = |seed| Case::with_seed(shape, 1, mix, GgmlType::F32, seed);
    match (mix, has_gelu(shape.arch)) {
        (FileMix::F32, false) => return run(&case(7), 1e-9),
        (FileMix::F32, true) => return run(&case(7), 2e-7),
        (FileMix::F16, _) => return run(&case(7), 1e-6),
        _ => {}
    }
    // A latent is rounded once more before keys and values are made of it.
    let share = if shape.kv_lora_rank.is_some() { 0.5 } else { 0.75 };
    let mut all = Vec::new();
    for seed in 7..12 {
        let found = run(&case(seed), EDGES);
        let is_alike = found.error <= 1e-4 && found.n_same as f64 >= share * N_STEPS as f64;
        all.push(found);
        if is_alike {
            return all.swap_remove(0);
        }
    }
    let seen: Vec<_> = all.iter().map(|found| (found.error, found.n_same)).collect();
    panic!("{} {mix}: errors of five files and steps that agree: {seen:?}", shape.arch);
}

/// Fails unless models of `arch` agree with llama.cpp in every type; prints a row of the table in
/// `docs/differential.md`.
#[track_caller]
fn check(arch: Arch) {
    let shape = wide(arch);
    let (mut row, mut same, mut of) = (format!("types | {arch} |"), 0, 0);
    for mix in MIXES {
        let tensors = mix.tensors(&shape);
        let (_, ty) = tensors.iter().find(|(t, _)| t.name == "blk.0.ffn_up.weight").unwrap();
        assert_eq!(*ty, mix.base_type(), "{arch} {mix}: rows that do not fit");
        let found = agrees(&shape, mix);
        row += &format!(" {:.0e}", found.error);
        if found.n_same_top < N_STEPS {
            row += &format!(" ({})", found.n_same_top);
        }
        row += " |";
        if ![FileMix::F32, FileMix::F16].contains(&mix) {
            same += found.n_same;
            of += N_STEPS;
        }
    }
    println!("{row} {same} of {of} |");
}

test_each_architecture!(check);
