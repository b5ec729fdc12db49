//! Folders that stand for machines, and what is found of them.

use super::super::{Cause, Channel, ChannelKind, Quality, Scope};
use super::*;
use crate::suite::parse_devices;

fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(folder.path());
    (folder, root)
}

fn found(files: &[(&str, &str)], moment: &Moment) -> Fitness {
    let (_folder, root) = machine(files);
    fitness(&root, moment)
}

/// What the files alone tell of `what`.
fn of(what: &str, files: &[(&str, &str)]) -> Option<(String, Grade, Option<String>)> {
    let moment = Moment { n_cpus: 4, ..Moment::default() };
    let found = found(files, &moment).findings.into_iter().find(|finding| finding.what == what);
    found.map(|found| (found.value, found.verdict, found.remedy))
}

fn seen(id: &str, kind: ChannelKind, cause: Option<Cause>, value: f64, per_s: Option<f64>) -> Seen {
    let channel = Channel {
        id: id.to_owned(),
        kind,
        source: String::new(),
        scope: Scope::Package,
        quality: Quality::Instant,
        cause,
        relevant: true,
    };
    Seen { channel, value: Ok(value), per_s }
}

fn shown(fitness: &Fitness) -> String {
    let mut text = format!("{}: {}\n", fitness.verdict.name(), fitness.summary);
    for finding in &fitness.findings {
        let Finding { what, value, verdict, why, remedy } = finding;
        text.push_str(&format!("{} {what} = {value}: {why}\n", verdict.name()));
        text.extend(remedy.as_ref().map(|remedy| format!("     $ {remedy}\n")));
    }
    text
}

