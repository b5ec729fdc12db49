//! Batteries and chargers: `/sys/class/power_supply`.
//!
//! A battery's power is the machine's only while nothing else feeds it: it is read while the
//! battery discharges, and there is no reading otherwise. Drivers do not agree on the sign of the
//! current; `status` says which way it flows.
//!
//! Source of truth: the kernel's `Documentation/ABI/testing/sysfs-class-power`.

use super::super::{Channel, ChannelKind, Quality, Scope};
use super::file::Held;
use super::{Finder, celsius, channel, name};

const FOLDER: &str = "sys/class/power_supply";

/// Finds the channels of every supply.
pub(super) fn supplies(finder: &mut Finder) {
    for supply in finder.root.names(FOLDER, "") {
        let folder = format!("{FOLDER}/{supply}");
        let text = |file: &str| finder.root.text(&format!("{folder}/{file}"));
        // A mouse has a battery of its own.
        let of_machine = text("scope").as_deref() != Some("Device");
        let is_there = text("present").as_deref() != Some("0");
        match text("type").as_deref() {
            Some("Battery") if of_machine && is_there => battery(finder, &supply, &folder),
            // `USB` is followed by the kind of its charger in older kernels.
            Some(kind)
                if of_machine
                    && (kind.starts_with("USB") || ["Mains", "Wireless"].contains(&kind)) =>
            {
                online(finder, &supply, &folder);
            }
            _ => {}
        }
    }
}

fn battery(finder: &mut Finder, supply: &str, folder: &str) {
    let supply = name::word(supply);
    power(finder, &format!("battery/{supply}/power"), folder);
    charge(finder, &format!("battery/{supply}/charge"), folder);
    let (id, path) = (format!("battery/{supply}/temperature"), format!("{folder}/temp"));
    if let Some(file) = finder.hold(&id, &path) {
        let about = battery_channel(&id, ChannelKind::Temperature, &path);
        // Tenths of a degree.
        finder.add(Channel { relevant: false, ..about }, move || celsius(file.number()? * 100.0));
    }
}

fn battery_channel(id: &str, kind: ChannelKind, source: &str) -> Channel {
    channel(id, kind, Scope::Battery, Quality::Instant, source)
}

fn power(finder: &mut Finder, id: &str, folder: &str) {
    let path = |file: &str| format!("{folder}/{file}");
    let mut hold = |file: &str| finder.hold(id, &path(file));
    let Some(status) = hold("status") else { return };
    let (source, mut watts): (String, Box<dyn FnMut() -> Result<f64, String> + Send>) =
        if let Some(power) = hold("power_now") {
            (path("power_now"), Box::new(move || Ok(power.number()? * 1e-6)))
        } else if let (Some(current), Some(volts)) = (hold("current_now"), hold("voltage_now")) {
            let product = move || Ok(current.number()? * volts.number()? * 1e-12);
            (format!("{} × voltage_now", path("current_now")), Box::new(product))
        } else {
            return;
        };
    let source = format!("{source}, while it discharges");
    let about = battery_channel(id, ChannelKind::Power, &source);
    finder.add(about, move || given(&status.text()?, &mut watts));
}

/// Watts that a battery gives.
fn given(status: &str, watts: impl FnOnce() -> Result<f64, String>) -> Result<f64, String> {
    /// Less than any machine draws that runs this program.
    const LEAST: f64 = 0.02;
    if status != "Discharging" {
        let status = status.to_lowercase();
        return Err(format!("the battery is {status}: what flows is not what the machine draws"));
    }
    let watts = watts()?.abs();
    if watts < LEAST {
        return Err(format!("{watts} W cannot be: the driver counts in another unit or not yet"));
    }
    Ok(watts)
}

/// The share of what the battery holds when full.
fn charge(finder: &mut Finder, id: &str, folder: &str) {
    for (now, full) in
        [("energy_now", "energy_full"), ("charge_now", "charge_full"), ("capacity", "")]
    {
        let path = format!("{folder}/{now}");
        let whole = match full {
            "" => Some(100.0),
            file => finder.root.value(&format!("{folder}/{file}")).filter(|&full: &f64| full > 0.0),
        };
        let (Some(file), Some(whole)) = (Held::open(finder.root, &path).ok(), whole) else {
            continue;
        };
        let about = battery_channel(id, ChannelKind::Charge, &path);
        let share = move || Ok((file.number()? / whole).clamp(0.0, 1.0));
        finder.add(Channel { relevant: false, ..about }, share);
        return;
    }
}

/// Whether a charger is plugged in.
fn online(finder: &mut Finder, supply: &str, folder: &str) {
    let (id, path) = (format!("supply/{}/online", name::word(supply)), format!("{folder}/online"));
    let Some(file) = finder.hold(&id, &path) else { return };
    let about = channel(&id, ChannelKind::Flag, Scope::Machine, Quality::Instant, &path);
    // Some count kinds of chargers.
    let read = move || Ok(f64::from(file.number()? > 0.0));
    finder.add(Channel { relevant: false, ..about }, read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_battery_gives_is_positive_whichever_sign_the_driver_uses() {
        assert_eq!(given("Discharging", || Ok(-3.5)), Ok(3.5));
        assert_eq!(given("Discharging", || Ok(3.5)), Ok(3.5));
    }

    #[test]
    fn a_battery_that_charges_tells_nothing_of_the_load() {
        for status in ["Charging", "Full", "Not charging", "Unknown"] {
            assert!(given(status, || Ok(3.5)).is_err(), "{status}");
        }
        assert!(given("Discharging", || Ok(0.0014)).unwrap_err().contains("another unit"));
    }
}
