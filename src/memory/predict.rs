//! The prediction of a cell, as the planner asks for it: weights and cache from shapes, exact;
//! compute buffers by a formula.

use super::{Buffers, MemoryBudget, Request};
use crate::ggml::GgmlType;
use crate::model::ModelShape;
use crate::settings::Settings;

/// Bytes of keys or of values of one layer: `width` elements for each of `n_tokens`, in whole
/// blocks.
pub(super) fn kv_side_bytes(ty: GgmlType, width: u64, n_tokens: u32) -> u64 {
    // Heads are whole numbers of blocks, or the cell cannot run at all.
    let elements = width.saturating_mul(u64::from(n_tokens));
    elements.div_ceil(ty.block_size()).saturating_mul(ty.block_bytes())
}

/// Bytes of the KV cache of `shape` for `n_ctx` tokens, already padded as the engine pads: layers
/// × key and value width × tokens, in whole blocks.
pub fn kv_bytes(shape: &ModelShape, type_k: GgmlType, type_v: GgmlType, n_ctx: u32) -> u64 {
    let side = |ty, width| kv_side_bytes(ty, width, n_ctx);
    (0..shape.n_layer)
        .map(|layer| {
            side(type_k, shape.n_embd_k(layer)).saturating_add(side(type_v, shape.n_embd_v(layer)))
        })
        .fold(0, u64::saturating_add)
}

/// Bytes of compute buffers, an estimate after llama.cpp's planner: what the graph needs (see
/// [`Buffers::new`]), and on top of it mask, input embeddings and the logits kept for the caller.
/// `n_ctx` is padded already.
pub fn compute_bytes(shape: &ModelShape, settings: &Settings, n_ctx: u32) -> u64 {
    let buffers = Buffers::new(shape, &Request::new(settings, n_ctx));
    let parts = [buffers.compute_bytes, buffers.host_bytes(), buffers.output_bytes];
    parts.into_iter().fold(0, u64::saturating_add)
}

/// What a cell needs: a file of `weight_bytes`, a cache for `n_ctx` tokens, padded as the engine
/// pads, and the buffers of a micro-batch.
pub fn predict(
    weight_bytes: u64,
    shape: &ModelShape,
    settings: &Settings,
    n_ctx: u32,
) -> MemoryBudget {
    MemoryBudget {
        weight_bytes,
        kv_bytes: kv_bytes(shape, settings.type_k, settings.type_v, n_ctx),
        compute_bytes: compute_bytes(shape, settings, n_ctx),
        ..MemoryBudget::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Catalogue, FileMix};
    use crate::settings::FlashAttn;

    const MIB: u64 = 1 << 20;

    fn model(name: &str) -> ModelShape {
        Catalogue::built_in().unwrap().get(name).unwrap().clone()
    }

    fn flash(flash_attn: FlashAttn) -> Settings {
        Settings { flash_attn, ..Settings::default() }
    }

    fn near(found: u64, expected_mib: f64, allowed: f64) -> bool {
        (found as f64 / MIB as f64 - expected_mib).abs() <= allowed * expected_mib
    }

    #[test]
    fn the_cache_has_the_bytes_llama_cpp_reports() {
        let f16 = GgmlType::F16;
        for (name, mib) in [("SmolLM-135M", 45), ("Qwen2-0.5B", 24), ("Qwen1.5-0.5B", 192)] {
            assert_eq!(kv_bytes(&model(name), f16, f16, 2048), mib * MIB, "{name}");
        }
        let smol = model("SmolLM2-135M");
        assert_eq!(kv_bytes(&smol, f16, f16, 4096), 94_371_840);
        let q8 = kv_bytes(&smol, GgmlType::Q8_0, GgmlType::Q8_0, 4096);
        assert_eq!(q8, 94_371_840 * 34 / 64);
    }

    /// Against 111,955,968 bytes that llama.cpp reported for 4096 tokens.
    #[test]
    fn compute_buffers_with_flash_attention_are_near_those_measured() {
        let bytes = compute_bytes(&model("SmolLM2-135M"), &flash(FlashAttn::On), 4096);
        assert!(near(bytes, 111_955_968.0 / MIB as f64, 0.02), "{bytes}");
    }

    /// Against the survey's figures for a context of 2048 and of 131072; its "compute buffer"
    /// leaves out what lies on the host.
    #[test]
    fn compute_buffers_without_flash_attention_follow_the_survey() {
        for (name, n_ctx, mib) in [
            ("SmolLM-135M", 2048, 97.1),
            ("Qwen2-0.5B", 2048, 298.5),
            ("Qwen2-0.5B", 131_072, 3847.0),
            ("Qwen1.5-0.5B", 32_768, 1096.0),
        ] {
            let shape = model(name);
            let all = compute_bytes(&shape, &flash(FlashAttn::Off), n_ctx);
            let host = u64::from(n_ctx) * 512 * 4
                + u64::from(shape.n_embd) * 512 * 4
                + u64::from(shape.n_vocab) * 4;
            assert!(near(all - host, mib, 0.01), "{name} {n_ctx}: {}", (all - host) / MIB);
        }
    }

    #[test]
    fn a_prediction_is_the_sum_of_its_parts() {
        let shape = model("Llama-3.2-1B");
        let weights = FileMix::Q4_0.weight_bytes(&shape);
        let budget = predict(weights, &shape, &Settings::default(), 1024);
        assert_eq!(budget.weight_bytes, weights);
        assert_eq!(budget.kv_bytes, 32 * MIB);
        assert_eq!(budget.total_bytes(), weights + budget.kv_bytes + budget.compute_bytes);
    }

    #[test]
    fn settings_beyond_any_machine_give_a_number_beyond_any_machine() {
        let shape = model("Llama-3.2-1B");
        let most = u32::MAX;
        for flash_attn in [FlashAttn::On, FlashAttn::Off] {
            let settings = Settings { n_batch: most, n_ubatch: most, ..flash(flash_attn) };
            assert!(compute_bytes(&shape, &settings, most) > 1 << 60);
            assert!(kv_bytes(&shape, GgmlType::F32, GgmlType::F32, most) > 1 << 45);
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
