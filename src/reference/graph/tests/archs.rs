//! Every architecture, as far as it needs no other engine to be held against.

use super::*;
use crate::model::PerLayer;
use crate::reference::ARCHS;
use crate::reference::graph::recipe::Recipe;
use crate::reference::quant::KV_TYPES;

/// Every architecture, and the ways in which models of one differ.
pub(super) fn shapes() -> Vec<ModelShape> {
    let mut all: Vec<ModelShape> = ARCHS.iter().map(|arch| narrow(*arch)).collect();
    all.push(ModelShape {
        n_head: PerLayer::Each(vec![2, 8]),
        n_head_kv: PerLayer::Each(vec![1, 2]),
        n_ff: PerLayer::Each(vec![224, 96]),
        ..narrow(Arch::Openelm)
    });
    all.push(ModelShape { n_embd_tok: Some(64), post_norm: true, ..narrow(Arch::Opt) });
    all.push(ModelShape { n_embd_tok: Some(192), ..narrow(Arch::Opt) });
    all.push(ModelShape { n_embd_tok: Some(128), ..narrow(Arch::Opt) });
    all.push(ModelShape { qkv_bias: true, ..narrow(Arch::Stablelm) });
    let long = RopeScaling::LongRope { n_ctx_orig: 96, attn_factor: 1.19 };
    all.push(ModelShape { rope_scaling: Some(long), ..narrow(Arch::Phi3) });
    let linear = Some(RopeScaling::Linear { factor: 8.0 });
    all.push(ModelShape { rope_scaling: linear, ..narrow(Arch::Gemma3) });
    let (n_head, n_head_kv) = (6.into(), 2.into());
    all.push(ModelShape { n_head, n_head_kv, head_dim: 48, n_rot: 48, ..narrow(Arch::Qwen3) });
    all
}

/// Narrow, with a layer of every kind.
pub(super) fn narrow(arch: Arch) -> ModelShape {
    let wide = shape(arch);
    let n_layer = match arch {
        Arch::Gemma3 => 6,
        Arch::Smollm3 => 4,
        _ => 2,
    };
    let (n_head, n_kv) = (4.into(), wide.n_head_kv.at(0) / 2);
    ModelShape { n_layer, n_embd: 128, n_ff: 160.into(), n_head, n_head_kv: n_kv.into(), ..wide }
}

fn floats(shape: &ModelShape) -> Arc<Model> {
    Arc::new(Model::load(file(shape, |_| GgmlType::F32), Loading::Owned).unwrap())
}

/// Where a function's result is rounded to F16, a difference in the last place of its argument can
/// move it by one of F16's. In gemma3's six layers that comes to 2e-8.
const BOUND: f64 = 1e-7;

#[test]
fn a_prompt_in_micro_batches_gives_the_logits_of_one_token_after_the_other() {
    for shape in shapes() {
        let model = floats(&shape);
        let prompt = tokens(41);
        let mut single = session(&model, config());
        prompt.iter().for_each(|t| single.decode(*t).unwrap());
        let expected = single.logits().unwrap();
        assert!(expected.iter().all(|v| v.is_finite()), "{}", shape.arch);
        let (low, high) = expected.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!(high - low > 0.1, "{}: logits from {low} to {high}", shape.arch);
        for n_ubatch in [7, 512] {
            let mut batched = session(&model, SessionConfig { n_ubatch, ..config() });
            batched.prefill(&prompt).unwrap();
            let error = nmse(expected, batched.logits().unwrap());
            assert!(error <= BOUND, "{} {n_ubatch}: {error:e}", shape.arch);
        }
    }
}

#[test]
fn sets_of_kernels_threads_and_ways_of_attention_give_the_same_logits() {
    for shape in shapes() {
        let model = floats(&shape);
        let run = |set: &'static dyn Kernels, n_threads, flash_attn| {
            let config = SessionConfig { n_threads, flash_attn, ..config() };
            let mut s = Session::new(Arc::clone(&model), set, config).unwrap();
            s.prefill(&tokens(135)).unwrap();
            s.decode(5).unwrap();
            s.logits().unwrap().to_vec()
        };
        let expected = run(&kernel::Plain, 1, false);
        for set in kernel::available() {
            for (n_threads, flash_attn) in [(1, true), (3, true)] {
                let error = nmse(&expected, &run(set, n_threads, flash_attn));
                let name = set.name();
                assert!(error <= BOUND, "{} {name} {n_threads}: {error:e}", shape.arch);
            }
        }
    }
}

/// Every type of the cache, of keys and of values, alone and with another.
fn caches(shape: &ModelShape) -> Vec<(GgmlType, GgmlType)> {
    let shifted = KV_TYPES.iter().cycle().skip(1);
    let mixed = KV_TYPES.iter().zip(shifted).map(|(k, v)| (*k, *v));
    let pairs = KV_TYPES.iter().map(|ty| (*ty, *ty)).chain(mixed);
    pairs.filter(|(k, v)| shape.kv_flaw(*k, *v).is_none()).collect()
}

