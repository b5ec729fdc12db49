//! Which models are asked about: names, patterns, files; each with its shape and its bytes.

use std::path::{Path, PathBuf};

use super::Arguments;
use crate::cli::asked::{Asked, asked};
use crate::cli::exit::{Ending, Failure};
use crate::cli::files;
use crate::gguf::Gguf;
use crate::memory::{Request, WeightBytes};
use crate::model::{self, FileMix, ModelIdentity, ModelShape};

/// A model whose memory is told.
pub struct Subject {
    /// Its name; a file's own, without its folder.
    pub name: String,
    /// Its shape.
    pub shape: ModelShape,
    /// The forms it is asked about in.
    pub forms: Vec<Form>,
    /// Whether other mixes of it can be made: a file is what it is.
    pub is_shape: bool,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
}

/// A model's weights in one form.
pub struct Form {
    /// The mix.
    pub quant: String,
    /// Bytes of its tensors.
    pub weights: WeightBytes,
    /// 8 × bytes ÷ unique parameters.
    pub bits_per_weight: f64,
}

impl Form {
    /// That of a shape in `mix`.
    pub fn of_mix(shape: &ModelShape, n_params: u64, mix: FileMix) -> Form {
        let weights = WeightBytes::of_mix(shape, mix);
        let bits_per_weight = 8.0 * weights.total_bytes() as f64 / n_params.max(1) as f64;
        Form { quant: mix.to_string(), weights, bits_per_weight }
    }
}

/// The models asked for, in the order they are named, each once; and what is to be said of those
/// left out.
pub fn find(
    arguments: &Arguments,
    mixes: &[FileMix],
    request: &Request,
) -> Result<(Vec<Subject>, Vec<String>), Failure> {
    let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
    let quiet = arguments.json || arguments.csv.is_some();
    let asked = asked(&arguments.subjects, &catalogue, &arguments.files, quiet)?;
    let subject = |one: Asked| match one {
        Asked::Shape(shape) => Ok(of_shape(shape, mixes)),
        Asked::File { name, path } => {
            let file = of_file(&path, arguments)?;
            Ok(Subject { name: name.map_or(file.name, str::to_owned), ..file })
        }
    };
    let mut subjects = asked.into_iter().map(subject).collect::<Result<Vec<_>, Failure>>()?;
    let mut notes = Vec::new();
    subjects.retain(|subject| match subject.shape.kv_flaw(request.type_k, request.type_v) {
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
    let n_params = shape.n_params();
    Subject {
        name: shape.name.clone(),
        shape: shape.clone(),
        forms: mixes.iter().map(|mix| Form::of_mix(shape, n_params, *mix)).collect(),
        is_shape: true,
        path: None,
    }
}

fn of_file(path: &Path, arguments: &Arguments) -> Result<Subject, Failure> {
    if !arguments.quant.is_empty() {
        return Err("--quant is for models by name: the types of a file are what they are")
            .or_usage();
    }
    let gguf = Gguf::open(path).or_usage()?;
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let shape = ModelShape::from_gguf(&gguf).map_err(|e| named(&e)).or_usage()?;
    // The content's hash is not asked for: it would read all of it.
    let identity =
        ModelIdentity::of_file(&gguf, String::new()).map_err(|e| named(&e)).or_usage()?;
    let form = Form {
        quant: model::quant_name(&gguf).map_err(|e| named(&e)).or_usage()?,
        weights: WeightBytes::of_tensors(gguf.tensors().iter().map(|t| (&*t.name, t.ty, t.bytes))),
        bits_per_weight: identity.bits_per_weight,
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Subject { name, shape, forms: vec![form], is_shape: false, path: Some(path.to_owned()) })
}
