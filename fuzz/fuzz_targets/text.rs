//! Files of text that people and other programs write: suites, models, devices, filters, rows of
//! llama-bench. Each is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slmbench::exchange::llama_bench;
use slmbench::model::Catalogue;
use slmbench::suite::{self, Filter};
use slmbench_fuzz::write_seeds;

fuzz_target!(init: write_seeds(&seeds()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match suite::parse(text, "suite.toml") {
        Ok(suite) => assert!(!suite.matrices.is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    let _ = suite::parse_devices(text, "devices.toml").map_err(|e| e.to_string());
    let _ = Catalogue::parse(text, "models.toml").map_err(|e| e.to_string());
    let _ = llama_bench::read(text, "rows").map_err(|e| e.to_string());
    let _ = text.lines().next().map(|line| Filter::parse(line).map_err(|e| e.to_string()));
    let _ = suite::parse_numbers(text).map_err(|e| e.to_string());
});

fn seeds() -> Vec<(String, Vec<u8>)> {
    const TEXTS: [(&str, &str); 4] = [
        ("quick.toml", include_str!("../../suites/quick.toml")),
        ("quant.toml", include_str!("../../suites/quant.toml")),
        ("mobile.toml", include_str!("../../suites/mobile.toml")),
        ("devices.toml", include_str!("../../devices.toml")),
    ];
    TEXTS.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into()
}
