//! Files that are cut, that lie, or that hold no numbers: whatever a file says, the engine runs it or
//! tells what is wrong and where, and takes no memory that the file does not justify.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::gguf::taken::{justified, most_taken};
use crate::reference::ARCHS;

/// The smallest model with all that is peculiar to `arch`.
fn tiny(arch: Arch) -> ModelShape {
    let small = small(arch);
    let n_kv = small.n_head_kv.at(0) / 2;
    ModelShape {
        n_embd: 32,
        n_ff: 32.into(),
        n_head: 2.into(),
        n_head_kv: n_kv.into(),
        n_vocab: 12,
        n_ctx_train: 16,
        kv_lora_rank: small.kv_lora_rank.map(|_| 32),
        ..small
    }
}

fn whole(arch: Arch) -> Vec<u8> {
    bytes_with(&tiny(arch), |_| GgmlType::Q8_0, &[], &[])
}

const CONFIG: SessionConfig = SessionConfig {
    n_ctx: 16,
    n_ubatch: 2,
    n_threads: 1,
    type_k: GgmlType::F16,
    type_v: GgmlType::F16,
    flash_attn: true,
};

/// Reads, plans, loads and runs a file, as far as it comes; the error is what it was refused with.
#[track_caller]
fn run(bytes: Vec<u8>, loading: Loading) -> Result<Vec<f32>, String> {
    let len = bytes.len();
    let (answer, most) = most_taken(|| -> Result<Vec<f32>, ReferenceError> {
        let file = Gguf::parse(bytes)?;
        let planned = Buffers::of(&file, loading, CONFIG);
        if let Ok(planned) = planned {
            let Buffers { weight_bytes, weight_mapped_bytes, .. } = planned;
            let all = planned.kv_bytes + planned.compute_bytes + planned.output_bytes;
            let all = all + weight_bytes + weight_mapped_bytes;
            assert!(all <= justified(len) as u64, "{planned:?} for a file of {len} bytes");
        }
        let model = Arc::new(Model::load(file, loading)?);
        let planned = planned.expect("what is loaded has a plan");
        let n_vocab = model.shape.n_vocab;
        let mut s = Session::new(model, kernel::choose(None).unwrap(), CONFIG)?;
        assert_eq!(planned, s.buffers());
        s.prefill(&[0, n_vocab - 1])?;
        s.decode(n_vocab / 2)?;
        Ok(s.logits()?.to_vec())
    });
    assert!(most <= justified(len), "{most} bytes taken for a file of {len}");
    answer.map_err(|error| error.to_string())
}

/// Where the value of `key` stands, behind its type.
fn value_at(bytes: &[u8], key: &str) -> usize {
    behind(bytes, key) + 4
}

/// The first byte behind `name` as it stands in a header, its length in front.
fn behind(bytes: &[u8], name: &str) -> usize {
    let text = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let at = bytes.windows(text.len()).position(|w| w == text);
    at.unwrap_or_else(|| panic!("`{name}` is not there")) + text.len()
}

fn put(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn whole_files_run() {
    for &arch in ARCHS {
        for loading in [Loading::Owned, Loading::Mapped] {
            let logits = run(whole(arch), loading).unwrap();
            assert!(logits.len() == 12 && logits.iter().all(|v| v.is_finite()), "{arch}");
        }
    }
}

#[test]
fn a_file_cut_at_any_hundredth_of_its_length_is_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.gguf");
    for &arch in ARCHS {
        let whole = whole(arch);
        for percent in 0..100 {
            let len = whole.len() * percent / 100;
            std::fs::write(&path, &whole[..len]).unwrap();
            let planned = Buffers::of_file(&path, Loading::Owned, CONFIG).unwrap_err();
            let said = Model::open(&path, Loading::Owned).unwrap_err().to_string();
            assert_eq!(said, planned.to_string());
            let said = said.strip_prefix(&format!("{}: ", path.display())).expect("the file");
            let has_place = said.starts_with("byte ") || said.starts_with("tensor `");
            assert!(has_place || len == 0, "{arch} at {percent} %: {said}");
            let expects = ["needs", "claims", "the file is empty"].iter().any(|w| said.contains(w));
            assert!(expects, "{arch} at {percent} %: {said}");
            assert!(said.ends_with("download or copy it again"), "{said}");
        }
    }
}

