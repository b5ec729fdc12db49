//! `slmbench list models|suites|engines`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::engines::{EngineEntry, here};
use super::exit::{Ending, Exit, Failure};
use super::{files, print};
use crate::engine;
use crate::model::FileMix;
use crate::report::{Align, Column, Table};
use crate::suite;
use crate::units::Bytes;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Models by shape; with a name, everything about that one and the engines that run it
    Models {
        /// One model
        name: Option<String>,
        /// models.toml to read
        #[arg(long, value_name = "FILE")]
        models: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Suites that come with the program and those in ./suites
    Suites {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Engines, whether this build has them, and what they can run
    Engines {
        /// Engine words; all engines of this build when none is given
        words: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Shows what there is.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Models { name, models, json } => list_models(name.as_deref(), models.clone(), *json),
        What::Suites { json } => list_suites(*json),
        What::Engines { words, json } => {
            let names: Vec<String> = engine::names().iter().map(|n| (*n).to_owned()).collect();
            let entries = here(if words.is_empty() { &names } else { words });
            if *json {
                print_json(&json!(entries))
            } else {
                show_engines(&entries)
            }
            Ok(Exit::Done)
        }
    }
}

fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}

/// An empty table: columns whose name begins with `>` are numbers and stand to the right.
pub fn table(header: &[&str]) -> Table {
    let column = |name: &&str| match name.strip_prefix('>') {
        Some(name) => Column::new(name, Align::Right),
        None => Column::new(*name, Align::Left),
    };
    Table::new(header.iter().map(column).collect())
}

fn list_models(name: Option<&str>, file: Option<PathBuf>, json: bool) -> Result<Exit, Failure> {
    let (catalogue, _) = files::catalogue(file.as_deref())?;
    let names: Vec<String> = engine::names().iter().map(|n| (*n).to_owned()).collect();
    let engines = here(&names);
    let runs = |arch: &str| -> Vec<&str> {
        let can = |entry: &&EngineEntry| {
            entry
                .capabilities
                .as_ref()
                .is_some_and(|c| c.archs.as_ref().is_none_or(|a| a.iter().any(|x| x == arch)))
        };
        engines.iter().filter(can).map(|entry| entry.word.as_str()).collect()
    };
    let shapes = match name {
        Some(name) => vec![catalogue.get(name).or_usage()?],
        None => catalogue.shapes().collect(),
    };
    if json {
        let rows: Vec<_> = shapes
            .iter()
            .map(|shape| {
                let mut row = json!(shape);
                row["n_params"] = json!(shape.n_params());
                row["engines"] = json!(runs(shape.arch.name()));
                row
            })
            .collect();
        print_json(&if name.is_some() { rows[0].clone() } else { json!(rows) });
        return Ok(Exit::Done);
    }
    let mixes = [FileMix::F16, FileMix::Q8_0, FileMix::Q4_0];
    let mut table = table(&[
        "model", "arch", ">params", ">layers", ">embd", ">heads", ">vocab", ">F16", ">Q8_0",
        ">Q4_0", "engines",
    ]);
    for shape in shapes {
        let mut row = vec![
            shape.name.clone(),
            shape.arch.name().to_owned(),
            format!("{:.1} M", shape.n_params() as f64 / 1e6),
            shape.n_layer.to_string(),
            shape.n_embd.to_string(),
            format!("{}/{}", shape.n_head, shape.n_head_kv),
            shape.n_vocab.to_string(),
        ];
        row.extend(mixes.iter().map(|mix| Bytes(mix.weight_bytes(shape)).to_string()));
        row.push(runs(shape.arch.name()).join(", "));
        table.push(row);
    }
    print(&table.to_text(super::report::terminal_width()));
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
        print_json(&json!(rows));
        return Ok(Exit::Done);
    }
    let mut table = table(&["suite", "source", "what it answers"]);
    for (name, source, description) in rows {
        let first = description.trim().lines().next().unwrap_or_default().to_owned();
        table.push(vec![name, source, first]);
    }
    print(&table.to_text(super::report::terminal_width()));
    Ok(Exit::Done)
}

fn show_engines(entries: &[EngineEntry]) {
    for entry in entries {
        let (Some(info), Some(can)) = (&entry.info, &entry.capabilities) else {
            let why = entry.missing.as_deref().unwrap_or("unknown").replace('\n', "\n           ");
            print(&format!("{}\n  missing  {why}\n", entry.word));
            continue;
        };
        let all = |words: Option<Vec<String>>| words.map_or("any".to_owned(), |w| w.join(", "));
        let types = |types: &[crate::ggml::GgmlType]| -> Vec<String> {
            types.iter().map(ToString::to_string).collect()
        };
        print(&format!("{} {}\n", info.name, info.version));
        let line = |name: &str, text: &str| print(&format!("  {name:<8} {text}\n"));
        line("build", &info.build);
        line("in use", &info.system);
        line("archs", &all(can.archs.clone()));
        line("weights", &all(can.weight_types.as_deref().map(types)));
        line("KV cache", &types(&can.kv_types).join(", "));
        line("devices", &can.devices.join(", "));
        if let Some(why) = &info.below_machine {
            line("warning", why);
        }
    }
}
