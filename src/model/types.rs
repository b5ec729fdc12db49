//! What a quantisation's name stands for: the share of each tensor type in a model's bytes.

use std::collections::BTreeMap;
use std::fmt::Display;

/// Types with their share of the bytes, 0 to 1, the largest first.
pub fn type_shares<T: Display>(type_bytes: &BTreeMap<T, u64>) -> Vec<(String, f64)> {
    let all: u64 = type_bytes.values().sum();
    let present = type_bytes.iter().filter(|(_, bytes)| **bytes > 0);
    let mut shares: Vec<(String, f64)> =
        present.map(|(ty, bytes)| (ty.to_string(), *bytes as f64 / all as f64)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// `66% Q4_0, 33% Q8_0`. What is below half a percent, such as norms, is left out.
pub fn types_in_words<T: Display>(type_bytes: &BTreeMap<T, u64>) -> String {
    let percent = |(ty, share): (String, f64)| (ty, (100.0 * share).round());
    let shown = type_shares(type_bytes).into_iter().map(percent).filter(|(_, n)| *n > 0.0);
    shown.map(|(ty, percent)| format!("{percent}% {ty}")).collect::<Vec<_>>().join(", ")
}
