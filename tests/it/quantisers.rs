//! Our formats and quantisers against ggml's, and `slmbench quantize` against llama.cpp's.

use std::fs::File;
use std::path::{Path, PathBuf};

use llama_cpp_sys_2 as sys;
use slmbench::engine::llama_cpp::{self, LlamaCpp};
use slmbench::engine::{Engine, ReferenceEngine};
use slmbench::ggml::GgmlType;
use slmbench::gguf::Gguf;
use slmbench::model::{Arch, FileMix, ModelShape};
use slmbench::reference::quant::{self, WEIGHT_TYPES};
use slmbench::settings::{Auto, Settings};
use slmbench::synth;

use crate::shapes::tiny;
use crate::support::Bench;

/// Normal numbers, or with much weight in the tails: what weights and what activations look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Normal,
    /// Student's t with three degrees of freedom.
    HeavyTailed,
    /// Normal, with one value in 64 ten times as large.
    Outliers,
}

const KINDS: [Kind; 3] = [Kind::Normal, Kind::HeavyTailed, Kind::Outliers];

struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// By Box and Muller.
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn draw(&mut self, kind: Kind) -> f32 {
        let v = match kind {
            Kind::Normal => self.normal(),
            Kind::HeavyTailed => {
                let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
                self.normal() / (squares / 3.0).sqrt()
            }
            Kind::Outliers if self.bits() >> 58 == 0 => 10.0 * self.normal(),
            Kind::Outliers => self.normal(),
        };
        0.02 * v as f32
    }

    fn row(&mut self, kind: Kind, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.draw(kind)).collect()
    }
}

fn ours(ty: GgmlType, x: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0xAA; quant::row_bytes(ty, x.len())];
    quant::quantize_row(ty, x, &mut bytes);
    bytes
}

fn theirs(ty: GgmlType, x: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0x55; quant::row_bytes(ty, x.len())];
    let n = x.len() as i64;
    // SAFETY: source and target are as long as one row of the type, and no importance is given.
    let written = unsafe {
        let out = bytes.as_mut_ptr().cast();
        sys::ggml_quantize_chunk(ty.id(), x.as_ptr(), out, 0, 1, n, std::ptr::null())
    };
    assert_eq!(written, bytes.len());
    bytes
}

fn values(ty: GgmlType, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; n];
    quant::dequantize_row(ty, bytes, &mut out);
    out
}

#[test]
fn every_format_means_what_ggml_says_bit_for_bit() {
    let mut numbers = Numbers(5);
    for &ty in WEIGHT_TYPES.iter().filter(|ty| **ty != GgmlType::F32) {
        // SAFETY: the table is a constant of the library; the function converts whole blocks.
        let to_float = unsafe { (*sys::ggml_get_type_traits(ty.id())).to_float }.unwrap();
        let n = 256;
        for round in 0..2000 {
            let bytes: Vec<u8> =
                (0..quant::row_bytes(ty, n)).map(|_| numbers.bits() as u8).collect();
            let found = values(ty, &bytes, n);
            let mut expected = vec![0f32; n];
            // SAFETY: the bytes are those of `n` elements, and there is room for as many.
            unsafe { to_float(bytes.as_ptr().cast(), expected.as_mut_ptr(), n as i64) };
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                // Scales that are no number have many encodings.
                let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(same, "{ty} round {round} element {i}: {a:e} for {b:e}");
            }
        }
    }
}

#[test]
fn legacy_types_are_quantised_to_the_bytes_of_ggml() {
    use GgmlType::{BF16, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
    let mut numbers = Numbers(11);
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for kind in KINDS {
        rows.extend((0..300).map(|_| numbers.row(kind, 256)));
    }
    rows.push(vec![0.0; 256]);
    rows.push(vec![-0.0; 256]);
    rows.push(vec![0.125; 256]);
    rows.push(vec![-3.0; 256]);
    rows.push((0..256).map(|i| if i % 2 == 0 { 0.0 } else { -0.0 }).collect());
    // Halves of steps, of which some round up and some down; both signs as the largest value.
    rows.push((0..256).map(|i| (i % 32 - 16) as f32 * 0.5).collect());
    rows.push((0..256).map(|i| (15 - i % 32) as f32 * 0.25).collect());
    // Scales below what half precision has, and above.
    rows.push(numbers.row(Kind::Normal, 256).iter().map(|v| v * 1e-6).collect());
    rows.push(numbers.row(Kind::Normal, 256).iter().map(|v| v * 1e8).collect());
    for ty in [F16, BF16, Q8_0, Q5_0, Q5_1, Q4_0, Q4_1] {
        for (i, x) in rows.iter().enumerate() {
            assert_eq!(ours(ty, x), theirs(ty, x), "{ty} row {i}");
        }
    }
}

/// The sum of squared errors of rows that come back from `bytes`.
fn error(ty: GgmlType, x: &[f32], bytes: &[u8]) -> f64 {
    let back = values(ty, bytes, x.len());
    x.iter().zip(back).map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2)).sum()
}

