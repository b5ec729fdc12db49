//! File mixes: which type each tensor gets in a file of a given name.
//!
//! A mix is not a type: a `Q4_0` file of a small model holds a third of its bytes in `Q8_0`. And a
//! name is not one mix: llama.cpp's rules have changed, so each mix comes with its rules.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{ModelShape, TensorSpec};
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, GgufError};

/// The state of llama.cpp's quantiser whose rules a mix follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rules {
    /// Those of today.
    Today,
    /// Those of mid-2024, by which the files of the survey (arXiv 2409.15790) were made.
    Mid2024,
}

macro_rules! mixes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $base:ident;)*) => {
        /// llama.cpp's file types that this program can make (`enum llama_ftype`).
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        enum FileType { $($name,)* }

        /// A mix of tensor types that a synthetic file can be made in.
        ///
        /// Written as llama.cpp writes it, `Q4_K_M`, and with `@2024` behind where the rules are
        /// those of mid-2024.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct FileMix {
            file_type: FileType,
            rules: Rules,
        }

        #[allow(non_upper_case_globals)]
        impl FileMix {
            $(
                $(#[$doc])*
                pub const $name: FileMix =
                    FileMix { file_type: FileType::$name, rules: Rules::Today };
            )*

            /// Every mix by today's rules.
            pub const ALL: &'static [FileMix] = &[$(FileMix::$name,)*];
            /// The names of all of these.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// The name with its rules.
            pub fn name(self) -> &'static str {
                match (self.file_type, self.rules) {
                    $(
                        (FileType::$name, Rules::Today) => stringify!($name),
                        (FileType::$name, Rules::Mid2024) => concat!(stringify!($name), "@2024"),
                    )*
                }
            }

            /// llama.cpp's number for it, stored as `general.file_type`.
            pub fn file_type(self) -> u32 {
                match self.file_type { $(FileType::$name => $id,)* }
            }

            /// The type of most matrices.
            pub fn base_type(self) -> GgmlType {
                match self.file_type { $(FileType::$name => GgmlType::$base,)* }
            }
        }
    };
}

mixes! {
    /// Single precision throughout.
    F32 = 0, F32;
    /// Half precision.
    F16 = 1, F16;
    /// Half the bits of single precision, all of its exponent.
    BF16 = 32, BF16;
    /// 8 bits in blocks of 32.
    Q8_0 = 7, Q8_0;
    /// 6 bits in blocks of 256.
    Q6_K = 18, Q6_K;
    /// 5 bits in blocks of 256; parts of attention and feed-forward wider.
    Q5_K_M = 17, Q5_K;
    /// 5 bits in blocks of 256.
    Q5_K_S = 16, Q5_K;
    /// 5 bits and a minimum in blocks of 32.
    Q5_1 = 9, Q5_1;
    /// 5 bits in blocks of 32.
    Q5_0 = 8, Q5_0;
    /// 4 bits in blocks of 256; parts of attention and feed-forward wider.
    Q4_K_M = 15, Q4_K;
    /// 4 bits in blocks of 256; the first layers wider.
    Q4_K_S = 14, Q4_K;
    /// 4 bits and a minimum in blocks of 32.
    Q4_1 = 3, Q4_1;
    /// 4 bits in blocks of 32; embedding or output head wider.
    Q4_0 = 2, Q4_0;
    /// 4 bits of a fixed curve in blocks of 32.
    IQ4_NL = 25, IQ4_NL;
    /// 4 bits of a fixed curve in blocks of 256.
    IQ4_XS = 30, IQ4_XS;
    /// 3 bits in blocks of 256; attention and feed-forward outputs in 5.
    Q3_K_L = 13, Q3_K;
    /// 3 bits in blocks of 256; attention and feed-forward outputs in 4.
    Q3_K_M = 12, Q3_K;
    /// 3 bits in blocks of 256.
    Q3_K_S = 11, Q3_K;
    /// 2 bits in blocks of 256; attention and feed-forward outputs in 3.
    Q2_K = 10, Q2_K;
}

/// Short names, as llama.cpp's quantiser takes them.
const ALIASES: &[(&str, &str)] = &[("Q3_K", "Q3_K_M"), ("Q4_K", "Q4_K_M"), ("Q5_K", "Q5_K_M")];

/// What stands behind a name for the rules of mid-2024.
pub const SUFFIX_2024: &str = "@2024";

impl fmt::Display for FileMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no mix this program can make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown quant `{found}`, known are {}; with `{SUFFIX_2024}` behind: by the rules of mid-2024{}",
    FileMix::NAMES.join(", "),
    hint(found).map(|hint| format!("\nhint: {hint}")).unwrap_or_default()
)]
pub struct UnknownMix {
    /// What stood there.
    pub found: String,
}

