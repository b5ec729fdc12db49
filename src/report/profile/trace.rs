//! A profile as a trace: what each thread did when, and what sensors read meanwhile.
//!
//! The trace event format of Chrome (`traceEvents` with phases `M`, `X` and `C`), which Perfetto and
//! speedscope open. Times are microseconds since the first traced call began.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::record::{Op, OpKind, Record, Series, Trace, TracedCall};
use crate::report::text;

/// The file of a record's trace.
pub fn file_name(record: &Record) -> String {
    format!("trace-{}.{}.json", record.cell.id, record.invocation)
}

/// The one process of a trace.
const PID: u32 = 1;

/// A thread's number in the trace: 0 is that of the process to some readers.
fn tid(thread: u32) -> u32 {
    thread + 1
}

/// Whether a record has calls stretch by stretch.
pub fn has_trace(record: &Record) -> bool {
    record.profile.as_ref().is_some_and(|profile| !profile.trace.calls.is_empty())
}

/// Writes the trace of a record; nothing where it has none.
pub fn write_trace(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let Some(trace) = record.profile.as_ref().map(|profile| &profile.trace) else { return Ok(()) };
    let Some(begin) = trace.calls.first().map(|call| call.start_ns) else { return Ok(()) };
    let end = trace.calls.iter().map(|call| call.end_ns).max().unwrap_or(begin);
    let series: Vec<&Series> = record.sensors.iter().flat_map(|log| &log.series).collect();
    let first_reading = series.iter().filter_map(|series| readings(series, begin, end).next());
    let origin = first_reading.map(|(at, _)| at).fold(begin, u64::min);
    let mut events = vec![name("process_name", tid(0), &title(record))];
    let spans = || trace.calls.iter().flat_map(|call| &call.spans);
    let n_threads = spans().map(|span| span.1 + 1).max().unwrap_or(0);
    for thread in 0..n_threads {
        events.push(name("thread_name", tid(thread), &format!("thread {thread}")));
    }
    for call in &trace.calls {
        events.push(whole(call, origin));
        events.extend(stretches(trace, call, origin));
    }
    for series in series {
        events.extend(counters(series, readings(series, begin, end), origin));
    }
    let document = json!({
        "displayTimeUnit": "ms",
        "otherData": {
            "program": record.program,
            "cell": record.cell.id,
            "started_at": record.started_at,
        },
        "traceEvents": events,
    });
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn title(record: &Record) -> String {
    let cell = &record.cell;
    let mut words = format!("{} {} {} {}", cell.model, cell.quant, cell.engine, cell.test());
    let profile = record.profile.as_ref();
    if profile.is_some_and(|profile| profile.stamp_ns.is_none()) {
        words.push_str(", node by node: lengths are not those of a run");
    }
    if profile.is_some_and(|profile| profile.trace.is_cut) {
        words.push_str(", cut");
    }
    text::plain(&words)
}

fn name(what: &str, thread: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": PID, "tid": thread, "args": { "name": name } })
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn whole(call: &TracedCall, origin: u64) -> Value {
    json!({
        "ph": "X",
        "name": format!("{} {}", call.phase, call.index),
        "cat": "call",
        "pid": PID,
        "tid": tid(0),
        "ts": us(call.start_ns.saturating_sub(origin)),
        "dur": us(call.end_ns.saturating_sub(call.start_ns)),
    })
}

/// A stretch as it is drawn, nanoseconds after the call's beginning.
struct Drawn<'a> {
    op: &'a Op,
    thread: u32,
    begin: u64,
    /// Time in it.
    busy: u64,
    /// From its beginning to its end, where it took turns with others.
    length: u64,
}

/// The stretches of a call, those of a thread in their order. Where a thread took turns between
/// operations, they share one stretch of time: each gets its part of it, one after the other.
fn drawn<'a>(trace: &'a Trace, call: &TracedCall) -> Vec<Drawn<'a>> {
    let mut all: Vec<Drawn<'a>> = Vec::new();
    // The end of what was drawn last, by thread.
    let mut ends: Vec<u64> = Vec::new();
    for &(op, thread, after, length, busy) in &call.spans {
        let Some(op) = trace.ops.get(op as usize) else { continue };
        if matches!(op.kind, OpKind::Wait | OpKind::Spans) {
            continue;
        }
        let at = thread as usize;
        if ends.len() <= at {
            ends.resize(at + 1, 0);
        }
        let begin = after.max(ends[at]);
        let busy = busy.min(length);
        ends[at] = begin + busy;
        all.push(Drawn { op, thread, begin, busy, length });
    }
    all.sort_by_key(|drawn| (drawn.thread, drawn.begin));
    all
}

/// The operations of a call, those of a layer within one event of its own.
fn stretches(trace: &Trace, call: &TracedCall, origin: u64) -> Vec<Value> {
    let mut events = Vec::new();
    let start = call.start_ns.saturating_sub(origin);
    let drawn = drawn(trace, call);
    for run in drawn.chunk_by(|a, b| (a.thread, a.op.layer) == (b.thread, b.op.layer)) {
        let (first, last) = (&run[0], &run[run.len() - 1]);
        if let Some(layer) = first.op.layer {
            events.push(json!({
                "ph": "X",
                "name": format!("layer {layer}"),
                "cat": "layer",
                "pid": PID,
                "tid": tid(first.thread),
                "ts": us(start + first.begin),
                "dur": us(last.begin + last.busy - first.begin),
            }));
        }
        events.extend(run.iter().map(|drawn| operation(drawn, start)));
    }
    events
}

fn operation(drawn: &Drawn, start: u64) -> Value {
    let op = drawn.op;
    let mut args = json!({ "kind": op.kind.word() });
    if let Some(ty) = op.ty {
        args["type"] = json!(ty.name());
    }
    if drawn.busy < drawn.length {
        args["in_turns_within_us"] = json!(us(drawn.length));
    }
    json!({
        "ph": "X",
        "name": text::plain(&op.name),
        "cat": op.kind.word(),
        "pid": PID,
        "tid": tid(drawn.thread),
        "ts": us(start + drawn.begin),
        "dur": us(drawn.busy),
        "args": args,
    })
}

/// A sensor's readings from a second before `begin` to a second behind `end`.
fn readings(series: &Series, begin: u64, end: u64) -> impl Iterator<Item = (u64, f64)> {
    const AROUND: u64 = 1_000_000_000;
    let readings = series.at_ns.iter().copied().zip(series.values.iter().copied());
    readings.filter(move |(at, _)| {
        at.saturating_add(AROUND) >= begin && *at <= end.saturating_add(AROUND)
    })
}

fn counters(
    series: &Series,
    readings: impl Iterator<Item = (u64, f64)>,
    origin: u64,
) -> impl Iterator<Item = Value> {
    let channel = &series.channel;
    // Clocks are read in MHz.
    let (unit, scale) = match channel.unit() {
        "Hz" => ("MHz", 1e-6),
        unit => (unit, 1.0),
    };
    let name = text::plain(&format!("{} {unit}", channel.id));
    readings.map(move |(at, value)| {
        json!({
            "ph": "C",
            "name": name,
            "pid": PID,
            "ts": us(at.saturating_sub(origin)),
            "args": { "value": value * scale },
        })
    })
}
