//! Where the engines part: the first tensor, in the order of llama.cpp's graph and by its name there,
//! that is further off than logits may be.
//!
//! Held against each other are those rows of the last token that both engines have whatever they fuse
//! (`slmbench::engine::Waypoint`), and the logits. An earlier token that departs is seen where attention
//! brings it in.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use slmbench::engine::llama_cpp::LlamaCpp;
use slmbench::engine::{Engine, ReferenceEngine, Waypoint};
use slmbench::ggml::GgmlType;
use slmbench::gguf::Gguf;
use slmbench::model::{Arch, FileMix, ModelShape};
use slmbench::settings::{FlashAttn, Settings};

use super::{Case, N_PROMPT, feed, nmse, settings};
use crate::shapes::tiny;

/// The logits among the waypoints: as llama.cpp calls them.
const LOGITS: &str = "result_output";

/// A tensor that is too far off.
#[derive(Debug, PartialEq)]
struct Departing {
    name: String,
    error: f64,
}

/// A step: tokens of the prompt, and how many were decoded behind it.
pub type Step = (u32, usize);

/// What goes through `model` at `step`.
fn waypoints(
    engine: &dyn Engine,
    model: &Path,
    settings: &Settings,
    (n_prompt, n_decoded): Step,
) -> Vec<Waypoint> {
    let mut session = engine.load_traced(model, settings).unwrap();
    feed(&mut *session, (n_prompt, n_decoded as u32), |_| ());
    let mut all = session.waypoints();
    let row = session.logits().unwrap().to_vec();
    all.push(Waypoint { name: LOGITS.to_owned(), row });
    all
}

/// The same of both engines, of models of their own, llama.cpp with its plain kernels.
fn of_both([ours, theirs]: [&Path; 2], settings: &Settings, step: Step) -> [Vec<Waypoint>; 2] {
    let (us, them) = (ReferenceEngine::new().unwrap(), LlamaCpp::quiet().without_repacking());
    [waypoints(&us, ours, settings, step), waypoints(&them, theirs, settings, step)]
}

/// The first tensor of both engines that is off by more than `bound`.
fn first([ours, theirs]: &[Vec<Waypoint>; 2], bound: f64) -> Option<Departing> {
    let errors = theirs.iter().filter_map(|theirs| {
        let ours = ours.iter().find(|ours| ours.name == theirs.name)?;
        let error = nmse(&ours.row, &theirs.row);
        Some(Departing { name: theirs.name.clone(), error })
    });
    // What is no number is above every bound.
    errors.into_iter().find(|departing| departing.error > bound || departing.error.is_nan())
}

/// In words, for a test that has failed at `step`.
pub fn told(models: [&Path; 2], settings: &Settings, step: Step, bound: f64) -> String {
    match first(&of_both(models, settings, step), bound) {
        Some(Departing { name, error }) => {
            format!("the first tensor that departs is {name}, by {error:.2e}")
        }
        None => "with llama.cpp's plain kernels no tensor departs".to_owned(),
    }
}

/// Fails unless both engines tell of every layer, and agree on it within `bound`. Between the parts of
/// a layer there is nothing where they run side by side, and no name in llama.cpp's `phi3`.
#[track_caller]
pub fn agree_layer_by_layer(case: &Case, shape: &ModelShape, bound: f64) {
    let settings = settings([case.kv; 2], FlashAttn::Off);
    let both = of_both([&case.model; 2], &settings, (N_PROMPT, 1));
    let tells = |told: &[Waypoint], name: &str| told.iter().any(|waypoint| waypoint.name == name);
    for layer in 0..shape.n_layer {
        let [attention, between, end] =
            ["kqv_out", "ffn_inp", "l_out"].map(|name| format!("{name}-{layer}"));
        let is_between = tells(&both[0], &between) && shape.arch != Arch::Phi3;
        for name in
            [Some(attention), Some(between).filter(|_| is_between), Some(end)].iter().flatten()
        {
            for (engine, told) in ["built-in", "llama.cpp"].iter().zip(&both) {
                assert!(
                    tells(told, name),
                    "{}: the engine {engine} tells nothing of {name}",
                    case.name
                );
            }
        }
    }
    assert_eq!(first(&both, bound), None, "{}", case.name);
}

/// Turns the sign of one weight in a hundred of `tensor`, which is of single precision.
fn change(model: &Path, tensor: &str) {
    let file = Gguf::open(model).unwrap();
    let place = file.tensor(tensor).unwrap();
    let (offset, n) = (place.offset, place.n_elements());
    let mut bytes = file.tensor_data(tensor).unwrap().to_vec();
    drop(file);
    for i in (0..n as usize).step_by(100) {
        bytes[4 * i + 3] ^= 0x80;
    }
    File::options().write(true).open(model).unwrap().write_all_at(&bytes, offset).unwrap();
}

#[test]
fn a_weight_that_only_one_engine_has_is_named_by_the_tensor_behind_it() {
    let shape = tiny(Arch::Llama);
    let case = Case::new(&shape, 4, FileMix::F32, GgmlType::F32);
    let settings = settings([GgmlType::F32; 2], FlashAttn::Off);
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("changed.gguf");
    for (tensor, expected) in [
        ("token_embd.weight", "kqv_out-0"),
        ("blk.1.attn_v.weight", "kqv_out-1"),
        ("blk.2.attn_output.weight", "ffn_inp-2"),
        ("blk.2.ffn_down.weight", "l_out-2"),
        ("blk.3.ffn_norm.weight", "l_out-3"),
        ("output_norm.weight", LOGITS),
    ] {
        std::fs::copy(&case.model, &other).unwrap();
        change(&other, tensor);
        for step in [(N_PROMPT, 0), (N_PROMPT, 3)] {
            let both = of_both([&case.model, &other], &settings, step);
            let departing = first(&both, 1e-9).unwrap();
            assert_eq!(departing.name, expected, "{tensor}, step {step:?}");
            assert!(departing.error > 1e-4, "{tensor}: {departing:?}");
            let said = told([&case.model, &other], &settings, step, 1e-9);
            assert!(said.starts_with(&format!("the first tensor that departs is {expected}, by ")));
        }
    }
}
