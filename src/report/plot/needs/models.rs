//! Memory by model: weights, cache and buffers in one bar.

use super::{COMPUTE, COPY, HOST, KV, Labels, Need, WEIGHTS, estimate_note, key, mib, mib_text};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::distinct;
use crate::report::plot::frame::{Frame, Key, Sign};
use crate::report::text;
use crate::units::Bytes;

/// A budget so many times larger than the largest bar would leave nothing to be seen of them.
const FAR: f64 = 3.0;

/// The plot.
pub fn draw(needs: &[Need], budget: Option<u64>) -> String {
    let labels = Labels::new(needs);
    let details: Vec<_> = needs.iter().map(|need| (need, need.detail())).collect();
    let most = details.iter().map(|(_, detail)| detail.total_bytes()).max().unwrap_or(0);
    let budget = budget.filter(|&bytes| bytes as f64 <= FAR * most as f64);
    let groups = distinct(needs.iter().map(|need| need.model)).into_iter().map(|model| Group {
        label: text::plain(model),
        bars: details
            .iter()
            .filter(|(need, _)| need.model == model)
            .map(|(need, detail)| {
                let host = detail.buffers.host_bytes().saturating_add(detail.buffers.output_bytes);
                let parts = [
                    (detail.weights.total_bytes(), WEIGHTS),
                    (detail.kv_bytes(), KV),
                    (detail.buffers.compute_bytes, COMPUTE),
                    (detail.weight_copy_bytes, COPY),
                    (host, HOST),
                ];
                Bar {
                    label: labels.of(need),
                    parts: parts.into_iter().map(|(bytes, color)| (mib(bytes), color)).collect(),
                    spread: None,
                    tick: budget.map(mib),
                    text: mib_text(detail.total_bytes()),
                    tip: String::new(),
                }
            })
            .collect(),
    });
    let mut keys =
        vec![key(WEIGHTS, "weights"), key(KV, "KV cache"), key(COMPUTE, "compute buffer")];
    if details.iter().any(|(_, detail)| detail.weight_copy_bytes > 0) {
        keys.push(key(COPY, "tied embedding, held a second time"));
    }
    keys.push(key(HOST, "mask, input embeddings, logits on the host"));
    if let Some(bytes) = budget {
        keys.push(Key::new(Sign::Tick, format!("what there is: {}", Bytes(bytes))));
    }
    let settings = needs[0].request.to_string();
    let frame = Frame {
        title: "Memory by model".to_owned(),
        notes: vec![estimate_note(&labels, &settings)],
        keys,
    };
    let section = Section { heading: String::new(), groups: groups.collect() };
    bars::draw(&frame, &[section], "memory (MiB)")
}
