//! Where the time of a pass goes: each thread notes when it changes from one operation to the next.
//!
//! Off unless asked for; then a thread looks at one flag for each tile. A *section* is a piece of work
//! that all threads share, or that the caller does alone. What threads spent in an operation ÷ the
//! threads of its section is its part of the wall time; what is left of a section is waiting. What
//! reading the clock takes is taken out of the operations and told for itself.

use crate::clock::{Clock, MonotonicClock};
use crate::ggml::GgmlType;

/// Operations that a section may be made of.
const MAX_PARTS: usize = 3;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A product with weights of this type; results are added to the residual stream within it.
    Matmul(GgmlType),
    /// Queries with keys, softmax, scores with values.
    Attention,
    /// Turning by positions.
    Rope,
    /// A norm.
    Norm,
    /// The gated unit's function.
    Activation,
    /// Writing into the cache.
    Copy,
    /// Activations into the form that weights want.
    Quantise,
    /// A row of the embedding.
    Lookup,
    /// Threads waiting for the others of their section.
    Wait,
    /// Reading the clock.
    Spans,
}

/// An operation of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After its tensor: `ffn_down`; what prepares it: `ffn_down_input`.
    pub name: &'static str,
    /// What it does.
    pub kind: StepKind,
    /// Its layer.
    pub layer: Option<u32>,
    /// Whether the caller does it while the other threads have nothing to do.
    pub is_alone: bool,
}

/// What a step took and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCost {
    /// Its part of the wall time.
    pub ns: u64,
    /// Arithmetic operations. Of a norm, a turn and a function they are nominal: 4, 3 and 5 for each
    /// number.
    pub ops: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Those of them that are weights or cache.
    pub memory_bytes: u64,
}

/// A stretch of time that a thread spent in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Index into [`Profile::steps`].
    pub step: usize,
    /// The thread, 0 being the caller's.
    pub thread: usize,
    /// Its beginning on the monotonic clock.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Time in it, where it took turns with others.
    pub busy_ns: u64,
}

/// Where the time of one call went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Every step in the order in which they were done.
    pub steps: Vec<(Step, StepCost)>,
    /// Stretch by stretch.
    pub stretches: Vec<Stretch>,
    /// How often the clock was read, section by section by the thread that read it most.
    pub n_stamps: u64,
}

/// A part of a section: what is done, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub name: &'static str,
    pub kind: StepKind,
    pub ops: u64,
    pub bytes: u64,
    pub memory_bytes: u64,
}

impl Part {
    /// That of something done to `n` numbers, read and written, with so many operations for each.
    pub fn of_numbers(name: &'static str, kind: StepKind, n: usize, ops: u64) -> Part {
        let n = n as u64;
        Part { name, kind, ops: ops * n, bytes: 8 * n, memory_bytes: 0 }
    }
}

/// What one thread notes within a section.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Laps {
    on: bool,
    started: bool,
    start: u64,
    last: u64,
    busy: [u64; MAX_PARTS],
    stamps: [u64; MAX_PARTS],
}

impl Laps {
    /// A tile begins.
    #[inline]
    pub fn begin(&mut self) {
        if self.on && !self.started {
            self.started = true;
            self.start = now();
            self.last = self.start;
        }
    }

    /// What was done since the last word was part number `part` of the section.
    #[inline]
    pub fn lap(&mut self, part: usize) {
        if self.on {
            let now = now();
            self.busy[part] += now - self.last;
            self.stamps[part] += 1;
            self.last = now;
        }
    }
}

/// Collects sections.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    on: bool,
    /// Of the sections that follow.
    pub layer: Option<u32>,
    /// What one reading of the clock takes.
    stamp_ns: f64,
    profile: Profile,
    /// Where in `profile` each call begins.
    calls: Vec<Mark>,
}

/// A place in a profile.
#[derive(Clone, Copy, Debug)]
struct Mark {
    step: usize,
    stretch: usize,
    n_stamps: u64,
}

/// Who does a section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The caller alone, while the other threads have nothing to do.
    Caller,
    /// All threads.
    All,
}

