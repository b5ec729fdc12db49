//! Energy of an invocation's passes, by channel and kind of work.
//!
//! A figure is always of one channel: what a chip draws, a board, a battery and the wall are different
//! things, and none of them is ever added to another.

use super::{Baseline, Record, Work};
use crate::sensors::{ChannelKind, Quality, Scope, Series};

/// What a channel says of one kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyUse {
    /// The channel's name.
    pub id: String,
    /// What it covers.
    pub scope: Scope,
    /// How its numbers come about.
    pub quality: Quality,
    /// Energy in all.
    pub joules: f64,
    /// Time in all.
    pub seconds: f64,
    /// Tokens in all.
    pub tokens: f64,
    /// Watts drawn by the idle machine; absent where nobody looked.
    pub idle_watts: Option<f64>,
}

impl EnergyUse {
    /// Joules per token, the idle machine's with them.
    pub fn gross_j_per_token(&self) -> f64 {
        self.joules / self.tokens
    }

    /// Joules per token beyond what the idle machine would have drawn.
    pub fn net_j_per_token(&self) -> Option<f64> {
        Some((self.joules - self.idle_watts? * self.seconds) / self.tokens)
    }

    /// Watts on average.
    pub fn watts(&self) -> f64 {
        self.joules / self.seconds
    }
}

/// Passes shorter than this many readings are not told apart from what is around them.
const LEAST_READINGS: f64 = 2.0;

impl Record {
    /// What each channel of power or energy says of one kind of work, in the passes that lie between
    /// two moments. Channels with too few readings are left out.
    pub fn energy_between(
        &self,
        work: Work,
        (from_ns, to_ns): (u64, u64),
        baseline: Option<&Baseline>,
    ) -> Vec<EnergyUse> {
        let passes = || {
            self.samples.iter().filter_map(move |sample| {
                let span = work.span_ns(sample)?;
                let tokens = work.n_tokens(sample, self.cell.n_prompt);
                let is_inside = span.0 >= from_ns && span.1 <= to_ns;
                is_inside.then_some((span, tokens))
            })
        };
        let n = passes().count();
        let seconds: f64 = passes().map(|((a, b), _)| (b - a) as f64 / 1e9).sum();
        let tokens: f64 = passes().map(|(_, tokens)| tokens).sum();
        if n == 0 || tokens <= 0.0 || seconds <= 0.0 {
            return Vec::new();
        }
        let of_channel = |series: &Series| {
            let is_energy = matches!(series.channel.kind, ChannelKind::Power | ChannelKind::Energy);
            let interval_s = series.interval_s().filter(|_| is_energy)?;
            if seconds / (n as f64) < LEAST_READINGS * interval_s {
                return None;
            }
            // A pass without a reading on both sides is left out with its tokens.
            let (mut joules, mut seconds, mut tokens) = (0.0, 0.0, 0.0);
            for ((from, to), n) in passes() {
                if let Some(drawn) = series.joules_between(from, to) {
                    joules += drawn;
                    seconds += (to - from) as f64 / 1e9;
                    tokens += n;
                }
            }
            (tokens > 0.0).then(|| EnergyUse {
                id: series.channel.id.clone(),
                scope: series.channel.scope,
                quality: series.channel.quality,
                joules,
                seconds,
                tokens,
                idle_watts: baseline.and_then(|b| b.idle_watts.get(&series.channel.id).copied()),
            })
        };
        self.relevant_series().filter_map(of_channel).collect()
    }

    /// What was read of the machine that computed: of a cell on the CPU not what a graphics card tells,
    /// which has a chip, a memory and a supply of its own.
    pub fn relevant_series(&self) -> impl Iterator<Item = &Series> {
        let device = self.resolved.as_ref().map(|resolved| resolved.backend_device.as_str());
        let on_cpu = device.is_none_or(|device| device.eq_ignore_ascii_case("cpu"));
        let all = self.sensors.iter().flat_map(|log| &log.series);
        all.filter(move |series| !(on_cpu && series.channel.id.starts_with("nvml/")))
    }

    /// The same of all its passes.
    pub fn energy(&self, work: Work, baseline: Option<&Baseline>) -> Vec<EnergyUse> {
        self.energy_between(work, (0, u64::MAX), baseline)
    }
}

/// Of several channels the one that is told where there is room for one: what covers most, the wall
/// before a board, a board before a battery, a battery before a chip; of several of one scope the one
/// that says most. A rail says little by itself.
pub fn widest(uses: &[EnergyUse]) -> Option<&EnergyUse> {
    const ORDER: [Scope; 4] = [Scope::Wall, Scope::Board, Scope::Battery, Scope::Package];
    ORDER.iter().find_map(|scope| {
        let of_scope = uses.iter().filter(|usage| usage.scope == *scope);
        of_scope.max_by(|a, b| a.joules.total_cmp(&b.joules))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(id: &str, scope: Scope, joules: f64) -> EnergyUse {
        EnergyUse {
            id: id.to_owned(),
            scope,
            quality: Quality::Counter,
            joules,
            seconds: 10.0,
            tokens: 50.0,
            idle_watts: None,
        }
    }

    #[test]
    fn the_idle_machine_is_taken_off_only_where_it_is_known() {
        let gross = usage("x", Scope::Board, 100.0);
        assert_eq!((gross.gross_j_per_token(), gross.net_j_per_token()), (2.0, None));
        let net = EnergyUse { idle_watts: Some(4.0), ..gross };
        assert_eq!(net.net_j_per_token(), Some(1.2));
        assert_eq!(net.watts(), 10.0);
    }

    #[test]
    fn what_covers_most_is_told_and_rails_are_not() {
        let uses = [
            usage("core", Scope::Package, 40.0),
            usage("package", Scope::Package, 60.0),
            usage("rail", Scope::Rail, 900.0),
        ];
        assert_eq!(widest(&uses).unwrap().id, "package");
        let mut more = uses.to_vec();
        more.push(usage("board", Scope::Board, 80.0));
        assert_eq!(widest(&more).unwrap().id, "board");
        assert_eq!(widest(&uses[2..]), None);
    }

    #[test]
    fn a_pass_without_a_reading_on_both_sides_is_left_out_with_its_tokens() {
        let pass = |start_s: u64| crate::record::Sample {
            start_ns: start_s * 1_000_000_000,
            itl_ns: vec![1_000_000_000; 4],
            ..Default::default()
        };
        let channel = crate::sensors::Channel {
            id: "meter/csv".to_owned(),
            kind: ChannelKind::Power,
            source: String::new(),
            scope: Scope::Wall,
            quality: Quality::Averaged,
            cause: None,
            relevant: true,
        };
        // A reading a second at 10 W, the last one in the middle of the third pass.
        let at_ns: Vec<u64> = (0..=22).map(|s| s * 1_000_000_000).collect();
        let values = vec![10.0; at_ns.len()];
        let series = Series { channel, at_ns, values, n_readings: 0, n_failed: 0 };
        let mut record = crate::report::fixture::single(1).records.remove(0);
        record.samples = vec![pass(0), pass(10), pass(20)];
        record.sensors =
            Some(crate::sensors::SensorLog { series: vec![series], ..Default::default() });
        let uses = record.energy(Work::Decode, None);
        assert_eq!(uses.len(), 1);
        assert_eq!((uses[0].tokens, uses[0].joules), (8.0, 80.0));
        assert_eq!(uses[0].gross_j_per_token(), 10.0);
    }
}
