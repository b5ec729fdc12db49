//! What a call has to do: operations and bytes, from shapes and types.
//!
//! Counted is what the model asks for, not what an engine happens to do: each weight is read once for
//! a micro-batch, each position is attended to by the tokens that may see it, and behind the cache of
//! the last layer only tokens whose logits are wanted are computed. An engine that pads, copies or
//! masks does more than that.

use std::collections::BTreeMap;

use crate::ggml::GgmlType;
use crate::model::{ModelShape, TensorGroup, TensorSpec, group_of};

/// A call: tokens that go through the model behind those in the cache, for the logits of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Tokens that are run.
    pub n_tokens: u32,
    /// Tokens in the cache before.
    pub n_past: u32,
    /// Tokens that go through the graph together at the most.
    pub n_ubatch: u32,
    /// Element type of the keys in the cache.
    pub type_k: GgmlType,
    /// Element type of the values in the cache.
    pub type_v: GgmlType,
}

/// What a call has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of weights read, once for each micro-batch. A token embedding that is not the output head
    /// as well is not among them: of it a row is looked up for each token.
    pub weight_bytes: u64,
    /// Bytes of the cache read, once for each micro-batch.
    pub kv_bytes: u64,
    /// Operations of products with weights, by the weights' type; a product and its addition are two.
    pub matmul_ops: BTreeMap<GgmlType, u64>,
    /// Operations of queries with keys and of scores with values.
    pub attention_ops: u64,
}

impl Work {
    /// That of `call` on a model of this shape with these tensors.
    pub fn new(shape: &ModelShape, tensors: &[(TensorSpec, GgmlType)], call: Call) -> Work {
        let mut work = Work::default();
        let (step, end) = (call.n_ubatch.max(1), call.n_past.saturating_add(call.n_tokens));
        let mut first = call.n_past;
        while first < end {
            let n = step.min(end - first);
            work.add_batch(shape, tensors, call, Batch { first, n, is_last: first + n == end });
            first += n;
        }
        work
    }

    /// Bytes that come from memory, however fast the caches are: weights and cache.
    pub fn bytes(&self) -> u64 {
        self.weight_bytes + self.kv_bytes
    }

    /// All operations.
    pub fn ops(&self) -> u64 {
        self.matmul_ops.values().sum::<u64>() + self.attention_ops
    }

    fn add_batch(
        &mut self,
        shape: &ModelShape,
        tensors: &[(TensorSpec, GgmlType)],
        call: Call,
        batch: Batch,
    ) {
        let n_outputs = u64::from(batch.is_last);
        let has_head = tensors.iter().any(|(tensor, _)| tensor.name == HEAD);
        for (tensor, ty) in tensors {
            let bytes = ty.bytes_for(tensor.n_elements()).unwrap_or(0);
            // How many tokens meet this tensor.
            let n = match (tensor.name.as_str(), layer_of(&tensor.name)) {
                (EMBEDDING, _) if has_head => continue,
                (EMBEDDING, _) | (HEAD, _) => n_outputs,
                (name, None) if group_of(name) == TensorGroup::Embedding => continue,
                (_, None) => n_outputs,
                (name, Some(layer)) if layer + 1 == shape.n_layer && is_behind_cache(name) => {
                    n_outputs
                }
                (_, Some(_)) => u64::from(batch.n),
            };
            if n == 0 {
                continue;
            }
            self.weight_bytes += bytes;
            if tensor.dims.len() > 1 {
                *self.matmul_ops.entry(*ty).or_default() += 2 * tensor.n_elements() * n;
            }
        }
        for layer in 0..shape.n_layer {
            let window = shape.window(layer).unwrap_or(u32::MAX);
            let outputs_only = layer + 1 == shape.n_layer;
            let seen = match outputs_only {
                true => n_outputs * u64::from((batch.first + batch.n).min(window)),
                false => seen(batch, window),
            };
            let width = shape.n_embd_q(layer)
                + u64::from(shape.n_head.at(layer)) * u64::from(shape.value_dim());
            self.attention_ops += 2 * width * seen;
            if outputs_only && n_outputs == 0 {
                continue;
            }
            let held = u64::from(batch.first + batch.n)
                .min(u64::from(window).saturating_add(u64::from(batch.n)));
            let side = |ty: GgmlType, width: u64| {
                ty.bytes_for(width * held).unwrap_or(width * held * ty.block_bytes())
            };
            self.kv_bytes += side(call.type_k, shape.n_embd_k(layer));
            self.kv_bytes += side(call.type_v, shape.n_embd_v(layer));
        }
    }
}

/// Tokens that go through the graph together.
#[derive(Clone, Copy)]
struct Batch {
    /// The position of the first.
    first: u32,
    n: u32,
    /// The last one's logits are wanted.
    is_last: bool,
}

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// Positions that the tokens of a batch see, summed up: each those before it and itself.
fn seen(batch: Batch, window: u32) -> u64 {
    let (first, n, window) = (u64::from(batch.first), u64::from(batch.n), u64::from(window));
    // Those whose whole past lies within the window, and the others.
    let whole = window.saturating_sub(first).min(n);
    whole * first + whole * (whole + 1) / 2 + (n - whole) * window
}

