//! What is known of a file, gathered once: the page and the JSON show the same.
//!
//! The names of the fields are a promise to programs that read the JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::values::Values;
use crate::ggml::GgmlType;
use crate::gguf::{DEFAULT_ALIGNMENT, Gguf, GgufError, GgufHead, GgufHeader, TensorInfo, Value};
use crate::model::{self, FileMix, ModelIdentity, ModelShape, PerLayer, TensorGroup, group_of};
use crate::plan::WEIGHT_SEED;
use crate::synth::{SYNTH_VERSION, Synthesis};

/// Elements of an array that are shown. A vocabulary has a hundred thousand and more.
const SHOWN_ELEMENTS: usize = 8;

/// A file, or what one would be.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// `file`, or `shape` where no file was read.
    pub origin: &'static str,
    /// The file's own name, without its folder; the model's where there is none.
    pub name: String,
    /// What is wrong with the file; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// `general.name`.
    pub model: Option<String>,
    /// `general.architecture`.
    pub arch: Option<String>,
    /// The mix: `general.file_type` by name, else the type of most bytes.
    pub quant: Option<String>,
    /// Bytes of the file. Of a shape: of the file that `slmbench synth` would write.
    pub file_bytes: Option<u64>,
    /// Version of the format.
    pub gguf_version: u32,
    /// Alignment of tensor data.
    pub alignment: u64,
    /// Byte at which tensor data begins.
    pub data_offset: Option<u64>,
    /// Unique parameters: a copied output head counts once. Unknown where the data that would
    /// have to be compared is not there.
    pub n_params: Option<u64>,
    /// Parameters as llama.cpp counts them: every element of every tensor.
    pub n_params_llama_cpp: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// 8 × weight bytes ÷ unique parameters.
    pub bits_per_weight: Option<f64>,
    /// Number of tensors.
    pub n_tensors: usize,
    /// What the metadata says of the model's shape; what it does not say is left out.
    pub shape: BTreeMap<&'static str, PerLayer>,
    /// What its weights were found to be; absent where they were not looked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
    /// By tensor type, most bytes first.
    pub types: Vec<Share>,
    /// By part of the model, most bytes first.
    pub groups: Vec<Share>,
    /// All metadata in file order; absent where no file was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Vec<Entry>>,
    /// All tensors in file order.
    pub tensors: Vec<Tensor>,
}

/// Tensors of one type or one part.
#[derive(Debug, Serialize)]
pub struct Share {
    /// The type as ggml writes it, or the part.
    pub name: String,
    /// How many.
    pub n_tensors: usize,
    /// Their elements.
    pub n_elements: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of all tensors' bytes, 0 to 1.
    pub share: f64,
}

/// A key and its value.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Type of the value.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value; of an array its first elements.
    pub value: serde_json::Value,
    /// Number of elements of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// Byte of the file at which an array's elements begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// A tensor.
#[derive(Debug, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Dimensions in ggml's order: the first is the length of a row.
    pub dims: Vec<u64>,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: GgmlType,
    /// The part it belongs to.
    pub group: TensorGroup,
    /// Its elements.
    pub n_elements: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Byte of the file at which its data begins.
    pub offset: Option<u64>,
}

impl Facts {
    /// Those of a file that is whole.
    pub fn of_file(gguf: &Gguf) -> Result<Facts, GgufError> {
        // The content's hash is not asked for: it would read all of it.
        let identity = ModelIdentity::of_file(gguf, String::new())?;
        let head = Facts::of_head(gguf.head());
        Ok(Facts {
            // Of an architecture that is known here, all numbers, also those its keys leave out.
            shape: ModelShape::from_gguf(gguf).map_or(head.shape.clone(), |shape| numbers(&shape)),
            quant: Some(model::quant_name(gguf)?),
            n_params: Some(identity.n_params),
            bits_per_weight: Some(identity.bits_per_weight),
            ..head
        })
    }

    /// Those of a file by its header alone, whose data is cut or damaged.
    pub fn of_damaged(head: &GgufHead) -> Facts {
        let flaw = head.header().check_data(head.file_len()).err();
        Facts { problem: flaw.map(|e| e.to_string()), ..Facts::of_head(head) }
    }

