//! Keys of a file by which llama.cpp computes otherwise: each changes the logits of both engines alike,
//! or of neither. What the built-in engine does not compute it refuses with the key's name; those keys
//! have tests beside the reader.

use slmbench::engine::{Engine, ReferenceEngine};
use slmbench::ggml::GgmlType;
use slmbench::model::MetaValue::{Bool, F32, Str, U32};
use slmbench::model::{Arch, FileMix, MetaValue, ModelShape};
use slmbench::settings::{Auto, FlashAttn, Settings};

use super::archs::{first_layers, has_gelu, topology};
use super::{Case, worst};
use crate::support::set_key;

/// What becomes of the logits of both engines.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    /// They change, and alike.
    Heard,
    /// They stay: nobody reads the key, or it says what is presumed.
    Nothing,
}
use Effect::{Heard, Nothing};

/// A file of `arch` in which `change` gives the key its value, or takes it away.
fn case(arch: Arch, change: Option<(&str, Option<&MetaValue>)>) -> Case {
    let whole = topology(arch);
    // Windows need a layer without one.
    let n_layer = match arch {
        Arch::Gemma2 => 2,
        Arch::Gemma3 => whole.n_layer,
        _ => 1,
    };
    let shape = first_layers(&whole, n_layer);
    let n_ff = if shape.n_ff.same().is_some() { 96.into() } else { shape.n_ff.clone() };
    let shape = ModelShape { n_ff, ..shape };
    let mut case = Case::new(&shape, n_layer, FileMix::F32, GgmlType::F32);
    if let Some((name, value)) = change {
        set_key(&case.model, &format!("{arch}.{name}"), value);
        case.name = format!("{arch} with {name} {value:?}");
    }
    case
}

/// Fails unless each key, set or taken away, has its effect on the logits of both engines.
#[track_caller]
fn check(arch: Arch, rows: &[(&str, Option<MetaValue>, Effect)]) {
    // As in the tests of architectures.
    let bound = if has_gelu(arch) { 2e-7 } else { 1e-9 };
    let usual = case(arch, None).ours(FlashAttn::Off);
    for (name, value, effect) in rows {
        let case = case(arch, Some((name, value.as_ref())));
        let (ours, theirs) = (case.ours(FlashAttn::Off), case.theirs_plain(FlashAttn::Off));
        let (apart, step) = worst(&ours, &theirs);
        assert!(apart <= bound, "{}: error {apart:.2e} at step {step}", case.name);
        let change = worst(&ours, &usual).0;
        let found = if change > 1e-6 { Heard } else { Nothing };
        assert_eq!(found, *effect, "{}: logits change by {change:.2e}", case.name);
        // What changes nothing is not computed with at all, but for the last place of a number.
        assert!(found == Heard || change < 1e-9, "{}: {change:.2e}", case.name);
    }
}

fn word(word: &str) -> Option<MetaValue> {
    Some(Str(word.to_owned()))
}

#[test]
fn scales_of_minicpm() {
    check(
        Arch::Minicpm,
        &[
            ("embedding_scale", Some(F32(3.0)), Heard),
            ("embedding_scale", Some(F32(0.0)), Heard),
            ("embedding_scale", None, Nothing),
            ("residual_scale", Some(F32(0.3)), Heard),
            ("residual_scale", Some(F32(0.0)), Heard),
            ("residual_scale", None, Nothing),
            ("logit_scale", Some(F32(2.0)), Heard),
            // Its usual value is the inverse of what newer files say.
            ("logit_scale", None, Heard),
            ("attention.scale", Some(F32(0.5)), Nothing),
        ],
    );
    check(
        Arch::Minicpm3,
        &[
            ("embedding_scale", Some(F32(3.0)), Nothing),
            ("residual_scale", Some(F32(0.3)), Nothing),
            ("logit_scale", Some(F32(2.0)), Nothing),
            ("rope.freq_base", Some(F32(100.0)), Heard),
        ],
    );
}

#[test]
fn caps_and_windows_of_gemma2() {
    check(
        Arch::Gemma2,
        &[
            ("attn_logit_softcapping", Some(F32(0.5)), Heard),
            ("attn_logit_softcapping", None, Nothing),
            ("final_logit_softcapping", Some(F32(1.0)), Heard),
            ("final_logit_softcapping", None, Nothing),
            ("attention.sliding_window", Some(U32(8)), Heard),
            ("attention.sliding_window", None, Heard),
            ("attention.sliding_window_pattern", Some(U32(2)), Nothing),
            ("rope.freq_base", Some(F32(100.0)), Heard),
            ("rope.freq_base_swa", Some(F32(10_000.0)), Nothing),
            ("rope.scaling.factor", Some(F32(4.0)), Heard),
        ],
    );
}

