//! Weights: from the file into panels.
//!
//! What a layer has is told by the tensors that are there. `ModelShape::from_gguf` has refused a
//! file that lacks one of its architecture's, and `refuse_unknown` one with a tensor more.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use super::linear::{Linear, Matrix};
use super::model::{FeedForward, Latents, Layer, Model, Norms, Projection, RopeFactors, Table};
use super::norm::Norm;
use super::recipe::{Family, Recipe};
use crate::ggml::GgmlType;
use crate::gguf::{Gguf, GgufError, TensorInfo};
use crate::model::{ModelError, ModelShape, RopeScaling, TensorSpec};
use crate::reference::ReferenceError;
use crate::reference::arena::{Arena, padded};
use crate::reference::quant::{self, NotFinite, panel};

/// Where weights come to lie.
///
/// Matrices are always packed into memory of the engine's own, on huge pages: that is how they
/// are read fastest. What is packed or copied is looked through for numbers that are none; rows that
/// stay in the mapped file are not, for that would read them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// The file is closed after loading.
    Owned,
    /// The file stays mapped, and rows of the token embedding and of positions are read from it.
    Mapped,
}

impl Model {
    /// Reads the model at `path`.
    pub fn open(path: &Path, loading: Loading) -> Result<Model, ReferenceError> {
        Model::load(Gguf::open(path)?, loading)
    }

    /// Takes the weights out of an open file.
    pub fn load(file: Gguf, loading: Loading) -> Result<Model, ReferenceError> {
        let (shape, recipe) = read(&file)?;
        let places = shape.tensors().into_iter().map(|spec| {
            let ty = file.tensor(&spec.name)?.ty;
            Ok::<_, ReferenceError>(arena_bytes(&shape, &spec, ty, loading))
        });
        let bytes = places.sum::<Result<usize, _>>()?;
        let weights = Arena::new(bytes, "weights")?;
        let loader =
            Loader { file: &file, shape: &shape, recipe, loading, weights, vector_bytes: 0 };
        let mut model = loader.model()?;
        model.file = (loading == Loading::Mapped).then_some(file);
        Ok(model)
    }
}

/// What `file` is by its header, if this engine runs it: what is refused here is refused before any
/// memory is taken, by a plan as by loading.
pub(super) fn read(file: &Gguf) -> Result<(ModelShape, Recipe), ReferenceError> {
    let shape = ModelShape::from_gguf(file)?;
    if shape.kv_lora_rank.is_some() && shape.n_head != shape.n_head_kv {
        let what = "sharing the keys that come of a latent".to_owned();
        return Err(ModelError::Unsupported { what }.into());
    }
    if let Some(tensor) = file.tensors().iter().find(|t| !quant::is_supported(t.ty)) {
        return Err(ReferenceError::WeightType { tensor: tensor.name.clone(), ty: tensor.ty });
    }
    refuse_unknown(file, &shape)?;
    let recipe = Recipe::read(&shape, file)?;
    Ok((shape, recipe))
}

/// Bytes of the mapped file that may be resident while they are packed or copied.
const RELEASE_BYTES: usize = 4 << 20;

const EMBEDDING: &str = "token_embd.weight";
pub(super) const OUTPUT: &str = "output.weight";
const POSITIONS: &str = "position_embd.weight";

/// The projections whose outputs lie side by side, and which may have biases.
const QKV: [&str; 3] = ["attn_q", "attn_k", "attn_v"];

/// Whether rows of the tensor are looked up, and nothing is multiplied with it.
pub(super) fn is_table(shape: &ModelShape, tensor: &TensorSpec) -> bool {
    tensor.name == POSITIONS || tensor.name == EMBEDDING && !shape.tied_output
}

