//! Predictions as a whole: what must hold whatever the coefficients, and that fits find what is there.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::coefficients::{Book, Coefficients, Fit, Known, Spread};
use super::*;
use crate::ggml::GgmlType;
use crate::model::{Catalogue, FileMix, ModelShape};
use crate::probe::{Number, Probe, Unit};

fn machine(bandwidth: f64, peak: f64) -> Machine {
    let peaks = [(Number::Int8, 4.0), (Number::Bf16, 2.0), (Number::F16, 1.0), (Number::F32, 1.0)];
    Machine {
        ceilings: Ceilings {
            n_threads: 2,
            read_bytes_per_s: bandwidth,
            cache_bytes_per_s: None,
            ops_per_s: peaks.map(|(number, factor)| (number, factor * peak)).into(),
        },
        fork_join_s: 1e-7,
        class: "avx512_vnni".to_owned(),
    }
}

fn pass(n_prompt: u32, n_depth: u32) -> Pass {
    let f16 = GgmlType::F16;
    let (type_k, type_v) = (f16, f16);
    Pass { n_prompt, n_gen: 32, n_depth, n_ubatch: 512, type_k, type_v, flash_attn: true }
}

fn shape(name: &str) -> ModelShape {
    Catalogue::built_in().unwrap().get(name).unwrap().clone()
}

fn task(phase: Phase, name: &str, mix: FileMix, pass: &Pass) -> Task {
    let shape = shape(name);
    Task::new(phase, &shape, &mix.tensors(&shape), pass).unwrap()
}

fn prior() -> Coefficients {
    Book::built_in().unwrap().prior("llama-cpp", "any").unwrap().coefficients.clone()
}

fn seconds(task: &Task, machine: &Machine) -> f64 {
    parts(task, machine, &prior()).total_s()
}

#[test]
fn what_comes_with_the_program_can_be_read_and_knows_both_engines() {
    let book = Book::built_in().unwrap();
    for engine in ["llama-cpp", "reference", "reference:avx2"] {
        for class in ["avx2", "avx512_vnni", AMX, "dotprod", "plain"] {
            let known = book.find(engine, class).unwrap().coefficients;
            for phase in Phase::BOTH {
                let types = &known.phase(phase).weights;
                for mix in FileMix::ALL {
                    assert!(types.contains_key(&mix.base_type()), "{engine} {phase:?} {mix}");
                }
            }
        }
    }
    let error = book.find("vllm", "avx2").unwrap_err().to_string();
    assert!(error.contains("vllm") && error.contains("llama-cpp, reference"), "{error}");
}

#[test]
fn a_coefficient_that_cannot_be_is_named() {
    let text = toml::to_string(&Book::built_in().unwrap()).unwrap();
    let broken = text.replacen("memory = ", "memory = -", 1);
    let error = Book::parse(&broken).unwrap_err().to_string();
    assert!(error.contains("`memory` is -"), "{error}");
}

#[test]
fn the_class_is_what_multiplies_bytes() {
    let probe: Probe = serde_json::from_str(include_str!("../../tests/data/probe.json")).unwrap();
    assert_eq!(class_of(&probe), "avx512_vnni");
    let known = Machine::of(&probe, 2, None).unwrap();
    assert_eq!((known.class.as_str(), known.ceilings.read_bytes_per_s), ("avx512_vnni", 36.63e9));
    assert_eq!(Machine::of(&probe, 2, Some(AMX)).unwrap().class, AMX);
    assert_eq!(Machine::of(&probe, 3, None), None, "three threads were not probed");
    let mut with_tiles = probe.clone();
    let mut tiles = probe.peaks[1].clone();
    tiles.instructions = "amx_int8 tdpbusd".to_owned();
    tiles.unit = Unit::Tiles;
    tiles.ops_per_s.best = 4e12;
    with_tiles.peaks.insert(0, tiles);
    assert_eq!(class_of(&with_tiles), AMX);
    let peaks = |probe| Machine::of(probe, 2, None).unwrap().ceilings.ops_per_s;
    assert_eq!(peaks(&with_tiles), peaks(&probe), "coefficients are shares of what vectors reach");
}

