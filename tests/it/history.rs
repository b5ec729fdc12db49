//! The history through the real program: runs of the fake engine, some of them made slower in their
//! journals, as a commit would have made them.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Bench, Ran};

const SUITE: &str = r#"
name = "nightly"
repetitions = 3
invocations = 3

[[matrix]]
engine = "fake:prefill_ms=50,decode_ms=10,noise=1%,clock=scripted"
model = "tiny-llama"
quant = "F16"
n_threads = 2
n_prompt = 64
n_gen = 8
n_depth = [0, 512]
"#;

/// Edits the `run.json` and the records of a run.
fn edit(folder: &Path, change: impl Fn(&mut Value, &mut Vec<Value>)) {
    let text = std::fs::read_to_string(folder.join("run.json")).unwrap();
    let mut run: Value = serde_json::from_str(&text).unwrap();
    let mut records = crate::support::records(folder);
    change(&mut run, &mut records);
    std::fs::write(folder.join("run.json"), run.to_string()).unwrap();
    let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(folder.join("records.jsonl"), lines.concat()).unwrap();
}

/// A run of day `day`, with the seed of that day, by a program built from commit `cDAY`; decode calls
/// take `slower` times as long as they did.
fn nightly(bench: &Bench, day: u32, slower: f64) -> String {
    let folder = format!("reports/day{day:02}");
    bench.write("nightly.toml", SUITE);
    let seed = day.to_string();
    bench
        .run(&["run", "nightly.toml", "--out", &folder, "--seed", &seed, "--no-gate", "--quiet"])
        .ends_with(0);
    edit(&bench.path(&folder), |run, records| {
        let date = format!("2026-10-{day:02}T03:00:00Z");
        run["started_at"] = json!(date);
        run["program"] = json!(format!("slmbench 0.1.0 (c{day:02})"));
        run["host"]["cpu"] = json!("Cortex-A76");
        run["host"]["kernel"] = json!(if day < 10 { "6.6.0" } else { "6.12.0" });
        run["host"]["machine"] = json!("Raspberry Pi 5");
        for record in records {
            record["program"] = run["program"].clone();
            record["started_at"] = json!(date);
            record["marks"] = json!([]);
            record["memory"]["peak_rss_bytes"] = json!(100 << 20);
            for sample in record["samples"].as_array_mut().unwrap() {
                for ns in sample["itl_ns"].as_array_mut().unwrap() {
                    *ns = json!((ns.as_u64().unwrap() as f64 * slower) as u64);
                }
            }
        }
    });
    folder
}

/// Days 1 to `n`, slower by 8 % from day `from` on.
fn nights(bench: &Bench, n: u32, from: u32) {
    for day in 1..=n {
        nightly(bench, day, if day < from { 1.0 } else { 1.08 });
    }
}

fn history(bench: &Bench, arguments: &[&str]) -> Ran {
    bench.run(&[&["history"], arguments, &["--db", "h.db"]].concat())
}

