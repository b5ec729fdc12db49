//! Files written, read back, damaged and cut.

use proptest::prelude::*;

use super::*;
use crate::ggml::GgmlType;

/// A file with every kind of value and a few tensors.
fn sample() -> Vec<u8> {
    let mut w = GgufWriter::new();
    w.set_str("general.architecture", "llama")
        .set("a.u8", 200u8)
        .set("a.i8", -5i8)
        .set("a.u16", 60_000u16)
        .set("a.i16", -300i16)
        .set("a.u32", 4_000_000_000u32)
        .set("a.i32", -7i32)
        .set("a.f32", 0.5f32)
        .set("a.bool", true)
        .set("a.u64", u64::MAX)
        .set("a.i64", i64::MIN)
        .set("a.f64", 1e300f64)
        .set_strs("a.strs", &["", "Ġhello", "x"])
        .set_array("a.f32s", &[1.0f32, -2.0])
        .set_array("a.bools", &[true, false])
        .tensor("one", &[32, 3], GgmlType::Q8_0)
        .tensor("empty", &[0], GgmlType::F32)
        .tensor("two", &[5], GgmlType::F32);
    let expected = w.file_len();
    let mut stream = w.start(Vec::new()).unwrap();
    let q: Vec<u8> = (0..102).collect();
    stream.write(&q[..50]).unwrap();
    stream.write(&q[50..]).unwrap();
    stream.write(&[7; 20]).unwrap();
    let bytes = stream.finish().unwrap();
    assert_eq!(bytes.len() as u64, expected);
    bytes
}

fn message(bytes: Vec<u8>) -> String {
    Gguf::parse(bytes).unwrap_err().to_string()
}

/// The sample with the bytes of `from` replaced at its first occurrence.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = sample();
    let at = bytes.windows(from.len()).position(|w| w == from).expect("pattern is there");
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// The first byte behind the first occurrence of `text`.
fn behind(text: &str) -> usize {
    let bytes = sample();
    let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    at + text.len()
}

#[test]
fn what_was_written_is_read_back() {
    let g = Gguf::parse(sample()).unwrap();
    assert_eq!(g.header().version(), 3);
    assert_eq!(g.str("general.architecture").unwrap(), "llama");
    assert_eq!(g.u32("a.u8").unwrap(), 200);
    assert_eq!(g.u32("a.u16").unwrap(), 60_000);
    assert_eq!(g.u32("a.u32").unwrap(), 4_000_000_000);
    assert_eq!(g.opt_u64("a.u64").unwrap(), Some(u64::MAX));
    assert_eq!(g.get("a.i8"), Some(&Value::I8(-5)));
    assert_eq!(g.get("a.i16"), Some(&Value::I16(-300)));
    assert_eq!(g.get("a.i32"), Some(&Value::I32(-7)));
    assert_eq!(g.get("a.i64"), Some(&Value::I64(i64::MIN)));
    assert_eq!(g.get("a.f64"), Some(&Value::F64(1e300)));
    assert_eq!(g.f32("a.f32").unwrap(), 0.5);
    assert!(g.bool("a.bool").unwrap());
    assert_eq!(g.strs("a.strs").unwrap(), ["", "Ġhello", "x"]);
    assert_eq!(g.array::<f32>("a.f32s").unwrap(), [1.0, -2.0]);
    assert_eq!(g.array::<bool>("a.bools").unwrap(), [true, false]);
    assert_eq!(g.opt_u32("a.absent").unwrap(), None);

    let one = g.tensor("one").unwrap();
    assert_eq!((one.dims.as_slice(), one.ty, one.bytes), (&[32u64, 3][..], GgmlType::Q8_0, 102));
    assert_eq!(one.offset % 32, 0);
    assert_eq!(g.tensor_data("one").unwrap(), (0..102).collect::<Vec<u8>>());
    assert_eq!(g.tensor_data("two").unwrap(), [7; 20]);
    assert!(g.tensor_data("empty").unwrap().is_empty());
}

