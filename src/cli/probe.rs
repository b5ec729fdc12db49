//! `slmbench probe`: the ceilings of this device, measured in a child of its own.
//!
//! The child takes memory, threads and caches that would disturb whatever this process does next, and
//! a loop for an instruction set that only seems to be there ends the child alone.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::measuring::{lock_machine, watch_signals};
use super::select::between;
use super::{files, print, report};
use crate::clock::{Clock, MonotonicClock};
use crate::measure;
use crate::probe::{
    self, CacheReading, Extent, MAX_THREADS, Number, Pages, Probe, Request, Spread,
};
use crate::report::{Align, Column, Narrow, Table, number, plain};
use crate::sensors::{
    LoadCounters, Root, allowed_cpus, auto_threads, foreign_load, memory_available,
};
use crate::units::{Bytes, Nanos};

const ABOUT: &str = "Examples:\n  slmbench probe                                      one thread, and as many as a run takes\n  \
                     slmbench probe --threads 1,2,4 --json\n\n\
                     A ceiling is the best of many short stretches, which are taken in turns: whatever \
                     else the machine does\nmakes a stretch slower, nothing makes it faster than the \
                     machine is. docs/probe.md tells what is timed.";

/// Arguments of `probe`.
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub struct Arguments {
    /// Numbers of threads; by default one, and as many as `auto` stands for in a run
    #[arg(long, short, value_name = "N,…", value_delimiter = ',',
          value_parser = between::<1, MAX_THREADS>, allow_negative_numbers = true)]
    threads: Vec<u32>,
    /// Fewer stretches: under 5 s in place of under 20 s
    #[arg(long)]
    quick: bool,
    /// As JSON, under names that do not change
    #[arg(long)]
    json: bool,
    /// While a run measures on this machine: wait, or refuse
    #[arg(long, value_name = "WORD", default_value = "wait", value_parser = ["wait", "refuse"])]
    when_busy: String,
}

/// Measures and tells.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let root = files::machine();
    let (mut n_threads, cpus) = (arguments.threads.clone(), allowed_cpus());
    if n_threads.is_empty() {
        n_threads = vec![1, auto_threads(&root, &cpus)];
    }
    n_threads.sort_unstable();
    n_threads.dedup();
    let (extent, quick, free_bytes) = (Extent::Whole, arguments.quick, memory_available(&root));
    let request = Request { extent, n_threads, cpus, quick, free_bytes };
    let program = std::env::current_exe().or_usage()?;
    let interrupted = watch_signals()?;
    let probe = {
        let _alone = lock_machine(&arguments.when_busy, &interrupted)?;
        let patience = Patience { limit: None, interrupted: &interrupted };
        measured(&program, &root, &request, &patience)?
    };
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&probe).or_usage()?))?,
        false => print(&as_text(&probe, report::terminal_width()))?,
    }
    Ok(Exit::Done)
}

/// How long a probe is waited for.
pub struct Patience<'a> {
    /// The time after which its child is ended.
    pub limit: Option<Duration>,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
}

/// Has a child of `program` measure, and looks at what else the machine does meanwhile.
pub fn measured(
    program: &Path,
    root: &Root,
    request: &Request,
    patience: &Patience<'_>,
) -> Result<Probe, Failure> {
    let load = || LoadCounters::read(root, MonotonicClock.now(), &request.cpus);
    let before = load();
    let probe = ask(program, request, patience)?;
    let foreign = foreign_load(&before, &load());
    Ok(Probe { foreign_cpu_share: foreign.cpu_share, steal_share: foreign.steal_share, ..probe })
}

fn ask(program: &Path, request: &Request, patience: &Patience<'_>) -> Result<Probe, Failure> {
    let told = serde_json::to_vec(request).or_usage()?;
    let failed = |what: String| Failure { exit: Exit::Unfinished, message: what };
    let mut child = Command::new(program)
        .arg(PROBE_HERE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("the probe did not start: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that has gone tells why by how it ended.
        let _ = stdin.write_all(&told);
    }
    // What it says would fill no pipe but for very many numbers of threads: read beside.
    let mut stdout = child.stdout.take();
    let reading = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stdout.as_mut().map(|stdout| stdout.read_to_end(&mut said));
        said
    });
    let ended = ended(&mut child, patience).map_err(|error| failed(error.to_string()))?;
    let said = reading.join().unwrap_or_default();
    match ended {
        Some(status) if status.success() => serde_json::from_slice(&said)
            .map_err(|error| failed(format!("the probe did not say what it found: {error}"))),
        Some(status) => Err(failed(format!("the probe did not finish ({status})"))),
        None => Err(failed("the probe was ended before it was through".to_owned())),
    }
}

