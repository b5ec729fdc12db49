use super::*;
use crate::record::{Channel, ChannelKind, Quality, Scope, SensorLog, Series};
use crate::report::fixture::{self, Fixture};

#[test]
fn rows_of_every_grouping_add_up_to_the_whole() {
    let fixture: Fixture = fixture::profiled();
    let views = ProfileView::all(&fixture.run, &fixture.records);
    assert_eq!(views.len(), 1);
    for phase in &views[0].phases {
        let groupings = phase.groupings.iter().map(|grouping| &grouping.rows).chain([&phase.ops]);
        for rows in groupings {
            let shares: f64 = rows.iter().map(|row| row.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{shares}");
            assert_eq!(rows.last().unwrap().name, REST);
        }
    }
}

#[test]
fn the_tables_are_as_they_were() {
    let fixture = fixture::profiled();
    let views = ProfileView::all(&fixture.run, &fixture.records);
    insta::assert_snapshot!(terminal(&views, 100));
}

#[test]
fn a_row_stands_to_the_ceiling_that_it_meets_first() {
    let ceilings = Ceilings {
        n_threads: 1,
        read_bytes_per_s: 10e9,
        cache_bytes_per_s: Some(100e9),
        ops_per_s: [(crate::probe::Number::F32, 50e9), (crate::probe::Number::Int8, 200e9)].into(),
    };
    let total = |kind, ty, ops, bytes, memory_bytes| OpTotal {
        op: Op { name: "x".into(), kind, part: None, layer: None, ty, is_alone: false },
        cost: OpCost { ns: 1000, calls: 1, ops, bytes, memory_bytes },
    };
    let of = |total: OpTotal| ceiling(&ceilings, &[&total], 1000).unwrap();
    let q8 = Some(crate::ggml::GgmlType::Q8_0);
    // 5000 bytes take 500 ns, 20,000 operations 100 ns.
    let streams = of(total(OpKind::Matmul, q8, 20_000, 6000, 5000));
    assert_eq!((streams.binds, streams.share), (Limit::Memory, 0.5));
    let computes = of(total(OpKind::Matmul, q8, 160_000, 6000, 5000));
    assert_eq!((computes.binds, computes.share), (Limit::Compute, 0.8));
    let near = of(total(OpKind::Norm, None, 100, 20_000, 0));
    assert_eq!((near.binds, near.share), (Limit::Cache, 0.2));
    let waits = total(OpKind::Wait, None, 0, 0, 0);
    assert_eq!(ceiling(&ceilings, &[&waits], 1000), None);
}

#[test]
fn of_an_invocation_profiled_twice_the_last_record_counts() {
    let mut fixture = fixture::profiled();
    let mut again = fixture.records[0].clone();
    again.started_at = "2026-11-23T13:00:00.000Z".into();
    fixture.records.push(again);
    let views = ProfileView::all(&fixture.run, &fixture.records);
    assert_eq!(views.len(), 1);
    assert!(views[0].record.started_at.contains("T13"));
}

#[test]
fn sensors_stand_on_the_traces_axis_of_time() {
    let mut fixture = fixture::profiled();
    let channel = Channel {
        id: "cpufreq/policy0".into(),
        kind: ChannelKind::Clock,
        source: "/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq".into(),
        scope: Scope::Package,
        quality: Quality::Instant,
        cause: None,
        relevant: true,
    };
    // Half a second before the first call, in its middle, and long after all of them.
    let series = Series {
        channel,
        at_ns: vec![500_000_000, 1_000_500_000, 60_000_000_000],
        values: vec![2.4e9, 1.8e9, 1.8e9],
        n_readings: 3,
        n_failed: 0,
    };
    fixture.records[0].sensors = Some(SensorLog { series: vec![series], ..SensorLog::default() });
    let document = trace(&fixture);
    let events = document["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|e| e["ph"] == phase).collect::<Vec<_>>();
    let read: Vec<(f64, f64)> = of("C")
        .iter()
        .map(|e| (e["ts"].as_f64().unwrap(), e["args"]["value"].as_f64().unwrap()))
        .collect();
    assert_eq!(read, [(0.0, 2400.0), (500_500.0, 1800.0)]);
    assert_eq!(of("C")[0]["name"], "cpufreq/policy0 MHz");
    let first_call = of("X").into_iter().find(|e| e["cat"] == "call").unwrap();
    assert_eq!(first_call["ts"], 500_000.0);
}

fn trace(fixture: &Fixture) -> serde_json::Value {
    let mut text = Vec::new();
    write_trace(&fixture.records[0], &mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_trace_keeps_to_the_trace_event_format() {
    let document = trace(&fixture::profiled());
    let events = document["traceEvents"].as_array().unwrap();
    assert_eq!(document["displayTimeUnit"], "ms");
    for event in events {
        let phase = event["ph"].as_str().unwrap();
        assert!(event["name"].is_string() && event["pid"].is_u64(), "{event}");
        match phase {
            "M" => assert!(event["args"]["name"].is_string() && event["tid"].is_u64(), "{event}"),
            "X" => {
                let [ts, dur] = ["ts", "dur"].map(|key| event[key].as_f64().unwrap());
                assert!(ts >= 0.0 && dur >= 0.0 && event["tid"].is_u64(), "{event}");
            }
            "C" => assert!(event["ts"].as_f64().unwrap() >= 0.0, "{event}"),
            other => panic!("phase {other}"),
        }
    }
    // Operations of one thread do not overlap, and lie within their call, as layers do.
    let of = |is: &dyn Fn(&str) -> bool| {
        let all = events.iter().filter(|e| e["ph"] == "X" && is(e["cat"].as_str().unwrap()));
        all.map(|e| (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap())).collect::<Vec<_>>()
    };
    let calls = of(&|cat| cat == "call");
    let layers = of(&|cat| cat == "layer");
    let spans = of(&|cat| cat != "call" && cat != "layer");
    assert_eq!((calls.len(), layers.len(), spans.len()), (3, 3 * 2, 3 * 7));
    for pair in spans.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0 + 1e-6, "{pair:?}");
    }
    let within = |(ts, dur): &(f64, f64)| {
        calls.iter().any(|(begin, length)| *ts >= begin - 1e-6 && ts + dur <= begin + length + 1e-6)
    };
    assert!(spans.iter().chain(&layers).all(within));
}
