//! The rules by which llama.cpp's quantiser gives each tensor its type, without experts and without
//! an importance matrix.
//!
//! Source of truth: `llama_tensor_get_type_impl` and `tensor_type_fallback` in `llama-quant.cpp`
//! for today, `llama_tensor_get_type` in the `llama.cpp` of July 2024 for mid-2024.

use super::{FileMix, FileType, Rules};
use crate::ggml::GgmlType;
use crate::model::{ModelShape, TensorSpec};

/// What the quantiser sees in a tensor, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Output,
    TokenEmbd,
    /// Values, also where they are fused with queries and keys: hurt most by few bits.
    AttnV,
    /// Queries, keys and values in one; a category of its own in mid-2024 only.
    AttnQkv,
    AttnOutput,
    FfnDown,
    Other,
}

impl Category {
    fn of(name: &str, rules: Rules) -> Category {
        let has = |part: &str| name.contains(part);
        match rules {
            _ if name == "output.weight" => Category::Output,
            _ if name == "token_embd.weight" => Category::TokenEmbd,
            Rules::Today if has("attn_qkv.weight") || has("attn_kv_b.weight") => Category::AttnV,
            Rules::Mid2024 if has("attn_qkv.weight") => Category::AttnQkv,
            _ if has("attn_v.weight") => Category::AttnV,
            _ if has("attn_output.weight") => Category::AttnOutput,
            _ if has("ffn_down") => Category::FfnDown,
            _ => Category::Other,
        }
    }
}

/// Gives the tensors of one file their types, in the order in which the quantiser sees them.
pub(super) struct Chooser {
    mix: FileMix,
    n_layer: usize,
    n_gqa: u32,
    /// The embedding serves as output head.
    tied: bool,
    n_attn_v: usize,
    i_attn_v: usize,
    i_ffn_down: usize,
}

impl Chooser {
    pub fn new(mix: FileMix, shape: &ModelShape, tensors: &[TensorSpec]) -> Chooser {
        let counted = |t: &&TensorSpec| {
            matches!(Category::of(&t.name, mix.rules), Category::AttnV | Category::AttnQkv)
        };
        Chooser {
            mix,
            n_layer: shape.n_layer as usize,
            n_gqa: shape.n_gqa(),
            tied: !tensors.iter().any(|t| t.name == "output.weight"),
            n_attn_v: tensors.iter().filter(counted).count(),
            i_attn_v: 0,
            i_ffn_down: 0,
        }
    }

    /// The type of the next tensor; none for those that converter and quantiser leave as they are.
    pub fn choose(&mut self, tensor: &TensorSpec) -> Option<GgmlType> {
        if !is_matrix(tensor) {
            return None;
        }
        if !self.mix.is_quantised() {
            return Some(self.mix.base_type());
        }
        let wanted = self.wanted(tensor);
        Some(fallback(wanted, tensor.dims[0], self.mix.rules))
    }

    /// The type that the mix means, whatever the length of rows.
    fn wanted(&mut self, tensor: &TensorSpec) -> GgmlType {
        let base = self.mix.base_type();
        match Category::of(&tensor.name, self.mix.rules) {
            Category::Output => self.output(tensor.dims[0]),
            Category::TokenEmbd if self.tied => self.output(tensor.dims[0]),
            Category::AttnV => {
                let i = self.i_attn_v;
                self.i_attn_v += 1;
                self.attn_v(i)
            }
            Category::AttnQkv => match self.mix.file_type {
                FileType::Q3_K_M | FileType::Q3_K_L => GgmlType::Q4_K,
                FileType::Q4_K_M => GgmlType::Q5_K,
                FileType::Q5_K_M => GgmlType::Q6_K,
                _ => base,
            },
            Category::AttnOutput => match self.mix.file_type {
                FileType::Q2_K => GgmlType::Q3_K,
                FileType::Q3_K_M => GgmlType::Q4_K,
                FileType::Q3_K_L => GgmlType::Q5_K,
                _ => base,
            },
            Category::FfnDown => {
                let i = self.i_ffn_down;
                self.i_ffn_down += 1;
                self.ffn_down(i)
            }
            Category::TokenEmbd | Category::Other => base,
        }
    }

