//! Clocks and use of GPUs that are part of a chip: `/sys/class/devfreq`, and `/sys/class/kgsl` of
//! Qualcomm's.
//!
//! Source of truth: the kernel's `Documentation/ABI/testing/sysfs-class-devfreq`.

use super::super::{Channel, ChannelKind, Quality, Root, Scope};
use super::file::number;
use super::{Finder, channel};

const DEVFREQ: &str = "sys/class/devfreq";
const KGSL: &str = "sys/class/kgsl/kgsl-3d0";

/// Finds the GPUs.
pub(super) fn gpus(finder: &mut Finder) {
    let has_kgsl = finder.root.path(&format!("{KGSL}/gpuclk")).exists();
    if has_kgsl {
        kgsl(finder);
    }
    for device in finder.root.names(DEVFREQ, "") {
        let again = has_kgsl && device.contains("kgsl-3d0");
        if is_gpu(finder.root, &device) && !again {
            devfreq(finder, &device);
        }
    }
}

fn is_gpu(root: &Root, device: &str) -> bool {
    let node = root.text(&format!("{DEVFREQ}/{device}/device/of_node/name"));
    let by_node =
        node.is_some_and(|node| matches!(node.as_str(), "gpu" | "gv11b" | "ga10b" | "gpu-gpc-0"));
    by_node
        || device.starts_with("17000000.")
        || device.ends_with(".gpu")
        || ["gpu-gpc-0", "mali", "kgsl-3d0"].iter().any(|word| device.contains(word))
}

fn about(id: &str, kind: ChannelKind, quality: Quality, path: &str) -> Channel {
    channel(id, kind, Scope::Package, quality, path)
}

fn devfreq(finder: &mut Finder, device: &str) {
    let folder = format!("{DEVFREQ}/{device}");
    for (part, file, kind, factor) in [
        ("", "cur_freq", ChannelKind::Clock, 1.0),
        ("/cap", "max_freq", ChannelKind::ClockCap, 1.0),
        ("/use", "device/load", ChannelKind::Use, 1e-3),
    ] {
        let (id, path) = (format!("devfreq/{device}{part}"), format!("{folder}/{file}"));
        if let Some(file) = finder.hold(&id, &path) {
            let about = about(&id, kind, Quality::Instant, &path);
            finder.add(about, move || Ok(file.number()? * factor));
        }
    }
}

fn kgsl(finder: &mut Finder) {
    for (part, file, kind) in
        [("", "gpuclk", ChannelKind::Clock), ("/cap", "max_gpuclk", ChannelKind::ClockCap)]
    {
        let (id, path) = (format!("kgsl-3d0{part}"), format!("{KGSL}/{file}"));
        if let Some(file) = finder.hold(&id, &path) {
            finder.add(about(&id, kind, Quality::Instant, &path), move || file.number());
        }
    }
    let (id, path) = ("kgsl-3d0/use", format!("{KGSL}/gpubusy"));
    if let Some(file) = finder.hold(id, &path) {
        finder.add(about(id, ChannelKind::Use, Quality::Averaged, &path), move || {
            busy_share(&file.text()?)
        });
    }
}

/// `busy total`, times of the last moments; two zeros while the GPU sleeps.
fn busy_share(text: &str) -> Result<f64, String> {
    let mut words = text.split_whitespace();
    let mut next = || number(words.next().unwrap_or_default());
    let (busy, total) = (next()?, next()?);
    Ok(if total > 0.0 { (busy / total).clamp(0.0, 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_sleeps_is_not_in_use() {
        assert_eq!(busy_share("250000 1000000"), Ok(0.25));
        assert_eq!(busy_share("0 0"), Ok(0.0));
        assert!(busy_share("7").is_err());
    }
}
