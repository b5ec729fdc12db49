//! What decides the clocks: governor, caps, boost, power mode, the supply.

use super::super::Root;
use super::{Finding, Grade};

const CPUFREQ: &str = "sys/devices/system/cpu/cpufreq";

/// Everything that can be told of it.
pub fn findings(root: &Root) -> Vec<Finding> {
    [governor, preference, cap, boost, nvpmodel, platform_profile, supply]
        .iter()
        .filter_map(|look| look(root))
        .collect()
}

/// Everything that sets how much power the machine may draw, as one line of words; `None` where nothing
/// of it can be read. Battery or mains is part of it, the charge is not.
pub fn power_mode(root: &Root) -> Option<String> {
    let named =
        [nvpmodel, platform_profile, preference, supply].iter().filter_map(|look| look(root));
    let words: Vec<String> = named
        .flat_map(|finding| finding.value.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| !word.ends_with('%'))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// What a file says for each policy, and the policy's name.
fn of_policies(root: &Root, file: &str) -> Vec<(String, String)> {
    let policies = root.names(CPUFREQ, "policy");
    let read = |policy: String| Some((root.text(&format!("{CPUFREQ}/{policy}/{file}"))?, policy));
    policies.into_iter().filter_map(read).collect()
}

/// `schedutil`, or where policies differ `schedutil (policy0), powersave (policy4)`.
fn together(values: &[(String, String)]) -> String {
    match values {
        [(first, _), rest @ ..] if rest.iter().all(|(value, _)| value == first) => first.clone(),
        _ => {
            let each = values.iter().map(|(value, policy)| format!("{value} ({policy})"));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn governor(root: &Root) -> Option<Finding> {
    let found = of_policies(root, "scaling_governor");
    let drivers = of_policies(root, "scaling_driver");
    // Under these drivers `powersave` is the name of the one that follows the load.
    let has_hardware_choice =
        drivers.iter().any(|(name, _)| name == "intel_pstate" || name == "amd-pstate-epp");
    let grade = |(name, _): &(String, String)| match name.as_str() {
        "performance" => (Grade::Good, "the clock stays as high as it may be"),
        "powersave" if has_hardware_choice => {
            (Grade::Warn, "the clock is raised by need and late: first tokens are slower")
        }
        "powersave" => (Grade::Warn, "the clock stays at its lowest"),
        _ => (Grade::Note, "the clock follows the load: short runs begin slowly"),
    };
    let (grade, why) = found.iter().map(grade).max_by_key(|(grade, _)| *grade)?;
    let finding = Finding::new("governor", together(&found), grade, why);
    let offered = of_policies(root, "scaling_available_governors");
    let has_performance = offered.is_empty()
        || offered.iter().any(|(names, _)| names.split_whitespace().any(|n| n == "performance"));
    Some(match grade {
        Grade::Note | Grade::Warn if has_performance => finding
            .remedy(format!("echo performance | sudo tee /{CPUFREQ}/policy*/scaling_governor")),
        _ => finding,
    })
}

fn preference(root: &Root) -> Option<Finding> {
    let found = of_policies(root, "energy_performance_preference");
    let grade = |(name, _): &(String, String)| match name.as_str() {
        "performance" => (Grade::Good, "the processor is told to be fast"),
        "power" => (Grade::Warn, "the processor is told to save power before all"),
        _ => (Grade::Note, "the processor is told to weigh speed against power"),
    };
    let (grade, why) = found.iter().map(grade).max_by_key(|(grade, _)| *grade)?;
    let finding = Finding::new("energy_preference", together(&found), grade, why);
    Some(match grade {
        Grade::Good => finding,
        _ => finding.remedy(format!(
            "echo performance | sudo tee /{CPUFREQ}/policy*/energy_performance_preference"
        )),
    })
}

fn cap(root: &Root) -> Option<Finding> {
    let khz = |file| -> Vec<(u64, String)> {
        let values = of_policies(root, file).into_iter();
        values.filter_map(|(value, policy)| Some((value.parse().ok()?, policy))).collect()
    };
    let (allowed, possible) = (khz("scaling_max_freq"), khz("cpuinfo_max_freq"));
    let of_both = allowed.iter().filter_map(|(allowed, policy)| {
        let (possible, _) = possible.iter().find(|(_, name)| name == policy)?;
        Some((*allowed, *possible, policy))
    });
    let of_both: Vec<_> = of_both.collect();
    let capped: Vec<_> =
        of_both.iter().filter(|(allowed, possible, _)| allowed < possible).collect();
    if of_both.is_empty() {
        return None;
    }
    if capped.is_empty() {
        let highest = possible.iter().map(|(khz, _)| *khz).max().unwrap_or(0);
        let value = format!("none, up to {} MHz", highest / 1000);
        return Some(Finding::new("clock_cap", value, Grade::Good, "the highest clock is allowed"));
    }
    let each = capped.iter().map(|(allowed, possible, policy)| {
        format!("{} of {} MHz ({policy})", allowed / 1000, possible / 1000)
    });
    let value = each.collect::<Vec<_>>().join(", ");
    let commands = capped.iter().map(|(_, possible, policy)| {
        format!("echo {possible} | sudo tee /{CPUFREQ}/{policy}/scaling_max_freq")
    });
    let remedy = commands.collect::<Vec<_>>().join(" && ");
    let why = "the highest clock is not allowed: set so, or capped for heat at this moment";
    Some(Finding::new("clock_cap", value, Grade::Warn, why).remedy(remedy))
}

fn boost(root: &Root) -> Option<Finding> {
    let no_turbo = "sys/devices/system/cpu/intel_pstate/no_turbo";
    let boost = format!("{CPUFREQ}/boost");
    let (is_on, remedy) = match (root.value::<u8>(no_turbo), root.value::<u8>(&boost)) {
        (Some(off), _) => (off == 0, format!("echo 0 | sudo tee /{no_turbo}")),
        (None, Some(on)) => (on != 0, format!("echo 1 | sudo tee /{boost}")),
        (None, None) => return None,
    };
    Some(match is_on {
        true => {
            let why = "clocks rise as far as heat and power allow, and fall with them";
            Finding::new("boost", "on", Grade::Good, why)
        }
        false => {
            let why = "steadier and slower: not to be compared with runs that had it";
            Finding::new("boost", "off", Grade::Note, why).remedy(remedy)
        }
    })
}

/// The power mode of a Jetson: from the service's own note of it, else from its tool.
fn nvpmodel(root: &Root) -> Option<Finding> {
    let (id, name) = nvpmodel_note(root).or_else(|| nvpmodel_asked(root))?;
    let modes = nvpmodel_modes(root);
    let name =
        name.or_else(|| modes.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone()));
    let value = match &name {
        Some(name) => format!("{name} (mode {id})"),
        None => format!("mode {id}"),
    };
    let is_highest = |name: &str| name.to_uppercase().starts_with("MAXN");
    if name.as_deref().is_some_and(is_highest) {
        let why = "no power budget is set by the mode";
        return Some(Finding::new("power_mode", value, Grade::Good, why));
    }
    let why = "the mode sets a power budget: numbers are those of this mode";
    let finding = Finding::new("power_mode", value, Grade::Note, why);
    let highest = modes.iter().filter(|(_, name)| is_highest(name)).max_by_key(|(_, n)| n.len());
    Some(match highest {
        Some((id, _)) => finding.remedy(format!("sudo nvpmodel -m {id}")),
        None => finding,
    })
}

/// `pmode:0002` in the file in which the mode survives a restart.
fn nvpmodel_note(root: &Root) -> Option<(u32, Option<String>)> {
    let note = root.text("var/lib/nvpmodel/status")?;
    let id = note.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?;
    Some((id.parse().ok()?, None))
}

/// `NV Power Mode: MAXN` and the mode's number on the next line.
fn nvpmodel_asked(root: &Root) -> Option<(u32, Option<String>)> {
    let folders = ["usr/sbin", "usr/bin", "bin"];
    let tool = folders.iter().map(|f| root.path(&format!("{f}/nvpmodel"))).find(|p| p.exists())?;
    let asked = std::process::Command::new(tool)
        .arg("-q")
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    let mut lines = told.lines().skip_while(|line| !line.contains("Power Mode:"));
    let name = lines.next()?.split_once("Power Mode:")?.1.trim().to_owned();
    Some((lines.next()?.trim().parse().ok()?, Some(name).filter(|name| !name.is_empty())))
}

/// `< POWER_MODEL ID=0 NAME=MAXN >` in the table of modes.
fn nvpmodel_modes(root: &Root) -> Vec<(u32, String)> {
    let table = root.text("etc/nvpmodel.conf").unwrap_or_default();
    let mode = |line: &str| {
        let line = line.trim().strip_prefix("< POWER_MODEL")?.trim_end_matches('>');
        let field = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
        Some((field("ID=")?.parse().ok()?, field("NAME=")?.to_owned()))
    };
    table.lines().filter_map(mode).collect()
}

fn platform_profile(root: &Root) -> Option<Finding> {
    let file = "sys/firmware/acpi/platform_profile";
    let profile = root.text(file)?;
    let (grade, why) = match profile.as_str() {
        "performance" | "max-power" => (Grade::Good, "the firmware is told to be fast"),
        "low-power" | "quiet" | "cool" => (Grade::Warn, "the firmware holds power down"),
        _ => (Grade::Note, "the firmware weighs speed against noise and heat"),
    };
    let finding = Finding::new("platform_profile", profile, grade, why);
    let offered = root.text("sys/firmware/acpi/platform_profile_choices").unwrap_or_default();
    let best = offered.split_whitespace().find(|name| *name == "performance");
    Some(match (grade, best) {
        (Grade::Good, _) | (_, None) => finding,
        (_, Some(best)) => finding.remedy(format!("echo {best} | sudo tee /{file}")),
    })
}

/// Battery or mains. A machine without a battery has nothing to tell.
fn supply(root: &Root) -> Option<Finding> {
    let folder = "sys/class/power_supply";
    let supplies = root.names(folder, "");
    let read = |name: &String, file: &str| root.text(&format!("{folder}/{name}/{file}"));
    let is = |name: &&String, kind: &str| read(name, "type").as_deref() == Some(kind);
    // A mouse has a battery too, and says that it is a device's.
    let of_machine = |name: &&String| read(name, "scope").as_deref() != Some("Device");
    let batteries: Vec<&String> =
        supplies.iter().filter(|name| is(name, "Battery")).filter(of_machine).collect();
    let told: Vec<(&String, String)> =
        batteries.into_iter().filter_map(|name| Some((name, read(name, "status")?))).collect();
    // One that gives decides, then one that takes, whichever it is.
    let is_in = |status: &str| told.iter().find(|(_, told)| told == status);
    let (battery, status) =
        is_in("Discharging").or_else(|| is_in("Charging")).or_else(|| told.first())?;
    let charge = read(battery, "capacity");
    let charge = charge.map(|percent| format!(", {percent}%")).unwrap_or_default();
    Some(match status.as_str() {
        "Discharging" => {
            let why = "on battery most machines lower their limits";
            let value = format!("battery{charge}");
            Finding::new("supply", value, Grade::Warn, why).remedy("plug it in")
        }
        "Charging" => {
            let why = "charging adds heat, on a phone more than the model does";
            let value = format!("mains, charging{charge}");
            Finding::new("supply", value, Grade::Note, why).remedy("wait until it is charged")
        }
        _ => Finding::new("supply", format!("mains{charge}"), Grade::Good, "it is not on battery"),
    })
}
