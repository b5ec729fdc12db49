//! What the machine says of itself: facts that do not change in a run, memory, foreign load,
//! temperature and clocks. Runs in the parent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Facts about the machine that belong to every number measured on it. Nothing here names a
/// person, a host or a serial number.
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
    pub clock_max: Option<crate::units::Hertz>,
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
