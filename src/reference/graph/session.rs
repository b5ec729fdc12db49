//! A session: a model, its cache, and all memory that a pass needs, taken at once.

use std::sync::Arc;

use super::attention::{AttentionScratch, KV_BLOCK};
use super::kv::{HeadDims, KvCache, KvTypes, padded_ctx};
use super::model::Model;
use super::widths::Widths;
use crate::ggml::GgmlType;
use crate::reference::ReferenceError;
use crate::reference::arena::zeros;
use crate::reference::kernel::{Acts, Form, Kernels, TOKEN_BLOCK};
use crate::reference::pool::Pool;
use crate::reference::profile::{Laps, Profile, Recorder};
use crate::reference::quant::KV_TYPES;
use crate::reference::trace::{Point, Trace};

/// How a session is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Tokens that the cache must hold.
    pub n_ctx: usize,
    /// Tokens that go through the graph together.
    pub n_ubatch: usize,
    /// Threads computing.
    pub n_threads: usize,
    /// Element type of the keys in the cache.
    pub type_k: GgmlType,
    /// Element type of the values in the cache.
    pub type_v: GgmlType,
    /// Attention block by block, without full rows of scores.
    pub flash_attn: bool,
}

/// Bytes taken, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Weights in memory of the engine's own.
    pub weight_bytes: u64,
    /// Weights read from the mapped file.
    pub weight_mapped_bytes: u64,
    /// The KV cache.
    pub kv_bytes: u64,
    /// Activations and scratch.
    pub compute_bytes: u64,
    /// Logits.
    pub output_bytes: u64,
}

/// A model being run.
pub struct Session {
    pub(super) model: Arc<Model>,
    pub(super) kernels: &'static dyn Kernels,
    pub(super) pool: Pool,
    pub(super) config: SessionConfig,
    pub(super) kv: KvCache,
    pub(super) state: State,
    /// Tokens in the cache.
    pub(super) n_past: usize,
    /// `[n_vocab]`
    logits: Vec<f32>,
    has_logits: bool,
    pub(super) recorder: Recorder,
    pub(super) trace: Trace,
}

/// What a pass writes. `n` is a micro-batch; every width is in [`Widths`].
pub(super) struct State {
    /// `[n][n_embd]` the residual stream
    pub x: Vec<f32>,
    /// `[n][n_embd_tok]` embeddings before they are projected
    pub tok: Vec<f32>,
    /// `[n][n_head · head_dim + n_head_kv · (head_dim + value_dim)]`, with latents `[n][n_head · head_dim]`
    pub qkv: Vec<f32>,
    /// `[n][q_lora_rank + kv_lora_rank + n_rot]`
    pub latent: Vec<f32>,
    /// `[n][n_head · (head_dim − n_rot + value_dim)]` keys and values out of a latent
    pub kv: Vec<f32>,
    /// `[n][n_head · value_dim]`
    pub attn: Vec<f32>,
    /// `[n][n_ff]`
    pub ffn: Vec<f32>,
    /// `[n][n_embd]` what a part adds to the residual stream, before its norm
    pub result: Vec<f32>,
    /// `[sets][n][n_rot]` cosines and sines of each position
    pub angles: Vec<f32>,
    /// `[n_head]` slopes on the scores
    pub slopes: Vec<f32>,
    /// `[n / TOKEN_BLOCK]` activations as the next matrix wants them
    pub acts: Vec<Acts>,
    /// `[n_threads][n_head_kv][group · (value_dim + 2)]` attention of parts of the cache
    pub partials: Vec<f32>,
    /// per thread
    pub scratch: Vec<Scratch>,
}

/// What one thread writes for itself.
pub(super) struct Scratch {
    /// A row of any length: normed activations, a key.
    pub row: Vec<f32>,
    /// `up` of a tile of the gated unit.
    pub up: Vec<f32>,
    /// Bytes of a row of the embedding.
    pub bytes: Vec<u8>,
    pub attention: AttentionScratch,
    /// When it changed from one operation to the next.
    pub laps: Laps,
}

