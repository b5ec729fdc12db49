//! Chips that monitor hardware: `/sys/class/hwmon`. Temperatures, powers, energies, fans, clocks,
//! and alarms of a supply that is too low.
//!
//! Source of truth: the kernel's `Documentation/hwmon/sysfs-interface.rst` and the pages of the
//! drivers beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Cause, Channel, ChannelKind, Quality, Root, Scope};
use super::{Finder, celsius, channel, name};

const FOLDER: &str = "sys/class/hwmon";

/// Chips that measure processors and GPUs, whatever their labels say.
const PROCESSORS: &[&str] = &[
    "coretemp",
    "k10temp",
    "k8temp",
    "zenpower",
    "cpu_thermal",
    "soc_thermal",
    "scpi_sensors",
    "acpitz",
    "amdgpu",
    "radeon",
    "nouveau",
    "i915",
    "xe",
];

/// Chips that are something else, whatever their labels say.
const OTHERS: &[&str] =
    &["nvme", "drivetemp", "iwlwifi", "mt79", "ath1", "r8169", "spd5118", "jc42", "ucsi", "pch_"];

/// Chips that give voltage and current of a supply line and leave the product to the reader.
const POWER_MONITORS: &[&str] = &["ina", "pac193", "ltc294", "ltc4151", "max3442"];

/// A chip with the names of its files.
pub(super) struct Chip {
    /// Its folder without the root.
    pub(super) folder: String,
    /// What its driver calls it.
    pub(super) driver: String,
    /// That, with its place where several chips are called so.
    name: String,
    files: BTreeSet<String>,
    /// What `temp1`, `in2` are called on the board.
    labels: BTreeMap<String, String>,
}

impl Chip {
    /// Numbers of the files that are called `prefix`, number, `suffix`.
    fn numbers(&self, prefix: &str, suffix: &str) -> Vec<u32> {
        let number = |file: &String| file.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        let mut numbers: Vec<u32> = self.files.iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }

    /// What `stem`, such as `temp1`, is called.
    fn label<'s>(&'s self, stem: &'s str) -> &'s str {
        self.labels.get(stem).map_or(stem, String::as_str)
    }

    /// The id of the channel `stem`. Some drivers call a power and an energy by one name.
    fn id(&self, stem: &str) -> String {
        let label = self.label(stem);
        let n_called = self.labels.values().filter(|other| *other == label).count();
        let label = name::word(label);
        if n_called > 1 {
            format!("hwmon/{}/{label}-{stem}", self.name)
        } else {
            format!("hwmon/{}/{label}", self.name)
        }
    }

    fn starts(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.driver.starts_with(word))
    }

    /// What powers of this chip cover.
    fn scope(&self, label: &str) -> Scope {
        match label {
            // Supplies of whole boards: Jetson modules; cards as Intel's driver calls them.
            "VDD_IN" | "POM_5V_IN" | "VIN" | "card" => Scope::Board,
            _ if self.driver == "power_meter" => Scope::Board,
            _ if self.starts(PROCESSORS) || self.driver.starts_with("fam15h") => Scope::Package,
            _ => Scope::Rail,
        }
    }
}

/// Every chip that is not merely another sight of a thermal zone or of a power supply, which are
/// read in their own places. Sorted by name: their numbers mean nothing.
pub(super) fn list(root: &Root) -> Vec<Chip> {
    let mut chips = Vec::new();
    for number in name::by_number(root.names(FOLDER, "hwmon")) {
        let folder = format!("{FOLDER}/{number}");
        let Some(driver) = root.text(&format!("{folder}/name")) else { continue };
        let twin = |device: String| {
            ["thermal", "power_supply"]
                .iter()
                .any(|class| root.path(&format!("sys/class/{class}/{device}")).exists())
        };
        if name::device(root, &folder).is_some_and(twin) {
            continue;
        }
        let driver = name::word(&driver);
        let files: BTreeSet<String> = root.names(&folder, "").into_iter().collect();
        let label = |file: &String| {
            let stem = file.strip_suffix("_label")?;
            Some((stem.to_owned(), root.text(&format!("{folder}/{file}"))?))
        };
        let labels = files.iter().filter_map(label).collect();
        chips.push(Chip { name: driver.clone(), folder, driver, files, labels });
    }
    let mut n_called: BTreeMap<String, u32> = BTreeMap::new();
    for chip in &chips {
        *n_called.entry(chip.driver.clone()).or_default() += 1;
    }
    for chip in chips.iter_mut().filter(|chip| n_called[&chip.driver] > 1) {
        if let Some(place) = name::place(root, &chip.folder) {
            let tells_all = place.starts_with(&chip.driver);
            chip.name = if tells_all { place } else { format!("{}@{place}", chip.driver) };
        }
    }
    chips.sort_by(|a, b| a.name.cmp(&b.name));
    chips
}

/// Finds the channels of every chip.
pub(in super::super) fn chips(finder: &mut Finder) {
    for chip in list(finder.root) {
        temperatures(finder, &chip);
        powers(finder, &chip);
        products(finder, &chip);
        plain(finder, &chip, "energy", 1e-6, ChannelKind::Energy, Quality::Counter);
        plain(finder, &chip, "freq", 1.0, ChannelKind::Clock, Quality::Instant);
        plain(finder, &chip, "fan", 1.0, ChannelKind::Fan, Quality::Instant);
        tachometer(finder, &chip);
        alarms(finder, &chip);
    }
}

