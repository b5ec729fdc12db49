//! Which figures are to be measured here, on what memory, and which cannot be.

use super::caches::Cache;
use super::gauge::Work;
use super::loops::{Loops, Number, Product, Unit};
use super::measure::Extent;
use super::pages::{Buffer, Pages};
use super::result::Absent;
use crate::reference::pool::Pool;
use crate::units::Bytes;

/// A buffer holds this many times the last cache, so that next to nothing of it is found there...
const TIMES_CACHE: u64 = 8;
/// ...and at least this many times, where memory is scarce.
const LEAST_TIMES_CACHE: u64 = 4;
/// A buffer that fits no last cache of small devices, and lets a stretch last some milliseconds.
const LEAST_BUFFER: u64 = 256 << 20;
/// A buffer that no cache needs to be larger for.
const LARGEST_BUFFER: u64 = 4 << 30;

/// What will not be measured.
#[derive(Debug, Default)]
pub struct Absences(pub Vec<Absent>);

impl Absences {
    fn add(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.0.push(Absent { what: what.into(), why: why.into() });
    }
}

/// Memory to read, and what its pages are.
#[derive(Debug)]
pub struct Lying {
    /// What was asked for.
    pub pages: Pages,
    /// Where.
    pub buffer: Buffer,
    /// What was granted.
    pub huge_bytes: Option<u64>,
}

/// A buffer on each size of pages that can be had; for a spot probe one, on the larger pages where they
/// are granted, for whoever comes next may want the memory.
pub fn buffers(
    extent: Extent,
    free_bytes: Option<u64>,
    caches: &[Cache],
    pools: &mut [Pool],
    absent: &mut Absences,
) -> Vec<Lying> {
    let name = |pages: Pages| format!("memory, {} pages", pages.name());
    let bytes = match buffer_bytes(free_bytes, caches) {
        Ok(bytes) => bytes as usize,
        Err(why) => {
            absent.add("memory", why);
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    let Some(pool) = pools.last_mut() else { return all };
    let order = match extent {
        Extent::Spot => [Pages::Huge, Pages::Small],
        Extent::Whole => [Pages::Small, Pages::Huge],
    };
    for pages in order {
        if extent == Extent::Spot && !all.is_empty() {
            break;
        }
        let buffer = match Buffer::new(bytes, pages, pool) {
            Ok(buffer) => buffer,
            Err(error) => {
                let asked = Bytes(bytes as u64);
                absent.add(name(pages), format!("the system refused {asked}: {error}"));
                continue;
            }
        };
        let huge_bytes = buffer.huge_bytes();
        if pages == Pages::Huge && huge_bytes.is_none_or(|huge| huge == 0) {
            let why = match huge_bytes {
                None => "the system does not tell whether it grants them",
                Some(_) => "they were asked for and not granted",
            };
            absent.add(name(pages), why);
            continue;
        }
        all.push(Lying { pages, buffer, huge_bytes });
    }
    all
}

/// How large a buffer is to be, or why there can be none.
fn buffer_bytes(free_bytes: Option<u64>, caches: &[Cache]) -> Result<u64, String> {
    let last = caches.last().map_or(0, |cache| cache.size_bytes);
    let wanted = (TIMES_CACHE * last).clamp(LEAST_BUFFER, LARGEST_BUFFER);
    // Two of them, and no more than half of what is free.
    let bytes = free_bytes.map_or(wanted, |free| wanted.min(free / 4)) / 64 * 64;
    if bytes < (LEAST_TIMES_CACHE * last).max(1 << 20) {
        return Err(format!(
            "a buffer of {} is too small beside a cache of {}",
            Bytes(bytes),
            Bytes(last)
        ));
    }
    Ok(bytes)
}

/// What a figure is of.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Reading buffer number ...
    Memory(usize),
    /// Reading what cache number ... holds, this many bytes for each thread.
    Cache(usize, u64),
    /// Multiplying.
    Product(Product),
    /// Handing out nothing.
    ForkJoin,
}

/// A figure to be measured.
#[derive(Debug)]
pub struct Figure<'a> {
    /// Of what.
    pub what: What,
    /// By doing what.
    pub work: Work<'a>,
    /// In which pool.
    pub pool: usize,
}

