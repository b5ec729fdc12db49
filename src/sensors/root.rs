//! The root under which `proc` and `sys` are looked for.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A folder that stands for a machine; `/` is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Root {
        Root(PathBuf::from("/"))
    }
}

impl Root {
    /// A machine whose files lie under `path`.
    pub fn new(path: impl Into<PathBuf>) -> Root {
        Root(path.into())
    }

    /// Whether this is the machine the program runs on.
    pub fn is_this_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The path of `relative` under this root.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    /// The content of a file without the white space around it; `None` when it cannot be read or
    /// is empty.
    pub fn text(&self, relative: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(relative)).ok()?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The content of a file as a value.
    pub fn value<T: FromStr>(&self, relative: &str) -> Option<T> {
        self.text(relative)?.parse().ok()
    }

    /// Names in a folder that begin with `prefix`, sorted.
    pub fn names(&self, folder: &str, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }
}
