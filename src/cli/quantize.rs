//! `slmbench quantize IN.gguf OUT.gguf Q4_K_M`.

use std::io::IsTerminal;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::{Ending, Exit, Failure};
use super::measuring::watch_signals;
use super::{files, print};
use crate::gguf::Gguf;
use crate::model::FileMix;
use crate::quantize::{Quantization, QuantizeError};
use crate::system::said;
use crate::units::Bytes;

const EXAMPLES: &str = "Examples:
  slmbench quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M
  slmbench quantize model-bf16.gguf model-q8_0.gguf Q8_0 --threads 8
  slmbench quantize model-f16.gguf old.gguf Q4_K_M@2024   by the rules of mid-2024

Tensors get the types that llama.cpp's quantiser would give them, without an importance matrix.
The legacy types have its bytes; for the others scales are searched for anew.";

/// More threads than this write no faster, and a system may refuse them.
const MOST_THREADS: NonZero<usize> = NonZero::new(256).expect("not zero");

/// Arguments of `quantize`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The GGUF file to read: F16, BF16 or F32
    #[arg(value_name = "IN.gguf")]
    source: PathBuf,
    /// The file to write; it is replaced when it exists
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// File mix: Q8_0, Q4_K_M and so on; with @2024 behind by the rules of mid-2024
    mix: String,
    /// Threads; the bytes do not depend on them [default: as many as there are CPUs]
    #[arg(long, short, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

/// Writes the file whole or not at all.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mix: FileMix = arguments.mix.parse().or_usage()?;
    let source_path = arguments.source.as_path();
    let out = &place_of(&arguments.out)?;
    let source = Gguf::open(source_path).or_usage()?;
    let about = |e: QuantizeError| failure(source_path, &arguments.out, &e);
    let quantization = Quantization::new(&source, mix).map_err(about)?;
    if is_same_file(source_path, out) {
        let out = arguments.out.display();
        return Err(format!("{out}: is the file to be read\nhint: name another file to write"))
            .or_usage();
    }
    let n_threads = arguments
        .threads
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZero::<usize>::MIN)
        .min(MOST_THREADS);
    let interrupted = watch_signals()?;
    let bar = bar(&arguments.out);
    let written = files::write_whole(out, |file| {
        quantization.write_file(file, n_threads, |done, total| {
            if let Some(bar) = &bar {
                bar.set_length(total);
                bar.set_position(done);
            }
            match interrupted.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    written.map_err(about)?;
    let length = std::fs::metadata(out).map_or(0, |m| m.len());
    let (n_elements, bytes) = quantization.size();
    let bits = 8.0 * bytes as f64 / n_elements.max(1) as f64;
    let shown = arguments.out.display();
    print(&format!("{shown}: {mix}, {}, {bits:.2} bits per weight\n", Bytes(length)))?;
    Ok(Exit::Done)
}

fn failure(source: &Path, out: &Path, error: &QuantizeError) -> Failure {
    let (path, exit, what) = match error {
        QuantizeError::Interrupted => (out, Exit::Interrupted, error.to_string()),
        QuantizeError::Io(e) => (out, Exit::Unwritable, said(e)),
        _ => (source, Exit::Usage, error.to_string()),
    };
    Failure { exit, message: format!("{}: {what}", path.display()) }
}

/// Where the file is to be, a link followed; refuses what is there and is no file, before any work.
fn place_of(out: &Path) -> Result<PathBuf, Failure> {
    match out.metadata() {
        Ok(found) if !found.is_file() => {
            Err(format!("{}: is no file\nhint: name the file to write", out.display())).or_usage()
        }
        Ok(_) => {
            out.canonicalize().map_err(|e| format!("{}: {}", out.display(), said(&e))).or_usage()
        }
        Err(_) => Ok(out.to_owned()),
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        // What is not there yet is no other file.
        _ => false,
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(out: &Path) -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        let form = "{bar:24} {binary_bytes}/{binary_total_bytes}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(form).expect("a fixed template"));
        bar.set_message(format!("writing {}", out.display()));
        bar
    })
}
