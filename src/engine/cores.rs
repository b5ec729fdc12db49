//! How many threads `n_threads = auto` stands for.
//!
//! One thread for each physical core that this process may use, performance cores alone where
//! cores differ: a second thread on a core, or one on a slow core at every barrier, makes matrix
//! work slower. Source of truth on Linux: `Documentation/ABI/stable/sysfs-devices-system-cpu` and
//! `Documentation/arch/arm/cpu-capacity`.

/// Physical cores of the fast kind among the CPUs this process may run on. At least 1.
pub fn physical() -> u32 {
    #[cfg(target_os = "linux")]
    if let Some(n) = linux::physical() {
        return n;
    }
    let logical = std::thread::available_parallelism().map_or(1, |n| n.get());
    let cores = sysinfo::System::physical_core_count().unwrap_or(logical);
    u32::try_from(cores.clamp(1, logical)).unwrap_or(1)
}

/// A logical CPU, as far as counting goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
struct Cpu {
    /// The list of CPUs that share its core: equal for all of them.
    siblings: String,
    /// The kernel's figure for its speed, where cores differ.
    capacity: Option<u64>,
}

/// Counts cores, leaving out those with less than half the capacity of the fastest.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn count(cpus: &[Cpu]) -> u32 {
    let fastest = cpus.iter().filter_map(|c| c.capacity).max().unwrap_or(0);
    let mut cores: Vec<&str> = cpus
        .iter()
        .filter(|c| c.capacity.is_none_or(|capacity| capacity * 2 > fastest))
        .map(|c| c.siblings.as_str())
        .collect();
    cores.sort_unstable();
    cores.dedup();
    cores.len() as u32
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::read_to_string;

    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::{Cpu, count};

    const CPUS: &str = "/sys/devices/system/cpu";

    pub fn physical() -> Option<u32> {
        let allowed = sched_getaffinity(None).ok()?;
        // On Intel machines with two kinds of cores, the list of the fast ones' CPUs.
        let fast = read_to_string("/sys/devices/cpu_core/cpus").ok().map(|list| parse(&list));
        let mut ids: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&id| allowed.is_set(id)).collect();
        if let Some(fast) = fast
            && ids.iter().any(|id| fast.contains(id))
        {
            ids.retain(|id| fast.contains(id));
        }
        let cpus: Vec<Cpu> = ids.into_iter().map(cpu).collect();
        Some(count(&cpus)).filter(|&n| n > 0)
    }

    fn cpu(id: usize) -> Cpu {
        let read = |what: &str| read_to_string(format!("{CPUS}/cpu{id}/{what}")).ok();
        Cpu {
            // A machine that does not tell has one CPU to a core.
            siblings: read("topology/thread_siblings_list")
                .map_or_else(|| id.to_string(), |list| list.trim().to_owned()),
            capacity: read("cpu_capacity").and_then(|n| n.trim().parse().ok()),
        }
    }

    /// A kernel list of CPUs: `0-3,8`.
    pub fn parse(list: &str) -> Vec<usize> {
        list.trim()
            .split(',')
            .filter_map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                Some(first.parse().ok()?..=last.parse().ok()?)
            })
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(siblings: &str, capacity: Option<u64>) -> Cpu {
        Cpu { siblings: siblings.to_owned(), capacity }
    }

    #[test]
    fn two_threads_of_a_core_count_as_one() {
        let cpus = [cpu("0,2", None), cpu("1,3", None), cpu("0,2", None), cpu("1,3", None)];
        assert_eq!(count(&cpus), 2);
    }

    #[test]
    fn slow_cores_do_not_count_where_there_are_fast_ones() {
        let little = (0..4).map(|i| cpu(&i.to_string(), Some(324)));
        let big = (4..7).map(|i| cpu(&i.to_string(), Some(871)));
        let all: Vec<Cpu> = little.clone().chain(big).chain([cpu("7", Some(1024))]).collect();
        assert_eq!(count(&all), 4);
        assert_eq!(count(&little.collect::<Vec<_>>()), 4);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_kernel_list_of_cpus_is_read_with_its_ranges() {
        assert_eq!(linux::parse("0-2,8\n"), [0, 1, 2, 8]);
        assert!(linux::parse("\n").is_empty());
    }

    #[test]
    fn this_machine_has_at_least_one_core() {
        assert!(physical() >= 1);
    }
}
