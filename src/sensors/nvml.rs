//! NVIDIA GPUs, through the management library (NVML) that comes with their driver. It is looked for
//! at run time and started once: without it there are no such GPUs, and nothing is missing.
//!
//! Power and energy have the scope of a board. NVML's power is that of the GPU "and its associated
//! circuitry (e.g. memory)", which on a card is all that the card draws: more than the chip, less
//! than the machine. A GPU on a module that holds a processor as well (Grace Hopper) is told without
//! that processor.
//!
//! Which bit stands for what: `nvml.h`, "Clocks event reasons", and NVIDIA's NVML API reference.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, PerformancePolicy, TemperatureSensor};
use nvml_wrapper::enums::device::{DeviceArchitecture, SampleValue};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::{Device, Nvml};

use super::{
    Cause, Channel, ChannelKind, Discovered, Missing, Quality, Reader, Root, Scope, Source,
};
use crate::clock::{Clock as _, MonotonicClock};
use crate::units::Nanos;

/// The library, started once in a process. `None` without it or without a GPU.
fn library() -> Result<&'static Nvml, &'static NvmlError> {
    static LIBRARY: OnceLock<Result<Nvml, NvmlError>> = OnceLock::new();
    // Its usual name first; containers often have the one with a version alone.
    let start = || {
        Nvml::init().or_else(|error| {
            Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init().or(Err(error))
        })
    };
    LIBRARY.get_or_init(start).as_ref()
}

/// The GPUs by the place of their slot, which stays the same from one start to the next.
fn gpus() -> Vec<Device<'static>> {
    let Ok(library) = library() else { return Vec::new() };
    let n_devices = library.device_count().unwrap_or(0);
    let mut gpus: Vec<Device> =
        (0..n_devices).filter_map(|i| library.device_by_index(i).ok()).collect();
    gpus.sort_by_key(|gpu| gpu.pci_info().map(|slot| slot.bus_id).unwrap_or_default());
    gpus
}

/// Names of this machine's GPUs, as their driver has them.
pub fn gpu_names(root: &Root) -> Vec<String> {
    if !root.is_this_machine() {
        return Vec::new();
    }
    gpus().iter().filter_map(|gpu| gpu.name().ok()).collect()
}

/// Memory of the GPUs of this machine.
pub struct GpuMemory {
    gpus: Vec<Device<'static>>,
}

impl GpuMemory {
    /// Finds the GPUs. `None` where there are none, or where a folder stands for the machine.
    pub fn open(root: &Root) -> Option<GpuMemory> {
        if !root.is_this_machine() {
            return None;
        }
        let n_devices = library().ok()?.device_count().ok()?;
        let gpus = gpus();
        // One that cannot be asked would make the sum a wrong one.
        (n_devices > 0 && gpus.len() == n_devices as usize).then_some(GpuMemory { gpus })
    }

    /// Bytes in use on all of them together, by whomever. The library tells memory by process too,
    /// but not in containers: it knows processes by the numbers they have outside.
    pub fn in_use_bytes(&self) -> Option<u64> {
        self.gpus
            .iter()
            .map(|gpu| Some(gpu.memory_info().ok()?.used))
            .try_fold(0u64, |sum, used| Some(sum.saturating_add(used?)))
    }
}

/// Every channel of the GPUs of this machine: `nvml/0/power` and so on. What a GPU does not have
/// is missing with a reason where it matters: power, energy, temperature and clock.
pub fn nvml_sources(root: &Root) -> Discovered {
    let mut found = Discovered::default();
    if !root.is_this_machine() {
        return found;
    }
    if let Err(error) = library() {
        found.missing.extend(driver_without_library(root, error));
        return found;
    }
    for (number, gpu) in gpus().into_iter().enumerate() {
        Gpu { number, gpu: Arc::new(gpu) }.sources(&mut found);
    }
    found
}

/// What is to be said where the library does not start: nothing, unless the driver is there.
fn driver_without_library(root: &Root, error: &NvmlError) -> Option<Missing> {
    if !root.path("proc/driver/nvidia/version").exists() {
        return None;
    }
    let remedy = match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => Some(
            "install libnvidia-ml.so of the driver's own version; in a container: start it with \
             --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        ),
        NvmlError::NoPermission => Some("sudo chmod a+rw /dev/nvidiactl /dev/nvidia[0-9]*"),
        _ => None,
    };
    Some(Missing {
        id: "nvml".to_owned(),
        reason: format!("the NVIDIA driver is loaded, its library is not to be used: {error}"),
        remedy: remedy.map(str::to_owned),
    })
}

