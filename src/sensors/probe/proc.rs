//! How long tasks waited, how much the hypervisor took and how often tasks were switched: the noise
//! around a measurement, from `/proc/pressure` and `/proc/stat`.
//!
//! Source of truth: the kernel's `Documentation/accounting/psi.rst` and
//! `Documentation/filesystems/proc.rst`.

use super::super::{Channel, ChannelKind, Quality, Scope};
use super::command::Shared;
use super::file::number;
use super::{Finder, channel};
use crate::units::Nanos;

/// Finds them.
pub(super) fn counters(finder: &mut Finder) {
    for what in ["cpu", "memory", "io"] {
        let (id, path) = (format!("pressure/{what}"), format!("proc/pressure/{what}"));
        if let Some(file) = finder.hold(&id, &path) {
            if file.text().is_err() {
                // The files are there in some kernels that do not count.
                finder.miss(&id, "the kernel does not count: it was started without psi=1", None);
                continue;
            }
            let about = about(&id, ChannelKind::Waited, &path);
            finder.add(Channel { relevant: what != "io", ..about }, move || {
                Ok(some_total(&file.text()?)? * 1e-6)
            });
        }
    }
    stat(finder);
}

fn about(id: &str, kind: ChannelKind, path: &str) -> Channel {
    channel(id, kind, Scope::Machine, Quality::Counter, path)
}

/// Microseconds in which some task waited.
fn some_total(text: &str) -> Result<f64, String> {
    let line = text.lines().find(|line| line.starts_with("some "));
    number(line.and_then(|line| line.split("total=").nth(1)).unwrap_or_default().trim())
}

fn stat(finder: &mut Finder) {
    /// The two that are read in one round share one reading.
    const SERVES: Nanos = Nanos(5_000_000);
    const PATH: &str = "proc/stat";
    let Some(file) = finder.hold("stolen", PATH) else { return };
    let text = Shared::new(finder.clock.clone(), SERVES, move || Ok(numbers(&file.whole_text()?)));
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    let again = text.clone();
    if matches!(text.get(), Ok((Some(_), _))) {
        finder.add(about("stolen", ChannelKind::Waited, PATH), move || {
            Ok(text.get()?.0.ok_or("it does not tell stolen time")? / ticks_per_s)
        });
    }
    let switches = about("context-switches", ChannelKind::Count, PATH);
    finder.add(switches, move || Ok(again.get()?.1.ok_or("it does not tell switches")?));
}

/// Ticks stolen from all CPUs together, and context switches.
fn numbers(text: &str) -> (Option<f64>, Option<f64>) {
    /// Behind `cpu`: user nice system idle iowait irq softirq steal.
    const STEAL: usize = 7;
    let of = |key: &str, at: usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().nth(at)?.parse().ok()
    };
    (of("cpu ", STEAL), of("ctxt ", 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_in_their_places() {
        let text = "some avg10=0.00 avg60=1.00 avg300=0.00 total=2500\nfull avg10=0 total=1\n";
        assert_eq!(some_total(text), Ok(2500.0));
        assert!(some_total("full total=1").is_err());
        let stat = "cpu  1 2 3 4 5 6 7 80 0 0\ncpu0 1 2 3\nintr 5 0 0\nctxt 1234\nbtime 9\n";
        assert_eq!(numbers(stat), (Some(80.0), Some(1234.0)));
        assert_eq!(numbers("cpu  1 2 3 4\n"), (None, None));
    }
}
