//! `slmbench soak`: how fast a device is when it has been at work for a while. A run of one block of
//! sustained runs; or the analysis of a series that somebody else measured.

use std::path::PathBuf;

use clap::{Arg, Args};

use super::conduct::Conduct;
use super::exit::{Ending, Exit, Failure};
use super::run::Setting;
use super::select::{DEFAULTS, Select, number, with_defaults};
use crate::report::count;
use crate::settings::{ProbeWhen, Soak, SoakUntil, TokenFeed};
use crate::stats::soak::Rules;
use crate::suite::{Axes, Matrix, Profiling, Suite, Times};

const EXAMPLES: &str = "Examples:
  slmbench soak SmolLM2-135M                          until the speed is steady, 20 minutes at most
  slmbench soak Qwen3-0.6B --until limit --minutes 30 --ambient-c 22
  slmbench soak model.gguf --engine llama-cpp         a file of your own
  slmbench soak SmolLM2-135M --power-source 'cmd:read-meter'
  slmbench soak --from-csv series.csv                 a series that was measured elsewhere

One that was cut off is continued with `slmbench run --resume DIR`.";

/// Arguments of `soak`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_args = told)]
pub struct Arguments {
    /// Models by name or by patterns such as 'Qwen3-*', and GGUF files
    #[arg(value_name = "MODEL|FILE")]
    named: Vec<String>,
    /// Minutes after which no other pass begins
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = number,
        allow_negative_numbers = true)]
    minutes: f64,
    /// End when the speed has become steady, or only at the limit
    #[arg(long, value_name = "WORD", default_value_t = SoakUntil::Steady)]
    until: SoakUntil,
    /// Seconds over which speeds are averaged
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = number,
        allow_negative_numbers = true)]
    window_s: f64,
    /// Analyse series from files instead, in the order of time; can be repeated. Columns: time_s (or
    /// time, t, end_s, seconds), tok_per_s (or t/s, tps, tokens_per_s, decode_tok_per_s), and where
    /// known temperature_c, clock_mhz, power_w, held_back, work, run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["named", "minutes", "until"])]
    from_csv: Vec<PathBuf>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    conduct: Conduct,
}

/// What counts here without each option, and which say nothing here: time says how often.
fn told(argument: Arg) -> Arg {
    let own = [
        ("engine", "reference"),
        ("quant", "Q4_0"),
        ("n_prompt", "512"),
        ("n_gen", "128"),
        ("warmup", "1"),
        ("timeout_s", "--minutes and half as much, ten minutes more at least"),
        ("seed", "1"),
    ];
    with_defaults(argument, &[&own[..], &DEFAULTS].concat(), &["repetitions", "budget"])
}

/// Measures, or analyses.
pub fn run(mut arguments: Box<Arguments>) -> Result<Exit, Failure> {
    let window_ms = milliseconds("--window-s", arguments.window_s, 1.0, 0.01..=600.0)?;
    if !arguments.from_csv.is_empty() {
        return super::series::analyse(&arguments.from_csv, window_ms, &arguments.conduct);
    }
    let soak = Soak {
        limit_ms: milliseconds("--minutes", arguments.minutes, 60.0, 0.001..=1440.0)?,
        window_ms,
        until: arguments.until,
    };
    if let Some(option) = arguments.select.not_in_time() {
        let hint = "hint: --minutes says how long it lasts";
        return Err(format!("{option} has no meaning in a sustained run\n{hint}")).or_usage();
    }
    note_windows(&soak)?;
    let subjects = std::mem::take(&mut arguments.named);
    arguments.select.take_subjects(subjects);
    if arguments.select.model.is_empty() && arguments.select.model_files.is_empty() {
        let message = "no model named\nhint: slmbench soak SmolLM2-135M, or -m FILE.gguf";
        return Err(message).or_usage();
    }
    let suite = suite(soak);
    let setting = Setting::new(&arguments.select, &arguments.conduct, Some(&suite))?;
    setting.begin_run(&suite, "slmbench soak")
}

/// One block of sustained runs with the built-in engine, prompts of 512 tokens and 128 after them. Its
/// models are those selected.
fn suite(soak: Soak) -> Suite {
    let axes = Axes {
        engine: vec!["reference".to_owned()],
        quant: vec!["Q4_0".to_owned()],
        n_prompt: vec![512],
        n_gen: vec![128],
        ..Axes::default()
    };
    let times = Times { timeout_s: soak.timeout_s(), ..Times::default() };
    Suite {
        name: "soak".to_owned(),
        description: String::new(),
        seed: 1,
        feed: TokenFeed::Random,
        gate: None,
        probe: ProbeWhen::Run,
        matrices: vec![Matrix {
            axes,
            excludes: Vec::new(),
            times,
            soak: Some(soak),
            profile: Profiling::No,
        }],
    }
}

/// Refuses more windows than an analysis can take, and says when there will be too few.
fn note_windows(soak: &Soak) -> Result<(), Failure> {
    let n = soak.limit_ms / soak.window_ms;
    if n > 3600 {
        let windows = count(n as usize, "window");
        let message = format!("{windows} are too many: at most 3600\nhint: a longer --window-s");
        return Err(message).or_usage();
    }
    let least = Rules::default().least_windows as u64 + 2;
    if n < least {
        eprintln!(
            "note: {} {} too few to tell a slowdown by; --minutes {:.1} or --window-s {:.1} \
             would give {least}",
            count(n as usize, "window"),
            if n == 1 { "is" } else { "are" },
            (least * soak.window_ms) as f64 / 60_000.0,
            soak.limit_ms as f64 / 1000.0 / least as f64,
        );
    }
    Ok(())
}

fn milliseconds(
    option: &str,
    value: f64,
    unit_s: f64,
    allowed: std::ops::RangeInclusive<f64>,
) -> Result<u64, Failure> {
    if !allowed.contains(&value) {
        let (least, most) = allowed.into_inner();
        return Err(format!("{option} {value}: expected {least} to {most}")).or_usage();
    }
    Ok((value * unit_s * 1000.0).round() as u64)
}