/// A GPU with the number it has in the names of its channels.
struct Gpu {
    number: usize,
    gpu: Arc<Device<'static>>,
}

/// Reads one thing of one GPU.
struct Ask<F> {
    gpu: Arc<Device<'static>>,
    ask: F,
}

impl<F> Reader for Ask<F>
where
    F: FnMut(&Device<'static>) -> Result<f64, NvmlError> + Send,
{
    fn read(&mut self) -> Result<f64, String> {
        (self.ask)(&self.gpu).map_err(|error| in_words(&error)).and_then(number)
    }
}

/// NVML's words, less those that speak of the library's own calls.
fn in_words(error: &NvmlError) -> String {
    match error {
        NvmlError::NotSupported => "this GPU does not tell".to_owned(),
        NvmlError::FailedToLoadSymbol(_) => "this driver does not tell".to_owned(),
        NvmlError::NoPermission => "only root may read it".to_owned(),
        NvmlError::GpuLost => "the GPU is gone from its bus".to_owned(),
        other => other.to_string(),
    }
}

fn number(value: f64) -> Result<f64, String> {
    match value.is_finite() {
        true => Ok(value),
        false => Err("the driver told no number".to_owned()),
    }
}

/// Whether a channel that cannot be read is worth a line.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    Told,
    Passed,
}

impl Gpu {
    fn sources(&self, found: &mut Discovered) {
        use ChannelKind::*;
        let name = self.gpu.name().unwrap_or_default();
        let architecture = self.gpu.architecture().unwrap_or(DeviceArchitecture::Unknown);
        let mut add = |channel, absent, ask| self.add(found, channel, absent, ask);

        add(self.channel("energy", Energy, Quality::Counter), Absent::Told, energy as Question);
        match instant_power(&self.gpu) {
            Ok(_) => {
                let power = self.channel("power", Power, Quality::Instant);
                add(power, Absent::Told, instant_power);
            }
            Err(_) => {
                let power = self.channel("power", Power, power_quality(&architecture, &name));
                add(power, Absent::Told, power_usage);
            }
        }
        add(self.channel("temperature", Temperature, Quality::Instant), Absent::Told, |gpu| {
            gpu.temperature(TemperatureSensor::Gpu).map(f64::from)
        });
        add(self.channel("sm_clock", Clock, Quality::Instant), Absent::Told, |gpu| {
            gpu.clock_info(self::Clock::SM).map(hertz)
        });
        add(self.channel("graphics_clock", Clock, Quality::Instant), Absent::Passed, |gpu| {
            gpu.clock_info(self::Clock::Graphics).map(hertz)
        });
        // It stays where it is while the chip slows down.
        let memory_clock = self.channel("memory_clock", Clock, Quality::Instant);
        add(Channel { relevant: false, ..memory_clock }, Absent::Passed, |gpu| {
            gpu.clock_info(self::Clock::Memory).map(hertz)
        });
        // What the chip can do at most. A lower limit that somebody set shows in the flags.
        add(self.channel("sm_clock_max", ClockCap, Quality::Instant), Absent::Passed, |gpu| {
            gpu.max_clock_info(self::Clock::SM).map(hertz)
        });
        add(self.channel("use", Use, Quality::Averaged), Absent::Passed, |gpu| {
            gpu.utilization_rates().map(|used| share(used.gpu))
        });
        add(self.channel("memory", Memory, Quality::Instant), Absent::Passed, |gpu| {
            gpu.memory_info().map(|memory| memory.used as f64)
        });
        self.flags(found);
        self.held_back(found);
        self.dram_use(found);
    }

    /// Its id, its kind, its worth; the rest is the same for all.
    fn channel(&self, name: &str, kind: ChannelKind, quality: Quality) -> Channel {
        Channel {
            id: format!("nvml/{}/{name}", self.number),
            kind,
            source: "NVML".to_owned(),
            scope: Scope::Board,
            quality,
            cause: None,
            relevant: true,
        }
    }

