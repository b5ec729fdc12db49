//! Weights: from the file into panels.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use super::linear::{Linear, Matrix};
use super::rope::Pairing;
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, TensorInfo};
use crate::model::{Arch, ModelError, ModelShape, RopeScaling};
use crate::reference::ReferenceError;
use crate::reference::arena::{Arena, padded};
use crate::reference::quant::{self, panel};

/// Where weights come to lie.
///
/// Matrices are always packed into memory of the engine's own, on huge pages: that is how they
/// are read fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// The file is closed after loading.
    Owned,
    /// The file stays mapped, and rows of the token embedding are read from it.
    Mapped,
}

/// A model with its weights.
#[derive(Debug)]
pub struct Model {
    /// Its shape.
    pub shape: ModelShape,
    pub(super) pairing: Pairing,
    /// `[head_dim / 2]` divisors of the rotary frequencies.
    pub(super) rope_factors: Option<Vec<f32>>,
    pub(super) embedding: Embedding,
    pub(super) layers: Vec<Layer>,
    /// `[n_embd]`
    pub(super) output_norm: Vec<f32>,
    /// `[n_vocab, n_embd]`
    pub(super) output: Linear,
    pub(super) weights: Arena,
    file: Option<Gguf>,
}

/// One block of the residual stream.
#[derive(Debug)]
pub(super) struct Layer {
    /// `[n_embd]`
    pub attn_norm: Vec<f32>,
    /// Queries, keys and values side by side: `[(n_head + 2 · n_head_kv) · head_dim, n_embd]`
    pub attn_qkv: Linear,
    /// `[n_embd, n_head · head_dim]`
    pub attn_output: Linear,
    /// `[n_embd]`
    pub ffn_norm: Vec<f32>,
    /// `[n_ff, n_embd]`
    pub ffn_gate: Linear,
    /// `[n_ff, n_embd]`
    pub ffn_up: Linear,
    /// `[n_embd, n_ff]`
    pub ffn_down: Linear,
}

/// Where the row of a token is found.
#[derive(Debug)]
pub(super) enum Embedding {
    /// In the packed output matrix.
    Tied,
    /// As the file has it, in the mapping.
    Mapped(TensorInfo),
    /// As the file has it, among the weights.
    Owned(GgmlType, Range<usize>),
}

/// Which elements of a head are rotated together, by architecture.
const PAIRINGS: [(Arch, Pairing); 2] =
    [(Arch::Llama, Pairing::Neighbours), (Arch::Qwen2, Pairing::Halves)];

/// Architectures that this engine runs.
pub const ARCHS: [Arch; 2] = [PAIRINGS[0].0, PAIRINGS[1].0];

/// How positions rotate, or what about the model this engine does not compute.
fn pairing(shape: &ModelShape) -> Result<Pairing, ReferenceError> {
    let unsupported = |what: String| Err(ModelError::Unsupported { what }.into());
    let Some((_, pairing)) = PAIRINGS.iter().find(|(arch, _)| *arch == shape.arch) else {
        return unsupported(format!("architecture `{}`", shape.arch));
    };
    if shape.n_rot != shape.head_dim {
        let (n_rot, head_dim) = (shape.n_rot, shape.head_dim);
        return unsupported(format!("rotating {n_rot} of {head_dim} elements"));
    }
    if let Some(value_dim) = shape.value_dim {
        let head_dim = shape.head_dim;
        return unsupported(format!("heads of {head_dim} key and {value_dim} value elements"));
    }
    match shape.rope_scaling {
        Some(RopeScaling::Linear { .. }) => unsupported("linear rope scaling".to_owned()),
        Some(RopeScaling::LongRope { .. }) => unsupported("longrope scaling".to_owned()),
        Some(RopeScaling::Llama3 { .. } | RopeScaling::Factors) | None => Ok(*pairing),
    }
}

impl Model {
    /// Reads the model at `path`.
    pub fn open(path: &Path, loading: Loading) -> Result<Model, ReferenceError> {
        Model::load(Gguf::open(path)?, loading)
    }

