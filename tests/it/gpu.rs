//! NVIDIA GPUs. Needs one, its driver, and Python for taking memory on it: run by hand.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use slmbench::clock::MonotonicClock;
use slmbench::sensors::{ChannelKind, GpuMemory, Root, look_twice, nvml_sources};
use slmbench::units::Nanos;

/// Takes a gibibyte through the driver, says so, and keeps it until its input ends.
const TAKE: &str = "
import ctypes, sys
cuda = ctypes.CDLL('libcuda.so.1')
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(1 << 30)) == 0
print('taken', flush=True)
sys.stdin.read()
";

#[test]
#[ignore = "needs an NVIDIA GPU; `scripts/test -- --ignored gpu` on a machine that has one"]
fn memory_that_a_process_takes_on_a_gpu_is_seen() {
    let gpus = GpuMemory::open(&Root::default()).expect("a GPU and its driver");
    let before = gpus.in_use_bytes().unwrap();
    let mut child = Command::new("python3")
        .args(["-c", TAKE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "taken\n");
    let used = gpus.in_use_bytes().unwrap() - before;
    drop(child.stdin.take());
    child.wait().unwrap();
    // The allocation, and the driver's own context beside it: half a gibibyte on an H200.
    assert!((1 << 30..1 << 31).contains(&used), "{used}");
    assert!(gpus.in_use_bytes().unwrap() < before + (1 << 28));
    println!("{used} bytes seen beyond {before}");
}

#[test]
#[ignore = "needs an NVIDIA GPU; `scripts/test -- --ignored gpu` on a machine that has one"]
fn channels_of_a_gpu_tell_what_can_be() {
    let mut found = nvml_sources(&Root::default());
    let seen = look_twice(&mut found.sources, &MonotonicClock, Nanos(2_000_000_000));
    let of = |name: &str| seen.iter().find(|seen| seen.channel.id == format!("nvml/0/{name}"));
    for seen in &seen {
        let value = *seen.value.as_ref().unwrap_or_else(|why| panic!("{seen:?}: {why}"));
        println!("{} = {value} {:?}", seen.channel.id, seen.per_s);
        let (least, most) = match seen.channel.kind {
            ChannelKind::Temperature => (5.0, 110.0),
            ChannelKind::Clock | ChannelKind::ClockCap => (1e8, 2e10),
            ChannelKind::Power => (1.0, 2000.0),
            ChannelKind::Flag | ChannelKind::Use => (0.0, 1.0),
            ChannelKind::Memory => (1.0, 1e12),
            _ => (0.0, f64::INFINITY),
        };
        assert!((least..=most).contains(&value), "{seen:?}");
    }
    println!("missing: {:?}", found.missing);
    let power = *of("power").unwrap().value.as_ref().unwrap();
    if let Some(counted) = of("energy").and_then(|seen| seen.per_s) {
        assert!((0.5..2.0).contains(&(counted / power)), "{counted} W counted, {power} W told");
    }
}

#[test]
fn a_machine_that_is_a_folder_has_no_gpu() {
    let folder = tempfile::tempdir().unwrap();
    assert!(GpuMemory::open(&Root::new(folder.path())).is_none());
}
