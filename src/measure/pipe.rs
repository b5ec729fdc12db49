//! The child's end of the pipe, and its promise to end when its parent does.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, channel};

use crate::engine::EVENT_FD;
use crate::record::CellEvent;

/// Lines from the parent, events to it.
pub struct Pipe {
    events: File,
    lines: Receiver<String>,
}

impl Pipe {
    /// Takes over standard input and output. What libraries print on standard output from here
    /// on goes to standard error, which is the log.
    pub fn open() -> io::Result<Pipe> {
        end_with_parent();
        let events = move_stdout_to(EVENT_FD)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        let (send, lines) = channel();
        // Reading happens on a thread of its own, so that the end of input is noticed at any
        // moment: the parent never closes the pipe before it has seen the child end.
        std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                if send.send(line).is_err() {
                    break;
                }
            }
            std::process::exit(1);
        })?;
        Ok(Pipe { events: File::from(events), lines })
    }

    /// Writes one event as one line.
    pub fn tell(&mut self, event: &CellEvent) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.events.write_all(&line)
    }

    /// The next line from the parent.
    pub fn read_line(&mut self) -> io::Result<String> {
        self.lines.recv().map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether the parent has said `word` since anybody asked.
    pub fn heard(&mut self, word: &str) -> bool {
        self.lines.try_iter().any(|line| line.trim() == word)
    }

    /// Waits for the word to go on.
    pub fn wait_for_word(&mut self) -> io::Result<()> {
        self.read_line().map(drop)
    }
}

/// A copy of standard output as descriptor `number`, whatever that was before.
fn move_stdout_to(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: this is the first thing the process does; of its descriptors only the standard ones
    // are in use. One inherited under this number belongs to nobody here, and if there is none,
    // the call below makes it before anything else can touch it.
    let mut slot = unsafe { OwnedFd::from_raw_fd(number) };
    match rustix::io::dup3(rustix::stdio::stdout(), &mut slot, rustix::io::DupFlags::CLOEXEC) {
        Ok(()) => Ok(slot),
        Err(e) => {
            // Never made ours, so never closed by us.
            std::mem::forget(slot);
            Err(e.into())
        }
    }
}

/// Asks the kernel for SIGKILL when the parent dies. Where there is no such request, the end of
/// standard input tells.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}
