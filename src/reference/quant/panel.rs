//! Panels: the interleaved layout in which kernels read a matrix.
//!
//! A panel holds [`rows`] neighbouring rows of a matrix, so that one vector register holds one
//! element (or one group of four) of each of them and a result register holds one output per
//! row: no sums across a register, one scale step per block for all rows. Content and size are
//! those of the format; only the order differs, so a packed matrix takes the bytes of the file's
//! tensor, rounded up to whole panels with rows of zeros.
//!
//! A block is cut into runs of bytes that stay together, `n` runs of `len` bytes in each section,
//! and each run stands beside the same run of the other rows:
//!
//! | type | rows | sections of a block, `n × len`, in the order of the file |
//! |---|---|---|
//! | `F32`, `F16`, `BF16` | 16 | the number |
//! | `Q8_0` | 8 | `d` 1 × 2; numbers 8 × 4 |
//! | `Q4_0`, `IQ4_NL` | 8 | `d` 1 × 2; nibbles 4 × 4 |
//! | `Q4_1` | 8 | `d`, `m` 2 × 2; nibbles 4 × 4 |
//! | `Q5_0` | 8 | `d` 1 × 2; high bits 1 × 4; nibbles 4 × 4 |
//! | `Q5_1` | 8 | `d`, `m` 2 × 2; high bits 1 × 4; nibbles 4 × 4 |
//! | `Q2_K` | 8 | scales and minima 16 × 1; pairs 16 × 4; `d`, `dmin` 2 × 2 |
//! | `Q3_K` | 8 | high bits 8 × 4; pairs 16 × 4; scales 12 × 1; `d` 1 × 2 |
//! | `Q4_K` | 8 | `d`, `dmin` 2 × 2; scales 12 × 1; nibbles 32 × 4 |
//! | `Q5_K` | 8 | `d`, `dmin` 2 × 2; scales 12 × 1; high bits 8 × 4; nibbles 32 × 4 |
//! | `Q6_K` | 8 | nibbles 32 × 4; high pairs 16 × 4; scales 16 × 1; `d` 1 × 2 |
//! | `IQ4_XS` | 8 | `d` 1 × 2; scales 6 × 1; nibbles 32 × 4 |
//!
//! The bits inside of bytes stay where they are, but for the 32 high bits of `Q5_0` and `Q5_1`: bit
//! `4 g + j` becomes bit `g` of byte `j`, so that a shift brings the four bits of group `g` in front
//! of its four nibbles.

use super::row_bytes;
use crate::ggml::GgmlType;

/// Rows in a panel of the type.
pub const fn rows(ty: GgmlType) -> usize {
    match ty {
        GgmlType::F32 | GgmlType::F16 | GgmlType::BF16 => FLOAT_ROWS,
        _ => QUANT_ROWS,
    }
}

/// Rows in a panel of unquantised numbers.
pub const FLOAT_ROWS: usize = 16;
/// Rows in a panel of quantised blocks.
pub const QUANT_ROWS: usize = 8;
/// The largest number of rows in any panel.
pub const MAX_ROWS: usize = 16;

/// Bytes of a panel whose rows have `k` elements.
pub fn bytes(ty: GgmlType, k: usize) -> usize {
    rows(ty) * row_bytes(ty, k)
}

/// Bytes of a matrix of `n_rows` rows of `k` elements in whole panels.
pub fn matrix_bytes(ty: GgmlType, n_rows: usize, k: usize) -> usize {
    n_rows.div_ceil(rows(ty)) * bytes(ty, k)
}

/// Packs up to [`rows`] rows (`src`, one after the other) of `k` elements into one panel; rows
/// that are missing at the end become zeros.
pub fn pack(ty: GgmlType, k: usize, src: &[u8], dst: &mut [u8]) {
    let row = row_bytes(ty, k);
    let n = src.len() / row;
    assert!(src.len() == n * row && n <= rows(ty) && dst.len() == bytes(ty, k), "panel of {ty}");
    if n < rows(ty) {
        dst.fill(0);
    }
    for (r, row) in src.chunks_exact(row).enumerate() {
        pack_row(ty, k, row, r, dst);
    }
}

/// Writes `src`, a row as the format lays it out, as row `r` of a panel.
pub fn pack_row(ty: GgmlType, k: usize, src: &[u8], r: usize, panel: &mut [u8]) {
    assert!(
        r < rows(ty) && panel.len() == bytes(ty, k) && src.len() == row_bytes(ty, k),
        "row {r} of a panel of {ty}"
    );
    exchange(ty, k, r, |in_row, in_panel, len| {
        panel[in_panel..in_panel + len].copy_from_slice(&src[in_row..in_row + len]);
    });
    for_high_bits(ty, k, r, |_, in_panel| turn(&mut panel[in_panel..in_panel + 4], to_bytes));
}

