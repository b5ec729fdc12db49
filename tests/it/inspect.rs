//! `slmbench inspect`: what it shows of files and of models, and what it says of damaged ones.

use std::io::Write as _;

use slmbench::ggml::GgmlType;
use slmbench::gguf::GgufWriter;

use crate::support::{Bench, Ran};

/// A small file of the kind people have: an embedding, a head that copies it, parts of a layer.
fn described() -> GgufWriter {
    let mut w = GgufWriter::new();
    w.set_str("general.architecture", "llama")
        .set_str("general.name", "little")
        .set("general.file_type", 7u32)
        .set("llama.block_count", 4u32)
        .set("llama.embedding_length", 64u32)
        .set("llama.attention.head_count", 4u32)
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5f32)
        .set_str("tokenizer.chat_template", &"{{ bos_token }} and so on, ".repeat(20))
        .set_strs("tokenizer.ggml.tokens", &(0..40).map(|i| format!("t{i}")).collect::<Vec<_>>())
        .tensor("output.weight", &[64, 40], GgmlType::Q8_0)
        .tensor("token_embd.weight", &[64, 40], GgmlType::Q8_0)
        .tensor("blk.3.attn_q.weight", &[64, 64], GgmlType::Q4_0)
        .tensor("blk.3.attn_q.bias", &[64], GgmlType::F32)
        .tensor("blk.3.ffn_up.weight", &[64, 96], GgmlType::Q4_0)
        .tensor("output_norm.weight", &[64], GgmlType::F32);
    w
}

fn file() -> Vec<u8> {
    let mut stream = described().start(Vec::new()).unwrap();
    for bytes in [2720, 2720, 2304, 256, 3456, 256] {
        stream.write(&vec![1; bytes]).unwrap();
    }
    stream.finish().unwrap()
}

/// The first byte behind the `nth` occurrence of `text` in the file, from 0.
fn behind(text: &str, nth: usize) -> usize {
    let bytes = file();
    let places = bytes.windows(text.len()).enumerate().filter(|(_, w)| *w == text.as_bytes());
    places.map(|(at, _)| at + text.len()).nth(nth).unwrap()
}

/// The file with `bytes` in place of those at `at`.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn inspect(bytes: &[u8], more: &[&str]) -> Ran {
    let bench = Bench::new();
    std::fs::write(bench.path("m.gguf"), bytes).unwrap();
    bench.run(&[&["inspect", "m.gguf"], more].concat())
}

#[test]
fn a_file_is_shown_on_a_page() {
    let ran = inspect(&file(), &[]).ends_with(0);
    insta::assert_snapshot!(ran.stdout);
    assert!(ran.stdout.lines().count() <= 24);
}

#[test]
fn keys_and_tensors_are_shown_when_asked_for() {
    insta::assert_snapshot!(inspect(&file(), &["--metadata", "--tensors"]).ends_with(0).stdout);
}

#[test]
fn the_json_keeps_the_names_of_its_fields() {
    insta::assert_snapshot!(inspect(&file(), &["--json"]).ends_with(0).stdout);
}