/// Numbers that a header may hold and a model may not.
const NUMBERS: [u32; 10] = [0, 1, 3, 17, 255, 4096, 1 << 18, 1 << 24, u32::MAX - 2, u32::MAX];

#[test]
fn no_number_of_the_metadata_makes_it_panic_or_take_what_the_file_does_not_justify() {
    // Keys that a file of any architecture may have besides those of its own.
    let more = |shape: &ModelShape| {
        let numbers = [
            ("expert_count", 0),
            ("attention.key_length", shape.head_dim),
            ("attention.value_length", shape.value_dim()),
            ("attention.sliding_window", shape.n_swa.unwrap_or(0)),
            ("attention.head_count_kv", shape.n_head_kv.at(0)),
            ("rope.dimension_count", shape.n_rot),
            ("rope.scaling.original_context_length", 16),
            ("token_embedding_length", 0),
        ];
        numbers.map(|(name, number)| (name, MetaValue::U32(number)))
    };
    let (mut n_run, mut n_refused) = (0, 0);
    for &arch in ARCHS {
        let shape = tiny(arch);
        let whole = bytes_with(&shape, |_| GgmlType::Q8_0, &[], &more(&shape));
        run(whole.clone(), Loading::Owned).unwrap_or_else(|e| panic!("{arch}: {e}"));
        let file = Gguf::parse(whole.clone()).unwrap();
        let own = format!("{arch}.");
        for (key, _) in file.header().metadata().filter(|(key, _)| key.starts_with(&own)) {
            if file.opt_u32(key).is_err() {
                continue;
            }
            for number in NUMBERS {
                let changed = put(&whole, value_at(&whole, key), &number.to_le_bytes());
                match run(changed, Loading::Owned) {
                    Ok(_) => n_run += 1,
                    Err(said) => {
                        n_refused += 1;
                        assert!(said.len() < 1000, "{arch}: {key} = {number}: {said}");
                    }
                }
            }
        }
    }
    // What only says how far to look, or is not read, is taken; what makes tensors is not.
    assert!(n_run > 300 && n_refused > 1000, "{n_run} run, {n_refused} refused");
}

#[test]
fn numbers_that_are_none_are_refused_with_their_key() {
    for &arch in ARCHS {
        let whole = whole(arch);
        let file = Gguf::parse(whole.clone()).unwrap();
        let mut n_refused = 0;
        for (key, value) in file.header().metadata() {
            if !matches!(value, crate::gguf::Value::F32(_)) {
                continue;
            }
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let changed = put(&whole, value_at(&whole, key), &wrong.to_le_bytes());
                if let Err(said) = run(changed, Loading::Owned) {
                    let expected = format!("key `{key}`: the value is {wrong}, expected a finite");
                    assert!(said.starts_with(&expected), "{said}");
                    n_refused += 1;
                }
            }
        }
        // The epsilon of norms at the least; others are read by other architectures.
        assert!(n_refused >= 3, "{arch}: {n_refused} refused");
    }
}

