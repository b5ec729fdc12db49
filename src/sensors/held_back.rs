//! When something held the machine back: spans of time, read off the series of flags, cooling
//! states, caps and counters. Pure.

use std::collections::BTreeMap;

use super::{Cause, ChannelKind, Series};

/// A cap counts as lowered when it is below this share of what it was: it is reported in steps.
const LOWERED: f64 = 0.995;

/// A counter of seconds counts where it grew by at least this share of the time between two readings:
/// some grow by a trifle all the time.
const LEAST_SHARE: f64 = 0.01;

/// A stretch of time in which a channel says that something held the machine back.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldBack {
    /// The first moment at which it is known, on the monotonic clock.
    pub from_ns: u64,
    /// The first moment at which it is known to be over, or the last one of all.
    pub to_ns: u64,
    /// The channel.
    pub id: String,
    /// What it stands for; `None` where the channel does not tell.
    pub cause: Option<Cause>,
    /// Whether it already did so at the first reading.
    pub from_the_start: bool,
}

/// Every such stretch, by its beginning. `idle` holds what flags, cooling states and caps were at rest;
/// where it does not know a channel, its first reading counts, and of a flag zero.
pub fn held_back<'a>(
    series: impl IntoIterator<Item = &'a Series>,
    idle: &BTreeMap<String, f64>,
) -> Vec<HeldBack> {
    let mut spans: Vec<HeldBack> = series
        .into_iter()
        .filter(|series| series.channel.relevant)
        .flat_map(|series| of_channel(series, idle.get(&series.channel.id).copied()))
        .collect();
    spans.sort_by_key(|span| span.from_ns);
    spans
}

fn of_channel(series: &Series, idle: Option<f64>) -> Vec<HeldBack> {
    let kind = series.channel.kind;
    let Some(&first) = series.values.first() else { return Vec::new() };
    let at_rest = idle.unwrap_or(if kind == ChannelKind::Flag { 0.0 } else { first });
    let counts = matches!(kind, ChannelKind::Count | ChannelKind::HeldBack);
    // A counter or a flag without a cause tells of something else: switches between tasks, a GPU that
    // idles.
    if (counts || kind == ChannelKind::Flag) && series.channel.cause.is_none() {
        return Vec::new();
    }
    let holds = |i: usize| {
        let value = series.values[i];
        match kind {
            ChannelKind::Flag | ChannelKind::Cooling => value > at_rest,
            ChannelKind::ClockCap => value < LOWERED * at_rest,
            ChannelKind::Count => i > 0 && value > series.values[i - 1],
            ChannelKind::HeldBack => {
                let grew = |i: usize| value - series.values[i];
                let s = |i: usize| series.at_ns[i + 1].saturating_sub(series.at_ns[i]) as f64 / 1e9;
                let before = i.checked_sub(1);
                before.is_some_and(|i| grew(i) > 0.0 && grew(i) >= LEAST_SHARE * s(i))
            }
            _ => false,
        }
    };
    let mut spans: Vec<HeldBack> = Vec::new();
    let mut open = false;
    for (i, &at_ns) in series.at_ns.iter().enumerate() {
        if !holds(i) {
            // What is set holds until it is read to be so no longer.
            if let Some(span) = spans.last_mut().filter(|_| open && !counts) {
                span.to_ns = at_ns;
            }
            open = false;
            continue;
        }
        match spans.last_mut().filter(|_| open) {
            Some(span) => span.to_ns = at_ns,
            None => spans.push(HeldBack {
                // A counter rose at some time since it was last read.
                from_ns: if counts { series.at_ns[i - 1] } else { at_ns },
                to_ns: at_ns,
                id: series.channel.id.clone(),
                cause: series.channel.cause,
                from_the_start: i == 0,
            }),
        }
        open = true;
    }
    spans
}

