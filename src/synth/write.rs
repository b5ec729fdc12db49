//! Writing a synthetic model: in order to any sink, or by several threads into a file, each drawing
//! a piece of a tensor and writing it where it belongs.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::ControlFlow;

use super::blocks::{self, Fill, Stream};
use super::metadata;
use super::tokenizer::MIN_VOCAB;
use crate::ggml::GgmlType;
use crate::gguf::{DEFAULT_ALIGNMENT, GgufWriter, write_pieces};
use crate::model::{FileMix, ModelShape, RopeScaling, ShapeError, TensorSpec};

/// Bytes of a piece, about. Part of what determines the content: each piece has its own stream of
/// random numbers.
const PIECE_BYTES: u64 = 1 << 20;

/// Why a model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// No model has this shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Too few tokens for the tokenizer.
    #[error("model `{name}` has {found} tokens, a synthetic tokenizer needs at least {MIN_VOCAB}")]
    Vocabulary {
        /// The model.
        name: String,
        /// Its `n_vocab`.
        found: u32,
    },
    /// A scale that is no positive number.
    #[error("weight scale {0}, must be a number above 0")]
    WeightScale(f32),
    /// Who hears the progress wanted no more of it.
    #[error("stopped before it was whole")]
    Interrupted,
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What to write: a model of a shape in a mix of types.
#[derive(Clone, Debug)]
pub struct Synthesis<'a> {
    /// The shape.
    pub shape: &'a ModelShape,
    /// The mix of types.
    pub mix: FileMix,
    /// Seed of the weights: the same seed gives the same bytes on every machine.
    pub seed: u64,
    /// Factor on the spread of every matrix and bias; 1 keeps activations near 1. There to show
    /// that it does not change what a model costs.
    pub weight_scale: f32,
    /// Threads that fill a file. Does not change the bytes.
    pub n_threads: NonZero<usize>,
}

impl<'a> Synthesis<'a> {
    /// A model with weights of ordinary size, drawn by as many threads as there are CPUs.
    pub fn new(shape: &'a ModelShape, mix: FileMix, seed: u64) -> Synthesis<'a> {
        let n_threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Synthesis { shape, mix, seed, weight_scale: 1.0, n_threads }
    }

    fn header(&self, tensors: &[(TensorSpec, GgmlType)]) -> Result<GgufWriter, SynthError> {
        self.shape.validate()?;
        if self.shape.n_vocab < MIN_VOCAB {
            let (name, found) = (self.shape.name.clone(), self.shape.n_vocab);
            return Err(SynthError::Vocabulary { name, found });
        }
        if !(self.weight_scale.is_finite() && self.weight_scale > 0.0) {
            return Err(SynthError::WeightScale(self.weight_scale));
        }
        Ok(metadata::header(self.shape, self.mix, self.seed, self.weight_scale, tensors))
    }

    /// Bytes the file will have.
    pub fn file_len(&self) -> Result<u64, SynthError> {
        self.shape.validate()?;
        Ok(self.header(&self.mix.tensors(self.shape))?.file_len())
    }

    /// Writes the file to `out`, in order. `progress` hears how many bytes of weights have been
    /// written and how many there are, and says whether to go on.
    ///
    /// # Errors
    ///
    /// [`SynthError::Interrupted`] when `progress` breaks off; what has been written stays.
    pub fn write<W: Write>(
        &self,
        out: W,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<W, SynthError> {
        self.shape.validate()?;
        let tensors = self.mix.tensors(self.shape);
        let mut out = self.header(&tensors)?.start(out)?;
        let (pieces, total) = pieces(&tensors, 0);
        let (mut buffer, mut done) = (Vec::new(), 0);
        for piece in &pieces {
            buffer.resize(piece.n_bytes(), 0);
            self.draw(piece, &mut buffer);
            out.write(&buffer)?;
            done += buffer.len() as u64;
            if progress(done, total).is_break() {
                return Err(SynthError::Interrupted);
            }
        }
        Ok(out.finish()?)
    }

    /// Makes `file` what [`Synthesis::write`] would write, by all threads at once.
    ///
    /// # Errors
    ///
    /// [`SynthError::Interrupted`] when `progress` breaks off; what has been written stays.
    pub fn write_file(
        &self,
        file: &File,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), SynthError> {
        self.shape.validate()?;
        let tensors = self.mix.tensors(self.shape);
        let data = self.header(&tensors)?.outline(file)?;
        let (pieces, total) = pieces(&tensors, data);
        let make = |piece: &Piece<'_>, buffer: &mut Vec<u8>| {
            buffer.resize(piece.n_bytes(), 0);
            self.draw(piece, buffer);
            Ok::<u64, SynthError>(piece.offset)
        };
        match write_pieces(file, &pieces, self.n_threads, make, |done| progress(done, total))? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SynthError::Interrupted),
        }
    }

    /// Makes `file` as long as [`Synthesis::write_file`] would, with its header and a hole where
    /// the weights would be: all that is needed to ask an engine what it would make of it.
    pub fn write_hollow(&self, file: &File) -> Result<(), SynthError> {
        self.shape.validate()?;
        self.header(&self.mix.tensors(self.shape))?.outline(file)?;
        Ok(())
    }

    fn draw(&self, piece: &Piece<'_>, out: &mut [u8]) {
        if piece.tensor.name.starts_with("rope_") {
            for (out, factor) in out.as_chunks_mut().0.iter_mut().zip(rope_factors(self.shape)) {
                *out = factor.to_le_bytes();
            }
            return;
        }
        let mut stream = Stream::new(self.seed, &piece.tensor.name, piece.number);
        blocks::draw(&mut stream, piece.ty, self.fill(piece.tensor), out);
    }

    /// How a tensor's values lie. Matrices keep the size of what goes through them; those that
    /// write to the residual stream are smaller, so that it does not grow with depth.
    fn fill(&self, tensor: &TensorSpec) -> Fill {
        if tensor.name.ends_with("norm.weight") {
            return Fill::AroundOne;
        }
        if tensor.dims.len() < 2 {
            return Fill::Spread(0.1 * self.weight_scale);
        }
        let mut std = 1.0 / (tensor.dims[0] as f32).sqrt();
        if tensor.name.ends_with("attn_output.weight") || tensor.name.ends_with("ffn_down.weight") {
            std /= (2.0 * self.shape.n_layer as f32).sqrt();
        }
        Fill::Spread(std * self.weight_scale)
    }
}

