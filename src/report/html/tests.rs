//! The page of made-up runs: well-formed, harmless whatever a name holds, there for any number of cells.

use super::*;
use crate::report::fixture::{self, Fixture};
use crate::report::{self, ReportView};
use crate::settings::Auto;

fn page(fixture: &Fixture) -> String {
    pages(&[fixture])
}

fn pages(fixtures: &[&Fixture]) -> String {
    let views: Vec<ReportView> =
        fixtures.iter().map(|f| ReportView::new(&f.run, &f.records)).collect();
    report::page(&views)
}

/// Tags that have no end.
const VOID: [&str; 3] = ["meta", "link", "br"];

/// Every tag is closed by its own name, and every attribute by its quotes; style and script are ours.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").expect("a page says what it is");
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..];
        let end = tag.find('>').expect("an open tag ends");
        let tag = &tag[..end];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        rest = &rest[start + 1 + end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "at {}", &rest[..rest.len().min(80)]);
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
            if ["style", "script"].contains(&name) {
                rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// The page without its style and script.
fn body(page: &str) -> &str {
    let start = page.find("<body").unwrap();
    &page[start..page.rfind("<script>").unwrap()]
}

fn all() -> Vec<(&'static str, Fixture)> {
    vec![
        ("matrix", fixture::matrix(3)),
        ("single", fixture::single(1)),
        ("mishaps", fixture::mishaps()),
        ("probed", fixture::probed(3)),
        ("profiled", fixture::profiled()),
        ("mixes", fixture::mixes()),
    ]
}

#[test]
fn a_page_is_well_formed_and_asks_for_nothing() {
    for (name, fixture) in all() {
        let page = page(&fixture);
        assert_well_formed(&page);
        for word in ["src=", "href=\"http", "url(", "@import", "NaN", "inf "] {
            assert!(!body(&page).contains(word), "{name}: {word}");
        }
        assert!(page.len() < 2 << 20, "{name}: {} bytes", page.len());
    }
}

#[test]
fn style_and_script_are_the_ones_that_the_policy_names() {
    let page = page(&fixture::single(1));
    let within = |tag: &str| {
        let from = page.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        let end = page[from..].find(&format!("</{tag}>")).unwrap();
        &page[from..from + end]
    };
    let policy = policy::of(within("style"), within("script"));
    let told = policy.replace('\'', "&#39;");
    assert!(page.contains(&format!("content=\"{told}\"")), "{told}");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"));
    assert!(!body(&page).contains(" style=") && !body(&page).contains(" onclick"));
}

#[test]
fn names_of_strangers_bring_no_markup_into_a_page() {
    let hostile = "</script><img src=x onerror=\"alert(1)\">'`&\u{202e}<!-- ]]>";
    let long = "<b>".repeat(10_000 / 3);
    let mut fixture = fixture::matrix(3);
    for (i, cell) in fixture.run.cells.iter_mut().enumerate() {
        cell.model = if i % 2 == 0 { hostile.to_owned() } else { long.clone() };
        cell.engine = format!("{hostile}{}", i % 3);
    }
    for (i, record) in fixture.records.iter_mut().enumerate() {
        let cell = fixture.run.cells.iter().find(|cell| cell.id == record.cell.id).unwrap();
        record.cell = cell.clone();
        if i % 7 == 0 {
            record.outcome = crate::record::Outcome::OutOfMemory { message: hostile.repeat(50) };
        }
    }
    fixture.run.label = Some(hostile.into());
    fixture.run.suite = long.clone();
    fixture.run.command = hostile.into();
    fixture.run.host.machine = Some(long.clone());
    fixture.run.host.governor = Some(hostile.into());
    for page in [page(&fixture), pages(&[&fixture, &fixture])] {
        assert_well_formed(&page);
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("<img") && !page.contains("<b>") && !page.contains("<!--"));
        assert!(!page.contains('\u{202e}'));
        let longest = page.lines().filter(|l| l.contains("&lt;b&gt;")).map(str::len).max();
        assert!(page.len() < 2 << 20, "{} bytes, longest {longest:?}", page.len());
    }
}

#[test]
fn what_is_missing_is_a_dash_and_no_number_is_not_one() {
    let mut fixture = fixture::matrix(3);
    for sample in fixture.records.iter_mut().flat_map(|r| &mut r.samples) {
        sample.prefill_ns = Some(0);
        sample.itl_ns.iter_mut().for_each(|ns| *ns = 0);
    }
    for record in &mut fixture.records {
        record.memory = Default::default();
        record.model = None;
        record.resolved = None;
    }
    let page = page(&fixture);
    assert_well_formed(&page);
    for word in ["NaN", ">inf", "Infinity"] {
        assert!(!body(&page).contains(word), "{word}");
    }
    assert!(page.contains("<td class=\"r\">–</td>"));
}

