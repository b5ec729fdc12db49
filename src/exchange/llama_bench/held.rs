//! What a field can hold, and how it is spelled: text, numbers, truth values, lists.

use serde_json::{Number, Value};

/// How a value is spelled: CSV knows only text, JSON has types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Text,
    Json,
}

/// What SQL calls a field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    Text,
    Integer,
    Real,
    /// A list: JSON and JSONL have it, the others do not.
    List,
}

/// A setting that some eras write as a truth value and some as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `true` or `false`.
    Bool(bool),
    /// 0, 1, or another number that has a meaning: −1 is `auto` of `flash_attn`.
    Number(i64),
}

impl Switch {
    /// Whether it is on; `None` where that was left to the program.
    pub fn is_on(self) -> Option<bool> {
        match self {
            Switch::Bool(on) => Some(on),
            Switch::Number(n) if n < 0 => None,
            Switch::Number(n) => Some(n != 0),
        }
    }
}

/// A value that a field can hold.
pub(super) trait Held: Sized {
    const SQL: SqlType;
    const WANTED: &'static str;

    fn of(value: &Value, spelling: Spelling) -> Option<Self>;

    fn value(&self) -> Value;

    /// Whether `value` says that there is none.
    fn is_none(value: &Value, spelling: Spelling) -> bool {
        value.is_null() || (spelling == Spelling::Text && value.as_str() == Some(""))
    }
}

fn parsed<T: std::str::FromStr>(value: &Value, spelling: Spelling) -> Option<T> {
    match (spelling, value) {
        (Spelling::Text, Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    }
}

impl Held for String {
    const SQL: SqlType = SqlType::Text;
    const WANTED: &'static str = "a text";

    fn of(value: &Value, _: Spelling) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn value(&self) -> Value {
        Value::String(self.clone())
    }

    fn is_none(value: &Value, _: Spelling) -> bool {
        value.is_null()
    }
}

impl Held for u64 {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "a whole number from 0 on";

    fn of(value: &Value, spelling: Spelling) -> Option<u64> {
        value.as_u64().or_else(|| parsed(value, spelling))
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Held for i64 {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "a whole number";

    fn of(value: &Value, spelling: Spelling) -> Option<i64> {
        value.as_i64().or_else(|| parsed(value, spelling))
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Held for f64 {
    const SQL: SqlType = SqlType::Real;
    const WANTED: &'static str = "a finite number";

    fn of(value: &Value, spelling: Spelling) -> Option<f64> {
        value.as_f64().or_else(|| parsed(value, spelling)).filter(|v| v.is_finite())
    }

    fn value(&self) -> Value {
        Number::from_f64(*self).map_or(Value::Null, Value::Number)
    }
}

impl Held for Switch {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "true, false or a whole number";

    fn of(value: &Value, spelling: Spelling) -> Option<Switch> {
        if let Value::Bool(on) = value {
            return Some(Switch::Bool(*on));
        }
        match parsed::<bool>(value, spelling) {
            Some(on) => Some(Switch::Number(on.into())),
            None => i64::of(value, spelling).map(Switch::Number),
        }
    }

    fn value(&self) -> Value {
        match *self {
            Switch::Bool(on) => Value::Bool(on),
            Switch::Number(n) => Value::from(n),
        }
    }
}

impl<T: Held> Held for Vec<T> {
    const SQL: SqlType = SqlType::List;
    const WANTED: &'static str = "a list of numbers";

    fn of(value: &Value, spelling: Spelling) -> Option<Vec<T>> {
        value.as_array()?.iter().map(|v| T::of(v, spelling)).collect()
    }

    fn value(&self) -> Value {
        Value::Array(self.iter().map(T::value).collect())
    }
}

/// A value in a message, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}
