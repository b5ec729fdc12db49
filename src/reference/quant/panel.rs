//! Panels: the interleaved layout in which kernels read a matrix.
//!
//! A panel holds [`rows`] neighbouring rows of a matrix, so that one vector register holds one
//! element (or one group of four) of each of them and a result register holds one output per
//! row: no sums across a register, one scale step per block for all rows. Content and size are
//! those of the format; only the order differs, so a packed matrix takes the bytes of the file's
//! tensor, rounded up to whole panels with rows of zeros.
//!
//! | type | rows | for each | in this order |
//! |---|---|---|---|
//! | `F32`, `F16`, `BF16` | 16 | element | 16 rows |
//! | `Q8_0` | 8 | block of 32 | 8 `d`; 8 groups × 8 rows × 4 elements |
//! | `Q4_0` | 8 | block of 32 | 8 `d`; 4 groups × 8 rows × 4 bytes |
//! | `Q4_1` | 8 | block of 32 | 8 `d`; 8 `m`; as `Q4_0` |
//! | `Q6_K` | 8 | block of 256 | 8 `d`; 16 × 8 scales; 32 × 8 rows × 4 low bytes; 16 × 8 rows × 4 high bytes |
//!
//! In `Q4_*` a byte keeps its two elements (`j` and `j + 16`). In `Q6_K` the element `k` lies in
//! group `g = k / 4`: low byte `g % 32` (high nibble from 128 on), high byte `g % 16`, bits
//! `2 · (g / 16)` and the next.

use super::{q4_0, q4_1, q6_k, q8_0, row_bytes};
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
    for r in 0..n {
        exchange(ty, k, r, |in_row, in_panel, len| {
            dst[in_panel..in_panel + len]
                .copy_from_slice(&src[r * row + in_row..r * row + in_row + len]);
        });
        if ty == GgmlType::Q6_K {
            pack_q6_k(k, r, &src[r * row..(r + 1) * row], dst);
        }
    }
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
    if ty == GgmlType::Q6_K {
        unpack_q6_k(k, r, panel, dst);
    }
}

/// Calls `copy(offset in the row, offset in the panel, bytes)` for every run of bytes of row `r`
/// that keeps its inner order.
#[inline]
fn exchange(ty: GgmlType, k: usize, r: usize, mut copy: impl FnMut(usize, usize, usize)) {
    const R: usize = QUANT_ROWS;
    match ty {
        GgmlType::F32 | GgmlType::F16 | GgmlType::BF16 => {
            let size = ty.block_bytes() as usize;
            for i in 0..k {
                copy(i * size, (i * FLOAT_ROWS + r) * size, size);
            }
        }
        GgmlType::Q8_0 | GgmlType::Q4_0 | GgmlType::Q4_1 => {
            let (block, bytes, head) = match ty {
                GgmlType::Q8_0 => (q8_0::BLOCK, q8_0::BYTES, 1),
                GgmlType::Q4_0 => (q4_0::BLOCK, q4_0::BYTES, 1),
                _ => (q4_1::BLOCK, q4_1::BYTES, 2),
            };
            for b in 0..k / block {
                let (row, panel) = (b * bytes, b * bytes * R);
                for h in 0..head {
                    copy(row + 2 * h, panel + 2 * (h * R + r), 2);
                }
                for g in 0..(bytes - 2 * head) / 4 {
                    copy(row + 2 * head + 4 * g, panel + 2 * head * R + 4 * (g * R + r), 4);
                }
            }
        }
        // Its bits change places: see below.
        GgmlType::Q6_K => {}
        _ => panic!("{ty} has no panels"),
    }
}

/// Offsets in a block of a `Q6_K` panel.
pub mod q6_k_offsets {
    use super::QUANT_ROWS;
    /// 16 × 8 scales.
    pub const SCALES: usize = 2 * QUANT_ROWS;
    /// 32 × 8 rows × 4 low bytes.
    pub const LOW: usize = SCALES + 16 * QUANT_ROWS;
    /// 16 × 8 rows × 4 high bytes.
    pub const HIGH: usize = LOW + 128 * QUANT_ROWS;
    /// All of it.
    pub const BYTES: usize = HIGH + 64 * QUANT_ROWS;
}

fn pack_q6_k(k: usize, r: usize, src: &[u8], dst: &mut [u8]) {
    use q6_k_offsets as at;
    for b in 0..k / q6_k::BLOCK {
        let block = &src[b * q6_k::BYTES..][..q6_k::BYTES];
        let out = &mut dst[b * at::BYTES..][..at::BYTES];
        out[2 * r..2 * r + 2].copy_from_slice(q6_k::d(block));
        for (s, scale) in q6_k::scales(block).iter().enumerate() {
            out[at::SCALES + s * QUANT_ROWS + r] = *scale;
        }
        let q = q6_k::unpack(block);
        for i in 0..128 {
            let place = ((i / 4) * QUANT_ROWS + r) * 4 + i % 4;
            out[at::LOW + place] = q[i] & 15 | (q[i + 128] & 15) << 4;
        }
        for i in 0..64 {
            let place = ((i / 4) * QUANT_ROWS + r) * 4 + i % 4;
            out[at::HIGH + place] =
                q[i] >> 4 | (q[i + 64] >> 4) << 2 | (q[i + 128] >> 4) << 4 | (q[i + 192] >> 4) << 6;
        }
    }
}

fn unpack_q6_k(k: usize, r: usize, panel: &[u8], dst: &mut [u8]) {
    use q6_k_offsets as at;
    for b in 0..k / q6_k::BLOCK {
        let src = &panel[b * at::BYTES..][..at::BYTES];
        let block = &mut dst[b * q6_k::BYTES..][..q6_k::BYTES];
        let mut q = [0u8; q6_k::BLOCK];
        for (i, q) in q.iter_mut().enumerate() {
            *q = q6_k_element(src, r, i);
        }
        q6_k::pack(&q, block);
        for s in 0..16 {
            q6_k::scales_mut(block)[s] = src[at::SCALES + s * QUANT_ROWS + r];
        }
        q6_k::d_mut(block).copy_from_slice(&src[2 * r..2 * r + 2]);
    }
}

/// The unsigned 6-bit number of element `i` of row `r` in a block of a `Q6_K` panel.
pub fn q6_k_element(block: &[u8], r: usize, i: usize) -> u8 {
    use q6_k_offsets as at;
    let place = |i: usize| ((i / 4) * QUANT_ROWS + r) * 4 + i % 4;
    let low = block[at::LOW + place(i % 128)] >> (4 * (i / 128)) & 15;
    let high = block[at::HIGH + place(i % 64)] >> (2 * (i / 64)) & 3;
    low | high << 4
}