fn temperatures(finder: &mut Finder, chip: &Chip) {
    for n in chip.numbers("temp", "_input") {
        let stem = format!("temp{n}");
        let (id, path) = (chip.id(&stem), chip.path(&format!("{stem}_input")));
        let Some(file) = finder.hold(&id, &path) else { continue };
        let relevant = chip.starts(PROCESSORS)
            || !chip.starts(OTHERS) && name::of_processor(chip.label(&stem));
        let scope = if relevant { Scope::Package } else { Scope::Machine };
        let about = channel(&id, ChannelKind::Temperature, scope, Quality::Instant, &path);
        finder.add(Channel { relevant, ..about }, move || celsius(file.number()?));
    }
}

fn powers(finder: &mut Finder, chip: &Chip) {
    let mut numbers = chip.numbers("power", "_input");
    numbers.extend(chip.numbers("power", "_average"));
    numbers.sort_unstable();
    numbers.dedup();
    for n in numbers {
        let stem = format!("power{n}");
        let (file, quality) = if chip.has(&format!("{stem}_input")) {
            (format!("{stem}_input"), Quality::Instant)
        } else {
            (format!("{stem}_average"), Quality::Averaged)
        };
        let (id, path) = (chip.id(&stem), chip.path(&file));
        let Some(file) = finder.hold(&id, &path) else { continue };
        let scope = chip.scope(chip.label(&stem));
        let about = channel(&id, ChannelKind::Power, scope, quality, &path);
        finder.add(about, move || Ok(file.number()? * 1e-6));
    }
}

/// Powers as voltage times current.
fn products(finder: &mut Finder, chip: &Chip) {
    if !chip.starts(POWER_MONITORS) {
        return;
    }
    // Of an INA3221 the first three are supply lines; behind them come voltages of the shunts and
    // sums, whose numbers do not belong together.
    let last = if chip.driver == "ina3221" { 3 } else { u32::MAX };
    for n in chip.numbers("in", "_input").into_iter().filter(|&n| n <= last) {
        let (stem, amperes) = (format!("in{n}"), format!("curr{n}_input"));
        let label = chip.label(&stem);
        // NC: not connected.
        let is_line = label != "NC" && !label.starts_with("sum of");
        let is_product = chip.has(&amperes) && !chip.has(&format!("power{n}_input"));
        let off = finder.root.text(&chip.path(&format!("{stem}_enable"))).as_deref() == Some("0");
        if !is_line || !is_product || off {
            continue;
        }
        let (id, path) = (chip.id(&stem), chip.path(&format!("{stem}_input")));
        let (Some(volts), Some(current)) =
            (finder.hold(&id, &path), finder.hold(&id, &chip.path(&amperes)))
        else {
            continue;
        };
        let source = format!("{path} × {amperes}");
        let about = channel(&id, ChannelKind::Power, chip.scope(label), Quality::Instant, &source);
        finder.add(about, move || Ok(volts.number()? * current.number()? * 1e-6));
    }
}

/// Channels that need nothing but a factor.
fn plain(
    finder: &mut Finder,
    chip: &Chip,
    word: &str,
    factor: f64,
    kind: ChannelKind,
    quality: Quality,
) {
    for n in chip.numbers(word, "_input") {
        let stem = format!("{word}{n}");
        let (id, path) = (chip.id(&stem), chip.path(&format!("{stem}_input")));
        let Some(file) = finder.hold(&id, &path) else { continue };
        let scope = match kind {
            ChannelKind::Fan => Scope::Machine,
            _ => chip.scope(chip.label(&stem)),
        };
        let about = channel(&id, kind, scope, quality, &path);
        finder.add(about, move || Ok(file.number()? * factor));
    }
}

/// The tachometer of Jetson boards, whose driver names its file in its own way.
fn tachometer(finder: &mut Finder, chip: &Chip) {
    let (id, path) = (chip.id("rpm"), chip.path("rpm"));
    if chip.driver != "pwm_tach" {
        return;
    }
    if let Some(file) = finder.hold(&id, &path) {
        let about = channel(&id, ChannelKind::Fan, Scope::Machine, Quality::Instant, &path);
        finder.add(about, move || file.number());
    }
}

/// The alarm of a Raspberry Pi whose supply falls below what the board can live with. Those of other
/// chips are left out: inputs that nothing is connected to raise them, and alarms of temperature stay
/// set once they were.
fn alarms(finder: &mut Finder, chip: &Chip) {
    if chip.driver != "rpi_volt" {
        return;
    }
    for n in chip.numbers("in", "_lcrit_alarm") {
        let file = format!("in{n}_lcrit_alarm");
        let (id, path) = (chip.id(&file), chip.path(&file));
        let Some(file) = finder.hold(&id, &path) else { continue };
        let about = channel(&id, ChannelKind::Flag, Scope::Board, Quality::Instant, &path);
        let about = Channel { cause: Some(Cause::UnderVoltage), ..about };
        finder.add(about, move || Ok(f64::from(file.number()? != 0.0)));
    }
}
