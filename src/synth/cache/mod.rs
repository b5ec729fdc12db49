//! A folder of synthetic models, made when first asked for and kept for the next time.
//!
//! Every process that uses a file holds a shared lock on it; only files without one are evicted.
//! A file is written under a name of its own, locked while that lasts, and renamed when whole: a
//! process that is killed or finds the disk full leaves at most a part that nobody holds, which
//! the next one removes. The folder's own lock orders what several processes do to its entries; it
//! is never held while weights are drawn.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

use super::SYNTH_VERSION;
use super::write::{SynthError, Synthesis};
use crate::model::{FileMix, ModelShape};
use crate::units::Bytes;

/// The cache never grows beyond this by itself.
const MOST_BYTES: u64 = 20_000_000_000;
/// Share of the disk's free space that the cache may take: a quarter.
const FREE_SHARE: u64 = 4;
/// Ending of whole files.
const WHOLE: &str = "gguf";
/// Ending of files being written.
const PART: &str = "gguf.part";

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No folder was named and the environment names none.
    #[error(
        "no folder for models: neither XDG_CACHE_HOME nor HOME is set\nhint: name one with --cache-dir"
    )]
    NoFolder,
    /// The disk cannot hold it.
    #[error(
        "{}: the disk has {} free, the model needs {}\n\
         hint: free some space, or name a folder on another disk with --cache-dir",
        folder.display(), Bytes(*free), Bytes(*needed)
    )]
    DiskFull {
        /// The cache.
        folder: PathBuf,
        /// Bytes of the file.
        needed: u64,
        /// Bytes free when that was found out.
        free: u64,
    },
    /// The model cannot be written.
    #[error(transparent)]
    Synth(SynthError),
    /// The file system refused.
    #[error("{}: {source}\nhint: name another folder with --cache-dir", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> CacheError + '_ {
    |source| CacheError::Io { path: path.to_owned(), source }
}

/// A folder of synthetic models.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: Option<u64>,
    /// Bytes that the file of a stem has when whole. To find out, its header is made, with every
    /// token of the vocabulary in it: once is enough.
    lengths: Arc<Mutex<HashMap<String, u64>>>,
}

/// A model file that stays where it is for as long as this value lives.
#[derive(Debug)]
pub struct CachedModel {
    path: PathBuf,
    bytes: u64,
    /// Holds the shared lock.
    _file: File,
}

impl CachedModel {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Cache {
    /// The cache in `folder`, which is made when first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Cache {
        Cache { folder: folder.into(), limit: None, lengths: Arc::default() }
    }

    /// The user's own: `slmbench/models` in `XDG_CACHE_HOME`, or in `~/.cache`.
    pub fn of_user() -> Result<Cache, CacheError> {
        let folder = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let base = folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .ok_or(CacheError::NoFolder)?;
        Ok(Cache::new(base.join("slmbench").join("models")))
    }

