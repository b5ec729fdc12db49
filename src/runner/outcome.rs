//! From what was seen of a child to the word for what became of it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::child::Invocation;
use crate::plan::Cell;
use crate::record::{FailureKind, Outcome, Stage};

const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

/// Judges one invocation. `oom_rose` says whether the kernel killed a process for memory
/// meanwhile; `log` is what the child wrote beside the pipe.
pub fn judge(cell: &Cell, seen: &Invocation, oom_rose: bool, log: &Path) -> Outcome {
    let protocol = |message: String| Outcome::Failed { stage: Stage::Protocol, message };
    // Whatever became of the child after that: the run had everything it was made for, or the user
    // ended it.
    if seen.soak_end.is_some() && !seen.samples.is_empty() {
        return Outcome::Finished;
    }
    if seen.timed_out {
        return Outcome::TimedOut { limit_s: cell.timeout_s };
    }
    if let Some(message) = &seen.broken {
        return protocol(message.clone());
    }
    if let Some((kind, message)) = &seen.failure {
        let message = message.clone();
        return match kind {
            FailureKind::Engine => Outcome::Failed { stage: Stage::Engine, message },
            FailureKind::OutOfMemory => Outcome::OutOfMemory { message },
            FailureKind::Protocol => protocol(message),
        };
    }
    if seen.finished {
        return match incomplete(cell, seen) {
            None => Outcome::Finished,
            Some(message) => protocol(message),
        };
    }
    let (signal, status) = end(seen);
    match (signal, status) {
        (Some(SIGKILL), _) if oom_rose => {
            Outcome::OutOfMemory { message: "killed by the kernel for memory".to_owned() }
        }
        (Some(SIGABRT), _) if log_tells_of_refused_memory(log) => {
            Outcome::OutOfMemory { message: "an allocation was refused".to_owned() }
        }
        (None, Some(0)) | (None, None) => protocol("the child ended without a result".to_owned()),
        _ => Outcome::Crashed { signal, status },
    }
}

/// The signal that ended the child, or its exit status.
fn end(seen: &Invocation) -> (Option<i32>, Option<i32>) {
    #[cfg(unix)]
    let signal = seen.status.and_then(|s| std::os::unix::process::ExitStatusExt::signal(&s));
    #[cfg(not(unix))]
    let signal = None;
    (signal, seen.status.and_then(|s| s.code()))
}

/// What a child that says it is done has left out.
fn incomplete(cell: &Cell, seen: &Invocation) -> Option<String> {
    let (found, expected) = (seen.samples.len(), cell.repetitions as usize);
    if cell.soak.is_some() && found == 0 {
        return Some("not a single pass came".to_owned());
    }
    if cell.soak.is_none() && found != expected {
        return Some(format!("{found} repetitions came, {expected} were asked for"));
    }
    if cell.profile && seen.profile.is_none() {
        return Some("no profile came".to_owned());
    }
    seen.samples.iter().enumerate().find_map(|(i, sample)| {
        let (found, expected) = (sample.itl_ns.len(), cell.n_gen as usize);
        if found != expected {
            return Some(format!(
                "repetition {i}: {found} token times came, {expected} were asked for"
            ));
        }
        let zero = sample.prefill_ns == Some(0) || sample.itl_ns.contains(&0);
        if zero && !cell.engine.contains("fake") {
            return Some(format!("repetition {i}: work that took no time at all"));
        }
        (sample.prefill_ns.is_some() != (cell.n_prompt > 0))
            .then(|| format!("repetition {i}: prefill and prompt do not belong together"))
    })
}

/// Whether the last lines of the log hold the words with which run-time libraries give up.
fn log_tells_of_refused_memory(log: &Path) -> bool {
    let mut tail = Vec::new();
    let Ok(mut file) = std::fs::File::open(log) else { return false };
    let length = file.metadata().map_or(0, |m| m.len());
    if file.seek(SeekFrom::Start(length.saturating_sub(4096))).is_err()
        || file.read_to_end(&mut tail).is_err()
    {
        return false;
    }
    let tail = String::from_utf8_lossy(&tail);
    ["memory allocation of", "bad_alloc", "failed to allocate", "out of memory"]
        .iter()
        .any(|words| tail.contains(words))
}