/// Bytes of the mapped file that stay in use for `tensor`.
pub(super) fn mapped_bytes(tensor: &TensorSpec, bytes: u64, loading: Loading) -> u64 {
    let is_read = [EMBEDDING, POSITIONS].contains(&tensor.name.as_str());
    if loading == Loading::Mapped && is_read { bytes } else { 0 }
}

/// Bytes that `tensor` takes among the weights: of a matrix in panels, of a table as it is in the
/// file, of anything with one dimension none.
pub(super) fn arena_bytes(
    shape: &ModelShape,
    tensor: &TensorSpec,
    ty: GgmlType,
    loading: Loading,
) -> usize {
    let [k, n] = tensor.dims[..] else { return 0 };
    if is_table(shape, tensor) {
        let bytes = ty.bytes_for(tensor.n_elements()).unwrap_or(u64::MAX) as usize;
        return if loading == Loading::Owned { padded(bytes) } else { 0 };
    }
    let n_parts = if tensor.name.ends_with(".ffn_up.weight") { n_fused(shape) } else { 1 };
    let part = padded(panel::matrix_bytes(ty, n as usize / n_parts, k as usize));
    part.saturating_mul(n_parts)
}

/// Matrices that the up projection holds.
fn n_fused(shape: &ModelShape) -> usize {
    if Family::of(shape.arch).is_gate_fused { 2 } else { 1 }
}

/// Refuses a tensor that the graph would leave out: its logits would be those of another model. Biases
/// of queries, keys and values have their place in any model, all three of them or none.
fn refuse_unknown(file: &Gguf, shape: &ModelShape) -> Result<(), ReferenceError> {
    let mut known: HashSet<String> = shape.tensors().into_iter().map(|spec| spec.name).collect();
    for i in 0..shape.n_layer {
        let weight = |what| file.header().tensor(&format!("blk.{i}.{what}.weight"));
        let biased = || QKV.into_iter().filter_map(|what| Some((what, weight(what)?.n_rows())));
        let bias = |what| format!("blk.{i}.{what}.bias");
        if !biased().any(|(what, _)| file.has_tensor(&bias(what))) {
            continue;
        }
        for (what, n) in biased() {
            // llama.cpp's graphs of these have all three or none: the missing one is named.
            expect_vector(file.tensor(&bias(what))?, n)?;
            known.insert(bias(what));
        }
    }
    match file.tensors().iter().find(|tensor| !known.contains(&tensor.name)) {
        None => Ok(()),
        Some(tensor) => {
            Err(ReferenceError::UnknownTensor { tensor: tensor.name.clone(), arch: shape.arch })
        }
    }
}

/// Refuses a tensor that is not a row of `n` elements.
fn expect_vector(tensor: &TensorInfo, n: u64) -> Result<(), ModelError> {
    if tensor.dims == [n] {
        return Ok(());
    }
    Err(ModelError::TensorShape {
        tensor: tensor.name.clone(),
        found: tensor.dims.clone(),
        expected: vec![n],
    })
}

/// Refuses what is no number in `data`, which lies from byte `start` on in the data of `tensor`.
fn refuse_not_finite(
    file: &Gguf,
    tensor: &TensorInfo,
    start: usize,
    data: &[u8],
) -> Result<(), GgufError> {
    match quant::first_not_finite(tensor.ty, data) {
        None => Ok(()),
        Some(NotFinite { byte, what, found }) => {
            Err(file.not_finite(tensor, (start + byte) as u64, what, found))
        }
    }
}

struct Loader<'a> {
    file: &'a Gguf,
    shape: &'a ModelShape,
    recipe: Recipe,
    loading: Loading,
    weights: Arena,
    vector_bytes: usize,
}

