//! What a model needs with given settings, part by part: weights, cache, buffers.
//!
//! Weights and cache follow from shapes and are exact. Buffers of the graph are an estimate by
//! closed formulas, in two states as file mixes are: llama.cpp of today, and that of mid-2024 by
//! which the survey (arXiv 2409.15790) measured.

use std::fmt;

use super::{Basis, MemoryBudget, WeightBytes, kv_side_bytes};
use crate::ggml::GgmlType;
use crate::model::{Arch, FileMix, ModelShape, Rules};
use crate::settings::{FlashAttn, Settings};

/// Bytes of a single-precision number.
const F32: u64 = 4;

/// Tokens that the largest context that fits is a multiple of.
pub const N_CTX_STEP: u32 = 256;

/// Types of a KV cache that are compared, the usual one with those that save.
pub const COMPARED_KV_TYPES: [GgmlType; 4] =
    [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q5_0, GgmlType::Q4_0];

/// Which layers compute on a device with memory of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// None: everything is in one memory.
    #[default]
    None,
    /// All of them. The token embedding stays with the CPU, so one that is the output head as
    /// well is held on both sides.
    Full,
}

/// The settings that memory depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Capacity of the KV cache in tokens, before padding.
    pub n_ctx: u32,
    /// Tokens that go through the graph together.
    pub n_ubatch: u32,
    /// Element type of the keys in the cache.
    pub type_k: GgmlType,
    /// Element type of the values in the cache.
    pub type_v: GgmlType,
    /// Attention without the full matrix of scores.
    pub flash_attn: bool,
    /// Layers on a device with memory of its own.
    pub offload: Offload,
    /// Layers with a sliding window cache the whole context, as llama.cpp does unless told
    /// otherwise (`swa_full`).
    pub swa_full: bool,
    /// The state of llama.cpp.
    pub rules: Rules,
}

impl Request {
    /// llama.cpp of today, with `settings` and a cache of `n_ctx` tokens, all on the CPU.
    /// Flash attention that is left to the engine counts as on.
    pub fn new(settings: &Settings, n_ctx: u32) -> Request {
        Request {
            n_ctx,
            n_ubatch: settings.n_ubatch.min(settings.n_batch),
            type_k: settings.type_k,
            type_v: settings.type_v,
            flash_attn: settings.flash_attn != FlashAttn::Off,
            offload: Offload::None,
            swa_full: true,
            rules: Rules::Today,
        }
    }

    /// How the survey measured: a context of 2048 tokens in half precision, micro-batches of 512,
    /// no flash attention, all layers on the GPU, llama.cpp of mid-2024.
    pub fn survey() -> Request {
        Request {
            n_ctx: 2048,
            n_ubatch: 512,
            type_k: GgmlType::F16,
            type_v: GgmlType::F16,
            flash_attn: false,
            offload: Offload::Full,
            swa_full: true,
            rules: Rules::Mid2024,
        }
    }

    /// The context as llama.cpp pads it: to a multiple of 256 tokens; in mid-2024 of 32, unless
    /// flash attention needed 256 (`llama_kv_cache_get_padding`).
    pub fn padded_n_ctx(&self) -> u32 {
        let multiple = match (self.rules, self.flash_attn) {
            (Rules::Mid2024, false) => 32,
            _ => 256,
        };
        self.n_ctx.checked_next_multiple_of(multiple).unwrap_or(u32::MAX)
    }

    fn padded(self) -> Request {
        Request { n_ctx: self.padded_n_ctx(), ..self }
    }

    /// Tokens of a micro-batch: no more than the cache can hold.
    fn batch(&self) -> u64 {
        u64::from(self.n_ubatch.max(1)).min(u64::from(self.n_ctx))
    }

    /// Tokens that layer `layer` keeps. A window keeps itself and a micro-batch, padded to 256
    /// (`llama_kv_cache_iswa`).
    fn tokens_kept(&self, shape: &ModelShape, layer: u32) -> u32 {
        match shape.window(layer) {
            Some(n_swa) if !self.swa_full => {
                let window = n_swa.saturating_add(self.n_ubatch);
                window.checked_next_multiple_of(256).unwrap_or(u32::MAX).min(self.n_ctx)
            }
            _ => self.n_ctx,
        }
    }