fn layer_of(tensor: &str) -> Option<u32> {
    tensor.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Whether a tensor of a layer is met only after keys and values were written.
fn is_behind_cache(name: &str) -> bool {
    match group_of(name) {
        TensorGroup::Ffn => true,
        TensorGroup::Attention => name.contains("attn_output"),
        _ => name.contains("ffn_") || name.contains("post_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Catalogue, FileMix};

    fn call(n_tokens: u32, n_past: u32) -> Call {
        let f16 = GgmlType::F16;
        Call { n_tokens, n_past, n_ubatch: 512, type_k: f16, type_v: f16 }
    }

    fn work(model: &str, mix: FileMix, call: Call) -> Work {
        let catalogue = Catalogue::built_in().unwrap();
        let shape = catalogue.get(model).unwrap();
        Work::new(shape, &mix.tensors(shape), call)
    }

    #[test]
    fn a_decode_call_reads_each_weight_but_an_untied_embedding_once() {
        let catalogue = Catalogue::built_in().unwrap();
        for (model, tied) in [("SmolLM2-135M", true), ("Pythia-160M", false)] {
            let shape = catalogue.get(model).unwrap();
            let tensors = FileMix::F16.tensors(shape);
            let bytes = |(t, ty): &(TensorSpec, GgmlType)| ty.bytes_for(t.n_elements()).unwrap();
            let all: u64 = tensors.iter().map(bytes).sum();
            let embedding = tensors.iter().find(|(t, _)| t.name == EMBEDDING).map(bytes).unwrap();
            let work = Work::new(shape, &tensors, call(1, 0));
            assert_eq!(work.weight_bytes, if tied { all } else { all - embedding }, "{model}");
            // Half precision: an operation for each byte of a matrix, two for each number.
            assert_eq!(work.matmul_ops[&GgmlType::F16], work.weight_bytes - vectors(&tensors));
        }
    }

    fn vectors(tensors: &[(TensorSpec, GgmlType)]) -> u64 {
        let vectors = tensors.iter().filter(|(t, _)| t.dims.len() == 1);
        vectors.map(|(t, ty)| ty.bytes_for(t.n_elements()).unwrap()).sum()
    }

    #[test]
    fn the_cache_is_read_as_far_as_it_is_filled() {
        let work = |n_past| work("SmolLM2-135M", FileMix::Q8_0, call(1, n_past)).kv_bytes;
        // 30 layers, 3 heads of 64, keys and values of 2 bytes.
        assert_eq!(work(0), 30 * 3 * 64 * 2 * 2);
        assert_eq!(work(511), 512 * work(0));
    }

    #[test]
    fn a_prompt_does_the_work_of_its_tokens_but_for_what_lies_behind_the_last_cache() {
        let one = work("SmolLM2-135M", FileMix::Q8_0, call(1, 0));
        let many = work("SmolLM2-135M", FileMix::Q8_0, call(128, 0));
        assert_eq!(many.weight_bytes, one.weight_bytes);
        let (n_layer, n_embd, n_ff, n_vocab, kv) = (30u64, 576u64, 1536u64, 49152u64, 192u64);
        let qkv = n_embd * (n_embd + 2 * kv);
        let rest = n_embd * n_embd + 3 * n_embd * n_ff;
        let expected = 128 * (n_layer * qkv + (n_layer - 1) * rest) + rest + n_embd * n_vocab;
        assert_eq!(many.matmul_ops.values().sum::<u64>(), 2 * expected);
        // 128 tokens see 1 to 128 positions; in the last layer one of them sees all.
        let seen = (n_layer - 1) * 128 * 129 / 2 + 128;
        assert_eq!(many.attention_ops, 2 * 2 * n_embd * seen);
    }

    #[test]
    fn micro_batches_read_the_weights_anew_and_do_no_more() {
        let whole = work("SmolLM2-135M", FileMix::Q8_0, call(512, 0));
        let parts = work("SmolLM2-135M", FileMix::Q8_0, Call { n_ubatch: 128, ..call(512, 0) });
        assert!(parts.weight_bytes > 3 * whole.weight_bytes);
        assert_eq!(parts.attention_ops, whole.attention_ops);
        assert_eq!(parts.matmul_ops, whole.matmul_ops);
    }

    #[test]
    fn a_window_bounds_what_is_seen() {
        let batch = |first, n| Batch { first, n, is_last: true };
        assert_eq!(seen(batch(0, 4), u32::MAX), 1 + 2 + 3 + 4);
        assert_eq!(seen(batch(0, 4), 2), 1 + 2 + 2 + 2);
        assert_eq!(seen(batch(10, 3), 4), 12);
        assert_eq!(seen(batch(3, 3), 5), 4 + 5 + 5);
    }
}
