//! External power meters: a CSV file that something else writes, or a command that prints what it
//! measures. What a meter at the wall shows is the machine as a whole, losses of its supply included.
//!
//! A file is read when its numbers are wanted, so it may still grow during a run. A command is
//! started once and ended with the run. Here is how a meter is named, and how its readings come to
//! lie on the monotonic clock; what a file says is understood in `csv`, and a command is run in
//! `command`.

mod command;
mod csv;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use self::command::Running;
use self::csv::read_file;
use super::{Channel, ChannelKind, Missing, Quality, Scope, Series};
use crate::clock::Clock;
use crate::units::Nanos;

/// Where power is told: `csv:FILE` or `cmd:COMMAND`, with `,scope=board` behind it where the meter
/// does not stand at the wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerSource {
    told_by: ToldBy,
    scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ToldBy {
    Csv(PathBuf),
    Command(String),
}

/// Why a meter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// It is named in no known way.
    #[error(
        "power source `{found}`: {message}\nhint: csv:FILE or cmd:COMMAND, at its end \
             `,scope=board` where the meter does not stand at the wall"
    )]
    Word {
        /// What was given.
        found: String,
        /// What is wrong with it.
        message: String,
    },
    /// Its file cannot be read.
    #[error(
        "{file}: {message}\nhint: the file must be there when the run begins, if only with its \
             header"
    )]
    File {
        /// The file as it was named.
        file: String,
        /// What the system says.
        message: String,
    },
    /// A place in its file that is not understood.
    #[error("{file}:{line}: {}{message}\nhint: {hint}",
            column.as_ref().map(|name| format!("column `{name}`: ")).unwrap_or_default())]
    Place {
        /// The file as it was named.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, where it is one of them.
        column: Option<String>,
        /// What was found there.
        message: String,
        /// What would be right.
        hint: &'static str,
    },
    /// Its command cannot be started.
    #[error("power source `cmd:{command}` cannot be started: {message}")]
    Start {
        /// The command.
        command: String,
        /// What the system says.
        message: String,
    },
}

const SCOPES: [(&str, Scope); 5] = [
    ("wall", Scope::Wall),
    ("board", Scope::Board),
    ("battery", Scope::Battery),
    ("rail", Scope::Rail),
    ("package", Scope::Package),
];

impl PowerSource {
    /// Reads `csv:FILE` or `cmd:COMMAND`, with `,scope=WORD` at the end or without.
    pub fn parse(text: &str) -> Result<PowerSource, MeterError> {
        let wrong = |message: String| MeterError::Word { found: text.to_owned(), message };
        let (told, scope) = match text.rsplit_once(",scope=") {
            None => (text, Scope::Wall),
            Some((told, word)) => {
                let scope = SCOPES.iter().find(|(name, _)| *name == word.trim());
                let names = SCOPES.map(|(name, _)| name).join(", ");
                let unknown = || wrong(format!("scope `{word}`, allowed are {names}"));
                (told, scope.ok_or_else(unknown)?.1)
            }
        };
        let told_by = match told.split_once(':') {
            Some(("csv", file)) if !file.trim().is_empty() => ToldBy::Csv(file.trim().into()),
            Some(("cmd", command)) if !command.trim().is_empty() => {
                ToldBy::Command(command.trim().to_owned())
            }
            Some(("csv" | "cmd", _)) => return Err(wrong("nothing behind the colon".to_owned())),
            _ => return Err(wrong("no known kind of meter".to_owned())),
        };
        Ok(PowerSource { told_by, scope })
    }

    /// The channel that it is in records. Neither folders nor arguments are in its source: results
    /// get passed around.
    pub fn channel(&self) -> Channel {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (id, source) = match &self.told_by {
            ToldBy::Csv(file) => ("meter/csv", format!("csv:{}", last(&file.to_string_lossy()))),
            ToldBy::Command(command) => ("meter/cmd", format!("cmd:{}", last(program(command)))),
        };
        Channel {
            id: id.to_owned(),
            kind: ChannelKind::Power,
            source,
            scope: self.scope,
            quality: Quality::Averaged,
            cause: None,
            relevant: true,
        }
    }

    /// Looks at the meter's file, where it has one, without making it ready.
    ///
    /// # Errors
    /// A file that is not there or not understood so far.
    pub fn check(&self) -> Result<(), MeterError> {
        match &self.told_by {
            ToldBy::Csv(file) => read_file(file).map(drop),
            ToldBy::Command(_) => Ok(()),
        }
    }

    /// Makes the meter ready: looks at the file, or starts the command, whose lines are stamped by
    /// `clock` as they arrive.
    ///
    /// # Errors
    /// A file that is not there or not understood so far; a command that cannot be started.
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<PowerMeter, MeterError> {
        let running = match &self.told_by {
            ToldBy::Csv(file) => {
                read_file(file)?;
                None
            }
            ToldBy::Command(command) => Some(Running::start(command, clock)?),
        };
        Ok(PowerMeter { source: self.clone(), running })
    }
}