    fn kv_layer_bytes(&self, shape: &ModelShape, layer: u32) -> u64 {
        let kept = self.tokens_kept(shape, layer);
        // Without flash attention values are cached transposed, and every layer then gets the width
        // of the widest (`llama_kv_cache`, `v_trans`).
        let width_v = match (self.rules, self.flash_attn) {
            (Rules::Today, false) => (0..shape.n_layer).map(|l| shape.n_embd_v(l)).max(),
            _ => Some(shape.n_embd_v(layer)),
        };
        let keys = kv_side_bytes(self.type_k, shape.n_embd_k(layer), kept);
        keys.saturating_add(kv_side_bytes(self.type_v, width_v.unwrap_or(0), kept))
    }

    /// Bytes of the KV cache of `shape`, `n_ctx` tokens as they are: the layers' keys and values, in
    /// whole blocks.
    pub fn kv_bytes(&self, shape: &ModelShape) -> u64 {
        let layers = (0..shape.n_layer).map(|layer| self.kv_layer_bytes(shape, layer));
        layers.fold(0, u64::saturating_add)
    }

    fn weight_copy_bytes(&self, weights: &WeightBytes) -> u64 {
        match self.offload {
            Offload::None => 0,
            Offload::Full => weights.tied_bytes,
        }
    }
}

impl fmt::Display for Request {
    /// `cache in F16, flash attention on, n_ubatch 512, all on the CPU`; the context is not told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = match self.type_k == self.type_v {
            true => format!("cache in {}", self.type_k),
            false => format!("keys in {}, values in {}", self.type_k, self.type_v),
        };
        words += if self.flash_attn { ", flash attention on" } else { ", flash attention off" };
        words += &format!(", n_ubatch {}, ", self.n_ubatch);
        words += match self.offload {
            Offload::None => "all on the CPU",
            Offload::Full => "all layers on a GPU",
        };
        if !self.swa_full {
            words += ", windows cached as windows";
        }
        if self.rules == Rules::Mid2024 {
            words += ", llama.cpp of mid-2024";
        }
        f.pad(&words)
    }
}

/// Buffers beside weights and cache, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// What the graph needs where it is computed.
    pub compute_bytes: u64,
    /// The attention mask as the caller fills it, context × micro-batch; half precision with flash
    /// attention, else single.
    pub mask_bytes: u64,
    /// Embeddings of a micro-batch as they enter the graph.
    pub input_bytes: u64,
    /// Logits of one token, kept for the caller.
    pub output_bytes: u64,
}

impl Buffers {
    /// Those of `shape`; `request.n_ctx` is padded already.
    ///
    /// The buffer of the graph is the largest of what is alive at once. At the graph's end that is
    /// the logits of a whole micro-batch beside rows of the width of the residual stream. In its
    /// middle, without flash attention, it is the scores of all heads, the mask, and the values of
    /// the cache laid out anew; with it, gate and up of the feed-forward.
    pub fn new(shape: &ModelShape, request: &Request) -> Buffers {
        match request.rules {
            Rules::Today => Buffers::today(shape, request),
            Rules::Mid2024 => Buffers::mid_2024(shape, request),
        }
    }

