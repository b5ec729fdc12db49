//! One child process: started, listened to, ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Watcher;
use super::soak::SoakWatch;
use super::watch::{MemorySeen, MemoryWatch, thread_cpu_ns};
use crate::record::{
    Allocated, CellEvent, EngineInfo, FailureKind, Job, Load, OLDEST_PROTOCOL, PROGRAM,
    PROTOCOL_VERSION, Phase, Profile, Resolved, STOP, Sample, SoakEnd,
};
use crate::sensors::{GpuMemory, Root};

/// Longest line a child may send: a repetition of a hundred thousand tokens fits.
const LONGEST_LINE: u64 = 4 << 20;

/// How often whoever watches is told that nothing happened.
const TICK: Duration = Duration::from_millis(250);

/// How long a child may take to end after its last word, or after its pipe has ended: how it
/// ends by itself is worth knowing.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the program is started with to be a child.
pub const CHILD: &str = "child";

/// How a child is started.
#[derive(Clone, Debug)]
pub struct ChildCommand {
    /// The program.
    pub program: PathBuf,
    /// Its name and version, as they stand in records.
    pub version: String,
    /// The version of the protocol in which it is spoken to.
    pub protocol: u32,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl ChildCommand {
    /// A child of this program.
    pub fn own() -> std::io::Result<ChildCommand> {
        Ok(ChildCommand::of(super::own_executable()?, PROGRAM.to_owned(), PROTOCOL_VERSION))
    }

    /// A child of `program`, this one or another build of it, that speaks `protocol`.
    pub fn of(program: PathBuf, version: String, protocol: u32) -> ChildCommand {
        ChildCommand { program, version, protocol, arguments: vec![CHILD.to_owned()] }
    }

    /// The newest version of the protocol that `program` speaks as well as this one. Older programs
    /// speak one alone and say nothing of it before they are spoken to, so it is tried: `job` is one
    /// that costs nothing.
    pub fn spoken(program: &Path, job: &Job) -> Option<u32> {
        (OLDEST_PROTOCOL..=PROTOCOL_VERSION).rev().find(|&protocol| {
            let job = Job { protocol, ..job.clone() };
            says_hello(program, &job).unwrap_or(false)
        })
    }
}

/// Whether the first word of a child that is given `job` is a greeting.
fn says_hello(program: &Path, job: &Job) -> std::io::Result<bool> {
    let mut process = Command::new(program);
    process.arg(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    let mut child = process.spawn()?;
    let mut words = child.stdin.take().expect("piped");
    let stdout = child.stdout.take().expect("piped");
    let told = writeln!(words, "{}", serde_json::to_string(job)?);
    let (send, lines) = channel();
    std::thread::spawn(move || read_lines(stdout, &send));
    let line = told.map(|()| lines.recv_timeout(FAREWELL));
    let _ = child.kill();
    drop(words);
    let _ = child.wait();
    Ok(match line? {
        Ok(Line::Whole(line)) => {
            matches!(serde_json::from_slice(&line), Ok(CellEvent::Hello { .. }))
        }
        _ => false,
    })
}

/// Where the child's memory is looked at.
#[derive(Clone, Copy)]
pub struct Sensors<'a> {
    /// The machine.
    pub root: &'a Root,
    /// Its GPUs.
    pub gpu: Option<&'a GpuMemory>,
    /// Its hottest part that computes, as last read.
    pub hottest: &'a dyn Fn() -> Option<f64>,
}

/// When to end a child before it ends by itself.
pub struct Limits<'a> {
    /// Wall time allowed.
    pub timeout_s: u32,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
}

/// Everything seen of one child.
#[derive(Debug, Default)]
pub struct Invocation {
    pub engine: Option<EngineInfo>,
    pub resolved: Option<Resolved>,
    pub allocated: Option<Allocated>,
    pub load: Option<Load>,
    pub samples: Vec<Sample>,
    pub profile: Option<Profile>,
    pub involuntary_switches: Option<u64>,
    pub memory: MemorySeen,
    /// The child said that it is done.
    pub finished: bool,
    /// The child said that it cannot go on.
    pub failure: Option<(FailureKind, String)>,
    /// The child broke the protocol.
    pub broken: Option<String>,
    pub timed_out: bool,
    pub interrupted: bool,
    /// Why a sustained run ended by itself.
    pub soak_end: Option<SoakEnd>,
    /// How the process ended; absent when it could not be started.
    pub status: Option<ExitStatus>,
}

