//! What cells are expected to cost where none like them was measured here: from the newest probe that a
//! run of this machine holds.

use std::path::Path;

use super::engines::EngineEntry;
use super::resume::earlier_runs;
use crate::plan::{Cost, Expected};
use crate::report::class_for;
use crate::roofline::{Book, Machine, Pass, Phase, Prediction, Task};
use crate::sensors::HostFacts;
use crate::settings::FlashAttn;

/// Start and end of a child, seconds.
const START: f64 = 0.3;

/// Costs by the runs in `reports`; `None` where none of this machine has a probe. `n_threads` is what
/// `auto` stands for.
pub fn costs(
    reports: &Path,
    host: &HostFacts,
    engines: &[EngineEntry],
    n_threads: u32,
) -> Option<Expected> {
    let probe = earlier_runs(reports, host).rev().find_map(|(_, info)| info.probe)?;
    let book = Book::built_in().ok()?;
    let class = class_for(&probe, engines.iter().filter_map(|entry| entry.info.as_ref()));
    Some(Expected::new(move |cell, shape, tensors| {
        let settings = &cell.settings;
        let machine = Machine::of(&probe, settings.n_threads.unwrap_or(n_threads), Some(&class))?;
        let known = book.find(&cell.engine, &class).ok()?;
        let pass = Pass {
            n_prompt: cell.n_prompt,
            n_gen: cell.n_gen,
            n_depth: cell.n_depth,
            n_ubatch: settings.n_ubatch.min(settings.n_batch),
            type_k: settings.type_k,
            type_v: settings.type_v,
            flash_attn: settings.flash_attn != FlashAttn::Off,
        };
        let arch = shape.arch.name();
        let by_token = |phase, pass: &Pass| {
            let task = Task::new(phase, shape, tensors, pass)?;
            let prediction = Prediction::new(&task, arch, &machine, &known);
            Some(prediction.time_s() / f64::from(prediction.n_tokens))
        };
        // The cache is filled to its depth before the first pass.
        let filling = Pass { n_prompt: cell.n_depth, n_depth: 0, ..pass };
        let filling_s = by_token(Phase::Prefill, &filling).unwrap_or(0.0) * f64::from(cell.n_depth);
        let bytes: u64 = tensors.iter().filter_map(|(t, ty)| ty.bytes_for(t.n_elements())).sum();
        Some(Cost {
            setup_s: START + bytes as f64 / machine.ceilings.read_bytes_per_s + filling_s,
            prefill_s_per_token: by_token(Phase::Prefill, &pass).unwrap_or(0.0),
            decode_s_per_token: by_token(Phase::Decode, &pass).unwrap_or(0.0),
        })
    }))
}
