//! How fast the kernels run: a panel product per type with one activation and with a block of
//! them, attention scores at depth, what handing out work costs, quantising, drawing synthetic
//! weights and writing files of them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slmbench::ggml::GgmlType;
use slmbench::model::{Catalogue, FileMix};
use slmbench::reference::kernel::{self, Acts, Form, TOKEN_BLOCK, matmul_panel};
use slmbench::reference::pool::Pool;
use slmbench::reference::quant::{self, KV_TYPES, WEIGHT_TYPES, panel};
use slmbench::synth::{DRAWABLE_TYPES, Synthesis, draw_blocks};

fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Panels of a matrix of `n_rows` rows of `k`.
fn matrix(ty: GgmlType, n_rows: usize, k: usize) -> Vec<u8> {
    let mut row = vec![0; quant::row_bytes(ty, k)];
    quant::quantize_row(ty, &numbers(k), &mut row);
    let mut one = vec![0; panel::bytes(ty, k)];
    panel::pack(ty, k, &row.repeat(panel::rows(ty)), &mut one);
    one.repeat(n_rows / panel::rows(ty))
}

fn products(c: &mut Criterion) {
    let (k, n_rows) = (1536, 1024);
    for (name, n) in [("gemv", 1), ("gemm", TOKEN_BLOCK)] {
        let mut group = c.benchmark_group(name);
        for &ty in WEIGHT_TYPES {
            let weights = matrix(ty, n_rows, k);
            group.throughput(match n {
                1 => Throughput::Bytes(weights.len() as u64),
                _ => Throughput::Elements((n * n_rows * k) as u64),
            });
            for set in kernel::available() {
                let mut acts = Acts::new(n, k, &[Form::of(ty)]).unwrap();
                acts.reset(Form::of(ty), k);
                for t in 0..n {
                    acts.set(set, t, &numbers(k));
                }
                let mut out = vec![0.0; n * panel::rows(ty)];
                group.bench_function(BenchmarkId::new(ty.name(), set.name()), |b| {
                    b.iter(|| {
                        for panel in weights.chunks_exact(panel::bytes(ty, k)) {
                            matmul_panel(set, ty, panel, black_box(&acts), n, &mut out);
                        }
                    });
                });
            }
        }
    }
}

/// Scores of the queries of one group against all keys of a head, as attention computes them.
fn scores(c: &mut Criterion) {
    let (dim, group) = (64, 3);
    let mut bench = c.benchmark_group("scores");
    for &ty in KV_TYPES {
        for depth in [512, 4096] {
            let keys = matrix(ty, depth, dim);
            let mut out = vec![0.0; group * panel::rows(ty)];
            bench.throughput(Throughput::Elements((group * depth * dim) as u64));
            for set in kernel::available() {
                let mut q = Acts::new(group, dim, &[Form::of(ty)]).unwrap();
                q.reset(Form::of(ty), dim);
                for (g, row) in numbers(group * dim).chunks_exact(dim).enumerate() {
                    q.set(set, g, row);
                }
                bench.bench_function(
                    BenchmarkId::new(format!("{ty}/{}", set.name()), depth),
                    |b| {
                        b.iter(|| {
                            for panel in keys.chunks_exact(panel::bytes(ty, dim)) {
                                matmul_panel(set, ty, panel, black_box(&q), group, &mut out);
                            }
                        });
                    },
                );
            }
        }
    }
}

/// Values of a quantised cache back into numbers, a block of each position.
fn values(c: &mut Criterion) {
    let mut bench = c.benchmark_group("values");
    for &ty in KV_TYPES.iter().filter(|ty| ty.block_size() > 1) {
        let x = numbers(32 * 512);
        let mut blocks = vec![0; quant::row_bytes(ty, x.len())];
        quant::quantize_row(ty, &x, &mut blocks);
        let mut out = [0.0; 32];
        bench.throughput(Throughput::Elements(x.len() as u64));
        for set in kernel::available() {
            bench.bench_function(BenchmarkId::new(ty.name(), set.name()), |b| {
                b.iter(|| {
                    for block in blocks.chunks_exact(ty.block_bytes() as usize) {
                        set.dequantize(ty, black_box(block), &mut out);
                    }
                });
            });
        }
    }
}

fn dispatch(c: &mut Criterion) {
    let mut group = c.benchmark_group("dispatch");
    for n in [1, 2, 4] {
        let mut pool = Pool::new(n).expect("threads");
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                pool.run(&|thread| {
                    black_box(thread);
                });
            });
        });
    }
}

/// Rows of numbers into every type.
fn quantisers(c: &mut Criterion) {
    let mut group = c.benchmark_group("quantise");
    let x = numbers(16 << 10);
    for &ty in WEIGHT_TYPES {
        let mut out = vec![0; quant::row_bytes(ty, x.len())];
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(ty), |b| {
            b.iter(|| quant::quantize_row(ty, black_box(&x), &mut out));
        });
    }
}

/// Random weights by type, into memory.
fn synth(c: &mut Criterion) {
    let mut group = c.benchmark_group("synth");
    for &ty in DRAWABLE_TYPES {
        let mut out = vec![0; (1 << 20) / ty.block_bytes() as usize * ty.block_bytes() as usize];
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(ty), |b| {
            b.iter(|| draw_blocks(ty, 0.02, 1, black_box(&mut out)));
        });
    }
}

/// Whole model files by file mix, written by all threads to a file system in memory.
fn files(c: &mut Criterion) {
    let folder = std::path::Path::new("/dev/shm");
    if !folder.is_dir() {
        return;
    }
    let path = folder.join(format!("slmbench-bench-{}.gguf", std::process::id()));
    let catalogue = Catalogue::built_in().unwrap();
    let shape = catalogue.get("Qwen1.5-0.5B").unwrap();
    let mut group = c.benchmark_group("synth_file");
    group.sample_size(10);
    for mix in [FileMix::F16, FileMix::Q8_0, FileMix::Q4_K_M, FileMix::Q4_0, FileMix::IQ4_XS] {
        let synthesis = Synthesis::new(shape, mix, 1);
        group.throughput(Throughput::Bytes(mix.weight_bytes(shape)));
        group.bench_function(BenchmarkId::from_parameter(mix), |b| {
            b.iter(|| {
                let file = std::fs::File::create(&path).unwrap();
                synthesis.write_file(&file, |_, _| std::ops::ControlFlow::Continue(())).unwrap();
            });
        });
    }
    let _ = std::fs::remove_file(path);
}

criterion_group!(benches, products, scores, values, dispatch, quantisers, synth, files);
criterion_main!(benches);
