//! The cell: one point of the matrix, with everything the child needs to measure it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::memory::{Habit, Usage};
use crate::settings::{Auto, Settings, Soak, TokenFeed};

/// Where a cell's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ModelSource {
    /// Random weights of the model's shape.
    Synthetic {
        /// Seed of the weights. Not part of the id: cost does not depend on it.
        seed: u64,
        /// Hash of the model's shape: a name may come to mean another shape.
        shape: String,
    },
    /// A GGUF file of the user's, named by its content alone: a path may hold a user's name.
    File {
        /// SHA-256 of the content, lower-case hexadecimal.
        sha256: String,
    },
}

/// One point of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// Hash of what is measured; equal cells of different runs have equal ids.
    pub id: CellId,
    /// The engine as the suite names it: `reference`, `llama-cpp`, `fake:prefill_ms=40`.
    pub engine: String,
    /// The model's name in `models.toml`, or the name of the user's file without its folder.
    pub model: String,
    /// The file mix: `F16`, `Q8_0`, `Q4_0`; of a user's file what its header says.
    pub quant: String,
    /// Where the weights come from.
    pub source: ModelSource,
    /// CPUs the child may use: `all`, `big`, or a list such as `0,2-3`.
    pub cpus: String,
    /// Prompt tokens evaluated in the timed prefill; 0 measures decode alone.
    pub n_prompt: u32,
    /// Decode calls timed after the prefill; 0 measures prefill alone.
    pub n_gen: u32,
    /// Tokens already in the KV cache when timing starts.
    pub n_depth: u32,
    /// How the engine is asked to run.
    #[serde(flatten)]
    pub settings: Settings,
    /// Which tokens decode is fed.
    pub feed: TokenFeed,
    /// Passes without a pause for so long, instead of `repetitions` of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub soak: Option<Soak>,
    /// Where the time goes, instead of how much it is: passes with spans in turns with passes without.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub profile: bool,
    /// Timed passes in an invocation. Not part of the id.
    pub repetitions: u32,
    /// Passes before the first timed one. Not part of the id.
    pub warmup: u32,
    /// Wall time after which an invocation is ended. Not part of the id.
    pub timeout_s: u32,
    /// Seed of the token ids. Not part of the id.
    pub token_seed: u64,
}

impl Cell {
    /// The id that belongs to this cell's content.
    pub fn compute_id(&self) -> CellId {
        let source = match &self.source {
            ModelSource::Synthetic { shape, .. } => shape,
            ModelSource::File { sha256, .. } => sha256,
        };
        let mut what = serde_json::json!([
            self.engine,
            self.model,
            self.quant,
            source,
            self.cpus,
            self.n_prompt,
            self.n_gen,
            self.n_depth,
            self.settings,
            self.feed,
        ]);
        // Behind the others, so that cells that are none keep their ids.
        if let (Some(soak), Some(what)) = (&self.soak, what.as_array_mut()) {
            what.push(serde_json::json!(soak));
        }
        if let (true, Some(what)) = (self.profile, what.as_array_mut()) {
            what.push("profile".into());
        }
        let digest = Sha256::digest(what.to_string().as_bytes());
        CellId(digest[..6].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Whether it is measured pass by pass: neither a sustained run nor a profile, whose passes are other
    /// ones.
    pub fn is_timed(&self) -> bool {
        self.soak.is_none() && !self.profile
    }

    /// What is timed, in llama-bench's words: `pp512`, `tg128 @ d512`, `pp512+tg64`.
    pub fn test(&self) -> String {
        let mut words = Vec::new();
        if self.n_prompt > 0 {
            words.push(format!("pp{}", self.n_prompt));
        }
        if self.n_gen > 0 {
            words.push(format!("tg{}", self.n_gen));
        }
        let mut text = words.join("+");
        if self.n_depth > 0 {
            text.push_str(&format!(" @ d{}", self.n_depth));
        }
        if let Some(soak) = &self.soak {
            text.push_str(&format!(" for {}", minutes(soak.limit_ms)));
        }
        if self.profile {
            text.push_str(" profile");
        }
        text
    }

    /// Decode calls of a warm-up pass: enough for caches, clocks and branch predictors.
    pub fn n_warmup_gen(&self) -> u32 {
        self.n_gen.min(8)
    }

    /// Tokens the KV cache must hold when the cell has run.
    pub fn n_ctx_needed(&self) -> u32 {
        self.n_depth.saturating_add(self.n_prompt).saturating_add(self.n_gen)
    }

    /// The settings with the threads and the context that `auto` stands for.
    pub fn settled(&self, n_threads_auto: u32) -> Settings {
        Settings {
            n_threads: Auto::Fixed(self.settings.n_threads.unwrap_or(n_threads_auto)),
            n_ctx: Auto::Fixed(self.n_ctx()),
            ..self.settings.clone()
        }
    }

    /// How it uses a cache for `n_ctx` tokens and buffers for `n_ubatch`.
    pub fn usage(&self, n_ctx: u32, n_ubatch: u32, habit: Habit) -> Usage {
        Usage {
            n_tokens: self.n_ctx_needed().into(),
            n_ctx: n_ctx.into(),
            n_fed: self.n_prompt.max(self.n_depth).clamp(1, n_ubatch.max(1)).into(),
            n_ubatch: n_ubatch.into(),
            habit,
        }
    }

    /// Capacity of the KV cache asked for, before the engine pads it.
    pub fn n_ctx(&self) -> u32 {
        self.settings.n_ctx.unwrap_or(self.n_ctx_needed())
    }
}

/// `20 min`, or seconds where there are no whole minutes.
fn minutes(ms: u64) -> String {
    match ms {
        0 => "0 s".to_owned(),
        ms if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        ms => format!("{} s", ms as f64 / 1000.0),
    }
}

/// Twelve hexadecimal digits that stand for what a cell measures.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct CellId(pub String);

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