impl Loader<'_> {
    fn model(mut self) -> Result<Model, ReferenceError> {
        let n_embd = self.shape.n_embd as usize;
        let layers = (0..self.shape.n_layer).map(|i| self.layer(i)).collect::<Result<_, _>>()?;
        let mut output_norm = self.norm("output_norm", "output_norm", n_embd)?;
        if let Some(norm) = &mut output_norm {
            norm.scale(self.recipe.output_scale);
        }
        let tied = self.shape.tied_output;
        let head = if tied { EMBEDDING } else { OUTPUT };
        let mut output = Linear { name: "output", parts: vec![self.whole(head)?], bias: None };
        output.bias = self.optional_vector("output.bias", output.n_out())?;
        let embedding = match self.loading {
            Loading::Owned if tied => Table::Tied,
            _ => self.table(EMBEDDING)?,
        };
        let positions = match self.file.has_tensor(POSITIONS) {
            true => Some(self.table(POSITIONS)?),
            false => None,
        };
        let embd_norm = match self.file.has_tensor("token_embd_norm.weight") {
            true => self.norm("token_embd_norm", "token_embd_norm", n_embd)?,
            false => None,
        };
        Ok(Model {
            embd_in: self.optional_linear("token_embd_in")?,
            embd_out: self.optional_linear("token_embd_out")?,
            rope_factors: self.rope_factors()?,
            shape: self.shape.clone(),
            recipe: self.recipe,
            embedding,
            positions,
            embd_norm,
            layers,
            output_norm,
            output,
            weights: self.weights,
            vector_bytes: self.vector_bytes,
            file: None,
        })
    }

    fn layer(&mut self, i: u32) -> Result<Layer, ReferenceError> {
        let stem = |what: &str| format!("blk.{i}.{what}");
        let (n_embd, head_dim) = (self.shape.n_embd as usize, self.shape.head_dim as usize);
        let has = |what: &str| self.file.has_tensor(&format!("blk.{i}.{what}.weight"));
        let (has_qk_norms, is_fused) = (has("attn_q_norm"), has("attn_qkv"));
        let mut head_norm = |name| match has_qk_norms {
            true => self.norm(name, &stem(name), head_dim),
            false => Ok(None),
        };
        let (attn_q_norm, attn_k_norm) = (head_norm("attn_q_norm")?, head_norm("attn_k_norm")?);
        let attn_qkv = if self.shape.kv_lora_rank.is_some() {
            self.latent(&stem)?
        } else if is_fused {
            Projection::Direct(self.linear("attn_qkv", &[stem("attn_qkv")])?)
        } else {
            Projection::Direct(self.linear("attn_qkv", &QKV.map(stem))?)
        };
        Ok(Layer {
            attn_q_norm,
            attn_k_norm,
            attn_qkv,
            attn_norms: self.norms("attn_norm", "post_attention_norm", &stem, n_embd)?,
            attn_output: self.linear("attn_output", &[stem("attn_output")])?,
            ffn_norms: self.norms("ffn_norm", "post_ffw_norm", &stem, n_embd)?,
            ffn: self.feed_forward(&stem)?,
            ffn_down: self.linear("ffn_down", &[stem("ffn_down")])?,
        })
    }

    fn norms(
        &mut self,
        own: &'static str,
        result: &'static str,
        stem: &impl Fn(&str) -> String,
        width: usize,
    ) -> Result<Norms, ReferenceError> {
        let norm = self.norm(own, &stem(own), width)?;
        if self.shape.post_norm {
            return Ok(Norms { stream: norm, ..Norms::default() });
        }
        let result = match self.recipe.family.norms_results {
            true => self.norm(result, &stem(result), width)?,
            false => None,
        };
        Ok(Norms { input: norm, result, stream: None })
    }

    fn latent(&mut self, stem: &impl Fn(&str) -> String) -> Result<Projection, ReferenceError> {
        let vector = |loader: &mut Self, name: &'static str, rank: Option<u32>| {
            let width = rank.unwrap_or(0) as usize;
            let weight = loader.vector(&format!("{}.weight", stem(name)), width)?;
            Ok::<_, ReferenceError>(loader.norm_of(name, weight, Vec::new()))
        };
        let (shape, down) = (self.shape, [stem("attn_q_a"), stem("attn_kv_a_mqa")]);
        Ok(Projection::Latent(Box::new(Latents {
            down: self.linear("attn_qkv_a", &down)?,
            q_norm: vector(self, "attn_q_a_norm", shape.q_lora_rank)?,
            q_up: self.linear("attn_q_b", &[stem("attn_q_b")])?,
            kv_norm: vector(self, "attn_kv_a_norm", shape.kv_lora_rank)?,
            kv_up: self.linear("attn_kv_b", &[stem("attn_kv_b")])?,
        })))
    }

    fn feed_forward(
        &mut self,
        stem: &impl Fn(&str) -> String,
    ) -> Result<FeedForward, ReferenceError> {
        let (gate, up) = (stem("ffn_gate"), stem("ffn_up"));
        if self.file.has_tensor(&format!("{gate}.weight")) {
            let gate = self.linear("ffn_gate", &[gate])?;
            return Ok(FeedForward::Gated { gate, up: self.linear("ffn_up", &[up])? });
        }
        if !self.recipe.family.is_gate_fused {
            return Ok(FeedForward::Plain { up: self.linear("ffn_up", &[up])? });
        }
        // Apart they are multiplied as two matrices always are.
        let name = format!("{up}.weight");
        let n = self.file.tensor(&name)?.n_rows() as usize;
        let mut half = |name_of_half, rows| {
            let parts = vec![self.matrix(&name, rows)?];
            Ok::<_, ReferenceError>(Linear { name: name_of_half, parts, bias: None })
        };
        let gate = half("ffn_gate", 0..n / 2)?;
        Ok(FeedForward::Gated { gate, up: half("ffn_up", n / 2..n)? })
    }

    fn rope_factors(&mut self) -> Result<RopeFactors, ReferenceError> {
        let half = self.shape.n_rot as usize / 2;
        Ok(match self.shape.rope_scaling {
            Some(RopeScaling::Factors | RopeScaling::Llama3 { .. }) => {
                RopeFactors::Same(self.vector("rope_freqs.weight", half)?)
            }
            Some(RopeScaling::LongRope { n_ctx_orig, .. }) => RopeFactors::ByContext {
                n_ctx_orig: n_ctx_orig as usize,
                short: self.vector("rope_factors_short.weight", half)?,
                long: self.vector("rope_factors_long.weight", half)?,
            },
            Some(RopeScaling::Linear { .. }) | None => RopeFactors::One,
        })
    }

    /// The norm whose tensors begin with `stem`, where the model has it.
    fn norm(
        &mut self,
        name: &'static str,
        stem: &str,
        width: usize,
    ) -> Result<Option<Norm>, ReferenceError> {
        if self.recipe.family.has_bare_norms {
            return Ok(Some(self.norm_of(name, Vec::new(), Vec::new())));
        }
        let Some(weight) = self.optional_vector(&format!("{stem}.weight"), width)? else {
            return Ok(None);
        };
        let bias = self.optional_vector(&format!("{stem}.bias"), width)?.unwrap_or_default();
        Ok(Some(self.norm_of(name, weight, bias)))
    }

    fn norm_of(&self, name: &'static str, weight: Vec<f32>, bias: Vec<f32>) -> Norm {
        Norm { name, kind: self.recipe.norm, weight, bias, eps: self.recipe.eps }
    }

    fn optional_vector(
        &mut self,
        name: &str,
        n: usize,
    ) -> Result<Option<Vec<f32>>, ReferenceError> {
        match self.file.has_tensor(name) {
            true => self.vector(name, n).map(Some),
            false => Ok(None),
        }
    }

    /// A tensor of one dimension, `n` elements long, as numbers.
    fn vector(&mut self, name: &str, n: usize) -> Result<Vec<f32>, ReferenceError> {
        let tensor = self.file.tensor(name)?;
        expect_vector(tensor, n as u64)?;
        let data = self.file.data_of(tensor);
        refuse_not_finite(self.file, tensor, 0, data)?;
        let mut out = vec![0.0; n];
        quant::dequantize_row(tensor.ty, data, &mut out);
        self.vector_bytes += size_of::<f32>() * n;
        Ok(out)
    }

    fn optional_linear(&mut self, name: &'static str) -> Result<Option<Linear>, ReferenceError> {
        match self.file.has_tensor(&format!("{name}.weight")) {
            true => self.linear(name, &[name.to_owned()]).map(Some),
            false => Ok(None),
        }
    }

    /// The matrices over the same input whose tensors begin with `stems`, with their biases.
    fn linear(&mut self, name: &'static str, stems: &[String]) -> Result<Linear, ReferenceError> {
        let parts = stems.iter().map(|stem| self.whole(&format!("{stem}.weight")));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let biases: Vec<String> = stems.iter().map(|stem| format!("{stem}.bias")).collect();
        let mut bias = None;
        if biases.iter().any(|bias| self.file.has_tensor(bias)) {
            let mut all = Vec::with_capacity(parts.iter().map(|part| part.n_rows).sum());
            for (bias, matrix) in biases.iter().zip(&parts) {
                all.extend(self.vector(bias, matrix.n_rows)?);
            }
            bias = Some(all);
        }
        Ok(Linear { name, parts, bias })
    }

    /// A tensor of two dimensions, packed.
    fn whole(&mut self, name: &str) -> Result<Matrix, ReferenceError> {
        let n_rows = self.file.tensor(name)?.n_rows() as usize;
        self.matrix(name, 0..n_rows)
    }

    /// Rows of a tensor of two dimensions, packed.
    fn matrix(&mut self, name: &str, rows: Range<usize>) -> Result<Matrix, ReferenceError> {
        let tensor = self.file.tensor(name)?;
        let (ty, k, n_rows) = (tensor.ty, tensor.dims[0] as usize, rows.len());
        let row = quant::row_bytes(ty, k);
        let start = rows.start * row;
        let data = &self.file.data_of(tensor)[start..rows.end * row];
        let bytes = self.weights.take(panel::matrix_bytes(ty, n_rows, k));
        let panels = self.weights[bytes.clone()].chunks_exact_mut(panel::bytes(ty, k));
        let mut unpacked = 0..0;
        for (rows, panel) in data.chunks(panel::rows(ty) * row).zip(panels) {
            refuse_not_finite(self.file, tensor, start + unpacked.end, rows)?;
            panel::pack(ty, k, rows, panel);
            unpacked.end += rows.len();
            // File and panels must never both be resident as a whole.
            if unpacked.len() >= RELEASE_BYTES {
                self.file.release(&data[unpacked.clone()]);
                unpacked.start = unpacked.end;
            }
        }
        self.file.release(&data[unpacked]);
        Ok(Matrix { ty, n_rows, k, bytes })
    }

    /// A tensor whose rows are looked up.
    fn table(&mut self, name: &str) -> Result<Table, ReferenceError> {
        let tensor: &TensorInfo = self.file.tensor(name)?;
        if self.loading == Loading::Mapped {
            return Ok(Table::Mapped(tensor.clone()));
        }
        let data = self.file.data_of(tensor);
        let place = self.weights.take(data.len());
        // As with matrices: never resident twice as a whole. No block is cut.
        let block = tensor.ty.block_bytes() as usize;
        let size = RELEASE_BYTES / block * block;
        let copies = self.weights[place.clone()].chunks_mut(size);
        for (i, (copy, part)) in copies.zip(data.chunks(size)).enumerate() {
            refuse_not_finite(self.file, tensor, i * size, part)?;
            copy.copy_from_slice(part);
            self.file.release(part);
        }
        Ok(Table::Owned(tensor.ty, place))
    }
}
