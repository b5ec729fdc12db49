//! Names that stay the same from one start to the next, and what can be told from them.
//!
//! The kernel numbers its sensors in the order in which drivers load. A driver's name, a label, a
//! zone's type and the place of a device on its bus do not depend on that.

use std::path::{Component, Path};

use super::super::Root;

/// A name as part of an id: without blanks and slashes.
pub(super) fn word(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | ';'))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// Where the device of `folder` sits: its node in the device tree (`ina3221@40`), or the closest
/// name above it that its bus gave it (`0000:01:00.0`, `1-0040`, `coretemp.0`).
pub(super) fn place(root: &Root, folder: &str) -> Option<String> {
    let node = std::fs::read_link(root.path(&format!("{folder}/device/of_node"))).ok();
    let node = node.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    node.map(str::to_owned).or_else(|| {
        let tells = |name: &&String| {
            name.contains([':', '.', '@', '-']) && name.contains(|c: char| c.is_ascii_digit())
        };
        devices(root, folder).iter().rev().find(tells).cloned()
    })
}

/// The device that `folder` belongs to: `thermal_zone0`, `BAT0`, `0000:00:18.3`.
pub(super) fn device(root: &Root, folder: &str) -> Option<String> {
    devices(root, folder).pop()
}

/// Names from the bus down to the device that `folder` belongs to.
fn devices(root: &Root, folder: &str) -> Vec<String> {
    let link = root.path(&format!("{folder}/device"));
    // A link that leads nowhere still tells the name. Without one, the device is what the folder
    // itself lies in.
    let path = link.canonicalize().or_else(|_| std::fs::read_link(&link)).or_else(|_| {
        let mut path = root.path(folder).canonicalize()?;
        path.pop();
        if path.ends_with("hwmon") {
            path.pop();
        }
        Ok::<_, std::io::Error>(path)
    });
    let Ok(path) = path else { return Vec::new() };
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    });
    // What lies above the tree of devices is not the machine's: a folder that stands for it.
    let mut names: Vec<String> = names.collect();
    if let Some(top) = names.iter().rposition(|name| name == "sys" || name == "devices") {
        names.drain(..=top);
    }
    names
}

/// Names with a number in them as a person sorts them: `temp2` before `temp10`.
pub(super) fn by_number(mut names: Vec<String>) -> Vec<String> {
    let number = |name: &String| -> u32 {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().unwrap_or(0)
    };
    names.sort_by_key(number);
    names
}

/// Whether a sensor of this name tells of what computes: processor, GPU, chip or case.
pub(super) fn of_processor(name: &str) -> bool {
    const OTHER: &[&str] =
        &["batt", "chg", "charg", "wifi", "wlan", "iwl", "modem", "nvme", "usb", "pmic", "ddr"];
    const PROCESSOR: &[&str] = &[
        "cpu", "gpu", "soc", "pkg", "package", "skin", "acpitz", "core", "tj", "big", "little",
        "g3d", "npu", "tpu", "tctl", "tdie", "tccd", "junction", "quiet", "b0d4", "tcpu",
    ];
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    !has(OTHER) && (has(PROCESSOR) || name == "mid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_of_what_computes_are_told_from_the_rest_by_name() {
        for name in ["cpu-thermal", "tj-thermal", "x86_pkg_temp", "BIG", "MID", "skin_therm"] {
            assert!(of_processor(name), "{name}");
        }
        for name in
            ["battery", "iwlwifi_1", "nvme", "usb_pwr_therm", "charger_soc", "pch_cannonlake"]
        {
            assert!(!of_processor(name), "{name}");
        }
    }

    #[test]
    fn a_name_becomes_one_word_and_numbers_sort_as_numbers() {
        assert_eq!(word("Package id 0"), "Package-id-0");
        assert_eq!(word("INT3400 Thermal"), "INT3400-Thermal");
        let names = ["temp10_input", "temp2_input"].map(str::to_owned).to_vec();
        assert_eq!(by_number(names), ["temp2_input", "temp10_input"]);
    }
}
