//! Mixes against files that were made, and against themselves.

use proptest::prelude::*;

use super::*;
use crate::model::Arch;
use crate::model::{Catalogue, Rules, fixtures::small};

fn model(name: &str) -> ModelShape {
    Catalogue::built_in().unwrap().get(name).unwrap().clone()
}

/// Bytes measured on files that llama.cpp's quantiser wrote.
#[test]
fn tensor_bytes_are_those_of_llama_cpps_files() {
    for (name, mix, bytes) in [
        ("SmolLM2-135M", FileMix::Q4_0, 89_941_248),
        ("SmolLM2-135M", FileMix::Q8_0, 143_025_408),
        ("Qwen2.5-0.5B", FileMix::Q4_0, 346_206_720),
        ("Qwen2.5-0.5B", FileMix::Q8_0, 525_120_000),
        ("Llama-3.2-1B", FileMix::Q4_0, 763_097_216),
        ("Llama-3.2-1B", FileMix::Q8_0, 1_313_251_456),
    ] {
        assert_eq!(mix.weight_bytes(&model(name)), bytes, "{name} {mix}");
    }
}

#[test]
fn a_q4_0_file_is_not_all_q4_0() {
    let share = |name: &str, ty| {
        let bytes = FileMix::Q4_0.type_bytes(&model(name));
        (100.0 * bytes[&ty] as f64 / bytes.values().sum::<u64>() as f64).round()
    };
    assert_eq!(share("SmolLM2-135M", GgmlType::Q4_0), 66.0);
    assert_eq!(share("SmolLM2-135M", GgmlType::Q8_0), 33.0);
    assert_eq!(share("Qwen2.5-0.5B", GgmlType::Q8_0), 42.0);
    assert_eq!(share("Llama-3.2-1B", GgmlType::Q4_0), 72.0);
    assert_eq!(share("Llama-3.2-1B", GgmlType::Q6_K), 28.0);
}

#[test]
fn an_untied_embedding_stays_narrow_and_the_head_is_wide() {
    let shape = model("TinyLlama-1.1B");
    let types: BTreeMap<String, GgmlType> =
        FileMix::Q4_0.tensors(&shape).into_iter().map(|(t, ty)| (t.name, ty)).collect();
    assert_eq!(types["token_embd.weight"], GgmlType::Q4_0);
    assert_eq!(types["output.weight"], GgmlType::Q6_K);
    assert_eq!(types["output_norm.weight"], GgmlType::F32);
    assert_eq!(types["blk.3.ffn_down.weight"], GgmlType::Q4_0);
}

#[test]
fn rows_that_fit_no_block_become_f16() {
    let shape = ModelShape { n_embd: 36, n_head: 2.into(), head_dim: 18, ..model("tiny-llama") };
    for mix in [FileMix::Q4_0, FileMix::Q8_0, FileMix::Q4_K_M, FileMix::IQ4_XS] {
        let tensors = mix.tensors(&shape);
        let (_, ty) = tensors.iter().find(|(t, _)| t.name == "token_embd.weight").unwrap();
        assert_eq!(*ty, GgmlType::F16, "{mix}");
    }
}

