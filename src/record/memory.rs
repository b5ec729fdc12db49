//! Memory of an invocation: what was predicted, taken and seen, and how it adds up.
//!
//! Only what was measured is stored; how it adds up is computed when a record is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Outcome, Record};
use crate::engine::Allocated;
use crate::memory::{self, ByKind, Habit, MemoryBudget, Observed, Reconciled};

/// Memory of one invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryRecord {
    /// From the shape, before anything ran; absent for engines that read no model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predicted: Option<MemoryBudget>,
    /// What the engine says it took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allocated: Option<Allocated>,
    /// The child's resident set before the model was opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_before_load_bytes: Option<u64>,
    /// The child's resident set once loaded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_loaded_bytes: Option<u64>,
    /// The largest resident set (`VmHWM`, of all phases).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_rss_bytes: Option<u64>,
    /// Of the resident set last seen: anonymous pages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_anon_bytes: Option<u64>,
    /// Of the resident set last seen: pages of files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_file_bytes: Option<u64>,
    /// The resident set phase by phase, in order; empty where nobody looked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub phases: Vec<MemoryPhase>,
    /// CPU time of the parent that looking at the child's memory took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sampler_cpu_ns: Option<u64>,
}

/// A part of the child's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Until the model is opened.
    #[default]
    Start,
    /// Until it is ready.
    Load,
    /// Until the cache is filled to its depth and the last warm-up pass has ended.
    WarmUp,
    /// The timed passes.
    Passes,
}

/// The child's memory in one phase. Missing is absent, not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryPhase {
    /// Which one.
    pub phase: Phase,
    /// How often the resident set was looked at meanwhile.
    pub samples: u32,
    /// The largest resident set of the phase (`VmHWM`, set back at its beginning). Absent where the
    /// kernel does not set it back and the phase raised it no further.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_rss_bytes: Option<u64>,
    /// The largest resident set among the samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sampled_rss_bytes: Option<u64>,
    /// The most anonymous memory among the samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sampled_anon_bytes: Option<u64>,
    /// The most pages of files among the samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sampled_file_bytes: Option<u64>,
    /// Resident at the end of the phase, or when last looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_bytes: Option<u64>,
    /// Of these: anonymous pages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_anon_bytes: Option<u64>,
    /// Of these: pages of files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_file_bytes: Option<u64>,
    /// Page faults of the phase that the disk was not needed for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minor_faults: Option<u64>,
    /// Page faults of the phase that waited for the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub major_faults: Option<u64>,
    /// Resident at its end, pages shared with other processes divided among them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pss_bytes: Option<u64>,
    /// Written pages that no other process has, at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub private_dirty_bytes: Option<u64>,
    /// Pages that other processes have as well, at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shared_bytes: Option<u64>,
    /// Memory of NVIDIA GPUs in use beyond what was before the child was started, the most that was
    /// seen in the phase (NVML). Absent without such a GPU.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_bytes: Option<u64>,
    /// Anonymous memory on huge pages, at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub huge_bytes: Option<u64>,
}

impl MemoryRecord {
    /// What was seen in a phase; absent where it was not reached or nobody looked.
    pub fn phase(&self, phase: Phase) -> Option<&MemoryPhase> {
        self.phases.iter().find(|seen| seen.phase == phase)
    }

    /// Pages of files that became resident after the model was opened.
    fn file_growth_bytes(&self) -> Option<u64> {
        let before = self.phase(Phase::Start)?.rss_file_bytes?;
        let after = self.phases.iter().filter(|seen| seen.phase != Phase::Start);
        let most = after.filter_map(|seen| seen.rss_file_bytes.max(seen.sampled_file_bytes)).max();
        Some(most?.saturating_sub(before))
    }
}

impl From<&Allocated> for ByKind {
    fn from(allocated: &Allocated) -> ByKind {
        ByKind {
            weights: allocated.weight_bytes.saturating_add(allocated.weight_mapped_bytes),
            weight_copies: allocated.weight_copy_bytes,
            kv: allocated.kv_bytes,
            compute: allocated.compute_bytes,
            output: allocated.output_bytes,
            // No engine counts it.
            heap: 0,
        }
    }
}

impl Record {
    /// Where its memory went. `None` unless it finished, all of it was looked at, and the CPU held
    /// it: what lies on another device is not in the process's resident set.
    pub fn reconciled(&self) -> Option<Reconciled> {
        let resolved = self.resolved.as_ref()?;
        let is_finished = self.outcome == Outcome::Finished;
        if !is_finished || !resolved.backend_device.eq_ignore_ascii_case("cpu") {
            return None;
        }
        let allocated = self.memory.allocated.as_ref()?;
        let foretold = self.memory.predicted;
        let is_llama_cpp = self.engine.as_ref().is_some_and(|engine| engine.name == "llama-cpp");
        Some(memory::reconcile(&Observed {
            predicted: foretold,
            allocated: ByKind { heap: foretold.map_or(0, |p| p.heap_bytes), ..allocated.into() },
            mapped_bytes: allocated.weight_mapped_bytes,
            file_growth_bytes: self.memory.file_growth_bytes(),
            huge_bytes: self.memory.phases.iter().rev().find_map(|seen| seen.huge_bytes),
            usage: self.cell.usage(
                resolved.n_ctx,
                resolved.n_ubatch,
                if is_llama_cpp { Habit::CacheFirst } else { Habit::ComputeFirst },
            ),
            process_bytes: self.memory.rss_before_load_bytes?,
            peak_bytes: self.memory.peak_rss_bytes?,
        }))
    }
}
