//! What a quantisation's name stands for: the share of each tensor type in a model's bytes.

use crate::record::ModelIdentity;

/// `66% Q4_0, 33% Q8_0`. What is below half a percent, such as norms, is left out; empty where
/// the model is not known.
pub fn in_words(model: Option<&ModelIdentity>) -> String {
    let percent = |(ty, share): (_, f64)| (ty, (100.0 * share).round());
    let shown = shares(model).into_iter().map(percent).filter(|(_, percent)| *percent > 0.0);
    shown.map(|(ty, percent)| format!("{percent}% {ty}")).collect::<Vec<_>>().join(", ")
}

/// All of them: `Q4_0:0.6640;Q8_0:0.3345;F32:0.0016`.
pub fn listed(model: Option<&ModelIdentity>) -> String {
    let shown = shares(model).into_iter().map(|(ty, share)| format!("{ty}:{share:.4}"));
    shown.collect::<Vec<_>>().join(";")
}

/// Types with their share of the bytes, 0 to 1, the largest first.
fn shares(model: Option<&ModelIdentity>) -> Vec<(&str, f64)> {
    let Some(model) = model else { return Vec::new() };
    let all: u64 = model.type_bytes.values().sum();
    let present = model.type_bytes.iter().filter(|(_, bytes)| **bytes > 0);
    let mut shares: Vec<(&str, f64)> =
        present.map(|(ty, bytes)| (ty.as_str(), *bytes as f64 / all as f64)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_quantisation_is_told_by_its_types_the_largest_first() {
        let mut model = fixture::single(1).records.remove(0).model.unwrap();
        model.type_bytes =
            [("F32", 16), ("Q4_0", 6640), ("Q8_0", 3344)].map(|(t, n)| (t.to_owned(), n)).into();
        assert_eq!(in_words(Some(&model)), "66% Q4_0, 33% Q8_0");
        assert_eq!(listed(Some(&model)), "Q4_0:0.6640;Q8_0:0.3344;F32:0.0016");
        assert_eq!((in_words(None), listed(None)), (String::new(), String::new()));
    }
}
