//! The sensors of a run: the idle machine at its beginning, the wait before each invocation, and what
//! is read while a child lives.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Watcher;
use super::gate::{Decision, Wait};
use crate::clock::{self, Clock};
use crate::record::{Baseline, GateOutcome, GateRecord, Sensing};
use crate::sensors::{
    self, Channel, ChannelKind, PowerMeter, PowerSource, Rates, Root, Sampler, SensorLog, Series,
};
use crate::settings::Gate;
use crate::stats;
use crate::suite::DeviceSpec;
use crate::units::{Celsius, Hertz, Nanos};

/// How long the gate sleeps between two looks at the most.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a meter's word behind the end of a stretch is waited for.
const METER_PATIENCE: Duration = Duration::from_millis(2500);

/// What a run's sensors are started with.
pub struct SensesSetup<'a> {
    /// The machine.
    pub root: &'a Root,
    /// How often they are read.
    pub rates: Rates,
    /// How the machine comes to rest; `None` waits for nothing.
    pub gate: Option<Gate>,
    /// What is known of it: which of its channels matter.
    pub device: Option<&'a DeviceSpec>,
    /// A meter beside the machine.
    pub power_source: Option<&'a PowerSource>,
    /// What was found when the run was begun, where it is continued.
    pub earlier: Option<&'a Sensing>,
}

/// The sensors of a run.
pub struct Senses<'a> {
    sampler: Sampler,
    sensing: Sensing,
    gate: Option<Gate>,
    meter: RefCell<Option<PowerMeter>>,
    /// What the user should know and has not been told; all that was ever to be told.
    troubles: RefCell<(Vec<String>, BTreeSet<String>)>,
    clock: Arc<dyn Clock>,
    interrupted: &'a AtomicBool,
}