#[test]
fn a_file_on_disk_is_mapped_and_named_in_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, sample()).unwrap();
    let g = Gguf::open(&path).unwrap();
    assert_eq!(g.tensor_data("two").unwrap(), [7; 20]);
    let error = g.u32("missing.key").unwrap_err().to_string();
    assert!(error.ends_with("m.gguf: key `missing.key`: the key is missing"), "{error}");
    std::fs::write(&path, b"").unwrap();
    let refused = || Gguf::open(&path).unwrap_err().to_string();
    assert!(refused().contains("m.gguf: the file is empty\nhint: the file is incomplete"));
    std::fs::write(&path, b"GGU").unwrap();
    assert!(refused().contains("ends within its first four bytes\nhint: the file is incomplete"));
    std::fs::write(&path, b"hello").unwrap();
    assert!(refused().contains("byte 0: not a GGUF file: it starts with \"hell\", expected"));
    std::fs::write(&path, b"\x89PNG").unwrap();
    assert!(refused().contains("it starts with the bytes 89 50 4e 47, expected"));
    assert!(Gguf::open(dir.path()).unwrap_err().to_string().contains("it is a folder"));
    assert!(Gguf::open(&dir.path().join("no")).unwrap_err().to_string().contains("/no: "));
}

#[test]
fn getters_name_key_found_and_expected() {
    let g = Gguf::parse(sample()).unwrap();
    let said = |e: GgufError| e.to_string();
    assert_eq!(said(g.u32("a.f32").unwrap_err()), "key `a.f32`: found f32, expected u32");
    assert_eq!(said(g.u32("a.i32").unwrap_err()), "key `a.i32`: found -7, which does not fit u32");
    assert_eq!(
        said(g.str("a.strs").unwrap_err()),
        "key `a.strs`: found array of 3 string, expected string"
    );
    assert_eq!(
        said(g.array::<i32>("a.f32s").unwrap_err()),
        "key `a.f32s`: found array of 2 f32, expected array of i32"
    );
    assert_eq!(said(g.tensor("nope").unwrap_err()), "tensor `nope`: the tensor is missing");
}

#[test]
fn a_number_that_is_none_is_refused_with_its_key() {
    let mut w = GgufWriter::new();
    w.set("a.nan", f32::NAN)
        .set("a.low", f32::NEG_INFINITY)
        .set("a.high", f64::INFINITY)
        .set("a.wide", 1e39f64)
        .set("a.single", 0.1f64);
    let g = Gguf::parse(w.start(Vec::new()).unwrap().finish().unwrap()).unwrap();
    let said = |key: &str| g.opt_f32(key).unwrap_err().to_string();
    assert_eq!(
        said("a.nan"),
        "key `a.nan`: the value is NaN, expected a finite number\n\
         hint: the file is damaged, or its writer was: download or convert it again; llama.cpp \
         may run it as it is"
    );
    assert!(said("a.low").starts_with("key `a.low`: the value is -inf, expected a finite"));
    assert!(said("a.high").starts_with("key `a.high`: the value is inf, expected a finite"));
    assert!(said("a.wide").starts_with("key `a.wide`: found 1000000000"), "{}", said("a.wide"));
    assert_eq!(g.f32("a.single").unwrap(), 0.1);
}

#[test]
fn what_is_no_little_endian_gguf_of_version_2_or_3_is_refused_with_a_remedy() {
    let mut v = sample();
    v[4] = 1;
    assert!(message(v.clone()).contains("version 1; versions 2 and 3 are read\nhint: version 1"));
    v[4] = 9;
    assert!(message(v.clone()).contains("a newer slmbench"));
    v[4..8].copy_from_slice(&3u32.to_be_bytes());
    assert!(message(v.clone()).contains("gguf_convert_endian"));
    v[0] = b'P';
    assert!(message(v).contains("not a GGUF file"));
    let mut v2 = sample();
    v2[4] = 2;
    assert_eq!(Gguf::parse(v2).unwrap().header().version(), 2);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = sample();
    // Behind the last tensor there is padding, which may be missing.
    let end = whole.len() - 12;
    for len in 0..end {
        let error = message(whole[..len].to_vec());
        assert!(!error.is_empty());
    }
    assert!(message(whole[..end - 1].to_vec()).contains("hint: the file is incomplete"));
    assert!(Gguf::parse(whole[..end].to_vec()).is_ok());
}

