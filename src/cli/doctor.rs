//! `slmbench doctor`: what can be read of this machine, what cannot and why, and whether it is fit
//! to be measured.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::{files, print, report};
use crate::clock::{Clock, MonotonicClock};
use crate::report::{Align, Column, MISSING, Narrow, Table, Tone, plain};
use crate::sensors::{
    Channel, ChannelKind, Discovered, Finding, Fitness, Grade, HostFacts, LoadCounters, Missing,
    Moment, Root, Seen, allowed_cpus, discover, fitness, foreign_load, host_facts, look_twice,
    nvml_sources,
};
use crate::suite::DeviceSpec;
use crate::units::{Bytes, Celsius, Hertz, Nanos};

const ABOUT: &str = "Examples:\n  slmbench doctor\n  slmbench doctor --json | jq .fitness\n\n\
                     Channels are read twice, a second apart: what counts is shown with its growth \
                     per second.\nThis is a report: it ends with 0 even where the machine is unfit \
                     to be measured.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub struct Arguments {
    /// devices.toml to read
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    /// As JSON, under names that do not change
    #[arg(long)]
    json: bool,
}

/// The time between two looks.
const SPAN: Nanos = Nanos(1_000_000_000);

/// Looks and tells.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (devices, _) = files::devices(arguments.devices.as_deref())?;
    let root = files::machine();
    let seen = Findings::of(&root, &devices);
    match arguments.json {
        true => print(&format!("{:#}\n", seen.as_json()))?,
        false => print(&seen.as_text(report::terminal_width()))?,
    }
    Ok(Exit::Done)
}

/// All that is told.
struct Findings<'a> {
    host: HostFacts,
    device: Option<&'a DeviceSpec>,
    seen: Vec<Seen>,
    missing: Vec<Missing>,
    fitness: Fitness,
}

