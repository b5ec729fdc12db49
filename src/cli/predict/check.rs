//! Predicted against measured: runs of before, each with its probe, and what coefficients they speak
//! for. Where something is fitted, a model is predicted by what the others say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{Arguments, device};
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::files;
use crate::cli::list::table;
use crate::model::Catalogue;
use crate::probe::Probe;
use crate::record::RunInfo;
use crate::report::{ReportView, count, measured_phases, number, write_text};
use crate::roofline::{
    Book, Fit, Observation, Phase, Spread, base_name, fit, leave_one_model_out, spread,
};
use crate::stats::median;

/// A phase of a cell, measured and predicted.
struct Row {
    engine: String,
    model: String,
    quant: String,
    arch: String,
    test: String,
    machine: String,
    date: String,
    observation: Observation,
    /// Seconds by the coefficients at hand.
    predicted_s: f64,
    /// Seconds by coefficients fitted without its model.
    left_out_s: f64,
}

impl Row {
    /// Predicted speed ÷ measured one − 1.
    fn error(&self, predicted_s: f64) -> f64 {
        self.observation.time_s / predicted_s - 1.0
    }

    fn tok_per_s(&self, time_s: f64) -> f64 {
        f64::from(self.observation.task.n_tokens) / time_s
    }

    fn phase(&self) -> Phase {
        self.observation.task.phase
    }
}

/// Shows how far predictions lie from what was measured, and writes what was fitted.
pub fn run(arguments: &Arguments, book: &Book) -> Result<Exit, Failure> {
    let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
    let given = arguments.probe.as_deref().map(device::read).transpose()?;
    let mut rows = Vec::new();
    for folder in &arguments.check {
        rows.extend(rows_of(folder, given.as_ref(), &catalogue, arguments)?);
    }
    if rows.is_empty() {
        return Err("no cell of these runs can be predicted\n\
                    hint: models by name that finished on the CPU can, with as many threads as the \
                    probe had")
        .or_usage();
    }
    let groups = Group::all(rows, book)?;
    if let Some(path) = &arguments.fit {
        let text = fitted(&groups, book)?;
        write_text(path, &text).or_unwritable()?;
    }
    arguments.show(
        &to_csv(&groups),
        || format!("{:#}\n", as_json(&groups)),
        |width| to_text(&groups, width),
    )?;
    Ok(Exit::Done)
}

/// The phases of a run's cells.
fn rows_of(
    path: &Path,
    given: Option<&Probe>,
    catalogue: &Catalogue,
    arguments: &Arguments,
) -> Result<Vec<Row>, Failure> {
    let (_, info, records) = files::run(path)?;
    if given.is_none() && info.probe.is_none() {
        eprintln!(
            "note: {}: left out, the run has no probe\nhint: --probe names one of the same machine",
            path.display()
        );
        return Ok(Vec::new());
    }
    let view = ReportView::new(&info, &records);
    let phases = measured_phases(&view, given, catalogue);
    let row = |phase: crate::report::MeasuredPhase| {
        let mut observation = phase.observation.clone();
        if let Some(class) = &arguments.class {
            observation.machine.class.clone_from(class);
        }
        Row {
            engine: phase.cell.cell.engine.clone(),
            model: phase.cell.cell.model.clone(),
            quant: phase.cell.cell.quant.clone(),
            arch: phase.arch.to_owned(),
            test: phase.test(),
            machine: machine(&info),
            date: info.started_at.chars().take(10).collect(),
            observation,
            predicted_s: f64::NAN,
            left_out_s: f64::NAN,
        }
    };
    Ok(phases.into_iter().map(row).collect())
}

/// The machine of a run, as its provenance names it.
fn machine(info: &RunInfo) -> String {
    let cpu = if info.host.cpu.is_empty() { "unknown CPU" } else { &info.host.cpu };
    format!("{cpu}, {}", count(info.host.n_cpus as usize, "CPU"))
}

/// Rows that share coefficients: of one engine on one class of machines.
struct Group {
    engine: String,
    class: String,
    rows: Vec<Row>,
    fit: Fit,
}

