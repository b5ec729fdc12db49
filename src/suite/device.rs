//! Devices known by name: how one is recognised, where it becomes too hot, which of its sensors
//! matter. Read from `devices.toml`.

use schemars::JsonSchema;
use serde::Deserialize;
use wildmatch::WildMatchPattern;

use crate::units::Celsius;

/// Devices known by name. The first whose patterns all match is the device.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Devices of slmbench")]
pub(super) struct Devices {
    /// A device known by name. The first whose patterns all match is the device.
    #[serde(default)]
    device: Vec<DeviceSpec>,
}

/// A known device.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// What it is called in reports.
    pub name: String,
    /// How it is recognised: patterns over what the system says of itself, which must all match.
    /// `*` and `?` are wildcards, case does not matter. `machine` or `cpu` must be there.
    pub recognise: Recognise,
    /// From this temperature on the device lowers its clocks, as its maker says; in degrees
    /// Celsius.
    #[serde(default)]
    pub soft_limit: Option<Celsius>,
    /// At this temperature it lowers them as far as it can, or ends; in degrees Celsius.
    #[serde(default)]
    pub hard_limit: Option<Celsius>,
    /// Thermal zones or sensors whose temperature stands for the chip, best first.
    #[serde(default)]
    pub temperature: Vec<String>,
}

/// Patterns over what the system says of itself; `*` and `?` are wildcards, case does not matter.
/// Those given must all match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["machine"] }, { "required": ["cpu"] }]))]
pub struct Recognise {
    /// Board or machine: the device tree's `model`, or the vendor's product name.
    #[serde(default)]
    pub machine: Option<String>,
    /// The CPU's name.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Instruction set architecture: `x86_64`, `aarch64`.
    #[serde(default)]
    pub cpu_arch: Option<String>,
}

impl Recognise {
    /// Whether every pattern given matches.
    pub fn matches(&self, machine: Option<&str>, cpu: &str, cpu_arch: &str) -> bool {
        let holds = |pattern: &Option<String>, text: Option<&str>| match (pattern, text) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(text)) => {
                WildMatchPattern::<'*', '?'>::new_case_insensitive(pattern).matches(text)
            }
        };
        holds(&self.machine, machine)
            && holds(&self.cpu, Some(cpu))
            && holds(&self.cpu_arch, Some(cpu_arch))
    }
}

/// Why a table of devices cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It is no such table.
    #[error("{file}: {message}")]
    Syntax {
        /// The file as it was named.
        file: String,
        /// What is wrong, with its line.
        message: String,
    },
    /// A device that would recognise every machine.
    #[error(
        "{file}: device `{name}` has nothing to be recognised by\nhint: give `machine` or `cpu`"
    )]
    Unrecognisable {
        /// The file as it was named.
        file: String,
        /// The device.
        name: String,
    },
    /// Two devices of one name.
    #[error("{file}: device `{name}` stands there twice")]
    Twice {
        /// The file as it was named.
        file: String,
        /// The device.
        name: String,
    },
}

/// Reads a table of devices. The first that matches is the device.
pub fn parse_devices(text: &str, file: &str) -> Result<Vec<DeviceSpec>, DeviceError> {
    let file = file.to_owned();
    let table: Devices = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            return Err(DeviceError::Syntax { file, message: error.to_string().trim().to_owned() });
        }
    };
    for (i, device) in table.device.iter().enumerate() {
        let name = device.name.clone();
        if device.recognise.machine.is_none() && device.recognise.cpu.is_none() {
            return Err(DeviceError::Unrecognisable { file, name });
        }
        if table.device[..i].iter().any(|before| before.name == name) {
            return Err(DeviceError::Twice { file, name });
        }
    }
    Ok(table.device)
}

#[cfg(test)]
mod tests {
    use super::super::builtin::DEVICES;
    use super::*;

    fn recognised(machine: Option<&str>, cpu: &str, cpu_arch: &str) -> Option<String> {
        let devices = parse_devices(DEVICES, "devices.toml").unwrap();
        devices.into_iter().find(|d| d.recognise.matches(machine, cpu, cpu_arch)).map(|d| d.name)
    }

    #[test]
    fn a_board_is_recognised_by_what_its_device_tree_says() {
        let said = |machine| recognised(Some(machine), "Cortex-A76", "aarch64");
        assert_eq!(said("Raspberry Pi 5 Model B Rev 1.0").as_deref(), Some("Raspberry Pi 5"));
        assert_eq!(said("Raspberry Pi 4 Model B Rev 1.4").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(said("Some other board"), None);
        assert_eq!(recognised(None, "AMD EPYC", "x86_64"), None);
    }

    #[test]
    fn every_device_is_the_first_to_match_its_own_pattern() {
        for device in parse_devices(DEVICES, "devices.toml").unwrap() {
            let plain = |p: &Option<String>| p.as_ref().map(|p| p.replace(['*', '?'], ""));
            let r = &device.recognise;
            let (machine, cpu) = (plain(&r.machine), plain(&r.cpu).unwrap_or_default());
            let arch = plain(&r.cpu_arch).unwrap_or_default();
            assert_eq!(recognised(machine.as_deref(), &cpu, &arch), Some(device.name));
        }
    }

    #[test]
    fn a_table_that_makes_no_sense_is_refused_with_its_place() {
        let said = [
            "[[device]]\nname = \"x\"\nrecognise = { cpu_arch = \"aarch64\" }\n",
            "[[device]]\nname = \"x\"\nrecognise = { cpus = \"A76\" }\n",
            "[[device]]\nname = \"x\"\nrecognise = { cpu = \"a\" }\n\
             [[device]]\nname = \"x\"\nrecognise = { cpu = \"b\" }\n",
        ]
        .map(|text| parse_devices(text, "mine.toml").unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
    }
}
