//! Several measurements of one figure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure from several stretches of the same work.
///
/// A ceiling is the best: whatever else a machine does makes a stretch slower, nothing makes it
/// faster than the machine is. How far the middle half lies below it tells how often the ceiling
/// could be had meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The best stretch: the highest rate, or the shortest time.
    pub best: f64,
    /// Half of the stretches lie on either side.
    pub median: f64,
    /// A quarter lies below.
    pub q25: f64,
    /// A quarter lies above.
    pub q75: f64,
    /// How many stretches.
    pub n: u32,
}

/// Which end of a figure is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A rate.
    Higher,
    /// A time.
    Lower,
}

impl Spread {
    /// The spread of `values`; `None` of none.
    pub fn of(values: &[f64], better: Better) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let at = |p: f64| {
            let place = p * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Some(Spread {
            best: if better == Better::Higher { highest } else { lowest },
            median: at(0.5),
            q25: at(0.25),
            q75: at(0.75),
            n: values.len() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_a_rate_is_the_highest_and_of_a_time_the_shortest() {
        let values = [4.0, 1.0, 3.0, 2.0];
        let rate = Spread::of(&values, Better::Higher).unwrap();
        let expected = Spread { best: 4.0, median: 2.5, q25: 1.75, q75: 3.25, n: 4 };
        assert_eq!(rate, expected);
        let time = Spread::of(&values, Better::Lower).unwrap();
        assert_eq!(time, Spread { best: 1.0, ..expected });
        assert_eq!(Spread::of(&[], Better::Lower), None);
        assert_eq!(Spread::of(&[7.0], Better::Lower).unwrap().q25, 7.0);
    }
}
