//! Drives a trial: asks it who is next, has that measured, and tells it what came out.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::kept::{continued, order_of, same_run, write_trial};
use super::matching::{Matched, matched};
use super::side::SideWords;
use super::{SAME, setting, suite};
use crate::cli::conduct::Conduct;
use crate::cli::exit::{Ending, Failure};
use crate::cli::measuring::watcher;
use crate::cli::probing::Probing;
use crate::cli::run::{LaidOut, Setting, announced, command_line, folder_failure, show_plan};
use crate::cli::select::Select;
use crate::cli::{files, print};
use crate::compare::{Comparison, Policy, Schedule, TRIAL_FORMAT, TrialInfo, Which};
use crate::memory::MemoryBudget;
use crate::plan::{Cell, CellId};
use crate::record::{CellEvent, Outcome, PROGRAM, Record, read_journal};
use crate::report::count;
use crate::runner::{self, ChildCommand, Request, RunFolder, Senses, SensesSetup, Watcher};
use crate::suite::Suite;

/// What is to be done.
pub struct Driving<'a> {
    /// The suite, as named.
    pub suite: &'a str,
    /// Baseline and candidate.
    pub sides: [SideWords; 2],
    /// What they are called.
    pub labels: (String, String),
    /// From the seed to the schedule.
    pub schedule: &'a dyn Fn(u64) -> Schedule,
    /// What counts as a difference.
    pub policy: Policy,
    /// What is measured on both sides.
    pub select: &'a Select,
    /// How.
    pub conduct: &'a Conduct,
    /// The folder of a trial to be continued.
    pub resume: Option<&'a Path>,
}

/// What was done.
pub struct Done {
    /// The verdicts.
    pub comparison: Comparison,
    /// Where everything is.
    pub folder: PathBuf,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// One side, ready to be measured.
struct Party {
    laid: LaidOut,
    folder: RunFolder,
    child: ChildCommand,
    predicted: Vec<Option<MemoryBudget>>,
    /// Cells that ran out of memory.
    ran_out: Vec<usize>,
}

impl Driving<'_> {
    /// Measures until the trial is over. `None` where only the plan was to be shown.
    pub fn go(self) -> Result<Option<Done>, Failure> {
        let (suite, source) = suite(self.suite)?;
        let mut setting = setting(self.select, self.conduct, &suite)?;
        let mut laid = Vec::new();
        for side in &self.sides {
            laid.push(lay_out(&mut setting, (&suite, &source), self.select, side)?);
        }
        let [b, a] = [laid.pop(), laid.pop()].map(|laid| laid.expect("two were laid out"));
        let are_two = self.sides[0].label != self.sides[1].label;
        if !self.conduct.quiet {
            for (laid, name) in [(&a, "A"), (&b, "B")].iter().take(1 + usize::from(are_two)) {
                let lines = announced(&laid.plan, &laid.engines);
                if are_two && !lines.is_empty() {
                    eprintln!("side {name}:");
                }
                lines.iter().for_each(|line| eprintln!("{line}"));
            }
        }
        let sets: Vec<&str> = self.sides.iter().flat_map(|side| side.sets.clone()).collect();
        let Matched { cells, only_a, only_b } = matched(&a.plan, &b.plan, &sets)?;
        let is_one_program = self.sides[0].program == self.sides[1].program;
        if are_two && is_one_program && cells.iter().all(|(a, b)| a == b) {
            return Err(SAME).or_usage();
        }
        let schedule = (self.schedule)(a.plan.seed);
        if self.conduct.dry_run {
            if are_two {
                print("side A:\n")?;
            }
            show_plan(&a.plan)?;
            if are_two {
                print("\nside B:\n")?;
                show_plan(&b.plan)?;
            }
            let n = 2 * cells.len() * schedule.pairs as usize;
            let cells = count(cells.len(), "cell");
            print(&format!("\n{cells} in common, at most {}\n", count(n, "invocation")))?;
            return Ok(None);
        }
        let info = TrialInfo {
            format: TRIAL_FORMAT,
            program: PROGRAM.to_owned(),
            command: command_line(),
            schedule,
            policy: self.policy.clone(),
            labels: self.labels.clone(),
            cells,
            programs: (self.sides[0].version.clone(), self.sides[1].version.clone()),
            only_a,
            only_b,
        };
        self.measure(&setting, a, b, info).map(Some)
    }

