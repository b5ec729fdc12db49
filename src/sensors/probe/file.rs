//! A file that holds one number and stays open: the kernel computes it anew at each reading from
//! the beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::io::{Errno, pread};

use super::super::Root;

/// A file kept open.
pub(super) struct Held(File);

#[cfg(test)]
thread_local! {
    /// Files opened by this thread.
    pub(super) static N_OPENED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Why a file was not opened.
pub(super) enum Unopened {
    /// There is none.
    Absent,
    /// There is one, and this is why it cannot be read.
    Refused(String),
}

impl Held {
    /// Opens it.
    pub(super) fn open(root: &Root, path: &str) -> Result<Held, Unopened> {
        let path = root.path(path);
        let mode = path.metadata().map(|about| about.permissions().mode());
        // Not even root reads a file that is there for writing only; it would merely open it.
        if mode.as_ref().is_ok_and(|mode| mode & 0o444 == 0) {
            return Err(Unopened::Refused("only root may read it".to_owned()));
        }
        match File::open(path) {
            Ok(file) => {
                #[cfg(test)]
                N_OPENED.set(N_OPENED.get() + 1);
                Ok(Held(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unopened::Absent),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let only_root = mode.is_ok_and(|mode| mode & 0o004 == 0);
                let reason = if only_root {
                    "only root may read it"
                } else {
                    "the system does not allow it"
                };
                Err(Unopened::Refused(reason.to_owned()))
            }
            Err(error) => Err(Unopened::Refused(reason(error))),
        }
    }

    /// The number at its beginning.
    pub(super) fn number(&self) -> Result<f64, String> {
        let mut bytes = [0; 128];
        let text = self.read(&mut bytes)?;
        number(text.split_whitespace().next().unwrap_or_default())
    }

    /// Its words, of a short text.
    pub(super) fn text(&self) -> Result<String, String> {
        let mut bytes = [0; 512];
        Ok(self.read(&mut bytes)?.trim().to_owned())
    }

    /// All of a text of any length.
    pub(super) fn whole_text(&self) -> Result<String, String> {
        let mut text = Vec::new();
        let mut bytes = [0; 8192];
        loop {
            match pread(&self.0, &mut bytes, text.len() as u64).map_err(|e| reason(e.into()))? {
                0 => break,
                n => text.extend_from_slice(&bytes[..n]),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn read<'b>(&self, bytes: &'b mut [u8]) -> Result<&'b str, String> {
        let n = pread(&self.0, &mut *bytes, 0).map_err(|error| reason(error.into()))?;
        std::str::from_utf8(&bytes[..n]).map_err(|_| "it does not hold a text".to_owned())
    }
}

/// A finite number.
pub(super) fn number(word: &str) -> Result<f64, String> {
    word.parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| format!("found `{word}`, expected a number"))
}

/// What an error means for a person who looks at a sensor.
fn reason(error: io::Error) -> String {
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => "the system does not allow it".to_owned(),
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => "it is no longer there".to_owned(),
        // A folder in the place of a file stands for a part that sleeps where a folder stands for
        // a machine.
        Some(Errno::AGAIN | Errno::BUSY | Errno::NODATA | Errno::ISDIR) => {
            "nothing to be read at this moment: the part sleeps or has no power".to_owned()
        }
        Some(Errno::OPNOTSUPP) => "the kernel runs without it".to_owned(),
        _ => format!("the device answers with an error: {error}"),
    }
}
