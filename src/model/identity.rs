//! Which model exactly a number belongs to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model file's identity: part of every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelIdentity {
    /// `synthetic` or `file`.
    pub origin: String,
    /// SHA-256 of the file's content where it is a user's file; of the shape where synthetic.
    pub hash: String,
    /// Seed of synthetic weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
    /// Version of the synthesiser that wrote them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synth_version: Option<u32>,
    /// GGUF name of the architecture.
    pub arch: String,
    /// Unique parameters: a duplicated tied embedding counts once.
    pub n_params: u64,
    /// Parameters as llama.cpp counts them: every element of every tensor.
    pub n_params_llama_cpp: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// 8 × weight bytes ÷ unique parameters.
    pub bits_per_weight: f64,
    /// Bytes by tensor type, by its ggml name.
    pub type_bytes: BTreeMap<String, u64>,
}