/// What held the machine back around `at_ns`: the causes of all stretches that begin within
/// `within_ns` of it, the one whose beginning is nearest first, each once. Under-voltage goes before
/// all others: on a Raspberry Pi it sets the flags of heat as well.
///
/// A channel that held the machine back as much before as after is no cause. Within `time_ns`, from and
/// to, the share of the time in which it does so has to be, after the moment, twice what it was until
/// `within_ns` before it, and two hundredths more.
pub fn causes_around(
    spans: &[HeldBack],
    time_ns: (u64, u64),
    at_ns: u64,
    within_ns: u64,
) -> Vec<Cause> {
    let share = |id: &str, from: u64, to: u64| {
        let of_channel = spans.iter().filter(|span| span.id == id);
        let held = of_channel.map(|span| span.to_ns.min(to).saturating_sub(span.from_ns.max(from)));
        held.sum::<u64>() as f64 / to.saturating_sub(from).max(1) as f64
    };
    let rose = |span: &&HeldBack| {
        let before = share(&span.id, time_ns.0, at_ns.saturating_sub(within_ns));
        share(&span.id, at_ns, time_ns.1) >= 2.0 * before + 0.02
    };
    let mut near: Vec<(u64, Cause)> = spans
        .iter()
        .filter(|span| !span.from_the_start && span.from_ns.abs_diff(at_ns) <= within_ns)
        .filter(rose)
        .filter_map(|span| Some((span.from_ns.abs_diff(at_ns), span.cause?)))
        .collect();
    near.sort_by_key(|(distance, cause)| (*cause != Cause::UnderVoltage, *distance));
    let mut causes: Vec<Cause> = Vec::new();
    for (_, cause) in near {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Quality, Scope};
    use super::*;

    fn series(kind: ChannelKind, cause: Option<Cause>, values: &[f64]) -> Series {
        Series {
            channel: Channel {
                id: format!("{kind:?}"),
                kind,
                source: "sys/somewhere".to_owned(),
                scope: Scope::Machine,
                quality: Quality::Instant,
                cause,
                relevant: true,
            },
            at_ns: (0..values.len() as u64).map(|i| 10 * i).collect(),
            values: values.to_vec(),
            n_readings: 0,
            n_failed: 0,
        }
    }

    fn spans(series: &Series, idle: Option<f64>) -> Vec<(u64, u64)> {
        let idle = idle.map(|value| (series.channel.id.clone(), value));
        let spans = held_back(std::slice::from_ref(series), &idle.into_iter().collect());
        spans.iter().map(|span| (span.from_ns, span.to_ns)).collect()
    }

    #[test]
    fn a_flag_holds_back_while_it_is_set() {
        let flag = series(ChannelKind::Flag, Some(Cause::Thermal), &[0.0, 1.0, 1.0, 0.0, 1.0]);
        assert_eq!(spans(&flag, None), [(10, 30), (40, 40)]);
        assert_eq!(spans(&flag, Some(0.0)), [(10, 30), (40, 40)]);
        assert_eq!(spans(&flag, Some(1.0)), [], "it is set at rest as well");
    }

    #[test]
    fn a_cooling_device_and_a_cap_hold_back_beyond_what_they_were_at_rest() {
        let cooling = series(ChannelKind::Cooling, Some(Cause::Thermal), &[1.0, 1.0, 3.0, 1.0]);
        assert_eq!(spans(&cooling, None), [(20, 30)]);
        assert_eq!(spans(&cooling, Some(0.0)), [(0, 30)]);
        let cap = series(ChannelKind::ClockCap, None, &[2.4e9, 2.4e9, 2.395e9, 1.8e9]);
        assert_eq!(spans(&cap, Some(2.4e9)), [(30, 30)]);
    }

    #[test]
    fn a_counter_holds_back_from_the_reading_before_it_rose() {
        let count = series(ChannelKind::Count, Some(Cause::Thermal), &[7.0, 7.0, 8.0, 9.0, 9.0]);
        assert_eq!(spans(&count, None), [(10, 30)]);
        let switches = series(ChannelKind::Count, None, &[7.0, 8.0, 9.0]);
        assert_eq!(spans(&switches, None), []);
    }

    #[test]
    fn what_is_not_relevant_or_was_never_read_tells_nothing() {
        let mut flag = series(ChannelKind::Flag, Some(Cause::Battery), &[1.0]);
        flag.channel.relevant = false;
        assert_eq!(spans(&flag, None), []);
        assert_eq!(spans(&series(ChannelKind::Flag, None, &[]), None), []);
    }

    #[test]
    fn a_counter_of_seconds_counts_from_one_hundredth_of_the_time_on() {
        let seconds = |values: &[f64]| {
            let mut held = series(ChannelKind::HeldBack, Some(Cause::PowerCap), values);
            held.at_ns = (0..values.len() as u64).map(|s| s * 1_000_000_000).collect();
            spans(&held, None)
        };
        assert_eq!(seconds(&[5.0, 5.0, 5.5, 5.509]), [(1_000_000_000, 2_000_000_000)]);
        assert_eq!(seconds(&[5.0, 5.002, 5.004]), []);
        assert_eq!(seconds(&[5.0, 4.0, 4.0]), []);
    }

    fn span(id: &str, cause: Cause, from_ns: u64, to_ns: u64) -> HeldBack {
        let from_the_start = from_ns == 0;
        HeldBack { from_ns, to_ns, id: id.to_owned(), cause: Some(cause), from_the_start }
    }

    #[test]
    fn the_nearest_cause_is_named_first_and_what_was_there_from_the_start_is_none() {
        let spans = [
            span("a", Cause::Policy, 0, 900),
            span("b", Cause::PowerCap, 80, 900),
            span("c", Cause::Thermal, 95, 900),
            span("d", Cause::Thermal, 99, 900),
            span("e", Cause::UnderVoltage, 300, 900),
        ];
        let causes = |at_ns, within_ns| causes_around(&spans, (0, 900), at_ns, within_ns);
        assert_eq!(causes(100, 100), [Cause::Thermal, Cause::PowerCap]);
        assert_eq!(causes(200, 10), []);
        let all = causes(100, 200);
        assert_eq!(all, [Cause::UnderVoltage, Cause::Thermal, Cause::PowerCap]);
    }

    #[test]
    fn what_held_back_as_much_before_is_no_cause() {
        // A power limit that is touched every 10 s, all the time; heat from 500 on, on and off.
        let mut spans: Vec<HeldBack> =
            (1..100).map(|i| span("cap", Cause::PowerCap, 10 * i, 10 * i + 3)).collect();
        spans.extend((50..100).map(|i| span("heat", Cause::Thermal, 10 * i, 10 * i + 3)));
        assert_eq!(causes_around(&spans, (0, 1000), 505, 20), [Cause::Thermal]);
        // Once, for a moment: it explains no slowdown of minutes.
        let once = [span("v", Cause::UnderVoltage, 498, 499)];
        assert_eq!(causes_around(&once, (0, 1000), 505, 20), []);
    }
}
