//! Cells, capabilities and facts for the tests of this room.

use std::collections::BTreeMap;

use super::cell::{Cell, CellId, ModelSource};
use super::{Facts, SpeedGuess, WEIGHT_SEED};
use crate::ggml::GgmlType;
use crate::model::Catalogue;
use crate::settings::{Capabilities, FlashAttn, LoadMode, MemoryRule, Settings, TokenFeed};
use crate::suite::{self, Suite};

/// A cell at depth 0 with default settings.
pub fn cell(engine: &str, model: &str, quant: &str, n_prompt: u32, n_gen: u32) -> Cell {
    let mut cell = Cell {
        id: CellId(String::new()),
        engine: engine.to_owned(),
        model: model.to_owned(),
        quant: quant.to_owned(),
        source: ModelSource::Synthetic { seed: WEIGHT_SEED, shape: "shape of m".to_owned() },
        cpus: "all".to_owned(),
        n_prompt,
        n_gen,
        n_depth: 0,
        settings: Settings::default(),
        feed: TokenFeed::Random,
        soak: None,
        profile: false,
        repetitions: 3,
        warmup: 1,
        timeout_s: 600,
        token_seed: 1,
    };
    cell.id = cell.compute_id();
    cell
}

/// An engine that does everything on the CPU.
pub fn able() -> Capabilities {
    Capabilities {
        archs: None,
        not_archs: Vec::new(),
        weight_types: None,
        kv_types: suite::KV_TYPES.to_vec(),
        flash_attn: vec![FlashAttn::On, FlashAttn::Off, FlashAttn::Auto],
        flash_attn_for_values: false,
        load_modes: vec![LoadMode::Auto, LoadMode::Mmap, LoadMode::None],
        devices: vec!["auto".to_owned(), "cpu".to_owned()],
        n_ctx_padding: 256,
        memory_rule: MemoryRule::LlamaCpp,
        needs_model_file: true,
    }
}

/// One like the built-in engine: few types, no flash attention.
pub fn plain() -> Capabilities {
    Capabilities {
        archs: Some(vec!["llama".to_owned()]),
        weight_types: Some(vec![GgmlType::F32, GgmlType::F16, GgmlType::Q8_0]),
        kv_types: vec![GgmlType::F16, GgmlType::F32],
        flash_attn: vec![FlashAttn::Off, FlashAttn::Auto],
        ..able()
    }
}

pub fn catalogue() -> Catalogue {
    Catalogue::built_in().unwrap()
}

/// Two engines that do everything, two cores, no memory limit, nothing measured before.
pub fn facts(catalogue: &Catalogue) -> Facts<'_> {
    let engines = [("reference", able()), ("llama-cpp", able())];
    Facts {
        catalogue,
        files: BTreeMap::new(),
        engines: engines.into_iter().map(|(name, can)| (name.to_owned(), Ok(can))).collect(),
        memory_available_bytes: None,
        cpus_refused: BTreeMap::new(),
        n_cpus: 2,
        n_cores: 2,
        huge_pages: false,
        earlier: BTreeMap::new(),
        expected: None,
        guess: SpeedGuess::default(),
    }
}

/// The suite of this text, whose description is added.
pub fn suite_of(text: &str) -> Suite {
    let text = format!("description = \"\"\n{text}");
    suite::parse(&text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}
