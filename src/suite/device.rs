//! Devices known by name: how one is recognised, how much memory it has, where it becomes too hot,
//! which of its sensors matter. Read from `devices.toml`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use wildmatch::WildMatchPattern;

use super::error::Place;
use super::nearest::nearest;
use crate::units::{Bytes, Celsius};

/// Devices known by name. The first whose patterns all match is the device.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Devices of slmbench")]
pub(super) struct Devices {
    /// A device known by name. The first whose patterns all match is the device.
    device: Vec<DeviceSpec>,
}

/// A known device.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["recognise"] }, { "required": ["memory"] }]))]
pub struct DeviceSpec {
    /// What it is called in reports.
    pub name: String,
    /// How it is recognised: patterns over what the system says of itself, which must all match.
    /// `*` and `?` are wildcards, case does not matter. `machine`, `soc`, `gpu` or `cpu` must be
    /// there. A device without it is never recognised and serves as a budget of memory.
    #[serde(default)]
    pub recognise: Option<Recognise>,
    /// Memory: one entry for each size in which the device is sold, the smallest first.
    #[serde(default)]
    #[schemars(extend("minItems" = 1))]
    pub memory: Option<Vec<DeviceMemory>>,
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
    /// Temperatures, clocks, powers and energies that matter on this device, as patterns over their
    /// names in `slmbench doctor`: those that are waited for before a cell, and those that are drawn.
    /// All that tell of what computes where it is left out. What tells of being held back always
    /// matters.
    #[serde(default)]
    pub channels: Vec<String>,
}

/// Memory of a device as it is sold, and what of it a program can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceMemory {
    /// As it is sold: a size such as `8GiB`.
    #[serde(deserialize_with = "size")]
    #[schemars(with = "String", regex(pattern = SIZE))]
    pub total: Bytes,
    /// What is left to one program: a size such as `7.2GiB`, no more than `total`.
    #[serde(deserialize_with = "size")]
    #[schemars(with = "String", regex(pattern = SIZE))]
    pub free: Bytes,
}

/// How a size is written in the schema; the reader says more.
const SIZE: &str = r"^\s*[0-9]*\.?[0-9]*\s*([KMGTkmgt][Ii]?)?[Bb]\s*$";

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl DeviceMemory {
    /// The size in words of the trade: `8GB`.
    pub fn label(&self) -> String {
        let gib = 1 << 30;
        match self.total.0 % gib {
            0 => format!("{}GB", self.total.0 / gib),
            _ => format!("{}GB", (self.total.0 as f64 / 1e9).round()),
        }
    }
}

impl DeviceSpec {
    /// Whether it is the machine that says this of itself.
    pub fn is(&self, said: &Said) -> bool {
        self.recognise.as_ref().is_some_and(|recognise| recognise.matches(said))
    }

    /// Whether the temperature, clock, power or energy called `id` matters on it; `None` where the
    /// table does not tell.
    pub fn channel_matters(&self, id: &str) -> Option<bool> {
        let any = || self.channels.iter().any(|pattern| is_like(pattern, id));
        (!self.channels.is_empty()).then(any)
    }

    /// Its sizes of memory.
    pub fn sizes(&self) -> &[DeviceMemory] {
        self.memory.as_deref().unwrap_or_default()
    }

    /// The size that a machine with so much memory has: systems see somewhat less than is sold,
    /// never more.
    pub fn size_of(&self, memory_bytes: u64) -> Option<&DeviceMemory> {
        self.sizes().iter().find(|size| size.total.0 >= memory_bytes)
    }

    /// The name that `size` is asked for by: the device's own where it has one size, else with the
    /// size behind it, as `Raspberry Pi 5 8GB`.
    pub fn name_with(&self, size: &DeviceMemory) -> String {
        match self.sizes() {
            [_] => self.name.clone(),
            _ => format!("{} {}", self.name, size.label()),
        }
    }
}

/// Why no memory is known under a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    /// No such device.
    #[error(
        "unknown device `{found}`{}\nhint: `slmbench list devices` shows those that are known; \
         --budget 4GiB takes any size",
        nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
    )]
    Unknown {
        /// What was asked for.
        found: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// A device that is sold with more than one size.
    #[error("device `{name}` has several sizes of memory\nhint: name one of {}", sizes.join(", "))]
    Several {
        /// The device.
        name: String,
        /// Its names with each size.
        sizes: Vec<String>,
    },
    /// A device whose table says nothing of its memory.
    #[error("device `{name}` has no `memory` in the table\nhint: --budget 4GiB takes any size")]
    Untold {
        /// The device.
        name: String,
    },
}

