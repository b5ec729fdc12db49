//! Waiting for a device to cool down, and what happens when it does not: on simulated devices.

use crate::simulated::{Device, Fate};
use crate::support::{Bench, Ran};

const SUITE: &str = "repetitions = 8\nwarmup = 0\ninvocations = 2\n[gate]\nbaseline_s = 1\nleast_s = 0\n\
    hold_s = 1\nlimit_s = LIMIT\n[[matrix]]\nengine = \"fake:prefill_ms=100,decode_ms=20,follow=clock\"\n\
    model = \"tiny-llama\"\nquant = \"F16\"\nn_prompt = 8\nn_gen = 5\n";

fn run(bench: &Bench, fate: Fate, limit_s: u32, more: &[&str]) -> Ran {
    bench.write("hot.toml", &SUITE.replace("LIMIT", &limit_s.to_string()));
    let device = Device::start(bench.path("device"), fate);
    let arguments =
        [&["run", "hot.toml", "--out", "out", "-q", "--sensor-ms", "20"], more].concat();
    bench.command(&arguments).env("SLMBENCH_ROOT", device.root()).output().unwrap().into()
}

#[test]
fn the_second_invocation_waits_until_the_device_has_cooled_down() {
    let bench = Bench::new();
    run(&bench, Fate::None, 60, &[]).ends_with(0);
    let records = bench.records("out");
    let waited = |i: usize| {
        let gate = &records[i]["gate"];
        assert_eq!(gate["outcome"], "passed", "{gate}");
        gate["waited_ns"].as_f64().unwrap() / 1e9
    };
    // A device at rest is waited for as long as it has to hold; a hot one for longer.
    assert!((1.0..2.0).contains(&waited(0)), "{}", waited(0));
    assert!(waited(1) > 2.0, "{}", waited(1));
    let info: serde_json::Value = serde_json::from_str(&bench.read("out/run.json")).unwrap();
    let baseline = &info["sensing"]["baseline"];
    let at_rest = baseline["values"]["thermal/cpu-thermal"].as_f64().unwrap();
    assert!((at_rest - 30.0).abs() < 1.0, "{at_rest}");
    let idle = baseline["idle_watts"]["hwmon/ina3221/VDD_IN"].as_f64().unwrap();
    assert!((idle - 1.0).abs() < 0.3, "{idle}");
    // Energy is told per phase, with what the channel covers, and without what the idle device draws.
    let energy = bench.read("out/energy.csv");
    assert!(energy.contains("decode,hwmon/ina3221/VDD_IN,board,instant"), "{energy}");
    let summary = bench.read("out/summary.md");
    assert!(summary.contains("<summary>Energy</summary>"), "{summary}");
}

#[test]
fn past_the_limit_an_invocation_is_marked_or_with_strict_refused() {
    let bench = Bench::new();
    run(&bench, Fate::None, 2, &[]).ends_with(0);
    let second = &bench.records("out")[1];
    assert_eq!(second["gate"]["outcome"], "timed_out");
    assert_eq!(second["gate"]["restless"][0], "thermal/cpu-thermal");
    assert!(second["marks"].to_string().contains("gate_timeout"));

    let bench = Bench::new();
    run(&bench, Fate::None, 2, &["--strict"]).ends_with(4);
    let second = &bench.records("out")[1];
    assert_eq!(second["outcome"]["kind"], "unfit");
    assert!(second["outcome"]["reason"].as_str().unwrap().contains("did not come to rest"));
}

#[test]
fn what_was_throttled_is_made_again_and_every_attempt_is_kept() {
    let bench = Bench::new();
    // Also on a device that is known: its table names temperatures, and no flag loses its say by that.
    bench.write("device/proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\n");
    run(&bench, Fate::UnderVoltage { after_s: 0.0 }, 1, &["--no-gate", "--repeat-disturbed", "2"])
        .ends_with(0);
    let records = bench.records("out");
    let numbers: Vec<u64> = records.iter().map(|r| r["invocation"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 0, 0, 1, 1, 1]);
    assert!(records.iter().all(|r| r["marks"].to_string().contains("throttled")), "{records:?}");
    assert!(records.iter().all(|r| r["gate"].is_null()));
    let info: serde_json::Value = serde_json::from_str(&bench.read("out/run.json")).unwrap();
    assert_eq!(info["device"], "Raspberry Pi 5");
    assert!(bench.read("out/cells.csv").lines().count() == 2);
}

#[test]
fn a_machine_without_sensors_is_not_waited_for_and_the_record_says_so() {
    let bench = Bench::new();
    bench.write("hot.toml", &SUITE.replace("LIMIT", "60"));
    std::fs::create_dir(bench.path("empty")).unwrap();
    let started = std::time::Instant::now();
    let ran = bench
        .command(&["run", "hot.toml", "--out", "out", "-q"])
        .env("SLMBENCH_ROOT", bench.path("empty"))
        .output()
        .unwrap();
    assert!(ran.status.success());
    assert!(started.elapsed().as_secs() < 30);
    for record in bench.records("out") {
        assert_eq!(record["gate"]["outcome"], "no_sensors");
    }
}
