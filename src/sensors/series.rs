//! What can be computed from one channel's readings: values between them, energy over a time. Pure.

use super::{ChannelKind, Series};

const NS: f64 = 1e9;

impl Series {
    /// The value at a moment, on the straight line between the readings around it. `None` where
    /// there is no reading on both sides.
    pub fn at(&self, ns: u64) -> Option<f64> {
        let after = self.at_ns.partition_point(|&at| at < ns);
        let (&t1, &v1) = self.at_ns.get(after).zip(self.values.get(after))?;
        if t1 == ns {
            return Some(v1);
        }
        let before = after.checked_sub(1)?;
        let (t0, v0) = (self.at_ns[before], self.values[before]);
        Some(v0 + (v1 - v0) * (ns - t0) as f64 / (t1 - t0) as f64)
    }

    /// Joules from one moment to another: the difference of a counter, or the area under a power by
    /// trapezoids, in both cases with the readings just outside. `None` for other kinds, where there
    /// is no reading on both sides, and where a counter falls: it started again, nobody knows at what.
    pub fn joules_between(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let (first, last) = (self.at(from_ns)?, self.at(to_ns)?);
        match self.channel.kind {
            ChannelKind::Energy => {
                let inside = self.between(from_ns, to_ns);
                let counts = [first].into_iter().chain(self.values[inside].iter().copied());
                // Between two readings the straight line falls if the counter does.
                counts.chain([last]).is_sorted().then_some(last - first)
            }
            ChannelKind::Power => {
                let inside = self.between(from_ns, to_ns);
                let readings = self.at_ns[inside.clone()].iter().zip(&self.values[inside]);
                let mut at = (from_ns, first);
                let mut sum = 0.0;
                for (&ns, &watts) in readings.chain([(&to_ns, &last)]) {
                    sum += (at.1 + watts) / 2.0 * ns.saturating_sub(at.0) as f64 / NS;
                    at = (ns, watts);
                }
                Some(sum)
            }
            _ => None,
        }
    }

    /// Joules and seconds from the first reading to the last.
    pub fn joules(&self) -> Option<(f64, f64)> {
        let (&first, &last) = self.at_ns.first().zip(self.at_ns.last())?;
        let seconds = last.saturating_sub(first) as f64 / NS;
        Some((self.joules_between(first, last)?, seconds)).filter(|_| seconds > 0.0)
    }

    /// Seconds between two readings on average; `None` below two of them.
    pub fn interval_s(&self) -> Option<f64> {
        let (first, last) = self.at_ns.first().zip(self.at_ns.last())?;
        let n = self.at_ns.len().max(self.n_readings as usize).checked_sub(1).filter(|&n| n > 0)?;
        Some(last.saturating_sub(*first) as f64 / NS / n as f64)
    }

    /// Without readings that do not change: of each run of equal values the first and the last stay.
    pub fn thinned(mut self) -> Series {
        let values = &self.values;
        let changes =
            |i: usize, j: usize| values.get(i).zip(values.get(j)).is_none_or(|(a, b)| a != b);
        let kept: Vec<usize> = (0..values.len())
            .filter(|&i| i == 0 || changes(i, i - 1) || changes(i, i + 1))
            .collect();
        self.n_readings = values.len() as u32;
        self.at_ns = kept.iter().map(|&i| self.at_ns[i]).collect();
        self.values = kept.iter().map(|&i| self.values[i]).collect();
        self
    }

