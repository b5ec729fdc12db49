//! Reads channels again and again while something else runs: one thread, a round a second, powers
//! and energies ten times as often. It says what it cost.
//!
//! Deliberately not here: what the readings mean. Nothing is averaged, nothing is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Channel, ChannelKind, Quality, Series, Source};
use crate::clock::Clock;
use crate::units::Nanos;

/// How often channels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Time between two readings of a channel.
    pub base: Duration,
    /// Time between two readings of a power or of a counter of energy. One that is an estimate has
    /// the base rate: it is computed from something slow.
    pub power: Duration,
}

impl Rates {
    /// Time between two readings of a channel.
    fn every(&self, channel: &Channel) -> Nanos {
        let is_power = matches!(channel.kind, ChannelKind::Power | ChannelKind::Energy);
        let often = is_power && channel.quality != Quality::Estimate;
        // No rate is so high that nothing else gets done.
        Nanos::from(if often { self.power } else { self.base }).max(Nanos(1_000_000))
    }
}

/// How long a reading out of turn is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A reading older than three times its interval and this much tells nothing of now.
const LATE: Nanos = Nanos(2_000_000_000);

impl Default for Rates {
    fn default() -> Rates {
        Rates { base: Duration::from_secs(1), power: Duration::from_millis(100) }
    }
}

/// What was read in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SensorLog {
    /// Every channel, in the order of the sources, also those that gave nothing.
    pub series: Vec<Series>,
    /// CPU time of the thread that read. Commands that it started are not in it.
    pub cpu_ns: u64,
    /// How long the stretch was.
    pub wall_ns: u64,
    /// Readings tried in it.
    pub n_readings: u64,
}

/// Reads in a thread of its own until it is stopped.
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Rung when something in the state has changed.
    bell: Condvar,
}

struct State {
    log: SensorLog,
    /// Of every channel.
    states: Vec<ChannelState>,
    /// When the stretch that `log` is of began, and the thread's CPU time then and now.
    began: Nanos,
    cpu_before_ns: u64,
    cpu_ns: u64,
    stop: bool,
    /// Rounds out of turn that were asked for, and those that were done.
    n_asked: u64,
    n_done: u64,
    /// Whether the thread has ended.
    over: bool,
}

struct ChannelState {
    every: Nanos,
    /// Whether its last reading succeeded.
    answers: bool,
}

impl Sampler {
    /// Starts with the usual rates.
    pub fn start(sources: Vec<Source>, clock: Arc<dyn Clock>) -> Sampler {
        Sampler::start_at(Rates::default(), sources, clock)
    }

    /// Starts with other rates: for devices that are simulated, whose minutes are short.
    pub fn start_at(rates: Rates, sources: Vec<Source>, clock: Arc<dyn Clock>) -> Sampler {
        let began = clock.now();
        let empty = |source: &Source| Series {
            channel: source.channel.clone(),
            at_ns: Vec::new(),
            values: Vec::new(),
            n_readings: 0,
            n_failed: 0,
        };
        let log = SensorLog { series: sources.iter().map(empty).collect(), ..SensorLog::default() };
        let of_channel = |source: &Source| {
            let every = rates.every(&source.channel);
            ChannelState { every, answers: false }
        };
        let state = State {
            log,
            states: sources.iter().map(of_channel).collect(),
            began,
            cpu_before_ns: 0,
            cpu_ns: 0,
            stop: false,
            n_asked: 0,
            n_done: 0,
            over: false,
        };
        let shared = Arc::new(Shared { clock, state: Mutex::new(state), bell: Condvar::new() });
        let turns = Turns::new(rates, sources, began);
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sensors".to_owned())
            .spawn(move || {
                // However it ends: nobody may wait for it then.
                let _over = Over(&of_thread);
                of_thread.run(turns);
            })
            .ok();
        if thread.is_none() {
            shared.lock().over = true;
        }
        Sampler { shared, thread }
    }

    /// Reads every channel once more, out of turn, and returns when that is done, or after three
    /// seconds: where a stretch that is to be told from the next one ends. A command that was started
    /// within the last second is not started again; its channels give their last answer.
    pub fn read_now(&self) {
        let mut state = self.shared.lock();
        state.n_asked += 1;
        let mine = state.n_asked;
        self.shared.bell.notify_all();
        let waits = |state: &mut State| state.n_done < mine && !state.over;
        drop(self.shared.bell.wait_timeout_while(state, PATIENCE, waits));
    }

    /// What was read since the start or since it was last taken. The last reading of each channel
    /// stays and is the first of the next stretch as well, so that the time between is covered; not
    /// that of a channel whose last reading failed, which would stand for a time it knows nothing of.
    pub fn take(&self) -> SensorLog {
        let now = self.shared.clock.now();
        self.shared.lock().take(now)
    }

