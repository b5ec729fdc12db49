//! Metadata values and their thirteen types.

use std::fmt;

use super::error::GgufErrorKind;

macro_rules! value_types {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $word:literal;)*) => {
        /// Type of a metadata value, with the number that stands for it in files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ValueType { $($(#[$doc])* $name = $id,)* }

        impl ValueType {
            /// Every type.
            pub const ALL: [ValueType; 13] = [$(ValueType::$name,)*];

            /// The name as the specification's readers write it.
            pub fn name(self) -> &'static str {
                match self { $(ValueType::$name => $word,)* }
            }
        }
    };
}

value_types! {
    /// 8 bits.
    U8 = 0, "u8";
    /// 8 bits, signed.
    I8 = 1, "i8";
    /// 16 bits.
    U16 = 2, "u16";
    /// 16 bits, signed.
    I16 = 3, "i16";
    /// 32 bits.
    U32 = 4, "u32";
    /// 32 bits, signed.
    I32 = 5, "i32";
    /// IEEE single.
    F32 = 6, "f32";
    /// One byte, 0 or 1.
    Bool = 7, "bool";
    /// Length in 64 bits, then that many bytes of UTF-8.
    Str = 8, "string";
    /// Element type, count in 64 bits, then the elements.
    Array = 9, "array";
    /// 64 bits.
    U64 = 10, "u64";
    /// 64 bits, signed.
    I64 = 11, "i64";
    /// IEEE double.
    F64 = 12, "f64";
}

impl ValueType {
    /// The type with number `id`.
    pub fn from_id(id: u32) -> Option<ValueType> {
        Self::ALL.into_iter().find(|t| *t as u32 == id)
    }

    /// Bytes of a value; `None` for strings and arrays, whose size varies.
    pub fn size(self) -> Option<u64> {
        Some(match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 => 8,
            ValueType::Str | ValueType::Array => return None,
        })
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A metadata value. An array stays in the file: only where it lies is kept, so that a vocabulary
/// costs nothing until it is asked for.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each variant is its type
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    /// Bytes that are no UTF-8 are replaced by U+FFFD.
    Str(String),
    Array {
        /// Type of the elements.
        element: ValueType,
        /// Number of elements.
        len: u64,
        /// Byte of the file at which the first element lies.
        offset: u64,
    },
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// Its type.
    pub fn ty(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::Str(_) => ValueType::Str,
            Value::Array { .. } => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// The type in words, for messages: `u32`, `array of 12 f32`.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Array { element, len, .. } => format!("array of {len} {element}"),
            other => other.ty().to_string(),
        }
    }

    /// The value of any integer type.
    pub(super) fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(v) => v.into(),
            Value::I8(v) => v.into(),
            Value::U16(v) => v.into(),
            Value::I16(v) => v.into(),
            Value::U32(v) => v.into(),
            Value::I32(v) => v.into(),
            Value::U64(v) => v.into(),
            Value::I64(v) => v.into(),
            _ => return None,
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is stored in a fixed number of bytes.
pub trait Element: Copy + sealed::Sealed {
    /// The type it is stored as.
    const TYPE: ValueType;

    /// Reads it from exactly its own number of bytes.
    #[doc(hidden)]
    fn from_le(bytes: &[u8]) -> Result<Self, GgufErrorKind>;

    /// Appends its bytes.
    #[doc(hidden)]
    fn put_le(self, out: &mut Vec<u8>);
}

macro_rules! elements {
    ($($t:ty = $ty:ident;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const TYPE: ValueType = ValueType::$ty;

            fn from_le(bytes: &[u8]) -> Result<$t, GgufErrorKind> {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                Ok(<$t>::from_le_bytes(own))
            }

            fn put_le(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

elements! {
    u8 = U8; i8 = I8; u16 = U16; i16 = I16; u32 = U32; i32 = I32; f32 = F32;
    u64 = U64; i64 = I64; f64 = F64;
}

impl sealed::Sealed for bool {}
impl Element for bool {
    const TYPE: ValueType = ValueType::Bool;

    fn from_le(bytes: &[u8]) -> Result<bool, GgufErrorKind> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(GgufErrorKind::Bool { found: other.first().copied().unwrap_or(0) }),
        }
    }

    fn put_le(self, out: &mut Vec<u8>) {
        out.push(self.into());
    }
}
