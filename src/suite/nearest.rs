//! "Did you mean": the allowed word that lies nearest to the one found.

/// The word of `allowed` that needs fewest changes to become `found`, if that is few enough for
/// a slip of the finger.
pub fn nearest<'a>(found: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let limit = match found.chars().count() {
        0..=1 => return None,
        2..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    allowed
        .into_iter()
        .map(|word| (edits(&found, &word.to_lowercase()), word))
        .filter(|(n, _)| *n <= limit)
        .min_by_key(|(n, _)| *n)
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let keys = ["n_prompt", "n_threads", "engine"];
        assert_eq!(nearest("n_thread", keys), Some("n_threads"));
        assert_eq!(nearest("egnine", keys), Some("engine"));
        assert_eq!(nearest("N_PROMPT", keys), Some("n_prompt"));
        assert_eq!(nearest("temperature", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
