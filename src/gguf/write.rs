//! Writing GGUF version 3: the header first, then the tensors' bytes in order, as they come.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::head::RawValue;
use super::value::{Element, ValueType};
use super::{DEFAULT_ALIGNMENT, MAGIC, MAX_DIMS};
use crate::ggml::GgmlType;

struct Planned {
    name: String,
    dims: Vec<u64>,
    ty: GgmlType,
    bytes: u64,
}

/// A GGUF file being described. Keys and tensors keep the order in which they are added.
///
/// # Panics
///
/// The methods panic on a key or tensor added twice, on more than four dimensions and on rows
/// that are no whole number of blocks: those are mistakes of the program.
#[derive(Default)]
pub struct GgufWriter {
    entries: Vec<u8>,
    keys: HashSet<String>,
    tensors: Vec<Planned>,
    names: HashSet<String>,
}

impl GgufWriter {
    /// An empty file.
    pub fn new() -> GgufWriter {
        GgufWriter::default()
    }

    fn key(&mut self, key: &str, ty: ValueType) {
        assert!(self.keys.insert(key.to_owned()), "key `{key}` added twice");
        put_str(&mut self.entries, key);
        (ty as u32).put_le(&mut self.entries);
    }

    /// Adds a number or truth value.
    pub fn set<T: Element>(&mut self, key: &str, value: T) -> &mut Self {
        self.key(key, T::TYPE);
        value.put_le(&mut self.entries);
        self
    }

    /// Adds a string.
    pub fn set_str(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key, ValueType::Str);
        put_str(&mut self.entries, value);
        self
    }

    /// Adds an array of numbers or truth values.
    pub fn set_array<T: Element>(&mut self, key: &str, values: &[T]) -> &mut Self {
        self.key(key, ValueType::Array);
        (T::TYPE as u32).put_le(&mut self.entries);
        (values.len() as u64).put_le(&mut self.entries);
        for &value in values {
            value.put_le(&mut self.entries);
        }
        self
    }

    /// Adds an array of strings.
    pub fn set_strs<S: AsRef<str>>(&mut self, key: &str, values: &[S]) -> &mut Self {
        self.key(key, ValueType::Array);
        (ValueType::Str as u32).put_le(&mut self.entries);
        (values.len() as u64).put_le(&mut self.entries);
        for value in values {
            put_str(&mut self.entries, value.as_ref());
        }
        self
    }

    /// Adds a value as it stands in another file.
    pub fn set_raw(&mut self, key: &str, value: RawValue<'_>) -> &mut Self {
        assert!(self.keys.insert(key.to_owned()), "key `{key}` added twice");
        put_str(&mut self.entries, key);
        self.entries.extend_from_slice(value.0);
        self
    }

    /// Adds a tensor whose bytes will follow; `dims` in ggml's order, the row first.
    pub fn tensor(&mut self, name: &str, dims: &[u64], ty: GgmlType) -> &mut Self {
        assert!(self.names.insert(name.to_owned()), "tensor `{name}` added twice");
        assert!(dims.len() <= MAX_DIMS as usize, "tensor `{name}` has {} dimensions", dims.len());
        let row = dims.first().copied().unwrap_or(1);
        let bytes = dims
            .iter()
            .try_fold(1u64, |n, &d| n.checked_mul(d))
            .filter(|_| row.is_multiple_of(ty.block_size()))
            .and_then(|n| ty.bytes_for(n))
            .unwrap_or_else(|| panic!("tensor `{name}` of {dims:?} cannot be {ty}"));
        self.tensors.push(Planned { name: name.to_owned(), dims: dims.to_vec(), ty, bytes });
        self
    }

    /// Bytes that the whole file will have.
    pub fn file_len(&self) -> u64 {
        let data: u64 = self.tensors.iter().map(|t| padded(t.bytes)).sum();
        padded(self.header().len() as u64) + data
    }

    fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() + 128 * self.tensors.len() + 64);
        out.extend_from_slice(&MAGIC);
        3u32.put_le(&mut out);
        (self.tensors.len() as u64).put_le(&mut out);
        (self.keys.len() as u64).put_le(&mut out);
        out.extend_from_slice(&self.entries);
        let mut offset = 0;
        for tensor in &self.tensors {
            put_str(&mut out, &tensor.name);
            (tensor.dims.len() as u32).put_le(&mut out);
            for &dim in &tensor.dims {
                dim.put_le(&mut out);
            }
            tensor.ty.id().put_le(&mut out);
            offset.put_le(&mut out);
            offset += padded(tensor.bytes);
        }
        out
    }

    /// Makes `file` as long as it will be, with the header and a hole where the tensors' bytes
    /// would be: zeros, as what lies between tensors stays. Answers where they begin.
    pub fn outline(self, file: &File) -> io::Result<u64> {
        let length = self.file_len();
        file.set_len(0)?;
        file.set_len(length)?;
        let mut bytes = Vec::new();
        drop(self.start(&mut bytes)?);
        file.write_all_at(&bytes, 0)?;
        Ok(bytes.len() as u64)
    }

    /// Writes the header. The tensors' bytes go through the stream returned.
    pub fn start<W: Write>(self, mut out: W) -> io::Result<TensorStream<W>> {
        let mut header = self.header();
        header.resize(padded(header.len() as u64) as usize, 0);
        out.write_all(&header)?;
        let mut stream = TensorStream { out, tensors: self.tensors, current: 0, written: 0 };
        stream.close_full()?;
        Ok(stream)
    }
}

/// A file whose header is written and whose tensors are being written, in the header's order.
pub struct TensorStream<W> {
    out: W,
    tensors: Vec<Planned>,
    current: usize,
    written: u64,
}

impl<W: Write> TensorStream<W> {
    /// Writes the next bytes of the current tensor, and the padding behind it when it is full.
    ///
    /// # Panics
    ///
    /// When the bytes are more than the current tensor takes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tensor) = self.tensors.get(self.current) else {
            assert!(bytes.is_empty(), "bytes behind the last tensor");
            return Ok(());
        };
        let n = bytes.len() as u64;
        assert!(n <= tensor.bytes - self.written, "too many bytes for tensor `{}`", tensor.name);
        self.out.write_all(bytes)?;
        self.written += n;
        self.close_full()
    }

    /// Goes on to the next tensor that takes bytes.
    fn close_full(&mut self) -> io::Result<()> {
        while let Some(tensor) = self.tensors.get(self.current)
            && self.written == tensor.bytes
        {
            let padding = (padded(self.written) - self.written) as usize;
            self.out.write_all(&[0; DEFAULT_ALIGNMENT as usize][..padding])?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Ends the file and gives the sink back.
    ///
    /// # Panics
    ///
    /// When a tensor's bytes are missing.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(tensor) = self.tensors.get(self.current) {
            panic!("tensor `{}` was not written whole", tensor.name);
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn padded(n: u64) -> u64 {
    n.next_multiple_of(DEFAULT_ALIGNMENT)
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    (text.len() as u64).put_le(out);
    out.extend_from_slice(text.as_bytes());
}
