//! The part of the arguments of `ab` and `compare` that says what counts as a difference, and how a
//! verdict becomes files and an exit code.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::compare::{Comparison, Design, Measure, Policy, Verdict};
use crate::report;

/// What counts as a difference, and what follows from it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verdicts")]
pub struct Judging {
    /// Times that differ by less are the same [default: 3%]
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    time: Option<f64>,
    /// Measured memory that differs by less is the same [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    memory: Option<f64>,
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
    /// What counts as a difference, where something else than `default` is asked for.
    pub fn policy(&self, default: Policy) -> Result<Policy, Failure> {
        let mut policy = default;
        policy.time = self.time.unwrap_or(policy.time);
        policy.memory = self.memory.unwrap_or(policy.memory);
        if !self.measure.is_empty() {
            policy.measures.clone_from(&self.measure);
            policy.measures.sort_unstable();
            policy.measures.dedup();
        }
        Ok(policy)
    }

    /// Looks whether the files that were named can be written, before anything is measured.
    pub fn check_files(&self) -> Result<(), Failure> {
        for path in self.markdown.iter().chain(self.named_json()) {
            let is_new = !path.exists();
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|e| report::cannot_write(path, e)).or_unwritable()?;
            if is_new {
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn named_json(&self) -> Option<&PathBuf> {
        self.json.as_ref().filter(|path| path.as_os_str() != "-")
    }

    /// Writes every file and shows the table; only then does anybody decide how to end. What can be
    /// written is, whatever cannot.
    pub fn report(
        &self,
        comparison: &Comparison,
        folder: Option<&Path>,
        quiet: bool,
    ) -> Result<(), Failure> {
        let (markdown, json) =
            (report::comparison_markdown(comparison), report::comparison_json(comparison));
        let mut files: Vec<(PathBuf, &str)> = Vec::new();
        if let Some(folder) = folder {
            files.push((folder.join("comparison.md"), &markdown));
            files.push((folder.join("comparison.json"), &json));
        }
        files.extend(self.markdown.iter().map(|path| (path.clone(), markdown.as_str())));
        files.extend(self.named_json().map(|path| (path.clone(), json.as_str())));
        let shown = match quiet {
            _ if self.json.is_some() && self.named_json().is_none() => print(&json),
            true => Ok(()),
            false => print(&report::comparison_text(comparison, super::report::terminal_width())),
        };
        let mut failures: Vec<String> = shown.err().map(|e| e.message).into_iter().collect();
        for (path, text) in files {
            failures.extend(report::write_text(&path, text).err().map(|e| e.to_string()));
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures.join("\n")).or_unwritable(),
        }
    }

    /// How to end. Where several hold: unfinished, regressed, unclear.
    pub fn exit(&self, comparison: &Comparison, strict: bool) -> Result<Exit, Failure> {
        let has = |verdict| comparison.n(verdict) > 0;
        let in_turns = comparison.design == Design::Paired;
        let is_unclear = has(Verdict::Unclear)
            || has(Verdict::NotComparable)
            || !comparison.only_base.is_empty();
        // Of two runs the older one may have been cut short; in turns both were to finish. What the
        // candidate cannot run at all has not finished either.
        let is_unfinished = !comparison.unfinished_head.is_empty()
            || in_turns && !comparison.unfinished_base.is_empty()
            || in_turns && self.gate && !comparison.only_base.is_empty();
        if self.gate && comparison.n(Verdict::NotComparable) == comparison.rows.len() {
            let message =
                "nothing could be compared, so the gate says nothing: the reasons stand above";
            return Err(message).or_usage();
        }
        Ok(match comparison {
            _ if is_unfinished => Exit::Unfinished,
            _ if self.gate && has(Verdict::Regressed) => Exit::Regressed,
            _ if strict && is_unclear => Exit::Unclear,
            _ => Exit::Done,
        })
    }
}

/// `3%` → 0.03. Without its sign a number could be a share or a percentage.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
    number
        .filter(|n| n.is_finite() && *n > 0.0 && *n <= 1000.0)
        .map(|n| n / 100.0)
        .ok_or_else(|| "expected a share such as 3%, above 0% and up to 1000%".to_owned())
}