/// Waits for the end of a child; `None` where patience ended first.
fn ended(
    child: &mut Child,
    patience: &Patience<'_>,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let is_late = patience.limit.is_some_and(|limit| begun.elapsed() > limit);
        if is_late || patience.interrupted.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        // Rarely, for it measures.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The command that measures in its own process.
pub const PROBE_HERE: &str = "probe-here";

/// Measures what is asked for on standard input.
pub fn answer() -> Result<Exit, Failure> {
    measure::end_with_parent();
    let request: Request = serde_json::from_reader(std::io::stdin()).or_usage()?;
    let root = files::machine();
    bind(&request.cpus);
    let probe = probe::measure(&request, &root.path(""), &MonotonicClock).or_usage()?;
    print(&serde_json::to_string(&probe).or_usage()?)?;
    Ok(Exit::Done)
}

/// Keeps this thread, and every one it will start, on `cpus`; on any where that is none, or not known
/// here.
fn bind(cpus: &[u32]) {
    #[cfg(target_os = "linux")]
    if !cpus.is_empty() {
        let mut set = rustix::thread::CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu as usize));
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = cpus;
}

/// A table of all figures, what was detected, and how to read it.
fn as_text(probe: &Probe, width: usize) -> String {
    let right = |header| Column::new(header, Align::Right);
    let mut table = Table::new(vec![
        Column::new("ceiling", Align::Left),
        Column::new("of", Align::Left).narrow(Narrow::ElideTo(20)),
        right("threads"),
        right("best"),
        right("median"),
        right("middle half").narrow(Narrow::Drop(1)),
        Column::new("unit", Align::Left),
    ]);
    let mut last = [String::new(), String::new()];
    let mut row = |of: [String; 2], n_threads: u32, spread: &Spread, unit: (f64, &str)| {
        let shown = |value: f64| number(value / unit.0);
        // What the row above says already is left out.
        let same = [of[0] == last[0], of == last];
        last.clone_from(&of);
        let [ceiling, of] = of;
        let told = |text: String, same: bool| if same { String::new() } else { text };
        table.push(vec![
            told(ceiling, same[0]),
            told(of, same[1]),
            n_threads.to_string(),
            shown(spread.best),
            shown(spread.median),
            format!("[{}, {}]", shown(spread.q25), shown(spread.q75)),
            unit.1.to_owned(),
        ]);
    };
    for reading in &probe.memory {
        let pages = match (reading.pages, reading.huge_bytes) {
            (Pages::Small, _) => format!("memory, {} pages", Bytes(probe.page_bytes)),
            (Pages::Huge, None) => "memory, huge pages".to_owned(),
            (Pages::Huge, Some(huge)) => {
                let share = huge as f64 / reading.buffer_bytes.max(1) as f64;
                format!("memory, {:.0} % on huge pages", share * 100.0)
            }
        };
        row(["read".into(), pages], reading.n_threads, &reading.bytes_per_s, GIGABYTES);
    }
    for CacheReading { cache, reading } in &probe.caches {
        for one in reading {
            let of = format!("{}, {}", cache.name(), Bytes(cache.size_bytes));
            row(["read".into(), of], one.n_threads, &one.bytes_per_s, GIGABYTES);
        }
    }
    for peak in &probe.peaks {
        let unit = if peak.number == Number::Int8 { "Gop/s" } else { "GFLOP/s" };
        let of = [peak.number.name().to_owned(), peak.instructions.clone()];
        row(of, peak.n_threads, &peak.ops_per_s, (1e9, unit));
    }
    for one in &probe.fork_join {
        let of = ["fork-join".to_owned(), "handing out nothing".to_owned()];
        row(of, one.n_threads, &one.latency_ns, (1.0, "ns"));
    }
    let mut out = head(probe);
    out.push_str(&table.to_text(width));
    for absent in &probe.absent {
        out.push_str(&format!("absent: {}: {}\n", plain(&absent.what), plain(&absent.why)));
    }
    out.push_str(READING_AID);
    out
}