/// Columns of a tile when there are many activations.
pub(super) const TILE_COLUMNS: usize = 256;

impl State {
    fn new(model: &Model, config: &SessionConfig) -> Result<State, ReferenceError> {
        let (widths, dims) = (Widths::of(&model.shape), HeadDims::of(&model.shape));
        let n = config.n_ubatch;
        let mut forms: Vec<Form> = Vec::new();
        for form in model.linears().flat_map(|l| l.forms()) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        let max_k = model.max_k();
        let in_block = n.min(TOKEN_BLOCK);
        let block = if config.flash_attn { KV_BLOCK.min(config.n_ctx) } else { config.n_ctx };
        let floats = |n| zeros::<f32>(n, "activations");
        let scratch = || {
            Ok(Scratch {
                row: zeros(max_k.max(dims.k), "scratch")?,
                up: zeros((in_block * TILE_COLUMNS).max(widths.ffn), "scratch")?,
                bytes: zeros(widths.x.max(widths.tok) * size_of::<f32>(), "scratch")?,
                attention: AttentionScratch::new(widths.query_rows, dims, config.type_k, block)?,
                laps: Laps::default(),
            })
        };
        let mut slopes = floats(widths.slopes)?;
        slopes.copy_from_slice(&model.recipe.slopes(widths.slopes));
        Ok(State {
            x: floats(n * widths.x)?,
            tok: floats(n * widths.tok)?,
            qkv: floats(n * widths.qkv)?,
            latent: floats(n * widths.latent)?,
            kv: floats(n * widths.kv)?,
            attn: floats(n * widths.attn)?,
            ffn: floats(n * widths.ffn)?,
            result: floats(n * widths.result)?,
            angles: floats(n * widths.angles)?,
            slopes,
            acts: (0..n.div_ceil(TOKEN_BLOCK))
                .map(|_| Acts::new(in_block, max_k, &forms))
                .collect::<Result<_, _>>()?,
            partials: floats(config.n_threads * widths.partial)?,
            scratch: (0..config.n_threads)
                .map(|_| scratch())
                .collect::<Result<_, ReferenceError>>()?,
        })
    }

    fn bytes(&self) -> usize {
        let State { x, tok, qkv, latent, kv, attn, ffn, result, angles, slopes, partials, .. } =
            self;
        let floats = [x, tok, qkv, latent, kv, attn, ffn, result, angles, slopes, partials];
        floats.iter().map(|v| 4 * v.len()).sum::<usize>()
            + self.acts.iter().map(Acts::bytes).sum::<usize>()
            + self
                .scratch
                .iter()
                .map(|s| 4 * (s.row.len() + s.up.len()) + s.bytes.len() + s.attention.bytes())
                .sum::<usize>()
    }
}

impl Session {
    /// Takes all memory and threads that running `model` needs.
    pub fn new(
        model: Arc<Model>,
        kernels: &'static dyn Kernels,
        config: SessionConfig,
    ) -> Result<Session, ReferenceError> {
        for (field, ty) in [("type_k", config.type_k), ("type_v", config.type_v)] {
            if !KV_TYPES.contains(&ty) {
                return Err(ReferenceError::KvType { field, ty });
            }
        }
        for (field, found, max, allowed) in [
            ("n_ctx", config.n_ctx, 1 << 24, "1 to 16777216"),
            ("n_ubatch", config.n_ubatch, 1 << 16, "1 to 65536"),
            ("n_threads", config.n_threads, 1024, "1 to 1024"),
        ] {
            if found == 0 || found > max {
                return Err(ReferenceError::Setting { field, found, allowed });
            }
        }
        let n_ctx = padded_ctx(config.n_ctx);
        let n_ubatch = config.n_ubatch.min(n_ctx);
        let config = SessionConfig { n_ctx, n_ubatch, ..config };
        let types = KvTypes { k: config.type_k, v: config.type_v };
        let kv = KvCache::new(&model.shape, n_ctx, types)?;
        let state = State::new(&model, &config)?;
        let logits = zeros(model.shape.n_vocab as usize, "logits")?;
        let pool = Pool::new(config.n_threads)
            .map_err(|error| ReferenceError::Threads { n_threads: config.n_threads, error })?;
        Ok(Session {
            model,
            kernels,
            pool,
            config,
            kv,
            state,
            n_past: 0,
            logits,
            has_logits: false,
            recorder: Recorder::default(),
            trace: Trace::default(),
        })
    }