impl Recorder {
    /// From now on notes sections, or no longer.
    pub fn switch<'a>(&mut self, on: bool, laps: impl Iterator<Item = &'a mut Laps>) {
        for laps in laps {
            *laps = Laps { on, ..Laps::default() };
        }
        if on && !self.on {
            self.stamp_ns = stamp_ns();
        }
        self.on = on;
        self.forget();
    }

    /// What one reading of the clock takes, as measured when this was switched on.
    pub fn stamp_ns(&self) -> f64 {
        self.stamp_ns
    }

    /// Room is kept: what was touched once costs nothing the next time.
    fn forget(&mut self) {
        self.profile.steps.clear();
        self.profile.stretches.clear();
        self.profile.n_stamps = 0;
        self.calls.clear();
    }

    /// A call begins.
    pub fn begin_call(&mut self) {
        if self.on {
            self.calls.push(self.here());
        }
    }

    fn here(&self) -> Mark {
        let Profile { steps, stretches, n_stamps } = &self.profile;
        Mark { step: steps.len(), stretch: stretches.len(), n_stamps: *n_stamps }
    }

    /// What was noted of each call since the last time this was asked.
    pub fn take(&mut self) -> Vec<Profile> {
        let ends = self.calls.iter().skip(1).copied().chain([self.here()]);
        let calls = self.calls.iter().zip(ends).map(|(begin, end)| {
            let stretches = self.profile.stretches[begin.stretch..end.stretch].iter();
            Profile {
                steps: self.profile.steps[begin.step..end.step].to_vec(),
                stretches: stretches
                    .map(|stretch| Stretch { step: stretch.step - begin.step, ..*stretch })
                    .collect(),
                n_stamps: end.n_stamps - begin.n_stamps,
            }
        });
        let calls = calls.collect();
        self.forget();
        calls
    }

    /// A section begins; its beginning, where it is noted.
    pub fn begin(&mut self) -> Option<u64> {
        self.on.then(now)
    }

    /// The section has ended that began at `begun` and was made of `parts`, numbered as in the laps.
    pub fn end<'a>(
        &mut self,
        begun: Option<u64>,
        by: By,
        parts: &[Part],
        laps: impl ExactSizeIterator<Item = &'a mut Laps>,
    ) {
        let Some(begun) = begun else { return };
        let wall = now() - begun;
        let n_threads = if by == By::All { laps.len() as u64 } else { 1 };
        let (first, layer) = (self.profile.steps.len(), self.layer);
        let is_alone = by == By::Caller;
        let step = |part: &Part| {
            let &Part { name, kind, ops, bytes, memory_bytes } = part;
            let cost = StepCost { ns: 0, ops, bytes, memory_bytes };
            (Step { name, kind, layer, is_alone }, cost)
        };
        self.profile.steps.extend(parts.iter().map(step));
        let (mut busy, mut most) = ([0; MAX_PARTS], 0);
        let mut reading = 2.0 * self.stamp_ns * n_threads as f64;
        for (thread, laps) in laps.enumerate() {
            if !laps.started {
                continue;
            }
            let noted = laps.busy.iter().zip(&laps.stamps).take(parts.len());
            for (part, (&busy_ns, &n)) in noted.enumerate() {
                let own = busy_ns.saturating_sub((n as f64 * self.stamp_ns) as u64);
                reading += (busy_ns - own) as f64;
                busy[part] += own;
                if n > 0 {
                    let (start_ns, end_ns) = (laps.start, laps.last);
                    let step = first + part;
                    let stretch = Stretch { step, thread, start_ns, end_ns, busy_ns };
                    self.profile.stretches.push(stretch);
                }
            }
            most = most.max(1 + laps.stamps.iter().sum::<u64>());
            *laps = Laps { on: laps.on, ..Laps::default() };
        }
        // Two at the edges by the caller, and those of the thread that read most within.
        self.profile.n_stamps += 2 + most;
        for (part, busy) in busy.iter().take(parts.len()).enumerate() {
            self.profile.steps[first + part].1.ns = busy / n_threads;
        }
        let worked = busy.iter().sum::<u64>() / n_threads;
        let reading = (reading / n_threads as f64) as u64;
        let reading = reading.min(wall.saturating_sub(worked));
        let name = parts.last().map_or("", |part| part.name);
        let mut rest = |kind, ns| {
            let cost = StepCost { ns, ..StepCost::default() };
            self.profile.steps.push((Step { name, kind, layer, is_alone }, cost));
        };
        rest(StepKind::Spans, reading);
        rest(StepKind::Wait, wall.saturating_sub(worked + reading));
    }
}

fn now() -> u64 {
    MonotonicClock.now().0
}

/// What one reading of the clock takes: the best of a few tries, since a try may be interrupted.
fn stamp_ns() -> f64 {
    const READINGS: u64 = 1000;
    let once = |_| {
        let begun = now();
        let mut last = begun;
        for _ in 0..READINGS {
            last = std::hint::black_box(now());
        }
        last - begun
    };
    (0..9).map(once).min().unwrap_or(0) as f64 / READINGS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_shared_out_among_its_parts_waiting_and_the_clock() {
        let mut recorder = Recorder { on: true, stamp_ns: 10.0, ..Recorder::default() };
        recorder.begin_call();
        let laps = |busy: [u64; 3], stamps: [u64; 3]| Laps {
            on: true,
            started: true,
            start: 5,
            last: 5 + busy.iter().sum::<u64>(),
            busy,
            stamps,
        };
        let mut threads = [laps([500, 300, 0], [5, 10, 0]), laps([400, 0, 0], [5, 0, 0])];
        let begun = Some(now() - 1_000_000);
        let part = |name, kind| Part::of_numbers(name, kind, 10, 4);
        let parts = [part("a", StepKind::Norm), part("b", StepKind::Quantise)];
        recorder.end(begun, By::All, &parts, threads.iter_mut());
        recorder.begin_call();
        let begun = recorder.begin();
        recorder.end(begun, By::Caller, &parts[..1], threads[..1].iter_mut());
        let [profile, next] = &recorder.take()[..] else { panic!("two calls") };
        assert_eq!((next.steps.len(), next.n_stamps), (3, 2));
        let ns = |kind| profile.steps.iter().find(|(s, _)| s.kind == kind).unwrap().1.ns;
        assert_eq!(ns(StepKind::Norm), (450 + 350) / 2);
        assert_eq!(ns(StepKind::Quantise), 200 / 2);
        assert_eq!(ns(StepKind::Spans), (40 + 200) / 2);
        assert!(ns(StepKind::Wait) >= 1_000_000 - 620);
        assert_eq!((profile.stretches.len(), profile.n_stamps), (3, 2 + 1 + 15));
        assert_eq!(profile.steps[0].1.bytes, 80);
        assert!(threads.iter().all(|laps| !laps.started && laps.on));
    }

    #[test]
    fn nothing_is_noted_unless_it_is_asked_for() {
        let mut recorder = Recorder::default();
        let mut laps = Laps::default();
        laps.begin();
        laps.lap(0);
        assert_eq!((laps.start, laps.busy[0]), (0, 0));
        let begun = recorder.begin();
        let part = Part::of_numbers("a", StepKind::Norm, 1, 4);
        recorder.end(begun, By::Caller, &[part], [&mut laps].into_iter());
        assert_eq!(recorder.take(), []);
    }
}