    fn of_head(head: &GgufHead) -> Facts {
        let header = head.header();
        let tensor = |t: &TensorInfo| Tensor {
            name: t.name.clone(),
            dims: t.dims.clone(),
            ty: t.ty,
            group: model::group_of(&t.name),
            n_elements: t.n_elements(),
            bytes: t.bytes,
            offset: Some(t.offset),
        };
        let name = head.path().and_then(|p| p.file_name()).unwrap_or_default();
        Facts {
            file_bytes: Some(head.file_len()),
            gguf_version: header.version(),
            alignment: header.alignment(),
            data_offset: Some(header.data_offset()),
            model: text(header, "general.name"),
            arch: text(header, "general.architecture"),
            quant: mix_name(header),
            shape: shape_of(head),
            metadata: Some(header.metadata().map(|(k, v)| entry(head, k, v)).collect()),
            ..Facts::of_tensors(
                "file",
                name.to_string_lossy().into_owned(),
                header.tensors().iter().map(tensor).collect(),
            )
        }
    }

    /// Those of the file that would be made of `shape` in `mix`. Its metadata is left out: beside
    /// the shape it is a made-up tokenizer.
    pub fn of_shape(shape: &ModelShape, mix: FileMix) -> Facts {
        let identity = ModelIdentity::of_synthetic(shape, mix, WEIGHT_SEED, SYNTH_VERSION);
        let bytes_of = |ty: GgmlType, n| ty.bytes_for(n).unwrap_or(0);
        let tensors: Vec<Tensor> = mix
            .tensors(shape)
            .into_iter()
            .map(|(spec, ty)| Tensor {
                n_elements: spec.n_elements(),
                bytes: bytes_of(ty, spec.n_elements()),
                group: group_of(&spec.name),
                name: spec.name,
                dims: spec.dims,
                ty,
                offset: None,
            })
            .collect();
        // A shape whose tokenizer cannot be made up has no file.
        let file_bytes = Synthesis::new(shape, mix, WEIGHT_SEED).file_len().ok();
        let padded = |t: &Tensor| t.bytes.next_multiple_of(DEFAULT_ALIGNMENT);
        let data_offset = file_bytes.map(|n| n - tensors.iter().map(padded).sum::<u64>());
        let mut facts = Facts::of_tensors("shape", shape.name.clone(), tensors);
        let mut next = data_offset;
        for tensor in &mut facts.tensors {
            tensor.offset = next;
            next = next.map(|n| n + padded(tensor));
        }
        Facts {
            model: Some(shape.name.clone()),
            arch: Some(identity.arch),
            quant: Some(mix.to_string()),
            file_bytes,
            data_offset,
            n_params: Some(identity.n_params),
            bits_per_weight: Some(identity.bits_per_weight),
            shape: numbers(shape),
            ..facts
        }
    }

    fn of_tensors(origin: &'static str, name: String, tensors: Vec<Tensor>) -> Facts {
        let weight_bytes = tensors.iter().fold(0u64, |sum, t| sum.saturating_add(t.bytes));
        let n_elements = tensors.iter().fold(0u64, |sum, t| sum.saturating_add(t.n_elements));
        Facts {
            origin,
            name,
            problem: None,
            model: None,
            arch: None,
            quant: None,
            file_bytes: None,
            gguf_version: 3,
            alignment: DEFAULT_ALIGNMENT,
            data_offset: None,
            n_params: None,
            n_params_llama_cpp: n_elements,
            weight_bytes,
            bits_per_weight: None,
            n_tensors: tensors.len(),
            shape: BTreeMap::new(),
            values: None,
            types: shares(&tensors, weight_bytes, |t| t.ty.to_string()),
            groups: shares(&tensors, weight_bytes, |t| group_name(t.group)),
            metadata: None,
            tensors,
        }
    }
}

/// The part's name, as the JSON spells it.
pub fn group_name(group: TensorGroup) -> String {
    json!(group).as_str().unwrap_or_default().to_owned()
}

/// Sums by what `name` answers, most bytes first.
fn shares(tensors: &[Tensor], all: u64, name: impl Fn(&Tensor) -> String) -> Vec<Share> {
    let mut by_name = BTreeMap::<String, Share>::new();
    for tensor in tensors {
        let name = name(tensor);
        let empty =
            || Share { name: name.clone(), n_tensors: 0, n_elements: 0, bytes: 0, share: 0.0 };
        let sum = by_name.entry(name.clone()).or_insert_with(empty);
        sum.n_tensors += 1;
        sum.n_elements = sum.n_elements.saturating_add(tensor.n_elements);
        sum.bytes = sum.bytes.saturating_add(tensor.bytes);
    }
    let mut shares: Vec<Share> = by_name.into_values().collect();
    for share in &mut shares {
        share.share = if all == 0 { 0.0 } else { share.bytes as f64 / all as f64 };
    }
    shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    shares
}

fn text(header: &GgufHeader, key: &str) -> Option<String> {
    match header.get(key) {
        Some(Value::Str(text)) => Some(text.clone()),
        _ => None,
    }
}

