//! `slmbench predict MODEL…`: how fast a model will be on this device, from a probe and its shape; and
//! with `--check` how far such predictions lie from what runs measured.

mod check;
mod device;
mod sheet;
mod subjects;

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::select::{between, kv_type};
use super::{catalogue_files, print, report};
use crate::ggml::GgmlType;
use crate::model::FileMix;
use crate::report::write_text;
use crate::roofline::{Book, Pass};
use crate::settings::{FlashAttn, Settings};
use crate::system::said;
use device::Device;
use sheet::Sheet;

const EXAMPLES: &str = "Examples:
  slmbench predict SmolLM2-135M                      probe this device for some seconds, then tell
  slmbench predict 'Qwen3-*' --quant Q8_0,Q4_K_M --n-depth 0,4096
  slmbench predict model.gguf --engine llama-cpp,reference --threads 4
  slmbench probe --json > board.json                 on the board; then, anywhere:
  slmbench predict '*' --probe board.json --csv -
  slmbench predict --check reports/a reports/b       predicted against measured
  slmbench predict --check reports/* --fit coefficients.toml

docs/predict.md tells how times come about, and how far off they are.";

/// Arguments of `predict`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Models by name or by patterns such as 'Qwen3-*', and GGUF files
    #[arg(value_name = "MODEL|FILE", required_unless_present_any = ["check", "fit"])]
    subjects: Vec<String>,
    /// File mixes of models by name; with @2024 behind by the rules of mid-2024 [default: Q4_K_M]
    #[arg(long, short, value_name = "MIX", value_delimiter = ',')]
    quant: Vec<FileMix>,
    /// Engines, with commas between
    #[arg(long, value_name = "ENGINE", value_delimiter = ',', default_value = "llama-cpp")]
    engine: Vec<String>,
    /// Prompt tokens; 0 for none
    #[arg(long, short = 'p', value_name = "N", default_value_t = 512,
        value_parser = between::<0, MAX_TOKENS>, allow_negative_numbers = true)]
    n_prompt: u32,
    /// Tokens decoded behind the prompt; 0 for none
    #[arg(long, short = 'n', value_name = "N", default_value_t = 128,
        value_parser = between::<0, MAX_TOKENS>, allow_negative_numbers = true)]
    n_gen: u32,
    /// Tokens in the KV cache before
    #[arg(long, short = 'd', value_name = "N,…", value_delimiter = ',', default_value = "0",
        value_parser = between::<0, MAX_TOKENS>, allow_negative_numbers = true)]
    n_depth: Vec<u32>,
    /// Tokens that go through the graph together
    #[arg(long, value_name = "N", default_value_t = Settings::default().n_ubatch,
        value_parser = between::<1, MAX_TOKENS>, allow_negative_numbers = true)]
    n_ubatch: u32,
    /// Element type of keys and values in the KV cache
    #[arg(long, value_name = "TYPE", default_value = "F16", value_parser = kv_type)]
    type_kv: GgmlType,
    /// Flash attention: on, off, auto; auto counts as on
    #[arg(long, value_name = "WORD", default_value = "auto")]
    flash_attn: FlashAttn,
    /// Threads [default: what `auto` stands for here, or the most that FILE was probed with]
    #[arg(long, short, value_name = "N", value_parser = between::<1, MAX_TOKENS>,
        allow_negative_numbers = true)]
    threads: Option<u32>,
    /// What `slmbench probe --json` wrote, instead of probing this device
    #[arg(long, value_name = "FILE.json")]
    probe: Option<PathBuf>,
    /// The machine that FILE.json is of multiplies in tiles (AMX), which an older probe does not show: amx
    #[arg(long, value_name = "CLASS", requires = "probe")]
    class: Option<String>,
    /// Coefficients to use instead of the built-in ones, as --fit writes them
    #[arg(long, value_name = "FILE.toml")]
    coefficients: Option<PathBuf>,
    /// While a run measures on this machine: wait with the probe, or refuse
    #[arg(long, value_name = "WORD", default_value = "wait", value_parser = ["wait", "refuse"])]
    when_busy: String,
    /// Hold predictions against what these runs measured
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["subjects", "quant",
        "engine", "n_prompt", "n_gen", "n_depth", "n_ubatch", "type_kv", "flash_attn", "threads"])]
    check: Vec<PathBuf>,
    /// Write coefficients fitted to these runs
    #[arg(long, value_name = "FILE.toml")]
    fit: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write a CSV file; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    files: catalogue_files::ModelFiles,
}

/// More tokens than any context has.
const MAX_TOKENS: u32 = 1 << 24;

/// Tells what is expected, or how far off that is.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.fit.is_some() && arguments.check.is_empty() {
        let hint = "hint: slmbench predict --check reports/RUN… --fit FILE.toml";
        return Err(format!("--fit has no runs to fit to\n{hint}")).or_usage();
    }
    let book = arguments.book()?;
    if !arguments.check.is_empty() {
        return check::run(arguments, &book);
    }
    if arguments.n_prompt == 0 && arguments.n_gen == 0 {
        return Err("neither prompt nor decode is asked for\nhint: --n-prompt or --n-gen above 0")
            .or_usage();
    }
    // Whatever is wrong is told before seconds are spent on a probe.
    for engine in &arguments.engine {
        book.prior(engine, "").or_usage()?;
    }
    let (subjects, notes) = subjects::find(arguments)?;
    let device = Device::find(arguments)?;
    if let Some(disturbance) = device.disturbance() {
        eprintln!("note: {disturbance}");
    }
    let sheet = Sheet::new(&subjects, arguments, &device, &book, notes)?;
    arguments.show(
        &sheet.to_csv(),
        || format!("{:#}\n", sheet.as_json()),
        |width| sheet.to_text(width),
    )?;
    Ok(Exit::Done)
}

impl Arguments {
    fn book(&self) -> Result<Book, Failure> {
        let Some(path) = &self.coefficients else { return Book::built_in().or_usage() };
        let named = |e: &dyn std::fmt::Display| {
            format!(
                "--coefficients {}: {e}\n\
                 hint: `slmbench predict --check DIR… --fit FILE.toml` writes such a file",
                path.display()
            )
        };
        let text = std::fs::read_to_string(path).map_err(|e| named(&said(&e))).or_usage()?;
        Book::parse(&text).map_err(|e| named(&e)).or_usage()
    }

    /// The pass at a depth.
    fn pass(&self, n_depth: u32) -> Pass {
        Pass {
            n_prompt: self.n_prompt,
            n_gen: self.n_gen,
            n_depth,
            n_ubatch: self.n_ubatch,
            type_k: self.type_kv,
            type_v: self.type_kv,
            flash_attn: self.flash_attn != FlashAttn::Off,
        }
    }

    /// Shows rows as they were asked for: CSV into a file beside the table, or one of them alone.
    fn show(
        &self,
        csv: &str,
        json: impl FnOnce() -> String,
        text: impl FnOnce(usize) -> String,
    ) -> Result<(), Failure> {
        match self.csv.as_deref() {
            Some(path) if path == Path::new("-") => {
                print(csv)?;
                return Ok(());
            }
            Some(path) => write_text(path, csv).or_unwritable()?,
            None => {}
        }
        match self.json {
            true => print(&json())?,
            false => print(&text(report::terminal_width()))?,
        }
        Ok(())
    }
}