impl<'a> Senses<'a> {
    /// Finds the sensors, and looks at the idle machine for as long as the gate says. A machine
    /// that has none of heat or power is not waited for. `interrupted` is set when the user wants to
    /// stop.
    ///
    /// # Errors
    /// The external meter's.
    pub fn begin(
        setup: &SensesSetup<'_>,
        interrupted: &'a AtomicBool,
        watcher: &mut dyn Watcher,
    ) -> Result<Senses<'a>, sensors::MeterError> {
        let clock = clock::monotonic();
        let meter = setup.power_source.map(|source| source.open(Arc::clone(&clock))).transpose()?;
        let mut found = sensors::discover(setup.root);
        let of_gpus = sensors::nvml_sources(setup.root);
        found.sources.extend(of_gpus.sources);
        found.missing.extend(of_gpus.missing);
        for source in &mut found.sources {
            let channel = &mut source.channel;
            // The table says which of several temperatures is the chip's. Whatever tells a cause counts.
            let is_one_of_many = matches!(
                channel.kind,
                ChannelKind::Temperature
                    | ChannelKind::Clock
                    | ChannelKind::Power
                    | ChannelKind::Energy
            );
            let matters = setup.device.and_then(|device| device.channel_matters(&channel.id));
            channel.relevant &= !is_one_of_many || matters.unwrap_or(true);
        }
        let mut channels: Vec<Channel> =
            found.sources.iter().map(|source| source.channel.clone()).collect();
        channels.extend(setup.power_source.map(PowerSource::channel));
        let sampler = Sampler::start_at(setup.rates, found.sources, Arc::clone(&clock));
        let baseline = setup.earlier.and_then(|earlier| earlier.baseline.clone());
        let mut senses = Senses {
            sampler,
            sensing: Sensing { channels, missing: found.missing, baseline },
            gate: setup.gate,
            meter: RefCell::new(meter),
            troubles: RefCell::default(),
            clock,
            interrupted,
        };
        if senses.sensing.baseline.is_none()
            && let Some(gate) = senses.gate.filter(|gate| gate.baseline_s > 0)
            && senses.tells_of_rest()
        {
            senses.sensing.baseline = senses.take_baseline(gate, watcher);
        }
        Ok(senses)
    }

    /// What can be read, and the machine at rest.
    pub fn sensing(&self) -> &Sensing {
        &self.sensing
    }

    /// Whether there is anything that the idle machine could be asked for.
    fn tells_of_rest(&self) -> bool {
        let tells = |channel: &Channel| {
            let kind = channel.kind;
            (kind == ChannelKind::Temperature && channel.relevant)
                || matches!(kind, ChannelKind::Power | ChannelKind::Energy)
        };
        self.sensing.channels.iter().any(tells)
    }

    fn take_baseline(&self, gate: Gate, watcher: &mut dyn Watcher) -> Option<Baseline> {
        watcher.say(&format!("looking at the idle machine for {} s", gate.baseline_s));
        let began = self.begin_stretch();
        let until = Nanos(began.0 + u64::from(gate.baseline_s) * 1_000_000_000);
        while self.clock.now() < until && !self.interrupted.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_EVERY.min(until.since(self.clock.now()).into()));
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return None;
        }
        let log = self.end_stretch(began);
        let by_id = |number: &dyn Fn(&Series) -> Option<f64>| -> BTreeMap<String, f64> {
            let known = log.series.iter();
            known.filter_map(|s| Some((s.channel.id.clone(), number(s)?))).collect()
        };
        Some(Baseline {
            took_ns: self.clock.now().since(began).0,
            values: by_id(&|series| {
                let counts = series.channel.kind.is_counter();
                stats::median(&series.values).filter(|_| !counts)
            }),
            idle_watts: by_id(&|series| series.joules().map(|(joules, s)| joules / s)),
        })
    }

    /// Waits until the machine is at rest. `None` where nobody waits, or when the user wants to stop.
    pub fn wait(&self, watcher: &mut dyn Watcher) -> Option<GateRecord> {
        let gate = self.gate.filter(|gate| gate.baseline_s > 0)?;
        let ids = self
            .sensing
            .channels
            .iter()
            .filter(|channel| channel.kind == ChannelKind::Temperature && channel.relevant);
        let began = self.clock.now();
        let recorded = |outcome, restless| {
            let waited_ns = self.clock.now().since(began).0;
            Some(GateRecord { outcome, waited_ns, restless })
        };
        let readable = || ids.clone().any(|channel| self.sampler.latest(&channel.id).is_some());
        let Some(baseline) = self.sensing.baseline.as_ref().filter(|_| readable()) else {
            return recorded(GateOutcome::NoSensors, Vec::new());
        };
        let mut wait = Wait::new(gate, baseline, began);
        let mut said = false;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return None;
            }
            let now = self.clock.now();
            let latest = self.sensing.channels.iter().filter_map(|channel| {
                let (_, value) = self.sampler.latest(&channel.id)?;
                Some((channel, value))
            });
            match wait.look(now, latest) {
                Decision::Open => return recorded(GateOutcome::Passed, Vec::new()),
                Decision::TooLong(restless) => return recorded(GateOutcome::TimedOut, restless),
                Decision::Wait => {}
            }
            if !said && now.since(began).as_s() > f64::from(gate.least_s.max(gate.hold_s)) + 1.0 {
                let restless = wait.restless().join(", ");
                watcher.say(&format!("waiting up to {} s for {restless}", gate.limit_s));
                said = true;
            }
            watcher.tick();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Begins a stretch of readings of its own, and tells when.
    pub fn begin_stretch(&self) -> Nanos {
        self.sampler.read_now();
        self.sampler.take();
        self.clock.now()
    }

    /// Everything read since `began`, a last reading behind it.
    pub fn end_stretch(&self, began: Nanos) -> SensorLog {
        let now = self.clock.now();
        self.sampler.read_now();
        let mut log = self.sampler.take();
        log.series.extend(self.meter_series(began, now));
        log.series.retain(|series| !series.values.is_empty() || series.n_failed > 0);
        log
    }

    /// What the external meter says of a stretch. A slow one has its last word on it some time after
    /// its end: that is waited for.
    fn meter_series(&self, began: Nanos, ended: Nanos) -> Option<Series> {
        let mut meter = self.meter.borrow_mut();
        let meter = meter.as_mut()?;
        // Both clocks at one moment.
        let (now, wall) = (self.clock.now(), jiff::Timestamp::now());
        let until = Nanos(ended.0 + u64::try_from(METER_PATIENCE.as_nanos()).unwrap_or(0));
        loop {
            let found = meter.series(began, self.clock.now(), |at| monotonic(at, (wall, now)));
            let covers = |series: &Series| series.at_ns.last().is_some_and(|&at| at >= ended.0);
            let is_late = self.clock.now() >= until || self.interrupted.load(Ordering::Relaxed);
            match found {
                Ok(series) if covers(&series) || is_late => return Some(series),
                Err(missing) if is_late => {
                    self.complain(format!("the power meter: {}", missing.reason));
                    return None;
                }
                _ => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Keeps something that the user should know, once.
    fn complain(&self, trouble: String) {
        let mut troubles = self.troubles.borrow_mut();
        if !troubles.1.contains(&trouble) {
            troubles.0.push(trouble.clone());
            troubles.1.insert(trouble);
        }
    }

    /// What the user should know and has not been told.
    pub fn take_troubles(&self) -> Vec<String> {
        std::mem::take(&mut self.troubles.borrow_mut().0)
    }

    /// The hottest part that computes and the fastest clock, as last read.
    pub fn heat(&self) -> Heat {
        let highest = |kind| {
            let channels = self.sensing.channels.iter();
            let of_kind = channels.filter(|c| c.kind == kind && c.relevant);
            of_kind.filter_map(|c| Some(self.sampler.latest(&c.id)?.1)).reduce(f64::max)
        };
        Heat {
            temperature: highest(ChannelKind::Temperature).map(Celsius),
            clock: highest(ChannelKind::Clock).map(|hz| Hertz(hz as u64)),
        }
    }
}

/// Temperature and clock at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heat {
    /// Hottest part that computes.
    pub temperature: Option<Celsius>,
    /// Fastest clock.
    pub clock: Option<Hertz>,
}

/// A moment of the wall clock on the monotonic one, both of which are known for another moment.
fn monotonic(at: jiff::Timestamp, (wall, now): (jiff::Timestamp, Nanos)) -> Option<Nanos> {
    let ago = wall.duration_since(at).as_nanos();
    u64::try_from(i128::from(now.0) - ago).ok().map(Nanos)
}
