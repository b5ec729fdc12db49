//! Tests of everything that is found on whole machines, and of the traps that sensors set.
//! The machines are texts in `tests/data/machines`; each says what it was made from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::fixture::unpack;
use super::{
    Cause, ChannelKind, Discovered, Root, Sampler, Scope, Source, discover, held_back, host_facts,
    trip_points,
};
use crate::clock::monotonic;

const MACHINES: [&str; 5] =
    ["raspberry-pi-5", "jetson-orin-nano", "android-pixel", "intel-laptop", "amd-laptop"];

struct Machine {
    folder: tempfile::TempDir,
    root: Root,
}

/// A machine made of a text.
fn made_of(text: &str) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    let root = unpack(text, folder.path()).unwrap();
    Machine { folder, root }
}

/// One of the whole machines.
fn machine(name: &str) -> Machine {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/machines");
    made_of(&fs::read_to_string(folder.join(name).with_extension("txt")).unwrap())
}

impl Machine {
    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.root.path(from), self.root.path(to)).unwrap();
    }

    /// The channel `id`.
    fn source(&self, id: &str) -> Source {
        let found = discover(&self.root);
        let ids = ids(&found);
        let source = found.sources.into_iter().find(|source| source.channel.id == id);
        source.unwrap_or_else(|| panic!("no {id} among {ids:#?}"))
    }

    fn has(&self, id: &str) -> bool {
        ids(&discover(&self.root)).iter().any(|found| found == id)
    }

    fn read(&self, id: &str) -> Result<f64, String> {
        self.source(id).reader.read()
    }
}

fn ids(found: &Discovered) -> Vec<String> {
    found.sources.iter().map(|source| source.channel.id.clone()).collect()
}

