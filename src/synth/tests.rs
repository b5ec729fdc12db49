//! What synthetic files hold.

mod decode;

use std::io::{self, Write};
use std::num::NonZero;
use std::ops::ControlFlow;

use self::decode::decode;
use super::blocks::{Fill, Stream, draw};
use super::*;
use crate::ggml::GgmlType;
use crate::gguf::Gguf;
use crate::model::fixtures::small;
use crate::model::{Arch, Catalogue, FileMix, ModelShape, RopeScaling};

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
    let catalogue = [model("tiny-llama"), model("tiny-qwen2"), wide()];
    for shape in catalogue.into_iter().chain(Arch::ALL.iter().map(|&arch| small(arch))) {
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

/// Hears of progress and never breaks off.
fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_any_number_of_threads() {
    let shape = ModelShape { n_vocab: 9000, ..wide() };
    let written = |seed| write_model(&shape, FileMix::Q4_0, seed, Vec::new()).unwrap();
    for n in [1, 2, 7] {
        let mut s = Synthesis::new(&shape, FileMix::Q4_0, 5);
        s.n_threads = NonZero::new(n).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        // Nothing of what was there before stays.
        std::fs::write(&file, vec![1; 20_000_000]).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&file).map(|f| (f, file)).unwrap();
        s.write_file(&file.0, go_on).unwrap();
        assert!(std::fs::read(&file.1).unwrap() == written(5), "{n} threads");
    }
    assert!(written(5) != written(6));
}

#[test]
fn a_panic_while_writing_ends_the_threads_that_draw() {
    let shape = ModelShape { n_vocab: 40_000, ..wide() };
    let caught = std::panic::catch_unwind(|| {
        let s = Synthesis::new(&shape, FileMix::F32, 5);
        s.write_file(&tempfile::tempfile().unwrap(), |_, _| panic!("on purpose"))
    });
    assert!(caught.is_err());
}

#[test]
fn breaking_off_ends_the_writing_at_once() {
    let shape = ModelShape { n_vocab: 40_000, ..wide() };
    let s = Synthesis::new(&shape, FileMix::F32, 5);
    let mut heard = 0;
    let mut stop_at_third = |done: u64, total: u64| {
        assert!(done < total);
        heard += 1;
        if heard == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = s.write_file(&tempfile::tempfile().unwrap(), &mut stop_at_third).unwrap_err();
    assert!(matches!(error, SynthError::Interrupted));
    assert_eq!(heard, 3);
    let at_once = s.write(io::sink(), |_, _| ControlFlow::Break(())).map(drop);
    assert!(matches!(at_once, Err(SynthError::Interrupted)));
}

fn short_hash(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)[..4].iter().map(|b| format!("{b:02x}")).collect()
}

/// A change of these hashes is a change of what every synthetic number was measured on.
#[test]
fn the_bytes_of_a_version_never_change() {
    let file = |mix| short_hash(&write_model(&wide(), mix, 1, Vec::new()).unwrap());
    let files = [FileMix::F32, FileMix::F16, FileMix::BF16, FileMix::Q8_0, FileMix::Q4_0];
    let blocks = |&ty: &GgmlType| short_hash(&drawn(ty, 0.02, 1, 3 << 14));
    let blocks: Vec<String> = DRAWABLE_TYPES.iter().map(blocks).collect();
    assert_eq!(
        (SYNTH_VERSION, files.map(file).join(" ").as_str(), blocks.join(" ").as_str()),
        (
            2,
            "e04c2620 001f491b 381e757d 033bdc50 f1eac4a0",
            "e7a3887d 58650319 5a0ce21b bed69997 fd44925b abb79a87 4095ffbc b178308c \
             3c0b21ac 56885369 d7d0a357 a2229da5 5aebbef4 cedb3faf d400d87a"
        )
    );
}

/// `n` random values of a type.
fn drawn(ty: GgmlType, std: f32, seed: u64, n: u64) -> Vec<u8> {
    let mut bytes = vec![0; ty.bytes_for(n).unwrap() as usize];
    draw(&mut Stream::new(seed, "a", 0), ty, Fill::Spread(std), &mut bytes);
    bytes
}

/// Mean and root mean square.
fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n).sqrt())
}

#[test]
fn every_type_has_the_spread_asked_for_around_zero() {
    const N: u64 = 1 << 18;
    for &ty in DRAWABLE_TYPES {
        // From where the scales of Q8_0 become subnormal to where some are as large as allowed.
        for std in [0.0085f32, 0.02, 0.1, 1.0, 90.0] {
            let (mean, rms) = moments(&decode(ty, &drawn(ty, std, 1, N)));
            let gain = rms / f64::from(std);
            assert!((gain - 1.0).abs() < 0.02, "{ty} {std}: {gain}");
            // Quants of a block have its scale in common, and means far below it cannot matter.
            assert!(mean.abs() < 0.02 * f64::from(std), "{ty} {std}: mean {mean}");
        }
        for std in [1e-9, 1e-4, 1e4, 1e30] {
            assert!(decode(ty, &drawn(ty, std, 1, 1 << 12)).iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn parts_of_a_block_differ_in_spread_and_each_lies_around_zero() {
    for &ty in DRAWABLE_TYPES.iter().filter(|ty| ty.block_size() == 256) {
        let in_part = match ty {
            GgmlType::Q4_K | GgmlType::Q5_K | GgmlType::IQ4_XS => 32,
            _ => 16,
        };
        let values = decode(ty, &drawn(ty, 0.02, 1, 1 << 18));
        let parts: Vec<_> = values.chunks(in_part).map(moments).collect();
        let most = parts.iter().fold(0.0, |most: f64, part| most.max(part.1));
        let least = parts.iter().fold(f64::MAX, |least, part| least.min(part.1));
        assert!(most > 3.0 * least, "{ty}: {least} to {most}");
        // 1 for values around zero. A min that belongs to another part would multiply it.
        let off = |&(mean, rms): &(f64, f64)| in_part as f64 * (mean / rms).powi(2);
        let off = parts.iter().map(off).sum::<f64>() / parts.len() as f64;
        assert!(off < 2.0, "{ty}: {off}");
    }
}

#[test]
fn no_scale_and_no_value_is_subnormal_and_every_matrix_has_the_spread_meant() {
    let shape = ModelShape { n_vocab: 2000, ..wide() };
    for shape in [shape, model("tiny-qwen2")] {
        for mix in [FileMix::F32, FileMix::F16, FileMix::Q8_0, FileMix::Q4_0, FileMix::Q4_K_M] {
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
                    let allowed = 0.02 + 0.4 / (n / t.ty.block_size().max(32) as f64).sqrt();
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
            let g = Gguf::parse(s.write(Vec::new(), go_on).unwrap()).unwrap();
            for t in g.tensors() {
                assert!(decode(t.ty, g.data_of(t)).iter().all(|v| v.is_finite()));
            }
        }
    }
    let s = Synthesis { weight_scale: f32::NAN, ..Synthesis::new(&shape, FileMix::F16, 1) };
    assert!(s.write(Vec::new(), go_on).unwrap_err().to_string().contains("weight scale NaN"));
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
    assert!(error.contains("has 100 tokens, a synthetic tokenizer needs at least 260"), "{error}");
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
