//! `slmbench profile`: where the time goes, operation by operation. A run of one block that is profiled
//! and not otherwise measured.

use clap::{Arg, Args};

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::run::Setting;
use super::select::{DEFAULTS, Select, with_defaults};
use crate::settings::{ProbeWhen, TokenFeed};
use crate::suite::{Axes, Matrix, Profiling, Suite, Times};

const EXAMPLES: &str = "Examples:
  slmbench profile SmolLM2-135M                       both engines, pp128 and tg32, Q4_0
  slmbench profile Qwen2-0.5B --engine llama-cpp --quant Q4_K_M
  slmbench profile model.gguf -p 512 -n 64 -d 1024
  slmbench profile SmolLM2-135M --repetitions 20      a narrower interval of what spans cost

Times of passes without spans are not reported: `slmbench run` measures them, and `profile = true` in a
suite does both. The trace of some calls is for speedscope and Perfetto.";

/// Arguments of `profile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_args = told)]
pub struct Arguments {
    /// Models by name or by patterns such as 'Qwen3-*', and GGUF files
    #[arg(value_name = "MODEL|FILE")]
    named: Vec<String>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    conduct: Conduct,
}

/// What counts here without each option.
fn told(argument: Arg) -> Arg {
    let own = [
        ("engine", "all of this build"),
        ("quant", "Q4_0"),
        ("n_prompt", "128"),
        ("n_gen", "32"),
        ("repetitions", "5"),
        ("warmup", "1"),
        ("timeout_s", "600"),
        ("seed", "1"),
    ];
    with_defaults(argument, &[&own[..], &DEFAULTS].concat(), &[])
}

/// Profiles.
pub fn run(mut arguments: Box<Arguments>) -> Result<Exit, Failure> {
    let subjects = std::mem::take(&mut arguments.named);
    arguments.select.take_subjects(subjects);
    if arguments.select.model.is_empty() && arguments.select.model_files.is_empty() {
        let message = "no model named\nhint: slmbench profile SmolLM2-135M, or -m FILE.gguf";
        return Err(message).or_usage();
    }
    let suite = suite();
    let setting = Setting::new(&arguments.select, &arguments.conduct, Some(&suite))?;
    setting.begin_run(&suite, "slmbench profile")
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