    /// Takes the weights out of an open file.
    pub fn load(file: Gguf, loading: Loading) -> Result<Model, ReferenceError> {
        let shape = ModelShape::from_gguf(&file)?;
        let pairing = pairing(&shape)?;
        for spec in shape.tensors() {
            let ty = file.tensor(&spec.name)?.ty;
            if !quant::is_supported(ty) {
                return Err(ReferenceError::WeightType { tensor: spec.name, ty });
            }
        }
        refuse_unknown(&file, &shape)?;
        let head = if shape.tied_output { EMBEDDING } else { "output.weight" };
        let weights = Arena::new(arena_bytes(&file, &shape, head, loading)?, "weights")?;
        let mut loader = Loader { file: &file, weights };

        let n_embd = shape.n_embd as usize;
        let mut layers = Vec::with_capacity(shape.n_layer as usize);
        for i in 0..shape.n_layer {
            layers.push(loader.layer(i, n_embd)?);
        }
        let output_norm = loader.vector("output_norm.weight", n_embd)?;
        let output = loader.linear("output", &[head])?;
        let embedding = match loading {
            Loading::Mapped => Embedding::Mapped(file.tensor(EMBEDDING)?.clone()),
            Loading::Owned if shape.tied_output => Embedding::Tied,
            Loading::Owned => {
                let data = file.tensor_data(EMBEDDING)?;
                let place = loader.weights.take(data.len());
                // As with matrices: never resident twice as a whole.
                let copies = loader.weights[place.clone()].chunks_mut(RELEASE_BYTES);
                for (copy, part) in copies.zip(data.chunks(RELEASE_BYTES)) {
                    copy.copy_from_slice(part);
                    loader.file.release(part);
                }
                Embedding::Owned(file.tensor(EMBEDDING)?.ty, place)
            }
        };
        let rope_factors = match file.has_tensor("rope_freqs.weight") {
            true => Some(loader.vector("rope_freqs.weight", shape.n_rot as usize / 2)?),
            false => None,
        };
        let weights = loader.weights;
        let file = (loading == Loading::Mapped).then_some(file);
        Ok(Model {
            shape,
            pairing,
            rope_factors,
            embedding,
            layers,
            output_norm,
            output,
            weights,
            file,
        })
    }

    /// Bytes of weights in memory of the engine's own.
    pub fn weight_bytes(&self) -> u64 {
        let vectors: usize = self
            .layers
            .iter()
            .map(|l| {
                let bias = |m: &Linear| m.bias.as_ref().map_or(0, Vec::len);
                l.attn_norm.len() + l.ffn_norm.len() + bias(&l.attn_qkv)
            })
            .sum::<usize>()
            + self.output_norm.len()
            + self.rope_factors.as_ref().map_or(0, Vec::len);
        (self.weights.len() + vectors * size_of::<f32>()) as u64
    }

    /// Bytes of weights that are read from the mapped file.
    pub fn mapped_bytes(&self) -> u64 {
        match &self.embedding {
            Embedding::Mapped(tensor) => tensor.bytes,
            _ => 0,
        }
    }

    /// The longest input of any matrix.
    pub(super) fn max_k(&self) -> usize {
        self.linears().map(Linear::k).max().unwrap_or(0)
    }

    /// Every linear map.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers
            .iter()
            .flat_map(|l| [&l.attn_qkv, &l.attn_output, &l.ffn_gate, &l.ffn_up, &l.ffn_down])
            .chain([&self.output])
    }

    /// Writes the embedding of `token` into `out`; `row` is room for a row of any type.
    pub(super) fn embed(&self, token: u32, row: &mut [u8], out: &mut [f32]) {
        let n = out.len();
        let at = |ty: GgmlType| {
            let bytes = quant::row_bytes(ty, n);
            token as usize * bytes..(token as usize + 1) * bytes
        };
        match (&self.embedding, &self.file) {
            (Embedding::Owned(ty, place), _) => {
                quant::dequantize_row(*ty, &self.weights[place.clone()][at(*ty)], out);
            }
            (Embedding::Mapped(tensor), Some(file)) => {
                quant::dequantize_row(tensor.ty, &file.data_of(tensor)[at(tensor.ty)], out);
            }
            _ => {
                let matrix = &self.output.parts[0];
                let row = &mut row[..quant::row_bytes(matrix.ty, n)];
                matrix.unpack_row(&self.weights, token as usize, row);
                quant::dequantize_row(matrix.ty, row, out);
            }
        }
    }
}

/// Bytes of the mapped file that may be resident while they are packed or copied.
const RELEASE_BYTES: usize = 4 << 20;

pub(super) const EMBEDDING: &str = "token_embd.weight";

/// The projections whose outputs lie side by side, and which may have biases.
const QKV: [&str; 3] = ["attn_q", "attn_k", "attn_v"];

/// Refuses a tensor that the graph would leave out: its logits would be those of another model.
fn refuse_unknown(file: &Gguf, shape: &ModelShape) -> Result<(), ReferenceError> {
    let mut known: HashSet<String> = shape.tensors().into_iter().map(|spec| spec.name).collect();
    for i in 0..shape.n_layer {
        known.extend(QKV.map(|w| format!("blk.{i}.{w}.bias")));
    }
    match file.tensors().iter().find(|tensor| !known.contains(&tensor.name)) {
        None => Ok(()),
        Some(tensor) => {
            Err(ReferenceError::UnknownTensor { tensor: tensor.name.clone(), arch: shape.arch })
        }
    }
}

