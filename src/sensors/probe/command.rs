//! Readings that several channels share, and commands behind them: one that is started once serves
//! all of its channels, and none is started more often than asked for.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::Root;
use crate::clock::{Clock, MonotonicClock};
use crate::units::Nanos;

/// A result that is computed again only when it has become old.
pub(super) struct Shared<T>(Arc<Mutex<Kept<T>>>);

struct Kept<T> {
    compute: Box<dyn FnMut() -> Result<T, String> + Send>,
    clock: Arc<dyn Clock>,
    /// How long a result serves.
    serves: Nanos,
    last: Option<(Nanos, Result<T, String>)>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T: Clone> Shared<T> {
    /// Computes with `compute`, at most once in the time that a result `serves`.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        serves: Nanos,
        compute: impl FnMut() -> Result<T, String> + Send + 'static,
    ) -> Shared<T> {
        Shared(Arc::new(Mutex::new(Kept { compute: Box::new(compute), clock, serves, last: None })))
    }

    /// The result, new or kept.
    pub(super) fn get(&self) -> Result<T, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = kept.clock.now();
        if let Some((at, result)) = &kept.last
            && now.since(*at) < kept.serves
        {
            return result.clone();
        }
        let result = (kept.compute)();
        // It serves from when it came: what took long would be old at once, and be computed again for
        // the next channel of the same round.
        kept.last = Some((kept.clock.now(), result.clone()));
        result
    }
}

/// How long the result of a command serves: a second, less what a round of readings may come
/// early.
pub(super) const COMMAND_SERVES: Nanos = Nanos(950_000_000);

/// A program that is there.
#[derive(Clone)]
pub(super) struct Program {
    path: PathBuf,
    /// Where a folder stands for a machine, a script stands for the program.
    is_script: bool,
}

impl Program {
    /// Looks for `name`: on this machine on the path, else in the root's `bin`.
    pub(super) fn find(root: &Root, name: &str) -> Option<Program> {
        if !root.is_this_machine() {
            let path = root.path(&format!("bin/{name}"));
            return path.is_file().then_some(Program { path, is_script: true });
        }
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .map(|path| Program { path, is_script: false })
    }

    /// Runs it and returns what it printed.
    pub(super) fn run(&self, argument: &str) -> Result<String, String> {
        let mut command = if self.is_script {
            let mut command = Command::new("/bin/sh");
            command.arg(&self.path);
            command
        } else {
            Command::new(&self.path)
        };
        command.arg(argument);
        answer(command)
    }
}

/// What a command prints, if it ends well and in time.
fn answer(mut command: Command) -> Result<String, String> {
    const PATIENCE: Nanos = Nanos(2_000_000_000);
    let failed = |error: std::io::Error| format!("the command could not be run: {error}");
    let (mut pipe, writer) = std::io::pipe().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing end, without which the reading end would never come to its end.
    drop(command);
    let end = Nanos(MonotonicClock.now().0 + PATIENCE.0);
    let mut text = Vec::new();
    loop {
        let left = end.since(MonotonicClock.now()).0;
        let wait = Timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        };
        let ready = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&wait));
        if left == 0 || ready == Ok(0) {
            give_up(&mut child);
            return Err("the command does not answer".to_owned());
        }
        if ready.is_err() {
            continue;
        }
        let mut bytes = [0; 4096];
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                give_up(&mut child);
                return Err(failed(error));
            }
        }
    }
    let status = ended(&mut child, end).map_err(failed)?;
    let Some(status) = status else { return Err("the command does not end".to_owned()) };
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if status.success() {
        return Ok(text);
    }
    Err(match text.lines().next() {
        Some(line) => format!("the command failed: {line}"),
        None => "the command failed and said nothing".to_owned(),
    })
}

/// How it ended. `None` where it closed what it prints to and goes on past `end`.
fn ended(child: &mut Child, end: Nanos) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if MonotonicClock.now() >= end {
            give_up(child);
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Ends it. One that hangs in the kernel does not even end then: nobody waits for it for long.
fn give_up(child: &mut Child) {
    let _ = child.kill();
    for _ in 0..50 {
        // It may have ended in this very moment.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;

    #[test]
    fn a_command_is_started_once_a_second_however_often_it_is_asked() {
        let clock = Arc::new(ScriptedClock::default());
        let mut n = 0;
        let shared = Shared::new(clock.clone(), COMMAND_SERVES, move || {
            n += 1;
            Ok(n)
        });
        let other = shared.clone();
        let mut seen = Vec::new();
        for _ in 0..30 {
            seen.push(shared.get().unwrap());
            assert_eq!(other.get(), shared.get());
            clock.pass(Nanos(100_000_000));
        }
        assert_eq!(seen.last(), Some(&3), "30 rounds of 0.1 s: three starts");
    }

    #[test]
    fn a_command_that_hangs_is_started_once_for_all_channels_of_a_round() {
        let clock = Arc::new(ScriptedClock::default());
        let (of_command, started) = (clock.clone(), Arc::new(Mutex::new(0)));
        let n_started = started.clone();
        let shared: Shared<()> = Shared::new(clock.clone(), COMMAND_SERVES, move || {
            *started.lock().unwrap() += 1;
            of_command.pass(Nanos(2_000_000_000));
            Err("the command does not answer".to_owned())
        });
        for _ in 0..8 {
            assert!(shared.clone().get().is_err());
            clock.pass(Nanos(50_000));
        }
        assert_eq!(*n_started.lock().unwrap(), 1);
    }

    #[test]
    fn a_command_that_closes_its_output_and_goes_on_is_ended() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec sleep 1000 >&- 2>&-"]);
        assert_eq!(answer(command).unwrap_err(), "the command does not end");
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        let root = Root::new(folder.path());
        assert!(Program::find(&root, "tell").is_none());
        let script = "[ \"$1\" = heat ] && echo 42 && exit\necho no such thing >&2\nexit 1\n";
        std::fs::write(folder.path().join("bin/tell"), script).unwrap();
        let program = Program::find(&root, "tell").unwrap();
        assert_eq!(program.run("heat").unwrap(), "42");
        assert_eq!(program.run("cold").unwrap_err(), "the command failed: no such thing");
    }
}