/// Starts a child, gives it `job`, and follows it to its end. `model` is the file that the job
/// names without its folder.
pub fn invoke(
    command: &ChildCommand,
    job: &Job,
    model: &Path,
    log: &Path,
    limits: Limits<'_>,
    sensors: Sensors<'_>,
    watcher: &mut dyn Watcher,
) -> Invocation {
    let mut seen = Invocation::default();
    let child =
        create_log(log).map_err(|e| format!("its log cannot be written: {e}")).and_then(|log| {
            start(command, model, log).map_err(|e| format!("the child cannot be started: {e}"))
        });
    let mut child = match child {
        Ok(child) => child,
        Err(message) => {
            seen.failure = Some((FailureKind::Protocol, message));
            return seen;
        }
    };
    let mut words = child.stdin.take().expect("piped");
    let (send, lines) = channel();
    let stdout = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || read_lines(stdout, &send));

    let deadline = Instant::now() + Duration::from_secs(u64::from(limits.timeout_s));
    let told = serde_json::to_string(job).map_err(std::io::Error::from);
    let told = told.and_then(|line| writeln!(words, "{line}"));
    if told.is_ok() {
        let memory = MemoryWatch::new(sensors.root, sensors.gpu, child.id());
        let soak =
            job.cell.soak.map(|soak| SoakWatch::new(soak, job.cell.n_prompt, sensors.hottest));
        let (protocol, is_profile) = (job.protocol, job.cell.profile);
        let listener = Listener { protocol, memory, soak, is_profile, watcher };
        listener.follow(&mut seen, &mut words, &lines, deadline, limits.interrupted);
    }
    let patience = match &seen {
        _ if seen.timed_out || seen.interrupted || seen.broken.is_some() => Duration::ZERO,
        _ => FAREWELL,
    };
    seen.status = finish(&mut child, words, patience);
    // The reader ends with the child's end of the pipe. A grandchild could hold it open for
    // longer: nobody waits for that.
    drop(lines);
    if reader.is_finished() {
        let _ = reader.join();
    }
    seen
}

fn create_log(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(path)
}

fn start(command: &ChildCommand, model: &Path, log: File) -> std::io::Result<Child> {
    let mut process = Command::new(&command.program);
    // The child opens its model by its name alone: neither its log nor an error message then holds
    // a path, which may hold a user's name.
    if let Some(folder) = model.parent().filter(|folder| folder.is_dir()) {
        process.current_dir(folder);
    }
    process.args(&command.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    // A group of its own: the terminal's Ctrl-C is for the parent, which then ends the child.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    process.spawn()
}

/// Waits `patience` for the child to end by itself, then ends it. Its input stays open meanwhile:
/// the end of input would tell it that its parent is gone.
fn finish(child: &mut Child, words: ChildStdin, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    drop(words);
    child.wait().ok()
}

/// What comes up the pipe.
enum Line {
    Whole(Vec<u8>),
    /// The child ended in the middle of a line.
    Half,
    TooLong,
}

fn read_lines(stdout: impl Read, send: &Sender<Line>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let Ok(n) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) else { return };
        let line = match line.last() {
            None => return,
            Some(b'\n') => Line::Whole(line),
            Some(_) if n as u64 == LONGEST_LINE => Line::TooLong,
            Some(_) => Line::Half,
        };
        let last = !matches!(line, Line::Whole(_));
        if send.send(line).is_err() || last {
            return;
        }
    }
}

struct Listener<'a> {
    /// The version that was asked for.
    protocol: u32,
    memory: MemoryWatch<'a>,
    soak: Option<SoakWatch<'a>>,
    is_profile: bool,
    watcher: &'a mut dyn Watcher,
}

