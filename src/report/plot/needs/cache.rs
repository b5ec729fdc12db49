//! What a quantised KV cache saves: the same model and context with each type.

use super::{HOST, KV, Labels, Need, WEIGHTS, key, mib, mib_text};
use crate::ggml::GgmlType;
use crate::memory::{MemoryDetail, Request};
use crate::report::plot::bars::{self, Bar, Group, Section};
use crate::report::plot::frame::Frame;
use crate::report::text;

/// Types that are compared, the first with the others.
const TYPES: [GgmlType; 4] = [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q5_0, GgmlType::Q4_0];

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
    let fit = |ty: &GgmlType| ty.bytes_for(k).is_some() && ty.bytes_for(v).is_some();
    let with = |ty: GgmlType| {
        let request = Request { type_k: ty, type_v: ty, flash_attn: true, ..need.request };
        MemoryDetail::new(need.weights, need.shape, &request)
    };
    let most = with(TYPES[0]).total_bytes();
    let bar = |ty: GgmlType| {
        let detail = with(ty);
        let (total, weights, kv) =
            (detail.total_bytes(), detail.weights.total_bytes(), detail.kv_bytes());
        let less = 100.0 * (most.saturating_sub(total)) as f64 / most.max(1) as f64;
        let saved = if ty == TYPES[0] { String::new() } else { format!(", −{less:.0} %") };
        let rest = total.saturating_sub(weights).saturating_sub(kv);
        Bar {
            label: String::new(),
            parts: vec![(mib(weights), WEIGHTS), (mib(kv), KV), (mib(rest), HOST)],
            spread: None,
            tick: None,
            text: format!("{}{saved}", mib_text(kv)),
        }
    };
    let group = |ty: GgmlType| Group { label: ty.to_string(), bars: vec![bar(ty)] };
    TYPES.into_iter().filter(fit).map(group).collect()
}
