//! A machine as one text file, and the folder that it becomes: for tests and benches. What ships
//! does not use it.
//!
//! ```text
//! Remarks, up to the first header.
//! == proc/meminfo
//! MemTotal: 8245000 kB
//! == sys/class/hwmon/hwmon0/
//! name = cpu_thermal
//! temp1_input = 48300
//! device -> ../../thermal/thermal_zone0
//! temp2_input !asleep
//! ```
//!
//! A header names a file, whose lines follow, or, with a slash at its end, a folder, whose files
//! follow with a line each. `->` makes a link. `!unreadable` makes a file that nobody may read;
//! `!asleep` one that opens and gives an error at each reading; `!executable`, behind a file's
//! header, a script.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::Root;

/// Makes `machine` in `folder`.
///
/// # Errors
/// Where the text does not follow the form, or the folder cannot be written.
pub fn unpack(machine: &str, folder: &Path) -> io::Result<Root> {
    let text = format!("\n{machine}");
    for part in text.split("\n== ").skip(1) {
        let (header, content) = part.split_once('\n').unwrap_or((part, ""));
        let header = header.trim();
        if let Some(inside) = header.strip_suffix('/') {
            for line in content.lines().filter(|line| !line.trim().is_empty()) {
                entry(&folder.join(inside), line)?;
            }
        } else if let Some(file) = header.strip_suffix(" !executable") {
            write(&folder.join(file), content, 0o755)?;
        } else {
            write(&folder.join(header), &format!("{}\n", content.trim_end()), 0o644)?;
        }
    }
    Ok(Root::new(folder))
}

/// A line of a folder.
fn entry(folder: &Path, line: &str) -> io::Result<()> {
    let line = line.trim();
    if let Some((name, value)) = line.split_once(" = ") {
        write(&folder.join(name), &format!("{value}\n"), 0o644)
    } else if let Some((name, target)) = line.split_once(" -> ") {
        std::fs::create_dir_all(folder)?;
        symlink(target, folder.join(name))
    } else if let Some(name) = line.strip_suffix(" !unreadable") {
        write(&folder.join(name), "", 0)
    } else if let Some(name) = line.strip_suffix(" !asleep") {
        std::fs::create_dir_all(folder.join(name))
    } else {
        let kind = io::ErrorKind::InvalidData;
        Err(io::Error::new(kind, format!("`{line}`: expected NAME = VALUE, -> or a mark")))
    }
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_machine() {
        let folder = tempfile::tempdir().unwrap();
        let text = "About it.\n== a/b\none\ntwo\n\n== c/\nx = 5\ny -> ../a/b\nz !unreadable\n\
                    w !asleep\n== bin/tell !executable\n#!/bin/sh\n";
        let root = unpack(text, folder.path()).unwrap();
        assert_eq!(root.text("a/b").unwrap(), "one\ntwo");
        assert_eq!(root.text("c/x").unwrap(), "5");
        assert_eq!(root.text("c/y").unwrap(), "one\ntwo");
        assert!(root.path("c/w").is_dir());
        let mode = |path: &str| root.path(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("c/z"), mode("bin/tell")), (0, 0o755));
        assert!(unpack("== c/\nx: 5\n", folder.path()).is_err());
    }
}