/// Writes row `r` of a panel into `dst` as the format lays it out.
pub fn unpack_row(ty: GgmlType, k: usize, panel: &[u8], r: usize, dst: &mut [u8]) {
    assert!(
        r < rows(ty) && panel.len() == bytes(ty, k) && dst.len() == row_bytes(ty, k),
        "row {r} of a panel of {ty}"
    );
    exchange(ty, k, r, |in_row, in_panel, len| {
        dst[in_row..in_row + len].copy_from_slice(&panel[in_panel..in_panel + len]);
    });
    for_high_bits(ty, k, r, |in_row, _| turn(&mut dst[in_row..in_row + 4], from_bytes));
}

/// The runs of bytes of a block that stay together: how many, and how long they are.
const fn sections(ty: GgmlType) -> &'static [(usize, usize)] {
    match ty {
        GgmlType::F32 => &[(1, 4)],
        GgmlType::F16 | GgmlType::BF16 => &[(1, 2)],
        GgmlType::Q8_0 => &[(1, 2), (8, 4)],
        GgmlType::Q4_0 | GgmlType::IQ4_NL => &[(1, 2), (4, 4)],
        GgmlType::Q4_1 => &[(2, 2), (4, 4)],
        GgmlType::Q5_0 => &[(1, 2), (5, 4)],
        GgmlType::Q5_1 => &[(2, 2), (5, 4)],
        GgmlType::Q2_K => &[(16, 1), (16, 4), (2, 2)],
        GgmlType::Q3_K => &[(24, 4), (12, 1), (1, 2)],
        GgmlType::Q4_K => &[(2, 2), (12, 1), (32, 4)],
        GgmlType::Q5_K => &[(2, 2), (12, 1), (40, 4)],
        GgmlType::Q6_K => &[(48, 4), (16, 1), (1, 2)],
        GgmlType::IQ4_XS => &[(1, 2), (6, 1), (32, 4)],
        _ => panic!("a type without panels"),
    }
}

/// Calls `copy(offset in the row, offset in the panel, bytes)` for every run of bytes of row `r`.
#[inline]
fn exchange(ty: GgmlType, k: usize, r: usize, mut copy: impl FnMut(usize, usize, usize)) {
    let (rows, bytes) = (rows(ty), ty.block_bytes() as usize);
    for block in 0..k / ty.block_size() as usize {
        let mut at = block * bytes;
        for &(n, len) in sections(ty) {
            for i in 0..n {
                copy(at + i * len, at * rows + (i * rows + r) * len, len);
            }
            at += n * len;
        }
    }
}

/// Calls `at(offset in the row, offset in the panel)` for the 32 high bits of every block of row `r`
/// of types that have such.
fn for_high_bits(ty: GgmlType, k: usize, r: usize, mut at: impl FnMut(usize, usize)) {
    let head = match ty {
        GgmlType::Q5_0 => 2,
        GgmlType::Q5_1 => 4,
        _ => return,
    };
    for block in 0..k / ty.block_size() as usize {
        let in_row = block * ty.block_bytes() as usize + head;
        at(in_row, in_row * QUANT_ROWS + 4 * r);
    }
}

fn turn(bytes: &mut [u8], how: fn(u32) -> u32) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.copy_from_slice(&how(bits).to_le_bytes());
}

/// Bit `4 g + j` becomes bit `8 j + g`.
fn to_bytes(bits: u32) -> u32 {
    (0..4).fold(0, |all, j| {
        let every_fourth = bits >> j & 0x1111_1111;
        let pairs = (every_fourth | every_fourth >> 3) & 0x0303_0303;
        let nibbles = (pairs | pairs >> 6) & 0x000F_000F;
        all | ((nibbles | nibbles >> 12) & 0xFF) << (8 * j)
    })
}

/// The inverse of [`to_bytes`].
fn from_bytes(bits: u32) -> u32 {
    (0..4).fold(0, |all, j| {
        let byte = bits >> (8 * j) & 0xFF;
        let nibbles = (byte | byte << 12) & 0x000F_000F;
        let pairs = (nibbles | nibbles << 6) & 0x0303_0303;
        all | ((pairs | pairs << 3) & 0x1111_1111) << j
    })
}
