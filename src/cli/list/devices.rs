//! `slmbench list devices`: the devices that are known, and which one this machine is.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{print_json, table};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{files, print, report};
use crate::report::plain;
use crate::sensors::{HostFacts, host_facts};
use crate::suite::{DeviceMemory, DeviceSpec};
use crate::units::Bytes;

const EXAMPLES: &str = "Examples:
  slmbench list devices                               memory, limits, and which one this is";

/// Arguments of `list devices`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// devices.toml to read
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Shows them.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (devices, _) = files::devices(arguments.devices.as_deref())?;
    let host = host_facts(&files::machine());
    let here = this_machine(&devices, &host);
    let rows = devices.iter().flat_map(|device| {
        let none = device.sizes().is_empty().then_some((device, None));
        none.into_iter().chain(device.sizes().iter().map(move |size| (device, Some(size))))
    });
    let rows: Vec<Row> = rows.map(|(device, size)| Row { device, size }).collect();
    let is_here = |row: &Row| here.is_some_and(|here| row.is(here));
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(|row| row.as_json(is_here(row))).collect();
        print_json(&json!(rows))?;
        return Ok(Exit::Done);
    }
    let mut table = table(&[
        "device",
        ">memory",
        ">free to a program",
        ">soft limit",
        ">hard limit",
        "recognised by",
        "",
    ]);
    for row in &rows {
        table.push(row.as_texts(is_here(row)));
    }
    print(&table.to_text(report::terminal_width()))?;
    if here.is_none() {
        let machine = host.machine.as_deref().map_or("no name".to_owned(), plain);
        let memory = Bytes(host.memory_bytes);
        print(&format!(
            "this machine is none of them: it has {memory} and says: {machine}, {}\n",
            plain(&host.cpu)
        ))?;
    }
    Ok(Exit::Done)
}

/// A device and one of its sizes of memory.
#[derive(Clone, Copy)]
struct Row<'a> {
    device: &'a DeviceSpec,
    size: Option<&'a DeviceMemory>,
}

/// The device that this machine is, with its size where that is known.
fn this_machine<'a>(devices: &'a [DeviceSpec], host: &HostFacts) -> Option<Row<'a>> {
    let device = devices.iter().find(|device| device.is(&host.said()))?;
    let size = device.size_of(host.memory_bytes).or(device.sizes().last());
    Some(Row { device, size })
}

impl Row<'_> {
    fn is(&self, other: Row) -> bool {
        self.device.name == other.device.name && self.size == other.size
    }

    fn name(&self) -> String {
        self.size.map_or_else(|| self.device.name.clone(), |size| self.device.name_with(size))
    }

    /// `machine Raspberry Pi 5*, cpu …`.
    fn recognised_by(&self) -> String {
        let Some(by) = &self.device.recognise else { return "–".to_owned() };
        let given = by.given().map(|(key, pattern)| format!("{key} {pattern}"));
        given.collect::<Vec<_>>().join(", ")
    }

    fn as_texts(&self, is_here: bool) -> Vec<String> {
        let degrees = |limit: Option<crate::units::Celsius>| {
            limit.map_or_else(|| "–".to_owned(), |limit| limit.to_string())
        };
        let size = |of: fn(&DeviceMemory) -> Bytes| {
            self.size.map_or_else(|| "–".to_owned(), |size| of(size).to_string())
        };
        vec![
            self.name(),
            size(|size| size.total),
            size(|size| size.free),
            degrees(self.device.soft_limit),
            degrees(self.device.hard_limit),
            self.recognised_by(),
            if is_here { "this machine".to_owned() } else { String::new() },
        ]
    }

    fn as_json(&self, is_here: bool) -> serde_json::Value {
        let mut row = json!({
            "name": self.name(),
            "device": self.device.name,
            "temperature": self.device.temperature,
            "channels": self.device.channels,
            "is_this_machine": is_here,
        });
        if let Some(size) = self.size {
            row["memory_bytes"] = json!(size.total);
            row["memory_free_bytes"] = json!(size.free);
        }
        for (key, limit) in
            [("soft_limit", self.device.soft_limit), ("hard_limit", self.device.hard_limit)]
        {
            if let Some(limit) = limit {
                row[key] = json!(limit);
            }
        }
        if let Some(by) = &self.device.recognise {
            let given = by.given().map(|(key, pattern)| (key.to_owned(), json!(pattern)));
            row["recognise"] = given.collect::<serde_json::Map<_, _>>().into();
        }
        row
    }
}
