//! Files that a command reads: the catalogue of models, and models of the user's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::exit::{Ending, Failure};
use crate::gguf::{self, Gguf};
use crate::model::{self, Catalogue, ModelIdentity, ModelShape, TensorSpec};
use crate::plan::ModelFile;
use crate::sensors::{HostFacts, Root};
use crate::suite::{self, DeviceSpec};

/// The folder the program was started in.
pub fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().or_usage()
}

/// This machine, or the folder that stands for one.
pub fn machine() -> Root {
    std::env::var_os("SLMBENCH_ROOT").map_or_else(Root::default, Root::new)
}

/// The models that can be made, and where the table comes from.
pub fn catalogue(named: Option<&Path>) -> Result<(Catalogue, String), Failure> {
    let found = suite::find_models(named, &working_dir()?).or_usage()?;
    let catalogue = Catalogue::parse(&found.text, &found.shown).or_usage()?;
    Ok((catalogue, found.source.to_string()))
}

/// The devices that are known, and where the table comes from.
pub fn devices(named: Option<&Path>) -> Result<(Vec<DeviceSpec>, String), Failure> {
    let found = suite::find_devices(named, &working_dir()?).or_usage()?;
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

/// Writes beside `path` and renames, so that no half file ever stands there.
pub fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let whole = || {
        let file = File::create(&part)?;
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
