//! Clocks of the CPU and the highest clock allowed: `/sys/devices/system/cpu/cpufreq`.
//!
//! Source of truth: the kernel's `Documentation/admin-guide/pm/cpufreq.rst`.

use std::collections::BTreeSet;

use super::super::{ChannelKind, Quality, Root, Scope};
use super::file::Held;
use super::{Finder, channel, name};

const FOLDER: &str = "sys/devices/system/cpu/cpufreq";

/// Files that tell the clock, best first: measured by the hardware, asked of it, and, in most
/// drivers, merely what was last asked for.
const CLOCKS: [&str; 3] = ["cpuinfo_avg_freq", "cpuinfo_cur_freq", "scaling_cur_freq"];

/// Finds clock and cap of every policy. A policy is called after its first CPU.
pub(in super::super) fn policies(finder: &mut Finder) {
    let policies = worth_reading(finder.root);
    for policy in finder.few_of("cpufreq", "policies", policies) {
        let folder = format!("{FOLDER}/{policy}");
        clock(finder, &policy, &folder);
        let id = format!("cpufreq/{policy}/cap");
        let path = format!("{folder}/scaling_max_freq");
        if let Some(file) = finder.hold(&id, &path) {
            let about =
                channel(&id, ChannelKind::ClockCap, Scope::Package, Quality::Instant, &path);
            finder.add(about, move || Ok(file.number()? * 1000.0));
        }
    }
}

fn clock(finder: &mut Finder, policy: &str, folder: &str) {
    let root = finder.root;
    // One that only root may read is no loss where another is there.
    let open =
        |file: &'static str| Some((file, Held::open(root, &format!("{folder}/{file}")).ok()?));
    let mut files: Vec<(&str, Held)> = CLOCKS.into_iter().filter_map(open).collect();
    // A measured clock may be out of reach for a moment; what is asked of the hardware is not.
    files.truncate(2);
    let [(best, _), others @ ..] = &files[..] else { return };
    let source = match others {
        [(other, _)] => format!("{folder}/{best}, else {other}"),
        _ => format!("{folder}/{best}"),
    };
    let driver = root.text(&format!("{folder}/scaling_driver")).unwrap_or_default();
    let quality = match *best {
        "cpuinfo_avg_freq" => Quality::Averaged,
        "cpuinfo_cur_freq" => Quality::Instant,
        // These measure it all the same.
        _ if driver.starts_with("intel_") || driver.starts_with("amd") => Quality::Averaged,
        _ => Quality::Estimate,
    };
    let id = format!("cpufreq/{policy}");
    let about = channel(&id, ChannelKind::Clock, Scope::Package, quality, &source);
    let reads = files.into_iter().map(|(_, file)| move || file.number()).collect();
    let mut read = first_that_answers(reads);
    finder.add(about, move || Ok(read()? * 1000.0));
}

/// Asks one after the other, anew at each reading: the measured clock of a CPU that idles cannot
/// be told, and can be told a second later.
fn first_that_answers<R: FnMut() -> Result<f64, String>>(
    mut reads: Vec<R>,
) -> impl FnMut() -> Result<f64, String> {
    move || {
        let mut failure = Err("no file tells it".to_owned());
        for read in &mut reads {
            match read() {
                Ok(value) => return Ok(value),
                Err(reason) if failure.is_err() => failure = Err(reason),
                Err(_) => {}
            }
        }
        failure
    }
}

/// Policies without those of a core's second hyper-thread alone: its clock is that of the first,
/// and reading it disturbs the core once more.
fn worth_reading(root: &Root) -> Vec<String> {
    let siblings = |cpu: &str| {
        root.text(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
    };
    let mut seen = BTreeSet::new();
    let mut policies = name::by_number(root.names(FOLDER, "policy"));
    policies.retain(|policy| {
        let cpus = root.text(&format!("{FOLDER}/{policy}/related_cpus"));
        match cpus.filter(|cpus| cpus.parse::<u32>().is_ok()).and_then(|cpu| siblings(&cpu)) {
            Some(core) => seen.insert(core),
            None => true,
        }
    });
    policies
}

#[cfg(test)]
mod tests {
    use super::super::super::discover;
    use super::super::super::fixture::unpack;
    use super::*;

    #[test]
    fn a_clock_that_only_root_may_read_leaves_the_one_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let text = "== sys/devices/system/cpu/cpufreq/policy0/\ncpuinfo_cur_freq !unreadable\n\
                    scaling_cur_freq = 1800000\nscaling_driver = cpufreq-dt\n";
        let root = unpack(text, folder.path()).unwrap();
        let mut found = discover(&root);
        let clock = found.sources.iter_mut().find(|s| s.channel.id == "cpufreq/policy0").unwrap();
        assert_eq!(clock.reader.read(), Ok(1.8e9));
        assert_eq!(clock.channel.quality, Quality::Estimate);
        assert!(clock.channel.source.ends_with("scaling_cur_freq"));
        assert!(found.missing.iter().all(|m| !m.id.starts_with("cpufreq")), "it is no loss");
    }

    #[test]
    fn a_measured_clock_that_is_busy_for_once_falls_back_and_comes_back() {
        let mut answers = [Ok(1.0), Err("busy".to_owned()), Ok(3.0)].into_iter();
        let measured = move || answers.next().unwrap_or(Err("gone".to_owned()));
        let mut asked_for: Vec<Box<dyn FnMut() -> Result<f64, String>>> =
            vec![Box::new(measured), Box::new(|| Ok(9.0))];
        let mut read = first_that_answers(std::mem::take(&mut asked_for));
        assert_eq!([read(), read(), read(), read()], [Ok(1.0), Ok(9.0), Ok(3.0), Ok(9.0)]);
        let mut none = first_that_answers(vec![|| Err("busy".to_owned())]);
        assert_eq!(none(), Err("busy".to_owned()));
    }
}
