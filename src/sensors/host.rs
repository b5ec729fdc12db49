//! Facts about the machine that belong to every number measured on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::memory::{group_limit, memory_total};
use super::{Root, allowed_cpus, physical_cores};
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
    /// The highest CPU clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_max: Option<Hertz>,
    /// Board or machine model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<String>,
    /// Whether it runs under a hypervisor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub virtualised: Option<bool>,
    /// The policy for huge pages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transparent_huge_pages: Option<String>,
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
        clock_max: of_policies("cpuinfo_max_freq")
            .iter()
            .filter_map(|khz| khz.parse::<u64>().ok())
            .max()
            .map(|khz| Hertz(khz * 1000)),
        machine: root
            .text("proc/device-tree/model")
            .or_else(|| root.text("sys/class/dmi/id/product_name")),
        virtualised: (!cpuinfo.is_empty()).then(|| {
            root.path("sys/hypervisor/type").exists()
                || cpuinfo
                    .lines()
                    .find(|line| line.starts_with("flags"))
                    .is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
        }),
        transparent_huge_pages: root
            .text("sys/kernel/mm/transparent_hugepage/enabled")
            .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
    }
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
    }
}
