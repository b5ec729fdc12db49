//! Changes to a GGUF file that leave most of it as it was.

use std::sync::OnceLock;

use libfuzzer_sys::fuzzer_mutate;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use slmbench::ggml::GgmlType;
use slmbench::gguf::{Gguf, GgufWriter, TensorInfo, Value};

use crate::seeds::files;

/// What stands at a place of a header.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A number of things, or how long a text is.
    Count,
    /// The type of a value.
    ValueType,
    /// A value of so many bytes.
    Number(usize),
    /// A text of so many bytes.
    Text(usize),
    /// How many dimensions a tensor has.
    Dimensions,
    /// One of them.
    Dimension,
    /// The type of a tensor.
    TensorType,
    /// Where its data lies.
    Offset,
}

/// Changes the first `size` bytes of `data`, a file, and answers how long it is then.
pub fn change(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.into());
    let size = match random.next_u32() % 6 {
        // What has been changed often is no model any more.
        0 => begin_anew(data, size, max_size, &mut random),
        _ => size,
    };
    match random.next_u32() % 16 {
        // Bytes of any kind, as libFuzzer and its dictionary will.
        0 | 1 => return fuzzer_mutate(data, size, max_size),
        2..6 => {
            let new = written_anew(&data[..size], &mut random);
            if let Some(new) = new.filter(|new| new.len() <= max_size.min(data.len())) {
                data[..new.len()].copy_from_slice(&new);
                return new.len();
            }
        }
        6 | 7 => {
            if let Some(start) = data_offset(&data[..size]) {
                change_data(&mut data[start..size], &mut random);
                return size;
            }
        }
        _ => {}
    }
    let fields = fields(&data[..size]);
    if fields.is_empty() {
        return fuzzer_mutate(data, size, max_size);
    }
    for _ in 0..1 + random.next_u32() % 2 {
        let (at, kind) = fields[below(&mut random, fields.len())];
        change_field(&mut data[..size], &fields, at, kind, &mut random);
    }
    size
}

