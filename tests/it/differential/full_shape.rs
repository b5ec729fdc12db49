//! The smallest real model of each architecture at its full shape: `scripts/test --full`.
//!
//! What reduced shapes cannot show: widths, depths and vocabularies as they are, and that memory is
//! what was foretold. Weights are Q4_0: of the types that both engines round alike the one with the
//! smallest files, so that every architecture's fits, and with a head in Q6_K. Files are written to
//! the folder for temporary ones, one at a time where tests run one at a time, and removed.
//!
//! The bound on the logits is that of deep models: twice what llama.cpp with flash attention is off
//! from itself without. OPT and Galactica are in `papers`.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use slmbench::engine::llama_cpp::LlamaCpp;
use slmbench::engine::{Allocated, Engine, ReferenceEngine};
use slmbench::memory;
use slmbench::model::{Arch, Catalogue, FileMix, ModelShape};
use slmbench::settings::{Auto, FlashAttn, LoadMode, Settings};
use slmbench::synth::Synthesis;

use super::{departing, feed, worst};

const MIX: FileMix = FileMix::Q4_0;

/// None is larger: a model that would be wants another of its architecture, or another type.
const MOST_BYTES: u64 = 3 << 30;

const N_PROMPT: u32 = 33;
const N_DECODE: u32 = 4;

/// What an engine made of a model: its logits, and what it took for it.
struct Ran {
    logits: Vec<Vec<f32>>,
    taken: Allocated,
}

fn run(engine: &dyn Engine, model: &Path, settings: &Settings) -> Ran {
    let planned = engine.plan(model, settings).unwrap().unwrap().buffers;
    let mut session = engine.load(model, settings).unwrap();
    let taken = session.allocated().unwrap();
    assert_eq!(planned, taken, "what was foretold and what was taken");
    let mut logits = Vec::new();
    feed(&mut *session, (N_PROMPT, N_DECODE), |session| {
        logits.push(session.logits().unwrap().to_vec());
    });
    Ran { logits, taken }
}

fn settings(flash_attn: FlashAttn) -> Settings {
    Settings {
        n_threads: Auto::Fixed(2),
        n_ctx: Auto::Fixed(256),
        n_ubatch: 32,
        flash_attn,
        load_mode: LoadMode::None,
        backend_device: "cpu".to_owned(),
        ..Settings::default()
    }
}

/// The model of `arch` in the catalogue with the fewest parameters, but for those made for tests.
fn smallest(arch: Arch) -> ModelShape {
    let catalogue = Catalogue::built_in().unwrap();
    let real = catalogue.shapes().filter(|m| m.arch == arch && !m.name.starts_with("tiny-"));
    real.min_by_key(|shape| MIX.weight_bytes(shape)).unwrap().clone()
}

/// Fails unless the smallest model of `arch` gives the logits of llama.cpp and takes the memory that
/// was foretold of it.
#[track_caller]
fn check(arch: Arch) {
    let shape = smallest(arch);
    let (name, bytes) = (&shape.name, MIX.weight_bytes(&shape));
    let gib = bytes as f64 / f64::from(1 << 30);
    assert!(bytes <= MOST_BYTES, "{arch}: {name} has {gib:.1} GiB in {MIX}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let file = File::create(&path).unwrap();
    let written =
        Synthesis::new(&shape, MIX, 7).write_file(&file, |_, _| ControlFlow::Continue(()));
    written.unwrap();

    let (plain, flash) = (settings(FlashAttn::Off), settings(FlashAttn::On));
    let ours = run(&ReferenceEngine::new().unwrap(), &path, &plain);
    let llama_cpp = LlamaCpp::quiet().without_repacking();
    let theirs = run(&llama_cpp, &path, &plain);
    let own = worst(&run(&llama_cpp, &path, &flash).logits, &theirs.logits).0;
    assert!(own < 1e-2, "{name}: {own:.2e} is no yardstick");
    let (error, step) = worst(&ours.logits, &theirs.logits);
    println!("{arch}: {name}, {gib:.1} GiB in {MIX}: {error:.0e}, llama.cpp to itself {own:.0e}");
    assert!(
        error <= 2.0 * own,
        "{name}: error {error:.2e} at step {step}, llama.cpp differs from itself by {own:.2e}; {}",
        departing::told([&path; 2], &plain, (N_PROMPT, step), 2.0 * own)
    );

    // From the shape alone: to the byte of the built-in engine, within its formulas of llama.cpp.
    let foretold = memory::predict_built_in(&shape, &MIX.tensors(&shape), &plain, 256);
    let taken = &ours.taken;
    assert_eq!(foretold.weight_bytes, taken.weight_bytes, "{name}");
    assert_eq!(foretold.kv_bytes, taken.kv_bytes, "{name}");
    assert_eq!(foretold.compute_bytes, taken.compute_bytes, "{name}");
    assert_eq!(foretold.output_bytes, taken.output_bytes, "{name}");
    let foretold = memory::predict(bytes, &shape, &plain, 256);
    let taken = &theirs.taken;
    assert_eq!(foretold.kv_bytes, taken.kv_bytes, "{name}");
    assert_eq!(foretold.output_bytes, taken.output_bytes, "{name}");
    // Each tensor begins at a multiple of 32 bytes.
    let padding = 32 * MIX.tensors(&shape).len() as u64;
    let weights = foretold.weight_bytes..=foretold.weight_bytes + padding;
    assert!(weights.contains(&taken.weight_bytes), "{name}: {weights:?}, {taken:?}");
}

test_each_architecture!(
    #[ignore = "gigabytes of files: scripts/test --full"]
    check
);
