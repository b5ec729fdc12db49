//! A meter that is a command: started through the shell in a process group of its own, heard line by
//! line, and ended. When this program is killed, its next line meets a closed pipe.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::csv::{Columns, Power, Scaled, shortened};
use super::{At, MeterError, Sample};
use crate::clock::Clock;
use crate::units::Nanos;

/// A command and what it has printed so far.
pub(super) struct Running {
    child: Child,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
}

/// What a command printed. Without a header, each line is a number of watts.
#[derive(Debug, Default)]
struct Heard {
    columns: Option<Columns>,
    samples: Vec<Sample>,
    /// The first line, where it is neither a number nor a header.
    refused: Option<String>,
    /// When it stopped printing for good.
    ended_at: Option<Nanos>,
    /// The last line it wrote to its standard error.
    last_words: String,
}

impl Heard {
    /// Takes a line that arrived at `at`.
    fn line(&mut self, line: &str, at: Nanos) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || self.refused.is_some() {
            return;
        }
        let fields: Vec<&str> = line.split([',', ';', '\t']).collect();
        let Some(columns) = &self.columns else {
            let alone = Scaled { column: 0, factor: 1.0 };
            let columns =
                Columns { time: None, power: Power::Watts(alone), has_decimal_comma: false };
            let bare = line.trim_end_matches(['W', 'w']).trim();
            if let Some(watts) = columns.number(bare) {
                self.samples.push(Sample { at: At::Arrived(at), watts: Some(watts) });
            } else if !self.samples.is_empty() {
                self.samples.push(Sample { at: At::Arrived(at), watts: None });
            } else {
                match Columns::of(&fields, false) {
                    Ok(columns) => self.columns = Some(columns),
                    Err(_) => self.refused = Some(shortened(line)),
                }
            }
            return;
        };
        let sample = match columns.read(&fields) {
            Ok((Some(told), watts)) => Sample { at: At::Told(told), watts },
            Ok((None, watts)) => Sample { at: At::Arrived(at), watts },
            Err(_) => Sample { at: At::Arrived(at), watts: None },
        };
        self.samples.push(sample);
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands each line of `pipe` on; a longer one comes in pieces.
fn each_line(pipe: impl Read, mut take: impl FnMut(&str)) {
    const LONGEST: u64 = 4096;
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.by_ref().take(LONGEST).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        take(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

impl Running {
    pub(super) fn start(command: &str, clock: Arc<dyn Clock>) -> Result<Running, MeterError> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| MeterError::Start {
                command: command.to_owned(),
                message: error.to_string(),
            })?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        if let Some(stderr) = child.stderr.take() {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || {
                each_line(stderr, |line| {
                    if !line.trim().is_empty() {
                        lock(&heard).last_words = shortened(line.trim());
                    }
                });
            });
        }
        let reader = child.stdout.take().map(|stdout| {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || {
                each_line(stdout, |line| lock(&heard).line(line, clock.now()));
                lock(&heard).ended_at = Some(clock.now());
            })
        });
        Ok(Running { child, heard, reader })
    }

    /// What it printed, unless it ended before `to`.
    pub(super) fn told_until(&mut self, to: Nanos) -> Result<Vec<Sample>, String> {
        let heard = lock(&self.heard);
        if let Some(line) = &heard.refused {
            return Err(format!(
                "its first line `{line}` is neither a number of watts nor a header such as \
                 `time,watts` or `volts,amps`"
            ));
        }
        if heard.ended_at.is_some_and(|ended| ended < to) {
            let status = match self.child.try_wait() {
                Ok(Some(status)) => format!(" ({status})"),
                _ => String::new(),
            };
            let words = match heard.last_words.as_str() {
                "" => String::new(),
                words => format!(": {words}"),
            };
            let n = heard.samples.len();
            return Err(format!("the command ended too early{status} after {n} readings{words}"));
        }
        Ok(heard.samples.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let has_ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        if !has_ended(&mut self.child) {
            let _ = kill_process_group(group, Signal::TERM);
            for _ in 0..50 {
                if has_ended(&mut self.child) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            if !has_ended(&mut self.child) {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = self.child.wait();
            }
        }
        // A process that left the group may hold the pipe open: nobody waits for that.
        if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::csv::read_csv;
    use super::super::{PowerMeter, PowerSource};
    use super::*;
    use crate::clock::ScriptedClock;

    #[test]
    fn lines_of_a_command_are_watts_as_they_arrive_or_what_a_header_says() {
        let heard = |lines: &[&str]| {
            let mut heard = Heard::default();
            for (i, line) in lines.iter().enumerate() {
                heard.line(line, Nanos(i as u64));
            }
            heard
        };
        let arrived = |at, watts| Sample { at: At::Arrived(Nanos(at)), watts };
        let plain = heard(&["12.5", " 13 W ", "", "oops", "-1"]);
        let expected = [
            arrived(0, Some(12.5)),
            arrived(1, Some(13.0)),
            arrived(3, None),
            arrived(4, Some(-1.0)),
        ];
        assert_eq!(plain.samples, expected);
        let product = heard(&["volts,amps", "5.0,0.5", "5.0,x"]);
        assert_eq!(product.samples, [arrived(1, Some(2.5)), arrived(2, None)]);
        let timed = heard(&["time,watts", "1764142200,7"]);
        let at = At::Told(Timestamp::from_second(1_764_142_200).unwrap());
        assert_eq!(timed.samples, [Sample { at, watts: Some(7.0) }]);
        assert_eq!(heard(&["1764142200,7", "8"]).refused.as_deref(), Some("1764142200,7"));
    }

    fn meter(command: &str, clock: &Arc<ScriptedClock>) -> PowerMeter {
        let source = PowerSource::parse(&format!("cmd:{command}")).unwrap();
        source.open(Arc::clone(clock) as Arc<dyn Clock>).unwrap()
    }

    fn wait_for_its_end(meter: &mut PowerMeter) {
        meter.running.as_mut().unwrap().reader.take().unwrap().join().unwrap();
    }

    #[test]
    fn a_command_that_dies_is_missing_from_then_on_with_its_last_words() {
        let clock = Arc::new(ScriptedClock::default());
        clock.pass(Nanos(5));
        let mut meter = meter("printf '12.5\\n13.5\\n'; echo no such port >&2; exit 3", &clock);
        wait_for_its_end(&mut meter);
        let until = meter.series(Nanos(0), Nanos(5), |_| None).unwrap();
        assert_eq!((until.at_ns, until.values), (vec![5], vec![13.0]));
        let _ = meter.running.as_mut().unwrap().child.wait();
        // Its words come through a thread of their own.
        for _ in 0..10_000 {
            if !lock(&meter.running.as_ref().unwrap().heard).last_words.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let missing = meter.series(Nanos(0), Nanos(6), |_| None).unwrap_err();
        assert_eq!(missing.id, "meter/cmd");
        assert_eq!(
            missing.reason,
            "the command ended too early (exit status: 3) after 2 readings: no such port"
        );
    }

    #[test]
    fn a_command_that_prints_no_power_is_told_what_it_may_print() {
        let clock = Arc::new(ScriptedClock::default());
        let mut meter = meter("echo hello", &clock);
        wait_for_its_end(&mut meter);
        let missing = meter.series(Nanos(0), Nanos(6), |_| None).unwrap_err();
        assert!(missing.reason.contains("`hello`"), "{}", missing.reason);
        assert!(missing.reason.contains("`volts,amps`"), "{}", missing.reason);
    }

    #[test]
    fn a_command_ends_with_its_meter() {
        let clock = Arc::new(ScriptedClock::default());
        let mut meter = meter("sleep 1000 | cat", &clock);
        assert!(meter.series(Nanos(0), Nanos(0), |_| None).is_err(), "it has told nothing yet");
        let group = Pid::from_child(&meter.running.as_ref().unwrap().child);
        drop(meter);
        assert!(rustix::process::test_kill_process(group).is_err());
    }

    proptest! {
        #[test]
        fn rubbish_is_refused_and_never_ends_the_program(
            text in "(?s).{0,200}",
            lines in "(time|t|watts|volts|amps|[0-9.,;\t\n:TZ\"#-]){0,60}",
        ) {
            let _ = PowerSource::parse(&text);
            let mut heard = Heard::default();
            for text in [&text, &lines, &format!("time,watts\n{lines}\n")] {
                let _ = read_csv(text, "x");
                text.lines().for_each(|line| heard.line(line, Nanos(0)));
            }
        }
    }
}
