//! What a phase of a cell asks for, in the terms that coefficients apply to.

use std::collections::BTreeMap;

use super::work::{Call, Work};
use crate::ggml::GgmlType;
use crate::model::{ModelShape, TensorSpec};

/// One of the two phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The prompt.
    Prefill,
    /// One token after the other.
    Decode,
}

impl Phase {
    /// Both, in the order in which they run.
    pub const BOTH: [Phase; 2] = [Phase::Prefill, Phase::Decode];

    /// How near to what is measured predictions are meant to be, as a share of it.
    pub fn aim(self) -> f64 {
        match self {
            Phase::Prefill => 0.3,
            Phase::Decode => 0.2,
        }
    }

    /// As in tables.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
        }
    }
}

/// A pass: what is asked of a model, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Prompt tokens.
    pub n_prompt: u32,
    /// Decode calls behind them.
    pub n_gen: u32,
    /// Tokens in the cache before.
    pub n_depth: u32,
    /// Tokens that go through the graph together at the most.
    pub n_ubatch: u32,
    /// Element type of the keys in the cache.
    pub type_k: GgmlType,
    /// Element type of the values in the cache.
    pub type_v: GgmlType,
    /// Whether attention is computed in one step.
    pub flash_attn: bool,
}

/// Products with weights of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Product {
    /// Bytes of weights read.
    pub bytes: f64,
    /// Operations.
    pub ops: f64,
}

/// What a phase has to do: a whole prompt, or one decode call at the middle depth of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Which phase.
    pub phase: Phase,
    /// Tokens that come of it: those of the prompt, or one.
    pub n_tokens: u32,
    /// Products with weights, by the weights' type.
    pub products: BTreeMap<GgmlType, Product>,
    /// Bytes of the cache read.
    pub kv_bytes: f64,
    /// Operations of attention.
    pub attention_ops: f64,
    /// Whether the cache is quantised.
    pub quantised_cache: bool,
    /// Whether attention is computed in one step.
    pub flash_attn: bool,
    /// Steps of the graph that all threads wait for each other behind, over all micro-batches.
    pub n_steps: f64,
    /// Numbers that are touched between products: norms, rotations, activations, sums.
    pub n_touched: f64,
}

/// Steps of a layer beside one for each of its tensors: rotations, writing the cache, attention, sums.
const STEPS_OF_A_LAYER: usize = 12;
/// Numbers of a token and layer that are touched between products, in multiples of its width: two
/// norms with their scales, two sums, and quantising what goes into the products.
const TOUCHES: u64 = 8;
/// The same of the feed-forward network's inner width: activation, gate, quantising.
const TOUCHES_OF_FFN: u64 = 3;

impl Task {
    /// What `phase` of `pass` has to do with a model of this shape with these tensors; `None` where
    /// the pass has no such phase.
    pub fn new(
        phase: Phase,
        shape: &ModelShape,
        tensors: &[(TensorSpec, GgmlType)],
        pass: &Pass,
    ) -> Option<Task> {
        let (n_tokens, n_past) = match phase {
            Phase::Prefill => (pass.n_prompt, pass.n_depth),
            // Time grows evenly with depth: the middle stands for all.
            Phase::Decode => (
                1.min(pass.n_gen),
                pass.n_depth.saturating_add(pass.n_prompt).saturating_add(pass.n_gen / 2),
            ),
        };
        if n_tokens == 0 {
            return None;
        }
        let Pass { n_ubatch, type_k, type_v, flash_attn, .. } = *pass;
        let n_ubatch = n_ubatch.max(1);
        let call = Call { n_tokens, n_past, n_ubatch, type_k, type_v };
        let work = Work::new(shape, tensors, call);
        let n_batches = n_tokens.div_ceil(n_ubatch);
        let in_layers = tensors.iter().filter(|(tensor, _)| tensor.name.starts_with("blk."));
        let steps = in_layers.count() + STEPS_OF_A_LAYER * shape.n_layer as usize;
        let touched_by_token = (0..shape.n_layer).map(|layer| {
            TOUCHES * u64::from(shape.n_embd) + TOUCHES_OF_FFN * u64::from(shape.n_ff.at(layer))
        });
        Some(Task {
            phase,
            n_tokens,
            products: products(&work, shape, tensors, call),
            kv_bytes: work.kv_bytes as f64,
            attention_ops: match flash_attn {
                true => work.attention_ops as f64,
                false => plain_attention_ops(shape, call),
            },
            quantised_cache: type_k.block_size() > 1 || type_v.block_size() > 1,
            flash_attn,
            n_steps: steps as f64 * f64::from(n_batches),
            n_touched: touched_by_token.sum::<u64>() as f64 * f64::from(n_tokens),
        })
    }

    /// All that is read.
    pub fn bytes(&self) -> f64 {
        self.products.values().map(|product| product.bytes).sum::<f64>() + self.kv_bytes
    }
}

/// Positions that attention in several steps is computed over come in multiples of this many.
const PADDING: u32 = 256;

/// Operations of attention in several steps: every token's with every position up to the end of its
/// micro-batch and on to the padding, what it may not see being masked only afterwards.
fn plain_attention_ops(shape: &ModelShape, call: Call) -> f64 {
    let width = |layer: u32| {
        shape.n_embd_q(layer) + u64::from(shape.n_head.at(layer)) * u64::from(shape.value_dim())
    };
    let widths: u64 = (0..shape.n_layer).map(width).sum();
    let mut pairs = 0;
    let (mut first, end) = (call.n_past, call.n_past.saturating_add(call.n_tokens));
    while first < end {
        let n = call.n_ubatch.min(end - first);
        first += n;
        pairs += u64::from(n) * u64::from(first).next_multiple_of(u64::from(PADDING));
    }
    2.0 * widths as f64 * pairs as f64
}

/// Operations as `work` has them, and its bytes shared out among the types as a single token meets them.
fn products(
    work: &Work,
    shape: &ModelShape,
    tensors: &[(TensorSpec, GgmlType)],
    call: Call,
) -> BTreeMap<GgmlType, Product> {
    let one = Work::new(shape, tensors, Call { n_tokens: 1, ..call });
    let met = |ty: &GgmlType, ops: &u64| *ops as f64 / 2.0 * ty.bits_per_element() / 8.0;
    let all: f64 = one.matmul_ops.iter().map(|(ty, ops)| met(ty, ops)).sum();
    let share = |ty: &GgmlType| one.matmul_ops.get(ty).map_or(0.0, |ops| met(ty, ops) / all);
    let product = |(ty, ops): (&GgmlType, &u64)| {
        let bytes = work.weight_bytes as f64 * share(ty);
        (*ty, Product { bytes, ops: *ops as f64 })
    };
    work.matmul_ops.iter().map(product).collect()
}
