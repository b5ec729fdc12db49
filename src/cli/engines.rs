//! What the engines of this build say of themselves.
//!
//! A run asks a child for it: an engine that starts a device driver, or falls over doing so, does
//! that in a process that ends before anything is measured.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::exit::{Ending, Failure};
use crate::engine::{self, EngineInfo};
use crate::runner;
use crate::settings::Capabilities;

/// One engine word and what stands behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineEntry {
    /// As named in a suite or on the command line.
    pub word: String,
    /// Who it is; absent when this build has it not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub info: Option<EngineInfo>,
    /// What it can run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capabilities: Option<Capabilities>,
    /// Why this build has it not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing: Option<String>,
}

/// Asks the engines in this very process.
pub fn here(words: &[String]) -> Vec<EngineEntry> {
    let entry = |word: &String| match engine::by_name(word) {
        Ok(engine) => EngineEntry {
            word: word.clone(),
            info: Some(engine.info()),
            capabilities: Some(engine.capabilities()),
            missing: None,
        },
        Err(e) => EngineEntry {
            word: word.clone(),
            info: None,
            capabilities: None,
            missing: Some(e.message),
        },
    };
    words.iter().map(entry).collect()
}

/// Asks the engines in a child of its own.
pub fn ask(words: &[String]) -> Result<Vec<EngineEntry>, Failure> {
    let program = runner::own_executable().or_usage()?;
    let output = Command::new(program)
        .args(["list", "engines", "--json", "--"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .or_usage()?;
    let entries = serde_json::from_slice(&output.stdout);
    entries.map_err(|_| Failure {
        exit: super::Exit::Usage,
        message: format!(
            "the engines {} did not say what they can do ({}){}",
            words.join(", "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .map(|l| format!("\n  {l}"))
                .collect::<String>()
        ),
    })
}
