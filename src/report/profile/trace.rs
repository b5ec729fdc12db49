//! A profile as a trace: what each thread did when, and what sensors read meanwhile.
//!
//! The trace event format of Chrome (`traceEvents` with phases `M`, `X` and `C`), which Perfetto and
//! speedscope open. Times are microseconds since the first traced call began.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::record::{OpKind, Record, Series, Trace, TracedCall};
use crate::report::text;

/// The file of a record's trace.
pub fn file_name(record: &Record) -> String {
    format!("trace-{}.{}.json", record.cell.id, record.invocation)
}

/// The one process of a trace.
const PID: u32 = 1;
/// The thread on which whole calls stand; those of the engine follow.
const CALLS: u32 = 0;

/// Writes the trace of a record; nothing where it has none.
pub fn write_trace(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let Some(trace) = record.profile.as_ref().map(|profile| &profile.trace) else { return Ok(()) };
    let Some(begin) = trace.calls.first().map(|call| call.start_ns) else { return Ok(()) };
    let end = trace.calls.iter().map(|call| call.end_ns).max().unwrap_or(begin);
    let series: Vec<&Series> = record.sensors.iter().flat_map(|log| &log.series).collect();
    let first_reading = series.iter().filter_map(|series| readings(series, begin, end).next());
    let origin = first_reading.map(|(at, _)| at).fold(begin, u64::min);
    let mut events = vec![name("process_name", CALLS, &title(record))];
    events.push(name("thread_name", CALLS, "calls"));
    let spans = || trace.calls.iter().flat_map(|call| &call.spans);
    let n_threads = spans().map(|span| span.1 + 1).max().unwrap_or(0);
    for thread in 0..n_threads {
        events.push(name("thread_name", thread + 1, &format!("thread {thread}")));
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
    let words = format!("{} {} {} {}", cell.model, cell.quant, cell.engine, cell.test());
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
        "cat": call.phase,
        "pid": PID,
        "tid": CALLS,
        "ts": us(call.start_ns.saturating_sub(origin)),
        "dur": us(call.end_ns.saturating_sub(call.start_ns)),
    })
}

/// The stretches of a call. Where a thread took turns between operations, they share one stretch of
/// time: each gets its part of it, one after the other, and says so.
fn stretches(trace: &Trace, call: &TracedCall, origin: u64) -> Vec<Value> {
    let mut events = Vec::new();
    let start = call.start_ns.saturating_sub(origin);
    // The end of what was drawn last, by thread.
    let mut drawn: Vec<u64> = Vec::new();
    for &(op, thread, after, length, busy) in &call.spans {
        let Some(op) = trace.ops.get(op as usize) else { continue };
        if op.kind == OpKind::Wait || op.kind == OpKind::Spans {
            continue;
        }
        let at = thread as usize;
        if drawn.len() <= at {
            drawn.resize(at + 1, 0);
        }
        let begin = after.max(drawn[at]);
        let span = busy.min(length);
        drawn[at] = begin + span;
        let mut args = json!({ "kind": op.kind.word() });
        if let Some(layer) = op.layer {
            args["layer"] = json!(layer);
        }
        if let Some(ty) = op.ty {
            args["type"] = json!(ty.name());
        }
        if span < length {
            args["in_turns_within_us"] = json!(us(length));
        }
        events.push(json!({
            "ph": "X",
            "name": text::plain(&op.name),
            "cat": op.kind.word(),
            "pid": PID,
            "tid": thread + 1,
            "ts": us(start + begin),
            "dur": us(span),
            "args": args,
        }));
    }
    events
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