#[test]
fn a_tensor_that_is_not_what_the_metadata_says_is_refused_by_name() {
    for &arch in ARCHS {
        let whole = whole(arch);
        let file = Gguf::parse(whole.clone()).unwrap();
        for (i, tensor) in file.tensors().iter().enumerate() {
            let name = &tensor.name;
            let at = behind(&whole, name);
            let dim = |i: usize| at + 4 + 8 * i;
            let (ty, last) = (dim(tensor.dims.len()), dim(tensor.dims.len() - 1));
            let other = if i == 0 { &file.tensors()[1] } else { &file.tensors()[0] };
            let others = other.offset - file.header().data_offset();
            for (what, at, new) in [
                ("rows of no elements", dim(0), 0u64.to_le_bytes().to_vec()),
                ("no rows", last, 0u64.to_le_bytes().to_vec()),
                ("a longer row", dim(0), (tensor.dims[0] + 32).to_le_bytes().to_vec()),
                ("more than there can be", last, (1u64 << 60).to_le_bytes().to_vec()),
                ("a product beyond 64 bits", dim(0), (1u64 << 62).to_le_bytes().to_vec()),
                ("no dimensions", at, 0u32.to_le_bytes().to_vec()),
                ("three dimensions", at, 3u32.to_le_bytes().to_vec()),
                ("an unknown type", ty, 999u32.to_le_bytes().to_vec()),
                ("whole numbers", ty, GgmlType::I8.id().to_le_bytes().to_vec()),
                ("another's place", ty + 4, others.to_le_bytes().to_vec()),
                ("a place behind the file", ty + 4, (1u64 << 40).to_le_bytes().to_vec()),
                ("a place off the alignment", ty + 4, (others + 1).to_le_bytes().to_vec()),
                ("another name", at - 1, b"z".to_vec()),
            ] {
                let refused = run(put(&whole, at, &new), Loading::Owned);
                let Err(said) = refused else { panic!("{arch}: `{name}` with {what} is run") };
                // Behind a wrong count of dimensions everything else is read wrongly.
                assert!(said.contains("tensor "), "{arch}: `{name}` with {what}: {said}");
            }
        }
    }
}

/// A file with no shape of its own in the way: a head apart from the embedding, biases, rows of 256.
fn of_type(ty: GgmlType) -> Vec<u8> {
    let shape = ModelShape {
        n_embd: 256,
        n_ff: 256.into(),
        n_head: 4.into(),
        n_head_kv: 4.into(),
        head_dim: 64,
        n_rot: 64,
        n_layer: 1,
        tied_output: false,
        ..tiny(Arch::Llama)
    };
    let biases = ["q", "k", "v"].map(|part| format!("blk.0.attn_{part}.bias"));
    let biases: Vec<(&str, u64)> = biases.iter().map(|name| (name.as_str(), 256)).collect();
    bytes_with(&shape, |_| ty, &biases, &[])
}

#[test]
fn a_weight_that_is_no_number_is_refused_with_its_byte() {
    for (ty, scale, what) in [
        (GgmlType::F32, 0..4, "the value"),
        (GgmlType::F16, 0..2, "the value"),
        (GgmlType::BF16, 0..2, "the value"),
        (GgmlType::Q8_0, 0..2, "the scale of a block"),
        (GgmlType::Q4_1, 2..4, "the minimum of a block"),
        (GgmlType::Q5_0, 0..2, "the scale of a block"),
        (GgmlType::Q2_K, 80..82, "the scale of a block"),
        (GgmlType::Q2_K, 82..84, "the minimum of a block"),
        (GgmlType::Q3_K, 108..110, "the scale of a block"),
        (GgmlType::Q5_K, 2..4, "the minimum of a block"),
        (GgmlType::Q6_K, 208..210, "the scale of a block"),
        (GgmlType::IQ4_XS, 0..2, "the scale of a block"),
    ] {
        let whole = of_type(ty);
        let file = Gguf::parse(whole.clone()).unwrap();
        for tensor in file.tensors() {
            let is_matrix = tensor.dims.len() == 2;
            let (scale, what): (Range<usize>, _) =
                if is_matrix { (scale.clone(), what) } else { (0..4, "the value") };
            // The last block: whatever is looked at in pieces must be looked at to its end.
            let last = (tensor.bytes - tensor.ty.block_bytes()) as usize;
            let byte = tensor.offset as usize + last + scale.start;
            // Large enough an exponent in every format: a NaN.
            let wrong = put(&whole, byte, &vec![0xff; scale.len()]);
            for loading in [Loading::Owned, Loading::Mapped] {
                let answer = run(wrong.clone(), loading);
                if loading == Loading::Mapped && tensor.name == "token_embd.weight" {
                    // Its rows are not read before somebody asks for them.
                    let logits = answer.unwrap();
                    assert!(logits.iter().any(|v| !v.is_finite()), "the last token was asked for");
                    continue;
                }
                let expected = format!(
                    "byte {byte}: tensor `{}`: {what} is NaN, expected a finite number\nhint: the \
                     file is damaged, or its writer was: download or convert it again; \
                     llama.cpp may run it as it is",
                    tensor.name
                );
                assert_eq!(answer.unwrap_err(), expected, "{ty}");
            }
        }
    }
}