#[test]
fn large_models_wait_for_memory_small_ones_for_their_threads_prompts_for_arithmetic() {
    let slow_memory = machine(5e9, 4e11);
    let binds = |phase, name, machine: &Machine| {
        parts(&task(phase, name, FileMix::F16, &pass(512, 0)), machine, &prior()).binds().0
    };
    assert_eq!(binds(Phase::Decode, "Llama-3.2-1B", &slow_memory), Binds::Memory);
    assert_eq!(binds(Phase::Prefill, "Llama-3.2-1B", &slow_memory), Binds::Compute);
    let slow_threads = Machine { fork_join_s: 1e-4, ..machine(5e10, 4e11) };
    assert_eq!(binds(Phase::Decode, "SmolLM2-135M", &slow_threads), Binds::Overhead);
}

#[test]
fn bytes_are_shared_out_among_the_types_without_loss() {
    let of = pass(700, 0);
    let shape = shape("SmolLM2-135M");
    let tensors = FileMix::Q4_K_M.tensors(&shape);
    let call =
        Call { n_tokens: 700, n_past: 0, n_ubatch: 512, type_k: of.type_k, type_v: of.type_v };
    let work = Work::new(&shape, &tensors, call);
    let task = Task::new(Phase::Prefill, &shape, &tensors, &of).unwrap();
    let read = task.bytes() / work.bytes() as f64;
    assert!((read - 1.0).abs() < 1e-9, "{read}");
}

