//! What the engines of this build say of themselves.
//!
//! A run asks a child for it: an engine that starts a device driver, or falls over doing so, does
//! that in a process that ends before anything is measured.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::engine::{self, EngineInfo, Planned};
use crate::measure;
use crate::memory::MemoryBudget;
use crate::settings::{Capabilities, Settings};

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

/// Which memory an engine is asked about.
#[derive(Debug, Serialize, Deserialize)]
struct MemoryQuestion {
    engine: String,
    model: PathBuf,
    settings: Settings,
}

/// What the engine called `engine` would take to run `model` with `settings`, in which threads and
/// context are fixed; asked in a child of its own, for an engine may fall over a file.
///
/// # Errors
/// Why it refuses, as it says itself, or that it cannot tell.
pub fn planned_memory(
    program: &Path,
    engine: &str,
    model: &Path,
    settings: &Settings,
) -> Result<MemoryBudget, String> {
    let silent = || format!("{engine} does not tell what it would take");
    let (planned, said) = asked(program, engine, model, settings).ok_or_else(silent)?;
    let refusal = said.rsplit_once("error: ").map(|(_, why)| why.trim().to_owned());
    planned.map(|planned| planned.budget()).ok_or_else(|| refusal.unwrap_or_else(silent))
}

/// What a child answers, and what it says beside. `None` where there is no child or no end of it.
fn asked(
    program: &Path,
    engine: &str,
    model: &Path,
    settings: &Settings,
) -> Option<(Option<Planned>, String)> {
    let question = MemoryQuestion {
        engine: engine.to_owned(),
        model: model.to_owned(),
        settings: settings.clone(),
    };
    let mut child = Command::new(program)
        .arg(PLAN_MEMORY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // A library may say more than a pipe holds.
    let mut stderr = child.stderr.take()?;
    let listening = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let mut stdin = child.stdin.take()?;
    let told = serde_json::to_vec(&question).ok().map(|line| stdin.write_all(&line));
    drop(stdin);
    let ended = ended_in_time(&mut child);
    told?.ok()?;
    if !ended {
        return None;
    }
    // A few hundred bytes: they fit the pipe, and are all there once the child has ended.
    let planned: Option<Planned> = serde_json::from_reader(child.stdout.take()?).unwrap_or(None);
    Some((planned, listening.join().unwrap_or_default()))
}

/// Waits for the end of a child, or puts one to it.
fn ended_in_time(child: &mut Child) -> bool {
    let deadline = Instant::now() + ANSWER_WITHIN;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// The time in which an engine has to tell its memory: it reads a header, and allocates nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The command that answers such a question.
pub const PLAN_MEMORY: &str = "plan-memory";

/// Answers the question on standard input.
pub fn answer_about_memory() -> Result<Exit, Failure> {
    measure::end_with_parent();
    let question: MemoryQuestion = serde_json::from_reader(std::io::stdin()).or_usage()?;
    let engine = engine::by_name(&question.engine).map_err(|e| e.message).or_usage()?;
    let planned = engine.plan(&question.model, &question.settings).or_usage()?;
    print(&serde_json::to_string(&planned).or_usage()?)?;
    Ok(Exit::Done)
}

/// Asks the engines of `program` in a child of its own.
pub fn ask(program: &Path, words: &[String]) -> Result<Vec<EngineEntry>, Failure> {
    let output = Command::new(program)
        .args(["list", "engines", "--json", "--"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", program.display()))
        .or_usage()?;
    let entries = serde_json::from_slice(&output.stdout);
    entries.map_err(|_| Failure {
        exit: super::Exit::Usage,
        message: format!(
            "the engines {} of {} did not say what they can do ({}){}",
            words.join(", "),
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .map(|l| format!("\n  {l}"))
                .collect::<String>()
        ),
    })
}
