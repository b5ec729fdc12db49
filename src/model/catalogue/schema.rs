//! The JSON Schema of catalogues, for editors that complete and check TOML.
//!
//! It accepts whatever the reader accepts, and refuses what can be seen in one value or in the
//! names of fields. Whether the fields make a model, and of how many parameters, is left to the
//! reader. Draft 7, and everything in its place instead of referred to: what the editors'
//! extensions understand best.

use serde_json::{Map, Value as Json, json};

use super::fields::{Absent, Field, HF, NAMES, PATH, SCALINGS, SHAPE, Value};
use crate::model::Arch;

/// The schema of a catalogue such as `models.toml`.
pub fn models_schema() -> Json {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Models of slmbench",
        "description": "Models by name: by their shape, or as GGUF files.",
        "type": "object",
        "properties": {
            "model": {
                "description": "A model: its shape, or a GGUF file.",
                "type": "array",
                "items": { "oneOf": [
                    origin("Model by shape", "Synthetic weights of this shape.", SHAPE),
                    origin("Model in a file", "The weights of a GGUF file.", &[PATH]),
                    origin("Model on Hugging Face", "The weights of a published GGUF file.", &[HF]),
                ]},
            },
        },
        "required": ["model"],
        "additionalProperties": false,
    })
}

/// A model whose weights these fields tell.
fn origin(title: &str, about: &str, fields: &[Field]) -> Json {
    object(title, about, NAMES.iter().chain(fields))
}

/// A table with these fields and no others.
fn object<'a>(title: &str, about: &str, fields: impl Iterator<Item = &'a Field>) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        properties.insert(field.name.to_owned(), property(field));
        if matches!(field.absent, Absent::Refused) {
            required.push(field.name);
        }
    }
    json!({
        "title": title,
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(field: &Field) -> Json {
    let mut schema = value(field.value);
    let standard = match field.absent {
        Absent::Refused => "Must be there.".to_owned(),
        Absent::False => {
            schema["default"] = json!(false);
            "Default: `false`.".to_owned()
        }
        Absent::Said(text) => format!("Where absent: {text}."),
    };
    schema["description"] = json!(format!("{}\n\n{standard}", field.about));
    schema
}

fn value(value: Value) -> Json {
    match value {
        Value::Text => json!({ "type": "string", "pattern": r"\S" }),
        Value::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Value::Truth => json!({ "type": "boolean" }),
        Value::Count(least, most) => whole(least, most),
        Value::PerLayer(most) => json!({ "anyOf": [
            whole(1, most),
            { "type": "array", "items": whole(1, most), "minItems": 1 },
        ]}),
        Value::Even(most) => {
            json!({ "type": "integer", "minimum": 0, "maximum": most, "multipleOf": 2 })
        }
        Value::Positive => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Value::Fraction => {
            json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 })
        }
        Value::Factor => json!({ "type": "number", "minimum": 1 }),
        Value::Parameters => json!({ "type": "integer", "minimum": 1 }),
        Value::Arch => json!({ "type": "string", "enum": Arch::NAMES }),
        Value::HuggingFace => json!({
            "type": "string",
            "pattern": "^[^/:@]+/[^/:@]+(@[^:]+)?:.+$",
            "not": { "pattern": r"\.\." },
        }),
        Value::RopeScaling => {
            let kinds = SCALINGS.iter().map(|(kind, about, fields)| {
                let mut table = object(kind, about, fields.iter());
                let kind = json!({
                    "description": format!("{about}\n\nMust be there."),
                    "type": "string",
                    "const": kind,
                });
                table["properties"]["kind"] = kind;
                table
            });
            json!({ "oneOf": kinds.collect::<Vec<_>>() })
        }
    }
}

fn whole(least: u32, most: u32) -> Json {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}