    /// Fitted to what llama.cpp 0.6.0-dev answers when it is asked without memory: within 5 % for
    /// the survey's architectures, with contexts of 512, 2048 and 8192 tokens.
    fn today(shape: &ModelShape, request: &Request) -> Buffers {
        let n_ctx = u64::from(request.n_ctx);
        let batch = request.batch();
        let (embd, vocab) = (u64::from(shape.n_embd), u64::from(shape.n_vocab));
        let (mask, row) = (floats(n_ctx, batch), floats(embd, batch));
        let logits = floats(vocab, batch);
        let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
        let widest = |width: fn(&ModelShape, u32) -> u64| {
            (0..shape.n_layer).map(|layer| width(shape, layer)).max().unwrap_or(0)
        };
        let (all, mask_bytes) = if request.flash_attn {
            // The mask is converted to half precision, and scores stay in each thread's own rows.
            let mask = mask / 2;
            let gate_and_up = floats(2 * u64::from(shape.n_ff.max()), batch);
            let end = sum(&[logits, row.saturating_mul(5), mask]);
            let middle = sum(&[gate_and_up, row.saturating_mul(3), mask]);
            (end.max(middle), mask)
        } else {
            // Queries, keys and values of the last layer are still there beside its scores.
            let kv_rows = floats(2 * widest(ModelShape::n_embd_k), batch);
            let end = sum(&[logits, mask, row.saturating_mul(5), kv_rows]);
            let values = n_ctx.saturating_mul(2 * widest(ModelShape::n_embd_v));
            let scores = mask.saturating_mul(u64::from(shape.n_head.max()));
            // What is laid out anew takes the place of half as many rows.
            let rows = row.saturating_mul(6).saturating_sub(values / 2);
            (end.max(sum(&[scores, mask, values, rows])), mask)
        };
        let tokens_and_positions = 40 * batch;
        Buffers {
            compute_bytes: sum(&[all, tokens_and_positions])
                .saturating_sub(mask_bytes)
                .saturating_sub(row),
            mask_bytes,
            input_bytes: row,
            output_bytes: floats(vocab, 1),
        }
    }

    /// Of llama.cpp's compute buffer, what is written where `n_fed` tokens are computed at once: what
    /// is alive together in the middle of a layer, which lies where the logits would, or at the end
    /// with the logits of one token. After the same formulas.
    pub fn written(shape: &ModelShape, request: &Request, n_fed: u64) -> u64 {
        let n_ctx = u64::from(request.n_ctx);
        let (mask, row) = (floats(n_ctx, n_fed), floats(u64::from(shape.n_embd), n_fed));
        let logits = floats(u64::from(shape.n_vocab), 1);
        let gate_and_up = floats(2 * u64::from(shape.n_ff.max()), n_fed);
        let (middle, mask) = match request.flash_attn {
            true => (gate_and_up, mask / 2),
            false => (mask.saturating_mul(u64::from(shape.n_head.max())).max(gate_and_up), mask),
        };
        let rows = row.saturating_mul(5);
        middle.max(logits).saturating_add(rows).saturating_add(mask)
    }

    /// As the survey's memory figure was found to follow: its "compute buffer" leaves out what
    /// lies on the host.
    fn mid_2024(shape: &ModelShape, request: &Request) -> Buffers {
        let n_ctx = u64::from(request.n_ctx);
        let batch = request.batch();
        let (embd, vocab) = (u64::from(shape.n_embd), u64::from(shape.n_vocab));
        let (mask, row) = (floats(n_ctx, batch), floats(embd, batch));
        let end = floats(vocab + embd, batch);
        let middle = if request.flash_attn {
            let gate_and_up = floats(2 * u64::from(shape.n_ff.max()), batch);
            gate_and_up.saturating_add(row.saturating_mul(2)).saturating_add(mask / 2)
        } else {
            mask.saturating_mul(u64::from(shape.n_head.max()) + 1)
                .saturating_add(row.saturating_mul(rows_kept(shape.arch)))
        };
        Buffers {
            compute_bytes: end.max(middle),
            mask_bytes: mask,
            input_bytes: row,
            output_bytes: floats(vocab, 1),
        }
    }

    /// What the caller fills and reads, beside the logits.
    pub fn host_bytes(&self) -> u64 {
        self.mask_bytes.saturating_add(self.input_bytes)
    }

    fn total_bytes(&self) -> u64 {
        self.compute_bytes.saturating_add(self.host_bytes()).saturating_add(self.output_bytes)
    }
}

/// Bytes of `a × b` numbers. A user may ask for any context: what no machine has is then the answer,
/// not a panic.
fn floats(a: u64, b: u64) -> u64 {
    a.saturating_mul(b).saturating_mul(F32)
}

/// Rows of the width of the residual stream that were alive beside the scores in mid-2024. Fitted
/// to the buffers of the survey's memory figure, one number per architecture; 4 where the figure
/// shows none, for there the logits decide.
fn rows_kept(arch: Arch) -> u64 {
    match arch {
        // The fused queries, keys and values live on beside their copies.
        Arch::Gptneox => 6,
        Arch::Openelm => 2,
        _ => 4,
    }
}

