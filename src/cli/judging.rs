//! The part of the arguments of `ab` and `compare` that says what counts as a difference, and how a
//! verdict becomes files and an exit code.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::compare::{Comparison, Measure, Policy, Verdict};
use crate::report;

/// What counts as a difference, and what follows from it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verdicts")]
pub struct Judging {
    /// Times that differ by less are the same
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    time: String,
    /// Measured memory that differs by less is the same
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    memory: String,
    /// What is judged: prefill_ms, tpot_ms, ttft_ms, itl_p99_ms, load_ms, peak_rss_bytes,
    /// weight_bytes, kv_bytes, compute_bytes, output_bytes
    /// [default: all but ttft_ms, itl_p99_ms and load_ms]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    measure: Vec<Measure>,
    /// Exit with 3 where something regressed
    #[arg(long)]
    pub gate: bool,
    /// Write the verdicts as Markdown to this file too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write them as JSON to this file too; - for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Judging {
    /// What counts as a difference.
    pub fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy {
            time: share("--time", &self.time)?,
            memory: share("--memory", &self.memory)?,
            ..Policy::default()
        };
        if !self.measure.is_empty() {
            policy.measures = self.measure.clone();
            policy.measures.sort_unstable();
            policy.measures.dedup();
        }
        Ok(policy)
    }

    /// Writes every file and shows the table; only then does anybody decide how to end.
    pub fn report(
        &self,
        comparison: &Comparison,
        folder: Option<&Path>,
        quiet: bool,
    ) -> Result<(), Failure> {
        let (mut markdown, mut json) = (Vec::from_iter(&self.markdown), Vec::new());
        let to_stdout = self.json.as_deref() == Some(Path::new("-"));
        json.extend(self.json.as_ref().filter(|_| !to_stdout));
        let of_folder = folder.map(|f| (f.join("comparison.md"), f.join("comparison.json")));
        if let Some((md, js)) = &of_folder {
            markdown.push(md);
            json.push(js);
        }
        for path in markdown {
            report::write_text(path, &report::comparison_markdown(comparison)).or_unwritable()?;
        }
        for path in json {
            report::write_text(path, &report::comparison_json(comparison)).or_unwritable()?;
        }
        if to_stdout {
            print(&report::comparison_json(comparison));
        } else if !quiet {
            print(&report::comparison_text(comparison, super::report::terminal_width()));
        }
        Ok(())
    }

    /// How to end. Where several hold: unfinished, regressed, unclear.
    pub fn exit(&self, comparison: &Comparison, strict: bool) -> Exit {
        let has = |verdict| comparison.n(verdict) > 0;
        let is_unclear = has(Verdict::Unclear)
            || has(Verdict::NotComparable)
            || !comparison.only_base.is_empty();
        match comparison {
            _ if !comparison.unfinished.is_empty() => Exit::Unfinished,
            _ if self.gate && has(Verdict::Regressed) => Exit::Regressed,
            _ if strict && is_unclear => Exit::Unclear,
            _ => Exit::Done,
        }
    }
}

/// `3%` → 0.03.
pub fn share(option: &str, text: &str) -> Result<f64, Failure> {
    let number = text.trim().strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
    number
        .filter(|n| n.is_finite() && *n > 0.0 && *n <= 1000.0)
        .map(|n| n / 100.0)
        .ok_or_else(|| format!("{option} {text}: expected a share such as 3%"))
        .or_usage()
}
