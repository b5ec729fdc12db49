//! The suites that come with the program: each is planned, and run with the scripted engine.

use std::collections::BTreeSet;

use slmbench::model::{Catalogue, FileMix};
use slmbench::suite::{SUITES, Suite, builtin, parse};

use crate::support::Bench;

fn suite(name: &str) -> Suite {
    parse(builtin(name).unwrap(), &format!("{name}.toml")).unwrap()
}

/// The values that a text axis has in any matrix of a suite.
fn named(suite: &Suite, axis: fn(&slmbench::suite::Axes) -> &Vec<String>) -> BTreeSet<String> {
    suite.matrices.iter().flat_map(|matrix| axis(&matrix.axes).clone()).collect()
}

#[test]
fn every_suite_runs_to_its_end_and_measures_every_cell() {
    for (name, _) in SUITES {
        let bench = Bench::new();
        let scripted = ["--engine", "fake:clock=scripted", "--invocations", "1"];
        let dry = [&["run", name, "--dry-run"], &scripted[..]].concat();
        let planned = bench.run(&dry).ends_with(0).stdout;
        let n_planned = planned.lines().skip(2).take_while(|line| !line.is_empty()).count();
        assert!(n_planned >= 1, "{name}:\n{planned}");

        bench
            .run(&[&["run", name, "--out", "out", "--quiet"], &scripted[..]].concat())
            .ends_with(0);
        let records = bench.records("out");
        let ids: BTreeSet<&str> =
            records.iter().map(|record| record["cell"]["id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), records.len()), (n_planned, n_planned), "{name}");
        for record in &records {
            assert_eq!(record["outcome"]["kind"], "finished", "{name}: {}", record["outcome"]);
        }
        for file in ["summary.md", "cells.csv", "tokens.csv"] {
            assert!(!bench.read(&format!("out/{file}")).is_empty(), "{name}: {file}");
        }
    }
}

#[test]
fn the_survey_suite_has_every_model_that_the_survey_measured_and_its_settings() {
    let suite = suite("survey");
    let catalogue = Catalogue::built_in().unwrap();
    let measured = catalogue.models().iter().filter(|model| model.survey_name.is_some());
    let measured: BTreeSet<String> = measured.map(|model| model.name.clone()).collect();
    assert_eq!(measured.len(), 22);
    assert_eq!(named(&suite, |axes| &axes.model), measured);
    for point in suite.matrices[0].axes.points(1) {
        let s = &point.settings;
        assert_eq!((point.n_prompt, point.n_gen, point.n_depth), (50, 49, 0));
        assert_eq!((&*point.quant, &*point.engine), ("Q4_K_M@2024", "llama-cpp"));
        assert_eq!((s.n_ctx.unwrap_or(0), s.n_ubatch), (2048, 512));
        assert_eq!(s.flash_attn.to_string(), "off");
    }
}

#[test]
fn the_quant_suite_has_every_file_mix() {
    let all: BTreeSet<String> = FileMix::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named(&suite("quant"), |axes| &axes.quant), all);
}

#[test]
fn the_full_suite_has_every_model_that_is_not_there_for_tests() {
    let bench = Bench::new();
    let run = ["run", "full", "--engine", "fake:", "--dry-run"];
    let planned = bench.run(&run).ends_with(0).stdout;
    for model in Catalogue::built_in().unwrap().models() {
        let is_there = planned.lines().any(|line| line.split_whitespace().any(|w| w == model.name));
        assert_eq!(is_there, !model.name.starts_with("tiny-"), "{}", model.name);
    }
}

#[test]
fn the_threads_suite_goes_from_one_to_all_cpus() {
    let suite = suite("threads");
    let numbers = |n_cpus| -> BTreeSet<u32> {
        let points = suite.matrices[0].axes.points(n_cpus);
        points.iter().map(|point| point.settings.n_threads.unwrap_or(0)).collect()
    };
    assert_eq!(numbers(1), [1].into());
    assert_eq!(numbers(4), [1, 2, 4].into());
    assert_eq!(numbers(12), [1, 2, 4, 8, 12].into());
}
