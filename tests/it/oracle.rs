//! What a file is made of, held against llama.cpp: its quantiser on the mixes, its loader on the
//! tensors of every model. Files are headers with a hole where the weights would be.

use std::fs::File;
use std::path::{Path, PathBuf};

use slmbench::engine::Session;
use slmbench::engine::llama_cpp::{LlamaCpp, n_params, quantised_tensors};
use slmbench::ggml::GgmlType;
use slmbench::model::{Arch, Catalogue, FileMix, ModelIdentity, ModelShape};
use slmbench::settings::{Auto, LoadMode, Settings};
use slmbench::synth::{SYNTH_VERSION, Synthesis, write_model};

use crate::shapes::reduced;
use crate::support::Bench;

fn hollow(folder: &Path, shape: &ModelShape, mix: FileMix) -> PathBuf {
    let path = folder.join("hollow.gguf");
    Synthesis::new(shape, mix, 1).write_hollow(&File::create(&path).unwrap()).unwrap();
    path
}

fn of_llama_cpp() -> Vec<ModelShape> {
    let catalogue = Catalogue::built_in().unwrap();
    catalogue.shapes().filter(|m| m.arch.is_llama_cpps()).cloned().collect()
}

/// Names, dimensions and types in their order.
type Tensors = Vec<(String, Vec<u64>, GgmlType)>;

/// What `slmbench inspect` says a file is made of.
fn inspected(bench: &Bench, model: &str, mix: FileMix) -> Tensors {
    let ran = bench.run(&["inspect", model, "--quant", mix.name(), "--json"]).ends_with(0);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let tensors = facts["tensors"].as_array().unwrap().iter().map(|tensor| {
        let dims = tensor["dims"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
        let word = |key: &str| tensor[key].as_str().unwrap().to_owned();
        (word("name"), dims.collect(), word("type").parse().unwrap())
    });
    tensors.collect()
}

/// What `inspect` says of every model in every mix, held against what the quantiser would make of
/// its half-precision file.
#[test]
fn every_model_in_every_mix_is_what_llama_cpps_quantiser_makes() {
    const FEW: u32 = 512;
    let bench = Bench::new();
    for shape in &of_llama_cpp() {
        let name = &shape.name;
        // The quantiser reads no token, and a small vocabulary makes a small header. It changes no
        // type: those follow from the length of rows.
        let narrow = ModelShape { n_vocab: FEW, ..shape.clone() };
        let source = hollow(&bench.path(""), &narrow, FileMix::F16);
        let with_all_tokens = |(tensor, mut dims): (String, Vec<u64>)| {
            if ["token_embd.weight", "output.weight", "output.bias"].contains(&tensor.as_str()) {
                let tokens = dims.iter_mut().find(|n| **n == u64::from(FEW)).unwrap();
                *tokens = u64::from(shape.n_vocab);
            }
            (tensor, dims)
        };
        for &mix in FileMix::ALL {
            let expected = quantised_tensors(&source, mix.file_type()).unwrap();
            let expected = expected.into_iter().map(|tensor| {
                let (name, dims) = with_all_tokens((tensor.name, tensor.dims));
                (name, dims, tensor.ty)
            });
            let (mut expected, mut found): (Tensors, Tensors) =
                (expected.collect(), inspected(&bench, name, mix));
            if !mix.is_quantised() {
                // Such files come from the converter, which has an order of its own.
                expected.sort();
                found.sort();
            }
            assert_eq!(found.len(), expected.len(), "{name} {mix}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{name} {mix}");
            }
        }
    }
}

#[test]
fn llama_cpp_finds_every_tensor_of_every_model_and_counts_the_same_parameters() {
    let folder = tempfile::tempdir().unwrap();
    for shape in of_llama_cpp() {
        let mix = FileMix::Q8_0;
        let path = hollow(folder.path(), &shape, mix);
        let counted = n_params(&path).unwrap_or_else(|e| panic!("{}: {e}", shape.name));
        let identity = ModelIdentity::of_synthetic(&shape, mix, 1, SYNTH_VERSION);
        assert_eq!(counted, identity.n_params_llama_cpp, "{}", shape.name);
    }
}

#[test]
fn llama_cpp_computes_a_model_of_every_architecture() {
    let folder = tempfile::tempdir().unwrap();
    for &arch in Arch::ALL.iter().filter(|a| a.is_llama_cpps()) {
        let shape = reduced(arch);
        let path = folder.path().join("model.gguf");
        write_model(&shape, "Q4_K_M".parse().unwrap(), 1, File::create(&path).unwrap()).unwrap();
        let settings = Settings {
            n_threads: Auto::Fixed(2),
            n_ctx: Auto::Fixed(256),
            load_mode: LoadMode::None,
            backend_device: "cpu".to_owned(),
            ..Settings::default()
        };
        let mut session =
            LlamaCpp::quiet().open(&path, &settings).unwrap_or_else(|e| panic!("{arch}: {e}"));
        session.prefill(&[5, 80, 17, 300, 5, 9]).unwrap();
        let first = session.logits().unwrap().to_vec();
        session.decode(99).unwrap();
        let second = session.logits().unwrap().to_vec();
        for logits in [&first, &second] {
            assert_eq!(logits.len(), 512);
            assert!(logits.iter().all(|x| x.is_finite()), "{arch}");
            let mean = logits.iter().sum::<f32>() / 512.0;
            let spread = logits.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 512.0;
            assert!(spread.sqrt() > 1e-3, "{arch}: logits hardly differ ({spread})");
        }
        assert_ne!(first, second, "{arch}");
        // Every tensor is somewhere in memory, once.
        let bytes: u64 = "Q4_K_M".parse::<FileMix>().unwrap().weight_bytes(&shape);
        let allocated = session.allocated().unwrap().weight_bytes;
        assert!(
            allocated >= bytes && allocated <= bytes + bytes / 2,
            "{arch}: {allocated} {bytes}"
        );
    }
}