#[test]
fn caps_windows_and_bases_of_gemma3() {
    check(
        Arch::Gemma3,
        &[
            ("attn_logit_softcapping", Some(F32(0.5)), Nothing),
            ("final_logit_softcapping", Some(F32(1.0)), Heard),
            ("final_logit_softcapping", Some(F32(0.0)), Nothing),
            ("attention.sliding_window", Some(U32(8)), Heard),
            ("attention.sliding_window", Some(U32(0)), Heard),
            ("attention.sliding_window", None, Heard),
            ("rope.freq_base", Some(F32(100.0)), Heard),
            ("rope.freq_base_swa", Some(F32(100.0)), Heard),
            ("rope.freq_base_swa", None, Nothing),
            ("rope.scaling.factor", None, Heard),
            ("rope.scaling.type", None, Nothing),
            ("rope.scaling.type", word("none"), Heard),
        ],
    );
    check(
        Arch::Gemma,
        &[
            ("attn_logit_softcapping", Some(F32(0.5)), Nothing),
            ("final_logit_softcapping", Some(F32(1.0)), Nothing),
            ("attention.sliding_window", Some(U32(8)), Nothing),
            ("rope.freq_base", Some(F32(100.0)), Heard),
        ],
    );
}

#[test]
fn rotary_frequencies() {
    check(
        Arch::Llama,
        &[
            ("rope.freq_base", Some(F32(100.0)), Heard),
            ("rope.freq_base", None, Nothing),
            ("rope.scaling.factor", Some(F32(4.0)), Heard),
            ("rope.scaling.factor", Some(F32(0.0)), Nothing),
            ("rope.scale_linear", Some(F32(4.0)), Heard),
            ("rope.scaling.type", word("none"), Nothing),
            ("rope.scaling.finetuned", Some(Bool(true)), Nothing),
            ("rope.scaling.alpha", Some(F32(1000.0)), Nothing),
            ("rope.scaling.original_context_length", Some(U32(64)), Nothing),
        ],
    );
    check(
        Arch::Phi3,
        &[
            ("rope.scaling.original_context_length", Some(U32(512)), Heard),
            ("rope.scaling.attn_factor", Some(F32(1.5)), Heard),
            ("rope.scaling.attn_factor", None, Heard),
            ("attention.sliding_window", Some(U32(8)), Nothing),
        ],
    );
    for arch in [Arch::Phi2, Arch::Gptneox, Arch::Stablelm, Arch::Openelm, Arch::Nemotron] {
        let factor = if arch == Arch::Nemotron { Nothing } else { Heard };
        check(
            arch,
            &[
                ("rope.freq_base", Some(F32(100.0)), Heard),
                // Files of nemotron say that nothing is scaled.
                ("rope.scaling.factor", Some(F32(4.0)), factor),
            ],
        );
    }
}

#[test]
fn what_only_some_architectures_have() {
    check(
        Arch::Olmo,
        &[
            ("attention.clamp_kqv", Some(F32(0.5)), Heard),
            ("attention.clamp_kqv", Some(F32(-1.0)), Nothing),
        ],
    );
    check(Arch::Gptneox, &[("use_parallel_residual", Some(Bool(false)), Heard)]);
    check(
        Arch::Stablelm,
        &[
            ("use_parallel_residual", Some(Bool(true)), Nothing),
            ("rope.dimension_count", Some(U32(32)), Heard),
        ],
    );
    check(Arch::Bloom, &[("attention.max_alibi_bias", Some(F32(4.0)), Nothing)]);
    check(
        Arch::Llama,
        &[
            ("attention.clamp_kqv", Some(F32(0.5)), Nothing),
            ("attention.scale", Some(F32(0.5)), Nothing),
            ("attention.sliding_window", Some(U32(8)), Nothing),
            ("attn_logit_softcapping", Some(F32(0.5)), Nothing),
            ("final_logit_softcapping", Some(F32(1.0)), Nothing),
            ("logit_scale", Some(F32(2.0)), Nothing),
            ("residual_scale", Some(F32(0.3)), Nothing),
            ("expert_count", Some(U32(0)), Nothing),
            ("embedding_length_out", Some(U32(64)), Nothing),
            ("attention.causal", Some(Bool(true)), Nothing),
        ],
    );
    check(Arch::Qwen3, &[("pooling_type", Some(U32(3)), Nothing)]);
    check(Arch::Qwen2, &[("attention.layer_norm_rms_epsilon", Some(F32(0.5)), Heard)]);
    check(Arch::Gpt2, &[("attention.layer_norm_epsilon", Some(F32(0.5)), Heard)]);
}

/// Numbers that the built-in engine refuses: all logits are 0, or some are none.
#[test]
fn what_is_refused_as_a_number_leaves_llama_cpp_without_logits() {
    for (arch, name, value) in [
        (Arch::Gemma2, "attention.sliding_window", U32(0)),
        (Arch::Gemma2, "attn_logit_softcapping", F32(0.0)),
        (Arch::Gemma2, "final_logit_softcapping", F32(0.0)),
        (Arch::Minicpm, "logit_scale", F32(0.0)),
    ] {
        let case = case(arch, Some((name, Some(&value))));
        let logits = case.theirs_plain(FlashAttn::Off).concat();
        let (is_zero, is_finite) =
            (logits.iter().all(|v| *v == 0.0), logits.iter().all(|v| v.is_finite()));
        assert!(is_zero || !is_finite, "{}", case.name);
        let settings =
            Settings { n_threads: Auto::Fixed(1), n_ctx: Auto::Fixed(64), ..Settings::default() };
        let ours = ReferenceEngine::new().unwrap().load(&case.model, &settings);
        let error = ours.err().expect("refused").to_string();
        assert!(error.contains(&format!("{arch}.{name}")), "{error}");
    }
}
