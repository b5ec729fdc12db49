//! A figure while it is measured: its work, and the stretches taken so far.

use std::hint::black_box;

use super::loops::{Product, Reader};
use super::spread::{Better, Spread};
use crate::clock::Clock;
use crate::reference::pool::Pool;
use crate::units::Nanos;

/// How long a stretch is to last, where that can be chosen.
const STRETCH: Nanos = Nanos(5_000_000);
/// Stretches of a turn that count. One more goes before them: clocks, caches and sleeping threads
/// get ready in it.
const STRETCHES: usize = 3;

/// Work that can be done any number of times.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Reading a piece for each thread, this often.
    Read {
        /// What reads.
        reader: Reader,
        /// All words.
        words: &'a [u64],
        /// Words of each thread.
        each: usize,
    },
    /// Rounds of products in each thread.
    Multiply(Product),
    /// Handing out nothing.
    ForkJoin,
}

impl Work<'_> {
    /// Does it `times` times on every thread.
    fn on(&self, pool: &mut Pool, times: u64) {
        match self {
            Work::ForkJoin => (0..times).for_each(|_| {
                pool.run(&|thread| {
                    black_box(thread);
                });
            }),
            _ => pool.run(&|thread| self.share(thread, times)),
        }
    }

    /// Does one thread's share of it `times` times.
    fn share(&self, thread: usize, times: u64) {
        match *self {
            Work::Read { reader, words, each } => {
                let own = &words[thread * each..(thread + 1) * each];
                black_box(reader.sum(own, times));
            }
            Work::Multiply(product) => {
                black_box(product.run(black_box(1), black_box(1), times));
            }
            Work::ForkJoin => {}
        }
    }

    /// What is counted of one time on `n_threads`: bytes, operations, or the time itself.
    fn amount(&self, n_threads: usize) -> f64 {
        match self {
            Work::Read { each, .. } => (each * size_of::<u64>() * n_threads) as f64,
            Work::Multiply(product) => 2.0 * product.per_round as f64 * n_threads as f64,
            Work::ForkJoin => 1.0,
        }
    }

    fn better(&self) -> Better {
        match self {
            Work::ForkJoin => Better::Lower,
            _ => Better::Higher,
        }
    }
}

/// A figure while it is measured.
#[derive(Debug)]
pub struct Gauge<'a> {
    work: Work<'a>,
    /// Which pool does it.
    pub pool: usize,
    /// How often a stretch does it; 0 until that is known.
    times: u64,
    /// Rates for a second, or nanoseconds.
    found: Vec<f64>,
}

impl<'a> Gauge<'a> {
    /// A figure without a stretch yet.
    pub fn new(work: Work<'a>, pool: usize) -> Gauge<'a> {
        Gauge { work, pool, times: 0, found: Vec::new() }
    }

    /// Takes a few stretches.
    pub fn turn(&mut self, pool: &mut Pool, clock: &dyn Clock) {
        if self.times == 0 {
            self.times = self.fitting(pool, clock);
        }
        self.work.on(pool, self.times);
        for _ in 0..STRETCHES {
            let took = timed(clock, || self.work.on(pool, self.times)).0.max(1) as f64;
            let amount = self.work.amount(pool.n_threads()) * self.times as f64;
            self.found.push(match self.work.better() {
                Better::Higher => amount / took * 1e9,
                Better::Lower => took / amount,
            });
        }
    }

    /// How often fills a stretch: the number is raised until the clock can tell it.
    ///
    /// A share is tried on this thread alone: on a busy machine a second thread may wait for a
    /// processor longer than its work takes.
    fn fitting(&self, pool: &mut Pool, clock: &dyn Clock) -> u64 {
        let mut times = 1u64;
        loop {
            let took = timed(clock, || match self.work {
                Work::ForkJoin => self.work.on(pool, times),
                _ => self.work.share(0, times),
            });
            if took.0 >= STRETCH.0 / 8 || times >= 1 << 40 {
                let whole = u128::from(times) * u128::from(STRETCH.0) / u128::from(took.0.max(1));
                return u64::try_from(whole).unwrap_or(u64::MAX).max(1);
            }
            times *= 4;
        }
    }

    /// What was found; `None` before the first turn.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(&self.found, self.work.better())
    }
}

/// What `work` takes.
fn timed(clock: &dyn Clock, work: impl FnOnce()) -> Nanos {
    let start = clock.now();
    work();
    clock.now().since(start)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::loops::{Loops, Number, Unit};
    use super::*;

    /// A clock that moves on by the same span whenever it is read.
    struct Steps(AtomicU64, u64);

    impl Clock for Steps {
        fn now(&self) -> Nanos {
            Nanos(self.0.fetch_add(self.1, Ordering::Relaxed))
        }

        fn pass(&self, _: Nanos) {}
    }

    fn found(work: Work<'_>, n_threads: usize) -> Spread {
        let mut pool = Pool::new(n_threads).unwrap();
        let mut gauge = Gauge::new(work, 0);
        assert_eq!(gauge.spread(), None);
        // A millisecond a stretch: five of them are one.
        let clock = Steps(AtomicU64::new(0), 1_000_000);
        gauge.turn(&mut pool, &clock);
        gauge.turn(&mut pool, &clock);
        assert_eq!(gauge.times, 5);
        gauge.spread().unwrap()
    }

    #[test]
    fn a_rate_is_what_all_threads_did_in_the_time_of_the_stretch() {
        let words = vec![1; 4096];
        let loops = Loops::detect();
        for n in [1, 2] {
            let read = Work::Read { reader: loops.reader(), words: &words, each: 1000 };
            let rate = found(read, n);
            assert_eq!(
                (rate.best, rate.median, rate.n),
                (5.0 * 8e3 * n as f64 * 1e3, rate.best, 6)
            );
            let product = loops.rivals(Number::F32, Unit::Vectors).next().unwrap();
            let ops = 2.0 * product.per_round as f64 * n as f64;
            assert_eq!(found(Work::Multiply(product), n).best, 5.0 * ops * 1e3);
        }
    }

    #[test]
    fn the_latency_of_fork_join_is_that_of_one_of_many() {
        assert_eq!(found(Work::ForkJoin, 2).best, 200_000.0);
    }
}
