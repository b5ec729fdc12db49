//! The part of `run`'s arguments that says what is measured.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Arg, Args};

use super::exit::{Ending, Failure};
use super::inspect::is_file;
use crate::ggml::GgmlType;
use crate::plan::{ModelFile, Selection};
use crate::settings::{Auto, FlashAttn, LoadMode};
use crate::suite::{
    Filter, KV_TYPES, RangeError, Threads, ThreadsError, is_pattern, parse_numbers,
};
use crate::units::Nanos;

/// What to measure. Lists replace that axis of the suite.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct Select {
    /// A GGUF file of your own; can be repeated
    #[arg(short = 'm', long = "model-file", value_name = "FILE.gguf")]
    pub model_files: Vec<PathBuf>,
    /// Engine: reference, llama-cpp; can be repeated, one each time
    #[arg(long, value_name = "ENGINE")]
    engine: Vec<String>,
    /// Models by name; patterns such as 'Qwen3-*' for several
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub model: Vec<String>,
    /// File mixes: F16, Q8_0, Q4_K_M; with @2024 behind by the rules of mid-2024
    #[arg(long, value_name = "MIX", value_delimiter = ',')]
    quant: Vec<String>,
    /// Threads: numbers, ranges such as 1..4 or 1..all, or auto: a thread for each physical core, of the
    /// fast ones where they differ
    #[arg(
        long,
        short = 't',
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    threads: Vec<String>,
    /// CPUs the child may use: all, big, or a list such as 0,2-3
    #[arg(long, value_name = "LIST", allow_negative_numbers = true)]
    cpus: Vec<String>,
    /// Prompt tokens: numbers or ranges such as 128..4096*2; 0 times no prompt
    #[arg(
        long,
        short = 'p',
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    n_prompt: Vec<String>,
    /// Tokens to generate behind the prompt, one at a time; 0 times none
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    n_gen: Vec<String>,
    /// Tokens in the KV cache before timing starts
    #[arg(
        long,
        short = 'd',
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    n_depth: Vec<String>,
    /// Capacity of the KV cache in tokens, or auto: what the cell needs
    #[arg(
        long,
        short = 'c',
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    n_ctx: Vec<String>,
    /// Tokens handed to the engine in one call (llama.cpp's -b)
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true)]
    n_batch: Vec<String>,
    /// Tokens computed together, at most --n-batch (llama.cpp's -ub)
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true)]
    n_ubatch: Vec<String>,
    /// Element type of keys in the KV cache
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = kv_type)]
    type_k: Vec<GgmlType>,
    /// Element type of values in the KV cache
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = kv_type)]
    type_v: Vec<GgmlType>,
    /// Flash attention: on, off, auto
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    flash_attn: Vec<FlashAttn>,
    /// How weights are loaded: auto, mmap, none, mlock
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    load_mode: Vec<LoadMode>,
    /// The ggml device that computes, cpu, or auto; `slmbench list engines` shows the devices
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    backend_device: Vec<String>,
    /// Layers on that device, or auto: all of them unless it is the CPU
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true)]
    n_gpu_layers: Vec<String>,
    /// Keep only cells for which this holds: 'quant=Q4_*,n_depth<4096'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Child processes per cell; 3 or more give an interval
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    invocations: Option<u32>,
    /// Timed passes in each child
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    repetitions: Option<u32>,
    /// Passes before the first timed one
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    warmup: Option<u32>,
    /// Seconds after which an invocation is ended
    #[arg(long, value_name = "S", value_parser = whole::<u32>, allow_negative_numbers = true)]
    timeout_s: Option<u32>,
    /// Seed of the order and of the tokens
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Make the run fit into this time: 5m, 90s
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    budget: Option<String>,
}

/// What stands above these options where a suite says what is not given.
const HEADING: &str = "What to measure (default: as the suite says; --dry-run shows it)";

/// The same options of a command without a suite: each tells what counts without it.
pub fn with_defaults(argument: Arg, defaults: &[(&str, &str)], hidden: &[&str]) -> Arg {
    if argument.get_help_heading() != Some(HEADING) {
        return argument;
    }
    let id = argument.get_id().as_str();
    let is_hidden = hidden.contains(&id);
    let default = defaults.iter().find(|(name, _)| *name == id).map(|(_, default)| *default);
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let argument = argument.help_heading("What to measure").hide(is_hidden);
    match default {
        Some(default) => argument.help(format!("{help} [default: {default}]")),
        None => argument,
    }
}

