//! Reading one `[[matrix]]` block: its axes, what it excludes, and whether its cells can be.

use std::mem::discriminant;

use toml::de::{DeTable, DeValue};

use super::axes::{Axes, Flaw, Point};
use super::error::SuiteErrorKind as Kind;
use super::filter::{Condition, Filter};
use super::keys;
use super::parse::times;
use super::range::MAX_COUNT;
use super::reader::{Reader, Value, shown};
use super::{Matrix, Profiling, Times};
use crate::ggml::GgmlType;
use crate::model::FileMix;
use crate::settings::{FlashAttn, LoadMode, Soak, SoakUntil};

/// The most cells one matrix may have.
pub const MAX_CELLS: usize = 20_000;

/// CPUs of the machine on which a suite is tried while it is read: what depends on their number is
/// known only to a plan.
const TRIED_CPUS: u32 = 64;

/// Heads of the engine words; what stands behind `:` or `?` is the engine's own.
pub const ENGINES: &[&str] = &["reference", "llama-cpp", "fake", "delay"];

/// Those of them that measure models; the others try the program itself.
pub const MEASURING: &[&str] = &["reference", "llama-cpp"];

/// Tensor types that a KV cache can have.
pub const KV_TYPES: &[GgmlType] = &[
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::BF16,
    GgmlType::Q8_0,
    GgmlType::Q5_1,
    GgmlType::Q5_0,
    GgmlType::Q4_1,
    GgmlType::Q4_0,
    GgmlType::IQ4_NL,
];

const KEYS: &[&str] = &keys::names(&keys::MATRIX);
const SOAK_KEYS: &[&str] = &keys::names(&keys::SOAK);

/// Reads a block that begins at byte `start`; `None` when anything in it is wrong.
pub(super) fn read(
    reader: &mut Reader,
    table: &DeTable,
    start: usize,
    defaults: Times,
) -> Option<Matrix> {
    let n_errors = reader.n_errors();
    reader.known_keys(table, KEYS);
    let times = times(reader, table, defaults);
    let profile = match table.get("profile").and_then(|value| reader.truth("profile", value)) {
        Some(true) => Profiling::Beside,
        _ => Profiling::No,
    };
    let block = block(reader, (table, start), n_errors, Axes::default(), (times, None))?;
    Some(Matrix { profile, ..block })
}

/// Reads a block of sustained runs, likewise.
pub(super) fn read_soak(
    reader: &mut Reader,
    table: &DeTable,
    start: usize,
    defaults: Times,
) -> Option<Matrix> {
    let n_errors = reader.n_errors();
    reader.known_keys(table, SOAK_KEYS);
    let default = Soak::default();
    let mut ms = |key: &str, most: u64, default: u64| match table.get(key) {
        Some(value) => reader.number(key, value, 1, most).map_or(default, |s| s * 1000),
        None => default,
    };
    let mut soak = Soak {
        limit_ms: ms("limit_s", 86_400, default.limit_ms),
        window_ms: ms("window_s", 600, default.window_ms),
        ..default
    };
    if let Some(value) = table.get("until") {
        soak.until = reader.word("until", value, SoakUntil::WORDS).unwrap_or(soak.until);
    }
    let times = Times { timeout_s: soak.timeout_s(), ..times(reader, table, defaults) };
    let axes = Axes { n_prompt: vec![512], n_gen: vec![128], ..Axes::default() };
    block(reader, (table, start), n_errors, axes, (times, Some(soak)))
}

/// The rest of a block, before which `n_errors` were found.
fn block(
    reader: &mut Reader,
    (table, start): (&DeTable, usize),
    n_errors: usize,
    default: Axes,
    (times, soak): (Times, Option<Soak>),
) -> Option<Matrix> {
    let axes = axes(reader, table, start, default);
    let excludes = excludes(reader, table);
    if reader.n_errors() > n_errors {
        return None;
    }
    let matrix = Matrix {
        axes,
        excludes: excludes.iter().map(|(_, f)| f.clone()).collect(),
        times,
        soak,
        profile: Profiling::No,
    };
    check_points(reader, table, start, &matrix, &excludes);
    (reader.n_errors() == n_errors).then_some(matrix)
}

