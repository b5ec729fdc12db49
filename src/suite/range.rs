//! Ranges of whole numbers, as suites and the command line write them: `7`, `1..4`,
//! `0..4096+1024`, `128..4096*2`. Both ends belong to the range.

/// The largest number a count of tokens, threads or layers may have: so large that sums of a
/// cell's counts still fit, and that no engine gets there.
pub const MAX_COUNT: u32 = 1 << 24;

/// The most values one axis may have.
pub const MAX_VALUES: usize = 1024;

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is written in another way.
    #[error(
        "found `{0}`, allowed are a number or a range such as `1..4`, `0..4096+1024`, `128..4096*2`"
    )]
    Form(String),
    /// A number is too large.
    #[error("found `{0}`, allowed are numbers up to {MAX_COUNT}")]
    TooLarge(String),
    /// The end lies before the start.
    #[error("the range `{0}` is empty: its end lies before its start")]
    Empty(String),
    /// The step does not move.
    #[error("the range `{0}` never ends: its step does not move from {1}")]
    Endless(String, u32),
    /// It has more values than an axis may have.
    #[error("the range `{0}` has more than {MAX_VALUES} values")]
    TooMany(String),
}

/// How a range goes on from a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// By a sum.
    Add(u32),
    /// By a factor.
    Times(u32),
}

impl Step {
    /// The value after `n`; `n` itself where it does not move.
    pub fn from(self, n: u32) -> u32 {
        match self {
            Step::Add(by) => n.saturating_add(by),
            Step::Times(by) => n.saturating_mul(by),
        }
    }
}

/// The values of a range, or of a single number.
pub fn parse_range(text: &str) -> Result<Vec<u32>, RangeError> {
    match split_range(text)? {
        Some((first, last, step)) => values(text, first, number(text, last)?, step),
        None => Ok(vec![number(text, text)?]),
    }
}

/// First value, text of the last value, and step of a range; `None` when `text` is no range.
pub(super) fn split_range(text: &str) -> Result<Option<(u32, &str, Step)>, RangeError> {
    let Some((first, rest)) = text.split_once("..") else { return Ok(None) };
    let first = number(text, first)?;
    Ok(Some(if let Some((last, by)) = rest.split_once('+') {
        (first, last, Step::Add(number(text, by)?))
    } else if let Some((last, by)) = rest.split_once('*') {
        (first, last, Step::Times(number(text, by)?))
    } else {
        (first, rest, Step::Add(1))
    }))
}

/// The number that `part` of the range `text` is.
fn number(text: &str, part: &str) -> Result<u32, RangeError> {
    let part = part.trim();
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError::Form(text.to_owned()));
    }
    part.parse()
        .ok()
        .filter(|n| *n <= MAX_COUNT)
        .ok_or_else(|| RangeError::TooLarge(part.to_owned()))
}

/// The values of the range `text`.
fn values(text: &str, first: u32, last: u32, step: Step) -> Result<Vec<u32>, RangeError> {
    if last < first {
        return Err(RangeError::Empty(text.to_owned()));
    }
    let mut values = vec![first];
    let mut n = first;
    while n < last {
        let next = step.from(n);
        if next <= n {
            return Err(RangeError::Endless(text.to_owned(), n));
        }
        if next > last {
            break;
        }
        if values.len() == MAX_VALUES {
            return Err(RangeError::TooMany(text.to_owned()));
        }
        values.push(next);
        n = next;
    }
    Ok(values)
}

/// The values of a comma-separated list of numbers and ranges, as options take it: each once,
/// in the order in which they stand.
pub fn parse_numbers(text: &str) -> Result<Vec<u32>, RangeError> {
    let mut values = Vec::new();
    for part in text.split(',') {
        for value in parse_range(part.trim())? {
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_step_by_one_by_a_sum_or_by_a_factor_and_hold_both_ends() {
        assert_eq!(parse_range("7").unwrap(), [7]);
        assert_eq!(parse_range("1..4").unwrap(), [1, 2, 3, 4]);
        assert_eq!(parse_range("0..4096+1024").unwrap(), [0, 1024, 2048, 3072, 4096]);
        assert_eq!(parse_range("128..4096*2").unwrap(), [128, 256, 512, 1024, 2048, 4096]);
        assert_eq!(parse_range("100..250+100").unwrap(), [100, 200]);
        assert_eq!(parse_range("5..5*1").unwrap(), [5]);
        assert_eq!(parse_numbers("512, 128..512*2,0").unwrap(), [512, 128, 256, 0]);
    }

    #[test]
    fn a_range_that_is_empty_endless_huge_or_no_range_is_refused_with_its_reason() {
        let said: Vec<String> = [
            "4..1",
            "1..8+0",
            "1..8*1",
            "0..8*2",
            "1..99999",
            "",
            "a..b",
            "-3",
            "1...4",
            "1..2..3",
            "99999999999",
            "1..4+",
            "0x10",
        ]
        .iter()
        .map(|t| parse_range(t).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_range_parser_panic_and_values_rise(text in "[0-9.+* ]{0,12}") {
            if let Ok(values) = parse_range(&text) {
                assert!(!values.is_empty() && values.len() <= MAX_VALUES);
                assert!(values.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
