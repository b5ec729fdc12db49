//! From the text of a suite file to a [`Suite`]: everything wrong is found in one pass.

use toml::de::{DeTable, DeValue};

use super::error::{SuiteError, SuiteErrorKind as Kind, SuiteErrors};
use super::keys;
use super::matrix;
use super::range::MAX_COUNT;
use super::reader::{Reader, Value};
use super::{Matrix, Suite, Times};
use crate::settings::{Gate, ProbeWhen, TokenFeed};

const KEYS: &[&str] = &keys::names(&keys::TOP);
const GATE_KEYS: &[&str] = &keys::names(&keys::GATE);

/// The largest seed: what a TOML integer holds.
pub(super) const MAX_SEED: u64 = i64::MAX as u64;

/// Reads a suite. `file` is the name by which errors call it; the suite is called by the name of
/// the file without its ending unless the text names it.
///
/// Never panics; on failure every error is told at once, in the order of the text.
pub fn parse(text: &str, file: &str) -> Result<Suite, SuiteErrors> {
    let mut reader = Reader::new(text, file);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let span = error.span().unwrap_or_default();
        let message = match text.get(span.clone()) {
            Some(key) if error.message() == "duplicate key" => format!("`{key}` stands twice"),
            _ => error.message().to_owned(),
        };
        reader.report(span.start, Kind::Syntax(message));
    }
    // What a damaged file seems to say would only repeat the damage.
    let suite = if syntax.is_empty() { read(&mut reader, document.get_ref(), file) } else { None };
    let mut errors: Vec<SuiteError> = reader.into_errors();
    match suite {
        Some(suite) if errors.is_empty() => Ok(suite),
        _ => {
            errors.sort_by(|a, b| a.place.cmp(&b.place));
            errors.dedup();
            Err(SuiteErrors(errors))
        }
    }
}

/// Numbers of passes and seconds, at the top or in a matrix, over the defaults given.
pub(super) fn times(reader: &mut Reader, table: &DeTable, default: Times) -> Times {
    let mut number = |key: &str, least: u32, most: u32, default: u32| match table.get(key) {
        Some(value) => {
            let n = reader.number(key, value, u64::from(least), u64::from(most));
            n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        }
        None => default,
    };
    Times {
        repetitions: number("repetitions", 1, 100_000, default.repetitions),
        warmup: number("warmup", 0, 1_000, default.warmup),
        invocations: number("invocations", 1, 10_000, default.invocations),
        timeout_s: number("timeout_s", 1, MAX_COUNT, default.timeout_s),
    }
}

fn read(reader: &mut Reader, top: &DeTable, file: &str) -> Option<Suite> {
    reader.known_keys(top, KEYS);
    let stem = std::path::Path::new(file)
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let name = match top.get("name") {
        Some(value) => reader.text("name", value).filter(|name| {
            let good = is_name(name);
            if !good {
                reader.report(
                    value.span().start,
                    Kind::UnknownWord {
                        key: "name".to_owned(),
                        found: name.clone(),
                        allowed: "letters, digits, `-`, `_` and `.`, at most 64 (it names folders)"
                            .to_owned(),
                        nearest: None,
                    },
                );
            }
            good
        }),
        None => Some(if is_name(&stem) { stem } else { "suite".to_owned() }),
    };
    let description = match top.get("description") {
        Some(value) => reader.text("description", value),
        None => Some(String::new()),
    };
    let seed = match top.get("seed") {
        Some(value) => reader.number("seed", value, 0, MAX_SEED),
        None => Some(1),
    };
    let feed = match top.get("feed") {
        Some(value) => reader.word::<TokenFeed>("feed", value, TokenFeed::WORDS),
        None => Some(TokenFeed::Random),
    };
    let probe = match top.get("probe") {
        Some(value) => reader.word::<ProbeWhen>("probe", value, ProbeWhen::WORDS),
        None => Some(ProbeWhen::Run),
    };
    let times = times(reader, top, Times::default());
    let gate = top.get("gate").and_then(|value| gate(reader, value));
    let is_empty = |key| match top.get(key).map(|value| value.get_ref()) {
        Some(DeValue::Array(blocks)) => blocks.is_empty(),
        found => found.is_none(),
    };
    if is_empty("matrix") && is_empty("soak") {
        reader.report(0, MISSING);
    }
    let mut matrices =
        blocks(reader, top, &MATRICES, |reader, table, at| matrix::read(reader, table, at, times));
    matrices.extend(blocks(reader, top, &SOAKS, |reader, table, at| {
        matrix::read_soak(reader, table, at, times)
    }));
    Some(Suite {
        name: name?,
        description: description?,
        seed: seed?,
        feed: feed?,
        gate,
        probe: probe?,
        matrices,
    })
}

const MISSING: Kind = Kind::Missing {
    key: "matrix",
    hint: "begin a block with [[matrix]] and give it engine, model and quant",
};

fn gate(reader: &mut Reader, value: &Value) -> Option<Gate> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type("gate", value, "a table headed [gate]");
        return None;
    };
    reader.known_keys(table, GATE_KEYS);
    let default = Gate::default();
    let mut number = |key: &str, most: u64, default: u32| match table.get(key) {
        Some(value) => {
            let n = reader.number(key, value, 0, most);
            n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        }
        None => default,
    };
    Some(Gate {
        baseline_s: number("baseline_s", 3600, default.baseline_s),
        least_s: number("least_s", 3600, default.least_s),
        hold_s: number("hold_s", 3600, default.hold_s),
        limit_s: number("limit_s", 86_400, default.limit_s),
    })
}

/// A kind of block: its key, and how it is to be written.
struct Blocks {
    key: &'static str,
    headed: &'static str,
    doubly: &'static str,
}

const MATRICES: Blocks = Blocks {
    key: "matrix",
    headed: "blocks headed [[matrix]]",
    doubly: "blocks headed [[matrix]], in double brackets",
};

const SOAKS: Blocks = Blocks {
    key: "soak",
    headed: "blocks headed [[soak]]",
    doubly: "blocks headed [[soak]], in double brackets",
};

/// The blocks of a kind.
fn blocks(
    reader: &mut Reader,
    top: &DeTable,
    Blocks { key, headed, doubly }: &Blocks,
    mut read: impl FnMut(&mut Reader, &DeTable, usize) -> Option<Matrix>,
) -> Vec<Matrix> {
    let Some(value) = top.get(*key) else { return Vec::new() };
    let DeValue::Array(blocks) = value.get_ref() else {
        let single = matches!(value.get_ref(), DeValue::Table(_));
        reader.wrong_type(key, value, if single { doubly } else { headed });
        return Vec::new();
    };
    let mut matrices = Vec::new();
    for block in blocks.iter() {
        match block.get_ref() {
            DeValue::Table(table) => matrices.extend(read(reader, table, block.span().start)),
            _ => reader.wrong_type(key, block, headed),
        }
    }
    matrices
}

/// Whether a suite may be called so: its name becomes part of a folder's.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
