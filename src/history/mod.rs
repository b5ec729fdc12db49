//! Runs over time: what many runs measured of one cell in one place, in the order of their dates,
//! and where it changed.
//!
//! A database holds what run folders hold, less the raw samples: one value per invocation and
//! measure. It can be thrown away and made again from the folders. Nothing here reads a folder, draws
//! or chooses an exit code; `docs/history.md` tells the schema and the rules.

mod changes;
mod check;
mod entry;
mod filter;
#[cfg(test)]
mod fixture;
mod schema;
mod series;
mod store;

use std::path::PathBuf;

pub use changes::{Analysis, Change, Method, Rules, changes};
pub use check::{Checked, Expected, check, p_value};
pub use entry::{Invocation, RunEntry, Said};
pub use filter::Filter;
pub use schema::VERSION;
pub use series::{Point, Run, Series};
pub use store::{Added, History, Unfinished};

/// Why a history cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is no file.
    #[error(
        "{path}: there is no history yet\nhint: `slmbench history add DIR --db {path}` begins one",
        path = path.display()
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("{path}: {message}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It cannot be made or written.
    #[error("{path}: {message}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Something else is in it.
    #[error(
        "{path} is {found}, not a history of slmbench; it was left as it is\nhint: --db names another file",
        path = path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Written by a newer program.
    #[error(
        "{path}: history version {found}, this program reads up to {VERSION}; it was left as it is\n\
         hint: use the slmbench that wrote it, or a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// SQLite said no.
    #[error("{path}: {source}{}", hint(source), path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// What is no moment.
    #[error(
        "`{0}` is no date\nhint: 2026-11-02, or 2026-11-02T10:38:57Z with the time; UTC where no offset is told"
    )]
    Date(String),
    /// A cell's id stands for two things.
    #[error(
        "cell {0} stands for something else than in the history\n\
         hint: the folder was changed by hand, or the history was"
    )]
    TwoOfOneId(String),
    /// Nothing was measured that a history could hold.
    #[error("all of it are sustained runs or profiles, which have no place in a history")]
    SustainedOnly,
    /// A condition that is none.
    #[error("found `{0}`, expected conditions such as `model=Qwen*`, with one `=`")]
    NoCondition(String),
    /// A condition on something that cells do not have.
    #[error(
        "unknown key `{found}`, allowed are {allowed}{}",
        nearest.map(|near| format!("\nhint: did you mean `{near}`?")).unwrap_or_default()
    )]
    UnknownName {
        /// What was found.
        found: String,
        /// What is allowed.
        allowed: String,
        /// The nearest of these.
        nearest: Option<&'static str>,
    },
}

impl HistoryError {
    /// Whether the file cannot be written, rather than that what was asked is wrong.
    pub fn is_unwritable(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            HistoryError::Unwritable { .. } => true,
            HistoryError::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    Code::CannotOpen
                        | Code::DatabaseBusy
                        | Code::DatabaseLocked
                        | Code::DiskFull
                        | Code::PermissionDenied
                        | Code::ReadOnly
                        | Code::SystemIoFailure
                )
            ),
            _ => false,
        }
    }
}

fn hint(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            "\nhint: another slmbench is writing to it; try again when it has ended"
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            "\nhint: restore it from a copy, or add the runs to a new file"
        }
        _ => "",
    }
}
