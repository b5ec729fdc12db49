//! What a thread takes from the heap: an allocator that counts, for unit tests alone.
//!
//! Large memory of the engine's own is mapped and not counted here: plans tell of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that the thread has taken and not given back; below zero where it gives back what
    /// another took.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most that it held since that was asked for.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static HEAP: Counting = Counting;

fn note(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: every call is handed on to the system's allocator as it came. Counting takes no memory:
// the counters are made when the thread is, and nothing is dropped with them.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Heap, and memory of the engine's own, that a model's file of `len` bytes may justify: some hundred
/// bytes for a tensor of no more than a name, panels of 16 rows for matrices of one, and what a session
/// takes for itself.
pub fn justified(len: usize) -> usize {
    64 * len + (256 << 10)
}

/// What `f` answers, and the most bytes that its thread held at once meanwhile above what it held
/// before.
pub fn most_taken<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let answer = f();
    (answer, (MOST.get() - before) as usize)
}

#[test]
fn what_is_taken_and_given_back_counts_as_long_as_it_is_held() {
    let (_, most) = most_taken(|| {
        drop(vec![1u8; 5000]);
        vec![0u8; 3000].len()
    });
    assert!((5000..6000).contains(&most), "{most}");
}
