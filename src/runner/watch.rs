//! The child's memory through its life, seen from outside: few µs at a time while it works, more
//! while it waits for the word to go on.

use std::time::Duration;

use crate::record::{MemoryPhase, Phase};
use crate::sensors::{self, GpuMemory, PageFaults, ProcessMemory, Root, Statm};

/// How often the resident set is looked at until the model is loaded.
const WHILE_LOADING: Duration = Duration::from_millis(10);
/// ... and after that.
const WHILE_COMPUTING: Duration = Duration::from_millis(100);

/// What was seen of a child's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemorySeen {
    /// Every phase that was reached, in order; the last one as far as it came.
    pub phases: Vec<MemoryPhase>,
    /// The largest resident set.
    pub peak_rss_bytes: Option<u64>,
    /// CPU time that looking took.
    pub cpu_ns: u64,
}

impl MemorySeen {
    /// A phase, where it was reached.
    pub fn phase(&self, phase: Phase) -> Option<&MemoryPhase> {
        self.phases.iter().find(|seen| seen.phase == phase)
    }

    /// The last phase at which something is known to have been resident.
    pub fn last(&self) -> Option<&MemoryPhase> {
        self.phases.iter().rev().find(|seen| seen.rss_bytes.is_some())
    }
}

/// Looks at one child.
pub struct MemoryWatch<'a> {
    root: &'a Root,
    pid: u32,
    statm: Option<Statm>,
    gpu: Option<&'a GpuMemory>,
    /// On the GPUs before the child took anything.
    device_before: Option<u64>,
    seen: MemorySeen,
    open: MemoryPhase,
    /// Faults before the phase under way.
    faults: Option<PageFaults>,
    /// The kernel's peak at its beginning; `None` when it was set back there.
    peak_before: Option<u64>,
}

impl<'a> MemoryWatch<'a> {
    /// Begins with a process that was just started.
    pub fn new(root: &'a Root, gpu: Option<&'a GpuMemory>, pid: u32) -> MemoryWatch<'a> {
        MemoryWatch {
            root,
            pid,
            statm: Statm::open(root, pid),
            gpu,
            device_before: gpu.and_then(GpuMemory::in_use_bytes),
            seen: MemorySeen::default(),
            open: MemoryPhase::default(),
            faults: Some(PageFaults::default()),
            peak_before: None,
        }
    }

    /// How long to wait before the next sample.
    pub fn interval(&self) -> Duration {
        match self.open.phase {
            Phase::Start | Phase::Load => WHILE_LOADING,
            Phase::WarmUp | Phase::Passes => WHILE_COMPUTING,
        }
    }

    /// Looks at the resident set while the child works. `cpu_before` is the CPU time of this
    /// thread before it woke up for it.
    pub fn sample(&mut self, cpu_before: u64) {
        if let Some(now) = self.statm.as_ref().and_then(Statm::read) {
            let open = &mut self.open;
            open.samples += 1;
            raise(&mut open.sampled_rss_bytes, Some(now.rss_bytes));
            raise(&mut open.sampled_file_bytes, Some(now.file_bytes));
            let anon = now.rss_bytes.saturating_sub(now.file_bytes);
            raise(&mut open.sampled_anon_bytes, Some(anon));
            raise(&mut self.seen.peak_rss_bytes, Some(now.rss_bytes));
        }
        // Asking a driver takes longer than reading a file: not every 10 ms.
        if self.interval() == WHILE_COMPUTING {
            self.take_device();
        }
        self.seen.cpu_ns += thread_cpu_ns().saturating_sub(cpu_before);
    }

    /// Looks at the child while it waits in the middle of a phase.
    pub fn look(&mut self) {
        let before = thread_cpu_ns();
        self.take_status();
        self.seen.cpu_ns += thread_cpu_ns().saturating_sub(before);
    }

    /// Ends a phase, while the child waits, and begins the `next` one.
    pub fn end_phase(&mut self, next: Phase) {
        let before = thread_cpu_ns();
        let status = self.take_status();
        let faults = sensors::page_faults(self.root, self.pid);
        self.open.minor_faults =
            self.faults.zip(faults).map(|(a, b)| b.minor.saturating_sub(a.minor));
        self.open.major_faults =
            self.faults.zip(faults).map(|(a, b)| b.major.saturating_sub(a.major));
        let rollup = sensors::memory_rollup(self.root, self.pid);
        self.open.pss_bytes = rollup.pss_bytes;
        self.open.private_dirty_bytes = rollup.private_dirty_bytes;
        self.open.shared_bytes = rollup.shared_bytes;
        self.open.huge_bytes = rollup.huge_bytes;

        let ended = std::mem::replace(
            &mut self.open,
            MemoryPhase { phase: next, ..MemoryPhase::default() },
        );
        self.seen.phases.push(ended);
        self.faults = faults;
        let is_reset = sensors::reset_peak(self.root, self.pid);
        self.peak_before = if is_reset { None } else { status.peak_rss_bytes };
        self.seen.cpu_ns += thread_cpu_ns().saturating_sub(before);
    }

    /// What was seen. A phase that the child did not live to end is part of it.
    pub fn finish(mut self) -> MemorySeen {
        if self.open.samples > 0 || self.open.rss_bytes.is_some() {
            self.seen.phases.push(self.open);
        }
        self.seen
    }

    fn take_device(&mut self) {
        let now = self.gpu.and_then(GpuMemory::in_use_bytes);
        let own = now.zip(self.device_before).map(|(now, before)| now.saturating_sub(before));
        raise(&mut self.open.device_bytes, own);
    }

    fn take_status(&mut self) -> ProcessMemory {
        self.take_device();
        let status = sensors::process_memory(self.root, self.pid);
        let open = &mut self.open;
        open.rss_bytes = status.rss_bytes.or(open.rss_bytes);
        open.rss_anon_bytes = status.anon_bytes.or(open.rss_anon_bytes);
        open.rss_file_bytes = status.file_bytes.or(open.rss_file_bytes);
        // A peak that is no higher than before the phase may be of the time before.
        let own = status.peak_rss_bytes.filter(|&peak| self.peak_before.is_none_or(|b| peak > b));
        open.peak_rss_bytes = own.or(open.peak_rss_bytes);
        raise(&mut self.seen.peak_rss_bytes, status.peak_rss_bytes);
        status
    }
}