    fn output(&self, row: u64) -> GgmlType {
        let base = self.mix.base_type();
        let block = match self.mix.rules {
            Rules::Today => base.block_size(),
            Rules::Mid2024 => GgmlType::Q6_K.block_size(),
        };
        if base == GgmlType::Q8_0 || !row.is_multiple_of(block) {
            GgmlType::Q8_0
        } else {
            GgmlType::Q6_K
        }
    }

    fn attn_v(&self, i: usize) -> GgmlType {
        let base = self.mix.base_type();
        let few_kv_heads = self.n_gqa >= 4;
        match self.mix.file_type {
            FileType::Q2_K if few_kv_heads => GgmlType::Q4_K,
            FileType::Q2_K => GgmlType::Q3_K,
            FileType::Q3_K_M if i < 2 => GgmlType::Q5_K,
            FileType::Q3_K_M => GgmlType::Q4_K,
            FileType::Q3_K_L => GgmlType::Q5_K,
            FileType::IQ4_NL | FileType::IQ4_XS if few_kv_heads => GgmlType::Q5_K,
            FileType::Q4_K_M | FileType::Q5_K_M if more_bits(i, self.n_attn_v) => GgmlType::Q6_K,
            FileType::Q4_K_S if i < 4 => GgmlType::Q5_K,
            _ => base,
        }
    }

    fn ffn_down(&self, i: usize) -> GgmlType {
        let base = self.mix.base_type();
        let n = self.n_layer;
        match self.mix.file_type {
            FileType::Q2_K => GgmlType::Q3_K,
            FileType::Q3_K_M if i < n / 16 => GgmlType::Q5_K,
            FileType::Q3_K_M => GgmlType::Q4_K,
            FileType::Q3_K_L => GgmlType::Q5_K,
            FileType::Q4_K_M | FileType::Q5_K_M if more_bits(i, n) => GgmlType::Q6_K,
            FileType::IQ4_NL | FileType::IQ4_XS | FileType::Q4_K_S if i < n / 8 => GgmlType::Q5_K,
            _ => base,
        }
    }
}

/// Whether layer `i` of `n` is among those that the `_M` mixes give more bits: the first and last
/// eighth and every third between.
fn more_bits(i: usize, n: usize) -> bool {
    i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2
}

/// Whether a tensor is one of those that are not kept in single precision. Converter and quantiser
/// agree on them.
fn is_matrix(tensor: &TensorSpec) -> bool {
    tensor.dims.len() >= 2
        && tensor.name.ends_with("weight")
        && !tensor.name.contains("_norm.weight")
        && tensor.name != "position_embd.weight"
}

/// What is taken where rows are no whole number of blocks.
fn fallback(wanted: GgmlType, row: u64, rules: Rules) -> GgmlType {
    let fits = |ty: GgmlType| row.is_multiple_of(ty.block_size());
    if fits(wanted) {
        return wanted;
    }
    let narrower = match (wanted, rules) {
        (GgmlType::Q2_K | GgmlType::Q3_K, Rules::Today) => GgmlType::Q4_0,
        (GgmlType::Q2_K | GgmlType::Q3_K, Rules::Mid2024) | (GgmlType::IQ4_XS, _) => {
            GgmlType::IQ4_NL
        }
        (GgmlType::Q4_K, _) => GgmlType::Q5_0,
        (GgmlType::Q5_K, _) => GgmlType::Q5_1,
        (GgmlType::Q6_K, _) => GgmlType::Q8_0,
        (other, _) => other,
    };
    if fits(narrower) { narrower } else { GgmlType::F16 }
}
