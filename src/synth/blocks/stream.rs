//! Random bytes, several streams side by side.
//!
//! One xoshiro256++ makes each word wait for the one before it. Four beside each other fill the
//! vector registers that every machine has, and give the same bytes on all of them.

use sha2::{Digest, Sha256};

/// Generators side by side.
pub(super) const LANES: usize = 4;

/// Bytes of one step of all generators.
const STEP: usize = 8 * LANES;

/// The random numbers of one piece of one tensor. Its own for each, so that pieces can be drawn
/// in any order by any number of threads.
pub(in crate::synth) struct Stream {
    /// Word by word, every lane's.
    state: [[u64; LANES]; 4],
}

/// Where one lane of a piece begins.
pub(super) fn start(seed: u64, tensor: &str, piece: u64, lane: usize) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(piece.to_le_bytes());
    hasher.update((lane as u64).to_le_bytes());
    hasher.update(tensor.as_bytes());
    hasher.finalize().into()
}

impl Stream {
    /// The stream of piece number `piece` of the tensor called `tensor`.
    pub(in crate::synth) fn new(seed: u64, tensor: &str, piece: u64) -> Stream {
        let mut state = [[0; LANES]; 4];
        for lane in 0..LANES {
            let bytes = start(seed, tensor, piece, lane);
            for (word, bytes) in state.iter_mut().zip(bytes.as_chunks().0) {
                word[lane] = u64::from_le_bytes(*bytes);
            }
        }
        Stream { state }
    }

    /// Fills `out`. What a last step has left over is thrown away.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        // A copy, so that the state stays in registers.
        let mut state = self.state;
        let (steps, rest) = out.as_chunks_mut::<STEP>();
        for out in steps {
            *out = step(&mut state);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&step(&mut state)[..rest.len()]);
        }
        self.state = state;
    }
}

/// xoshiro256++ of Blackman and Vigna, in every lane.
#[inline(always)]
fn step([a, b, c, d]: &mut [[u64; LANES]; 4]) -> [u8; STEP] {
    let mut out = [0; STEP];
    for lane in 0..LANES {
        let sum = a[lane].wrapping_add(d[lane]);
        let word = sum.rotate_left(23).wrapping_add(a[lane]);
        out[8 * lane..][..8].copy_from_slice(&word.to_le_bytes());
        let shifted = b[lane] << 17;
        c[lane] ^= a[lane];
        d[lane] ^= b[lane];
        b[lane] ^= c[lane];
        a[lane] ^= d[lane];
        c[lane] ^= shifted;
        d[lane] = d[lane].rotate_left(45);
    }
    out
}

#[cfg(test)]
mod tests {
    use rand_core::{RngCore, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn every_lane_is_the_published_generator() {
        let mut found = vec![0; 10 * STEP + 5];
        Stream::new(7, "blk.0.attn_q.weight", 3).fill(&mut found);
        for lane in 0..LANES {
            let seed = start(7, "blk.0.attn_q.weight", 3, lane);
            let mut known = Xoshiro256PlusPlus::from_seed(seed);
            for step in found.as_chunks::<STEP>().0 {
                assert_eq!(step[8 * lane..][..8], known.next_u64().to_le_bytes());
            }
        }
    }
}
