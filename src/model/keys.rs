//! The metadata of a model as llama.cpp's converter writes it, without tokenizer and file type.

use super::arch::KeyValue;
use super::{ModelShape, PerLayer, RopeScaling};
use crate::gguf::GgufWriter;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaValue {
    /// A truth value.
    Bool(bool),
    /// An unsigned number.
    U32(u32),
    /// One number of each layer.
    I32s(Vec<i32>),
    /// A real number.
    F32(f32),
    /// A word.
    Str(String),
}

impl MetaValue {
    /// Adds it to `header` under `key`.
    pub fn write(&self, header: &mut GgufWriter, key: &str) {
        match self {
            MetaValue::Bool(v) => header.set(key, *v),
            MetaValue::U32(v) => header.set(key, *v),
            MetaValue::I32s(v) => header.set_array(key, v),
            MetaValue::F32(v) => header.set(key, *v),
            MetaValue::Str(v) => header.set_str(key, v),
        };
    }
}

impl ModelShape {
    /// Keys with their values, `{arch}.` in front, in the converter's order.
    pub fn metadata(&self) -> Vec<(String, MetaValue)> {
        let keys = self.arch.keys();
        keys.filter_map(|key| {
            Some((format!("{}.{}", self.arch, key.name), self.key_value(key.value)?))
        })
        .collect()
    }

    fn key_value(&self, value: KeyValue) -> Option<MetaValue> {
        let scaling = self.rope_scaling;
        Some(match value {
            KeyValue::Truth(b) => MetaValue::Bool(b),
            KeyValue::Real(x) => MetaValue::F32(x),
            KeyValue::Word(word) => MetaValue::Str(word.to_owned()),
            KeyValue::NLayer => MetaValue::U32(self.n_layer),
            KeyValue::NCtx => MetaValue::U32(self.n_ctx_train),
            KeyValue::NEmbd => MetaValue::U32(self.n_embd),
            KeyValue::NFf => number(&self.n_ff),
            KeyValue::TwoNFf => MetaValue::U32(2 * self.n_ff.max()),
            KeyValue::NHead => number(&self.n_head),
            KeyValue::NHeadKv => number(&self.n_head_kv),
            KeyValue::FreqBase => MetaValue::F32(self.rope_freq_base? as f32),
            KeyValue::NormEps => MetaValue::F32(self.norm_eps as f32),
            KeyValue::NRot => MetaValue::U32(self.n_rot),
            KeyValue::NVocab => MetaValue::U32(self.n_vocab),
            KeyValue::KeyLength => MetaValue::U32(self.head_dim),
            KeyValue::ValueLength => MetaValue::U32(self.value_dim()),
            KeyValue::FreeHeadLength => {
                let follows = self.n_embd_q(0) == u64::from(self.n_embd);
                (!follows).then_some(MetaValue::U32(self.head_dim))?
            }
            KeyValue::Window => MetaValue::U32(self.n_swa?),
            KeyValue::ScalingType => match scaling? {
                RopeScaling::Linear { .. } => MetaValue::Str("linear".to_owned()),
                // Llama 3's is written as a tensor.
                _ => return None,
            },
            KeyValue::ScalingFactor => match scaling? {
                RopeScaling::Linear { factor } => MetaValue::F32(factor as f32),
                _ => return None,
            },
            KeyValue::NCtxOrig => match scaling? {
                RopeScaling::LongRope { n_ctx_orig, .. } => MetaValue::U32(n_ctx_orig),
                _ => return None,
            },
            KeyValue::AttnFactor => match scaling? {
                RopeScaling::LongRope { attn_factor, .. } => MetaValue::F32(attn_factor as f32),
                _ => return None,
            },
            KeyValue::ResidualScale => {
                MetaValue::F32((1.4 / f64::from(self.n_layer).sqrt()) as f32)
            }
            KeyValue::LogitScale => MetaValue::F32(self.n_embd as f32 / 256.0),
            KeyValue::QLatent => MetaValue::U32(self.q_lora_rank?),
            KeyValue::KvLatent => MetaValue::U32(self.kv_lora_rank?),
            KeyValue::EmbdTok => MetaValue::U32(self.n_embd_tok?),
            KeyValue::PostNorm => self.post_norm.then_some(MetaValue::Bool(true))?,
        })
    }
}

fn number(n: &PerLayer) -> MetaValue {
    match n {
        PerLayer::Same(n) => MetaValue::U32(*n),
        // Bounded far below by `ModelShape::problems`.
        PerLayer::Each(all) => MetaValue::I32s(all.iter().map(|n| *n as i32).collect()),
    }
}
