//! The probe itself: threads and buffers taken, turns until the time is up, figures told.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::caches::caches;
use super::gauge::Gauge;
use super::loops::{Loops, Product};
use super::plan::{Absences, Plan, What, buffers};
use super::result::{CacheReading, ForkJoin, MemoryReading, Peak, Probe, SetReading};
use crate::clock::Clock;
use crate::reference::pool::Pool;
use crate::units::Nanos;

/// More threads than this are a slip of the pen.
pub const MAX_THREADS: u32 = 1024;

/// Which figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of them.
    #[default]
    Whole,
    /// What a cell is held against, in about a second: reading memory, and products.
    Spot,
}

/// What is to be probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which figures.
    #[serde(default)]
    pub extent: Extent,
    /// Numbers of threads.
    pub n_threads: Vec<u32>,
    /// CPUs that may be used; all that the process may where none is named. Whoever starts the process
    /// sees to it.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// Fewer turns.
    pub quick: bool,
    /// Memory that may be used; as much as is wanted where it is not known.
    pub free_bytes: Option<u64>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A number of threads that is none.
    #[error("found {0} threads, allowed are 1 to {MAX_THREADS}")]
    NThreads(u32),
    /// No number of threads.
    #[error("found no number of threads, at least one is needed")]
    NoThreads,
    /// The system has no more threads.
    #[error("the system refused {n_threads} threads: {source}")]
    Threads {
        /// How many.
        n_threads: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl Request {
    /// Turns at most, and the time after which no new one begins.
    fn limits(&self) -> (u32, Nanos) {
        match (self.extent, self.quick) {
            (Extent::Spot, _) => (4, Nanos(700_000_000)),
            (Extent::Whole, true) => (4, Nanos(3_000_000_000)),
            (Extent::Whole, false) => (20, Nanos(15_000_000_000)),
        }
    }
}

/// Measures the ceilings of the machine whose `sys` lies under `root`: this one, but in tests.
pub fn measure(request: &Request, root: &Path, clock: &dyn Clock) -> Result<Probe, ProbeError> {
    let begun = clock.now();
    let mut pools = pools(request)?;
    let mut absent = Absences::default();
    let loops = Loops::detect();
    let caches = caches(root);
    let extent = request.extent;
    let buffers = buffers(extent, request.free_bytes, &caches, &mut pools, &mut absent);
    let caches = if request.extent == Extent::Spot { Vec::new() } else { caches };
    let plan = Plan::new(request.extent, &pools, &loops, &caches, &buffers, &mut absent);

    let mut gauges: Vec<Gauge<'_>> =
        plan.figures.iter().map(|figure| Gauge::new(figure.work, figure.pool)).collect();
    let (turns, span) = request.limits();
    for turn in 1..=turns {
        for gauge in &mut gauges {
            gauge.turn(&mut pools[gauge.pool], clock);
        }
        let used = clock.now().since(begun);
        // A turn more must fit.
        if used.0 + used.0 / u64::from(turn) > span.0 {
            break;
        }
    }

    let mut probe = Probe {
        quick: request.quick,
        took_ns: 0,
        cpus: request.cpus.clone(),
        foreign_cpu_share: None,
        steal_share: None,
        read_with: loops.reader().set.to_owned(),
        page_bytes: rustix::param::page_size() as u64,
        memory: Vec::new(),
        caches: caches.iter().map(|c| CacheReading { cache: c.clone(), reading: vec![] }).collect(),
        peaks: Vec::new(),
        fork_join: Vec::new(),
        absent: absent.0,
    };
    for (figure, gauge) in plan.figures.iter().zip(&gauges) {
        let Some(spread) = gauge.spread() else { continue };
        let n_threads = pools[figure.pool].n_threads() as u32;
        match figure.what {
            What::Memory(i) => probe.memory.push(MemoryReading {
                pages: buffers[i].pages,
                n_threads,
                buffer_bytes: size_of_val(buffers[i].buffer.words()) as u64,
                huge_bytes: buffers[i].huge_bytes,
                bytes_per_s: spread,
            }),
            What::Cache(i, set_bytes) => {
                let reading = SetReading { n_threads, set_bytes, bytes_per_s: spread };
                probe.caches[i].reading.push(reading);
            }
            What::Product(Product { number, unit, instructions, .. }) => {
                let instructions = instructions.to_owned();
                let peak = Peak { number, unit, instructions, n_threads, ops_per_s: spread };
                keep_best(&mut probe.peaks, peak);
            }
            What::ForkJoin => probe.fork_join.push(ForkJoin { n_threads, latency_ns: spread }),
        }
    }
    probe.took_ns = clock.now().since(begun).0;
    Ok(probe)
}

/// Adds a peak, in place of that of a slower rival or not at all beside that of a faster one.
fn keep_best(peaks: &mut Vec<Peak>, peak: Peak) {
    let of = |peak: &Peak| (peak.number, peak.unit, peak.n_threads);
    match peaks.iter_mut().find(|other| of(other) == of(&peak)) {
        None => peaks.push(peak),
        Some(rival) if peak.ops_per_s.best > rival.ops_per_s.best => *rival = peak,
        Some(_) => {}
    }
}

/// One pool for each number of threads.
fn pools(request: &Request) -> Result<Vec<Pool>, ProbeError> {
    let mut counts = request.n_threads.clone();
    counts.sort_unstable();
    counts.dedup();
    if counts.is_empty() {
        return Err(ProbeError::NoThreads);
    }
    let pool = |n_threads: u32| match n_threads {
        1..=MAX_THREADS => Pool::new(n_threads as usize)
            .map_err(|source| ProbeError::Threads { n_threads, source }),
        _ => Err(ProbeError::NThreads(n_threads)),
    };
    counts.into_iter().map(pool).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::loops::{Number, Unit};
    use super::super::pages::Pages;
    use super::super::spread::Spread;
    use super::*;

    /// A clock on which every stretch is long.
    #[derive(Default)]
    struct Slow(AtomicU64);

    impl Clock for Slow {
        fn now(&self) -> Nanos {
            Nanos(self.0.fetch_add(1_000_000_000, Ordering::Relaxed))
        }

        fn pass(&self, _: Nanos) {}
    }

    fn spot(free_bytes: u64) -> Request {
        Request {
            extent: Extent::Spot,
            n_threads: vec![1],
            cpus: Vec::new(),
            quick: true,
            free_bytes: Some(free_bytes),
        }
    }

    #[test]
    fn a_spot_probe_has_what_a_cell_is_held_against_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("sys/devices/system/cpu/cpu0/cache/index0");
        std::fs::create_dir_all(&cache).unwrap();
        for (file, text) in
            [("level", "1"), ("size", "32K"), ("type", "Data"), ("shared_cpu_list", "0")]
        {
            std::fs::write(cache.join(file), text).unwrap();
        }
        let probe = measure(&spot(32 << 20), root.path(), &Slow::default()).unwrap();
        assert!(probe.read_bytes_per_s(1) > Some(0.0));
        assert!(probe.ops_per_s(Number::F32, 1) > Some(0.0));
        assert!(probe.caches.is_empty() && probe.fork_join.is_empty());
        assert!(!probe.absent.iter().any(|absent| absent.what.contains("cache")), "{probe:?}");
    }

    #[test]
    fn a_probe_of_a_slow_machine_ends_after_one_turn_and_has_every_figure() {
        let root = tempfile::tempdir().unwrap();
        let request = Request { extent: Extent::Whole, n_threads: vec![2, 1], ..spot(32 << 20) };
        let probe = measure(&request, root.path(), &Slow::default()).unwrap();
        assert!(probe.memory.iter().all(|reading| reading.buffer_bytes <= 8 << 20));
        let of_memory: Vec<_> = probe.memory.iter().map(|r| (r.pages, r.n_threads)).collect();
        assert_eq!(of_memory[..2], [(Pages::Small, 1), (Pages::Small, 2)]);
        assert_eq!(probe.fork_join.len(), 2);
        assert!(probe.fork_join.iter().all(|one| one.latency_ns.n == 3));
        assert!(probe.peaks.iter().any(|peak| peak.number == Number::F32));
        assert!(probe.absent.iter().any(|absent| absent.what == "caches"));
        assert!(probe.read_bytes_per_s(2).is_some() && probe.read_bytes_per_s(3).is_none());
        assert!(probe.ops_per_s(Number::Int8, 1).is_some());
        let text = serde_json::to_string(&probe).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
    }

    #[test]
    fn of_rivals_the_faster_is_kept_in_the_place_of_the_first() {
        let peak = |n_threads, instructions: &str, best| Peak {
            number: Number::Bf16,
            unit: Unit::Vectors,
            instructions: instructions.to_owned(),
            n_threads,
            ops_per_s: Spread { best, median: best, q25: best, q75: best, n: 1 },
        };
        let mut peaks = Vec::new();
        for (n_threads, instructions, best) in
            [(1, "a", 3.0), (2, "a", 5.0), (1, "b", 4.0), (2, "b", 4.0)]
        {
            keep_best(&mut peaks, peak(n_threads, instructions, best));
        }
        assert_eq!(peaks, [peak(1, "b", 4.0), peak(2, "a", 5.0)]);
    }

    #[test]
    fn threads_that_are_none_or_too_many_are_refused() {
        let refused = |n_threads: &[u32]| {
            let request = Request { n_threads: n_threads.to_vec(), ..spot(0) };
            measure(&request, Path::new("/nowhere"), &Slow::default()).unwrap_err().to_string()
        };
        assert_eq!(refused(&[]), "found no number of threads, at least one is needed");
        assert_eq!(refused(&[1, 0]), "found 0 threads, allowed are 1 to 1024");
        assert!(refused(&[9999]).starts_with("found 9999 threads"));
    }
}
