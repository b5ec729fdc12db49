//! Plain Rust: the definition of what every other set has to compute.

use half::{bf16, f16};

use super::acts::{Acts, Form, QuantisedActs};
use super::{Activation, FloatPanel, Kernels, Rows, RowsMut};
use crate::ggml::GgmlType;
use crate::reference::quant::panel::{self, FLOAT_ROWS, QUANT_ROWS as R};
use crate::reference::quant::{Block, Reader, SuperBlock, reader};

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

    fn quant_panel(&self, ty: GgmlType, panel: &[u8], x: &Acts, n: usize, out: &mut [f32]) {
        let x = x.quantised(Form::of(ty), n);
        let out = &mut out[..n * R];
        match reader(ty) {
            Reader::Floats(_) => panic!("{ty} is not quantised"),
            Reader::Blocks(read) => each_block(ty, panel, x.k, out, |row, b, outs| {
                blocks(&read(row), &x, b, outs);
            }),
            Reader::SuperBlocks(read) => each_block(ty, panel, x.k, out, |row, b, outs| {
                super_blocks(&read(row), &x, b, outs);
            }),
        }
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

    fn quantize_q8_sum(&self, x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [f32]) {
        let blocks = x.chunks_exact(32).zip(q.chunks_exact_mut(32));
        for (((x, q), d), s) in blocks.zip(d).zip(s) {
            let inverse;
            (*d, inverse) = block_scale(x);
            for (v, q) in x.iter().zip(q.iter_mut()) {
                *q = (v * inverse).round_ties_even() as i8;
            }
            let max = largest(x);
            let sum: i32 = q.iter().map(|&v| i32::from(v)).sum();
            *s = f16::from_f32(max / 127.0 * sum as f32).to_f32();
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

    fn quantize_q8_k(&self, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i32]) {
        let blocks = x.chunks_exact(256).zip(q.chunks_exact_mut(256));
        for (((x, q), d), sums) in blocks.zip(d).zip(sums.chunks_exact_mut(8)) {
            let size = largest(x);
            let max = if x.contains(&size) { size } else { -size };
            let scale = if max == 0.0 { 0.0 } else { -127.0 / max };
            *d = if max == 0.0 { 0.0 } else { 1.0 / scale };
            for (v, q) in x.iter().zip(q.iter_mut()) {
                *q = (v * scale).round_ties_even().min(127.0) as i8;
            }
            for (pair, q) in sums.iter_mut().zip(q.chunks_exact(32)) {
                let sum = |q: &[i8]| q.iter().map(|&v| i32::from(v)).sum::<i32>();
                *pair = sum(&q[..16]) & 0xFFFF | sum(&q[16..]) << 16;
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
    let max = largest(x);
    (f16::from_f32(max / 127.0).to_f32(), if max == 0.0 { 0.0 } else { 127.0 / max })
}

/// The largest size of a number, or none where one of them is none: it has to reach the logits, where
/// somebody looks.
fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |max, v| if v.abs() > max || v.is_nan() { v.abs() } else { max })
}

/// Calls `step(block of a row, number of the block, outputs of the row)` for every block of every row
/// of a panel, with the outputs zeroed before.
fn each_block(
    ty: GgmlType,
    panel: &[u8],
    k: usize,
    out: &mut [f32],
    mut step: impl FnMut(&[u8], usize, &mut dyn Iterator<Item = &mut f32>),
) {
    let size = ty.block_size() as usize;
    assert_eq!(panel.len(), panel::bytes(ty, k), "bytes of a panel");
    out.fill(0.0);
    let mut row = vec![0; ty.block_bytes() as usize];
    for (b, block) in panel.chunks_exact(panel::bytes(ty, size)).enumerate() {
        for r in 0..R {
            panel::unpack_row(ty, size, block, r, &mut row);
            step(&row, b, &mut out[r..].iter_mut().step_by(R));
        }
    }
}

/// Adds the products of a block of 32 with block `b` of every activation.
fn blocks(w: &Block, x: &QuantisedActs<'_>, b: usize, outs: &mut dyn Iterator<Item = &mut f32>) {
    for (t, out) in outs.enumerate() {
        let (first, at) = (t * x.k + b * Block::LEN, t * (x.k / Block::LEN) + b);
        let dot: i32 = match x.q16.is_empty() {
            true => dot(&w.q, x.q8[first..].iter().map(|&v| i32::from(v))),
            false => dot(&w.q, x.q16[first..].iter().map(|&v| i32::from(v))),
        };
        *out += dot as f32 * (w.d * x.d[at]);
        if !x.s.is_empty() {
            *out += w.m * x.s[at];
        }
    }
}

/// Adds the products of a block of 256 with block `b` of every activation.
fn super_blocks(
    w: &SuperBlock,
    x: &QuantisedActs<'_>,
    b: usize,
    outs: &mut dyn Iterator<Item = &mut f32>,
) {
    for (t, out) in outs.enumerate() {
        let q = &x.q8[t * x.k + b * SuperBlock::LEN..][..SuperBlock::LEN];
        let (mut sum, mut of_mins) = (0, 0);
        let subs = w.q.chunks_exact(SuperBlock::SUB).zip(q.chunks_exact(SuperBlock::SUB));
        for (s, (w_sub, q)) in subs.enumerate() {
            sum += i32::from(w.scales[s]) * dot(w_sub, q.iter().map(|&v| i32::from(v)));
            of_mins += i32::from(w.mins[s]) * q.iter().map(|&v| i32::from(v)).sum::<i32>();
        }
        let d = x.d[t * (x.k / SuperBlock::LEN) + b];
        *out += sum as f32 * (w.d * d) - of_mins as f32 * (w.dmin * d);
    }
}

fn dot(w: &[i8], x: impl Iterator<Item = i32>) -> i32 {
    w.iter().zip(x).map(|(&w, x)| i32::from(w) * x).sum()
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
