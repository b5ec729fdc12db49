//! The survey's figures of made-up runs: each is drawn, named, and says what it should.

use super::*;
use crate::ggml::GgmlType;
use crate::plan::Cell;
use crate::report::fixture::{self, Fixture, Model};
use crate::report::plot::tests::{assert_on_the_sheet, assert_well_formed};
use crate::settings::Auto;

/// A model of the catalogue for the cost model of the fixtures.
fn model(name: &str) -> Model {
    let catalogue = Catalogue::built_in().unwrap();
    let shape = catalogue.get(name).unwrap();
    let n_params = shape.n_params();
    Model {
        name: Box::leak(name.to_owned().into_boxed_str()),
        arch: shape.arch.name(),
        n_params,
        n_params_llama_cpp: n_params,
        kv_bytes_per_token: 20_000,
    }
}

fn cell(name: &str, quant: &str, n_prompt: u32, n_gen: u32) -> (Model, Cell) {
    let mut cell = fixture::cell(name, GgmlType::Q4_0, "llama-cpp", 0);
    cell.quant = quant.to_owned();
    (cell.n_prompt, cell.n_gen) = (n_prompt, n_gen);
    cell.settings.n_ctx = Auto::Fixed(2048);
    cell.id = cell.compute_id();
    (model(name), cell)
}

/// Runs cells, with a context of 2048 tokens as the engine took it.
fn run(cells: Vec<(Model, Cell)>, invocations: u32, label: &str) -> Fixture {
    let mut fixture = fixture::fixture(cells, invocations);
    fixture.run.label = Some(label.to_owned());
    for record in &mut fixture.records {
        if let Some(resolved) = &mut record.resolved {
            resolved.n_ctx = 2048;
        }
    }
    fixture
}

/// Models as the survey runs them. Of those of the fixtures' cost model a larger one is never faster,
/// so one is made to be.
fn models(invocations: u32) -> Fixture {
    let names =
        ["SmolLM-135M", "Pythia-160M", "SmolLM-360M", "Qwen1.5-0.5B", "Qwen2-0.5B", "BLOOM-1.1B"];
    let mut fixture =
        run(names.map(|name| cell(name, "Q4_K_M", 50, 49)).into(), invocations, "desk");
    for record in fixture.records.iter_mut().filter(|r| r.cell.model == "Pythia-160M") {
        for sample in &mut record.samples {
            sample.ttft_ns = sample.ttft_ns.map(|ns| ns / 2);
        }
    }
    fixture
}

/// A sweep over lengths in several formats.
fn formats(name: &str, quants: &[&str], label: &str) -> Fixture {
    let lengths = [8, 15, 22, 29, 36, 43, 50];
    let cells = quants.iter().flat_map(|quant| {
        let prefill = lengths.map(|n| cell(name, quant, n, 0));
        let decode = lengths.map(|n| cell(name, quant, 50, n - 1));
        prefill.into_iter().chain(decode)
    });
    run(cells.collect(), 3, label)
}

const QUANTS: [&str; 6] = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"];

/// Everything at once: every figure has data.
fn everything() -> Vec<Fixture> {
    let mut profile = fixture::profiled();
    profile.run.label = Some("desk".to_owned());
    for record in &mut profile.records {
        record.cell.model = "Qwen2-0.5B".to_owned();
    }
    vec![
        models(3),
        formats("phi-1.5", &QUANTS, "desk"),
        formats("BLOOM-1.1B", &["Q4_K_M"], "desk"),
        formats("BLOOM-1.1B", &["Q4_K_M"], "phone"),
        formats("Qwen1.5-1.8B", &["Q4_K_M"], "phone"),
        profile,
    ]
}

fn drawn(fixtures: &[Fixture]) -> (Vec<Figure>, Vec<Missing>) {
    let views: Vec<ReportView> =
        fixtures.iter().map(|f| ReportView::new(&f.run, &f.records)).collect();
    let catalogue = Catalogue::built_in().unwrap();
    figures(&Runs::new(&views, &catalogue))
}