/// Writes a model of `shape` in `mix` to `out`, with the weights of `seed`.
pub fn write_model<W: Write>(
    shape: &ModelShape,
    mix: FileMix,
    seed: u64,
    out: W,
) -> Result<W, SynthError> {
    Synthesis::new(shape, mix, seed).write(out, |_, _| ControlFlow::Continue(()))
}

/// Part of a tensor that is drawn at once.
struct Piece<'a> {
    tensor: &'a TensorSpec,
    ty: GgmlType,
    number: u64,
    n_blocks: u64,
    /// Where in the file it begins.
    offset: u64,
}

impl Piece<'_> {
    fn n_bytes(&self) -> usize {
        (self.n_blocks * self.ty.block_bytes()) as usize
    }
}

/// The pieces of tensors of which the first begins at `offset`, and the bytes of all of them.
fn pieces(tensors: &[(TensorSpec, GgmlType)], mut offset: u64) -> (Vec<Piece<'_>>, u64) {
    let (mut pieces, mut total) = (Vec::new(), 0);
    for (tensor, ty) in tensors {
        let most = PIECE_BYTES / ty.block_bytes();
        let n_blocks = tensor.n_elements() / ty.block_size();
        for number in 0..n_blocks.div_ceil(most) {
            let first = number * most;
            pieces.push(Piece {
                tensor,
                ty: *ty,
                number,
                n_blocks: most.min(n_blocks - first),
                offset: offset + first * ty.block_bytes(),
            });
        }
        let bytes = n_blocks * ty.block_bytes();
        total += bytes;
        offset += bytes.next_multiple_of(DEFAULT_ALIGNMENT);
    }
    (pieces, total)
}

/// Factors by which rotary frequencies are divided, as llama.cpp's converter computes them.
fn rope_factors(shape: &ModelShape) -> Vec<f32> {
    let half = shape.n_rot / 2;
    match shape.rope_scaling {
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, n_ctx_orig }) => {
            let base = shape.rope_freq_base.unwrap_or(10_000.0);
            let longest = f64::from(n_ctx_orig) / low_freq_factor;
            let shortest = f64::from(n_ctx_orig) / high_freq_factor;
            (0..half)
                .map(|i| {
                    let exponent = 2.0 * f64::from(i) / f64::from(shape.n_rot);
                    let wavelength = std::f64::consts::TAU * base.powf(exponent);
                    if wavelength < shortest {
                        return 1.0;
                    }
                    if wavelength > longest {
                        return factor as f32;
                    }
                    let smooth = (f64::from(n_ctx_orig) / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
                })
                .collect()
        }
        // Known to be there, not known what they are: factors of 1 cost the same.
        _ => vec![1.0; half as usize],
    }
}
