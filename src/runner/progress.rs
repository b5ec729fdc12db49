//! Who is told how far a run is: a bar on a terminal, plain lines elsewhere, nobody when quiet.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Cell;
use crate::record::{CellEvent, Outcome, Record, Sample};
use crate::units::Nanos;

/// Follows a run from outside.
pub trait Watcher {
    /// `n` invocations are to be made.
    fn begin(&mut self, n: usize);
    /// One begins.
    fn started(&mut self, cell: &Cell, invocation: u32);
    /// Its child said something.
    fn event(&mut self, event: &CellEvent);
    /// Nothing happened for a quarter of a second.
    fn tick(&mut self) {}
    /// It has ended.
    fn ended(&mut self, record: &Record);
    /// The run has ended.
    fn end(&mut self) {}
    /// Something worth a line of its own.
    fn say(&mut self, line: &str);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Silent;

impl Watcher for Silent {
    fn begin(&mut self, _: usize) {}
    fn started(&mut self, _: &Cell, _: u32) {}
    fn event(&mut self, _: &CellEvent) {}
    fn ended(&mut self, _: &Record) {}
    fn say(&mut self, _: &str) {}
}

/// What is under way, and how long the rest may take.
#[derive(Debug, Default)]
struct Progress {
    n: usize,
    done: usize,
    what: String,
    speed: String,
    began: Option<Instant>,
    all_ns: u64,
    cell: Option<Cell>,
}

impl Progress {
    fn started(&mut self, cell: &Cell, invocation: u32) {
        self.what = name(cell);
        if invocation > 0 {
            self.what.push_str(&format!(" #{}", invocation + 1));
        }
        self.speed.clear();
        self.cell = Some(cell.clone());
        self.began = Some(Instant::now());
    }

    fn sampled(&mut self, sample: &Sample) {
        if let Some(cell) = &self.cell {
            self.speed = speed(cell, sample);
        }
    }

    fn ended(&mut self) {
        let took: Nanos = self.began.take().map_or(Duration::ZERO, |t| t.elapsed()).into();
        self.done += 1;
        self.all_ns += took.0;
    }

    /// A rough time for what is left, once something has been seen.
    fn left(&self) -> Option<Nanos> {
        let mean = self.all_ns.checked_div(self.done as u64)?;
        Some(Nanos(mean * (self.n - self.done) as u64))
    }
}

/// `pp 512.3 tg 88.1 t/s` of one repetition.
fn speed(cell: &Cell, sample: &Sample) -> String {
    let mut words = Vec::new();
    let rate = |n: u32, ns: u64| f64::from(n) * 1e9 / ns.max(1) as f64;
    if let Some(ns) = sample.prefill_ns {
        words.push(format!("pp {:.1}", rate(cell.n_prompt, ns)));
    }
    if let Some(ns) = sample.decode_ns() {
        words.push(format!("tg {:.1}", rate(cell.n_gen, ns)));
    }
    if words.is_empty() { String::new() } else { format!("{} t/s", words.join(", ")) }
}

/// What a line calls a cell. Names come from files and command lines of strangers.
fn name(cell: &Cell) -> String {
    plain(&format!("{} {} {} {}", cell.engine, cell.model, cell.quant, cell.test()))
}

/// A text that moves no terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What became of an invocation, for a line of its own; nothing for one that simply finished.
fn trouble(record: &Record) -> Option<String> {
    let reason = match &record.outcome {
        Outcome::Finished => return None,
        Outcome::Failed { message, .. } | Outcome::OutOfMemory { message } => message.clone(),
        Outcome::Crashed { signal: Some(signal), .. } => format!("signal {signal}"),
        Outcome::Crashed { status, .. } => format!("exit status {}", status.unwrap_or(-1)),
        Outcome::TimedOut { limit_s } => format!("after {limit_s} s"),
        Outcome::Unfit { reason } | Outcome::Skipped { reason } => reason.clone(),
    };
    let (what, word) = (name(&record.cell), record.outcome.word());
    Some(format!("{what}: {word}: {}", plain(reason.lines().next().unwrap_or_default())))
}

/// To standard error; where nobody reads it any more, nobody misses it.
fn write_line(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

/// A bar for a terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    progress: Progress,
}

impl Default for Bar {
    fn default() -> Bar {
        // Four times a second: drawing must not cost what is measured.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        bar.set_style(
            ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}").expect("a fixed template"),
        );
        Bar { bar, progress: Progress::default() }
    }
}

impl Bar {
    fn show(&mut self) {
        let mut message = self.progress.what.clone();
        if !self.progress.speed.is_empty() {
            message.push_str(&format!("  {}", self.progress.speed));
        }
        if let Some(left) = self.progress.left() {
            message.push_str(&format!("  about {left} left"));
        }
        self.bar.set_message(message);
    }
}

impl Watcher for Bar {
    fn begin(&mut self, n: usize) {
        self.progress.n = n;
        self.bar.set_length(n as u64);
    }

    fn started(&mut self, cell: &Cell, invocation: u32) {
        self.progress.started(cell, invocation);
        self.show();
    }

    fn event(&mut self, event: &CellEvent) {
        if let CellEvent::Sampled { sample } | CellEvent::Iterated { sample } = event {
            self.progress.sampled(sample);
            self.show();
        }
    }

    fn tick(&mut self) {
        self.bar.tick();
    }

    fn ended(&mut self, record: &Record) {
        self.progress.ended();
        if let Some(line) = trouble(record) {
            self.say(&line);
        }
        self.bar.inc(1);
        self.show();
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    fn say(&mut self, line: &str) {
        self.bar.suspend(|| write_line(line));
    }
}

/// A line for each invocation, where there is no terminal.
#[derive(Debug, Default)]
pub struct Lines {
    progress: Progress,
}

impl Watcher for Lines {
    fn begin(&mut self, n: usize) {
        self.progress.n = n;
    }

    fn started(&mut self, cell: &Cell, invocation: u32) {
        self.progress.started(cell, invocation);
    }

    fn event(&mut self, event: &CellEvent) {
        if let CellEvent::Sampled { sample } | CellEvent::Iterated { sample } = event {
            self.progress.sampled(sample);
        }
    }

    fn ended(&mut self, record: &Record) {
        self.progress.ended();
        let Progress { n, done, what, speed, .. } = &self.progress;
        let width = n.to_string().len();
        match trouble(record) {
            Some(line) => write_line(&format!("[{done:>width$}/{n}] {line}")),
            None => write_line(&format!("[{done:>width$}/{n}] {what}  {speed}")),
        }
    }

    fn say(&mut self, line: &str) {
        write_line(line);
    }
}
