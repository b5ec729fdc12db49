//! The header: metadata and where each tensor lies.

use std::collections::{HashMap, HashSet};

use super::cursor::Cursor;
use super::error::{GgufError, GgufErrorKind, Place};
use super::value::Value;
use super::{DEFAULT_ALIGNMENT, KEY_ALIGNMENT, MAGIC, MAX_DIMS};
use crate::ggml::GgmlType;

/// Least bytes of a metadata entry: length of the key, type, one byte of value.
const MIN_ENTRY: u64 = 8 + 4 + 1;
/// Least bytes of a tensor's entry: length of the name, dimension count, type, offset.
const MIN_TENSOR: u64 = 8 + 4 + 4 + 8;

/// A tensor as the header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, for example `blk.0.attn_q.weight`.
    pub name: String,
    /// Dimensions in ggml's order: the first is the length of a row.
    pub dims: Vec<u64>,
    /// Element type.
    pub ty: GgmlType,
    /// Byte of the file at which its data starts.
    pub offset: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements.
    pub fn n_elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// The first byte of the file behind its data.
    pub fn end(&self) -> u64 {
        // A header is refused where this would overflow.
        self.offset + self.bytes
    }

    /// Rows: the product of all dimensions but the first.
    pub fn n_rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }
}

/// A header that is sound in itself. Whether the file behind it is long enough is asked of
/// [`GgufHeader::check_data`].
#[derive(Clone, Debug)]
pub struct GgufHeader {
    pub(super) version: u32,
    pub(super) alignment: u64,
    pub(super) data_offset: u64,
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) by_key: HashMap<String, usize>,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) by_name: HashMap<String, usize>,
}

impl GgufHeader {
    /// Reads the header at the start of `bytes`, which may be the whole file or as much of it as
    /// holds the header.
    pub fn parse(bytes: &[u8]) -> Result<GgufHeader, GgufError> {
        let mut cursor = Cursor::new(bytes, 0);
        let version = version(&mut cursor)?;
        let n_tensors: u64 = cursor.count("the list of tensors", MIN_TENSOR)?;
        let n_entries: u64 = cursor.count("the metadata", MIN_ENTRY)?;

        let (mut metadata, mut by_key) = (Vec::new(), HashMap::new());
        for index in 0..n_entries as usize {
            let at = cursor.pos();
            let key = cursor
                .string("a key")
                .map_err(|e| e.near(|| Place::KeyNumber(index as u64 + 1, n_entries)))?
                .to_owned();
            let value = cursor.value(&key)?;
            if by_key.insert(key.clone(), index).is_some() {
                return Err(GgufError::at(at, GgufErrorKind::DuplicateKey).near(|| Place::Key(key)));
            }
            metadata.push((key, value));
        }
        let alignment = alignment(by_key.get(KEY_ALIGNMENT).map(|&i| &metadata[i].1))?;

        let (mut tensors, mut names) = (Vec::new(), HashSet::new());
        for number in 1..=n_tensors {
            let at = cursor.pos();
            let name = cursor
                .string("a tensor name")
                .map_err(|e| e.near(|| Place::TensorNumber(number, n_tensors)))?;
            if !names.insert(name) {
                return Err(GgufError::at(at, GgufErrorKind::DuplicateTensor)
                    .near(|| Place::Tensor(name.to_owned())));
            }
            let tensor = tensor(&mut cursor, name, alignment)
                .map_err(|e| e.near(|| Place::Tensor(name.to_owned())))?;
            tensors.push(tensor);
        }
        let data_offset = cursor.pos().next_multiple_of(alignment);
        for tensor in &mut tensors {
            place(tensor, data_offset)?;
        }
        let by_name = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(GgufHeader { version, alignment, data_offset, metadata, by_key, tensors, by_name })
    }

    /// Holds the tensors' places against a file of `file_len` bytes and against each other: each
    /// lies inside the file, and no two share a byte. The error names the first one that does not.
    pub fn check_data(&self, file_len: u64) -> Result<(), GgufError> {
        let mut by_place: Vec<&TensorInfo> = self.tensors.iter().collect();
        by_place.sort_by_key(|t| (t.offset, t.end()));
        let about =
            |tensor: &TensorInfo, kind| GgufError::about(Place::Tensor(tensor.name.clone()), kind);
        let mut before: Option<&TensorInfo> = None;
        for tensor in by_place.iter().copied().filter(|t| t.bytes > 0) {
            if let Some(before) = before.filter(|b| b.end() > tensor.offset) {
                return Err(about(
                    tensor,
                    GgufErrorKind::Overlap {
                        start: tensor.offset,
                        other: before.name.clone(),
                        other_end: before.end(),
                    },
                ));
            }
            before = Some(tensor);
        }
        let outside = |t: &&TensorInfo| t.end() > file_len;
        let Some(first) = by_place.iter().copied().find(|t| outside(t)) else { return Ok(()) };
        let n_outside = by_place.iter().copied().filter(outside).count();
        let n_tensors = self.tensors.len();
        let (start, end) = (first.offset, first.end());
        Err(about(first, GgufErrorKind::OutsideFile { start, end, file_len, n_outside, n_tensors }))
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of tensor data.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Byte of the file at which tensor data begins.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// All metadata in file order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&i| &self.metadata[i].1)
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor called `name`, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }
}

