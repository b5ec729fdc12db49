//! Which models are asked about: names, patterns, files; each with its shape and its tensors.

use std::path::Path;
use std::sync::Arc;

use super::Arguments;
use crate::cli::exit::{Ending, Failure};
use crate::cli::files;
use crate::cli::inspect::is_file;
use crate::cli::measuring::watch_signals;
use crate::cli::memory::named;
use crate::gguf::Gguf;
use crate::model::{self, CatalogueModel, FileMix, ModelShape, TensorSpec};
use crate::plan::TensorList;

/// A model whose speed is told.
pub struct Subject {
    /// Its name; a file's own, without its folder.
    pub name: String,
    /// Its shape.
    pub shape: ModelShape,
    /// The forms it is asked about in.
    pub forms: Vec<Form>,
}

/// A model's weights in one form.
pub struct Form {
    /// The mix.
    pub quant: String,
    /// Its tensors.
    pub tensors: TensorList,
    /// Their bytes.
    pub weight_bytes: u64,
}

/// The models asked for, in the order they are named, each once; and what is to be said of those
/// left out.
pub fn find(arguments: &Arguments) -> Result<(Vec<Subject>, Vec<String>), Failure> {
    let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
    let mut subjects: Vec<Subject> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for asked in &arguments.subjects {
        let path = Path::new(asked);
        if !crate::suite::is_pattern(asked) && is_file(path) {
            subjects.push(of_file(path, arguments)?);
            continue;
        }
        let new: Vec<&CatalogueModel> =
            named(&catalogue, asked)?.into_iter().filter(|m| !seen.contains(&&*m.name)).collect();
        seen.extend(new.iter().map(|model| model.name.as_str()));
        // Only a download takes long enough to be stopped in an orderly way.
        let interrupted = match arguments.files.download {
            true => watch_signals()?,
            false => Arc::default(),
        };
        let quiet = arguments.json || arguments.csv.is_some();
        let mut found = arguments.files.find(&new, quiet, &interrupted)?.into_iter();
        for model in new {
            subjects.push(match (model.shape(), &mut found) {
                (Some(shape), _) => of_shape(shape, &arguments.quant),
                (None, found) => {
                    let (model, path) = found.next().expect("each that is a file has been found");
                    Subject { name: model.name.clone(), ..of_file(&path, arguments)? }
                }
            });
        }
    }
    let mut notes = Vec::new();
    subjects.retain(|subject| match flaw(&subject.shape, arguments) {
        Some(flaw) => {
            notes.push(format!("{}: {flaw}", subject.name));
            false
        }
        None => true,
    });
    if subjects.is_empty() {
        return Err(notes.join("\n")).or_usage();
    }
    Ok((subjects, notes))
}

fn of_shape(shape: &ModelShape, mixes: &[FileMix]) -> Subject {
    let mixes = if mixes.is_empty() { &[FileMix::Q4_K_M] } else { mixes };
    let form = |mix: &FileMix| {
        let tensors = mix.tensors(shape);
        let weight_bytes = model::type_bytes(&tensors).values().sum();
        Form { quant: mix.to_string(), tensors: tensors.into(), weight_bytes }
    };
    Subject {
        name: shape.name.clone(),
        shape: shape.clone(),
        forms: mixes.iter().map(form).collect(),
    }
}

fn of_file(path: &Path, arguments: &Arguments) -> Result<Subject, Failure> {
    if !arguments.quant.is_empty() {
        return Err("--quant is for models by name: the types of a file are what they are")
            .or_usage();
    }
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let gguf = Gguf::open(path).or_usage()?;
    let shape = ModelShape::from_gguf(&gguf).map_err(|e| named(&e)).or_usage()?;
    let tensor = |t: &crate::gguf::TensorInfo| {
        (TensorSpec { name: t.name.clone(), dims: t.dims.clone() }, t.ty)
    };
    let form = Form {
        quant: model::quant_name(&gguf).map_err(|e| named(&e)).or_usage()?,
        tensors: gguf.tensors().iter().map(tensor).collect(),
        weight_bytes: gguf.tensors().iter().map(|t| t.bytes).sum(),
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Subject { name, shape, forms: vec![form] })
}

/// Why a cache of the type asked for cannot be: a head is a whole number of blocks.
fn flaw(shape: &ModelShape, arguments: &Arguments) -> Option<String> {
    let ty = arguments.type_kv;
    let widths = [shape.head_dim, shape.value_dim()];
    let width = widths.into_iter().find(|width| ty.bytes_for(u64::from(*width)).is_none())?;
    let block = ty.block_size();
    Some(format!(
        "a head of {width} elements is no whole number of {ty} blocks, which have {block}"
    ))
}
