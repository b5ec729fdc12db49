//! A run's folder, and the locks that keep two runs from disturbing each other.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::plan::Cell;
use crate::record::{RECORD_FORMAT, RunInfo};
use crate::system::said;

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Reading or writing failed.
    #[error("{path}: {}", said(source), path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a run in it.
    #[error(
        "{path} holds a run already\nhint: --resume {path} continues it; --out names another folder",
        path = path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Another process is writing to it.
    #[error("{path} is in use by another slmbench", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such folder.
    #[error("there is no folder {path}\nhint: {USUAL_PLACE}", path = path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is a file.
    #[error("{path} is a file; name the folder of a run\nhint: {USUAL_PLACE}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
    },
    /// There is no run in it.
    #[error(
        "{path} holds no run: there is no run.json\nhint: {}",
        match within {
            Some(within) => format!("there is one in {}", within.display()),
            None => USUAL_PLACE.to_owned(),
        },
        path = path.display()
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// A folder in it that holds one.
        within: Option<PathBuf>,
    },
    /// Its `run.json` is not understood.
    #[error(
        "{path}{}: the file is cut off or damaged\nhint: restore it from a copy",
        place.map_or(String::new(), |(line, column)| format!(":{line}:{column}")),
        path = path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Line and column from which it is no JSON, where that is what is wrong.
        place: Option<(usize, usize)>,
    },
    /// Written by a newer program.
    #[error(
        "{path}: format {found}, this program reads up to {RECORD_FORMAT}\n\
         hint: use the slmbench that wrote it, or a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// Bytes of a log that are read at the most.
const LOG_BYTES: u64 = 64 << 10;

/// Where runs are, for those who look elsewhere.
const USUAL_PLACE: &str = "runs are in reports/ where --out named no other folder";

/// The folder of one run: `run.json`, `records.jsonl`, `logs/`, and what is drawn from them.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Takes `path` for a new run, creating it. A folder that holds a run is refused.
    pub fn create(path: &Path) -> Result<RunFolder, FolderError> {
        let fail = |source| FolderError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(fail)?;
        RunFolder::check_free(path)?;
        Ok(RunFolder { path: path.to_owned() })
    }

    /// Refuses a folder that holds a run, and what is no folder; one that is not there can be made.
    pub fn check_free(path: &Path) -> Result<(), FolderError> {
        let folder = RunFolder { path: path.to_owned() };
        if path.is_file() {
            return Err(FolderError::File { path: path.to_owned() });
        }
        if folder.run_json().exists() || folder.journal().exists() {
            return Err(FolderError::Occupied { path: path.to_owned() });
        }
        Ok(())
    }

    /// Opens the folder of an earlier run.
    pub fn open(path: &Path) -> Result<(RunFolder, RunInfo), FolderError> {
        let folder = RunFolder { path: path.to_owned() };
        let file = folder.run_json();
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(_) if path.is_file() => return Err(FolderError::File { path: path.to_owned() }),
            Err(_) if !path.exists() => return Err(FolderError::Absent { path: path.to_owned() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::NoRun { path: path.to_owned(), within: a_run_in(path) });
            }
            Err(source) => return Err(FolderError::Io { path: file, source }),
        };
        let broken = |place| FolderError::Broken { path: file.clone(), place };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| broken(Some((e.line(), e.column()))))?;
        let found = value["format"].as_u64().ok_or_else(|| broken(None))?;
        if found > u64::from(RECORD_FORMAT) {
            return Err(FolderError::Newer { path: file, found });
        }
        let info: RunInfo = serde_json::from_value(value).map_err(|_| broken(None))?;
        if info.order.iter().any(|(cell, _)| *cell >= info.cells.len()) {
            return Err(broken(None));
        }
        Ok((folder, info))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.path.join("records.jsonl")
    }

    fn run_json(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// Where the child of an invocation writes its log.
    pub fn log(&self, cell: &Cell, invocation: u32) -> PathBuf {
        self.path.join("logs").join(format!("{}-{invocation}.log", cell.id))
    }

    /// Where the passes of a sustained run are kept until its record is written.
    pub fn partial(&self, cell: &Cell, invocation: u32) -> PathBuf {
        self.path.join("logs").join(format!("{}-{invocation}.passes.jsonl", cell.id))
    }

    /// The name of a log relative to this folder; an empty one is thrown away.
    pub fn keep_log(&self, log: &Path) -> Option<String> {
        if log.metadata().is_ok_and(|m| m.len() > 0) {
            let name = log.strip_prefix(&self.path).ok()?;
            return Some(name.to_string_lossy().into_owned());
        }
        let _ = std::fs::remove_file(log);
        None
    }

    /// The last words of a log that a record names; `None` where it is gone, or where the name leads
    /// anywhere but to a file in `logs/`: a folder may come from strangers.
    pub fn end_of_log(&self, name: &str) -> Option<String> {
        let mut parts = Path::new(name).components();
        let is_log = parts.next() == Some(Component::Normal("logs".as_ref()))
            && matches!(parts.next(), Some(Component::Normal(_)))
            && parts.next().is_none();
        let path = self.path.join(name);
        if !is_log || !path.symlink_metadata().is_ok_and(|m| m.is_file()) {
            return None;
        }
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES))).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes `run.json` whole or not at all.
    pub fn write_info(&self, info: &RunInfo) -> Result<(), FolderError> {
        let path = self.run_json();
        let temporary = self.path.join("run.json.tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(info)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(|source| {
            let _ = std::fs::remove_file(&temporary);
            FolderError::Io { path: path.clone(), source }
        })
    }

    /// Keeps every other process from writing to this folder while the lock lives.
    pub fn lock(&self) -> Result<Lock, FolderError> {
        let path = self.path.join(".lock");
        let fail = |source| FolderError::Io { path: path.clone(), source };
        match Lock::try_take(&path).map_err(fail)? {
            Some(lock) => Ok(lock),
            None => Err(FolderError::InUse { path: self.path.clone() }),
        }
    }
}