/// The program of a command, without variables that are set for it: they may be secrets. Where one is
/// quoted, nobody knows where it ends, and the shell stands for the program.
fn program(command: &str) -> &str {
    let is_quoted = |word: &str| word.contains(['\'', '"', '\\', '$', '`']);
    for word in command.split_whitespace() {
        if !word.contains('=') {
            return word;
        }
        if is_quoted(word) {
            break;
        }
    }
    "sh"
}

/// A meter in use. Its command ends when this is dropped.
pub struct PowerMeter {
    source: PowerSource,
    running: Option<Running>,
}

impl PowerMeter {
    /// Watts between two moments of the monotonic clock, with the last reading before and the first
    /// behind them where there are such: what was drawn in between takes both to be known.
    /// `wall_to_monotonic` places the stamps of a meter that has its own.
    ///
    /// # Errors
    /// No reading in that time, a file that is not understood, a command that ended too early.
    pub fn series(
        &mut self,
        from: Nanos,
        to: Nanos,
        wall_to_monotonic: impl Fn(Timestamp) -> Option<Nanos>,
    ) -> Result<Series, Missing> {
        let channel = self.source.channel();
        let missing = |reason: String| Missing { id: channel.id.clone(), reason, remedy: None };
        let samples = match (&self.source.told_by, &mut self.running) {
            (ToldBy::Csv(file), _) => {
                read_file(file).map_err(|error| missing(error.to_string()))?
            }
            (_, Some(running)) => running.told_until(to).map_err(&missing)?,
            (_, None) => Vec::new(),
        };
        let placed = samples.iter().filter_map(|sample| {
            let at = match sample.at {
                At::Arrived(at) => at,
                At::Told(at) => wall_to_monotonic(at)?,
            };
            Some((at, sample.watts))
        });
        let (at_ns, values, n_failed) = cut(placed.collect(), from, to);
        if at_ns.is_empty() {
            let n = samples.len();
            return Err(missing(format!("none of the meter's {n} readings lies in that time")));
        }
        Ok(Series { channel, at_ns, values, n_readings: 0, n_failed })
    }
}

/// One line of a meter. A reading without a number is one that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: At,
    watts: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Told(Timestamp),
    Arrived(Nanos),
}

