//! Energy that processors count themselves (RAPL): `/sys/class/powercap/intel-rapl:*`. AMD's
//! processors are served under the same name.
//!
//! Source of truth: the kernel's `Documentation/power/powercap/powercap.rst`. Since 2020 only root
//! may read the counters: they tell too much of what other programs compute.

use super::super::{ChannelKind, Quality, Scope};
use super::{Finder, channel, name};

const FOLDER: &str = "sys/class/powercap";

/// What makes the counters readable until the next start.
const REMEDY: &str = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj";

/// Finds the counter of every package and of its parts.
pub(super) fn zones(finder: &mut Finder) {
    for zone in name::by_number(finder.root.names(FOLDER, "intel-rapl:")) {
        let folder = format!("{FOLDER}/{zone}");
        let part_of = |zone: &str| finder.root.text(&format!("{FOLDER}/{zone}/name"));
        let Some(part) = part_of(&zone) else { continue };
        // `intel-rapl:0:2` is a part of `intel-rapl:0`.
        let parent = zone.rsplit_once(':').filter(|(above, _)| above.contains(':'));
        let id = match parent.and_then(|(above, _)| part_of(above)) {
            Some(package) => format!("rapl/{}/{}", name::word(&package), name::word(&part)),
            None => format!("rapl/{}", name::word(&part)),
        };
        let n_missing = finder.found.missing.len();
        let path = format!("{folder}/energy_uj");
        let held = finder.hold(&id, &path);
        for refused in &mut finder.found.missing[n_missing..] {
            refused.remedy = Some(REMEDY.to_owned());
        }
        let Some(file) = held else { continue };
        let range = finder.root.value::<f64>(&format!("{folder}/max_energy_range_uj"));
        let scope = match part.as_str() {
            "psys" => Scope::Board,
            "dram" => Scope::Rail,
            _ => Scope::Package,
        };
        let about = channel(&id, ChannelKind::Energy, scope, Quality::Counter, &path);
        let mut read = growing(move || file.number(), range.unwrap_or(f64::INFINITY));
        finder.add(about, move || Ok(read()? * 1e-6));
    }
}

/// A counter that starts again behind `range`, as one that only grows.
fn growing(
    mut read: impl FnMut() -> Result<f64, String>,
    range: f64,
) -> impl FnMut() -> Result<f64, String> {
    let mut last: Option<(f64, f64)> = None;
    move || {
        let now = read()?;
        let total = match last {
            None => now,
            Some((before, total)) if now >= before => total + (now - before),
            Some((before, total)) if range.is_finite() => total + (range - before).max(0.0) + now,
            Some(_) => return Err("the counter fell, and its range is not known".to_owned()),
        };
        last = Some((now, total));
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_starts_again_goes_on_growing() {
        let mut raw = [900.0, 980.0, 30.0, 10.0].into_iter();
        let mut read = growing(move || raw.next().ok_or("gone".to_owned()), 1000.0);
        assert_eq!([read(), read(), read(), read()], [900.0, 980.0, 1030.0, 2010.0].map(Ok));
        assert!(read().is_err());
    }

    #[test]
    fn a_counter_of_unknown_range_that_falls_tells_nothing() {
        let mut raw = [900.0, 30.0, 950.0].into_iter();
        let mut read = growing(move || Ok(raw.next().unwrap()), f64::INFINITY);
        assert_eq!(read(), Ok(900.0));
        assert!(read().is_err());
        assert_eq!(read(), Ok(950.0));
    }
}
