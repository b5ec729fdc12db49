//! Continuing an earlier run, and what earlier runs tell about the time a new one will take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::engines::EngineEntry;
use super::exit::{Ending, Exit, Failure};
use super::preparing::UserFiles;
use crate::model::{Catalogue, CatalogueModel};
use crate::plan::{Cell, CellId, Cost, ModelSource};
use crate::record::{Outcome, PROGRAM, Record, RunInfo, read_journal};
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
    if info.program != PROGRAM {
        differences.push(format!("the run was begun by {}, this is {PROGRAM}", info.program));
    }
    for entry in engines {
        match &entry.info {
            Some(now) if info.engines.contains(now) => {}
            Some(now) => differences.push(format!(
                "engine {}: now {} ({}; {}), which is not what the run was begun with",
                entry.word, now.version, now.build, now.system
            )),
            None => {
                let why = entry.missing.as_deref().unwrap_or("it is not there");
                // Force cannot bring it: every invocation left would fail for good.
                return Err(usage(format!("engine {}: {why}", entry.word)));
            }
        }
    }
    if differences.is_empty() || force {
        return Ok(());
    }
    Err(usage(format!("{}\nhint: --force continues all the same", differences.join("\n"))))
}

fn usage(message: String) -> Failure {
    Failure { exit: Exit::Usage, message }
}

/// The models of these cells that `models.toml` has as files, but for what is at hand already.
pub fn models_that_are_files<'c>(
    cells: &[Cell],
    catalogue: &'c Catalogue,
    user_files: &UserFiles,
) -> Vec<&'c CatalogueModel> {
    let mut models: Vec<&CatalogueModel> = Vec::new();
    for cell in cells {
        if let ModelSource::File { sha256 } = &cell.source
            && user_files.find(sha256).is_none()
            && let Ok(model) = catalogue.find(&cell.model)
            && model.shape().is_none()
            && !models.iter().any(|known| known.name == model.name)
        {
            models.push(model);
        }
    }
    models
}

/// Refuses to go on where a model is no longer what the run was begun with.
pub fn check_models(
    cells: &[Cell],
    catalogue: &Catalogue,
    user_files: &UserFiles,
) -> Result<(), Failure> {
    for cell in cells {
        match &cell.source {
            ModelSource::File { sha256 } if user_files.find(sha256).is_none() => {
                let is_named = catalogue.find(&cell.model).is_ok_and(|m| m.shape().is_none());
                return Err(usage(match is_named {
                    true => format!(
                        "{}: its file is no longer what the run was begun with\n\
                         hint: name the one it was begun with by -m",
                        cell.model
                    ),
                    false => format!(
                        "the run measures the file {}, which is not among those named\n\
                         hint: name it again with -m; one of a models.toml is found through \
                         --models",
                        cell.model
                    ),
                }));
            }
            ModelSource::Synthetic { shape, .. } => {
                let now = catalogue.get(&cell.model).or_usage()?;
                if now.hash() != *shape {
                    return Err(usage(format!(
                        "{}: its shape is no longer what the run was begun with\n\
                         hint: name the same models.toml with --models",
                        cell.model
                    )));
                }
            }
            ModelSource::File { .. } => {}
        }
    }
    Ok(())
}

/// The invocations that have no record yet, in their order.
pub fn left(info: &RunInfo, records: &[Record]) -> Vec<(usize, u32)> {
    let done: BTreeSet<(&CellId, u32)> =
        records.iter().map(|record| (&record.cell.id, record.invocation)).collect();
    let is_left =
        |&(cell, invocation): &(usize, u32)| !done.contains(&(&info.cells[cell].id, invocation));
    info.order.iter().copied().filter(is_left).collect()
}

/// What cells cost on this machine before, from the runs in `reports`.
pub fn earlier_costs(reports: &Path, host: &HostFacts) -> BTreeMap<CellId, Cost> {
    let mut costs = BTreeMap::new();
    // The newest have the last word.
    for (folder, _) in earlier_runs(reports, host) {
        let records = read_journal(&folder.journal()).unwrap_or_default();
        for record in records.iter().filter(|record| record.outcome == Outcome::Finished) {
            costs.insert(record.cell.id.clone(), cost(record));
        }
    }
    costs
}

/// Runs of this machine in `reports`, the oldest first.
pub fn earlier_runs(
    reports: &Path,
    host: &HostFacts,
) -> impl DoubleEndedIterator<Item = (RunFolder, RunInfo)> {
    let mut folders: Vec<_> = std::fs::read_dir(reports)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("run.json").exists())
        .collect();
    folders.sort();
    let newest = folders.split_off(folders.len().saturating_sub(EARLIER_RUNS));
    let opened = newest.into_iter().filter_map(|path| RunFolder::open(&path).ok());
    opened.filter(move |(_, info)| same_machine(&info.host, host))
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
