//! What comes into a plan beside the suite: what the command line asks for, and what is known of
//! engines, machine and earlier runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::cell::{Cell, CellId};
use super::weights::TensorList;
use crate::ggml::GgmlType;
use crate::model::{Catalogue, ModelShape, TensorSpec};
use crate::settings::{Auto, Capabilities, FlashAttn, LoadMode};
use crate::suite::{Axes, Filter, Threads};
use crate::units::Nanos;

/// What the command line asks for. A list replaces that axis of every matrix; what is `None`
/// stays as the suite has it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Engines by word.
    pub engines: Option<Vec<String>>,
    /// Models by name.
    pub models: Option<Vec<String>>,
    /// File mixes by name.
    pub quants: Option<Vec<String>>,
    /// Files of the user's. Alone they replace the models; beside `models` they join them.
    pub model_files: Vec<ModelFile>,
    /// Threads computing.
    pub n_threads: Option<Vec<Threads>>,
    /// CPUs the child may use.
    pub cpus: Option<Vec<String>>,
    /// Prompt tokens of the timed prefill.
    pub n_prompt: Option<Vec<u32>>,
    /// Decode calls timed.
    pub n_gen: Option<Vec<u32>>,
    /// Tokens in the KV cache before timing starts.
    pub n_depth: Option<Vec<u32>>,
    /// Capacity of the KV cache.
    pub n_ctx: Option<Vec<Auto<u32>>>,
    /// Logical batch.
    pub n_batch: Option<Vec<u32>>,
    /// Physical batch.
    pub n_ubatch: Option<Vec<u32>>,
    /// Element types of keys.
    pub type_k: Option<Vec<GgmlType>>,
    /// Element types of values.
    pub type_v: Option<Vec<GgmlType>>,
    /// Flash attention.
    pub flash_attn: Option<Vec<FlashAttn>>,
    /// How weights are loaded.
    pub load_mode: Option<Vec<LoadMode>>,
    /// Devices that compute.
    pub backend_device: Option<Vec<String>>,
    /// Layers on that device.
    pub n_gpu_layers: Option<Vec<Auto<u32>>>,
    /// Cells for which it does not hold are left out.
    pub filter: Filter,
    /// Child processes per cell.
    pub invocations: Option<u32>,
    /// Timed passes in an invocation.
    pub repetitions: Option<u32>,
    /// Passes before the first timed one.
    pub warmup: Option<u32>,
    /// Wall time after which an invocation is ended.
    pub timeout_s: Option<u32>,
    /// Seed of the order and of the token ids.
    pub seed: Option<u64>,
    /// What the whole run may take.
    pub budget: Option<Nanos>,
}

impl Selection {
    /// This selection where it asks for something, `base` where it does not.
    pub fn over(self, base: Selection) -> Selection {
        macro_rules! first {
            ($($field:ident),*) => {
                Selection {
                    $($field: self.$field.or(base.$field),)*
                    model_files: match self.model_files.is_empty() {
                        true => base.model_files,
                        false => self.model_files,
                    },
                    filter: base.filter,
                }
            };
        }
        first!(
            engines,
            models,
            quants,
            n_threads,
            cpus,
            n_prompt,
            n_gen,
            n_depth,
            n_ctx,
            n_batch,
            n_ubatch,
            type_k,
            type_v,
            flash_attn,
            load_mode,
            backend_device,
            n_gpu_layers,
            invocations,
            repetitions,
            warmup,
            timeout_s,
            seed,
            budget
        )
    }

    /// The axes with everything replaced that is asked for. The models are left to the caller,
    /// for files stand beside them.
    pub(super) fn applied_to(&self, axes: &Axes) -> Axes {
        let mut axes = axes.clone();
        macro_rules! replace {
            ($($from:ident => $to:ident),*) => {
                $(if let Some(values) = &self.$from { axes.$to.clone_from(values); })*
            };
        }
        replace!(engines => engine, models => model, quants => quant, n_threads => n_threads,
            cpus => cpus, n_prompt => n_prompt, n_gen => n_gen, n_depth => n_depth,
            n_ctx => n_ctx, n_batch => n_batch, n_ubatch => n_ubatch, flash_attn => flash_attn,
            load_mode => load_mode, backend_device => backend_device,
            n_gpu_layers => n_gpu_layers);
        let pairs = axes.type_kv.clone();
        axes.type_kv = match (&self.type_k, &self.type_v) {
            (None, None) => pairs,
            (Some(k), None) => pair(k, &distinct(pairs.iter().map(|(_, v)| *v))),
            (None, Some(v)) => pair(&distinct(pairs.iter().map(|(k, _)| *k)), v),
            (Some(k), Some(v)) => pair(k, v),
        };
        axes
    }
}

fn pair(k: &[GgmlType], v: &[GgmlType]) -> Vec<(GgmlType, GgmlType)> {
    k.iter().flat_map(|k| v.iter().map(|v| (*k, *v))).collect()
}

fn distinct(types: impl Iterator<Item = GgmlType>) -> Vec<GgmlType> {
    let mut seen = Vec::new();
    for t in types {
        if !seen.contains(&t) {
            seen.push(t);
        }
    }
    seen
}

