//! From the word in a suite to the engine: `reference`, `llama-cpp`, `fake:decode_ms=10`,
//! `delay:reference?decode=5%`.

use super::Engine;
use super::delay::Delay;
use super::fake::Fake;

/// A word that names no engine, or a parameter that it does not know.
#[derive(Debug, thiserror::Error)]
#[error("engine `{word}`: {message}")]
pub struct SpecError {
    /// The word as written.
    pub word: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// Engines that measure models, in the order in which they are shown. The fake ones are for tests
/// and are left out.
pub fn names() -> &'static [&'static str] {
    &["reference", "llama-cpp"]
}

/// The engine that `word` names, if this build has it.
pub fn by_name(word: &str) -> Result<Box<dyn Engine>, SpecError> {
    let fail = |message: String| SpecError { word: word.to_owned(), message };
    let (name, parameters) = word.split_once(':').unwrap_or((word, ""));
    match name {
        "fake" => Ok(Box::new(Fake::parse(parameters).map_err(fail)?)),
        "delay" => {
            let (inner, parameters) = parameters
                .rsplit_once('?')
                .ok_or_else(|| fail("expected `delay:ENGINE?prefill=5%,decode=5%`".to_owned()))?;
            Ok(Box::new(Delay::parse(by_name(inner)?, parameters).map_err(fail)?))
        }
        "reference" if parameters.is_empty() => match super::ReferenceEngine::new() {
            Ok(engine) => Ok(Box::new(engine)),
            Err(e) => Err(fail(e.to_string())),
        },
        #[cfg(feature = "llama-cpp")]
        "llama-cpp" if parameters.is_empty() => Ok(Box::new(super::llama_cpp::LlamaCpp::new())),
        #[cfg(not(feature = "llama-cpp"))]
        "llama-cpp" => Err(fail(
            "this build has no llama.cpp\nhint: scripts/slmbench builds with it".to_owned(),
        )),
        _ => Err(fail(format!(
            "no such engine; there are {}\nhint: {}",
            names().join(", "),
            match word.contains(',') {
                true =>
                    "one engine is meant; `run` and `profile` take several as --engine A --engine B",
                false => "`slmbench list engines` tells what this build has",
            }
        ))),
    }
}

/// Splits `a=1,b=x` into its pairs.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = Result<(&str, &str), String>> {
    text.split(',').filter(|part| !part.trim().is_empty()).map(|part| {
        part.split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .ok_or_else(|| format!("expected `key=value`, found `{part}`"))
    })
}

/// `5%` → 0.05.
pub(super) fn share(key: &str, value: &str) -> Result<f64, String> {
    let number = value.strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
    number
        .filter(|n| n.is_finite() && *n >= 0.0)
        .map(|n| n / 100.0)
        .ok_or_else(|| format!("{key} = `{value}`: expected a share such as 5%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_word_is_answered_with_what_there_is() {
        let message = |word: &str| by_name(word).err().unwrap().to_string();
        assert!(message("llamacpp").contains("there are reference, llama-cpp"));
        assert!(message("fake:decode_ms").contains("expected `key=value`, found `decode_ms`"));
        assert!(message("fake:speed=3").contains("unknown parameter `speed`"));
        assert!(message("delay:fake").contains("expected `delay:ENGINE?"));
        assert!(message("delay:fake?decode=5").contains("expected a share such as 5%"));
    }
}
