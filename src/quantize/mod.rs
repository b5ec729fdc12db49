//! A model file of numbers turned into a file of a mix, as llama.cpp's quantiser does it.
//!
//! Which tensor gets which type is `model`'s to say, what a block of a type is `reference::quant`'s.
//! Here a file is walked through: a few rows at a time are read, turned into the type and written
//! where they belong, so that neither file is ever in memory as a whole. There is no importance
//! matrix.
//! Source of truth for order, metadata and what is left as it is: `llama-quant.cpp`.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;

use crate::ggml::{GgmlType, QUANTIZATION_VERSION};
use crate::gguf::{
    DEFAULT_ALIGNMENT, Gguf, GgufError, GgufWriter, KEY_ALIGNMENT, TensorInfo, write_pieces,
};
use crate::model::{FileMix, ModelError, ModelShape, TensorSpec, check_whole};
use crate::reference::quant;

/// Elements of a piece, about: what a thread has in memory as numbers.
const PIECE_ELEMENTS: u64 = 1 << 18;

/// Keys that say what a file is made of, or how it is cut or laid out: not copied.
const OWN_KEYS: [&str; 6] = [
    "general.quantization_version",
    "general.file_type",
    "split.no",
    "split.count",
    "split.tensors.count",
    KEY_ALIGNMENT,
];

/// Values above this have scales that F16 does not hold, in one type or another. Weights are far below.
const LARGEST: f32 = 60_000.0;

/// Why a file cannot be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// No model this program knows the tensors of.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Metadata that is not what it should be.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// It has been through a quantiser before.
    #[error(
        "tensor `{tensor}` is {ty}: the file is quantised already, and doing it twice costs quality \
         twice\nhint: take the F16, BF16 or F32 file that it was made from"
    )]
    Quantised {
        /// The first tensor that is.
        tensor: String,
        /// Its type.
        ty: GgmlType,
    },
    /// A matrix of whole numbers or doubles.
    #[error("tensor `{tensor}` is {ty}, a matrix to be quantised must be F32, F16 or BF16")]
    Type {
        /// The tensor.
        tensor: String,
        /// Its type.
        ty: GgmlType,
    },
    /// A value that no scale can hold.
    #[error(
        "tensor `{tensor}`, element {element}: {value} cannot be quantised; the file is damaged\n\
         hint: fetch it or convert it again"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Which of its elements, from 0 on.
        element: u64,
        /// The value.
        value: f32,
    },
    /// A value that is too large for the scales of quantised types.
    #[error(
        "tensor `{tensor}`, element {element}: {value} is beyond {LARGEST}, more than the scale of a \
         block or F16 holds"
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Which of its elements, from 0 on.
        element: u64,
        /// The value.
        value: f32,
    },
    /// Who hears the progress wanted no more of it.
    #[error("stopped before it was whole")]
    Interrupted,
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file, and what is to be made of it.
pub struct Quantization<'a> {
    source: &'a Gguf,
    mix: FileMix,
    /// Tensors in the order of the file to be written, with their types in it.
    tensors: Vec<(&'a TensorInfo, GgmlType)>,
}

/// Rows of a tensor that are turned at once.
struct Piece<'a> {
    tensor: &'a TensorInfo,
    ty: GgmlType,
    /// The first of its elements.
    first: u64,
    n_elements: u64,
    /// Where in the file it begins.
    offset: u64,
}

