//! The parent's side: one child process per invocation, whatever becomes of it kept as a record.
//!
//! The runner knows neither engines nor how anything is measured: it meets the child only in the
//! cell it sends down and the events that come up. Model files come from a function handed in,
//! one at a time, so that their cache may be smaller than the suite.

mod child;
mod disturbance;
mod folder;
mod gate;
mod outcome;
mod partial;
mod progress;
mod senses;
mod soak;
mod watch;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::{Clock, MonotonicClock};
use crate::memory::MemoryBudget;
use crate::plan::{Cell, Demand, needs_no_less_memory};
use crate::record::{
    CellWork, Efficiency, GateOutcome, Job, Journal, JournalError, Mark, MemoryRecord,
    ModelIdentity, Outcome, PROGRAM, Phase, Probe, RECORD_FORMAT, Record, RunCost, Sample,
    Surroundings,
};
use crate::sensors::{self, GpuMemory, LoadCounters, Root, SensorLog, Series};
use crate::units::Nanos;
use child::{Invocation, Limits, Sensors};
use partial::Keeping;

pub use child::{CHILD, ChildCommand};
pub use folder::{FolderError, Lock, MachineBusy, RunFolder};
pub use progress::{Bar, Lines, Silent, Watcher};
use senses::Heat;
pub use senses::{Senses, SensesSetup};

/// A cell's model, ready to be opened.
pub struct Prepared {
    /// The file; empty for engines that read none.
    pub path: PathBuf,
    /// Which model exactly.
    pub identity: Option<ModelIdentity>,
    /// What the cell will need.
    pub predicted: Option<MemoryBudget>,
    /// What its calls have to do; absent where no shape tells.
    pub work: Option<CellWork>,
    /// Keeps the file from being thrown out of its cache while it is in use.
    pub guard: Option<Box<dyn Any>>,
}

/// Makes or finds a cell's model; what is worth a line is said to the watcher.
pub type Prepare<'a> = dyn FnMut(&Cell, &mut dyn Watcher) -> Result<Prepared, String> + 'a;

/// Probes what so many threads could do on these CPUs, where the run wants that beside its cells.
pub type ProbeHere<'a> = dyn FnMut(&[u32], u32, &mut dyn Watcher) -> Option<Probe> + 'a;

/// What is to be done, and with what.
pub struct Request<'a> {
    /// The run's folder.
    pub folder: &'a RunFolder,
    /// Every cell of the run.
    pub cells: &'a [Cell],
    /// Memory predicted for each of them.
    pub predicted: &'a [Option<MemoryBudget>],
    /// Which of them ran out of memory in an earlier part of the run.
    pub ran_out: Vec<usize>,
    /// Invocations still to be made, in order: index into `cells`, number of the invocation.
    pub steps: &'a [(usize, u32)],
    /// How a child is started.
    pub child: &'a ChildCommand,
    /// The machine.
    pub root: &'a Root,
    /// The sensors.
    pub senses: &'a Senses<'a>,
    /// Whether a cell is started although it needs more memory than there is.
    pub ignore_memory: bool,
    /// Whether a cell is refused on a machine that does not come to rest.
    pub strict: bool,
    /// How often an invocation that was disturbed or throttled is made again.
    pub repeat_disturbed: u32,
    /// Set from outside when the user wants to stop.
    pub interrupted: &'a AtomicBool,
    /// Makes or finds a cell's model.
    pub prepare: &'a mut Prepare<'a>,
    /// What the device could do at the beginning of the run.
    pub probe: Option<&'a Probe>,
    /// Probes it again beside a cell.
    pub probe_here: &'a mut ProbeHere<'a>,
    /// Who is told how far things are.
    pub watcher: &'a mut dyn Watcher,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// What it took.
    pub cost: RunCost,
}

