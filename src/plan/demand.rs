//! Which of two cells needs more memory, as far as that is certain.

use super::PlannedCell;
use super::cell::Cell;
use crate::ggml::GgmlType;

/// Whether `a` certainly needs at least as much memory as `b`: the same engine and weights, placed
/// and loaded alike, and along every axis that costs memory at least as much. A cell that
/// answers for one that ran out of memory need not be tried.
pub fn needs_no_less_memory(a: &Cell, b: &Cell) -> bool {
    same_weights(a, b) && placed_alike(a, b) && axes_no_smaller(a, b)
}

impl PlannedCell {
    /// As [`needs_no_less_memory`], but also across models and file mixes where both are
    /// predicted: at least as many bytes of weights, of KV cache and of compute buffers.
    pub fn needs_no_less_memory_than(&self, other: &PlannedCell) -> bool {
        if needs_no_less_memory(&self.cell, &other.cell) {
            return true;
        }
        let (Some(a), Some(b)) = (&self.predicted, &other.predicted) else {
            return false;
        };
        self.cell.engine == other.cell.engine
            && placed_alike(&self.cell, &other.cell)
            && a.weight_bytes >= b.weight_bytes
            && a.kv_bytes >= b.kv_bytes
            && a.compute_bytes >= b.compute_bytes
    }
}

fn same_weights(a: &Cell, b: &Cell) -> bool {
    a.engine == b.engine && a.model == b.model && a.quant == b.quant && a.source == b.source
}

fn placed_alike(a: &Cell, b: &Cell) -> bool {
    let (a, b) = (&a.settings, &b.settings);
    a.backend_device == b.backend_device
        && a.n_gpu_layers == b.n_gpu_layers
        && a.load_mode == b.load_mode
        && a.flash_attn == b.flash_attn
}

fn axes_no_smaller(a: &Cell, b: &Cell) -> bool {
    let no_narrower = |a: GgmlType, b: GgmlType| a.bits_per_element() >= b.bits_per_element();
    a.n_ctx() >= b.n_ctx()
        && a.settings.n_batch >= b.settings.n_batch
        && a.settings.n_ubatch >= b.settings.n_ubatch
        && no_narrower(a.settings.type_k, b.settings.type_k)
        && no_narrower(a.settings.type_v, b.settings.type_v)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::cell;
    use super::*;
    use crate::memory::MemoryBudget;
    use crate::settings::Auto;

    #[test]
    fn a_cell_that_asks_for_more_along_one_axis_needs_no_less() {
        let base = cell("reference", "m", "Q4_0", 128, 16);
        let with = |change: &dyn Fn(&mut Cell)| {
            let mut cell = base.clone();
            change(&mut cell);
            cell
        };
        let larger: [&dyn Fn(&mut Cell); 6] = [
            &|_| {},
            &|c| c.n_depth = 4096,
            &|c| c.settings.n_ctx = Auto::Fixed(8192),
            &|c| c.settings.n_ubatch = 1024,
            &|c| c.settings.type_k = GgmlType::F32,
            &|c| c.settings.n_threads = Auto::Fixed(1),
        ];
        for change in larger {
            assert!(needs_no_less_memory(&with(change), &base), "{:?}", with(change));
        }
        let smaller_or_other: [&dyn Fn(&mut Cell); 7] = [
            &|c| c.n_gen = 8,
            &|c| c.settings.type_v = GgmlType::Q8_0,
            &|c| c.settings.n_batch = 512,
            &|c| c.engine = "llama-cpp".into(),
            &|c| c.quant = "F16".into(),
            &|c| c.settings.backend_device = "CUDA0".into(),
            &|c| {
                c.n_depth = 4096;
                c.settings.n_ubatch = 64;
            },
        ];
        for change in smaller_or_other {
            assert!(!needs_no_less_memory(&with(change), &base), "{:?}", with(change));
        }
    }

    #[test]
    fn a_larger_model_needs_no_less_where_both_are_predicted() {
        let planned = |model: &str, weight_bytes, kv_bytes| PlannedCell {
            cell: cell("reference", model, "Q4_0", 128, 16),
            invocations: 1,
            predicted: Some(MemoryBudget { weight_bytes, kv_bytes, compute_bytes: 5 }),
            cost: None,
        };
        let (small, large) = (planned("s", 10, 4), planned("l", 20, 4));
        assert!(large.needs_no_less_memory_than(&small));
        assert!(!small.needs_no_less_memory_than(&large));
        assert!(!large.needs_no_less_memory_than(&planned("wide", 10, 5)));
        let unknown = PlannedCell { predicted: None, ..small.clone() };
        assert!(!large.needs_no_less_memory_than(&unknown));
    }
}
