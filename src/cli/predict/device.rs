//! The device that is predicted for: this one, probed now, or one of which a probe is at hand.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Arguments;
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::files;
use crate::probe::Probe;
use crate::roofline::{self, Machine};
use crate::sensors::{allowed_cpus, auto_threads};
use crate::system::said;

/// A device and how it is used.
pub struct Device {
    /// What it can do.
    pub probe: Probe,
    /// Threads.
    pub n_threads: u32,
    /// Its class, where that is known better than the probe can tell.
    class: Option<String>,
}

impl Device {
    /// The one that the arguments mean.
    pub fn find(arguments: &Arguments) -> Result<Device, Failure> {
        match &arguments.probe {
            Some(path) => Device::of_file(path, arguments),
            None => Device::here(arguments),
        }
    }

    fn of_file(path: &Path, arguments: &Arguments) -> Result<Device, Failure> {
        let probe = read(path)?;
        let mut probed: Vec<u32> = probe.memory.iter().map(|one| one.n_threads).collect();
        probed.sort_unstable();
        probed.dedup();
        let most = probed.last().copied();
        let n_threads = match (arguments.threads, most) {
            (Some(n), _) if probed.contains(&n) => n,
            (Some(n), Some(_)) => {
                let probed: Vec<String> = probed.iter().map(u32::to_string).collect();
                let shown = path.display();
                return Err(format!(
                    "{shown} tells nothing of {n} threads; it was probed with {}\n\
                     hint: `slmbench probe --threads {n} --json`",
                    probed.join(", ")
                ))
                .or_usage();
            }
            (None, Some(most)) => most,
            (_, None) => return Err(no_bandwidth(&path.display().to_string())).or_usage(),
        };
        Ok(Device { probe, n_threads, class: arguments.class.clone() })
    }

    fn here(arguments: &Arguments) -> Result<Device, Failure> {
        let root = files::machine();
        let n_threads = arguments.threads.unwrap_or_else(|| auto_threads(&root, &allowed_cpus()));
        let probe = probe_quickly(n_threads, &arguments.when_busy)?;
        if probe.memory.iter().all(|one| one.n_threads != n_threads) {
            return Err(no_bandwidth("the probe")).or_usage();
        }
        let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
        let has_tiles = cpuinfo.split_whitespace().any(|flag| flag == "amx_int8");
        Ok(Device { probe, n_threads, class: has_tiles.then(|| roofline::AMX.to_owned()) })
    }

    /// What disturbed its probe, and so makes predictions too slow; `None` where nothing did.
    pub fn disturbance(&self) -> Option<String> {
        let share = self.probe.notable_foreign_share()?;
        let percent = share * 100.0;
        Some(format!(
            "other processes used {percent:.0} % of the CPUs during the probe: speeds may be told too low"
        ))
    }

    /// What predictions need of it.
    pub fn machine(&self) -> Result<Machine, Failure> {
        let machine = Machine::of(&self.probe, self.n_threads, self.class.as_deref());
        machine.ok_or("the probe has no peak in single precision").or_usage()
    }
}

fn no_bandwidth(who: &str) -> String {
    format!("{who} tells no bandwidth of memory\nhint: `slmbench probe` says why it is absent")
}

/// Reads what `slmbench probe --json` wrote.
pub fn read(path: &Path) -> Result<Probe, Failure> {
    let named = |what: &str| {
        format!(
            "--probe {}: {what}\nhint: `slmbench probe --json` writes such a file",
            path.display()
        )
    };
    let text = std::fs::read_to_string(path).map_err(|e| named(&said(&e))).or_usage()?;
    let no_probe = "it is no probe, or a damaged one";
    serde_json::from_str(&text).map_err(|_| named(no_probe)).or_usage()
}

/// Has this program probe, in its short form.
fn probe_quickly(n_threads: u32, when_busy: &str) -> Result<Probe, Failure> {
    let failed = |what: String| Failure { exit: Exit::Unfinished, message: what };
    let program = std::env::current_exe().or_usage()?;
    eprintln!("probing this device with {n_threads} threads, for some seconds");
    let output = Command::new(program)
        .args(["probe", "--quick", "--json", "--when-busy", when_busy, "--threads"])
        .arg(n_threads.to_string())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("the probe did not start: {error}")))?;
    match output.status.code() {
        Some(0) => serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("the probe did not say what it found: {error}"))),
        // What was wrong it has said itself.
        Some(2) => {
            Err("the device was not probed\nhint: --probe names a probe of before").or_usage()
        }
        _ => Err(failed(format!("the probe did not finish ({})", output.status))),
    }
}
