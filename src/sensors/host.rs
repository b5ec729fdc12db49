//! Facts about the machine that belong to every number measured on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::memory::{group_limit, memory_total};
use super::{Root, allowed_cpus, gpu_names, physical_cores};
use crate::suite::Said;
use crate::units::Hertz;

/// Facts about the machine. Nothing here names a person, a host or a serial number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Operating system and its version.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Instruction set architecture: `x86_64`, `aarch64`.
    pub cpu_arch: String,
    /// The CPU's name.
    pub cpu: String,
    /// CPUs this process may use.
    pub n_cpus: u32,
    /// Physical cores among them.
    pub n_cores: u32,
    /// Physical memory.
    pub memory_bytes: u64,
    /// The memory limit of the control group, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_limit_bytes: Option<u64>,
    /// What decides the CPU clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub governor: Option<String>,
    /// What decides how much power the machine may draw: the mode of a Jetson, the profile of a laptop's
    /// firmware, the preference that the processor was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub power_mode: Option<String>,
    /// The highest CPU clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_max: Option<Hertz>,
    /// Board or machine model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<String>,
    /// Names of the chip: the device tree's `compatible`, or what Android calls it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub soc: Vec<String>,
    /// Names of NVIDIA GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub gpus: Vec<String>,
    /// Whether it runs under a hypervisor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub virtualised: Option<bool>,
    /// The policy for huge pages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transparent_huge_pages: Option<String>,
}

impl HostFacts {
    /// Whether memory comes in huge pages where a program asks for them.
    pub fn grants_huge_pages(&self) -> bool {
        matches!(self.transparent_huge_pages.as_deref(), Some("always" | "madvise"))
    }

    /// What devices are recognised by.
    pub fn said(&self) -> Said<'_> {
        Said {
            machine: self.machine.as_deref(),
            soc: &self.soc,
            gpus: &self.gpus,
            cpu: &self.cpu,
            cpu_arch: &self.cpu_arch,
        }
    }
}

/// Reads the facts of the machine under `root`.
pub fn host_facts(root: &Root) -> HostFacts {
    let cpus = allowed_cpus();
    let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
    let policies = root.names("sys/devices/system/cpu/cpufreq", "policy");
    let of_policies = |file: &str| {
        policies
            .iter()
            .filter_map(|p| root.text(&format!("sys/devices/system/cpu/cpufreq/{p}/{file}")))
            .collect::<Vec<String>>()
    };
    let mut governors = of_policies("scaling_governor");
    governors.dedup();
    HostFacts {
        os: os_name(root),
        kernel: root.text("proc/sys/kernel/osrelease").unwrap_or_else(|| {
            sysinfo::System::kernel_version().unwrap_or_else(|_| "unknown".to_owned())
        }),
        cpu_arch: std::env::consts::ARCH.to_owned(),
        cpu: cpu_name(&cpuinfo),
        n_cpus: cpus.len() as u32,
        n_cores: physical_cores(root, &cpus).len() as u32,
        memory_bytes: memory_total(root).unwrap_or(0),
        memory_limit_bytes: group_limit(root),
        governor: (!governors.is_empty()).then(|| governors.join(", ")),
        power_mode: super::power_mode(root),
        clock_max: of_policies("cpuinfo_max_freq")
            .iter()
            .filter_map(|khz| khz.parse::<u64>().ok())
            .max()
            .map(|khz| Hertz(khz * 1000)),
        machine: android(root, &MODEL)
            .or_else(|| root.text("proc/device-tree/model"))
            .or_else(|| root.text("sys/class/dmi/id/product_name")),
        soc: soc(root),
        gpus: gpu_names(root),
        virtualised: ground(root).map(|ground| ground != Ground::Hardware),
        transparent_huge_pages: root
            .text("sys/kernel/mm/transparent_hugepage/enabled")
            .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
    }
}

/// What a system stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// The hardware itself.
    Hardware,
    /// A hypervisor, by the name that it gives, else `yes`.
    Hypervisor(String),
}

/// Words in the names that hypervisors give to the machines they make.
const HYPERVISORS: &[&str] = &[
    "QEMU",
    "KVM",
    "VMware",
    "VirtualBox",
    "Xen",
    "HVM domU",
    "Virtual Machine",
    "Google Compute Engine",
    "Amazon EC2",
    "OpenStack",
    "Bochs",
    "BHYVE",
    "Parallels",
    "Apple Virtualization",
];

