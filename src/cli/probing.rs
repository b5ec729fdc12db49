//! The ceilings that a run's speeds are held against: probed at its beginning, and beside its cells
//! where that is wanted. A probe that fails costs these figures and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::probe::{Patience, measured};
use crate::plan::Cell;
use crate::probe::{Extent, Probe, Request};
use crate::runner::Watcher;
use crate::sensors::{self, Root, allowed_cpus, auto_threads, memory_available};
use crate::settings::ProbeWhen;

/// What makes probes for a run.
pub struct Probing<'a> {
    /// This program.
    pub program: &'a Path,
    /// The machine.
    pub root: &'a Root,
    /// Whether and when.
    pub when: Option<ProbeWhen>,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
}

/// Numbers of threads that are probed at the beginning of a run at the most: each takes its share of
/// the time.
const MOST_COUNTS: usize = 8;

/// A probe takes seconds; this is one that hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

impl Probing<'_> {
    /// What the device can do with as many threads as the cells of a run have.
    pub fn of_run(&self, cells: &[Cell], watcher: &mut dyn Watcher) -> Option<Probe> {
        self.when?;
        let allowed = allowed_cpus();
        let cpus_of = |cell: &Cell| sensors::cpus_named(self.root, &cell.cpus, &allowed).ok();
        let cells: Vec<&Cell> = cells.iter().filter(|cell| !is_scripted(&cell.engine)).collect();
        // One probe is of one set of CPUs; cells on others have theirs beside them or none.
        let cpus = cells.iter().find_map(|cell| cpus_of(cell))?;
        let same = cells.iter().filter(|cell| cpus_of(cell).as_ref() == Some(&cpus));
        let auto = auto_threads(self.root, &cpus);
        let counts: BTreeSet<u32> =
            same.map(|cell| cell.settings.n_threads.unwrap_or(auto)).collect();
        let n_threads = spread_out(&counts.into_iter().collect::<Vec<_>>(), MOST_COUNTS);
        watcher.say("probing what this device can do, for some seconds");
        self.made(Extent::Whole, n_threads, cpus, watcher)
    }

    /// What it can do now with `n_threads` on these CPUs, where that is wanted beside each cell.
    pub fn here(&self, cpus: &[u32], n: u32, watcher: &mut dyn Watcher) -> Option<Probe> {
        let wanted = self.when == Some(ProbeWhen::Cells);
        wanted.then(|| self.made(Extent::Spot, vec![n], cpus.to_vec(), watcher))?
    }

    fn made(
        &self,
        extent: Extent,
        n_threads: Vec<u32>,
        cpus: Vec<u32>,
        watcher: &mut dyn Watcher,
    ) -> Option<Probe> {
        let free_bytes = memory_available(self.root);
        let request = Request { extent, n_threads, cpus, quick: true, free_bytes };
        let patience = Patience { limit: Some(ENDS_WITHIN), interrupted: self.interrupted };
        match measured(self.program, self.root, &request, &patience) {
            Ok(probe) => Some(probe),
            Err(failure) => {
                if !self.interrupted.load(Ordering::Relaxed) {
                    let why = failure.message;
                    watcher.say(&format!("note: {why}; speeds are held against no ceiling"));
                }
                None
            }
        }
    }
}

/// Whether an engine only plays one: it computes nothing.
pub fn is_scripted(engine: &str) -> bool {
    engine.trim_start_matches("delay:").starts_with("fake")
}

/// At most `most` of `values`, the first and the last among them, the others as far apart.
fn spread_out(values: &[u32], most: usize) -> Vec<u32> {
    let n = values.len().min(most);
    (0..n).map(|i| values[i * (values.len() - 1) / (n - 1).max(1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_numbers_of_threads_some_are_probed_from_the_first_to_the_last() {
        assert_eq!(spread_out(&[2], 8), [2]);
        assert_eq!(spread_out(&[], 8), [0; 0]);
        assert_eq!(spread_out(&[1, 2, 4], 8), [1, 2, 4]);
        let all: Vec<u32> = (1..=64).collect();
        assert_eq!(spread_out(&all, 8), [1, 10, 19, 28, 37, 46, 55, 64]);
    }

    #[test]
    fn only_an_engine_that_computes_is_worth_a_probe() {
        assert!(is_scripted("fake") && is_scripted("delay:fake:decode_ms=1?decode=5%"));
        assert!(!is_scripted("reference") && !is_scripted("delay:llama-cpp?decode=5%"));
    }
}