/// What was meant by a name that is no mix, where that can be told.
fn hint(found: &str) -> Option<String> {
    if found.contains(['*', '?']) {
        return Some(format!("patterns are for --filter: --filter 'quant={found}'"));
    }
    if let Some((name, rules)) = found.split_once('@')
        && name.parse::<FileMix>().is_ok()
    {
        return Some(format!("of other rules there is only {SUFFIX_2024}, not @{rules}"));
    }
    let start = found.to_ascii_uppercase();
    let begins = |name: &&str| start.len() > 1 && name.starts_with(&start);
    let mut near: Vec<String> =
        FileMix::NAMES.iter().copied().filter(begins).map(str::to_owned).collect();
    if near.is_empty() {
        near = super::catalogue::near(found, FileMix::NAMES);
        near.truncate(2);
    }
    (!near.is_empty()).then(|| format!("did you mean `{}`?", near.join("` or `")))
}

impl FromStr for FileMix {
    type Err = UnknownMix;

    /// Case does not matter.
    fn from_str(s: &str) -> Result<FileMix, UnknownMix> {
        let (name, rules) = match s.strip_suffix(SUFFIX_2024) {
            Some(name) => (name, Rules::Mid2024),
            None => (s, Rules::Today),
        };
        let alias = ALIASES.iter().find(|(short, _)| short.eq_ignore_ascii_case(name));
        let name = alias.map_or(name, |(_, whole)| whole);
        let today = FileMix::ALL.iter().find(|m| m.name().eq_ignore_ascii_case(name));
        today.map(|m| m.by(rules)).ok_or_else(|| UnknownMix { found: s.to_owned() })
    }
}

impl FileMix {
    /// Every name without its rules that is understood: the names, and the quantiser's short ones.
    pub fn spellings() -> impl Iterator<Item = &'static str> {
        FileMix::NAMES.iter().copied().chain(ALIASES.iter().map(|(short, _)| *short))
    }

    /// The same name by other rules.
    pub fn by(self, rules: Rules) -> FileMix {
        FileMix { rules, ..self }
    }

    /// Its rules.
    pub fn rules(self) -> Rules {
        self.rules
    }

    /// Whether a file of this mix has been through the quantiser.
    pub fn is_quantised(self) -> bool {
        self.base_type().block_size() > 1
    }

    /// All tensors of `shape` with their types, in file order.
    ///
    /// That is the converter's order; today's quantiser changes it to layers by number and
    /// tensors by name. The shape must be valid.
    pub fn tensors(self, shape: &ModelShape) -> Vec<(TensorSpec, GgmlType)> {
        let copied = self.rules == Rules::Mid2024 && shape.copied_output_2024;
        let mut tensors = if copied && shape.tied_output {
            ModelShape { tied_output: false, ..shape.clone() }.tensors()
        } else {
            shape.tensors()
        };
        self.order(&mut tensors);
        let mut chooser = rules::Chooser::new(self, shape, &tensors);
        let choose = |tensor: TensorSpec| {
            let ty = chooser.choose(&tensor).unwrap_or(GgmlType::F32);
            (tensor, ty)
        };
        tensors.into_iter().map(choose).collect()
    }

    /// The tensors of a model of `shape` that is there as a file, in the order of a file of this mix;
    /// with the types they get, where they do not keep their own.
    pub fn choose(
        self,
        shape: &ModelShape,
        mut tensors: Vec<TensorSpec>,
    ) -> Vec<(TensorSpec, Option<GgmlType>)> {
        self.order(&mut tensors);
        let mut chooser = rules::Chooser::new(self, shape, &tensors);
        let choose = |tensor: TensorSpec| {
            let ty = chooser.choose(&tensor);
            (tensor, ty)
        };
        tensors.into_iter().map(choose).collect()
    }

    fn order(self, tensors: &mut [TensorSpec]) {
        if self.is_quantised() && self.rules == Rules::Today {
            tensors.sort_by_cached_key(|tensor| (layer_of(&tensor.name), tensor.name.clone()));
        }
    }

    /// Bytes of all tensors by type.
    pub fn type_bytes(self, shape: &ModelShape) -> BTreeMap<GgmlType, u64> {
        type_bytes(&self.tensors(shape))
    }

    /// Bytes of all tensors.
    pub fn weight_bytes(self, shape: &ModelShape) -> u64 {
        self.type_bytes(shape).values().sum()
    }
}

/// Bytes by type of tensors whose types a mix has chosen.
pub fn type_bytes(tensors: &[(TensorSpec, GgmlType)]) -> BTreeMap<GgmlType, u64> {
    let mut bytes = BTreeMap::new();
    for (tensor, ty) in tensors {
        // Every type chosen fits its rows, and checked shapes do not overflow.
        *bytes.entry(*ty).or_default() += ty.bytes_for(tensor.n_elements()).unwrap_or(0);
    }
    bytes
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
