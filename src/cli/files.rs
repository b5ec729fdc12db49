//! Files that a command reads: the catalogue of models, and models of the user's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::exit::{Ending, Failure};
use super::measuring::quoted;
use crate::gguf::{self, Gguf, GgufHead};
use crate::model::{self, Catalogue, ModelIdentity, ModelShape, TensorSpec};
use crate::plan::ModelFile;
use crate::record::{JournalRead, Record, RunInfo, read_journal_whole};
use crate::runner::RunFolder;
use crate::sensors::{HostFacts, Root};
use crate::suite::{self, DeviceSpec, FindError};

/// The folder the program was started in.
pub fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().or_usage()
}

/// This machine, or the folder that stands for one.
pub fn machine() -> Root {
    std::env::var_os("SLMBENCH_ROOT").map_or_else(Root::default, Root::new)
}

/// The run in `dir` with its records. That the journal was cut off is said; without a record in it there
/// is nothing to be shown, and files drawn before stay as they are.
pub fn run(dir: &Path) -> Result<(RunFolder, RunInfo, Vec<Record>), Failure> {
    let (folder, info) = RunFolder::open(dir).or_usage()?;
    let journal = folder.journal();
    let JournalRead { records, truncated } = match read_journal_whole(&journal) {
        Err(_) if !journal.exists() => JournalRead::default(),
        read => read.or_usage()?,
    };
    let shown = quoted(&dir.display());
    let remedy = match dir.parent().filter(|above| above.join("trial.json").is_file()) {
        Some(trial) => format!(
            "`slmbench ab --resume {}` with its own arguments again",
            quoted(&trial.display())
        ),
        None => format!("`slmbench run --resume {shown}`"),
    };
    if records.is_empty() {
        return Err(format!(
            "{}: nothing was measured yet\nhint: {remedy} measures it",
            dir.display()
        ))
        .or_usage();
    }
    if truncated {
        eprintln!(
            "warning: {} ends in the middle of a record, which is left out\n\
             hint: {remedy} measures it again",
            journal.display()
        );
    }
    Ok((folder, info, records))
}

/// The models that can be made, and where the table comes from.
pub fn catalogue(named: Option<&Path>) -> Result<(Catalogue, String), Failure> {
    let found = suite::find_models(named, &working_dir()?);
    let found = found.map_err(|e| of_table("--models", "models.toml", named, &e)).or_usage()?;
    let catalogue = Catalogue::parse(&found.text, &found.shown).or_usage()?;
    Ok((catalogue, found.source.to_string()))
}

/// An error of a table: of one that was named, with the option that names it.
fn of_table(option: &str, file: &str, named: Option<&Path>, error: &FindError) -> String {
    match named {
        Some(_) => format!(
            "{option}: {error}\nhint: {option} takes a {file}; without it the built-in one is used"
        ),
        None => error.to_string(),
    }
}

/// The devices that are known, and where the table comes from.
pub fn devices(named: Option<&Path>) -> Result<(Vec<DeviceSpec>, String), Failure> {
    let found = suite::find_devices(named, &working_dir()?);
    let found = found.map_err(|e| of_table("--devices", "devices.toml", named, &e)).or_usage()?;
    let devices = suite::parse_devices(&found.text, &found.shown).or_usage()?;
    Ok((devices, found.source.to_string()))
}

/// This machine in `devices.toml`, if it is there, and where the table comes from.
pub fn device(
    named: Option<&Path>,
    host: &HostFacts,
) -> Result<(Option<DeviceSpec>, String), Failure> {
    let (devices, source) = devices(named)?;
    let said = host.said();
    Ok((devices.into_iter().find(|device| device.is(&said)), source))
}

/// Whether the file begins as a GGUF file does.
pub fn is_gguf(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 4];
    // What is no ordinary file may block.
    path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok())
        && start == *b"GGUF"
}

/// Refuses a file of `-m` that is not there, or that begins as no GGUF file does; reads its header alone.
pub fn check_is_gguf(path: &Path) -> Result<(), Failure> {
    GgufHead::open(path).map(drop).map_err(|e| of_option(path, &e)).or_usage()
}

/// An error of a file that `-m` names.
fn of_option(path: &Path, error: &gguf::GgufError) -> String {
    match (&error.kind, path.to_str()) {
        (gguf::GgufErrorKind::Io(e), Some(name))
            if e.kind() == ErrorKind::NotFound && !name.contains(['/', '.']) =>
        {
            format!("-m {error}\nhint: -m takes a file; a model by its name is --model {name}")
        }
        _ => format!("-m {error}"),
    }
}

/// Writes beside `path` and renames, so that no half file ever stands there.
pub fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    // A name of its own: what is there under another one may be somebody's, or the file that is read.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let file = File::create_new(&part)?;
    let whole = || {
        write(&file)?;
        file.sync_all()?;
        Ok(std::fs::rename(&part, path)?)
    };
    whole().inspect_err(|_| {
        let _ = std::fs::remove_file(&part);
    })
}

/// Reads a file's header and hashes its content.
pub fn model_file(path: &Path) -> Result<(ModelFile, ModelIdentity), Failure> {
    let gguf = Gguf::open(path).or_usage()?;
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let sha256 = model::file_sha256(path, |_| {}).map_err(|e| named(&e)).or_usage()?;
    let identity = ModelIdentity::of_file(&gguf, sha256.clone()).or_usage()?;
    let listed =
        |t: &gguf::TensorInfo| (TensorSpec { name: t.name.clone(), dims: t.dims.clone() }, t.ty);
    let tensors = gguf.tensors().iter().map(listed).collect();
    let mut type_bytes = BTreeMap::new();
    for tensor in gguf.tensors() {
        let sum: &mut u64 = type_bytes.entry(tensor.ty).or_default();
        *sum = sum.saturating_add(tensor.bytes);
    }
    let label = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let file = ModelFile {
        path: path.to_owned(),
        label,
        sha256,
        quant: model::quant_name(&gguf).or_usage()?,
        arch: identity.arch.clone(),
        shape: ModelShape::from_gguf(&gguf).map_err(|e| e.to_string()),
        weight_bytes: identity.weight_bytes,
        tensors,
        type_bytes,
        bits_per_weight: identity.bits_per_weight,
    };
    Ok((file, identity))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_not_finished_leaves_the_one_before_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let write = |text: &str, end: io::Result<()>| {
            write_whole(&path, |mut file: &File| {
                file.write_all(text.as_bytes())?;
                end
            })
        };
        write("first", Ok(())).unwrap();
        assert!(write("second", Err(io::ErrorKind::Interrupted.into())).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write("third", Ok(())).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
    }
}
