//! Reading a header byte by byte, never past its end.

use super::error::{GgufError, GgufErrorKind, Place};
use super::value::{Element, Value, ValueType};

/// Arrays of arrays are allowed by the specification; nobody writes them deep.
const MAX_NESTING: u32 = 4;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], pos: usize) -> Cursor<'a> {
        Cursor { bytes, pos: pos.min(bytes.len()) }
    }

    pub fn pos(&self) -> u64 {
        self.pos as u64
    }

    pub fn remaining(&self) -> u64 {
        (self.bytes.len() - self.pos) as u64
    }

    pub fn fail(&self, kind: GgufErrorKind) -> GgufError {
        GgufError::at(self.pos(), kind)
    }

    pub fn take(&mut self, n: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        if n > self.remaining() {
            return Err(self.fail(GgufErrorKind::Truncated {
                what,
                needed: n - self.remaining(),
                file_len: self.bytes.len() as u64,
            }));
        }
        let start = self.pos;
        self.pos += n as usize;
        Ok(&self.bytes[start..self.pos])
    }

    pub fn element<T: Element>(&mut self, what: &'static str) -> Result<T, GgufError> {
        let at = self.pos();
        let bytes = self.take(size_of::<T>() as u64, what)?;
        T::from_le(bytes).map_err(|kind| GgufError::at(at, kind))
    }

    /// A count of things of which each takes at least `min_bytes`.
    pub fn count(&mut self, what: &'static str, min_bytes: u64) -> Result<u64, GgufError> {
        let at = self.pos();
        let claimed: u64 = self.element(what)?;
        let possible = self.remaining() / min_bytes;
        if claimed > possible {
            return Err(GgufError::at(at, GgufErrorKind::Count { what, claimed, possible }));
        }
        Ok(claimed)
    }

    pub fn raw_string(&mut self, what: &'static str) -> Result<&'a [u8], GgufError> {
        let at = self.pos();
        let claimed: u64 = self.element(what)?;
        let left = self.remaining();
        if claimed > left {
            return Err(GgufError::at(at, GgufErrorKind::Length { what, claimed, left }));
        }
        self.take(claimed, what)
    }

    pub fn string(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let at = self.pos();
        std::str::from_utf8(self.raw_string(what)?)
            .map_err(|_| GgufError::at(at, GgufErrorKind::NotUtf8 { what }))
    }

    fn value_type(&mut self) -> Result<ValueType, GgufError> {
        let at = self.pos();
        let id: u32 = self.element("a value type")?;
        ValueType::from_id(id)
            .ok_or_else(|| GgufError::at(at, GgufErrorKind::ValueType { found: id }))
    }

    /// A typed value: its type, then itself. An array is walked over, not read.
    pub fn value(&mut self, key: &str) -> Result<Value, GgufError> {
        self.typed_value().map_err(|e| e.near(|| Place::Key(key.to_owned())))
    }

    fn typed_value(&mut self) -> Result<Value, GgufError> {
        let ty = self.value_type()?;
        self.value_of(ty)
    }

    /// A value of a known type: an entry's behind its type, or an element of an array.
    pub fn value_of(&mut self, ty: ValueType) -> Result<Value, GgufError> {
        let what = "a value";
        Ok(match ty {
            ValueType::U8 => Value::U8(self.element(what)?),
            ValueType::I8 => Value::I8(self.element(what)?),
            ValueType::U16 => Value::U16(self.element(what)?),
            ValueType::I16 => Value::I16(self.element(what)?),
            ValueType::U32 => Value::U32(self.element(what)?),
            ValueType::I32 => Value::I32(self.element(what)?),
            ValueType::F32 => Value::F32(self.element(what)?),
            ValueType::Bool => Value::Bool(self.element(what)?),
            ValueType::U64 => Value::U64(self.element(what)?),
            ValueType::I64 => Value::I64(self.element(what)?),
            ValueType::F64 => Value::F64(self.element(what)?),
            ValueType::Str => {
                Value::Str(String::from_utf8_lossy(self.raw_string("a string")?).into_owned())
            }
            ValueType::Array => {
                let (element, len) = self.array_head()?;
                let offset = self.pos();
                self.skip_elements(element, len, 1)?;
                Value::Array { element, len, offset }
            }
        })
    }

    /// Element type and count of an array.
    fn array_head(&mut self) -> Result<(ValueType, u64), GgufError> {
        let element = self.value_type()?;
        let min_bytes = match element {
            ValueType::Str => 8,
            ValueType::Array => 12,
            fixed => fixed.size().unwrap_or(1),
        };
        Ok((element, self.count("an array", min_bytes)?))
    }

    fn skip_elements(&mut self, element: ValueType, len: u64, depth: u32) -> Result<(), GgufError> {
        match element {
            ValueType::Str => {
                for _ in 0..len {
                    self.raw_string("a string")?;
                }
            }
            ValueType::Array => {
                if depth == MAX_NESTING {
                    return Err(self.fail(GgufErrorKind::Nesting { allowed: MAX_NESTING }));
                }
                for _ in 0..len {
                    let (element, len) = self.array_head()?;
                    self.skip_elements(element, len, depth + 1)?;
                }
            }
            fixed => {
                // `array_head` has held the count against what is left: no overflow.
                self.take(len * fixed.size().unwrap_or(1), "an array")?;
            }
        }
        Ok(())
    }
}
