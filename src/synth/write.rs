//! Writing a synthetic model: pieces of tensors are drawn by several threads and written in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard};

use super::blocks::{self, Fill};
use super::metadata;
use super::tokenizer::MIN_VOCAB;
use crate::ggml::GgmlType;
use crate::gguf::GgufWriter;
use crate::model::{FileMix, ModelShape, RopeScaling, ShapeError, TensorSpec};

/// Bytes of a piece, about. Part of what determines the content: each piece has its own stream of
/// random numbers.
const PIECE_BYTES: u64 = 1 << 20;
/// Pieces drawn ahead of the writer, for each thread.
const AHEAD: usize = 4;
/// Pieces drawn ahead of the writer at most: what a machine of many cores may hold in memory.
const MOST_AHEAD: usize = 64;

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
    /// Threads that draw weights. Does not change the bytes.
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

    /// Writes the file to `out`. `progress` hears how many bytes of weights have been written and
    /// how many there are.
    pub fn write<W: Write>(
        &self,
        out: W,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<W, SynthError> {
        self.shape.validate()?;
        let tensors = self.mix.tensors(self.shape);
        let header = self.header(&tensors)?;
        let pieces = pieces(&tensors);
        let total = pieces.iter().map(|p| p.n_blocks * p.ty.block_bytes()).sum();
        let mut stream = header.start(out)?;

        // More threads than pieces would only wait.
        let n_threads = self.n_threads.get().min(MOST_AHEAD);
        let queue = Queue::new(pieces.len(), (AHEAD * n_threads).min(MOST_AHEAD));
        std::thread::scope(|scope| {
            for _ in 0..n_threads {
                scope.spawn(|| {
                    let _closer = CloseOnPanic(&queue);
                    while let Some(index) = queue.claim() {
                        queue.put(index, self.draw(&pieces[index]));
                    }
                });
            }
            let _closer = CloseOnPanic(&queue);
            let mut done = 0;
            for index in 0..pieces.len() {
                let bytes = queue.take(index);
                if let Err(error) = stream.write(&bytes) {
                    queue.close();
                    return Err(error);
                }
                done += bytes.len() as u64;
                progress(done, total);
            }
            Ok(())
        })?;
        Ok(stream.finish()?)
    }

    fn draw(&self, piece: &Piece<'_>) -> Vec<u8> {
        if piece.tensor.name == "rope_freqs.weight" {
            let factors = rope_factors(self.shape);
            return factors.iter().flat_map(|f| f.to_le_bytes()).collect();
        }
        let mut rng = blocks::stream(self.seed, &piece.tensor.name, piece.number);
        let mut out = Vec::with_capacity((piece.n_blocks * piece.ty.block_bytes()) as usize);
        blocks::draw(&mut rng, piece.ty, self.fill(piece.tensor), piece.n_blocks, &mut out);
        out
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
    Synthesis::new(shape, mix, seed).write(out, |_, _| {})
}

/// Part of a tensor that is drawn at once.
struct Piece<'a> {
    tensor: &'a TensorSpec,
    ty: GgmlType,
    number: u64,
    n_blocks: u64,
}

fn pieces(tensors: &[(TensorSpec, GgmlType)]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for (tensor, ty) in tensors {
        assert!(blocks::can_draw(*ty), "tensor `{}` is {ty}", tensor.name);
        let most = PIECE_BYTES / ty.block_bytes();
        let mut left = tensor.n_elements() / ty.block_size();
        let mut number = 0;
        while left > 0 {
            let n_blocks = left.min(most);
            pieces.push(Piece { tensor, ty: *ty, number, n_blocks });
            left -= n_blocks;
            number += 1;
        }
    }
    pieces
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

/// Pieces on their way from the threads that draw to the one that writes. Only so many are drawn
/// ahead, which bounds memory.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    n_pieces: usize,
    ahead: usize,
}

#[derive(Default)]
struct State {
    claimed: usize,
    taken: usize,
    ready: BTreeMap<usize, Vec<u8>>,
    closed: bool,
}

impl Queue {
    fn new(n_pieces: usize, ahead: usize) -> Queue {
        Queue { state: Mutex::default(), changed: Condvar::new(), n_pieces, ahead }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two of its changes, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next piece to draw; waits while too many are ahead. `None` when there is no more.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.closed || state.claimed == self.n_pieces {
                return None;
            }
            if state.claimed < state.taken + self.ahead {
                state.claimed += 1;
                return Some(state.claimed - 1);
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn put(&self, index: usize, bytes: Vec<u8>) {
        self.lock().ready.insert(index, bytes);
        self.changed.notify_all();
    }

    /// The bytes of piece `index`; waits for them.
    ///
    /// # Panics
    ///
    /// When a thread that draws has panicked.
    fn take(&self, index: usize) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(bytes) = state.ready.remove(&index) {
                state.taken = index + 1;
                drop(state);
                self.changed.notify_all();
                return bytes;
            }
            assert!(!state.closed, "a thread drawing weights has panicked");
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Wakes everybody when the thread that holds it panics; without it the others would wait forever.
struct CloseOnPanic<'a>(&'a Queue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}
