//! The catalogue of models: `models.toml`, read and checked. Whatever is wrong with it is said at
//! once, each with its line.

mod fields;
mod read;
mod schema;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use schema::models_schema;

use super::ModelShape;

/// One thing that is wrong with a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}:{line}: {message}")]
pub struct CatalogueProblem {
    /// The file.
    pub origin: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// All that is wrong with a catalogue.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", told(.0))]
pub struct CatalogueError(pub Vec<CatalogueProblem>);

/// Each problem once: a key that this program does not know may stand in every model.
fn told(problems: &[CatalogueProblem]) -> String {
    let mut kinds: Vec<(&CatalogueProblem, usize)> = Vec::new();
    for problem in problems {
        match kinds.iter_mut().find(|(first, _)| first.message == problem.message) {
            Some((_, n_more)) => *n_more += 1,
            None => kinds.push((problem, 0)),
        }
    }
    let lines = kinds.iter().map(|(first, n_more)| match n_more {
        0 => first.to_string(),
        1 => format!("{first} (and in one more place)"),
        n => format!("{first} (and in {n} more places)"),
    });
    let hint = "hint: the head of the built-in models.toml and docs/models.md explain each key";
    lines.chain([hint.to_owned()]).collect::<Vec<_>>().join("\n")
}

/// A name that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown model `{name}`\nhint: {}", hint_of_models(near))]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
    /// Names like it, each of another model, the nearest first.
    pub near: Vec<String>,
}

/// Why the catalogue has no shape under a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoShape {
    /// It has no such model.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// The model is a file of its own.
    #[error(
        "model `{0}` is a file, not a shape: there is nothing to make\n\
         hint: `slmbench inspect {0}` shows what it is made of"
    )]
    File(String),
}

/// What to do about a name that no model has: names like it, or where all of them are.
pub fn hint_of_models(near: &[String]) -> String {
    match near {
        [] => "`slmbench list models` shows all".to_owned(),
        near => format!("did you mean `{}`?", near.join("` or `")),
    }
}

/// Where the weights of a model come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Random weights of this shape.
    Shape(ModelShape),
    /// A GGUF file, as the catalogue names it: seen from the catalogue's folder.
    Path(PathBuf),
    /// A GGUF file of a repository on Hugging Face.
    HuggingFace {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit, where one is named.
        revision: Option<String>,
        /// The file in it.
        file: String,
    },
}

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueModel {
    /// The name people use.
    pub name: String,
    /// The line of models it belongs to.
    pub family: Option<String>,
    /// What the survey calls it, where it measured it.
    pub survey_name: Option<String>,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// Where its shape is published, a repository on Hugging Face.
    pub source: Option<String>,
    /// Its size as its makers state it, where they give no exact count: `1.3B`.
    pub published: Option<String>,
    /// Where its weights come from.
    pub origin: Origin,
}

impl CatalogueModel {
    /// Its shape, where the catalogue holds it.
    pub fn shape(&self) -> Option<&ModelShape> {
        match &self.origin {
            Origin::Shape(shape) => Some(shape),
            Origin::Path(_) | Origin::HuggingFace { .. } => None,
        }
    }

    /// All names it answers to.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let more = self.survey_name.iter().chain(&self.aliases).map(String::as_str);
        std::iter::once(self.name.as_str()).chain(more)
    }
}

/// Models by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    models: Vec<CatalogueModel>,
}

/// The catalogue this program was built with.
const BUILT_IN: &str = include_str!("../../../models.toml");

impl Catalogue {
    /// The catalogue built into the program.
    pub fn built_in() -> Result<Catalogue, CatalogueError> {
        Catalogue::parse(BUILT_IN, "models.toml")
    }

    /// Reads `text`; `origin` is the name of the file in messages.
    pub fn parse(text: &str, origin: &str) -> Result<Catalogue, CatalogueError> {
        read::catalogue(text, origin).map(|models| Catalogue { models })
    }

    /// All models, in the order of the file.
    pub fn models(&self) -> &[CatalogueModel] {
        &self.models
    }

    /// The shapes it holds, in the order of the file.
    pub fn shapes(&self) -> impl Iterator<Item = &ModelShape> {
        self.models.iter().filter_map(CatalogueModel::shape)
    }

    /// The model that answers to `name`; case does not matter.
    pub fn find(&self, name: &str) -> Result<&CatalogueModel, UnknownModel> {
        let answers = |m: &&CatalogueModel| m.names().any(|n| n.eq_ignore_ascii_case(name));
        self.models.iter().find(answers).ok_or_else(|| {
            let names: Vec<&str> = self.models.iter().flat_map(CatalogueModel::names).collect();
            let mut near_models: Vec<String> = Vec::new();
            for word in near(name, &names) {
                // Several names of one model would be several suggestions of one thing.
                let model = self.models.iter().find(|model| model.names().any(|n| n == word));
                let word = model.map_or(word, |model| model.name.clone());
                if !near_models.contains(&word) {
                    near_models.push(word);
                }
            }
            near_models.truncate(3);
            UnknownModel { name: name.to_owned(), near: near_models }
        })
    }

    /// The shape of the model that answers to `name`.
    pub fn get(&self, name: &str) -> Result<&ModelShape, NoShape> {
        let model = self.find(name)?;
        model.shape().ok_or_else(|| NoShape::File(model.name.clone()))
    }
}

/// Those of `known` that differ from `name` in little, the nearest first.
pub(super) fn near(name: &str, known: &[&str]) -> Vec<String> {
    let name = name.to_lowercase();
    let mut ranked: Vec<(usize, &&str)> = known
        .iter()
        .map(|k| (distance(&name, &k.to_lowercase()), k))
        .filter(|&(d, k)| {
            d <= 1 + k.len() / 4 || (name.len() > 2 && k.to_lowercase().starts_with(&name))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(_, k)| (*k).to_owned()).collect()
}

/// Letters to insert, remove or replace to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
