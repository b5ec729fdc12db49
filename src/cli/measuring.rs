//! A run once it is known what to measure: model files made or found, the runner's work, and what
//! is said when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::preparing::Preparing;
use super::probing::Probing;
use super::select::Select;
use super::until::Until;
use super::{print, report};
use crate::plan::Cell;
use crate::record::{Outcome, Record, RunCost, RunInfo, read_journal};
use crate::runner::{
    self, Bar, ChildCommand, Lines, Lock, MachineBusy, Request, RunFolder, Senses, SensesSetup,
    Silent, Watcher,
};
use crate::sensors::Root;
use crate::suite::DeviceSpec;

/// Whether the program was started so that the end of its terminal does not end it, as `nohup` does.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// The signals that ask for an end: the first is noted, a second ends the program at once.
pub fn watch_signals() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in
        [Some(SIGINT), Some(SIGTERM), (!ignores_hang_up()).then_some(SIGHUP)].into_iter().flatten()
    {
        signal_hook::flag::register_conditional_default(signal, interrupted.clone())
            .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
            .or_usage()?;
    }
    Ok(interrupted)
}

/// Has the machine to itself: waits for another run to end, or refuses.
pub fn lock_machine(when_busy: &str, interrupted: &AtomicBool) -> Result<Lock, Failure> {
    let busy = if when_busy == "refuse" { MachineBusy::Refuse } else { MachineBusy::Wait };
    let mut said = false;
    let mut waiting = || {
        if !said {
            eprintln!(
                "another slmbench measures on this machine; waiting for it to end \
                 (Ctrl-C stops waiting; --when-busy refuse does not wait)"
            );
            said = true;
        }
        !interrupted.load(Ordering::Relaxed)
    };
    let stopped = |exit, message: &str| Err(Failure { exit, message: message.to_owned() });
    match Lock::machine(busy, &mut waiting).or_usage()? {
        Some(lock) => Ok(lock),
        None if interrupted.load(Ordering::Relaxed) => {
            stopped(Exit::Interrupted, "stopped while waiting for another run to end")
        }
        None => stopped(
            Exit::Usage,
            "another slmbench measures on this machine\n\
             hint: --when-busy wait waits for it to end",
        ),
    }
}

/// Everything needed to measure.
pub struct Measuring<'a> {
    /// What is measured, as typed.
    pub select: &'a Select,
    /// How, as typed.
    pub conduct: &'a Conduct,
    /// The machine.
    pub root: &'a Root,
    /// What is known of it.
    pub device: Option<DeviceSpec>,
    /// Where models come from.
    pub preparing: Preparing<'a>,
    /// Whether invocations are added until intervals are narrow.
    pub until: Option<Until>,
    /// Set when the user wants to stop.
    pub interrupted: Arc<AtomicBool>,
}