/// All figures, in the order in which they take turns.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The figures.
    pub figures: Vec<Figure<'a>>,
}

impl<'a> Plan<'a> {
    /// Chooses them for these threads, loops, caches and buffers.
    pub fn new(
        extent: Extent,
        pools: &[Pool],
        loops: &Loops,
        caches: &[Cache],
        buffers: &'a [Lying],
        absent: &mut Absences,
    ) -> Plan<'a> {
        let mut plan = Plan { figures: Vec::new() };
        let reader = loops.reader();
        let read = |lying: &'a Lying, each: usize| Work::Read {
            reader,
            words: lying.buffer.words(),
            each,
        };
        for (i, lying) in buffers.iter().enumerate() {
            plan.add(pools, |n| {
                Some((What::Memory(i), read(lying, lying.buffer.words().len() / n)))
            });
        }
        let is_whole = extent == Extent::Whole;
        if caches.is_empty() && is_whole {
            absent.add("caches", "the kernel does not tell them");
        }
        for (i, cache) in caches.iter().enumerate() {
            // Where they are granted huge pages: no translation beside the cache.
            let Some(lying) = buffers.last() else { break };
            let below = i.checked_sub(1).map(|below| &caches[below]);
            plan.add(pools, |n| match cache.working_set(below, n as u32) {
                Ok(bytes) if bytes as usize * n <= size_of_val(lying.buffer.words()) => {
                    Some((What::Cache(i, bytes), read(lying, bytes as usize / size_of::<u64>())))
                }
                Ok(_) => None,
                Err(why) => {
                    absent.add(format!("{}, n_threads = {n}", cache.name()), why);
                    None
                }
            });
        }
        for number in Number::ALL {
            let mut is_there = false;
            for product in Unit::ALL.into_iter().flat_map(|unit| loops.rivals(number, unit)) {
                plan.add(pools, |_| Some((What::Product(product), Work::Multiply(product))));
                is_there = true;
            }
            if !is_there {
                let why = "no loop for an instruction set of this machine multiplies it";
                absent.add(number.name(), why);
            }
        }
        if is_whole {
            plan.add(pools, |_| Some((What::ForkJoin, Work::ForkJoin)));
        }
        plan
    }

    /// Adds a figure for each pool, of whose number of threads `of` makes one.
    fn add(&mut self, pools: &[Pool], mut of: impl FnMut(usize) -> Option<(What, Work<'a>)>) {
        for (pool, threads) in pools.iter().enumerate() {
            if let Some((what, work)) = of(threads.n_threads()) {
                self.figures.push(Figure { what, work, pool });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(level: u32, size_bytes: u64) -> Cache {
        Cache { level, size_bytes, n_cpus: 1 }
    }

    #[test]
    fn a_buffer_is_many_times_the_last_cache_or_there_is_none() {
        let mib = |free: Option<u64>, caches: &[Cache]| buffer_bytes(free, caches).map(|b| b >> 20);
        let large = [cache(2, 1 << 20), cache(3, 64 << 20)];
        assert_eq!(mib(None, &[]), Ok(256));
        assert_eq!(mib(None, &large), Ok(512));
        assert_eq!(mib(Some(1200 << 20), &large), Ok(300));
        assert_eq!(mib(None, &[cache(3, 1 << 30)]), Ok(4096));
        let refused = buffer_bytes(Some(1000 << 20), &large).unwrap_err();
        assert_eq!(refused, "a buffer of 250.0 MiB is too small beside a cache of 64.0 MiB");
        assert!(buffer_bytes(Some(0), &[]).is_err());
    }
}
