//! `slmbench synth MODEL --quant Q4_0 -o FILE`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::measuring::watch_signals;
use super::select::whole;
use super::{files, print};
use crate::model::FileMix;
use crate::synth::{SynthError, Synthesis};
use crate::units::Bytes;

const EXAMPLES: &str = "Examples:
  slmbench synth SmolLM2-135M --out smollm2.gguf      Q4_K_M, as llama.cpp's quantiser mixes it
  slmbench synth Qwen2-0.5B -q Q4_0 -o qwen2.gguf --seed 7";

/// Arguments of `synth`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The model, by its name in models.toml
    model: String,
    /// File mix: F32, F16, Q8_0, Q4_K_M and so on; with @2024 behind by the rules of mid-2024
    #[arg(long, short, default_value = "Q4_K_M")]
    quant: String,
    /// The file to write; it is replaced when it exists
    #[arg(long, short)]
    out: PathBuf,
    /// Seed of the weights; the same seed gives the same bytes everywhere
    #[arg(long, default_value_t = crate::plan::WEIGHT_SEED, value_parser = whole::<u64>,
        allow_negative_numbers = true)]
    seed: u64,
    /// Factor on every weight: cost must not depend on it
    #[arg(long, default_value_t = 1.0, value_parser = scale, allow_negative_numbers = true)]
    weight_scale: f32,
    /// models.toml to read
    #[arg(long, value_name = "FILE")]
    models: Option<PathBuf>,
}

/// A factor, told to be none before a file is begun.
fn scale(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|scale| scale.is_finite() && *scale > 0.0);
    number.ok_or_else(|| "expected a number above 0, such as 0.5".to_owned())
}

/// Writes the file whole or not at all.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (catalogue, _) = files::catalogue(arguments.models.as_deref())?;
    let shape = catalogue.get(&arguments.model).or_usage()?;
    let mix: FileMix = arguments.quant.parse().or_usage()?;
    let synthesis = Synthesis {
        weight_scale: arguments.weight_scale,
        ..Synthesis::new(shape, mix, arguments.seed)
    };
    let (out, interrupted) = (arguments.out.as_path(), watch_signals()?);
    files::write_whole(out, |file| {
        synthesis.write_file(file, |_, _| match interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })
    .map_err(|e: SynthError| {
        let exit = match e {
            SynthError::Interrupted => Exit::Interrupted,
            SynthError::Io(_) => Exit::Unwritable,
            _ => Exit::Usage,
        };
        Failure::new(exit, &format!("{}: {e}", out.display()))
    })?;
    let length = std::fs::metadata(&arguments.out).map_or(0, |m| m.len());
    print(&format!("{}: {} {mix}, {}\n", arguments.out.display(), shape.name, Bytes(length)))?;
    Ok(Exit::Done)
}