    /// With a limit of its own instead of 20 GB or a quarter of the free space.
    pub fn with_limit(self, bytes: u64) -> Cache {
        Cache { limit: Some(bytes), ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model of `shape` in `mix` with the weights of `seed`: from the folder, or made now.
    ///
    /// `progress` hears how many bytes of weights have been written and how many there are, and
    /// says whether to go on; when it breaks off nothing of the file stays, and the error is
    /// [`SynthError::Interrupted`]. It hears nothing when the file is there, or another process
    /// makes it.
    pub fn obtain(
        &self,
        shape: &ModelShape,
        mix: FileMix,
        seed: u64,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<CachedModel, CacheError> {
        let synthesis = Synthesis::new(shape, mix, seed);
        let stem = stem(shape, mix, seed);
        let needed = self.length(&stem, &synthesis)?;
        let path = self.folder.join(format!("{stem}.{WHOLE}"));
        let part = self.folder.join(format!("{stem}.{PART}"));
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        loop {
            let folder_lock = self.lock()?;
            if let Some(model) = open_whole(&path, needed)? {
                return Ok(model);
            }
            self.remove_stale_parts()?;
            if part.exists() {
                // Another process is at it: its lock ends when the file is whole, or it has died.
                let other = match File::open(&part) {
                    Ok(other) => other,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(at(&part)(e)),
                };
                drop(folder_lock);
                lock_file(&other, FlockOperation::LockShared).map_err(at(&part))?;
                continue;
            }
            self.make_room(needed)?;
            let file = OpenOptions::new().write(true).create_new(true).open(&part);
            let file = file.map_err(at(&part))?;
            lock_file(&file, FlockOperation::LockExclusive).map_err(at(&part))?;
            drop(folder_lock);

            if let Err(error) = write_whole(&synthesis, &file, &mut progress) {
                // Where the folder cannot be locked the part stays: the next maker removes it.
                if let Ok(_folder_lock) = self.lock() {
                    let _ = fs::remove_file(&part);
                }
                return Err(self.explain(error, needed, &part));
            }
            let _folder_lock = self.lock()?;
            fs::rename(&part, &path).map_err(at(&path))?;
            lock_file(&file, FlockOperation::LockShared).map_err(at(&path))?;
            return Ok(CachedModel { path, bytes: needed, _file: file });
        }
    }

    /// Bytes of the whole file called `stem`.
    fn length(&self, stem: &str, synthesis: &Synthesis<'_>) -> Result<u64, CacheError> {
        // Entries are only ever added whole, so a panic elsewhere spoils nothing.
        let mut lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&bytes) = lengths.get(stem) {
            return Ok(bytes);
        }
        let bytes = synthesis.file_len().map_err(CacheError::Synth)?;
        lengths.insert(stem.to_owned(), bytes);
        Ok(bytes)
    }

    /// Waits until no other process changes the folder's entries.
    fn lock(&self) -> Result<File, CacheError> {
        let path = self.folder.join(".lock");
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(at(&path))?;
        lock_file(&file, FlockOperation::LockExclusive).map_err(at(&path))?;
        Ok(file)
    }

    /// Removes parts whose makers have died. The folder must be locked.
    fn remove_stale_parts(&self) -> Result<(), CacheError> {
        for entry in self.entries(PART)? {
            remove_unless_in_use(&entry.path)?;
        }
        Ok(())
    }

    /// Removes files longest unused until `needed` bytes more stay within the limit, and refuses
    /// where the disk cannot hold them. The folder must be locked.
    fn make_room(&self, needed: u64) -> Result<(), CacheError> {
        let mut files = self.entries(WHOLE)?;
        files.sort_by_key(|entry| entry.used);
        let mut held: u64 = files.iter().map(|entry| entry.bytes).sum();
        let limit = match self.limit {
            Some(limit) => limit,
            None => MOST_BYTES.min((self.free()? + held) / FREE_SHARE),
        };
        for entry in files {
            let fits_disk = self.free()? >= needed;
            if held + needed <= limit && fits_disk {
                break;
            }
            if remove_unless_in_use(&entry.path)? {
                held -= entry.bytes;
            }
        }
        // A model above the limit is still made where the disk holds it: it is needed now.
        let free = self.free()?;
        if free < needed {
            return Err(CacheError::DiskFull { folder: self.folder.clone(), needed, free });
        }
        Ok(())
    }

    fn free(&self) -> Result<u64, CacheError> {
        let stat = statvfs(&self.folder).map_err(|e| at(&self.folder)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn entries(&self, ending: &str) -> Result<Vec<Entry>, CacheError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let path = entry.map_err(at(&self.folder))?.path();
            let is_one = path.file_name().is_some_and(|name| {
                name.to_str().is_some_and(|name| name.ends_with(&format!(".{ending}")))
            });
            // What vanishes between being listed and being looked at is no concern.
            if let (true, Ok(meta)) = (is_one, fs::metadata(&path)) {
                let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push(Entry { path, bytes: meta.len(), used });
            }
        }
        Ok(entries)
    }

    fn explain(&self, error: SynthError, needed: u64, part: &Path) -> CacheError {
        match error {
            SynthError::Io(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::FileTooLarge
                ) =>
            {
                let free = self.free().unwrap_or(0);
                CacheError::DiskFull { folder: self.folder.clone(), needed, free }
            }
            SynthError::Io(e) => at(part)(e),
            other => CacheError::Synth(other),
        }
    }
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// A name for people that differs wherever the content does.
fn stem(shape: &ModelShape, mix: FileMix, seed: u64) -> String {
    let name: String = shape
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(64)
        .collect();
    format!("{name}-{mix}-{}-seed{seed}-v{SYNTH_VERSION}", &shape.hash()[..12])
}

/// Opens and holds the file at `path` if it is there and whole, and notes that it was used. The
/// folder must be locked.
fn open_whole(path: &Path, bytes: u64) -> Result<Option<CachedModel>, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at(path)(e)),
    };
    if file.metadata().map_err(at(path))?.size() != bytes {
        // Cut or changed by somebody else; the one that uses it now keeps what it has open.
        remove(path)?;
        return Ok(None);
    }
    lock_file(&file, FlockOperation::LockShared).map_err(at(path))?;
    // A folder that belongs to another user can still be read from; then its order is not ours.
    let _ = file.set_modified(SystemTime::now());
    Ok(Some(CachedModel { path: path.to_owned(), bytes, _file: file }))
}

fn write_whole(
    synthesis: &Synthesis<'_>,
    file: &File,
    progress: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), SynthError> {
    synthesis.write_file(file, progress)?;
    // Whole on disk before it gets its name; and no writing back while something is measured.
    file.sync_all()?;
    Ok(())
}

/// Removes a file that no process holds; says whether it is gone. The folder must be locked.
fn remove_unless_in_use(path: &Path) -> Result<bool, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(at(path)(e)),
    };
    match lock_file(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => remove(path).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(at(path)(e)),
    }
}

/// Removes a file; one that somebody without the lock (a person) removed first is gone as well.
fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}

fn lock_file(file: &File, how: FlockOperation) -> io::Result<()> {
    loop {
        match flock(file, how) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
