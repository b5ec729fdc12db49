//! `--values`: every tensor of a file looked through for numbers that are none.
//!
//! What a NaN or an infinity does to a model is not told here: it reaches all logits, or only those of
//! a token nobody asks for.

use serde::Serialize;

use crate::ggml::GgmlType;
use crate::gguf::{Gguf, GgufError, TensorInfo};
use crate::reference::quant::{self, NotFinite};

/// Bytes of the mapped file that are looked through before they may leave memory.
const STRETCH_BYTES: u64 = 4 << 20;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Values {
    /// Tensors that were looked through.
    pub n_tensors: usize,
    /// Tensors of types whose blocks this program does not read.
    pub n_unread: usize,
    /// Tensors with a number that is none, in file order.
    pub flaws: Vec<Flaw>,
}

/// The first number of a tensor that is none.
#[derive(Debug, Serialize)]
pub struct Flaw {
    /// The tensor.
    pub tensor: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: GgmlType,
    /// Byte of the file at which the number stands.
    pub byte: u64,
    /// What it is in the format.
    pub what: &'static str,
    /// `NaN`, `inf` or `-inf`: JSON has no such numbers.
    pub found: String,
}

/// Looks through all of `gguf`; the error is the first flaw.
pub fn look_through(gguf: &Gguf) -> (Values, Option<GgufError>) {
    let (read, unread): (Vec<&TensorInfo>, Vec<&TensorInfo>) =
        gguf.tensors().iter().partition(|tensor| quant::is_supported(tensor.ty));
    let mut error = None;
    let mut flaws = Vec::new();
    for tensor in &read {
        let Some((at, NotFinite { what, found, .. })) = first(gguf, tensor) else { continue };
        error.get_or_insert_with(|| gguf.not_finite(tensor, at, what, found));
        flaws.push(Flaw {
            tensor: tensor.name.clone(),
            ty: tensor.ty,
            byte: tensor.offset + at,
            what,
            found: found.to_string(),
        });
    }
    (Values { n_tensors: read.len(), n_unread: unread.len(), flaws }, error)
}

/// The first number of `tensor` that is none, and its byte in the tensor's data.
fn first(gguf: &Gguf, tensor: &TensorInfo) -> Option<(u64, NotFinite)> {
    // No block is cut.
    let size = STRETCH_BYTES / tensor.ty.block_bytes() * tensor.ty.block_bytes();
    let stretches = gguf.data_of(tensor).chunks(size as usize);
    (0..).step_by(size as usize).zip(stretches).find_map(|(start, stretch)| {
        let found = quant::first_not_finite(tensor.ty, stretch);
        gguf.release(stretch);
        found.map(|found: NotFinite| (start + found.byte as u64, found))
    })
}
