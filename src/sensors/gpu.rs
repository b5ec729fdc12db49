//! Memory of NVIDIA GPUs, through the management library (NVML) that comes with their driver. It is
//! looked for at run time: without it there are no such GPUs, and nothing is missing.

use nvml_wrapper::Nvml;

use super::Root;

/// The GPUs of this machine.
pub struct GpuMemory {
    nvml: Nvml,
    n_devices: u32,
}

impl GpuMemory {
    /// Finds the GPUs. `None` where there are none, or where a folder stands for the machine.
    pub fn open(root: &Root) -> Option<GpuMemory> {
        if !root.is_this_machine() {
            return None;
        }
        let nvml = Nvml::init().ok()?;
        let n_devices = nvml.device_count().ok().filter(|&n| n > 0)?;
        Some(GpuMemory { nvml, n_devices })
    }

    /// Bytes in use on all of them together, by whomever. The library tells memory by process too,
    /// but not in containers: it knows processes by the numbers they have outside.
    pub fn in_use_bytes(&self) -> Option<u64> {
        (0..self.n_devices)
            .map(|i| Some(self.nvml.device_by_index(i).ok()?.memory_info().ok()?.used))
            .try_fold(0u64, |sum, used| Some(sum.saturating_add(used?)))
    }
}
