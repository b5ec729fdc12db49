//! Asking an engine what it would take, with nothing but a file's header.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Arguments;
use super::rows::Sheet;
use super::subjects::{Form, Subject};
use crate::cli::engines;
use crate::cli::exit::{Ending, Failure};
use crate::gguf::GgufHead;
use crate::memory::MemoryBudget;
use crate::model::FileMix;
use crate::plan::WEIGHT_SEED;
use crate::runner;
use crate::sensors::{self, Root};
use crate::settings::{Auto, Settings};
use crate::synth::Synthesis;

/// Asks `engine` about every row.
pub fn ask(sheet: &mut Sheet, engine: &str, arguments: &Arguments) -> Result<(), Failure> {
    let program = runner::own_executable().or_usage()?;
    let entries = engines::ask(&program, &[engine.to_owned()])?;
    if let Some(why) = entries.first().and_then(|entry| entry.missing.as_ref()) {
        return Err(format!("engine {engine}: {why}")).or_usage();
    }
    let can_read =
        entries.first().and_then(|entry| entry.capabilities.as_ref()?.weight_types.clone());
    let hollow = Hollow::new();
    let ask = |subject: &Subject, form: &Form, n_ctx: u32| -> Result<MemoryBudget, String> {
        let file = match &subject.path {
            Some(path) => std::path::absolute(path).map_err(|e| e.to_string())?,
            None => hollow.of(subject, form)?,
        };
        // What a plan says of such a cell; an engine says it only when it has come to the tensor.
        if let Some(can_read) = &can_read {
            let head = GgufHead::open(&file).map_err(|e| e.to_string())?;
            let refused = head.header().tensors().iter().find(|t| !can_read.contains(&t.ty));
            if let Some(tensor) = refused {
                let types: Vec<&str> = can_read.iter().map(|ty| ty.name()).collect();
                return Err(format!(
                    "{engine} reads no {} tensors, only {}\nhint: another --quant, or another --engine",
                    tensor.ty,
                    types.join(", ")
                ));
            }
        }
        let settings = arguments.settings(n_ctx);
        engines::planned_memory(&program, engine, &file, &settings).map_err(|why| {
            // A header with a hole has a name that nobody has given it.
            why.replace(&format!("{}: ", hollow.0.display()), "")
        })
    };
    sheet.ask(engine, ask).or_usage()
}

impl Arguments {
    /// The settings asked for, as an engine gets them.
    fn settings(&self, n_ctx: u32) -> Settings {
        let cpus = sensors::allowed_cpus();
        Settings {
            n_threads: Auto::Fixed(sensors::auto_threads(&Root::default(), &cpus)),
            n_ctx: Auto::Fixed(n_ctx),
            n_ubatch: self.n_ubatch,
            n_batch: Settings::default().n_batch.max(self.n_ubatch),
            type_k: self.type_kv,
            type_v: self.type_kv,
            flash_attn: self.flash_attn,
            ..Settings::default()
        }
    }
}

/// A file with a header and a hole where the weights would be; gone when this is.
struct Hollow(PathBuf);

impl Hollow {
    fn new() -> Hollow {
        let name = format!("slmbench-header-{}.gguf", std::process::id());
        Hollow(std::env::temp_dir().join(name))
    }

    fn of(&self, subject: &Subject, form: &Form) -> Result<PathBuf, String> {
        let mix: FileMix = form.quant.parse().map_err(|e| format!("{e}"))?;
        let synthesis = Synthesis::new(&subject.shape, mix, WEIGHT_SEED);
        let written = File::create(&self.0)
            .map_err(|e| e.to_string())
            .and_then(|file| synthesis.write_hollow(&file).map_err(|e| e.to_string()));
        let path: &Path = &self.0;
        written.map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path.to_owned())
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