    /// The last reading of a channel. `None` where its last reading failed, and where it is older than
    /// three of its intervals and two seconds.
    pub fn latest(&self, id: &str) -> Option<(Nanos, f64)> {
        let now = self.shared.clock.now();
        let state = self.shared.lock();
        let channel = state.log.series.iter().position(|series| series.channel.id == id)?;
        let (series, of_channel) = (&state.log.series[channel], &state.states[channel]);
        let (at, value) = (Nanos(*series.at_ns.last()?), *series.values.last()?);
        let oldest = Nanos(3 * of_channel.every.0 + LATE.0);
        (of_channel.answers && now.since(at) <= oldest).then_some((at, value))
    }

    /// Reads every channel a last time and ends.
    pub fn stop(mut self) -> SensorLog {
        self.end();
        self.take()
    }

    fn end(&mut self) {
        self.shared.lock().stop = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

/// Says that the thread has ended.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.bell.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self, mut turns: Turns) {
        let mut state = self.lock();
        loop {
            let (stop, n_asked) = (state.stop, state.n_asked);
            let out_of_turn = stop || n_asked > state.n_done;
            // Nobody waits for a sensor that answers slowly.
            drop(state);
            let readings = turns.read(self.clock.as_ref(), out_of_turn);
            let cpu_ns = thread_cpu_ns();
            state = self.lock();
            state.keep(readings);
            state.cpu_ns = cpu_ns;
            if out_of_turn {
                state.n_done = n_asked;
                self.bell.notify_all();
            }
            if stop {
                return;
            }
            let wait = turns.next_due().since(self.clock.now());
            if wait.0 > 0 && !state.stop && state.n_asked == state.n_done {
                let woken = self.bell.wait_timeout(state, wait.into());
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl State {
    fn keep(&mut self, readings: Vec<Reading>) {
        self.log.n_readings += readings.len() as u64;
        for reading in readings {
            let series = &mut self.log.series[reading.channel];
            self.states[reading.channel].answers = reading.value.is_some();
            match reading.value {
                Some(value) => {
                    series.at_ns.push(reading.at.0);
                    series.values.push(value);
                }
                None => series.n_failed += 1,
            }
        }
    }

    fn take(&mut self, now: Nanos) -> SensorLog {
        if self.over && !self.stop {
            // Nobody reads any more: that is told of every channel.
            for (series, state) in self.log.series.iter_mut().zip(&mut self.states) {
                series.n_failed += 1;
                state.answers = false;
            }
        }
        let last = |(series, state): (&Series, &ChannelState)| Series {
            channel: series.channel.clone(),
            at_ns: series.at_ns.last().copied().filter(|_| state.answers).into_iter().collect(),
            values: series.values.last().copied().filter(|_| state.answers).into_iter().collect(),
            n_readings: 0,
            n_failed: 0,
        };
        let series = self.log.series.iter().zip(&self.states).map(last).collect();
        let next = SensorLog { series, ..SensorLog::default() };
        let mut log = std::mem::replace(&mut self.log, next);
        log.cpu_ns = self.cpu_ns - self.cpu_before_ns;
        log.wall_ns = now.since(self.began).0;
        (self.cpu_before_ns, self.began) = (self.cpu_ns, now);
        log
    }
}

/// One reading of one channel.
struct Reading {
    channel: usize,
    at: Nanos,
    value: Option<f64>,
}

/// Whose turn it is.
struct Turns(Vec<Turn>);

struct Turn {
    source: Source,
    every: Nanos,
    due: Nanos,
    /// Its reader panicked: it is not asked again, and every turn of it fails.
    broken: bool,
}

impl Turn {
    fn value(&mut self) -> Option<f64> {
        if self.broken {
            return None;
        }
        // A reader must not panic. If one does, the others go on.
        let read = catch_unwind(AssertUnwindSafe(|| self.source.reader.read()));
        self.broken = read.is_err();
        read.ok()?.ok().filter(|value| value.is_finite())
    }
}

impl Turns {
    fn new(rates: Rates, sources: Vec<Source>, start: Nanos) -> Turns {
        let turn = |source: Source| {
            let every = rates.every(&source.channel);
            Turn { source, every, due: start, broken: false }
        };
        Turns(sources.into_iter().map(turn).collect())
    }

    /// Reads the channels that are due, or all of them.
    fn read(&mut self, clock: &dyn Clock, all: bool) -> Vec<Reading> {
        let start = clock.now();
        let mut before = start;
        let mut readings = Vec::new();
        for (channel, turn) in self.0.iter_mut().enumerate() {
            if turn.due <= start {
                // On its grid, also where a round took longer than the time to the next.
                let n_late = start.since(turn.due).0 / turn.every.0;
                turn.due.0 += (n_late + 1) * turn.every.0;
            } else if !all {
                continue;
            }
            let value = turn.value();
            let after = clock.now();
            readings.push(Reading { channel, at: Nanos(before.0.midpoint(after.0)), value });
            before = after;
        }
        readings
    }

    /// When the next channel is due; far off where there is none.
    fn next_due(&self) -> Nanos {
        self.0.iter().map(|turn| turn.due).min().unwrap_or(Nanos(u64::MAX / 2))
    }
}

fn thread_cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::{ScriptedClock, monotonic};
    use crate::sensors::{Channel, Reader, Scope};

    /// Counts its readings and tells of each; fails from the `dies`th on.
    struct Counting {
        n: u32,
        dies: u32,
        told: Option<mpsc::Sender<u32>>,
    }

    impl Reader for Counting {
        fn read(&mut self) -> Result<f64, String> {
            self.n += 1;
            if let Some(told) = &self.told {
                let _ = told.send(self.n);
            }
            if self.n >= self.dies { Err("unplugged".to_owned()) } else { Ok(f64::from(self.n)) }
        }
    }

    fn source(id: &str, kind: ChannelKind, dies: u32, told: Option<mpsc::Sender<u32>>) -> Source {
        let channel = Channel {
            id: id.to_owned(),
            kind,
            source: "made up".to_owned(),
            scope: Scope::Machine,
            quality: Quality::Instant,
            cause: None,
            relevant: true,
        };
        Source { channel, reader: Box::new(Counting { n: 0, dies, told }) }
    }

    const NEVER: u32 = u32::MAX;

    #[test]
    fn powers_and_energies_have_ten_turns_where_the_rest_has_one() {
        let clock = ScriptedClock::default();
        clock.pass(Nanos(5_000));
        let mut sources = vec![
            source("heat", ChannelKind::Temperature, NEVER, None),
            source("power", ChannelKind::Power, NEVER, None),
            source("energy", ChannelKind::Energy, NEVER, None),
            source("estimate", ChannelKind::Energy, NEVER, None),
        ];
        sources[3].channel.quality = Quality::Estimate;
        let mut turns = Turns::new(Rates::default(), sources, clock.now());
        let mut n = [0; 4];
        for _ in 0..30 {
            for reading in turns.read(&clock, false) {
                n[reading.channel] += 1;
            }
            clock.pass(turns.next_due().since(clock.now()));
        }
        assert_eq!(n, [3, 30, 30, 3]);
        assert_eq!(clock.now(), Nanos(3_000_005_000));
    }

    #[test]
    fn a_round_that_took_long_is_not_made_up_for() {
        let clock = ScriptedClock::default();
        let sources = vec![source("heat", ChannelKind::Temperature, NEVER, None)];
        let mut turns = Turns::new(Rates::default(), sources, clock.now());
        turns.read(&clock, false);
        clock.pass(Nanos(3_400_000_000));
        assert_eq!(turns.read(&clock, false).len(), 1);
        assert_eq!(turns.next_due(), Nanos(4_000_000_000));
    }

    #[test]
    fn the_last_reading_begins_the_next_stretch_too() {
        let sources = vec![source("energy", ChannelKind::Energy, NEVER, None)];
        let sampler = Sampler::start(sources, monotonic());
        sampler.read_now();
        let first = sampler.take();
        sampler.read_now();
        let (at, value) = sampler.latest("energy").unwrap();
        let second = sampler.stop();
        let (a, b) = (&first.series[0], &second.series[0]);
        assert_eq!(a.values.last(), b.values.first());
        assert_eq!(a.at_ns.last(), b.at_ns.first());
        assert!(b.values.contains(&value) && b.at_ns.contains(&at.0));
        assert!(b.values.len() >= 3, "the kept one, one out of turn, the last");
        assert_eq!(first.n_readings, a.values.len() as u64);
        assert_eq!(second.n_readings, b.values.len() as u64 - 1, "the kept one was counted before");
        assert!(second.wall_ns > 0 && second.cpu_ns > 0);
        assert!(b.at_ns.is_sorted());
    }

    #[test]
    fn a_sensor_that_vanishes_fails_and_the_others_go_on() {
        let sources = vec![
            source("gone", ChannelKind::Temperature, 2, None),
            source("there", ChannelKind::Temperature, NEVER, None),
        ];
        let sampler = Sampler::start(sources, monotonic());
        for _ in 0..3 {
            sampler.read_now();
        }
        let log = sampler.stop();
        let [gone, there] = &log.series[..] else { panic!("{log:?}") };
        assert_eq!(gone.values, [1.0]);
        assert_eq!(gone.n_failed as usize, there.values.len() - 1);
        assert_eq!(there.n_failed, 0);
    }

    #[test]
    fn it_goes_on_by_itself() {
        let (told, readings) = mpsc::channel();
        let rates = Rates { base: Duration::from_millis(1), power: Duration::from_millis(1) };
        let sources = vec![source("heat", ChannelKind::Temperature, NEVER, Some(told))];
        let sampler = Sampler::start_at(rates, sources, monotonic());
        assert!(readings.iter().any(|n| n == 5));
        assert!(sampler.stop().series[0].values.len() >= 5);
    }

    #[test]
    fn what_vanished_while_it_was_set_is_neither_latest_nor_carried_on() {
        let sources = vec![
            source("flag", ChannelKind::Flag, 3, None),
            source("heat", ChannelKind::Temperature, 3, None),
            source("there", ChannelKind::Temperature, NEVER, None),
        ];
        // So slow that only what is asked for is read, after the first round.
        let rates = Rates { base: Duration::from_secs(9000), power: Duration::from_secs(9000) };
        let sampler = Sampler::start_at(rates, sources, monotonic());
        sampler.read_now();
        while sampler.latest("flag").is_some() {
            sampler.read_now();
        }
        assert_eq!(sampler.latest("heat"), None);
        assert!(sampler.latest("there").is_some());
        let seen = sampler.take();
        assert_eq!(seen.series[0].values.last(), Some(&2.0), "what was read stays told");
        assert!(seen.series[0].n_failed > 0);
        let next = sampler.stop();
        assert!(next.series[0].values.is_empty() && next.series[1].values.is_empty());
        assert_eq!(next.series[2].values.len(), 2, "carried on, and the last");
    }

    #[test]
    fn a_reading_that_is_too_old_is_not_the_latest() {
        let clock = Arc::new(ScriptedClock::default());
        let sources = vec![source("heat", ChannelKind::Temperature, NEVER, None)];
        let sampler = Sampler::start(sources, Arc::clone(&clock) as Arc<dyn Clock>);
        sampler.read_now();
        assert!(sampler.latest("heat").is_some());
        // The thread is not told, and sleeps by the clock on the wall.
        clock.pass(Nanos(5_000_000_001));
        let latest = sampler.latest("heat");
        assert!(latest.is_none_or(|(at, _)| at.0 > 5_000_000_000), "{latest:?}");
    }

    #[test]
    fn a_reader_that_panics_fails_from_then_on_and_the_others_go_on() {
        struct Broken;
        impl Reader for Broken {
            fn read(&mut self) -> Result<f64, String> {
                panic!("a reader must not, but if it does")
            }
        }
        let mut broken = source("broken", ChannelKind::Temperature, NEVER, None);
        broken.reader = Box::new(Broken);
        let there = source("there", ChannelKind::Temperature, NEVER, None);
        let sampler = Sampler::start(vec![broken, there], monotonic());
        sampler.read_now();
        let log = sampler.stop();
        let [broken, there] = &log.series[..] else { panic!("{log:?}") };
        assert!(broken.values.is_empty());
        assert_eq!(broken.n_failed as usize, there.values.len());
    }

    #[test]
    fn a_thread_that_has_ended_is_told_as_readings_that_failed() {
        let sources = vec![source("heat", ChannelKind::Temperature, NEVER, None)];
        let sampler = Sampler::start(sources, monotonic());
        sampler.read_now();
        sampler.shared.lock().over = true;
        assert_eq!(sampler.take().series[0].n_failed, 1);
    }

    #[test]
    fn nobody_waits_for_ever_for_a_sensor_that_hangs() {
        struct Hanging(mpsc::Receiver<()>);
        impl Reader for Hanging {
            fn read(&mut self) -> Result<f64, String> {
                let _ = self.0.recv();
                Err("it was let go".to_owned())
            }
        }
        let (let_go, hangs) = mpsc::channel();
        let mut hanging = source("hangs", ChannelKind::Temperature, NEVER, None);
        hanging.reader = Box::new(Hanging(hangs));
        let sampler = Sampler::start(vec![hanging], monotonic());
        sampler.read_now();
        assert_eq!(sampler.latest("hangs"), None);
        drop(let_go);
        assert!(sampler.stop().series[0].n_failed > 0);
    }

    #[test]
    fn with_nothing_to_read_it_starts_and_stops() {
        let sampler = Sampler::start(Vec::new(), monotonic());
        sampler.read_now();
        assert_eq!(sampler.latest("heat"), None);
        assert_eq!(sampler.stop().n_readings, 0);
    }
}
