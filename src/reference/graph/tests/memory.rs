//! What is planned from names, dimensions and types is what is then taken, to the byte.

use super::archs::{narrow, shapes};
use super::*;
use crate::model::{Catalogue, FileMix, Rules};
use crate::reference::ARCHS;
use crate::reference::quant::KV_TYPES;

/// Every mix by every state of its rules.
fn mixes() -> impl Iterator<Item = FileMix> {
    let both = |mix: &FileMix| [Rules::Today, Rules::Mid2024].map(|rules| mix.by(rules));
    FileMix::ALL.iter().flat_map(both)
}

/// Settings number `i` of a row in which all of them meet, with types of the cache that heads of
/// `shape` can have.
fn settings(shape: &ModelShape, i: usize) -> SessionConfig {
    let (n_ctx, n_ubatch) = [(33, 512), (160, 64), (200, 7), (1000, 100), (16, 1)][i % 5];
    let (type_k, type_v) = (KV_TYPES[i / 2 % KV_TYPES.len()], KV_TYPES[i / 7 % KV_TYPES.len()]);
    let can_be = shape.kv_flaw(type_k, type_v).is_none();
    let [type_k, type_v] = if can_be { [type_k, type_v] } else { [GgmlType::F16; 2] };
    let (n_threads, flash_attn) = (1 + i % 3, i.is_multiple_of(2));
    SessionConfig { n_ctx, n_ubatch, n_threads, type_k, type_v, flash_attn }
}

/// Fails unless a session with `config` takes what is planned for a file of `shape` with `tensors`.
#[track_caller]
fn takes_what_is_planned(
    shape: &ModelShape,
    tensors: &[(TensorSpec, GgmlType)],
    (model, loading): (&Arc<Model>, Loading),
    config: SessionConfig,
) {
    let taken = session(model, config).buffers();
    let planned = Buffers::planned(shape, tensors, loading, config);
    assert_eq!(planned, taken, "{} {loading:?} {config:?}", shape.arch);
}

#[test]
fn files_of_every_mix_and_architecture_take_what_is_planned() {
    let wide = ARCHS.iter().map(|arch| shape(*arch));
    let copied = ModelShape { copied_output_2024: true, ..narrow(Arch::Llama) };
    assert!(copied.tied_output);
    let mut i = 0;
    for shape in shapes().into_iter().chain(wide).chain([copied]) {
        for mix in mixes() {
            let tensors = mix.tensors(&shape);
            for loading in [Loading::Owned, Loading::Mapped] {
                let model = Arc::new(Model::load(hollow(&shape, &tensors), loading).unwrap());
                takes_what_is_planned(&shape, &tensors, (&model, loading), settings(&shape, i));
                i += 1;
            }
        }
    }
}

#[test]
fn a_cache_of_every_pair_of_types_takes_what_is_planned() {
    for shape in shapes() {
        let tensors = tensors(&shape, |_| GgmlType::Q8_0, &[]);
        let loading = Loading::Owned;
        let model = Arc::new(Model::load(hollow(&shape, &tensors), loading).unwrap());
        let pairs = KV_TYPES.iter().flat_map(|k| KV_TYPES.iter().map(|v| (*k, *v)));
        for (type_k, type_v) in pairs.filter(|(k, v)| shape.kv_flaw(*k, *v).is_none()) {
            for flash_attn in [true, false] {
                let config = SessionConfig { n_ubatch: 24, type_k, type_v, flash_attn, ..config() };
                takes_what_is_planned(&shape, &tensors, (&model, loading), config);
            }
        }
    }
}

#[test]
fn biases_that_only_some_files_have_are_planned_too() {
    let shape = narrow(Arch::Llama);
    let (q, k) = (shape.n_embd_q(0), shape.n_embd_k(0));
    let biases = [("blk.0.attn_q.bias", q), ("blk.0.attn_k.bias", k), ("blk.0.attn_v.bias", k)];
    let tensors = tensors(&shape, |_| GgmlType::Q4_0, &biases);
    let model = Arc::new(Model::load(hollow(&shape, &tensors), Loading::Owned).unwrap());
    takes_what_is_planned(&shape, &tensors, (&model, Loading::Owned), config());
}

#[test]
fn the_plan_of_a_file_of_every_model_follows_from_its_shape_alone() {
    let catalogue = Catalogue::built_in().unwrap();
    assert!(catalogue.shapes().count() >= 84);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut i = 0;
    for shape in catalogue.shapes() {
        for mix in mixes() {
            let tensors = mix.tensors(shape);
            header(shape, &tensors, &[]).outline(file.as_file()).unwrap();
            for loading in [Loading::Owned, Loading::Mapped] {
                let config = SessionConfig { n_ctx: 4096, ..settings(shape, i) };
                let of_file = Buffers::of_file(file.path(), loading, config).unwrap();
                let of_shape = Buffers::planned(shape, &tensors, loading, config);
                assert_eq!(of_file, of_shape, "{} {mix} {loading:?} {config:?}", shape.name);
                i += 1;
            }
        }
    }
}

#[test]
fn what_would_not_be_loaded_is_not_planned_either() {
    let shape = narrow(Arch::Llama);
    let refused = |tensors: &[(TensorSpec, GgmlType)], keys: &[(&str, MetaValue)]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        header(&shape, tensors, keys).outline(file.as_file()).unwrap();
        let planned = Buffers::of_file(file.path(), Loading::Owned, config());
        let loaded = Model::open(file.path(), Loading::Owned).map(drop);
        let [planned, loaded] = [planned.map(drop), loaded].map(|r| r.unwrap_err().to_string());
        assert_eq!(planned, loaded);
        planned
    };
    let of = |ty, more: &[(&str, u64)]| tensors(&shape, |_| ty, more);
    let error = refused(&of(GgmlType::F32, &[("blk.0.ffn_up.bias", 160)]), &[]);
    assert!(error.contains("`blk.0.ffn_up.bias` has no place"), "{error}");
    let error = refused(&of(GgmlType::F64, &[]), &[]);
    assert!(error.contains("has type F64"), "{error}");
    let yarn = [("rope.scaling.type", MetaValue::Str("yarn".to_owned()))];
    let error = refused(&of(GgmlType::F32, &[]), &yarn);
    assert!(error.contains("llama.rope.scaling.type"), "{error}");
}
