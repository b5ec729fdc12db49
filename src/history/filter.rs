//! Conditions on series: `model=SmolLM2*,engine=reference`, by the words of what was measured.

use std::str::FromStr;

use wildmatch::WildMatchPattern;

use super::HistoryError;
use crate::compare::Words;
use crate::suite::nearest;

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    conditions: Vec<(String, WildMatchPattern<'*', '?'>)>,
}

/// The names that a condition may be about: the words of what a cell measures.
const NAMES: [&str; 21] = [
    "model",
    "quant",
    "engine",
    "n_threads",
    "n_prompt",
    "n_gen",
    "n_depth",
    "cpus",
    "n_ctx",
    "n_batch",
    "n_ubatch",
    "type_k",
    "type_v",
    "flash_attn",
    "load_mode",
    "backend_device",
    "n_gpu_layers",
    "feed",
    "shape",
    "file",
    "cell",
];

impl Filter {
    /// Whether a cell with this id and these words meets all conditions. A word that the cell does not
    /// have meets none.
    pub fn holds(&self, cell: &str, what: &Words) -> bool {
        self.conditions.iter().all(|(name, pattern)| match name.as_str() {
            "cell" => pattern.matches(cell),
            name => what.get(name).is_some_and(|word| pattern.matches(word)),
        })
    }

    /// The cell whose id begins like this.
    pub fn cell(start: &str) -> Filter {
        Filter {
            conditions: vec![("cell".to_owned(), WildMatchPattern::new(&format!("{start}*")))],
        }
    }
}

impl FromStr for Filter {
    type Err = HistoryError;

    fn from_str(text: &str) -> Result<Filter, HistoryError> {
        let mut conditions = Vec::new();
        for condition in text.split(',').map(str::trim).filter(|c| !c.is_empty()) {
            let (name, pattern) = condition
                .split_once('=')
                .ok_or_else(|| HistoryError::NoCondition(condition.to_owned()))?;
            let (name, pattern) = (name.trim(), pattern.trim());
            // `!=`, `==`, `<=` and `>=` are none of its own.
            if name.ends_with(['!', '<', '>']) || pattern.starts_with('=') {
                return Err(HistoryError::NoCondition(condition.to_owned()));
            }
            if !NAMES.contains(&name) {
                return Err(HistoryError::UnknownName {
                    found: name.to_owned(),
                    allowed: NAMES.join(", "),
                    nearest: nearest(name, NAMES),
                });
            }
            if pattern.is_empty() {
                return Err(HistoryError::NoCondition(condition.to_owned()));
            }
            conditions.push((name.to_owned(), WildMatchPattern::new_case_insensitive(pattern)));
        }
        Ok(Filter { conditions })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::run;
    use super::*;
    use crate::compare::what;

    #[test]
    fn conditions_are_about_the_words_of_a_cell_and_all_have_to_hold() {
        let words: Words = [("model", "Qwen3-0.6B"), ("n_depth", "512")]
            .map(|(name, word)| (name.to_owned(), word.to_owned()))
            .into();
        let holds = |text: &str| text.parse::<Filter>().unwrap().holds("a1b2", &words);
        assert!(holds("") && holds("model=Qwen3*") && holds("model=Qwen3-0.6B, n_depth=512"));
        assert!(!holds("model=Qwen3*,n_depth=0") && !holds("quant=Q8_0"));
        assert!(holds("cell=a1*") && Filter::cell("a1").holds("a1b2", &words));
        assert!(holds("model=qwen3*"), "case does not matter");
        let wrong = |text: &str| text.parse::<Filter>().unwrap_err().to_string();
        let said = wrong("mdoel=x");
        assert!(said.starts_with("unknown key `mdoel`, allowed are model, quant"), "{said}");
        assert!(said.ends_with("\nhint: did you mean `model`?"), "{said}");
        for text in ["Qwen3", "quant==Q4_0", "quant!=Q4_0", "n_depth<=4", "quant="] {
            assert!(wrong(text).starts_with(&format!("found `{text}`, expected")), "{text}");
        }
    }

    #[test]
    fn every_word_of_a_cell_can_be_asked_for() {
        let (info, _) = run("2026-11-02T10:00:00Z", 10.0);
        for name in what(&info.cells[0]).keys() {
            assert!(NAMES.contains(&name.as_str()), "{name}");
        }
    }
}