/// A GGUF file of the user's, as its header tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called in tables: the file's name, or the model's in `models.toml`.
    pub label: String,
    /// SHA-256 of its content, lower-case hexadecimal.
    pub sha256: String,
    /// Its file mix as the header says.
    pub quant: String,
    /// Its architecture by its GGUF name.
    pub arch: String,
    /// Its shape, or why it has none here: an engine that reads any file runs it all the same.
    pub shape: Result<ModelShape, String>,
    /// Bytes of its tensors.
    pub weight_bytes: u64,
    /// Every tensor with its type.
    pub tensors: TensorList,
    /// Bytes by tensor type.
    pub type_bytes: BTreeMap<GgmlType, u64>,
    /// 8 × bytes ÷ unique parameters.
    pub bits_per_weight: f64,
}

/// What is known before anything runs.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The models that have a name.
    pub catalogue: &'a Catalogue,
    /// By name, those models that are files; all that [`named_models`](super::named_models) tells.
    pub files: BTreeMap<String, ModelFile>,
    /// By engine word: what it can do, or why this build has it not.
    pub engines: BTreeMap<String, Result<Capabilities, String>>,
    /// Memory that a child may take; `None` when nobody knows.
    pub memory_available_bytes: Option<u64>,
    /// Values of `cpus` that cannot be had on this machine, and why.
    pub cpus_refused: BTreeMap<String, String>,
    /// CPUs this process may use.
    pub n_cpus: u32,
    /// Physical cores among them.
    pub n_cores: u32,
    /// Whether memory comes in huge pages where it is asked for.
    pub huge_pages: bool,
    /// What cells cost on this machine before.
    pub earlier: BTreeMap<CellId, Cost>,
    /// What cells are expected to cost where `earlier` has nothing.
    pub expected: Option<Expected>,
    /// From what costs are guessed for `--budget` where neither knows anything.
    pub guess: SpeedGuess,
}

/// What a cell of a model of this shape with these tensors is expected to cost, if that can be told.
type Expect = dyn Fn(&Cell, &ModelShape, &[(TensorSpec, GgmlType)]) -> Option<Cost>;

/// Costs that follow from what the machine can do; how they do is the caller's business.
#[derive(Clone)]
pub struct Expected(Arc<Expect>);

impl Expected {
    /// By this rule.
    pub fn new(
        rule: impl Fn(&Cell, &ModelShape, &[(TensorSpec, GgmlType)]) -> Option<Cost> + 'static,
    ) -> Expected {
        Expected(Arc::new(rule))
    }

    /// What one invocation of `cell` is expected to cost.
    pub fn cost(
        &self,
        cell: &Cell,
        shape: &ModelShape,
        tensors: &[(TensorSpec, GgmlType)],
    ) -> Option<Cost> {
        (self.0)(cell, shape, tensors)
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expected")
    }
}

/// What an invocation of a cell costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Everything but the passes: start, load, filling the cache to its depth.
    pub setup_s: f64,
    /// Prefill of a pass ÷ `n_prompt`.
    pub prefill_s_per_token: f64,
    /// Decode of a pass ÷ `n_gen`.
    pub decode_s_per_token: f64,
}

impl Cost {
    /// What one invocation of `cell` takes.
    pub fn invocation_s(&self, cell: &Cell) -> f64 {
        if let Some(soak) = &cell.soak {
            return self.setup_s + soak.limit_ms as f64 / 1000.0;
        }
        let (prefills, decodes) = calls(cell);
        self.setup_s
            + prefills * f64::from(cell.n_prompt) * self.prefill_s_per_token
            + decodes * self.decode_s_per_token
    }

    /// From an invocation that took `wall_s` and whose passes took these times on average.
    pub fn measured(cell: &Cell, wall_s: f64, prefill_s: f64, decode_s: f64) -> Cost {
        // A sustained run takes its time, whatever its passes do.
        if let Some(soak) = &cell.soak {
            let setup_s = (wall_s - soak.limit_ms as f64 / 1000.0).max(0.0);
            return Cost { setup_s, ..Cost::default() };
        }
        let (prefills, decodes) = calls(cell);
        let decode_s_per_token = decode_s / f64::from(cell.n_gen.max(1));
        Cost {
            setup_s: (wall_s - prefills * prefill_s - decodes * decode_s_per_token).max(0.0),
            prefill_s_per_token: prefill_s / f64::from(cell.n_prompt.max(1)),
            decode_s_per_token,
        }
    }
}

/// Prefills and decode calls of one invocation, warm-up included.
fn calls(cell: &Cell) -> (f64, f64) {
    // A profile has a pass with spans for each without, and one more to make room for them.
    let (warmup, timed) = match cell.profile {
        true => (f64::from(cell.warmup), 1.0 + 2.0 * f64::from(cell.repetitions)),
        false => (f64::from(cell.warmup), f64::from(cell.repetitions)),
    };
    let decodes = warmup * f64::from(cell.n_warmup_gen()) + timed * f64::from(cell.n_gen);
    (warmup + timed, decodes)
}

/// The speed assumed of a machine on which nothing was measured yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeedGuess {
    /// Bytes streamed in decode.
    pub bytes_per_s: f64,
    /// Multiplications and additions in prefill.
    pub flops_per_s: f64,
}

impl Default for SpeedGuess {
    /// Two cores of a small computer: rather too slow than too fast.
    fn default() -> SpeedGuess {
        SpeedGuess { bytes_per_s: 1e10, flops_per_s: 1e11 }
    }
}