/// What counts in every command without a suite, beside what it says itself.
pub const DEFAULTS: [(&str, &str); 13] = [
    ("threads", "auto"),
    ("cpus", "all"),
    ("n_depth", "0"),
    ("n_ctx", "auto"),
    ("n_batch", "2048"),
    ("n_ubatch", "512"),
    ("type_k", "F16"),
    ("type_v", "F16"),
    ("flash_attn", "auto"),
    ("load_mode", "auto"),
    ("backend_device", "auto"),
    ("n_gpu_layers", "auto"),
    ("invocations", "1"),
];

impl Select {
    /// A continued run measures what it was begun with: these cannot be named again.
    pub const NOT_WITH_RESUME: [&str; 29] = [
        "suite",
        "out",
        "label",
        "dry_run",
        "engine",
        "model",
        "quant",
        "threads",
        "cpus",
        "n_prompt",
        "n_gen",
        "n_depth",
        "n_ctx",
        "n_batch",
        "n_ubatch",
        "type_k",
        "type_v",
        "flash_attn",
        "load_mode",
        "backend_device",
        "n_gpu_layers",
        "filter",
        "invocations",
        "repetitions",
        "seed",
        "budget",
        "probe",
        "no_gate",
        "ambient_c",
    ];

    /// An option that says how often something is measured, where pairs say that.
    pub fn not_in_pairs(&self) -> Option<&'static str> {
        match self {
            Select { invocations: Some(_), .. } => Some("invocations"),
            Select { budget: Some(_), .. } => Some("budget"),
            _ => None,
        }
    }

    /// Takes words that mean models or files of the user's, as a command without a suite has them in front.
    pub fn take_subjects(&mut self, words: Vec<String>) {
        for word in words {
            match !is_pattern(&word) && is_file(Path::new(&word)) {
                true => self.model_files.push(word.into()),
                false => self.model.push(word),
            }
        }
    }

    /// An option that is given and says how often something is measured, where time says that.
    pub fn not_in_time(&self) -> Option<&'static str> {
        match self {
            Select { repetitions: Some(_), .. } => Some("--repetitions"),
            Select { budget: Some(_), .. } => Some("--budget"),
            _ => None,
        }
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let text = self.filter.as_deref().unwrap_or_default();
        Filter::parse(text).map_err(|e| format!("--filter {text}: {e}")).or_usage()
    }

    /// The selection, with the user's files already read.
    pub fn selection(&self, model_files: Vec<ModelFile>) -> Result<Selection, Failure> {
        Ok(Selection {
            engines: words("--engine", &self.engine)?,
            models: words("--model", &self.model)?,
            quants: words("--quant", &self.quant)?,
            model_files,
            n_threads: threads(&self.threads)?,
            cpus: words("--cpus", &self.cpus)?,
            n_prompt: numbers("--n-prompt", &self.n_prompt)?,
            n_gen: numbers("--n-gen", &self.n_gen)?,
            n_depth: numbers("--n-depth", &self.n_depth)?,
            n_ctx: autos("--n-ctx", &self.n_ctx)?,
            n_batch: numbers("--n-batch", &self.n_batch)?,
            n_ubatch: numbers("--n-ubatch", &self.n_ubatch)?,
            type_k: given(&self.type_k),
            type_v: given(&self.type_v),
            flash_attn: given(&self.flash_attn),
            load_mode: given(&self.load_mode),
            backend_device: words("--backend-device", &self.backend_device)?,
            n_gpu_layers: autos("--n-gpu-layers", &self.n_gpu_layers)?,
            filter: self.filter()?,
            invocations: self.invocations,
            repetitions: self.repetitions,
            warmup: self.warmup,
            timeout_s: self.timeout_s,
            seed: self.seed,
            budget: self.budget.as_deref().map(time).transpose()?,
        })
    }
}

/// A list that was given, or nothing.
fn given<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}

/// Words of which none is empty.
fn words(option: &str, words: &[String]) -> Result<Option<Vec<String>>, Failure> {
    match words.iter().any(|word| word.trim().is_empty()) {
        true => Err(empty(option)).or_usage(),
        false => Ok(given(words)),
    }
}

/// What is said of `-p 128,`.
fn empty(option: &str) -> String {
    format!("{option}: an empty value; values stand between commas, none at the end")
}

const NUMBERS: &str = "a number, or a range such as 1..4, 0..4096+1024, 128..4096*2";

fn numbers(option: &str, words: &[String]) -> Result<Option<Vec<u32>>, Failure> {
    let mut values = Vec::new();
    for word in words {
        values.extend(range(option, word, NUMBERS)?);
    }
    Ok(given(&values))
}