impl Measuring<'_> {
    /// Measures `steps` of the run in `folder`, of which `earlier` is already in the journal.
    pub fn go(
        &self,
        folder: &RunFolder,
        mut info: RunInfo,
        steps: &[(usize, u32)],
        earlier: &[Record],
    ) -> Result<Exit, Failure> {
        let quiet = self.conduct.quiet;
        let ran_out = |cell: &Cell| {
            earlier.iter().any(|record| {
                record.cell.id == cell.id && matches!(record.outcome, Outcome::OutOfMemory { .. })
            })
        };
        let predicted: Vec<_> =
            info.cells.iter().map(|cell| self.preparing.predict(cell)).collect();
        let mut watcher = watcher(quiet);
        let rest = &self.conduct.rest;
        let meter = rest.meter()?;
        let setup = SensesSetup {
            root: self.root,
            rates: rest.rates(),
            gate: info.gate,
            device: self.device.as_ref(),
            power_source: meter.as_ref(),
            earlier: info.sensing.as_ref(),
        };
        let senses = Senses::begin(&setup, &self.interrupted, watcher.as_mut()).or_usage()?;
        info.sensing = Some(senses.sensing().clone());
        let child = ChildCommand::own().or_usage()?;
        let probing = Probing {
            program: &runner::own_executable().or_usage()?,
            root: self.root,
            when: info.probing,
            interrupted: &self.interrupted,
        };
        if info.probe.is_none() && !steps.is_empty() {
            info.probe = probing.of_run(&info.cells, watcher.as_mut());
        }
        folder.write_info(&info).or_unwritable()?;
        let mut steps = steps.to_vec();
        let (interrupted, records) = loop {
            let ended = runner::run(Request {
                folder,
                cells: &info.cells,
                predicted: &predicted,
                ran_out: (0..info.cells.len()).filter(|&i| ran_out(&info.cells[i])).collect(),
                steps: &steps,
                child: &child,
                root: self.root,
                senses: &senses,
                ignore_memory: self.conduct.ignore_memory,
                strict: rest.strict,
                repeat_disturbed: rest.repeat_disturbed,
                interrupted: &self.interrupted,
                prepare: &mut |cell, watcher| self.preparing.prepare(cell, watcher),
                probe: info.probe.as_ref(),
                probe_here: &mut |cpus, n, watcher| probing.here(cpus, n, watcher),
                watcher: watcher.as_mut(),
            })
            .or_unwritable()?;
            info.cost = Some(sum(info.cost.take(), ended.cost));
            let records = read_journal(&folder.journal()).or_unwritable()?;
            steps = match ended.interrupted {
                true => Vec::new(),
                false => self.further(&info, &records),
            };
            info.order.extend(&steps);
            folder.write_info(&info).or_unwritable()?;
            if steps.is_empty() {
                break (ended.interrupted, records);
            }
        };
        report::write(folder, &info, &records, quiet)?;
        if interrupted {
            eprintln!("stopped; continue with\n  {}", self.resume_command(folder));
            return Ok(Exit::Interrupted);
        }
        if !quiet {
            print(&format!("\nResults: {}\n", folder.path().display()))?;
        }
        let unfinished =
            |r: &Record| !matches!(r.outcome, Outcome::Finished | Outcome::Skipped { .. });
        Ok(if records.iter().any(unfinished) { Exit::Unfinished } else { Exit::Done })
    }

    /// The invocations that the intervals still want.
    fn further(&self, info: &RunInfo, records: &[Record]) -> Vec<(usize, u32)> {
        let Some(until) = self.until else { return Vec::new() };
        let wide = until.wide(&info.cells, records);
        let steps = until.further(&wide, records, &info.cells, info.seed);
        if !self.conduct.quiet {
            for wide in wide.iter().filter(|wide| wide.n >= until.most) {
                let cell = &info.cells[wide.cell];
                let half = wide
                    .half
                    .map_or("no interval".to_owned(), |half| format!("±{:.1} %", 100.0 * half));
                let n = wide.n;
                eprintln!("{} {}: still {half} after {n} invocations", cell.model, cell.test());
            }
            if !steps.is_empty() {
                let (n, share) = (steps.len(), 100.0 * until.share);
                eprintln!("{n} of {} cells are known less well than ±{share} %", info.cells.len());
            }
        }
        steps.into_iter().map(|step| (step.cell, step.invocation)).collect()
    }

    fn resume_command(&self, folder: &RunFolder) -> String {
        let mut words = vec!["slmbench run --resume".to_owned(), quoted(&folder.path().display())];
        for path in &self.select.model_files {
            words.push(format!("-m {}", quoted(&path.display())));
        }
        for (option, path) in
            [("--models", &self.conduct.files.models), ("--cache-dir", &self.conduct.cache_dir)]
        {
            words.extend(path.iter().map(|path| format!("{option} {}", quoted(&path.display()))));
        }
        if let Some(meter) = &self.conduct.rest.power_source {
            words.push(format!("--power-source {}", quoted(meter)));
        }
        words.extend(
            self.conduct
                .devices
                .iter()
                .map(|path| format!("--devices {}", quoted(&path.display()))),
        );
        for (flag, is_set) in [
            ("--ignore-memory", self.conduct.ignore_memory),
            ("--strict", self.conduct.rest.strict),
        ] {
            words.extend(is_set.then(|| flag.to_owned()));
        }
        if let Some(until) = self.until {
            let share = 100.0 * until.share;
            words.push(format!("--until {share}% --max-invocations {}", until.most));
        }
        if self.conduct.rest.repeat_disturbed > 0 {
            words.push(format!("--repeat-disturbed {}", self.conduct.rest.repeat_disturbed));
        }
        words.join(" ")
    }
}

/// What two parts of a run took together.
fn sum(earlier: Option<RunCost>, now: RunCost) -> RunCost {
    let Some(earlier) = earlier else { return now };
    let wall_ns = earlier.wall_ns + now.wall_ns;
    let weighed = earlier.parent_cpu_share * earlier.wall_ns as f64
        + now.parent_cpu_share * now.wall_ns as f64;
    RunCost {
        wall_ns,
        parent_cpu_ns: earlier.parent_cpu_ns + now.parent_cpu_ns,
        parent_cpu_share: weighed / (wall_ns as f64).max(1.0),
    }
}

/// Who is told how far things are: a bar on a terminal, lines elsewhere, nobody when quiet.
pub fn watcher(quiet: bool) -> Box<dyn Watcher> {
    if quiet {
        Box::new(Silent)
    } else if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        Box::new(Bar::default())
    } else {
        Box::new(Lines::default())
    }
}

/// A word fit for a shell.
pub fn quoted(word: &impl ToString) -> String {
    let word = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
