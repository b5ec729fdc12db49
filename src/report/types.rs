//! What a quantisation's name stands for: the share of each tensor type in a model's bytes.

use crate::record::ModelIdentity;

/// `66% Q4_0, 33% Q8_0`; empty where the model is not known.
pub fn in_words(model: Option<&ModelIdentity>) -> String {
    model.map(ModelIdentity::types_in_words).unwrap_or_default()
}

/// All of them: `Q4_0:0.6640;Q8_0:0.3345;F32:0.0016`.
pub fn listed(model: Option<&ModelIdentity>) -> String {
    let shares = model.map(ModelIdentity::type_shares).unwrap_or_default();
    let shown = shares.into_iter().map(|(ty, share)| format!("{ty}:{share:.4}"));
    shown.collect::<Vec<_>>().join(";")
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
