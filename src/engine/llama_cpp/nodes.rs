//! What a node of llama.cpp's graph is: its kind, its part of the model, its layer, what it does.
//!
//! By the tensors that go in, whose names are the file's, rather than by the graph's own names, which
//! change with llama.cpp; those only where no weight goes in.

use super::eval::{Node, Tensor};
use crate::engine::{Op, OpCost, OpKind, OpSpan, Spans};
use crate::model::{TensorGroup, group_of};

/// The tokens that a layer looks back, where it has a window.
type Window<'a> = &'a dyn Fn(u32) -> Option<u32>;

/// The nodes of a call behind `n_past` tokens, in the words that all engines share.
pub fn spans(nodes: &[Node], n_past: u32, window: Window) -> Spans {
    let mut spans = Spans { n_stamps: 2 * nodes.len() as u64, ..Spans::default() };
    let mut layer = None;
    let mut n_seen = u64::from(n_past);
    for (i, node) in nodes.iter().enumerate() {
        let op = op(node, &mut layer);
        // A further micro-batch begins with its own look-up.
        if op.kind == OpKind::Lookup && i > 0 {
            layer = None;
            n_seen += previous_batch(nodes, i);
        }
        let window = op.layer.and_then(window).map_or(u64::MAX, u64::from);
        let cost = cost(node, &op, n_seen, window);
        spans.spans.push(OpSpan {
            op: i as u32,
            thread: 0,
            start_ns: node.start_ns,
            end_ns: node.end_ns,
            busy_ns: node.end_ns - node.start_ns,
        });
        spans.ops.push((op, cost));
    }
    spans
}

/// Tokens of the micro-batch before node `i`.
fn previous_batch(nodes: &[Node], i: usize) -> u64 {
    let lookups = nodes[..i].iter().rev().find(|node| is_lookup(node));
    lookups.map_or(0, |node| node.result.ne[1])
}

fn is_lookup(node: &Node) -> bool {
    node.op == "GET_ROWS" && weight(node).is_some_and(|w| w.name.starts_with("token_embd"))
}

/// The weight that goes into a node.
fn weight(node: &Node) -> Option<&Tensor> {
    node.sources.iter().find(|source| is_weight(source))
}

fn is_weight(tensor: &Tensor) -> bool {
    !tensor.is_view && [".weight", ".bias"].iter().any(|end| tensor.name.ends_with(end))
}

fn op(node: &Node, current: &mut Option<u32>) -> Op {
    let weight = weight(node);
    let (name, own_layer) = name_of(node, weight);
    let kind = kind(node, weight);
    let part = part(node, weight, kind, &name);
    // What lies between two named nodes belongs to the layer of the first.
    let layer = match part {
        Some(TensorGroup::Embedding | TensorGroup::Output) => None,
        _ if name.starts_with("result") || name.starts_with("output") => None,
        _ => own_layer.or(*current),
    };
    *current = layer;
    let ty = weight.filter(|_| kind == OpKind::Matmul).and_then(|weight| weight.ty);
    Op { name, kind, part, layer, ty, is_alone: false }
}

/// A weight's name without layer and ending, or the node's own; and the layer that it tells.
fn name_of(node: &Node, weight: Option<&Tensor>) -> (String, Option<u32>) {
    if let Some(weight) = weight {
        let stem = weight.name.rsplit_once('.').map_or(&*weight.name, |(stem, _)| stem);
        let in_layer = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        return match in_layer.map(|(layer, name)| (layer.parse().ok(), name)) {
            Some((Some(layer), name)) => (name.to_owned(), Some(layer)),
            _ => (stem.to_owned(), None),
        };
    }
    // `Qcur-3 (reshaped)`
    let name = node.result.name.split(" (").next().unwrap_or_default();
    if let Some((name, layer)) = name.rsplit_once('-')
        && let Ok(layer) = layer.parse()
    {
        return (name.to_owned(), Some(layer));
    }
    match name.is_empty() || name.starts_with("node_") || name.starts_with("cache_") {
        // The caches are named by layer: `cache_k_l3`.
        true => {
            let layer = name.rsplit_once("_l").and_then(|(_, layer)| layer.parse().ok());
            (node.op.to_lowercase(), layer)
        }
        false => (name.to_owned(), None),
    }
}

fn kind(node: &Node, weight: Option<&Tensor>) -> OpKind {
    let of_norm = weight.is_some_and(|weight| group_of(&weight.name) == TensorGroup::Norm);
    match node.op.as_str() {
        "MUL_MAT" | "MUL_MAT_ID" if weight.is_some() => OpKind::Matmul,
        "MUL_MAT" | "FLASH_ATTN_EXT" | "SOFT_MAX" => OpKind::Attention,
        "ROPE" => OpKind::Rope,
        "NORM" | "RMS_NORM" | "GROUP_NORM" | "L2_NORM" => OpKind::Norm,
        "MUL" | "ADD" if of_norm => OpKind::Norm,
        "GLU" | "UNARY" | "SILU" | "GELU" => OpKind::Activation,
        "ADD" | "ADD1" | "SUB" => OpKind::Add,
        "GET_ROWS" if is_lookup(node) => OpKind::Lookup,
        "GET_ROWS" | "SET_ROWS" | "CPY" | "CONT" | "DUP" | "CONCAT" | "REPEAT" => OpKind::Copy,
        _ => OpKind::Other,
    }
}

