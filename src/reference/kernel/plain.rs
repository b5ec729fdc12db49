//! Plain Rust: the definition of what every other set has to compute.

use half::{bf16, f16};

use super::acts::{Acts, Form};
use super::{Activation, FloatPanel, Kernels, Rows, RowsMut};
use crate::ggml::GgmlType;
use crate::reference::quant::panel::{self, FLOAT_ROWS, QUANT_ROWS as R, q6_k_offsets as q6_k};

/// The set that runs everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Kernels for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn float_panel(&self, panel: FloatPanel<'_>, a: Rows<'_>, out: RowsMut<'_>, add: bool) {
        panel.check(&a, &out);
        match panel.ty {
            GgmlType::F32 => floats(panel, a, out, add, f32::from_le_bytes),
            GgmlType::F16 => floats(panel, a, out, add, |b| f16::from_le_bytes(b).to_f32()),
            GgmlType::BF16 => floats(panel, a, out, add, |b| bf16::from_le_bytes(b).to_f32()),
            ty => panic!("{ty} is quantised"),
        }
    }

    fn q8_0_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8Wide, n);
        blocks(panel, 272, x.k / 32, n, out, |t, b, block, out| {
            let q = &x.q16[t * x.k + b * 32..][..32];
            let d = x.d[t * (x.k / 32) + b];
            let sums = rows_dot(&block[16..], |g, j| i32::from(q[g * 4 + j]), |w| w as i8 as i32);
            for r in 0..R {
                out[r] += sums[r] as f32 * (scale(block, r) * d);
            }
        });
    }

    fn q4_0_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8, n);
        blocks(panel, 144, x.k / 32, n, out, |t, b, block, out| {
            let q = &x.q8[t * x.k + b * 32..][..32];
            let at = t * (x.k / 32) + b;
            let sums = nibbles_dot(&block[16..], q);
            for r in 0..R {
                out[r] += (sums[r] - x.sums[at]) as f32 * (scale(block, r) * x.d[at]);
            }
        });
    }

    fn q4_1_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8, n);
        blocks(panel, 160, x.k / 32, n, out, |t, b, block, out| {
            let q = &x.q8[t * x.k + b * 32..][..32];
            let at = t * (x.k / 32) + b;
            let sum = x.d[at] * 0.125 * x.sums[at] as f32;
            let sums = nibbles_dot(&block[32..], q);
            for r in 0..R {
                out[r] += sums[r] as f32 * (scale(block, r) * x.d[at]);
                out[r] += sum * scale(&block[16..], r);
            }
        });
    }

    fn q6_k_panel(&self, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::Q8K, n);
        blocks(panel, q6_k::BYTES, x.k / 256, n, out, |t, b, block, out| {
            let q = &x.q8[t * x.k + b * 256..][..256];
            let d = x.d[t * (x.k / 256) + b];
            for r in 0..R {
                let mut sum = 0;
                for (s, q) in q.chunks_exact(16).enumerate() {
                    let dot: i32 = (0..16)
                        .map(|j| {
                            let w = i32::from(panel::q6_k_element(block, r, s * 16 + j)) - 32;
                            w * i32::from(q[j])
                        })
                        .sum();
                    sum += i32::from(block[q6_k::SCALES + s * R + r] as i8) * dot;
                }
                out[r] += sum as f32 * (scale(block, r) * d);
            }
        });
    }

    fn quantize_q8(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
        let blocks = x.chunks_exact(32).zip(q.chunks_exact_mut(32));
        for (((x, q), d), sum) in blocks.zip(d).zip(sums) {
            let inverse;
            (*d, inverse) = block_scale(x);
            for (v, q) in x.iter().zip(q.iter_mut()) {
                *q = (v * inverse).round_ties_even() as i8;
            }
            *sum = 8 * q.iter().map(|&v| i32::from(v)).sum::<i32>();
        }
    }

    fn quantize_q8_wide(&self, x: &[f32], q: &mut [i16], d: &mut [f32]) {
        for ((x, q), d) in x.chunks_exact(32).zip(q.chunks_exact_mut(32)).zip(d) {
            let inverse;
            (*d, inverse) = block_scale(x);
            for (v, q) in x.iter().zip(q.iter_mut()) {
                *q = (v * inverse).round_ties_even() as i16;
            }
        }
    }

    fn round_to(&self, ty: GgmlType, x: &[f32], out: &mut [f32]) {
        for (v, out) in x.iter().zip(out) {
            *out = match ty {
                GgmlType::F16 => f16::from_f32(*v).to_f32(),
                GgmlType::BF16 => bf16::from_f32(*v).to_f32(),
                _ => panic!("{ty} is no half precision"),
            };
        }
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let sum: f64 = x.iter().map(|v| f64::from(v * v)).sum();
        let scale = 1.0 / ((sum / x.len() as f64) as f32 + eps).sqrt();
        for ((v, w), out) in x.iter().zip(weight).zip(out) {
            *out = v * scale * w;
        }
    }

    fn silu_mul(&self, gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = *g / (1.0 + (-*g).exp()) * u;
        }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        let n = x.len() as f64;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        let variance = x.iter().map(square).sum::<f64>() / n;
        let (mean, scale) = (mean as f32, 1.0 / (variance as f32 + eps).sqrt());
        for (v, out) in x.iter().zip(out.iter_mut()) {
            *out = (v - mean) * scale;
        }
        out.iter_mut().zip(weight).for_each(|(out, w)| *out *= w);
        out.iter_mut().zip(bias).for_each(|(out, b)| *out += b);
    }

    fn activate(&self, f: Activation, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = f.of(*x));
    }

    fn gelu_mul(&self, gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = Activation::Gelu.of(*g) * u;
        }
    }

    fn soft_cap(&self, x: &mut [f32], cap: f32) {
        x.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
    }

    fn softmax_step(&self, scores: &mut [f32], max: f32) -> (f32, f32) {
        let max = scores.iter().fold(max, |m, s| m.max(*s));
        let mut sum = 0.0;
        for s in scores {
            *s = (*s - max).exp();
            sum += *s;
        }
        (max, sum)
    }
}

