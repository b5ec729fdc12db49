//! Every channel, looked at twice: what it tells, and how fast what it counts grows.

use super::{Channel, Source};
use crate::clock::Clock;
use crate::units::Nanos;

/// A channel and what it told.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The channel.
    pub channel: Channel,
    /// Its value, or why there was none.
    pub value: Result<f64, String>,
    /// Of a counter, its growth per second.
    pub per_s: Option<f64>,
}

/// Reads every channel, lets `span` pass, and reads them again. Without a span they are read once,
/// and nothing is known of growth.
pub fn look_twice(sources: &mut [Source], clock: &dyn Clock, span: Nanos) -> Vec<Seen> {
    let mut read = |source: &mut Source| (clock.now(), source.reader.read());
    if span == Nanos(0) {
        let once = |source: &mut Source| Seen {
            channel: source.channel.clone(),
            value: read(source).1,
            per_s: None,
        };
        return sources.iter_mut().map(once).collect();
    }
    let first: Vec<_> = sources.iter_mut().map(&mut read).collect();
    clock.pass(span);
    let again = |(source, (before, was)): (&mut Source, (Nanos, Result<f64, String>))| {
        let (now, value) = read(source);
        let per_s = match (was, &value) {
            (Ok(was), Ok(is)) if source.channel.kind.is_counter() && now > before => {
                // A counter that was set back tells nothing of this second.
                Some((is - was) / now.since(before).as_s()).filter(|rate| *rate >= 0.0)
            }
            _ => None,
        };
        Seen { channel: source.channel.clone(), value, per_s }
    };
    sources.iter_mut().zip(first).map(again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;
    use crate::sensors::{ChannelKind, Quality, Reader, Scope};

    struct Told(Vec<Result<f64, String>>);

    impl Reader for Told {
        fn read(&mut self) -> Result<f64, String> {
            self.0.remove(0)
        }
    }

    fn source(kind: ChannelKind, told: &[Result<f64, String>]) -> Source {
        let channel = Channel {
            id: "a".to_owned(),
            kind,
            source: String::new(),
            scope: Scope::Package,
            quality: Quality::Counter,
            cause: None,
            relevant: true,
        };
        Source { channel, reader: Box::new(Told(told.to_vec())) }
    }

    #[test]
    fn a_counter_has_a_rate_and_anything_else_its_last_value() {
        let gone = || Err("gone".to_owned());
        let mut sources = [
            source(ChannelKind::Energy, &[Ok(100.0), Ok(125.0)]),
            source(ChannelKind::Temperature, &[Ok(50.0), Ok(51.0)]),
            source(ChannelKind::Energy, &[Ok(100.0), Ok(3.0)]),
            source(ChannelKind::Energy, &[gone(), Ok(3.0)]),
            source(ChannelKind::Temperature, &[Ok(50.0), gone()]),
        ];
        let clock = ScriptedClock::default();
        let seen = look_twice(&mut sources, &clock, Nanos(2_000_000_000));
        let told: Vec<_> = seen.into_iter().map(|seen| (seen.value, seen.per_s)).collect();
        let expected = [
            (Ok(125.0), Some(12.5)),
            (Ok(51.0), None),
            (Ok(3.0), None),
            (Ok(3.0), None),
            (gone(), None),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn without_a_span_each_channel_is_read_once() {
        let mut sources = [source(ChannelKind::Energy, &[Ok(1.0)])];
        let seen = look_twice(&mut sources, &ScriptedClock::default(), Nanos(0));
        assert_eq!((&seen[0].value, seen[0].per_s), (&Ok(1.0), None));
    }
}