fn part(node: &Node, weight: Option<&Tensor>, kind: OpKind, name: &str) -> Option<TensorGroup> {
    if kind == OpKind::Norm {
        return Some(TensorGroup::Norm);
    }
    if let Some(weight) = weight {
        // The embedding multiplied with is the output head.
        return Some(match group_of(&weight.name) {
            TensorGroup::Embedding if kind == OpKind::Matmul => TensorGroup::Output,
            group => group,
        });
    }
    let starts = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    if kind == OpKind::Attention || kind == OpKind::Rope || node.sources.iter().any(|s| s.of_cache)
    {
        return Some(TensorGroup::Attention);
    }
    if node.result.of_cache || starts(&["Q", "K", "V", "kq", "attn", "ffn_inp"]) {
        return Some(TensorGroup::Attention);
    }
    if kind == OpKind::Activation || starts(&["ffn", "l_out"]) {
        return Some(TensorGroup::Ffn);
    }
    if starts(&["result"]) {
        return Some(TensorGroup::Output);
    }
    starts(&["inp", "embd"]).then_some(TensorGroup::Embedding)
}

/// What a node took and did. Of elementwise operations the count is nominal: 4 for each number of a
/// norm, 3 of a turn, 5 of a function.
///
/// Flash attention leaves out what the mask hides; attention in several steps multiplies with it, and with
/// the padding of the cache, so there both count.
fn cost(node: &Node, op: &Op, n_past: u64, window: u64) -> OpCost {
    let n = node.result.n_elements();
    let attends = node.op == "FLASH_ATTN_EXT";
    let ops = match (op.kind, &node.sources[..]) {
        (_, [q, k, v, ..]) if attends => {
            2 * q.ne[2] * (k.ne[0] + v.ne[0]) * seen(n_past, q.ne[1], window)
        }
        (OpKind::Matmul | OpKind::Attention, [a, ..]) if node.op.starts_with("MUL_MAT") => {
            2 * a.ne[0] * n
        }
        (OpKind::Attention | OpKind::Activation, _) => 5 * n,
        (OpKind::Norm, _) => 4 * n,
        (OpKind::Rope, _) => 3 * n,
        (OpKind::Add | OpKind::Other, _) => n,
        _ => 0,
    };
    if let (true, [written, ..]) = (node.result.of_cache, &node.sources[..]) {
        // What comes out is the whole cache; written is what goes in, in its type.
        let ty = node.result.ty.unwrap_or(crate::ggml::GgmlType::F16);
        let memory_bytes = ty.bytes_for(written.n_elements()).unwrap_or(written.bytes);
        let bytes = written.bytes + memory_bytes;
        return OpCost { ns: node.end_ns - node.start_ns, calls: 1, ops: 0, bytes, memory_bytes };
    }
    let mut memory_bytes = 0;
    let mut bytes = node.result.bytes;
    for source in &node.sources {
        let read = match op.kind {
            // Of what is looked up only the rows that come out are read.
            OpKind::Lookup | OpKind::Copy => source.bytes.min(node.result.bytes),
            // Of the cache as far as it is filled; the rest is padding, which the mask hides.
            _ if attends && source.of_cache => {
                let tokens = node.sources[0].ne[1];
                let kept = (n_past + tokens).min(window.saturating_add(tokens));
                let held = kept.min(source.ne[1].max(1));
                source.bytes / source.ne[1].max(1) * held
            }
            _ => source.bytes,
        };
        bytes += read;
        if is_weight(source) || source.of_cache {
            memory_bytes += read;
        }
    }
    OpCost { ns: node.end_ns - node.start_ns, calls: 1, ops, bytes, memory_bytes }
}

