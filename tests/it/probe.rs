//! `slmbench probe` through the real binary: what is told and how, not how fast it is.

use serde_json::Value;
use slmbench::probe::{Number, Probe, Unit};

use crate::support::Bench;

#[test]
fn a_probe_tells_every_figure_or_why_it_is_absent() {
    let bench = Bench::new();
    let ran = bench.run(&["probe", "--quick", "--json", "--threads", "2,1,2"]).ends_with(0);
    let probe: Probe = serde_json::from_str(&ran.stdout).unwrap();
    let again: Value = serde_json::to_value(&probe).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(&ran.stdout).unwrap());

    let is_absent = |what: &str| probe.absent.iter().any(|absent| absent.what.contains(what));
    assert!(probe.quick && probe.took_ns > 0);
    assert_eq!(probe.fork_join.iter().map(|one| one.n_threads).collect::<Vec<_>>(), [1, 2]);
    for number in Number::ALL {
        for n_threads in [1, 2] {
            let told = probe.ops_per_s(number, n_threads);
            assert!(told.is_some_and(|ops| ops > 0.0) || is_absent(number.name()));
            // An engine without tiles can be judged wherever one with tiles can.
            let vectors = probe.ops_per_s_on(Unit::Vectors, number, n_threads);
            assert_eq!(vectors.is_some(), told.is_some());
        }
    }
    assert!(!probe.memory.is_empty() || is_absent("memory"));
    for reading in &probe.memory {
        assert!(reading.huge_bytes.is_none_or(|huge| huge <= reading.buffer_bytes));
        let last = probe.caches.last().map_or(0, |caches| caches.cache.size_bytes);
        assert!(reading.buffer_bytes >= 4 * last);
    }
    assert!(!probe.caches.is_empty() || is_absent("caches"));
    for caches in &probe.caches {
        for one in &caches.reading {
            let all = one.set_bytes * u64::from(one.n_threads.min(caches.cache.n_cpus));
            assert!(all <= caches.cache.size_bytes, "{caches:?}");
        }
    }
    let rates = probe.memory.iter().map(|reading| reading.bytes_per_s);
    let rates = rates.chain(probe.peaks.iter().map(|peak| peak.ops_per_s));
    for rate in rates {
        assert!(0.0 < rate.q25 && rate.q25 <= rate.median && rate.median <= rate.q75);
        assert!(rate.q75 <= rate.best && rate.n > 0);
    }
    for one in &probe.fork_join {
        assert!(0.0 < one.latency_ns.best && one.latency_ns.best <= one.latency_ns.q25);
    }
}

#[test]
fn a_number_of_threads_that_is_none_is_refused() {
    let bench = Bench::new();
    for bad in ["0", "1,x", "99999"] {
        let ran = bench.run(&["probe", "--threads", bad]).ends_with(2);
        assert!(ran.stderr.contains("--threads"), "{}", ran.stderr);
    }
}

#[test]
fn a_probe_does_not_disturb_a_run() {
    let bench = Bench::new();
    let held = slmbench::runner::Lock::try_take(&bench.path("machine.lock")).unwrap();
    let ran = bench.run(&["probe", "--when-busy", "refuse"]).ends_with(2);
    assert!(ran.stderr.contains("another slmbench measures"), "{}", ran.stderr);
    drop(held);
}
