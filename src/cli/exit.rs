//! The exit codes, in one place.

use std::fmt;
use std::process::ExitCode;

use crate::system::without_number;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A fault of this program.
    Bug = 1,
    /// Usage, or bad input.
    Usage = 2,
    /// Something regressed, and a gate was asked for.
    Regressed = 3,
    /// Some invocations did not finish. Planned skips do not count.
    Unfinished = 4,
    /// Something is unclear, and was not to be.
    Unclear = 6,
    /// Results cannot be written.
    Unwritable = 7,
    /// Stopped by the user; can be resumed.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error with the exit code that it ends in.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is said.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// What is said, without the system's numbers of errors.
    pub fn new(exit: Exit, message: &impl fmt::Display) -> Failure {
        Failure { exit, message: without_number(&message.to_string()) }
    }
}

/// Gives an error the code it ends in.
pub trait Ending<T> {
    /// Usage or bad input: 2.
    fn or_usage(self) -> Result<T, Failure>;
    /// Results cannot be written: 7.
    fn or_unwritable(self) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Ending<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(Exit::Usage, &e))
    }

    fn or_unwritable(self) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(Exit::Unwritable, &e))
    }
}
