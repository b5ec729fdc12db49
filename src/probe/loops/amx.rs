//! AMX: registers that hold a tile, 16 rows of 64 bytes, and a unit that multiplies two of them. Intel's
//! servers from 2023 on.
//!
//! Rust's functions for tiles are not stable, so the loops are written out, each in one piece: no tile
//! is live outside of it. Handed out only where the processor has tiles, the system saves them, and the
//! kernel lets this process use them: Linux gives threads no room for tiles until it is asked
//! (`Documentation/arch/x86/xstate.rst`).

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Loops, Number, Product, Unit};

/// Sums in flight, each a tile: a product begins every 16 cycles and takes 52. With both factors they are
/// all the tiles there are.
const SUMS: usize = 6;
/// Words in a tile. As many sums are in a tile of them.
const WORDS: usize = 16 * 16;

pub(super) fn add_to(loops: &mut Loops) {
    let Some(has) = Has::detect() else { return };
    let per_round = (WORDS * 16 * SUMS) as u64;
    if has.int8 {
        loops.products.push(Product {
            number: Number::Int8,
            unit: Unit::Tiles,
            instructions: "amx_int8 tdpbusd",
            per_round: 4 * per_round,
            run: int8,
        });
    }
    if has.bf16 {
        loops.products.push(Product {
            number: Number::Bf16,
            unit: Unit::Tiles,
            instructions: "amx_bf16 tdpbf16ps",
            per_round: 2 * per_round,
            run: bf16,
        });
    }
}

/// What can be multiplied in tiles.
struct Has {
    int8: bool,
    bf16: bool,
}

impl Has {
    /// `None` where there are no tiles, or none for this process.
    fn detect() -> Option<Has> {
        // Says that the system has the register which is read below.
        if !is_x86_feature_detected!("xsave") || __cpuid(0).eax < 7 {
            return None;
        }
        let features = __cpuid_count(7, 0).edx;
        let has = |bit: u32| features >> bit & 1 == 1;
        let (bf16, tile, int8) = (has(22), has(24), has(25));
        // SAFETY: the feature was detected; register 0 is there wherever it is.
        let saved = unsafe { _xgetbv(0) };
        let is_saved = |state: u64| saved >> state & 1 == 1;
        let usable = tile && is_saved(TILE_CONFIG) && is_saved(TILE_DATA) && permitted();
        usable.then_some(Has { int8, bf16 })
    }
}

/// The state of the processor that says how tiles are laid out.
const TILE_CONFIG: u64 = 17;
/// The state of the processor that tiles are.
const TILE_DATA: u64 = 18;

/// Asks the kernel for tiles: for all threads of this process, those that run already among them.
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    if !cfg!(target_os = "linux") {
        return false;
    }
    let answer: i64;
    // SAFETY: the call gets two numbers and touches no memory of this process; a kernel that does not
    // know it says so. It changes the registers that are named and no others.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => answer, in("rdi") ARCH_REQ_XCOMP_PERM,
             in("rsi") TILE_DATA, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer == 0
}

/// How the tiles are laid out, as `ldtilecfg` reads it.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// All eight as large as they can be.
    const FULL: Config = {
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut tile = 0;
        while tile < 8 {
            config.row_bytes[tile] = 64;
            config.rows[tile] = 16;
            tile += 1;
        }
        config
    };
}

/// A tile in memory.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Tile([u32; WORDS]);

/// A function that multiplies the tiles `a` and `b`, `rounds` times for each of the sums, and answers
/// with these.
macro_rules! product_of_tiles {
    ($name:ident, $instruction:literal) => {
        /// # Safety
        ///
        /// This process may use tiles, and the processor has the instruction.
        unsafe fn $name(a: &Tile, b: &Tile, rounds: u64) -> [Tile; SUMS] {
            let mut sums = [Tile([0; WORDS]); SUMS];
            // SAFETY: the caller says that the instructions are there. Factors and sums are as large as
            // the tiles of `Config::FULL`; at the end tiles are as unused as before.
            unsafe {
                asm!(
                    "ldtilecfg [{config}]",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "tilezero tmm4",
                    "tilezero tmm5",
                    "tileloadd tmm6, [{a} + {row}*1]",
                    "tileloadd tmm7, [{b} + {row}*1]",
                    "test {rounds}, {rounds}",
                    "jz 3f",
                    "2:",
                    concat!($instruction, " tmm0, tmm6, tmm7"),
                    concat!($instruction, " tmm1, tmm6, tmm7"),
                    concat!($instruction, " tmm2, tmm6, tmm7"),
                    concat!($instruction, " tmm3, tmm6, tmm7"),
                    concat!($instruction, " tmm4, tmm6, tmm7"),
                    concat!($instruction, " tmm5, tmm6, tmm7"),
                    "dec {rounds}",
                    "jnz 2b",
                    "3:",
                    "tilestored [{sums} + {row}*1], tmm0",
                    "tilestored [{sums} + {row}*1 + 1024], tmm1",
                    "tilestored [{sums} + {row}*1 + 2048], tmm2",
                    "tilestored [{sums} + {row}*1 + 3072], tmm3",
                    "tilestored [{sums} + {row}*1 + 4096], tmm4",
                    "tilestored [{sums} + {row}*1 + 5120], tmm5",
                    "tilerelease",
                    config = in(reg) &Config::FULL,
                    a = in(reg) a,
                    b = in(reg) b,
                    row = in(reg) 64u64,
                    rounds = inout(reg) rounds => _,
                    sums = in(reg) sums.as_mut_ptr(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
            sums
        }
    };
}

product_of_tiles!(tdpbusd, "tdpbusd");
product_of_tiles!(tdpbf16ps, "tdpbf16ps");

/// # Safety
///
/// Detection found products of bytes.
unsafe fn int8(a: i8, b: i8, rounds: u64) -> f64 {
    let four = |v: i8| Tile([u32::from_ne_bytes([v.cast_unsigned(); 4]); WORDS]);
    // SAFETY: as the caller says.
    let sums = unsafe { tdpbusd(&four(a), &four(b), rounds) };
    sums.iter().flat_map(|tile| tile.0).map(|sum| f64::from(sum.cast_signed())).sum()
}

/// # Safety
///
/// Detection found products of bfloat16.
unsafe fn bf16(a: i8, b: i8, rounds: u64) -> f64 {
    let pairs = |v: i8| {
        let upper_half = f32::from(v).to_bits() >> 16;
        Tile([upper_half << 16 | upper_half; WORDS])
    };
    // SAFETY: as the caller says.
    let sums = unsafe { tdpbf16ps(&pairs(a), &pairs(b), rounds) };
    sums.iter().flat_map(|tile| tile.0).map(|sum| f64::from(f32::from_bits(sum))).sum()
}