/// Makes every invocation of `request`, in order, each kept in the journal before the next begins.
///
/// # Errors
/// Only the journal's: then nothing that was measured can be kept and going on is pointless.
pub fn run(request: Request<'_>) -> Result<Ended, JournalError> {
    let mut journal = Journal::open(&request.folder.journal())?;
    let clock = MonotonicClock;
    let start = LoadCounters::read(request.root, clock.now(), &[]);
    let mut ended = Ended {
        interrupted: false,
        cost: RunCost { wall_ns: 0, parent_cpu_ns: 0, parent_cpu_share: 0.0 },
    };
    let (mut cells_wall_ns, mut cells_cpu_ns) = (0, 0);
    let Request { folder, cells, predicted, mut ran_out, steps, .. } = request;
    let Request { child, root, senses, ignore_memory, strict, .. } = request;
    let Request { repeat_disturbed, interrupted, prepare, probe, probe_here, watcher, .. } =
        request;
    let demand = |index: usize| -> Demand<'_> { (&cells[index], predicted[index]) };

    let gpu = GpuMemory::open(root);
    watcher.begin(steps.len());
    let mut again = 0;
    let mut left = steps.iter();
    let mut next = left.next();
    while let Some(&(index, invocation)) = next {
        let cell = &cells[index];
        watcher.started(cell, invocation);
        let smaller = ran_out.iter().find(|&&i| needs_no_less_memory(demand(index), demand(i)));
        let recovered = partial::recovered(folder, cell, invocation);
        let record = if let Some(&smaller) = smaller {
            let smaller = &cells[smaller].id;
            let reason = format!("cell {smaller} needs no more and ran out of memory");
            bare_record(cell, invocation, Outcome::Skipped { reason })
        } else {
            let (gpu, clock) = (gpu.as_ref(), &clock);
            let one = OneInvocation {
                folder,
                child,
                root,
                gpu,
                senses,
                ignore_memory,
                strict,
                interrupted,
                probe,
                clock,
            };
            let measured = || one.of(cell, invocation, prepare, probe_here, watcher);
            match recovered.map_or_else(measured, Some) {
                Some(record) => Record { program: child.version.clone(), ..record },
                None => {
                    ended.interrupted = true;
                    break;
                }
            }
        };
        journal.append(&record)?;
        cells_wall_ns += record.wall_ns;
        cells_cpu_ns += record.surroundings.parent_cpu_ns.unwrap_or(0);
        if matches!(record.outcome, Outcome::OutOfMemory { .. }) {
            ran_out.push(index);
        }
        for trouble in senses.take_troubles() {
            watcher.say(&trouble);
        }
        // What is made again keeps its place: its last record counts.
        let unfair = record.marks.iter().find(|m| matches!(m, Mark::Disturbed | Mark::Throttled));
        let unfair = unfair.filter(|_| record.outcome == Outcome::Finished && cell.soak.is_none());
        if let Some(mark) = unfair.filter(|_| again < repeat_disturbed) {
            again += 1;
            let word = mark.word();
            watcher.say(&format!("{word}; once more ({again} of {repeat_disturbed})"));
        } else {
            again = 0;
            watcher.ended(&record);
            next = left.next();
        }
        if interrupted.load(Ordering::Relaxed) {
            ended.interrupted = true;
            break;
        }
    }
    watcher.end();

    let now = LoadCounters::read(root, clock.now(), &[]);
    ended.cost = RunCost {
        wall_ns: now.since(&start).0,
        parent_cpu_ns: now.own_cpu_since(&start).0,
        parent_cpu_share: cells_cpu_ns as f64 / (cells_wall_ns as f64).max(1.0),
    };
    Ok(ended)
}

/// What one invocation needs to know of its surroundings.
struct OneInvocation<'a> {
    folder: &'a RunFolder,
    child: &'a ChildCommand,
    root: &'a Root,
    gpu: Option<&'a GpuMemory>,
    senses: &'a Senses<'a>,
    ignore_memory: bool,
    strict: bool,
    interrupted: &'a AtomicBool,
    probe: Option<&'a Probe>,
    clock: &'a MonotonicClock,
}

