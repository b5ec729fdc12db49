use super::*;
use crate::reference::quant::{self, WEIGHT_TYPES, panel};

/// A small generator: uniform in −1..1, with now and then a much larger value.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let v = (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        if self.0 & 63 == 0 { v * 8.0 } else { v }
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn others() -> Vec<&'static dyn Kernels> {
    available().into_iter().filter(|s| s.name() != "plain").collect()
}

fn packed(ty: GgmlType, k: usize, numbers: &mut Numbers) -> (Vec<u8>, Vec<Vec<f32>>) {
    let (mut raw, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..panel::rows(ty) {
        let mut bytes = vec![0; quant::row_bytes(ty, k)];
        quant::quantize_row(ty, &numbers.take(k), &mut bytes);
        let mut row = vec![0.0; k];
        quant::dequantize_row(ty, &bytes, &mut row);
        raw.extend(bytes);
        rows.push(row);
    }
    let mut bytes = vec![0; panel::bytes(ty, k)];
    panel::pack(ty, k, &raw, &mut bytes);
    (bytes, rows)
}

fn product(set: &dyn Kernels, ty: GgmlType, bytes: &[u8], xs: &[Vec<f32>]) -> Vec<f32> {
    let (n, k) = (xs.len(), xs[0].len());
    let mut acts = Acts::new(n, k, &[Form::of(ty)]).unwrap();
    acts.reset(Form::of(ty), k);
    for (t, x) in xs.iter().enumerate() {
        acts.set(set, t, x);
    }
    let mut out = vec![f32::NAN; n * panel::rows(ty)];
    matmul_panel(set, ty, bytes, &acts, n, &mut out);
    out
}

#[test]
fn activations_that_are_no_numbers_make_none() {
    let mut numbers = Numbers(11);
    for &ty in WEIGHT_TYPES {
        let k = 2 * ty.block_size() as usize;
        let (bytes, _) = packed(ty, k, &mut numbers);
        let mut infinite = numbers.take(k);
        infinite[k - 1] = f32::INFINITY;
        // One in each place of a register, among numbers and among zeros.
        let one = |i: usize, mut x: Vec<f32>| {
            x[i] = if i.is_multiple_of(2) { f32::NAN } else { -f32::NAN };
            x
        };
        let places = (0..k).step_by(k.div_ceil(64));
        let among: Vec<_> =
            places.flat_map(|i| [one(i, numbers.take(k)), one(i, vec![0.0; k])]).collect();
        let all = [vec![f32::NAN; k], vec![-f32::NAN; k], infinite];
        for x in all.into_iter().chain(among) {
            for set in available() {
                let out = product(set, ty, &bytes, std::slice::from_ref(&x));
                assert!(out.iter().all(|v| !v.is_finite()), "{} {ty}: {out:?}", set.name());
            }
        }
    }
}

#[test]
fn every_set_multiplies_every_type_as_the_plain_one_does() {
    let mut numbers = Numbers(7);
    for &ty in WEIGHT_TYPES {
        let block = ty.block_size() as usize;
        for k in [1, 2, 3, 4, 5, 7, 9, 16, 18, 45].map(|b| b * block) {
            let (bytes, _) = packed(ty, k, &mut numbers);
            for n in [1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 64] {
                let xs: Vec<_> = (0..n).map(|_| numbers.take(k)).collect();
                let expected = product(&Plain, ty, &bytes, &xs);
                for set in others() {
                    let found = product(set, ty, &bytes, &xs);
                    // Integer sums are equal; sums of k floats of size ≤ 64 may differ by order.
                    let bound = 64.0 * (k as f32).sqrt() * 4.0 * f32::EPSILON;
                    for (a, b) in expected.iter().zip(&found) {
                        assert!((a - b).abs() <= bound, "{} {ty} k {k} n {n}: {a} {b}", set.name());
                    }
                }
            }
        }
    }
}

#[test]
fn the_plain_product_is_the_product_of_what_the_formats_mean() {
    let mut numbers = Numbers(11);
    for &ty in WEIGHT_TYPES {
        let k = 512;
        let (bytes, rows) = packed(ty, k, &mut numbers);
        let x = numbers.take(k);
        let found = product(&Plain, ty, &bytes, std::slice::from_ref(&x));
        for (row, found) in rows.iter().zip(&found) {
            let exact: f64 = row.iter().zip(&x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let size: f64 =
                row.iter().zip(&x).map(|(a, b)| (f64::from(*a) * f64::from(*b)).powi(2)).sum();
            // Quantised activations are off by up to half a step of 1/127 of their block's largest.
            let bound = match Form::of(ty) {
                Form::F32 => 1e-5,
                Form::F16 => 4e-3,
                Form::BF16 => 3e-2,
                _ => 0.35,
            };
            let error = (exact - f64::from(*found)).abs();
            assert!(error <= bound * size.sqrt(), "{ty}: {found} for {exact}");
        }
    }
}

#[test]
fn a_float_panel_can_add_to_what_is_there_and_leaves_other_columns_alone() {
    let mut numbers = Numbers(3);
    for ty in [GgmlType::F32, GgmlType::F16, GgmlType::BF16] {
        for (m, k) in [(1, 1), (1, 9), (2, 5), (3, 33), (5, 8), (7, 64), (13, 31)] {
            let (bytes, _) = packed(ty, k, &mut numbers);
            let a = numbers.take(m * (k + 3));
            let start = numbers.take(m * 40);
            let run = |set: &dyn Kernels| {
                let mut out = start.clone();
                set.float_panel(
                    FloatPanel { ty, bytes: &bytes, k },
                    Rows { data: &a, stride: k + 3, m },
                    RowsMut { data: &mut out[8..], stride: 40 },
                    true,
                );
                out
            };
            let expected = run(&Plain);
            for set in others() {
                for (i, (a, b)) in expected.iter().zip(run(set)).enumerate() {
                    assert!((a - b).abs() <= 2e-5, "{} {ty} {m}x{k}: {a} {b}", set.name());
                    if !(8..24).contains(&(i % 40)) {
                        assert_eq!(b, start[i], "column {}", i % 40);
                    }
                }
            }
        }
    }
}

#[test]
fn every_set_quantises_activations_to_the_same_numbers() {
    let mut numbers = Numbers(5);
    for n in [32, 64, 96, 256, 576, 1536] {
        let mut x = numbers.take(n);
        x[..if n == 1536 { 256 } else { 32 }].fill(0.0);
        let run = |set: &dyn Kernels| {
            let (mut q, mut d, mut sums) = (vec![99; n], vec![f32::NAN; n / 32], vec![1; n / 32]);
            set.quantize_q8(&x, &mut q, &mut d, &mut sums);
            let (mut wide, mut d2) = (vec![99; n], vec![f32::NAN; n / 32]);
            set.quantize_q8_wide(&x, &mut wide, &mut d2);
            assert!(q.iter().map(|&v| i16::from(v)).eq(wide) && d == d2);
            let (mut same, mut s) = (vec![99; n], vec![f32::NAN; n / 32]);
            set.quantize_q8_sum(&x, &mut same, &mut d2, &mut s);
            assert!(q == same && d == d2);
            let mut half = vec![f32::NAN; n];
            set.round_to(GgmlType::F16, &x, &mut half);
            let whole = n / 256 * 256;
            let (mut q_k, mut d_k, mut pairs) =
                (vec![99; whole], vec![f32::NAN; n / 256], vec![1; whole / 32]);
            set.quantize_q8_k(&x[..whole], &mut q_k, &mut d_k, &mut pairs);
            (q, d, sums, s, half, (q_k, d_k, pairs))
        };
        let expected = run(&Plain);
        for set in others() {
            assert_eq!(run(set), expected, "{} {n}", set.name());
        }
    }
}

#[test]
fn every_set_reads_blocks_of_a_cache_as_the_plain_one_does() {
    let mut numbers = Numbers(6);
    for &ty in quant::KV_TYPES {
        let x = numbers.take(96);
        let mut blocks = vec![0; quant::row_bytes(ty, x.len())];
        quant::quantize_row(ty, &x, &mut blocks);
        let read = |set: &dyn Kernels| {
            let mut out = vec![f32::NAN; x.len()];
            set.dequantize(ty, &blocks, &mut out);
            out
        };
        for set in others() {
            assert_eq!(read(set), read(&Plain), "{} {ty}", set.name());
        }
    }
}

#[test]
fn norm_gate_and_softmax_agree_within_a_few_units_in_the_last_place() {
    let near = |a: f32, b: f32, ulp: f32| (a - b).abs() <= ulp * f32::EPSILON * a.abs() + 1e-30;
    let mut numbers = Numbers(9);
    for n in (1..70).chain([576, 1000]) {
        let (x, w) = (numbers.take(n), numbers.take(n));
        let gate: Vec<f32> = x.iter().map(|v| v * 20.0).collect();
        for set in others() {
            let norm = |set: &dyn Kernels| {
                let mut out = vec![f32::NAN; n];
                set.rms_norm(&x, &w, 1e-5, &mut out);
                out
            };
            let gated = |set: &dyn Kernels| {
                let mut out = gate.clone();
                set.silu_mul(&mut out, &w);
                out
            };
            let soft = |set: &dyn Kernels| {
                let mut out = gate.clone();
                let (max, sum) = set.softmax_step(&mut out, -3.0);
                out.extend([max, sum]);
                out
            };
            let layer_norm = |set: &dyn Kernels| {
                let mut out = vec![f32::NAN; n];
                set.layer_norm(&x, &w, &[], 1e-5, &mut out);
                // Where the mean is near a number, what is left of it has few digits.
                out.iter_mut().zip(&w).for_each(|(out, w)| *out += 4.0 * w.signum());
                out
            };
            for (what, ulp, a, b) in [
                ("norm", 16.0, norm(&Plain), norm(set)),
                ("layer norm", 64.0, layer_norm(&Plain), layer_norm(set)),
                ("gate", 8.0, gated(&Plain), gated(set)),
                ("softmax", 16.0, soft(&Plain), soft(set)),
            ] {
                for (a, b) in a.iter().zip(&b) {
                    assert!(near(*a, *b, ulp), "{} {what} {n}: {a} {b}", set.name());
                }
            }
        }
    }
}

#[test]
fn every_set_has_the_functions_of_the_plain_one() {
    use Activation::{Gelu, GeluErf, Relu, ReluSquared, Silu};
    let mut numbers = Numbers(11);
    for n in (1..40).chain([1000]) {
        let x: Vec<f32> = numbers.take(n).iter().map(|v| v * 6.0).collect();
        let up = numbers.take(n);
        for set in others() {
            // A result of F16 that lies on an edge may fall to either side.
            for (f, near) in
                [(Silu, 1e-6), (Gelu, 1e-3), (GeluErf, 1e-6), (Relu, 0.0), (ReluSquared, 0.0)]
            {
                let run = |set: &dyn Kernels| {
                    let mut out = x.clone();
                    set.activate(f, &mut out);
                    out
                };
                for ((a, b), x) in run(&Plain).iter().zip(run(set)).zip(&x) {
                    assert!((a - b).abs() <= near * a.abs() + 1e-7, "{f:?}({x}): {a} {b}");
                }
            }
            let gated = |set: &dyn Kernels| {
                let mut out = x.clone();
                set.gelu_mul(&mut out, &up);
                out
            };
            for (a, b) in gated(&Plain).iter().zip(gated(set)) {
                assert!((a - b).abs() <= 1e-3 * a.abs() + 1e-7, "{a} {b}");
            }
            let capped = |set: &dyn Kernels| {
                let mut out: Vec<f32> = x.iter().map(|v| v * 10.0).collect();
                set.soft_cap(&mut out, 50.0);
                out
            };
            for (a, b) in capped(&Plain).iter().zip(capped(set)) {
                assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0) && a.abs() <= 50.0, "{a} {b}");
            }
        }
    }
}

