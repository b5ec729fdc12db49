//! Files that are there whole or not at all: written under a temporary name, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::ReportError;

/// Writes `path` by what `write` puts into the writer. After a failure the old file, if there was
/// one, is untouched and no temporary one is left.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), ReportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let attempt = || -> io::Result<()> {
        let mut writer = BufWriter::new(File::create(&temporary)?);
        write(&mut writer)?;
        // Some systems tell of a full disk only here.
        writer.into_inner().map_err(|e| e.into_error())?.sync_data()?;
        fs::rename(&temporary, path)
    };
    attempt().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        ReportError::Write { path: path.to_owned(), source }
    })
}

/// Makes the folder and those above it.
pub fn make_folder(path: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(path).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Removes files of `folder` for which `ours` answers yes and which are not among `kept`. A
/// folder that is not there holds none.
pub fn remove_stale(
    folder: &Path,
    kept: &[PathBuf],
    ours: impl Fn(&str) -> bool,
) -> Result<(), ReportError> {
    let fail = |path: &Path, source| ReportError::Write { path: path.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail(folder, e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| fail(folder, e))?.path();
        let stale = path.file_name().and_then(|n| n.to_str()).is_some_and(&ours);
        if stale && !kept.contains(&path) {
            fs::remove_file(&path).map_err(|e| fail(&path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.csv");
        write_whole(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_whole(&path, |w| {
            w.write_all(b"new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.to_string().contains("cells.csv"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_by_its_name() {
        let path = Path::new("/dev/null/cells.csv");
        let error = write_whole(path, |w| w.write_all(b"x")).unwrap_err();
        assert!(error.to_string().starts_with("/dev/null/cells.csv: "), "{error}");
    }

    #[test]
    fn only_files_of_ours_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["old.svg", "kept.svg", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let kept = [folder.path().join("kept.svg")];
        remove_stale(folder.path(), &kept, |name| name.ends_with(".svg")).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["kept.svg", "notes.txt"]);
        remove_stale(&folder.path().join("absent"), &kept, |_| true).unwrap();
    }
}
