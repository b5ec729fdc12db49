//! File mixes: which type each tensor gets in a file of a given name.
//!
//! A mix is not a type: a `Q4_0` file of a small model holds a third of its bytes in `Q8_0`.
//! Source of truth: llama.cpp's converter for the unquantised mixes, `llama_tensor_get_type` in
//! `llama-quant.cpp` (the rules of 2026, no importance matrix) for the others.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelShape, TensorSpec};
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, GgufError};

macro_rules! mixes {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => {
        /// A mix of tensor types that a synthetic file can be made in.
        #[allow(non_camel_case_types)]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        pub enum FileMix { $($(#[$doc])* $name,)* }

        impl FileMix {
            /// Every mix.
            pub const ALL: &'static [FileMix] = &[$(FileMix::$name,)*];
            /// The names of all of them.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// The name as llama.cpp spells it.
            pub fn name(self) -> &'static str {
                match self { $(FileMix::$name => stringify!($name),)* }
            }

            /// llama.cpp's number for it, stored as `general.file_type`.
            pub fn file_type(self) -> u32 {
                match self { $(FileMix::$name => $id,)* }
            }

            /// The type of most matrices.
            pub fn base_type(self) -> GgmlType {
                match self { $(FileMix::$name => GgmlType::$name,)* }
            }
        }
    };
}

mixes! {
    /// Single precision throughout.
    F32 = 0;
    /// Half precision.
    F16 = 1;
    /// Half the bits of single precision, all of its exponent.
    BF16 = 32;
    /// 8 bits in blocks of 32.
    Q8_0 = 7;
    /// 4 bits in blocks of 32; embedding or output head wider.
    Q4_0 = 2;
}

impl fmt::Display for FileMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no mix this program can make.
#[derive(Debug, thiserror::Error)]
#[error("unknown mix `{found}`, allowed are {}", FileMix::NAMES.join(", "))]
pub struct UnknownMix {
    /// What stood there.
    pub found: String,
}

impl FromStr for FileMix {
    type Err = UnknownMix;

    /// Case does not matter.
    fn from_str(s: &str) -> Result<FileMix, UnknownMix> {
        Self::ALL
            .iter()
            .copied()
            .find(|m| m.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| UnknownMix { found: s.to_owned() })
    }
}

impl FileMix {
    /// Whether a file of this mix has been through the quantiser.
    pub fn is_quantised(self) -> bool {
        self.base_type().block_size() > 1
    }

    /// The type that `tensor` of `shape` gets.
    pub fn tensor_type(self, shape: &ModelShape, tensor: &TensorSpec) -> GgmlType {
        if tensor.dims.len() < 2 {
            return GgmlType::F32;
        }
        let base = self.base_type();
        if !self.is_quantised() {
            return base;
        }
        let is_output = tensor.name == "output.weight"
            || (shape.tied_output && tensor.name == "token_embd.weight");
        let row = tensor.dims[0];
        let wanted = match base {
            GgmlType::Q8_0 => GgmlType::Q8_0,
            _ if is_output && row.is_multiple_of(base.block_size()) => GgmlType::Q6_K,
            _ if is_output => GgmlType::Q8_0,
            other => other,
        };
        fallback(wanted, row)
    }

    /// All tensors of `shape` with their types, in file order: the converter's for unquantised
    /// mixes; the quantiser's, by layer and then by name, for the others.
    pub fn tensors(self, shape: &ModelShape) -> Vec<(TensorSpec, GgmlType)> {
        let mut all: Vec<_> = shape
            .tensors()
            .into_iter()
            .map(|tensor| {
                let ty = self.tensor_type(shape, &tensor);
                (tensor, ty)
            })
            .collect();
        if self.is_quantised() {
            all.sort_by_cached_key(|(tensor, _)| (layer_of(&tensor.name), tensor.name.clone()));
        }
        all
    }

    /// Bytes of all tensors by type.
    pub fn type_bytes(self, shape: &ModelShape) -> BTreeMap<GgmlType, u64> {
        let mut bytes = BTreeMap::new();
        for (tensor, ty) in self.tensors(shape) {
            // Every type chosen fits its rows, and checked shapes do not overflow.
            *bytes.entry(ty).or_default() += ty.bytes_for(tensor.n_elements()).unwrap_or(0);
        }
        bytes
    }

    /// Bytes of all tensors.
    pub fn weight_bytes(self, shape: &ModelShape) -> u64 {
        self.type_bytes(shape).values().sum()
    }
}

/// What the quantiser takes where rows are no whole number of blocks.
fn fallback(wanted: GgmlType, row: u64) -> GgmlType {
    let fits = |ty: GgmlType| row.is_multiple_of(ty.block_size());
    match wanted {
        ty if fits(ty) => ty,
        GgmlType::Q6_K if fits(GgmlType::Q8_0) => GgmlType::Q8_0,
        _ => GgmlType::F16,
    }
}

/// The layer in a name such as `blk.7.attn_q.weight`; -1 for tensors outside of layers.
fn layer_of(name: &str) -> i64 {
    name.strip_prefix("blk.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|layer| layer.parse().ok())
        .unwrap_or(-1)
}

/// Names of llama.cpp's file types by their number (`enum llama_ftype`).
const FILE_TYPES: &[(u32, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
];

/// The quantisation a file names in `general.file_type`; of one that names none, or one this
/// program does not know, the type of most of its bytes.
pub fn quant_name(gguf: &Gguf) -> Result<String, GgufError> {
    let named = gguf.opt_u32("general.file_type")?;
    if let Some((_, name)) = FILE_TYPES.iter().find(|(id, _)| Some(*id) == named) {
        return Ok((*name).to_owned());
    }
    let mut bytes = BTreeMap::<GgmlType, u64>::new();
    for tensor in gguf.tensors() {
        let sum = bytes.entry(tensor.ty).or_default();
        *sum = sum.saturating_add(tensor.bytes);
    }
    let most = bytes.into_iter().max_by_key(|&(_, n)| n);
    Ok(most.map_or_else(|| "none".to_owned(), |(ty, _)| ty.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

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
        let shape =
            ModelShape { n_embd: 36, n_head: 2.into(), head_dim: 18, ..model("tiny-llama") };
        let embedding = shape.tensors().into_iter().find(|t| t.name == "token_embd.weight");
        let embedding = embedding.unwrap();
        assert_eq!(FileMix::Q4_0.tensor_type(&shape, &embedding), GgmlType::F16);
        assert_eq!(FileMix::Q8_0.tensor_type(&shape, &embedding), GgmlType::F16);
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
}