impl Listener<'_> {
    /// Listens until the child is done, breaks the protocol, or time is up.
    fn follow(
        mut self,
        seen: &mut Invocation,
        words: &mut ChildStdin,
        lines: &Receiver<Line>,
        deadline: Instant,
        interrupted: &AtomicBool,
    ) {
        self.listen(seen, words, lines, deadline, interrupted);
        if !seen.finished {
            // Whatever is done about it next, the peak so far is worth having.
            self.memory.look();
        }
        seen.memory = self.memory.finish();
    }

    fn listen(
        &mut self,
        seen: &mut Invocation,
        words: &mut ChildStdin,
        lines: &Receiver<Line>,
        mut deadline: Instant,
        interrupted: &AtomicBool,
    ) {
        let mut told = Instant::now();
        let mut sampled = Instant::now();
        loop {
            if interrupted.load(Ordering::Relaxed) {
                seen.interrupted = true;
                if self.soak.is_some() {
                    seen.soak_end.get_or_insert(SoakEnd::User);
                }
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                seen.timed_out = true;
                return;
            }
            let cpu = thread_cpu_ns();
            match lines.recv_timeout(left.min(self.memory.interval())) {
                Ok(Line::Whole(line)) => {
                    let event = match serde_json::from_slice(&line) {
                        Ok(event) => event,
                        Err(_) => {
                            seen.broken = Some(format!("no event: `{}`", excerpt(&line)));
                            return;
                        }
                    };
                    // The time of a sustained run is that of its passes.
                    if let (CellEvent::WarmedUp, Some(soak)) = (&event, &self.soak) {
                        deadline = Instant::now() + soak.patience();
                    }
                    if self.hear(event, seen, words) {
                        return;
                    }
                    // A child that always has something to say is looked at all the same.
                    if sampled.elapsed() >= self.memory.interval() {
                        sampled = Instant::now();
                        self.look_on(cpu, &mut told);
                    }
                }
                Ok(Line::Half) => {
                    seen.broken = Some("the child ended in the middle of a line".to_owned());
                    return;
                }
                Ok(Line::TooLong) => {
                    seen.broken = Some(format!("a line of more than {LONGEST_LINE} bytes"));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {
                    sampled = Instant::now();
                    self.look_on(cpu, &mut told);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at the child while it works, and says that it still does.
    fn look_on(&mut self, cpu_before: u64, told: &mut Instant) {
        self.memory.sample(cpu_before);
        if told.elapsed() >= TICK {
            *told = Instant::now();
            self.watcher.tick();
        }
    }

    /// Takes in one event. Returns whether it was the last.
    fn hear(&mut self, event: CellEvent, seen: &mut Invocation, words: &mut ChildStdin) -> bool {
        self.watcher.event(&event);
        match event {
            CellEvent::Hello { protocol, engine } => {
                if protocol != self.protocol {
                    seen.broken = Some(format!(
                        "the child speaks protocol {protocol}, {} was asked for",
                        self.protocol
                    ));
                    return true;
                }
                seen.engine = Some(engine);
                self.memory.end_phase(Phase::Load);
                go_on(words);
            }
            CellEvent::Loaded { load_ns, cached_share, resolved, allocated } => {
                seen.load = Some(Load { load_ns, cached_share });
                seen.resolved = Some(resolved);
                seen.allocated = allocated;
                self.memory.end_phase(Phase::WarmUp);
                go_on(words);
            }
            CellEvent::WarmedUp => {
                self.memory.end_phase(Phase::Passes);
                go_on(words);
            }
            CellEvent::Sampled { .. } if self.soak.is_some() => return broken(seen, "sampled"),
            CellEvent::Sampled { sample } => {
                seen.samples.push(sample);
                self.memory.look();
                go_on(words);
            }
            CellEvent::Iterated { sample } => {
                let Some(soak) = &mut self.soak else { return broken(seen, "iterated") };
                // A child that runs ahead of its parent makes passes that nobody asked for.
                if seen.soak_end.is_none() && soak.take(&sample) {
                    seen.samples.push(sample);
                    seen.soak_end = soak.end();
                    if seen.soak_end.is_some() {
                        let _ = writeln!(words, "{STOP}");
                    }
                }
            }
            CellEvent::Profiled { .. } if !self.is_profile => return broken(seen, "profiled"),
            CellEvent::Profiled { profile } => {
                seen.profile = Some(profile);
                go_on(words);
            }
            CellEvent::Finished { involuntary_switches } => {
                seen.involuntary_switches = Some(involuntary_switches);
                self.memory.end_phase(Phase::Passes);
                seen.finished = true;
                go_on(words);
                return true;
            }
            CellEvent::Failed { kind, message } => {
                seen.failure = Some((kind, message));
                return true;
            }
        }
        false
    }
}

/// Notes an event that has no place here. Returns that it was the last.
fn broken(seen: &mut Invocation, event: &str) -> bool {
    seen.broken = Some(format!("`{event}` has no place here"));
    true
}

/// Gives the word to go on. A child that is gone is noticed by its end of the pipe.
fn go_on(words: &mut ChildStdin) {
    let _ = words.write_all(b"\n");
}

/// The beginning of a line that was not understood, fit to be shown.
fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]);
    text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
