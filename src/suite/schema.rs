//! JSON Schemas of suites and of tables of devices, for editors that complete and check TOML.
//!
//! A schema accepts whatever the reader accepts, and refuses what can be seen in one value or in
//! the names of keys. What takes arithmetic is left to the reader: empty ranges, cells that cannot
//! be, exclusions that exclude nothing. Draft 7, and everything in its place instead of
//! referred to: what the editors' extensions understand best.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::device::Devices;
use super::filter;
use super::keys::{self, Absent, Block, Key, Value, Values};
use super::range::{MAX_COUNT, MAX_VALUES};
use crate::model::{FileMix, SUFFIX_2024};

/// The schema of suites.
pub fn suite_schema() -> Json {
    let mut schema = object(&keys::TOP);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Suite of slmbench");
    schema["description"] = json!("What to measure. `docs/suites.md` describes the format.");
    schema["anyOf"] = json!([{ "required": ["matrix"] }, { "required": ["soak"] }]);
    schema
}

/// The schema of a table of devices such as `devices.toml`.
pub fn devices_schema() -> Json {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Devices>().to_value();
    without_null(&mut schema);
    schema
}

/// Takes out null, which TOML does not have: what may be absent is not among `required`.
fn without_null(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            fields.retain(|name, value| name != "default" || !value.is_null());
            for value in fields.values_mut() {
                without_null(value);
            }
            if let Some(Json::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = &types[..] {
                    fields["type"] = one.clone();
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// A table with these keys and no others.
fn object(keys: &[Key]) -> Json {
    let properties: Map<String, Json> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| matches!(key.absent, Absent::Refused))
        .map(|key| key.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Json {
    let mut schema = match key.values {
        Values::One(value) => any_of(alternatives(value)),
        Values::Axis(value) => one_or_list(alternatives(value), MAX_VALUES),
        Values::Exclusions => json!({ "type": "array", "items": exclusion() }),
        Values::Blocks(kind) => json!({ "type": "array", "items": block(kind), "minItems": 1 }),
        Values::Table(keys) => object(keys),
    };
    let (default, standard) = match key.absent {
        Absent::Refused => (None, "Must be there.".to_owned()),
        Absent::Number(n) => (Some(json!(n)), format!("Default: `{n}`.")),
        Absent::Text(text) => (Some(json!(text)), format!("Default: `\"{text}\"`.")),
        Absent::Said(text) => (None, format!("Default: {text}.")),
    };
    let form = match key.values {
        Values::Axis(Value::Count(..) | Value::AutoCount(..) | Value::Threads(..)) => {
            " One value or a list; ranges are written `\"1..4\"`, `\"0..4096+1024\"`, \
             `\"128..4096*2\"`."
        }
        Values::Axis(_) => " One value or a list.",
        _ => "",
    };
    schema["description"] = json!(format!("{}{form}\n\n{standard}", key.about));
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

fn block(kind: &Block) -> Json {
    let mut block = object(kind.keys);
    block["title"] = json!(kind.title);
    block["description"] = json!(kind.about);
    // Said so that an editor marks the one key too many instead of the block.
    block["dependencies"] = json!({ "type_kv": {
        "properties": { "type_k": false, "type_v": false },
        "additionalProperties": true,
    }});
    block
}

/// What one value may be, as the schemas of which one must hold.
fn alternatives(value: Value) -> Vec<Json> {
    match value {
        Value::Text => vec![json!({ "type": "string" })],
        Value::Name => vec![text("^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")],
        Value::Free([]) => vec![text(r"\S")],
        Value::Free(offered) => vec![words(offered), text(r"\S")],
        Value::Word(allowed) => vec![words(allowed)],
        Value::Truth => vec![json!({ "type": "boolean" })],
        Value::Number(least, most) => {
            vec![json!({ "type": "integer", "minimum": least, "maximum": most })]
        }
        Value::Count(least, most) => count(least, most, &[], "[0-9]+"),
        Value::AutoCount(least, most) => count(least, most, &["auto"], "[0-9]+"),
        Value::Threads(least, most) => {
            let mut alternatives = count(least, most, &["auto"], "([0-9]+|all)");
            alternatives.push(text("^all$"));
            alternatives
        }
        Value::Engine => {
            let whole = keys::whole_engines();
            let pattern = format!("^(delay:)*({})($|[:?])", whole.join("|"));
            vec![words(&whole), text(&pattern)]
        }
        Value::Quant => {
            let spellings: Vec<&str> = FileMix::spellings().collect();
            let pattern = format!("^({})({SUFFIX_2024})?$", in_any_case(&spellings));
            vec![words(FileMix::NAMES), text(&pattern)]
        }
        Value::Cpus => {
            let span = "[0-9]+(-[0-9]+)?";
            vec![words(&["all", "big"]), text(&format!("^{span}(,{span})*$"))]
        }
        Value::KvType => {
            let names = keys::kv_type_names();
            vec![words(&names), text(&format!("^({})$", in_any_case(&names)))]
        }
    }
}

/// A whole number, one of the words, or a range up to what `end` matches.
fn count(least: u32, most: u32, also: &[&str], end: &str) -> Vec<Json> {
    let mut alternatives = vec![
        json!({ "type": "integer", "minimum": least, "maximum": most }),
        text(&format!("^ *{} *$", range(end))),
    ];
    if !also.is_empty() {
        alternatives.insert(1, words(also));
    }
    alternatives
}

/// The pattern of a number or a range, without what stands around it.
fn range(end: &str) -> String {
    format!(r"[0-9]+( *\.\. *{end}( *[+*] *[0-9]+)?)?")
}

/// A table of conditions.
fn exclusion() -> Json {
    let properties: Map<String, Json> = filter::axes()
        .map(|(name, is_number, may_be_auto)| (name.to_owned(), condition(is_number, may_be_auto)))
        .collect();
    json!({
        "title": "Exclusion",
        "description": "Conditions; a cell to which all of them apply is left out.",
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": false,
    })
}

fn condition(is_number: bool, may_be_auto: bool) -> Json {
    let (alternatives, about) = if is_number {
        let also = if may_be_auto { "|auto" } else { "" };
        let value = format!("({}{also})", range("[0-9]+"));
        let equal = format!(r"(!?=)? *{value}( *\| *{value})*");
        let numbers = json!({ "type": "integer", "minimum": 0, "maximum": MAX_COUNT });
        (
            vec![numbers, text(&format!("^ *({equal}|[<>]=? *[0-9]+) *$"))],
            "Applies to these numbers: one, a range such as `\"1..4\"`, or a list of them; or a \
             comparison such as `\">=4096\"`, `\"<512\"`, `\"!=0\"`.",
        )
    } else {
        (
            vec![text("^ *(!?= *[^ ]|[^ <>=])"), json!({ "type": "integer" })],
            "Applies to these words: one, with the wildcards `*` and `?` (case does not matter), \
             or a list of them; or all others, as in `\"!=F16\"`.",
        )
    };
    let mut condition = one_or_list(alternatives, usize::MAX);
    condition["description"] = json!(about);
    condition
}

fn text(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

fn words(words: &[&str]) -> Json {
    json!({ "type": "string", "enum": words })
}

/// One that may be any of these.
fn any_of(mut alternatives: Vec<Json>) -> Json {
    if alternatives.len() == 1 { alternatives.remove(0) } else { json!({ "anyOf": alternatives }) }
}

/// One of these, or a list of up to `most` of them.
fn one_or_list(mut alternatives: Vec<Json>, most: usize) -> Json {
    let mut list = json!({ "type": "array", "items": any_of(alternatives.clone()), "minItems": 1 });
    if most < usize::MAX {
        list["maxItems"] = json!(most);
    }
    alternatives.push(list);
    any_of(alternatives)
}

/// The pattern of any of these words, whatever its case: patterns of JSON Schema know no flag.
fn in_any_case(words: &[&str]) -> String {
    let one = |c: char| match (c.to_ascii_uppercase(), c.to_ascii_lowercase()) {
        (upper, lower) if upper == lower => c.to_string(),
        (upper, lower) => format!("[{upper}{lower}]"),
    };
    let words: Vec<String> = words.iter().map(|word| word.chars().map(one).collect()).collect();
    words.join("|")
}
