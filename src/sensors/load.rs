//! Foreign load: what else took part of the machine between two moments.

use super::Root;
use crate::units::Nanos;

/// Counters at one moment; two of them tell what happened between.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadCounters {
    at: Nanos,
    n_cpus: u32,
    busy_ns: Option<u64>,
    steal_ns: Option<u64>,
    memory_stall_ns: Option<u64>,
    own_cpu_ns: u64,
    children_cpu_ns: u64,
}

impl LoadCounters {
    /// Reads all counters, those of CPU time for `cpus` alone unless that is empty; `now` is the
    /// moment on the monotonic clock.
    pub fn read(root: &Root, now: Nanos, cpus: &[u32]) -> LoadCounters {
        let (busy_ns, steal_ns, n_cpus) = cpu_times(root, cpus);
        LoadCounters {
            at: now,
            n_cpus,
            busy_ns,
            steal_ns,
            memory_stall_ns: memory_stall(root),
            own_cpu_ns: cpu_time(Whose::Own),
            children_cpu_ns: cpu_time(Whose::EndedChildren),
        }
    }

    /// Wall time since `earlier`.
    pub fn since(&self, earlier: &LoadCounters) -> Nanos {
        self.at.since(earlier.at)
    }

    /// CPU time of this process since `earlier`.
    pub fn own_cpu_since(&self, earlier: &LoadCounters) -> Nanos {
        Nanos(self.own_cpu_ns.saturating_sub(earlier.own_cpu_ns))
    }
}

/// Shares of the machine taken by others between two readings, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ForeignLoad {
    /// CPU time of other processes ÷ (wall × CPUs).
    pub cpu_share: Option<f64>,
    /// CPU time of other processes.
    pub cpu: Option<Nanos>,
    /// Time taken by the hypervisor ÷ (wall × CPUs).
    pub steal_share: Option<f64>,
    /// Time taken by the hypervisor.
    pub steal: Option<Nanos>,
    /// Share of the time in which some task waited for memory.
    pub memory_pressure_share: Option<f64>,
}

/// What others took between `start` and `end`. The children of this process must have been
/// waited for, else their time counts as foreign.
pub fn foreign_load(start: &LoadCounters, end: &LoadCounters) -> ForeignLoad {
    let wall = end.at.since(start.at).0;
    if wall == 0 {
        return ForeignLoad::default();
    }
    let room = wall as f64 * f64::from(end.n_cpus.max(1));
    let delta = |a: Option<u64>, b: Option<u64>| Some(b?.saturating_sub(a?));
    let ours = (end.own_cpu_ns - start.own_cpu_ns) + (end.children_cpu_ns - start.children_cpu_ns);
    let foreign = delta(start.busy_ns, end.busy_ns).map(|busy| busy.saturating_sub(ours));
    let steal = delta(start.steal_ns, end.steal_ns);
    ForeignLoad {
        cpu_share: foreign.map(|ns| (ns as f64 / room).min(1.0)),
        cpu: foreign.map(Nanos),
        steal_share: steal.map(|ns| (ns as f64 / room).min(1.0)),
        steal: steal.map(Nanos),
        memory_pressure_share: delta(start.memory_stall_ns, end.memory_stall_ns)
            .map(|ns| (ns as f64 / wall as f64).min(1.0)),
    }
}

/// Busy and stolen time since boot of `cpus`, of all where that is empty, and their number: from
/// `/proc/stat`, which counts in hundredths of a second.
fn cpu_times(root: &Root, cpus: &[u32]) -> (Option<u64>, Option<u64>, u32) {
    const TICK_NS: u64 = 10_000_000;
    let text = root.text("proc/stat").unwrap_or_default();
    let (mut busy, mut steal, mut n_cpus) = (None, None, 0);
    for line in text.lines() {
        let Some((name, fields)) = line.split_once(' ') else { continue };
        let number = name.strip_prefix("cpu").and_then(|n| n.parse::<u32>().ok());
        if !number.is_some_and(|cpu| cpus.is_empty() || cpus.contains(&cpu)) {
            continue;
        }
        n_cpus += 1;
        let ticks: Vec<u64> =
            fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        if let [user, nice, system, _idle, _iowait, irq, softirq, rest @ ..] = &ticks[..] {
            *busy.get_or_insert(0) += (user + nice + system + irq + softirq) * TICK_NS;
            if let Some(ticks) = rest.first() {
                *steal.get_or_insert(0) += ticks * TICK_NS;
            }
        }
    }
    (busy, steal, n_cpus)
}

fn memory_stall(root: &Root) -> Option<u64> {
    let text = root.text("proc/pressure/memory")?;
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let micros: u64 = line.split("total=").nth(1)?.trim().parse().ok()?;
    Some(micros * 1000)
}

enum Whose {
    Own,
    EndedChildren,
}

/// CPU time from the kernel's accounting of this process or of its children that were waited for.
fn cpu_time(whose: Whose) -> u64 {
    match whose {
        Whose::Own => {
            let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
        }
        // utime and stime of waited-for children: fields 16 and 17 of /proc/self/stat.
        Whose::EndedChildren => std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| {
                let after_name = text.rsplit_once(')')?.1.to_owned();
                let fields: Vec<&str> = after_name.split_whitespace().collect();
                let ticks: u64 =
                    fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?;
                Some(ticks * 10_000_000)
            })
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(at_s: u64, busy_s: u64, steal_s: u64, ours_s: u64) -> LoadCounters {
        let ns = 1_000_000_000;
        LoadCounters {
            at: Nanos(at_s * ns),
            n_cpus: 2,
            busy_ns: Some(busy_s * ns),
            steal_ns: Some(steal_s * ns),
            memory_stall_ns: None,
            own_cpu_ns: 0,
            children_cpu_ns: ours_s * ns,
        }
    }

    #[test]
    fn what_the_children_used_is_not_foreign() {
        let load = foreign_load(&counters(0, 100, 0, 0), &counters(10, 121, 1, 20));
        assert_eq!(load.cpu_share, Some(0.05));
        assert_eq!(load.steal_share, Some(0.05));
        assert_eq!(load.memory_pressure_share, None);
    }

    #[test]
    fn no_time_between_two_readings_gives_no_share() {
        let same = counters(5, 1, 0, 0);
        assert_eq!(foreign_load(&same, &same), ForeignLoad::default());
    }

    #[test]
    fn the_kernels_counters_are_found_in_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("proc/pressure")).unwrap();
        let stat =
            "cpu  100 10 50 900 7 3 2 4 0 0\ncpu0 1 1 1 1 1 1 1 0\ncpu1 1 2 3 90 0 2 1 0\nintr 9\n";
        std::fs::write(folder.path().join("proc/stat"), stat).unwrap();
        let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500\nfull total=1\n";
        std::fs::write(folder.path().join("proc/pressure/memory"), pressure).unwrap();
        let read = LoadCounters::read(&Root::new(folder.path()), Nanos(1), &[]);
        let one = LoadCounters::read(&Root::new(folder.path()), Nanos(1), &[1]);
        assert_eq!((one.busy_ns, one.n_cpus), (Some(9 * 10_000_000), 1));
        assert_eq!(read.busy_ns, Some(14 * 10_000_000));
        assert_eq!(read.steal_ns, Some(0));
        assert_eq!(read.n_cpus, 2);
        assert_eq!(read.memory_stall_ns, Some(2_500_000));
    }
}