impl<'a> Quantization<'a> {
    /// Lays out the file of mix `mix` that is made of `source`.
    ///
    /// # Errors
    ///
    /// When the source is no whole model of numbers.
    pub fn new(source: &'a Gguf, mix: FileMix) -> Result<Quantization<'a>, QuantizeError> {
        check_whole(source)?;
        // Before the model is looked at: this is what people will most often have got wrong.
        if let Some(found) = source.tensors().iter().find(|t| t.ty.block_size() > 1) {
            let (tensor, ty) = (found.name.clone(), found.ty);
            return Err(QuantizeError::Quantised { tensor, ty });
        }
        let shape = ModelShape::from_gguf(source)?;
        let spec = |t: &TensorInfo| TensorSpec { name: t.name.clone(), dims: t.dims.clone() };
        let specs = source.tensors().iter().map(spec).collect();
        let mut tensors = Vec::with_capacity(source.tensors().len());
        for (spec, chosen) in mix.choose(&shape, specs) {
            let tensor = source.tensor(&spec.name)?;
            let ty = chosen.unwrap_or(tensor.ty);
            if ty != tensor.ty && !is_numbers(tensor.ty) {
                return Err(QuantizeError::Type { tensor: spec.name, ty: tensor.ty });
            }
            tensors.push((tensor, ty));
        }
        Ok(Quantization { source, mix, tensors })
    }

    /// Elements and bytes of all tensors of the file to be written.
    pub fn size(&self) -> (u64, u64) {
        self.tensors.iter().fold((0, 0), |(n, bytes), (tensor, ty)| {
            (n + tensor.n_elements(), bytes + bytes_of(tensor, *ty))
        })
    }

    /// Makes `file` the quantised file, by `n_threads` threads. `progress` hears how many bytes of
    /// tensors have been written and how many there are, and says whether to go on.
    ///
    /// # Errors
    ///
    /// A value that is no finite number; whatever writing brings; [`QuantizeError::Interrupted`]
    /// when `progress` breaks off. What has been written stays.
    pub fn write_file(
        &self,
        file: &File,
        n_threads: NonZero<usize>,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), QuantizeError> {
        let pieces = self.pieces(self.header().outline(file)?);
        let (_, total) = self.size();
        let make = |piece: &Piece<'_>, out: &mut Vec<u8>| self.turn(piece, out);
        match write_pieces(file, &pieces, n_threads, make, |done| progress(done, total))? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(QuantizeError::Interrupted),
        }
    }

    fn header(&self) -> GgufWriter {
        let mut header = GgufWriter::new();
        for (key, value) in self.source.head().raw_metadata() {
            if !OWN_KEYS.contains(&key) {
                header.set_raw(key, value);
            }
        }
        header
            .set("general.quantization_version", QUANTIZATION_VERSION)
            .set("general.file_type", self.mix.file_type());
        for (tensor, ty) in &self.tensors {
            header.tensor(&tensor.name, &tensor.dims, *ty);
        }
        header
    }

    /// The pieces of all tensors, the first of which begins at `offset`.
    fn pieces(&self, mut offset: u64) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        for &(tensor, ty) in &self.tensors {
            let (n, row) = (tensor.n_elements(), tensor.dims.first().copied().unwrap_or(1).max(1));
            // Whole rows, so that no block is cut.
            let most = (PIECE_ELEMENTS / row).max(1) * row;
            for first in (0..n).step_by(most as usize) {
                let (n_elements, before) = (most.min(n - first), first / ty.block_size());
                let offset = offset + before * ty.block_bytes();
                pieces.push(Piece { tensor, ty, first, n_elements, offset });
            }
            offset += bytes_of(tensor, ty).next_multiple_of(DEFAULT_ALIGNMENT);
        }
        pieces
    }

    /// Makes `out` the bytes of a piece and answers where they belong.
    fn turn(&self, piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<u64, QuantizeError> {
        let Piece { tensor, ty, first, n_elements, offset } = *piece;
        let size = tensor.ty.block_bytes();
        let source = &self.source.data_of(tensor)[(first * size) as usize..];
        let source = &source[..(n_elements * size) as usize];
        if ty == tensor.ty {
            out.clear();
            out.extend_from_slice(source);
        } else {
            let mut values = vec![0.0; n_elements as usize];
            quant::dequantize_row(tensor.ty, source, &mut values);
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                return Err(QuantizeError::NotFinite {
                    tensor: tensor.name.clone(),
                    element: first + i as u64,
                    value: values[i],
                });
            }
            let holds_all = matches!(ty, GgmlType::F32 | GgmlType::BF16);
            if let Some(i) = values.iter().position(|v| !holds_all && v.abs() > LARGEST) {
                return Err(QuantizeError::TooLarge {
                    tensor: tensor.name.clone(),
                    element: first + i as u64,
                    value: values[i],
                });
            }
            out.resize(quant::row_bytes(ty, values.len()), 0);
            quant::quantize_row(ty, &values, out);
        }
        // The source is not to fill memory either.
        self.source.release(source);
        Ok(offset)
    }
}

/// Whether values of the type can be quantised.
fn is_numbers(ty: GgmlType) -> bool {
    matches!(ty, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16)
}

/// Bytes of `tensor` in another type, which its rows fit.
fn bytes_of(tensor: &TensorInfo, ty: GgmlType) -> u64 {
    ty.bytes_for(tensor.n_elements()).unwrap_or(0)
}
