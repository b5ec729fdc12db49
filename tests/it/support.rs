//! A folder of its own for every test, and the program run in it.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slmbench::gguf::{Gguf, GgufWriter};
use slmbench::model::MetaValue;

/// The program's folder, locks and caches, none shared with anything else on the machine.
pub struct Bench {
    folder: tempfile::TempDir,
}

/// What the program printed and how it ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The same, a program.
    pub fn write_script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.write(name, text);
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The program, ready to be started in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slmbench"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SLMBENCH_LOCK", self.path("machine.lock"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("SLMBENCH_ROOT")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HOME")
            .env("COLUMNS", "120");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// The same on a machine of which nothing can be read: nothing disturbs it either.
    pub fn run_unseen(&self, arguments: &[&str]) -> Ran {
        let machine = self.path("machine");
        self.command(arguments).env("SLMBENCH_ROOT", machine).output().unwrap().into()
    }

    /// The rows of a CSV file.
    pub fn rows(&self, name: &str) -> Vec<Row> {
        let mut csv = csv::Reader::from_path(self.path(name)).unwrap();
        csv.deserialize().map(Result::unwrap).collect()
    }

    /// The records of a run's journal, as plain JSON.
    pub fn records(&self, folder: &str) -> Vec<serde_json::Value> {
        records(&self.path(folder))
    }
}

/// Columns of a CSV file by their names.
pub type Row = BTreeMap<String, String>;

pub fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} = `{}` in {row:?}", row[column]))
}

/// The records in `folder`, each line whole.
pub fn records(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("records.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails with everything the program said unless it ended with `code`.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Whether something comes to hold within `limit`.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Writes the model file at `path` anew with `value` under `key`, or without the key.
pub fn set_key(path: &Path, key: &str, value: Option<&MetaValue>) {
    let file = Gguf::open(path).unwrap();
    let mut header = GgufWriter::new();
    for (other, raw) in file.head().raw_metadata() {
        if other != key {
            header.set_raw(other, raw);
        }
    }
    if let Some(value) = value {
        value.write(&mut header, key);
    }
    for tensor in file.tensors() {
        header.tensor(&tensor.name, &tensor.dims, tensor.ty);
    }
    let mut out = header.start(Vec::new()).unwrap();
    for tensor in file.tensors() {
        out.write(file.data_of(tensor)).unwrap();
    }
    // Its pages are read from until here.
    drop(file);
    std::fs::write(path, out.finish().unwrap()).unwrap();
}
