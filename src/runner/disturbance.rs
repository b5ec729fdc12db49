//! When the rest of the machine took so much that a number should not be trusted as it stands.

use crate::sensors::ForeignLoad;
use crate::units::Nanos;

/// Other processes may take this share of the CPUs that the child may use.
const CPU_SHARE: f64 = 0.05;
/// ... or this much CPU time in all, whichever is more: `/proc/stat` counts in steps of 10 ms.
const CPU_TIME: Nanos = Nanos(100_000_000);
/// The hypervisor may take this share of them.
const STEAL_SHARE: f64 = 0.02;
/// ... or this much in all, whichever is more.
const STEAL_TIME: Nanos = Nanos(50_000_000);
/// Tasks may wait for memory in this share of the time.
const MEMORY_PRESSURE_SHARE: f64 = 0.01;
/// The child's threads may be taken off a CPU this often in a second.
const SWITCHES_PER_S: f64 = 100.0;

/// Whether an invocation was disturbed, whose passes took `timed` in all.
pub fn is_disturbed(load: &ForeignLoad, switches: Option<u64>, timed: Nanos) -> bool {
    let above = |value: Option<f64>, limit: f64| value.is_some_and(|v| v > limit);
    (above(load.cpu_share, CPU_SHARE) && load.cpu > Some(CPU_TIME))
        || (above(load.steal_share, STEAL_SHARE) && load.steal > Some(STEAL_TIME))
        || above(load.memory_pressure_share, MEMORY_PRESSURE_SHARE)
        || above(switches.map(|n| n as f64 / timed.as_s().max(0.1)), SWITCHES_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = Nanos(1_000_000_000);

    #[test]
    fn a_quiet_machine_disturbs_nothing_and_a_machine_that_tells_nothing_does_neither() {
        let quiet = ForeignLoad {
            cpu_share: Some(0.01),
            cpu: Some(Nanos(20_000_000)),
            steal_share: Some(0.001),
            steal: Some(Nanos(2_000_000)),
            memory_pressure_share: Some(0.0),
        };
        assert!(!is_disturbed(&quiet, Some(3), SECOND));
        assert!(!is_disturbed(&ForeignLoad::default(), None, SECOND));
    }

    #[test]
    fn each_kind_of_disturbance_is_enough_by_itself() {
        let quiet = ForeignLoad::default();
        let busy = ForeignLoad { cpu_share: Some(0.2), cpu: Some(Nanos(400_000_000)), ..quiet };
        assert!(is_disturbed(&busy, None, SECOND));
        let stolen =
            ForeignLoad { steal_share: Some(0.1), steal: Some(Nanos(100_000_000)), ..quiet };
        assert!(is_disturbed(&stolen, None, SECOND));
        let pressed = ForeignLoad { memory_pressure_share: Some(0.05), ..quiet };
        assert!(is_disturbed(&pressed, None, SECOND));
        assert!(is_disturbed(&quiet, Some(500), SECOND));
    }

    #[test]
    fn a_tick_of_the_kernels_clock_in_a_short_cell_is_no_disturbance() {
        let tick = ForeignLoad {
            cpu_share: Some(0.25),
            cpu: Some(Nanos(10_000_000)),
            ..ForeignLoad::default()
        };
        assert!(!is_disturbed(&tick, None, Nanos(20_000_000)));
    }
}