/// Makes `data` one of the files that all begins with, if it has room, and answers how long it is.
fn begin_anew(data: &mut [u8], size: usize, max_size: usize, random: &mut impl RngCore) -> usize {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(files);
    let (_, bytes) = &files[below(random, files.len())];
    if bytes.len() > max_size.min(data.len()) {
        return size;
    }
    data[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

fn below(random: &mut impl RngCore, n: usize) -> usize {
    random.next_u64() as usize % n.max(1)
}

/// Whether a thing happens that happens once in `n` times.
fn one_in(random: &mut impl RngCore, n: u32) -> bool {
    random.next_u32().is_multiple_of(n)
}

/// A number of the kind at which programs stumble.
fn number(random: &mut impl RngCore, old: u64) -> u64 {
    const EDGES: [u64; 16] = [
        0,
        1,
        2,
        3,
        4,
        8,
        32,
        255,
        256,
        4096,
        1 << 20,
        1 << 31,
        u32::MAX as u64,
        1 << 60,
        1 << 63,
        u64::MAX,
    ];
    match random.next_u32() % 6 {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_mul(2),
        3 => old / 2,
        4 => EDGES[below(random, EDGES.len())],
        _ => random.next_u64() >> (random.next_u32() % 64),
    }
}

fn change_field(
    data: &mut [u8],
    fields: &[(usize, Kind)],
    at: usize,
    kind: Kind,
    random: &mut impl RngCore,
) {
    let size = match kind {
        Kind::Count | Kind::Dimension | Kind::Offset => 8,
        Kind::ValueType | Kind::Dimensions | Kind::TensorType => 4,
        Kind::Number(size) | Kind::Text(size) => size,
    };
    if at + size > data.len() || size == 0 {
        return;
    }
    // What stands in another place of the same kind is often nearly right.
    let others: Vec<usize> = fields.iter().filter(|f| f.1 == kind).map(|f| f.0).collect();
    if one_in(random, 3) {
        let other = others[below(random, others.len())];
        if other + size <= data.len() {
            data.copy_within(other..other + size, at);
        }
        return;
    }
    match kind {
        Kind::Text(_) => data[at + below(random, size)] ^= 1 << (random.next_u32() % 8),
        Kind::ValueType => {
            data[at..at + 4].copy_from_slice(&(random.next_u32() % 14).to_le_bytes())
        }
        Kind::TensorType => {
            let ty = GgmlType::ALL[below(random, GgmlType::ALL.len())];
            data[at..at + 4].copy_from_slice(&ty.id().to_le_bytes());
        }
        Kind::Dimensions => data[at] = (random.next_u32() % 6) as u8,
        Kind::Offset => {
            let old = word(data, at);
            let new = if one_in(random, 2) { old ^ 32 } else { number(random, old) };
            data[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
        Kind::Number(4) if one_in(random, 4) => {
            const ODD: [f32; 7] = [0.0, -1.0, 1e-40, 1e38, f32::NAN, f32::INFINITY, 1e-6];
            data[at..at + 4].copy_from_slice(&ODD[below(random, ODD.len())].to_le_bytes());
        }
        Kind::Count | Kind::Dimension | Kind::Number(_) => {
            let mut old = [0; 8];
            let n = size.min(8);
            old[..n].copy_from_slice(&data[at..at + n]);
            let new = number(random, u64::from_le_bytes(old)).to_le_bytes();
            data[at..at + n].copy_from_slice(&new[..n]);
        }
    }
}

/// Weights: some bytes, or a scale that is none.
fn change_data(data: &mut [u8], random: &mut impl RngCore) {
    if data.len() < 4 {
        return;
    }
    for _ in 0..1 + random.next_u32() % 8 {
        let at = below(random, data.len() - 3);
        match random.next_u32() % 4 {
            0 => data[at..at + 2].copy_from_slice(&0x7c00u16.to_le_bytes()),
            1 => data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes()),
            2 => data[at..at + 4].copy_from_slice(&1e38f32.to_le_bytes()),
            _ => data[at] = random.next_u32() as u8,
        }
    }
}

fn data_offset(bytes: &[u8]) -> Option<usize> {
    let file = Gguf::parse(bytes.to_vec()).ok()?;
    let start = file.header().data_offset() as usize;
    (start < bytes.len()).then_some(start)
}

fn word(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"))
}

/// Every place of a header, as far as it can be walked through.
fn fields(data: &[u8]) -> Vec<(usize, Kind)> {
    let mut walk = Walk { data, at: 8, fields: Vec::new() };
    walk.header();
    walk.fields
}

struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    fields: Vec<(usize, Kind)>,
}

impl Walk<'_> {
    fn header(&mut self) -> Option<()> {
        let n_tensors = self.u64(Kind::Count)?;
        let n_entries = self.u64(Kind::Count)?;
        for _ in 0..n_entries.min(500) {
            self.text()?;
            let ty = self.u32(Kind::ValueType)?;
            self.value(ty, 0)?;
        }
        for _ in 0..n_tensors.min(500) {
            self.text()?;
            for _ in 0..self.u32(Kind::Dimensions)?.min(8) {
                self.u64(Kind::Dimension)?;
            }
            self.u32(Kind::TensorType)?;
            self.u64(Kind::Offset)?;
        }
        Some(())
    }

    fn take(&mut self, n: usize, kind: Kind) -> Option<usize> {
        let at = self.at;
        self.at = at.checked_add(n).filter(|end| *end <= self.data.len())?;
        self.fields.push((at, kind));
        Some(at)
    }

    fn u64(&mut self, kind: Kind) -> Option<u64> {
        let at = self.take(8, kind)?;
        Some(word(self.data, at))
    }

    fn u32(&mut self, kind: Kind) -> Option<u32> {
        let at = self.take(4, kind)?;
        Some(u32::from_le_bytes(self.data[at..at + 4].try_into().expect("four bytes")))
    }

    fn text(&mut self) -> Option<()> {
        let n = usize::try_from(self.u64(Kind::Count)?).ok()?;
        self.take(n, Kind::Text(n)).map(drop)
    }

    fn value(&mut self, ty: u32, depth: u32) -> Option<()> {
        match ty {
            0 | 1 | 7 => self.take(1, Kind::Number(1)).map(drop),
            2 | 3 => self.take(2, Kind::Number(2)).map(drop),
            4..=6 => self.take(4, Kind::Number(4)).map(drop),
            10..=12 => self.take(8, Kind::Number(8)).map(drop),
            8 => self.text(),
            9 if depth < 4 => {
                let ty = self.u32(Kind::ValueType)?;
                let n = self.u64(Kind::Count)?;
                (0..n.min(1000)).try_for_each(|_| self.value(ty, depth + 1))
            }
            _ => None,
        }
    }
}

/// The file with a key or a tensor more, less or other, and all that depends on it right.
fn written_anew(bytes: &[u8], random: &mut impl RngCore) -> Option<Vec<u8>> {
    let file = Gguf::parse(bytes.to_vec()).ok()?;
    let arch = file.opt_str("general.architecture").ok().flatten().unwrap_or("llama").to_owned();
    let mut w = GgufWriter::new();
    let keys = file.head().raw_metadata();
    let mut tensors: Vec<TensorInfo> = file.tensors().to_vec();
    let what = random.next_u32() % 6;
    let chosen = below(random, keys.len());
    let added = format!("{arch}.{}", KEYS[below(random, KEYS.len())]);
    // The writer's own alignment is the usual one.
    let is_left_out = |i: usize, key: &str| {
        key == "general.alignment" || what == 0 && i == chosen || what == 1 && key == added
    };
    for (_, (key, value)) in keys.iter().enumerate().filter(|(i, (key, _))| !is_left_out(*i, key)) {
        w.set_raw(key, *value);
    }
    if what == 1 {
        add_key(&mut w, &added, file.get(&added), random);
    }
    if !tensors.is_empty() {
        let i = below(random, tensors.len());
        match what {
            2 => drop(tensors.remove(i)),
            3 => tensors.push(TensorInfo { name: added_tensor(random), ..tensors[i].clone() }),
            4 => {
                let ty = GgmlType::ALL[below(random, GgmlType::ALL.len())];
                tensors[i].ty = ty;
            }
            5 => {
                let n = tensors[i].dims.len();
                if n > 0 {
                    let dim = below(random, n);
                    tensors[i].dims[dim] = number(random, tensors[i].dims[dim]).min(512);
                }
            }
            _ => {}
        }
    }
    let mut names = std::collections::HashSet::new();
    tensors.retain(|t| names.insert(t.name.clone()));
    let bytes_of = |t: &TensorInfo| {
        let row = t.dims.first().copied().unwrap_or(1);
        let n = t.dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
        t.ty.bytes_for(n).filter(|n| *n < 1 << 18 && row.is_multiple_of(t.ty.block_size()))
    };
    tensors.retain(|t| bytes_of(t).is_some());
    for t in &tensors {
        w.tensor(&t.name, &t.dims, t.ty);
    }
    let mut out = w.start(Vec::new()).ok()?;
    for t in &tensors {
        // As much of the old data as there is; `bytes` and `offset` are still the old ones.
        let mut data = file.data_of(t).to_vec();
        data.resize(bytes_of(t)? as usize, 0);
        out.write(&data).ok()?;
    }
    out.finish().ok()
}

fn add_key(w: &mut GgufWriter, key: &str, old: Option<&Value>, random: &mut impl RngCore) {
    let old = match old {
        Some(Value::U32(n)) => u64::from(*n),
        _ => 1,
    };
    let n = number(random, old);
    match random.next_u32() % 8 {
        0 => w.set(key, n),
        1 => w.set(key, n as i32),
        2 => w.set(key, f32::from_bits(n as u32)),
        3 => w.set(key, n as f32 / 8.0),
        4 => w.set(key, n & 1 == 0),
        5 => w.set_array(key, &vec![n as i32 & 15; below(random, 8)]),
        6 => w.set_str(key, ["linear", "longrope", "none", "yarn"][below(random, 4)]),
        _ => w.set(key, n as u32),
    };
}

fn added_tensor(random: &mut impl RngCore) -> String {
    let name = TENSORS[below(random, TENSORS.len())];
    if name.contains("rope_") || name.starts_with("output") || name.starts_with("token") {
        return name.to_owned();
    }
    format!("blk.{}.{name}", random.next_u32() % 3)
}

/// Keys that are read, without the architecture.
const KEYS: [&str; 38] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_swa",
    "attention.value_length",
    "attention.value_length_swa",
    "attention.causal",
    "attention.clamp_kqv",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.kv_lora_rank",
    "attention.q_lora_rank",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "expert_count",
    "nextn_predict_layers",
    "post_norm",
    "rope.dimension_count",
    "rope.dimension_count_swa",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "token_embedding_length",
    "use_parallel_residual",
    "vocab_size",
];

/// Tensors that some architecture has, those of layers without `blk.N.`.
const TENSORS: [&str; 26] = [
    "attn_k.bias",
    "attn_k.weight",
    "attn_k_norm.weight",
    "attn_norm.bias",
    "attn_norm.weight",
    "attn_output.bias",
    "attn_output.weight",
    "attn_q.bias",
    "attn_q.weight",
    "attn_q_norm.weight",
    "attn_qkv.bias",
    "attn_qkv.weight",
    "attn_v.bias",
    "attn_v.weight",
    "ffn_down.weight",
    "ffn_gate.weight",
    "ffn_norm.weight",
    "ffn_up.bias",
    "ffn_up.weight",
    "output.bias",
    "output.weight",
    "output_norm.bias",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "rope_freqs.weight",
    "token_embd_norm.weight",
];
