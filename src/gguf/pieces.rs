//! Filling a file whose header is written: pieces of tensors, made and written by several threads.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Writes `pieces` into `file` by `n_threads` threads, each taking the next one there is. `make`
/// makes a buffer, in which those of an earlier piece may lie, the bytes of a piece, and answers at
/// which byte of the file they belong; `progress` hears how many bytes have been written and says
/// whether to go on.
///
/// # Errors
///
/// The first error of `make`, or of writing. What has been written stays, also where `progress`
/// breaks off, which is answered as [`ControlFlow::Break`].
pub fn write_pieces<P: Sync, E: From<io::Error> + Send>(
    file: &File,
    pieces: &[P],
    n_threads: NonZero<usize>,
    make: impl Fn(&P, &mut Vec<u8>) -> Result<u64, E> + Sync,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, E> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..n_threads.get().min(pieces.len()) {
            let (sender, next, make) = (sender.clone(), &next, &make);
            scope.spawn(move || {
                let mut buffer = Vec::new();
                while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let written = make(piece, &mut buffer).and_then(|offset| {
                        file.write_all_at(&buffer, offset)?;
                        Ok(buffer.len() as u64)
                    });
                    // A thread that has failed, or that nobody listens to any more, ends.
                    let failed = written.is_err();
                    if sender.send(written).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut done = 0;
        for written in receiver {
            done += written?;
            if progress(done).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}
