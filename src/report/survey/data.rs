//! The survey's own numbers, read off its figures (arXiv 2409.15790). They are drawn for their shape:
//! absolute times belong to its devices. Source and rights: `data/README.md`.

use std::collections::BTreeMap;

pub use crate::roofline::Phase;

/// A row by column.
type Row = BTreeMap<String, String>;

/// What the files call milliseconds of the first token, and those per token after it.
fn key(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "prefill_first_token_ms",
        Phase::Decode => "decode_ms_per_token",
    }
}

/// A point of figure 8: Jetson Orin NX, GPU, Q4_K_M, 50 tokens in and out.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// As the survey names it.
    pub model: String,
    /// Parameters as llama.cpp counts them.
    pub n_params_llama_cpp: f64,
    /// Milliseconds.
    pub first_token_ms: f64,
    /// Milliseconds.
    pub decode_ms: f64,
    /// The survey writes MB.
    pub memory_mib: f64,
}

/// A curve over the number of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Of what: a format, a device.
    pub name: &'static str,
    /// Tokens and milliseconds.
    pub points: Vec<(f64, f64)>,
}

/// A share of figure 12.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// `layer` or `operator`.
    pub kind: String,
    /// The model.
    pub model: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Of what.
    pub component: String,
    /// 0 to 1.
    pub share: f64,
}

/// A bar of figure 13a, in MiB, which the survey writes as MB.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryBar {
    /// The model.
    pub model: String,
    /// Model parameters, KV cache, compute buffer, other.
    pub parts: [f64; 4],
}

/// Figure 8.
pub fn overview() -> Vec<Overview> {
    let of = |row: &Row| Overview {
        model: row["model"].clone(),
        n_params_llama_cpp: 1e6 * number(row, "params_M_llamacpp"),
        first_token_ms: number(row, "first_token_ms_50tok"),
        decode_ms: number(row, "decode_ms_per_token"),
        memory_mib: number(row, "memory_MB"),
    };
    rows(include_str!("data/fig8_overview.csv")).iter().map(of).collect()
}

/// Figure 9, Phi-1.5 on the Jetson, a curve for each format, by llama.cpp's names of today and from
/// many bits to few.
pub fn quantisation(phase: Phase) -> Vec<Curve> {
    let rows = rows(include_str!("data/fig9_quantization_phi1.5_jetson.csv"));
    let columns = [
        ("F16", "FP16"),
        ("Q8_0", "Q8_0"),
        ("Q6_K", "Q6_K"),
        ("Q5_K_M", "Q5_K"),
        ("Q4_K_M", "Q4_K_M"),
        ("Q3_K_M", "Q3_K"),
    ];
    columns.map(|(name, column)| curve(&rows, phase, name, column)).into()
}

/// What the survey's devices of figure 10 are called.
pub const JETSON: &str = "Jetson Orin NX, GPU";
/// The other one.
pub const MEIZU: &str = "Meizu 18 Pro, CPU";

/// Figure 10, labelled Bloom-1B1, a curve for each device.
pub fn devices(phase: Phase) -> Vec<Curve> {
    let rows = rows(include_str!("data/fig10_jetson_vs_meizu.csv"));
    [(JETSON, "jetson_orin_nx_ms"), (MEIZU, "meizu18pro_ms")]
        .map(|(name, column)| curve(&rows, phase, name, column))
        .into()
}

/// Figure 12: shares of the time by part of the model and by GPU kernel.
pub fn breakdown() -> Vec<Share> {
    let of = |row: &Row| Share {
        kind: row["kind"].clone(),
        model: row["model"].clone(),
        phase: row["phase"].clone(),
        component: row["component"].clone(),
        share: number(row, "share"),
    };
    rows(include_str!("data/fig12_breakdown.csv")).iter().map(of).collect()
}

/// Figure 13a.
pub fn memory() -> Vec<MemoryBar> {
    let columns = ["fig_params_MB", "fig_kv_MB", "fig_compute_MB", "fig_other_MB"];
    let of = |row: &Row| MemoryBar {
        model: row["model"].clone(),
        parts: columns.map(|column| number(row, column)),
    };
    rows(include_str!("data/fig13_memory_2048.csv")).iter().map(of).collect()
}

fn rows(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("a table compiled in")).collect()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().expect("a number in a table compiled in")
}

/// Where a device was not measured a cell is empty.
fn curve(rows: &[Row], phase: Phase, name: &'static str, column: &str) -> Curve {
    let of_phase = rows.iter().filter(|row| row["phase"] == key(phase) && !row[column].is_empty());
    let points = of_phase.map(|row| (number(row, "tokens"), number(row, column))).collect();
    Curve { name, points }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

    #[test]
    fn the_tables_hold_what_the_figures_show() {
        assert_eq!(overview().len(), 20);
        for phase in [Phase::Prefill, Phase::Decode] {
            let curves = quantisation(phase);
            assert!(curves.iter().all(|c| c.points.len() == 43 && c.points[0].0 == 8.0));
        }
        let counts = |phase| devices(phase).iter().map(|c| c.points.len()).collect::<Vec<_>>();
        assert_eq!(counts(Phase::Prefill), [39, 39]);
        assert_eq!(counts(Phase::Decode), [49, 48]);
        let shares = breakdown();
        for model in ["Qwen1.5-0.5B", "Qwen2-0.5B"] {
            for (kind, phase) in [("layer", "prefill"), ("layer", "decode"), ("operator", "decode")]
            {
                let own = shares.iter().filter(|s| {
                    (s.kind.as_str(), s.model.as_str(), s.phase.as_str()) == (kind, model, phase)
                });
                let sum: f64 = own.map(|s| s.share).sum();
                assert!((sum - 1.0).abs() < 0.005, "{model} {kind} {phase}: {sum}");
            }
        }
    }

    #[test]
    fn every_model_of_the_survey_is_one_of_the_catalogue() {
        let catalogue = Catalogue::built_in().unwrap();
        let names =
            overview().into_iter().map(|o| o.model).chain(memory().into_iter().map(|m| m.model));
        for name in names {
            let model = catalogue.find(&name).unwrap();
            assert_eq!(model.survey_name.as_deref(), Some(&*name));
        }
    }

    #[test]
    fn the_curve_labelled_bloom_is_that_of_phi() {
        for phase in [Phase::Prefill, Phase::Decode] {
            let phi = quantisation(phase).into_iter().find(|c| c.name == "Q4_K_M").unwrap();
            let jetson = devices(phase).into_iter().find(|c| c.name == JETSON).unwrap();
            for (n, ms) in &phi.points {
                let Some((_, other)) = jetson.points.iter().find(|p| p.0 == *n) else { continue };
                assert!((ms - other).abs() < 0.011, "{n}: {ms} {other}");
            }
        }
    }
}
