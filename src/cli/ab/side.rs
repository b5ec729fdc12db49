//! What one side of a trial is: the words that set it apart, understood.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;

use crate::cli::exit::{Ending, Failure};
use crate::cli::select::Select;
use crate::plan::{Cell, CellId, ModelSource};
use crate::record::{Job, OLDEST_PROTOCOL, PROGRAM, PROTOCOL_VERSION};
use crate::runner::{self, ChildCommand};
use crate::sensors;
use crate::settings::{Settings, TokenFeed};
use crate::suite;
use crate::system::said;

/// Words of a side, by the option of `run` that each stands for; behind it the names of *what* that
/// then differ between the sides.
const KEYS: &[(&str, &str, &[&str])] = &[
    ("engine", "engine", &["engine"]),
    ("model", "model", &["model", "shape", "file", "quant"]),
    ("model_file", "model-file", &["model", "shape", "file", "quant"]),
    ("quant", "quant", &["quant", "file", "shape"]),
    ("n_threads", "threads", &["n_threads"]),
    ("threads", "threads", &["n_threads"]),
    ("cpus", "cpus", &["cpus"]),
    ("n_prompt", "n-prompt", &["n_prompt"]),
    ("n_gen", "n-gen", &["n_gen"]),
    ("n_depth", "n-depth", &["n_depth"]),
    ("n_ctx", "n-ctx", &["n_ctx"]),
    ("n_batch", "n-batch", &["n_batch"]),
    ("n_ubatch", "n-ubatch", &["n_ubatch"]),
    ("type_k", "type-k", &["type_k"]),
    ("type_v", "type-v", &["type_v"]),
    ("flash_attn", "flash-attn", &["flash_attn"]),
    ("load_mode", "load-mode", &["load_mode"]),
    ("backend_device", "backend-device", &["backend_device"]),
    ("n_gpu_layers", "n-gpu-layers", &["n_gpu_layers"]),
];

/// The options of a side, read as those of `run` are.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Options {
    #[command(flatten)]
    select: Select,
}

/// One side as it was asked for.
#[derive(Debug)]
pub struct SideWords {
    /// What it is called.
    pub label: String,
    /// What it changes of what is measured.
    pub select: Select,
    /// The names of *what* that it sets.
    pub sets: Vec<&'static str>,
    /// The program that measures it.
    pub program: PathBuf,
    /// How that calls itself.
    pub version: String,
    /// The protocol in which it is spoken to.
    pub protocol: u32,
}

impl SideWords {
    /// Reads `engine=llama-cpp,n_threads=2` and asks the program for its version.
    pub fn read(option: &str, words: &[String], binary: Option<&Path>) -> Result<Self, Failure> {
        let mut arguments = Vec::new();
        let mut sets = Vec::new();
        let mut said = Vec::new();
        for (key, value) in
            words.iter().map(|text| pairs(option, text)).collect::<Result<Vec<_>, _>>()?.concat()
        {
            let (_, long, names) =
                KEYS.iter().find(|(known, ..)| *known == key).expect("looked up");
            arguments.push(format!("--{long}={value}"));
            sets.extend_from_slice(names);
            let is_file = *long == "model-file";
            let name = if is_file { value.rsplit('/').next().unwrap_or_default() } else { &value };
            said.push(format!("{key}={name}"));
        }
        let select = Options::try_parse_from(&arguments).map_err(|e| {
            let text = e.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!("{option} {}: {}", words.join(" "), line.trim_start_matches("error: "))
        });
        let (program, version, protocol) = match binary {
            Some(path) => {
                let path = std::path::absolute(path).or_usage()?;
                let version = version_of(&path).map_err(|e| format!("{option}-bin {e}"));
                let version = version.or_usage()?;
                said.push(version.clone());
                let protocol = protocol_of(&path, &version)?;
                (path, version, protocol)
            }
            None => (runner::own_executable().or_usage()?, PROGRAM.to_owned(), PROTOCOL_VERSION),
        };
        let select = select.or_usage()?.select;
        Ok(SideWords { label: said.join(", "), select, sets, program, version, protocol })
    }
}

