//! Memory of the machine: what is left, what limits it, how often the kernel killed for it.

use super::Root;

/// Bytes a new process may take without swapping: the least of `MemAvailable`, what the control
/// groups of this process leave, and the address space that it may have (`ulimit -v`).
pub fn memory_available(root: &Root) -> Option<u64> {
    let machine = meminfo(root, "MemAvailable")
        .or_else(|| root.is_this_machine().then(|| portable(|s| s.available_memory()))?);
    let groups = groups(root).into_iter().filter_map(|group| group.left(root));
    machine.into_iter().chain(groups).chain(address_space(root)).min()
}

/// The limit on a process's address space. It is the kernel's word on this very process, so of
/// another machine it says nothing.
fn address_space(root: &Root) -> Option<u64> {
    let limit = || rustix::process::getrlimit(rustix::process::Resource::As).current;
    root.is_this_machine().then(limit).flatten()
}

/// A control group's files, under the names of its version.
struct Group {
    folder: String,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    fn limit(&self, root: &Root) -> Option<u64> {
        let limit = root.value(&format!("{}/{}", self.folder, self.limit));
        limit.filter(|&bytes: &u64| bytes < 1 << 50)
    }

    /// What it leaves. Pages of files that it caches go when memory is wanted: they count as left.
    fn left(&self, root: &Root) -> Option<u64> {
        let limit = self.limit(root)?;
        let used: u64 = root.value(&format!("{}/{}", self.folder, self.usage)).unwrap_or(0);
        let stat = root.text(&format!("{}/memory.stat", self.folder)).unwrap_or_default();
        let cached: u64 = ["inactive_file ", "active_file "]
            .iter()
            .filter_map(|key| {
                stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
            })
            .sum();
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    }
}

/// The control group of this process and all above it, of either version.
fn groups(root: &Root) -> Vec<Group> {
    let membership = root.text("proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for (base, marker, limit, usage) in [
        ("sys/fs/cgroup", "0::", "memory.max", "memory.current"),
        ("sys/fs/cgroup/memory", ":memory:", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ] {
        let path = membership.lines().find_map(|line| Some(line.split_once(marker)?.1));
        let mut folder = format!("{base}{}", path.unwrap_or("").trim_end_matches('/'));
        loop {
            found.push(Group { folder: folder.clone(), limit, usage });
            match folder.rfind('/') {
                Some(end) if folder.len() > base.len() => folder.truncate(end),
                _ => break,
            }
        }
    }
    found
}

/// Where there is no `/proc`, the portable answer.
fn portable(figure: impl Fn(&sysinfo::System) -> u64) -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(figure(&system)).filter(|&bytes| bytes > 0)
}

/// Physical memory of the machine.
pub(super) fn memory_total(root: &Root) -> Option<u64> {
    meminfo(root, "MemTotal")
        .or_else(|| root.is_this_machine().then(|| portable(|system| system.total_memory()))?)
}

/// The smallest limit of the control groups, if there is one below anything real.
pub(super) fn group_limit(root: &Root) -> Option<u64> {
    groups(root).iter().filter_map(|group| group.limit(root)).min()
}

fn meminfo(root: &Root, key: &str) -> Option<u64> {
    field_kib(&root.text("proc/meminfo")?, key)
}

/// The value of a line `Key:   123 kB`, in bytes.
pub(super) fn field_kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// How often the kernel has killed a process for memory, on the machine and in the control group.
pub fn oom_kills(root: &Root) -> u64 {
    let count = |file: &str| -> u64 {
        let text = root.text(file).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    };
    let in_groups: u64 =
        groups(root).iter().map(|group| count(&format!("{}/memory.events", group.folder))).sum();
    count("proc/vmstat") + in_groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::new(folder.path());
        (folder, root)
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 6000 kB\n");

    #[test]
    fn the_control_group_counts_when_it_leaves_less_than_the_machine() {
        let (_folder, root) = machine(&[MEMINFO]);
        assert_eq!(memory_available(&root), Some(6000 << 10));
        let (_folder, root) = machine(&[
            MEMINFO,
            ("sys/fs/cgroup/memory.max", "2048000\n"),
            ("sys/fs/cgroup/memory.current", "48000\n"),
        ]);
        assert_eq!(memory_available(&root), Some(2_000_000));
        let (_folder, root) = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/user.slice/run.scope\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "3000000\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "2500000\n"),
            ("sys/fs/cgroup/user.slice/memory.stat", "anon 5\ninactive_file 1500000\n"),
        ]);
        assert_eq!(memory_available(&root), Some(2_000_000), "cached files are not in the way");
        let (_folder, root) = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "4:memory:/job\n"),
            ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4000000\n"),
            ("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000000\n"),
        ]);
        assert_eq!(memory_available(&root), Some(3_000_000));
        let (_folder, root) = machine(&[MEMINFO, ("sys/fs/cgroup/memory.max", "max\n")]);
        assert_eq!(memory_available(&root), Some(6000 << 10));
    }

    #[test]
    fn kills_for_memory_are_counted_in_both_places() {
        let (_folder, root) = machine(&[
            ("proc/vmstat", "nr_free 1\noom_kill 3\n"),
            ("sys/fs/cgroup/memory.events", "oom 9\noom_kill 1\n"),
        ]);
        assert_eq!(oom_kills(&root), 4);
    }
}
