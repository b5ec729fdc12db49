//! `run --until 2%`: invocations are added until every interval is that narrow, or enough is enough.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::{Measure, values};
use crate::plan::{self, Cell, Step};
use crate::record::Record;
use crate::stats::{Estimate, MIN_INVOCATIONS};

/// How narrow, and after how many invocations nobody tries any longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// Half the width of an interval, as a share of its value.
    pub share: f64,
    /// Invocations of a cell at the most.
    pub most: u32,
}

/// A cell whose interval is too wide.
#[derive(Clone, Debug, PartialEq)]
pub struct Wide {
    /// Index of the cell.
    pub cell: usize,
    /// Invocations it has had.
    pub n: u32,
    /// Half the width of its widest interval as a share; absent where there is none yet.
    pub half: Option<f64>,
}

impl Until {
    /// The cells whose times are not known well enough. One of which nothing ever finishes is given up.
    pub fn wide(&self, cells: &[Cell], records: &[Record]) -> Vec<Wide> {
        let of_cell = |(index, cell): (usize, &Cell)| {
            let by_invocation: BTreeMap<u32, &Record> = records
                .iter()
                .filter(|record| record.cell.id == cell.id)
                .map(|record| (record.invocation, record))
                .collect();
            let numbers: Vec<_> = by_invocation.values().map(|record| values(record)).collect();
            let n = by_invocation.len() as u32;
            let n_finished = numbers.iter().filter(|values| !values.is_empty()).count();
            let is_hopeless = n_finished == 0 && n as usize >= MIN_INVOCATIONS;
            if !cell.is_timed() || n == 0 || is_hopeless {
                return None;
            }
            let half = [Measure::Prefill, Measure::Decode].map(|measure| {
                let times: Vec<f64> =
                    numbers.iter().filter_map(|values| values.get(&measure).copied()).collect();
                let (lo, hi) = Estimate::of_invocations(&times, &times)?.interval()?;
                Some((hi / lo).sqrt() - 1.0)
            });
            let half = half.into_iter().flatten().reduce(f64::max);
            let is_wide = half.is_none_or(|half| half > self.share);
            is_wide.then_some(Wide { cell: index, n, half })
        };
        cells.iter().enumerate().filter_map(of_cell).collect()
    }

    /// One more invocation of each that may have one, in an order of chance.
    pub fn further(
        &self,
        wide: &[Wide],
        records: &[Record],
        cells: &[Cell],
        seed: u64,
    ) -> Vec<Step> {
        let next = |wide: &Wide| {
            let taken: BTreeSet<u32> = records
                .iter()
                .filter(|record| record.cell.id == cells[wide.cell].id)
                .map(|record| record.invocation)
                .collect();
            taken.last().map_or(0, |last| last + 1)
        };
        let steps = wide.iter().filter(|wide| wide.n < self.most);
        let steps = steps.map(|wide| Step { cell: wide.cell, invocation: next(wide) }).collect();
        plan::shuffled(steps, seed)
    }
}