/// What a model needs, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryDetail {
    /// Capacity of the cache, padded.
    pub n_ctx: u32,
    /// All tensors.
    pub weights: WeightBytes,
    /// Weights held a second time.
    pub weight_copy_bytes: u64,
    /// The cache, by layer.
    pub kv_layer_bytes: Vec<u64>,
    /// The whole cache if layers with a sliding window kept no more than that; absent where none
    /// has one.
    pub kv_windowed_bytes: Option<u64>,
    /// Buffers.
    pub buffers: Buffers,
}

impl MemoryDetail {
    /// What a file of these `weights` needs.
    pub fn new(weights: &WeightBytes, shape: &ModelShape, request: &Request) -> MemoryDetail {
        let padded = request.padded();
        let windowed = Request { swa_full: false, ..padded };
        let has_windows = (0..shape.n_layer).any(|layer| shape.window(layer).is_some());
        MemoryDetail {
            n_ctx: padded.n_ctx,
            weights: weights.clone(),
            weight_copy_bytes: request.weight_copy_bytes(weights),
            kv_layer_bytes: (0..shape.n_layer).map(|l| padded.kv_layer_bytes(shape, l)).collect(),
            kv_windowed_bytes: has_windows.then(|| windowed.kv_bytes(shape)),
            buffers: Buffers::new(shape, &padded),
        }
    }

