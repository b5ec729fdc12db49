//! The part of `run`'s arguments that says what is measured.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::exit::{Ending, Failure};
use crate::ggml::GgmlType;
use crate::plan::{ModelFile, Selection};
use crate::settings::{Auto, FlashAttn, LoadMode};
use crate::suite::{Filter, Threads, parse_numbers};
use crate::units::Nanos;

/// What to measure. Lists replace that axis of the suite.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to measure")]
pub struct Select {
    /// A GGUF file of your own; can be repeated
    #[arg(short = 'm', long = "model-file", value_name = "FILE.gguf")]
    pub model_files: Vec<PathBuf>,
    /// Engine: reference, llama-cpp; can be repeated
    #[arg(long, value_name = "ENGINE")]
    engine: Vec<String>,
    /// Models by name; patterns such as 'Qwen3-*' for several
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub model: Vec<String>,
    /// File mixes: F16, Q8_0, Q4_K_M; with @2024 behind by the rules of mid-2024
    #[arg(long, value_name = "MIX", value_delimiter = ',')]
    quant: Vec<String>,
    /// Threads: numbers, ranges such as 1..4 or 1..all, or auto
    #[arg(long, short = 't', value_name = "N", value_delimiter = ',')]
    threads: Vec<String>,
    /// CPUs the child may use: all, big, or a list such as 0,2-3
    #[arg(long, value_name = "LIST")]
    cpus: Vec<String>,
    /// Prompt tokens: numbers or ranges such as 128..4096*2
    #[arg(long, short = 'p', value_name = "N", value_delimiter = ',')]
    n_prompt: Vec<String>,
    /// Decode calls
    #[arg(long, short = 'n', value_name = "N", value_delimiter = ',')]
    n_gen: Vec<String>,
    /// Tokens in the KV cache before timing starts
    #[arg(long, short = 'd', value_name = "N", value_delimiter = ',')]
    n_depth: Vec<String>,
    /// Capacity of the KV cache, or auto
    #[arg(long, short = 'c', value_name = "N", value_delimiter = ',')]
    n_ctx: Vec<String>,
    /// Logical batch
    #[arg(long, value_name = "N", value_delimiter = ',')]
    n_batch: Vec<String>,
    /// Physical batch
    #[arg(long, value_name = "N", value_delimiter = ',')]
    n_ubatch: Vec<String>,
    /// Element type of keys in the KV cache
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    type_k: Vec<GgmlType>,
    /// Element type of values in the KV cache
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    type_v: Vec<GgmlType>,
    /// Flash attention: on, off, auto
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    flash_attn: Vec<FlashAttn>,
    /// How weights are loaded: auto, mmap, none, mlock
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    load_mode: Vec<LoadMode>,
    /// The ggml device that computes
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    backend_device: Vec<String>,
    /// Layers on that device, or auto
    #[arg(long, value_name = "N", value_delimiter = ',')]
    n_gpu_layers: Vec<String>,
    /// Keep only cells for which this holds: 'quant=Q4_*,n_depth<4096'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Child processes per cell; 3 or more give an interval
    #[arg(long, value_name = "N")]
    invocations: Option<u32>,
    /// Timed passes in each child
    #[arg(long, value_name = "N")]
    repetitions: Option<u32>,
    /// Passes before the first timed one
    #[arg(long, value_name = "N")]
    warmup: Option<u32>,
    /// Seconds after which an invocation is ended
    #[arg(long, value_name = "S")]
    timeout_s: Option<u32>,
    /// Seed of the order and of the tokens
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Make the run fit into this time: 5m, 90s
    #[arg(long, value_name = "TIME")]
    budget: Option<String>,
}

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

    /// The selection, with the user's files already read.
    pub fn selection(&self, model_files: Vec<ModelFile>) -> Result<Selection, Failure> {
        Ok(Selection {
            engines: given(&self.engine),
            models: given(&self.model),
            quants: given(&self.quant),
            model_files,
            n_threads: threads(&self.threads)?,
            cpus: given(&self.cpus),
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
            backend_device: given(&self.backend_device),
            n_gpu_layers: autos("--n-gpu-layers", &self.n_gpu_layers)?,
            filter: Filter::parse(self.filter.as_deref().unwrap_or_default()).or_usage()?,
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

fn numbers(option: &str, words: &[String]) -> Result<Option<Vec<u32>>, Failure> {
    let values: Result<Vec<Vec<u32>>, Failure> = words
        .iter()
        .map(|word| parse_numbers(word).map_err(|e| format!("{option} {word}: {e}")).or_usage())
        .collect();
    let values: Vec<u32> = values?.into_iter().flatten().collect();
    Ok(given(&values))
}

fn autos(option: &str, words: &[String]) -> Result<Option<Vec<Auto<u32>>>, Failure> {
    let mut values = Vec::new();
    for word in words {
        if word == "auto" {
            values.push(Auto::Auto);
        } else if let Some(found) = numbers(option, std::slice::from_ref(word))? {
            values.extend(found.into_iter().map(Auto::Fixed));
        }
    }
    Ok(given(&values))
}

fn threads(words: &[String]) -> Result<Option<Vec<Threads>>, Failure> {
    let values: Result<Vec<Vec<Threads>>, Failure> = words
        .iter()
        .map(|word| Threads::parse(word).map_err(|e| format!("--threads {word}: {e}")).or_usage())
        .collect();
    let values: Vec<Threads> = values?.into_iter().flatten().collect();
    Ok(given(&values))
}

/// `5m`, `90s`, `1h 30m`.
fn time(text: &str) -> Result<Nanos, Failure> {
    let span = jiff::SignedDuration::from_str(text)
        .map_err(|_| format!("--budget {text}: expected a time such as 5m or 90s"))
        .or_usage()?;
    let ns = u64::try_from(span.as_nanos()).ok().filter(|&ns| ns > 0);
    ns.map(Nanos).ok_or_else(|| format!("--budget {text}: expected more than nothing")).or_usage()
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
}
