//! A GGUF file open for reading.

use std::fmt;
use std::path::Path;

use super::cursor::Cursor;
use super::error::{GgufError, GgufErrorKind, Place};
use super::head::{GgufHead, Storage};
use super::header::{GgufHeader, TensorInfo};
use super::value::{Element, Value, ValueType};

/// A GGUF file: its checked header and its bytes, mapped rather than read.
///
/// The getters name key, found type and expected type in their errors. Integers are taken from
/// any integer type that holds them, since converters differ in what they write.
pub struct Gguf {
    head: GgufHead,
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gguf")
            .field("path", &self.path())
            .field("n_tensors", &self.tensors().len())
            .field("file_len", &self.file_len())
            .finish_non_exhaustive()
    }
}

impl Gguf {
    /// Maps the file at `path`, checks its header, and that it holds all the header speaks of.
    ///
    /// The file must not be changed or cut while it is open: the kernel ends a process that
    /// touches a mapped page which is no longer there.
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        GgufHead::open(path).and_then(Gguf::new)
    }

    /// Reads a whole file held in memory.
    pub fn parse(bytes: Vec<u8>) -> Result<Gguf, GgufError> {
        GgufHead::parse(bytes).and_then(Gguf::new)
    }

    /// The file whose header is `head`, if all its tensors are there.
    pub fn new(head: GgufHead) -> Result<Gguf, GgufError> {
        head.check()?;
        Ok(Gguf { head })
    }

    /// The file as its header alone tells it.
    pub fn head(&self) -> &GgufHead {
        &self.head
    }

    /// The header.
    pub fn header(&self) -> &GgufHeader {
        self.head.header()
    }

    /// The file, unless the bytes came from memory.
    pub fn path(&self) -> Option<&Path> {
        self.head.path()
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.head.file_len()
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        self.header().tensors()
    }

    /// Whether there is a tensor called `name`.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.header().tensor(name).is_some()
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.header().tensor(name).ok_or_else(|| {
            GgufError::about(Place::Tensor(name.to_owned()), GgufErrorKind::MissingTensor)
                .in_file(self.path())
        })
    }

    /// The bytes of the tensor called `name`.
    pub fn tensor_data(&self, name: &str) -> Result<&[u8], GgufError> {
        Ok(self.data_of(self.tensor(name)?))
    }

    /// The bytes of `tensor`, which must be one of this file's.
    pub fn data_of(&self, tensor: &TensorInfo) -> &[u8] {
        &self.head.storage[tensor.offset as usize..][..tensor.bytes as usize]
    }

    /// The error that `found`, which `what` is, stands at byte `at` of the data of `tensor`.
    pub fn not_finite(
        &self,
        tensor: &TensorInfo,
        at: u64,
        what: &'static str,
        found: f32,
    ) -> GgufError {
        GgufError::at(tensor.offset + at, GgufErrorKind::NotFinite { what, found })
            .near(|| Place::Tensor(tensor.name.clone()))
            .in_file(self.path())
    }

    /// Lets the pages that hold `bytes`, a part of this file's mapping, leave the resident set.
    /// Their content stays: read again, it comes from the page cache or the disk.
    pub fn release(&self, bytes: &[u8]) {
        let Storage::Mapped(map) = &self.head.storage else { return };
        let start = (bytes.as_ptr() as usize).wrapping_sub(map.as_ptr() as usize);
        if start.checked_add(bytes.len()).is_none_or(|end| end > map.len()) {
            return;
        }
        #[cfg(unix)]
        // SAFETY: the mapping is of a file and read-only, so dropping its pages changes no byte.
        let _ = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, bytes.len())
        };
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.header().get(key)
    }

    /// An unsigned integer.
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        self.require(key)?;
        Ok(self.opt_u32(key)?.unwrap_or_default())
    }

    /// An unsigned integer, if the key is there.
    pub fn opt_u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.optional(key, ValueType::U32, |value| {
            let found = value.integer()?;
            Some(u32::try_from(found).map_err(|_| found.to_string()))
        })
    }

    /// An unsigned 64-bit integer, if the key is there.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.optional(key, ValueType::U64, |value| {
            let found = value.integer()?;
            Some(u64::try_from(found).map_err(|_| found.to_string()))
        })
    }

    /// A floating-point number that is finite.
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.require(key)?;
        Ok(self.opt_f32(key)?.unwrap_or_default())
    }

    /// A floating-point number, if the key is there: one that is finite, also as a single.
    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        let found = self.optional(key, ValueType::F32, |value| match *value {
            Value::F32(v) => Some(Ok(v)),
            // Beyond the range of a single: its own digits are told, not an infinity.
            Value::F64(v) if v.is_finite() && !(v as f32).is_finite() => Some(Err(v.to_string())),
            Value::F64(v) => Some(Ok(v as f32)),
            _ => None,
        })?;
        match found.filter(|v| !v.is_finite()) {
            None => Ok(found),
            Some(found) => {
                let what = "the value";
                Err(self.about_key(key, GgufErrorKind::NotFinite { what, found }))
            }
        }
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.require(key)?;
        Ok(self.opt_bool(key)?.unwrap_or_default())
    }

    /// A truth value, if the key is there.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.optional(key, ValueType::Bool, |value| match *value {
            Value::Bool(v) => Some(Ok(v)),
            _ => None,
        })
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.require(key)?;
        Ok(self.opt_str(key)?.unwrap_or_default())
    }

    /// A string, if the key is there.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, other, "string")),
        }
    }

    /// An array of numbers or truth values of exactly type `T`.
    pub fn array<T: Element>(&self, key: &str) -> Result<Vec<T>, GgufError> {
        let (element, len, offset) = self.array_place(key, T::TYPE)?;
        debug_assert_eq!(element, T::TYPE);
        let size = size_of::<T>();
        let bytes = &self.head.storage[offset..][..len * size];
        bytes
            .chunks_exact(size)
            .enumerate()
            .map(|(i, one)| {
                T::from_le(one).map_err(|kind| {
                    GgufError::at((offset + i * size) as u64, kind)
                        .near(|| Place::Key(key.to_owned()))
                        .in_file(self.path())
                })
            })
            .collect()
    }

    /// An array of strings. Nothing is copied.
    pub fn strs(&self, key: &str) -> Result<Vec<&str>, GgufError> {
        let (_, len, offset) = self.array_place(key, ValueType::Str)?;
        let mut cursor = Cursor::new(&self.head.storage, offset);
        (0..len)
            .map(|_| cursor.string("a string"))
            .collect::<Result<_, _>>()
            .map_err(|e| e.near(|| Place::Key(key.to_owned())).in_file(self.path()))
    }

    /// Number of elements of an array, if the key is there and holds one.
    pub fn array_len(&self, key: &str) -> Option<u64> {
        match self.get(key) {
            Some(Value::Array { len, .. }) => Some(*len),
            _ => None,
        }
    }

    fn array_place(
        &self,
        key: &str,
        expected: ValueType,
    ) -> Result<(ValueType, usize, usize), GgufError> {
        match self.require(key)? {
            Value::Array { element, len, offset } if *element == expected => {
                Ok((*element, *len as usize, *offset as usize))
            }
            other => Err(self.wrong_type(key, other, &format!("array of {expected}"))),
        }
    }

    fn require(&self, key: &str) -> Result<&Value, GgufError> {
        self.get(key).ok_or_else(|| self.about_key(key, GgufErrorKind::MissingKey))
    }

    /// `read` answers `None` for a type that does not do, an error text for a value out of range.
    fn optional<T>(
        &self,
        key: &str,
        expected: ValueType,
        read: impl Fn(&Value) -> Option<Result<T, String>>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(Ok(v)) => Ok(Some(v)),
            Some(Err(found)) => {
                Err(self.about_key(key, GgufErrorKind::OutOfRange { found, expected }))
            }
            None => Err(self.wrong_type(key, value, expected.name())),
        }
    }

    fn wrong_type(&self, key: &str, found: &Value, expected: &str) -> GgufError {
        self.about_key(
            key,
            GgufErrorKind::WrongType { found: found.describe(), expected: expected.to_owned() },
        )
    }

    fn about_key(&self, key: &str, kind: GgufErrorKind) -> GgufError {
        GgufError::about(Place::Key(key.to_owned()), kind).in_file(self.path())
    }
}