#[test]
fn a_run_without_cells_and_one_with_one_have_a_page() {
    let mut none = fixture::single(1);
    none.run.cells.clear();
    none.run.order.clear();
    none.records.clear();
    let page_of_none = page(&none);
    assert_well_formed(&page_of_none);
    assert!(
        page_of_none.contains("id=\"r1-methods\"") && !page_of_none.contains("id=\"r1-cells\"")
    );

    let one = page(&fixture::single(3));
    assert_well_formed(&one);
    for word in
        ["id=\"r1-cells\"", "id=\"r1-speed\"", "id=\"r1-memory\"", "slmbench run quick --seed 7"]
    {
        assert!(one.contains(word), "{word}");
    }
}

#[test]
fn a_section_is_there_where_it_has_data() {
    let sections = |fixture: &Fixture| -> Vec<String> {
        let page = page(fixture);
        let ids = page.split("<section id=\"r1-").skip(1);
        ids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        sections(&fixture::matrix(3)),
        ["speed", "quantisation", "latency", "memory", "engines", "cells", "methods"]
    );
    assert_eq!(sections(&fixture::profiled()), ["time", "methods"]);
    assert!(sections(&fixture::mishaps()).contains(&"unfinished".to_owned()));
}

#[test]
fn the_first_screen_says_what_was_measured_on_what_and_whether_to_believe_it() {
    let text = page(&fixture::mishaps());
    for word in [
        "<title>quick on Bob&#39;s *board* | &#60;b&#62;</title>",
        "Raspberry Pi 5 Model B Rev 1.0 · Cortex-A76",
        "disturbed by other work",
        "llama-cpp is slower than this machine allows: built without AVX2",
        "<dt>Governor</dt><dd>ondemand</dd>",
    ] {
        assert!(text.contains(word), "{word}\n{}", &text[text.find("<main>").unwrap()..][..3000]);
    }
}

#[test]
fn every_picture_has_the_numbers_behind_it_and_tells_what_it_shows() {
    let page = page(&fixture::matrix(3));
    let n = page.matches("<figure").count();
    assert!(n >= 8, "{n}");
    assert!(page.matches("<details class=\"data\">").count() >= n - 2);
    assert!(page.matches("class=\"tip\"").count() > 100);
}

#[test]
fn several_runs_stand_side_by_side_and_each_has_its_part() {
    let base = fixture::matrix(3);
    let mut other = fixture::matrix(3);
    other.run.host.cpu = "Cortex-A72".into();
    other.run.host.machine = Some("Raspberry Pi 4".into());
    for sample in other.records.iter_mut().flat_map(|r| &mut r.samples) {
        sample.itl_ns.iter_mut().for_each(|ns| *ns *= 2);
    }
    let page = pages(&[&base, &other]);
    assert_well_formed(&page);
    for word in [
        "id=\"devices\"",
        "id=\"verdicts\"",
        "id=\"r1-cells\"",
        "id=\"r2-cells\"",
        "quick on Raspberry Pi 4, Cortex-A72, against quick on Raspberry Pi 5",
        "Decode throughput: the same cells in several runs",
        "<td class=\"bad\">regressed</td>",
        "2.00 ×",
    ] {
        assert!(page.contains(word), "{word}");
    }
    // Of one device, what changed is judged.
    let again = pages(&[&base, &base]);
    assert!(again.contains("quick on Raspberry Pi 5 Model B Rev 1.0, Cortex-A76 #2"));
    assert!(again.contains("<td>same</td>"));
}

#[test]
fn five_thousand_cells_make_a_page_that_can_be_used() {
    let mut cells = Vec::new();
    for quant in ["Q8_0", "Q4_0", "F16", "F32"] {
        for n_threads in 1..=25 {
            for depth in 0..50 {
                let ty = quant.parse().unwrap();
                let model = if depth % 2 == 0 { fixture::SMOLLM2 } else { fixture::QWEN25 };
                let mut cell = fixture::cell(model.name, ty, "reference", 64 * depth);
                cell.settings.n_threads = Auto::Fixed(n_threads);
                (cell.n_gen, cell.repetitions) = (8, 2);
                cell.id = cell.compute_id();
                cells.push((model, cell));
            }
        }
    }
    let page = page(&fixture::fixture(cells, 1));
    let rows = page[page.find("id=\"r1-cells\"").unwrap()..].matches("<tr>").count();
    assert_eq!(rows, 5000 + 1);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
}