#[test]
fn layer_norm_takes_away_the_mean_and_has_weight_and_bias_where_there_are_some() {
    for set in available() {
        let run = |weight: &[f32], bias: &[f32]| {
            let mut out = [0.0; 4];
            set.layer_norm(&[1.0, 3.0, 5.0, 7.0], weight, bias, 0.0, &mut out);
            out
        };
        let unit = 5f32.sqrt().recip();
        let near = |found: [f32; 4], expected: [f32; 4]| {
            found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
        };
        near(run(&[], &[]), [-3.0 * unit, -unit, unit, 3.0 * unit]);
        near(run(&[2.0; 4], &[0.5; 4]), [-3.0, -1.0, 1.0, 3.0].map(|v| 2.0 * v * unit + 0.5));
    }
}

#[test]
fn softmax_takes_masked_and_very_low_scores_as_zero() {
    for set in available() {
        let mut scores = vec![0.0; 11];
        scores[3] = f32::NEG_INFINITY;
        scores[9] = f32::NEG_INFINITY;
        scores[4] = -200.0;
        let (max, sum) = set.softmax_step(&mut scores, f32::NEG_INFINITY);
        assert_eq!((max, sum), (0.0, 8.0), "{}", set.name());
        assert_eq!((scores[3], scores[9], scores[4]), (0.0, 0.0, 0.0));
    }
}

#[test]
fn a_set_is_found_by_its_name_or_refused_with_those_there_are() {
    assert_eq!(choose(Some("plain")).unwrap().name(), "plain");
    assert_eq!(choose(None).unwrap().name(), available()[0].name());
    let error = choose(Some("mmx")).err().unwrap().to_string();
    assert!(error.starts_with("instruction set `mmx`, this machine has "), "{error}");
    assert!(error.ends_with("plain"), "{error}");
}
