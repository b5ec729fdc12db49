//! Finds every channel of a machine, and says what a machine of its kind would have and lacks.

use super::host::{Ground, ground};
use super::{Discovered, Missing, Root, probe};
use crate::units::Celsius;

/// Looks for every channel under `root`. Nothing needs to be there; what is missing is said.
pub fn discover(root: &Root) -> Discovered {
    let mut found = probe::all(root);
    found.missing.extend(lacks(root));
    found
}

/// A temperature at which a machine does something about its heat.
#[derive(Clone, Debug, PartialEq)]
pub struct TripPoint {
    /// The channel whose temperature is meant.
    pub channel: String,
    /// What it sets off: `passive` slows down, `active` turns a fan on, `critical` switches off.
    pub kind: String,
    /// The temperature.
    pub at: Celsius,
}

/// The trip points of every thermal zone. Those that are switched off are left out.
pub fn trip_points(root: &Root) -> Vec<TripPoint> {
    probe::thermal::trip_points(root)
}

/// Whole trees that are not there.
fn lacks(root: &Root) -> Vec<Missing> {
    let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
    let is_x86 = cpuinfo.contains("GenuineIntel") || cpuinfo.contains("AuthenticAMD");
    let virtual_machine = matches!(ground(root), Some(Ground::Hypervisor(_)));
    let mut trees = vec![
        ("hwmon", "sys/class/hwmon", "hwmon", "chips that monitor hardware"),
        ("thermal", "sys/class/thermal", "thermal_zone", "thermal zones"),
        ("cpufreq", "sys/devices/system/cpu/cpufreq", "policy", "CPU clocks"),
    ];
    if is_x86 {
        trees.push(("rapl", "sys/class/powercap", "intel-rapl:", "energy counters"));
    }
    let missing = |(id, folder, prefix, what): (&str, &str, &str, &str)| {
        let refused = std::fs::read_dir(root.path(folder))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if !refused && !root.names(folder, prefix).is_empty() {
            return None;
        }
        let reason = if refused {
            format!("the system does not allow a look into /{folder}")
        } else if virtual_machine {
            format!("no {what}: a virtual machine seldom shows its host's")
        } else {
            format!("no {what}: the kernel shows none")
        };
        Some(Missing { id: id.to_owned(), reason, remedy: None })
    };
    trees.into_iter().filter_map(missing).collect()
}
