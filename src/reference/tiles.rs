//! One matrix, many writers: tiles that do not overlap, each for one thread.

use std::marker::PhantomData;
use std::ptr::NonNull;

/// How a matrix is cut into tiles.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    /// Elements of a row of the matrix.
    pub row: usize,
    /// Rows of a tile; the last may have fewer.
    pub rows: usize,
    /// Columns of a tile; the last may have fewer.
    pub columns: usize,
}

/// A matrix cut into tiles that do not overlap.
pub(super) struct Tiles<'a, T> {
    data: NonNull<T>,
    tiling: Tiling,
    n_rows: usize,
    across: usize,
    n: usize,
    lives: PhantomData<&'a mut [T]>,
}

// SAFETY: `get` hands each tile to one thread, and tiles do not overlap: it is as if every thread
// had been sent its own `&mut [T]`.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    pub fn new(data: &'a mut [T], tiling: Tiling) -> Tiles<'a, T> {
        let Tiling { row, rows, columns } = tiling;
        assert!(row > 0 && rows > 0 && columns > 0, "a tile of no size");
        let n_rows = data.len() / row;
        let across = row.div_ceil(columns);
        let n = n_rows.div_ceil(rows) * across;
        let data = NonNull::from(data).cast();
        Tiles { data, tiling, n_rows, across, n, lives: PhantomData }
    }

    /// How many tiles there are.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Tile `i`, row by row.
    ///
    /// # Safety
    /// Tile `i < len()` is not in use elsewhere.
    pub unsafe fn get(&self, i: usize) -> Tile<'a, T> {
        let (down, across) = (i / self.across, i % self.across);
        let (first_row, first_column) = (down * self.tiling.rows, across * self.tiling.columns);
        Tile {
            first_row,
            n_rows: self.tiling.rows.min(self.n_rows - first_row),
            first_column,
            n_columns: self.tiling.columns.min(self.tiling.row - first_column),
            stride: self.tiling.row,
            // SAFETY: the first element of a tile with `i < n` lies within the data.
            data: unsafe { self.data.add(first_row * self.tiling.row + first_column) },
            lives: PhantomData,
        }
    }
}

/// A part of a matrix that one thread may write.
#[derive(Debug)]
pub struct Tile<'a, T> {
    /// First row of the matrix in this tile.
    pub first_row: usize,
    /// Rows in this tile.
    pub n_rows: usize,
    /// First column of the matrix in this tile.
    pub first_column: usize,
    /// Columns in this tile.
    pub n_columns: usize,
    stride: usize,
    data: NonNull<T>,
    lives: PhantomData<&'a mut [T]>,
}

impl<T> Tile<'_, T> {
    /// The tile's row `i`, counted from its first.
    pub fn row(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.n_rows, "row {i} of {}", self.n_rows);
        // SAFETY: row `i` of the tile lies within the matrix and belongs to this tile alone,
        // which is borrowed for as long as the row.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(i * self.stride).as_ptr(), self.n_columns)
        }
    }
}

/// Memory that each thread uses by itself: one element of a slice per thread.
pub(super) struct PerThread<'a, T> {
    data: NonNull<T>,
    lives: PhantomData<&'a mut [T]>,
}

// SAFETY: every thread reaches its own element only (`part`): it is as if each had been sent an
// `&mut T`.
unsafe impl<T: Send> Sync for PerThread<'_, T> {}

impl<'a, T> PerThread<'a, T> {
    /// Lends `data` to `n_threads` threads.
    pub fn new(data: &'a mut [T], n_threads: usize) -> PerThread<'a, T> {
        assert!(data.len() >= n_threads, "scratch for {} of {n_threads} threads", data.len());
        PerThread { data: NonNull::from(data).cast(), lives: PhantomData }
    }

    /// What `thread` gets.
    ///
    /// # Safety
    /// `thread` is below the number given to `new`, and its part is not in use.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, thread: usize) -> &mut T {
        // SAFETY: there is an element for each thread (`new`), and nobody else uses it (caller).
        unsafe { self.data.add(thread).as_mut() }
    }
}
