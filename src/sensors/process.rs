//! Memory of a process, seen from outside.
//!
//! The kernel keeps resident pages in counters per CPU and adds them up when it has the time: a
//! figure of `status` or `statm` may be off by some hundred KiB. `smaps_rollup` counts the pages
//! themselves, but takes milliseconds and a lock of the process's memory for it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::Root;
use super::memory::field_kib;

/// What `/proc/PID/status` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident now (`VmRSS`).
    pub rss_bytes: Option<u64>,
    /// Largest resident set so far, or since [`reset_peak`] (`VmHWM`).
    pub peak_rss_bytes: Option<u64>,
    /// Anonymous pages resident (`RssAnon`).
    pub anon_bytes: Option<u64>,
    /// Pages of files resident (`RssFile`).
    pub file_bytes: Option<u64>,
}

/// Reads `/proc/PID/status`: 30 µs, and no lock on the process's memory.
pub fn process_memory(root: &Root, pid: u32) -> ProcessMemory {
    let Some(text) = root.text(&format!("proc/{pid}/status")) else {
        return ProcessMemory::default();
    };
    ProcessMemory {
        rss_bytes: field_kib(&text, "VmRSS"),
        peak_rss_bytes: field_kib(&text, "VmHWM"),
        anon_bytes: field_kib(&text, "RssAnon"),
        file_bytes: field_kib(&text, "RssFile"),
    }
}

/// Sets `VmHWM` back to what is resident now. Returns whether the kernel did so.
pub fn reset_peak(root: &Root, pid: u32) -> bool {
    let file = OpenOptions::new().write(true).open(root.path(&format!("proc/{pid}/clear_refs")));
    file.is_ok_and(|mut file| file.write_all(b"5\n").is_ok())
}

/// What `/proc/PID/smaps_rollup` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryRollup {
    /// Resident, pages shared with other processes divided among them.
    pub pss_bytes: Option<u64>,
    /// Written pages that no other process has.
    pub private_dirty_bytes: Option<u64>,
    /// Pages that other processes have as well.
    pub shared_bytes: Option<u64>,
    /// Anonymous memory on huge pages.
    pub huge_bytes: Option<u64>,
}

/// Reads `/proc/PID/smaps_rollup`: milliseconds for gigabytes, and the process cannot change its
/// mappings meanwhile. For a process that waits.
pub fn memory_rollup(root: &Root, pid: u32) -> MemoryRollup {
    let Some(text) = root.text(&format!("proc/{pid}/smaps_rollup")) else {
        return MemoryRollup::default();
    };
    let field = |key| field_kib(&text, key);
    MemoryRollup {
        pss_bytes: field("Pss"),
        private_dirty_bytes: field("Private_Dirty"),
        shared_bytes: field("Shared_Clean").zip(field("Shared_Dirty")).map(|(a, b)| a + b),
        huge_bytes: field("AnonHugePages"),
    }
}

/// Page faults since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageFaults {
    /// The disk was not needed.
    pub minor: u64,
    /// The disk was waited for.
    pub major: u64,
}

/// Reads `/proc/PID/stat`: faults of all threads.
pub fn page_faults(root: &Root, pid: u32) -> Option<PageFaults> {
    let text = root.text(&format!("proc/{pid}/stat"))?;
    // The name in brackets may hold anything; what follows begins with field 3.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let minor = fields.nth(10 - 3)?.parse().ok()?;
    let major = fields.nth(12 - 11)?.parse().ok()?;
    Some(PageFaults { minor, major })
}

/// Resident pages at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// All of them.
    pub rss_bytes: u64,
    /// Those of files and of shared memory.
    pub file_bytes: u64,
}

/// An open `/proc/PID/statm`, to be read again and again: a few µs, no lock, no path.
#[derive(Debug)]
pub struct Statm {
    file: File,
    page_bytes: u64,
}

impl Statm {
    /// Opens it.
    pub fn open(root: &Root, pid: u32) -> Option<Statm> {
        let file = File::open(root.path(&format!("proc/{pid}/statm"))).ok()?;
        Some(Statm { file, page_bytes: rustix::param::page_size() as u64 })
    }

    /// What is resident now; `None` once the process is gone.
    pub fn read(&self) -> Option<Resident> {
        let mut text = [0; 128];
        let length = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        let mut pages = text.split_whitespace().skip(1).map_while(|field| field.parse().ok());
        let (rss, shared): (u64, u64) = (pages.next()?, pages.next()?);
        // A process that has ended, but was not waited for, has no pages.
        (rss > 0).then(|| Resident {
            rss_bytes: rss * self.page_bytes,
            file_bytes: shared * self.page_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("proc/7")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join("proc/7").join(name), text).unwrap();
        }
        let root = Root::new(folder.path());
        (folder, root)
    }

    #[test]
    fn a_process_that_is_gone_has_no_memory_rather_than_none_at_all() {
        let (_folder, root) = machine(&[]);
        assert_eq!(process_memory(&root, 7), ProcessMemory::default());
        assert_eq!(memory_rollup(&root, 7), MemoryRollup::default());
        assert_eq!(page_faults(&root, 7), None);
        assert!(Statm::open(&root, 7).is_none());
        assert!(!reset_peak(&root, 7), "no file is made where there is none");
    }

    #[test]
    fn each_figure_is_found_in_its_place() {
        let (folder, root) = machine(&[
            ("stat", "7 (a) b) S 1 7 7 0 -1 4194560 101 102 3 104 5 6 7 8 20 0 1 0\n"),
            ("statm", "5000 300 120 40 0 900 0\n"),
            (
                "smaps_rollup",
                "5-7 ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss: 500 kB\nPss_Dirty: 1 kB\n\
                 Shared_Clean: 30 kB\nShared_Dirty: 4 kB\nPrivate_Dirty: 200 kB\n\
                 AnonHugePages: 2048 kB\n",
            ),
            ("clear_refs", ""),
        ]);
        assert_eq!(page_faults(&root, 7), Some(PageFaults { minor: 101, major: 3 }));
        let page = rustix::param::page_size() as u64;
        let resident = Resident { rss_bytes: 300 * page, file_bytes: 120 * page };
        assert_eq!(Statm::open(&root, 7).unwrap().read(), Some(resident));
        let rollup = memory_rollup(&root, 7);
        assert_eq!((rollup.pss_bytes, rollup.shared_bytes), (Some(500 << 10), Some(34 << 10)));
        assert_eq!(rollup.private_dirty_bytes, Some(200 << 10));
        assert_eq!(rollup.huge_bytes, Some(2 << 20));
        assert!(reset_peak(&root, 7));
        let written = std::fs::read_to_string(folder.path().join("proc/7/clear_refs")).unwrap();
        assert_eq!(written, "5\n");
    }

    #[test]
    fn this_process_is_seen_with_its_parts() {
        let (root, pid) = (Root::default(), std::process::id());
        let memory = process_memory(&root, pid);
        assert!(memory.peak_rss_bytes >= memory.rss_bytes);
        assert!(memory.anon_bytes.unwrap() + memory.file_bytes.unwrap() > 0);
        let resident = Statm::open(&root, pid).unwrap().read().unwrap();
        assert!(resident.rss_bytes > resident.file_bytes);
        assert!(page_faults(&root, pid).unwrap().minor > 0);
    }
}