fn axes(reader: &mut Reader, table: &DeTable, start: usize, default: Axes) -> Axes {
    let mut axes = default;
    macro_rules! axis {
        ($key:ident, $read:expr) => {
            if let Some(value) = table.get(stringify!($key))
                && let Some(values) = $read(&mut *reader, stringify!($key), value)
            {
                axes.$key = values;
            }
        };
    }
    axis!(engine, |r: &mut Reader, k, v| texts(r, k, v, engine_word));
    axis!(model, |r: &mut Reader, k, v| texts(r, k, v, not_empty));
    axis!(quant, |r: &mut Reader, k, v| texts(r, k, v, quant_word));
    axis!(cpus, |r: &mut Reader, k, v| texts(r, k, v, cpus_word));
    axis!(backend_device, |r: &mut Reader, k, v| texts(r, k, v, not_empty));
    axis!(n_threads, |r: &mut Reader, k, v| r.threads(k, v));
    axis!(n_prompt, |r: &mut Reader, k, v| r.numbers(k, v, 0, MAX_COUNT));
    axis!(n_gen, |r: &mut Reader, k, v| r.numbers(k, v, 0, MAX_COUNT));
    axis!(n_depth, |r: &mut Reader, k, v| r.numbers(k, v, 0, MAX_COUNT));
    axis!(n_ctx, |r: &mut Reader, k, v| r.autos(k, v, 1, MAX_COUNT));
    axis!(n_batch, |r: &mut Reader, k, v| r.numbers(k, v, 1, MAX_COUNT));
    axis!(n_ubatch, |r: &mut Reader, k, v| r.numbers(k, v, 1, MAX_COUNT));
    axis!(n_gpu_layers, |r: &mut Reader, k, v| r.autos(k, v, 0, MAX_COUNT));
    axis!(flash_attn, |r: &mut Reader, k: &str, v: &Value| r
        .axis(k, v, |r, item| Some(vec![r.word::<FlashAttn>(k, item, FlashAttn::WORDS)?])));
    axis!(load_mode, |r: &mut Reader, k: &str, v: &Value| r
        .axis(k, v, |r, item| Some(vec![r.word::<LoadMode>(k, item, LoadMode::WORDS)?])));
    kv_types(reader, table, &mut axes);
    for (key, hint, empty) in [
        (
            "engine",
            "name the engines: engine = [\"reference\", \"llama-cpp\"]",
            axes.engine.is_empty(),
        ),
        ("model", "name models of models.toml: model = \"SmolLM2-135M\"", axes.model.is_empty()),
        ("quant", "name file mixes: quant = [\"Q8_0\", \"Q4_0\"]", axes.quant.is_empty()),
    ] {
        if empty && table.get(key).is_none() {
            reader.report(start, Kind::Missing { key, hint });
        }
    }
    axes
}

/// `type_kv` sets keys and values together; `type_k` and `type_v` span their product.
fn kv_types(reader: &mut Reader, table: &DeTable, axes: &mut Axes) {
    let mut types = |key: &str| -> Option<Vec<GgmlType>> {
        let value = table.get(key)?;
        reader.axis(key, value, |reader, item| Some(vec![kv_type(reader, key, item)?]))
    };
    let (both, k, v) = (types("type_kv"), types("type_k"), types("type_v"));
    if let Some(value) = table.get("type_kv") {
        for apart in ["type_k", "type_v"].into_iter().filter(|key| table.get(*key).is_some()) {
            reader.report(value.span().start, Kind::TypesTwice(apart));
        }
    }
    let k = k.unwrap_or_else(|| vec![axes.type_kv[0].0]);
    let v = v.unwrap_or_else(|| vec![axes.type_kv[0].1]);
    axes.type_kv = match both {
        Some(both) => both.into_iter().map(|t| (t, t)).collect(),
        None => k.iter().flat_map(|k| v.iter().map(|v| (*k, *v))).collect(),
    };
}

fn kv_type(reader: &mut Reader, key: &str, value: &Value) -> Option<GgmlType> {
    let text = reader.text(key, value)?;
    let found = text.parse::<GgmlType>().ok().filter(|t| KV_TYPES.contains(t));
    if found.is_none() {
        let allowed: Vec<&str> = KV_TYPES.iter().map(|t| t.name()).collect();
        reader.unknown_word(key, value, &text, &allowed);
    }
    found
}

/// An axis of texts, each checked and perhaps respelled by `check`.
fn texts(
    reader: &mut Reader,
    key: &str,
    value: &Value,
    check: impl Fn(&str) -> Result<String, Vec<&'static str>>,
) -> Option<Vec<String>> {
    reader.axis(key, value, |reader, item| {
        let text = reader.text(key, item)?;
        match check(&text) {
            Ok(text) => Some(vec![text]),
            Err(allowed) => {
                reader.unknown_word(key, item, &text, &allowed);
                None
            }
        }
    })
}

fn not_empty(text: &str) -> Result<String, Vec<&'static str>> {
    if text.trim().is_empty() { Err(vec!["names"]) } else { Ok(text.to_owned()) }
}

/// Whether an engine's name is known, also the one that `delay:` wraps.
pub fn engine_word(text: &str) -> Result<String, Vec<&'static str>> {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix("delay:") {
        rest = inner;
    }
    let head = rest.split([':', '?']).next().unwrap_or(rest);
    let bare_delay = head == "delay";
    if ENGINES.contains(&head) && !bare_delay { Ok(text.to_owned()) } else { Err(ENGINES.to_vec()) }
}

fn quant_word(text: &str) -> Result<String, Vec<&'static str>> {
    text.parse::<FileMix>().map(|mix| mix.name().to_owned()).map_err(|_| FileMix::NAMES.to_vec())
}