    /// The whole cache.
    pub fn kv_bytes(&self) -> u64 {
        self.kv_layer_bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Everything together.
    pub fn total_bytes(&self) -> u64 {
        self.budget().total_bytes()
    }

    /// The same as records keep it: buffers of graph and caller are one there.
    pub fn budget(&self) -> MemoryBudget {
        MemoryBudget {
            basis: Basis::Estimate,
            weight_bytes: self.weights.total_bytes(),
            weight_copy_bytes: self.weight_copy_bytes,
            kv_bytes: self.kv_bytes(),
            compute_bytes: self.buffers.compute_bytes.saturating_add(self.buffers.host_bytes()),
            output_bytes: self.buffers.output_bytes,
            ..MemoryBudget::default()
        }
    }
}

/// All bytes that a request takes, without the parts: what a search asks a thousand times.
pub fn total_bytes(weights: &WeightBytes, shape: &ModelShape, request: &Request) -> u64 {
    let padded = request.padded();
    let parts = [
        weights.total_bytes(),
        request.weight_copy_bytes(weights),
        padded.kv_bytes(shape),
        Buffers::new(shape, &padded).total_bytes(),
    ];
    parts.into_iter().fold(0, u64::saturating_add)
}

/// The largest context of which everything fits into `budget_bytes`: a multiple of 256 tokens, no
/// longer than the model was trained for. `None` where not even the shortest fits.
pub fn largest_n_ctx(
    weights: &WeightBytes,
    shape: &ModelShape,
    request: &Request,
    budget_bytes: u64,
) -> Option<u32> {
    let fits = |steps: u32| {
        let n_ctx = steps.saturating_mul(N_CTX_STEP);
        total_bytes(weights, shape, &Request { n_ctx, ..*request }) <= budget_bytes
    };
    // A longer context never takes less: halving finds the edge.
    let (mut fitting, mut beyond) = (0, (shape.n_ctx_train / N_CTX_STEP).max(1) + 1);
    while beyond - fitting > 1 {
        let middle = fitting + (beyond - fitting) / 2;
        if fits(middle) { fitting = middle } else { beyond = middle }
    }
    (fitting > 0).then_some(fitting * N_CTX_STEP)
}

/// Of `mixes`, the one with most bytes with which `request` fits into `budget_bytes`; the first of
/// equals.
pub fn best_mix(
    mixes: &[(FileMix, WeightBytes)],
    shape: &ModelShape,
    request: &Request,
    budget_bytes: u64,
) -> Option<FileMix> {
    let fitting =
        mixes.iter().filter(|(_, w)| total_bytes(w, shape, request) <= budget_bytes).rev();
    fitting.max_by_key(|(_, weights)| weights.total_bytes()).map(|(mix, _)| *mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

    const MIB: f64 = (1 << 20) as f64;

    fn shape(name: &str) -> ModelShape {
        Catalogue::built_in().unwrap().get(name).unwrap().clone()
    }

    fn survey(name: &str, n_ctx: u32) -> MemoryDetail {
        let shape = shape(name);
        let weights = WeightBytes::of_mix(&shape, FileMix::Q4_K_M.by(Rules::Mid2024));
        MemoryDetail::new(&weights, &shape, &Request { n_ctx, ..Request::survey() })
    }

    fn mib(bytes: u64) -> f64 {
        bytes as f64 / MIB
    }

    /// Rows digitised from the vector figure of the survey's memory by model ("Small Language
    /// Models: Survey, Measurements, and Insights", arXiv 2409.15790), in MiB. What the survey
    /// calls a model's parameters is off where they are 1 GiB or more (1.15 GiB became 1150 MiB),
    /// and "other" took the difference: only their sum is held.
    #[test]
    fn the_surveys_memory_figure_follows_from_its_settings() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/survey-memory.csv");
        let rows = std::fs::read_to_string(path).unwrap();
        let mut n_rows = 0;
        for row in rows.lines().skip(1) {
            let (name, numbers) = row.split_once(',').unwrap();
            let numbers: Vec<f64> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
            let [compute, kv, weights, other] = numbers[..] else { panic!("{row}") };
            let detail = survey(name, 2048);
            let found = mib(detail.buffers.compute_bytes);
            let off = (found - compute).abs();
            assert!(off <= 0.5, "{name}: {found}, the figure says {compute}");
            assert!((mib(detail.kv_bytes()) - kv).abs() <= 0.1, "{name}");
            let rest = detail.total_bytes() - detail.kv_bytes() - detail.buffers.compute_bytes;
            let off = (mib(rest) - weights - other).abs();
            assert!(off <= 0.5, "{name}: {} for {}", mib(rest), weights + other);
            n_rows += 1;
        }
        assert_eq!(n_rows, 12);
    }

    /// The text's 83 to 87 % and 85 to 90 %, and what they come from.
    #[test]
    fn at_the_longest_context_cache_and_scores_take_the_shares_the_survey_tells() {
        for (name, n_ctx, kv, compute, total, share) in [
            ("Qwen2-0.5B", 131_072, 1536, 3847, 6153, 87.5),
            ("Qwen2-1.5B", 131_072, 3584, 3340, 8301, 83.4),
            ("Qwen1.5-0.5B", 32_768, 3072, 1096, 4617, 90.3),
            ("Qwen1.5-1.8B", 32_768, 6144, 1104, 8472, 85.5),
        ] {
            let detail = survey(name, n_ctx);
            let (found_kv, found) = (detail.kv_bytes(), detail.buffers.compute_bytes);
            assert_eq!(mib(found_kv).round() as u64, kv, "{name}");
            assert_eq!(mib(found).round() as u64, compute, "{name}");
            assert_eq!(mib(detail.total_bytes()).round() as u64, total, "{name}");
            let found = 100.0 * (found_kv + found) as f64 / detail.total_bytes() as f64;
            assert!((found - share).abs() < 0.05, "{name}: {found}");
        }
    }

    #[test]
    fn a_tied_embedding_is_held_twice_only_where_everything_is_offloaded() {
        let shape = shape("Qwen2-0.5B");
        let weights = WeightBytes::of_mix(&shape, FileMix::Q4_K_M);
        let request = Request::new(&Settings::default(), 2048);
        assert_eq!(MemoryDetail::new(&weights, &shape, &request).weight_copy_bytes, 0);
        let full = Request { offload: Offload::Full, ..request };
        let copy = MemoryDetail::new(&weights, &shape, &full).weight_copy_bytes;
        assert_eq!(copy, 151_936 * 896 * 34 / 32);
    }

    #[test]
    fn a_context_is_padded_as_llama_cpp_does_today_and_did() {
        let padded = |rules, flash_attn, n_ctx| {
            Request { rules, flash_attn, n_ctx, ..Request::survey() }.padded_n_ctx()
        };
        assert_eq!(padded(Rules::Today, false, 100), 256);
        assert_eq!(padded(Rules::Mid2024, false, 100), 128);
        assert_eq!(padded(Rules::Mid2024, true, 100), 256);
        assert_eq!(padded(Rules::Today, true, u32::MAX), u32::MAX);
    }

    #[test]
    fn windows_save_what_lies_before_them() {
        let weights = WeightBytes::default();
        let request = Request::new(&Settings::default(), 32_768);
        for (name, whole, kept) in [("Gemma-3-1B", 4, 1024), ("Gemma-2-2B", 13, 4608)] {
            let shape = shape(name);
            let detail = MemoryDetail::new(&weights, &shape, &request);
            let per_token = detail.kv_layer_bytes[0] / 32_768;
            let windowed = u64::from(shape.n_layer) - whole;
            let expected = per_token * (whole * 32_768 + windowed * kept);
            assert_eq!(detail.kv_windowed_bytes, Some(expected), "{name}");
            let asked = Request { swa_full: false, ..request };
            assert_eq!(MemoryDetail::new(&weights, &shape, &asked).kv_bytes(), expected);
            // Where the context is shorter than the window, there is nothing to save.
            let short = MemoryDetail::new(&weights, &shape, &Request { n_ctx: 512, ..request });
            assert_eq!(short.kv_windowed_bytes, Some(short.kv_bytes()));
        }
        let detail = MemoryDetail::new(&weights, &shape("Phi-3-mini-4k"), &request);
        assert_eq!(detail.kv_windowed_bytes, None);
    }

    #[test]
    fn what_is_kept_flat_is_the_sum_of_the_parts() {
        let shape = shape("Gemma-3-1B");
        for offload in [Offload::None, Offload::Full] {
            let request = Request { offload, ..Request::new(&Settings::default(), 5000) };
            let weights = WeightBytes::of_mix(&shape, FileMix::Q8_0);
            let detail = MemoryDetail::new(&weights, &shape, &request);
            assert_eq!(detail.total_bytes(), total_bytes(&weights, &shape, &request));
            assert_eq!(detail.kv_bytes(), detail.budget().kv_bytes);
        }
    }

    #[test]
    fn the_largest_context_fits_and_the_next_does_not() {
        let catalogue = Catalogue::built_in().unwrap();
        let request = Request::new(&Settings::default(), 0);
        let mut n_edges = 0;
        for shape in catalogue.shapes() {
            let weights = WeightBytes::of_mix(shape, FileMix::Q4_0);
            for budget in [1 << 20, 1 << 29, 1 << 31, 1 << 32, 1 << 34] {
                let total = |n_ctx| total_bytes(&weights, shape, &Request { n_ctx, ..request });
                match largest_n_ctx(&weights, shape, &request, budget) {
                    None => assert!(total(256) > budget),
                    Some(n_ctx) => {
                        assert!(n_ctx.is_multiple_of(256) && n_ctx <= shape.n_ctx_train);
                        assert!(total(n_ctx) <= budget);
                        if n_ctx + 256 <= shape.n_ctx_train {
                            n_edges += 1;
                            assert!(total(n_ctx + 256) > budget, "{}", shape.name);
                        }
                    }
                }
            }
        }
        assert!(n_edges > 50, "{n_edges}");
    }

    #[test]
    fn the_best_mix_has_the_most_bits_that_fit() {
        let shape = shape("Qwen2.5-0.5B");
        let request = Request::new(&Settings::default(), 2048);
        let mixes: Vec<_> =
            FileMix::ALL.iter().map(|&m| (m, WeightBytes::of_mix(&shape, m))).collect();
        let best = |bytes| best_mix(&mixes, &shape, &request, bytes);
        assert_eq!(best(u64::MAX), Some(FileMix::F32));
        assert_eq!(best(0), None);
        let exact = total_bytes(&mixes[3].1, &shape, &request);
        assert_eq!(best(exact), Some(FileMix::Q8_0));
        assert_ne!(best(exact - 1), Some(FileMix::Q8_0));
    }
}
