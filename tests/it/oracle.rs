//! What a file is made of, held against llama.cpp: its quantiser on the mixes, its loader on the
//! tensors of every model. Files are headers with a hole where the weights would be.

use std::fs::File;
use std::path::{Path, PathBuf};

use slmbench::engine::Session;
use slmbench::engine::llama_cpp::{LlamaCpp, n_params, quantised_tensors};
use slmbench::model::{Arch, Catalogue, FileMix, ModelIdentity, ModelShape};
use slmbench::settings::{Auto, LoadMode, Settings};
use slmbench::synth::{SYNTH_VERSION, Synthesis, write_model};

use crate::shapes::reduced;

fn hollow(folder: &Path, shape: &ModelShape, mix: FileMix) -> PathBuf {
    let path = folder.join("hollow.gguf");
    Synthesis::new(shape, mix, 1).write_hollow(&File::create(&path).unwrap()).unwrap();
    path
}

fn of_llama_cpp() -> Vec<ModelShape> {
    let catalogue = Catalogue::built_in().unwrap();
    catalogue.shapes().filter(|m| m.arch.is_llama_cpps()).cloned().collect()
}

/// Holds the mixes of `shapes` against what the quantiser would make of their half-precision files.
fn hold_against_the_quantiser<'a>(shapes: impl Iterator<Item = &'a ModelShape>) {
    let folder = tempfile::tempdir().unwrap();
    for shape in shapes {
        // The quantiser reads no token, and a small vocabulary makes a small header. It changes no
        // type: those follow from the length of rows.
        let shape = ModelShape { n_vocab: 512, ..shape.clone() };
        let source = hollow(folder.path(), &shape, FileMix::F16);
        for &mix in FileMix::ALL {
            let expected = quantised_tensors(&source, mix.file_type()).unwrap();
            let found = mix.tensors(&shape);
            let name = &shape.name;
            assert_eq!(found.len(), expected.len(), "{name} {mix}");
            if mix.is_quantised() {
                for ((tensor, ty), theirs) in found.iter().zip(&expected) {
                    assert_eq!(
                        (&tensor.name, &tensor.dims, *ty),
                        (&theirs.name, &theirs.dims, theirs.ty),
                        "{name} {mix}"
                    );
                }
                continue;
            }
            // Such files come from the converter, which has an order of its own.
            for theirs in &expected {
                let ours = found.iter().find(|(tensor, _)| tensor.name == theirs.name);
                let (tensor, ty) = ours.unwrap_or_else(|| panic!("{name} {mix}: {theirs:?}"));
                assert_eq!((&tensor.dims, *ty), (&theirs.dims, theirs.ty), "{name} {mix}");
            }
        }
    }
}

#[test]
fn every_architecture_in_every_mix_is_what_llama_cpps_quantiser_makes() {
    let all = of_llama_cpp();
    let archs = Arch::ALL.iter().filter(|a| a.is_llama_cpps());
    hold_against_the_quantiser(archs.map(|&arch| all.iter().find(|m| m.arch == arch).unwrap()));
}

#[test]
#[ignore = "every model; part of `scripts/test --full`"]
fn every_model_in_every_mix_is_what_llama_cpps_quantiser_makes() {
    hold_against_the_quantiser(of_llama_cpp().iter());
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
