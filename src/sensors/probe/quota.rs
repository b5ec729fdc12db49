//! How long a quota of CPU time has held this process and its children back: `cpu.stat` of the control
//! groups. A container with a limit tells so here and nowhere else.

use super::super::groups::cpu_groups;
use super::super::{Cause, Channel, ChannelKind, Quality, Root, Scope};
use super::file::{Held, number};
use super::{Finder, channel};

/// Finds the groups that count it: every limit on the way outwards holds.
pub(super) fn counters(finder: &mut Finder) {
    const ID: &str = "quota/cpu";
    let groups = cpu_groups(finder.root);
    // The older hierarchy is there beside the newer one, and has the controller where both are.
    let of_kinds =
        [(groups.unified, "throttled_usec", 1e-6), (groups.legacy, "throttled_time", 1e-9)];
    for (folders, field, factor) in of_kinds {
        let counts = |root: &Root, path: &str| {
            root.text(path).is_some_and(|text| value(&text, field).is_ok())
        };
        let paths: Vec<String> = folders
            .iter()
            .map(|folder| format!("{folder}/cpu.stat"))
            .filter(|path| counts(finder.root, path))
            .collect();
        let files: Vec<Held> = paths.iter().filter_map(|path| finder.hold(ID, path)).collect();
        if files.is_empty() {
            continue;
        }
        // Names of groups are names of users, containers and jobs: results get passed around.
        let source = "cpu.stat of the control groups";
        let about = channel(ID, ChannelKind::HeldBack, Scope::Machine, Quality::Counter, source);
        let about = Channel { cause: Some(Cause::Policy), ..about };
        finder.add(about, move || {
            files
                .iter()
                .try_fold(0.0, |sum, file| Ok(sum + value(&file.whole_text()?, field)? * factor))
        });
        return;
    }
}

/// The number behind `field`.
fn value(text: &str, field: &str) -> Result<f64, String> {
    let of_field = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        (name == field).then(|| value.trim().to_owned())
    };
    number(&text.lines().find_map(of_field).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::super::{Root, discover};

    /// What the channel reads on a machine with these files.
    fn read(files: &[(&str, &str)]) -> Option<f64> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = discover(&Root::new(folder.path())).sources;
        let quota = found.into_iter().find(|source| source.channel.id == "quota/cpu");
        quota.map(|mut source| source.reader.read().unwrap())
    }

    #[test]
    fn limits_of_all_groups_on_the_way_outwards_count() {
        let read = read(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            (
                "sys/fs/cgroup/a/b/cpu.stat",
                "usage_usec 5\nnr_throttled 3\nthrottled_usec 2500000\n",
            ),
            ("sys/fs/cgroup/a/cpu.stat", "throttled_usec 500000\n"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 5\n"),
        ]);
        assert_eq!(read, Some(3.0));
    }

    #[test]
    fn the_older_hierarchy_is_read_where_the_newer_one_counts_nothing() {
        let read = read(&[
            ("proc/self/cgroup", "2:cpu,cpuacct:/job\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/job/cpu.stat", "nr_periods 9\nthrottled_time 1500000000\n"),
        ]);
        assert_eq!(read, Some(1.5));
    }

    #[test]
    fn a_hierarchy_under_two_names_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let groups = folder.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(groups.join("cpu,cpuacct/job")).unwrap();
        std::fs::write(groups.join("cpu,cpuacct/job/cpu.stat"), "throttled_time 1500000000\n")
            .unwrap();
        std::os::unix::fs::symlink("cpu,cpuacct", groups.join("cpu")).unwrap();
        std::fs::create_dir_all(folder.path().join("proc/self")).unwrap();
        std::fs::write(folder.path().join("proc/self/cgroup"), "2:cpu,cpuacct:/job\n").unwrap();
        let found = discover(&Root::new(folder.path())).sources;
        let mut quota = found.into_iter().find(|source| source.channel.id == "quota/cpu").unwrap();
        assert_eq!(quota.reader.read(), Ok(1.5));
        assert!(!quota.channel.source.contains("job"), "{}", quota.channel.source);
    }

    #[test]
    fn without_such_groups_there_is_no_channel() {
        assert_eq!(read(&[("proc/self/cgroup", "0::/\n")]), None);
    }
}