impl Group {
    fn all(rows: Vec<Row>, book: &Book) -> Result<Vec<Group>, Failure> {
        let mut groups: BTreeMap<(String, String), Vec<Row>> = BTreeMap::new();
        for row in rows {
            let class = row.observation.machine.class.clone();
            // Engines that nobody expects anything of: scripted ones, and those slowed down.
            if book.prior(base_name(&row.engine), &class).is_err() {
                continue;
            }
            groups.entry((base_name(&row.engine).to_owned(), class)).or_default().push(row);
        }
        groups
            .into_iter()
            .map(|((engine, class), rows)| Group::new(engine, class, rows, book))
            .collect()
    }

    fn new(
        engine: String,
        class: String,
        mut rows: Vec<Row>,
        book: &Book,
    ) -> Result<Group, Failure> {
        let prior = &book.prior(&engine, &class).or_usage()?.coefficients;
        let known = book.find(&engine, &class).or_usage()?;
        let observations: Vec<Observation> =
            rows.iter().map(|row| row.observation.clone()).collect();
        let left_out = leave_one_model_out(prior, &observations);
        for (row, left_out_s) in rows.iter_mut().zip(&left_out) {
            let Observation { task, machine, .. } = &row.observation;
            row.predicted_s = crate::roofline::parts(task, machine, known.coefficients).total_s();
            row.left_out_s = *left_out_s;
        }
        let of = |each: fn(&Row) -> &String| -> BTreeSet<String> {
            rows.iter().map(each).cloned().collect()
        };
        let error = |phase| {
            let none =
                Spread { n_cells: 0, types: BTreeSet::new(), median: 0.0, q10: 1.0, q90: 1.0 };
            rounded(spread(phase, &observations, &left_out).unwrap_or(none))
        };
        let fit = Fit {
            machines: of(|row| &row.machine).into_iter().collect(),
            date: of(|row| &row.date).into_iter().next_back().unwrap_or_default(),
            models: of(|row| &row.model).into_iter().collect(),
            archs: of(|row| &row.arch),
            prefill_error: error(Phase::Prefill),
            decode_error: error(Phase::Decode),
            coefficients: fit(prior, &observations.iter().collect::<Vec<_>>()).rounded(),
            engine: engine.clone(),
            class: class.clone(),
        };
        Ok(Group { engine, class, rows, fit })
    }

    fn errors(&self, phase: Phase, predicted_s: fn(&Row) -> f64) -> Vec<f64> {
        let of_phase = self.rows.iter().filter(|row| row.phase() == phase);
        of_phase.map(|row| row.error(predicted_s(row)).abs()).collect()
    }
}

fn rounded(spread: Spread) -> Spread {
    let round = |value: f64| (value * 1e3).round() / 1e3;
    Spread {
        median: round(spread.median),
        q10: round(spread.q10),
        q90: round(spread.q90),
        ..spread
    }
}

/// The book with these fits in it.
fn fitted(groups: &[Group], book: &Book) -> Result<String, Failure> {
    let mut book = book.clone();
    for group in groups {
        book.fits.retain(|fit| (&fit.engine, &fit.class) != (&group.engine, &group.class));
        book.fits.push(group.fit.clone());
    }
    let text = toml::to_string(&book).or_usage()?;
    Ok(format!("{}\n{text}", Book::HEAD))
}

