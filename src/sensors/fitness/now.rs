//! What goes on at this moment: load, heat, what holds the machine back.

use super::super::{Cause, ChannelKind, Root, Seen, trip_points};
use super::{Finding, Grade, Moment};

/// Everything that can be told of it.
pub fn findings(root: &Root, moment: &Moment) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        [load_average(root, moment), foreign(moment), steal(moment), pressure(moment)]
            .into_iter()
            .flatten()
            .collect();
    found.push(temperature(root, moment));
    found.push(throttling(moment));
    found.push(energy(moment));
    found
}

/// Tasks that ran or wanted to, averaged over the last minute. Above 1 something else computes; on many
/// CPUs so much goes on always, and a share of them counts.
fn load_average(root: &Root, moment: &Moment) -> Option<Finding> {
    let text = root.text("proc/loadavg")?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let value = format!("{load:.2}");
    let remedy = "end what computes (top shows it), and wait a minute";
    let cpus = f64::from(moment.n_cpus);
    Some(match load {
        _ if load > (0.25 * cpus).max(1.0) => {
            let why = "something has been computing for the last minute";
            Finding::new("load", value, Grade::Bad, why).remedy(remedy)
        }
        _ if load > (0.075 * cpus).max(0.3) => {
            let why = "something computes now and then";
            Finding::new("load", value, Grade::Warn, why).remedy(remedy)
        }
        _ => Finding::new("load", value, Grade::Good, "the machine is idle"),
    })
}

/// CPU time that other programs took in the last second.
fn foreign(moment: &Moment) -> Option<Finding> {
    let share = moment.load?.cpu_share?;
    let all = f64::from(moment.n_cpus);
    let cpus = share * all;
    let value = format!("{:.1}% of all CPUs", share * 100.0);
    let remedy = "end what computes: ps aux --sort=-pcpu | head";
    Some(match cpus {
        _ if cpus > (0.125 * all).max(0.5) => {
            let why = "others take half a CPU or more, and an eighth of them all";
            Finding::new("foreign_cpu", value, Grade::Bad, why).remedy(remedy)
        }
        _ if cpus > (0.025 * all).max(0.1) => {
            let why = "others take a tenth of a CPU or more, and a fortieth of them all";
            Finding::new("foreign_cpu", value, Grade::Warn, why).remedy(remedy)
        }
        _ => Finding::new("foreign_cpu", value, Grade::Good, "nothing else runs"),
    })
}

/// CPU time that the hypervisor gave to others.
fn steal(moment: &Moment) -> Option<Finding> {
    let share = moment.load?.steal_share?;
    let value = format!("{:.1}%", share * 100.0);
    Some(match share {
        _ if share > 0.05 => {
            let why = "the host gives these CPUs to others";
            let remedy = "measure at another time, or on a machine of your own";
            Finding::new("steal", value, Grade::Bad, why).remedy(remedy)
        }
        _ if share > 0.01 => {
            let why = "the host gives these CPUs to others now and then";
            Finding::new("steal", value, Grade::Warn, why)
        }
        _ => Finding::new("steal", value, Grade::Good, "no time was taken away"),
    })
}

fn pressure(moment: &Moment) -> Option<Finding> {
    let share = moment.load?.memory_pressure_share?;
    let value = format!("{:.1}%", share * 100.0);
    Some(match share {
        _ if share > 0.01 => {
            let why = "programs wait for memory";
            let remedy = "end what holds it: ps aux --sort=-rss | head";
            Finding::new("memory_pressure", value, Grade::Warn, why).remedy(remedy)
        }
        _ => Finding::new("memory_pressure", value, Grade::Good, "nobody waits for memory"),
    })
}

/// The hottest sensor of what computes, against the device's limit where one is known; else the one
/// that is nearest to its own trip point.
fn temperature(root: &Root, moment: &Moment) -> Finding {
    let readings: Vec<(f64, &str)> = moment
        .seen
        .iter()
        .filter(|seen| seen.channel.kind == ChannelKind::Temperature && seen.channel.relevant)
        .filter_map(|seen| Some((*seen.value.as_ref().ok()?, seen.channel.id.as_str())))
        .collect();
    let Some(&hottest) = readings.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else {
        let why = "no sensor of what computes: nobody waits for it to cool down";
        return Finding::new("temperature", "not told", Grade::Note, why);
    };
    let of_device = moment.device.and_then(|device| device.soft_limit);
    let nearest = || {
        let points = trip_points(root);
        // `hot` and `critical` end the machine; where nothing slows it down before, they count.
        let limit = |id: &str| {
            let of_kinds = |kinds: &[&str]| {
                let here = points.iter().filter(|p| p.channel == id && kinds.contains(&&*p.kind));
                here.map(|point| point.at).reduce(|a, b| if b.0 < a.0 { b } else { a })
            };
            of_kinds(&["passive"]).or_else(|| of_kinds(&["hot", "critical"]))
        };
        let limited = readings.iter().filter_map(|&(t, id)| Some(((t, id), limit(id)?)));
        limited.min_by(|a, b| (a.1.0 - a.0.0).total_cmp(&(b.1.0 - b.0.0)))
    };
    let judged = of_device.map(|limit| (hottest, limit)).or_else(nearest);
    let ((t, id), limit) = match judged {
        Some((reading, limit)) => (reading, Some(limit)),
        None => (hottest, None),
    };
    let value = format!("{t:.1} °C ({id})");
    let wait = "let it cool down";
    match limit {
        Some(limit) if t >= limit.0 => {
            let why = format!("from {limit} on clocks are lowered");
            Finding::new("temperature", value, Grade::Bad, why).remedy(wait)
        }
        Some(limit) if t >= limit.0 - 10.0 => {
            let why = format!("less than 10 °C below {limit}, where clocks are lowered");
            Finding::new("temperature", value, Grade::Warn, why).remedy(wait)
        }
        Some(limit) => {
            let why = format!("clocks are lowered from {limit} on");
            Finding::new("temperature", value, Grade::Good, why)
        }
        None => Finding::new("temperature", value, Grade::Good, "it can be watched"),
    }
}