const VIRTUAL: &[(&str, &str)] = &[
    ("proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor avx2\n"),
    (
        "proc/meminfo",
        "MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    ),
    ("proc/loadavg", "0.05 0.10 0.20 1/80 999\n"),
    ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
    ("sys/class/dmi/id/product_name", "Standard PC (i440FX + PIIX, 1996)\n"),
    ("sys/devices/system/cpu/smt/active", "1\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
];

#[test]
fn a_virtual_machine_without_sensors_is_fit_and_noise_is_foretold() {
    let load = ForeignLoad {
        cpu_share: Some(0.004),
        steal_share: Some(0.0),
        memory_pressure_share: Some(0.0),
        ..ForeignLoad::default()
    };
    let moment = Moment { load: Some(load), n_cpus: 2, ..Moment::default() };
    let fitness = found(VIRTUAL, &moment);
    assert_eq!(fitness.verdict, Overall::Fit);
    insta::assert_snapshot!(shown(&fitness));
}

#[test]
fn a_board_in_a_bad_state_is_told_what_to_change() {
    let policy = "sys/devices/system/cpu/cpufreq/policy0";
    let at = |file: &str| format!("{policy}/{file}");
    let (governor, allowed, possible) =
        (at("scaling_governor"), at("scaling_max_freq"), at("cpuinfo_max_freq"));
    let files = [
        (governor.as_str(), "powersave\n"),
        (&allowed, "1500000\n"),
        (&possible, "2400000\n"),
        ("proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n"),
        (
            "proc/meminfo",
            "MemTotal: 8000000 kB\nMemAvailable: 900000 kB\nSwapTotal: 2000000 kB\nSwapFree: 1000000 kB\n",
        ),
        ("proc/sys/vm/swappiness", "60\n"),
        ("proc/loadavg", "1.30 0.10 0.20 1/80 999\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"),
    ];
    let table = "[[device]]\nname = 'board'\nrecognise = { cpu = 'a' }\nsoft_limit = 80.0\n";
    let devices = parse_devices(table, "devices.toml").unwrap();
    let seen = [
        seen("thermal/cpu-thermal", ChannelKind::Temperature, None, 81.5, None),
        seen("rpi/throttled", ChannelKind::Flag, Some(Cause::Thermal), 1.0, None),
        seen("rpi/under_voltage", ChannelKind::Flag, Some(Cause::UnderVoltage), 1.0, None),
        seen("pmic/total", ChannelKind::Power, None, 6.5, None),
    ];
    let moment = Moment { seen: &seen, device: devices.first(), n_cpus: 4, load: None };
    let fitness = found(&files, &moment);
    assert_eq!(fitness.verdict, Overall::UnfitToMeasure);
    insta::assert_snapshot!(shown(&fitness));
}

#[test]
fn a_machine_that_says_nothing_is_not_judged_by_it() {
    let fitness = found(&[], &Moment::default());
    let what: Vec<&str> = fitness.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(what, ["temperature", "throttling", "energy"]);
    assert_eq!(fitness.verdict, Overall::Fit);
}

#[test]
fn powersave_means_something_else_under_a_driver_that_follows_the_load() {
    let policy = |name: &str| format!("sys/devices/system/cpu/cpufreq/{name}");
    let governor = policy("policy0/scaling_governor");
    let driver = policy("policy0/scaling_driver");
    let other = policy("policy4/scaling_governor");
    let command =
        "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor";
    let files = [(governor.as_str(), "powersave\n"), (&driver, "intel_pstate\n")];
    let (_folder, root) = machine(&files);
    let found = fitness(&root, &Moment::default()).findings.remove(0);
    assert_eq!((found.verdict, found.remedy.as_deref()), (Grade::Warn, Some(command)));
    assert!(found.why.contains("raised by need"), "{}", found.why);
    let files = [(governor.as_str(), "performance\n"), (&other, "schedutil\n")];
    let (value, grade, _) = of("governor", &files).unwrap();
    assert_eq!(
        (value.as_str(), grade),
        ("performance (policy0), schedutil (policy4)", Grade::Note)
    );
    let offered = policy("policy0/scaling_available_governors");
    let files = [(governor.as_str(), "schedutil\n"), (&offered, "schedutil powersave\n")];
    assert_eq!(of("governor", &files).unwrap().2, None, "what is not offered is not advised");
}

#[test]
fn a_capped_clock_is_told_with_the_command_that_frees_it() {
    let policy = |name: &str| format!("sys/devices/system/cpu/cpufreq/{name}");
    let files = [
        (policy("policy0/scaling_max_freq"), "1500000\n"),
        (policy("policy0/cpuinfo_max_freq"), "2400000\n"),
        (policy("policy4/scaling_max_freq"), "2802000\n"),
        (policy("policy4/cpuinfo_max_freq"), "2802000\n"),
    ];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let command = format!("echo 2400000 | sudo tee /{}", policy("policy0/scaling_max_freq"));
    let capped = ("1500 of 2400 MHz (policy0)".to_owned(), Grade::Warn, Some(command));
    assert_eq!(of("clock_cap", &files), Some(capped));
    let free = ("none, up to 2802 MHz".to_owned(), Grade::Good, None);
    assert_eq!(of("clock_cap", &files[2..]), Some(free));
}

#[test]
fn a_jetsons_power_mode_is_read_with_its_name_and_the_way_to_the_highest() {
    let table = "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=25W >\n\
                 < POWER_MODEL ID=2 NAME=MAXN_SUPER >\n";
    let status = "var/lib/nvpmodel/status";
    let mode = |status: (&'static str, &'static str)| {
        of("power_mode", &[status, ("etc/nvpmodel.conf", table)]).unwrap()
    };
    let low = mode((status, "pmode:0001 fmode:quiet\n"));
    let remedy = Some("sudo nvpmodel -m 2".to_owned());
    assert_eq!(low, ("25W (mode 1)".to_owned(), Grade::Note, remedy));
    assert_eq!(mode((status, "pmode:0002 fmode:quiet\n")).1, Grade::Good);
    assert_eq!(of("power_mode", &[(status, "pmode:0007\n")]).unwrap().0, "mode 7");
    assert_eq!(of("power_mode", &[(status, "rubbish\n")]), None);
}

#[test]
fn a_jetson_without_that_note_is_asked_through_its_tool() {
    use std::os::unix::fs::PermissionsExt;
    let script = "#!/bin/sh\necho 'NV Fan Mode:quiet'\necho 'NV Power Mode: MAXN'\necho 0\n";
    let (folder, root) = machine(&[("bin/nvpmodel", script)]);
    let tool = folder.path().join("bin/nvpmodel");
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let found = fitness(&root, &Moment::default()).findings.remove(0);
    assert_eq!((found.value.as_str(), found.verdict), ("MAXN (mode 0)", Grade::Good));
}

#[test]
fn a_supply_is_told_where_there_is_a_battery() {
    let supply = |status| {
        let files = [
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/status", status),
            ("sys/class/power_supply/BAT0/capacity", "80\n"),
        ];
        of("supply", &files).map(|(value, grade, _)| (value, grade)).unwrap()
    };
    assert_eq!(supply("Discharging\n"), ("battery, 80%".to_owned(), Grade::Warn));
    assert_eq!(supply("Charging\n"), ("mains, charging, 80%".to_owned(), Grade::Note));
    assert_eq!(supply("Full\n"), ("mains, 80%".to_owned(), Grade::Good));
    let mouse = [
        ("sys/class/power_supply/hid/type", "Battery\n"),
        ("sys/class/power_supply/hid/scope", "Device\n"),
        ("sys/class/power_supply/hid/status", "Discharging\n"),
    ];
    assert_eq!(of("supply", &mouse), None);
}

#[test]
fn of_two_batteries_the_one_that_discharges_decides() {
    let batteries = [
        ("sys/class/power_supply/BAT0/type", "Battery\n"),
        ("sys/class/power_supply/BAT0/status", "Not charging\n"),
        ("sys/class/power_supply/BAT0/capacity", "99\n"),
        ("sys/class/power_supply/BAT1/type", "Battery\n"),
        ("sys/class/power_supply/BAT1/status", "Discharging\n"),
        ("sys/class/power_supply/BAT1/capacity", "40\n"),
    ];
    let (value, grade, _) = of("supply", &batteries).unwrap();
    assert_eq!((value.as_str(), grade), ("battery, 40%", Grade::Warn));
}

#[test]
fn without_a_limit_of_the_device_the_nearest_trip_point_judges() {
    let zone = |n: u32, file: &str| format!("sys/class/thermal/thermal_zone{n}/{file}");
    let texts = [
        (zone(0, "type"), "cpu-thermal"),
        (zone(0, "trip_point_0_type"), "passive"),
        (zone(0, "trip_point_0_temp"), "85000"),
        (zone(0, "trip_point_1_type"), "critical"),
        (zone(0, "trip_point_1_temp"), "100000"),
        (zone(1, "type"), "gpu-thermal"),
        (zone(1, "trip_point_0_type"), "critical"),
        (zone(1, "trip_point_0_temp"), "115000"),
    ];
    let files: Vec<(&str, &str)> =
        texts.iter().map(|(file, text)| (file.as_str(), *text)).collect();
    let judged = |cpu: f64, gpu: f64| {
        let of = |id: &str, t| seen(id, ChannelKind::Temperature, None, t, None);
        let seen = [of("thermal/cpu-thermal", cpu), of("thermal/gpu-thermal", gpu)];
        let moment = Moment { seen: &seen, n_cpus: 4, ..Moment::default() };
        let found = found(&files, &moment).findings;
        found.into_iter().find(|f| f.what == "temperature").map(|f| (f.value, f.verdict)).unwrap()
    };
    assert_eq!(judged(50.0, 60.0), ("50.0 °C (thermal/cpu-thermal)".to_owned(), Grade::Good));
    assert_eq!(judged(78.0, 90.0), ("78.0 °C (thermal/cpu-thermal)".to_owned(), Grade::Warn));
    assert_eq!(judged(86.0, 90.0).1, Grade::Bad);
    assert_eq!(judged(50.0, 114.0), ("114.0 °C (thermal/gpu-thermal)".to_owned(), Grade::Warn));
}

#[test]
fn swap_is_only_emptied_into_memory_that_holds_it() {
    let remedy = |available: &str| {
        let text = format!(
            "MemTotal: 8000000 kB\nMemAvailable: {available} kB\nSwapTotal: 4000000 kB\n\
             SwapFree: 1000000 kB\n"
        );
        of("swap", &[("proc/meminfo", &text)]).unwrap().2.unwrap()
    };
    assert!(remedy("5000000").contains("swapoff"));
    assert!(!remedy("2000000").contains("swapoff"));
}

#[test]
fn profile_preference_and_boost_are_told_with_what_changes_them() {
    let profile = |profile| {
        let folder = "sys/firmware/acpi";
        let (file, offered) =
            (format!("{folder}/platform_profile"), format!("{folder}/platform_profile_choices"));
        of("platform_profile", &[(&file, profile), (&offered, "quiet balanced performance\n")])
    };
    let remedy = "echo performance | sudo tee /sys/firmware/acpi/platform_profile".to_owned();
    assert_eq!(profile("quiet\n"), Some(("quiet".to_owned(), Grade::Warn, Some(remedy))));
    assert_eq!(profile("performance\n").unwrap().1, Grade::Good);
    let preference = |word| {
        let file = "sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference";
        of("energy_preference", &[(file, word)]).unwrap().1
    };
    assert_eq!(preference("power\n"), Grade::Warn);
    assert_eq!(preference("balance_performance\n"), Grade::Note);
    let turbo = |word| of("boost", &[("sys/devices/system/cpu/intel_pstate/no_turbo", word)]);
    assert_eq!(turbo("0\n").unwrap().0, "on");
    let remedy = "echo 0 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo".to_owned();
    assert_eq!(turbo("1\n"), Some(("off".to_owned(), Grade::Note, Some(remedy))));
    let boost = of("boost", &[("sys/devices/system/cpu/cpufreq/boost", "1\n")]);
    assert_eq!(boost.unwrap().0, "on");
}

#[test]
fn a_quota_of_any_group_above_counts_and_names_the_threads_it_leaves() {
    let two = [
        ("proc/self/cgroup", "0::/user.slice/job\n"),
        ("sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n"),
        ("sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"),
    ];
    let (value, grade, remedy) = of("cpu_quota", &two).unwrap();
    assert_eq!((value.as_str(), grade), ("2.5 of 4 CPUs", Grade::Warn));
    assert_eq!(remedy.as_deref(), Some("slmbench run --threads 2"));
    let one = [
        ("proc/self/cgroup", "3:cpu,cpuacct:/job\n"),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "800000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(of("cpu_quota", &one).unwrap().1, Grade::Good);
    assert_eq!(of("cpu_quota", &[("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")]), None);
}

#[test]
fn machines_that_are_no_hardware_are_known_by_any_of_their_signs() {
    let name = |file, text| of("virtual_machine", &[(file, text)]).map(|(value, ..)| value);
    assert_eq!(name("sys/hypervisor/type", "xen\n").as_deref(), Some("xen"));
    let dmi = name("sys/class/dmi/id/product_name", "VMware7,1\n");
    assert_eq!(dmi.as_deref(), Some("VMware7,1"));
    let arm = name("proc/device-tree/compatible", "linux,dummy-virt\0");
    assert_eq!(arm.as_deref(), Some("a virtual board"));
    assert_eq!(name("proc/cpuinfo", "flags : fpu hypervisor\n").as_deref(), Some("yes"));
    assert_eq!(name("proc/cpuinfo", "flags : fpu\n").as_deref(), Some("no"));
    assert_eq!(name("sys/class/dmi/id/product_name", "20XW\n"), None);
    let graviton = name("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
    assert_eq!(graviton.as_deref(), Some("Amazon EC2"));
    let arm = name("sys/class/dmi/id/product_name", "QEMU Virtual Machine\n");
    assert_eq!(arm.as_deref(), Some("QEMU Virtual Machine"));
    let whole = [
        ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
        ("sys/class/dmi/id/product_name", "c7g.metal\n"),
    ];
    assert_eq!(of("virtual_machine", &whole).unwrap().0, "no");
    let board = name("proc/device-tree/model", "Raspberry Pi 5\0");
    assert_eq!(board.as_deref(), Some("no"));
    assert_eq!(name("proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n"), None);
    let container = |file, text| of("container", &[(file, text)]).map(|(value, ..)| value);
    assert_eq!(container(".dockerenv", "x").as_deref(), Some("docker"));
    let pod = container("proc/self/cgroup", "0::/kubepods/burstable\n");
    assert_eq!(pod.as_deref(), Some("kubepods"));
}

#[test]
fn what_holds_the_machine_back_is_bad_unless_the_system_chose_it() {
    let judged = |seen: &[Seen]| {
        let moment = Moment { seen, ..Moment::default() };
        let found = found(&[], &moment).findings;
        found.into_iter().find(|f| f.what == "throttling").map(|f| (f.value, f.verdict)).unwrap()
    };
    let one = |kind, cause, value, per_s| judged(&[seen("a", kind, Some(cause), value, per_s)]).1;
    use ChannelKind::{Cooling, Count, Flag, HeldBack};
    assert_eq!(one(Flag, Cause::PowerCap, 1.0, None), Grade::Bad);
    assert_eq!(one(Flag, Cause::Policy, 1.0, None), Grade::Note);
    assert_eq!(one(Flag, Cause::Thermal, 0.0, None), Grade::Good);
    assert_eq!(one(Cooling, Cause::Thermal, 3.0, None), Grade::Bad);
    assert_eq!(one(HeldBack, Cause::Thermal, 900.0, Some(0.0)), Grade::Good);
    assert_eq!(one(HeldBack, Cause::Thermal, 900.0, Some(0.5)), Grade::Bad);
    assert_eq!(one(Count, Cause::UnderVoltage, 7.0, Some(1.0)), Grade::Warn);
    assert_eq!(one(Count, Cause::OverCurrent, 7.0, Some(9.0)), Grade::Warn);
    assert_eq!(one(HeldBack, Cause::Policy, 7.0, Some(0.5)), Grade::Note);
    assert_eq!(one(Count, Cause::Thermal, 7.0, None), Grade::Good);
    let several = [
        seen("a", Flag, Some(Cause::Policy), 1.0, None),
        seen("b", Flag, Some(Cause::Thermal), 1.0, None),
        seen("c", Flag, Some(Cause::Thermal), 0.0, None),
    ];
    assert_eq!(judged(&several), ("b".to_owned(), Grade::Bad));
    let plugged_in = [seen("supply/AC/online", Flag, None, 1.0, None)];
    assert_eq!(judged(&plugged_in), ("not told".to_owned(), Grade::Note));
    assert_eq!(judged(&several[2..]), ("not set".to_owned(), Grade::Good));
}

#[test]
fn load_is_judged_by_what_it_takes_from_a_run() {
    let average = |text| of("load", &[("proc/loadavg", text)]).unwrap().1;
    assert_eq!(average("0.10 0 0 1/9 9\n"), Grade::Good);
    assert_eq!(average("0.50 0 0 1/9 9\n"), Grade::Warn);
    assert_eq!(average("1.01 0 0 1/9 9\n"), Grade::Bad);
    let moment = Moment { n_cpus: 128, ..Moment::default() };
    let of_server = found(&[("proc/loadavg", "3.00 0 0 1/9 9\n")], &moment).findings;
    assert_eq!(of_server[0].verdict, Grade::Good, "three of 128 CPUs");
    let of_load = |what: &str, load| {
        let moment = Moment { load: Some(load), n_cpus: 4, ..Moment::default() };
        let findings = found(&[], &moment).findings;
        findings.into_iter().find(|f| f.what == what).map(|f| (f.value, f.verdict)).unwrap()
    };
    let foreign = |share| {
        of_load("foreign_cpu", ForeignLoad { cpu_share: Some(share), ..Default::default() })
    };
    assert_eq!(foreign(0.02), ("2.0% of all CPUs".to_owned(), Grade::Good));
    assert_eq!(foreign(0.03).1, Grade::Warn);
    assert_eq!(foreign(0.2).1, Grade::Bad);
    let steal =
        |share| of_load("steal", ForeignLoad { steal_share: Some(share), ..Default::default() }).1;
    assert_eq!((steal(0.0), steal(0.02), steal(0.1)), (Grade::Good, Grade::Warn, Grade::Bad));
}
