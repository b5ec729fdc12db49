//! What can go wrong in the built-in engine.

use std::io;

use super::quant::{KV_TYPES, WEIGHT_TYPES};
use crate::ggml::GgmlType;
use crate::gguf::GgufError;
use crate::model::{Arch, ModelError};

/// Why a model could not be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The file is not as it should be.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The model is none that this engine knows.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor has a type without kernels.
    #[error(
        "tensor `{tensor}` has type {ty}, the built-in engine computes with {}\n\
         hint: requantise the file, or run it with another engine",
        names(WEIGHT_TYPES)
    )]
    WeightType {
        /// The tensor.
        tensor: String,
        /// Its type.
        ty: GgmlType,
    },
    /// A tensor that the graph has no use for.
    #[error(
        "tensor `{tensor}` has no place in the built-in engine's graph of {arch} models, which \
         would compute without it\n\
         hint: run the file with another engine"
    )]
    UnknownTensor {
        /// The tensor.
        tensor: String,
        /// The family that the file says it is of.
        arch: Arch,
    },
    /// A type that the cache cannot have.
    #[error("{field} is {ty}, the built-in engine's KV cache can be {}", names(KV_TYPES))]
    KvType {
        /// `type_k` or `type_v`.
        field: &'static str,
        /// What was asked for.
        ty: GgmlType,
    },
    /// A quantised cache for heads that are no whole number of blocks.
    #[error(
        "{field} is {ty}, of which a block has {} elements, and a head of this model has {head_dim}\n\
         hint: take F16 or F32",
        ty.block_size()
    )]
    KvBlocks {
        /// `type_k` or `type_v`.
        field: &'static str,
        /// What was asked for.
        ty: GgmlType,
        /// Elements of a head.
        head_dim: usize,
    },
    /// A setting out of its range.
    #[error("{field} is {found}, allowed are {allowed}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What was asked for.
        found: usize,
        /// What is possible.
        allowed: &'static str,
    },
    /// More tokens than the cache holds.
    #[error(
        "{n_tokens} more tokens after {n_past} do not fit into a KV cache of {n_ctx}\n\
         hint: raise n_ctx"
    )]
    ContextFull {
        /// Capacity of the cache.
        n_ctx: usize,
        /// Tokens in it.
        n_past: usize,
        /// Tokens to be added.
        n_tokens: usize,
    },
    /// More tokens than the model has learned positions for.
    #[error(
        "{n_tokens} more tokens after {n_past} are more than the {n_positions} positions that the \
         model has learned"
    )]
    Positions {
        /// Positions of the model.
        n_positions: usize,
        /// Tokens in the cache.
        n_past: usize,
        /// Tokens to be added.
        n_tokens: usize,
    },
    /// A token that the model does not have.
    #[error("token id {token}, the model has ids below {n_vocab}")]
    Token {
        /// The token.
        token: u32,
        /// How many there are.
        n_vocab: u32,
    },
    /// A prompt without tokens.
    #[error("the prompt has no tokens, at least one is needed")]
    EmptyPrompt,
    /// A rewind to where the cache has not been.
    #[error("rewind to {to} tokens, the cache holds {n_past}")]
    Rewind {
        /// Where to.
        to: usize,
        /// Tokens in the cache.
        n_past: usize,
    },
    /// Logits were asked for before there were any.
    #[error("no logits yet: nothing was evaluated since loading or rewinding")]
    NoLogits,
    /// Memory was refused.
    #[error("{bytes} bytes for {what}: {error}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: usize,
        /// What the system said.
        error: io::Error,
    },
    /// A thread was refused.
    #[error("cannot start {n_threads} threads: {error}")]
    Threads {
        /// How many were asked for.
        n_threads: usize,
        /// What the system said.
        error: io::Error,
    },
}

fn names(types: &[GgmlType]) -> String {
    types.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ")
}
