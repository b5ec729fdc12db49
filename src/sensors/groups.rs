//! The control groups in which the CPU time of this process is counted and limited.
//!
//! Source of truth: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and
//! `Documentation/scheduler/sched-bwc.rst`.

use super::Root;

/// Folders of control groups, each list from the innermost one outwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuGroups {
    /// Of the unified hierarchy (version 2).
    pub unified: Vec<String>,
    /// Of the hierarchy of the controller `cpu` (version 1), which is mounted under one of two names.
    pub legacy: Vec<String>,
}

/// Those that this process is in.
pub(super) fn cpu_groups(root: &Root) -> CpuGroups {
    let membership = root.text("proc/self/cgroup").unwrap_or_default();
    let of_cpu = |line: &&str| {
        line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == "cpu"))
    };
    let unified = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let legacy = membership.lines().find(of_cpu).and_then(|line| line.splitn(3, ':').nth(2));
    CpuGroups {
        unified: upwards("sys/fs/cgroup", unified),
        // Where both names are there, one is a link to the other.
        legacy: ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"]
            .into_iter()
            .find(|base| root.path(base).is_dir())
            .map_or_else(Vec::new, |base| upwards(base, legacy)),
    }
}

/// The folder of `path` under `base` and those above it.
fn upwards(base: &str, path: Option<&str>) -> Vec<String> {
    let mut folder = format!("{base}{}", path.unwrap_or_default().trim_end_matches('/'));
    let mut found = vec![folder.clone()];
    while folder.len() > base.len() {
        let Some(end) = folder.rfind('/') else { break };
        folder.truncate(end);
        found.push(folder.clone());
    }
    found
}
