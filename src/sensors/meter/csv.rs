//! What a meter's table says: which columns tell time and power, in which units, and what its
//! lines hold. A last line without its end may be half written and is not counted.

use jiff::Timestamp;

use super::{At, MeterError, Sample};
use crate::system::said;

/// Which columns tell time and power.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) time: Option<usize>,
    pub(super) power: Power,
    /// Numbers are written with a comma.
    pub(super) has_decimal_comma: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Power {
    Watts(Scaled),
    Product(Scaled, Scaled),
}

/// A column, and what its numbers are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaled {
    pub(super) column: usize,
    pub(super) factor: f64,
}

const TIMES: &[&str] = &["time", "timestamp", "t", "datetime", "date_time", "unix", "time_s"];
/// Names of what is measured, with the letter of its unit.
const POWERS: (&[&str], &str) = (&["power", "watts", "watt", "active_power", "p"], "w");
const VOLTAGES: (&[&str], &str) = (&["voltage", "volts", "volt", "u"], "v");
const CURRENTS: (&[&str], &str) = (&["current", "amperes", "ampere", "amps", "amp", "i"], "a");

const HEADER: &str = "the first line names the columns: a time, and watts, or volts and amps, such \
                      as `time,watts`";
const NUMBER: &str = "a number such as 12.5; an empty cell is a reading that failed";
const TIME: &str = "a moment such as 2026-11-26T07:30:00.5Z, with its offset, or Unix seconds such \
                    as 1764142200.5";

impl Columns {
    pub(super) fn of(header: &[&str], has_decimal_comma: bool) -> Result<Columns, &'static str> {
        let names: Vec<(String, Option<String>)> =
            header.iter().map(|n| name_and_unit(n)).collect();
        let scaled = |(words, letter): (&[&str], &str)| {
            names.iter().enumerate().find_map(|(column, (name, unit))| {
                let factor = factor(name, unit.as_deref(), words, letter)?;
                Some(Scaled { column, factor })
            })
        };
        let is_time = |(name, _): &(String, _)| TIMES.contains(&name.as_str());
        let power = match (scaled(POWERS), scaled(VOLTAGES), scaled(CURRENTS)) {
            (Some(watts), _, _) => Power::Watts(watts),
            (_, Some(volts), Some(amps)) => Power::Product(volts, amps),
            _ => return Err("no column of watts, nor of volts and amps"),
        };
        Ok(Columns { time: names.iter().position(is_time), power, has_decimal_comma })
    }

    /// Time and watts of a row.
    pub(super) fn read(
        &self,
        fields: &[&str],
    ) -> Result<(Option<Timestamp>, Option<f64>), Misread> {
        let field = |column: usize| fields.get(column).copied().unwrap_or_default().trim();
        let time = self.time.map(|column| {
            let at = moment(field(column), self.has_decimal_comma);
            at.map_err(|message| Misread { column, message, hint: TIME })
        });
        let number = |scaled: Scaled| -> Result<Option<f64>, Misread> {
            let text = field(scaled.column);
            if ["", "-", "nan", "null", "none"].contains(&text.to_ascii_lowercase().as_str()) {
                return Ok(None);
            }
            match self.number(text) {
                Some(n) => Ok(Some(n * scaled.factor)),
                None => Err(Misread {
                    column: scaled.column,
                    message: format!("found `{}`", shortened(text)),
                    hint: NUMBER,
                }),
            }
        };
        let watts = match self.power {
            Power::Watts(watts) => number(watts)?,
            Power::Product(volts, amps) => number(volts)?.zip(number(amps)?).map(|(v, a)| v * a),
        };
        Ok((time.transpose()?, watts))
    }

    pub(super) fn number(&self, text: &str) -> Option<f64> {
        let n = match self.has_decimal_comma {
            true => text.replace(',', ".").parse(),
            false => text.parse::<f64>(),
        };
        n.ok().filter(|n| n.is_finite())
    }
}

/// A cell that is not what its column says.
#[derive(Debug, PartialEq)]
pub(super) struct Misread {
    column: usize,
    message: String,
    hint: &'static str,
}

/// `Power (mW)` → `power`, `mw`; `voltage_v` → `voltage_v`, none.
fn name_and_unit(text: &str) -> (String, Option<String>) {
    let text = text.trim_start_matches('\u{feff}').trim().trim_matches('"').to_lowercase();
    let (name, unit) = match text.split_once(['(', '[']) {
        Some((name, unit)) => (name, Some(unit.trim_end_matches([')', ']']).trim().to_owned())),
        None => (text.as_str(), None),
    };
    (name.trim().replace([' ', '-'], "_"), unit.filter(|unit| !unit.is_empty()))
}

