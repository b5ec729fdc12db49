//! What synthetic files hold.

use std::io::{self, Write};
use std::num::NonZero;

use half::{bf16, f16};

use super::*;
use crate::ggml::GgmlType;
use crate::gguf::Gguf;
use crate::model::{Catalogue, FileMix, ModelShape, RopeScaling};

fn model(name: &str) -> ModelShape {
    Catalogue::built_in().unwrap().get(name).unwrap().clone()
}

/// A shape small enough to write, with rows that Q6_K takes.
fn wide() -> ModelShape {
    let llama = model("Llama-3.2-1B");
    ModelShape {
        n_layer: 2,
        n_embd: 256,
        n_ff: 512.into(),
        n_head: 4.into(),
        n_head_kv: 2.into(),
        n_vocab: 700,
        ..llama
    }
}

fn file(shape: &ModelShape, mix: FileMix, seed: u64) -> Gguf {
    Gguf::parse(write_model(shape, mix, seed, Vec::new()).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_the_shape_asked_for() {
    for shape in [model("tiny-llama"), model("tiny-qwen2"), wide()] {
        for &mix in FileMix::ALL {
            let g = file(&shape, mix, 3);
            let mut expected = shape.clone();
            expected.rope_scaling = shape.rope_scaling.map(|_| RopeScaling::Factors);
            assert_eq!(ModelShape::from_gguf(&g).unwrap(), expected);
            assert_eq!(g.file_len(), Synthesis::new(&shape, mix, 3).file_len().unwrap());
            let found: Vec<_> = g.tensors().iter().map(|t| (t.name.clone(), t.ty)).collect();
            let asked: Vec<_> =
                mix.tensors(&shape).into_iter().map(|(t, ty)| (t.name, ty)).collect();
            assert_eq!(found, asked);
            assert_eq!(crate::model::quant_name(&g).unwrap(), mix.name());
            assert_eq!(g.u32("slmbench.synth.version").unwrap(), SYNTH_VERSION);
            assert_eq!(g.array_len("tokenizer.ggml.tokens"), Some(shape.n_vocab.into()));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_any_number_of_threads() {
    let shape = ModelShape { n_vocab: 9000, ..wide() };
    let with = |n: usize, seed| {
        let mut s = Synthesis::new(&shape, FileMix::Q8_0, seed);
        s.n_threads = NonZero::new(n).unwrap();
        s.write(Vec::new(), |_, _| {}).unwrap()
    };
    let one = with(1, 5);
    assert!(one == with(2, 5) && one == with(7, 5));
    assert!(one != with(2, 6));
}

#[test]
fn a_panic_while_writing_ends_the_threads_that_draw() {
    let shape = ModelShape { n_vocab: 40_000, ..wide() };
    let caught = std::panic::catch_unwind(|| {
        let mut s = Synthesis::new(&shape, FileMix::F32, 5);
        s.n_threads = NonZero::new(2).unwrap();
        s.write(io::sink(), |_, _| panic!("on purpose")).map(drop)
    });
    assert!(caught.is_err());
}

/// A change of these hashes is a change of what every synthetic number was measured on.
#[test]
fn the_bytes_of_a_version_never_change() {
    use sha2::{Digest, Sha256};
    let hash = |mix| {
        let bytes = write_model(&wide(), mix, 1, Vec::new()).unwrap();
        Sha256::digest(&bytes)[..4].iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let found: Vec<String> = FileMix::ALL.iter().map(|&mix| hash(mix)).collect();
    assert_eq!(
        (SYNTH_VERSION, found.join(" ").as_str()),
        (1, "215526b5 febe237b f29ac3d6 1fed5af8 bc10023d")
    );
}

/// Decodes a tensor, and panics where a scale or a plain value is subnormal, zero or not finite.
fn decode(ty: GgmlType, bytes: &[u8]) -> Vec<f32> {
    let half = |b: &[u8]| {
        let v = f16::from_le_bytes([b[0], b[1]]);
        assert!(v.is_normal(), "{ty}: {v}");
        v.to_f32()
    };
    let mut out = Vec::new();
    for block in bytes.chunks_exact(ty.block_bytes() as usize) {
        match ty {
            GgmlType::F32 => {
                let v = f32::from_le_bytes(block.try_into().unwrap());
                assert!(v.is_normal());
                out.push(v);
            }
            GgmlType::F16 => out.push(half(block)),
            GgmlType::BF16 => {
                let v = bf16::from_le_bytes(block.try_into().unwrap());
                assert!(v.is_normal());
                out.push(v.to_f32());
            }
            GgmlType::Q8_0 => {
                let d = half(block);
                for &q in &block[2..] {
                    assert_ne!(q as i8, -128);
                    out.push(d * f32::from(q as i8));
                }
            }
            GgmlType::Q4_0 => {
                let d = half(block);
                out.extend(block[2..].iter().map(|q| d * (f32::from(q & 15) - 8.0)));
                out.extend(block[2..].iter().map(|q| d * (f32::from(q >> 4) - 8.0)));
            }
            GgmlType::Q6_K => {
                let d = half(&block[208..]);
                for i in 0..256 {
                    let (part, at) = (i / 128, i % 128);
                    let low = block[64 * part + at % 64] >> (4 * (at / 64)) & 15;
                    let high = block[128 + 32 * part + at % 32] >> (2 * (at / 32)) & 3;
                    let sub = f32::from(block[192 + i / 16] as i8);
                    out.push(d * sub * (f32::from(low | high << 4) - 32.0));
                }
            }
            other => panic!("{other}"),
        }
    }
    out
}

#[test]
fn no_scale_and_no_value_is_subnormal_and_every_matrix_has_the_spread_meant() {
    let shape = ModelShape { n_vocab: 2000, ..wide() };
    for shape in [shape, model("tiny-qwen2")] {
        for &mix in FileMix::ALL {
            let g = file(&shape, mix, 11);
            for t in g.tensors() {
                let values = decode(t.ty, g.data_of(t));
                let n = values.len() as f64;
                let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
                if t.dims.len() == 2 {
                    let mut std = 1.0 / (t.dims[0] as f64).sqrt();
                    if t.name.contains("attn_output") || t.name.contains("ffn_down") {
                        std /= (2.0 * f64::from(shape.n_layer)).sqrt();
                    }
                    let gain = square.sqrt() / std;
                    // Small matrices stray further.
                    let allowed = 0.01 + 0.4 / (n / 32.0).sqrt();
                    assert!((gain - 1.0).abs() < allowed, "{mix} {}: {gain}", t.name);
                    assert!(mean.abs() < 24.0 * std / n.sqrt(), "{mix} {}: mean {mean}", t.name);
                } else if t.name.ends_with("norm.weight") {
                    assert!((mean - 1.0).abs() < 0.05, "{}: {mean}", t.name);
                }
            }
        }
    }
}

#[test]
fn scaled_weights_stay_normal_at_both_ends() {
    let shape = wide();
    for scale in [1e-9f32, 0.01, 10.0, 1e9] {
        for &mix in FileMix::ALL {
            let s = Synthesis { weight_scale: scale, ..Synthesis::new(&shape, mix, 1) };
            let g = Gguf::parse(s.write(Vec::new(), |_, _| {}).unwrap()).unwrap();
            for t in g.tensors() {
                assert!(decode(t.ty, g.data_of(t)).iter().all(|v| v.is_finite()));
            }
        }
    }
    let s = Synthesis { weight_scale: f32::NAN, ..Synthesis::new(&shape, FileMix::F16, 1) };
    assert!(s.write(Vec::new(), |_, _| {}).unwrap_err().to_string().contains("weight scale NaN"));
}

#[test]
fn long_context_factors_are_those_of_the_published_rule() {
    let g = file(&wide(), FileMix::F16, 1);
    let factors = decode(GgmlType::F32, g.tensor_data("rope_freqs.weight").unwrap());
    assert_eq!(factors.len(), 32);
    assert_eq!((factors[0], factors[31]), (1.0, 32.0));
    assert!(factors.windows(2).all(|w| w[0] <= w[1]));
    assert!(factors.iter().any(|&f| f > 1.0 && f < 32.0));
}

#[test]
fn a_shape_that_cannot_be_written_is_refused() {
    let few = ModelShape { n_vocab: 100, ..model("tiny-llama") };
    let error = write_model(&few, FileMix::F16, 1, Vec::new()).unwrap_err().to_string();
    assert!(error.contains("has 100 tokens, a synthetic tokenizer needs at least 257"), "{error}");
    let none = ModelShape { n_head: 0.into(), ..model("tiny-llama") };
    assert!(write_model(&none, FileMix::F16, 1, Vec::new()).is_err());
}

#[test]
fn a_sink_that_fails_ends_the_writing_with_its_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shape = ModelShape { n_vocab: 30_000, ..wide() };
    let error = write_model(&shape, FileMix::F16, 1, Full(2_000_000)).map(|_| ()).unwrap_err();
    assert!(matches!(error, SynthError::Io(e) if e.kind() == io::ErrorKind::StorageFull));
}
