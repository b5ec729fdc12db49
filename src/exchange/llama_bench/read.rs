//! From text to rows. Keys are looked up by name and never by position; the encoding shows in the
//! first character. Nothing that is missing is made up, nothing that is cut off is passed over.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{Place, ReadError, ReadErrorKind};
use super::held::Spelling;
use super::row::{NEEDED, Row};

/// Reads what llama-bench of any version wrote as JSON, JSONL or CSV. `name` is what messages call
/// the file.
pub fn read(text: impl AsRef<[u8]>, name: &str) -> Result<Vec<Row>, ReadError> {
    let fail =
        |kind| ReadError { place: Place { name: name.to_owned(), ..Place::default() }, kind };
    let bytes = text.as_ref();
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(fail(ReadErrorKind::Encoding { found: "an SQLite database" }));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| fail(ReadErrorKind::NotText { at: e.valid_up_to() }))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let rows = match first.chars().next() {
        None => Vec::new(),
        Some('[') => array(text, name)?,
        Some('{') => objects(text, name)?,
        Some('|') => return Err(fail(ReadErrorKind::Encoding { found: "a Markdown table" })),
        _ if first.starts_with("CREATE TABLE") || first.starts_with("INSERT INTO") => {
            return Err(fail(ReadErrorKind::Encoding { found: "SQL" }));
        }
        _ if names_columns(first) => table(text, name)?,
        _ => return Err(fail(ReadErrorKind::Foreign { found: beginning(first) })),
    };
    if rows.is_empty() { Err(fail(ReadErrorKind::Empty)) } else { Ok(rows) }
}

/// Whether a line is the header of a table of llama-bench's.
fn names_columns(line: &str) -> bool {
    let columns: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
    NEEDED.iter().filter(|key| columns.contains(key)).count() >= 2
}

fn beginning(line: &str) -> String {
    let mut text: String = line.chars().take(60).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

/// Keys and values of one object in their order.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row with named values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The rows of a list, kept also where the list breaks off.
struct Rows<'a>(&'a mut Vec<Entries>);

impl<'de> de::DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entries) = list.next_element()? {
            self.0.push(entries);
        }
        Ok(())
    }
}

/// A list of objects: `-o json`.
fn array(text: &str, name: &str) -> Result<Vec<Row>, ReadError> {
    let mut entries = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    de::DeserializeSeed::deserialize(Rows(&mut entries), &mut json)
        .and_then(|()| json.end())
        .map_err(|e| broken(&e, text, name, entries.len()))?;
    let place = |row| Place { name: name.to_owned(), line: None, row: Some(row) };
    entries.into_iter().enumerate().map(|(i, e)| from_json(e, place(i + 1))).collect()
}

/// One object after another: `-o jsonl`.
fn objects(text: &str, name: &str) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Entries>();
    let (mut counted, mut line) = (0, 1);
    loop {
        let begin = stream.byte_offset();
        let Some(next) = stream.next() else { return Ok(rows) };
        let entries = next.map_err(|e| broken(&e, text, name, rows.len()))?;
        // The line on which the object begins, behind what separates it from the one before.
        let object = begin + text[begin..].find('{').unwrap_or(0);
        line += text[counted..object].matches('\n').count() as u64;
        counted = object;
        let place = Place { name: name.to_owned(), line: Some(line), row: Some(rows.len() + 1) };
        rows.push(from_json(entries, place)?);
    }
}

/// What a parser says of JSON that it cannot follow.
fn broken(error: &serde_json::Error, text: &str, name: &str, whole: usize) -> ReadError {
    let line = error.line() as u64;
    let spelled = text.lines().nth(error.line().saturating_sub(1)).and_then(not_finite);
    let kind = match spelled {
        _ if error.is_eof() => ReadErrorKind::CutOff { whole },
        Some(found) => ReadErrorKind::NotFinite { found },
        None => {
            let said = error.to_string();
            let message = said.split(" at line ").next().unwrap_or(&said).to_owned();
            ReadErrorKind::Syntax { message }
        }
    };
    let row = Some(whole + 1);
    ReadError { place: Place { name: name.to_owned(), line: Some(line), row }, kind }
}

/// `nan` or `inf` as C writes them, where a value of this line is one: no JSON, yet llama-bench has
/// no other way to say it.
fn not_finite(line: &str) -> Option<String> {
    line.split([':', ',', '[', ']', '{', '}'])
        .map(str::trim)
        .find(|word| matches!(word.trim_start_matches('-'), "nan" | "inf" | "NaN" | "Infinity"))
        .map(str::to_owned)
}

fn from_json(Entries(entries): Entries, place: Place) -> Result<Row, ReadError> {
    row(entries.into_iter(), Spelling::Json, place)
}

/// A header and lines of values: `-o csv`.
fn table(text: &str, name: &str) -> Result<Vec<Row>, ReadError> {
    let place = |line, row| Place { name: name.to_owned(), line, row };
    let broken = |error: csv::Error, row: Option<usize>| {
        let line = error.position().map(csv::Position::line);
        let kind = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                ReadErrorKind::Columns { found: *len, wanted: *expected_len }
            }
            _ => ReadErrorKind::Syntax { message: error.to_string() },
        };
        ReadError { place: place(line, row), kind }
    };
    // An end within quotes, or behind a comma, would pass for a shorter value or for none.
    if text.matches('"').count() % 2 == 1 || text.ends_with(',') {
        let lines = text.matches('\n').count();
        let kind = ReadErrorKind::CutOff { whole: lines.saturating_sub(1) };
        return Err(ReadError { place: place(Some(lines as u64 + 1), Some(lines.max(1))), kind });
    }
    let mut csv = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = csv.headers().map_err(|e| broken(e, None))?.clone();
    let mut rows = Vec::new();
    for record in csv.records() {
        let record = record.map_err(|e| broken(e, Some(rows.len() + 1)))?;
        let line = record.position().map(csv::Position::line);
        let values = header.iter().zip(&record);
        let entries = values.map(|(key, value)| (key.trim().to_owned(), Value::from(value)));
        rows.push(row(entries, Spelling::Text, place(line, Some(rows.len() + 1)))?);
    }
    Ok(rows)
}

/// One row, checked.
fn row(
    entries: impl Iterator<Item = (String, Value)>,
    spelling: Spelling,
    place: Place,
) -> Result<Row, ReadError> {
    let mut row = Row::default();
    let fill = || {
        for (key, value) in entries {
            if row.keys.contains(&key) {
                return Err(ReadErrorKind::Twice { key });
            }
            row.put(key, value, spelling)?;
        }
        if let Some(key) = NEEDED.iter().find(|&&key| !row.keys.iter().any(|k| k == key)) {
            return Err(ReadErrorKind::Missing { key });
        }
        if row.n_tokens() == 0 {
            return Err(ReadErrorKind::NoWork);
        }
        if row.avg_ns == 0 {
            return Err(ReadErrorKind::NoTime { key: "avg_ns" });
        }
        if row.samples_ns.as_ref().is_some_and(|samples| samples.contains(&0)) {
            return Err(ReadErrorKind::NoTime { key: "a value of samples_ns" });
        }
        Ok(())
    };
    match fill() {
        Ok(()) => Ok(row),
        Err(kind) => Err(ReadError { place, kind }),
    }
}