/// The memory that goes by `name`, with the whole name; case does not matter.
pub fn find_memory(devices: &[DeviceSpec], name: &str) -> Result<(String, DeviceMemory), NoMemory> {
    let sized = || {
        devices
            .iter()
            .flat_map(|device| device.sizes().iter().map(|size| (device.name_with(size), *size)))
    };
    if let Some(found) = sized().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Ok(found);
    }
    if let Some(device) = devices.iter().find(|d| d.name.eq_ignore_ascii_case(name)) {
        let name = device.name.clone();
        return Err(match device.sizes() {
            [] => NoMemory::Untold { name },
            sizes => {
                let sizes = sizes.iter().map(|size| device.name_with(size)).collect();
                NoMemory::Several { name, sizes }
            }
        });
    }
    let known: Vec<String> = sized().map(|(name, _)| name).collect();
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(NoMemory::Unknown { found: name.to_owned(), nearest })
}

/// What a machine says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// Board or machine.
    pub machine: Option<&'a str>,
    /// Names of its chip.
    pub soc: &'a [String],
    /// Names of its GPUs.
    pub gpus: &'a [String],
    /// The CPU's name.
    pub cpu: &'a str,
    /// Instruction set architecture.
    pub cpu_arch: &'a str,
}

/// Patterns over what the system says of itself; `*` and `?` are wildcards, case does not matter.
/// Those given must all match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["machine"] }, { "required": ["soc"] },
    { "required": ["gpu"] }, { "required": ["cpu"] },
]))]
pub struct Recognise {
    /// Board or machine: on Android the model (`ro.product.model`), else the device tree's `model`,
    /// else the vendor's product name (DMI).
    #[serde(default)]
    pub machine: Option<String>,
    /// One of the chip's names: an entry of the device tree's `compatible`, such as
    /// `nvidia,tegra234`, or what Android calls it (`ro.soc.model`), such as `GS201`.
    #[serde(default)]
    pub soc: Option<String>,
    /// The name of one of the NVIDIA GPUs, as their driver has it.
    #[serde(default)]
    pub gpu: Option<String>,
    /// The CPU's name.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Instruction set architecture: `x86_64`, `aarch64`.
    #[serde(default)]
    pub cpu_arch: Option<String>,
}

impl Recognise {
    /// The patterns that are given, under the names of their keys.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("machine", &self.machine),
            ("soc", &self.soc),
            ("gpu", &self.gpu),
            ("cpu", &self.cpu),
            ("cpu_arch", &self.cpu_arch),
        ]
        .into_iter()
        .filter_map(|(key, pattern)| Some((key, pattern.as_deref()?)))
    }

    /// Whether every pattern given matches.
    pub fn matches(&self, said: &Said) -> bool {
        self.given().all(|(key, pattern)| match key {
            "machine" => said.machine.is_some_and(|name| is_like(pattern, name)),
            "soc" => said.soc.iter().any(|name| is_like(pattern, name)),
            "gpu" => said.gpus.iter().any(|name| is_like(pattern, name)),
            "cpu" => is_like(pattern, said.cpu),
            _ => is_like(pattern, said.cpu_arch),
        })
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    WildMatchPattern::<'*', '?'>::new_case_insensitive(pattern).matches(text)
}

/// Why a table of devices cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It is no such table.
    #[error("{place}: {message}")]
    Syntax {
        /// Where it stands.
        place: Place,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A device that would recognise every machine.
    #[error(
        "{file}: device `{name}` has nothing to be recognised by\n\
         hint: {RECOGNISE}; `soc`, `gpu` and `cpu` do as well, `cpu_arch` only beside one of them"
    )]
    Unrecognisable {
        /// The file as it was named.
        file: String,
        /// The device.
        name: String,
    },
    /// Sizes of memory that cannot be.
    #[error("{file}: device `{name}`: {message}")]
    Memory {
        /// The file as it was named.
        file: String,
        /// The device.
        name: String,
        /// What is wrong with its memory.
        message: String,
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
    let table: Devices = toml::from_str(text).map_err(|error| DeviceError::Syntax {
        place: Place::of(file, text, error.span().map_or(0, |span| span.start)),
        message: in_plain_words(error.message()),
    })?;
    let file = file.to_owned();
    for (i, device) in table.device.iter().enumerate() {
        let name = device.name.clone();
        let nothing = |r: &Recognise| r.given().all(|(key, _)| key == "cpu_arch");
        match &device.recognise {
            None if device.memory.is_some() => {}
            Some(recognise) if !nothing(recognise) => {}
            _ => return Err(DeviceError::Unrecognisable { file, name }),
        }
        if let Some(message) = device.memory.as_deref().and_then(wrong_sizes) {
            return Err(DeviceError::Memory { file, name, message });
        }
        if table.device[..i].iter().any(|before| before.name == name) {
            return Err(DeviceError::Twice { file, name });
        }
    }
    Ok(table.device)
}