    fn measure(
        &self,
        setting: &Setting<'_>,
        a: LaidOut,
        b: LaidOut,
        info: TrialInfo,
    ) -> Result<Done, Failure> {
        let path = self.resume.map_or_else(|| setting.out("ab"), Path::to_owned);
        let info = match self.resume {
            Some(folder) => continued(folder, info)?,
            None => info,
        };
        let mut parties = Vec::new();
        for (mut laid, side, name) in [(a, &self.sides[0], "a"), (b, &self.sides[1], "b")] {
            laid.info.program.clone_from(&side.version);
            let preparing = setting.preparing(&laid.catalogue, &laid.engines, side.program.clone());
            let predicted = laid.info.cells.iter().map(|cell| preparing.predict(cell)).collect();
            drop(preparing);
            let folder = match self.resume {
                Some(_) => {
                    let (folder, then) = RunFolder::open(&path.join(name)).or_usage()?;
                    same_run(&path.join(name), &then, &laid.info)?;
                    // It is that run, and stays the one that was begun then.
                    laid.info = then;
                    folder
                }
                None => RunFolder::create(&path.join(name)).map_err(folder_failure)?,
            };
            let child = ChildCommand::of(side.program.clone(), side.version.clone(), side.protocol);
            parties.push(Party { laid, folder, child, predicted, ran_out: Vec::new() });
        }
        let [mut b, mut a] = [parties.pop(), parties.pop()].map(|p| p.expect("two are there"));
        let _locks = [a.folder.lock(), b.folder.lock()].map(|lock| lock.map_err(folder_failure));
        for lock in _locks.iter() {
            if let Err(e) = lock {
                return Err(Failure { exit: e.exit, message: e.message.clone() });
            }
        }
        write_trial(&path, &info)?;
        let interrupted = self.take_turns(setting, &info, &mut a, &mut b)?;

        let mut records = Vec::new();
        for party in [&mut a, &mut b] {
            let read = read_journal(&party.folder.journal()).or_unwritable()?;
            party.laid.info.order = order_of(&party.laid.info, &read);
            party.folder.write_info(&party.laid.info).or_unwritable()?;
            crate::cli::report::write(&party.folder, &party.laid.info, &read, true)?;
            records.push(read);
        }
        let comparison = info
            .comparison((&a.laid.info, &records[0]), (&b.laid.info, &records[1]))
            .map_err(|e| format!("{}: {e}", path.display()));
        match comparison {
            Ok(comparison) => Ok(Done { comparison, folder: path, interrupted }),
            // Nothing was measured because the user stopped it: that is no wrong input.
            Err(message) if interrupted => {
                Err(Failure { exit: crate::cli::exit::Exit::Interrupted, message })
            }
            Err(message) => Err(Failure { exit: crate::cli::exit::Exit::Unfinished, message }),
        }
    }

