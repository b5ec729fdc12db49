//! `slmbench list models|suites|engines|devices`.

mod devices;
mod models;

use clap::{Args, Subcommand};
use serde_json::json;

use super::engines::{EngineEntry, here};
use super::exit::{Ending, Exit, Failure};
use super::{files, print};
use crate::engine;
use crate::report::{Align, Column, Table};
use crate::suite;

const EXAMPLES: &str = "Examples:
  slmbench list models 'Qwen*'
  slmbench list suites
  slmbench list engines
  slmbench list devices";

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Models: family, size, shape and the engines that run them; of one model all that is known
    Models(models::Arguments),
    /// Suites that come with the program and those in ./suites
    #[command(after_help = "Examples:\n  slmbench list suites\n  slmbench list suites --json")]
    Suites {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Engines, whether this build has them, and what they can run
    #[command(
        after_help = "Examples:\n  slmbench list engines\n  slmbench list engines reference --json"
    )]
    Engines {
        /// Engine words; all engines of this build when none is given
        words: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Devices known by name: their memory and limits, and which one this machine is
    Devices(devices::Arguments),
}

/// Shows what there is.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Models(arguments) => models::run(arguments),
        What::Suites { json } => list_suites(*json),
        What::Devices(arguments) => devices::run(arguments),
        What::Engines { words, json } => list_engines(words, *json),
    }
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// An empty table: columns whose name begins with `>` are numbers and stand to the right.
pub fn table(header: &[&str]) -> Table {
    let column = |name: &&str| match name.strip_prefix('>') {
        Some(name) => Column::new(name, Align::Right),
        None => Column::new(*name, Align::Left),
    };
    Table::new(header.iter().map(column).collect())
}

/// The engines of these words, or all of this build. What a run asks with `--json` is answered of every
/// word; a person who names an engine that is nowhere is told so.
fn list_engines(words: &[String], json: bool) -> Result<Exit, Failure> {
    let names: Vec<String> = engine::names().iter().map(|n| (*n).to_owned()).collect();
    let entries = here(if words.is_empty() { &names } else { words });
    if json {
        print_json(&json!(entries))?;
        return Ok(Exit::Done);
    }
    if let Some(unknown) = words.iter().find(|word| suite::engine_word(word).is_err()) {
        let hint = match suite::nearest(unknown, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`slmbench list engines` without a name shows all".to_owned(),
        };
        return Err(format!("unknown engine `{unknown}`\nhint: {hint}")).or_usage();
    }
    show_engines(&entries)?;
    Ok(Exit::Done)
}

fn list_suites(json: bool) -> Result<Exit, Failure> {
    let here = files::working_dir()?;
    let mut rows = Vec::new();
    for name in suite::known_suites(&here) {
        let found = suite::find(&name, &here).or_usage()?;
        let parsed = suite::parse(&found.text, &found.shown);
        let description = match parsed {
            Ok(suite) => suite.description,
            Err(errors) => format!("cannot be used: {errors}"),
        };
        rows.push((name, found.source.to_string(), description));
    }
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(
                |(name, source, text)| json!({"name": name, "source": source, "description": text}),
            )
            .collect();
        print_json(&json!(rows))?;
        return Ok(Exit::Done);
    }
    let mut table = table(&["suite", "source", "what it answers"]);
    for (name, source, description) in rows {
        let first = description.trim().lines().next().unwrap_or_default().to_owned();
        table.push(vec![name, source, first]);
    }
    print(&table.to_text(super::report::terminal_width()))?;
    Ok(Exit::Done)
}

fn show_engines(entries: &[EngineEntry]) -> Result<(), Failure> {
    for entry in entries {
        let (Some(info), Some(can)) = (&entry.info, &entry.capabilities) else {
            let why = entry.missing.as_deref().unwrap_or("unknown").replace('\n', "\n           ");
            print(&format!("{}\n  missing  {why}\n", entry.word))?;
            continue;
        };
        let all = |words: Option<Vec<String>>| words.map_or("any".to_owned(), |w| w.join(", "));
        let types = |types: &[crate::ggml::GgmlType]| -> Vec<String> {
            types.iter().map(ToString::to_string).collect()
        };
        print(&format!("{} {}\n", info.name, info.version))?;
        let line = |name: &str, text: &str| print(&format!("  {name:<8} {text}\n"));
        line("build", &info.build)?;
        line("in use", &info.system)?;
        line("archs", &all(can.archs.clone()))?;
        line("weights", &all(can.weight_types.as_deref().map(types)))?;
        line("KV cache", &types(&can.kv_types).join(", "))?;
        line("devices", &can.devices.join(", "))?;
        if let Some(why) = &info.below_machine {
            line("warning", why)?;
        }
    }
    Ok(())
}