/// `engine=fake:a=1,b=2,n_threads=2`: a comma separates where a known key follows it.
fn pairs(option: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut found: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        let known = part.split_once('=').and_then(|(key, value)| {
            // As in suites, or as the options of `run` are spelled.
            let key = key.trim().replace('-', "_");
            KEYS.iter().any(|(known, ..)| *known == key).then_some((key, value))
        });
        match (known, found.last_mut()) {
            (Some((key, value)), _) => found.push((key, value.trim().to_owned())),
            (None, Some((_, value))) => value.extend([",", part]),
            (None, None) => {
                let keys: Vec<&str> = KEYS.iter().map(|(key, ..)| *key).collect();
                let what = match part.split_once('=') {
                    Some((key, _)) => format!("unknown key `{}`", key.trim()),
                    None => "expected KEY=VALUE".to_owned(),
                };
                let key = part.split_once('=').map_or(part, |(key, _)| key).trim();
                let near = suite::nearest(key, keys.iter().copied());
                return Err(format!(
                    "{option} {text}: {what}, the keys are {}{}",
                    keys.join(", "),
                    near.map(|near| format!("\nhint: did you mean `{near}`?")).unwrap_or_default()
                ))
                .or_usage();
            }
        }
    }
    if let Some((key, _)) = found.iter().find(|(_, value)| value.is_empty()) {
        return Err(format!("{option} {text}: {key} has no value")).or_usage();
    }
    Ok(found)
}

/// What another build calls itself.
fn version_of(program: &Path) -> Result<String, String> {
    let shown = program.display();
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied if program.is_file() => format!("{shown} is not executable"),
        _ if program.is_file() => format!("{shown} is no program that runs here"),
        _ if program.is_dir() => format!("{shown} is a folder, a program is needed"),
        _ => format!("{shown}: {}", said(&e)),
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !version.starts_with("slmbench ") {
        let first = version.lines().next().unwrap_or_default();
        let first: String = first.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(format!("{shown} is no slmbench: to --version it says `{first}`"));
    }
    Ok(version)
}

/// The protocol that another build speaks as well as this one.
fn protocol_of(program: &Path, version: &str) -> Result<u32, Failure> {
    let cell = Cell {
        id: CellId("000000000000".to_owned()),
        engine: "fake:clock=scripted".to_owned(),
        model: "none".to_owned(),
        quant: "F16".to_owned(),
        source: ModelSource::Synthetic { seed: 0, shape: String::new() },
        cpus: "all".to_owned(),
        n_prompt: 1,
        n_gen: 0,
        n_depth: 0,
        settings: Settings::default(),
        feed: TokenFeed::Random,
        soak: None,
        profile: false,
        repetitions: 1,
        warmup: 0,
        timeout_s: 60,
        token_seed: 0,
    };
    let job = Job {
        protocol: PROTOCOL_VERSION,
        cell,
        invocation: 0,
        cpus: sensors::allowed_cpus(),
        n_threads_auto: 1,
        model_path: PathBuf::new(),
    };
    ChildCommand::spoken(program, &job)
        .ok_or_else(|| {
            format!(
                "{} ({version}) speaks no version of the protocol that this program knows \
                 ({OLDEST_PROTOCOL} to {PROTOCOL_VERSION})\n\
                 hint: start the comparison with the newer of the two",
                program.display()
            )
        })
        .or_usage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_a_value_stay_there() {
        let found = pairs("--a", "engine=fake:a=1,b=2,n_threads=2").unwrap();
        let expected = [("engine", "fake:a=1,b=2"), ("n_threads", "2")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn every_key_is_an_option_of_run() {
        use clap::CommandFactory;
        let command = Options::command();
        for (key, long, _) in KEYS {
            let is_there = command.get_arguments().any(|a| a.get_long() == Some(long));
            assert!(is_there, "{key} stands for --{long}");
        }
    }

    #[test]
    fn wrong_words_are_answered_with_those_allowed() {
        let wrong =
            |text: &str| SideWords::read("--a", &[text.to_owned()], None).unwrap_err().message;
        assert!(wrong("motor=v8").contains("unknown key `motor`, the keys are engine, model"));
        assert!(wrong("engin=reference").ends_with("\nhint: did you mean `engine`?"));
        assert!(wrong("v8").contains("expected KEY=VALUE"));
        assert_eq!(pairs("--a", "model-file=x").unwrap()[0].0, "model_file");
        assert!(wrong("n_prompt=").contains("n_prompt has no value"));
        assert!(wrong("flash_attn=maybe").contains("invalid value 'maybe'"));
    }
}