impl OneInvocation<'_> {
    /// Makes one invocation. `None` when the user stopped it: then there is nothing to keep.
    fn of(
        &self,
        cell: &Cell,
        invocation: u32,
        prepare: &mut Prepare<'_>,
        probe_here: &mut ProbeHere<'_>,
        watcher: &mut dyn Watcher,
    ) -> Option<Record> {
        let unfit = |reason: String| Some(bare_record(cell, invocation, Outcome::Unfit { reason }));
        let prepared = match prepare(cell, watcher) {
            Ok(prepared) => prepared,
            Err(_) if self.interrupted.load(Ordering::Relaxed) => return None,
            Err(reason) => return unfit(reason),
        };
        if let Some(reason) = short_of_memory(&prepared, self.root)
            && !self.ignore_memory
        {
            return unfit(reason);
        }
        let allowed = sensors::allowed_cpus();
        let cpus = match sensors::cpus_named(self.root, &cell.cpus, &allowed) {
            Ok(cpus) => cpus,
            Err(reason) => return unfit(reason),
        };
        let job = Job {
            protocol: self.child.protocol,
            cell: cell.clone(),
            invocation,
            cpus: cpus.clone(),
            n_threads_auto: sensors::auto_threads(self.root, &cpus),
            model_path: prepared.path.file_name().unwrap_or_default().into(),
        };

        let gate = self.senses.wait(watcher);
        if self.interrupted.load(Ordering::Relaxed) {
            return None;
        }
        let mut record = bare_record(cell, invocation, Outcome::Finished);
        record.gate = gate;
        if let Some(gate) =
            record.gate.as_ref().filter(|gate| gate.outcome == GateOutcome::TimedOut)
        {
            if self.strict {
                let restless = gate.restless.join(", ");
                let reason = format!("the machine did not come to rest: {restless}");
                record.outcome = Outcome::Unfit { reason };
                return Some(record);
            }
            record.marks.push(Mark::GateTimeout);
        }
        // Only now, so that it is of the machine that the child meets; and before anything is counted
        // as the child's.
        if prepared.work.is_some() {
            let n_threads = cell.settings.n_threads.unwrap_or(job.n_threads_auto);
            record.probe = probe_here(&cpus, n_threads, watcher);
            if self.interrupted.load(Ordering::Relaxed) {
                return None;
            }
        }
        let start = self.senses.begin_stretch();
        let heat_start = self.senses.heat();
        let before = LoadCounters::read(self.root, start, &cpus);
        let oom_before = sensors::oom_kills(self.root);
        let log = self.folder.log(cell, invocation);
        let limits = Limits { timeout_s: cell.timeout_s, interrupted: self.interrupted };
        let hottest = &|| self.senses.heat().temperature.map(|t| t.0);
        let sensors = Sensors { root: self.root, gpu: self.gpu, hottest };
        // The folder of logs is made with the first of them.
        let _ = std::fs::create_dir_all(log.parent().unwrap_or(&log));
        let mut keeping = Keeping::new(watcher, self.folder, cell, invocation);
        let seen =
            child::invoke(self.child, &job, &prepared.path, &log, limits, sensors, &mut keeping);
        // A record follows, or nothing is worth keeping.
        keeping.done();
        let end = self.clock.now();
        let after = LoadCounters::read(self.root, end, &cpus);
        let log_of_sensors = self.senses.end_stretch(start);
        // Of a sustained run that the user ends, what there is is a result.
        if seen.interrupted && (cell.soak.is_none() || seen.samples.is_empty()) {
            let _ = std::fs::remove_file(&log);
            return None;
        }

        let oom_rose = sensors::oom_kills(self.root) > oom_before;
        record.outcome = outcome::judge(cell, &seen, oom_rose, &log);
        record.wall_ns = end.since(start).0;
        record.cpus = cpus;
        record.model = prepared.identity;
        record.surroundings = surroundings(&before, &after, &heat_start, &self.senses.heat());
        record.log = self.folder.keep_log(&log);
        fill(&mut record, seen, prepared.predicted);
        record.efficiency =
            prepared.work.and_then(|work| Efficiency::of(&record, &work, self.probe));
        mark(&mut record, before, after);
        self.keep_sensors(&mut record, log_of_sensors);
        Some(record)
    }
}

impl OneInvocation<'_> {
    /// Keeps what was read, and marks a record during which something held the machine back.
    fn keep_sensors(&self, record: &mut Record, log: SensorLog) {
        if log.series.is_empty() {
            return;
        }
        let series = log.series.into_iter().map(Series::thinned).collect();
        record.sensors = Some(SensorLog { series, ..log });
        let idle = self.senses.sensing().baseline.as_ref().map(|b| &b.values);
        let idle = idle.unwrap_or(const { &BTreeMap::new() });
        if !sensors::held_back(record.relevant_series(), idle).is_empty() {
            record.marks.push(Mark::Throttled);
            record.marks.sort_unstable();
        }
    }
}

