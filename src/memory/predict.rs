//! The prediction of a cell, as the planner asks for it: weights and cache from shapes, exact;
//! compute buffers by a formula.

use super::{Basis, Buffers, MemoryBudget, Request};
use crate::ggml::GgmlType;
use crate::model::{ModelShape, TensorSpec};
use crate::reference::{self, Loading, SessionConfig};
use crate::settings::{FlashAttn, LoadMode, Settings};

/// Bytes of keys or of values of one layer: `width` elements for each of `n_tokens`, in whole
/// blocks.
pub(super) fn kv_side_bytes(ty: GgmlType, width: u64, n_tokens: u32) -> u64 {
    // Heads are whole numbers of blocks, or the cell cannot run at all.
    let elements = width.saturating_mul(u64::from(n_tokens));
    elements.div_ceil(ty.block_size()).saturating_mul(ty.block_bytes())
}

/// What a cell needs: a file of `weight_bytes`, a cache for `n_ctx` tokens, padded as the engine
/// pads, and the buffers of a micro-batch, an estimate after llama.cpp's planner ([`Buffers::new`]).
pub fn predict(
    weight_bytes: u64,
    shape: &ModelShape,
    settings: &Settings,
    n_ctx: u32,
) -> MemoryBudget {
    let request = Request::new(settings, n_ctx);
    let buffers = Buffers::new(shape, &request);
    MemoryBudget {
        weight_bytes,
        kv_bytes: request.kv_bytes(shape),
        compute_bytes: buffers.compute_bytes.saturating_add(buffers.host_bytes()),
        output_bytes: buffers.output_bytes,
        ..MemoryBudget::default()
    }
}

/// What the built-in engine takes for a file with `tensors`, to the byte, in a cache for `n_ctx`
/// tokens; `settings` with its threads fixed.
pub fn predict_built_in(
    shape: &ModelShape,
    tensors: &[(TensorSpec, GgmlType)],
    settings: &Settings,
    n_ctx: u32,
) -> MemoryBudget {
    let loading = match settings.load_mode {
        LoadMode::Mmap => Loading::Mapped,
        LoadMode::Auto | LoadMode::None | LoadMode::Mlock => Loading::Owned,
    };
    let config = SessionConfig {
        n_ctx: n_ctx as usize,
        n_ubatch: settings.n_ubatch.min(settings.n_batch) as usize,
        n_threads: settings.n_threads.unwrap_or(1) as usize,
        type_k: settings.type_k,
        type_v: settings.type_v,
        flash_attn: settings.flash_attn != FlashAttn::Off,
    };
    let planned = reference::Buffers::planned(shape, tensors, loading, config);
    MemoryBudget {
        basis: Basis::Planner,
        weight_bytes: planned.weight_bytes.saturating_add(planned.weight_mapped_bytes),
        kv_bytes: planned.kv_bytes,
        compute_bytes: planned.compute_bytes,
        output_bytes: planned.output_bytes,
        ..MemoryBudget::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Catalogue, FileMix};

    const MIB: u64 = 1 << 20;

    fn model(name: &str) -> ModelShape {
        Catalogue::built_in().unwrap().get(name).unwrap().clone()
    }

    fn flash(flash_attn: FlashAttn) -> Settings {
        Settings { flash_attn, ..Settings::default() }
    }

    fn kv_bytes(shape: &ModelShape, ty: GgmlType, n_ctx: u32) -> u64 {
        let settings = Settings { type_k: ty, type_v: ty, ..Settings::default() };
        predict(0, shape, &settings, n_ctx).kv_bytes
    }

    fn compute_bytes(shape: &ModelShape, settings: &Settings, n_ctx: u32) -> u64 {
        predict(0, shape, settings, n_ctx).compute_bytes
    }

    #[test]
    fn the_cache_has_the_bytes_llama_cpp_reports() {
        let f16 = GgmlType::F16;
        for (name, mib) in [("SmolLM-135M", 45), ("Qwen2-0.5B", 24), ("Qwen1.5-0.5B", 192)] {
            assert_eq!(kv_bytes(&model(name), f16, 2048), mib * MIB, "{name}");
        }
        let smol = model("SmolLM2-135M");
        assert_eq!(kv_bytes(&smol, f16, 4096), 94_371_840);
        // 16 layers of 3 to 5 key heads: without flash attention each has the values of 5.
        let openelm = model("OpenELM-270M");
        let off = predict(0, &openelm, &flash(FlashAttn::Off), 512).kv_bytes;
        assert_eq!(off - kv_bytes(&openelm, f16, 512), 1_114_112);
        let q8 = kv_bytes(&smol, GgmlType::Q8_0, 4096);
        assert_eq!(q8, 94_371_840 * 34 / 64);
    }

    /// Against what llama.cpp 0.6.0-dev answered when asked without memory. `tests/it` asks it anew
    /// where it is built in, about every architecture.
    #[test]
    fn compute_buffers_are_near_those_of_llama_cpp() {
        let (on, off) = (FlashAttn::On, FlashAttn::Off);
        for (name, flash_attn, n_ctx, bytes) in [
            ("SmolLM2-135M", on, 4096, 111_955_968u64),
            ("TinyLlama-1.1B", on, 512, 87_052_288),
            ("TinyLlama-1.1B", off, 8192, 579_878_912),
            ("Qwen1.5-0.5B", on, 2048, 325_865_472),
            ("Qwen1.5-0.5B", off, 2048, 332_152_832),
            ("phi-1", off, 2048, 171_982_848),
            ("phi-1", off, 8192, 587_218_944),
            ("Pythia-160M", off, 8192, 229_130_240),
            ("BLOOM-560M", off, 512, 529_545_216),
            ("Gemma-2B", on, 8192, 553_668_608),
            ("StableLM-2-1.6B", off, 2048, 239_091_712),
        ] {
            let found = compute_bytes(&model(name), &flash(flash_attn), n_ctx);
            let off = found as f64 / bytes as f64 - 1.0;
            assert!(off.abs() <= 0.05, "{name} {flash_attn} {n_ctx}: {:.1} %", 100.0 * off);
        }
    }

    #[test]
    fn a_prediction_is_the_sum_of_its_parts() {
        let shape = model("Llama-3.2-1B");
        let weights = FileMix::Q4_0.weight_bytes(&shape);
        let budget = predict(weights, &shape, &Settings::default(), 1024);
        assert_eq!(budget.weight_bytes, weights);
        assert_eq!(budget.kv_bytes, 32 * MIB);
        let buffers = budget.compute_bytes + budget.output_bytes;
        assert_eq!(budget.total_bytes(), weights + budget.kv_bytes + buffers);
    }

    #[test]
    fn settings_beyond_any_machine_give_a_number_beyond_any_machine() {
        let shape = model("Llama-3.2-1B");
        let most = u32::MAX;
        for flash_attn in [FlashAttn::On, FlashAttn::Off] {
            let settings = Settings { n_batch: most, n_ubatch: most, ..flash(flash_attn) };
            assert!(compute_bytes(&shape, &settings, most) > 1 << 60);
            assert!(kv_bytes(&shape, GgmlType::F32, most) > 1 << 45);
        }
    }

    #[test]
    fn a_small_context_needs_no_more_than_its_own_batch() {
        let shape = model("tiny-llama");
        let small = compute_bytes(&shape, &Settings::default(), 10);
        let large = compute_bytes(&shape, &Settings::default(), 4096);
        assert!(2 * small < large);
    }
}