    /// From now on notes where the time of calls goes, or no longer.
    pub fn take_profile(&mut self, on: bool) {
        let laps = self.state.scratch.iter_mut().map(|own| &mut own.laps);
        self.recorder.switch(on, laps);
    }

    /// What one reading of the clock takes, as measured when that began.
    pub fn stamp_ns(&self) -> f64 {
        self.recorder.stamp_ns()
    }

    /// Where the time of each call went that was made since the last time this was asked.
    pub fn profiles(&mut self) -> Vec<Profile> {
        self.recorder.take()
    }

    /// From now on keeps what goes through the layers, or no longer.
    pub fn take_trace(&mut self, on: bool) {
        self.trace.switch(on);
    }

    /// What went through the layers in the last pass, its last token's, in the order of the graph.
    pub fn trace(&self) -> &[Point] {
        self.trace.points()
    }

    /// What the settings became: the context in whole panels, no micro-batch above it.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Every buffer, by kind.
    pub fn buffers(&self) -> Buffers {
        Buffers {
            weight_bytes: self.model.weight_bytes(),
            weight_mapped_bytes: self.model.mapped_bytes(),
            kv_bytes: self.kv.bytes() as u64,
            compute_bytes: self.state.bytes() as u64,
            output_bytes: 4 * self.logits.len() as u64,
        }
    }

    /// Tokens in the cache.
    pub fn n_past(&self) -> usize {
        self.n_past
    }

    /// Runs `tokens` behind what is in the cache, in micro-batches; then [`Self::logits`] are
    /// those of the last one. When an error is returned nothing has changed.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), ReferenceError> {
        if tokens.is_empty() {
            return Err(ReferenceError::EmptyPrompt);
        }
        let n_vocab = self.model.shape.n_vocab;
        if let Some(&token) = tokens.iter().find(|t| **t >= n_vocab) {
            return Err(ReferenceError::Token { token, n_vocab });
        }
        let (n_ctx, n_past, n_tokens) = (self.config.n_ctx, self.n_past, tokens.len());
        if n_tokens > n_ctx - n_past {
            return Err(ReferenceError::ContextFull { n_ctx, n_past, n_tokens });
        }
        if let Some(n_positions) = self.model.n_positions().filter(|n| n_past + n_tokens > *n) {
            return Err(ReferenceError::Positions { n_positions, n_past, n_tokens });
        }
        self.recorder.begin_call();
        let n_batches = n_tokens.div_ceil(self.config.n_ubatch);
        let mut logits = std::mem::take(&mut self.logits);
        for (i, batch) in tokens.chunks(self.config.n_ubatch).enumerate() {
            self.pass(batch, (i + 1 == n_batches).then_some(&mut logits[..]));
        }
        self.logits = logits;
        self.has_logits = true;
        Ok(())
    }

    /// Runs one token.
    pub fn decode(&mut self, token: u32) -> Result<(), ReferenceError> {
        self.prefill(&[token])
    }

    /// Logits of the last token, `[n_vocab]`.
    pub fn logits(&self) -> Result<&[f32], ReferenceError> {
        if self.has_logits { Ok(&self.logits) } else { Err(ReferenceError::NoLogits) }
    }

    /// Forgets everything after the first `n_past` tokens. Their keys and values are where they were:
    /// a token is written to its own position alone, also where a window hides it from later ones.
    pub fn rewind(&mut self, n_past: usize) -> Result<(), ReferenceError> {
        if n_past > self.n_past {
            return Err(ReferenceError::Rewind { to: n_past, n_past: self.n_past });
        }
        if n_past < self.n_past {
            self.has_logits = false;
        }
        self.n_past = n_past;
        Ok(())
    }
}
