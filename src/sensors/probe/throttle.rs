//! How often and how long Intel's processors held themselves back for heat:
//! `/sys/devices/system/cpu/cpu*/thermal_throttle`. Other makers have nothing like it.
//!
//! The time grows only while the processor is within ten degrees of its limit.

use std::collections::BTreeMap;

use super::super::{Cause, Channel, ChannelKind, Quality, Root, Scope};
use super::file::Held;
use super::{Finder, channel, name};

const FOLDER: &str = "sys/devices/system/cpu";

/// Finds the counters of cores and of packages, each summed over the machine.
pub(super) fn counters(finder: &mut Finder) {
    for (part, unit) in [("core", per_core as fn(&Root, &str) -> Unit), ("package", per_package)] {
        let units = first_cpus(finder.root, unit);
        let units = finder.few_of(&format!("throttle/{part}"), &format!("{part}s"), units);
        let sum = |finder: &mut Finder, id: &str, file: &str, kind, factor: f64, cause| {
            let path = |cpu: &String| format!("{FOLDER}/{cpu}/thermal_throttle/{part}_{file}");
            let files: Vec<Held> =
                units.iter().filter_map(|cpu| finder.hold(id, &path(cpu))).collect();
            let Some(first) = units.first().filter(|_| !files.is_empty()) else { return };
            let source = match files.len() {
                1 => path(first),
                n => format!("{}, the sum of {n}", path(first)),
            };
            let about = channel(id, kind, Scope::Package, Quality::Counter, &source);
            finder.add(Channel { cause: Some(cause), ..about }, move || {
                // One that is gone must not make the sum fall.
                files.iter().try_fold(0.0, |sum, file| Ok(sum + file.number()? * factor))
            });
        };
        let id = format!("throttle/{part}");
        sum(finder, &id, "throttle_count", ChannelKind::Count, 1.0, Cause::Thermal);
        let id = format!("throttle/{part}/time");
        sum(finder, &id, "throttle_total_time_ms", ChannelKind::HeldBack, 1e-3, Cause::Thermal);
        // There only where the kernel was started with `int_pln_enable`.
        let id = format!("throttle/{part}/power-limit");
        sum(finder, &id, "power_limit_count", ChannelKind::Count, 1.0, Cause::PowerCap);
    }
}

/// What tells one core or package from another.
type Unit = (Option<String>, Option<String>);

fn per_core(root: &Root, cpu: &str) -> Unit {
    let core = root.text(&format!("{FOLDER}/{cpu}/topology/core_id"));
    (per_package(root, cpu).0, core)
}

fn per_package(root: &Root, cpu: &str) -> Unit {
    (root.text(&format!("{FOLDER}/{cpu}/topology/physical_package_id")), None)
}

/// Of the CPUs that count, the first of each unit: all threads of a core show the same counter.
fn first_cpus(root: &Root, unit: fn(&Root, &str) -> Unit) -> Vec<String> {
    let mut first: BTreeMap<Unit, String> = BTreeMap::new();
    for cpu in name::by_number(root.names(FOLDER, "cpu")) {
        if root.path(&format!("{FOLDER}/{cpu}/thermal_throttle")).is_dir() {
            first.entry(unit(root, &cpu)).or_insert(cpu);
        }
    }
    name::by_number(first.into_values().collect())
}
