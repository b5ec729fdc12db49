//! What becomes of scores: slopes, caps and windows, against attention written out.

use crate::ggml::GgmlType;
use crate::model::Arch;
use crate::model::fixtures::small;
use crate::reference::graph::attention::{AttentionScratch, Rules};
use crate::reference::graph::kv::{HeadDims, KvCache, KvTypes};
use crate::reference::graph::recipe::Recipe;
use crate::reference::kernel;

#[test]
fn slopes_are_those_of_the_paper() {
    let shape = small(Arch::Bloom);
    let file = crate::reference::graph::tests::file(&shape, |_| GgmlType::F32);
    let slopes = |n| Recipe::read(&shape, &file).unwrap().slopes(n);
    assert_eq!(slopes(8), [1, 2, 3, 4, 5, 6, 7, 8].map(|i| 0.5f32.powi(i)));
    // The authors' rule for other numbers of heads: those of the next lower power of two, then every
    // other one of the next higher.
    let found = slopes(12);
    assert_eq!(found[..8], slopes(8));
    for (i, slope) in found[8..].iter().enumerate() {
        let expected = 2f32.powf(-0.5 * (2 * i + 1) as f32);
        assert!((slope / expected - 1.0).abs() < 1e-6, "{i}: {slope} {expected}");
    }
}

/// What products of queries and keys are multiplied with.
const SCALE: f32 = 0.75;

/// Attention of one query at `position` over `k` and `v` as the definitions have it.
fn written_out(
    q: &[f32],
    position: usize,
    k: &[Vec<f32>],
    v: &[Vec<f32>],
    (window, cap, slope): (Option<usize>, Option<f32>, f32),
) -> Vec<f32> {
    let first = window.map_or(0, |w| (position + 1).saturating_sub(w));
    let scores: Vec<f64> = (first..=position)
        .map(|p| {
            let dot: f64 = q.iter().zip(&k[p]).map(|(a, b)| f64::from(SCALE * a * b)).sum();
            let held = cap.map_or(dot, |cap| f64::from(cap) * (dot / f64::from(cap)).tanh());
            held - f64::from(slope) * (position - p) as f64
        })
        .collect();
    let sum: f64 = scores.iter().map(|s| s.exp()).sum();
    let weighted = |i: usize| {
        let all = scores.iter().zip(&v[first..]);
        (all.map(|(s, v)| s.exp() * f64::from(v[i])).sum::<f64>() / sum) as f32
    };
    (0..v[0].len()).map(weighted).collect()
}

#[test]
fn attention_with_windows_caps_and_slopes_is_what_the_definitions_say() {
    let (dims, n) = (HeadDims { k: 24, v: 20 }, 150);
    let mut seed = 77u64;
    let mut row = |n: usize| -> Vec<f32> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    };
    let k: Vec<Vec<f32>> = (0..n).map(|_| row(dims.k)).collect();
    let v: Vec<Vec<f32>> = (0..n).map(|_| row(dims.v)).collect();
    let shape = crate::model::ModelShape {
        n_layer: 1,
        n_head_kv: 1.into(),
        head_dim: dims.k as u32,
        value_dim: Some(dims.v as u32),
        ..small(Arch::Minicpm3)
    };
    let types = KvTypes { k: GgmlType::F32, v: GgmlType::F32 };
    let mut cache = KvCache::new(&shape, 160, types).unwrap();
    let writer = cache.writer();
    for (p, (k, v)) in k.iter().zip(&v).enumerate() {
        writer.write(&kernel::Plain, cache.layer_mut(0), p, k, v);
    }
    // Two heads share the keys; queries at three positions.
    let (positions, slopes) = ([140, 141, 149], [0.25, 0.0625]);
    let q: Vec<Vec<f32>> = (0..6).map(|_| row(dims.k)).collect();
    for set in kernel::available() {
        for block in [32, 160] {
            for (window, cap, has_slopes) in [
                (None, None, false),
                (Some(16), None, false),
                (Some(1), None, false),
                (Some(500), Some(0.8), false),
                (None, Some(2.0), true),
                (Some(37), Some(1.5), true),
            ] {
                let mut own = AttentionScratch::new(6, dims, GgmlType::F32, block).unwrap();
                for (r, q) in q.iter().enumerate() {
                    own.q[r * dims.k..][..dims.k].copy_from_slice(q);
                    own.last[r] = positions[r / 2];
                }
                let slopes: &[f32] = if has_slopes { &slopes } else { &[] };
                let rules = Rules { scale: SCALE, window, cap, slopes };
                let start = rules.first_seen(140) / 16 * 16;
                own.attend(set, cache.head(0, 0), types, rules, 6, start..n);
                for (r, q) in q.iter().enumerate() {
                    let slope = if has_slopes { slopes[r % 2] } else { 0.0 };
                    let last = positions[r / 2];
                    let expected = written_out(q, last, &k, &v, (window, cap, slope));
                    let (_, sum, o) = own.partial(r);
                    for (found, expected) in o.iter().map(|o| o / sum).zip(expected) {
                        let name = set.name();
                        assert!(
                            (found - expected).abs() < 1e-5,
                            "{name} {block} {window:?} {cap:?} {r}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }
}
