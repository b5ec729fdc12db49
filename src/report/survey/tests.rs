//! The survey's figures of made-up runs: each is drawn, named, and says what it should.

use super::*;
use crate::ggml::GgmlType;
use crate::plan::Cell;
use crate::record::{Mark, OpKind, Outcome, Record};
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

/// Runs cells at the survey's settings, as the engine took them.
fn run(mut cells: Vec<(Model, Cell)>, invocations: u32, label: &str) -> Fixture {
    // The cost model knows mixes without the state of their rules.
    let quants: Vec<String> = cells.iter().map(|(_, cell)| cell.quant.clone()).collect();
    for (_, cell) in &mut cells {
        cell.quant.truncate(cell.quant.find('@').unwrap_or(cell.quant.len()));
    }
    let mut fixture = fixture::fixture(cells, invocations);
    fixture.run.label = Some(label.to_owned());
    for (cell, quant) in fixture.run.cells.iter_mut().zip(quants) {
        cell.quant = quant;
    }
    for (i, record) in fixture.records.iter_mut().enumerate() {
        record.cell = fixture.run.cells[i / invocations as usize].clone();
        if let Some(resolved) = &mut record.resolved {
            (resolved.n_ctx, resolved.n_ubatch, resolved.flash_attn) = (2048, 512, false);
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
        run(names.map(|name| cell(name, "Q4_K_M@2024", 50, 49)).into(), invocations, "desk");
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

/// Three invocations of a profile, of which the last one waits longer.
fn profile() -> Fixture {
    let mut profile = fixture::profiled();
    profile.run.label = Some("desk".to_owned());
    profile.records[0].cell.model = "Qwen2-0.5B".to_owned();
    let mut slow = profile.records[0].clone();
    let phases = slow.profile.as_mut().unwrap();
    for phase in [&mut phases.prefill, &mut phases.decode].into_iter().flatten() {
        let wait = phase.ops.iter_mut().find(|total| total.op.kind == OpKind::Wait).unwrap();
        wait.cost.ns *= 10;
        let more = wait.cost.ns * 9 / 10 / 5;
        phase.profiled_ns.iter_mut().for_each(|ns| *ns += more);
    }
    for invocation in 1..3 {
        let of = if invocation == 2 { &slow } else { &profile.records[0] };
        let record = Record { invocation, ..of.clone() };
        profile.records.push(record);
    }
    profile
}

/// Everything at once: every figure has data.
fn everything() -> Vec<Fixture> {
    let profile = profile();
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
    figures.iter().find(|f| f.name.number == number).unwrap_or_else(|| panic!("no figure {number}"))
}

const NUMBERS: [&str; 13] =
    ["8a", "8b", "8c", "9a", "9b", "10a", "10b", "11a", "11b", "12a", "12b", "13a", "13b"];

#[test]
fn every_figure_of_the_survey_is_drawn_well_formed_and_on_its_sheet() {
    let (figures, missing) = drawn(&everything());
    assert_eq!(figures.iter().map(|f| f.name).collect::<Vec<_>>(), names::ALL);
    assert_eq!(names::ALL.map(|name| name.number), NUMBERS);
    assert_eq!(missing, []);
    for figure in &figures {
        assert_well_formed(&figure.svg);
        assert_on_the_sheet(&figure.svg, figure.name.stem);
        assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"), "{}", figure.name.stem);
        assert!(!figure.told.is_empty());
        for paragraph in &figure.told {
            let odd = ["NaN", "inf ", "  "].into_iter().find(|odd| paragraph.contains(odd));
            assert_eq!(odd, None, "{}: {paragraph}", figure.name.number);
        }
        assert!(figure.csv.lines().count() > 3, "{}", figure.csv);
    }
}

#[test]
fn every_figure_tells_unit_device_and_how_often() {
    let (figures, _) = drawn(&everything());
    let axes = [
        "TTFT, 50 tokens in (ms)",
        "TPOT, 50 tokens out (ms)",
        "memory at n_ctx 2048 (MiB)",
        "TTFT (ms)",
        "TPOT (ms)",
        "prompt (tokens)",
        "tokens out",
        "prompt (tokens)",
        "tokens out",
        "share of the time (%)",
        "share of the time (%)",
        "memory (MiB)",
        "memory (MiB)",
    ];
    for (figure, axis) in figures.iter().zip(axes) {
        let svg = &figure.svg;
        let device = if figure.name.number.starts_with("11") { "phone" } else { "desk" };
        assert!(svg.contains(axis) && svg.contains(device), "{}", figure.name.number);
        assert!(svg.contains("n = 3 invocations"), "{}", figure.name.number);
    }
    for number in ["8a", "8b", "8c", "9a", "9b", "10a", "10b", "12a", "12b"] {
        assert!(figure(&figures, number).svg.contains("for shape"), "{number}");
    }
}

#[test]
fn a_larger_model_that_is_faster_is_called_out_in_the_picture_and_in_words() {
    let (figures, _) = drawn(&[models(3)]);
    let first = figure(&figures, "8a");
    let told = first.told.iter().find(|t| t.starts_with("Call-outs:")).unwrap();
    assert!(told.contains("Pythia-160M has 20."), "{told}");
    assert!(first.svg.contains("less time"), "{}", first.name.stem);
    let decode = figure(&figures, "8b");
    assert!(
        decode.told.iter().any(|t| t.contains("no model takes less time here than one with fewer"))
    );
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
    for invocations in [1, 2] {
        let (figures, _) = drawn(&[models(invocations)]);
        for figure in &figures {
            assert!(!figure.svg.contains("95 %"), "{}", figure.name.stem);
            assert!(!figure.svg.contains("by more than the intervals"), "{}", figure.name.stem);
        }
        let first = figure(&figures, "8a");
        assert!(!first.svg.contains("less time"), "a range is no interval: {:?}", first.told);
        let told = first.told.join("\n");
        assert!(
            told.contains("No call-outs: fewer than 3 invocations give no intervals"),
            "{told}"
        );
        assert!(!told.contains("Call-outs:") && !told.contains("within the"), "{told}");
        assert!(told.contains("without intervals to tell whether that says anything"), "{told}");
    }
}

#[test]
fn only_models_with_intervals_are_held_against_each_other() {
    let mut some = models(3);
    some.records.retain(|r| r.cell.model != "Pythia-160M" || r.invocation == 0);
    let (figures, _) = drawn(&[some]);
    let first = figure(&figures, "8a");
    let told = first.told.iter().find(|t| t.starts_with("No call-outs")).unwrap();
    assert!(told.contains("no model of the 5 of 6 models that have intervals takes"), "{told}");
    assert!(first.svg.contains("n = 1 to 3 invocations; whiskers where there are three"));
}

#[test]
fn marks_and_what_did_not_finish_are_told_beside_every_figure() {
    let mut runs = everything();
    let is_marked = |r: &Record| {
        let lengths = (r.cell.n_prompt, r.cell.n_gen);
        r.cell.profile || [(8, 0), (50, 7), (50, 49)].contains(&lengths)
    };
    for record in runs.iter_mut().flat_map(|f| &mut f.records).filter(|r| is_marked(r)) {
        record.marks = vec![Mark::Disturbed];
    }
    let is_gone = |r: &Record| match r.cell.model.as_str() {
        "BLOOM-1.1B" => (r.cell.n_prompt, r.cell.n_gen) == (50, 49) || r.cell.n_prompt == 43,
        "phi-1.5" => r.cell.quant == "Q8_0",
        "Qwen1.5-1.8B" => r.cell.n_prompt == 43 || r.cell.n_gen == 42,
        _ => false,
    };
    for record in runs.iter_mut().flat_map(|f| &mut f.records).filter(|r| is_gone(r)) {
        record.outcome = Outcome::OutOfMemory { message: "allocation refused".into() };
        record.samples.clear();
    }
    let mut gone = profile();
    for record in &mut gone.records {
        record.cell.model = "Qwen1.5-0.5B".to_owned();
        record.cell.id = record.cell.compute_id();
        record.outcome = Outcome::TimedOut { limit_s: 60 };
        record.profile = None;
    }
    runs.push(gone);
    let (figures, _) = drawn(&runs);
    let absent = |number: &str| match number {
        "8a" | "8b" | "8c" | "13a" => "Not finished, and so not here: BLOOM-1.1B (out of memory).",
        "9a" => "Q8_0 pp8 (out of memory)",
        "9b" => "Q8_0 pp50+tg7 (out of memory)",
        "10a" => "pp43 on desk (out of memory); pp43 on phone (out of memory)",
        "10b" => "pp50+tg49 on desk (out of memory)",
        "11a" => "here: pp43 (out of memory).",
        "11b" => "here: pp50+tg42 (out of memory).",
        "12a" | "12b" => "Qwen1.5-0.5B (timed out)",
        _ => "",
    };
    for figure in figures.iter().filter(|f| f.name.number != "13b") {
        let (told, number) = (figure.told.join("\n"), figure.name.number);
        let marked = "other work took part of the machine while this was measured";
        assert!(told.contains(marked), "{number}: {told}");
        assert!(told.contains(absent(number)), "{number}: {told}");
        assert!(figure.svg.contains("(*)") || figure.svg.contains("(hollow)"), "{number}");
        let header = figure.csv.lines().next().unwrap();
        assert!(header.ends_with(",marks") && figure.csv.contains(",disturbed"), "{number}");
    }
    let views: Vec<ReportView> = runs.iter().map(|f| ReportView::new(&f.run, &f.records)).collect();
    let catalogue = Catalogue::built_in().unwrap();
    let runs = Runs::new(&views, &catalogue);
    let page = page::write(&runs, &figures, &[]);
    let line =
        "- desk: BLOOM-1.1B Q4_K_M&#64;2024 llama-cpp pp50+tg49: out of memory: allocation refused";
    assert!(page.contains(line), "{page}");
}

#[test]
fn of_a_cell_in_several_folders_the_one_with_the_most_invocations_counts() {
    let (once, thrice) = (models(1), models(3));
    let mut lost = models(1);
    for record in &mut lost.records {
        record.outcome = Outcome::TimedOut { limit_s: 60 };
    }
    for order in [[&once, &thrice, &lost], [&lost, &thrice, &once]] {
        let views = order.map(|f| ReportView::new(&f.run, &f.records));
        let catalogue = Catalogue::built_in().unwrap();
        let runs = Runs::new(&views, &catalogue);
        assert_eq!((runs.cells.len(), runs.unfinished.len()), (6, 0));
        assert!(runs.cells.iter().all(|m| m.cell.n_invocations == 3));
    }
}

#[test]
fn what_a_format_saves_is_computed_of_both() {
    let (figures, _) = drawn(&everything());
    let decode = figure(&figures, "9b");
    let survey = decode.told.iter().find(|t| t.starts_with("The survey's curves")).unwrap();
    assert!(survey.contains("Q4_K_M 51.5 % (from 44.0 to 56.7 %)"), "{survey}");
    let shape = decode.told.iter().find(|t| t.starts_with("In shape")).unwrap();
    for words in [
        "Q3_K_M is slower than Q4_K_M: no (-",
        ") here, yes (+11.3 %, +9.1 to +13.6)",
        "decode gains more from Q4_K_M than prefill does: yes (",
    ] {
        assert!(shape.contains(words), "{words}: {shape}");
    }
    let prefill = figure(&figures, "9a");
    let survey = prefill.told.iter().find(|t| t.starts_with("The survey's curves")).unwrap();
    assert!(survey.contains("Q4_K_M 26.9 % (from 10.4 to 40.2 %)"), "{survey}");
}

/// Has a format take so many milliseconds for each prompt and each token, by the length.
fn take(fixture: &mut Fixture, quant: &str, ms: impl Fn(u32) -> f64) {
    for record in fixture.records.iter_mut().filter(|r| r.cell.quant == quant) {
        let decode = record.cell.n_gen > 0;
        let n = if decode { record.cell.n_gen + 1 } else { record.cell.n_prompt };
        let ns = (ms(n) * 1e6) as u64;
        for sample in &mut record.samples {
            sample.ttft_ns = Some(ns);
            sample.itl_ns.iter_mut().for_each(|itl| *itl = ns);
        }
    }
}

#[test]
fn formats_are_held_against_each_other_at_the_lengths_that_both_have() {
    let mut run = formats("phi-1.5", &["F16", "Q4_K_M", "Q3_K_M"], "desk");
    take(&mut run, "F16", |n| 20.0 * f64::from(n));
    take(&mut run, "Q4_K_M", |n| 10.0 * f64::from(n));
    // Of this one only the long prompts were measured: faster at each, slower in their mean.
    take(&mut run, "Q3_K_M", |n| 9.0 * f64::from(n));
    run.records.retain(|r| r.cell.quant != "Q3_K_M" || r.cell.n_prompt >= 29);
    let (figures, _) = drawn(&[run]);
    let told = figure(&figures, "9a").told.join("\n");
    assert!(told.contains("Q3_K_M is slower than Q4_K_M: no (-10.0 %, "), "{told}");
    assert!(told.contains("Q4_K_M is the fastest: no (Q3_K_M takes less) here"), "{told}");
    assert!(told.contains("Q6_K is slower than Q8_0: not measured here"), "{told}");
}

#[test]
fn formats_that_take_alike_are_not_told_apart() {
    let mut run = formats("phi-1.5", &["F16", "Q4_K_M", "Q3_K_M"], "desk");
    let wave = |n: u32| if n.is_multiple_of(2) { 1.05 } else { 0.95 };
    take(&mut run, "F16", |n| 20.0 * f64::from(n));
    take(&mut run, "Q4_K_M", |n| 10.0 * f64::from(n) * wave(n));
    take(&mut run, "Q3_K_M", |n| 10.0 * f64::from(n) * wave(n + 1));
    let (figures, _) = drawn(&[run]);
    let told = figure(&figures, "9a").told.join("\n");
    assert!(told.contains("Q3_K_M is slower than Q4_K_M: not told apart ("), "{told}");
    assert!(told.contains("the fastest: not told apart from Q3_K_M here, yes in the"), "{told}");
    assert!(told.contains("shrinks with longer prompts: not told apart ("), "{told}");
}

#[test]
fn files_by_the_rules_of_two_times_are_never_one_curve() {
    let quants = ["F16", "Q4_K_M", "Q4_K_M@2024", "Q3_K_M@2024"];
    let (figures, _) =
        drawn(&[formats("phi-1.5", &quants, "desk"), formats("BLOOM-1.1B", &quants[1..3], "desk")]);
    for number in ["9a", "9b"] {
        let drawn = figure(&figures, number);
        for heading in ["desk, llama-cpp, Q4_K_M", "desk, llama-cpp, Q4_K_M@2024"] {
            assert!(drawn.svg.contains(&format!("\nphi-1.5: {heading}\n")), "{number} {heading}");
        }
        let reductions = drawn.told.iter().filter(|t| t.starts_with("phi-1.5 on desk"));
        assert_eq!(reductions.count(), 2, "{:?}", drawn.told);
        let rows = drawn.csv.lines().filter(|line| line.contains(",phi-1.5,"));
        assert_eq!(rows.count(), 4 * 7, "{}", drawn.csv);
    }
    let told = figure(&figures, "10b").told.join("\n");
    let one =
        "desk, llama-cpp, Q4_K_M@2024 takes 1.0 to 1.0 times what desk, llama-cpp, Q4_K_M takes.";
    assert!(told.contains(one), "{told}");
}

#[test]
fn a_division_by_one_token_too_many_is_found_in_the_curves_of_formats_as_well() {
    let mut run = formats("phi-1.5", &["F16", "Q4_K_M"], "desk");
    take(&mut run, "Q4_K_M", |n| 12.0 * f64::from(n - 1) / f64::from(n));
    let (figures, _) = drawn(&[run]);
    let told = figure(&figures, "9b").told.join("\n");
    assert!(told.contains(" Q4_K_M: 12.00 ms × (n − 1) ÷ n, to 0.00 ms at every length"), "{told}");
    let (figures, _) = drawn(&everything());
    let told = figure(&figures, "9b").told.join("\n");
    assert_eq!(told.matches("None is a constant divided by one token too many.").count(), 2);
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
        // The device stands in the note; behind the model there is little room.
        let shown = &figure(&figures, number).svg;
        assert!(shown.contains("\nreference, Q8_0, pp128\n"), "{number}");
        assert!(sums.values().all(|sum| (sum - 1.0).abs() < 0.002), "{number}: {sums:?}");
    }
}

#[test]
fn invocations_of_a_profile_are_one_bar_with_what_looking_cost() {
    let (figures, _) = drawn(&[profile()]);
    let parts = figure(&figures, "12a");
    assert!(parts.svg.contains("n = 3 invocations: bars are their means"));
    let told = parts.told.iter().find(|t| t.starts_with("Qwen2-0.5B, decode")).unwrap();
    // 350 of 970 in two of them, 620 of 1240 in the third, and what belongs to no operation besides.
    for words in ["3 invocations; looking cost +", "attention 39.7 % (35.1 to 48.9), FFN"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let is_attention = |line: &&str| line.contains(",decode,tg64 @ d128,attention,");
    let row: Vec<&str> = parts.csv.lines().find(is_attention).unwrap().rsplit(',').collect();
    let number = |i: usize| row[i].parse::<f64>().unwrap();
    assert_eq!(row[1], "3");
    assert!((number(4) - 0.397).abs() < 1e-3 && number(3) < number(4) && number(4) < number(2));
    let mut keys = std::collections::BTreeSet::new();
    for line in parts.csv.lines() {
        let key = line.split(',').take(6).map(str::to_owned).collect::<Vec<_>>();
        assert!(keys.insert(key), "two rows of one key: {line}");
    }
}

#[test]
fn measured_memory_is_that_of_the_survey_s_lengths_and_settings() {
    let quant = "Q4_K_M@2024";
    let mut cells = vec![
        cell("Qwen2-0.5B", quant, 11, 0),
        cell("Qwen2-0.5B", "Q4_K_M", 50, 49),
        cell("SmolLM-135M", quant, 50, 49),
        cell("Qwen2-0.5B", quant, 50, 49),
    ];
    cells[2].1.settings.flash_attn = crate::settings::FlashAttn::On;
    cells[2].1.id = cells[2].1.compute_id();
    let mut here = run(cells, 3, "desk");
    for record in here.records.iter_mut().filter(|r| r.cell.model == "SmolLM-135M") {
        record.resolved.as_mut().unwrap().flash_attn = true;
    }
    let there = run(vec![cell("Qwen2-0.5B", quant, 50, 49)], 3, "phone");
    let peak = here.records.last().unwrap().memory.peak_rss_bytes.unwrap() as f64;
    let (figures, _) = drawn(&[here, there]);
    let memory = figure(&figures, "13a");
    let told = memory.told.join("\n");
    assert!(told.contains("Measured here, 1 model takes"), "{told}");
    let measured: Vec<&str> = memory.csv.lines().filter(|l| l.contains("measured")).collect();
    assert_eq!(measured.len(), 2, "{measured:?}");
    let total = format!(",{:.2},3,", peak / f64::from(1 << 20));
    assert!(measured.iter().any(|row| row.contains("desk") && row.contains(&total)), "{total}");
    assert!(memory.svg.contains("llama-cpp 0.1.0 on cpu"), "{told}");
    let none = figure(&figures, "13b");
    assert!(!none.svg.contains("measured"), "no model's longest context is 2048");
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
    assert_eq!(figures.iter().map(|f| f.name.number).collect::<Vec<_>>(), ["13a", "13b"]);
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
    let foreign =
        ["fig1.svg", "figures.csv", "fig08a-first-token.png", "fig08a-first-token-old.svg"];
    for name in foreign {
        std::fs::write(folder.path().join(name), "somebody else's").unwrap();
    }
    let files = write_survey(&views, folder.path()).unwrap();
    assert_eq!((files.written.len(), files.drawn.len()), (27, 13));
    let files = write_survey(&views[..1], folder.path()).unwrap();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, files.written.len() + foreign.len());
    assert!(foreign.iter().all(|name| folder.path().join(name).exists()));
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