    /// Adds a channel that answers now; of one that does not, says why where that is worth it.
    fn add<F>(&self, found: &mut Discovered, channel: Channel, absent: Absent, mut ask: F)
    where
        F: FnMut(&Device<'static>) -> Result<f64, NvmlError> + Send + 'static,
    {
        match ask(&self.gpu) {
            Ok(_) => {
                let reader = Box::new(Ask { gpu: Arc::clone(&self.gpu), ask });
                found.sources.push(Source { channel, reader });
            }
            Err(error) if absent == Absent::Told || matches!(error, NvmlError::NoPermission) => {
                let remedy = matches!(error, NvmlError::NoPermission)
                    .then(|| "sudo slmbench doctor".to_owned());
                found.missing.push(Missing { id: channel.id, reason: in_words(&error), remedy });
            }
            Err(_) => {}
        }
    }

    fn flags(&self, found: &mut Discovered) {
        // Bits that this library does not know are passed over: drivers bring new ones.
        let known = self.gpu.supported_throttle_reasons();
        let reasons = Arc::new(Mutex::new(Reasons::default()));
        for flag in FLAGS {
            if known.as_ref().is_ok_and(|known| !known.intersects(flag.reason)) {
                continue;
            }
            let mut channel = self.channel(flag.name, ChannelKind::Flag, Quality::Instant);
            channel.cause = Some(flag.cause);
            let reasons = Arc::clone(&reasons);
            self.add(found, channel, Absent::Passed, move |gpu| {
                let mut reasons = reasons.lock().unwrap_or_else(PoisonError::into_inner);
                let ask = || gpu.current_throttle_reasons();
                reasons.now(MonotonicClock.now(), ask).map(|reasons| flag.value(reasons))
            });
        }
    }

    fn held_back(&self, found: &mut Discovered) {
        for (name, policy, cause) in HELD_BACK {
            let mut channel = self.channel(name, ChannelKind::HeldBack, Quality::Counter);
            channel.cause = Some(*cause);
            self.add(found, channel, Absent::Passed, move |gpu| {
                gpu.violation_status(*policy).map(|told| seconds(told.violation_time))
            });
        }
    }

    /// Share of the memory's bandwidth in use between two readings: Hopper and later.
    fn dram_use(&self, found: &mut Discovered) {
        if !self.gpu.gpm_support().unwrap_or(false) {
            return;
        }
        if let Ok(last) = self.gpu.gpm_sample() {
            let channel = self.channel("dram_use", ChannelKind::Use, Quality::Averaged);
            let reader = Box::new(DramUse { gpu: Arc::clone(&self.gpu), last });
            found.sources.push(Source { channel, reader });
        }
    }
}

/// A question that needs nothing but the GPU.
type Question = fn(&Device<'static>) -> Result<f64, NvmlError>;

fn energy(gpu: &Device<'static>) -> Result<f64, NvmlError> {
    gpu.total_energy_consumption().map(|millijoules| millijoules as f64 / 1e3)
}

fn power_usage(gpu: &Device<'static>) -> Result<f64, NvmlError> {
    gpu.power_usage().map(|milliwatts| f64::from(milliwatts) / 1e3)
}

/// `NVML_FI_DEV_POWER_INSTANT`: power as it is, where `power_usage` gives an average.
fn instant_power(gpu: &Device<'static>) -> Result<f64, NvmlError> {
    const POWER_INSTANT: FieldId = FieldId(186);
    let told = gpu.field_values_for(&[POWER_INSTANT])?.pop().ok_or(NvmlError::NotFound)??;
    Ok(plain(&told.value?) / 1e3)
}

fn plain(value: &SampleValue) -> f64 {
    match *value {
        SampleValue::F64(value) => value,
        SampleValue::U32(value) => f64::from(value),
        SampleValue::U64(value) => value as f64,
        SampleValue::I64(value) => value as f64,
    }
}

fn hertz(megahertz: u32) -> f64 {
    f64::from(megahertz) * 1e6
}

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// What `power_usage` is worth: from Ampere on an average over a second, but for GA100, the chip of
/// A100, A800 and A30, which like all before tells what is drawn now.
fn power_quality(architecture: &DeviceArchitecture, name: &str) -> Quality {
    use DeviceArchitecture::{Ampere, Kepler, Maxwell, Pascal, Turing, Volta};
    let words = || name.split([' ', '-']);
    match architecture {
        Kepler | Maxwell | Pascal | Volta | Turing => Quality::Instant,
        Ampere if words().any(|word| ["A100", "A800", "A30", "A100X", "A30X"].contains(&word)) => {
            Quality::Instant
        }
        _ => Quality::Averaged,
    }
}

/// The driver's word of reasons, asked for once in a round and shared by its flags.
#[derive(Default)]
struct Reasons(Option<(Nanos, ThrottleReasons)>);

impl Reasons {
    /// The reasons at `now`, from `ask` unless they were asked for just before.
    fn now(
        &mut self,
        now: Nanos,
        ask: impl FnOnce() -> Result<ThrottleReasons, NvmlError>,
    ) -> Result<ThrottleReasons, NvmlError> {
        const SERVES: Nanos = Nanos(5_000_000);
        if let Some((at, reasons)) = self.0
            && now.since(at) < SERVES
        {
            return Ok(reasons);
        }
        self.0 = None;
        let reasons = ask()?;
        self.0 = Some((now, reasons));
        Ok(reasons)
    }
}

/// A reason for low clocks, and what it is a sign of.
struct ReasonFlag {
    name: &'static str,
    reason: ThrottleReasons,
    /// Bits that tell the same reason more exactly: with one of them this one says nothing.
    told_better_by: ThrottleReasons,
    cause: Cause,
}

/// All but an idle GPU, which holds nothing back, and the clocks of a display.
static FLAGS: &[ReasonFlag] = &[
    ReasonFlag::new("sw_thermal_slowdown", ThrottleReasons::SW_THERMAL_SLOWDOWN, Cause::Thermal),
    ReasonFlag::new("hw_thermal_slowdown", ThrottleReasons::HW_THERMAL_SLOWDOWN, Cause::Thermal),
    ReasonFlag::new("sw_power_cap", ThrottleReasons::SW_POWER_CAP, Cause::PowerCap),
    // The machine asks the card to draw less, as power supplies do that near their own limit. That
    // a voltage fell nobody says.
    ReasonFlag::new("hw_power_brake", ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Cause::PowerCap),
    // It stands beside the two above. Alone it is the third thing that it may mean: too much was
    // drawn at once and the fast trigger answered. A change of clocks may raise it for a moment.
    ReasonFlag {
        name: "hw_slowdown",
        reason: ThrottleReasons::HW_SLOWDOWN,
        told_better_by: ThrottleReasons::HW_THERMAL_SLOWDOWN
            .union(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN),
        cause: Cause::OverCurrent,
    },
    ReasonFlag::new(
        "applications_clocks",
        ThrottleReasons::APPLICATIONS_CLOCKS_SETTING,
        Cause::Policy,
    ),
    ReasonFlag::new("sync_boost", ThrottleReasons::SYNC_BOOST, Cause::Policy),
];

impl ReasonFlag {
    const fn new(name: &'static str, reason: ThrottleReasons, cause: Cause) -> ReasonFlag {
        ReasonFlag { name, reason, told_better_by: ThrottleReasons::empty(), cause }
    }

    /// 1 where the GPU is held back for this reason.
    fn value(&self, reasons: ThrottleReasons) -> f64 {
        let holds = reasons.intersects(self.reason) && !reasons.intersects(self.told_better_by);
        f64::from(u8::from(holds))
    }
}

/// Counters of the time below the clocks asked for. Low use is no cause, and the sums of all of
/// them would count each twice. The board's limit is that of its regulators: a limit on current.
/// The one for reliability keeps the voltage in bounds: the system's own choice.
static HELD_BACK: &[(&str, PerformancePolicy, Cause)] = &[
    ("held_back_thermal", PerformancePolicy::Thermal, Cause::Thermal),
    ("held_back_power", PerformancePolicy::Power, Cause::PowerCap),
    ("held_back_board_limit", PerformancePolicy::BoardLimit, Cause::OverCurrent),
    ("held_back_reliability", PerformancePolicy::Reliability, Cause::Policy),
    ("held_back_sync_boost", PerformancePolicy::SyncBoost, Cause::Policy),
];

/// Reads the share of the memory's bandwidth since the last reading.
struct DramUse {
    gpu: Arc<Device<'static>>,
    last: GpmSample<'static>,
}

impl Reader for DramUse {
    fn read(&mut self) -> Result<f64, String> {
        let words = |error: NvmlError| in_words(&error);
        let now = self.gpu.gpm_sample().map_err(words)?;
        let last = std::mem::replace(&mut self.last, now);
        let metrics = [GpmMetricId::DramBwUtil];
        let told = gpm_metrics_get(self.gpu.nvml(), &last, &self.last, &metrics).map_err(words)?;
        let one = told.into_iter().next().unwrap_or(Err(NvmlError::NotFound)).map_err(words)?;
        number(one.value / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(bits: u64) -> Vec<(&'static str, Cause)> {
        let reasons = ThrottleReasons::from_bits_truncate(bits);
        let raised = FLAGS.iter().filter(|flag| flag.value(reasons) == 1.0);
        raised.map(|flag| (flag.name, flag.cause)).collect()
    }

    #[test]
    fn each_bit_of_the_drivers_word_is_one_cause() {
        // Bits as nvml.h has them.
        for (bits, expected) in [
            (0x01, None),
            (0x02, Some(("applications_clocks", Cause::Policy))),
            (0x04, Some(("sw_power_cap", Cause::PowerCap))),
            (0x08, Some(("hw_slowdown", Cause::OverCurrent))),
            (0x10, Some(("sync_boost", Cause::Policy))),
            (0x20, Some(("sw_thermal_slowdown", Cause::Thermal))),
            (0x40, Some(("hw_thermal_slowdown", Cause::Thermal))),
            (0x80, Some(("hw_power_brake", Cause::PowerCap))),
            (0x100, None),
        ] {
            assert_eq!(raised(bits), Vec::from_iter(expected), "{bits:#x}");
        }
    }

    #[test]
    fn the_flags_of_one_round_ask_once() {
        let (mut reasons, mut n_asked) = (Reasons::default(), 0);
        let mut at = |ns: u64, told: Result<ThrottleReasons, NvmlError>| {
            reasons.now(Nanos(ns), || {
                n_asked += 1;
                told
            })
        };
        let (heat, cap) = (ThrottleReasons::HW_THERMAL_SLOWDOWN, ThrottleReasons::SW_POWER_CAP);
        assert_eq!(at(0, Ok(heat)).unwrap(), heat);
        assert_eq!(at(1_000_000, Ok(cap)).unwrap(), heat);
        assert_eq!(at(1_000_000_000, Ok(cap)).unwrap(), cap);
        assert!(at(2_000_000_000, Err(NvmlError::GpuLost)).is_err());
        assert_eq!(at(2_000_000_001, Ok(heat)).unwrap(), heat, "a failure is not kept");
        assert_eq!(n_asked, 4);
    }

    #[test]
    fn a_slowdown_that_is_told_exactly_is_not_told_twice() {
        assert_eq!(raised(0x08 | 0x40), [("hw_thermal_slowdown", Cause::Thermal)]);
        assert_eq!(raised(0x08 | 0x80), [("hw_power_brake", Cause::PowerCap)]);
        let both = [("sw_power_cap", Cause::PowerCap), ("hw_slowdown", Cause::OverCurrent)];
        assert_eq!(raised(0x08 | 0x04), both);
    }

    #[test]
    fn bits_that_nobody_knows_yet_hold_nothing_back() {
        assert_eq!(raised(1 << 40 | 0xf000), []);
        assert_eq!(raised(u64::MAX).len(), FLAGS.len() - 1, "all but the general slowdown");
    }

    #[test]
    fn what_the_driver_tells_is_brought_to_the_units_of_channels() {
        assert_eq!(hertz(1980), 1.98e9);
        assert_eq!(share(37), 0.37);
        assert_eq!(seconds(1_500_000_000), 1.5);
        assert_eq!(plain(&SampleValue::U32(350_250)) / 1e3, 350.25);
        assert_eq!(plain(&SampleValue::I64(-1)), -1.0);
        assert!(number(f64::NAN).is_err());
    }

    #[test]
    fn power_is_an_average_from_ampere_on_but_for_the_chip_of_the_a100() {
        use DeviceArchitecture::*;
        for (architecture, name, quality) in [
            (Volta, "Tesla V100-SXM2-16GB", Quality::Instant),
            (Turing, "Tesla T4", Quality::Instant),
            (Ampere, "NVIDIA A100-SXM4-80GB", Quality::Instant),
            (Ampere, "NVIDIA A30", Quality::Instant),
            (Ampere, "NVIDIA GeForce RTX 3090", Quality::Averaged),
            (Ampere, "NVIDIA RTX A3000", Quality::Averaged),
            (Hopper, "NVIDIA H100 80GB HBM3", Quality::Averaged),
            (Unknown, "NVIDIA of the future", Quality::Averaged),
        ] {
            assert_eq!(power_quality(&architecture, name), quality, "{name}");
        }
    }

    #[test]
    fn only_a_driver_that_is_there_without_its_library_is_worth_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let error = NvmlError::LibraryNotFound;
        assert_eq!(driver_without_library(&root, &error), None);
        std::fs::create_dir_all(folder.path().join("proc/driver/nvidia")).unwrap();
        std::fs::write(folder.path().join("proc/driver/nvidia/version"), "NVRM 580\n").unwrap();
        let said = driver_without_library(&root, &error).unwrap();
        assert!(said.remedy.unwrap().contains("--gpus all"));
        let found = nvml_sources(&root);
        assert!(found.sources.is_empty() && found.missing.is_empty(), "a folder has no GPU");
    }
}
