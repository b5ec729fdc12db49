//! A model in llama-bench's words: architecture, size, file type.

use crate::plan::Cell;
use crate::record::ModelIdentity;

/// `llama 135M Q4_K - Medium`. Where no model was read, the model's name stands in place of
/// architecture and size.
pub fn model_type(cell: &Cell, model: Option<&ModelIdentity>) -> String {
    let file_type = file_type(&cell.quant);
    match model {
        Some(model) => format!("{} {} {file_type}", model.arch, size(model.n_params)),
        None => format!("{} {file_type}", cell.model),
    }
}

/// A size from the unique parameters. llama.cpp has a table by layers and width instead, which
/// knows some models under another size, or as `?B`.
fn size(n_params: u64) -> String {
    let tenths = (n_params + 50_000_000) / 100_000_000;
    match (n_params < 950_000_000, tenths % 10) {
        (true, _) => format!("{}M", (n_params + 500_000) / 1_000_000),
        (false, 0) => format!("{}B", tenths / 10),
        (false, tenth) => format!("{}.{tenth}B", tenths / 10),
    }
}

/// A file mix as llama.cpp describes it. The state of the rules is not part of it.
fn file_type(quant: &str) -> String {
    let name = quant.split('@').next().unwrap_or(quant);
    match name.rsplit_once('_') {
        _ if name == "F32" => "all F32".to_owned(),
        _ if name == "Q2_K" => "Q2_K - Medium".to_owned(),
        Some((ty, "S")) if ty.ends_with("_K") => format!("{ty} - Small"),
        Some((ty, "M")) if ty.ends_with("_K") => format!("{ty} - Medium"),
        Some((ty, "L")) if ty.ends_with("_K") => format!("{ty} - Large"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_are_described_as_llama_cpp_describes_them() {
        let pairs = [
            ("F32", "all F32"),
            ("F16", "F16"),
            ("Q4_0", "Q4_0"),
            ("Q6_K", "Q6_K"),
            ("Q2_K", "Q2_K - Medium"),
            ("Q3_K_L", "Q3_K - Large"),
            ("Q4_K_M@2024", "Q4_K - Medium"),
            ("IQ4_XS", "IQ4_XS"),
        ];
        for (quant, described) in pairs {
            assert_eq!(file_type(quant), described);
        }
    }

    #[test]
    fn sizes_are_short() {
        let pairs = [
            (134_515_008, "135M"),
            (494_032_768, "494M"),
            (999_885_952, "1B"),
            (1_235_814_400, "1.2B"),
            (3_212_749_888, "3.2B"),
        ];
        for (n_params, shown) in pairs {
            assert_eq!(size(n_params), shown);
        }
    }
}
