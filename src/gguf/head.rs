//! A GGUF file of which only the header counts: what an incomplete file still tells.

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::cursor::Cursor;
use super::error::{GgufError, GgufErrorKind};
use super::header::GgufHeader;
use super::value::Value;

/// Magic, version and the two counts come before the metadata.
const METADATA_OFFSET: usize = 4 + 4 + 8 + 8;

pub(super) enum Storage {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Storage::Mapped(map) => map,
            Storage::Owned(bytes) => bytes,
        }
    }
}

/// A value of the metadata as it stands in a file, its type in front.
#[derive(Clone, Copy, Debug)]
pub struct RawValue<'a>(pub(super) &'a [u8]);

/// A file whose header is whole. Its tensors' data may be cut or missing: [`GgufHead::check`]
/// tells, and [`Gguf::new`](super::Gguf::new) makes sure.
///
/// A file on disk is mapped, and only the pages of its header are touched.
pub struct GgufHead {
    path: Option<PathBuf>,
    pub(super) storage: Storage,
    header: GgufHeader,
}

impl GgufHead {
    /// Maps the file at `path` and reads its header.
    ///
    /// The file must not be changed or cut while it is open: the kernel ends a process that
    /// touches a mapped page which is no longer there.
    pub fn open(path: &Path) -> Result<GgufHead, GgufError> {
        let fail =
            |kind| GgufError { path: Some(path.to_owned()), offset: None, place: None, kind };
        let io = |e| fail(GgufErrorKind::Io(e));
        // Before it is opened: opening a pipe waits until somebody writes to it.
        let kind = std::fs::metadata(path).map_err(io)?.file_type();
        if kind.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        if !kind.is_file() {
            return Err(fail(GgufErrorKind::NotAFile));
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: the mapping is read-only. That nobody changes the file meanwhile is asked of
        // the caller above; if it happens the bytes read are arbitrary, and all uses of them are
        // checked or mere arithmetic.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        GgufHead::new(Storage::Mapped(map), Some(path.to_owned()))
    }

    /// Reads the header of a file held in memory.
    pub fn parse(bytes: Vec<u8>) -> Result<GgufHead, GgufError> {
        GgufHead::new(Storage::Owned(bytes), None)
    }

    fn new(storage: Storage, path: Option<PathBuf>) -> Result<GgufHead, GgufError> {
        let header = GgufHeader::parse(&storage).map_err(|e| e.in_file(path.as_deref()))?;
        Ok(GgufHead { path, storage, header })
    }

    /// Whether the file holds all that its header speaks of; what is wrong, if not.
    pub fn check(&self) -> Result<(), GgufError> {
        self.header.check_data(self.file_len()).map_err(|e| e.in_file(self.path()))
    }

    /// The header.
    pub fn header(&self) -> &GgufHeader {
        &self.header
    }

    /// The file, unless the bytes came from memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.storage.len() as u64
    }

    /// All metadata in file order, as it stands in the file: to be written into another one.
    pub fn raw_metadata(&self) -> Vec<(&str, RawValue<'_>)> {
        let mut cursor = Cursor::new(&self.storage, METADATA_OFFSET);
        let mut entry = || {
            let key = cursor.string("a key").ok()?;
            let start = cursor.pos() as usize;
            cursor.value(key).ok()?;
            Some((key, RawValue(&self.storage[start..cursor.pos() as usize])))
        };
        // The header has been read before: every entry is there.
        (0..self.header.metadata.len()).map_while(|_| entry()).collect()
    }

    /// The first elements of an array that is a value of this file's metadata, at most `most`, and
    /// none of a value that is no array. The list ends before an element that cannot be read.
    pub fn first_elements(&self, array: &Value, most: usize) -> Vec<Value> {
        let &Value::Array { element, len, offset } = array else { return Vec::new() };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut cursor = Cursor::new(&self.storage, start);
        let n = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        (0..n).map_while(|_| cursor.value_of(element).ok()).collect()
    }
}
