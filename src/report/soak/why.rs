//! Why a sustained run became slower: what rose around the onset.

use super::Moment;
use crate::record::{Cause, HeldBack, causes_around};

/// A cause begins at most so many windows before the onset: what falls slowly is seen late ...
const BEFORE_WINDOWS: f64 = 4.0;
/// ... or so many behind it: the onset itself is no better known.
const BEHIND_WINDOWS: f64 = 2.0;

/// A clock in the end below this share of what it was at first has fallen.
const FALLEN: f64 = 0.97;

/// Why it became slower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// These flags, counters or cooling states rose around the onset, the nearest first.
    Causes(Vec<Cause>),
    /// Something that does not tell its cause held the machine back.
    HeldBack(String),
    /// The clock is lower in the end than at first, and nothing tells why.
    ClockFell,
    /// Nothing that could be read changed.
    Unknown,
}

impl Why {
    /// Looks for what began around the onset of a run that lasted from and to `time_ns`; `window_ns` is
    /// the distance of two windows.
    pub fn of(
        spans: &[HeldBack],
        time_ns: (u64, u64),
        at_ns: u64,
        window_ns: u64,
        moments: [Option<Moment>; 3],
    ) -> Why {
        let windows = |n: f64| (n * window_ns as f64) as u64;
        let (earliest, latest) = (
            at_ns.saturating_sub(windows(BEFORE_WINDOWS)),
            at_ns.saturating_add(windows(BEHIND_WINDOWS)),
        );
        let (middle, reach) = (earliest.midpoint(latest), (latest - earliest) / 2);
        let causes = causes_around(spans, time_ns, middle, reach);
        if !causes.is_empty() {
            return Why::Causes(causes);
        }
        let nameless = spans
            .iter()
            .find(|span| !span.from_the_start && (earliest..=latest).contains(&span.from_ns));
        if let Some(span) = nameless {
            return Why::HeldBack(span.id.clone());
        }
        Why::of_moments(moments)
    }

    /// The same of stretches that name no cause, in seconds.
    pub fn of_spans(
        spans: &[super::Span],
        at_s: f64,
        window_s: f64,
        moments: [Option<Moment>; 3],
    ) -> Why {
        let near = at_s - BEFORE_WINDOWS * window_s..=at_s + BEHIND_WINDOWS * window_s;
        match spans.iter().find(|span| near.contains(&span.from_s)) {
            Some(span) => Why::HeldBack(span.id.clone()),
            None => Why::of_moments(moments),
        }
    }

    /// What the clock alone says.
    pub fn of_moments([first, _, last]: [Option<Moment>; 3]) -> Why {
        let clock = |moment: Option<Moment>| moment?.clock_hz;
        match clock(first).zip(clock(last)) {
            Some((first, last)) if last < FALLEN * first => Why::ClockFell,
            _ => Why::Unknown,
        }
    }

    /// For people: `throttled: heat, power limit`.
    pub fn words(&self) -> String {
        match self {
            Why::Causes(causes) => {
                let names: Vec<&str> = causes.iter().map(|cause| cause.name()).collect();
                format!("throttled: {}", names.join(", "))
            }
            Why::HeldBack(id) => format!("throttled, as {id} tells"),
            Why::ClockFell => "throttled: the clock fell and nothing tells why".to_owned(),
            Why::Unknown => "slowdown, cause unknown".to_owned(),
        }
    }
}
