//! Memory against the context, and the share of it that the cache takes.

use super::{MAX_LINES, Need, mib};
use crate::memory::{MemoryDetail, N_CTX_STEP, Request};
use crate::report::plot::frame::{Frame, Key, Sign, color};
use crate::report::plot::panels::{self, Axes, Line, Panel, Point};
use crate::report::plot::{FAINT, distinct};
use crate::report::text;
use crate::units::Bytes;

/// Steps from the shortest to the longest context of a line.
const STEPS: u32 = 64;

/// A budget so many times larger than the largest need would leave nothing to be seen of them.
const FAR: f64 = 3.0;

/// The plot: a line for each model, in the first of its quantisations, up to the context it was
/// trained for.
pub fn draw(needs: &[Need], budget: Option<u64>) -> String {
    let models = distinct(needs.iter().map(|need| need.model));
    let firsts: Vec<&Need> = models
        .iter()
        .filter_map(|model| needs.iter().find(|need| need.model == *model))
        .take(MAX_LINES)
        .collect();
    let lines = |value: fn(&MemoryDetail) -> f64| -> Vec<Line> {
        let line = |(i, need): (usize, &&Need)| Line {
            name: text::plain(need.model),
            color: color(i),
            point: None,
            points: points(need, value),
            band: false,
        };
        firsts.iter().enumerate().map(line).collect()
    };
    let mut memory = lines(|detail| mib(detail.total_bytes()));
    let share =
        lines(|detail| 100.0 * detail.kv_bytes() as f64 / detail.total_bytes().max(1) as f64);
    let most = memory.iter().flat_map(|l| &l.points).map(|p| p.y).fold(0.0, f64::max);
    let longest = memory.iter().flat_map(|l| &l.points).map(|p| p.x).fold(0.0, f64::max);
    let budget = budget.filter(|&bytes| mib(bytes) <= FAR * most);
    let mut keys: Vec<Key> = firsts
        .iter()
        .enumerate()
        .map(|(i, need)| {
            let name = format!("{} {}", text::plain(need.model), text::plain(need.quant));
            Key::new(Sign::Line(color(i)), name)
        })
        .collect();
    if let Some(bytes) = budget {
        let ends = [0.0, longest].map(|x| Point { x, y: mib(bytes), spread: None });
        memory.push(Line {
            name: "what there is".to_owned(),
            color: FAINT,
            point: None,
            points: ends.to_vec(),
            band: false,
        });
        keys.push(Key::new(Sign::Line(FAINT), format!("what there is: {}", Bytes(bytes))));
    }
    let panel = |heading: &str, y: &str, lines| Panel {
        heading: heading.to_owned(),
        y: Some(y.to_owned()),
        lines,
        marked: Vec::new(),
        from: 0.0,
    };
    let panels = [
        panel("Everything", "memory (MiB)", memory),
        panel("Of it the KV cache", "KV share (%)", share),
    ];
    let frame = Frame {
        title: "Memory against context".to_owned(),
        notes: vec![format!(
            "Estimate by formula: {}. Lines end at the context trained for.",
            firsts.first().map(|need| need.request.to_string()).unwrap_or_default()
        )],
        keys,
    };
    panels::draw(&frame, &panels, &Axes { x: "n_ctx (tokens)", y: "", columns: 2 })
}

fn points(need: &Need, value: fn(&MemoryDetail) -> f64) -> Vec<Point> {
    let longest = need.shape.n_ctx_train;
    let step = longest.div_ceil(STEPS).next_multiple_of(N_CTX_STEP);
    let lengths = (0..STEPS).map(|i| i.saturating_mul(step)).filter(|&n| n > 0 && n < longest);
    let all = std::iter::once(N_CTX_STEP.min(longest)).chain(lengths).chain([longest]);
    let mut all: Vec<u32> = all.collect();
    all.dedup();
    all.into_iter()
        .map(|n_ctx| {
            let request = Request { n_ctx, ..need.request };
            let detail = MemoryDetail::new(need.weights, need.shape, &request);
            Point { x: f64::from(n_ctx), y: value(&detail), spread: None }
        })
        .collect()
}
