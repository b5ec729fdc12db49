//! Weights by part of the model: what a large vocabulary costs.

use super::{Labels, Need, mib, mib_text};
use crate::model::TensorGroup;
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::canvas::Color;
use crate::report::plot::distinct;
use crate::report::plot::frame::Frame;
use crate::report::text;

/// Parts in the order they are laid, with their colours and names: what grows with the vocabulary
/// first.
const PARTS: [(TensorGroup, Color, &str); 5] = [
    (TensorGroup::Embedding, Color(0xd5, 0x5e, 0x00), "token embedding"),
    (TensorGroup::Output, Color(0xe6, 0x9f, 0x00), "output head, where it is a tensor of its own"),
    (TensorGroup::Attention, Color(0x00, 0x72, 0xb2), "attention"),
    (TensorGroup::Ffn, Color(0x56, 0xb4, 0xe9), "feed-forward"),
    (TensorGroup::Norm, Color(0x00, 0x00, 0x00), "norms"),
];

/// The plot. Contexts make no difference to weights: each model and quantisation has one bar.
pub fn draw(needs: &[Need]) -> String {
    let labels = Labels::new(needs);
    let groups = distinct(needs.iter().map(|need| need.model)).into_iter().map(|model| {
        let own = || needs.iter().filter(|need| need.model == model);
        let bars = distinct(own().map(|need| need.quant)).into_iter().map(|quant| {
            let need = own().find(|need| need.quant == quant).expect("a quant of its own");
            let label = if labels.quants.len() > 1 { text::plain(quant) } else { String::new() };
            bar(need, label)
        });
        Group { label: text::plain(model), bars: bars.collect() }
    });
    let section = Section { heading: String::new(), groups: groups.collect() };
    let quant = labels.common(false);
    let of_quant = if quant.is_empty() { String::new() } else { format!(" in {quant}") };
    let frame = Frame {
        title: "Weights by part of the model".to_owned(),
        notes: vec![format!(
            "Bytes of all tensors{of_quant}, exact. Behind each bar: the share of embedding and \
             output head, which grow with the vocabulary."
        )],
        keys: PARTS.iter().map(|(_, color, name)| super::key(*color, name)).collect(),
    };
    bars::draw(&frame, &[section], "weights (MiB)")
}

fn bar(need: &Need, label: String) -> Bar {
    let bytes = |group| need.weights.by_group.get(&group).copied().unwrap_or(0);
    let all = need.weights.total_bytes();
    let vocabulary = bytes(TensorGroup::Embedding) + bytes(TensorGroup::Output);
    let share = 100.0 * vocabulary as f64 / all.max(1) as f64;
    Bar {
        label,
        parts: PARTS.iter().map(|(group, color, _)| (mib(bytes(*group)), *color)).collect(),
        spread: None,
        tick: None,
        text: format!("{}, {share:.0} %", mib_text(all)),
        tip: String::new(),
    }
}
