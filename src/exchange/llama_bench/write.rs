//! From rows to text, each encoding laid out as llama-bench lays it out: the keys of a row in their
//! order, JSON and JSONL with samples, CSV and SQL without.
//!
//! Unlike llama-bench's, our SQL doubles the quotes within a value.

use std::io::{self, Write};

use serde_json::Value;

use super::held::SqlType;
use super::row::{Row, sql_type};

/// A list of objects, a value a line.
pub fn json(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "[")?;
    for (i, row) in rows.iter().enumerate() {
        let lines: Vec<String> =
            row.keys.iter().map(|key| format!("    {}", entry(row, key))).collect();
        let comma = if i + 1 < rows.len() { "," } else { "" };
        writeln!(out, "  {{\n{}\n  }}{comma}", lines.join(",\n"))?;
    }
    writeln!(out, "]")
}

/// An object a line.
pub fn jsonl(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    for row in rows {
        let entries: Vec<String> = row.keys.iter().map(|key| entry(row, key)).collect();
        writeln!(out, "{{{}}}", entries.join(", "))?;
    }
    Ok(())
}

/// A header without quotes, then every value within quotes.
pub fn csv(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let columns = columns(rows);
    let header: Vec<String> = columns.iter().map(|key| plain(key)).collect();
    writeln!(out, "{}", header.join(","))?;
    for row in rows {
        let values: Vec<String> = columns.iter().map(|key| quoted(&text(row, key), '"')).collect();
        writeln!(out, "{}", values.join(","))?;
    }
    Ok(())
}

/// The table that compare-llama-bench.py looks for, and a row each.
pub fn sql(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let columns = columns(rows);
    let names: Vec<String> = columns.iter().map(|key| identifier(key)).collect();
    let typed: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|(key, name)| {
            let word = match sql_type(key) {
                SqlType::Integer => "INTEGER",
                SqlType::Real => "REAL",
                SqlType::Text | SqlType::List => "TEXT",
            };
            format!("  {name} {word}")
        })
        .collect();
    writeln!(out, "CREATE TABLE IF NOT EXISTS llama_bench (\n{}\n);\n", typed.join(",\n"))?;
    for row in rows {
        let values: Vec<String> = columns
            .iter()
            .map(|key| match row.value(key) {
                Value::Null => "NULL".to_owned(),
                _ => quoted(&text(row, key), '\''),
            })
            .collect();
        writeln!(
            out,
            "INSERT INTO llama_bench ({}) VALUES ({});",
            names.join(", "),
            values.join(", ")
        )?;
    }
    Ok(())
}

/// Keys of all rows but for lists, in the order in which they come up.
fn columns(rows: &[Row]) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for key in rows.iter().flat_map(|row| &row.keys) {
        if sql_type(key) != SqlType::List && !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    columns
}

fn entry(row: &Row, key: &str) -> String {
    let name = Value::from(key);
    match row.value(key) {
        Value::Array(values) if sql_type(key) == SqlType::List => {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            format!("{name}: [ {} ]", values.join(", "))
        }
        Value::Number(_) if sql_type(key) == SqlType::Real => format!("{name}: {}", text(row, key)),
        value => format!("{name}: {value}"),
    }
}

/// A value as CSV and SQL have it: truth values as 0 and 1, what is missing as nothing.
pub(super) fn text(row: &Row, key: &str) -> String {
    match row.value(key) {
        Value::Null => String::new(),
        Value::Bool(on) => u8::from(on).to_string(),
        Value::String(text) => text,
        Value::Number(n) if sql_type(key) == SqlType::Real => real(n.as_f64().unwrap_or(0.0)),
        value => value.to_string(),
    }
}

/// Six decimals, as llama-bench writes it; more where the number has more.
fn real(value: f64) -> String {
    let six = format!("{value:.6}");
    if six.parse() == Ok(value) { six } else { value.to_string() }
}

fn quoted(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

/// A name as it is, within quotes where it would break the line.
fn plain(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { quoted(name, '"') } else { name.to_owned() }
}

fn identifier(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        quoted(name, '"')
    }
}
