//! One file for each place in which a machine tells of itself. Each looks for its channels and says
//! how they are read; none knows of the others, of time, or of what the numbers are for.
//!
//! Source of truth: the kernel's documentation of these files, named in each of them.

mod command;
mod cpufreq;
mod devfreq;
mod file;
mod hwmon;
mod jetson;
mod name;
mod proc;
mod quota;
mod rapl;
mod raspberry;
mod supply;
pub(super) mod thermal;
mod throttle;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Channel, ChannelKind, Discovered, Missing, Quality, Reader, Root, Scope, Source};
use crate::clock::{Clock, monotonic};
use file::{Held, Unopened};

/// Every source, in the order in which its channels are shown.
const SOURCES: [fn(&mut Finder); 12] = [
    thermal::zones,
    hwmon::chips,
    thermal::cooling_devices,
    cpufreq::policies,
    throttle::counters,
    rapl::zones,
    jetson::monitors,
    devfreq::gpus,
    raspberry::firmware,
    supply::supplies,
    quota::counters,
    proc::counters,
];

/// Asks every source.
pub(super) fn all(root: &Root) -> Discovered {
    let mut finder = Finder::new(root);
    for find in SOURCES {
        find(&mut finder);
    }
    finder.found
}

/// Collects what is found under a root.
pub(super) struct Finder<'a> {
    root: &'a Root,
    /// For readings that several channels share.
    clock: Arc<dyn Clock>,
    ids: BTreeSet<String>,
    found: Discovered,
}

impl<'a> Finder<'a> {
    /// Nothing found yet.
    pub(super) fn new(root: &'a Root) -> Finder<'a> {
        Finder { root, clock: monotonic(), ids: BTreeSet::new(), found: Discovered::default() }
    }

    /// Adds a channel that `read` reads. Sources give different names to different things; should
    /// two be alike all the same, a number tells them apart.
    fn add(
        &mut self,
        mut channel: Channel,
        read: impl FnMut() -> Result<f64, String> + Send + 'static,
    ) {
        let plain = channel.id.clone();
        let mut n = 1;
        while !self.ids.insert(channel.id.clone()) {
            n += 1;
            channel.id = format!("{plain}-{n}");
        }
        self.found.sources.push(Source { channel, reader: Box::new(Function(read)) });
    }

    /// Opens the file that channel `id` is read from. One that is there and must not be read is
    /// noted as missing.
    fn hold(&mut self, id: &str, path: &str) -> Option<Held> {
        match Held::open(self.root, path) {
            Ok(held) => Some(held),
            Err(Unopened::Absent) => None,
            Err(Unopened::Refused(reason)) => {
                self.miss(id, reason, None);
                None
            }
        }
    }

    /// What is said once is not said again: files of one kind fail for one reason.
    fn miss(&mut self, id: &str, reason: impl Into<String>, remedy: Option<String>) {
        let missing = Missing { id: id.to_owned(), reason: reason.into(), remedy };
        if !self.found.missing.contains(&missing) {
            self.found.missing.push(missing);
        }
    }

    /// Of many things of one kind, such as the cores of a server, sixteen that lie evenly spread over
    /// the machine: each costs a reading a second, and all of them tell much the same.
    fn few_of<T>(&mut self, id: &str, what: &str, all: Vec<T>) -> Vec<T> {
        const MOST: usize = 16;
        let n = all.len();
        if n <= MOST {
            return all;
        }
        let reason = format!("of {n} {what} {MOST} are read, evenly spread over the machine");
        self.miss(id, reason, None);
        let kept = |i: usize| (i * MOST).div_ceil(n) != ((i + 1) * MOST).div_ceil(n);
        all.into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, one)| one).collect()
    }
}

/// A function that reads.
struct Function<F>(F);

impl<F: FnMut() -> Result<f64, String> + Send> Reader for Function<F> {
    fn read(&mut self) -> Result<f64, String> {
        (self.0)()
    }
}

