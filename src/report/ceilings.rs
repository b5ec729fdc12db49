//! How a cell stands to what the device can do, in words: shares of the bandwidth of memory and of
//! peak arithmetic, and the ceilings themselves.

use std::collections::BTreeSet;

use super::text;
use super::view::{CellView, ReportView};
use crate::probe::Number;
use crate::record::{Efficiency, Probe, Record};
use crate::stats::median;

/// The header of the column that holds shares.
pub const HEADER: &str = "of device";

/// How much of what the device can do a cell used: medians over its finished invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Of the bandwidth of memory, in decode.
    pub mbu: Option<f64>,
    /// Of the peak of arithmetic, in prefill.
    pub mfu: Option<f64>,
    /// Bytes in a second that decode is held against.
    pub read_bytes_per_s: Option<f64>,
    /// Operations in a second that prefill is held against.
    pub ops_per_s: Option<f64>,
}

impl Shares {
    /// Those of these records.
    pub fn of(finished: &[&Record]) -> Shares {
        let each = |number: fn(&Efficiency) -> Option<f64>| {
            let all = finished.iter().filter_map(|record| number(record.efficiency.as_ref()?));
            median(&all.collect::<Vec<f64>>())
        };
        Shares {
            mbu: each(|e| e.mbu),
            mfu: each(|e| e.mfu),
            read_bytes_per_s: each(|e| e.mbu.map(|_| e.read_bytes_per_s)),
            ops_per_s: each(|e| e.ops_per_s),
        }
    }
}

/// `82 % mem`, of decode.
pub fn of_memory(cell: &CellView) -> String {
    cell.shares.mbu.map_or(String::new(), |share| format!("{} mem", percent(share)))
}

/// `41 % peak`, of prefill.
pub fn of_peak(cell: &CellView) -> String {
    cell.shares.mfu.map_or(String::new(), |share| format!("{} peak", percent(share)))
}

/// What all cells used, in a sentence; `None` where nothing is known.
pub fn note(view: &ReportView) -> Option<String> {
    let all = |number: fn(&Shares) -> Option<f64>| -> Vec<f64> {
        view.cells.iter().filter_map(|cell| number(&cell.shares)).collect()
    };
    let (mbu, mfu) = (all(|s| s.mbu), all(|s| s.mfu));
    let (read, ops) = (all(|s| s.read_bytes_per_s), all(|s| s.ops_per_s));
    let share = |share: f64| format!("{:.0}", share * 100.0);
    let part = |what: &str, shares: &[f64], of: &str, ceilings: &[f64], unit: &str| {
        let ceilings = span(ceilings, |rate| text::number(rate / 1e9))?;
        Some(format!("{what} used {} % of {of} ({ceilings} {unit})", span(shares, share)?))
    };
    let parts: Vec<String> = [
        part("decode", &mbu, "memory bandwidth", &read, "GB/s"),
        part("prefill", &mfu, "peak arithmetic", &ops, "Gop/s"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        return None;
    }
    let mut note = format!("{HEADER}: {}, as probed here", parts.join(", "));
    if mbu.iter().any(|share| *share > 1.0) {
        note.push_str("; more than 100 %: caches held part of what was read");
    }
    Some(note)
}

/// The headline figures of a probe: `2 threads: 36.6 GB/s from memory, int8 942 Gop/s, …`.
pub fn in_words(probe: &Probe) -> Option<String> {
    let counts: BTreeSet<u32> = probe.memory.iter().map(|reading| reading.n_threads).collect();
    let of = |n: u32| {
        let mut figures = Vec::new();
        if let Some(rate) = probe.read_bytes_per_s(n) {
            figures.push(format!("{} GB/s from memory", text::number(rate / 1e9)));
        }
        for number in Number::ALL {
            let unit = if number == Number::Int8 { "Gop/s" } else { "GFLOP/s" };
            if let Some(rate) = probe.ops_per_s(number, n) {
                figures.push(format!("{} {} {unit}", number.name(), text::number(rate / 1e9)));
            }
        }
        format!("{}: {}", text::count(n as usize, "thread"), figures.join(", "))
    };
    let mut told = counts.into_iter().map(of).collect::<Vec<_>>().join("; ");
    if told.is_empty() {
        return None;
    }
    if let Some(share) = probe.notable_foreign_share() {
        told.push_str(&format!("; other processes used {} of the CPUs meanwhile", percent(share)));
    }
    Some(told)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `74 to 82`, or one of them where both are shown alike.
fn span(values: &[f64], shown: impl Fn(f64) -> String) -> Option<String> {
    let least = shown(values.iter().copied().min_by(f64::total_cmp)?);
    let most = shown(values.iter().copied().max_by(f64::total_cmp)?);
    Some(if least == most { least } else { format!("{least} to {most}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_note_says_what_was_used_and_of_what() {
        let mut fixture = fixture::probed(3);
        let text = |fixture: &fixture::Fixture| {
            note(&ReportView::new(&fixture.run, &fixture.records)).unwrap()
        };
        assert_eq!(
            text(&fixture),
            "of device: decode used 50 to 80 % of memory bandwidth (17.00 GB/s), prefill used 41 % of \
             peak arithmetic (230.0 Gop/s), as probed here"
        );
        for record in &mut fixture.records {
            record.efficiency.as_mut().unwrap().mbu = Some(1.25);
            record.efficiency.as_mut().unwrap().mfu = None;
        }
        let above = text(&fixture);
        assert!(above.contains("used 125 % of memory") && above.contains("caches held"), "{above}");
        let bare = fixture::matrix(1);
        assert_eq!(note(&ReportView::new(&bare.run, &bare.records)), None);
    }

    #[test]
    fn the_share_of_a_cell_is_the_median_of_its_invocations() {
        let mut fixture = fixture::probed(3);
        for (record, mbu) in fixture.records.iter_mut().zip([0.5, 0.9, 0.6]) {
            record.efficiency.as_mut().unwrap().mbu = Some(mbu);
        }
        let view = ReportView::new(&fixture.run, &fixture.records);
        assert_eq!(view.cells[0].shares.mbu, Some(0.6));
        assert_eq!(of_memory(&view.cells[0]), "60 % mem");
        assert_eq!(of_peak(&view.cells[0]), "41 % peak");
    }

    #[test]
    fn a_probe_in_a_line_tells_each_number_of_threads() {
        let mut probe = fixture::probe();
        assert_eq!(
            in_words(&probe).unwrap(),
            "4 threads: 17.00 GB/s from memory, int8 230.0 Gop/s, f32 60.00 GFLOP/s"
        );
        probe.foreign_cpu_share = Some(0.25);
        assert!(
            in_words(&probe).unwrap().ends_with("other processes used 25 % of the CPUs meanwhile")
        );
        probe.memory.clear();
        assert_eq!(in_words(&probe), None);
    }
}