/// How a device is told apart from others.
const RECOGNISE: &str = "recognise = { machine = \"Raspberry Pi 5*\" }";

/// What the reader of TOML says, as suites say it.
fn in_plain_words(message: &str) -> String {
    // `unknown field `a`, expected one of `b`, `c``, or `missing field `a``.
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match (&quoted[..], message) {
        ([found, allowed @ ..], message) if message.starts_with("unknown field") => {
            let is_pattern = ["machine", "soc", "gpu", "cpu", "cpu_arch"].contains(found);
            let hint = match nearest(found, allowed.iter().copied()) {
                _ if is_pattern && allowed.contains(&"recognise") => {
                    format!("\nhint: it belongs into a table: {RECOGNISE}")
                }
                Some(near) => format!("\nhint: did you mean `{near}`?"),
                None => String::new(),
            };
            format!("unknown key `{found}`, allowed are {}{hint}", allowed.join(", "))
        }
        (["device"], message) if message.starts_with("missing field") => {
            "no devices\nhint: begin each with [[device]]".to_owned()
        }
        ([found], message) if message.starts_with("missing field") => {
            format!("`{found}` is missing")
        }
        (_, message) => message
            .trim()
            .replace("invalid type: ", "found ")
            .replace("a sequence", "a list")
            .replace("a map", "a table"),
    }
}