fn version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    let magic = cursor.take(cursor.remaining().min(4), "the magic")?;
    if magic.len() < MAGIC.len() && MAGIC.starts_with(magic) {
        let kind = if magic.is_empty() { GgufErrorKind::Empty } else { GgufErrorKind::Stub };
        return Err(GgufError { path: None, offset: None, place: None, kind });
    }
    if magic != MAGIC {
        return Err(GgufError::at(0, GgufErrorKind::NotGguf { found: magic.to_vec() }));
    }
    let found: u32 = cursor.element("the version")?;
    match found {
        2 | 3 => Ok(found),
        _ if found & 0xffff == 0 && found != 0 => Err(GgufError::at(4, GgufErrorKind::BigEndian)),
        _ => Err(GgufError::at(4, GgufErrorKind::Version { found })),
    }
}

fn alignment(value: Option<&Value>) -> Result<u64, GgufError> {
    let fail = |kind| Err(GgufError::about(Place::Key(KEY_ALIGNMENT.to_owned()), kind));
    match value {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::U32(found)) if found.is_power_of_two() => Ok(found.into()),
        Some(&Value::U32(found)) => fail(GgufErrorKind::Alignment { found: found.into() }),
        Some(other) => {
            fail(GgufErrorKind::WrongType { found: other.describe(), expected: "u32".to_owned() })
        }
    }
}

/// Reads a tensor's entry behind its name. `offset` is still relative to the data.
fn tensor(cursor: &mut Cursor<'_>, name: &str, alignment: u64) -> Result<TensorInfo, GgufError> {
    let at = cursor.pos();
    let n_dims: u32 = cursor.element("a tensor's dimension count")?;
    if n_dims > MAX_DIMS {
        return Err(GgufError::at(at, GgufErrorKind::Dimensions { found: n_dims }));
    }
    let dims = (0..n_dims)
        .map(|_| cursor.element("a tensor's dimensions"))
        .collect::<Result<Vec<u64>, _>>()?;

    let at = cursor.pos();
    let id: u32 = cursor.element("a tensor type")?;
    let fail = |kind| GgufError::at(at, kind);
    let ty = GgmlType::from_id(id).ok_or_else(|| fail(GgufErrorKind::TensorType { found: id }))?;
    let row = dims.first().copied().unwrap_or(1);
    if !row.is_multiple_of(ty.block_size()) {
        return Err(fail(GgufErrorKind::Row { found: row, ty }));
    }
    // A zero among the dimensions hides an overflow of the others: multiply those first.
    let checked = dims.iter().filter(|&&d| d != 0).try_fold(1u64, |n, &d| n.checked_mul(d));
    let n_elements = if dims.contains(&0) { checked.map(|_| 0) } else { checked };
    let bytes = n_elements
        .and_then(|n| ty.bytes_for(n))
        .ok_or_else(|| fail(GgufErrorKind::TooLarge { dims: dims.clone() }))?;

    let at = cursor.pos();
    let offset: u64 = cursor.element("a tensor's offset")?;
    if !offset.is_multiple_of(alignment) {
        return Err(GgufError::at(at, GgufErrorKind::Misaligned { offset, alignment }));
    }
    Ok(TensorInfo { name: name.to_owned(), dims, ty, offset, bytes })
}

/// Makes the tensor's offset count from the start of the file.
fn place(tensor: &mut TensorInfo, data_offset: u64) -> Result<(), GgufError> {
    let start = tensor.offset.checked_add(data_offset);
    match start.filter(|s| s.checked_add(tensor.bytes).is_some()) {
        Some(start) => {
            tensor.offset = start;
            Ok(())
        }
        None => Err(GgufError::about(
            Place::Tensor(tensor.name.clone()),
            GgufErrorKind::Offset { offset: tensor.offset, bytes: tensor.bytes },
        )),
    }
}
