//! The order of invocations: blocks of one invocation of every cell, each block shuffled.
//!
//! Whatever changes slowly (heat, other load) then falls on all cells alike.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One child process to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Index of the cell in the plan.
    pub cell: usize,
    /// Which invocation of it, from 0.
    pub invocation: u32,
}

/// The steps of a plan whose cells have these numbers of invocations. A seed gives the same order
/// on every machine, and a block the same order however many follow it.
pub(super) fn shuffled_blocks(invocations: &[u32], seed: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in 0..invocations.iter().copied().max().unwrap_or(0) {
        let mut cells: Vec<usize> =
            (0..invocations.len()).filter(|cell| invocations[*cell] > block).collect();
        let block_seed = seed.wrapping_add(u64::from(block).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        shuffle(&mut cells, &mut Xoshiro256PlusPlus::seed_from_u64(block_seed));
        steps.extend(cells.into_iter().map(|cell| Step { cell, invocation: block }));
    }
    steps
}

/// These steps in an order of chance, which hangs on the seed and on how far the cells are.
pub fn shuffled(mut steps: Vec<Step>, seed: u64) -> Vec<Step> {
    let block = steps.iter().map(|step| step.invocation).max().unwrap_or(0);
    let block_seed = seed.wrapping_add(u64::from(block).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    shuffle(&mut steps, &mut Xoshiro256PlusPlus::seed_from_u64(block_seed));
    steps
}

/// Fisher and Yates: every order is equally likely.
fn shuffle<T>(items: &mut [T], rng: &mut impl RngCore) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A number below `n`, each equally likely.
fn below(n: u64, rng: &mut impl RngCore) -> u64 {
    let whole = u64::MAX - u64::MAX % n;
    loop {
        let x = rng.next_u64();
        if x < whole {
            return x % n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_holds_each_cell_that_still_has_invocations_once() {
        let invocations = [3, 1, 2, 3];
        let steps = shuffled_blocks(&invocations, 7);
        assert_eq!(steps.len(), 9);
        assert!(steps.is_sorted_by_key(|step| step.invocation));
        for (cell, n) in invocations.iter().enumerate() {
            let done: Vec<u32> =
                steps.iter().filter(|s| s.cell == cell).map(|s| s.invocation).collect();
            assert_eq!(done, (0..*n).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn a_seed_fixes_the_order_for_ever_and_another_seed_gives_another() {
        let order = |seed| -> Vec<usize> {
            shuffled_blocks(&[1; 8], seed).iter().map(|step| step.cell).collect()
        };
        assert_eq!(order(1), [7, 1, 6, 5, 0, 4, 2, 3]);
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn blocks_differ_and_more_invocations_leave_the_first_blocks_as_they_are() {
        let three = shuffled_blocks(&[3; 10], 1);
        let five = shuffled_blocks(&[5; 10], 1);
        assert_eq!(three, five[..30]);
        let cells = |steps: &[Step]| -> Vec<usize> { steps.iter().map(|s| s.cell).collect() };
        assert_ne!(cells(&three[..10]), cells(&three[10..20]));
    }

    #[test]
    fn every_order_of_three_comes_about_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let order: Vec<usize> =
                shuffled_blocks(&[1; 3], seed).iter().map(|step| step.cell).collect();
            *counts.entry(order).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }
}
