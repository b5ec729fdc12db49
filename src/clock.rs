//! The only reader of the monotonic clock, and a scripted one for exact tests.
//!
//! Parent and child share the monotonic clock of the machine, so times from both sides of the
//! pipe lie on one axis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::Nanos;

/// Something that tells the time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since a fixed moment in the past.
    fn now(&self) -> Nanos;

    /// Lets `span` pass: the monotonic clock waits, the scripted one jumps.
    fn pass(&self, span: Nanos);
}

/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Nanos {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Nanos(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
    }

    fn pass(&self, span: Nanos) {
        // A sleep overshoots by some tens of microseconds: the last stretch is spun.
        const SPIN: u64 = 200_000;
        let end = Nanos(self.now().0 + span.0);
        if span.0 > SPIN {
            std::thread::sleep(Nanos(span.0 - SPIN).into());
        }
        while self.now() < end {
            std::hint::spin_loop();
        }
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ScriptedClock(AtomicU64);

impl Clock for ScriptedClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }

    fn pass(&self, span: Nanos) {
        self.0.fetch_add(span.0, Ordering::Relaxed);
    }
}

/// The machine's clock, ready to be shared.
pub fn monotonic() -> Arc<dyn Clock> {
    Arc::new(MonotonicClock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripted_clock_moves_exactly_as_told() {
        let clock = ScriptedClock::default();
        clock.pass(Nanos(40));
        clock.pass(Nanos(2));
        assert_eq!(clock.now(), Nanos(42));
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let (a, b) = (MonotonicClock.now(), MonotonicClock.now());
        assert!(b >= a);
    }
}