/// What a channel says of being held back now: how bad, and why. One without a cause tells of
/// something else, such as a supply that is plugged in.
fn held_back(seen: &Seen) -> Option<(Grade, Cause)> {
    let value = *seen.value.as_ref().ok()?;
    let cause = seen.channel.cause?;
    let grade = match (seen.channel.kind, cause) {
        (ChannelKind::Flag | ChannelKind::Cooling, _) if value <= 0.0 => return None,
        (ChannelKind::Flag | ChannelKind::Cooling, Cause::Policy) => Grade::Note,
        (ChannelKind::Flag | ChannelKind::Cooling, _) => Grade::Bad,
        (ChannelKind::HeldBack, _) if seen.per_s? < 0.001 => return None,
        (ChannelKind::Count, _) if seen.per_s? <= 0.0 => return None,
        (ChannelKind::HeldBack, Cause::Policy) => Grade::Note,
        (ChannelKind::Count, _) => Grade::Warn,
        (ChannelKind::HeldBack, _) => Grade::Bad,
        _ => return None,
    };
    Some((grade, cause))
}

fn throttling(moment: &Moment) -> Finding {
    let tells = |seen: &&Seen| {
        use ChannelKind::{Cooling, Count, Flag, HeldBack};
        let kind = seen.channel.kind;
        let is_sign = [Cooling, Count, Flag, HeldBack].contains(&kind);
        is_sign && seen.channel.cause.is_some() && seen.value.is_ok()
    };
    let telling: Vec<&Seen> = moment.seen.iter().filter(tells).collect();
    let holding = telling.iter().filter_map(|seen| Some((held_back(seen)?, &seen.channel.id)));
    let holding: Vec<_> = holding.collect();
    let Some(grade) = holding.iter().map(|((grade, _), _)| *grade).max() else {
        return match telling.len() {
            0 => {
                let why = "no flag or counter tells: it shows in the numbers alone";
                Finding::new("throttling", "not told", Grade::Note, why)
            }
            n => {
                let value =
                    if n == 1 { "not set".to_owned() } else { format!("none of {n} signs") };
                Finding::new("throttling", value, Grade::Good, "nothing holds the machine back")
            }
        };
    };
    let worst: Vec<_> = holding.iter().filter(|((g, _), _)| *g == grade).collect();
    let mut causes: Vec<Cause> = Vec::new();
    for ((_, cause), _) in &worst {
        if !causes.contains(cause) {
            causes.push(*cause);
        }
    }
    let ids = worst.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(", ");
    let names = causes.iter().map(|cause| cause.name()).collect::<Vec<_>>().join(", ");
    let why = format!("the machine is held back now: {names}");
    let finding = Finding::new("throttling", ids, grade, why);
    let mut remedies: Vec<&str> = causes.into_iter().filter_map(remedy).collect();
    remedies.dedup();
    match remedies[..] {
        [] => finding,
        _ if grade == Grade::Note => finding,
        _ => finding.remedy(remedies.join("; ")),
    }
}

fn remedy(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Thermal => Some("let it cool down, and see to fan and heat sink"),
        Cause::UnderVoltage => Some("take the maker's own power supply and a short cable"),
        Cause::OverCurrent | Cause::PowerCap => {
            Some("raise the limit on power, or take a stronger supply")
        }
        Cause::Battery => Some("charge the battery, or plug it in"),
        Cause::Policy => None,
    }
}

fn energy(moment: &Moment) -> Finding {
    let telling: Vec<&str> = moment
        .seen
        .iter()
        .filter(|seen| seen.value.is_ok())
        .filter(|seen| matches!(seen.channel.kind, ChannelKind::Power | ChannelKind::Energy))
        .map(|seen| seen.channel.id.as_str())
        .collect();
    match telling[..] {
        [] => {
            let why = "no channel of power or energy: joules per token need a meter";
            Finding::new("energy", "not told", Grade::Note, why)
        }
        [one] => Finding::new("energy", one, Grade::Good, "power can be watched"),
        [first, ..] => {
            let value = format!("{first} and {} more", telling.len() - 1);
            Finding::new("energy", value, Grade::Good, "power can be watched")
        }
    }
}