/// `all`, `big`, or a list of CPU numbers and spans such as `0,2-3`.
pub fn cpus_word(text: &str) -> Result<String, Vec<&'static str>> {
    let is_number = |t: &str| t.parse::<u16>().is_ok() && t.bytes().all(|b| b.is_ascii_digit());
    let is_span = |part: &str| match part.split_once('-') {
        Some((a, b)) => {
            is_number(a) && is_number(b) && a.parse::<u16>().ok() <= b.parse::<u16>().ok()
        }
        None => is_number(part),
    };
    if text == "all" || text == "big" || text.split(',').all(is_span) {
        Ok(text.to_owned())
    } else {
        Err(vec!["all", "big", "a list of CPUs such as `0,2-3`"])
    }
}

/// The exclusions with the place of each.
fn excludes(reader: &mut Reader, table: &DeTable) -> Vec<(usize, Filter)> {
    const ALLOWED: &str = "tables such as { quant = \"F16\", n_depth = \">=4096\" }, in a list";
    let Some(value) = table.get("exclude") else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        reader.wrong_type("exclude", value, ALLOWED);
        return Vec::new();
    };
    let mut filters = Vec::new();
    for item in items.iter() {
        let DeValue::Table(conditions) = item.get_ref() else {
            reader.wrong_type("exclude", item, ALLOWED);
            continue;
        };
        if conditions.is_empty() {
            reader.report(item.span().start, Kind::EmptyExclude);
        }
        let mut read = Vec::new();
        for (key, value) in conditions.iter() {
            read.extend(condition(reader, key.get_ref(), key.span().start, value));
        }
        filters.push((item.span().start, Filter(read)));
    }
    filters
}

/// One condition of an exclusion: a number, a text (perhaps with a comparison), or a list of
/// alternatives.
fn condition(reader: &mut Reader, key: &str, at: usize, value: &Value) -> Option<Condition> {
    const ALLOWED: &str = "numbers, texts such as \"Q4_*\" or \">=4096\", or a list of them";
    let items: Vec<&Value> = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    if items.is_empty() {
        reader.report(value.span().start, Kind::EmptyList(format!("exclude.{key}")));
        return None;
    }
    let mut whole: Option<Condition> = None;
    for item in &items {
        let text = match item.get_ref() {
            DeValue::Integer(_) => shown(item.get_ref()).replace("the number ", ""),
            DeValue::String(text) => text.clone().into_owned(),
            _ => {
                reader.wrong_type(&format!("exclude.{key}"), item, ALLOWED);
                return None;
            }
        };
        match Condition::on_axis(key, &text) {
            Ok(new) if items.len() > 1 && !new.is_equality() => {
                reader.wrong_type(&format!("exclude.{key}"), item, "lists without comparisons");
                return None;
            }
            Ok(new) => {
                whole = Some(match whole {
                    Some(before) => before.or(new),
                    None => new,
                });
            }
            Err(error) => {
                reader.report(at, Kind::Condition(error));
                return None;
            }
        }
    }
    whole
}

/// Looks at every cell that the block spans.
fn check_points(
    reader: &mut Reader,
    table: &DeTable,
    start: usize,
    matrix: &Matrix,
    excludes: &[(usize, Filter)],
) {
    let n = matrix.axes.n_points(TRIED_CPUS);
    if n.is_none_or(|n| n > MAX_CELLS) {
        reader.report(start, Kind::TooManyCells { n, most: MAX_CELLS });
        return;
    }
    let points = matrix.axes.points(TRIED_CPUS);
    let any_threads = matrix.axes.n_threads.iter().any(|threads| threads.depends_on_machine());
    for (at, filter) in excludes {
        if !points.iter().any(|point| filter.may_match(point, any_threads)) {
            reader.report(*at, Kind::ExcludesNothing(filter.to_string()));
        }
    }
    let left: Vec<&Point> = points.iter().filter(|point| matrix.admits(point)).collect();
    if left.is_empty() {
        reader.report(start, Kind::EmptyMatrix(points.len()));
    }
    let mut flaws: Vec<(Flaw, usize)> = Vec::new();
    for flaw in left.iter().filter_map(|point| point.flaw()) {
        match flaws.iter_mut().find(|(seen, _)| discriminant(seen) == discriminant(&flaw)) {
            Some((_, n_more)) => *n_more += 1,
            None => flaws.push((flaw, 0)),
        }
    }
    let is_there = |key: &str| table.get(key).is_some();
    for (flaw, n_more) in flaws {
        if flaw == Flaw::NothingTimed && !is_there("n_prompt") && !is_there("n_gen") {
            reader.report(start, Kind::NothingTimed);
            continue;
        }
        let at = flaw.axes().iter().find_map(|key| table.get(*key)).map(|value| value.span().start);
        reader.report(at.unwrap_or(start), Kind::Impossible { flaw, n_more });
    }
}