/// What was read and how, and what the machine says of its caches.
fn head(probe: &Probe) -> String {
    let caches = probe.caches.iter().map(|CacheReading { cache, .. }| {
        let sharers = match cache.n_cpus {
            1 => "of each CPU".to_owned(),
            n => format!("shared by {n} CPUs"),
        };
        format!("{} {} {sharers}", cache.name(), Bytes(cache.size_bytes))
    });
    let caches: Vec<String> = caches.collect();
    let buffer = probe.memory.first().map(|reading| Bytes(reading.buffer_bytes));
    let mut out = String::new();
    if !caches.is_empty() {
        out.push_str(&format!("caches  {}\n", caches.join(" · ")));
    }
    let of = buffer.map_or(String::new(), |bytes| format!(", from memory {bytes} at a time"));
    out.push_str(&format!("read    with {}{of}\n", plain(&probe.read_with)));
    out.push_str(&format!("took    {}\n", Nanos(probe.took_ns)));
    let shares = [
        ("other processes used", probe.notable_foreign_share()),
        ("the hypervisor took", probe.notable_steal_share()),
    ];
    for (who, share) in shares {
        if let Some(share) = share {
            let told = format!("{who} {:.0} % of the CPUs meanwhile", share * 100.0);
            out.push_str(&format!("note    {told}: ceilings of several threads may be too low\n"));
        }
    }
    out.push('\n');
    out
}

const GIGABYTES: (f64, &str) = (1e9, "GB/s");

const READING_AID: &str = "A decode step reads every weight once: it can make at most read bandwidth ÷ \
                           bytes of the weights tokens per second.\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Absent, Cache, ForkJoin, MemoryReading, Peak, SetReading, Unit};

    fn spread(best: f64) -> Spread {
        Spread { best, median: best * 0.9, q25: best * 0.8, q75: best * 0.95, n: 60 }
    }

    fn probe() -> Probe {
        let memory = |pages, n_threads, huge_bytes, rate| MemoryReading {
            pages,
            n_threads,
            buffer_bytes: 256 << 20,
            huge_bytes,
            bytes_per_s: spread(rate),
        };
        let peak = |number, unit, instructions: &str, rate| Peak {
            number,
            unit,
            instructions: instructions.to_owned(),
            n_threads: 2,
            ops_per_s: spread(rate),
        };
        let set = |n_threads, rate| SetReading {
            n_threads,
            set_bytes: 16 << 10,
            bytes_per_s: spread(rate),
        };
        let cache = Cache { level: 1, size_bytes: 32 << 10, n_cpus: 1 };
        let shared = Cache { level: 3, size_bytes: 32 << 20, n_cpus: 2 };
        Probe {
            quick: false,
            took_ns: 11_300_000_000,
            cpus: vec![0, 1],
            foreign_cpu_share: Some(0.43),
            steal_share: Some(0.01),
            read_with: "avx512f".to_owned(),
            page_bytes: 4096,
            memory: vec![
                memory(Pages::Small, 1, Some(0), 17.3e9),
                memory(Pages::Small, 2, Some(0), 25.1e9),
                memory(Pages::Huge, 1, Some(192 << 20), 30.3e9),
            ],
            caches: vec![
                CacheReading { cache, reading: vec![set(1, 220e9), set(2, 433e9)] },
                CacheReading { cache: shared, reading: vec![] },
            ],
            peaks: vec![
                peak(Number::Int8, Unit::Tiles, "amx_int8 tdpbusd", 3.7e12),
                peak(Number::Int8, Unit::Vectors, "avx512_vnni vpdpbusd zmm", 471e9),
                peak(Number::F32, Unit::Vectors, "avx512f vfmadd zmm", 117.8e9),
            ],
            fork_join: vec![ForkJoin { n_threads: 2, latency_ns: spread(207.3) }],
            absent: vec![Absent { what: "L3, n_threads = 1".into(), why: "of a reason".into() }],
        }
    }

    #[test]
    fn ceilings_line_up_and_what_disturbed_or_is_absent_is_told() {
        insta::assert_snapshot!(as_text(&probe(), 120));
    }

    #[test]
    fn a_narrow_terminal_gets_the_best_and_the_median() {
        let text = as_text(&probe(), 60);
        assert!(text.contains("median") && !text.contains("middle half"), "{text}");
    }
}