    fn between(&self, from_ns: u64, to_ns: u64) -> std::ops::Range<usize> {
        let start = self.at_ns.partition_point(|&at| at < from_ns);
        let end = self.at_ns.partition_point(|&at| at <= to_ns).max(start);
        start..end.min(self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Quality, Scope};
    use super::*;

    fn series(kind: ChannelKind, readings: &[(u64, f64)]) -> Series {
        Series {
            channel: Channel {
                id: "x".to_owned(),
                kind,
                source: String::new(),
                scope: Scope::Board,
                quality: Quality::Instant,
                cause: None,
                relevant: true,
            },
            at_ns: readings.iter().map(|(s, _)| s * 1_000_000_000).collect(),
            values: readings.iter().map(|(_, v)| *v).collect(),
            n_readings: 0,
            n_failed: 0,
        }
    }

    fn ns(s: f64) -> u64 {
        (s * 1e9) as u64
    }

    #[test]
    fn the_area_under_a_power_ends_where_the_phase_does() {
        let power = series(ChannelKind::Power, &[(0, 10.0), (2, 10.0), (4, 20.0), (6, 20.0)]);
        assert_eq!(power.joules_between(ns(0.0), ns(2.0)), Some(20.0));
        assert_eq!(power.joules_between(ns(2.0), ns(4.0)), Some(30.0));
        // 12.5 W at 2.5 s and 17.5 W at 3.5 s: no reading lies between.
        assert_eq!(power.joules_between(ns(2.5), ns(3.5)), Some(15.0));
        assert_eq!(power.joules_between(ns(1.0), ns(5.0)), Some(10.0 + 30.0 + 20.0));
        assert_eq!(power.joules(), Some((90.0, 6.0)));
    }

    #[test]
    fn of_a_counter_the_difference_counts() {
        let counter = series(ChannelKind::Energy, &[(0, 100.0), (2, 120.0), (4, 160.0)]);
        assert_eq!(counter.joules_between(ns(1.0), ns(3.0)), Some(30.0));
        assert_eq!(counter.joules(), Some((60.0, 4.0)));
    }

    #[test]
    fn a_counter_that_falls_tells_no_energy() {
        let counter = series(
            ChannelKind::Energy,
            &[(0, 100.0), (2, 120.0), (4, 5.0), (6, 300.0), (8, 310.0)],
        );
        assert_eq!(counter.joules_between(ns(1.0), ns(5.0)), None);
        assert_eq!(counter.joules_between(ns(2.5), ns(3.5)), None);
        assert_eq!(counter.joules(), None, "it ends above its beginning all the same");
        assert_eq!(counter.joules_between(ns(0.0), ns(1.0)), Some(10.0));
        assert_eq!(counter.joules_between(ns(0.0), ns(2.0)), Some(20.0));
        assert_eq!(counter.joules_between(ns(6.0), ns(8.0)), Some(10.0));
    }

    #[test]
    fn what_was_not_read_on_both_sides_has_no_energy() {
        let power = series(ChannelKind::Power, &[(1, 10.0), (2, 10.0)]);
        assert_eq!(power.joules_between(ns(0.5), ns(2.0)), None);
        assert_eq!(power.joules_between(ns(1.0), ns(2.5)), None);
        assert_eq!(series(ChannelKind::Power, &[]).joules(), None);
        assert_eq!(series(ChannelKind::Power, &[(1, 5.0)]).joules(), None);
        let heat = series(ChannelKind::Temperature, &[(1, 10.0), (2, 10.0)]);
        assert_eq!(heat.joules(), None);
    }

    #[test]
    fn thinned_readings_say_the_same_at_every_moment() {
        let flag = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let readings: Vec<(u64, f64)> = (0..).zip(flag).collect();
        let whole = series(ChannelKind::Flag, &readings);
        let thin = whole.clone().thinned();
        assert_eq!(thin.values, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!((thin.interval_s(), whole.interval_s()), (Some(1.0), Some(1.0)));
        for tenth in 0..=80 {
            let at = ns(f64::from(tenth) / 10.0);
            assert_eq!(thin.at(at), whole.at(at), "{tenth}");
        }
        assert!(series(ChannelKind::Flag, &[]).thinned().values.is_empty());
        assert_eq!(series(ChannelKind::Flag, &[(3, 1.0)]).thinned().values, [1.0]);
    }
}
