//! The passes of a sustained run as they come, in a file of their own: a machine that goes down, as
//! boards do whose supply gives way, does not take them with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::{RunFolder, Watcher, bare_record};
use crate::plan::Cell;
use crate::record::{CellEvent, Outcome, Record, Sample, Stage};

/// Follows a run like the watcher it wraps, and writes down every pass of a sustained run.
pub struct Keeping<'a> {
    inner: &'a mut dyn Watcher,
    /// Absent where nothing is to be kept, or nothing can be.
    file: Option<(PathBuf, File)>,
}

impl<'a> Keeping<'a> {
    /// Wraps `inner` for one invocation of `cell`.
    pub fn new(
        inner: &'a mut dyn Watcher,
        folder: &RunFolder,
        cell: &Cell,
        invocation: u32,
    ) -> Keeping<'a> {
        let path = folder.partial(cell, invocation);
        let file = cell.soak.and_then(|_| File::create(&path).ok()).map(|file| (path, file));
        Keeping { inner, file }
    }

    /// Throws the file away: the record has it all.
    pub fn done(self) {
        if let Some((path, _)) = self.file {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Watcher for Keeping<'_> {
    fn begin(&mut self, n: usize) {
        self.inner.begin(n);
    }

    fn started(&mut self, cell: &Cell, invocation: u32) {
        self.inner.started(cell, invocation);
    }

    fn event(&mut self, event: &CellEvent) {
        if let (CellEvent::Iterated { sample }, Some((_, file))) = (event, &mut self.file)
            && let Ok(mut line) = serde_json::to_vec(sample)
        {
            line.push(b'\n');
            // A full disk costs this help and nothing else.
            let _ = file.write_all(&line);
        }
        self.inner.event(event);
    }

    fn tick(&mut self) {
        self.inner.tick();
    }

    fn ended(&mut self, record: &Record) {
        self.inner.ended(record);
    }

    fn say(&mut self, line: &str) {
        self.inner.say(line);
    }
}

/// The record of a sustained run that had no time to be written, if there is such a file.
pub fn recovered(folder: &RunFolder, cell: &Cell, invocation: u32) -> Option<Record> {
    let path = folder.partial(cell, invocation);
    let samples = samples(&path)?;
    let _ = std::fs::remove_file(&path);
    if samples.is_empty() {
        return None;
    }
    let message = "the machine went down, or slmbench was killed".to_owned();
    let outcome = Outcome::Failed { stage: Stage::Protocol, message };
    let mut record = bare_record(cell, invocation, outcome);
    let first = samples.first().map_or(0, |sample| sample.start_ns);
    record.wall_ns = samples.last().map_or(0, |sample| sample.end_ns().saturating_sub(first));
    record.samples = samples;
    record.log = folder.keep_log(&folder.log(cell, invocation));
    Some(record)
}

/// The passes in the file, up to a line that was cut.
fn samples(path: &Path) -> Option<Vec<Sample>> {
    let lines = BufReader::new(File::open(path).ok()?).lines();
    let read = |line: std::io::Result<String>| serde_json::from_str(&line.ok()?).ok();
    Some(lines.map_while(read).collect())
}
