//! What only NVIDIA's Jetson boards have: over-current events of the `soctherm_oc` chip, and the
//! power monitors of JetPack 4, which came before the kernel had a driver for them. Those of
//! JetPack 5 and later are ordinary chips.
//!
//! Source of truth: NVIDIA's Jetson Linux developer guide, "Platform power and performance".

use super::super::{Cause, Channel, ChannelKind, Quality, Scope};
use super::{Finder, channel, hwmon, name};

/// Events, their names, and what they say. The third is set off by peaks of the current, several
/// times a second at full load and with clocks at their highest: a rate worth seeing, and no sign
/// that anything was held back.
const EVENTS: [(&str, &str, Option<Cause>); 3] = [
    ("oc1", "under-voltage", Some(Cause::UnderVoltage)),
    ("oc2", "average-over-current", Some(Cause::OverCurrent)),
    ("oc3", "peak-over-current", None),
];

/// Finds them.
pub(super) fn monitors(finder: &mut Finder) {
    for chip in hwmon::list(finder.root).iter().filter(|chip| chip.driver == "soctherm_oc") {
        for (event, what, cause) in EVENTS {
            let id = format!("soctherm/{event}-{what}");
            let path = format!("{}/{event}_event_cnt", chip.folder);
            let Some(file) = finder.hold(&id, &path) else { continue };
            let about = channel(&id, ChannelKind::Count, Scope::Board, Quality::Counter, &path);
            finder.add(Channel { cause, ..about }, move || file.number());
        }
    }
    power_of_jetpack_4(finder);
}

fn power_of_jetpack_4(finder: &mut Finder) {
    const FOLDER: &str = "sys/bus/i2c/drivers/ina3221x";
    for chip in finder.root.names(FOLDER, "") {
        for device in finder.root.names(&format!("{FOLDER}/{chip}"), "iio:device") {
            let folder = format!("{FOLDER}/{chip}/{device}");
            for n in 0..3 {
                let rail = finder.root.text(&format!("{folder}/rail_name_{n}"));
                let Some(rail) = rail.filter(|rail| rail != "NC") else { continue };
                let id = format!("ina3221x/{}", name::word(&rail));
                let path = format!("{folder}/in_power{n}_input");
                let Some(file) = finder.hold(&id, &path) else { continue };
                let of_board = matches!(rail.as_str(), "VDD_IN" | "POM_5V_IN");
                let scope = if of_board { Scope::Board } else { Scope::Rail };
                let about = channel(&id, ChannelKind::Power, scope, Quality::Instant, &path);
                finder.add(about, move || Ok(file.number()? * 1e-3));
            }
        }
    }
}
