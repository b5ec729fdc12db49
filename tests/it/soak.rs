//! Sustained runs through the real binary: on simulated devices whose cause is known, with children
//! that die on the way, stopped by the user, and out of files.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::simulated::{Device, Fate};
use crate::support::{Bench, Row, number};

/// A sustained run of ten seconds on a device with this fate; answers the row on decode.
fn soak(bench: &Bench, fate: Fate) -> Row {
    let device = Device::start(bench.path("device"), fate);
    let arguments = [
        "soak",
        "tiny-llama",
        "--engine",
        "fake:prefill_ms=20,decode_ms=10,follow=clock",
        "-p",
        "8",
        "-n",
        "6",
        "--minutes",
        "0.34",
        "--window-s",
        "0.25",
        "--until",
        "limit",
        "--sensor-ms",
        "20",
        "--ambient-c",
        "25",
        "--out",
        "out",
        "-q",
    ];
    let output = bench.command(&arguments).env("SLMBENCH_ROOT", device.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = bench.rows("out/sustained.csv");
    assert_eq!(
        rows.iter().map(|row| row["work"].as_str()).collect::<Vec<_>>(),
        ["decode", "prefill"]
    );
    assert!(bench.path("out/plots/soak.svg").exists());
    rows.into_iter().next().unwrap()
}

fn marks(bench: &Bench) -> String {
    bench.records("out")[0]["marks"].to_string()
}

#[test]
fn a_device_that_becomes_too_hot_is_found_throttled_by_heat() {
    let bench = Bench::new();
    let row = soak(&bench, Fate::Heat { trip_c: 45.0 });
    assert_eq!(row["cause"], "throttled: heat", "{row:?}");
    assert!(number(&row, "retention") < 0.85, "{row:?}");
    assert!(number(&row, "sustained_temperature_c") > number(&row, "burst_temperature_c") + 5.0);
    assert!(number(&row, "sustained_clock_mhz") < 0.9 * number(&row, "burst_clock_mhz"));
    assert!(number(&row, "sustained_w") < number(&row, "burst_w"), "{row:?}");
    assert_eq!(
        (row["energy_scope"].as_str(), row["energy_channel"].as_str()),
        ("board", "hwmon/ina3221/VDD_IN")
    );
    assert!(marks(&bench).contains("throttled"));
}

#[test]
fn a_device_whose_supply_gives_way_is_found_throttled_by_under_voltage() {
    let bench = Bench::new();
    let row = soak(&bench, Fate::UnderVoltage { after_s: 4.0 });
    assert_eq!(row["cause"], "throttled: under-voltage", "{row:?}");
    assert!(number(&row, "retention") < 0.75, "{row:?}");
    // Work begins before the first pass does: loading and warming up are work too.
    assert!((2.0..=5.5).contains(&number(&row, "onset_s")), "{row:?}");
    assert!(marks(&bench).contains("throttled"));
}

#[test]
fn a_device_that_draws_too_much_is_found_throttled_by_over_current() {
    let bench = Bench::new();
    let row = soak(&bench, Fate::OverCurrent { after_s: 3.0 });
    assert_eq!(row["cause"], "throttled: over-current", "{row:?}");
    assert!(marks(&bench).contains("throttled"));
}

#[test]
fn a_device_that_copes_is_not_called_throttled() {
    let bench = Bench::new();
    let row = soak(&bench, Fate::None);
    // Other work on this machine may slow the engine down; the device did not.
    assert!(["", "slowdown, cause unknown"].contains(&row["cause"].as_str()), "{row:?}");
    assert!(!marks(&bench).contains("throttled"));
    assert_eq!(row["ended_by"], "time");
    let (warm, resistance) =
        (number(&row, "limit_temperature_c"), number(&row, "thermal_resistance_k_per_w"));
    // At work all the time it tends to 75 °C.
    assert!((60.0..80.0).contains(&warm), "{warm} °C");
    assert!((resistance - 5.0).abs() < 1.5, "{resistance} K/W, the model has 5");
}

#[test]
fn in_virtual_time_a_run_keeps_every_pass_and_ends_at_its_limit() {
    let bench = Bench::new();
    let engine = "fake:prefill_ms=500,decode_ms=100,clock=scripted";
    let ran = bench
        .run(&[
            "soak",
            "tiny-llama",
            "--engine",
            engine,
            "-p",
            "8",
            "-n",
            "5",
            "--minutes",
            "10",
            "--until",
            "limit",
            "--out",
            "out",
        ])
        .ends_with(0);
    let record = &bench.records("out")[0];
    assert_eq!(record["samples"].as_array().unwrap().len(), 600);
    assert_eq!(
        (record["soak_end"].as_str(), record["outcome"]["kind"].as_str()),
        (Some("time"), Some("finished"))
    );
    assert!(ran.stdout.contains("no slowdown seen in 10 min"), "{}", ran.stdout);
    assert!(ran.stdout.contains("ran for 10 min"), "{}", ran.stdout);
    let row = &bench.rows("out/sustained.csv")[0];
    assert_eq!(number(row, "burst_tok_per_s"), 10.0);
    assert_eq!((number(row, "tokens"), number(row, "tokens_first_minute")), (3000.0, 300.0));
    assert_eq!(bench.rows("out/soak.csv").len(), 120);
    // Cells of the ordinary kind there are none, and nothing says there were.
    let summary = bench.read("out/summary.md");
    assert!(
        summary.contains("## Sustained speed") && !summary.contains("## Throughput"),
        "{summary}"
    );
}

#[test]
fn a_steady_run_ends_early_unless_it_is_to_last() {
    let bench = Bench::new();
    let engine = "fake:prefill_ms=500,decode_ms=100,clock=scripted";
    bench
        .run(&[
            "soak",
            "tiny-llama",
            "--engine",
            engine,
            "-p",
            "8",
            "-n",
            "5",
            "--out",
            "out",
            "-q",
        ])
        .ends_with(0);
    let record = &bench.records("out")[0];
    assert_eq!(record["soak_end"], "steady");
    let n = record["samples"].as_array().unwrap().len();
    assert!((600..1200).contains(&n), "{n} passes of a second out of twenty minutes");
}

/// A sustained run of a minute that somebody will end before.
fn a_minute_in_real_time(bench: &Bench) -> Child {
    let engine = "fake:prefill_ms=5,decode_ms=5";
    let what = ["soak", "tiny-llama", "--engine", engine, "-p", "4", "-n", "4"];
    let how = ["--minutes", "1", "--window-s", "0.1", "--out", "out", "-q"];
    bench.command(&[&what[..], &how].concat()).spawn().unwrap()
}

#[test]
fn being_killed_is_a_result_with_everything_up_to_then() {
    let bench = Bench::new();
    let mut run = a_minute_in_real_time(&bench);
    let child = wait_for_child(run.id());
    std::thread::sleep(Duration::from_millis(1500));
    assert!(Command::new("kill").args(["-KILL", &child.to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let record = &bench.records("out")[0];
    assert_eq!(record["outcome"]["kind"], "crashed");
    assert!(record["samples"].as_array().unwrap().len() > 5);
    let row = &bench.rows("out/sustained.csv")[0];
    assert_eq!(row["ended_by"], "crashed");
    assert!(number(row, "lasted_s") > 0.5);
    let again = bench.run(&["report", "out"]).ends_with(0);
    assert!(again.stdout.contains("crashed after"), "{}", again.stdout);
}

#[test]
fn what_a_machine_that_goes_down_has_measured_is_found_when_the_run_is_continued() {
    let bench = Bench::new();
    let mut run = a_minute_in_real_time(&bench);
    wait_for_child(run.id());
    std::thread::sleep(Duration::from_millis(1500));
    // The program itself is killed, and its child ends with it.
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(bench.read("out/records.jsonl"), "");
    bench.run(&["run", "--resume", "out", "-q"]).ends_with(4);
    let record = &bench.records("out")[0];
    assert_eq!(record["outcome"]["message"], "the machine went down, or slmbench was killed");
    assert!(record["samples"].as_array().unwrap().len() > 5);
    assert!(number(&bench.rows("out/sustained.csv")[0], "lasted_s") > 0.5);
    let left: Vec<_> = std::fs::read_dir(bench.path("out/logs")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_that_the_user_stops_is_a_result_too() {
    let bench = Bench::new();
    let mut run = a_minute_in_real_time(&bench);
    wait_for_child(run.id());
    std::thread::sleep(Duration::from_millis(1500));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let record = &bench.records("out")[0];
    assert_eq!(
        (record["outcome"]["kind"].as_str(), record["soak_end"].as_str()),
        (Some("finished"), Some("user"))
    );
    assert!(bench.read("out/summary.md").contains("stopped by the user after"));
}

#[test]
fn a_series_from_a_file_is_analysed_and_its_own_output_is_such_a_file() {
    let bench = Bench::new();
    let mut text = "time_s,tok_per_s,temperature_c\n".to_owned();
    for i in 0..600 {
        let t = 2.0 * f64::from(i);
        let speed = if t < 240.0 { 20.0 } else { 12.0 + 8.0 * (-(t - 240.0) / 100.0).exp() };
        let noise = 1.0 + 0.008 * (f64::from(i) * 12.9898).sin();
        text += &format!("{t},{},{}\n", speed * noise, 60.0 - 25.0 * (-t / 200.0).exp());
    }
    bench.write("series.csv", &text);
    let ran = bench.run(&["soak", "--from-csv", "series.csv", "--out", "one"]).ends_with(0);
    assert!(ran.stdout.contains("falls, τ"), "{}", ran.stdout);
    assert!(ran.stdout.contains("slowdown, cause unknown"), "{}", ran.stdout);
    let first = bench.rows("one/sustained.csv").remove(0);
    assert!((number(&first, "fit_tau_s") - 100.0).abs() < 15.0, "{first:?}");
    assert!((number(&first, "fit_onset_s") - 240.0).abs() < 20.0, "{first:?}");
    assert!(bench.read("one/soak.svg").starts_with("<svg"));
    bench.run(&["soak", "--from-csv", "one/soak.csv", "--out", "two", "-q"]).ends_with(0);
    let second = bench.rows("two/sustained.csv").remove(0);
    assert!((number(&second, "fit_tau_s") / number(&first, "fit_tau_s") - 1.0).abs() < 0.1);

    let bad = bench.write("bad.csv", "time_s,tok_per_s\n1,fast\n");
    let ran = bench.run(&["soak", "--from-csv", bad.to_str().unwrap()]).ends_with(2);
    assert!(ran.stderr.contains("line 2: tok_per_s = `fast`"), "{}", ran.stderr);
    let ran = bench.run(&["soak"]).ends_with(2);
    assert!(ran.stderr.contains("no model named"), "{}", ran.stderr);
}

#[test]
fn a_suite_may_hold_sustained_runs_beside_ordinary_cells() {
    let bench = Bench::new();
    bench.write(
        "both.toml",
        "repetitions = 2\n[[matrix]]\nengine = \"fake:clock=scripted\"\nmodel = \"tiny-llama\"\nquant = \"F16\"\n\
         n_gen = 4\n[[soak]]\nengine = \"fake:clock=scripted\"\nmodel = \"tiny-llama\"\nquant = \"F16\"\n\
         limit_s = 120\nwindow_s = 2\nuntil = \"limit\"\nn_prompt = 8\nn_gen = 8\n",
    );
    let ran = bench.run(&["run", "both.toml", "--out", "out"]).ends_with(0);
    assert!(ran.stdout.contains("burst t/s") && ran.stdout.contains("tg4"), "{}", ran.stdout);
    assert_eq!(bench.rows("out/cells.csv").len(), 1);
    assert_eq!(bench.rows("out/sustained.csv").len(), 2);
    let bad =
        "[[soak]]\nengine = \"fake\"\nmodel = \"tiny-llama\"\nquant = \"F16\"\nrepetitions = 3\n";
    bench.write("bad.toml", bad);
    let ran = bench.run(&["run", "bad.toml"]).ends_with(2);
    assert!(ran.stderr.contains("repetitions"), "{}", ran.stderr);
}

#[test]
fn a_meter_beside_the_machine_tells_what_a_token_costs_and_its_command_stays_private() {
    let bench = Bench::new();
    bench.write("meter.sh", "while :; do echo 12.5; sleep 0.05; done\n");
    bench.write(
        "one.toml",
        "repetitions = 3\n[[matrix]]\nengine = \"fake:prefill_ms=200,decode_ms=100\"\n\
         model = \"tiny-llama\"\nquant = \"F16\"\nn_prompt = 8\nn_gen = 4\n",
    );
    let meter = "cmd:OWNER=alice sh meter.sh";
    let run = ["run", "one.toml", "--out", "out", "-q", "--power-source", meter];
    bench.run(&run).ends_with(0);
    let decode = bench
        .rows("out/energy.csv")
        .into_iter()
        .find(|row| row["work"] == "decode" && row["channel"] == "meter/cmd")
        .expect("the meter has a row");
    assert_eq!(decode["scope"], "wall");
    assert!((number(&decode, "watts") - 12.5).abs() < 0.01, "{decode:?}");
    // 100 ms for each token at 12.5 W, however late a loaded machine wakes up.
    let joules = number(&decode, "gross_j_per_token");
    assert!((1.2..2.5).contains(&joules), "{joules}");
    for file in ["out/run.json", "out/records.jsonl"] {
        assert!(!bench.read(file).contains("alice"), "{file} tells the meter's command");
    }

    let silent = ["run", "one.toml", "--out", "two", "--power-source", "cmd:true"];
    let ran = bench.run(&silent).ends_with(0);
    assert_eq!(ran.stderr.matches("the power meter").count(), 1, "{}", ran.stderr);
    let ran =
        bench.run(&["run", "one.toml", "--out", "three", "--power-source", "watts"]).ends_with(2);
    assert!(!bench.path("three").exists() && ran.stderr.contains("csv:"), "{}", ran.stderr);
}

/// Two minutes of a quiet machine: `scripts/test` leaves these out.
mod real {
    use super::*;
    use slmbench::clock::monotonic;

    /// A sustained run of the built-in engine that is cut to about half of its CPU time by `cut`,
    /// which gets the process of the run and that of the child and is called every few milliseconds
    /// once the run has lasted for twenty seconds. Answers the row on decode and when it was cut, in
    /// seconds from the first pass on.
    fn cut(bench: &Bench, mut cut: impl FnMut(u32, u32)) -> (Row, f64) {
        let mut run = bench
            .command(&[
                "soak",
                "SmolLM2-135M",
                "-p",
                "32",
                "-n",
                "16",
                "--minutes",
                "1",
                "--window-s",
                "1",
                "--until",
                "limit",
                "--out",
                "out",
                "-q",
            ])
            .spawn()
            .unwrap();
        let child = wait_for_child(run.id());
        std::thread::sleep(Duration::from_secs(22));
        let at = monotonic().now();
        while run.try_wait().unwrap().is_none() {
            cut(run.id(), child);
        }
        let began = bench.records("out")[0]["samples"][0]["start_ns"].as_u64().unwrap();
        let row = bench.rows("out/sustained.csv").remove(0);
        println!("cut at {:.1} s: {row:#?}", (at.0 - began) as f64 / 1e9);
        (row, (at.0 - began) as f64 / 1e9)
    }

    fn is_found(row: &Row, at: f64) {
        let onset = number(row, "onset_s");
        assert!((onset - at).abs() <= 2.0, "cut at {at:.1} s, found at {onset:.1} s");
        assert!((0.3..0.75).contains(&number(row, "retention")), "{row:?}");
    }

    fn signal(process: u32, name: &str) {
        let _ = Command::new("kill")
            .args([name, &process.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
    }

    #[test]
    #[ignore = "needs a minute of a quiet machine"]
    fn an_engine_that_is_stopped_half_of_the_time_is_slower_and_nothing_tells_why() {
        let bench = Bench::new();
        let (row, at) = cut(&bench, |_, child| {
            signal(child, "-STOP");
            std::thread::sleep(Duration::from_millis(40));
            signal(child, "-CONT");
            std::thread::sleep(Duration::from_millis(40));
        });
        is_found(&row, at);
        assert_eq!(row["cause"], "slowdown, cause unknown");
    }

    #[test]
    #[ignore = "needs a minute of a quiet machine and control groups that may be written"]
    fn an_engine_under_a_quota_is_slower_and_the_quota_is_named() {
        let group = std::path::Path::new("/sys/fs/cgroup/cpu/slmbench-test");
        if std::fs::create_dir_all(group).is_err() || !group.join("cpu.cfs_quota_us").exists() {
            println!("no control group of CPU time may be made here");
            return;
        }
        // The run has to be in the group when it looks for its sensors: it inherits this process's.
        let me = std::process::id().to_string();
        struct InGroup<'a>(&'a std::path::Path, &'a str);
        impl Drop for InGroup<'_> {
            fn drop(&mut self) {
                let _ = std::fs::write(self.0.join("cpu.cfs_quota_us"), "-1");
                let _ = std::fs::write("/sys/fs/cgroup/cpu/cgroup.procs", self.1);
                let _ = std::fs::remove_dir(self.0);
            }
        }
        std::fs::write(group.join("cgroup.procs"), &me).unwrap();
        let _in_group = InGroup(group, &me);
        let bench = Bench::new();
        let mut is_cut = false;
        let (row, at) = cut(&bench, |_, _| {
            // Once: each time it is written the period begins anew.
            if !std::mem::replace(&mut is_cut, true) {
                std::fs::write(group.join("cpu.cfs_quota_us"), "100000").unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        });
        is_found(&row, at);
        assert_eq!(row["cause"], "throttled: a limit set by the system");
    }
}

/// The process that the program has started.
fn wait_for_child(parent: u32) -> u32 {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let is_measuring = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&b| b == 0).nth(1) == Some(b"child")
        };
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        if let Some(pid) = pids.into_iter().find(is_measuring) {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no child of {parent} was seen");
}