fn name_of(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// id | kind | scope | quality | value | source, and what is missing.
fn table(root: &Root) -> String {
    let found = discover(root);
    let mut text = String::new();
    for mut source in found.sources {
        let channel = &source.channel;
        let unit = channel.unit();
        let value = match source.reader.read() {
            Ok(value) if value.abs() >= 1e6 => format!("{value:e} {unit}"),
            Ok(value) => format!("{} {unit}", (value * 1e4).round() / 1e4),
            Err(reason) => format!("({reason})"),
        };
        let cause = channel.cause.map(|cause| format!(" [{}]", cause.name())).unwrap_or_default();
        let relevant = if channel.relevant { "" } else { " -" };
        let words = [
            format!("{}{relevant}", channel.id),
            format!("{}{cause}", name_of(channel.kind)),
            name_of(channel.scope),
            name_of(channel.quality),
            value.trim().to_owned(),
            channel.source.clone(),
        ];
        let _ = writeln!(text, "{}", words.join(" | "));
    }
    for missing in found.missing {
        let _ = write!(text, "missing {}: {}", missing.id, missing.reason);
        let remedy = missing.remedy.map(|remedy| format!(" → {remedy}"));
        let _ = writeln!(text, "{}", remedy.unwrap_or_default());
    }
    text
}

#[test]
fn every_machine_gives_the_documented_channels() {
    for name in MACHINES {
        insta::assert_snapshot!(name, table(&machine(name).root));
    }
}

#[test]
fn every_machine_tells_what_it_is() {
    let mut text = String::new();
    for name in MACHINES {
        let facts = host_facts(&machine(name).root);
        assert_eq!(facts.virtualised, Some(false), "{name}");
        let _ = writeln!(
            text,
            "{name}: {} | {} | {} | {} MiB | {} | {} | huge pages {}",
            facts.machine.unwrap(),
            facts.os,
            facts.kernel,
            facts.memory_bytes >> 20,
            facts.governor.unwrap(),
            facts.clock_max.unwrap(),
            facts.transparent_huge_pages.unwrap(),
        );
    }
    insta::assert_snapshot!("facts", text);
}

#[test]
fn ids_are_unique_on_every_machine_and_no_two_discoveries_differ() {
    for name in MACHINES {
        let machine = machine(name);
        let mut first = ids(&discover(&machine.root));
        assert_eq!(first, ids(&discover(&machine.root)), "{name}");
        let n = first.len();
        first.sort();
        first.dedup();
        assert_eq!(first.len(), n, "{name}");
    }
}

#[test]
fn renumbering_changes_neither_an_id_nor_what_it_reads() {
    for name in MACHINES {
        let machine = machine(name);
        let before = readings(&machine.root);
        for (class, prefix) in
            [("hwmon", "hwmon"), ("thermal", "thermal_zone"), ("thermal", "cooling_device")]
        {
            let folder = format!("sys/class/{class}");
            let names = machine.root.names(&folder, prefix);
            let n = names.len();
            for i in 0..n {
                machine.rename(&format!("{folder}/{prefix}{i}"), &format!("{folder}/new{i}"));
            }
            for i in 0..n {
                // Turned round, and links to thermal zones with them.
                let new = format!("{folder}/{prefix}{}", n - 1 - i);
                machine.rename(&format!("{folder}/new{i}"), &new);
            }
            if prefix == "thermal_zone" {
                turn_links(&machine, n);
            }
        }
        assert_eq!(before, readings(&machine.root), "{name}");
    }
}

/// Points links of chips to the new numbers of thermal zones.
fn turn_links(machine: &Machine, n_zones: usize) {
    for chip in machine.root.names("sys/class/hwmon", "hwmon") {
        let link = machine.root.path(&format!("sys/class/hwmon/{chip}/device"));
        let Ok(target) = fs::read_link(&link) else { continue };
        let target = target.to_str().unwrap().to_owned();
        if let Some((_, zone)) = target.split_once("thermal_zone") {
            let new = n_zones - 1 - zone.parse::<usize>().unwrap();
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(format!("../../thermal/thermal_zone{new}"), link).unwrap();
        }
    }
}

/// What each id reads.
fn readings(root: &Root) -> BTreeMap<String, Result<f64, String>> {
    let sources = discover(root).sources.into_iter();
    sources.map(|mut source| (source.channel.id, source.reader.read())).collect()
}

#[test]
fn chips_of_one_name_are_told_apart_by_their_place() {
    let machine = made_of(
        "== sys/class/hwmon/hwmon0/\nname = nvme\ntemp1_input = 40000\n\
         device -> ../../../0000:02:00.0/nvme/nvme0\n\
         == sys/class/hwmon/hwmon1/\nname = nvme\ntemp1_input = 50000\n\
         device -> ../../../0000:01:00.0/nvme/nvme1\n\
         == sys/class/hwmon/hwmon2/\nname = ina3221\nin1_label = A\nin1_input = 5000\n\
         curr1_input = 1000\ndevice -> ../../../i2c/1-0040\n\
         == sys/class/hwmon/hwmon3/\nname = ina3221\nin1_label = A\nin1_input = 5000\n\
         curr1_input = 2000\ndevice -> ../../../i2c/1-0041\n\
         == sys/i2c/1-0041/\nof_node -> ../../firmware/devicetree/base/bus/ina3221@41\n\
         == sys/i2c/1-0040/\nof_node -> ../../firmware/devicetree/base/bus/ina3221@40\n",
    );
    let found = ids(&discover(&machine.root));
    assert_eq!(
        found,
        [
            "hwmon/ina3221@40/A",
            "hwmon/ina3221@41/A",
            "hwmon/nvme@0000:01:00.0/temp1",
            "hwmon/nvme@0000:02:00.0/temp1"
        ]
    );
}

#[test]
fn a_power_and_an_energy_of_one_name_are_told_apart() {
    let machine = made_of(
        "== sys/class/hwmon/hwmon0/\nname = xe\npower1_label = card\npower1_average = 25000000\n\
         energy1_label = card\nenergy1_input = 7000000\nenergy2_label = pkg\nenergy2_input = 5\n",
    );
    let found = ids(&discover(&machine.root));
    assert_eq!(found, ["hwmon/xe/card-power1", "hwmon/xe/card-energy1", "hwmon/xe/pkg"]);
    assert_eq!(machine.read("hwmon/xe/card-power1"), Ok(25.0));
    assert_eq!(machine.read("hwmon/xe/card-energy1"), Ok(7.0));
}

#[test]
fn a_zone_without_power_fails_with_a_reason_and_is_no_value() {
    let jetson = machine("jetson-orin-nano");
    assert!(jetson.read("thermal/cv0-thermal").unwrap_err().contains("no power"));
    for milli in ["0", "-256000", "850"] {
        jetson.write("sys/class/thermal/thermal_zone1/temp", milli);
        let reason = jetson.read("thermal/gpu-thermal").unwrap_err();
        assert!(reason.contains("no power"), "{milli}: {reason}");
    }
    jetson.write("sys/class/thermal/thermal_zone1/temp", "-5000");
    assert_eq!(jetson.read("thermal/gpu-thermal"), Ok(-5.0));
}

#[test]
fn flags_of_the_past_name_no_cause_on_a_raspberry_pi() {
    let pi = machine("raspberry-pi-5");
    // 0x50005: under-voltage and throttled, now and before.
    for (name, now) in [("under-voltage", 1.0), ("frequency-capped", 0.0), ("throttled", 1.0)] {
        let present = pi.source(&format!("pi/{name}"));
        assert!(present.channel.cause.is_some() && present.channel.relevant);
        assert_eq!(pi.read(&format!("pi/{name}")), Ok(now), "{name}");
        let past = pi.source(&format!("pi/has-occurred/{name}"));
        assert!(past.channel.cause.is_none() && !past.channel.relevant);
    }
    assert_eq!(pi.source("pi/under-voltage").channel.cause, Some(Cause::UnderVoltage));
    // The past goes away while the present stays: the kernel's driver clears it.
    let script = "echo throttled=0x4\n";
    pi.write("bin/vcgencmd", script);
    assert_eq!(pi.read("pi/throttled"), Ok(1.0));
    assert_eq!(pi.read("pi/has-occurred/throttled"), Ok(0.0));
}

#[test]
fn one_start_of_a_command_serves_all_its_channels() {
    let pi = machine("raspberry-pi-5");
    let log = pi.root.path("started");
    pi.write("bin/vcgencmd", &format!("echo $1 >> {}\necho throttled=0x1\n", log.display()));
    let mut found = discover(&pi.root);
    for _ in 0..5 {
        for source in &mut found.sources {
            if source.channel.source.starts_with("vcgencmd") {
                source.reader.read().unwrap();
            }
        }
    }
    let started = fs::read_to_string(log).unwrap();
    assert_eq!(started.matches("get_throttled").count(), 1, "{started}");
}

#[test]
fn a_raspberry_pi_that_does_not_measure_currents_gets_no_power() {
    let pi = machine("raspberry-pi-5");
    pi.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
    assert!(!pi.has("pi/pmic/total"));
    let missing = discover(&pi.root).missing;
    assert!(missing.iter().any(|m| m.id == "pi/pmic/total" && m.reason.contains("external meter")));
    fs::remove_file(pi.root.path("bin/vcgencmd")).unwrap();
    let missing = discover(&pi.root).missing;
    assert!(missing.iter().any(|m| m.reason.contains("not installed") && m.remedy.is_some()));
}

#[test]
fn peaks_of_current_on_a_jetson_are_counted_and_are_no_cause() {
    let jetson = machine("jetson-orin-nano");
    let mut peaks = jetson.source("soctherm/oc3-peak-over-current");
    assert_eq!((peaks.channel.kind, peaks.channel.cause), (ChannelKind::Count, None));
    assert_eq!(peaks.reader.read(), Ok(1841.0));
    jetson.write("sys/class/hwmon/hwmon3/oc3_event_cnt", "1850\n");
    assert_eq!(peaks.reader.read(), Ok(1850.0));
    let cause = |id: &str| jetson.source(id).channel.cause;
    assert_eq!(cause("soctherm/oc1-under-voltage"), Some(Cause::UnderVoltage));
    assert_eq!(cause("soctherm/oc2-average-over-current"), Some(Cause::OverCurrent));
}

#[test]
fn peaks_of_current_that_rise_hold_nothing_back() {
    let jetson = machine("jetson-orin-nano");
    let sampler = Sampler::start(discover(&jetson.root).sources, monotonic());
    sampler.read_now();
    jetson.write("sys/class/hwmon/hwmon3/oc3_event_cnt", "1999\n");
    sampler.read_now();
    let log = sampler.take();
    let peaks = log.series.iter().find(|s| s.channel.id == "soctherm/oc3-peak-over-current");
    assert_eq!(peaks.unwrap().values.last(), Some(&1999.0));
    let rose = |spans: &[super::HeldBack]| spans.iter().any(|s| s.id.starts_with("soctherm/"));
    assert!(!rose(&held_back(&log.series, &BTreeMap::new())));
    jetson.write("sys/class/hwmon/hwmon3/oc2_event_cnt", "9999\n");
    assert!(rose(&held_back(&sampler.stop().series, &BTreeMap::new())));
}

#[test]
fn where_the_kernel_does_not_count_pressure_that_is_missing_and_never_zero() {
    let machine = made_of("== proc/pressure/\ncpu !asleep\nmemory = some avg10=0 total=7\n");
    let found = discover(&machine.root);
    assert_eq!(ids(&found), ["pressure/memory"]);
    let missing = found.missing.iter().find(|missing| missing.id == "pressure/cpu").unwrap();
    assert!(missing.reason.contains("psi=1"), "{}", missing.reason);
}

#[test]
fn an_alarm_of_a_voltage_counts_on_a_raspberry_pi_alone() {
    let chip = |name: &str| {
        let text = format!("== sys/class/hwmon/hwmon0/\nname = {name}\nin0_lcrit_alarm = 1\n");
        made_of(&text).has(&format!("hwmon/{name}/in0_lcrit_alarm"))
    };
    assert!(chip("rpi_volt"));
    assert!(!chip("nct6775"));
}

#[test]
fn lines_that_are_not_connected_and_sums_of_shunts_are_no_powers() {
    let jetson = machine("jetson-orin-nano");
    jetson.write("sys/class/hwmon/hwmon2/in3_label", "NC\n");
    jetson.write("sys/class/hwmon/hwmon2/in4_label", "VDD_SHUNT\n");
    let found = ids(&discover(&jetson.root));
    let powers: Vec<&String> = found.iter().filter(|id| id.starts_with("hwmon/ina3221")).collect();
    assert_eq!(powers, ["hwmon/ina3221/VDD_IN", "hwmon/ina3221/VDD_CPU_GPU_CV"]);
    assert_eq!(jetson.source("hwmon/ina3221/VDD_IN").channel.scope, Scope::Board);
    assert_eq!(jetson.source("hwmon/ina3221/VDD_CPU_GPU_CV").channel.scope, Scope::Rail);
    assert_eq!(jetson.read("hwmon/ina3221/VDD_IN"), Ok(5040.0 * 1136.0 * 1e-6));
}

#[test]
fn a_jetson_of_jetpack_4_gives_its_powers_too() {
    let jetson = made_of(
        "== sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/\nrail_name_0 = POM_5V_IN\n\
         in_power0_input = 2310\nrail_name_1 = NC\nin_power1_input = 0\n\
         rail_name_2 = POM_5V_CPU\nin_power2_input = 412\n",
    );
    assert_eq!(ids(&discover(&jetson.root)), ["ina3221x/POM_5V_IN", "ina3221x/POM_5V_CPU"]);
    assert_eq!(jetson.read("ina3221x/POM_5V_IN"), Ok(2.31));
    assert_eq!(jetson.source("ina3221x/POM_5V_IN").channel.scope, Scope::Board);
}

#[test]
fn a_counter_of_energy_that_starts_again_goes_on_growing_on_a_machine() {
    let laptop = machine("amd-laptop");
    let mut energy = laptop.source("rapl/package-0");
    let before = energy.reader.read().unwrap();
    // 1 J before the end of its range, then 1 J behind its beginning.
    laptop.write("sys/class/powercap/intel-rapl:0/energy_uj", "65531610987\n");
    energy.reader.read().unwrap();
    laptop.write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n");
    let after = energy.reader.read().unwrap();
    assert!((after - 65533.610987).abs() < 1e-6, "{before} → {after}");
}

#[test]
fn counters_that_only_root_may_read_are_missing_with_the_command_that_helps() {
    let missing = discover(&machine("intel-laptop").root).missing;
    let package = missing.iter().find(|missing| missing.id == "rapl/package-0").unwrap();
    assert_eq!(package.reason, "only root may read it");
    assert_eq!(
        package.remedy.as_deref(),
        Some("sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj")
    );
}

#[test]
fn a_sensor_that_vanishes_in_mid_run_gives_failed_readings_and_nothing_else() {
    let laptop = machine("intel-laptop");
    let found = discover(&laptop.root);
    let sampler = Sampler::start(found.sources, monotonic());
    sampler.read_now();
    // What is unplugged leaves its files open and empty.
    laptop.write("sys/class/hwmon/hwmon6/temp1_input", "");
    fs::remove_dir_all(laptop.root.path("sys/class/hwmon/hwmon4")).unwrap();
    sampler.read_now();
    sampler.read_now();
    let log = sampler.stop();
    let series = |id: &str| log.series.iter().find(|s| s.channel.id == id).unwrap();
    let package = series("hwmon/coretemp/Package-id-0");
    assert!(package.n_failed >= 3 && !package.values.is_empty());
    assert!(package.values.iter().all(|&value| value == 63.0));
    let core = series("hwmon/coretemp/Core-0");
    assert_eq!(core.n_failed, 0);
    assert_eq!(core.values.len(), package.values.len() + package.n_failed as usize);
}

#[test]
fn a_batterys_power_is_positive_in_both_conventions_and_only_while_it_discharges() {
    let phone = machine("android-pixel");
    let id = "battery/battery/power";
    let positive = phone.read(id).unwrap();
    assert!((positive - 4.669_546_875).abs() < 1e-9, "{positive}");
    phone.write("sys/class/power_supply/battery/current_now", "-1163750\n");
    assert_eq!(phone.read(id), Ok(positive));
    phone.write("sys/class/power_supply/battery/status", "Charging\n");
    assert!(phone.read(id).unwrap_err().contains("charging"));
}

#[test]
fn thermal_zones_are_read_where_a_disk_has_the_only_chip() {
    let board = made_of(
        "== sys/class/hwmon/hwmon0/\nname = nvme\ntemp1_input = 41000\n\
         == sys/class/thermal/thermal_zone0/\ntype = cpu-thermal\ntemp = 56000\n",
    );
    assert_eq!(board.read("thermal/cpu-thermal"), Ok(56.0));
    assert!(board.source("thermal/cpu-thermal").channel.relevant);
    assert!(!board.source("hwmon/nvme/temp1").channel.relevant);
}

#[test]
fn a_fan_that_turns_is_no_throttle() {
    let pi = machine("raspberry-pi-5");
    let mut fan = pi.source("cooling/pwm-fan");
    assert_eq!((fan.channel.kind, fan.channel.cause), (ChannelKind::Fan, None));
    assert_eq!(fan.reader.read(), Ok(2.0));
    let phone = machine("android-pixel");
    let held = phone.source("cooling/thermal-cpufreq-2").channel;
    assert_eq!((held.kind, held.cause), (ChannelKind::Cooling, Some(Cause::Thermal)));
    assert_eq!(phone.source("cooling/panel0-backlight").channel.cause, None);
}

#[test]
fn the_gpu_of_a_qualcomm_phone_is_shown_once() {
    let phone = made_of(
        "== sys/class/kgsl/kgsl-3d0/\ngpuclk = 587000000\nmax_gpuclk = 670000000\n\
         gpubusy = 300 1200\n\
         == sys/class/devfreq/5000000.qcom,kgsl-3d0/\ncur_freq = 587000000\n",
    );
    let found = ids(&discover(&phone.root));
    assert_eq!(found, ["kgsl-3d0", "kgsl-3d0/cap", "kgsl-3d0/use"]);
    assert_eq!(phone.read("kgsl-3d0/use"), Ok(0.25));
    fs::remove_dir_all(phone.root.path("sys/class/kgsl")).unwrap();
    assert!(phone.has("devfreq/5000000.qcom,kgsl-3d0"));
}

#[test]
fn trip_points_are_told_with_their_zone_and_those_switched_off_are_not() {
    let points = trip_points(&machine("intel-laptop").root);
    let told: Vec<String> =
        points.iter().map(|p| format!("{} {} {}", p.channel, p.kind, p.at)).collect();
    assert_eq!(told, ["thermal/acpitz critical 128.0 °C", "thermal/B0D4 passive 97.0 °C"]);
}

#[test]
fn a_plain_virtual_machine_lacks_four_things_and_is_told_so_calmly() {
    let machine = made_of(
        "== proc/cpuinfo\nprocessor : 0\nvendor_id : AuthenticAMD\nflags : fpu hypervisor\n\
         == proc/stat\ncpu  1 2 3 4 5 6 7 800 0 0\nctxt 55\n",
    );
    let told: Vec<String> = discover(&machine.root)
        .missing
        .iter()
        .map(|missing| format!("{}: {}", missing.id, missing.reason))
        .collect();
    assert_eq!(
        told,
        [
            "hwmon: no chips that monitor hardware: a virtual machine seldom shows its host's",
            "thermal: no thermal zones: a virtual machine seldom shows its host's",
            "cpufreq: no CPU clocks: a virtual machine seldom shows its host's",
            "rapl: no energy counters: a virtual machine seldom shows its host's",
        ]
    );
    assert_eq!(machine.read("stolen"), Ok(8.0));
    assert_eq!(machine.read("context-switches"), Ok(55.0));
}

#[test]
fn this_machine_can_be_asked() {
    let found = discover(&Root::default());
    let sampler = Sampler::start(found.sources, Arc::new(crate::clock::MonotonicClock));
    sampler.read_now();
    let log = sampler.stop();
    assert!(log.n_readings > 0, "time that tasks waited is told everywhere");
}
