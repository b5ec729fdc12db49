use super::super::attention::{AttentionScratch, Rules};
use super::*;
use crate::model::Arch;
use crate::model::fixtures::small;
use crate::reference::kernel::{Plain, available};
use crate::reference::quant::KV_TYPES;

fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A model of one layer with one head of so many elements.
fn one_head(head_dim: u32) -> ModelShape {
    let shape = small(Arch::Llama);
    ModelShape { n_layer: 1, n_head: 1.into(), n_head_kv: 1.into(), head_dim, ..shape }
}

/// What keys and values are once they have been in a cache of the type.
fn stored(ty: GgmlType, x: &[f32], size: usize) -> Vec<f32> {
    let mut bytes = vec![0; quant::row_bytes(ty, x.len())];
    let mut back = vec![0.0; x.len()];
    match is_quantised(ty) {
        true => quantise(&Plain, ty, x, size, |at, _, part| {
            bytes[quant::row_bytes(ty, at)..][..part.len()].copy_from_slice(part);
        }),
        false => quant::quantize_row(ty, x, &mut bytes),
    }
    quant::dequantize_row(ty, &bytes, &mut back);
    if is_quantised(ty) {
        turn(&mut back, size);
    }
    back
}

/// What a query is once it meets keys of the type.
fn met(ty: GgmlType, q: &[f32]) -> Vec<f32> {
    stored(if is_quantised(ty) { GgmlType::Q8_0 } else { ty }, q, key_turn(q.len()))
}

/// What products of queries and keys are multiplied with.
const SCALE: f32 = 0.75;

/// Softmax of scores times values, in the order of the textbook.
fn expected(q: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f32> {
    let dot = |k: &[f32]| q.iter().zip(k).map(|(a, b)| f64::from(SCALE * a * b)).sum::<f64>();
    let weights: Vec<f64> = keys.iter().map(|k| dot(k).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..q.len())
        .map(|i| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[i])).sum::<f64>() / sum)
        .map(|v| v as f32)
        .collect()
}

#[test]
fn attention_reads_back_what_was_stored_in_every_pair_of_types() {
    for dim in [32, 64, 128] {
        every_pair_of_types(dim);
    }
}

fn every_pair_of_types(dim: usize) {
    let (n_ctx, group, n_past) = (112, 3, 77);
    for &k in KV_TYPES {
        for &v in KV_TYPES {
            let shape = one_head(dim as u32);
            let mut cache = KvCache::new(&shape, n_ctx, KvTypes { k, v }).unwrap();
            assert_eq!(cache.bytes(), KvCache::bytes_for(&shape, n_ctx, KvTypes { k, v }));
            let writer = cache.writer();
            let rows = |seed: u32| (0..n_past as u32).map(move |p| numbers(dim, seed + 7 * p));
            for (p, (key, value)) in rows(1).zip(rows(2)).enumerate() {
                writer.write(&Plain, cache.layer_mut(0), p, &key, &value);
            }
            let keys: Vec<_> = rows(1).map(|x| stored(k, &x, key_turn(dim))).collect();
            let values: Vec<_> = rows(2).map(|x| stored(v, &x, value_turn(dim))).collect();
            for kernels in available() {
                for block in [16, 48, n_ctx] {
                    let mut scratch =
                        AttentionScratch::new(group, HeadDims::of(&shape), k, block).unwrap();
                    let q = numbers(group * dim, 3);
                    scratch.q[..q.len()].copy_from_slice(&q);
                    scratch.last[..group].fill(n_past - 1);
                    let rules = Rules { scale: SCALE, window: None, cap: None, slopes: &[] };
                    let (head, seen) = (cache.head(0, 0), 0..n_past);
                    scratch.attend(kernels, head, cache.types, rules, group, seen);
                    for (r, q) in q.chunks_exact(dim).enumerate() {
                        let (_, sum, o) = scratch.partial(r);
                        for (a, b) in expected(&met(k, q), &keys, &values).iter().zip(o) {
                            let error = (a - b / sum).abs();
                            assert!(error < 1e-5, "{k} {v} {} {block}: {error}", kernels.name());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_quantised_cache_wants_heads_of_whole_blocks() {
    let types = KvTypes { k: GgmlType::F16, v: GgmlType::Q4_0 };
    let error = KvCache::new(&one_head(48), 16, types).unwrap_err().to_string();
    assert!(error.starts_with("type_v is Q4_0, of which a block has 32 elements"), "{error}");
    assert!(error.contains("a head of this model has 48"), "{error}");
}

#[test]
fn a_turn_is_its_own_inverse_and_keeps_lengths() {
    assert_eq!([32, 64, 96, 128, 192, 256].map(key_turn), [1, 64, 1, 128, 64, 256]);
    let x = numbers(256, 5);
    let length = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>();
    for size in [1, 64, 256] {
        let mut turned = x.clone();
        turn(&mut turned, size);
        assert!((length(&turned) - length(&x)).abs() < 1e-4 * length(&x), "{size}");
        turn(&mut turned, size);
        assert!(x.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-5), "{size}");
    }
    // One large element becomes as many of the same size as there are.
    let mut one = [0.0; 64];
    one[5] = 8.0;
    turn(&mut one, 64);
    assert!(one.iter().all(|v| v.abs() == 1.0));
}