#[test]
fn counts_and_lengths_are_not_believed() {
    let huge = u64::MAX.to_le_bytes();
    let mut v = sample();
    v[8..16].copy_from_slice(&huge);
    assert!(message(v).contains("the list of tensors claims 18446744073709551615 entries"));
    let mut v = sample();
    v[16..24].copy_from_slice(&huge);
    assert!(message(v).contains("the metadata claims"));
    // Count of the array of strings: behind its key, its type and its elements' type.
    let mut v = sample();
    let at = behind("a.strs") + 8;
    v[at..at + 8].copy_from_slice(&huge);
    let error = message(v);
    assert!(error.contains("key `a.strs`: an array claims 18446744073709551615"), "{error}");
}

#[test]
fn a_tensor_that_cannot_be_is_refused() {
    let tensor = |at: usize, bytes: &[u8]| {
        let mut v = sample();
        let start = behind("one") + at;
        v[start..start + bytes.len()].copy_from_slice(bytes);
        message(v)
    };
    assert!(tensor(0, &5u32.to_le_bytes()).contains("5 dimensions, at most 4"));
    assert!(tensor(4, &33u64.to_le_bytes()).contains("rows of 33 elements"));
    assert!(tensor(12, &u64::MAX.to_le_bytes()).contains("overflow"));
    assert!(tensor(12, &(1u64 << 40).to_le_bytes()).contains("overlaps that of `one`"));
    assert!(tensor(20, &77u32.to_le_bytes()).contains("tensor type 77 is unknown\nhint:"));
    assert!(tensor(24, &1u64.to_le_bytes()).contains("no multiple of the alignment 32"));
    assert!(tensor(24, &(u64::MAX - 31).to_le_bytes()).contains("overflow 64 bits"));
    assert!(tensor(24, &(1u64 << 40).to_le_bytes()).contains("the file ends at"));
    assert!(message(patched(b"two", b"one")).contains("tensor `one`: the tensor stands twice"));
    assert!(message(patched(b"a.i8", b"a.u8")).contains("key `a.u8`: the key stands twice"));
}

#[test]
fn a_file_whose_data_is_cut_still_has_a_header() {
    let whole = sample();
    let end = whole.len() - 12;
    let head = GgufHead::parse(whole[..end - 1].to_vec()).unwrap();
    assert_eq!(head.header().tensors().len(), 3);
    let start = head.header().tensor("two").unwrap().offset;
    assert_eq!(
        head.check().unwrap_err().to_string().lines().next().unwrap(),
        format!(
            "tensor `two`: needs bytes {start} to {end}, the file ends at {}; of 3 tensors 1 are \
             cut or missing",
            end - 1
        )
    );
    let strs = head.header().get("a.strs").unwrap();
    assert_eq!(head.first_elements(strs, 2), [Value::Str("".into()), Value::Str("Ġhello".into())]);
    assert_eq!(head.first_elements(strs, 9).len(), 3);
    assert!(head.first_elements(&Value::U8(1), 9).is_empty());
    assert!(Gguf::new(head).is_err());
}

