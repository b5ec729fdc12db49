//! A device of seconds: a folder that stands for a machine, kept by a thread that lets it warm up by a
//! thermal RC model and slow down by a governor, while the fake engine is as slow as its clock.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ROOM_C: f64 = 25.0;
const IDLE_W: f64 = 1.0;
const BUSY_W: f64 = 9.0;
const MAX_KHZ: f64 = 2_000_000.0;
/// Kelvin per watt, and seconds in which it warms by 63 %.
const RESISTANCE: f64 = 5.0;
const TAU_S: f64 = 6.0;
/// Steps of clock for each degree above the trip point, the share of the clock that one takes away,
/// and the seconds in which the governor follows.
const STEPS_PER_C: f64 = 2.0;
const STEP_SHARE: f64 = 0.08;
const GOVERNOR_S: f64 = 1.0;
const STEP: Duration = Duration::from_millis(10);

/// What slows the device down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// A governor that takes away a step of clock for each degree above this.
    Heat { trip_c: f64 },
    /// The supply's voltage falls for good, so many seconds after work began.
    UnderVoltage { after_s: f64 },
    /// Too much current is drawn from then on.
    OverCurrent { after_s: f64 },
    /// Nothing.
    None,
}

/// A device that lives until it is dropped.
pub struct Device {
    root: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    /// Sets one up in `root`.
    pub fn start(root: PathBuf, fate: Fate) -> Device {
        for (path, text) in [
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal"),
            ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0"),
            ("sys/class/thermal/cooling_device0/max_state", "20"),
            ("sys/class/hwmon/hwmon0/name", "ina3221"),
            ("sys/class/hwmon/hwmon0/in1_label", "VDD_IN"),
            ("sys/class/hwmon/hwmon0/in1_input", "5000"),
            ("sys/class/hwmon/hwmon1/name", "rpi_volt"),
            ("sys/class/hwmon/hwmon2/name", "soctherm_oc"),
            ("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "2000000"),
            ("sys/devices/system/cpu/cpufreq/policy0/related_cpus", "0"),
            ("proc/cpuinfo", "model name : simulated"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        let mut state = State::new(&root, fate);
        state.write();
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                let mut last = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(STEP);
                    state.advance(last.elapsed().as_secs_f64());
                    last = Instant::now();
                    state.write();
                }
            }
        });
        Device { root, over, thread: Some(thread) }
    }

    /// The folder that stands for it.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What a file holds.
type Value = fn(&State) -> f64;

/// Files that are written anew in their place, as the kernel's are: readers keep them open.
struct State {
    fate: Fate,
    busy: PathBuf,
    files: Vec<(File, Value)>,
    celsius: f64,
    steps: f64,
    worked_s: f64,
    events: f64,
}

impl State {
    fn new(root: &Path, fate: Fate) -> State {
        let files: [(&str, Value); 7] = [
            ("sys/class/thermal/thermal_zone0/temp", |s| s.celsius * 1000.0),
            ("sys/class/thermal/cooling_device0/cur_state", |s| s.steps.ceil()),
            ("sys/class/hwmon/hwmon0/curr1_input", |s| s.watts(s.is_busy()) / 5.0 * 1000.0),
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", |s| f64::from(s.is_under_voltage())),
            ("sys/class/hwmon/hwmon2/oc2_event_cnt", |s| s.events),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", |s| s.khz()),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", |_| MAX_KHZ),
        ];
        let open = |path: &str| File::create(root.join(path)).unwrap();
        State {
            fate,
            busy: root.join("busy"),
            files: files.map(|(path, value)| (open(path), value)).into(),
            celsius: ROOM_C + IDLE_W * RESISTANCE,
            steps: 0.0,
            worked_s: 0.0,
            events: 7.0,
        }
    }

    /// Whether the engine has been at work just now.
    fn is_busy(&self) -> bool {
        let touched = fs::metadata(&self.busy).and_then(|about| about.modified());
        touched.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago < Duration::from_millis(60)))
    }

    fn since(&self, after_s: f64) -> bool {
        self.worked_s > after_s
    }

    fn is_under_voltage(&self) -> bool {
        matches!(self.fate, Fate::UnderVoltage { after_s } if self.since(after_s))
    }

    fn khz(&self) -> f64 {
        let held_back = match self.fate {
            Fate::UnderVoltage { after_s } | Fate::OverCurrent { after_s } => self.since(after_s),
            Fate::Heat { .. } | Fate::None => false,
        };
        MAX_KHZ * if held_back { 0.55 } else { 1.0 - STEP_SHARE * self.steps }
    }

    fn watts(&self, is_busy: bool) -> f64 {
        if is_busy { IDLE_W + BUSY_W * (self.khz() / MAX_KHZ).powi(2) } else { IDLE_W }
    }

    fn advance(&mut self, dt: f64) {
        let is_busy = self.is_busy();
        if is_busy {
            self.worked_s += dt;
        }
        let towards = ROOM_C + self.watts(is_busy) * RESISTANCE;
        self.celsius += (towards - self.celsius) * (dt / TAU_S).min(1.0);
        if let Fate::Heat { trip_c } = self.fate {
            // As a governor of shares does, so that it comes to rest instead of going to and fro.
            let wanted = ((self.celsius - trip_c) * STEPS_PER_C).clamp(0.0, 15.0);
            self.steps += (wanted - self.steps) * (dt / GOVERNOR_S).min(1.0);
        }
        if matches!(self.fate, Fate::OverCurrent { after_s } if self.since(after_s)) {
            self.events += 1.0;
        }
    }

    fn write(&self) {
        for (file, value) in &self.files {
            file.write_all_at(format!("{:012}\n", value(self).round() as i64).as_bytes(), 0)
                .unwrap();
        }
    }
}
