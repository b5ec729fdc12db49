//! Which CPUs there are, which of them this process may use, and which are the fast ones.

use std::collections::BTreeSet;

use super::Root;

const FOLDER: &str = "sys/devices/system/cpu";

/// Threads that `auto` stands for where a process may use `cpus`: physical cores, fast ones where
/// they differ.
pub fn auto_threads(root: &Root, cpus: &[u32]) -> u32 {
    let cores = physical_cores(root, cpus);
    let fast = cpus_named(root, "big", &cores).unwrap_or(cores);
    fast.len().max(1) as u32
}

/// CPUs this process may run on, ascending.
pub fn allowed_cpus() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        let n = std::thread::available_parallelism().map_or(1, usize::from);
        return (0..n as u32).collect();
    };
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .map(|cpu| cpu as u32)
        .collect()
}

/// Of `cpus`, one for each physical core. A machine that does not tell has as many cores as CPUs.
pub fn physical_cores(root: &Root, cpus: &[u32]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    cpus.iter()
        .copied()
        .filter(|cpu| {
            let at = |file: &str| root.text(&format!("{FOLDER}/cpu{cpu}/topology/{file}"));
            match (at("physical_package_id"), at("core_id")) {
                (Some(package), Some(core)) => {
                    // Clusters of Arm cores count their cores from zero each.
                    let cluster = at("cluster_id").unwrap_or_default();
                    seen.insert((package, cluster, core))
                }
                _ => true,
            }
        })
        .collect()
}

/// The CPUs meant by `word` out of `allowed`: `all`, `big`, or a list such as `0,2-3`.
///
/// `big` are those of the highest capacity, or of the highest maximum clock where the kernel
/// gives no capacity; all of them where they do not differ.
pub fn cpus_named(root: &Root, word: &str, allowed: &[u32]) -> Result<Vec<u32>, String> {
    match word {
        "all" => Ok(allowed.to_vec()),
        "big" => Ok(fastest(root, allowed)),
        list => {
            let cpus = parse_list(list).ok_or_else(|| {
                format!("cpus = {list}: allowed are all, big, or a list such as 0,2-3")
            })?;
            match cpus.iter().all(|cpu| allowed.contains(cpu)) {
                false => {
                    Err(format!("cpus = {list}: this process may use CPUs {}", spans(allowed)))
                }
                true => Ok(cpus),
            }
        }
    }
}

/// CPUs of the highest capacity or clock.
fn fastest(root: &Root, cpus: &[u32]) -> Vec<u32> {
    let by = |file: &str| -> Option<Vec<u64>> {
        cpus.iter().map(|cpu| root.value(&format!("{FOLDER}/cpu{cpu}/{file}"))).collect()
    };
    let speeds = by("cpu_capacity").or_else(|| by("cpufreq/cpuinfo_max_freq"));
    let Some(speeds) = speeds else { return cpus.to_vec() };
    let top = speeds.iter().copied().max().unwrap_or(0);
    // Favoured cores of one kind differ by a few per cent; kinds differ by more.
    let fast = |speed: u64| speed * 10 >= top * 8;
    cpus.iter().zip(speeds).filter(|&(_, speed)| fast(speed)).map(|(&cpu, _)| cpu).collect()
}

/// 0, 2, 3 → `0,2-3`; the numbers rise.
fn spans(cpus: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => spans.push((cpu, cpu)),
        }
    }
    let told = spans.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    told.collect::<Vec<_>>().join(",")
}

/// `0,2-3` → 0, 2, 3. `None` for anything else.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last > 4096 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(FOLDER).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::new(folder.path());
        (folder, root)
    }

    #[test]
    fn a_list_names_cpus_and_a_cpu_out_of_reach_is_refused() {
        let root = Root::default();
        assert_eq!(cpus_named(&root, "0,2-3", &[0, 1, 2, 3]).unwrap(), [0, 2, 3]);
        let refused = cpus_named(&root, "0,9", &[0, 1, 3]).unwrap_err();
        assert_eq!(refused, "cpus = 0,9: this process may use CPUs 0-1,3");
        for bad in ["", "3-1", "a", "0-", "0-99999"] {
            assert!(cpus_named(&root, bad, &[0]).unwrap_err().contains("allowed are"), "{bad}");
        }
    }

    #[test]
    fn big_means_the_cores_of_the_highest_capacity() {
        let (_folder, root) = machine(&[
            ("cpu0/cpu_capacity", "300\n"),
            ("cpu1/cpu_capacity", "1024\n"),
            ("cpu2/cpu_capacity", "990\n"),
        ]);
        assert_eq!(cpus_named(&root, "big", &[0, 1, 2]).unwrap(), [1, 2]);
    }

    #[test]
    fn hyper_threads_of_a_core_count_once() {
        let mut files = Vec::new();
        let names: Vec<(String, &str)> = (0..4)
            .flat_map(|cpu| {
                [
                    (format!("cpu{cpu}/topology/physical_package_id"), "0"),
                    (format!("cpu{cpu}/topology/core_id"), if cpu % 2 == 0 { "0" } else { "1" }),
                ]
            })
            .collect();
        files.extend(names.iter().map(|(n, t)| (n.as_str(), *t)));
        let (_folder, root) = machine(&files);
        assert_eq!(physical_cores(&root, &[0, 1, 2, 3]), [0, 1]);
    }

    #[test]
    fn a_machine_that_tells_nothing_has_a_core_for_each_cpu() {
        let (_folder, root) = machine(&[]);
        assert_eq!(physical_cores(&root, &[0, 1]), [0, 1]);
        assert_eq!(cpus_named(&root, "big", &[0, 1]).unwrap(), [0, 1]);
    }
}
