//! `slmbench doctor` on folders that stand for machines.

use serde_json::Value;

use crate::support::{Bench, Ran};

/// A Raspberry Pi that is set to save power and has just computed.
fn pi() -> Bench {
    let bench = Bench::new();
    for (file, text) in [
        ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
        ("proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0"),
        ("proc/meminfo", "MemTotal: 8245000 kB\nMemAvailable: 7600000 kB\n"),
        ("proc/loadavg", "900.75 0.90 0.40 2/200 4242\n"),
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave\n"),
    ] {
        bench.write(&format!("pi/{file}"), text);
    }
    bench
}

fn doctor(bench: &Bench, root: &str, more: &[&str]) -> Ran {
    let mut command = bench.command(&[&["doctor"], more].concat());
    command.env("SLMBENCH_ROOT", bench.path(root)).output().unwrap().into()
}

#[test]
fn an_unfit_machine_is_told_what_to_change_and_ends_with_0() {
    let bench = pi();
    let page = doctor(&bench, "pi", &[]).ends_with(0).stdout;
    for said in [
        "Raspberry Pi 5 Model B Rev 1.0",
        "device  Raspberry Pi 5, lowers its clocks from 80.0 °C",
        "soc     raspberrypi,5-model-b, brcm,bcm2712",
        "verdict: unfit to measure",
        "bad load: something has been computing",
        "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    ] {
        assert!(page.contains(said), "{said} is missing in:\n{page}");
    }
    let told: Value =
        serde_json::from_str(&doctor(&bench, "pi", &["--json"]).ends_with(0).stdout).unwrap();
    assert_eq!(told["verdict"], "unfit_to_measure");
    assert_eq!(told["device"], "Raspberry Pi 5");
    assert_eq!(told["host"]["soc"][1], "brcm,bcm2712");
    let findings = told["findings"].as_array().unwrap();
    let governor = findings.iter().find(|finding| finding["what"] == "governor").unwrap();
    assert_eq!((&governor["value"], &governor["verdict"]), (&"powersave".into(), &"warn".into()));
    assert!(told["channels"].is_array() && told["missing"].is_array());
}

#[test]
fn a_virtual_machine_without_sensors_is_fit_and_its_noise_is_foretold() {
    let bench = Bench::new();
    bench.write("vm/proc/cpuinfo", "processor : 0\nmodel name : Any CPU\nflags : fpu hypervisor\n");
    bench.write("vm/proc/meminfo", "MemTotal: 8245000 kB\nMemAvailable: 7600000 kB\n");
    bench.write("vm/proc/loadavg", "0.01 0.02 0.03 1/99 99\n");
    let page = doctor(&bench, "vm", &[]).ends_with(0).stdout;
    for said in ["verdict: fit\n", "noise from its neighbours", "channels: none can be read here"] {
        assert!(page.contains(said), "{said} is missing in:\n{page}");
    }
    assert!(!page.contains("bad") && !page.contains("warn"), "{page}");
}

#[test]
fn this_machine_whatever_it_is_gets_a_verdict() {
    let bench = Bench::new();
    let ran = bench.run(&["doctor", "--json"]).ends_with(0);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let verdict = told["verdict"].as_str().unwrap();
    assert!(["fit", "fit_with_reservations", "unfit_to_measure"].contains(&verdict), "{verdict}");
    for channel in told["channels"].as_array().unwrap() {
        assert!(channel["value"].is_number() != channel["why_not"].is_string(), "{channel}");
    }
}

#[test]
fn a_table_of_devices_of_ones_own_is_taken() {
    let bench = pi();
    bench.write("mine.toml", "[[device]]\nname = 'mine'\nrecognise = { soc = 'brcm,*' }\n");
    let page = doctor(&bench, "pi", &["--devices", "mine.toml"]).ends_with(0).stdout;
    assert!(page.contains("device  mine\n"), "{page}");
    doctor(&bench, "pi", &["--devices", "none.toml"]).ends_with(2);
}
