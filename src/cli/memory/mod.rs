//! `slmbench memory MODEL…`: what a model needs, part by part, and what fits into how much memory.
//!
//! Figures follow from shapes by formula, or an engine is asked; nothing is loaded, and of files only
//! headers are read.

mod exact;
mod paper;
mod rows;
mod subjects;

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::select::{between, kv_type};
use super::{catalogue_files, files, print, report};
use crate::ggml::GgmlType;
use crate::memory::{Offload, Request};
use crate::model::FileMix;
use crate::report::{MAX_LINES, Need, NeedsPlot, draw_needs, write_text};
use crate::settings::{FlashAttn, Settings};
use crate::suite;
use crate::units::Bytes;
use rows::{Budget, Sheet};

const EXAMPLES: &str = "Examples:
  slmbench memory SmolLM2-135M                       weights, cache, buffers for 2048 tokens
  slmbench memory 'Qwen3-*' --n-ctx 2048,max         several models, up to the longest context
  slmbench memory model.gguf --type-kv Q8_0          a file of your own, a smaller cache
  slmbench memory 'Llama-3.2-*' --quant Q8_0,Q4_K_M --device 'Raspberry Pi 5 4GB'
  slmbench memory '*' --budget 2GiB --csv -          what fits into 2 GiB
  slmbench memory 'Bloom-5*' SmolLM2-360M --plot parts.svg --plot-kind groups
  slmbench memory SmolLM2-135M --engine llama-cpp    what that engine takes here, to the byte
  slmbench memory --paper                            the survey's memory figure (arXiv 2409.15790)

Figures are an estimate by formula: weights and cache are exact, buffers near what llama.cpp takes.
docs/memory.md explains each.";

/// Arguments of `memory`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Models by name or by patterns such as 'Qwen3-*', and GGUF files
    #[arg(value_name = "MODEL|FILE", required_unless_present = "paper")]
    subjects: Vec<String>,
    /// File mixes of models by name; with @2024 behind by the rules of mid-2024 [default: Q4_K_M]
    #[arg(long, short, value_name = "MIX", value_delimiter = ',')]
    quant: Vec<FileMix>,
    /// Capacities of the KV cache in tokens; max is the longest the model was trained for
    /// [default: 2048]
    #[arg(long, short = 'c', value_name = "N", value_delimiter = ',')]
    n_ctx: Vec<Context>,
    /// Element type of keys and values in the KV cache
    #[arg(long, value_name = "TYPE", default_value = "F16", value_parser = kv_type)]
    type_kv: GgmlType,
    /// Flash attention: on, off, auto; auto counts as on
    #[arg(long, value_name = "WORD", default_value = "auto")]
    flash_attn: FlashAttn,
    /// Tokens that go through the graph together
    #[arg(long, value_name = "N", default_value_t = Settings::default().n_ubatch,
        value_parser = between::<1, MAX_TOKENS>, allow_negative_numbers = true)]
    n_ubatch: u32,
    /// All layers are on a GPU: an embedding that is the output head as well is held twice
    #[arg(long)]
    offload: bool,
    /// Count only the window of layers that attend to no more than a window (llama.cpp's --swa-full false)
    #[arg(long)]
    windowed: bool,
    /// Ask this engine of this build instead of the formulas: exact, some tenths of a second a row
    #[arg(long, value_name = "ENGINE", conflicts_with_all = ["offload", "windowed"])]
    engine: Option<String>,
    /// Tell what fits into what this device leaves to a program; `slmbench list devices`
    #[arg(long, value_name = "NAME", conflicts_with = "budget")]
    device: Option<String>,
    /// Tell what fits into so much memory: 4GiB
    #[arg(long, value_name = "SIZE")]
    budget: Option<Bytes>,
    /// Redraw the survey's memory figure (arXiv 2409.15790), by llama.cpp of mid-2024
    #[arg(long, conflicts_with_all = ["subjects", "quant", "n_ctx", "type_kv", "flash_attn", "n_ubatch",
        "offload", "windowed", "engine", "device", "budget", "csv", "plot_kind"])]
    paper: bool,
    /// As JSON, in bytes
    #[arg(long)]
    json: bool,
    /// Write a CSV file; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    csv: Option<PathBuf>,
    /// Draw an SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// What the plot shows: models (a bar each), context (memory and the cache's share against it),
    /// groups (weights by part), cache (what a quantised one saves)
    #[arg(long, value_name = "KIND", default_value = "models", value_parser = plot_kind,
        requires = "plot")]
    plot_kind: NeedsPlot,
    /// devices.toml to read
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    #[command(flatten)]
    files: catalogue_files::ModelFiles,
}

