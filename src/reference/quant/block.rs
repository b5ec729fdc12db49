//! What all quantised formats are once their bytes are read: small whole numbers and what they are
//! multiplied with.

/// A block of 32 elements, `x = d · q + m`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The numbers.
    pub q: [i8; 32],
    /// Their scale.
    pub d: f32,
    /// What is added; −0, which changes no number, in formats that add nothing.
    pub m: f32,
}

/// A block of 256 elements in 16 sub-blocks of 16, `x = d · scale · q − dmin · min`.
///
/// Formats with sub-blocks of 32 have each scale and each minimum twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuperBlock {
    /// The numbers.
    pub q: [i8; 256],
    /// A scale per sub-block.
    pub scales: [i8; 16],
    /// A minimum per sub-block; zeros in formats without.
    pub mins: [i8; 16],
    /// The scale of the scales.
    pub d: f32,
    /// The scale of the minima; zero in formats without.
    pub dmin: f32,
}

impl Block {
    /// Elements of a block.
    pub const LEN: usize = 32;
    /// What formats without an addend have as `m`.
    pub const NO_MIN: f32 = -0.0;

    pub(super) fn dequantize(&self, out: &mut [f32]) {
        for (v, q) in out.iter_mut().zip(self.q) {
            *v = self.d * f32::from(q) + self.m;
        }
    }
}

impl SuperBlock {
    /// Elements of a block.
    pub const LEN: usize = 256;
    /// Elements of a sub-block.
    pub const SUB: usize = 16;
    /// All zeros.
    pub(super) const ZERO: SuperBlock =
        SuperBlock { q: [0; 256], scales: [0; 16], mins: [0; 16], d: 0.0, dmin: 0.0 };

    pub(super) fn dequantize(&self, out: &mut [f32]) {
        let subs = out.chunks_exact_mut(Self::SUB).zip(self.q.chunks_exact(Self::SUB));
        for (s, (out, q)) in subs.enumerate() {
            let scale = self.d * f32::from(self.scales[s]);
            let min = self.dmin * f32::from(self.mins[s]);
            for (v, q) in out.iter_mut().zip(q) {
                *v = scale * f32::from(*q) - min;
            }
        }
    }
}
