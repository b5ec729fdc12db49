//! Bytes of a model's tensors, by type and by part.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ggml::GgmlType;
use crate::model::{FileMix, ModelShape, TensorGroup, group_of};

/// Bytes of all tensors of a file, exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WeightBytes {
    /// By tensor type.
    pub by_type: BTreeMap<GgmlType, u64>,
    /// By part of the model.
    pub by_group: BTreeMap<TensorGroup, u64>,
    /// Those of the token embedding where it is the output head as well; else 0. An engine that
    /// computes on a device of its own holds them a second time.
    pub tied_bytes: u64,
}

impl WeightBytes {
    /// Those of the file that `mix` makes of a valid `shape`.
    pub fn of_mix(shape: &ModelShape, mix: FileMix) -> WeightBytes {
        let tensors = mix.tensors(shape);
        // Every type chosen fits its rows, and checked shapes do not overflow.
        let sized = tensors.iter().map(|(tensor, ty)| {
            (tensor.name.as_str(), *ty, ty.bytes_for(tensor.n_elements()).unwrap_or(0))
        });
        WeightBytes::of_tensors(sized)
    }

    /// Those of tensors with these names, types and bytes.
    pub fn of_tensors<'a>(
        tensors: impl IntoIterator<Item = (&'a str, GgmlType, u64)>,
    ) -> WeightBytes {
        let mut sums = WeightBytes::default();
        let mut has_head = false;
        for (name, ty, bytes) in tensors {
            let add = |sum: &mut u64| *sum = sum.saturating_add(bytes);
            add(sums.by_type.entry(ty).or_default());
            add(sums.by_group.entry(group_of(name)).or_default());
            match name {
                "token_embd.weight" => sums.tied_bytes = bytes,
                "output.weight" => has_head = true,
                _ => {}
            }
        }
        if has_head {
            sums.tied_bytes = 0;
        }
        sums
    }

    /// All of them.
    pub fn total_bytes(&self) -> u64 {
        self.by_type.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

    #[test]
    fn types_and_parts_are_two_ways_to_cut_the_same_bytes() {
        let catalogue = Catalogue::built_in().unwrap();
        for shape in catalogue.shapes() {
            let weights = WeightBytes::of_mix(shape, FileMix::Q4_K_M);
            assert_eq!(weights.total_bytes(), FileMix::Q4_K_M.weight_bytes(shape));
            assert_eq!(weights.by_group.values().sum::<u64>(), weights.total_bytes());
            assert_eq!(weights.tied_bytes > 0, shape.tied_output, "{}", shape.name);
        }
    }

    #[test]
    fn an_embedding_that_a_file_holds_twice_is_not_copied_once_more() {
        let file = |names: &[&'static str]| {
            WeightBytes::of_tensors(names.iter().map(|name| (*name, GgmlType::F16, 10)))
        };
        assert_eq!(file(&["token_embd.weight"]).tied_bytes, 10);
        assert_eq!(file(&["output.weight", "token_embd.weight"]).tied_bytes, 0);
    }
}
