//! The gate before an invocation: the machine has to be as it was at rest. Pure; whoever opens it
//! has the clock and the sensors.

use std::collections::BTreeMap;

use crate::record::Baseline;
use crate::sensors::{Channel, ChannelKind};
use crate::settings::Gate;
use crate::units::Nanos;

/// A temperature may be so much above the baseline, in degrees.
const WARMER: f64 = 3.0;
/// A cap below this share of what it was is a lower one.
const LOWERED: f64 = 0.995;

/// One wait.
pub struct Wait<'a> {
    gate: Gate,
    baseline: &'a Baseline,
    began: Nanos,
    /// Since when everything has been at rest.
    quiet_since: Option<Nanos>,
    /// What was not, when last anything was not.
    restless: Vec<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Look again.
    Wait,
    /// Begin.
    Open,
    /// Nobody waits any longer; these channels were not at rest.
    TooLong(Vec<String>),
}

impl<'a> Wait<'a> {
    /// Begins to wait at the moment `now`.
    pub fn new(gate: Gate, baseline: &'a Baseline, now: Nanos) -> Wait<'a> {
        Wait { gate, baseline, began: now, quiet_since: None, restless: Vec::new() }
    }

    /// What was not at rest, when last anything was not.
    pub fn restless(&self) -> &[String] {
        &self.restless
    }

    /// Takes in what was read last of each channel, at the moment `now`.
    pub fn look<'c>(
        &mut self,
        now: Nanos,
        latest: impl IntoIterator<Item = (&'c Channel, f64)>,
    ) -> Decision {
        let restless: Vec<String> = latest
            .into_iter()
            .filter(|(channel, value)| !is_at_rest(channel, *value, &self.baseline.values))
            .map(|(channel, _)| channel.id.clone())
            .collect();
        if restless.is_empty() {
            self.quiet_since.get_or_insert(now);
        } else {
            self.quiet_since = None;
            self.restless = restless;
        }
        let lasted = |since: Nanos, seconds: u32| now.since(since).as_s() >= f64::from(seconds);
        let quiet = self.quiet_since.is_some_and(|since| lasted(since, self.gate.hold_s));
        if quiet && lasted(self.began, self.gate.least_s) {
            Decision::Open
        } else if lasted(self.began, self.gate.limit_s) {
            match self.restless.is_empty() {
                // A limit that is shorter than what is to be held.
                true => Decision::Open,
                false => Decision::TooLong(self.restless.clone()),
            }
        } else {
            Decision::Wait
        }
    }
}

/// Whether a channel reads as it did at rest. Those that say nothing of rest always do.
fn is_at_rest(channel: &Channel, value: f64, baseline: &BTreeMap<String, f64>) -> bool {
    if !channel.relevant {
        return true;
    }
    let before = baseline.get(&channel.id).copied();
    match channel.kind {
        ChannelKind::Temperature => before.is_none_or(|before| value <= before + WARMER),
        // What was set when the machine was idle will not go away by waiting.
        ChannelKind::Flag | ChannelKind::Cooling => value <= before.unwrap_or(0.0),
        ChannelKind::ClockCap => before.is_none_or(|before| value >= LOWERED * before),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::{Quality, Scope};

    fn channel(id: &str, kind: ChannelKind) -> Channel {
        Channel {
            id: id.to_owned(),
            kind,
            source: String::new(),
            scope: Scope::Machine,
            quality: Quality::Instant,
            cause: None,
            relevant: true,
        }
    }

    /// A cpu at rest at 45 °C with a cap of 2.4 GHz.
    fn baseline() -> Baseline {
        let values = [("cpu", 45.0), ("cap", 2.4e9)];
        Baseline {
            values: values.map(|(id, value)| (id.to_owned(), value)).into(),
            ..Baseline::default()
        }
    }

    /// Decisions second by second; each temperature is that of the second.
    fn decisions(gate: Gate, temperatures: &[f64]) -> Vec<Decision> {
        let (baseline, cpu) = (baseline(), channel("cpu", ChannelKind::Temperature));
        let mut wait = Wait::new(gate, &baseline, Nanos(0));
        let seconds = (0..).map(|s| Nanos(s * 1_000_000_000));
        seconds.zip(temperatures).map(|(now, &t)| wait.look(now, [(&cpu, t)])).collect()
    }

    const GATE: Gate = Gate { baseline_s: 60, least_s: 2, hold_s: 3, limit_s: 9 };

    #[test]
    fn it_opens_when_the_machine_has_been_cool_for_long_enough_in_a_row() {
        let said = decisions(GATE, &[50.0, 48.0, 47.0, 49.0, 47.5, 46.0, 46.0, 45.0]);
        assert_eq!(said.iter().position(|d| *d == Decision::Open), Some(7));
        assert!(said[..7].iter().all(|d| *d == Decision::Wait));
    }

    #[test]
    fn a_cool_machine_waits_the_least_time_all_the_same() {
        let gate = Gate { hold_s: 0, ..GATE };
        let said = decisions(gate, &[40.0; 4]);
        assert_eq!(said.iter().position(|d| *d == Decision::Open), Some(2));
    }

    #[test]
    fn past_the_limit_it_tells_what_was_not_at_rest() {
        let said = decisions(GATE, &[60.0; 10]);
        assert_eq!(said[9], Decision::TooLong(vec!["cpu".to_owned()]));
        assert_eq!(said[8], Decision::Wait);
    }

    #[test]
    fn a_machine_that_was_at_rest_all_the_time_is_never_too_hot() {
        let gate = Gate { hold_s: 30, ..GATE };
        assert_eq!(decisions(gate, &[40.0; 10])[9], Decision::Open);
    }

    #[test]
    fn flags_cooling_states_and_caps_must_be_as_they_were_and_a_disk_may_be_hot() {
        let baseline = baseline();
        let at_rest =
            |id: &str, kind, value| is_at_rest(&channel(id, kind), value, &baseline.values);
        assert!(!at_rest("flag", ChannelKind::Flag, 1.0));
        assert!(at_rest("flag", ChannelKind::Flag, 0.0));
        assert!(!at_rest("fan", ChannelKind::Cooling, 2.0));
        assert!(!at_rest("cap", ChannelKind::ClockCap, 1.8e9));
        assert!(at_rest("cap", ChannelKind::ClockCap, 2.4e9));
        assert!(at_rest("power", ChannelKind::Power, 90.0));
        let disk = Channel { relevant: false, ..channel("cpu", ChannelKind::Temperature) };
        assert!(is_at_rest(&disk, 90.0, &baseline.values));
    }
}
