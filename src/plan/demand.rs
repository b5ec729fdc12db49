//! Which of two cells needs more memory, as far as that is certain.

use super::cell::Cell;
use crate::ggml::GgmlType;
use crate::memory::{Basis, MemoryBudget};

/// Two estimates of compute buffers tell which is larger when they differ by more than this
/// percentage: twice what the worst of them is off.
const ESTIMATES_DIFFER_PERCENT: u64 = 15;

/// A cell and the memory predicted for it, where anything is.
pub type Demand<'a> = (&'a Cell, Option<MemoryBudget>);

/// Whether `a` certainly needs at least as much memory as `b`: the same engine, placed and loaded
/// alike, and either the same weights and along every axis that costs memory at least as much, or
/// predicted to need as many bytes of each kind. A cell that answers so for one that ran out of
/// memory need not be tried.
pub fn needs_no_less_memory((a, a_predicted): Demand<'_>, (b, b_predicted): Demand<'_>) -> bool {
    let predicted = || {
        let (Some(a), Some(b)) = (a_predicted, b_predicted) else { return false };
        let estimated = a.basis == Basis::Estimate || b.basis == Basis::Estimate;
        let margin = if estimated { b.compute_bytes / 100 * ESTIMATES_DIFFER_PERCENT } else { 0 };
        a.weight_bytes >= b.weight_bytes
            && a.kv_bytes >= b.kv_bytes
            && a.compute_bytes >= b.compute_bytes.saturating_add(margin)
    };
    a.engine == b.engine
        && placed_alike(a, b)
        && ((same_weights(a, b) && axes_no_smaller(a, b)) || predicted())
}

fn same_weights(a: &Cell, b: &Cell) -> bool {
    a.model == b.model && a.quant == b.quant && a.source == b.source
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
            assert!(
                needs_no_less_memory((&with(change), None), (&base, None)),
                "{:?}",
                with(change)
            );
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
            assert!(
                !needs_no_less_memory((&with(change), None), (&base, None)),
                "{:?}",
                with(change)
            );
        }
    }

    #[test]
    fn estimates_that_are_close_do_not_tell_which_is_larger() {
        let (s, l) =
            (cell("llama-cpp", "s", "Q4_0", 128, 16), cell("llama-cpp", "l", "Q4_0", 128, 16));
        let budget = |compute_bytes, basis| {
            Some(MemoryBudget { compute_bytes, basis, ..MemoryBudget::default() })
        };
        let tells = |larger, basis| {
            needs_no_less_memory((&l, budget(larger, basis)), (&s, budget(1000, basis)))
        };
        assert!(tells(1000, Basis::Library) && tells(1200, Basis::Estimate));
        assert!(!tells(1100, Basis::Estimate));
    }

    #[test]
    fn a_larger_model_needs_no_less_where_both_are_predicted() {
        let (s, l) =
            (cell("reference", "s", "Q4_0", 128, 16), cell("reference", "l", "Q4_0", 128, 16));
        let bytes = |weight_bytes, kv_bytes| {
            Some(MemoryBudget {
                weight_bytes,
                kv_bytes,
                compute_bytes: 5,
                ..MemoryBudget::default()
            })
        };
        let (small, large) = ((&s, bytes(10, 4)), (&l, bytes(20, 4)));
        assert!(needs_no_less_memory(large, small));
        assert!(!needs_no_less_memory(small, large));
        assert!(!needs_no_less_memory(large, (&s, bytes(10, 5))));
        assert!(!needs_no_less_memory(large, (&s, None)));
    }
}