fn figure<'a>(figures: &'a [Figure], number: &str) -> &'a Figure {
    figures.iter().find(|f| f.number == number).unwrap_or_else(|| panic!("no figure {number}"))
}

const NUMBERS: [&str; 13] =
    ["8a", "8b", "8c", "9a", "9b", "10a", "10b", "11a", "11b", "12a", "12b", "13a", "13b"];

#[test]
fn every_figure_of_the_survey_is_drawn_well_formed_and_on_its_sheet() {
    let (figures, missing) = drawn(&everything());
    assert_eq!(figures.iter().map(|f| f.number).collect::<Vec<_>>(), NUMBERS);
    assert_eq!(missing, []);
    for figure in &figures {
        assert_well_formed(&figure.svg);
        assert_on_the_sheet(&figure.svg, figure.stem);
        assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"), "{}", figure.stem);
        assert!(!figure.told.is_empty() && is_figure(&format!("{}.svg", figure.stem)));
        for paragraph in &figure.told {
            let odd = ["NaN", "inf ", "  "].into_iter().find(|odd| paragraph.contains(odd));
            assert_eq!(odd, None, "{}: {paragraph}", figure.number);
        }
        assert!(figure.csv.lines().count() > 3, "{}", figure.csv);
    }
}

#[test]
fn every_figure_tells_unit_device_and_how_often() {
    let (figures, _) = drawn(&everything());
    for (number, axis) in [
        ("8a", "TTFT, 50 tokens in (ms)"),
        ("8b", "TPOT, 50 tokens out (ms)"),
        ("8c", "memory at n_ctx 2048 (MiB)"),
        ("9a", "TTFT (ms)"),
        ("9b", "TPOT (ms)"),
        ("10a", "prompt (tokens)"),
        ("10b", "tokens out"),
        ("12a", "share of the time (%)"),
        ("13a", "memory (MiB)"),
    ] {
        let svg = &figure(&figures, number).svg;
        assert!(svg.contains(axis) && svg.contains("desk"), "{number}");
    }
    for number in ["8a", "8b", "8c", "9a", "9b", "10a", "10b"] {
        let svg = &figure(&figures, number).svg;
        assert!(svg.contains("n = 3 invocations") && svg.contains("for shape"), "{number}");
    }
}

#[test]
fn a_larger_model_that_is_faster_is_called_out_in_the_picture_and_in_words() {
    let (figures, _) = drawn(&[models(3)]);
    let first = figure(&figures, "8a");
    let told = first.told.iter().find(|t| t.starts_with("Call-outs:")).unwrap();
    assert!(told.contains("Pythia-160M has 20."), "{told}");
    assert!(first.svg.contains("less time"), "{}", first.stem);
    let decode = figure(&figures, "8b");
    assert!(decode.told.iter().any(|t| t.contains("No model with more unique parameters")));
    // Twice the parameters, twice the bytes: the fixtures' decode.
    let grows = ["with the power 0.9", "with the power 1.0"];
    assert!(grows.iter().any(|g| decode.told[0].contains(g)), "{}", decode.told[0]);
    let printed = first.told.iter().find(|t| t.contains("31.9 % less time")).unwrap();
    assert!(
        printed.contains("Of unique parameters the first has -6.1 %; here it takes"),
        "{printed}"
    );
}

#[test]
fn an_interval_is_never_claimed_for_fewer_than_three_invocations() {
    let (figures, _) = drawn(&[models(2)]);
    for figure in figures {
        assert!(!figure.svg.contains("95 %"), "{}", figure.stem);
    }
}

#[test]
fn what_a_format_saves_is_computed_of_both() {
    let (figures, _) = drawn(&everything());
    let decode = figure(&figures, "9b");
    let survey = decode.told.iter().find(|t| t.starts_with("The survey's curves")).unwrap();
    assert!(survey.contains("Q4_K_M 51.5 % (from 44.0 to 56.7 %)"), "{survey}");
    assert!(
        decode.told.iter().any(|t| t.contains("Q3_K_M is slower than Q4_K_M: no here, yes in the"))
    );
    let prefill = figure(&figures, "9a");
    let survey = prefill.told.iter().find(|t| t.starts_with("The survey's curves")).unwrap();
    assert!(survey.contains("Q4_K_M 26.9 % (from 10.4 to 40.2 %)"), "{survey}");
}

