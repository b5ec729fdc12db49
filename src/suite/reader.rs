//! Typed reading of TOML values that collects errors with their places instead of stopping.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{Place, SuiteError, SuiteErrorKind as Kind};
use super::nearest::nearest;
use super::range::{MAX_VALUES, RangeError, parse_range};
use super::threads::{MAX_THREADS, Threads, ThreadsError};
use crate::settings::Auto;

/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Collects what is wrong with one file.
pub(super) struct Reader<'t> {
    text: &'t str,
    file: &'t str,
    errors: Vec<SuiteError>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str, file: &'t str) -> Reader<'t> {
        Reader { text, file, errors: Vec::new() }
    }

    pub fn into_errors(self) -> Vec<SuiteError> {
        self.errors
    }

    pub fn n_errors(&self) -> usize {
        self.errors.len()
    }

    /// Notes what is wrong at byte `at`.
    pub fn report(&mut self, at: usize, kind: Kind) {
        self.errors.push(SuiteError { place: Place::of(self.file, self.text, at), kind });
    }

    pub fn wrong_type(&mut self, key: &str, value: &Value, allowed: &'static str) {
        let found = shown(value.get_ref());
        self.report(value.span().start, Kind::WrongType { key: key.to_owned(), found, allowed });
    }

    /// Reports every key of `table` that is not among `allowed`.
    pub fn known_keys(&mut self, table: &DeTable, allowed: &'static [&'static str]) {
        for key in table.keys() {
            let found: &str = key.get_ref();
            if !allowed.contains(&found) {
                let nearest = nearest(found, allowed.iter().copied());
                let found = found.to_owned();
                self.report(key.span().start, Kind::UnknownKey { found, allowed, nearest });
            }
        }
    }

    pub fn text(&mut self, key: &str, value: &Value) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => {
                self.wrong_type(key, value, "texts in quotes");
                None
            }
        }
    }

    pub fn truth(&mut self, key: &str, value: &Value) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => {
                self.wrong_type(key, value, "true or false");
                None
            }
        }
    }

    pub fn number(&mut self, key: &str, value: &Value, least: u64, most: u64) -> Option<u64> {
        let DeValue::Integer(found) = value.get_ref() else {
            self.wrong_type(key, value, "whole numbers");
            return None;
        };
        let n = to_u64(found).filter(|n| (least..=most).contains(n));
        if n.is_none() {
            let (key, found) = (key.to_owned(), found.to_string());
            self.report(value.span().start, Kind::OutOfBounds { key, found, least, most });
        }
        n
    }

    /// A word of a fixed set.
    pub fn word<T: FromStr>(
        &mut self,
        key: &str,
        value: &Value,
        allowed: &[&'static str],
    ) -> Option<T> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            other => shown(other),
        };
        let word = text.parse().ok();
        if word.is_none() {
            self.unknown_word(key, value, &text, allowed);
        }
        word
    }

    pub fn unknown_word(&mut self, key: &str, value: &Value, found: &str, allowed: &[&str]) {
        let kind = Kind::UnknownWord {
            key: key.to_owned(),
            found: found.to_owned(),
            allowed: allowed.join(", "),
            nearest: nearest(found, allowed.iter().copied()).map(str::to_owned),
        };
        self.report(value.span().start, kind);
    }

    /// The values of an axis: one value or a list, each read by `read`, each kept once.
    /// `None` when any of it is wrong.
    pub fn axis<T: PartialEq>(
        &mut self,
        key: &str,
        value: &Value,
        mut read: impl FnMut(&mut Self, &Value) -> Option<Vec<T>>,
    ) -> Option<Vec<T>> {
        let mut values: Vec<T> = Vec::new();
        let mut add = |new: Vec<T>| {
            for value in new {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        };
        let DeValue::Array(items) = value.get_ref() else {
            add(read(self, value)?);
            return Some(values);
        };
        if items.is_empty() {
            self.report(value.span().start, Kind::EmptyList(key.to_owned()));
            return None;
        }
        let mut good = true;
        for item in items.iter().take(MAX_VALUES) {
            match read(self, item) {
                Some(new) => add(new),
                None => good = false,
            }
        }
        if values.len() > MAX_VALUES || items.len() > MAX_VALUES {
            let error = RangeError::TooMany(format!("{} values in a list", items.len()));
            self.report(value.span().start, Kind::Range { key: key.to_owned(), error });
            good = false;
        }
        good.then_some(values)
    }

    /// Numbers: each item a whole number or a range, within the bounds.
    pub fn numbers(&mut self, key: &str, value: &Value, least: u32, most: u32) -> Option<Vec<u32>> {
        let allowed = "whole numbers, ranges such as \"128..4096*2\", or a list of them";
        self.axis(key, value, |reader, item| {
            reader.span_of_numbers(key, item, least, most, allowed)
        })
    }

    /// Numbers as in [`Reader::numbers`], or the word `auto`.
    pub fn autos(
        &mut self,
        key: &str,
        value: &Value,
        least: u32,
        most: u32,
    ) -> Option<Vec<Auto<u32>>> {
        let allowed = "whole numbers, ranges such as \"1..4\", \"auto\", or a list of them";
        self.axis(key, value, |reader, item| match item.get_ref() {
            DeValue::String(word) if word == "auto" => Some(vec![Auto::Auto]),
            DeValue::String(word) if matches!(parse_range(word), Err(RangeError::Form(_))) => {
                reader.unknown_word(key, item, word, &["auto", "numbers", "ranges such as `1..4`"]);
                None
            }
            _ => {
                let numbers = reader.span_of_numbers(key, item, least, most, allowed)?;
                Some(numbers.into_iter().map(Auto::Fixed).collect())
            }
        })
    }

    /// Numbers of threads: numbers and ranges, the words `auto` and `all`, ranges up to `all`.
    pub fn threads(&mut self, key: &str, value: &Value) -> Option<Vec<Threads>> {
        let allowed =
            "whole numbers, ranges such as \"1..4\" or \"1..all\", \"auto\", or a list of them";
        self.axis(key, value, |reader, item| {
            let text = match item.get_ref() {
                DeValue::Integer(_) => {
                    let n = reader.number(key, item, 1, u64::from(MAX_THREADS))?;
                    return Some(vec![Threads::Fixed(u32::try_from(n).ok()?)]);
                }
                DeValue::String(text) => text.clone().into_owned(),
                _ => {
                    reader.wrong_type(key, item, allowed);
                    return None;
                }
            };
            let at = item.span().start;
            match Threads::parse(&text) {
                Ok(values) => Some(values),
                Err(ThreadsError::OutOfBounds(found)) => {
                    let (key, found) = (key.to_owned(), found.to_string());
                    let (least, most) = (1, u64::from(MAX_THREADS));
                    reader.report(at, Kind::OutOfBounds { key, found, least, most });
                    None
                }
                Err(ThreadsError::Range(RangeError::Form(_))) => {
                    let allowed = ["auto", "all", "numbers", "ranges such as `1..4` or `1..all`"];
                    reader.unknown_word(key, item, &text, &allowed);
                    None
                }
                Err(ThreadsError::Range(error)) => {
                    reader.report(at, Kind::Range { key: key.to_owned(), error });
                    None
                }
            }
        })
    }

    fn span_of_numbers(
        &mut self,
        key: &str,
        item: &Value,
        least: u32,
        most: u32,
        allowed: &'static str,
    ) -> Option<Vec<u32>> {
        let (least, most) = (u64::from(least), u64::from(most));
        match item.get_ref() {
            DeValue::Integer(_) => {
                let n = self.number(key, item, least, most)?;
                Some(vec![u32::try_from(n).ok()?])
            }
            DeValue::String(text) => match parse_range(text) {
                Ok(values) => {
                    let outside = values.iter().find(|v| !(least..=most).contains(&u64::from(**v)));
                    if let Some(outside) = outside {
                        let (key, found) = (key.to_owned(), outside.to_string());
                        let kind = Kind::OutOfBounds { key, found, least, most };
                        self.report(item.span().start, kind);
                        return None;
                    }
                    Some(values)
                }
                Err(error) => {
                    let key = key.to_owned();
                    self.report(item.span().start, Kind::Range { key, error });
                    None
                }
            },
            _ => {
                self.wrong_type(key, item, allowed);
                None
            }
        }
    }
}

/// The number, unless it is negative or too large.
fn to_u64(n: &DeInteger) -> Option<u64> {
    u64::from_str_radix(n.as_str(), n.radix()).ok()
}

/// A value as an error message shows it.
pub(super) fn shown(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(n) => format!("the number {n}"),
        DeValue::Float(n) => format!("the number {n}"),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
