//! Models asked for on a command line: names, patterns, files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wildmatch::WildMatchPattern;

use super::catalogue_files::ModelFiles;
use super::exit::{Ending, Failure};
use super::inspect::is_file;
use super::measuring::watch_signals;
use crate::model::{Catalogue, CatalogueModel, ModelShape, UnknownModel, hint_of_models};
use crate::suite::is_pattern;

/// A model that is meant.
pub enum Asked<'c> {
    /// By its shape.
    Shape(&'c ModelShape),
    /// A file, with its name where it has one in `models.toml`.
    File {
        /// The name.
        name: Option<&'c str>,
        /// Where it is.
        path: PathBuf,
    },
}

/// What `words` mean, in their order, each model once.
pub fn asked<'c>(
    words: &[String],
    catalogue: &'c Catalogue,
    files: &ModelFiles,
    quiet: bool,
) -> Result<Vec<Asked<'c>>, Failure> {
    let mut all = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        let path = Path::new(word);
        if !is_pattern(word) && is_file(path) {
            all.push(Asked::File { name: None, path: path.to_owned() });
            continue;
        }
        let new: Vec<&CatalogueModel> =
            named(catalogue, word)?.into_iter().filter(|m| !seen.contains(&&*m.name)).collect();
        seen.extend(new.iter().map(|model| model.name.as_str()));
        // Only a download takes long enough to be stopped in an orderly way.
        let interrupted = match files.download {
            true => watch_signals()?,
            false => Arc::default(),
        };
        let mut found = files.find(&new, quiet, &interrupted)?.into_iter();
        for model in new {
            all.push(match model.shape() {
                Some(shape) => Asked::Shape(shape),
                None => {
                    let (model, path) = found.next().expect("each that is a file has been found");
                    Asked::File { name: Some(&model.name), path }
                }
            });
        }
    }
    Ok(all)
}

/// What is said of a word that is neither a file nor a model.
pub fn no_file(asked: &str, unknown: &UnknownModel) -> String {
    if Path::new(asked).is_dir() {
        return format!("{asked} is a folder; name a GGUF file, or a model");
    }
    let hint = hint_of_models(&unknown.near);
    format!("no file and no model is called `{asked}`\nhint: {hint}")
}

/// The models that a name or a pattern means; a pattern means those that need no file.
fn named<'c>(catalogue: &'c Catalogue, asked: &str) -> Result<Vec<&'c CatalogueModel>, Failure> {
    if !is_pattern(asked) {
        let found = catalogue.find(asked);
        return found.map(|model| vec![model]).map_err(|e| no_file(asked, &e)).or_usage();
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
