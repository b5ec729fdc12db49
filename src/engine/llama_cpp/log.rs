//! llama.cpp's log: passed on to standard error while a model is loaded and run, and its last
//! lines kept, because some answers (why loading failed, what `auto` became) stand nowhere else.
//!
//! Standard output is never written: in a child it carries the protocol. The state is one per
//! process because llama.cpp's log is.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines kept.
const KEPT: usize = 1024;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Dropped before it gets here.
    Debug,
    /// Told.
    Info,
    /// Warned.
    Warning,
    /// Failed.
    Error,
    /// Goes on with the line before.
    Continued,
}

#[derive(Debug)]
struct State {
    echo: bool,
    open: bool,
    lines: VecDeque<(Level, String)>,
}

static STATE: Mutex<State> = Mutex::new(State { echo: false, open: false, lines: VecDeque::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a piece of the log, whole lines or parts of one.
pub fn write(level: Level, text: &str) {
    let mut state = state();
    if state.echo {
        // A log that cannot be written must not stop a measurement.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    for piece in text.split_inclusive('\n') {
        let line = piece.trim_end_matches('\n');
        let joined = state.open || level == Level::Continued;
        match state.lines.back_mut() {
            Some((_, last)) if joined => last.push_str(line),
            _ => state.lines.push_back((level, line.to_owned())),
        }
        state.open = !piece.ends_with('\n');
    }
    while state.lines.len() > KEPT {
        state.lines.pop_front();
    }
}

/// Begins a new load: forgets what was kept, and from here passes everything on with `echo`.
/// Another load waits until the guard is gone, so that what the log says is about this one.
pub fn begin(echo: bool) -> MutexGuard<'static, ()> {
    static LOADING: Mutex<()> = Mutex::new(());
    let alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut state = state();
    state.lines.clear();
    state.open = false;
    state.echo = echo;
    alone
}

/// The lines kept since `begin`.
pub fn lines() -> Vec<(Level, String)> {
    state().lines.iter().cloned().collect()
}

/// What a failed call had to say: the last errors without the names of functions, newest last.
pub fn errors(lines: &[(Level, String)]) -> String {
    let mut said: Vec<&str> = lines
        .iter()
        .filter(|(level, _)| *level == Level::Error)
        .map(|(_, line)| without_function(line))
        .collect();
    said.dedup();
    let from = said.len().saturating_sub(3);
    if said.is_empty() { "llama.cpp gave no reason".to_owned() } else { said[from..].join("; ") }
}

/// Whether a failed call failed for want of memory.
pub fn tells_of_memory(lines: &[(Level, String)]) -> bool {
    const SIGNS: [&str; 5] = [
        "failed to allocate",
        "unable to allocate",
        "bad_alloc",
        "out of memory",
        "cannot allocate memory",
    ];
    lines.iter().filter(|(level, _)| matches!(level, Level::Error | Level::Warning)).any(
        |(_, line)| {
            let line = line.to_lowercase();
            SIGNS.iter().any(|sign| line.contains(sign))
        },
    )
}

/// What `flash_attn = auto` became, if the log says so.
pub fn flash_attention(lines: &[(Level, String)]) -> Option<bool> {
    lines.iter().rev().find_map(|(_, line)| {
        if line.contains("Flash Attention enabled") {
            Some(true)
        } else if line.contains("Flash Attention not supported") {
            Some(false)
        } else {
            // Asked for by a quantised V cache.
            line.contains("enabling flash_attn").then_some(true)
        }
    })
}

/// How weights were loaded, if the log says so: `mmap`, `none`, `mmap+mlock`.
pub fn load_mode(lines: &[(Level, String)]) -> Option<String> {
    lines.iter().rev().find_map(|(_, line)| {
        let (_, rest) = line.split_once("(load_mode = ")?;
        Some(rest.split(')').next()?.to_owned())
    })
}

/// Whether pages could not be locked.
pub fn lock_refused(lines: &[(Level, String)]) -> bool {
    lines.iter().any(|(_, line)| line.contains("failed to mlock"))
}

fn without_function(line: &str) -> &str {
    match line.split_once(": ") {
        Some((function, rest)) if !function.contains(' ') => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[(Level, &str)]) -> Vec<(Level, String)> {
        text.iter().map(|(level, line)| (*level, (*line).to_owned())).collect()
    }

    #[test]
    fn a_failure_is_told_by_its_last_errors_without_names_of_functions() {
        let said = lines(&[
            (Level::Info, "llama_model_loader: loaded meta data"),
            (Level::Error, "gguf_init: failed to read key"),
            (Level::Error, "load: error loading model: no such tensor"),
        ]);
        assert_eq!(errors(&said), "failed to read key; error loading model: no such tensor");
        assert_eq!(errors(&[]), "llama.cpp gave no reason");
        assert!(!tells_of_memory(&said));
    }

    #[test]
    fn want_of_memory_is_recognised_in_llama_cpps_words() {
        for line in [
            "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99",
            "load: error loading model: unable to allocate CPU buffer",
            "load: std::bad_alloc",
            "mmap failed: Cannot allocate memory",
        ] {
            assert!(tells_of_memory(&lines(&[(Level::Error, line)])), "{line}");
            assert!(!tells_of_memory(&lines(&[(Level::Info, line)])), "{line}");
        }
    }

    #[test]
    fn what_auto_became_is_read_from_the_last_line_about_it() {
        let said = lines(&[
            (Level::Info, "load_tensors: loading model tensors (load_mode = mmap)"),
            (Level::Info, "sched_reserve: Flash Attention enabled"),
            (Level::Warning, "sched_reserve: Flash Attention not supported, set to disabled"),
        ]);
        assert_eq!(flash_attention(&said), Some(false));
        assert_eq!(flash_attention(&said[..2]), Some(true));
        assert_eq!(flash_attention(&said[..1]), None);
        assert_eq!(load_mode(&said).as_deref(), Some("mmap"));
    }
}
