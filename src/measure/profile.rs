//! Where the time goes: passes with spans in turns with passes without.
//!
//! Both are timed by the same hand, around the engine's calls alone, so that what spans cost is measured
//! beside what they should cost. What an engine tells is read between two passes, not between two calls:
//! threads that wait for their next piece of work would have gone to sleep.

use std::collections::BTreeMap;

use super::Stop;
use super::pass::Passes;
use crate::clock::Clock;
use crate::engine::{
    Allocated, Engine, EngineError, Op, OpCost, ProfiledSession, Resolved, Session, Spans,
};
use crate::plan::Cell;
use crate::record::{OpTotal, PhaseProfile, Profile, Sample, TracedCall};
use crate::roofline::Phase;

/// A call: its phase, its beginning and its end.
type Call = (Phase, u64, u64);

/// Decode calls that are kept stretch by stretch.
const TRACED_CALLS: usize = 4;
/// Stretches that are kept at the most: with many threads or a long prompt a call has tens of thousands,
/// and all of them go up the pipe in one line.
const MOST_STRETCHES: usize = 40_000;

/// A session that remembers when its calls were made.
struct Timed<'a> {
    inner: &'a mut dyn ProfiledSession,
    clock: &'a dyn Clock,
    calls: Vec<Call>,
}

/// Makes the passes of `cell`, in turns without and with spans, and tells what came out. `tell` hears
/// of every pass without spans, whose times are as good as any.
pub fn profile(
    engine: &dyn Engine,
    session: &mut dyn ProfiledSession,
    cell: &Cell,
    invocation: u32,
    mut tell: impl FnMut(Sample) -> Result<(), Stop>,
) -> Result<Profile, Stop> {
    let clock = engine.clock();
    let mut collected = Collected::default();
    // The first pass with spans makes room for them, as many as any; what it tells is forgotten.
    session.take_spans(true);
    one_pass(session, clock.as_ref(), cell, invocation, u32::MAX)?;
    session.spans();
    collected.profile.stamp_ns = session.stamp_ns();

    for repetition in 0..cell.repetitions {
        // Whoever comes first would otherwise always meet the machine as the other left it.
        let order = if repetition % 2 == 0 { [false, true] } else { [true, false] };
        for with_spans in order {
            session.take_spans(with_spans);
            let (sample, calls) = one_pass(session, clock.as_ref(), cell, invocation, repetition)?;
            match with_spans {
                true => collected.take(&calls, session.spans()),
                false => {
                    collected.plain(&calls);
                    tell(sample)?;
                }
            }
        }
    }
    session.take_spans(false);
    Ok(collected.done(cell))
}

/// A pass, and when its calls were made.
fn one_pass(
    session: &mut dyn ProfiledSession,
    clock: &dyn Clock,
    cell: &Cell,
    invocation: u32,
    repetition: u32,
) -> Result<(Sample, Vec<Call>), Stop> {
    let room = Vec::with_capacity(cell.n_gen as usize + 1);
    let mut timed = Timed { inner: session, clock, calls: room };
    let sample = Passes::new(&mut timed, clock, cell, invocation).timed(repetition)?;
    Ok((sample, timed.calls))
}

impl Timed<'_> {
    fn time<T>(&mut self, phase: Phase, call: impl FnOnce(&mut dyn ProfiledSession) -> T) -> T {
        let start = self.clock.now();
        let answer = call(self.inner);
        self.calls.push((phase, start.0, self.clock.now().0));
        answer
    }
}

impl Session for Timed<'_> {
    fn resolved(&self) -> Resolved {
        self.inner.resolved()
    }

    fn allocated(&self) -> Option<Allocated> {
        self.inner.allocated()
    }

    fn n_vocab(&self) -> u32 {
        self.inner.n_vocab()
    }

    fn rewind(&mut self, n_past: u32) -> Result<(), EngineError> {
        self.inner.rewind(n_past)
    }

    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.time(Phase::Prefill, |session| session.prefill(tokens))
    }

    fn decode(&mut self, token: u32) -> Result<(), EngineError> {
        self.time(Phase::Decode, |session| session.decode(token))
    }

    fn logits(&mut self) -> Result<&[f32], EngineError> {
        self.inner.logits()
    }
}

#[derive(Default)]
struct Collected {
    profile: Profile,
    /// Where each operation stands in the trace.
    traced: BTreeMap<Op, u32>,
    prefill: Totals,
    decode: Totals,
}

#[derive(Default)]
struct Totals {
    phase: PhaseProfile,
    /// In the order in which they first began.
    order: Vec<Op>,
    sums: BTreeMap<Op, OpCost>,
}

impl Collected {
    fn totals(&mut self, phase: Phase) -> &mut Totals {
        match phase {
            Phase::Prefill => &mut self.prefill,
            Phase::Decode => &mut self.decode,
        }
    }

    fn plain(&mut self, calls: &[Call]) {
        for phase in Phase::BOTH {
            self.totals(phase).phase.plain_ns.push(time(phase, calls));
        }
    }

    fn take(&mut self, calls: &[Call], spans: Vec<Spans>) {
        let is_first = self.prefill.phase.profiled_ns.is_empty();
        for phase in Phase::BOTH {
            self.totals(phase).phase.profiled_ns.push(time(phase, calls));
        }
        let mut traced = 0;
        for (call, spans) in calls.iter().zip(&spans) {
            let is_decode = call.0 == Phase::Decode;
            if is_first && (!is_decode || traced < TRACED_CALLS) {
                let index = if is_decode { traced as u32 } else { 0 };
                self.keep(call, index, spans);
                traced += usize::from(is_decode);
            }
            self.totals(call.0).add(spans);
        }
    }

    /// Adds a call to the trace, as far as there is room.
    fn keep(&mut self, call: &Call, index: u32, spans: &Spans) {
        let trace = &mut self.profile.trace;
        let room = MOST_STRETCHES - trace.calls.iter().map(|c| c.spans.len()).sum::<usize>();
        trace.is_cut |= spans.spans.len() > room;
        if room == 0 {
            return;
        }
        let &(phase, start_ns, end_ns) = call;
        let mut traced =
            TracedCall { phase: phase.word().into(), index, start_ns, end_ns, spans: vec![] };
        for span in spans.spans.iter().take(room) {
            let (op, _) = &spans.ops[span.op as usize];
            let at = *self.traced.entry(op.clone()).or_insert_with(|| {
                trace.ops.push(op.clone());
                trace.ops.len() as u32 - 1
            });
            traced.keep(at, span);
        }
        trace.calls.push(traced);
    }

    fn done(self, cell: &Cell) -> Profile {
        let prefill = (cell.n_prompt > 0).then(|| self.prefill.done());
        let decode = (cell.n_gen > 0).then(|| self.decode.done());
        Profile { prefill, decode, ..self.profile }
    }
}

fn time(phase: Phase, calls: &[Call]) -> u64 {
    calls.iter().filter(|call| call.0 == phase).map(|(_, start, end)| end - start).sum()
}

impl Totals {
    fn add(&mut self, spans: &Spans) {
        self.phase.n_calls += 1;
        self.phase.n_stamps += spans.n_stamps;
        for (op, cost) in &spans.ops {
            match self.sums.get_mut(op) {
                Some(sum) => sum.add(cost),
                None => {
                    self.order.push(op.clone());
                    self.sums.insert(op.clone(), *cost);
                }
            }
        }
    }

    fn done(self) -> PhaseProfile {
        let Totals { phase, order, sums } = self;
        let ops = order.into_iter().map(|op| OpTotal { cost: sums[&op], op }).collect();
        PhaseProfile { ops, ..phase }
    }
}