/// Bytes that all matrices will take.
fn arena_bytes(
    file: &Gguf,
    shape: &ModelShape,
    head: &str,
    loading: Loading,
) -> Result<usize, ReferenceError> {
    let mut bytes = 0;
    for spec in shape.tensors().iter().filter(|s| s.dims.len() == 2) {
        let tensor = file.tensor(&spec.name)?;
        if spec.name != EMBEDDING || head == EMBEDDING {
            let [k, n] = [spec.dims[0] as usize, spec.dims[1] as usize];
            bytes += padded(panel::matrix_bytes(tensor.ty, n, k));
        } else if loading == Loading::Owned {
            bytes += padded(tensor.bytes as usize);
        }
    }
    Ok(bytes)
}

struct Loader<'a> {
    file: &'a Gguf,
    weights: Arena,
}

impl Loader<'_> {
    fn layer(&mut self, i: u32, n_embd: usize) -> Result<Layer, ReferenceError> {
        let name = |what: &str| format!("blk.{i}.{what}");
        let mut attn_qkv = self.linear("attn_qkv", &QKV.map(|w| name(&format!("{w}.weight"))))?;
        let biases = QKV.map(|w| name(&format!("{w}.bias")));
        // One of them without the others is no model that anybody trains: the missing one is named.
        if biases.iter().any(|bias| self.file.has_tensor(bias)) {
            let mut all = Vec::with_capacity(attn_qkv.n_out());
            for (bias, matrix) in biases.iter().zip(&attn_qkv.parts) {
                all.extend(self.vector(bias, matrix.n_rows)?);
            }
            attn_qkv.bias = Some(all);
        }
        Ok(Layer {
            attn_norm: self.vector(&name("attn_norm.weight"), n_embd)?,
            attn_qkv,
            attn_output: self.linear("attn_output", &[name("attn_output.weight")])?,
            ffn_norm: self.vector(&name("ffn_norm.weight"), n_embd)?,
            ffn_gate: self.linear("ffn_gate", &[name("ffn_gate.weight")])?,
            ffn_up: self.linear("ffn_up", &[name("ffn_up.weight")])?,
            ffn_down: self.linear("ffn_down", &[name("ffn_down.weight")])?,
        })
    }

    /// A tensor of one dimension, `n` elements long, as numbers.
    fn vector(&self, name: &str, n: usize) -> Result<Vec<f32>, ReferenceError> {
        let tensor = self.file.tensor(name)?;
        if tensor.dims != [n as u64] {
            return Err(ReferenceError::Model(ModelError::TensorShape {
                tensor: name.to_owned(),
                found: tensor.dims.clone(),
                expected: vec![n as u64],
            }));
        }
        if !quant::is_supported(tensor.ty) {
            return Err(ReferenceError::WeightType { tensor: name.to_owned(), ty: tensor.ty });
        }
        let mut out = vec![0.0; n];
        quant::dequantize_row(tensor.ty, self.file.data_of(tensor), &mut out);
        Ok(out)
    }

    /// Tensors of two dimensions over the same input, packed.
    fn linear<S: AsRef<str>>(
        &mut self,
        name: &'static str,
        names: &[S],
    ) -> Result<Linear, ReferenceError> {
        let mut parts = Vec::with_capacity(names.len());
        for tensor in names {
            let tensor = self.file.tensor(tensor.as_ref())?;
            let (ty, k, n_rows) = (tensor.ty, tensor.dims[0] as usize, tensor.n_rows() as usize);
            let bytes = self.weights.take(panel::matrix_bytes(ty, n_rows, k));
            let rows = self.file.data_of(tensor).chunks(panel::rows(ty) * quant::row_bytes(ty, k));
            let panels = self.weights[bytes.clone()].chunks_exact_mut(panel::bytes(ty, k));
            let mut unpacked = 0..0;
            let data = self.file.data_of(tensor);
            for (rows, panel) in rows.zip(panels) {
                panel::pack(ty, k, rows, panel);
                unpacked.end += rows.len();
                // File and panels must never both be resident as a whole.
                if unpacked.len() >= RELEASE_BYTES {
                    self.file.release(&data[unpacked.clone()]);
                    unpacked.start = unpacked.end;
                }
            }
            self.file.release(&data[unpacked]);
            parts.push(Matrix { ty, n_rows, k, bytes });
        }
        Ok(Linear { name, parts, bias: None })
    }
}
