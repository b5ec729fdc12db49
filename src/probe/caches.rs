//! Caches as the kernel tells them, and the working set that stays in each.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cache that data goes through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// 1 is the one next to the core.
    pub level: u32,
    /// Its size.
    pub size_bytes: u64,
    /// How many processors share one.
    pub n_cpus: u32,
}

impl Cache {
    /// As people call it: `L2`.
    pub fn name(&self) -> String {
        format!("L{}", self.level)
    }

    /// Bytes for each of `n_threads` that fill half of this cache together, and that the cache below
    /// cannot hold; or why there is no such size.
    pub fn working_set(&self, below: Option<&Cache>, n_threads: u32) -> Result<u64, String> {
        let sharers = n_threads.min(self.n_cpus).max(1);
        let share = self.size_bytes / u64::from(sharers);
        // Half, so that what else is cached leaves it alone; more where half fits the cache below.
        let least = below.map_or(0, |cache| cache.size_bytes / 2 * 3);
        let bytes = (share / 2).max(least);
        match bytes <= share / 4 * 3 {
            true => Ok(bytes / 64 * 64),
            false => Err(format!(
                "a thread's share of it, {} KiB, is hardly more than the cache below holds",
                share >> 10
            )),
        }
    }
}

/// The caches of the first processor under `root`, the nearest first; none where the kernel does not
/// tell.
pub fn caches(root: &Path) -> Vec<Cache> {
    let folder = root.join("sys/devices/system/cpu/cpu0/cache");
    let one = |index: u32| -> Option<Cache> {
        let text = |file: &str| {
            let path = folder.join(format!("index{index}")).join(file);
            Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
        };
        let holds_data = matches!(text("type")?.as_str(), "Data" | "Unified");
        let level = text("level")?.parse().ok()?;
        let size_bytes = size(&text("size")?)?;
        let n_cpus = text("shared_cpu_list").map_or(1, |list| count(&list)).max(1);
        holds_data.then_some(Cache { level, size_bytes, n_cpus })
    };
    let mut caches: Vec<Cache> = (0..16).filter_map(one).collect();
    caches.sort_by_key(|cache| cache.level);
    caches
}

/// `32K`, `1024K`, `32M`.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// How many processors `0-1,4` names.
fn count(list: &str) -> u32 {
    let part = |part: &str| -> Option<u32> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').filter_map(part).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_read_with_their_size_and_how_many_share_them() {
        let folder = tempfile::tempdir().unwrap();
        let index = |index: u32, files: [&str; 4]| {
            let path =
                folder.path().join(format!("sys/devices/system/cpu/cpu0/cache/index{index}"));
            std::fs::create_dir_all(&path).unwrap();
            for (name, text) in ["level", "type", "size", "shared_cpu_list"].iter().zip(files) {
                std::fs::write(path.join(name), format!("{text}\n")).unwrap();
            }
        };
        assert_eq!(caches(folder.path()), []);
        index(0, ["1", "Data", "32K", "0"]);
        index(1, ["1", "Instruction", "32K", "0"]);
        index(2, ["2", "Unified", "1M", "0,8"]);
        index(3, ["3", "Unified", "32768K", "0-7,8-15"]);
        let expected = [(1, 32 << 10, 1), (2, 1 << 20, 2), (3, 32 << 20, 16)]
            .map(|(level, size_bytes, n_cpus)| Cache { level, size_bytes, n_cpus });
        assert_eq!(caches(folder.path()), expected);
    }

    #[test]
    fn a_size_that_is_none_is_no_cache() {
        for bad in ["", "K", "0K", "x", "-1K", "99999999999999999999M"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(count("rubbish,3-1,5"), 1);
    }

    #[test]
    fn a_working_set_fits_its_cache_and_not_the_one_below() {
        let cache = |level, kib: u64, n_cpus| Cache { level, size_bytes: kib << 10, n_cpus };
        let (l1, l2) = (cache(1, 32, 1), cache(2, 1024, 1));
        let kib = |set: Result<u64, String>| set.unwrap() >> 10;
        assert_eq!(kib(l1.working_set(None, 8)), 16);
        assert_eq!(kib(l2.working_set(Some(&l1), 2)), 512);
        let l3 = cache(3, 32 << 10, 16);
        assert_eq!(kib(l3.working_set(Some(&l2), 1)), 16 << 10);
        assert_eq!(kib(l3.working_set(Some(&l2), 2)), 8 << 10);
        assert_eq!(kib(l3.working_set(Some(&l2), 16)), 1536);
        let small = cache(3, 16 << 10, 16).working_set(Some(&l2), 16).unwrap_err();
        assert!(small.contains("1024 KiB"), "{small}");
    }
}
