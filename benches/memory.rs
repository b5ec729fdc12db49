//! How long `slmbench memory` takes for all there is: every model of the catalogue in 12 mixes
//! with 4 contexts, and what of it fits.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use slmbench::memory::{MemoryDetail, Request, WeightBytes, largest_n_ctx};
use slmbench::model::{Catalogue, FileMix};
use slmbench::settings::Settings;

fn everything(c: &mut Criterion) {
    let catalogue = Catalogue::built_in().unwrap();
    let mixes = &FileMix::ALL[..12];
    c.bench_function("all models × 12 mixes × 4 contexts", |b| {
        b.iter(|| {
            let mut sum = 0u64;
            for shape in catalogue.shapes() {
                for &mix in mixes {
                    let weights = WeightBytes::of_mix(black_box(shape), mix);
                    for n_ctx in [2048, 8192, 32_768, shape.n_ctx_train] {
                        let request = Request::new(&Settings::default(), n_ctx);
                        let detail = MemoryDetail::new(&weights, shape, &request);
                        let n_ctx = largest_n_ctx(&weights, shape, &request, 4 << 30);
                        sum += detail.total_bytes() + u64::from(n_ctx.unwrap_or(0));
                    }
                }
            }
            sum
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = everything
}
criterion_main!(benches);