/// Readings from `from` to `to` and their neighbours on both sides, and how many failed in between.
/// Several of one moment are averaged.
fn cut(
    mut samples: Vec<(Nanos, Option<f64>)>,
    from: Nanos,
    to: Nanos,
) -> (Vec<u64>, Vec<f64>, u32) {
    samples.sort_by_key(|(at, _)| *at);
    let inside = |at: Nanos| (from..=to).contains(&at);
    let n_failed = samples.iter().filter(|(at, watts)| inside(*at) && watts.is_none()).count();
    let mut merged: Vec<(Nanos, f64, f64)> = Vec::new();
    for (at, watts) in samples.into_iter().filter_map(|(at, watts)| Some((at, watts?))) {
        match merged.last_mut() {
            Some((last, sum, n)) if *last == at => (*sum, *n) = (*sum + watts, *n + 1.0),
            _ => merged.push((at, watts, 1.0)),
        }
    }
    let first = merged.partition_point(|(at, ..)| *at < from).saturating_sub(1);
    let end = (merged.partition_point(|(at, ..)| *at <= to) + 1).min(merged.len());
    let kept = merged.get(first..end).unwrap_or_default();
    let at_ns = kept.iter().map(|(at, ..)| at.0).collect();
    let values = kept.iter().map(|(_, sum, n)| sum / n).collect();
    (at_ns, values, u32::try_from(n_failed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ScriptedClock;

    const S: u64 = 1_000_000_000;

    /// The wall clock stood at 1764142200 when the monotonic one began.
    fn place(at: Timestamp) -> Option<Nanos> {
        let since = at.as_nanosecond() - 1_764_142_200 * i128::from(S);
        u64::try_from(since).ok().map(Nanos)
    }

    fn csv(text: &str) -> (tempfile::TempDir, PowerSource) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("power.csv");
        std::fs::write(&file, text).unwrap();
        let source = PowerSource::parse(&format!("csv:{}", file.display())).unwrap();
        (folder, source)
    }

    fn told(text: &str, from_s: u64, to_s: u64) -> Result<Series, Missing> {
        let (_folder, source) = csv(text);
        let clock = Arc::new(ScriptedClock::default());
        let mut meter = source.open(clock).unwrap();
        meter.series(Nanos(from_s * S), Nanos(to_s * S), place)
    }

    #[test]
    fn a_source_is_named_with_its_kind_and_may_have_a_scope() {
        let parse = PowerSource::parse;
        let csv = parse("csv:logs/a,b.csv").unwrap();
        assert_eq!(csv.told_by, ToldBy::Csv("logs/a,b.csv".into()));
        assert_eq!(csv.channel().scope, Scope::Wall);
        assert_eq!(csv.channel().source, "csv:a,b.csv", "no folder is told");
        let battery = parse("csv:x.csv,scope=battery").unwrap().channel();
        assert_eq!((battery.scope, battery.id.as_str()), (Scope::Battery, "meter/csv"));
        let command = parse("cmd:/opt/meter --port a:b | tee x,scope=board").unwrap();
        assert_eq!(command.channel().source, "cmd:meter");
        for (command, program) in [
            ("TOKEN=abc ./meter", "meter"),
            ("A=1 B=2 ./meter x=3", "meter"),
            ("env TOKEN=abc ./meter", "env"),
            ("TOKEN='a b' ./meter", "sh"),
            ("A=1", "sh"),
        ] {
            assert_eq!(super::program(command).rsplit('/').next(), Some(program), "{command}");
        }
        assert_eq!(command.scope, Scope::Board);
        for (bad, said) in [
            ("", "no known kind"),
            ("power.csv", "no known kind"),
            ("csv:", "nothing behind"),
            ("cmd: ", "nothing behind"),
            ("csv:x,scope=house", "wall, board, battery"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("hint: csv:FILE"), "{error}");
        }
    }

    #[test]
    fn watts_of_a_file_lie_on_the_monotonic_clock_with_a_neighbour_on_each_side() {
        let file = "time,watts\n\
                    1764142200,10\n1764142201,11.5\n1764142202.250,12\n\
                    2025-11-26T07:30:03Z,13\n2025-11-26T08:30:04+01:00,14\n1764142205,15\n";
        let series = told(file, 2, 3).unwrap();
        assert_eq!(series.at_ns, [S, 2 * S + S / 4, 3 * S, 4 * S]);
        assert_eq!(series.values, [11.5, 12.0, 13.0, 14.0]);
        assert_eq!((series.n_failed, series.channel.scope), (0, Scope::Wall));
    }

    #[test]
    fn columns_are_found_by_name_and_scaled_to_their_unit() {
        for (header, row) in [
            ("Timestamp,Power (mW)", "1764142200,2500"),
            ("t;Power_W", "1764142200;2,5"),
            ("\u{feff}time\tid\tw", "1764142200\tx\t2.5"),
            ("time,volts,amps", "1764142200,5,0.5"),
            ("current_mA, voltage_mV ,time", "500,5000,1764142200"),
            ("Voltage [V],Current [A],Unix", "5,0.5,1764142200"),
            ("# made by a meter\ntime,note,watts,volts,amps", "1764142200,\"a,b\",2.5,9,9"),
            ("time,kw", "1764142200,0.0025"),
        ] {
            let series = told(&format!("{header}\n{row}\n"), 0, 1).unwrap();
            assert_eq!((series.at_ns, series.values), (vec![0], vec![2.5]), "{header}");
        }
    }

    #[test]
    fn a_reading_without_a_number_failed_and_equal_moments_are_averaged() {
        let file = "time,watts\n1764142200,10\n1764142201,\n1764142202,11\n1764142202,13\n\
                    1764142203,nan\n1764142204,20\n";
        let series = told(file, 0, 4).unwrap();
        assert_eq!(series.at_ns, [0, 2 * S, 4 * S]);
        assert_eq!(series.values, [10.0, 12.0, 20.0]);
        assert_eq!(series.n_failed, 2);
    }

    #[test]
    fn a_line_that_is_still_being_written_is_not_counted() {
        let series = told("time,watts\n1764142200,10\n1764142201,1", 0, 9).unwrap();
        assert_eq!(series.values, [10.0]);
        let missing = told("time,watts\n17641422", 0, 9).unwrap_err();
        assert_eq!(missing.reason, "none of the meter's 0 readings lies in that time");
    }

    #[test]
    fn a_file_that_is_not_there_is_refused_before_anything_is_measured() {
        let source = PowerSource::parse("csv:not/there.csv").unwrap();
        let error = source.open(Arc::new(ScriptedClock::default())).err().unwrap().to_string();
        assert!(error.starts_with("not/there.csv: "), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_is_cut_out_rises_and_has_a_number_for_each_moment(
            samples in proptest::collection::vec((0..50u64, proptest::option::of(-9.0..9.0f64)), 0..40),
            from in 0..50u64,
            span in 0..50u64,
        ) {
            let samples = samples.into_iter().map(|(at, watts)| (Nanos(at), watts)).collect();
            let (at, values, _) = cut(samples, Nanos(from), Nanos(from + span));
            prop_assert_eq!(at.len(), values.len());
            prop_assert!(at.is_sorted_by(|a, b| a < b));
        }
    }
}