#[test]
fn tensors_that_share_bytes_are_refused_whatever_their_order() {
    let mut v = sample();
    let at = behind("two") + 4 + 8 + 4;
    v[at..at + 8].copy_from_slice(&32u64.to_le_bytes());
    let error = message(v);
    assert!(error.starts_with("tensor `two`: its data begins at byte "), "{error}");
    assert!(error.contains("overlaps that of `one`"), "{error}");
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_refused() {
    let with = |alignment: u32| {
        let mut w = GgufWriter::new();
        w.set("general.alignment", alignment);
        Gguf::parse(w.start(Vec::new()).unwrap().finish().unwrap())
    };
    assert!(with(0).unwrap_err().to_string().contains("alignment 0"));
    assert!(with(48).unwrap_err().to_string().contains("alignment 48"));
    assert_eq!(with(64).unwrap().header().alignment(), 64);
}

#[test]
fn arrays_nest_only_so_deep() {
    let nested = |depth: u32| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(b"GGUF\x03\0\0\0");
        bytes.extend_from_slice(&0u64.to_le_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.push(b'k');
        bytes.extend_from_slice(&9u32.to_le_bytes());
        for _ in 1..depth {
            bytes.extend_from_slice(&9u32.to_le_bytes());
            bytes.extend_from_slice(&1u64.to_le_bytes());
        }
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.push(1);
        bytes.resize(bytes.len() + 32, 0);
        Gguf::parse(bytes)
    };
    assert!(nested(4).is_ok());
    assert!(nested(5).unwrap_err().to_string().contains("nested more than 4 deep"));
}

/// Asks a file everything that can be asked; only a panic would be a failure, or memory that the file
/// does not justify: a key or a tensor takes some hundred bytes where the file has a name and little
/// more.
fn ask_everything(bytes: Vec<u8>) {
    let len = bytes.len();
    let ((), most) = taken::most_taken(|| ask(bytes));
    assert!(most <= 64 * len + 4096, "{most} bytes taken for a file of {len}");
}

fn ask(bytes: Vec<u8>) {
    let Ok(head) = GgufHead::parse(bytes) else { return };
    for (_, value) in head.header().metadata() {
        let _ = head.first_elements(value, 5);
    }
    let Ok(g) = Gguf::new(head) else { return };
    let keys: Vec<String> = g.header().metadata().map(|(k, _)| k.to_owned()).collect();
    for key in &keys {
        let _ = (g.u32(key), g.opt_u64(key), g.f32(key), g.bool(key), g.str(key), g.strs(key));
        let _ = (g.array::<u8>(key), g.array::<bool>(key), g.array::<f64>(key));
    }
    for tensor in g.tensors() {
        assert_eq!(g.data_of(tensor).len() as u64, tensor.bytes);
    }
}

/// A value of the metadata as it is set and read.
#[derive(Clone, Debug)]
enum Set {
    U8(u8),
    I32(i32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Str(String),
    Strs(Vec<String>),
    I16s(Vec<i16>),
    F64s(Vec<f64>),
}

fn value() -> impl Strategy<Value = Set> {
    let text = || "[a-zà-ÿ Ġ\u{0}\n]{0,12}";
    prop_oneof![
        any::<u8>().prop_map(Set::U8),
        any::<i32>().prop_map(Set::I32),
        any::<u64>().prop_map(Set::U64),
        any::<f32>().prop_map(Set::F32),
        any::<bool>().prop_map(Set::Bool),
        text().prop_map(Set::Str),
        prop::collection::vec(text(), 0..5).prop_map(Set::Strs),
        prop::collection::vec(any::<i16>(), 0..5).prop_map(Set::I16s),
        prop::collection::vec(any::<f64>(), 0..5).prop_map(Set::F64s),
    ]
}

/// A tensor's rows, whole blocks long, and its type.
fn tensor() -> impl Strategy<Value = (Vec<u64>, GgmlType)> {
    let types = [GgmlType::F32, GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4_1, GgmlType::Q6_K];
    (prop::sample::select(types.to_vec()), 0u64..4, prop::collection::vec(1u64..4, 0..3)).prop_map(
        |(ty, blocks, mut dims)| {
            dims.insert(0, blocks * ty.block_size());
            (dims, ty)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_written_is_read_back(
        keys in prop::collection::btree_map("[a-z.]{1,12}", value(), 0..12),
        tensors in prop::collection::btree_map("[a-z.0-9]{1,12}", tensor(), 0..8),
        seed in any::<u8>(),
    ) {
        let keys: Vec<_> = keys.into_iter().filter(|(k, _)| k != "general.alignment").collect();
        let mut w = GgufWriter::new();
        for (key, value) in &keys {
            match value {
                Set::U8(v) => w.set(key, *v),
                Set::I32(v) => w.set(key, *v),
                Set::U64(v) => w.set(key, *v),
                Set::F32(v) => w.set(key, *v),
                Set::Bool(v) => w.set(key, *v),
                Set::Str(v) => w.set_str(key, v),
                Set::Strs(v) => w.set_strs(key, v),
                Set::I16s(v) => w.set_array(key, v),
                Set::F64s(v) => w.set_array(key, v),
            };
        }
        for (name, (dims, ty)) in &tensors {
            w.tensor(name, dims, *ty);
        }
        let data = |i: usize, (dims, ty): &(Vec<u64>, GgmlType)| -> Vec<u8> {
            let n = ty.bytes_for(dims.iter().product()).unwrap();
            (0..n).map(|j| (j as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add(i as u8)).collect()
        };
        let expected = w.file_len();
        let mut stream = w.start(Vec::new()).unwrap();
        for (i, shape) in tensors.values().enumerate() {
            stream.write(&data(i, shape)).unwrap();
        }
        let bytes = stream.finish().unwrap();
        prop_assert_eq!(bytes.len() as u64, expected);

        let g = Gguf::parse(bytes).unwrap();
        prop_assert_eq!(g.header().metadata().count(), keys.len());
        for (key, value) in &keys {
            match value {
                Set::U8(v) => prop_assert_eq!(g.get(key), Some(&Value::U8(*v))),
                Set::I32(v) => prop_assert_eq!(g.get(key), Some(&Value::I32(*v))),
                Set::U64(v) => prop_assert_eq!(g.get(key), Some(&Value::U64(*v))),
                Set::F32(v) => prop_assert_eq!(g.f32(key).unwrap().to_bits(), v.to_bits()),
                Set::Bool(v) => prop_assert_eq!(g.bool(key).unwrap(), *v),
                Set::Str(v) => prop_assert_eq!(g.str(key).unwrap(), v),
                Set::Strs(v) => prop_assert_eq!(&g.strs(key).unwrap(), v),
                Set::I16s(v) => prop_assert_eq!(&g.array::<i16>(key).unwrap(), v),
                Set::F64s(v) => {
                    let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&g.array::<f64>(key).unwrap()), bits(v));
                }
            }
        }
        prop_assert_eq!(g.tensors().len(), tensors.len());
        for ((i, (name, shape)), found) in tensors.iter().enumerate().zip(g.tensors()) {
            prop_assert_eq!((&found.name, &found.dims, found.ty), (name, &shape.0, shape.1));
            prop_assert_eq!(found.offset % g.header().alignment(), 0);
            prop_assert_eq!(g.data_of(found), data(i, shape));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_never_make_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        ask_everything(bytes);
    }

    #[test]
    fn changed_words_never_make_it_panic(
        at in any::<prop::sample::Index>(),
        word in prop_oneof![
            Just(u64::MAX), Just(u64::MAX / 2), Just(1 << 63), Just(1 << 32), Just(u64::MAX - 31),
            any::<u64>(),
        ],
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        let start = at.index(bytes.len() - 8);
        bytes[start..start + 8].copy_from_slice(&word.to_le_bytes());
        ask_everything(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        ask_everything(bytes);
    }

    #[test]
    fn arbitrary_bytes_never_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        ask_everything(bytes.clone());
        if bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
            ask_everything(bytes);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_device_or_pipe_is_refused_without_being_opened() {
    let error = Gguf::open(std::path::Path::new("/dev/null")).unwrap_err().to_string();
    assert!(error.starts_with("/dev/null: neither a regular file nor a link to one"), "{error}");
}