    /// Measures step by step. Returns whether the user stopped it.
    fn take_turns(
        &self,
        setting: &Setting<'_>,
        info: &TrialInfo,
        a: &mut Party,
        b: &mut Party,
    ) -> Result<bool, Failure> {
        let mut shown = watcher(self.conduct.quiet);
        let rest = &self.conduct.rest;
        let meter = rest.meter()?;
        let setup = SensesSetup {
            root: &setting.root,
            rates: rest.rates(),
            gate: a.laid.info.gate,
            device: a.laid.device.as_ref(),
            power_source: meter.as_ref(),
            earlier: a.laid.info.sensing.as_ref(),
        };
        let senses = Senses::begin(&setup, &setting.interrupted, shown.as_mut()).or_usage()?;
        let probing = Probing {
            program: &runner::own_executable().or_usage()?,
            root: &setting.root,
            when: a.laid.info.probing.max(b.laid.info.probing),
            interrupted: &setting.interrupted,
        };
        // Both sides are held against one: they meet the same machine.
        let all = [&a.laid.info.cells[..], &b.laid.info.cells].concat();
        let probe = a.laid.info.probe.clone().or_else(|| probing.of_run(&all, shown.as_mut()));
        let mut earlier = Vec::new();
        let sensing = senses.sensing().clone();
        for party in [&mut *a, &mut *b] {
            party.laid.info.sensing = Some(sensing.clone());
            party.laid.info.probe.clone_from(&probe);
            party.folder.write_info(&party.laid.info).or_unwritable()?;
            let records = match party.folder.journal().exists() {
                true => read_journal(&party.folder.journal()).or_usage()?,
                false => Vec::new(),
            };
            let full = records.iter().filter(|r| matches!(r.outcome, Outcome::OutOfMemory { .. }));
            party.ran_out = full.map(|r| position(&party.laid.info.cells, &r.cell.id)).collect();
            earlier.push(records);
        }
        let mut trial = info.trial(&earlier[0], &earlier[1]);
        let mut made = 0;
        while let Some(step) = trial.next() {
            let (party, id) = match step.which {
                Which::A => (&mut *a, &info.cells[step.cell].0),
                Which::B => (&mut *b, &info.cells[step.cell].1),
            };
            let index = position(&party.laid.info.cells, id);
            shown.begin(made + trial.left());
            let mut turns = InTurns { inner: shown.as_mut(), which: step.which, last: None };
            let preparing = setting.preparing(
                &party.laid.catalogue,
                &party.laid.engines,
                party.child.program.clone(),
            );
            let ended = runner::run(Request {
                folder: &party.folder,
                cells: &party.laid.info.cells,
                predicted: &party.predicted,
                ran_out: party.ran_out.clone(),
                steps: &[(index, step.pair)],
                child: &party.child,
                root: &setting.root,
                senses: &senses,
                ignore_memory: self.conduct.ignore_memory,
                strict: rest.strict,
                repeat_disturbed: rest.repeat_disturbed,
                interrupted: &setting.interrupted,
                prepare: &mut |cell, watcher| preparing.prepare(cell, watcher),
                probe: probe.as_ref(),
                probe_here: &mut |cpus, n, watcher| probing.here(cpus, n, watcher),
                watcher: &mut turns,
            })
            .or_unwritable()?;
            let Some(record) = turns.last else { return Ok(true) };
            if matches!(record.outcome, Outcome::OutOfMemory { .. }) {
                party.ran_out.push(index);
            }
            trial.take(step, crate::compare::values(&record));
            made += 1;
            if ended.interrupted || setting.interrupted.load(Ordering::Relaxed) {
                return Ok(true);
            }
        }
        shown.end();
        Ok(false)
    }
}

/// Lays out one side of a trial.
fn lay_out(
    setting: &mut Setting<'_>,
    (suite, source): (&Suite, &str),
    select: &Select,
    side: &SideWords,
) -> Result<LaidOut, Failure> {
    let mut own = Vec::new();
    for path in &side.select.model_files {
        let read = files::model_file(path)?;
        own.push(read.0.clone());
        setting.user_files.push(read);
    }
    let base = select.selection(setting.named_files.clone())?;
    let mut selection = side.select.selection(own)?.over(base);
    selection.invocations = Some(1);
    setting.lay_out(suite, source, &selection, &side.program)
}

fn position(cells: &[Cell], id: &CellId) -> usize {
    cells.iter().position(|cell| cell.id == *id).expect("it was matched by its id")
}

/// Follows one side of a trial that is driven step by step, and keeps its last record.
struct InTurns<'w> {
    inner: &'w mut dyn Watcher,
    which: Which,
    last: Option<Record>,
}

impl Watcher for InTurns<'_> {
    fn begin(&mut self, _: usize) {}

    fn started(&mut self, cell: &Cell, invocation: u32) {
        let side = match self.which {
            Which::A => "A",
            Which::B => "B",
        };
        let shown = Cell { engine: format!("{side}: {}", cell.engine), ..cell.clone() };
        self.inner.started(&shown, invocation);
    }

    fn event(&mut self, event: &CellEvent) {
        self.inner.event(event);
    }

    fn tick(&mut self) {
        self.inner.tick();
    }

    fn ended(&mut self, record: &Record) {
        self.inner.ended(record);
        self.last = Some(record.clone());
    }

    fn say(&mut self, line: &str) {
        self.inner.say(line);
    }
}