/// What is printed, with what differs from machine to machine and build to build taken out.
fn steady(bench: &Bench, text: &str) -> String {
    let database = Connection::open(bench.path("h.db")).unwrap();
    let mut places = database.prepare("SELECT fingerprint FROM environment ORDER BY 1").unwrap();
    let places: Vec<String> =
        places.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut text = text.to_owned();
    for place in places {
        text = text.replace(&place, "PLACE");
    }
    let lines = text.lines().map(|line| {
        if line.starts_with("PLACE: ") { "PLACE: Raspberry Pi 5, Cortex-A76, …" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every row of every table.
fn dump(path: &Path) -> Vec<String> {
    let database = Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for table in ["environment", "run", "cell", "invocation", "measure"] {
        let mut statement = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let n = statement.column_count();
        let read = statement.query_map([], |row| {
            let values = (0..n).map(|i| format!("{:?}", row.get_ref(i).unwrap()));
            Ok(format!("{table} {}", values.collect::<Vec<_>>().join("|")))
        });
        rows.extend(read.unwrap().map(Result::unwrap));
    }
    rows.sort();
    rows
}

#[test]
fn a_planted_change_is_found_at_its_commit_with_what_changed_beside_it() {
    let bench = Bench::new();
    nights(&bench, 16, 10);
    history(&bench, &["add", "--all", "reports", "--branch", "main"]).ends_with(0);
    let shown = history(&bench, &["show", "--measure", "tpot_ms,prefill_ms"]).ends_with(0);
    insta::assert_snapshot!(steady(&bench, &shown.stdout), @"
    PLACE: Raspberry Pi 5, Cortex-A76, …
    model       quant  engine                           test         runs  first   last      latest change  last 20 runs
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    tiny-llama  F16    fake:prefill_ms…,clock=scripted  pp64           16  49.86  50.08  ms  –              ▁▂▁▁▂▁▂▂▁▁▂▂▁▃▂▂
    tiny-llama  F16    fake:prefill_ms…,clock=scripted  tg8 @ d64      16  10.01  10.79  ms  +8.0 % at c10  ▁▁▁▁▁▁▁▁▁███████
    tiny-llama  F16    fake:prefill_ms…,clock=scripted  pp64 @ d512    16  50.18  50.05  ms  –              ▁▁▁▁▁▂▁▂▁▁▁▁▁▁▁▁
    tiny-llama  F16    fake:prefill_ms…,clock=scripted  tg8 @ d576     16   9.99  10.81  ms  +8.0 % at c10  ▁▁▁▁▁▁▁▁▁███████

    model       quant  engine                    test        date              from  to   before  after      change        p
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    tiny-llama  F16    fake:prefill…ck=scripted  tg8 @ d64   2026-10-10 03:00  c09   c10   10.01  10.81  ms  +8.0 %  < 1e-16
    tiny-llama  F16    fake:prefill…ck=scripted  tg8 @ d576  2026-10-10 03:00  c09   c10   10.00  10.80  ms  +8.0 %  < 1e-16
    c09 → c10 changed as well: kernel: 6.6.0 → 6.12.0
    ");

    let shown = history(&bench, &["show", "--json", "--filter", "n_depth=512"]).ends_with(0);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let series = shown["series"].as_array().unwrap();
    let of = |name: &str| series.iter().find(|s| s["measure"] == name).unwrap();
    let change = &of("tpot_ms")["changes"][0];
    assert_eq!((&change["commit_before"], &change["commit"]), (&json!("c09"), &json!("c10")));
    assert!((change["relative"].as_f64().unwrap() - 0.08).abs() < 0.01, "{change}");
    assert_eq!(change["changed_as_well"], json!(["kernel: 6.6.0 → 6.12.0"]));
    assert_eq!(of("prefill_ms")["changes"], json!([]));
    assert_eq!(of("tpot_ms")["points"].as_array().unwrap().len(), 16);
}

#[test]
fn the_newest_run_is_judged_and_the_exit_code_says_so() {
    let bench = Bench::new();
    nights(&bench, 8, 9);
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    let same = history(&bench, &["check"]).ends_with(0);
    insta::assert_snapshot!(steady(&bench, &same.stdout), @"
    newest run: c08 (2026-10-08 03:00, nightly)
    PLACE: Raspberry Pi 5, Cortex-A76, …

    0 regressed, 0 improved, 0 unclear, 14 same
    ");
    let folder = nightly(&bench, 9, 1.08);
    history(&bench, &["add", &folder]).ends_with(0);
    let slower = history(&bench, &["check"]).ends_with(3);
    insta::assert_snapshot!(steady(&bench, &slower.stdout), @"
    newest run: c09 (2026-10-09 03:00, nightly)
    PLACE: Raspberry Pi 5, Cortex-A76, …

    verdict    model       quant  engine                               test        before    now      change  why
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    regressed  tiny-llama  F16    fake:prefill_ms=5…1%,clock=scripted  tg8 @ d64    10.01  10.79  ms  +7.8 %  changed at c09
    regressed  tiny-llama  F16    fake:prefill_ms=5…1%,clock=scripted  tg8 @ d576   10.01  10.78  ms  +7.7 %  changed at c09

    2 regressed, 0 improved, 0 unclear, 12 same
    ");
    let folder = nightly(&bench, 10, 0.9);
    history(&bench, &["add", &folder]).ends_with(0);
    let faster = history(&bench, &["check", "--json"]).ends_with(0);
    let faster: Value = serde_json::from_str(&faster.stdout).unwrap();
    assert_eq!(faster["places"][0]["counts"]["improved"], json!(2), "{faster}");
}

#[test]
fn what_cannot_be_told_yet_is_unclear_and_an_error_only_where_asked_for() {
    let bench = Bench::new();
    nights(&bench, 2, 9);
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    let ran = history(&bench, &["check", "--measure", "tpot_ms"]).ends_with(0);
    assert!(ran.stdout.contains("2 runs are too few to tell; 5 or more do"), "{}", ran.stdout);
    history(&bench, &["check", "--strict"]).ends_with(6);
    let ran = history(&bench, &["show", "--measure", "tpot_ms"]).ends_with(0);
    assert!(ran.stdout.contains("too short to tell"), "{}", ran.stdout);
}

#[test]
fn a_check_of_nothing_is_an_error_and_not_a_pass() {
    let bench = Bench::new();
    nights(&bench, 6, 9);
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    for narrowed in [["--filter", "model=zz"], ["--cell", "zz"]] {
        let said = history(&bench, &[&["check"][..], &narrowed].concat()).ends_with(2).stderr;
        let [option, value] = narrowed;
        let expected = format!("h.db: no cell of the newest run fits {option} {value}\nhint: ");
        assert!(said.contains(&expected), "{said}");
    }
    let said = history(&bench, &["check", "--branch", "nope"]).ends_with(2).stderr;
    assert!(said.contains("no run of branch `nope`; no run has a branch\nhint: "), "{said}");
    let said = history(&bench, &["check", "--filter", "modl=x"]).ends_with(2).stderr;
    assert!(said.contains("--filter modl=x: unknown key `modl`"), "{said}");
    assert!(said.contains("hint: did you mean `model`?"), "{said}");
    let said = history(&bench, &["check", "--time", "3"]).ends_with(2).stderr;
    assert!(said.contains("a share such as 3%"), "{said}");
    let said = history(&bench, &["show", "--filter", "model=zz"]).ends_with(2).stderr;
    assert!(said.contains("no series fits; there are 6 runs\nhint: "), "{said}");
}

#[test]
fn a_history_that_cannot_be_written_ends_with_7_and_says_why() {
    let bench = Bench::new();
    let folder = nightly(&bench, 1, 1.0);
    let add = |db: &str, code| bench.run(&["history", "add", &folder, "--db", db]).ends_with(code);
    let said = add("nowhere/h.db", 7).stderr;
    assert!(said.contains("nowhere/h.db: there is no folder nowhere"), "{said}");
    let said = add("/dev/full/h.db", 7).stderr;
    assert!(said.contains("/dev/full/h.db: "), "{said}");
    let two = ["history", "add", &folder, "--db", "h.db", "--commit", "a,b"];
    assert!(bench.run(&two).ends_with(2).stderr.contains("expected one commit"));
    assert!(!bench.path("h.db").exists());
}

#[test]
fn another_environment_begins_a_series_of_its_own() {
    let bench = Bench::new();
    nights(&bench, 4, 9);
    edit(&bench.path("reports/day03"), |run, _| run["host"]["governor"] = json!("powersave"));
    edit(&bench.path("reports/day04"), |run, _| run["host"]["governor"] = json!("powersave"));
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    let ran = history(&bench, &["show", "--json", "--measure", "tpot_ms"]).ends_with(0);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    let lengths: Vec<usize> = shown["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| series["points"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [2, 2, 2, 2]);
    assert_eq!(shown["environments"].as_object().unwrap().len(), 2);
}

#[test]
fn adding_twice_adds_nothing_and_a_rebuilt_history_is_the_same() {
    let bench = Bench::new();
    nights(&bench, 3, 9);
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    let first = dump(&bench.path("h.db"));
    let again = history(&bench, &["add", "--all", "reports"]).ends_with(0);
    assert!(again.stdout.ends_with("3 known already\n"), "{}", again.stdout);
    assert_eq!(dump(&bench.path("h.db")), first);

    // The other way round, and one of them twice.
    let folders = ["reports/day03", "reports/day01", "reports/day02", "reports/day03"];
    bench.run(&[&["history", "add"][..], &folders, &["--db", "again.db"]].concat()).ends_with(0);
    assert_eq!(dump(&bench.path("again.db")), first);
    let text = String::from_utf8_lossy(&std::fs::read(bench.path("h.db")).unwrap()).into_owned();
    assert!(!text.contains(bench.path("").to_str().unwrap()), "a path is in it");
    let left: Vec<_> = std::fs::read_dir(bench.path("")).unwrap().map(|e| e.unwrap()).collect();
    assert!(left.iter().all(|e| !e.file_name().to_string_lossy().contains("-wal")), "{left:?}");
}

#[test]
fn folders_that_cannot_be_added_are_told_and_the_others_are_added() {
    let bench = Bench::new();
    nights(&bench, 5, 9);
    bench.write("empty/notes.txt", "");
    edit(&bench.path("reports/day02"), |run, _| run["format"] = json!(99));
    let journal = bench.read("reports/day03/records.jsonl");
    bench.write("reports/day03/records.jsonl", &journal[..journal.len() - 20]);
    bench.write("reports/day04/records.jsonl", &format!("rubbish\n{journal}"));
    let folders = [
        "empty",
        "reports/day05",
        "reports/day01",
        "reports/day02",
        "reports/day03",
        "reports/day04",
    ];
    let ran = history(&bench, &[&["add"][..], &folders].concat()).ends_with(2);
    insta::assert_snapshot!(ran.stdout, @"
    reports/day05: added, 2 cells, 6 invocations, commit c05
    reports/day01: added, 2 cells, 6 invocations, commit c01
    reports/day03: added, 2 cells, 5 invocations, commit c03
    3 added, 3 refused
    ");
    insta::assert_snapshot!(ran.stderr, @"
    error: empty holds no run: there is no run.json
    hint: runs are in reports/ where --out named no other folder
    warning: reports/day01: it began before a run that is there already (2026-10-05T03:00:00.000Z); it stands at its date
    error: reports/day02/run.json: format 99, this program reads up to 1
    hint: use the slmbench that wrote it, or a newer one
    warning: reports/day03: its last record was cut off and is left out
    warning: reports/day03: it began before a run that is there already (2026-10-05T03:00:00.000Z); it stands at its date
    error: reports/day04/records.jsonl:1: not a record, or a damaged one
    hint: take line 1 out; `slmbench run --resume reports/day04` measures it again
    ");
    // What was cut off comes with the next call, and what is there is not lost before.
    bench.write("reports/day03/records.jsonl", &journal);
    let ran = history(&bench, &["add", "reports/day03"]).ends_with(0);
    assert!(ran.stdout.ends_with("1 invocation more\n"), "{}", ran.stdout);
}

#[test]
fn a_run_nothing_of_which_finished_is_remembered_and_adds_to_no_series() {
    let bench = Bench::new();
    nights(&bench, 2, 9);
    edit(&bench.path("reports/day02"), |_, records| {
        for record in records {
            record["outcome"] = json!({"kind": "timed_out", "limit_s": 1});
        }
    });
    let ran = history(&bench, &["add", "--all", "reports"]).ends_with(4);
    assert!(ran.stderr.contains("nothing of it finished: it adds to no series"), "{}", ran.stderr);
    let ran = history(&bench, &["check"]).ends_with(4);
    assert!(ran.stdout.contains("timed out in 3"), "{}", ran.stdout);
}

#[test]
fn a_folder_of_runs_wants_all_and_a_history_that_is_not_there_says_how_to_begin_one() {
    let bench = Bench::new();
    nights(&bench, 1, 9);
    let ran = history(&bench, &["add", "reports"]).ends_with(2);
    assert!(ran.stderr.contains("hint: --all takes them"), "{}", ran.stderr);
    let ran = history(&bench, &["show"]).ends_with(2);
    assert!(ran.stderr.contains("there is no history yet"), "{}", ran.stderr);
    bench.write("h.db", "something else");
    let ran = history(&bench, &["add", "reports/day01"]).ends_with(2);
    assert!(ran.stderr.contains("is no SQLite database"), "{}", ran.stderr);
    assert_eq!(bench.read("h.db"), "something else");
}

#[test]
fn a_branch_is_held_against_main_and_commit_and_date_can_be_told() {
    let bench = Bench::new();
    nights(&bench, 6, 9);
    history(&bench, &["add", "--all", "reports", "--branch", "main"]).ends_with(0);
    let folder = nightly(&bench, 7, 1.1);
    let said = ["--branch", "idea", "--commit", "feedbeef", "--date", "2026-11-02"];
    history(&bench, &[&["add", &folder][..], &said].concat()).ends_with(0);
    let ran = history(&bench, &["check", "--branch", "main"]).ends_with(3);
    assert!(ran.stdout.starts_with("newest run: feedbeef (2026-11-02 00:00, "), "{}", ran.stdout);
    let ran = history(&bench, &["show", "--branch", "main", "--json"]).ends_with(0);
    assert!(!ran.stdout.contains("feedbeef"));
    let ran = history(&bench, &["show", "--branch", "trunk"]).ends_with(2);
    assert!(ran.stderr.contains("no run of branch `trunk`; there are idea, main"));
}

#[test]
fn every_cell_and_place_has_a_picture_and_a_table() {
    let bench = Bench::new();
    nights(&bench, 14, 9);
    history(&bench, &["add", "--all", "reports"]).ends_with(0);
    let ran = history(&bench, &["show", "--plot", "trends", "--csv", "trends"]).ends_with(0);
    // Cells that differ in their lengths alone are told apart, and buffers nobody has are not shown.
    for test in ["peak memory (pp64+tg8) ", "peak memory (pp64+tg8 @ d512) "] {
        assert!(ran.stdout.contains(test), "{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("compute buffer"), "{}", ran.stdout);
    let mut names: Vec<String> = std::fs::read_dir(bench.path("trends"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    let svg = names.iter().find(|name| name.ends_with(".svg")).unwrap();
    let svg = bench.read(&format!("trends/{svg}"));
    for word in ["tiny-llama F16", "date of the run (UTC)", "costs more since", "2026-10-01", "ms"]
    {
        assert!(svg.contains(word), "{word}");
    }
    let table = names.iter().find(|name| name.ends_with(".csv")).unwrap();
    let table = bench.read(&format!("trends/{table}"));
    assert_eq!(table.lines().count(), 15);
    assert!(table.starts_with("time,commit,branch,run,program,prefill_ms,tpot_ms,"), "{table}");
    if let Some(folder) = std::env::var_os("HISTORY_TO_LOOK_AT") {
        for name in names {
            let to = Path::new(&folder).join(&name);
            std::fs::copy(bench.path("trends").join(&name), to).unwrap();
        }
    }
}
