//! From measured times to coefficients, and how well a model is predicted by the others.
//!
//! Fitted are factors on a prior, as logarithms, so none becomes negative; deviations of logarithms
//! are made small, those beyond a bound counting no more than in proportion (Huber 1964). Every factor
//! is pulled towards 1, so that what no cell speaks of stays what the prior says, moved along with its
//! kin: types of floats, and quantised types, share a factor. Deterministic: from the prior on, Gauss
//! and Newton's steps with Levenberg's damping.

use std::collections::{BTreeMap, BTreeSet};

use super::coefficients::{Coefficients, PhaseCoefficients, Spread};
use super::predict::{Machine, parts};
use super::task::{Phase, Task};
use crate::ggml::GgmlType;
use crate::stats::{median, quantile};

/// A time that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The model.
    pub model: String,
    /// What was to be done.
    pub task: Task,
    /// Where.
    pub machine: Machine,
    /// Seconds it took.
    pub time_s: f64,
}

/// How uncertain a coefficient is before anything was measured, as a factor's logarithm.
const MEMORY: f64 = 0.3;
const STEP: f64 = 1.0;
const TOUCHED: f64 = 0.7;
const ATTENTION: f64 = 0.7;
const KIN_PREFILL: f64 = 0.3;
const KIN_DECODE: f64 = 0.5;
const TYPE: f64 = 0.5;
/// How far a cell is expected from what the model says, as a factor's logarithm; deviations beyond
/// `BOUND` times that count in proportion only.
const NOISE: f64 = 0.1;
const BOUND: f64 = 2.0;

/// A coefficient that is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Factor {
    Memory,
    Step,
    Touched,
    Attention(Phase),
    AttentionPlain(Phase),
    AttentionQuantised(Phase),
    /// Of all types of floats, or of all quantised ones.
    Kin(Phase, bool),
    Weights(Phase, GgmlType),
}

impl Factor {
    fn uncertainty(self) -> f64 {
        match self {
            Factor::Memory => MEMORY,
            Factor::Step => STEP,
            Factor::Touched => TOUCHED,
            Factor::Attention(_) | Factor::AttentionPlain(_) | Factor::AttentionQuantised(_) => {
                ATTENTION
            }
            Factor::Kin(Phase::Prefill, _) => KIN_PREFILL,
            Factor::Kin(Phase::Decode, _) => KIN_DECODE,
            Factor::Weights(..) => TYPE,
        }
    }
}

fn is_float(ty: GgmlType) -> bool {
    ty.block_size() == 1
}

/// The factors of which `cells` say anything.
fn factors(cells: &[&Observation]) -> Vec<Factor> {
    let mut found = BTreeSet::from([Factor::Memory, Factor::Step, Factor::Touched]);
    for Observation { task, .. } in cells {
        let phase = task.phase;
        found.insert(match (task.quantised_cache, task.flash_attn) {
            (true, _) => Factor::AttentionQuantised(phase),
            (false, true) => Factor::Attention(phase),
            (false, false) => Factor::AttentionPlain(phase),
        });
        for ty in task.products.keys() {
            found.insert(Factor::Kin(phase, is_float(*ty)));
            found.insert(Factor::Weights(phase, *ty));
        }
    }
    found.into_iter().collect()
}

/// `prior` with every factor applied.
fn applied(prior: &Coefficients, factors: &[Factor], logs: &[f64]) -> Coefficients {
    let by: BTreeMap<Factor, f64> = factors.iter().copied().zip(logs.iter().copied()).collect();
    let of = |factor: Factor| by.get(&factor).copied().unwrap_or(0.0);
    let phase = |phase: Phase| {
        let before = prior.phase(phase);
        let weights = before.weights.iter().map(|(ty, share)| {
            let log = of(Factor::Kin(phase, is_float(*ty))) + of(Factor::Weights(phase, *ty));
            (*ty, share * log.exp())
        });
        PhaseCoefficients {
            attention: before.attention * of(Factor::Attention(phase)).exp(),
            attention_plain: before.attention_plain * of(Factor::AttentionPlain(phase)).exp(),
            attention_quantised: before.attention_quantised
                * of(Factor::AttentionQuantised(phase)).exp(),
            weights: weights.collect(),
        }
    };
    Coefficients {
        memory: prior.memory * of(Factor::Memory).exp(),
        step_us: prior.step_us * of(Factor::Step).exp(),
        touched: prior.touched * of(Factor::Touched).exp(),
        prefill: phase(Phase::Prefill),
        decode: phase(Phase::Decode),
    }
}

