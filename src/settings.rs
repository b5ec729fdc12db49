//! What can be asked of an engine, and what an engine says it can do.
//!
//! Suites name these values, cells carry them, engines obey them; they live here so that neither
//! `plan` nor `engine` has to import the other.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ggml::GgmlType;

/// A value that was either named or left to the engine. What it became is in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auto<T> {
    /// Left to the engine.
    #[default]
    Auto,
    /// Named.
    Fixed(T),
}

impl<T: Copy> Auto<T> {
    /// The named value, or what `auto` stands for.
    pub fn unwrap_or(self, default: T) -> T {
        match self {
            Auto::Auto => default,
            Auto::Fixed(v) => v,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Auto<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auto::Auto => f.pad("auto"),
            Auto::Fixed(v) => v.fmt(f),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum AutoRepr {
    Number(u32),
    Word(String),
}

impl Serialize for Auto<u32> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Auto::Auto => s.serialize_str("auto"),
            Auto::Fixed(v) => s.serialize_u32(*v),
        }
    }
}

impl<'de> Deserialize<'de> for Auto<u32> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match AutoRepr::deserialize(d)? {
            AutoRepr::Number(v) => Ok(Auto::Fixed(v)),
            AutoRepr::Word(w) if w == "auto" => Ok(Auto::Auto),
            AutoRepr::Word(w) => Err(serde::de::Error::custom(format!(
                "expected a number or \"auto\", found \"{w}\""
            ))),
        }
    }
}

impl JsonSchema for Auto<u32> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AutoNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "const": "auto" },
        ]})
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, as it is written in suites.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($name::$variant => $word,)* })
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                match s {
                    $($word => Ok($name::$variant),)*
                    _ => Err(UnknownWord { found: s.to_owned(), allowed: Self::WORDS }),
                }
            }
        }
    };
}

/// A word that is none of those allowed.
#[derive(Debug, thiserror::Error)]
#[error("found `{found}`, allowed are {}", allowed.join(", "))]
pub struct UnknownWord {
    /// What stood there.
    pub found: String,
    /// What may stand there.
    pub allowed: &'static [&'static str],
}

words! {
    /// Whether attention is computed without the full matrix of scores.
    FlashAttn {
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
        /// As the engine sees fit for this model and device.
        Auto = "auto",
    }
}

words! {
    /// When a sustained run ends.
    SoakUntil {
        /// When its speed has become steady, at the latest when its time is up.
        Steady = "steady",
        /// When its time is up.
        Limit = "limit",
    }
}

words! {
    /// When ceilings of the device are probed.
    ProbeWhen {
        /// Never.
        Off = "off",
        /// Once, before the first cell.
        Run = "run",
        /// Before the first cell, and right before each invocation for its own number of threads.
        Cells = "cells",
    }
}

/// A sustained run: passes without a pause, each with its own place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    /// Milliseconds from the beginning of the first pass after which no other begins.
    pub limit_ms: u64,
    /// Milliseconds over which speeds are averaged.
    pub window_ms: u64,
    /// Whether it may end earlier.
    pub until: SoakUntil,
}

/// How a machine comes to rest before an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Seconds at the beginning of a run in which the idle machine is looked at.
    pub baseline_s: u32,
    /// Seconds that are waited before each invocation at least.
    pub least_s: u32,
    /// Seconds in a row in which the machine must be at rest.
    pub hold_s: u32,
    /// Seconds after which nobody waits any longer.
    pub limit_s: u32,
}

impl Default for Gate {
    /// A minute of rest at the beginning, up to a quarter of an hour before each invocation.
    fn default() -> Gate {
        Gate { baseline_s: 60, least_s: 5, hold_s: 10, limit_s: 900 }
    }
}

impl Default for Soak {
    /// Twenty minutes, as stress tests of phones take; windows of ten seconds.
    fn default() -> Soak {
        Soak { limit_ms: 20 * 60 * 1000, window_ms: 10_000, until: SoakUntil::Steady }
    }
}

impl Soak {
    /// Its time in nanoseconds.
    pub fn limit_ns(&self) -> u64 {
        self.limit_ms.saturating_mul(1_000_000)
    }