/// Positions that `n` tokens behind `n_past` see together, each those before it and itself, no further
/// back than the window.
fn seen(n_past: u64, n: u64, window: u64) -> u64 {
    let whole = window.saturating_sub(n_past).min(n);
    let within = whole * n_past + whole * (whole + 1) / 2;
    within + (n - whole).saturating_mul(if whole < n { window } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::GgmlType;

    fn tensor(name: &str, ne: [u64; 4], ty: GgmlType) -> Tensor {
        let bytes = ty.bytes_for(ne.iter().product()).unwrap();
        let of_cache = name.starts_with("cache_");
        Tensor { name: name.to_owned(), is_view: of_cache, of_cache, ty: Some(ty), ne, bytes }
    }

    fn node(op: &str, result: &str, ne: [u64; 4], sources: Vec<Tensor>) -> Node {
        let result = tensor(result, ne, GgmlType::F32);
        Node { op: op.to_owned(), result, sources, start_ns: 10, end_ns: 15 }
    }

    fn float(name: &str, ne: [u64; 4]) -> Tensor {
        tensor(name, ne, GgmlType::F32)
    }

    #[test]
    fn a_product_is_known_by_its_weight() {
        let weight = tensor("blk.3.ffn_down.weight", [256, 64, 1, 1], GgmlType::Q8_0);
        let node =
            node("MUL_MAT", "ffn_out-3", [64, 2, 1, 1], vec![weight, float("x", [256, 2, 1, 1])]);
        let spans = spans(&[node], 0, &|_| None);
        let (op, cost) = &spans.ops[0];
        assert_eq!(
            (op.name.as_str(), op.layer, op.ty),
            ("ffn_down", Some(3), Some(GgmlType::Q8_0))
        );
        assert_eq!((op.kind, op.part), (OpKind::Matmul, Some(TensorGroup::Ffn)));
        assert_eq!(cost.ops, 2 * 256 * 64 * 2);
        assert_eq!(cost.memory_bytes, 256 * 64 / 32 * 34);
        assert_eq!(cost.bytes, cost.memory_bytes + 4 * (2 * 256 + 2 * 64));
    }

    #[test]
    fn the_embedding_is_looked_up_at_the_beginning_and_multiplied_with_at_the_end() {
        let embedding = || tensor("token_embd.weight", [64, 1000, 1, 1], GgmlType::F16);
        let nodes = [
            node(
                "GET_ROWS",
                "embd",
                [64, 2, 1, 1],
                vec![embedding(), float("inp_tokens", [2, 1, 1, 1])],
            ),
            node("RMS_NORM", "norm-0", [64, 2, 1, 1], vec![float("embd", [64, 2, 1, 1])]),
            node(
                "MUL_MAT",
                "result_output",
                [1000, 1, 1, 1],
                vec![embedding(), float("x", [64, 1, 1, 1])],
            ),
        ];
        let spans = spans(&nodes, 0, &|_| None);
        let said: Vec<_> = spans.ops.iter().map(|(op, _)| (op.kind, op.part, op.layer)).collect();
        assert_eq!(
            said,
            [
                (OpKind::Lookup, Some(TensorGroup::Embedding), None),
                (OpKind::Norm, Some(TensorGroup::Norm), Some(0)),
                (OpKind::Matmul, Some(TensorGroup::Output), None),
            ]
        );
        assert!(spans.ops[0].1.memory_bytes <= 2 * 64 * 4 + 8);
    }

    #[test]
    fn attention_counts_what_is_seen_and_not_the_padding() {
        let k = tensor("cache_k_l0 (view)", [64, 256, 2, 1], GgmlType::F16);
        let q = float("Qcur-0", [64, 4, 6, 1]);
        let attend = node("FLASH_ATTN_EXT", "__fattn__-0", [64, 6, 4, 1], vec![q, k.clone(), k]);
        let (op, cost) = spans(&[attend], 10, &|_| None).ops.remove(0);
        assert_eq!(
            (op.kind, op.part, op.layer),
            (OpKind::Attention, Some(TensorGroup::Attention), Some(0))
        );
        assert_eq!(cost.ops, 2 * 6 * 128 * (4 * 10 + 10));
        assert_eq!(cost.memory_bytes, 2 * (64 * 2 * 2) * 14);
    }

    #[test]
    fn a_window_bounds_what_a_token_sees() {
        assert_eq!(seen(10, 4, u64::MAX), 11 + 12 + 13 + 14);
        assert_eq!(seen(10, 4, 12), 11 + 12 + 12 + 12);
        assert_eq!(seen(0, 3, 512), 1 + 2 + 3);
    }

    #[test]
    fn scaling_belongs_to_nobodys_kind_and_is_told() {
        let scale = node("SCALE", "inp_scaled", [64, 1, 1, 1], vec![float("x", [64, 1, 1, 1])]);
        let (op, cost) = spans(&[scale], 0, &|_| None).ops.remove(0);
        assert_eq!((op.kind, op.part), (OpKind::Other, Some(TensorGroup::Embedding)));
        assert_eq!(cost.ops, 64);
    }

    #[test]
    fn what_has_no_name_belongs_to_the_layer_before_it() {
        let x = || float("x", [64, 1, 1, 1]);
        let nodes = [
            node("ROPE", "Qcur-5", [64, 1, 1, 1], vec![x()]),
            node("ADD", "node_77", [64, 1, 1, 1], vec![x(), x()]),
            node("SET_ROWS", "cache_k_l6 (view)", [64, 1, 1, 1], vec![x()]),
        ];
        let layers: Vec<_> =
            spans(&nodes, 0, &|_| None).ops.into_iter().map(|(op, _)| op.layer).collect();
        assert_eq!(layers, [Some(5), Some(5), Some(6)]);
    }
}
