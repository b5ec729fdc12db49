//! The page a person reads: a few lines of what the file is, then tables.

use serde_json::Value;

use super::facts::{Entry, Facts, Share, Tensor, group_name};
use super::values::{Flaw, Values};
use crate::cli::list::table;
use crate::report::{elide, grouped, plain};
use crate::units::Bytes;

/// Most columns a value takes on a line of its key.
const MOST_COLUMNS: usize = 60;

/// Lines of numbers of the shape.
const SHAPE: [(&str, &[&str]); 2] = [
    ("shape", &["n_layer", "n_embd", "n_ff", "n_vocab", "n_ctx_train"]),
    ("heads", &["n_head", "n_head_kv", "head_dim"]),
];

/// The page, at most `width` columns wide where that can be reached; with the list of tensors,
/// and with that of all keys.
pub fn text(facts: &Facts, tensors: bool, metadata: bool, width: usize) -> String {
    let mut page = String::new();
    for (name, value) in head(facts) {
        page.push_str(&format!("{name:<12}{value}\n"));
    }
    page.push('\n');
    page.push_str(&share_table("type", &facts.types).to_text(width));
    page.push('\n');
    page.push_str(&share_table("part", &facts.groups).to_text(width));
    if let Some(values) = facts.values.as_ref().filter(|values| !values.flaws.is_empty()) {
        page.push('\n');
        page.push_str(&flaw_table(&values.flaws).to_text(width));
    }
    if let Some(entries) = facts.metadata.as_ref().filter(|_| metadata) {
        page.push('\n');
        page.push_str(&metadata_table(entries).to_text(width));
    }
    if tensors {
        page.push('\n');
        page.push_str(&tensor_table(&facts.tensors).to_text(width));
    }
    page
}

/// The lines at the top: a name and what stands behind it.
fn head(facts: &Facts) -> Vec<(&'static str, String)> {
    let known = |text: &Option<String>| text.as_deref().map_or("unknown".to_owned(), plain);
    let mut lines = Vec::new();
    let mut line = |name, value: String| lines.push((name, value));
    let whole = |n: u64| grouped(n as f64, 0);
    let version = format!("GGUF {}, alignment {}", facts.gguf_version, facts.alignment);
    let bytes = facts.file_bytes.map(|n| format!("{} ({} bytes), ", Bytes(n), whole(n)));
    let bytes = bytes.unwrap_or_default();
    match facts.origin {
        "file" => line("file", format!("{}: {bytes}{version}", plain(&facts.name))),
        _ => line("file", format!("none read; as synth would write it: {bytes}{version}")),
    }
    line("model", format!("{}, {}", known(&facts.model), known(&facts.arch)));
    line("quant", known(&facts.quant));
    for (name, parts) in SHAPE {
        let known =
            parts.iter().filter_map(|part| facts.shape.get(part).map(|n| format!("{part} {n}")));
        let known: Vec<String> = known.collect();
        if !known.is_empty() {
            line(name, known.join(" · "));
        }
    }
    let counted = whole(facts.n_params_llama_cpp);
    let unique = facts.n_params.map_or("not known without the data".to_owned(), whole);
    line("parameters", format!("unique: {unique}; as llama.cpp counts: {counted}"));
    let bits = facts.bits_per_weight.map(|b| format!(", {b:.3} bits per weight"));
    let bits = bits.unwrap_or_default();
    let weights =
        format!("{} in {} tensors (--tensors){bits}", Bytes(facts.weight_bytes), facts.n_tensors);
    line("weights", weights);
    if let Some(values) = &facts.values {
        line("values", in_words(values));
    }
    if let Some(offset) = facts.data_offset {
        line("data", format!("from byte {}", whole(offset)));
    }
    if let Some(entries) = &facts.metadata {
        line("metadata", format!("{} keys (--metadata)", entries.len()));
    }
    lines
}

/// What was found in the weights, in a line.
fn in_words(values: &Values) -> String {
    let Values { n_tensors, n_unread, flaws } = values;
    let found = match flaws.len() {
        0 => format!("all finite, in {n_tensors} tensors"),
        n => format!("NaN or infinite in {n} of {n_tensors} tensors"),
    };
    match n_unread {
        0 => found,
        n => format!("{found}; {n} of types that are not read here"),
    }
}

fn flaw_table(flaws: &[Flaw]) -> crate::report::Table {
    let mut table = table(&["tensor", "type", ">first at byte", "what", ">found"]);
    for flaw in flaws {
        table.push(vec![
            flaw.tensor.clone(),
            flaw.ty.to_string(),
            grouped(flaw.byte as f64, 0),
            flaw.what.to_owned(),
            flaw.found.clone(),
        ]);
    }
    table
}

fn share_table(what: &str, shares: &[Share]) -> crate::report::Table {
    let mut table = table(&[what, ">tensors", ">parameters", ">bytes", ">size", ">share"]);
    for share in shares {
        table.push(vec![
            share.name.clone(),
            share.n_tensors.to_string(),
            grouped(share.n_elements as f64, 0),
            grouped(share.bytes as f64, 0),
            Bytes(share.bytes).to_string(),
            format!("{:.1} %", 100.0 * share.share),
        ]);
    }
    table
}

fn tensor_table(tensors: &[Tensor]) -> crate::report::Table {
    let mut table = table(&["tensor", "type", ">dimensions", ">bytes", ">from byte", "part"]);
    for tensor in tensors {
        let dims: Vec<String> = tensor.dims.iter().map(ToString::to_string).collect();
        table.push(vec![
            tensor.name.clone(),
            tensor.ty.to_string(),
            dims.join(" × "),
            tensor.bytes.to_string(),
            tensor.offset.map_or("–".to_owned(), |n| n.to_string()),
            group_name(tensor.group),
        ]);
    }
    table
}

fn metadata_table(entries: &[Entry]) -> crate::report::Table {
    let mut table = table(&["key", "type", "value"]);
    for entry in entries {
        table.push(vec![entry.key.clone(), entry.ty.clone(), value(entry)]);
    }
    table
}

/// The value in one short line; where it is longer than that, how long it is.
fn value(entry: &Entry) -> String {
    if let (Some(len), Value::Array(first)) = (entry.len, &entry.value) {
        let more = if len > first.len() as u64 { ", …" } else { "" };
        let shown: Vec<String> = first.iter().map(ToString::to_string).collect();
        let shown = elide(&plain(&format!("[{}{more}]", shown.join(", "))), MOST_COLUMNS);
        return format!("{shown} ({len} elements)");
    }
    let Value::String(text) = &entry.value else { return entry.value.to_string() };
    let flat = plain(text);
    let short = elide(&flat, MOST_COLUMNS);
    if short == flat { flat } else { format!("{short} ({} characters)", text.chars().count()) }
}
