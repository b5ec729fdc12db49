//! The child's side: one invocation of one cell, timed by one hand for every engine.
//!
//! The child reads its job from standard input, tells its parent what happens, and ends when its
//! parent does. It writes no file and knows nothing of suites, other cells or statistics.

mod pass;
mod pipe;
mod profile;

use std::path::Path;

use crate::engine::{self, Engine, EngineError, Session};
use crate::record::{CellEvent, FailureKind, Job, OLDEST_PROTOCOL, PROTOCOL_VERSION, STOP};
use crate::settings::{Settings, Soak};
use pass::Passes;
use pipe::Pipe;
pub use pipe::end_with_parent;

/// Measures the job that comes on standard input. Returns the exit status of the process: what
/// went wrong has been said on the pipe, so the status is 0 unless nobody listens.
pub fn run() -> u8 {
    let Ok(mut pipe) = Pipe::open() else { return 1 };
    let result = measure(&mut pipe);
    let said = match result {
        Ok(()) => Ok(()),
        Err(Stop::Failed { kind, message }) => pipe.tell(&CellEvent::Failed { kind, message }),
        Err(Stop::ParentGone) => return 1,
    };
    if said.is_err() { 1 } else { 0 }
}

/// Why a measurement ends early.
enum Stop {
    Failed { kind: FailureKind, message: String },
    ParentGone,
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Stop {
        let kind = match error {
            EngineError::OutOfMemory(_) => FailureKind::OutOfMemory,
            _ => FailureKind::Engine,
        };
        Stop::Failed { kind, message: error.to_string() }
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Stop {
        Stop::ParentGone
    }
}

fn failed(kind: FailureKind, message: impl Into<String>) -> Stop {
    Stop::Failed { kind, message: message.into() }
}

fn measure(pipe: &mut Pipe) -> Result<(), Stop> {
    let line = pipe.read_line()?;
    let job: Job = serde_json::from_str(&line)
        .map_err(|e| failed(FailureKind::Protocol, format!("the job was not understood: {e}")))?;
    if !(OLDEST_PROTOCOL..=PROTOCOL_VERSION).contains(&job.protocol) {
        return Err(failed(
            FailureKind::Protocol,
            format!(
                "protocol {} asked for, this program speaks {OLDEST_PROTOCOL} to {PROTOCOL_VERSION}",
                job.protocol
            ),
        ));
    }
    let cell = &job.cell;
    bind(&job.cpus)?;
    let engine =
        engine::by_name(&cell.engine).map_err(|e| failed(FailureKind::Engine, e.to_string()))?;
    pipe.tell(&CellEvent::Hello { protocol: job.protocol, engine: engine.info() })?;
    pipe.wait_for_word()?;

    if cell.profile {
        return profile_cell(pipe, engine.as_ref(), &job);
    }
    let mut session = load(pipe, engine.as_ref(), &job, |path, s| engine.load(path, s))?;
    pipe.wait_for_word()?;

    let clock = engine.clock();
    let mut passes = Passes::new(session.as_mut(), clock.as_ref(), cell, job.invocation);
    passes.fill_depth()?;
    for _ in 0..cell.warmup {
        passes.warm_up()?;
    }
    // A word that came with the second version.
    if job.protocol >= 2 {
        pipe.tell(&CellEvent::WarmedUp)?;
        pipe.wait_for_word()?;
    }
    let before = involuntary_switches();
    if let Some(soak) = cell.soak {
        sustain(pipe, &mut passes, soak)?;
    } else {
        for repetition in 0..cell.repetitions {
            let sample = passes.timed(repetition)?;
            pipe.tell(&CellEvent::Sampled { sample })?;
            pipe.wait_for_word()?;
        }
    }
    finish(pipe, before)
}

/// Says that all is done, and how often the threads were taken off a CPU since there were `before`.
fn finish(pipe: &mut Pipe, before: u64) -> Result<(), Stop> {
    let switches = involuntary_switches().saturating_sub(before);
    pipe.tell(&CellEvent::Finished { involuntary_switches: switches })?;
    pipe.wait_for_word()?;
    Ok(())
}

/// Where the time of a cell goes.
fn profile_cell(pipe: &mut Pipe, engine: &dyn Engine, job: &Job) -> Result<(), Stop> {
    let cell = &job.cell;
    let mut session = load(pipe, engine, job, |path, s| engine.load_profiled(path, s))?;
    pipe.wait_for_word()?;
    let clock = engine.clock();
    let mut passes = Passes::new(session.as_mut(), clock.as_ref(), cell, job.invocation);
    passes.fill_depth()?;
    for _ in 0..cell.warmup {
        passes.warm_up()?;
    }
    pipe.tell(&CellEvent::WarmedUp)?;
    pipe.wait_for_word()?;
    let before = involuntary_switches();
    let profile = profile::profile(engine, session.as_mut(), cell, job.invocation, |sample| {
        pipe.tell(&CellEvent::Sampled { sample })?;
        pipe.wait_for_word()?;
        Ok(())
    })?;
    pipe.tell(&CellEvent::Profiled { profile })?;
    pipe.wait_for_word()?;
    finish(pipe, before)
}

/// Passes without a pause until their time is up, or the parent says that it is enough: the parent
/// has the sensors, and judges whether anything still changes.
fn sustain(pipe: &mut Pipe, passes: &mut Passes<'_>, soak: Soak) -> Result<(), Stop> {
    let mut began_ns = None;
    for repetition in 0.. {
        let sample = passes.timed(repetition)?;
        let lasted_ns = sample.end_ns() - *began_ns.get_or_insert(sample.start_ns);
        pipe.tell(&CellEvent::Iterated { sample })?;
        if lasted_ns >= soak.limit_ns() || pipe.heard(STOP) {
            break;
        }
    }
    Ok(())
}

/// Loads the model by `open` and tells how long that took.
fn load<S: Session + ?Sized>(
    pipe: &mut Pipe,
    engine: &dyn Engine,
    job: &Job,
    open: impl FnOnce(&Path, &Settings) -> Result<Box<S>, EngineError>,
) -> Result<Box<S>, Stop> {
    let settings = job.cell.settled(job.n_threads_auto);
    let cached_share = cached_share(&job.model_path);
    let clock = engine.clock();
    let start = clock.now();
    let session = open(&job.model_path, &settings)?;
    let load_ns = clock.now().since(start).0;
    pipe.tell(&CellEvent::Loaded {
        load_ns,
        cached_share,
        resolved: session.resolved(),
        allocated: session.allocated(),
    })?;
    Ok(session)
}

/// Keeps this thread, and every one it will start, on `cpus`.
#[cfg(not(target_os = "linux"))]
fn bind(_cpus: &[u32]) -> Result<(), Stop> {
    Ok(())
}

/// Keeps this thread, and every one it will start, on `cpus`.
#[cfg(target_os = "linux")]
fn bind(cpus: &[u32]) -> Result<(), Stop> {
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        set.set(cpu as usize);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|e| failed(FailureKind::Engine, format!("cannot run on CPUs {cpus:?}: {e}")))
}

/// Unknown here.
#[cfg(not(target_os = "linux"))]
fn cached_share(_path: &Path) -> Option<f64> {
    None
}

/// Share of the file that is in the page cache, from 64 probes that do not wait for the disk.
#[cfg(target_os = "linux")]
fn cached_share(path: &Path) -> Option<f64> {
    const PROBES: u64 = 64;
    let file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok().filter(|m| m.is_file() && m.len() > 0)?.len();
    let mut cached = 0;
    for probe in 0..PROBES {
        let mut byte = [0u8];
        let mut slices = [std::io::IoSliceMut::new(&mut byte)];
        let offset = length * probe / PROBES;
        match rustix::io::preadv2(&file, &mut slices, offset, rustix::io::ReadWriteFlags::NOWAIT) {
            Ok(_) => cached += 1,
            Err(rustix::io::Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
    Some(cached as f64 / PROBES as f64)
}

/// How often the threads of this process were taken off a CPU against their will.
fn involuntary_switches() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("status")).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))
                .and_then(|count| count.trim().parse::<u64>().ok())
        })
        .sum()
}
