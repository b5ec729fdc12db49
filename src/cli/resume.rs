//! Continuing an earlier run, and what earlier runs tell about the time a new one will take.

use std::collections::BTreeMap;
use std::path::Path;

use super::VERSION;
use super::engines::EngineEntry;
use super::exit::{Exit, Failure};
use crate::plan::{CellId, Cost};
use crate::record::{Outcome, Record, RunInfo, read_journal};
use crate::runner::RunFolder;
use crate::sensors::HostFacts;
use crate::stats;

/// Folders of earlier runs looked at for an estimate: the newest are enough.
const EARLIER_RUNS: usize = 20;

/// Refuses to mix what two programs measured in one run.
pub fn check_same_program(
    info: &RunInfo,
    engines: &[EngineEntry],
    force: bool,
) -> Result<(), Failure> {
    let mut differences = Vec::new();
    let program = format!("slmbench {VERSION}");
    if info.program != program {
        differences.push(format!("the run was begun by {}, this is {program}", info.program));
    }
    for now in engines {
        let Some(now) = &now.info else { continue };
        let before = info.engines.iter().find(|engine| engine.name == now.name);
        if let Some(before) =
            before.filter(|before| before.version != now.version || before.build != now.build)
        {
            differences.push(format!(
                "engine {}: then {} ({}), now {} ({})",
                now.name, before.version, before.build, now.version, now.build
            ));
        }
    }
    if differences.is_empty() || force {
        return Ok(());
    }
    Err(Failure {
        exit: Exit::Usage,
        message: format!("{}\nhint: --force continues all the same", differences.join("\n")),
    })
}

/// The (cell, invocation) pairs that have a record.
pub fn done(records: &[Record]) -> Vec<(CellId, u32)> {
    records
        .iter()
        .filter(|record| !matches!(record.outcome, Outcome::Skipped { .. }))
        .map(|record| (record.cell.id.clone(), record.invocation))
        .collect()
}

/// What cells cost on this machine before, from the runs in `reports`.
pub fn earlier_costs(reports: &Path, host: &HostFacts) -> BTreeMap<CellId, Cost> {
    let mut folders: Vec<_> = std::fs::read_dir(reports)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("run.json").exists())
        .collect();
    folders.sort();
    let mut costs = BTreeMap::new();
    // Oldest first: the newest have the last word.
    for path in folders.iter().skip(folders.len().saturating_sub(EARLIER_RUNS)) {
        let Ok((folder, info)) = RunFolder::open(path) else { continue };
        if !same_machine(&info.host, host) {
            continue;
        }
        let records = read_journal(&folder.journal()).unwrap_or_default();
        for record in records.iter().filter(|record| record.outcome == Outcome::Finished) {
            costs.insert(record.cell.id.clone(), cost(record));
        }
    }
    costs
}

fn same_machine(a: &HostFacts, b: &HostFacts) -> bool {
    (&a.cpu, a.n_cpus, &a.machine) == (&b.cpu, b.n_cpus, &b.machine)
}

fn cost(record: &Record) -> Cost {
    let mean = |values: Vec<u64>| {
        let seconds: Vec<f64> = values.iter().map(|&ns| ns as f64 / 1e9).collect();
        stats::median(&seconds).unwrap_or(0.0)
    };
    let prefill = mean(record.samples.iter().filter_map(|sample| sample.prefill_ns).collect());
    let decode = mean(record.samples.iter().filter_map(|sample| sample.decode_ns()).collect());
    Cost::measured(&record.cell, record.wall_ns as f64 / 1e9, prefill, decode)
}