    /// Seconds from the first pass on after which the child is ended if it has not ended by itself: the
    /// last pass may be a slow one. Loading and filling the cache may take as long.
    pub fn timeout_s(&self) -> u32 {
        let seconds = self.limit_ms / 1000 + (self.limit_ms / 2000).max(600);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

words! {
    /// How weights come into memory.
    LoadMode {
        /// As the engine does by itself.
        Auto = "auto",
        /// Mapped from the file.
        Mmap = "mmap",
        /// Read into memory of the engine's own.
        None = "none",
        /// Mapped and locked.
        Mlock = "mlock",
    }
}

words! {
    /// Which tokens are fed in decode.
    TokenFeed {
        /// Random ids from the seed, as llama-bench does.
        Random = "random",
        /// The most probable token of the step before.
        Greedy = "greedy",
    }
}

/// How an engine is asked to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Threads computing; `auto` is the number of physical cores (performance cores where they
    /// differ) that the process may use.
    pub n_threads: Auto<u32>,
    /// Capacity of the KV cache in tokens; `auto` is what the cell needs.
    pub n_ctx: Auto<u32>,
    /// Logical batch: tokens handed to the engine in one call.
    pub n_batch: u32,
    /// Physical batch: tokens that go through the graph together.
    pub n_ubatch: u32,
    /// Element type of the keys in the KV cache.
    pub type_k: GgmlType,
    /// Element type of the values in the KV cache.
    pub type_v: GgmlType,
    /// Flash attention.
    pub flash_attn: FlashAttn,
    /// How weights are loaded.
    pub load_mode: LoadMode,
    /// The ggml device that computes, `cpu`, or `auto`.
    pub backend_device: String,
    /// Layers on that device; `auto` is all of them unless the device is the CPU.
    pub n_gpu_layers: Auto<u32>,
}

impl Default for Settings {
    /// llama.cpp's defaults.
    fn default() -> Settings {
        Settings {
            n_threads: Auto::Auto,
            n_ctx: Auto::Auto,
            n_batch: 2048,
            n_ubatch: 512,
            type_k: GgmlType::F16,
            type_v: GgmlType::F16,
            flash_attn: FlashAttn::Auto,
            load_mode: LoadMode::Auto,
            backend_device: "auto".to_owned(),
            n_gpu_layers: Auto::Auto,
        }
    }
}

/// By whose rules an engine takes memory for its graph and its cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryRule {
    /// The built-in engine's own planner, to the byte.
    BuiltIn,
    /// Formulas fitted to what llama.cpp plans.
    #[default]
    LlamaCpp,
}

/// What an engine of this build can run. Data for the planner, which knows no engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// Architectures by their GGUF name; `None` means any but `not_archs`.
    pub archs: Option<Vec<String>>,
    /// Architectures that it does not know, by their GGUF name.
    #[serde(default)]
    pub not_archs: Vec<String>,
    /// Element types of weights; `None` means any.
    pub weight_types: Option<Vec<GgmlType>>,
    /// Element types of the KV cache.
    pub kv_types: Vec<GgmlType>,
    /// Values of `flash_attn` that it obeys.
    pub flash_attn: Vec<FlashAttn>,
    /// Whether it keeps values of the KV cache in a quantised type only with flash attention.
    #[serde(default)]
    pub flash_attn_for_values: bool,
    /// Values of `load_mode` that it obeys.
    pub load_modes: Vec<LoadMode>,
    /// Devices it can compute on, `auto` and `cpu` among them.
    pub devices: Vec<String>,
    /// The KV cache holds a multiple of this many tokens.
    pub n_ctx_padding: u32,
    /// By whose rules it takes memory.
    #[serde(default)]
    pub memory_rule: MemoryRule,
    /// Whether it reads a model file at all (the fake engine does not).
    pub needs_model_file: bool,
}

impl Capabilities {
    /// Whether it computes models of the architecture with this GGUF name.
    pub fn runs(&self, arch: &str) -> bool {
        let named = |archs: &[String]| archs.iter().any(|a| a == arch);
        self.archs.as_deref().is_none_or(named) && !named(&self.not_archs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round_trip_through_json() {
        let settings = Settings { n_threads: Auto::Fixed(3), ..Settings::default() };
        let json = serde_json::to_string(&settings).unwrap();
        assert!(json.contains(r#""n_threads":3,"n_ctx":"auto""#), "{json}");
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_words_allowed() {
        let error = "maybe".parse::<FlashAttn>().unwrap_err();
        assert_eq!(error.to_string(), "found `maybe`, allowed are on, off, auto");
    }
}
