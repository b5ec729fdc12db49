//! Panels of `F32`, `F16`, `BF16`: a register tile of 16 rows × up to 6 activations.

use std::arch::x86_64::*;

use crate::ggml::GgmlType;
use crate::reference::kernel::{FloatPanel, Rows, RowsMut};
use crate::reference::quant::panel::FLOAT_ROWS;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// # Safety
/// The lengths are those that `FloatPanel::check` asks for.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn panel(panel: FloatPanel<'_>, a: Rows<'_>, out: RowsMut<'_>, add: bool) {
    // SAFETY: handed on to the caller.
    unsafe {
        match panel.ty {
            GgmlType::F32 => tiles::<F32>(panel, a, out, add),
            GgmlType::F16 => tiles::<F16>(panel, a, out, add),
            GgmlType::BF16 => tiles::<BF16>(panel, a, out, add),
            ty => panic!("{ty} is quantised"),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tiles<const TY: u8>(panel: FloatPanel<'_>, a: Rows<'_>, out: RowsMut<'_>, add: bool) {
    let (w, k) = (panel.bytes.as_ptr(), panel.k);
    let mut t = 0;
    while t < a.m {
        // SAFETY: row `t` and the next `m - t - 1` lie within `a` and `out` (caller), and each
        // arm touches no more of them than it takes.
        unsafe {
            let x = a.data.as_ptr().add(t * a.stride);
            let y = out.data.as_mut_ptr().add(t * out.stride);
            t += match a.m - t {
                1 => tile::<TY, 1, 4>(w, k, x, a.stride, y, out.stride, add),
                2 => tile::<TY, 2, 2>(w, k, x, a.stride, y, out.stride, add),
                3 => tile::<TY, 3, 2>(w, k, x, a.stride, y, out.stride, add),
                4 => tile::<TY, 4, 1>(w, k, x, a.stride, y, out.stride, add),
                5 => tile::<TY, 5, 1>(w, k, x, a.stride, y, out.stride, add),
                _ => tile::<TY, 6, 1>(w, k, x, a.stride, y, out.stride, add),
            };
        }
    }
}

/// `M` activations at once; the sum over `k` runs in `S` chains to hide the latency of FMA.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const TY: u8, const M: usize, const S: usize>(
    w: *const u8,
    k: usize,
    x: *const f32,
    ldx: usize,
    y: *mut f32,
    ldy: usize,
    add: bool,
) -> usize {
    let mut acc = [[[_mm256_setzero_ps(); 2]; M]; S];
    let mut i = 0;
    // SAFETY: `i + s < k` throughout, and the caller vouches for `k` elements of panel and rows.
    unsafe {
        while i + S <= k {
            for (s, acc) in acc.iter_mut().enumerate() {
                let (w0, w1) = load::<TY>(w, i + s);
                for (t, acc) in acc.iter_mut().enumerate() {
                    let v = _mm256_set1_ps(*x.add(t * ldx + i + s));
                    acc[0] = _mm256_fmadd_ps(v, w0, acc[0]);
                    acc[1] = _mm256_fmadd_ps(v, w1, acc[1]);
                }
            }
            i += S;
        }
        while i < k {
            let (w0, w1) = load::<TY>(w, i);
            for (t, acc) in acc[0].iter_mut().enumerate() {
                let v = _mm256_set1_ps(*x.add(t * ldx + i));
                acc[0] = _mm256_fmadd_ps(v, w0, acc[0]);
                acc[1] = _mm256_fmadd_ps(v, w1, acc[1]);
            }
            i += 1;
        }
    }
    for t in 0..M {
        let mut sum = acc[0][t];
        for acc in &acc[1..] {
            sum = [_mm256_add_ps(sum[0], acc[t][0]), _mm256_add_ps(sum[1], acc[t][1])];
        }
        // SAFETY: row `t` of `y` has 16 elements (caller).
        unsafe {
            let y = y.add(t * ldy);
            if add {
                sum[0] = _mm256_add_ps(sum[0], _mm256_loadu_ps(y));
                sum[1] = _mm256_add_ps(sum[1], _mm256_loadu_ps(y.add(8)));
            }
            _mm256_storeu_ps(y, sum[0]);
            _mm256_storeu_ps(y.add(8), sum[1]);
        }
    }
    M
}

/// The 16 numbers of element `i`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load<const TY: u8>(w: *const u8, i: usize) -> (__m256, __m256) {
    // SAFETY: the panel holds element `i` (caller); the loads need no alignment.
    unsafe {
        match TY {
            F32 => {
                let p = w.add(i * FLOAT_ROWS * 4).cast::<f32>();
                (_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)))
            }
            F16 => {
                let p = w.add(i * FLOAT_ROWS * 2).cast::<__m128i>();
                (_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p.add(1))))
            }
            _ => {
                let p = w.add(i * FLOAT_ROWS * 2).cast::<__m128i>();
                let widen =
                    |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v)));
                (widen(_mm_loadu_si128(p)), widen(_mm_loadu_si128(p.add(1))))
            }
        }
    }
}