fn raise(most: &mut Option<u64>, value: Option<u64>) {
    *most = (*most).max(value);
}

/// CPU time of this thread.
pub fn thread_cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for a machine on which process 7 runs.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            std::fs::create_dir_all(machine.0.path().join("proc/7")).unwrap();
            machine
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join("proc/7").join(name), text).unwrap();
        }

        fn holds(&self, rss_kib: u64, file_kib: u64, peak_kib: u64, faults: u64) {
            let pages = 1024.0 / rustix::param::page_size() as f64;
            let [rss, file] = [rss_kib, file_kib].map(|kib| (kib as f64 * pages) as u64);
            self.write("statm", &format!("99999 {rss} {file} 1 0 1 0\n"));
            let anon = rss_kib - file_kib;
            self.write(
                "status",
                &format!(
                    "VmHWM: {peak_kib} kB\nVmRSS: {rss_kib} kB\nRssAnon: {anon} kB\n\
                     RssFile: {file_kib} kB\n"
                ),
            );
            self.write("stat", &format!("7 (slm) S 1 7 7 0 -1 0 {faults} 0 1 0 0\n"));
        }

        fn root(&self) -> Root {
            Root::new(self.0.path())
        }
    }

    #[test]
    fn a_phase_has_its_own_peak_where_the_kernel_sets_it_back() {
        let machine = Machine::new();
        machine.write("clear_refs", "");
        machine.holds(1024, 512, 1024, 10);
        let root = machine.root();
        let mut watch = MemoryWatch::new(&root, None, 7);
        watch.sample(thread_cpu_ns());
        watch.end_phase(Phase::Load);
        machine.holds(8192, 4096, 8192, 300);
        watch.sample(thread_cpu_ns());
        machine.holds(4096, 512, 9216, 310);
        watch.sample(thread_cpu_ns());
        watch.end_phase(Phase::WarmUp);
        machine.holds(4096, 512, 4096, 310);
        watch.end_phase(Phase::Passes);
        let seen = watch.finish();
        assert_eq!(seen.phases.len(), 3, "a phase in which nothing was seen is none");
        assert_eq!(seen.peak_rss_bytes, Some(9 << 20));
        let load = seen.phase(Phase::Load).unwrap();
        assert_eq!((load.samples, load.peak_rss_bytes), (2, Some(9 << 20)));
        assert_eq!((load.sampled_rss_bytes, load.rss_bytes), (Some(8 << 20), Some(4 << 20)));
        assert_eq!(load.sampled_file_bytes, Some(4 << 20));
        assert_eq!((load.minor_faults, load.major_faults), (Some(300), Some(0)));
        let warm_up = seen.last().unwrap();
        assert_eq!((warm_up.phase, warm_up.peak_rss_bytes), (Phase::WarmUp, Some(4 << 20)));
        assert_eq!(warm_up.minor_faults, Some(0));
    }

    #[test]
    fn where_it_does_not_only_a_phase_that_rises_above_all_before_has_a_peak() {
        let machine = Machine::new();
        let root = machine.root();
        machine.holds(1024, 0, 5120, 1);
        let mut watch = MemoryWatch::new(&root, None, 7);
        watch.end_phase(Phase::Load);
        watch.end_phase(Phase::WarmUp);
        machine.holds(1024, 0, 6144, 1);
        watch.end_phase(Phase::Passes);
        let seen = watch.finish();
        let peaks: Vec<Option<u64>> = seen.phases.iter().map(|p| p.peak_rss_bytes).collect();
        assert_eq!(peaks, [Some(5 << 20), None, Some(6 << 20)]);
    }

    #[test]
    fn a_child_that_dies_leaves_what_was_seen_until_then() {
        let machine = Machine::new();
        let root = machine.root();
        machine.holds(1024, 0, 1024, 1);
        let mut watch = MemoryWatch::new(&root, None, 7);
        watch.end_phase(Phase::Load);
        machine.holds(7168, 0, 7168, 1);
        watch.sample(thread_cpu_ns());
        std::fs::remove_dir_all(machine.0.path().join("proc")).unwrap();
        let seen = watch.finish();
        assert_eq!(seen.peak_rss_bytes, Some(7 << 20));
        let load = seen.phase(Phase::Load).unwrap();
        assert_eq!((load.sampled_rss_bytes, load.rss_bytes), (Some(7 << 20), None));
        assert_eq!(seen.last().unwrap().phase, Phase::Start);
    }

    #[test]
    fn where_there_is_no_proc_nothing_is_known_and_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let mut watch = MemoryWatch::new(&root, None, 7);
        watch.sample(thread_cpu_ns());
        watch.look();
        watch.end_phase(Phase::Load);
        let seen = watch.finish();
        assert_eq!(seen.phases, [MemoryPhase::default()]);
        assert_eq!(seen.peak_rss_bytes, None);
    }
}