/// The first folder within `path`, by name, that holds a run.
fn a_run_in(path: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    folders.filter(|folder| folder.join("run.json").exists()).min()
}

/// A lock on a file. It ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What to do while another run measures on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineBusy {
    /// Wait for it to end.
    Wait,
    /// Refuse.
    Refuse,
}

impl Lock {
    /// Takes the lock of `path`, creating the file; `None` while another process holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Lock>> {
        // Another user's file can be locked although it cannot be written.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .or_else(|e| File::open(path).map_err(|_| e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The machine's lock: one run measures at a time. `waiting` is called each second until the
    /// other run has ended; it returns whether to go on waiting. `None` when refused or given up.
    pub fn machine(
        busy: MachineBusy,
        waiting: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Lock>> {
        let path = std::env::var_os("SLMBENCH_LOCK")
            .map_or_else(|| std::env::temp_dir().join("slmbench.lock"), PathBuf::from);
        loop {
            let taken = Lock::try_take(&path)
                .map_err(|e| io::Error::other(format!("{}: {}", path.display(), said(&e))))?;
            if taken.is_some() || busy == MachineBusy::Refuse || !waiting() {
                return Ok(taken);
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_for_one_and_free_again_afterwards() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&temporary.path().join("a/b")).unwrap();
        let lock = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(FolderError::InUse { .. })));
        drop(lock);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn a_folder_that_holds_a_run_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(temporary.path()).unwrap();
        std::fs::write(folder.journal(), "").unwrap();
        let error = RunFolder::create(temporary.path()).unwrap_err();
        assert!(error.to_string().contains("--resume"), "{error}");
    }

    #[test]
    fn a_run_of_a_newer_format_is_refused_by_its_number() {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(temporary.path().join("run.json"), r#"{"format": 99}"#).unwrap();
        let error = RunFolder::open(temporary.path()).unwrap_err();
        assert!(error.to_string().contains("format 99, this program reads up to 1"), "{error}");
    }

    #[test]
    fn what_is_no_folder_of_a_run_is_told_apart() {
        let temporary = tempfile::tempdir().unwrap();
        let said = |name: &str| RunFolder::open(&temporary.path().join(name)).unwrap_err();
        std::fs::write(temporary.path().join("m.gguf"), "").unwrap();
        std::fs::create_dir(temporary.path().join("empty")).unwrap();
        std::fs::create_dir_all(temporary.path().join("many/one")).unwrap();
        std::fs::write(temporary.path().join("many/one/run.json"), "{\n  \"format\": 1,").unwrap();
        assert!(matches!(said("nowhere"), FolderError::Absent { .. }));
        assert!(matches!(said("m.gguf"), FolderError::File { .. }));
        assert!(matches!(said("empty"), FolderError::NoRun { within: None, .. }));
        let many = said("many").to_string();
        assert!(many.contains("hint: there is one in ") && many.ends_with("many/one"), "{many}");
        let cut = said("many/one").to_string();
        assert!(
            cut.contains("run.json:2:14: the file is cut off or damaged\nhint: restore"),
            "{cut}"
        );
    }

    #[test]
    fn an_empty_log_is_thrown_away_and_a_full_one_is_named_without_its_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(temporary.path()).unwrap();
        let log = temporary.path().join("logs/x.log");
        std::fs::create_dir(log.parent().unwrap()).unwrap();
        std::fs::write(&log, "").unwrap();
        assert_eq!(folder.keep_log(&log), None);
        assert!(!log.exists());
        std::fs::write(&log, "words").unwrap();
        assert_eq!(folder.keep_log(&log).as_deref(), Some("logs/x.log"));
    }

    #[test]
    fn only_files_among_the_logs_are_read_and_of_those_the_end() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        std::fs::write(logs.join("x.log"), "a".repeat(100_000) + "end").unwrap();
        std::fs::write(temporary.path().join("secret"), "secret").unwrap();
        let end = folder.end_of_log("logs/x.log").unwrap();
        assert!(end.ends_with("aend") && end.len() as u64 == LOG_BYTES);
        std::os::unix::fs::symlink("../../secret", logs.join("link")).unwrap();
        let secret = temporary.path().join("secret").display().to_string();
        for name in ["logs/none", "logs/link", "logs/../../secret", "../secret", &secret, "logs"] {
            assert_eq!(folder.end_of_log(name), None, "{name}");
        }
    }
}
