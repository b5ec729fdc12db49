//! What a quantised KV cache saves: the same model and context with each type.

use super::{HOST, KV, Labels, Need, WEIGHTS, key, mib, mib_text};
use crate::memory::{COMPARED_KV_TYPES, MemoryDetail, Request};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::frame::Frame;
use crate::report::text;

/// The plot.
pub fn draw(needs: &[Need]) -> String {
    let labels = Labels::new(needs);
    let sections = needs.iter().map(|need| {
        let own = labels.of(need);
        let own = if own.is_empty() { own } else { format!(", {own}") };
        Section { heading: format!("{}{own}", text::plain(need.model)), groups: groups(need) }
    });
    // Values that are quantised need flash attention, whatever was asked for.
    let request = Request { flash_attn: true, ..needs[0].request };
    let settings = request.to_string();
    let (_, settings) = settings.split_once(", ").unwrap_or(("", &settings));
    let frame = Frame {
        title: "What a quantised KV cache saves".to_owned(),
        notes: vec![
            super::estimate_note(&labels, settings),
            "Behind each bar: bytes of the cache, and of everything how much less than with F16. \
             A type is left out where a head is no whole number of its blocks."
                .to_owned(),
        ],
        keys: vec![key(WEIGHTS, "weights"), key(KV, "KV cache"), key(HOST, "buffers and copies")],
    };
    bars::draw(&frame, &sections.collect::<Vec<_>>(), "memory (MiB)")
}

/// A bar for each type whose blocks the heads fill.
fn groups(need: &Need) -> Vec<Group> {
    let (k, v) = (u64::from(need.shape.head_dim), u64::from(need.shape.value_dim()));
    let mut groups = Vec::new();
    let mut most = None;
    for ty in COMPARED_KV_TYPES {
        if ty.bytes_for(k).is_none() || ty.bytes_for(v).is_none() {
            continue;
        }
        let request = Request { type_k: ty, type_v: ty, flash_attn: true, ..need.request };
        let detail = MemoryDetail::new(need.weights, need.shape, &request);
        let (total, weights, kv) =
            (detail.total_bytes(), detail.weights.total_bytes(), detail.kv_bytes());
        let saved = match most {
            None => String::new(),
            Some(most) => format!(", −{:.0} %", 100.0 * (1.0 - total as f64 / most)),
        };
        most = most.or(Some(total as f64));
        let rest = total.saturating_sub(weights).saturating_sub(kv);
        let bar = Bar {
            label: String::new(),
            parts: vec![(mib(weights), WEIGHTS), (mib(kv), KV), (mib(rest), HOST)],
            spread: None,
            tick: None,
            text: format!("{}{saved}", mib_text(kv)),
            tip: String::new(),
        };
        groups.push(Group { label: ty.to_string(), bars: vec![bar] });
    }
    groups
}