/// More tokens than any context has.
const MAX_TOKENS: u32 = 1 << 24;

/// A capacity of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// In tokens.
    Tokens(u32),
    /// The longest the model was trained for.
    Max,
}

impl std::str::FromStr for Context {
    type Err = String;

    fn from_str(s: &str) -> Result<Context, String> {
        if s == "max" {
            return Ok(Context::Max);
        }
        match s.parse::<u32>() {
            Ok(n) if (1..=MAX_TOKENS).contains(&n) => Ok(Context::Tokens(n)),
            _ => Err(format!("expected 1 to {MAX_TOKENS} tokens, or max")),
        }
    }
}

fn plot_kind(text: &str) -> Result<NeedsPlot, String> {
    match text {
        "models" => Ok(NeedsPlot::Models),
        "context" => Ok(NeedsPlot::Context),
        "groups" => Ok(NeedsPlot::Groups),
        "cache" => Ok(NeedsPlot::Cache),
        _ => Err("allowed are models, context, groups, cache".to_owned()),
    }
}

/// Shows what is needed.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.paper {
        return paper::run(arguments);
    }
    if let Some(path) = &arguments.plot
        && !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svg"))
    {
        return Err(format!("--plot {}: expected FILE.svg", path.display())).or_usage();
    }
    let request = arguments.request()?;
    let budget = arguments.the_budget()?;
    let mixes = match &arguments.quant[..] {
        [] => &[FileMix::Q4_K_M],
        given => given,
    };
    let contexts = match &arguments.n_ctx[..] {
        [] => &[Context::Tokens(2048)],
        given => given,
    };
    let (subjects, notes) = subjects::find(arguments, mixes, &request)?;
    let mut sheet = Sheet::new(&subjects, contexts, request, budget, notes);
    if let Some(engine) = &arguments.engine {
        exact::ask(&mut sheet, engine, arguments)?;
    }
    match &arguments.csv {
        Some(path) if path.as_os_str() == "-" => print(&sheet.to_csv())?,
        Some(path) => {
            write_text(path, &sheet.to_csv()).or_unwritable()?;
        }
        None => {}
    }
    if let Some(path) = &arguments.plot {
        draw(path, arguments.plot_kind, &sheet.needs(), sheet.budget_bytes())?;
    }
    if arguments.json {
        print(&format!("{:#}\n", sheet.as_json()))?;
    } else if arguments.csv.as_ref().is_none_or(|path| path.as_os_str() != "-") {
        print(&sheet.to_text(report::terminal_width()))?;
    }
    Ok(Exit::Done)
}

/// Draws `needs` into a file.
fn draw(path: &Path, kind: NeedsPlot, needs: &[Need], budget: Option<u64>) -> Result<(), Failure> {
    let mut models: Vec<&str> = needs.iter().map(|need| need.model).collect();
    models.dedup();
    if kind == NeedsPlot::Context && models.len() > MAX_LINES {
        let n = models.len();
        return Err(format!(
            "{n} models are too many for one plot against the context, which tells {MAX_LINES} \
             apart\nhint: name fewer"
        ))
        .or_usage();
    }
    let svg = draw_needs(kind, needs, budget);
    write_text(path, &svg).or_unwritable()
}

impl Arguments {
    /// The settings asked for; the context is each row's own.
    fn request(&self) -> Result<Request, Failure> {
        let settings = Settings {
            type_k: self.type_kv,
            type_v: self.type_kv,
            flash_attn: self.flash_attn,
            ..Settings::default()
        };
        let request = Request {
            n_ubatch: self.n_ubatch,
            offload: if self.offload { Offload::Full } else { Offload::None },
            swa_full: !self.windowed,
            ..Request::new(&settings, 0)
        };
        if !request.flash_attn && self.type_kv.block_size() > 1 {
            return Err(format!(
                "llama.cpp keeps values in {} only with flash attention\n\
                 hint: leave --flash-attn off away, or take --type-kv F16",
                self.type_kv
            ))
            .or_usage();
        }
        Ok(request)
    }

    fn the_budget(&self) -> Result<Option<Budget>, Failure> {
        if let Some(name) = &self.device {
            let (devices, _) = files::devices(self.devices.as_deref())?;
            let (name, size) = suite::find_memory(&devices, name).or_usage()?;
            return Ok(Some(Budget { bytes: size.free.0, device: Some(name) }));
        }
        Ok(self.budget.map(|bytes| Budget { bytes: bytes.0, device: None }))
    }
}
