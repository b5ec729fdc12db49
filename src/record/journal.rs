//! The journal: records as JSON lines, each written whole and synced before the next begins.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{RECORD_FORMAT, Record};
use crate::system::said;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{path}: {}", said(source), path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no record.
    #[error(
        "{path}:{line}: not a record, or a damaged one\n\
         hint: take line {line} out; `slmbench run --resume {folder}` measures it again",
        path = path.display(),
        folder = folder(path)
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Written by a newer program.
    #[error(
        "{path}:{line}: record format {found}, this program reads up to {RECORD_FORMAT}\n\
         hint: use the slmbench that wrote it, or a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Its version.
        found: u64,
    },
}

/// The folder of the run that a journal is of.
fn folder(journal: &Path) -> String {
    let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).display().to_string()
}

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens `path` for appending, creating it when absent. A last line that was cut off in the
    /// middle is removed first, so that what follows starts on a line of its own.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let fail = |source| JournalError::Io { path: path.to_owned(), source };
        let whole = match File::open(path) {
            Ok(file) => whole_length(file).map_err(fail)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(fail(e)),
        };
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(fail)?;
        file.set_len(whole).map_err(fail)?;
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        Ok(Journal { file, path: path.to_owned() })
    }

    /// Writes `record` as one line and syncs it. After a failure the file is cut back to its last
    /// whole line.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(record).expect("a record is always valid JSON");
        line.push(b'\n');
        let write = |file: &mut File| -> io::Result<()> {
            let start = file.stream_position()?;
            let result = file.write_all(&line).and_then(|()| file.sync_data());
            if result.is_err() {
                file.set_len(start)?;
                file.seek(SeekFrom::Start(start))?;
            }
            result
        };
        write(&mut self.file).map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}

/// Length of `file` up to and including its last line end.
fn whole_length(file: File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut whole, mut line) = (0u64, Vec::new());
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if n == 0 || line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        whole += n as u64;
    }
}

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalRead {
    /// Its records.
    pub records: Vec<Record>,
    /// Whether a last line without its end was left out: a record cut off by a crash.
    pub truncated: bool,
}

/// Reads every record of a journal. A last line without its end is a record cut off by a crash:
/// it is left out.
pub fn read_journal(path: &Path) -> Result<Vec<Record>, JournalError> {
    Ok(read_journal_whole(path)?.records)
}

/// Reads every record of a journal, and tells whether it was cut off.
pub fn read_journal_whole(path: &Path) -> Result<JournalRead, JournalError> {
    let fail = |source| JournalError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(fail)?);
    let mut read = JournalRead::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let n = reader.read_until(b'\n', &mut text).map_err(fail)?;
        if n == 0 || text.last() != Some(&b'\n') {
            read.truncated = n > 0;
            break;
        }
        let bad = || JournalError::Line { path: path.to_owned(), line };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|_| bad())?;
        let found = value["format"].as_u64().ok_or_else(bad)?;
        if found > u64::from(RECORD_FORMAT) {
            return Err(JournalError::Newer { path: path.to_owned(), line, found });
        }
        read.records.push(serde_json::from_value(value).map_err(|_| bad())?);
    }
    Ok(read)
}