/// What the numbers of a column are multiplied by, if it is one of `words` in a unit of `letter`:
/// `power`, `power_mw`, `mw`.
fn factor(name: &str, unit: Option<&str>, words: &[&str], letter: &str) -> Option<f64> {
    let of_unit = |unit: &str| match unit.strip_suffix(letter)? {
        "" => Some(1.0),
        "k" => Some(1e3),
        "m" => Some(1e-3),
        "u" | "µ" | "μ" => Some(1e-6),
        _ => None,
    };
    match unit {
        Some(unit) if words.contains(&name) || name == letter => of_unit(unit),
        Some(_) => None,
        None if words.contains(&name) => Some(1.0),
        None => match name.rsplit_once('_') {
            Some((name, unit)) if words.contains(&name) => of_unit(unit),
            _ => of_unit(name),
        },
    }
}

/// A moment as RFC 3339 or as Unix seconds.
fn moment(text: &str, has_decimal_comma: bool) -> Result<Timestamp, String> {
    let wrong = || format!("found `{}`", shortened(text));
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || (has_decimal_comma && c == ',');
    if text.is_empty() || !text.chars().all(is_number) {
        return text.parse().map_err(|_| wrong());
    }
    let (whole, part) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| wrong())?;
    // Exact to the nanosecond, which a floating-point number of that size is not.
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i32 = digits.parse().map_err(|_| wrong())?;
    if seconds > 100_000_000_000 {
        return Err(format!("{}, which would be milliseconds", wrong()));
    }
    Timestamp::new(seconds, nanoseconds).map_err(|_| wrong())
}

/// So much of a text as a message can hold.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

pub(super) fn read_file(file: &std::path::Path) -> Result<Vec<Sample>, MeterError> {
    let named = file.display().to_string();
    match std::fs::read(file) {
        Ok(bytes) => read_csv(&String::from_utf8_lossy(&bytes), &named),
        Err(error) => Err(MeterError::File { file: named, message: said(&error) }),
    }
}

/// Every whole line of a CSV file behind its header.
pub(super) fn read_csv(text: &str, file: &str) -> Result<Vec<Sample>, MeterError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let place = |line, column, message, hint| MeterError::Place {
        file: file.to_owned(),
        line,
        column,
        message,
        hint,
    };
    let first = whole.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let delimiter = match first.unwrap_or_default() {
        line if line.contains(';') => b';',
        line if line.contains('\t') => b'\t',
        _ => b',',
    };
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .flexible(true)
        .has_headers(false)
        .from_reader(whole.as_bytes());
    let (mut columns, mut header): (Option<Columns>, Vec<String>) = (None, Vec::new());
    let mut samples: Vec<Sample> = Vec::new();
    let mut last: Option<Timestamp> = None;
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, ::csv::Position::line);
                return Err(place(line, None, error.to_string(), HEADER));
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = row.iter().collect();
        let Some(known) = &columns else {
            let read = Columns::of(&fields, delimiter != b',')
                .map_err(|message| place(line, None, message.to_owned(), HEADER))?;
            if read.time.is_none() {
                return Err(place(line, None, "no column of times".to_owned(), HEADER));
            }
            header = fields.iter().map(|name| name.trim().to_owned()).collect();
            columns = Some(read);
            continue;
        };
        let named = |column: usize| header.get(column).cloned();
        let (at, watts) = known
            .read(&fields)
            .map_err(|wrong| place(line, named(wrong.column), wrong.message, wrong.hint))?;
        let Some(at) = at else { continue };
        if last.is_some_and(|last| at < last) {
            let back = format!("{at} lies before the line above");
            return Err(place(
                line,
                known.time.and_then(named),
                back,
                "lines in the order of time",
            ));
        }
        last = Some(at);
        samples.push(Sample { at: At::Told(at), watts });
    }
    match columns {
        Some(_) => Ok(samples),
        None => Err(place(1, None, "no header".to_owned(), HEADER)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_line_column_and_remedy() {
        let said = [
            "",
            "1764142200,12\n",
            "time,volts\n",
            "watts,amps\n1,2\n",
            "time,Power (kWh)\n",
            "time,watts\n1764142200,12\n1764142201,twelve\n",
            "time,watts\nnoon,12\n",
            "time,watts\n2025-11-26T07:30:00,12\n",
            "time,watts\n1764142200000,12\n",
            "time,watts\n1764142201,12\n1764142200,12\n",
        ]
        .map(|text| read_csv(text, "power.csv").unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
    }
}