#[test]
fn the_curve_that_was_divided_by_one_token_too_many_is_told_and_ours_is_not_taken_for_it() {
    let (figures, _) = drawn(&everything());
    let told = &figure(&figures, "10b").told;
    let meizu = told.iter().find(|t| t.contains("Meizu 18 Pro, CPU: 79.51 ms × (n − 1) ÷ n"));
    assert!(meizu.is_some(), "{told:?}");
    let ours: Vec<&String> =
        told.iter().filter(|t| t.contains(" on desk") || t.contains(" on phone")).collect();
    assert_eq!(ours.len(), 2, "{told:?}");
    assert!(ours.iter().all(|t| t.contains("ms per token on average")), "{ours:?}");
    assert!(figure(&figures, "10a").told.iter().any(|t| t.contains("takes 1.0 to 1.0 times what")));
}

#[test]
fn shares_of_a_bar_add_up_and_the_survey_s_stand_beside_them() {
    let (figures, _) = drawn(&everything());
    for number in ["12a", "12b"] {
        let mut sums = std::collections::BTreeMap::<String, f64>::new();
        let mut csv = csv::Reader::from_reader(figure(&figures, number).csv.as_bytes());
        for row in csv.records().map(Result::unwrap) {
            let key = format!("{} {}", &row[0], &row[2]);
            *sums.entry(key).or_default() += row[5].parse::<f64>().unwrap_or(0.0);
        }
        assert_eq!(sums.len(), 4, "{sums:?}");
        assert!(sums.values().all(|sum| (sum - 1.0).abs() < 0.002), "{number}: {sums:?}");
    }
}

#[test]
fn predicted_memory_agrees_with_the_survey_s_bars() {
    let (figures, _) = drawn(&[]);
    let told = &figure(&figures, "13a").told[0];
    assert!(
        told.starts_with(
            "Of 12 bars of the survey the prediction differs by at most 0.0 MiB in the KV"
        ),
        "{told}"
    );
    let longest = &figure(&figures, "13b").told[0];
    for words in ["Qwen2-0.5B at 131072: 6\u{202f}153 MiB", "with the compute buffer 90.3 %"] {
        assert!(longest.contains(words), "{longest}");
    }
}

#[test]
fn a_figure_without_data_is_named_with_what_would_measure_it() {
    let (figures, missing) = drawn(&[fixture::single(1)]);
    assert_eq!(figures.iter().map(|f| f.number).collect::<Vec<_>>(), ["13a", "13b"]);
    let named: Vec<&str> = missing.iter().map(|m| m.number).collect();
    assert_eq!(named, NUMBERS[..11]);
    assert!(missing.iter().all(|m| m.command.starts_with("slmbench ")));
}

#[test]
fn figures_of_an_earlier_layout_are_removed_and_the_page_shows_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let everything = everything();
    let views: Vec<ReportView> =
        everything.iter().map(|f| ReportView::new(&f.run, &f.records)).collect();
    let files = write_survey(&views, folder.path()).unwrap();
    assert_eq!((files.written.len(), files.drawn.len()), (27, 13));
    let files = write_survey(&views[..1], folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files.written.len());
    let page = std::fs::read_to_string(folder.path().join(PAGE)).unwrap();
    assert!(page.contains("![First-token time against parameters](fig08a-first-token.svg)"));
    assert!(
        page.contains("- Figure 9a, ") && page.contains("`slmbench run survey-quant"),
        "{page}"
    );
}

/// `cargo test survey_to_look_at -- --ignored` writes every figure, to be looked at.
#[test]
#[ignore = "for the eye"]
fn survey_to_look_at() {
    let folder = std::env::temp_dir().join("slmbench-survey");
    let everything = everything();
    let views: Vec<ReportView> =
        everything.iter().map(|f| ReportView::new(&f.run, &f.records)).collect();
    write_survey(&views, &folder).unwrap();
    println!("{}", folder.display());
}