/// The coefficients that explain `cells` best, starting from `prior`.
pub fn fit(prior: &Coefficients, cells: &[&Observation]) -> Coefficients {
    let factors = factors(cells);
    let weight: Vec<f64> = factors.iter().map(|f| 1.0 / f.uncertainty().powi(2)).collect();
    let deviations = |logs: &[f64]| -> Vec<f64> {
        let coefficients = applied(prior, &factors, logs);
        let of = |cell: &&Observation| deviation(cell, &coefficients) / NOISE;
        cells.iter().map(of).collect()
    };
    let cost = |logs: &[f64], deviations: &[f64]| -> f64 {
        let pull: f64 = logs.iter().zip(&weight).map(|(log, w)| w * log * log).sum();
        pull + deviations.iter().map(|d| huber(*d)).sum::<f64>()
    };
    let mut logs = vec![0.0; factors.len()];
    let mut now = deviations(&logs);
    let mut damping = 1e-3;
    for _ in 0..MOST_STEPS {
        let columns: Vec<Vec<f64>> = (0..logs.len())
            .map(|i| {
                let mut moved = logs.clone();
                moved[i] += NUDGE;
                let moved = deviations(&moved);
                moved.iter().zip(&now).map(|(a, b)| (a - b) / NUDGE).collect()
            })
            .collect();
        let counts: Vec<f64> = now.iter().map(|d| (BOUND / d.abs()).min(1.0)).collect();
        let dot = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).zip(&counts).map(|((a, b), count)| a * b * count).sum()
        };
        let (before, mut improved) = (cost(&logs, &now), false);
        for _ in 0..MOST_TRIES {
            let matrix: Vec<Vec<f64>> = (0..logs.len())
                .map(|i| {
                    let mut row: Vec<f64> =
                        columns.iter().map(|column| dot(&columns[i], column)).collect();
                    row[i] += weight[i] * (1.0 + damping);
                    row[i] *= 1.0 + damping;
                    row
                })
                .collect();
            let target: Vec<f64> =
                (0..logs.len()).map(|i| -dot(&columns[i], &now) - weight[i] * logs[i]).collect();
            let step = solve(matrix, target);
            let next: Vec<f64> = logs.iter().zip(&step).map(|(log, s)| log + s).collect();
            let moved = deviations(&next);
            if cost(&next, &moved) < before {
                (logs, now, improved) = (next, moved, true);
                damping = (damping / 10.0).max(1e-9);
                break;
            }
            damping *= 10.0;
        }
        if !improved || before - cost(&logs, &now) < 1e-9 * before {
            break;
        }
    }
    applied(prior, &factors, &logs)
}

const MOST_STEPS: usize = 60;
const MOST_TRIES: usize = 12;
const NUDGE: f64 = 1e-5;

/// ln(predicted ÷ measured).
fn deviation(cell: &Observation, coefficients: &Coefficients) -> f64 {
    (parts(&cell.task, &cell.machine, coefficients).total_s() / cell.time_s).ln()
}

fn huber(deviation: f64) -> f64 {
    let size = deviation.abs();
    if size <= BOUND { size * size } else { BOUND * (2.0 * size - BOUND) }
}

/// The solution of a system whose matrix is symmetric and positive definite (Cholesky).
fn solve(mut matrix: Vec<Vec<f64>>, mut target: Vec<f64>) -> Vec<f64> {
    let n = target.len();
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - dot;
            matrix[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / matrix[j][j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| matrix[i][k] * target[k]).sum();
        target[i] = (target[i] - dot) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| matrix[k][i] * target[k]).sum();
        target[i] = (target[i] - dot) / matrix[i][i];
    }
    target
}

/// For each cell the time that coefficients say which were fitted without any cell of its model.
pub fn leave_one_model_out(prior: &Coefficients, cells: &[Observation]) -> Vec<f64> {
    let models: BTreeSet<&str> = cells.iter().map(|cell| cell.model.as_str()).collect();
    let fits: BTreeMap<&str, Coefficients> = models
        .into_iter()
        .map(|model| {
            let others: Vec<_> = cells.iter().filter(|cell| cell.model != model).collect();
            (model, fit(prior, &others))
        })
        .collect();
    let predict =
        |cell: &Observation| parts(&cell.task, &cell.machine, &fits[cell.model.as_str()]).total_s();
    cells.iter().map(predict).collect()
}

/// How far the cells of a phase lie from what was predicted, `None` where there are none.
pub fn spread(phase: Phase, cells: &[Observation], predicted_s: &[f64]) -> Option<Spread> {
    let of_phase = || cells.iter().zip(predicted_s).filter(|(cell, _)| cell.task.phase == phase);
    let ratios: Vec<f64> = of_phase().map(|(cell, time_s)| cell.time_s / time_s).collect();
    let errors: Vec<f64> = ratios.iter().map(|ratio| (ratio - 1.0).abs()).collect();
    Some(Spread {
        n_cells: ratios.len(),
        types: of_phase().flat_map(|(cell, _)| cell.task.products.keys().copied()).collect(),
        median: median(&errors)?,
        q10: quantile(&ratios, 0.1)?,
        q90: quantile(&ratios, 0.9)?,
    })
}