/// What is wrong with the sizes of a device.
fn wrong_sizes(sizes: &[DeviceMemory]) -> Option<String> {
    if sizes.is_empty() {
        return Some("`memory` is empty".to_owned());
    }
    if let Some(size) = sizes.iter().find(|size| size.free > size.total) {
        return Some(format!("free {} is more than total {}", size.free, size.total));
    }
    let rising = sizes.is_sorted_by(|a, b| a.total < b.total);
    (!rising).then(|| "sizes must rise from the smallest to the largest".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::builtin::DEVICES;
    use super::*;

    fn recognised(said: &Said) -> Option<String> {
        let devices = parse_devices(DEVICES, "devices.toml").unwrap();
        devices.into_iter().find(|device| device.is(said)).map(|device| device.name)
    }

    #[test]
    fn a_board_is_recognised_by_what_its_device_tree_says() {
        let said = |machine| {
            let said = Said {
                machine: Some(machine),
                cpu: "Cortex-A76",
                cpu_arch: "aarch64",
                ..Said::default()
            };
            recognised(&said)
        };
        assert_eq!(said("Raspberry Pi 5 Model B Rev 1.0").as_deref(), Some("Raspberry Pi 5"));
        assert_eq!(said("Raspberry Pi 4 Model B Rev 1.4").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(said("NVIDIA Orin NX Developer Kit").as_deref(), Some("Jetson Orin NX"));
        assert_eq!(said("Pixel 7 Pro").as_deref(), Some("Pixel 7 Pro"));
        assert_eq!(said("Some other board"), None);
        let server = Said { cpu: "AMD EPYC", cpu_arch: "x86_64", ..Said::default() };
        assert_eq!(recognised(&server), None);
    }

    #[test]
    fn a_chip_is_recognised_on_any_board_and_a_gpu_in_any_machine() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let soc = names(&["maker,carrier", "nvidia,p3767-0000", "nvidia,tegra234"]);
        let carrier = Said { machine: Some("Carrier"), soc: &soc, ..Said::default() };
        assert_eq!(recognised(&carrier).as_deref(), Some("Jetson Orin"));
        let soc = names(&["GS201"]);
        let pixel = Said { machine: Some("Pixel 7a"), soc: &soc, ..Said::default() };
        assert_eq!(recognised(&pixel).as_deref(), Some("Tensor G2"));
        for (gpu, name) in [
            ("NVIDIA H100 80GB HBM3", "H100 80GB"),
            ("NVIDIA H100 PCIe", "H100 PCIe 80GB"),
            ("NVIDIA H200", "H200 141GB"),
        ] {
            let gpus = names(&["NVIDIA T4", gpu]);
            let server = Said { machine: Some("a server"), gpus: &gpus, ..Said::default() };
            assert_eq!(recognised(&server).as_deref(), Some(name));
        }
        let gpus = names(&["NVIDIA H100 NVL"]);
        assert_eq!(recognised(&Said { gpus: &gpus, ..Said::default() }), None, "it has 94 GB");
    }

    #[test]
    fn every_device_is_the_first_to_match_its_own_pattern() {
        for device in parse_devices(DEVICES, "devices.toml").unwrap() {
            let Some(r) = &device.recognise else { continue };
            let plain = |p: &Option<String>| p.as_ref().map(|p| p.replace(['*', '?'], ""));
            let list = |p: &Option<String>| plain(p).into_iter().collect::<Vec<_>>();
            let (machine, soc, gpus) = (plain(&r.machine), list(&r.soc), list(&r.gpu));
            let (cpu, arch) = (plain(&r.cpu), plain(&r.cpu_arch));
            let said = Said {
                machine: machine.as_deref(),
                soc: &soc,
                gpus: &gpus,
                cpu: cpu.as_deref().unwrap_or_default(),
                cpu_arch: arch.as_deref().unwrap_or_default(),
            };
            assert_eq!(recognised(&said), Some(device.name));
        }
    }

    #[test]
    fn channels_that_matter_are_those_that_the_table_names() {
        let devices = parse_devices(DEVICES, "devices.toml").unwrap();
        let named = |name| devices.iter().find(|d| d.name == name).unwrap();
        let pi = named("Raspberry Pi 5");
        assert_eq!(pi.channel_matters("thermal/cpu-thermal"), Some(true));
        assert_eq!(pi.channel_matters("hwmon/nvme/Composite"), Some(false));
        assert_eq!(named("Laptop").channel_matters("thermal/cpu-thermal"), None);
        assert_eq!(named("H100 80GB").channel_matters("nvml/0/power"), None);
        let orin = named("Jetson AGX Orin");
        for rail in ["hwmon/ina3221/VDD_IN", "hwmon/ina3221@40/VDD_GPU_SOC"] {
            assert_eq!(orin.channel_matters(rail), Some(true), "{rail}");
        }
    }

    #[test]
    fn a_table_that_makes_no_sense_is_refused_with_its_place() {
        let said = [
            "[[device]]\nname = \"x\"\nrecognise = { cpu_arch = \"aarch64\" }\n",
            "[[device]]\nname = \"x\"\nrecognise = { cpus = \"A76\" }\n",
            "[[device]]\nname = \"x\"\nrecognise = { cpu = \"a\" }\n\
             [[device]]\nname = \"x\"\nrecognise = { cpu = \"b\" }\n",
            "[[device]]\nname = \"x\"\n",
            "[[device]]\nname = \"x\"\nmemory = [{ total = \"8\", free = \"1GiB\" }]\n",
            "[[device]]\nname = \"x\"\nmemory = [{ total = \"8GB\", free = \"8GiB\" }]\n",
            "[[device]]\nname = \"x\"\nmemory = [{ total = \"8GiB\", free = \"7GiB\" },\
             { total = \"4GiB\", free = \"3GiB\" }]\n",
            "[[device]]\nname = \"x\"\nmemory = []\n",
            "[[device]]\nname = \"x\"\nmachine = \"Pi*\"\n",
            "[[device]]\nnaem = \"x\"\n",
            "[[device]]\nname = 3\n",
            "[[device]]\nrecognise = { cpu = \"a\" }\n",
            "[[device]]\nname = \n",
            "",
        ]
        .map(|text| parse_devices(text, "mine.toml").unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_size_of_memory_is_found_by_the_devices_name_and_its_own() {
        let devices = parse_devices(DEVICES, "devices.toml").unwrap();
        let found = |name: &str| find_memory(&devices, name).map(|(name, size)| (name, size.total));
        let pi = found("raspberry pi 5 8gb").unwrap();
        assert_eq!(pi, ("Raspberry Pi 5 8GB".to_owned(), Bytes(8 << 30)));
        assert_eq!(found("H100 80GB").unwrap().1, Bytes(80 << 30));
        let said = ["Raspberry Pi 5", "Raspberry Pi 5 8", "Cray-1"]
            .map(|name| found(name).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
        let nameless = parse_devices("[[device]]\nname = 'x'\nrecognise = { cpu = 'a' }", "x");
        let said = find_memory(&nameless.unwrap(), "X").unwrap_err();
        assert_eq!(said, NoMemory::Untold { name: "x".to_owned() });
    }

    #[test]
    fn a_machine_has_the_size_that_is_sold_above_what_its_system_sees() {
        let devices = parse_devices(DEVICES, "devices.toml").unwrap();
        let pi = devices.iter().find(|d| d.name == "Raspberry Pi 5").unwrap();
        let size = |bytes| pi.size_of(bytes).map(DeviceMemory::label);
        assert_eq!(size(8_300_000_000).as_deref(), Some("8GB"));
        assert_eq!(size(4_200_000_000).as_deref(), Some("4GB"));
        assert_eq!(size(u64::MAX), None);
    }
}
