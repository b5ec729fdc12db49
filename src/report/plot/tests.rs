//! The plots of made-up runs: well-formed, labelled, and with numbers in every place.

use super::*;
use crate::report::fixture::{self, Fixture};

fn drawn(fixture: &Fixture) -> Vec<Plot> {
    plots(&ReportView::new(&fixture.run, &fixture.records))
}

fn all() -> Vec<(&'static str, Fixture)> {
    vec![
        ("matrix", fixture::matrix(3)),
        ("two", fixture::matrix(2)),
        ("single", fixture::single(1)),
        ("mishaps", fixture::mishaps()),
        ("many", fixture::many()),
        ("models", fixture::models()),
        ("mixes", fixture::mixes()),
    ]
}

/// Every tag is closed by its own name; `<` and `&` occur nowhere else.
pub fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("an open tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    for (i, _) in svg.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"];
        assert!(known.iter().any(|k| svg[i..].starts_with(k)), "{}", &svg[i..i + 10]);
    }
}

#[test]
fn every_plot_is_well_formed_and_has_only_numbers_for_coordinates() {
    for (_, fixture) in all() {
        for plot in drawn(&fixture) {
            assert_well_formed(&plot.svg);
            assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"), "{}", plot.file);
        }
    }
}

/// Every place that a rectangle or a text is put to lies within the picture.
pub fn assert_on_the_sheet(svg: &str, what: &str) {
    let size = svg.split("viewBox=\"0 0 ").nth(1).unwrap();
    let size: Vec<i32> = size.split(['"', ' ']).take(2).map(|n| n.parse().unwrap()).collect();
    for (name, most) in [(" x=\"", size[0]), (" y=\"", size[1])] {
        for value in svg.split(name).skip(1) {
            let value: i32 = value.split('"').next().unwrap().parse().unwrap();
            assert!((0..=most).contains(&value), "{what}: {name}{value}");
        }
    }
}

#[test]
fn nothing_is_drawn_beside_the_sheet() {
    for (_, fixture) in all() {
        for plot in drawn(&fixture) {
            assert_on_the_sheet(&plot.svg, &plot.file);
        }
    }
}

#[test]
fn axes_have_names_and_units_and_the_title_says_where() {
    let plots = drawn(&fixture::matrix(3));
    for (file, axis) in [
        ("prefill.svg", "prefill throughput (tokens/s)"),
        ("decode.svg", "decode throughput (tokens/s)"),
        ("prefill-depth.svg", "depth (tokens in the KV cache before)"),
        ("decode-depth.svg", "decode (tokens/s)"),
        ("itl-SmolLM2-135M.svg", "inter-token latency (ms)"),
        ("memory.svg", "memory (MiB)"),
    ] {
        let plot = plots.iter().find(|p| p.file == file).unwrap();
        assert!(plot.svg.contains(axis), "{file}");
        assert!(plot.svg.contains("Raspberry Pi 5"), "{file}");
        assert!(plot.svg.contains("n = 3 invocations"), "{file}");
        assert!(is_plot(&plot.file));
    }
}

#[test]
fn models_are_compared_where_a_run_holds_three_and_every_one_is_named() {
    let fixture = fixture::models();
    let plots = drawn(&fixture);
    let svg = &plots.iter().find(|p| p.file == "params.svg").unwrap().svg;
    // Two engines, two quantisations, two rates.
    let times = |word: &str| svg.lines().filter(|line| line.trim() == word).count();
    for model in distinct(fixture.run.cells.iter().map(|c| &c.model)) {
        assert_eq!(times(model), 8, "{model}");
    }
    for axis in ["unique parameters", "prefill (tokens/s)", "decode (tokens/s)"] {
        assert!(svg.contains(axis), "{axis}");
    }
    assert!(svg.contains("as llama.cpp counts"));
    assert!(!drawn(&fixture::matrix(3)).iter().any(|p| p.file == "params.svg"));
}

#[test]
fn quantisations_are_compared_where_a_model_has_three_and_every_one_is_named() {
    let fixture = fixture::mixes();
    let plots = drawn(&fixture);
    let svg = &plots.iter().find(|p| p.file == "bits-Qwen2.5-0.5B.svg").unwrap().svg;
    let times = |word: &str| svg.lines().filter(|line| line.trim() == word).count();
    let own = fixture.run.cells.iter().filter(|c| c.model == "Qwen2.5-0.5B");
    for quant in distinct(own.map(|c| &c.quant)) {
        assert_eq!(times(quant), 3, "{quant}");
    }
    for axis in ["effective bits per weight", "memory (MiB)", "bytes of the weights"] {
        assert!(svg.contains(axis), "{axis}");
    }
    assert!(plots.iter().any(|p| p.file == "bits-SmolLM2-135M.svg"));
    assert!(!drawn(&fixture::many()).iter().any(|p| p.file.starts_with("bits-")));
}

#[test]
fn models_at_other_depths_are_not_compared() {
    let mut fixture = fixture::models();
    fixture.run.cells.truncate(12);
    for (i, cell) in fixture.run.cells.iter_mut().enumerate() {
        cell.n_depth = (i / 4 * 100) as u32;
        cell.id = cell.compute_id();
    }
    fixture.records.truncate(36);
    for record in &mut fixture.records {
        let same = |c: &&crate::plan::Cell| {
            (&c.engine, &c.model, &c.quant)
                == (&record.cell.engine, &record.cell.model, &record.cell.quant)
        };
        record.cell = fixture.run.cells.iter().find(same).unwrap().clone();
    }
    assert!(!drawn(&fixture).iter().any(|p| p.file == "params.svg"));
}

#[test]
fn an_interval_is_never_claimed_for_fewer_than_three_invocations() {
    for plot in drawn(&fixture::matrix(2)) {
        assert!(!plot.svg.contains("95 %"), "{}", plot.file);
    }
}

#[test]
fn a_plot_without_data_is_not_made() {
    let files = |fixture: &Fixture| drawn(fixture).into_iter().map(|p| p.file).collect::<Vec<_>>();
    assert_eq!(
        files(&fixture::single(1)),
        ["prefill.svg", "decode.svg", "itl.svg", "itl-SmolLM2-135M.svg", "memory.svg"]
    );
    let mut none = fixture::single(1);
    none.records.clear();
    assert!(files(&none).is_empty());
}

#[test]
fn long_series_are_thinned() {
    let mut fixture = fixture::single(1);
    for sample in &mut fixture.records[0].samples {
        sample.itl_ns = (0..10_000).map(|i| 10_000_000 + i * 100).collect();
    }
    let plot = drawn(&fixture).into_iter().find(|p| p.file.starts_with("itl-")).unwrap();
    for line in plot.svg.lines().filter(|l| l.contains("points=")) {
        assert!(line.matches(',').count() <= 2000);
    }
}

/// `cargo test plots_to_look_at -- --ignored` writes every plot, to be looked at.
#[test]
#[ignore = "for the eye"]
fn plots_to_look_at() {
    let folder = std::env::temp_dir().join("slmbench-plots");
    for (name, fixture) in all() {
        let view = ReportView::new(&fixture.run, &fixture.records);
        crate::report::write_all(&view, &folder.join(name)).unwrap();
    }
    println!("{}", folder.display());
}