#[test]
fn a_pass_without_a_phase_has_no_task_for_it() {
    let shape = shape("SmolLM2-135M");
    let tensors = FileMix::Q8_0.tensors(&shape);
    let none = Pass { n_gen: 0, ..pass(0, 0) };
    assert!(Phase::BOTH.iter().all(|phase| Task::new(*phase, &shape, &tensors, &none).is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn more_to_do_is_never_faster_and_a_better_machine_never_slower(
        n_prompt in 1u32..2000, more in 1u32..2000, n_depth in 0u32..8000,
        bandwidth in 1e9..2e11, peak in 1e10..1e12, better in 1.0..10.0,
    ) {
        let (model, mix) = ("SmolLM2-135M", FileMix::Q4_K_M);
        let here = machine(bandwidth, peak);
        for phase in Phase::BOTH {
            let now = seconds(&task(phase, model, mix, &pass(n_prompt, n_depth)), &here);
            let deeper = seconds(&task(phase, model, mix, &pass(n_prompt, n_depth + more)), &here);
            let longer = seconds(&task(phase, model, mix, &pass(n_prompt + more, n_depth)), &here);
            prop_assert!(now > 0.0 && now <= deeper && now <= longer);
            let fits = task(phase, model, mix, &pass(n_prompt, n_depth));
            prop_assert!(seconds(&fits, &machine(bandwidth * better, peak)) <= now);
            prop_assert!(seconds(&fits, &machine(bandwidth, peak * better)) <= now);
            let mut heavier = fits.clone();
            heavier.products.values_mut().for_each(|product| product.bytes *= better);
            prop_assert!(seconds(&heavier, &here) >= now);
        }
    }

    #[test]
    fn an_interval_holds_its_value_and_is_wider_where_nobody_has_been(
        q10 in 0.3..1.3, q90 in 0.8..3.0, n_cells in 0usize..40,
    ) {
        let spread = Spread { n_cells, types: [GgmlType::Q8_0].into(), median: 0.1, q10, q90 };
        let fit = Fit {
            engine: "llama-cpp".into(),
            class: "avx512_vnni".into(),
            machines: vec![],
            date: "2026-11-26".into(),
            models: vec![],
            archs: BTreeSet::from(["llama".to_owned()]),
            prefill_error: spread.clone(),
            decode_error: spread,
            coefficients: prior(),
        };
        let known = Known { coefficients: &fit.coefficients, fit: Some(&fit) };
        let here = machine(3e10, 2e11);
        let of = |mix, arch: &str| {
            let task = task(Phase::Decode, "SmolLM2-135M", mix, &pass(8, 0));
            Prediction::new(&task, arch, &here, &known)
        };
        for prediction in [of(FileMix::Q8_0, "llama"), of(FileMix::Q4_0, "llama")] {
            let (low, high) = prediction.interval_s;
            prop_assert!(low <= prediction.time_s() && prediction.time_s() <= high);
        }
        let width = |p: &Prediction| p.interval_s.1 / p.interval_s.0;
        let met = width(&of(FileMix::Q8_0, "llama"));
        prop_assert!(met <= width(&of(FileMix::Q8_0, "bloom")) + 1e-9);
        prop_assert!(met <= width(&of(FileMix::Q4_0, "llama")) + 1e-9);
    }
}

/// Cells of models and mixes that take what `truth` says, but for noise of a few percent.
fn cells(truth: &Coefficients, noise: f64) -> Vec<Observation> {
    let models = ["SmolLM2-135M", "Qwen2.5-0.5B", "Pythia-160M", "Llama-3.2-1B", "SmolLM2-360M"];
    let mixes = [FileMix::F16, FileMix::Q8_0, FileMix::Q4_0, FileMix::Q4_K_M];
    let mut cells = Vec::new();
    for model in models {
        for mix in mixes {
            for n_depth in [0, 1024] {
                for phase in Phase::BOTH {
                    let machine = machine(3e10, 2.3e11);
                    let task = task(phase, model, mix, &pass(128, n_depth));
                    // From cell to cell up and down, the same in every test.
                    let sway = [1.0, -0.6, 0.2, -0.9, 0.5, -0.2, 0.8][cells.len() % 7] * noise;
                    let time_s = parts(&task, &machine, truth).total_s() * (1.0 + sway);
                    cells.push(Observation { model: model.to_owned(), task, machine, time_s });
                }
            }
        }
    }
    cells
}

/// Others than the prior's.
fn truth() -> Coefficients {
    let mut truth = prior();
    truth.memory *= 1.2;
    truth.step_us *= 2.5;
    for (i, share) in truth.prefill.weights.values_mut().enumerate() {
        *share *= 0.7 + 0.05 * (i % 7) as f64;
    }
    truth.decode.weights.values_mut().for_each(|share| *share *= 0.8);
    truth.decode.attention *= 1.6;
    truth
}

fn worst(predicted_s: &[f64], cells: &[Observation]) -> f64 {
    let errors = predicted_s.iter().zip(cells).map(|(p, cell)| (cell.time_s / p - 1.0).abs());
    errors.fold(0.0, f64::max)
}

#[test]
fn what_cells_were_made_with_is_found_again() {
    let cells = cells(&truth(), 0.0);
    let found = fit(&prior(), &cells.iter().collect::<Vec<_>>());
    let again: Vec<f64> =
        cells.iter().map(|c| parts(&c.task, &c.machine, &found).total_s()).collect();
    assert!(worst(&again, &cells) < 0.02, "{}", worst(&again, &cells));
    let share = |of: &Coefficients, ty| of.prefill.weights[&ty];
    for ty in [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4_0] {
        let ratio = share(&found, ty) / share(&truth(), ty);
        assert!((ratio - 1.0).abs() < 0.1, "{ty}: {ratio}");
    }
}

#[test]
fn a_model_is_predicted_by_the_others() {
    let cells = cells(&truth(), 0.03);
    let predicted = leave_one_model_out(&prior(), &cells);
    for phase in Phase::BOTH {
        let spread = spread(phase, &cells, &predicted).unwrap();
        assert_eq!(spread.n_cells, 40);
        assert!(spread.median < 0.05 && spread.q10 > 0.9 && spread.q90 < 1.1, "{spread:?}");
    }
    // Noise that is the same everywhere would be no test.
    assert!(worst(&predicted, &cells) > 0.001);
}

#[test]
fn a_cell_that_is_far_off_moves_the_others_little() {
    let mut cells = cells(&truth(), 0.0);
    cells[1].time_s *= 10.0;
    let found = fit(&prior(), &cells.iter().collect::<Vec<_>>());
    let others: Vec<Observation> = cells.drain(2..).collect();
    let again: Vec<f64> =
        others.iter().map(|c| parts(&c.task, &c.machine, &found).total_s()).collect();
    assert!(worst(&again, &others) < 0.15, "{}", worst(&again, &others));
}

#[test]
fn types_that_no_cell_has_move_with_their_kin_and_without_cells_nothing_moves() {
    assert_eq!(fit(&prior(), &[]), prior());
    let mut faster = prior();
    faster.prefill.weights.values_mut().for_each(|share| *share *= 1.5);
    let cells = cells(&faster, 0.0);
    let found = fit(&prior(), &cells.iter().collect::<Vec<_>>());
    let moved = found.prefill.weights[&GgmlType::Q3_K] / prior().prefill.weights[&GgmlType::Q3_K];
    assert!((1.15..1.5).contains(&moved), "{moved}");
    assert_eq!(found, fit(&prior(), &cells.iter().collect::<Vec<_>>()), "the same each time");
}