#[test]
fn types_with_searched_scales_come_closer_to_their_values_than_ggml() {
    use GgmlType::{IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};
    const ROWS: usize = 400;
    for ty in [Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS] {
        for kind in KINDS {
            let mut numbers = Numbers(23);
            let (mut found, mut expected, mut all, mut n_worse) = (0.0, 0.0, 0.0, 0);
            for _ in 0..ROWS {
                let x = numbers.row(kind, 256);
                let (a, b) = (error(ty, &x, &ours(ty, &x)), error(ty, &x, &theirs(ty, &x)));
                found += a;
                expected += b;
                all += x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                n_worse += usize::from(a > b);
            }
            println!(
                "{ty} {kind:?}: {:.3e}, ggml {:.3e}, {:.3} of it; worse in {n_worse} of {ROWS} rows",
                found / all,
                expected / all,
                found / expected
            );
            assert!(found <= expected, "{ty} {kind:?}: {found:e}, ggml {expected:e}");
        }
    }
}

/// A model whose rows fit blocks of 256, but for one tensor.
fn shape() -> ModelShape {
    ModelShape {
        name: "small".to_owned(),
        n_layer: 4,
        n_embd: 256,
        n_ff: 544.into(),
        n_head: 4.into(),
        n_head_kv: 2.into(),
        head_dim: 64,
        n_rot: 64,
        n_vocab: 700,
        tied_output: false,
        ..tiny(Arch::Llama)
    }
}

fn source(folder: &Path, mix: FileMix) -> PathBuf {
    let path = folder.join(format!("source-{mix}.gguf"));
    synth::write_model(&shape(), mix, 5, File::create(&path).unwrap()).unwrap();
    path
}

fn quantised_by_llama_cpp(source: &Path, mix: FileMix) -> PathBuf {
    let out = source.with_file_name(format!("theirs-{mix}.gguf"));
    llama_cpp::quantize(source, &out, mix.file_type()).unwrap();
    out
}

#[test]
fn quantize_makes_the_file_that_llama_cpps_quantiser_makes() {
    let bench = Bench::new();
    for from in [FileMix::F16, FileMix::F32, FileMix::BF16] {
        let source = source(&bench.path(""), from);
        for mix in [FileMix::Q8_0, FileMix::Q4_0, FileMix::Q5_1, FileMix::Q4_K_M, FileMix::Q2_K] {
            let name = source.to_str().unwrap();
            let ran = bench.run(&["quantize", name, "ours.gguf", mix.name()]).ends_with(0);
            assert!(ran.stdout.starts_with(&format!("ours.gguf: {mix}, ")), "{}", ran.stdout);
            assert_eq!(ran.stderr, "");
            let ours = Gguf::open(&bench.path("ours.gguf")).unwrap();
            let theirs = Gguf::open(&quantised_by_llama_cpp(&source, mix)).unwrap();
            let keys = |gguf: &Gguf| -> Vec<String> {
                gguf.header().metadata().map(|(key, _)| key.to_owned()).collect()
            };
            assert_eq!(keys(&ours), keys(&theirs), "{from} {mix}");
            assert_eq!(ours.tensors().len(), theirs.tensors().len());
            for (found, expected) in ours.tensors().iter().zip(theirs.tensors()) {
                let what = format!("{from} {mix} {}", expected.name);
                assert_eq!(found.name, expected.name, "{what}");
                assert_eq!((&found.dims, found.ty), (&expected.dims, expected.ty), "{what}");
                if found.ty.block_size() <= 32 && found.ty != GgmlType::IQ4_NL {
                    assert!(ours.data_of(found) == theirs.data_of(expected), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_quantised_file_runs_in_both_engines() {
    let bench = Bench::new();
    let source = source(&bench.path(""), FileMix::F16);
    let settings = Settings {
        n_threads: Auto::Fixed(2),
        n_ctx: Auto::Fixed(64),
        backend_device: "cpu".to_owned(),
        ..Settings::default()
    };
    for &mix in FileMix::ALL.iter().filter(|mix| mix.is_quantised()) {
        let name = source.to_str().unwrap();
        bench.run(&["quantize", name, "q.gguf", mix.name(), "--threads", "1"]).ends_with(0);
        for engine in [&ReferenceEngine::new().unwrap() as &dyn Engine, &LlamaCpp::quiet()] {
            let mut session = engine.load(&bench.path("q.gguf"), &settings).unwrap();
            session.prefill(&[5, 80, 17]).unwrap();
            assert!(session.logits().unwrap().iter().all(|v| v.is_finite()), "{mix}");
        }
    }
}
