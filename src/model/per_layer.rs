//! A number of each layer.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number that most models have once for all layers, and some for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerLayer {
    /// The same in every layer.
    Same(u32),
    /// One of each layer, the first layer first.
    Each(Vec<u32>),
}

impl PerLayer {
    /// That of layer `layer`, from 0; 0 behind the last.
    pub fn at(&self, layer: u32) -> u32 {
        match self {
            PerLayer::Same(n) => *n,
            PerLayer::Each(all) => all.get(layer as usize).copied().unwrap_or(0),
        }
    }

    /// The largest.
    pub fn max(&self) -> u32 {
        match self {
            PerLayer::Same(n) => *n,
            PerLayer::Each(all) => all.iter().copied().max().unwrap_or(0),
        }
    }

    /// The number, where it is the same in every layer.
    pub fn same(&self) -> Option<u32> {
        match self {
            PerLayer::Same(n) => Some(*n),
            PerLayer::Each(_) => None,
        }
    }

    /// `Same` where all of `all` are alike.
    pub fn from_list(all: Vec<u32>) -> PerLayer {
        match all.split_first() {
            Some((first, rest)) if rest.iter().all(|n| n == first) => PerLayer::Same(*first),
            _ => PerLayer::Each(all),
        }
    }
}

impl From<u32> for PerLayer {
    fn from(n: u32) -> PerLayer {
        PerLayer::Same(n)
    }
}

impl fmt::Display for PerLayer {
    /// `16`, or `12..20` where layers differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PerLayer::Same(n) => f.pad(&n.to_string()),
            PerLayer::Each(all) => {
                let least = all.iter().copied().min().unwrap_or(0);
                f.pad(&format!("{least}..{}", self.max()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_equal_numbers_is_one_number() {
        assert_eq!(PerLayer::from_list(vec![3, 3, 3]), PerLayer::Same(3));
        let each = PerLayer::from_list(vec![3, 5, 4]);
        assert_eq!((each.at(1), each.at(9), each.max(), each.same()), (5, 0, 5, None));
        assert_eq!(each.to_string(), "3..5");
        assert_eq!(serde_json::to_string(&each).unwrap(), "[3,5,4]");
        assert_eq!(serde_json::from_str::<PerLayer>("7").unwrap(), PerLayer::Same(7));
    }
}