#[test]
fn a_plan_refuses_what_loading_refuses() {
    let shape = tiny(Arch::Llama);
    let refused = |more: &[(&str, u64)]| {
        let bytes = bytes_with(&shape, |_| GgmlType::F32, more, &[]);
        let file = Gguf::parse(bytes.clone()).unwrap();
        let planned = Buffers::of(&file, Loading::Owned, CONFIG).unwrap_err().to_string();
        assert_eq!(planned, run(bytes, Loading::Owned).unwrap_err());
        planned
    };
    assert!(refused(&[("blk.0.ffn_up.bias", 32)]).starts_with("tensor `blk.0.ffn_up.bias` has no"));
    assert!(refused(&[("blk.0.attn_q.bias", 16)]).contains("the metadata says [32]"));
    assert!(refused(&[("blk.0.attn_q.bias", 32)]).contains("attn_k.bias`: the tensor is missing"));
    // Rows of more elements than there are bytes anywhere, and none of them.
    let mut bytes = bytes_with(&shape, |_| GgmlType::F32, &[("blk.0.attn_q.bias", 0)], &[]);
    let at = behind(&bytes, "blk.0.attn_q.bias");
    bytes.splice(
        at..at + 12,
        [2u32.to_le_bytes().to_vec(), (1u64 << 60).to_le_bytes().to_vec(), vec![0; 8]].concat(),
    );
    let said = run(bytes, Loading::Owned).unwrap_err();
    assert!(said.contains("`blk.0.attn_q.bias` has dimensions [1152921504606846976, 0]"), "{said}");
}

/// A file of each architecture, and where its tensors' data begins.
fn files() -> &'static [(Vec<u8>, usize)] {
    static FILES: std::sync::OnceLock<Vec<(Vec<u8>, usize)>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let of = |arch: &Arch| {
            let bytes = whole(*arch);
            let data = Gguf::parse(bytes.clone()).unwrap().header().data_offset() as usize;
            (bytes, data)
        };
        ARCHS.iter().map(of).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn changed_bytes_of_a_header_never_make_it_panic(
        arch in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (bytes, data) = arch.get(files());
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            bytes[at.index(*data)] = value;
        }
        let _ = run(bytes, Loading::Owned);
    }

    #[test]
    fn changed_words_of_a_header_never_make_it_panic(
        arch in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        word in prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(1 << 32), Just(1 << 63), any::<u64>()],
        size in prop::sample::select(vec![4usize, 8]),
    ) {
        let (bytes, data) = arch.get(files());
        let at = at.index(*data - 8);
        let _ = run(put(bytes, at, &word.to_le_bytes()[..size]), Loading::Owned);
    }

    #[test]
    fn whatever_weights_are_they_are_computed_with_or_refused(
        arch in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        is_mapped in any::<bool>(),
    ) {
        let (bytes, data) = arch.get(files());
        let mut bytes = bytes.clone();
        let len = bytes.len() - data;
        for (at, value) in changes {
            bytes[data + at.index(len)] = value;
        }
        if let Err(said) = run(bytes, if is_mapped { Loading::Mapped } else { Loading::Owned }) {
            assert!(said.contains("expected a finite number"), "{said}");
        }
    }
}
