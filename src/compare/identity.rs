//! The three parts of what a number belongs to: *what* was measured, *where*, and *with what*.
//!
//! Each is a list of words under names. What differs in the first is another cell; in the second, it
//! cannot be compared; in the third, it is what is being judged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::plan::{Cell, ModelSource};
use crate::record::{EngineInfo, Record, RunInfo};

/// Words under names. What is not known is not there.
pub type Words = BTreeMap<String, String>;

/// A part of a cell that may differ between two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Engine against engine.
    Engine,
    /// File mix against file mix.
    Quant,
    /// Device of one machine against another of it.
    BackendDevice,
    /// Machine against machine.
    Host,
}

impl Axis {
    /// All of them.
    pub const ALL: [Axis; 4] = [Axis::Engine, Axis::Quant, Axis::BackendDevice, Axis::Host];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Axis::Engine => "engine",
            Axis::Quant => "quant",
            Axis::BackendDevice => "backend_device",
            Axis::Host => "host",
        }
    }

    /// The names of *what* that it takes out of the comparison: of a cell, and of a row of
    /// llama-bench.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Axis::Engine => &["engine", "backends", "build_commit", "build_number"],
            // A file of another mix is another file.
            Axis::Quant => {
                &["quant", "file", "model_type", "model_size", "model_filename", "type_k", "type_v"]
            }
            Axis::BackendDevice => &["backend_device", "n_gpu_layers", "devices", "gpu_info"],
            Axis::Host => &[],
        }
    }
}

impl Serialize for Axis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(word: &str) -> Result<Axis, String> {
        Axis::ALL.into_iter().find(|axis| axis.word() == word).ok_or_else(|| {
            let words: Vec<&str> = Axis::ALL.iter().map(|axis| axis.word()).collect();
            format!("found `{word}`, allowed are {}", words.join(", "))
        })
    }
}

/// What a cell measures, name by name: equal in all of them is equal in the cell's id.
pub fn what(cell: &Cell) -> Words {
    let s = &cell.settings;
    let mut words = named([
        ("engine", cell.engine.clone()),
        ("model", cell.model.clone()),
        ("quant", cell.quant.clone()),
        ("cpus", cell.cpus.clone()),
        ("n_prompt", cell.n_prompt.to_string()),
        ("n_gen", cell.n_gen.to_string()),
        ("n_depth", cell.n_depth.to_string()),
        ("n_threads", s.n_threads.to_string()),
        ("n_ctx", s.n_ctx.to_string()),
        ("n_batch", s.n_batch.to_string()),
        ("n_ubatch", s.n_ubatch.to_string()),
        ("type_k", s.type_k.to_string()),
        ("type_v", s.type_v.to_string()),
        ("flash_attn", s.flash_attn.to_string()),
        ("load_mode", s.load_mode.to_string()),
        ("backend_device", s.backend_device.clone()),
        ("n_gpu_layers", s.n_gpu_layers.to_string()),
        ("feed", cell.feed.to_string()),
    ]);
    match &cell.source {
        ModelSource::Synthetic { shape, .. } => words.insert("shape".to_owned(), shape.clone()),
        ModelSource::File { sha256 } => words.insert("file".to_owned(), sha256.clone()),
    };
    if let Some(soak) = &cell.soak {
        words.insert("soak".to_owned(), format!("{} ms", soak.limit_ms));
    }
    words
}

/// Where a run measured: what has to be equal for its numbers to be comparable.
pub fn place(run: &RunInfo) -> Words {
    let host = &run.host;
    let mut words = named([
        ("CPU", host.cpu.clone()),
        ("architecture", host.cpu_arch.clone()),
        ("CPUs", host.n_cpus.to_string()),
        ("cores", host.n_cores.to_string()),
    ]);
    let mut add = |name: &str, word: Option<String>| {
        words.extend(word.map(|word| (name.to_owned(), word)));
    };
    add("machine", host.machine.clone());
    add("governor", host.governor.clone());
    add("power mode", host.power_mode.clone());
    add("GPUs", (!host.gpus.is_empty()).then(|| host.gpus.join(", ")));
    // Whether anybody waits for the machine to cool down. Where no sensor tells, nobody does.
    let tells = run.sensing.as_ref().is_some_and(|sensing| sensing.baseline.is_some());
    add("gate", Some(if run.gate.is_some() && tells { "waits" } else { "none" }.to_owned()));
    words
}

/// With what an invocation measured.
pub fn maker(record: &Record) -> Words {
    let mut words = named([("program", record.program.clone())]);
    if let Some(EngineInfo { version, build, system, .. }) = &record.engine {
        words.extend(named([
            ("engine version", version.clone()),
            ("engine build", build.clone()),
            ("instruction sets", system.clone()),
        ]));
    }
    words
}

fn named<const N: usize>(words: [(&str, String); N]) -> Words {
    let words = words.into_iter().filter(|(_, word)| !word.is_empty());
    words.map(|(name, word)| (name.to_owned(), word)).collect()
}

/// Sixteen hexadecimal digits that stand for words: equal where all of them are.
pub fn fingerprint(words: &Words) -> String {
    let digest = Sha256::digest(serde_json::json!(words).to_string().as_bytes());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

/// Words that both sides have and that differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Which.
    pub name: String,
    /// Of the baseline.
    pub base: String,
    /// Of the candidate.
    pub head: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.name, self.base, self.head)
    }
}

/// The names under which both sides have a word and not the same one.
pub fn differences(base: &Words, head: &Words) -> Vec<Difference> {
    let both = base.iter().filter_map(|(name, word)| Some((name, word, head.get(name)?)));
    let differ = both.filter(|(_, base, head)| base != head);
    differ
        .map(|(name, base, head)| Difference {
            name: name.clone(),
            base: base.clone(),
            head: head.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_one_side_alone_is_no_difference() {
        let words = |list: &[(&str, &str)]| -> Words {
            list.iter().map(|&(n, w)| (n.to_owned(), w.to_owned())).collect()
        };
        let base = words(&[("CPU", "a"), ("governor", "performance")]);
        let head = words(&[("CPU", "b"), ("power mode", "MAXN")]);
        let found: Vec<String> =
            differences(&base, &head).iter().map(Difference::to_string).collect();
        assert_eq!(found, ["CPU: a → b"]);
        assert_ne!(fingerprint(&base), fingerprint(&head));
    }
}