impl<'a> Findings<'a> {
    fn of(root: &Root, devices: &'a [DeviceSpec]) -> Findings<'a> {
        let host = host_facts(root);
        let device = devices.iter().find(|device| device.is(&host.said()));
        let Discovered { mut sources, missing } = every_channel(root);
        let (clock, cpus) = (MonotonicClock, allowed_cpus());
        // A folder stands still.
        let span = if root.is_this_machine() { SPAN } else { Nanos(0) };
        let before = LoadCounters::read(root, clock.now(), &cpus);
        let seen = look_twice(&mut sources, &clock, span);
        let after = LoadCounters::read(root, clock.now(), &cpus);
        let load = (span > Nanos(0)).then(|| foreign_load(&before, &after));
        let moment = Moment { seen: &seen, load, n_cpus: host.n_cpus, device };
        let fitness = fitness(root, &moment);
        Findings { host, device, seen, missing, fitness }
    }

    fn as_json(&self) -> Value {
        let channel = |seen: &Seen| {
            let mut row = json!(seen.channel);
            row["unit"] = json!(seen.channel.unit());
            match &seen.value {
                Ok(value) => row["value"] = json!(value),
                Err(why) => row["why_not"] = json!(why),
            }
            if let Some(per_s) = seen.per_s {
                row["per_s"] = json!(per_s);
            }
            if let Some(matters) = self.matters(seen) {
                row["matters_here"] = json!(matters);
            }
            row
        };
        json!({
            "host": self.host,
            "device": self.device.map(|device| &device.name),
            "channels": self.seen.iter().map(channel).collect::<Vec<_>>(),
            "missing": self.missing,
            "verdict": self.fitness.verdict,
            "summary": self.fitness.summary,
            "findings": self.fitness.findings,
        })
    }

    /// Whether the device's list names it; only of what the list is for.
    fn matters(&self, seen: &Seen) -> Option<bool> {
        use ChannelKind::{Clock, Energy, Power, Temperature};
        let Channel { id, kind, cause, .. } = &seen.channel;
        let is_listed = [Temperature, Clock, Power, Energy].contains(kind) && cause.is_none();
        self.device.filter(|_| is_listed)?.channel_matters(id)
    }

    fn as_text(&self, width: usize) -> String {
        let mut out = self.head();
        out.push('\n');
        match self.seen.is_empty() {
            true => out.push_str("channels: none can be read here\n"),
            false => out.push_str(&self.channels(width)),
        }
        if !self.missing.is_empty() || self.seen.iter().any(|seen| seen.value.is_err()) {
            out.push_str(&format!("\n{}", self.missing(width)));
        }
        out.push_str(&format!("\n{}", self.findings(width)));
        out.push_str(&format!("\n{}", self.verdict()));
        out
    }

    fn head(&self) -> String {
        let host = &self.host;
        let of_machine = host.machine.as_deref().map(plain);
        let facts = [
            of_machine.as_deref().unwrap_or("machine without a name"),
            &plain(&host.cpu),
            &format!("{} CPUs on {} cores", host.n_cpus, host.n_cores),
            &Bytes(host.memory_bytes).to_string(),
            &host.cpu_arch,
            &plain(&host.os),
            &format!("kernel {}", plain(&host.kernel)),
        ]
        .join(" · ");
        let device = match self.device {
            Some(device) => {
                let limit =
                    device.soft_limit.map(|limit| format!(", lowers its clocks from {limit}"));
                format!("{}{}", device.name, limit.unwrap_or_default())
            }
            None => "none that devices.toml knows".to_owned(),
        };
        let mut out = format!("host    {facts}\ndevice  {device}\n");
        for (name, said) in [("soc", &host.soc), ("gpu", &host.gpus)] {
            if !said.is_empty() {
                let said = said.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
                out.push_str(&format!("{name:<8}{said}\n"));
            }
        }
        out
    }

    fn channels(&self, width: usize) -> String {
        let mut table = Table::new(vec![
            Column::new("channel", Align::Left),
            Column::new("value", Align::Right),
            Column::new("per second", Align::Right),
            Column::new("covers", Align::Left),
            Column::new("quality", Align::Left),
            Column::new("tells of", Align::Left),
            Column::new("source", Align::Left).narrow(Narrow::ElideTo(12)),
            Column::new("", Align::Left),
        ]);
        for seen in &self.seen {
            let channel = &seen.channel;
            let value = seen.value.as_ref().ok().map(|value| amount(channel, *value));
            table.push(vec![
                channel.id.clone(),
                value.unwrap_or_else(|| MISSING.to_owned()),
                seen.per_s.map(|per_s| growth(channel.kind, per_s)).unwrap_or_default(),
                word(&channel.scope),
                word(&channel.quality),
                channel.cause.map(|cause| cause.name().to_owned()).unwrap_or_default(),
                channel.source.clone(),
                self.matters(seen).filter(|matters| *matters).map_or("", |_| "matters").to_owned(),
            ]);
        }
        table.to_text(width)
    }

    /// What is missing, that which told nothing this time included, and the command that would make
    /// it readable as it is to be typed: such a line may be longer than the terminal.
    fn missing(&self, width: usize) -> String {
        let mut table = Table::new(vec![
            Column::new("missing", Align::Left),
            Column::new("why", Align::Left).narrow(Narrow::ElideTo(40)),
            Column::new("to read it", Align::Left),
        ]);
        let silent = |seen: &Seen| Some((seen.channel.id.clone(), seen.value.clone().err()?));
        for (id, why) in self.seen.iter().filter_map(silent) {
            table.push(vec![id, why, String::new()]);
        }
        for one in &self.missing {
            let remedy = one.remedy.clone().unwrap_or_default();
            table.push(vec![one.id.clone(), one.reason.clone(), remedy]);
        }
        table.to_text(width)
    }

    fn findings(&self, width: usize) -> String {
        let mut table = Table::new(vec![
            Column::new("finding", Align::Left),
            Column::new("value", Align::Left).narrow(Narrow::ElideTo(40)),
            Column::new("", Align::Left).toned(tone),
            Column::new("why", Align::Left).narrow(Narrow::ElideTo(32)),
        ]);
        for finding in &self.fitness.findings {
            table.push(vec![
                finding.what.replace('_', " "),
                finding.value.clone(),
                finding.verdict.name().to_owned(),
                finding.why.clone(),
            ]);
        }
        table.to_text(width)
    }

    /// The verdict, and what would change it, the worst first; a note that nothing changes is left
    /// to the table.
    fn verdict(&self) -> String {
        let Fitness { verdict, summary, findings } = &self.fitness;
        let mut out = format!("verdict: {}\n{summary}\n", verdict.name());
        for grade in [Grade::Bad, Grade::Warn, Grade::Note] {
            let told = |finding: &&Finding| {
                finding.verdict == grade && (grade != Grade::Note || finding.remedy.is_some())
            };
            for finding in findings.iter().filter(told) {
                let what = finding.what.replace('_', " ");
                out.push_str(&format!("\n{} {what}: {}\n", grade.name(), plain(&finding.why)));
                if let Some(remedy) = &finding.remedy {
                    out.push_str(&format!("    {}\n", plain(remedy)));
                }
            }
        }
        out
    }
}

/// How a finding's grade looks.
fn tone(grade: &str) -> Option<Tone> {
    match grade {
        "good" => Some(Tone::Good),
        "warn" => Some(Tone::Care),
        "bad" => Some(Tone::Bad),
        _ => None,
    }
}

/// Every channel: those of the machine's files, and those of NVIDIA GPUs.
fn every_channel(root: &Root) -> Discovered {
    let mut found = discover(root);
    let is_nvidia = |id: &str| id.starts_with("nvml");
    let has_them = found.sources.iter().any(|source| is_nvidia(&source.channel.id))
        || found.missing.iter().any(|missing| is_nvidia(&missing.id));
    if !has_them {
        let gpus = nvml_sources(root);
        found.sources.extend(gpus.sources);
        found.missing.extend(gpus.missing);
    }
    found
}

/// The word that records have for it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| Some(v.as_str()?.to_owned())).unwrap_or_default()
}