/// Whether a hypervisor shows itself. `None` where nothing tells: an Arm server has neither a flag that
/// must be there nor a device tree.
pub(super) fn ground(root: &Root) -> Option<Ground> {
    let of_firmware: Vec<String> = ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|file| root.text(&format!("sys/class/dmi/id/{file}")))
        .collect();
    let known = of_firmware.iter().find(|name| HYPERVISORS.iter().any(|word| name.contains(word)));
    // Amazon lends whole machines too, under the same maker's name.
    let is_whole = of_firmware.iter().any(|name| name.contains(".metal"));
    let known = known.filter(|_| !is_whole).cloned();
    let of_tree = || {
        let tree = |file: &str| root.text(&format!("proc/device-tree/{file}")).unwrap_or_default();
        let is_virtual = ["compatible", "model"].iter().any(|f| tree(f).contains("dummy-virt"));
        root.text("proc/device-tree/hypervisor/compatible")
            .or_else(|| is_virtual.then(|| "a virtual board".to_owned()))
    };
    let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
    // Of x86: every processor has the line, and hypervisors set the flag.
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let flag = flags.map(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    let name = root.text("sys/hypervisor/type").or(known).or_else(of_tree);
    let name = name.or_else(|| (flag == Some(true)).then(|| "yes".to_owned()));
    let has_tree = ["model", "compatible"]
        .iter()
        .any(|f| root.path(&format!("proc/device-tree/{f}")).exists());
    match name {
        Some(name) => Some(Ground::Hypervisor(name)),
        None => (flag == Some(false) || has_tree || is_whole).then_some(Ground::Hardware),
    }
}

/// Properties that name the model of an Android device; the first is the whole system's.
const MODEL: [&str; 3] =
    ["ro.product.model", "ro.product.product.model", "ro.product.vendor.model"];

/// The first of these Android properties that is set: from the files it is made of where they may
/// be read, else from `getprop`, which may be asked by everyone.
fn android(root: &Root, keys: &[&str]) -> Option<String> {
    let files = ["system", "vendor", "product", "product/etc", "odm/etc"];
    let text: String = files
        .iter()
        .filter_map(|folder| root.text(&format!("{folder}/build.prop")))
        .map(|text| text + "\n")
        .collect();
    let written = |key: &&str| -> Option<String> {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    keys.iter().find_map(written).or_else(|| {
        let getprop = root.path("system/bin/getprop");
        if !root.is_this_machine() || !getprop.exists() {
            return None;
        }
        keys.iter().find_map(|key| {
            let told = std::process::Command::new(&getprop).arg(key).output().ok()?.stdout;
            let told = String::from_utf8_lossy(&told).trim().to_owned();
            (!told.is_empty()).then_some(told)
        })
    })
}

/// The chip's names, the most exact first.
fn soc(root: &Root) -> Vec<String> {
    let compatible = root.text("proc/device-tree/compatible").unwrap_or_default();
    let of_tree = compatible.split('\0').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<String> = android(root, &["ro.soc.model"]).into_iter().collect();
    names.extend(of_tree.map(str::to_owned));
    names
}

fn os_name(root: &Root) -> String {
    let release = root.text("etc/os-release").unwrap_or_default();
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .or_else(|| sysinfo::System::long_os_version().ok())
        .unwrap_or_else(|| std::env::consts::OS.to_owned())
}

/// The name in `/proc/cpuinfo`, else (as on Arm) the one that `sysinfo` decodes from the part.
fn cpu_name(cpuinfo: &str) -> String {
    let named = cpuinfo.lines().find_map(|line| {
        Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned())
    });
    named
        .or_else(|| {
            let mut system = sysinfo::System::new().ok()?;
            system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
            system.cpus().first().map(|cpu| cpu.brand().trim().to_owned())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_a_machine() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
        write("proc/meminfo", "MemTotal:        8245000 kB\n");
        write("proc/cpuinfo", "processor : 0\nmodel name : Cortex-A76\nflags : fp asimd\n");
        write("proc/sys/kernel/osrelease", "6.12.0-rpi\n");
        write("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
        write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        write("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "ondemand\n");
        write("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "2400000\n");
        let facts = host_facts(&Root::new(folder.path()));
        assert_eq!(facts.machine.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(facts.memory_bytes, 8_245_000 * 1024);
        assert_eq!(facts.cpu, "Cortex-A76");
        assert_eq!(facts.kernel, "6.12.0-rpi");
        assert_eq!(facts.os, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(facts.governor.as_deref(), Some("ondemand"));
        assert_eq!(facts.clock_max, Some(Hertz(2_400_000_000)));
        assert_eq!(facts.transparent_huge_pages.as_deref(), Some("madvise"));
        assert_eq!(facts.virtualised, Some(false));
        assert_eq!(facts.memory_limit_bytes, None);
        assert!(facts.soc.is_empty() && facts.gpus.is_empty());
    }

    #[test]
    fn a_phone_is_named_by_its_maker_and_not_by_its_device_tree() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", "Cheetah MP based on GS201\0");
        write("proc/device-tree/compatible", "google,GS201 CHEETAH MP\0google,GS201\0");
        write("vendor/build.prop", "# begin\nro.soc.manufacturer=Google\nro.soc.model=GS201\n");
        write(
            "product/etc/build.prop",
            "ro.product.model=\nro.product.product.model=Pixel 7 Pro\n",
        );
        let facts = host_facts(&Root::new(folder.path()));
        assert_eq!(facts.machine.as_deref(), Some("Pixel 7 Pro"));
        assert_eq!(facts.soc, ["GS201", "google,GS201 CHEETAH MP", "google,GS201"]);
        let said = facts.said();
        assert_eq!((said.machine, said.soc.len()), (Some("Pixel 7 Pro"), 3));
    }
}
