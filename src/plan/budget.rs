//! Making a plan fit a time: fewer repetitions first, then shorter prompts and generations.
//! Whatever is changed is said.

use std::collections::BTreeMap;

use super::cell::{Cell, CellId};
use super::layout::{PROFILE_REPETITIONS, Wanted};
use super::selection::{Cost, Facts, SpeedGuess};
use crate::units::Nanos;

/// Repetitions are not lowered below this.
const LEAST_REPETITIONS: u32 = 2;
/// Prompts are not shortened below this.
const LEAST_PROMPT: u32 = 32;
/// Generations are not shortened below this.
const LEAST_GEN: u32 = 8;

/// Changes the cells until they fit, and says how, a line for each kind of change.
pub(super) fn fit(wanted: &mut Vec<Wanted>, budget: Nanos, facts: &Facts) -> Vec<String> {
    let costs: Vec<Cost> = wanted.iter().map(|want| cost(want, &facts.guess)).collect();
    let limit_s = budget.as_s();
    let as_time = |seconds: f64| Nanos((seconds * 1e9) as u64).to_string();
    let before_s = total_s(wanted, &costs);
    if before_s <= limit_s {
        return Vec::new();
    }
    let mut notes =
        vec![format!("the budget is {budget}, the suite takes about {}", as_time(before_s))];
    if wanted.iter().any(|want| want.planned.cost.is_none()) {
        notes.push(
            "no earlier run measured all of it here: its time is guessed from the models' size"
                .to_owned(),
        );
    } else if wanted.iter().any(|want| want.planned.is_expected) {
        notes.push(
            "no earlier run measured all of it here: its time is expected from the probe of one"
                .to_owned(),
        );
    }
    lower_repetitions(wanted, &costs, limit_s, &mut notes);
    if total_s(wanted, &costs) > limit_s {
        shorten(wanted, &costs, limit_s, &mut notes);
    }
    let after_s = total_s(wanted, &costs);
    if after_s <= limit_s {
        notes.push(format!("it now takes about {}", as_time(after_s)));
    } else {
        let after = as_time(after_s);
        notes.push(format!("even the smallest plan takes about {after}: it runs all the same"));
        notes.push("hint: fewer invocations, models or engines make it fit".to_owned());
    }
    *wanted = merged(std::mem::take(wanted));
    notes
}

/// What an invocation costs: as measured here or expected, else guessed.
fn cost(want: &Wanted, speed: &SpeedGuess) -> Cost {
    want.planned.cost.or_else(|| guess(want, speed)).unwrap_or_default()
}

/// What an invocation may cost by the size of its model; of an engine that reads none nothing is known.
pub(super) fn guess(want: &Wanted, speed: &SpeedGuess) -> Option<Cost> {
    let predicted = want.planned.predicted?;
    let shape = want.weights.shape.as_ref();
    let n_params = shape.map_or(want.weights.bytes, |shape| shape.n_params());
    let flops = 2.0 * n_params as f64;
    let streamed = (predicted.weight_bytes + predicted.kv_bytes) as f64;
    let prefill_s_per_token = flops / speed.flops_per_s;
    Some(Cost {
        setup_s: 0.3
            + predicted.weight_bytes as f64 / speed.bytes_per_s
            + f64::from(want.planned.cell.n_depth) * prefill_s_per_token,
        prefill_s_per_token,
        decode_s_per_token: streamed / speed.bytes_per_s,
    })
}

fn total_s(wanted: &[Wanted], costs: &[Cost]) -> f64 {
    wanted
        .iter()
        .zip(costs)
        .map(|(want, cost)| {
            cost.invocation_s(&want.planned.cell) * f64::from(want.planned.invocations)
        })
        .sum()
}

/// The most repetitions with which everything fits, the same for every cell that has more.
fn lower_repetitions(wanted: &mut [Wanted], costs: &[Cost], limit_s: f64, notes: &mut Vec<String>) {
    let most = wanted.iter().map(|want| want.planned.cell.repetitions).max().unwrap_or(0);
    if most <= LEAST_REPETITIONS {
        return;
    }
    let with = |n: u32| -> Vec<Wanted> {
        let mut fewer = wanted.to_vec();
        for want in &mut fewer {
            let cell = &mut want.planned.cell;
            // The interval of a profile's pairs needs its five.
            let least = if cell.profile { PROFILE_REPETITIONS } else { 0 };
            cell.repetitions = cell.repetitions.min(n.max(least));
        }
        fewer
    };
    // The total only rises with the repetitions, so the border can be searched by halves.
    let (mut fits, mut too_many) = (LEAST_REPETITIONS, most);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if total_s(&with(middle), costs) <= limit_s { fits = middle } else { too_many = middle }
    }
    wanted.clone_from_slice(&with(fits));
    notes.push(format!("repetitions: {fits} instead of {most}"));
}

/// Halves lengths, all by the same factor, until everything fits or nothing can be halved.
fn shorten(wanted: &mut [Wanted], costs: &[Cost], limit_s: f64, notes: &mut Vec<String>) {
    let original: Vec<(u32, u32)> =
        wanted.iter().map(|want| (want.planned.cell.n_prompt, want.planned.cell.n_gen)).collect();
    let shortest =
        |(n_prompt, n_gen): &(u32, u32)| *n_prompt <= LEAST_PROMPT && *n_gen <= LEAST_GEN;
    for halvings in 1..32 {
        for (want, (n_prompt, n_gen)) in wanted.iter_mut().zip(&original) {
            let cell = &mut want.planned.cell;
            cell.n_prompt = (n_prompt >> halvings).max(LEAST_PROMPT.min(*n_prompt));
            cell.n_gen = (n_gen >> halvings).max(LEAST_GEN.min(*n_gen));
        }
        let now = wanted.iter().map(|w| (w.planned.cell.n_prompt, w.planned.cell.n_gen));
        if total_s(wanted, costs) <= limit_s || now.collect::<Vec<_>>().iter().all(shortest) {
            break;
        }
    }
    let mut changes: Vec<String> = Vec::new();
    for (want, (n_prompt, n_gen)) in wanted.iter().zip(&original) {
        let cell = &want.planned.cell;
        for (axis, before, after) in
            [("n_prompt", *n_prompt, cell.n_prompt), ("n_gen", *n_gen, cell.n_gen)]
        {
            let change = format!("{axis}: {after} instead of {before}");
            if before != after && !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    changes.sort();
    notes.extend(changes);
}

/// The cells with the ids and the memory of what they became; those that became equal are one.
fn merged(wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut kept: Vec<Wanted> = Vec::new();
    let mut at: BTreeMap<CellId, usize> = BTreeMap::new();
    for mut want in wanted {
        let cell: &mut Cell = &mut want.planned.cell;
        cell.id = cell.compute_id();
        if let (Some(_), Some(terms)) = (&want.planned.predicted, want.terms) {
            want.planned.predicted = want.weights.predict(cell, terms);
        }
        match at.get(&cell.id) {
            Some(&i) => {
                let first = &mut kept[i].planned;
                first.invocations = first.invocations.max(want.planned.invocations);
                first.cell.repetitions = first.cell.repetitions.max(cell.repetitions);
                first.cell.warmup = first.cell.warmup.max(cell.warmup);
                first.cell.timeout_s = first.cell.timeout_s.max(cell.timeout_s);
            }
            None => {
                at.insert(cell.id.clone(), kept.len());
                kept.push(want);
            }
        }
    }
    kept
}
