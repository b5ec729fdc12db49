//! What a run has to itself: a machine or a part of one, CPUs, memory.

use super::super::groups::cpu_groups;
use super::super::host::{Ground, ground};
use super::super::memory::{field_kib, group_limit, memory_total};
use super::super::{Root, memory_available};
use super::{Finding, Grade};
use crate::units::Bytes;

const GIB: u64 = 1 << 30;

/// Everything that can be told of it.
pub fn findings(root: &Root, n_cpus: u32) -> Vec<Finding> {
    [
        virtual_machine(root),
        container(root),
        cpu_quota(root, n_cpus),
        memory_limit(root),
        available(root),
        swap(root),
        huge_pages(root),
        threads_of_cores(root),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn virtual_machine(root: &Root) -> Option<Finding> {
    Some(match ground(root)? {
        Ground::Hypervisor(name) => {
            let why = "neighbours take time that nobody tells of, and sensors are hidden";
            Finding::new("virtual_machine", name, Grade::Note, why)
        }
        Ground::Hardware => {
            Finding::new("virtual_machine", "no", Grade::Good, "the hardware itself")
        }
    })
}

fn container(root: &Root) -> Option<Finding> {
    let groups = root.text("proc/self/cgroup").unwrap_or_default();
    let of_groups = ["docker", "kubepods", "containerd", "libpod", "lxc"]
        .into_iter()
        .find(|word| groups.contains(word));
    let name = root
        .text("run/systemd/container")
        .or_else(|| root.path(".dockerenv").exists().then(|| "docker".to_owned()))
        .or_else(|| root.path("run/.containerenv").exists().then(|| "podman".to_owned()))
        .or_else(|| of_groups.map(str::to_owned))?;
    let why = "no cost in itself; limits may apply and sensors may be hidden";
    Some(Finding::new("container", name, Grade::Note, why))
}

/// CPU time that the control groups allow, in CPUs.
fn quota(root: &Root) -> Option<f64> {
    let groups = cpu_groups(root);
    let mut quotas = Vec::new();
    for folder in groups.unified {
        let text = root.text(&format!("{folder}/cpu.max")).unwrap_or_default();
        let mut words = text.split_whitespace().map(str::parse::<f64>);
        if let (Some(Ok(quota)), Some(Ok(period))) = (words.next(), words.next()) {
            quotas.push(quota / period);
        }
    }
    for folder in groups.legacy {
        let quota: Option<f64> = root.value(&format!("{folder}/cpu.cfs_quota_us"));
        let period: Option<f64> = root.value(&format!("{folder}/cpu.cfs_period_us"));
        // −1 stands for no quota.
        quotas.extend(quota.filter(|us| *us > 0.0).zip(period).map(|(q, p)| q / p));
    }
    quotas.into_iter().filter(|cpus| cpus.is_finite() && *cpus > 0.0).min_by(f64::total_cmp)
}

fn cpu_quota(root: &Root, n_cpus: u32) -> Option<Finding> {
    let cpus = quota(root)?;
    let value = format!("{cpus:.1} of {n_cpus} CPUs");
    if cpus >= f64::from(n_cpus) {
        return Some(Finding::new("cpu_quota", value, Grade::Good, "it holds nothing back"));
    }
    let why = "more threads than that are stopped for a part of each tenth of a second";
    let n_threads = (cpus.floor() as u32).max(1);
    let remedy = format!("slmbench run --threads {n_threads}");
    Some(Finding::new("cpu_quota", value, Grade::Warn, why).remedy(remedy))
}

fn memory_limit(root: &Root) -> Option<Finding> {
    let (limit, total) = (group_limit(root)?, memory_total(root)?);
    (limit < total).then(|| {
        let value = format!("{} of {}", Bytes(limit), Bytes(total));
        let why = "models that need more are refused or killed";
        Finding::new("memory_limit", value, Grade::Note, why)
    })
}

fn available(root: &Root) -> Option<Finding> {
    let (free, total) = (memory_available(root)?, memory_total(root)?);
    let value = format!("{} of {}", Bytes(free), Bytes(total));
    let (grade, why) = match free {
        _ if free < GIB => (Grade::Warn, "few models fit, and what is cached of them is dropped"),
        _ if free < total / 4 => (Grade::Note, "other programs hold most of it"),
        _ => (Grade::Good, "enough to keep a model's file cached"),
    };
    let finding = Finding::new("memory_available", value, grade, why);
    Some(match grade {
        Grade::Warn => finding.remedy("end what holds it: ps aux --sort=-rss | head"),
        _ => finding,
    })
}

fn swap(root: &Root) -> Option<Finding> {
    let meminfo = root.text("proc/meminfo")?;
    let (total, free) = (field_kib(&meminfo, "SwapTotal")?, field_kib(&meminfo, "SwapFree")?);
    if total == 0 {
        return Some(Finding::new("swap", "none", Grade::Good, "nothing can be swapped out"));
    }
    let used = total.saturating_sub(free);
    let swappiness = root.text("proc/sys/vm/swappiness");
    let swappiness = swappiness.map(|n| format!(", swappiness {n}")).unwrap_or_default();
    let value = format!("{} of {} used{swappiness}", Bytes(used), Bytes(total));
    let memory = memory_total(root).unwrap_or(u64::MAX);
    let (grade, why) = match used {
        0 => (Grade::Good, "it is not in use"),
        _ if used > memory / 20 => (Grade::Warn, "memory has been short: pages come back late"),
        _ => (Grade::Note, "a little has been swapped out at some time"),
    };
    let finding = Finding::new("swap", value, grade, why);
    // What was swapped out has to go somewhere.
    let fits = memory_available(root).is_some_and(|available| used < available);
    Some(match grade {
        Grade::Warn if fits => finding.remedy("sudo swapoff -a && sudo swapon -a"),
        Grade::Warn => finding.remedy("end what holds memory: ps aux --sort=-rss | head"),
        _ => finding,
    })
}

fn huge_pages(root: &Root) -> Option<Finding> {
    let file = "sys/kernel/mm/transparent_hugepage/enabled";
    let text = root.text(file)?;
    let policy = text.split_once('[')?.1.split_once(']')?.0.to_owned();
    Some(match policy.as_str() {
        "never" => {
            let why = "weights and cache stay on small pages: prefill may be slower";
            let remedy = format!("echo madvise | sudo tee /{file}");
            Finding::new("huge_pages", policy, Grade::Note, why).remedy(remedy)
        }
        "always" => Finding::new("huge_pages", policy, Grade::Good, "for all memory"),
        _ => Finding::new("huge_pages", policy, Grade::Good, "for programs that ask"),
    })
}

fn threads_of_cores(root: &Root) -> Option<Finding> {
    let is_on = root.value::<u8>("sys/devices/system/cpu/smt/active")? != 0;
    let (value, why) = match is_on {
        true => ("on", "`auto` takes one thread for each core"),
        false => ("off", "each CPU is a core"),
    };
    Some(Finding::new("smt", value, Grade::Good, why))
}
