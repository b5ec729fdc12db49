//! Memory that models are told to need, before anything was measured: by model, against the
//! context, by part of the weights, and with a quantised cache.

mod cache;
mod context;
mod groups;
mod models;

use super::canvas::Color;
use super::distinct;
use super::frame::{Key, Sign};
use crate::memory::{MemoryDetail, Request, WeightBytes};
use crate::model::ModelShape;
use crate::report::text;

/// Most models whose lines are told apart by colour.
pub const MAX_LINES: usize = 7;

/// What of it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NeedsPlot {
    /// A bar for each model: weights, cache, buffers.
    #[default]
    Models,
    /// Memory and the cache's share of it against the context, a line for each model.
    Context,
    /// Bytes of the weights by part: what a large vocabulary costs.
    Groups,
    /// What a quantised cache saves.
    Cache,
}

/// A model in one form with settings.
pub struct Need<'a> {
    /// Its name.
    pub model: &'a str,
    /// Its quantisation.
    pub quant: &'a str,
    /// Its shape.
    pub shape: &'a ModelShape,
    /// Bytes of its tensors.
    pub weights: &'a WeightBytes,
    /// The settings.
    pub request: Request,
}

impl Need<'_> {
    fn detail(&self) -> MemoryDetail {
        MemoryDetail::new(self.weights, self.shape, &self.request)
    }
}

/// The picture of `needs`, which is not empty. Of `budget`, the bytes there are, a line is drawn
/// where the plot has room for it.
pub fn draw(kind: NeedsPlot, needs: &[Need], budget: Option<u64>) -> String {
    match kind {
        NeedsPlot::Models => models::draw(needs, budget),
        NeedsPlot::Context => context::draw(needs, budget),
        NeedsPlot::Groups => groups::draw(needs),
        NeedsPlot::Cache => cache::draw(needs),
    }
}

const WEIGHTS: Color = Color(0x00, 0x72, 0xb2);
const KV: Color = Color(0xe6, 0x9f, 0x00);
const COMPUTE: Color = Color(0x00, 0x9e, 0x73);
const COPY: Color = Color(0x56, 0xb4, 0xe9);
const HOST: Color = Color(0xb8, 0xb8, 0xb8);

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// `98.9`, `1 005`.
fn mib_text(bytes: u64) -> String {
    text::grouped(mib(bytes), if mib(bytes) < 100.0 { 1 } else { 0 })
}

/// What of quantisation and context sets the bars of one model apart, and what all have in common.
struct Labels {
    quants: Vec<String>,
    contexts: Vec<u32>,
}

impl Labels {
    fn new(needs: &[Need]) -> Labels {
        Labels {
            quants: distinct(needs.iter().map(|need| need.quant.to_owned())),
            contexts: distinct(needs.iter().map(|need| need.request.n_ctx)),
        }
    }

    fn of(&self, need: &Need) -> String {
        let mut parts = Vec::new();
        if self.quants.len() > 1 {
            parts.push(text::plain(need.quant));
        }
        if self.contexts.len() > 1 {
            parts.push(format!("n_ctx {}", need.request.n_ctx));
        }
        parts.join(", ")
    }

    fn common(&self, contexts: bool) -> String {
        let mut parts = Vec::new();
        if let [quant] = &self.quants[..] {
            parts.push(text::plain(quant));
        }
        if let ([n_ctx], true) = (&self.contexts[..], contexts) {
            parts.push(format!("n_ctx {n_ctx}"));
        }
        parts.join(", ")
    }
}

/// `Estimate by formula: Q4_K_M, n_ctx 2048, cache in F16, …`.
fn estimate_note(labels: &Labels, settings: &str) -> String {
    let parts = [labels.common(true), settings.to_owned()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("Estimate by formula: {}.", parts.join(", "))
}

fn key(color: Color, label: &str) -> Key {
    Key::new(Sign::Area(color), label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Offload;
    use crate::model::{Catalogue, FileMix};
    use crate::report::plot::tests::{assert_on_the_sheet, assert_well_formed};
    use crate::settings::Settings;

    fn drawn(names: &[&str], kind: NeedsPlot, budget: Option<u64>) -> String {
        let catalogue = Catalogue::built_in().unwrap();
        let shapes: Vec<&ModelShape> = names.iter().map(|n| catalogue.get(n).unwrap()).collect();
        let mixes = [FileMix::Q8_0, FileMix::Q4_K_M];
        let weights: Vec<(&ModelShape, FileMix, WeightBytes)> = shapes
            .iter()
            .flat_map(|&s| mixes.map(|mix| (s, mix, WeightBytes::of_mix(s, mix))))
            .collect();
        let settings = Settings::default();
        let needs: Vec<Need> = weights
            .iter()
            .map(|(shape, mix, weights)| Need {
                model: &shape.name,
                quant: mix.name(),
                shape,
                weights,
                request: Request { offload: Offload::Full, ..Request::new(&settings, 2048) },
            })
            .collect();
        draw(kind, &needs, budget)
    }

    #[test]
    fn every_plot_of_needs_is_whole_named_and_within_its_sheet() {
        let names = ["BLOOM-560M", "Qwen2.5-0.5B", "SmolLM2-135M", "phi-2"];
        for (kind, words) in [
            (NeedsPlot::Models, &["memory (MiB)", "KV cache", "what there is"][..]),
            (NeedsPlot::Context, &["memory (MiB)", "KV share (%)", "n_ctx (tokens)"]),
            (NeedsPlot::Groups, &["weights (MiB)", "embedding", "feed-forward"]),
            (NeedsPlot::Cache, &["memory (MiB)", "F16", "Q8_0", "Q4_0"]),
        ] {
            for budget in [None, Some(1 << 30), Some(1 << 40)] {
                let svg = drawn(&names, kind, budget);
                assert_well_formed(&svg);
                assert_on_the_sheet(&svg, "needs");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind:?}");
                for name in names {
                    assert!(svg.contains(name), "{kind:?}: {name}");
                }
            }
            let svg = drawn(&names, kind, Some(1 << 30));
            for word in words {
                assert!(svg.contains(word), "{kind:?}: {word}");
            }
        }
    }

    #[test]
    fn a_cache_type_that_heads_do_not_fill_is_not_drawn() {
        let svg = drawn(&["Phi-2"], NeedsPlot::Cache, None);
        assert!(svg.contains("F16") && !svg.contains("Q4_0"), "{svg}");
    }

    #[test]
    fn the_line_of_a_budget_far_beyond_all_bars_is_left_away() {
        let has = |bytes| drawn(&["Phi-2"], NeedsPlot::Models, Some(bytes)).contains("what there");
        assert!(has(4 << 30) && !has(1 << 40));
    }
}