fn to_text(groups: &[Group], width: usize) -> String {
    let percent = |error: f64| format!("{:+.0} %", error * 100.0);
    let mut cells = table(&[
        "phase",
        "engine",
        "model",
        "quant",
        "test",
        ">measured",
        ">predicted",
        ">error",
        ">without it",
        ">error",
    ]);
    for group in groups {
        for phase in Phase::BOTH {
            for row in group.rows.iter().filter(|row| row.phase() == phase) {
                cells.push(vec![
                    phase.word().to_owned(),
                    row.engine.clone(),
                    row.model.clone(),
                    row.quant.clone(),
                    row.test.clone(),
                    number(row.tok_per_s(row.observation.time_s)),
                    number(row.tok_per_s(row.predicted_s)),
                    percent(row.error(row.predicted_s)),
                    number(row.tok_per_s(row.left_out_s)),
                    percent(row.error(row.left_out_s)),
                ]);
            }
        }
    }
    let mut text = cells.to_text(width);
    text.push_str(
        "In tokens per second. predicted: by the coefficients at hand; without it: by coefficients \
         fitted to these runs but for the cells of that model.\n\n",
    );
    let mut medians = table(&[
        "engine",
        "class",
        "phase",
        ">cells",
        ">models",
        ">median |error|",
        ">without its model",
        ">within",
        ">share",
    ]);
    for group in groups {
        for phase in Phase::BOTH {
            let at_hand = group.errors(phase, |row| row.predicted_s);
            let left_out = group.errors(phase, |row| row.left_out_s);
            let (Some(a), Some(b)) = (median(&at_hand), median(&left_out)) else { continue };
            let bound = phase.aim();
            let within = left_out.iter().filter(|error| **error <= bound).count();
            let models: BTreeSet<&str> = group.rows.iter().map(|row| row.model.as_str()).collect();
            medians.push(vec![
                group.engine.clone(),
                group.class.clone(),
                phase.word().to_owned(),
                left_out.len().to_string(),
                models.len().to_string(),
                format!("{:.1} %", a * 100.0),
                format!("{:.1} %", b * 100.0),
                format!("{:.0} %", bound * 100.0),
                format!("{:.0} %", 100.0 * within as f64 / left_out.len() as f64),
            ]);
        }
    }
    text.push_str(&medians.to_text(width));
    for group in groups.iter().filter(|group| group.fit.models.len() < 2) {
        text.push_str(&format!(
            "{} on {}: of one model only, so without it nothing but the prior is left\n",
            group.engine, group.class
        ));
    }
    text
}

fn as_json(groups: &[Group]) -> Value {
    let row = |row: &Row| {
        json!({
            "engine": row.engine,
            "model": row.model,
            "quant": row.quant,
            "phase": row.phase().word(),
            "test": row.test,
            "class": row.observation.machine.class,
            "measured_tok_per_s": row.tok_per_s(row.observation.time_s),
            "predicted_tok_per_s": row.tok_per_s(row.predicted_s),
            "error": row.error(row.predicted_s),
            "left_out_tok_per_s": row.tok_per_s(row.left_out_s),
            "left_out_error": row.error(row.left_out_s),
        })
    };
    let summary = |group: &Group| {
        let phases = Phase::BOTH.into_iter().filter_map(|phase| {
            let left_out = group.errors(phase, |row| row.left_out_s);
            Some((
                phase.word().to_owned(),
                json!({
                    "n_cells": left_out.len(),
                    "median_error": median(&group.errors(phase, |row| row.predicted_s))?,
                    "left_out_median_error": median(&left_out)?,
                }),
            ))
        });
        let mut value = json!({ "engine": group.engine, "class": group.class });
        phases.for_each(|(phase, of)| value[phase] = of);
        value
    };
    json!({
        "summary": groups.iter().map(summary).collect::<Vec<_>>(),
        "cells": groups.iter().flat_map(|group| &group.rows).map(row).collect::<Vec<_>>(),
    })
}

fn to_csv(groups: &[Group]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: &[String]| {
        writer.write_record(fields).expect("writing into memory cannot fail");
    };
    let header = [
        "engine",
        "class",
        "model",
        "quant",
        "phase",
        "test",
        "measured_tok_per_s",
        "predicted_tok_per_s",
        "error",
        "left_out_tok_per_s",
        "left_out_error",
    ];
    write(&header.map(str::to_owned));
    for row in groups.iter().flat_map(|group| &group.rows) {
        write(&[
            row.engine.clone(),
            row.observation.machine.class.clone(),
            row.model.clone(),
            row.quant.clone(),
            row.phase().word().to_owned(),
            row.test.clone(),
            format!("{:.4}", row.tok_per_s(row.observation.time_s)),
            format!("{:.4}", row.tok_per_s(row.predicted_s)),
            format!("{:.4}", row.error(row.predicted_s)),
            format!("{:.4}", row.tok_per_s(row.left_out_s)),
            format!("{:.4}", row.error(row.left_out_s)),
        ]);
    }
    let bytes = writer.into_inner().expect("writing into memory cannot fail");
    String::from_utf8(bytes).expect("names are text")
}
