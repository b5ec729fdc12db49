//! What can be wrong with a GGUF file, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::value::ValueType;
use crate::ggml::GgmlType;
use crate::system::said;
use crate::units::Bytes;

/// What a problem is about, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A metadata key.
    Key(String),
    /// A tensor.
    Tensor(String),
    /// The entry of the metadata of this number, from 1, of so many: its key cannot be read.
    KeyNumber(u64, u64),
    /// The tensor of this number, from 1, of so many: its name cannot be read.
    TensorNumber(u64, u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Key(name) => write!(f, "key `{}`", name.escape_debug()),
            Place::Tensor(name) => write!(f, "tensor `{}`", name.escape_debug()),
            Place::KeyNumber(number, all) => write!(f, "key {number} of {all}"),
            Place::TensorNumber(number, all) => write!(f, "tensor {number} of {all}"),
        }
    }
}

/// A problem with a GGUF file: where it stands, and what it is.
#[derive(Debug, thiserror::Error)]
pub struct GgufError {
    /// The file; absent for bytes that came from elsewhere.
    pub path: Option<PathBuf>,
    /// Byte of the file; absent where no single byte is to blame.
    pub offset: Option<u64>,
    /// Key or tensor.
    pub place: Option<Place>,
    /// What it is.
    #[source]
    pub kind: GgufErrorKind,
}

impl GgufError {
    pub(super) fn at(offset: u64, kind: GgufErrorKind) -> GgufError {
        GgufError { path: None, offset: Some(offset), place: None, kind }
    }

    pub(super) fn about(place: Place, kind: GgufErrorKind) -> GgufError {
        GgufError { path: None, offset: None, place: Some(place), kind }
    }

    pub(super) fn in_file(mut self, path: Option<&Path>) -> GgufError {
        self.path = path.map(Path::to_owned);
        self
    }

    /// Names the key or tensor, unless one closer to the problem was named before.
    pub(super) fn near(mut self, place: impl FnOnce() -> Place) -> GgufError {
        self.place.get_or_insert_with(place);
        self
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        if let Some(offset) = self.offset {
            write!(f, "byte {offset}: ")?;
        }
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        self.kind.fmt(f)?;
        match self.kind.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what each is
pub enum GgufErrorKind {
    #[error("{}", said(.0))]
    Io(#[from] io::Error),
    #[error("neither a regular file nor a link to one: a model is mapped, a pipe cannot be")]
    NotAFile,
    #[error("not a GGUF file: it starts with {}, expected \"GGUF\"", as_text(found))]
    NotGguf { found: Vec<u8> },
    #[error("the file is empty")]
    Empty,
    #[error("the file ends within its first four bytes")]
    Stub,
    #[error("a big-endian GGUF file; only little-endian ones are read")]
    BigEndian,
    #[error("GGUF version {found}; versions 2 and 3 are read")]
    Version { found: u32 },
    #[error("the file ends after {} while {what} needs {needed} bytes more than there are", Bytes(*.file_len))]
    Truncated { what: &'static str, needed: u64, file_len: u64 },
    #[error("{what} claims to be {claimed} bytes long, the rest of the file has {left}")]
    Length { what: &'static str, claimed: u64, left: u64 },
    #[error("{what} claims {claimed} entries, the rest of the file holds at most {possible}")]
    Count { what: &'static str, claimed: u64, possible: u64 },
    #[error("{what} is not valid UTF-8")]
    NotUtf8 { what: &'static str },
    #[error("value type {found} is unknown; types go from 0 to 12")]
    ValueType { found: u32 },
    #[error("arrays nested more than {allowed} deep")]
    Nesting { allowed: u32 },
    #[error("a bool of value {found}, expected 0 or 1")]
    Bool { found: u8 },
    #[error("the key stands twice")]
    DuplicateKey,
    #[error("the tensor stands twice")]
    DuplicateTensor,
    #[error("alignment {found}, expected a power of two that fits in 32 bits")]
    Alignment { found: u64 },
    #[error("{found} dimensions, at most 4 are allowed")]
    Dimensions { found: u32 },
    #[error("tensor type {found} is unknown")]
    TensorType { found: u32 },
    #[error("dimensions {dims:?} overflow 64 bits")]
    TooLarge { dims: Vec<u64> },
    #[error("rows of {found} elements are no whole number of {ty} blocks of {}", ty.block_size())]
    Row { found: u64, ty: GgmlType },
    #[error("data offset {offset} is no multiple of the alignment {alignment}")]
    Misaligned { offset: u64, alignment: u64 },
    #[error("data offset {offset} and {bytes} bytes of data overflow 64 bits")]
    Offset { offset: u64, bytes: u64 },
    #[error(
        "needs bytes {start} to {end}, the file ends at {file_len}; of {n_tensors} tensors \
         {n_outside} are cut or missing"
    )]
    OutsideFile { start: u64, end: u64, file_len: u64, n_outside: usize, n_tensors: usize },
    #[error(
        "its data begins at byte {start} and overlaps that of `{}`, which ends at {other_end}",
        other.escape_debug()
    )]
    Overlap { start: u64, other: String, other_end: u64 },
    #[error("the key is missing")]
    MissingKey,
    #[error("the tensor is missing")]
    MissingTensor,
    #[error("found {found}, expected {expected}")]
    WrongType { found: String, expected: String },
    #[error("found {found}, which does not fit {expected}")]
    OutOfRange { found: String, expected: ValueType },
    #[error("{what} is {found}, expected a finite number")]
    NotFinite { what: &'static str, found: f32 },
}

/// The bytes as text where they are one, else in hexadecimal.
fn as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => format!("\"{text}\""),
        _ => {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("the bytes {}", bytes.join(" "))
        }
    }
}

impl GgufErrorKind {
    /// What to do about it, where something can be done.
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            GgufErrorKind::NotGguf { found } if found == b"vers" => {
                "this looks like a git-lfs pointer: fetch the file itself with `git lfs pull`"
            }
            GgufErrorKind::NotGguf { .. } => {
                "convert other formats with llama.cpp's convert_hf_to_gguf.py"
            }
            GgufErrorKind::BigEndian => {
                "convert it with `gguf_convert_endian.py FILE little` of llama.cpp's gguf-py"
            }
            GgufErrorKind::Version { found: 1 } => {
                "version 1 ended in 2023: convert the model again with a current llama.cpp"
            }
            GgufErrorKind::Version { found: 4.. } => "a newer slmbench may read it",
            GgufErrorKind::Empty
            | GgufErrorKind::Stub
            | GgufErrorKind::Truncated { .. }
            | GgufErrorKind::OutsideFile { .. } => {
                "the file is incomplete: download or copy it again"
            }
            GgufErrorKind::Length { .. } | GgufErrorKind::Count { .. } => {
                "the file is incomplete or damaged: download or copy it again"
            }
            GgufErrorKind::Overlap { .. } | GgufErrorKind::Offset { .. } => {
                "the file is damaged, or its writer was: download or convert it again"
            }
            GgufErrorKind::NotFinite { .. } => {
                "the file is damaged, or its writer was: download or convert it again; llama.cpp may \
                 run it as it is"
            }
            GgufErrorKind::TensorType { .. } => {
                "written by a newer or a changed llama.cpp: quantise it to a common type, for \
                 example Q8_0"
            }
            _ => return None,
        })
    }
}
