//! What the firmware of a Raspberry Pi tells: why it holds the processor back, and, of a Pi 5, the
//! currents of its supply chip. Through `vcgencmd`, which asks the firmware.
//!
//! The firmware's record of what has occurred since the start is shown and not relied on: the
//! kernel's own supply driver clears it every two seconds. What occurs in a run is seen by looking
//! once a second.
//!
//! Source of truth: Raspberry Pi's documentation of `vcgencmd`; for the power of the whole board
//! from that of its rails, a line fitted by the author of pi-top (pitop.hongjunwu.com/guide/power).

use super::super::{Cause, Channel, ChannelKind, Quality, Scope};
use super::command::{COMMAND_SERVES, Program, Shared};
use super::{Finder, channel};

/// What each bit says and why it would be. A board whose supply is too weak shows the first and
/// others: the first tells why.
const FLAGS: [(&str, Cause); 4] = [
    ("under-voltage", Cause::UnderVoltage),
    ("frequency-capped", Cause::Thermal),
    ("throttled", Cause::Thermal),
    ("soft-temperature-limit", Cause::Thermal),
];

/// Where the same bits stand for what has occurred since the start.
const OCCURRED: u32 = 16;

const POWER: &str = "pi/pmic/total";

/// Finds the flags and the power.
pub(super) fn firmware(finder: &mut Finder) {
    let model = finder.root.text("proc/device-tree/model").unwrap_or_default();
    if !model.contains("Raspberry Pi") {
        return;
    }
    let Some(program) = Program::find(finder.root, "vcgencmd") else {
        let remedy = "sudo apt install raspi-utils".to_owned();
        finder.miss("pi/throttled", "vcgencmd is not installed", Some(remedy));
        return;
    };
    flags(finder, program.clone());
    let has_sensing =
        ["Raspberry Pi 5", "Compute Module 5"].iter().any(|word| model.contains(word));
    if has_sensing {
        power(finder, program);
    } else {
        let reason = "this board does not measure currents; an external meter can";
        finder.miss(POWER, reason, None);
    }
}

fn flags(finder: &mut Finder, program: Program) {
    let word = Shared::new(finder.clock.clone(), COMMAND_SERVES, move || {
        flag_word(&program.run("get_throttled")?)
    });
    if let Err(reason) = word.get() {
        refused(finder, "pi/throttled", reason);
        return;
    }
    let about = |id: &str| {
        let source = "vcgencmd get_throttled";
        channel(id, ChannelKind::Flag, Scope::Board, Quality::Instant, source)
    };
    let read = |bit: u32| {
        let word = word.clone();
        move || Ok(f64::from(word.get()? >> bit & 1))
    };
    for (bit, (name, cause)) in (0..).zip(FLAGS) {
        let about = Channel { cause: Some(cause), ..about(&format!("pi/{name}")) };
        finder.add(about, read(bit));
    }
    for (bit, (name, _)) in (OCCURRED..).zip(FLAGS) {
        let about = Channel { relevant: false, ..about(&format!("pi/has-occurred/{name}")) };
        finder.add(about, read(bit));
    }
}

fn power(finder: &mut Finder, program: Program) {
    let watts = Shared::new(finder.clock.clone(), COMMAND_SERVES, move || {
        board_watts(&program.run("pmic_read_adc")?)
    });
    if let Err(reason) = watts.get() {
        refused(finder, POWER, reason);
        return;
    }
    let source = "vcgencmd pmic_read_adc";
    let about = channel(POWER, ChannelKind::Power, Scope::Board, Quality::Estimate, source);
    finder.add(about, move || watts.get());
}

fn refused(finder: &mut Finder, id: &str, reason: String) {
    let needs_group = reason.contains("vcio") || reason.contains("ermission");
    let remedy = needs_group.then(|| "sudo usermod -aG video $USER, and log in again".to_owned());
    finder.miss(id, reason, remedy);
}

/// `throttled=0x50005`.
fn flag_word(answer: &str) -> Result<u32, String> {
    let digits = answer.trim().strip_prefix("throttled=0x");
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("found `{answer}`, expected throttled=0x…"))
}

/// The board's power out of the voltages and currents of its twelve rails. They do not sum to it:
/// what the converters lose and what bypasses them is in the line's two numbers.
fn board_watts(answer: &str) -> Result<f64, String> {
    const N_RAILS: usize = 12;
    // `VDD_CORE_A current(7)=1.28400000A`, `VDD_CORE_V volt(15)=0.71980000V`
    let values = |end: &'static str, unit: char| {
        answer.lines().filter_map(move |line| {
            let (name, rest) = line.trim().split_once(' ')?;
            let value = rest.split_once('=')?.1.trim_end_matches(unit).parse::<f64>().ok()?;
            Some((name.strip_suffix(end)?, value))
        })
    };
    let powers: Vec<f64> = values("_A", 'A')
        .filter_map(|(rail, ampere)| {
            let volt = values("_V", 'V').find(|(name, _)| *name == rail)?.1;
            Some(volt * ampere)
        })
        .collect();
    if powers.len() != N_RAILS {
        return Err(format!("found {} rails, expected {N_RAILS}", powers.len()));
    }
    Ok(powers.iter().sum::<f64>() * 1.1451 + 0.5879)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_flags_is_read_and_anything_else_is_refused() {
        assert_eq!(flag_word("throttled=0x50005\n"), Ok(0x50005));
        assert!(flag_word("error=1").unwrap_err().contains("expected throttled"));
    }

    #[test]
    fn an_estimate_needs_all_rails() {
        let rails: String = (0..12)
            .map(|n| format!("R{n}_A current({n})=0.50000000A\nR{n}_V volt({n})=2.00000000V\n"))
            .collect();
        let watts = board_watts(&format!("{rails}EXT5V_V volt(24)=5.1V\n")).unwrap();
        assert!((watts - (12.0 * 1.1451 + 0.5879)).abs() < 1e-9);
        let fewer = rails.replace("R3_V", "R3_X");
        assert!(board_watts(&fewer).unwrap_err().contains("found 11 rails"));
    }
}
