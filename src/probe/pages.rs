//! Memory on pages of one size, and what the system really granted.

use std::io;

use memmap2::MmapMut;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::pool::Pool;

/// The size of pages that memory is asked for on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// The smallest.
    Small,
    /// Huge ones, asked for as the built-in engine does it.
    Huge,
}

impl Pages {
    /// As in records.
    pub fn name(self) -> &'static str {
        match self {
            Pages::Small => "small",
            Pages::Huge => "huge",
        }
    }
}

/// Bytes to which a buffer is aligned: the most common size of a huge page.
const ALIGN: usize = 2 << 20;

/// Words in memory of their own, all of them written to.
#[derive(Debug)]
pub struct Buffer {
    map: MmapMut,
    start: usize,
    bytes: usize,
}

impl Buffer {
    /// Takes `bytes` from the system and writes to all of them, every thread of `pool` to its part.
    pub fn new(bytes: usize, pages: Pages, pool: &mut Pool) -> io::Result<Buffer> {
        let map = MmapMut::map_anon(bytes + ALIGN)?;
        // Advice: what came of it is read afterwards.
        #[cfg(target_os = "linux")]
        let _ = map.advise(match pages {
            Pages::Small => memmap2::Advice::NoHugePage,
            Pages::Huge => memmap2::Advice::HugePage,
        });
        #[cfg(not(target_os = "linux"))]
        let _ = pages;
        let start = map.as_ptr().addr().next_multiple_of(ALIGN) - map.as_ptr().addr();
        let mut buffer = Buffer { map, start, bytes };
        let part = bytes.div_ceil(pool.n_threads()).max(1);
        let mut parts: Vec<&mut [u8]> = buffer.map[start..start + bytes].chunks_mut(part).collect();
        pool.for_each(&mut parts, |i, part| part.fill(i as u8 + 1));
        Ok(buffer)
    }

    /// The words.
    pub fn words(&self) -> &[u64] {
        // SAFETY: any bytes are words.
        unsafe { self.map[self.start..self.start + self.bytes].align_to::<u64>().1 }
    }

    /// How much of the buffer lies on huge pages; `None` where the system does not tell.
    pub fn huge_bytes(&self) -> Option<u64> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let start = self.words().as_ptr().addr() as u64;
        let found = anon_huge_bytes(&smaps, start, start + self.bytes as u64)?;
        Some(found.min(self.bytes as u64))
    }
}

/// `AnonHugePages` of the mappings that overlap `start..end`; `None` where the field is missing.
fn anon_huge_bytes(smaps: &str, start: u64, end: u64) -> Option<u64> {
    let (mut overlaps, mut bytes) = (false, None);
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-') {
            let address = |text| u64::from_str_radix(text, 16);
            if let (Ok(from), Ok(to)) = (address(from), address(to)) {
                overlaps = from < end && start < to;
            }
        } else if overlaps && first == "AnonHugePages:" {
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            *bytes.get_or_insert(0) += kib << 10;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \n\
Size:               4096 kB\n\
AnonHugePages:      2048 kB\n\
VmFlags: rd wr mr mw me ac hg\n\
7f0000400000-7f0000800000 rw-p 00000000 00:00 0 \n\
AnonHugePages:      4096 kB\n\
7fff00000000-7fff00021000 rw-p 00000000 00:00 0                          [stack]\n\
AnonHugePages:         0 kB\n";

    #[test]
    fn huge_pages_are_counted_in_the_mappings_that_hold_the_buffer() {
        let base = 0x7f00_0000_0000;
        let bytes = |from: u64, to: u64| anon_huge_bytes(SMAPS, base + from, base + to);
        assert_eq!(bytes(0, 0x40_0000), Some(2 << 20));
        assert_eq!(bytes(0x40_0000, 0x80_0000), Some(4 << 20));
        assert_eq!(bytes(0x20_0000, 0x60_0000), Some(6 << 20));
        assert_eq!(bytes(0x80_0000, 0xc0_0000), None);
        assert_eq!(anon_huge_bytes("1000-2000 rw-p\nSize: 4 kB\n", 0x1000, 0x2000), None);
    }

    #[test]
    fn a_buffer_is_whole_and_written_to_whatever_its_pages() {
        let mut pool = Pool::new(3).unwrap();
        for pages in [Pages::Small, Pages::Huge] {
            for bytes in [64, 4096, 1 << 20, (4 << 20) + 64] {
                let buffer = Buffer::new(bytes, pages, &mut pool).unwrap();
                assert_eq!(buffer.words().len() * 8, bytes);
                assert!(buffer.words().iter().all(|word| *word != 0));
                assert!(buffer.huge_bytes().is_none_or(|huge| huge <= bytes as u64));
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn small_pages_stay_small() {
        let mut pool = Pool::new(1).unwrap();
        let buffer = Buffer::new(8 << 20, Pages::Small, &mut pool).unwrap();
        assert_eq!(buffer.huge_bytes().unwrap_or(0), 0);
    }
}
