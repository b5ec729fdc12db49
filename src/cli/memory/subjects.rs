//! Which models are asked about: names, patterns, files; each with its shape and its bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wildmatch::WildMatchPattern;

use super::Arguments;
use crate::cli::exit::{Ending, Failure};
use crate::cli::files;
use crate::cli::inspect::is_file;
use crate::cli::measuring::watch_signals;
use crate::gguf::Gguf;
use crate::memory::{Request, WeightBytes};
use crate::model::{self, Catalogue, CatalogueModel, FileMix, ModelIdentity, ModelShape};
use crate::suite::is_pattern;

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
    let mut subjects: Vec<Subject> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for asked in &arguments.subjects {
        let path = Path::new(asked);
        if !is_pattern(asked) && is_file(path) {
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
        let found = arguments.files.find(&new, quiet, &interrupted)?;
        for model in new {
            subjects.push(match model.shape() {
                Some(shape) => of_shape(shape, mixes),
                None => {
                    let file = found.iter().find(|(m, _)| m.name == model.name);
                    let (_, path) = file.expect("every model that is a file has been found");
                    Subject { name: model.name.clone(), ..of_file(path, arguments)? }
                }
            });
        }
    }
    let mut notes = Vec::new();
    subjects.retain(|subject| match flaw(&subject.shape, request) {
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

/// The models that a name or a pattern means; a pattern means those that need no file.
pub fn named<'c>(
    catalogue: &'c Catalogue,
    asked: &str,
) -> Result<Vec<&'c CatalogueModel>, Failure> {
    if !is_pattern(asked) {
        let found = catalogue.find(asked);
        let said = found.map_err(|e| format!("no file is called `{asked}`, and {e}"));
        return said.map(|model| vec![model]).or_usage();
    }
    let pattern = WildMatchPattern::<'*', '?'>::new_case_insensitive(asked);
    let matches = |m: &&CatalogueModel| m.names().any(|name| pattern.matches(name));
    let by_shape = catalogue.models().iter().filter(|model| model.shape().is_some());
    let found: Vec<_> = by_shape.filter(matches).collect();
    if found.is_empty() {
        let hint = "hint: `slmbench list models` shows all";
        return Err(format!("no model is called like `{asked}`\n{hint}")).or_usage();
    }
    Ok(found)
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

/// Why a cache of the type asked for cannot be: a head is a whole number of blocks.
fn flaw(shape: &ModelShape, request: &Request) -> Option<String> {
    let sides = [(request.type_k, shape.head_dim), (request.type_v, shape.value_dim())];
    let (ty, width) =
        sides.into_iter().find(|(ty, width)| ty.bytes_for(u64::from(*width)).is_none())?;
    let block = ty.block_size();
    Some(format!(
        "a head of {width} elements is no whole number of {ty} blocks, which have {block}"
    ))
}