fn number(header: &GgufHeader, key: &str) -> Option<u64> {
    match header.get(key)? {
        Value::U32(n) => Some(u64::from(*n)),
        Value::U64(n) => Some(*n),
        Value::I32(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// The mix that `general.file_type` names, where this program makes it too.
fn mix_name(header: &GgufHeader) -> Option<String> {
    let named = number(header, "general.file_type")?;
    let mixes = FileMix::NAMES.iter().filter_map(|name| name.parse::<FileMix>().ok());
    mixes.into_iter().find(|mix| u64::from(mix.file_type()) == named).map(|mix| mix.to_string())
}

/// The numbers of a shape that are shown.
fn numbers(shape: &ModelShape) -> BTreeMap<&'static str, PerLayer> {
    BTreeMap::from([
        ("n_layer", shape.n_layer.into()),
        ("n_embd", shape.n_embd.into()),
        ("n_ff", shape.n_ff.clone()),
        ("n_head", shape.n_head.clone()),
        ("n_head_kv", shape.n_head_kv.clone()),
        ("head_dim", shape.head_dim.into()),
        ("n_vocab", shape.n_vocab.into()),
        ("n_ctx_train", shape.n_ctx_train.into()),
    ])
}

/// The numbers that the metadata of every architecture has, by their names in llama.cpp.
fn shape_of(head: &GgufHead) -> BTreeMap<&'static str, PerLayer> {
    let header = head.header();
    let arch = text(header, "general.architecture").unwrap_or_default();
    let named = [
        ("n_layer", "block_count"),
        ("n_embd", "embedding_length"),
        ("n_ff", "feed_forward_length"),
        ("n_head", "attention.head_count"),
        ("n_head_kv", "attention.head_count_kv"),
        ("head_dim", "attention.key_length"),
        ("n_ctx_train", "context_length"),
    ];
    let mut shape: BTreeMap<&'static str, PerLayer> = named
        .into_iter()
        .filter_map(|(name, key)| Some((name, per_layer(head, &format!("{arch}.{key}"))?)))
        .collect();
    let rows = header.tensor("token_embd.weight").and_then(|t| t.dims.get(1).copied());
    shape.extend(rows.and_then(|n| Some(("n_vocab", u32::try_from(n).ok()?.into()))));
    let same = |name: &str| shape.get(name).and_then(PerLayer::same);
    if let (Some(n_embd), Some(n_head @ 1..)) = (same("n_embd"), same("n_head")) {
        shape.entry("head_dim").or_insert((n_embd / n_head).into());
    }
    shape
}

/// A number of the metadata, or a list with one of each layer.
fn per_layer(head: &GgufHead, key: &str) -> Option<PerLayer> {
    let small = |value: &serde_json::Value| u32::try_from(value.as_u64()?).ok();
    match head.header().get(key)? {
        list @ Value::Array { len, .. } if *len <= MAX_LAYERS => {
            let all = head.first_elements(list, MAX_LAYERS as usize);
            let all: Option<Vec<u32>> = all.iter().map(|v| small(&as_json(head, v))).collect();
            all.map(PerLayer::from_list)
        }
        Value::Array { .. } => None,
        one => small(&as_json(head, one)).map(PerLayer::Same),
    }
}

/// More layers than any model has.
const MAX_LAYERS: u64 = 4096;

fn entry(head: &GgufHead, key: &str, value: &Value) -> Entry {
    let (len, offset) = match value {
        Value::Array { len, offset, .. } => (Some(*len), Some(*offset)),
        _ => (None, None),
    };
    let ty = match value {
        Value::Array { element, .. } => format!("array of {element}"),
        other => other.ty().to_string(),
    };
    Entry { key: key.to_owned(), ty, value: as_json(head, value), len, offset }
}

fn as_json(head: &GgufHead, value: &Value) -> serde_json::Value {
    match value {
        Value::U8(v) => json!(v),
        Value::I8(v) => json!(v),
        Value::U16(v) => json!(v),
        Value::I16(v) => json!(v),
        Value::U32(v) => json!(v),
        Value::I32(v) => json!(v),
        // By its own digits: 1e-5, and not 9.999999747378752e-6.
        Value::F32(v) => json!(v.to_string().parse::<f64>().unwrap_or(f64::from(*v))),
        Value::Bool(v) => json!(v),
        Value::Str(v) => json!(v),
        Value::U64(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::F64(v) => json!(v),
        Value::Array { .. } => {
            let first = head.first_elements(value, SHOWN_ELEMENTS);
            first.iter().map(|v| as_json(head, v)).collect()
        }
    }
}
