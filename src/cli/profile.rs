//! `slmbench profile`: where the time goes, operation by operation. A run of one block that is profiled
//! and not otherwise measured.

use clap::Args;

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::run::Setting;
use super::select::Select;
use crate::settings::{ProbeWhen, TokenFeed};
use crate::suite::{Axes, Matrix, Profiling, Suite, Times};

const EXAMPLES: &str = "Examples:
  slmbench profile SmolLM2-135M                       both engines, pp128 and tg32, Q4_0
  slmbench profile Qwen2-0.5B --engine llama-cpp --quant Q4_K_M
  slmbench profile -m model.gguf -p 512 -n 64 -d 1024
  slmbench profile SmolLM2-135M --repetitions 20      a narrower interval of what spans cost

Times of passes without spans are not reported: `slmbench run` measures them, and `profile = true` in a
suite does both. The trace of some calls is for speedscope and Perfetto.";

/// Arguments of `profile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Models by name; patterns such as 'Qwen3-*' for several
    #[arg(value_name = "MODEL")]
    named: Vec<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    conduct: Conduct,
}

/// Profiles.
pub fn run(mut arguments: Box<Arguments>) -> Result<Exit, Failure> {
    arguments.select.model.append(&mut arguments.named);
    if arguments.select.model.is_empty() && arguments.select.model_files.is_empty() {
        let message = "no model named\nhint: slmbench profile SmolLM2-135M, or -m FILE.gguf";
        return Err(message).or_usage();
    }
    let setting = Setting::new(&arguments.select, &arguments.conduct)?;
    setting.begin_run(&suite(), "slmbench profile")
}

/// One block with every engine of this build. Its models are those selected.
fn suite() -> Suite {
    let axes = Axes {
        engine: crate::engine::names()
            .iter()
            .filter(|name| crate::engine::by_name(name).is_ok())
            .map(|name| (*name).to_owned())
            .collect(),
        quant: vec!["Q4_0".to_owned()],
        n_prompt: vec![128],
        n_gen: vec![32],
        ..Axes::default()
    };
    Suite {
        name: "profile".to_owned(),
        description: String::new(),
        seed: 1,
        feed: TokenFeed::Random,
        gate: None,
        probe: ProbeWhen::Cells,
        matrices: vec![Matrix {
            axes,
            excludes: Vec::new(),
            times: Times::default(),
            soak: None,
            profile: Profiling::Alone,
        }],
    }
}