/// Logits of `tokens` in one call, then of a few more one by one.
fn logits_of(s: &mut Session, tokens: &[u32]) -> Vec<Vec<f32>> {
    s.prefill(tokens).unwrap();
    let mut all = vec![s.logits().unwrap().to_vec()];
    for token in [9, 4] {
        s.decode(token).unwrap();
        all.push(s.logits().unwrap().to_vec());
    }
    all
}

#[test]
fn a_session_that_goes_back_to_a_depth_goes_on_as_one_that_never_left_it() {
    // Behind the window, so that layers that slide one have left tokens behind.
    const DEPTH: usize = 20;
    let (depth, prompt, other) = (&tokens(DEPTH), &tokens(28)[DEPTH..], &tokens(90)[60..]);
    for shape in shapes() {
        let model = floats(&shape);
        for (type_k, type_v) in caches(&shape) {
            for flash_attn in [true, false] {
                let config = SessionConfig { n_ubatch: 16, type_k, type_v, flash_attn, ..config() };
                let mut fresh = session(&model, config);
                fresh.prefill(depth).unwrap();
                let expected = logits_of(&mut fresh, prompt);
                let mut s = session(&model, config);
                s.prefill(depth).unwrap();
                logits_of(&mut s, other);
                for _ in 0..2 {
                    s.rewind(DEPTH).unwrap();
                    let case = format!("{} {config:?}", shape.arch);
                    assert!(logits_of(&mut s, prompt) == expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_mapped_file_gives_the_same_logits() {
    for shape in shapes() {
        let run = |loading| {
            let model = Model::load(file(&shape, |_| GgmlType::Q8_0), loading).unwrap();
            let mut s = session(&Arc::new(model), config());
            s.prefill(&tokens(9)).unwrap();
            s.logits().unwrap().to_vec()
        };
        assert_eq!(run(Loading::Owned), run(Loading::Mapped), "{}", shape.arch);
    }
}

#[test]
fn a_token_behind_every_window_is_not_seen() {
    // Four layers of a window of 16 reach back 61 positions.
    let of = |n_layer| ModelShape { n_layer, ..narrow(Arch::Gemma3) };
    let run = |model: &Arc<Model>, n, first| {
        let mut prompt = tokens(n);
        prompt[0] = first;
        let mut s = session(model, config());
        s.prefill(&prompt).unwrap();
        s.decode(8).unwrap();
        s.logits().unwrap().to_vec()
    };
    let windows = floats(&of(4));
    assert_eq!(run(&windows, 61, 3), run(&windows, 61, 4));
    assert_ne!(run(&windows, 60, 3), run(&windows, 60, 4));
    let with_a_whole_layer = floats(&of(6));
    assert_ne!(run(&with_a_whole_layer, 61, 3), run(&with_a_whole_layer, 61, 4));
}

#[test]
fn learned_positions_end_where_they_were_learned() {
    for arch in [Arch::Gpt2, Arch::Opt, Arch::Galactica] {
        let model = floats(&ModelShape { n_ctx_train: 40, ..narrow(arch) });
        let mut s = session(&model, SessionConfig { n_ctx: 48, ..config() });
        s.prefill(&tokens(40)).unwrap();
        let error = s.decode(1).unwrap_err().to_string();
        let expected = "1 more tokens after 40 are more than the 40 positions that the model has";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(s.n_past(), 40);
    }
}

/// Logits of a file with a key of another value than usual.
fn logits_with(shape: &ModelShape, keys: &[(&str, MetaValue)]) -> Vec<f32> {
    let file = file_with(shape, |_| GgmlType::F32, &[], keys);
    let mut s = session(&Arc::new(Model::load(file, Loading::Owned).unwrap()), config());
    s.prefill(&tokens(20)).unwrap();
    s.logits().unwrap().to_vec()
}

#[test]
fn numbers_of_the_file_are_heard() {
    for (arch, key, value) in [
        (Arch::Gptneox, "use_parallel_residual", MetaValue::Bool(false)),
        (Arch::Olmo, "attention.clamp_kqv", MetaValue::F32(0.5)),
        (Arch::Minicpm, "embedding_scale", MetaValue::F32(3.0)),
        (Arch::Minicpm, "residual_scale", MetaValue::F32(0.3)),
        (Arch::Minicpm, "logit_scale", MetaValue::F32(2.0)),
        (Arch::Gemma2, "attn_logit_softcapping", MetaValue::F32(0.5)),
        (Arch::Gemma2, "final_logit_softcapping", MetaValue::F32(1.0)),
        (Arch::Gemma3, "rope.freq_base_swa", MetaValue::F32(100.0)),
        (Arch::Gemma3, "final_logit_softcapping", MetaValue::F32(1.0)),
    ] {
        let shape = narrow(arch);
        let error = nmse(&logits_with(&shape, &[]), &logits_with(&shape, &[(key, value)]));
        assert!(error > 1e-4, "{arch} {key}: {error:e}");
    }
}

#[test]
fn numbers_that_ask_for_nothing_change_nothing() {
    for (arch, key, value, like) in [
        // A clamp beyond every value is none, as one below 0 is.
        (Arch::Olmo, "attention.clamp_kqv", 1e6, None),
        (Arch::Olmo, "attention.clamp_kqv", -1.0, None),
        (Arch::Gemma3, "final_logit_softcapping", 0.0, None),
        // A scale of 0 is none.
        (Arch::Minicpm, "embedding_scale", 0.0, Some(1.0)),
        (Arch::Minicpm, "residual_scale", 0.0, Some(1.0)),
        // Nobody reads them there.
        (Arch::Minicpm3, "embedding_scale", 3.0, None),
        (Arch::Minicpm3, "residual_scale", 3.0, None),
        (Arch::Minicpm3, "logit_scale", 3.0, None),
        (Arch::Llama, "logit_scale", 3.0, None),
        (Arch::Llama, "attention.clamp_kqv", 0.5, None),
        (Arch::Llama, "attention.scale", 0.5, None),
        (Arch::Llama, "final_logit_softcapping", 1.0, None),
        (Arch::Gemma, "attn_logit_softcapping", 0.5, None),
        (Arch::Bloom, "attention.max_alibi_bias", 4.0, None),
        (Arch::Stablelm, "rope.freq_base_swa", 100.0, None),
    ] {
        let shape = narrow(arch);
        let of = |value: f32| logits_with(&shape, &[(key, MetaValue::F32(value))]);
        let expected = like.map_or_else(|| logits_with(&shape, &[]), of);
        assert_eq!(of(value), expected, "{arch} {key} {value}");
    }
    let says = [("use_parallel_residual", MetaValue::Bool(true))];
    let shape = narrow(Arch::Stablelm);
    assert_eq!(logits_with(&shape, &says), logits_with(&shape, &[]));
}

#[test]
fn numbers_with_which_nobody_computes_are_refused_with_their_key() {
    for (arch, key, value) in [
        (Arch::Gemma2, "attn_logit_softcapping", 0.0),
        (Arch::Gemma2, "attn_logit_softcapping", -50.0),
        (Arch::Gemma2, "final_logit_softcapping", 0.0),
        (Arch::Gemma3, "final_logit_softcapping", -30.0),
        (Arch::Minicpm, "logit_scale", 0.0),
    ] {
        let keys = [(key, MetaValue::F32(value))];
        let file = file_with(&narrow(arch), |_| GgmlType::F32, &[], &keys);
        let error = Model::load(file, Loading::Owned).unwrap_err().to_string();
        let said = format!("{arch}.{key} of {value} is not supported\nhint: ");
        assert!(error.starts_with(&said), "{error}");
    }
}

#[test]
fn scales_that_a_file_does_not_name_are_those_that_llama_cpp_presumes() {
    let bytes = GgufWriter::new().start(Vec::new()).unwrap().finish().unwrap();
    let says_nothing = Gguf::parse(bytes).unwrap();
    let recipe = |arch| {
        let shape = ModelShape { n_layer: 4, n_embd: 512, ..narrow(arch) };
        Recipe::read(&shape, &says_nothing).unwrap()
    };
    let scales = |arch| {
        let recipe = recipe(arch);
        let Recipe { embedding_scale, residual_scale, output_scale, logit_scale, .. } = recipe;
        [embedding_scale, residual_scale, output_scale, logit_scale]
    };
    assert_eq!(scales(Arch::Minicpm), [12.0, 0.7, 1.0, 2.0]);
    assert_eq!(scales(Arch::Minicpm3), [12.0, 0.7, 0.5, 1.0]);
    assert_eq!(scales(Arch::Gemma), [512f32.sqrt(), 1.0, 1.0, 1.0]);
    let caps = |arch| (recipe(arch).attention_cap, recipe(arch).logit_cap);
    assert_eq!(caps(Arch::Gemma2), (Some(50.0), Some(30.0)));
    assert_eq!(caps(Arch::Gemma3), (None, None));
}

#[test]
fn logits_are_held_below_their_cap() {
    let capped = logits_with(&narrow(Arch::Gemma2), &[]);
    assert!(capped.iter().all(|v| v.abs() < 30.0));
}

#[test]
fn factors_for_long_contexts_go_with_the_length_of_the_cache() {
    let long = RopeScaling::LongRope { n_ctx_orig: 96, attn_factor: 1.19 };
    let model = floats(&ModelShape { rope_scaling: Some(long), ..narrow(Arch::Phi3) });
    let run = |n_ctx| {
        let mut s = session(&model, SessionConfig { n_ctx, ..config() });
        s.prefill(&tokens(30)).unwrap();
        s.logits().unwrap().to_vec()
    };
    assert_eq!(run(40), run(96));
    assert_ne!(run(96), run(97));
}
