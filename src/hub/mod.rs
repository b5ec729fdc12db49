//! Files of repositories on Hugging Face: found in the folder that all programs for that hub share,
//! and brought there where the user asks for it.
//!
//! Finding one touches no network, in any build. Fetching one needs the feature `download`; it is
//! what `--download` does, and nothing else does it. The folder is laid out as `huggingface_hub`, the
//! hub's own client, lays it out, and is found by the same environment variables.

#[cfg(feature = "download")]
mod download;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The revision that is meant where none is named.
pub const MAIN: &str = "main";

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubFile {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The file's path in the repository.
    pub file: String,
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.revision {
            MAIN => write!(f, "{}:{}", self.repo, self.file),
            revision => write!(f, "{}@{revision}:{}", self.repo, self.file),
        }
    }
}

/// Why a file of a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Nobody says where such files are kept.
    #[error("no folder for files from Hugging Face\nhint: HF_HOME names one")]
    NoFolder,
    /// It was never fetched.
    #[error("{file} is not in {}\nhint: {}", folder.display(), remedy(file))]
    Missing {
        /// The file.
        file: HubFile,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// This program was built without a client.
    #[error(
        "this build of slmbench cannot download\n\
         hint: scripts/slmbench builds one that can; so does cargo with --features download"
    )]
    NotBuilt,
    /// The hub did not give it.
    #[error(
        "{file}: cannot be downloaded: {reason}{}",
        match refused {
            true => "\nhint: names may be misspelled; for repositories that ask who you are, set HF_TOKEN",
            false => "\nhint: --download can be repeated; it goes on from what has arrived",
        }
    )]
    Failed {
        /// The file.
        file: HubFile,
        /// Why not.
        reason: String,
        /// Whether the hub answered that it does not give it, or gives it to others only.
        refused: bool,
    },
    /// What arrived is not what the hub keeps.
    #[error("{file}: {reason}; it was removed\nhint: --download fetches it again")]
    Damaged {
        /// The file.
        file: HubFile,
        /// How that shows.
        reason: String,
    },
    /// The user stopped it.
    #[error("{file}: the download was stopped\nhint: --download goes on where it ended")]
    Stopped {
        /// The file.
        file: HubFile,
    },
}

/// How to get a file that is not there.
fn remedy(file: &HubFile) -> String {
    match cfg!(feature = "download") {
        true => "--download fetches it".to_owned(),
        false => format!(
            "`hf download {} {}` fetches it, or slmbench --download in a build with that feature",
            file.repo, file.file
        ),
    }
}

/// Refuses a download that this build has no client for.
pub fn check_can_download() -> Result<(), HubError> {
    match cfg!(feature = "download") {
        true => Ok(()),
        false => Err(HubError::NotBuilt),
    }
}

/// Where files of repositories are kept, and whom to ask for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    folder: PathBuf,
    endpoint: Option<String>,
    token: Option<String>,
}

impl fmt::Debug for Hub {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hub { folder, endpoint, token: _ } = self;
        f.debug_struct("Hub")
            .field("folder", folder)
            .field("endpoint", endpoint)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// As the environment says.
    pub fn of_user() -> Result<Hub, HubError> {
        Hub::with(|name| std::env::var_os(name))
    }

    /// As these variables say: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, which is `huggingface` in
    /// `XDG_CACHE_HOME` or `~/.cache` where it is not set; `HF_ENDPOINT`; `HF_TOKEN`, else the file
    /// `token` in `HF_HOME`. An empty variable counts as none.
    pub fn with(variable: impl Fn(&str) -> Option<OsString>) -> Result<Hub, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name)?.into_string().ok();
        let folder = |name: &str| set(name).map(PathBuf::from);
        let home = folder("HF_HOME").or_else(|| {
            let caches = folder("XDG_CACHE_HOME")
                .or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let token_file = folder("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let from_file = || std::fs::read_to_string(token_file?).ok();
        Ok(Hub {
            folder: folder("HF_HUB_CACHE")
                .or_else(|| Some(home.as_ref()?.join("hub")))
                .ok_or(HubError::NoFolder)?,
            endpoint: text("HF_ENDPOINT").map(|e| e.trim_end_matches('/').to_owned()),
            token: text("HF_TOKEN")
                .or_else(from_file)
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
        })
    }

    /// The folder that is looked in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file where it was fetched before, by whatever program.
    pub fn find(&self, file: &HubFile) -> Result<PathBuf, HubError> {
        let repo = self.folder.join(format!("models--{}", file.repo.replace('/', "--")));
        // A branch or a tag has a file that names its commit; a commit stands for itself.
        let commit = std::fs::read_to_string(repo.join("refs").join(&file.revision));
        let commit = commit.map_or(file.revision.clone(), |commit| commit.trim().to_owned());
        let path = repo.join("snapshots").join(commit).join(&file.file);
        match path.is_file() {
            true => Ok(path),
            false => Err(HubError::Missing { file: file.clone(), folder: self.folder.clone() }),
        }
    }

    /// Fetches a file into the folder. `progress` is told ten times a second how many bytes are
    /// there and how many there will be (0 until the hub has said it), and may stop it. What a
    /// download that failed leaves behind is not found by [`Hub::find`].
    #[cfg(feature = "download")]
    pub fn download(
        &self,
        file: &HubFile,
        progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<PathBuf, HubError> {
        download::download(self, file, progress)
    }

    /// This build has no client.
    #[cfg(not(feature = "download"))]
    pub fn download(
        &self,
        _: &HubFile,
        _: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<PathBuf, HubError> {
        Err(HubError::NotBuilt)
    }
}