/// The scale of a block of 32, rounded as it would be stored, and what to multiply with.
fn block_scale(x: &[f32]) -> (f32, f32) {
    let max = x.iter().fold(0f32, |m, v| m.max(v.abs()));
    let d = f16::from_f32(max / 127.0).to_f32();
    (d, if max == 0.0 { 0.0 } else { 127.0 / max })
}

/// The f16 number `r` at the start of a block.
fn scale(block: &[u8], r: usize) -> f32 {
    f16::from_le_bytes([block[2 * r], block[2 * r + 1]]).to_f32()
}

/// Calls `step(t, b, block, out of t)` for every activation and block, with `out` zeroed before.
fn blocks(
    panel: &[u8],
    bytes: usize,
    n_blocks: usize,
    n: usize,
    out: &mut [f32],
    mut step: impl FnMut(usize, usize, &[u8], &mut [f32]),
) {
    assert_eq!(panel.len(), bytes * n_blocks, "bytes of a panel");
    assert!(out.len() >= n * R, "values written");
    for (t, out) in out.chunks_exact_mut(R).take(n).enumerate() {
        out.fill(0.0);
        for (b, block) in panel.chunks_exact(bytes).enumerate() {
            step(t, b, block, out);
        }
    }
}

/// Sums over 8 groups of four elements of eight rows.
fn rows_dot(w: &[u8], x: impl Fn(usize, usize) -> i32, value: impl Fn(u8) -> i32) -> [i32; R] {
    let mut sums = [0; R];
    for (g, group) in w.chunks_exact(4 * R).enumerate() {
        for r in 0..R {
            for j in 0..4 {
                sums[r] += value(group[4 * r + j]) * x(g, j);
            }
        }
    }
    sums
}

/// Sums over 32 nibbles of eight rows.
fn nibbles_dot(w: &[u8], q: &[i8]) -> [i32; R] {
    let low = rows_dot(w, |g, j| i32::from(q[g * 4 + j]), |w| i32::from(w & 15));
    let high = rows_dot(w, |g, j| i32::from(q[16 + g * 4 + j]), |w| i32::from(w >> 4));
    std::array::from_fn(|r| low[r] + high[r])
}

fn floats<const SIZE: usize>(
    panel: FloatPanel<'_>,
    a: Rows<'_>,
    out: RowsMut<'_>,
    add: bool,
    value: impl Fn([u8; SIZE]) -> f32,
) {
    for t in 0..a.m {
        let a = &a.data[t * a.stride..][..panel.k];
        let out = &mut out.data[t * out.stride..][..FLOAT_ROWS];
        let mut sums = [0f32; FLOAT_ROWS];
        for (x, w) in a.iter().zip(panel.bytes.chunks_exact(SIZE * FLOAT_ROWS)) {
            for (sum, w) in sums.iter_mut().zip(w.as_chunks().0) {
                *sum += x * value(*w);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if add { *out + sum } else { sum };
        }
    }
}
