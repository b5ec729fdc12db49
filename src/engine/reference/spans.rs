//! The built-in engine's own account of a call, in the words that all engines share.

use super::ReferenceSession;
use crate::engine::{Op, OpCost, OpKind, OpSpan, ProfiledSession, Spans};
use crate::model::{TensorGroup, group_of};
use crate::reference::profile::{Profile, Step, StepCost, StepKind};

impl ProfiledSession for ReferenceSession {
    fn take_spans(&mut self, on: bool) {
        self.session.take_profile(on);
    }

    fn stamp_ns(&self) -> Option<f64> {
        Some(self.session.stamp_ns())
    }

    fn spans(&mut self) -> Vec<Spans> {
        self.session.profiles().iter().map(spans).collect()
    }
}

fn spans(profile: &Profile) -> Spans {
    Spans {
        ops: profile.steps.iter().map(|(step, cost)| (op(step), told(step, cost))).collect(),
        spans: profile
            .stretches
            .iter()
            .map(|stretch| OpSpan {
                op: stretch.step as u32,
                thread: stretch.thread as u32,
                start_ns: stretch.start_ns,
                end_ns: stretch.end_ns,
                busy_ns: stretch.busy_ns,
            })
            .collect(),
        n_stamps: profile.n_stamps,
    }
}

fn op(step: &Step) -> Op {
    let (kind, ty) = match step.kind {
        StepKind::Matmul(ty) => (OpKind::Matmul, Some(ty)),
        StepKind::Attention => (OpKind::Attention, None),
        StepKind::Rope => (OpKind::Rope, None),
        StepKind::Norm => (OpKind::Norm, None),
        StepKind::Activation => (OpKind::Activation, None),
        StepKind::Copy => (OpKind::Copy, None),
        StepKind::Quantise => (OpKind::Quantise, None),
        StepKind::Lookup => (OpKind::Lookup, None),
        StepKind::Wait => (OpKind::Wait, None),
        StepKind::Spans => (OpKind::Spans, None),
    };
    // Reading the clock is no part of a model; waiting is one of whatever is waited for.
    let part = (kind != OpKind::Spans).then(|| part(step));
    let is_alone = step.is_alone;
    Op { name: step.name.to_owned(), kind, part, layer: step.layer, ty, is_alone }
}

/// Steps are called after their tensors, so the part of one is that of its name.
fn part(step: &Step) -> TensorGroup {
    match step.layer {
        Some(layer) => group_of(&format!("blk.{layer}.{}", step.name)),
        None => group_of(step.name),
    }
}

fn told(step: &Step, cost: &StepCost) -> OpCost {
    // Waiting and reading the clock are time, nothing that is done so often.
    let is_idle = matches!(step.kind, StepKind::Wait | StepKind::Spans);
    let &StepCost { ns, ops, bytes, memory_bytes } = cost;
    OpCost { ns, calls: u64::from(!is_idle), ops, bytes, memory_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::GgmlType;

    #[test]
    fn a_step_belongs_to_the_part_that_its_name_says() {
        use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
        for (name, layer, expected) in [
            ("token_embd", None, Embedding),
            ("rope_angles", None, Attention),
            ("attn_norm", Some(3), Norm),
            ("attn_qkv", Some(3), Attention),
            ("rope_k", Some(3), Attention),
            ("attn_kv_store", Some(3), Attention),
            ("attn_scores", Some(3), Attention),
            ("ffn_norm", Some(3), Norm),
            ("ffn_act", Some(3), Ffn),
            ("ffn_down", Some(3), Ffn),
            ("position_embd", None, Embedding),
            ("token_embd_norm", None, Norm),
            ("token_embd_in", None, Embedding),
            ("attn_q_norm", Some(3), Norm),
            ("attn_kv_a_norm", Some(3), Norm),
            ("attn_qkv_a", Some(3), Attention),
            ("attn_kv_b", Some(3), Attention),
            ("post_attention_norm", Some(3), Norm),
            ("post_ffw_norm", Some(3), Norm),
            ("output_norm", None, Norm),
            ("output", None, Output),
            ("output_cap", None, Output),
        ] {
            let step =
                Step { name, kind: StepKind::Matmul(GgmlType::Q8_0), layer, is_alone: false };
            assert_eq!(op(&step).part, Some(expected), "{name}");
        }
        let reading = Step { name: "output", kind: StepKind::Spans, layer: None, is_alone: false };
        assert_eq!(op(&reading).part, None);
    }
}