#[test]
fn every_damage_is_told_with_its_place_and_what_was_expected() {
    let whole = file();
    let u32 = |n: u32| n.to_le_bytes().to_vec();
    let u64 = |n: u64| n.to_le_bytes().to_vec();
    // Behind a tensor's name stand the count of dimensions, those, the type, the offset.
    let up = behind("blk.3.ffn_up.weight", 0);
    let tokens = behind("tokenizer.ggml.tokens", 0);
    let name = behind("general.name", 0);
    let data = whole.len() - 11712;
    let mut lying = GgufWriter::new();
    lying.set("general.alignment", 48u32);
    let lying = lying.start(Vec::new()).unwrap().finish().unwrap();
    let mut nested =
        b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k".to_vec();
    nested.extend(u32(9));
    for _ in 0..6 {
        nested.extend([u32(9), u64(1)].concat());
    }
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut in the data", whole[..data + 9000].to_vec()),
        ("cut in its last byte", whole[..whole.len() - 1].to_vec()),
        ("cut behind the header", whole[..data].to_vec()),
        ("cut among the tensors", whole[..up - 10].to_vec()),
        ("cut in a tensor's entry", whole[..up + 8].to_vec()),
        ("cut in the metadata", whole[..name + 3].to_vec()),
        ("cut in the first bytes", whole[..6].to_vec()),
        ("empty", Vec::new()),
        ("tensors that overlap", with(up + 24, &u64(64))),
        ("a tensor of another's place", with(behind("blk.3.attn_q.bias", 0) + 16, &u64(0))),
        ("an offset off the alignment", with(up + 24, &u64(8001))),
        ("an offset beyond 64 bits", with(up + 24, &u64(u64::MAX - 31))),
        ("an offset beyond the file", with(up + 24, &u64(1 << 40))),
        ("a tensor twice", with(up - 19, b"blk.3.attn_q.weight")),
        ("a key twice", {
            let mut file = whole.clone();
            let at = behind("llama.block_count", 0);
            file[at - 17..at].copy_from_slice(b"general.file_type");
            file
        }),
        ("an unknown tensor type", with(up + 20, &u32(77))),
        ("a type that was taken away", with(up + 20, &u32(4))),
        ("rows of no whole blocks", with(up + 4, &u64(65))),
        ("dimensions that overflow", with(up + 4, &u64(1 << 62))),
        ("five dimensions", with(up, &u32(5))),
        ("an unknown value type", with(name, &u32(13))),
        ("a string longer than the file", with(name + 4, &u64(1 << 40))),
        ("an array longer than the file", with(tokens + 8, &u64(1 << 40))),
        ("arrays nested too deep", nested),
        ("a key that is no UTF-8", with(name - 12, &[0xff])),
        ("a tensor name that is no UTF-8", with(up - 19, &[0xff])),
        ("a bool of 7", with(behind("general.file_type", 0), &[7, 0, 0, 0, 7])),
        ("no power of two as alignment", lying),
        ("a count of tensors that cannot be", with(8, &u64(u64::MAX))),
        ("a count of keys that cannot be", with(16, &u64(1 << 60))),
        ("another magic", with(0, b"PK\x03\x04")),
        ("a git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
        ("big-endian", with(4, &[0, 0, 0, 3])),
        ("version 1", with(4, &u32(1))),
        ("version 4", with(4, &u32(4))),
        ("version 0", with(4, &u32(0))),
    ];
    let mut said = String::new();
    for (damage, bytes) in cases {
        let ran = inspect(&bytes, &[]);
        assert_eq!(ran.code, 2, "{damage}: {}", ran.stderr);
        let shown = if ran.stdout.is_empty() { "" } else { " (the header is shown)" };
        said.push_str(&format!("{damage}{shown}\n{}\n", ran.stderr));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_half_downloaded_file_is_shown_as_far_as_it_is_there() {
    let whole = file();
    let ran = inspect(&whole[..whole.len() - 3000], &["--tensors"]).ends_with(2);
    insta::assert_snapshot!(format!("{}\nstandard error:\n{}", ran.stdout, ran.stderr));
    let ran = inspect(&whole[..whole.len() - 3000], &["--json"]).ends_with(2);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let problem = facts["problem"].as_str().unwrap();
    assert!(problem.starts_with("tensor `blk.3.ffn_up.weight`: needs bytes "), "{problem}");
    assert!(facts["n_params"].is_null());
    assert_eq!(facts["n_params_llama_cpp"], 2 * 64 * 40 + 64 * 64 + 64 + 64 * 96 + 64);
}

#[test]
fn a_head_that_copies_the_embedding_is_counted_once_and_twice() {
    let ran = inspect(&file(), &["--json"]).ends_with(0);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let of = |name: &str| facts[name].as_u64().unwrap();
    assert_eq!(of("n_params_llama_cpp") - of("n_params"), 64 * 40);
    let bits = 8.0 * of("weight_bytes") as f64 / of("n_params") as f64;
    assert!((facts["bits_per_weight"].as_f64().unwrap() - bits).abs() < 1e-9);
}

#[test]
fn a_model_by_name_is_shown_as_its_file_would_be() {
    let bench = Bench::new();
    for (model, quant) in [("tiny-llama", "Q4_0"), ("tiny-qwen2", "Q8_0")] {
        bench.run(&["synth", model, "-q", quant, "-o", "m.gguf"]).ends_with(0);
        let json = |arguments: &[&str]| -> serde_json::Value {
            let ran = bench.run(&[&["inspect", "--json"], arguments].concat()).ends_with(0);
            serde_json::from_str(&ran.stdout).unwrap()
        };
        let (made, told) = (json(&["m.gguf"]), json(&[model, "-q", quant]));
        for field in [
            "arch",
            "model",
            "quant",
            "file_bytes",
            "gguf_version",
            "alignment",
            "data_offset",
            "n_params",
            "n_params_llama_cpp",
            "weight_bytes",
            "bits_per_weight",
            "n_tensors",
            "shape",
            "types",
            "groups",
            "tensors",
        ] {
            assert_eq!(made[field], told[field], "{model} {quant}: {field}");
            assert!(!told[field].is_null(), "{field}");
        }
        assert_eq!((&made["origin"], &told["origin"]), (&"file".into(), &"shape".into()));
        assert!(told.get("metadata").is_none());
    }
}

#[test]
fn weights_that_are_no_numbers_are_found_when_asked_for() {
    let ran = inspect(&file(), &["--values"]).ends_with(0);
    assert!(ran.stdout.contains("\nvalues      all finite, in 6 tensors\n"), "{}", ran.stdout);

    // The scale of the last block but one of a matrix, and the last number of a bias.
    let facts = |bytes: &[u8], more: &[&str]| -> (Ran, serde_json::Value) {
        let ran = inspect(bytes, &[&["--json"], more].concat());
        let facts = serde_json::from_str(&ran.stdout).unwrap();
        (ran, facts)
    };
    let (_, whole) = facts(&file(), &[]);
    let end = |name: &str| {
        let all = whole["tensors"].as_array().unwrap();
        let tensor = all.iter().find(|t| t["name"] == name).unwrap();
        (tensor["offset"].as_u64().unwrap() + tensor["bytes"].as_u64().unwrap()) as usize
    };
    let (scale, number) = (end("blk.3.attn_q.weight") - 2 * 18, end("blk.3.attn_q.bias") - 4);
    let mut wrong = with(scale, &[0x00, 0x7c]);
    wrong[number..number + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    // Nobody looks who was not asked to.
    inspect(&wrong, &[]).ends_with(0);

    let ran = inspect(&wrong, &["--values"]).ends_with(2);
    assert!(
        ran.stdout.contains("\nvalues      NaN or infinite in 2 of 6 tensors\n"),
        "{}",
        ran.stdout
    );
    let expected = format!(
        "m.gguf: byte {scale}: tensor `blk.3.attn_q.weight`: the scale of a block is inf, expected a \
         finite number\nhint: the file is damaged, or its writer was: download or convert it again; \
         llama.cpp may run it as it is\n"
    );
    assert!(ran.stderr.ends_with(&expected), "{}", ran.stderr);
    let (ran, found) = facts(&wrong, &["--values"]);
    assert_eq!(ran.code, 2);
    assert_eq!(
        found["values"],
        serde_json::json!({ "n_tensors": 6, "n_unread": 0, "flaws": [
            { "tensor": "blk.3.attn_q.weight", "type": "Q4_0", "byte": scale,
              "what": "the scale of a block", "found": "inf" },
            { "tensor": "blk.3.attn_q.bias", "type": "F32", "byte": number,
              "what": "the value", "found": "NaN" },
        ] })
    );
    assert!(found["problem"].as_str().unwrap().contains("the scale of a block is inf"));

    let ran = Bench::new().run(&["inspect", "SmolLM2-135M", "--values"]).ends_with(2);
    assert!(ran.stderr.contains("--values is for files"), "{}", ran.stderr);
}

#[test]
fn a_file_of_many_gigabytes_is_not_read() {
    let bench = Bench::new();
    let mut w = GgufWriter::new();
    w.set_str("general.architecture", "llama")
        .tensor("token_embd.weight", &[1 << 16, 1 << 16], GgmlType::F16)
        .tensor("output.weight", &[1 << 16, 1 << 15], GgmlType::F16);
    let length = w.file_len();
    let mut file = std::fs::File::create(bench.path("big.gguf")).unwrap();
    let mut header = Vec::new();
    let _ = w.start(&mut header).unwrap();
    file.write_all(&header).unwrap();
    // A hole: its pages cost nothing until somebody reads them.
    file.set_len(length).unwrap();
    let ran = bench.run(&["inspect", "big.gguf"]).ends_with(0);
    assert!(ran.stdout.contains("12.0 GiB"), "{}", ran.stdout);
}

#[test]
fn what_is_neither_file_nor_model_is_told_so() {
    let bench = Bench::new();
    bench.run(&["inspect"]).ends_with(2);
    for (arguments, said) in [
        (&["nothing.gguf"][..], "nothing.gguf: "),
        (&["./"], "./: "),
        (&["GPT-5"], "no file and no model is called `GPT-5`"),
        (&["SmolLM2-135M", "-q", "Q9"], "unknown quant `Q9`"),
        (&["nothing.gguf", "-q", "Q4_0"], "--quant is for models by name"),
        (&["SmolLM2-135M", "--json", "--tensors"], "cannot be used with"),
    ] {
        let ran = bench.run(&[&["inspect"], arguments].concat()).ends_with(2);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    let help = bench.run(&["inspect", "--help"]).ends_with(0).stdout;
    assert!(help.contains("Examples:"), "{help}");
}
