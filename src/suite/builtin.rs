//! Suites, models and devices that are compiled in, and the files that win over them.
//!
//! The only place of the room that reads files.

use std::fmt;
use std::path::{Path, PathBuf};

use super::nearest::nearest;
use crate::system::said;

/// The suite that is run when none is named.
pub const DEFAULT_SUITE: &str = "quick";

macro_rules! suites {
    ($($name:literal),*) => {
        &[$(($name, top_level!(concat!("suites/", $name, ".toml"))),)*]
    };
}

macro_rules! top_level {
    ($file:expr) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $file))
    };
}

/// Every suite compiled in: its name and its text.
pub const SUITES: &[(&str, &str)] = suites![
    "quick",
    "smoke",
    "survey",
    "survey-quant",
    "survey-devices",
    "quant",
    "context",
    "threads",
    "mobile",
    "full",
    "gate"
];

/// The table of models compiled in.
pub const MODELS: &str = top_level!("models.toml");

/// The table of devices compiled in.
pub const DEVICES: &str = top_level!("devices.toml");

/// The text of the suite compiled in under this name.
pub fn builtin(name: &str) -> Option<&'static str> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Where a text came from. Records keep it; a folder may hold a user's name, so it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Compiled in.
    BuiltIn,
    /// A file, by its name without its folder.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::BuiltIn => f.pad("built in"),
            Source::File(name) => f.pad(name),
        }
    }
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The text.
    pub text: String,
    /// Where it came from.
    pub source: Source,
    /// What error messages call it: the path as named, or `quick.toml (built in)`.
    pub shown: String,
}

/// Why a suite or a table was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No suite of this name.
    #[error(
        "unknown suite `{found}`, known are {}\nhint: {}",
        known.join(", "),
        match nearest {
            Some(word) => format!("did you mean `{word}`?"),
            None => {
                "a file is named with its ending, such as mine.toml; `slmbench list suites` shows all"
                    .to_owned()
            }
        }
    )]
    UnknownSuite {
        /// What was asked for.
        found: String,
        /// What there is.
        known: Vec<String>,
        /// The nearest of these.
        nearest: Option<String>,
    },
    /// The file is there but cannot be read, or it was named and is not there.
    #[error("cannot read `{path}`: {}", said(source))]
    Unreadable {
        /// As named.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Names of all suites: compiled in, and in `suites/` of the working directory.
pub fn known_suites(working_dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = SUITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    if let Ok(entries) = std::fs::read_dir(working_dir.join("suites")) {
        let paths = entries.flatten().map(|entry| entry.path());
        names.extend(
            paths
                .filter(|path| path.extension().is_some_and(|end| end == "toml"))
                .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())),
        );
    }
    names.sort();
    names.dedup();
    names
}

/// Finds a suite: a path (with a folder or the ending `.toml`) is read; a name is looked for in
/// `suites/` of the working directory, then among those compiled in.
pub fn find(name_or_path: &str, working_dir: &Path) -> Result<Found, FindError> {
    let path = Path::new(name_or_path);
    if path.components().count() > 1 || name_or_path.ends_with(".toml") {
        return read(working_dir, path);
    }
    let file = PathBuf::from("suites").join(format!("{name_or_path}.toml"));
    if working_dir.join(&file).exists() {
        return read(working_dir, &file);
    }
    match builtin(name_or_path) {
        Some(text) => Ok(compiled_in(text, &format!("{name_or_path}.toml"))),
        None if working_dir.join(path).is_dir() => {
            let source = std::io::ErrorKind::IsADirectory.into();
            Err(FindError::Unreadable { path: path.to_owned(), source })
        }
        None => {
            let known = known_suites(working_dir);
            let nearest = nearest(name_or_path, known.iter().map(String::as_str));
            Err(FindError::UnknownSuite {
                found: name_or_path.to_owned(),
                nearest: nearest.map(str::to_owned),
                known,
            })
        }
    }
}

/// The table of models: the file named, else `models.toml` of the working directory, else the
/// one compiled in.
pub fn find_models(named: Option<&Path>, working_dir: &Path) -> Result<Found, FindError> {
    find_table(named, working_dir, "models.toml", MODELS)
}

/// The table of devices, in the same way.
pub fn find_devices(named: Option<&Path>, working_dir: &Path) -> Result<Found, FindError> {
    find_table(named, working_dir, "devices.toml", DEVICES)
}

fn find_table(
    named: Option<&Path>,
    working_dir: &Path,
    file: &str,
    text: &str,
) -> Result<Found, FindError> {
    match named {
        Some(path) => read(working_dir, path),
        None if working_dir.join(file).exists() => read(working_dir, Path::new(file)),
        None => Ok(compiled_in(text, file)),
    }
}

fn read(working_dir: &Path, path: &Path) -> Result<Found, FindError> {
    let text = std::fs::read_to_string(working_dir.join(path))
        .map_err(|source| FindError::Unreadable { path: path.to_owned(), source })?;
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    Ok(Found { text, source: Source::File(name), shown: path.display().to_string() })
}

fn compiled_in(text: &str, file: &str) -> Found {
    Found { text: text.to_owned(), source: Source::BuiltIn, shown: format!("{file} (built in)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_working_directory_wins_over_the_suite_compiled_in() {
        let dir = tempfile::tempdir().unwrap();
        let found = find("quick", dir.path()).unwrap();
        assert_eq!((found.source, Some(&*found.text)), (Source::BuiltIn, builtin("quick")));

        std::fs::create_dir(dir.path().join("suites")).unwrap();
        std::fs::write(dir.path().join("suites/quick.toml"), "mine").unwrap();
        std::fs::write(dir.path().join("other.toml"), "other").unwrap();
        let found = find("quick", dir.path()).unwrap();
        assert_eq!((found.source, &*found.text), (Source::File("quick.toml".into()), "mine"));
        assert_eq!(found.shown, "suites/quick.toml");
        assert_eq!(find("other.toml", dir.path()).unwrap().text, "other");
        assert_eq!(find_models(None, dir.path()).unwrap().source, Source::BuiltIn);
        let named = find_devices(Some(Path::new("other.toml")), dir.path()).unwrap();
        assert_eq!(named.text, "other");
    }

    #[test]
    fn an_unknown_suite_is_answered_with_those_known() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("suites")).unwrap();
        std::fs::write(dir.path().join("suites/mine.toml"), "").unwrap();
        let said = ["quikc", "thermal", "none.toml"]
            .map(|name| find(name, dir.path()).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
    }
}