/// The numbers that a word means; `expected` is said where it is none.
fn range(option: &str, word: &str, expected: &str) -> Result<Vec<u32>, Failure> {
    parse_numbers(word).map_err(|e| not_a_range(option, word, &e, expected)).or_usage()
}

fn not_a_range(option: &str, word: &str, error: &RangeError, expected: &str) -> String {
    match error {
        _ if word.trim().is_empty() => empty(option),
        RangeError::Form(_) => format!("{option} {word}: expected {expected}"),
        error => format!("{option} {word}: {error}"),
    }
}

fn autos(option: &str, words: &[String]) -> Result<Option<Vec<Auto<u32>>>, Failure> {
    let mut values = Vec::new();
    for word in words {
        if word == "auto" {
            values.push(Auto::Auto);
        } else {
            let found = range(option, word, &format!("auto, {NUMBERS}"))?;
            values.extend(found.into_iter().map(Auto::Fixed));
        }
    }
    Ok(given(&values))
}

fn threads(words: &[String]) -> Result<Option<Vec<Threads>>, Failure> {
    let expected = "auto, all, a number, or a range such as 1..4, 1..all, 1..all*2";
    let mut values = Vec::new();
    for word in words {
        let found = Threads::parse(word).map_err(|error| match error {
            ThreadsError::Range(error) => not_a_range("--threads", word, &error, expected),
            error => format!("--threads {word}: {error}"),
        });
        values.extend(found.or_usage()?);
    }
    Ok(given(&values))
}

/// A whole number, as people are told what one is.
pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number, 0 or more".to_owned())
}

/// A number with or without a fraction.
pub fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
    number.ok_or_else(|| "expected a number".to_owned())
}

/// A whole number between two bounds, both allowed.
pub fn between<const LEAST: u32, const MOST: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|n| (LEAST..=MOST).contains(n));
    number.ok_or_else(|| format!("expected a whole number from {LEAST} to {MOST}"))
}

/// A type that a KV cache can have.
pub fn kv_type(text: &str) -> Result<GgmlType, String> {
    let found = text.parse::<GgmlType>().ok().filter(|ty| KV_TYPES.contains(ty));
    found.ok_or_else(|| {
        let allowed: Vec<&str> = KV_TYPES.iter().map(|ty| ty.name()).collect();
        format!("allowed are {}", allowed.join(", "))
    })
}

/// `5m`, `90s`, `1h 30m`.
fn time(text: &str) -> Result<Nanos, Failure> {
    let span = jiff::SignedDuration::from_str(text).ok();
    let ns = span.and_then(|span| u64::try_from(span.as_nanos()).ok()).filter(|&ns| ns > 0);
    ns.map(Nanos)
        .ok_or_else(|| format!("--budget {text}: expected a time above 0, such as 5m or 90s"))
        .or_usage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_as_people_write_time() {
        assert_eq!(time("5m").unwrap(), Nanos(300_000_000_000));
        assert_eq!(time("1h 30m").unwrap(), Nanos(5_400_000_000_000));
        for bad in ["", "5", "-5m", "0s", "soon"] {
            assert!(time(bad).unwrap_err().message.contains("--budget"), "{bad}");
        }
    }

    #[test]
    fn a_word_that_is_no_number_is_answered_with_what_the_option_takes() {
        let said = |failure: Failure| failure.message;
        let one = |word: &str| vec![word.to_owned()];
        let cases = [
            (
                said(numbers("--n-prompt", &one("-5")).unwrap_err()),
                "--n-prompt -5: expected a number",
            ),
            (said(numbers("--n-prompt", &one("")).unwrap_err()), "--n-prompt: an empty value"),
            (
                said(autos("--n-ctx", &one("foo")).unwrap_err()),
                "--n-ctx foo: expected auto, a number",
            ),
            (
                said(threads(&one("foo")).unwrap_err()),
                "--threads foo: expected auto, all, a number",
            ),
            (said(threads(&one("0")).unwrap_err()), "--threads 0: found 0, allowed are 1 to 4096"),
            (said(words("--quant", &one("")).unwrap_err()), "--quant: an empty value"),
            (whole::<u32>("x").unwrap_err(), "expected a whole number"),
            (between::<3, 1000>("1").unwrap_err(), "expected a whole number from 3 to 1000"),
            (number("hot").unwrap_err(), "expected a number"),
        ];
        for (said, expected) in cases {
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