/// "What the labels really contain", measured on files of llama.cpp's quantiser: bytes in MB and
/// the shares of the types that hold most.
#[test]
fn a_label_is_not_what_is_inside() {
    use GgmlType::{IQ4_NL, IQ4_XS, Q3_K, Q4_0, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
    type Row = (&'static str, FileMix, f64, &'static [(GgmlType, f64)]);
    let table: &[Row] = &[
        ("SmolLM2-135M", FileMix::Q4_K_M, 103.7, &[(Q5_0, 52.0), (Q8_0, 31.0), (Q6_K, 10.0)]),
        ("SmolLM2-135M", FileMix::Q5_K_M, 110.3, &[(Q5_1, 53.0), (Q8_0, 29.0), (Q5_K, 9.0)]),
        ("SmolLM2-135M", FileMix::Q6_K, 136.6, &[(Q8_0, 84.0), (Q6_K, 16.0)]),
        ("SmolLM2-135M", FileMix::Q3_K_M, 91.7, &[(Q4_0, 41.0), (Q8_0, 33.0), (Q4_K, 16.0)]),
        ("SmolLM2-135M", FileMix::Q2_K, 86.4, &[(Q4_0, 52.0), (Q8_0, 35.0), (Q3_K, 13.0)]),
        ("SmolLM2-135M", FileMix::IQ4_XS, 89.5, &[(IQ4_NL, 50.0), (Q8_0, 34.0), (IQ4_XS, 14.0)]),
        ("Qwen2.5-0.5B", FileMix::Q4_K_M, 391.9, &[(Q5_0, 44.0), (Q8_0, 37.0), (Q4_K, 8.0)]),
        ("Qwen2.5-0.5B", FileMix::Q6_K, 499.8, &[(Q8_0, 83.0)]),
        ("Llama-3.2-1B", FileMix::Q4_K_M, 799.9, &[(Q4_K, 58.0), (Q6_K, 42.0)]),
        ("Llama-3.2-1B", FileMix::Q6_K, 1014.0, &[(Q6_K, 100.0)]),
    ];
    for (name, mix, megabytes, shares) in table {
        let bytes = mix.type_bytes(&model(name));
        let sum = bytes.values().sum::<u64>() as f64;
        assert!((sum / 1e6 - megabytes).abs() < 0.06, "{name} {mix}: {sum}");
        for (ty, share) in *shares {
            let found = 100.0 * bytes[ty] as f64 / sum;
            assert!((found - share).abs() < 0.6, "{name} {mix} {ty}: {found}");
        }
    }
}

/// The survey's weights in MiB, of its figure 13 (a): Q4_K_M by the rules of mid-2024. From 1 GiB
/// on it printed GiB rounded to two digits times 1000.
#[test]
fn files_by_the_rules_of_mid_2024_have_the_bytes_of_the_survey() {
    const SURVEY: &[(&str, f64)] = &[
        ("SmolLM-135M", 98.9),
        ("Pythia-160M", 103.0),
        ("OpenELM-270M", 166.6),
        ("OpenELM-450M", 275.4),
        ("Qwen2-0.5B", 373.7),
        ("Qwen1.5-0.5B", 382.6),
        ("BLOOM-560M", 523.4),
        ("Pythia-1.4B", 871.8),
        ("phi-1", 850.4),
        ("phi-1.5", 850.4),
        ("SmolLM-1.7B", 1005.0),
        ("Qwen1.5-1.8B", 1155.7),
        ("StableLM-Zephyr-3B", 1627.7),
        ("OpenELM-3B", 1798.1),
    ];
    for (name, mib) in SURVEY {
        let bytes = FileMix::Q4_K_M.by(Rules::Mid2024).weight_bytes(&model(name));
        let found = bytes as f64 / (1 << 20) as f64;
        assert!((found - mib).abs() < 0.06, "{name}: {found:.2} MiB, the survey has {mib}");
    }
}

#[test]
fn quantised_files_are_ordered_by_layer_and_then_by_name() {
    let names = |mix: FileMix| -> Vec<String> {
        mix.tensors(&model("Llama-3.2-1B")).into_iter().map(|(t, _)| t.name).collect()
    };
    let quantised = names(FileMix::Q4_0);
    assert_eq!(
        quantised[..5],
        [
            "output_norm.weight",
            "rope_freqs.weight",
            "token_embd.weight",
            "blk.0.attn_k.weight",
            "blk.0.attn_norm.weight",
        ]
    );
    assert!(quantised[quantised.len() - 1].starts_with("blk.15."));
    let converted = names(FileMix::F16);
    assert_eq!(converted[..2], ["rope_freqs.weight", "token_embd.weight"]);
    assert_eq!(converted.last().unwrap(), "output_norm.weight");
}

#[test]
fn names_go_both_ways_and_short_ones_mean_the_middle() {
    for &mix in FileMix::ALL {
        for mix in [mix, mix.by(Rules::Mid2024)] {
            assert_eq!(mix.to_string().to_lowercase().parse::<FileMix>().unwrap(), mix);
        }
    }
    assert_eq!("q4_k".parse::<FileMix>().unwrap(), FileMix::Q4_K_M);
    assert_eq!("Q5_K@2024".parse::<FileMix>().unwrap().name(), "Q5_K_M@2024");
    for bad in ["", "Q4_K_X", "@2024", "Q4_0@2023", "Q8_1"] {
        assert!(bad.parse::<FileMix>().unwrap_err().to_string().contains("known are F32"));
    }
}

#[test]
fn today_fused_projections_count_as_values_and_in_2024_they_do_not() {
    let shape = ModelShape { n_embd: 256, head_dim: 64, n_layer: 12, ..small(Arch::Gpt2) };
    let qkv = |mix: FileMix| -> Vec<GgmlType> {
        let is_it = |t: &TensorSpec| t.name.ends_with("attn_qkv.weight");
        let tensors = mix.tensors(&shape).into_iter();
        tensors.filter(|(t, _)| is_it(t)).map(|(_, ty)| ty).collect()
    };
    assert_eq!(qkv(FileMix::Q4_K_M.by(Rules::Mid2024)), [GgmlType::Q5_K; 12]);
    let today = qkv(FileMix::Q4_K_M);
    assert_eq!(today.iter().filter(|ty| **ty == GgmlType::Q6_K).count(), 6);
    assert_eq!(today.iter().filter(|ty| **ty == GgmlType::Q4_K).count(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rows of every length from 32 to 8192, odd ones among them, in every mix by both rules.
    #[test]
    fn every_type_chosen_fits_its_rows(n_embd in 32u32..=8192, n_ff in 32u32..=8192, arch in 0..Arch::ALL.len()) {
        let arch = Arch::ALL[arch];
        let shape = ModelShape {
            n_embd,
            n_ff: n_ff.into(),
            n_head: 1.into(),
            n_head_kv: 1.into(),
            head_dim: n_embd,
            n_layer: 9,
            ..small(arch)
        };
        for &mix in FileMix::ALL {
            for mix in [mix, mix.by(Rules::Mid2024)] {
                let mut sum = 0;
                for (tensor, ty) in mix.tensors(&shape) {
                    let bytes = ty.bytes_for(tensor.dims[0]);
                    prop_assert!(bytes.is_some(), "{mix} {tensor:?} {ty}");
                    sum += ty.bytes_for(tensor.n_elements()).unwrap();
                    let vector = tensor.dims.len() < 2 || tensor.name.contains("norm");
                    prop_assert!(!vector || ty == GgmlType::F32, "{mix} {tensor:?} {ty}");
                    let base = mix.base_type();
                    if !vector && tensor.name != "position_embd.weight" {
                        // A fallback never has fewer bits than what was meant.
                        prop_assert!(ty.bits_per_element() >= base.bits_per_element());
                    }
                }
                prop_assert_eq!(sum, mix.weight_bytes(&shape));
            }
        }
    }
}

#[test]
fn every_row_length_from_32_to_8192_gets_a_type_that_fits() {
    let wide = small(Arch::Llama);
    for row in 32..=8192u64 {
        let tensor = TensorSpec { name: "blk.0.ffn_up.weight".to_owned(), dims: vec![row, 2] };
        for &mix in FileMix::ALL {
            for mix in [mix, mix.by(Rules::Mid2024)] {
                let all = std::slice::from_ref(&tensor);
                let ty = rules::Chooser::new(mix, &wide, all).choose(&tensor).unwrap();
                assert!(ty.bytes_for(row).is_some(), "{mix} {row} {ty}");
                let whole = row.is_multiple_of(mix.base_type().block_size());
                assert_eq!(ty == mix.base_type(), whole, "{mix} {row} {ty}");
            }
        }
    }
}