/// A channel that tells of what computes and names no cause.
fn channel(id: &str, kind: ChannelKind, scope: Scope, quality: Quality, source: &str) -> Channel {
    Channel {
        id: id.to_owned(),
        kind,
        source: source.to_owned(),
        scope,
        quality,
        cause: None,
        relevant: true,
    }
}

/// Degrees out of a sensor's thousandths, where they can be true. A part without power reads as 0
/// or as far below what a chip survives, and some phones hang other quantities into the same tree.
fn celsius(milli: f64) -> Result<f64, String> {
    const COLDEST: f64 = -40_000.0;
    const HOTTEST: f64 = 150_000.0;
    if milli.abs() < 1000.0 || !(COLDEST..=HOTTEST).contains(&milli) {
        return Err(format!("{} °C is no temperature: the part has no power", milli / 1000.0));
    }
    Ok(milli / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::unpack;
    use super::*;

    /// A server: each CPU a core with a policy of its own, an Intel counter and a cooling device.
    fn server(n_cpus: usize) -> String {
        use std::fmt::Write;
        let mut text = String::from("== proc/stat\ncpu  1 2 3 4 5 6 7 8 0 0\nctxt 5\n");
        for i in 0..n_cpus {
            let _ = write!(
                text,
                "== sys/devices/system/cpu/cpu{i}/topology/\ncore_id = {i}\n\
                 physical_package_id = {}\nthread_siblings_list = {i}\n\
                 == sys/devices/system/cpu/cpu{i}/thermal_throttle/\n\
                 core_throttle_count = 1\ncore_throttle_total_time_ms = 5\n\
                 package_throttle_count = 1\npackage_throttle_total_time_ms = 5\n\
                 == sys/devices/system/cpu/cpufreq/policy{i}/\nrelated_cpus = {i}\n\
                 cpuinfo_avg_freq = 2000000\nscaling_cur_freq = 2000000\n\
                 scaling_max_freq = {}\n\
                 == sys/class/thermal/cooling_device{i}/\ntype = Processor\ncur_state = 0\n",
                i * 2 / n_cpus,
                3_000_000 + i,
            );
        }
        text
    }

    #[test]
    fn a_server_of_many_cores_has_few_files_open() {
        let folder = tempfile::tempdir().unwrap();
        let root = unpack(&server(256), folder.path()).unwrap();
        let before = file::N_OPENED.get();
        let found = all(&root);
        let n_opened = file::N_OPENED.get() - before;
        assert!((100..150).contains(&n_opened), "{n_opened}");
        let of = |prefix: &str| {
            let ids = found.sources.iter().map(|source| source.channel.id.as_str());
            ids.filter(|id| id.starts_with(prefix)).map(str::to_owned).collect::<Vec<_>>()
        };
        let policies = of("cpufreq/");
        assert_eq!(policies.len(), 32, "a clock and a cap of each");
        assert!(policies.contains(&"cpufreq/policy0".to_owned()), "{policies:?}");
        assert!(policies.contains(&"cpufreq/policy240".to_owned()), "{policies:?}");
        let missing: Vec<String> =
            found.missing.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
        assert_eq!(
            missing,
            [
                "cooling/Processor: of 256 devices 16 are read, evenly spread over the machine",
                "cpufreq: of 256 policies 16 are read, evenly spread over the machine",
                "throttle/core: of 256 cores 16 are read, evenly spread over the machine",
            ]
        );
    }

    #[test]
    fn sixteen_are_all_of_sixteen_and_an_even_share_of_more() {
        let root = Root::new("/nowhere");
        let mut finder = Finder::new(&root);
        assert_eq!(finder.few_of("x", "cores", (0..16).collect()).len(), 16);
        assert!(finder.found.missing.is_empty());
        for n in [17, 24, 100, 255] {
            let few: Vec<usize> = finder.few_of("x", "cores", (0..n).collect());
            assert_eq!((few.len(), few[0]), (16, 0), "{n}");
            assert!(few.windows(2).all(|pair| pair[1] - pair[0] <= n / 16 + 1), "{few:?}");
        }
    }
}
