//! Models for cells: what each will need, and its file made or found.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::engines::{self, EngineEntry};
use crate::memory::MemoryBudget;
use crate::model::{Catalogue, FileMix, ModelIdentity, UnknownMix};
use crate::plan::{Cell, CellId, ModelFile, ModelSource, Terms, Weights};
use crate::record::CellWork;
use crate::runner::{Prepared, Watcher};
use crate::sensors::{self, Root};
use crate::settings::Capabilities;
use crate::synth::{self, CacheError, SynthError};
use crate::units::Bytes;

/// GGUF files named on the command line or by models.toml, read once.
#[derive(Default)]
pub struct UserFiles {
    /// What their headers say.
    pub files: Vec<ModelFile>,
    /// Their identities, in the same order.
    pub identities: Vec<ModelIdentity>,
}

impl UserFiles {
    /// One more.
    pub fn push(&mut self, (file, identity): (ModelFile, ModelIdentity)) {
        self.files.push(file);
        self.identities.push(identity);
    }

    /// The file with this content.
    pub fn find(&self, sha256: &str) -> Option<(&ModelFile, &ModelIdentity)> {
        let at = self.files.iter().position(|file| file.sha256 == sha256)?;
        Some((&self.files[at], &self.identities[at]))
    }
}

/// What makes and finds model files, and tells what cells need.
pub struct Preparing<'a> {
    /// The program that will run them.
    pub program: PathBuf,
    /// The machine.
    pub root: &'a Root,
    /// Whether it gives memory in huge pages where it is asked for.
    pub huge_pages: bool,
    /// Models that can be made.
    pub catalogue: &'a Catalogue,
    /// Models of the user's.
    pub user_files: &'a UserFiles,
    /// What the engines can do.
    pub engines: &'a [EngineEntry],
    /// Where synthetic models are kept.
    pub cache: synth::Cache,
    /// Set when the user wants to stop.
    pub interrupted: Arc<AtomicBool>,
    /// What cells will need, as far as it was asked.
    pub planned: RefCell<BTreeMap<CellId, Option<MemoryBudget>>>,
}

impl Preparing<'_> {
    fn engine(&self, cell: &Cell) -> Option<&Capabilities> {
        let entry = self.engines.iter().find(|entry| entry.word == cell.engine)?;
        entry.capabilities.as_ref()
    }

    fn needs_file(&self, cell: &Cell) -> bool {
        self.engine(cell).is_none_or(|can| can.needs_model_file)
    }

    /// The weights of a cell.
    fn weights(&self, cell: &Cell) -> Option<Weights> {
        match &cell.source {
            ModelSource::File { sha256 } => {
                self.user_files.find(sha256).map(|(file, _)| Weights::of_file(file))
            }
            ModelSource::Synthetic { .. } => {
                let shape = self.catalogue.get(&cell.model).ok()?;
                Some(Weights::synthetic(shape, cell.quant.parse().ok()?))
            }
        }
    }

    /// What a cell will need, by formula.
    pub fn predict(&self, cell: &Cell) -> Option<MemoryBudget> {
        let can = self.engine(cell).filter(|can| can.needs_model_file)?;
        self.weights(cell)?.predict(cell, self.terms(cell, can))
    }

    /// What the calls of a cell have to do.
    fn work(&self, cell: &Cell) -> Option<CellWork> {
        let weights = self.weights(cell)?;
        let shape = weights.shape.as_ref().ok()?;
        Some(CellWork::new(cell, shape, &weights.tensors))
    }

    /// Threads of a cell that leaves them to the machine.
    fn n_threads(&self, cell: &Cell) -> u32 {
        let cpus = sensors::cpus_named(self.root, &cell.cpus, &sensors::allowed_cpus());
        sensors::auto_threads(self.root, &cpus.unwrap_or_default())
    }

    fn terms(&self, cell: &Cell, can: &Capabilities) -> Terms {
        Terms::of(can, self.n_threads(cell), self.huge_pages)
    }

    /// What a cell will need: as its engine plans to run this file, or else by formula.
    fn planned(&self, cell: &Cell, path: &Path) -> Option<MemoryBudget> {
        let mut planned = self.planned.borrow_mut();
        *planned.entry(cell.id.clone()).or_insert_with(|| {
            let settings = cell.settled(self.n_threads(cell));
            let Ok(mut budget) =
                engines::planned_memory(&self.program, &cell.engine, path, &settings)
            else {
                return self.predict(cell);
            };
            if let (Some(can), Some(weights)) = (self.engine(cell), self.weights(cell)) {
                let terms = self.terms(cell, can);
                budget.untouched_bytes = weights.untouched_bytes(cell, terms, &budget);
            }
            Some(budget)
        })
    }

    /// Makes or finds the file of a cell.
    pub fn prepare(&self, cell: &Cell, watcher: &mut dyn Watcher) -> Result<Prepared, String> {
        if !self.needs_file(cell) {
            let path = PathBuf::new();
            let (identity, predicted, work, guard) = (None, None, None, None);
            return Ok(Prepared { path, identity, predicted, work, guard });
        }
        match &cell.source {
            ModelSource::File { sha256 } => {
                let (file, identity) = self.user_files.find(sha256).ok_or("the file is gone")?;
                let path = std::path::absolute(&file.path).map_err(|e| e.to_string())?;
                let predicted = self.planned(cell, &path);
                let (identity, work) = (Some(identity.clone()), self.work(cell));
                Ok(Prepared { path, identity, predicted, work, guard: None })
            }
            ModelSource::Synthetic { seed, .. } => {
                let shape = self.catalogue.get(&cell.model).map_err(|e| e.to_string())?;
                let mix: FileMix = cell.quant.parse().map_err(|e: UnknownMix| e.to_string())?;
                let mut said = false;
                let progress = |_: u64, total: u64| {
                    if !said {
                        watcher.say(&format!("making {} {mix}, {}", shape.name, Bytes(total)));
                        said = true;
                    }
                    match self.interrupted.load(Ordering::Relaxed) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                };
                let made = self.cache.obtain(shape, mix, *seed, progress);
                let file = made.map_err(|e| {
                    if matches!(e, CacheError::Synth(SynthError::Interrupted)) {
                        return e.to_string();
                    }
                    // On the screen with its folder; into the record, which is passed around,
                    // without.
                    watcher.say(&format!("{}: {e}", cell.model));
                    let folder = self.cache.folder().display().to_string();
                    e.to_string().replace(&folder, "<cache folder>")
                })?;
                let path = std::path::absolute(file.path()).map_err(|e| e.to_string())?;
                let predicted = self.planned(cell, &path);
                Ok(Prepared {
                    path,
                    identity: Some(ModelIdentity::of_synthetic(
                        shape,
                        mix,
                        *seed,
                        synth::SYNTH_VERSION,
                    )),
                    predicted,
                    work: self.work(cell),
                    guard: Some(Box::new(file)),
                })
            }
        }
    }
}
