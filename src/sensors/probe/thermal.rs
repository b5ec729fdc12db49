//! Thermal zones with their trip points, and the devices that cool: `/sys/class/thermal`.
//!
//! A cooling device is anything that can be turned up against heat. Most slow something down; a fan
//! does not, and is told apart by its type.
//!
//! Source of truth: the kernel's `Documentation/driver-api/thermal/sysfs-api.rst`.

use std::collections::BTreeMap;

use super::super::{Cause, Channel, ChannelKind, Quality, Root, Scope, TripPoint};
use super::file::Held;
use super::{Finder, celsius, channel, name};
use crate::units::Celsius;

const FOLDER: &str = "sys/class/thermal";

/// Every zone: its id and its folder. Zones that the kernel makes for batteries are left out: their
/// temperature is read with the rest of the battery.
fn list(root: &Root) -> Vec<(String, String)> {
    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut order = Vec::new();
    for zone in name::by_number(root.names(FOLDER, "thermal_zone")) {
        let folder = format!("{FOLDER}/{zone}");
        let Some(kind) = root.text(&format!("{folder}/type")) else { continue };
        if root.path(&format!("sys/class/power_supply/{kind}/temp")).exists() {
            continue;
        }
        let kind = name::word(&kind);
        by_type.entry(kind.clone()).or_default().push(folder.clone());
        order.push((kind, folder));
    }
    let id = |(kind, folder): (String, String)| {
        let alike = &by_type[&kind];
        let place = (alike.len() > 1).then(|| name::place(root, &folder)).flatten();
        match place {
            Some(place) => (format!("thermal/{kind}@{place}"), folder),
            None => (format!("thermal/{kind}"), folder),
        }
    };
    order.into_iter().map(id).collect()
}

/// Finds the temperature of every zone.
pub(in super::super) fn zones(finder: &mut Finder) {
    for (id, folder) in list(finder.root) {
        let path = format!("{folder}/temp");
        let Some(file) = finder.hold(&id, &path) else { continue };
        let relevant = name::of_processor(id.trim_start_matches("thermal/"));
        let scope = if relevant { Scope::Package } else { Scope::Machine };
        let about = channel(&id, ChannelKind::Temperature, scope, Quality::Instant, &path);
        finder.add(Channel { relevant, ..about }, move || celsius(file.number()?));
    }
}

/// The trip points of every zone, in the order in which the zones are shown.
pub(in super::super) fn trip_points(root: &Root) -> Vec<TripPoint> {
    let mut points = Vec::new();
    for (channel, folder) in list(root) {
        for file in name::by_number(root.names(&folder, "trip_point_")) {
            let Some(stem) = file.strip_suffix("_temp") else { continue };
            let kind = root.text(&format!("{folder}/{stem}_type"));
            let at = root.value(&format!("{folder}/{file}")).and_then(|milli| celsius(milli).ok());
            if let (Some(kind), Some(at)) = (kind, at) {
                points.push(TripPoint { channel: channel.clone(), kind, at: Celsius(at) });
            }
        }
    }
    points
}

/// Finds the cooling devices. Those of one type, such as one for each core, are one channel with
/// the highest state among them.
pub(super) fn cooling_devices(finder: &mut Finder) {
    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for device in name::by_number(finder.root.names(FOLDER, "cooling_device")) {
        let folder = format!("{FOLDER}/{device}");
        if let Some(kind) = finder.root.text(&format!("{folder}/type")) {
            by_type.entry(name::word(&kind)).or_default().push(folder);
        }
    }
    for (kind, folders) in by_type {
        let id = format!("cooling/{kind}");
        let folders = finder.few_of(&id, "devices", folders);
        let path = |folder: &String| format!("{folder}/cur_state");
        let files: Vec<Held> =
            folders.iter().filter_map(|folder| finder.hold(&id, &path(folder))).collect();
        let Some(first) = folders.first().filter(|_| !files.is_empty()) else { continue };
        let source = match files.len() {
            1 => path(first),
            n => format!("{}, the highest of {n}", path(first)),
        };
        let about = channel(&id, ChannelKind::Cooling, Scope::Machine, Quality::Instant, &source);
        let about = match effect(&kind) {
            Effect::Fan => Channel { kind: ChannelKind::Fan, ..about },
            Effect::SlowsProcessor => {
                Channel { cause: Some(Cause::Thermal), scope: Scope::Package, ..about }
            }
            Effect::Other => Channel { relevant: false, ..about },
        };
        finder.add(about, move || {
            let mut highest = Err("no device".to_owned());
            for file in &files {
                match (file.number(), &highest) {
                    (Ok(state), Ok(high)) if state <= *high => {}
                    (Err(_), Ok(_)) => {}
                    (state, _) => highest = state,
                }
            }
            // One that is switched off may say so with a negative state.
            highest.map(|state| state.max(0.0))
        });
    }
}

#[derive(Debug, PartialEq)]
enum Effect {
    Fan,
    SlowsProcessor,
    /// A screen, a charger, a radio; a setting that is no state.
    Other,
}

fn effect(kind: &str) -> Effect {
    const SLOWS: &[&str] = &[
        "cpufreq",
        "devfreq",
        "gpufreq",
        "processor",
        "powerclamp",
        "throttle",
        "hotplug",
        "thermal-pause",
        "cpu-isolate",
        "cpu_isolate",
        "tpu_cooling",
    ];
    let kind = kind.to_lowercase();
    if kind.contains("fan") {
        Effect::Fan
    } else if SLOWS.iter().any(|word| kind.contains(word)) {
        Effect::SlowsProcessor
    } else {
        Effect::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fan_is_no_throttle_and_neither_is_a_screen() {
        for kind in ["pwm-fan", "Fan", "thinkpad-fan"] {
            assert_eq!(effect(kind), Effect::Fan, "{kind}");
        }
        for kind in [
            "cpufreq-cpu0",
            "thermal-cpufreq-4",
            "thermal-devfreq-0",
            "devfreq-17000000.gpu",
            "Processor",
            "intel_powerclamp",
            "cpu-throttle-alert",
            "thermal-gpufreq-0",
        ] {
            assert_eq!(effect(kind), Effect::SlowsProcessor, "{kind}");
        }
        for kind in ["panel0-backlight", "TCC-Offset", "iwlwifi", "hot-surface-alert", "chg_mdis"] {
            assert_eq!(effect(kind), Effect::Other, "{kind}");
        }
    }
}