/// A record of an invocation of which nothing is known but its outcome.
pub fn bare_record(cell: &Cell, invocation: u32, outcome: Outcome) -> Record {
    Record {
        format: RECORD_FORMAT,
        program: PROGRAM.to_owned(),
        cell: cell.clone(),
        invocation,
        started_at: utc_now(),
        wall_ns: 0,
        outcome,
        marks: Vec::new(),
        engine: None,
        cpus: Vec::new(),
        resolved: None,
        model: None,
        load: None,
        samples: Vec::new(),
        memory: MemoryRecord::default(),
        surroundings: Surroundings::default(),
        gate: None,
        sensors: None,
        soak_end: None,
        probe: None,
        efficiency: None,
        profile: None,
        log: None,
    }
}

/// The wall clock, UTC, to the millisecond.
pub fn utc_now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn short_of_memory(prepared: &Prepared, root: &Root) -> Option<String> {
    prepared.predicted?.shortage(sensors::memory_available(root)?)
}

fn surroundings(
    before: &LoadCounters,
    after: &LoadCounters,
    heat_start: &Heat,
    heat_end: &Heat,
) -> Surroundings {
    let load = sensors::foreign_load(before, after);
    Surroundings {
        foreign_cpu_share: load.cpu_share,
        steal_share: load.steal_share,
        memory_pressure_share: load.memory_pressure_share,
        involuntary_switches: None,
        parent_cpu_ns: Some(after.own_cpu_since(before).0),
        temperature_start: heat_start.temperature,
        temperature_end: heat_end.temperature,
        clock_start: heat_start.clock,
        clock_end: heat_end.clock,
    }
}

/// Takes over what the child said and what was seen of it.
fn fill(record: &mut Record, seen: Invocation, predicted: Option<MemoryBudget>) {
    record.engine = seen.engine;
    record.resolved = seen.resolved;
    record.load = seen.load;
    record.samples = seen.samples;
    record.profile = seen.profile;
    record.soak_end = seen.soak_end;
    record.surroundings.involuntary_switches = seen.involuntary_switches;
    let memory = seen.memory;
    record.memory = MemoryRecord {
        predicted,
        allocated: seen.allocated,
        rss_before_load_bytes: memory.phase(Phase::Start).and_then(|m| m.rss_bytes),
        rss_loaded_bytes: memory.phase(Phase::Load).and_then(|m| m.rss_bytes),
        peak_rss_bytes: memory.peak_rss_bytes,
        rss_anon_bytes: memory.last().and_then(|m| m.rss_anon_bytes),
        rss_file_bytes: memory.last().and_then(|m| m.rss_file_bytes),
        sampler_cpu_ns: (!memory.phases.is_empty()).then_some(memory.cpu_ns),
        phases: memory.phases,
    };
}

fn mark(record: &mut Record, before: LoadCounters, after: LoadCounters) {
    let load = sensors::foreign_load(&before, &after);
    // Switches are counted from the first timed pass to the last.
    let timed = Nanos(record.samples.iter().map(timed_ns).sum());
    if disturbance::is_disturbed(&load, record.surroundings.involuntary_switches, timed) {
        record.marks.push(Mark::Disturbed);
    }
    if record.engine.as_ref().is_some_and(|engine| engine.below_machine.is_some()) {
        record.marks.push(Mark::BelowMachine);
    }
}

/// Time of one pass.
fn timed_ns(sample: &Sample) -> u64 {
    sample.ttft_ns.unwrap_or(0) + sample.decode_ns().unwrap_or(0)
}

/// The path of this program, to start children of it.
pub fn own_executable() -> std::io::Result<PathBuf> {
    // Opening the link itself works even when the file has been replaced by a newer build.
    let link = Path::new("/proc/self/exe");
    if link.exists() { Ok(link.to_owned()) } else { std::env::current_exe() }
}
