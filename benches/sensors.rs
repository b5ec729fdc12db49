//! What a round of readings costs: forty channels of a machine that is a folder, and with it the
//! share of a core that the sampler takes at its usual rates.
//!
//! A folder's files are answered by a file system, a real machine's by drivers, some of which ask a
//! slow bus: what is measured here is the program's own part.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use slmbench::clock::monotonic;
use slmbench::sensors::{ChannelKind, Root, Sampler, Source, discover, fixture};

const MACHINE: &str = include_str!("../tests/data/machines/intel-laptop.txt");

/// Forty channels, five of them powers that are read ten times as often.
fn channels(machine: &Root) -> Vec<Source> {
    let powers = (0..5).flat_map(|_| {
        let sources = discover(machine).sources;
        sources.into_iter().filter(|source| source.channel.kind == ChannelKind::Power).take(1)
    });
    let others = (0..2).flat_map(|_| {
        let sources = discover(machine).sources;
        sources.into_iter().filter(|source| source.channel.kind != ChannelKind::Power)
    });
    powers.chain(others).take(40).collect()
}

fn rounds(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let machine = fixture::unpack(MACHINE, folder.path()).unwrap();
    let mut sources = channels(&machine);
    assert_eq!(sources.len(), 40);
    c.bench_function("40 channels, each read once", |b| {
        b.iter(|| {
            for source in &mut sources {
                let _ = black_box(source.reader.read());
            }
        });
    });
    c.bench_function("everything found", |b| b.iter(|| black_box(discover(&machine))));
    share(sources);
}

/// The sampler for some seconds at its usual rates.
fn share(sources: Vec<Source>) {
    let sampler = Sampler::start(sources, monotonic());
    std::thread::sleep(Duration::from_secs(10));
    let log = sampler.stop();
    println!(
        "{} readings in {:.1} s: {:.3} % of a core (limit 0.5 %)",
        log.n_readings,
        log.wall_ns as f64 / 1e9,
        log.cpu_ns as f64 / log.wall_ns as f64 * 100.0
    );
}

criterion_group!(benches, rounds);
criterion_main!(benches);
