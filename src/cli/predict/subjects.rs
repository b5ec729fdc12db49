//! Which models are asked about: names, patterns, files; each with its shape and its tensors.

use std::path::Path;

use super::Arguments;
use crate::cli::asked::{Asked, asked};
use crate::cli::exit::{Ending, Failure};
use crate::cli::files;
use crate::gguf::Gguf;
use crate::model::{self, FileMix, ModelShape, TensorSpec};
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
    let quiet = arguments.json || arguments.csv.is_some();
    let asked = asked(&arguments.subjects, &catalogue, &arguments.files, quiet)?;
    let subject = |one: Asked| match one {
        Asked::Shape(shape) => Ok(of_shape(shape, &arguments.quant)),
        Asked::File { name, path } => {
            let file = of_file(&path, arguments)?;
            Ok(Subject { name: name.map_or(file.name, str::to_owned), ..file })
        }
    };
    let mut subjects = asked.into_iter().map(subject).collect::<Result<Vec<_>, Failure>>()?;
    let mut notes = Vec::new();
    let ty = arguments.type_kv;
    subjects.retain(|subject| match subject.shape.kv_flaw(ty, ty) {
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
