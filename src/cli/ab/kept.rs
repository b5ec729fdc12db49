//! A trial's own file beside the runs of its sides: `trial.json`.

use std::path::{Path, PathBuf};

use crate::cli::exit::{Ending, Failure};
use crate::compare::{TRIAL_FORMAT, TrialInfo};
use crate::record::{Record, RunInfo};
use crate::report;
use crate::runner::{FolderError, RunFolder};
use crate::system::said;

/// The file in which a trial is kept.
pub fn trial_file(folder: &Path) -> PathBuf {
    folder.join("trial.json")
}

/// Writes it.
pub fn write_trial(folder: &Path, info: &TrialInfo) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(info).or_usage()? + "\n";
    report::write_text(&trial_file(folder), &text).or_unwritable()
}

/// Reads the trial of a folder; `None` where there is none.
pub fn read_trial(folder: &Path) -> Result<Option<TrialInfo>, Failure> {
    let path = trial_file(folder);
    if !path.is_file() {
        return Ok(None);
    }
    let wrong = |message: String| format!("{}: {message}", path.display());
    let damaged =
        || wrong("the file is cut off or damaged\nhint: restore it from a copy".to_owned());
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(said(&e))).or_usage()?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|_| damaged()).or_usage()?;
    match value["format"].as_u64() {
        Some(found) if found > u64::from(TRIAL_FORMAT) => Err(wrong(format!(
            "format {found}, this program reads up to {TRIAL_FORMAT}\n\
             hint: use the slmbench that wrote it, or a newer one"
        )))
        .or_usage(),
        Some(_) => serde_json::from_value(value).map(Some).map_err(|_| damaged()).or_usage(),
        None => Err(damaged()).or_usage(),
    }
}

/// The trial of `folder`, which is to be continued.
pub fn begun(folder: &Path) -> Result<TrialInfo, Failure> {
    let shown = folder.display();
    let hint = match RunFolder::open(folder) {
        Ok(_) => format!("it is a run: `slmbench run --resume {shown}` continues it"),
        Err(FolderError::NoRun { .. }) => {
            "trials are in reports/ where --out named no other folder".to_owned()
        }
        Err(error) => return read_trial(folder)?.ok_or(error).or_usage(),
    };
    let none = || format!("{shown} holds no trial: there is no trial.json\nhint: {hint}");
    read_trial(folder)?.ok_or_else(none).or_usage()
}

/// What is said where a trial is to be continued without what it was begun with.
pub fn repeat(then: &TrialInfo) -> String {
    format!(
        "the trial's own arguments have to be repeated with --resume\n\
         hint: it was begun with: {}",
        then.command
    )
}

/// The trial of `folder`, if it is the one that the arguments describe.
pub fn continued(folder: &Path, now: TrialInfo) -> Result<TrialInfo, Failure> {
    let then = begun(folder)?;
    // The command differs, by --resume at the least.
    let same = TrialInfo { command: then.command.clone(), ..now };
    if then != same {
        return Err(format!(
            "{}: it was begun with other arguments, or by other programs\n\
             hint: it was begun by {} ({}; {}) with: {}",
            folder.display(),
            then.program,
            then.programs.0,
            then.programs.1,
            then.command
        ))
        .or_usage();
    }
    Ok(then)
}

/// Refuses to add to the run of a side what another engine, or another gate, would measure.
pub fn same_run(folder: &Path, then: &RunInfo, now: &RunInfo) -> Result<(), Failure> {
    let differs = match () {
        () if then.cells != now.cells => "cells",
        () if then.engines != now.engines => "engines",
        () if then.gate != now.gate => "gate",
        () => return Ok(()),
    };
    Err(format!(
        "{}: its {differs} are no longer what it was begun with\n\
         hint: it was begun with: {}",
        folder.display(),
        then.command
    ))
    .or_usage()
}

/// The invocations that were made, in their order in time.
pub fn order_of(info: &RunInfo, records: &[Record]) -> Vec<(usize, u32)> {
    let mut order: Vec<(usize, u32)> = Vec::new();
    for record in records {
        let cell = info.cells.iter().position(|cell| cell.id == record.cell.id);
        if let Some(step) = cell.map(|cell| (cell, record.invocation))
            && !order.contains(&step)
        {
            order.push(step);
        }
    }
    order
}
