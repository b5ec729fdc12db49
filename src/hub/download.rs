//! Fetching a file, with `hf-hub` as the client.
//!
//! The client gives a file its name before anybody has looked at what arrived. So it works in a
//! folder of its own beside those that are looked in, and what is whole and right is moved over.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use super::{Hub, HubError, HubFile};
use crate::units::Bytes;

/// How often is looked whether the user wants to stop.
const EVERY: Duration = Duration::from_millis(100);

/// Bytes that are there, and bytes that there will be.
#[derive(Clone, Default)]
struct Counter {
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

impl Progress for Counter {
    fn init(&mut self, size: usize, _: &str) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(size as u64, Ordering::Relaxed);
    }

    fn update(&mut self, size: usize) {
        self.done.fetch_add(size as u64, Ordering::Relaxed);
    }

    fn finish(&mut self) {}
}

/// Fetches `file`. The client cannot be stopped and may wait for a silent host for long, so it works
/// in a thread of its own, which is left alone when the user stops.
pub(super) fn download(
    hub: &Hub,
    file: &HubFile,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<PathBuf, HubError> {
    let counter = Counter::default();
    let (send, receive) = channel();
    let worker = (hub.clone(), file.clone(), counter.clone());
    std::thread::spawn(move || {
        let (hub, file, counter) = worker;
        // Nobody listens any more where the user has stopped.
        let _ = send.send(fetch(&hub, &file, counter));
    });
    loop {
        match receive.recv_timeout(EVERY) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let (file, reason) = (file.clone(), "the client broke down".to_owned());
                return Err(HubError::Failed { file, reason, refused: false });
            }
        }
        let (done, total) =
            (counter.done.load(Ordering::Relaxed), counter.total.load(Ordering::Relaxed));
        if progress(done, total).is_break() {
            return Err(HubError::Stopped { file: file.clone() });
        }
    }
}

fn fetch(hub: &Hub, file: &HubFile, counter: Counter) -> Result<PathBuf, HubError> {
    let failed = |error: ApiError| HubError::Failed {
        file: file.clone(),
        refused: is_refusal(&error),
        reason: match error {
            // Its own words would say "request error" before what says it already.
            ApiError::RequestError(error) => error.to_string(),
            error => error.to_string(),
        },
    };
    let (shared, aside) = (Cache::new(hub.folder.clone()), Cache::new(hub.folder.join(INCOMING)));
    let mut builder = ApiBuilder::from_cache(aside.clone())
        .with_progress(false)
        .with_token(hub.token.clone())
        .with_user_agent("slmbench", env!("CARGO_PKG_VERSION"));
    if let Some(endpoint) = &hub.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let api = builder.build().map_err(failed)?;
    let repo = Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone());
    let from = api.repo(repo.clone());
    let promised = api.metadata(&from.url(&file.file)).map_err(failed)?;

    let (shared, aside) = (shared.repo(repo.clone()), aside.repo(repo));
    let blob = shared.blob_path(promised.etag());
    let kept = |error: io::Error| HubError::Failed {
        file: file.clone(),
        reason: format!("{}: {error}", hub.folder.display()),
        refused: false,
    };
    // Another revision may have brought the same content.
    if check(&blob, &promised).is_err() {
        std::fs::create_dir_all(hub.folder.join(INCOMING)).map_err(kept)?;
        let alone = File::create(hub.folder.join(INCOMING).join("lock")).map_err(kept)?;
        alone.lock().map_err(kept)?;
        // The client goes on from a part, and fails for ever on one that leaves nothing to fetch.
        let arriving = aside.blob_path(promised.etag());
        let part = arriving.with_extension("part");
        if std::fs::metadata(&part).is_ok_and(|part| part.len() >= promised.size() as u64) {
            let _ = std::fs::remove_file(&part);
        }
        let pointer = aside.pointer_path(promised.commit_hash()).join(&file.file);
        let _ = std::fs::remove_file(&pointer);
        from.download_with_progress(&file.file, counter).map_err(failed)?;
        let _ = std::fs::remove_file(&pointer);
        if let Err(reason) = check(&arriving, &promised) {
            let _ = std::fs::remove_file(&arriving);
            return Err(HubError::Damaged { file: file.clone(), reason });
        }
        File::open(&arriving).and_then(|whole| whole.sync_all()).map_err(kept)?;
        parent_of(&blob).and_then(std::fs::create_dir_all).map_err(kept)?;
        std::fs::rename(&arriving, &blob).map_err(kept)?;
    }
    let path = shared.pointer_path(promised.commit_hash()).join(&file.file);
    name(&blob, &path, &hub.folder).map_err(kept)?;
    if file.revision != promised.commit_hash() {
        shared.create_ref(promised.commit_hash()).map_err(kept)?;
    }
    Ok(path)
}

/// Where files arrive, in the folder of the hub.
const INCOMING: &str = ".slmbench-incoming";

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("no folder to write to"))
}

/// Lets `path` be a name of `blob`, both below `folder`. A name whose blob is gone is replaced.
fn name(blob: &Path, path: &Path, folder: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let _ = std::fs::remove_file(path);
    let parent = parent_of(path)?;
    std::fs::create_dir_all(parent)?;
    let inside = |path: &Path| path.strip_prefix(folder).map(Path::to_owned);
    let (from, to) = (inside(parent), inside(blob));
    let (from, to) = (from.map_err(io::Error::other)?, to.map_err(io::Error::other)?);
    let up: PathBuf = from.components().map(|_| "..").collect();
    #[cfg(unix)]
    return std::os::unix::fs::symlink(up.join(to), path);
    #[cfg(not(unix))]
    {
        let _ = (up, to);
        std::fs::copy(blob, path).map(|_| ())
    }
}

/// Whether the hub answered, and answered no.
fn is_refusal(error: &ApiError) -> bool {
    let ApiError::RequestError(error) = error else { return false };
    matches!(**error, ureq::Error::StatusCode(401 | 403 | 404))
}

/// How what arrived differs from what was promised, if it does. The etag of a large file is the
/// SHA-256 of its content.
fn check(path: &Path, promised: &Metadata) -> Result<(), String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let (found, size) = (file.metadata().map_or(0, |m| m.len()), promised.size() as u64);
    if found != size {
        return Err(format!("{} arrived, {} were promised", Bytes(found), Bytes(size)));
    }
    let etag = promised.etag();
    if etag.len() != 64 || !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(|e| e.to_string())?;
    let sha256: String = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    match sha256.eq_ignore_ascii_case(etag) {
        true => Ok(()),
        false => Err("its content is not what its hash says".to_owned()),
    }
}
