//! Threads that wait for the next piece of work.
//!
//! One token of a small model is some hundred pieces of a few microseconds, so a piece must cost
//! no more to hand out than a cache line takes to travel: threads spin. But a benchmark's machine
//! may be busy, and two spinning threads on one free core would wait for each other for ever: they
//! spin a bounded time, then sleep, and spin less as long as spinning does not pay.
//!
//! With one thread nothing here is touched: no atomics, no spinning.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::tiles::{PerThread, Tile, Tiles, Tiling};
use crate::clock::{Clock, MonotonicClock};

/// Spinning stops after about this long.
const SPIN_NS: u64 = 40_000;

/// A fixed number of threads, the caller's among them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    spin: Spin,
}

#[derive(Debug)]
struct Shared {
    /// Counts the jobs handed out.
    epoch: Signal,
    /// Counts the jobs that all workers have finished.
    done: Signal,
    /// Workers still busy with the current job.
    busy: AtomicU32,
    /// Where the reference to the current job lies: valid from a step of `epoch` until `busy`
    /// is 0.
    job: AtomicPtr<()>,
    quit: AtomicBool,
    panicked: AtomicBool,
}

impl Pool {
    /// Takes `n_threads` threads, at least one: the caller's and `n_threads - 1` new ones.
    ///
    /// New threads may use the processors that the calling thread may use.
    pub fn new(n_threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            epoch: Signal::default(),
            done: Signal::default(),
            busy: AtomicU32::new(0),
            job: AtomicPtr::new(ptr::null_mut()),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let full = if n_threads > 1 { spins_in(SPIN_NS) } else { 0 };
        let mut pool = Pool { shared, workers: Vec::new(), spin: Spin::new(full) };
        for id in 1..n_threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let body = move || work(&shared, id, Spin::new(full));
            // On failure `pool` is dropped, which ends those already running.
            pool.workers.push(std::thread::Builder::new().name(format!("slm-{id}")).spawn(body)?);
        }
        Ok(pool)
    }

    /// How many threads there are.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(thread)` on every thread, the caller's being number 0, and returns when all are
    /// done.
    ///
    /// # Panics
    /// When the job panics on any thread, after all have ended it.
    pub fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return job(0);
        }
        let shared = &*self.shared;
        shared.job.store(ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
        shared.busy.store(self.workers.len() as u32, Ordering::Relaxed);
        let ticket = shared.done.now();
        shared.epoch.step();
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        shared.done.wait_past(ticket, &mut self.spin);
        // Taken down whoever panicked: the next job must not answer for this one.
        let others = shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!others, "a thread of the pool panicked");
    }

    /// Runs `job(i, item)` for every item, each on one thread, whichever is free.
    pub fn for_each<T: Send>(&mut self, items: &mut [T], job: impl Fn(usize, &mut T) + Sync) {
        let mut none = vec![(); self.n_threads()];
        let one = Tiling { row: 1, rows: 1, columns: 1 };
        self.for_tiles(items, one, &mut none, |tile, _| job(tile.first_row, &mut tile.row(0)[0]));
    }

    /// Cuts `data` into tiles and runs `job(tile, scratch)` for each, on whichever thread is free.
    ///
    /// A thread takes the element of `scratch` that has its number.
    pub fn for_tiles<T: Send, S: Send>(
        &mut self,
        data: &mut [T],
        tiling: Tiling,
        scratch: &mut [S],
        job: impl Fn(&mut Tile<'_, T>, &mut S) + Sync,
    ) {
        let scratch = PerThread::new(scratch, self.n_threads());
        let tiles = Tiles::new(data, tiling);
        if self.workers.is_empty() {
            for i in 0..tiles.len() {
                // SAFETY: one thread, one tile and one use of the scratch at a time.
                unsafe { job(&mut tiles.get(i), scratch.part(0)) };
            }
            return;
        }
        let next = AtomicUsize::new(0);
        self.run(&|thread| {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= tiles.len() {
                    break;
                }
                // SAFETY: the counter gives each tile to one thread once; the scratch of a thread
                // is lent to it alone, one tile after the other.
                unsafe { job(&mut tiles.get(i), scratch.part(thread)) };
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
        self.shared.epoch.step();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared, id: usize, mut spin: Spin) {
    let mut seen = 0;
    loop {
        shared.epoch.wait_past(seen, &mut spin);
        seen = seen.wrapping_add(1);
        if shared.quit.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: `run` stored the place of its argument before the step of `epoch`, and it does
        // not return, so that argument and job stay alive, until `busy` is 0.
        let job = unsafe { *shared.job.load(Ordering::Relaxed).cast::<&(dyn Fn(usize) + Sync)>() };
        if catch_unwind(AssertUnwindSafe(|| job(id))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        if shared.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.done.step();
        }
    }
}

/// A counter that can be waited for. It has a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Signal {
    count: AtomicU32,
    sleepers: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Signal {
    fn now(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one up and wakes all who wait. Everything written before is seen by them.
    fn step(&self) {
        // Either this load sees the sleeper, or the sleeper sees the new count: both sides write
        // one word and then read the other, in the one order of SeqCst.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
    }

    /// Waits until the count is no longer `seen`.
    fn wait_past(&self, seen: u32, spin: &mut Spin) {
        for _ in 0..spin.budget {
            if self.count.load(Ordering::Acquire) != seen {
                spin.paid();
                return;
            }
            std::hint::spin_loop();
        }
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut slept = false;
        while self.count.load(Ordering::SeqCst) == seen {
            held = self.wake.wait(held).unwrap_or_else(PoisonError::into_inner);
            slept = true;
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        if slept {
            spin.was_in_vain();
        }
    }
}

/// How long a thread spins before it sleeps: the full time while that pays, less after it did not.
#[derive(Clone, Copy, Debug)]
struct Spin {
    budget: u32,
    full: u32,
}

impl Spin {
    fn new(full: u32) -> Spin {
        Spin { budget: full, full }
    }

    fn paid(&mut self) {
        self.budget = self.budget.saturating_add(self.full / 16).min(self.full);
    }

    fn was_in_vain(&mut self) {
        self.budget = (self.budget / 2).max(self.full / 16);
    }
}

/// How many turns of the spinning loop fit into `ns`; the best of a few tries, since a try may be
/// interrupted.
fn spins_in(ns: u64) -> u32 {
    const TURNS: u64 = 1000;
    let word = AtomicU32::new(0);
    let best = (0..5)
        .map(|_| {
            let start = MonotonicClock.now();
            for _ in 0..TURNS {
                if word.load(Ordering::Acquire) != 0 {
                    break;
                }
                std::hint::spin_loop();
            }
            MonotonicClock.now().since(start).0.max(1)
        })
        .min()
        .unwrap_or(1);
    u32::try_from(ns * TURNS / best).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_takes_part_in_every_job() {
        for n in [1, 2, 3, 8] {
            let mut pool = Pool::new(n).unwrap();
            assert_eq!(pool.n_threads(), n);
            let turns: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
            for round in 1..=200 {
                pool.run(&|thread| {
                    turns[thread].fetch_add(1, Ordering::Relaxed);
                });
                assert!(turns.iter().all(|t| t.load(Ordering::Relaxed) == round));
            }
        }
    }

    #[test]
    fn every_tile_is_written_once_whatever_the_sizes() {
        for n in [1, 3] {
            let mut pool = Pool::new(n).unwrap();
            for (rows, row) in [(1, 1), (1, 48), (7, 33), (64, 16), (5, 100)] {
                for (tile_rows, columns) in [(1, 1), (2, 16), (64, 40), (3, 1000)] {
                    let mut data = vec![0u32; rows * row];
                    let mut scratch = vec![0usize; n];
                    let tiling = Tiling { row, rows: tile_rows, columns };
                    pool.for_tiles(&mut data, tiling, &mut scratch[..], |tile, count| {
                        *count += 1;
                        for r in 0..tile.n_rows {
                            let (down, right) = (tile.first_row + r, tile.first_column);
                            for (c, v) in tile.row(r).iter_mut().enumerate() {
                                *v += (down * row + right + c) as u32 + 1;
                            }
                        }
                    });
                    assert!(data.iter().enumerate().all(|(i, v)| *v == i as u32 + 1));
                    let tiles = rows.div_ceil(tile_rows) * row.div_ceil(columns);
                    assert_eq!(scratch.iter().sum::<usize>(), tiles);
                }
            }
        }
    }

    #[test]
    fn many_more_threads_than_processors_come_to_an_end() {
        let threads = 8 * std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut pool = Pool::new(threads).unwrap();
        let mut items = vec![0u64; 3 * threads];
        for _ in 0..500 {
            pool.for_each(&mut items, |i, v| *v += i as u64);
        }
        assert!(items.iter().enumerate().all(|(i, v)| *v == 500 * i as u64));
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = Pool::new(3).unwrap();
        for guilty in [&[0][..], &[1], &[2], &[0, 1, 2]] {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|thread| assert!(!guilty.contains(&thread), "on purpose"));
            }));
            assert!(caught.is_err(), "threads {guilty:?}");
            pool.run(&|_| {});
        }
    }

    #[test]
    fn spinning_that_does_not_pay_is_given_up_and_taken_up_again() {
        let mut spin = Spin::new(1600);
        for _ in 0..10 {
            spin.was_in_vain();
        }
        assert_eq!(spin.budget, 100);
        for _ in 0..100 {
            spin.paid();
        }
        assert_eq!(spin.budget, 1600);
    }
}
