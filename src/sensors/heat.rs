//! Temperature and clock at one moment, for the edges of an invocation.

use super::Root;
use crate::units::{Celsius, Hertz};

/// The hottest processor sensor and the fastest CPU clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heat {
    /// Hottest sensor of processor or chip.
    pub temperature: Option<Celsius>,
    /// Fastest CPU clock.
    pub clock: Option<Hertz>,
}

/// Drivers whose sensors tell the heat of the processor, not of a disk or a network card.
const PROCESSOR_HWMON: &[&str] =
    &["coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "scpi_sensors", "acpitz"];

/// Reads sensors and clocks once.
pub fn heat(root: &Root) -> Heat {
    Heat { temperature: hottest(root), clock: fastest_clock(root) }
}

fn hottest(root: &Root) -> Option<Celsius> {
    let mut readings = Vec::new();
    for chip in root.names("sys/class/hwmon", "hwmon") {
        let folder = format!("sys/class/hwmon/{chip}");
        let name = root.text(&format!("{folder}/name")).unwrap_or_default();
        if PROCESSOR_HWMON.contains(&name.as_str()) {
            for file in root.names(&folder, "temp").into_iter().filter(|f| f.ends_with("_input")) {
                readings.extend(root.value::<i64>(&format!("{folder}/{file}")));
            }
        }
    }
    for zone in root.names("sys/class/thermal", "thermal_zone") {
        let folder = format!("sys/class/thermal/{zone}");
        let kind = root.text(&format!("{folder}/type")).unwrap_or_default().to_lowercase();
        let of_processor = ["cpu", "soc", "gpu", "tj", "pkg", "core", "big", "acpitz"];
        if of_processor.iter().any(|word| kind.contains(word)) {
            readings.extend(root.value::<i64>(&format!("{folder}/temp")));
        }
    }
    // An unpowered zone reads as 0 or as a large negative number.
    let plausible = readings.into_iter().filter(|milli| (1_000..150_000).contains(milli));
    plausible.max().map(|milli| Celsius(milli as f64 / 1000.0))
}

fn fastest_clock(root: &Root) -> Option<Hertz> {
    let folder = "sys/devices/system/cpu/cpufreq";
    let policies = root.names(folder, "policy");
    let clock = |policy: &String| -> Option<u64> {
        ["cpuinfo_avg_freq", "cpuinfo_cur_freq", "scaling_cur_freq"]
            .iter()
            .find_map(|file| root.value(&format!("{folder}/{policy}/{file}")))
    };
    policies.iter().filter_map(clock).max().map(|khz| Hertz(khz * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_read_and_the_disk_beside_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/class/hwmon/hwmon0/name", "nvme\n");
        write("sys/class/hwmon/hwmon0/temp1_input", "81000\n");
        write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write("sys/class/thermal/thermal_zone0/temp", "54250\n");
        write("sys/class/thermal/thermal_zone1/type", "gpu-thermal\n");
        write("sys/class/thermal/thermal_zone1/temp", "-256000\n");
        write("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1500000\n");
        write("sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "2400000\n");
        let heat = heat(&Root::new(folder.path()));
        assert_eq!(heat.temperature, Some(Celsius(54.25)));
        assert_eq!(heat.clock, Some(Hertz(2_400_000_000)));
    }

    #[test]
    fn a_machine_without_sensors_has_no_temperature() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(heat(&Root::new(folder.path())), Heat::default());
    }
}