fn amount(channel: &Channel, value: f64) -> String {
    match channel.kind {
        ChannelKind::Temperature => Celsius(value).to_string(),
        ChannelKind::Clock | ChannelKind::ClockCap => Hertz(value.max(0.0) as u64).to_string(),
        ChannelKind::Memory => Bytes(value.max(0.0) as u64).to_string(),
        ChannelKind::Use | ChannelKind::Charge => format!("{:.0}%", value * 100.0),
        ChannelKind::Flag => if value > 0.0 { "yes" } else { "no" }.to_owned(),
        ChannelKind::Cooling | ChannelKind::Count => format!("{value:.0}"),
        ChannelKind::Power => format!("{value:.2} W"),
        ChannelKind::Energy => format!("{value:.1} J"),
        ChannelKind::Fan => format!("{value:.0} {}", channel.unit()).trim_end().to_owned(),
        ChannelKind::HeldBack | ChannelKind::Waited => format!("{value:.1} s"),
    }
}

fn growth(kind: ChannelKind, per_s: f64) -> String {
    match kind {
        ChannelKind::Energy => format!("{per_s:.2} W"),
        ChannelKind::HeldBack | ChannelKind::Waited => format!("{:.1}%", per_s * 100.0),
        _ => format!("{per_s:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::{Cause, Quality, Scope};
    use crate::suite::parse_devices;

    fn seen(id: &str, kind: ChannelKind, value: Result<f64, &str>, per_s: Option<f64>) -> Seen {
        let channel = Channel {
            id: id.to_owned(),
            kind,
            source: "sys/class/x".to_owned(),
            scope: Scope::Package,
            quality: if kind.is_counter() { Quality::Counter } else { Quality::Instant },
            cause: (kind == ChannelKind::HeldBack).then_some(Cause::Thermal),
            relevant: true,
        };
        Seen { channel, value: value.map_err(str::to_owned), per_s }
    }

    fn told() -> (Vec<Seen>, Vec<Missing>) {
        let seen = vec![
            seen("thermal/cpu-thermal", ChannelKind::Temperature, Ok(54.25), None),
            seen("cpufreq/policy0", ChannelKind::Clock, Ok(2.4e9), None),
            seen("rapl/package-0", ChannelKind::Energy, Ok(123_456.7), Some(12.34)),
            seen("intel/throttle", ChannelKind::HeldBack, Ok(1.5), Some(0.0)),
            seen("thermal/gpu-thermal", ChannelKind::Temperature, Err("not powered"), None),
        ];
        let missing = vec![Missing {
            id: "rapl/dram".to_owned(),
            reason: "only root may read it".to_owned(),
            remedy: Some("sudo chmod a+r /sys/class/powercap/intel-rapl:0:0/energy_uj".to_owned()),
        }];
        (seen, missing)
    }

    const TABLE: &str = "[[device]]\nname = 'board'\nrecognise = { machine = 'Board *' }\n\
                         soft_limit = 80\nchannels = ['thermal/*', 'rapl/*']\n";

    fn with(files: &[(&str, &str)], then: impl FnOnce(&Findings)) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let devices = parse_devices(TABLE, "devices.toml").unwrap();
        let root = Root::new(folder.path());
        let (seen, missing) = told();
        let moment = Moment { seen: &seen, device: devices.first(), n_cpus: 4, load: None };
        let fitness = fitness(&root, &moment);
        let host = HostFacts {
            machine: Some("Board Rev 1".to_owned()),
            soc: vec!["maker,chip".to_owned()],
            cpu: "Cortex-A76".to_owned(),
            cpu_arch: "aarch64".to_owned(),
            os: "Debian GNU/Linux 12".to_owned(),
            kernel: "6.12.0".to_owned(),
            n_cpus: 4,
            n_cores: 4,
            memory_bytes: 8 << 30,
            ..HostFacts::default()
        };
        then(&Findings { host, device: devices.first(), seen, missing, fitness });
    }

    const POWERSAVE: &[(&str, &str)] = &[
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave\n"),
        ("proc/loadavg", "2.00 1.00 0.50 1/99 999\n"),
    ];

    #[test]
    fn channels_what_is_missing_findings_and_the_verdict_stand_on_one_page() {
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        with(POWERSAVE, |findings| insta::assert_snapshot!(plain(&findings.as_text(120))));
    }

    #[test]
    fn the_json_of_the_doctor_keeps_the_names_of_its_fields() {
        with(POWERSAVE, |findings| insta::assert_snapshot!(format!("{:#}", findings.as_json())));
    }

    #[test]
    fn every_kind_is_shown_in_a_unit_that_a_person_would_choose() {
        use ChannelKind::*;
        let amount = |kind, value| amount(&seen("a", kind, Ok(0.0), None).channel, value);
        let shown = [
            amount(Memory, 3e9),
            amount(Use, 0.375),
            amount(Charge, 1.0),
            amount(Flag, 1.0),
            amount(Cooling, 3.0),
            amount(Power, 6.789),
            amount(Fan, 1200.0),
            growth(HeldBack, 0.25),
            growth(Count, 2.0),
        ];
        let expected = ["2.8 GiB", "38%", "100%", "yes", "3", "6.79 W", "1200 rpm", "25.0%", "2.0"];
        assert_eq!(shown, expected);
        let state = seen("cooling/pwm-fan", Fan, Ok(2.0), None).channel;
        assert_eq!(super::amount(&state, 2.0), "2", "a state is no speed");
    }
}
