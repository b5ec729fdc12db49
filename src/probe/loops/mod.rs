//! The loops that are timed: reading, and products of each kind of number.
//!
//! Each is a function that does nothing but that and answers with a sum, which says whether all of
//! it was done. Loops for an instruction set stand in a file of their own and are handed out only
//! against the proof that the machine has the set. Accumulators are as many as the slowest units
//! need in flight, so that units and not latencies bound the loop.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of number that weights come in, once they are unpacked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// Bytes with sums of 32 bits.
    Int8,
    /// bfloat16 with sums of 32 bits.
    Bf16,
    /// IEEE half precision with sums of 32 bits.
    F16,
    /// IEEE single precision.
    F32,
}

impl Number {
    /// All kinds, the smallest first.
    pub const ALL: [Number; 4] = [Number::Int8, Number::Bf16, Number::F16, Number::F32];

    /// As in records.
    pub fn name(self) -> &'static str {
        match self {
            Number::Int8 => "int8",
            Number::Bf16 => "bf16",
            Number::F16 => "f16",
            Number::F32 => "f32",
        }
    }
}

/// The part of a processor that multiplies.
///
/// A program must be written for tiles to use them, and many are not: their ceiling is that of vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Matrices in registers for them: AMX.
    Tiles,
    /// Vectors, or what the compiler makes of plain Rust.
    #[default]
    Vectors,
}

impl Unit {
    /// All of them, the fastest first.
    pub const ALL: [Unit; 2] = [Unit::Tiles, Unit::Vectors];
}

/// A loop that reads memory.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// What loads: `avx512f`.
    pub set: &'static str,
    /// To be called where the machine has the set.
    run: unsafe fn(&[u64], u64) -> u64,
}

impl Reader {
    /// Reads `words` `passes` times. The sum of all that was read, modulo 2⁶⁴.
    pub fn sum(&self, words: &[u64], passes: u64) -> u64 {
        // SAFETY: a reader is made only with a function whose instruction set was detected.
        unsafe { (self.run)(words, passes) }
    }
}

/// A loop that multiplies and adds.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// What is multiplied.
    pub number: Number,
    /// By what.
    pub unit: Unit,
    /// With which instructions, the set first: `avx512_vnni vpdpbusd zmm`.
    pub instructions: &'static str,
    /// Products in a round, each added to a sum.
    pub per_round: u64,
    /// To be called where the machine has the set.
    run: unsafe fn(i8, i8, u64) -> f64,
}

impl Product {
    /// Multiplies `a`, which is not negative, with `b` in every lane, `rounds` times.
    ///
    /// The sum: `rounds` × [`Product::per_round`] × `a` × `b`, while sums of a lane are exact.
    pub fn run(&self, a: i8, b: i8, rounds: u64) -> f64 {
        // SAFETY: a product is made only with a function whose instruction set was detected.
        unsafe { (self.run)(a, b, rounds) }
    }
}

/// Every loop that runs on this machine.
#[derive(Clone, Debug)]
pub struct Loops {
    /// Those that read, the widest first.
    pub readers: Vec<Reader>,
    /// Those that multiply, of each kind of number and each unit the widest first.
    pub products: Vec<Product>,
}

impl Loops {
    /// Those whose instruction set this machine has.
    pub fn detect() -> Loops {
        let mut loops = Loops { readers: Vec::new(), products: Vec::new() };
        #[cfg(target_arch = "x86_64")]
        {
            amx::add_to(&mut loops);
            avx512::add_to(&mut loops);
            if let Some(proof) = crate::reference::kernel::Avx2::detect() {
                avx2::add_to(&mut loops, proof);
            }
        }
        #[cfg(target_arch = "aarch64")]
        neon::add_to(&mut loops);
        plain::add_to(&mut loops);
        loops
    }

    /// The widest loop that reads.
    pub fn reader(&self) -> Reader {
        self.readers[0]
    }

    /// The loops of a kind of number on a unit of which one is the fastest.
    ///
    /// It is the first, but for bfloat16: a processor may need longer for its products than for
    /// converting both factors to single precision, as Sapphire Rapids does.
    pub fn rivals(&self, number: Number, unit: Unit) -> impl Iterator<Item = Product> {
        let fits = move |product: &&Product| product.number == number && product.unit == unit;
        let n = if number == Number::Bf16 { 2 } else { 1 };
        self.products.iter().filter(fits).take(n).copied()
    }
}
