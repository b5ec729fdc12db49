//! Large memory in one piece, on huge pages where the system has them.
//!
//! Streaming weights from 4 KiB pages costs up to a quarter of a core's read bandwidth in address
//! translation.

use std::io;
use std::ops::{Deref, DerefMut, Range};

use memmap2::MmapMut;

use super::ReferenceError;

/// Where a piece starts: whole cache lines.
const ALIGN: usize = 64;

/// Bytes that [`Arena::take`] uses up for a piece of `bytes`.
pub fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// `n` zeros in memory of their own. Where the system refuses, that is an error and not the end of
/// the process.
pub fn zeros<T: Clone + Default>(n: usize, what: &'static str) -> Result<Vec<T>, ReferenceError> {
    let mut all = Vec::new();
    all.try_reserve_exact(n).map_err(|error| ReferenceError::Memory {
        what,
        bytes: n.saturating_mul(size_of::<T>()),
        error: io::Error::new(io::ErrorKind::OutOfMemory, error),
    })?;
    all.resize(n, T::default());
    Ok(all)
}

/// Zeroed bytes, handed out from the front.
#[derive(Debug)]
pub struct Arena {
    map: MmapMut,
    used: usize,
}

impl Arena {
    /// Takes `bytes` from the system. Pages come into being when first touched.
    pub fn new(bytes: usize, what: &'static str) -> Result<Arena, ReferenceError> {
        let refused = |error| ReferenceError::Memory { what, bytes, error };
        let map = MmapMut::map_anon(bytes.max(1)).map_err(refused)?;
        // Advice: a system without huge pages is slower, not wrong.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Arena { map, used: 0 })
    }

    /// The next `bytes` that are not yet in use.
    ///
    /// # Panics
    /// When the arena is too small: its size was computed from the same pieces.
    pub fn take(&mut self, bytes: usize) -> Range<usize> {
        let start = self.used;
        self.used += padded(bytes);
        assert!(self.used <= padded(self.map.len()), "arena of {} bytes", self.map.len());
        start..start + bytes
    }
}

impl Deref for Arena {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for Arena {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_has_is_refused_with_its_purpose() {
        assert_eq!(zeros::<f32>(3, "logits").unwrap(), [0.0; 3]);
        for n in [usize::MAX / 16, usize::MAX] {
            let error = zeros::<f32>(n, "logits").unwrap_err();
            let ReferenceError::Memory { what, error, .. } = error else { panic!("{error}") };
            assert_eq!((what, error.kind()), ("logits", io::ErrorKind::OutOfMemory));
        }
    }
}
