//! Rows read and written back, and everything that is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::eras::{ERAS, as_csv, as_json, as_jsonl};
use super::*;

fn written(
    rows: &[Row],
    write: fn(&[Row], &mut dyn std::io::Write) -> std::io::Result<()>,
) -> String {
    let mut out = Vec::new();
    write(rows, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_era_is_read_and_written_back_to_the_letter() {
    for era in &ERAS {
        let text = as_json(era);
        assert_eq!(written(&read(&text, "f.json").unwrap(), json), text, "{}", era.name);
        let text = as_csv(era);
        assert_eq!(written(&read(&text, "f.csv").unwrap(), csv), text, "{}", era.name);
    }
}

/// Of files that llama-bench itself has written, which are not ours to keep here.
#[test]
#[ignore = "needs files of llama-bench in the folder SLMBENCH_LLAMA_BENCH"]
fn files_of_the_real_tool_lose_nothing() {
    let folder = std::env::var_os("SLMBENCH_LLAMA_BENCH").expect("a folder is named");
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let rows = read(&text, &name).unwrap();
        if name.ends_with(".csv") {
            assert_eq!(written(&rows, csv), text, "{name}");
        } else {
            let values = |text: &str| -> Vec<Value> {
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                if name.ends_with(".jsonl") {
                    lines.collect()
                } else {
                    serde_json::from_str(text).unwrap()
                }
            };
            let write = if name.ends_with(".jsonl") { jsonl } else { json };
            assert_eq!(values(&written(&rows, write)), values(&text), "{name}");
        }
        n += 1;
    }
    assert!(n > 0, "the folder is empty");
}

#[test]
fn json_and_jsonl_of_an_era_are_the_same_rows() {
    for era in &ERAS {
        let rows = read(as_jsonl(era), "f.jsonl").unwrap();
        assert_eq!(rows, read(as_json(era), "f.json").unwrap(), "{}", era.name);
        assert_eq!(read(written(&rows, jsonl), "f.jsonl").unwrap(), rows, "{}", era.name);
    }
}

#[test]
fn every_era_tells_the_same_under_its_own_names() {
    for era in &ERAS {
        for text in [as_json(era), as_jsonl(era), as_csv(era)] {
            let rows = read(&text, "f").unwrap();
            let tests: Vec<String> = rows.iter().map(Row::test).collect();
            assert_eq!(tests, ["pp512", "tg128"], "{}", era.name);
            let row = &rows[0];
            assert_eq!(row.model_type, "llama 1B Q4_K - Medium");
            assert_eq!(row.model_filename.as_deref(), Some("models/it's here, 1b.gguf"));
            assert_eq!((row.avg_ns, row.avg_ts), (1_234_567_891, Some(414.723_456)));
            assert_eq!(row.load_mode(), Some("mmap"), "{}", era.name);
            let on = row.flash_attn.unwrap().is_on();
            assert_eq!(on, era.truth.then_some(false), "{}", era.name);
            let typed = era.keys.split_whitespace().filter(|key| !row.other.contains_key(*key));
            assert_eq!(row.other.len(), era.keys.split_whitespace().count() - typed.count());
        }
        assert_eq!(read(as_csv(era), "f").unwrap()[0].samples_ns, None);
        let samples = read(as_json(era), "f").unwrap().remove(0).samples_ns;
        assert_eq!(samples, Some(vec![1_233_000_000, 1_236_135_782]));
    }
    let old = read(as_json(&ERAS[0]), "f").unwrap();
    assert_eq!((old[0].n_depth, &old[0].other["cuda"]), (None, &json!(false)));
}

#[test]
fn direct_io_is_a_load_mode_of_its_own() {
    let text = as_csv(&ERAS[3]).replace(r#""none","1","0","#, r#""none","1","1","#);
    assert_eq!(read(&text, "f").unwrap()[0].load_mode(), Some("dio"));
}

/// A small file of ours in which one thing is other than it should be.
fn refusal(text: impl AsRef<[u8]>) -> String {
    read(text, "bench.json").unwrap_err().to_string()
}

#[test]
fn a_file_that_breaks_off_is_told_with_what_is_whole() {
    let whole = as_json(&ERAS[4]);
    let without_bracket = whole.trim_end().trim_end_matches(']');
    let open = refusal(without_bracket);
    let in_an_object = &whole[..whole.len() * 3 / 4];
    assert!(
        refusal(in_an_object).starts_with("bench.json:68, row 2: the file ends"),
        "{}",
        refusal(in_an_object)
    );
    let lines = as_jsonl(&ERAS[4]);
    let text = refusal(&lines[..lines.len() - 40]);
    assert!(text.starts_with("bench.json:2, row 2: the file ends"), "{text}");
    let table = as_csv(&ERAS[4]);
    let between = table.rfind(",\"0.750000").unwrap();
    let within = table.len() - 5;
    let behind_a_comma = &table[..=between];
    let all =
        [open, refusal(&table[..between]), refusal(&table[..within]), refusal(behind_a_comma)];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_says_nothing_is_refused_with_its_row() {
    let object = |more: &str| {
        format!(r#"{{"model_type": "llama 1B Q4_0", "n_prompt": 512, "n_gen": 0{more}}}"#)
    };
    let good = object(r#", "avg_ns": 5, "avg_ts": 1.5"#);
    let after_good = |bad: &str| refusal(format!("{good}\n{bad}\n"));
    let all = [
        refusal(""),
        refusal(" \n[\n\n]\n"),
        refusal([0x50, 0xff, 0xfe]),
        refusal(b"SQLite format 3\0\x10"),
        refusal("| model | size |\n| --- | --- |\n"),
        refusal("CREATE TABLE IF NOT EXISTS llama_bench (\n"),
        refusal("main: build = 1234\n"),
        refusal("{\n  \"name\": \"a package\",\n  \"version\": \"1.0\"\n}\n"),
        refusal("[1, 2]"),
        refusal(format!("[{good}] and more")),
        after_good("llama_perf_context_print: load time = 12 ms"),
        after_good(&object("")),
        after_good(&object(r#", "avg_ns": 0"#)),
        after_good(&object(r#", "avg_ns": 7, "samples_ns": [ 7, 0 ]"#)),
        after_good(&object(r#", "avg_ns": 7"#).replace("512", "0")),
        after_good(&object(r#", "avg_ns": 7"#).replace("512", "-1")),
        after_good(&object(r#", "avg_ns": 7, "avg_ns": 8"#)),
        after_good(&object(r#", "avg_ns": "7""#)),
        after_good(&object(r#", "avg_ns": 7, "avg_ts": -nan"#)),
        after_good(&object(r#", "avg_ns": 7, "avg_ts": 1e999"#)),
        refusal("model_type,n_prompt,n_gen,avg_ns,avg_ts\n\"a\",\"1\",\"0\",\"9\",\"nan\"\n"),
        refusal("model_type,n_prompt,n_gen,avg_ns,n_gen\n\"a\",\"1\",\"0\",\"9\",\"1\"\n"),
        refusal("model_type,n_prompt,n_gen,avg_ns\n"),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

/// Text that needs no quotes, text that needs them, and text that no encoding likes.
fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_ ]{0,8}", "[,;\"'|\\\\\n\tä🦀]{0,6}", any::<String>()]
}

prop_compose! {
    /// A row with every kind of field, some of which are missing.
    fn any_row()(
        text in words(),
        name in proptest::option::of(words()),
        (n_prompt, n_gen) in (any::<u64>(), 1u64..u64::MAX),
        (avg_ns, samples) in (1u64.., proptest::collection::vec(1u64.., 1..4)),
        number in any::<i64>(),
        real in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
        truth in any::<bool>(),
        (key, other) in ("[x-z][a-z]{3,9}_?", words()),
    ) -> Row {
        let mut keys = ["model_type", "n_prompt", "n_gen", "avg_ns", "avg_ts", "poll", "use_mmap"]
            .map(str::to_owned)
            .to_vec();
        keys.extend(["model_filename".to_owned(), key.clone(), "samples_ns".to_owned()]);
        Row {
            model_type: text,
            model_filename: name,
            n_prompt,
            n_gen,
            avg_ns,
            avg_ts: Some(real),
            poll: Some(number),
            use_mmap: Some(Switch::Bool(truth)),
            samples_ns: Some(samples),
            other: [(key, Value::from(other))].into(),
            keys,
            ..Row::default()
        }
    }
}

/// What CSV keeps of a row: no samples, truth values as numbers, no text instead of an absent one.
fn as_csv_has_it(mut row: Row) -> Row {
    row.keys.retain(|key| key != "samples_ns");
    row.use_mmap = row.use_mmap.and_then(Switch::is_on).map(|on| Switch::Number(on.into()));
    let name = row.model_filename.take();
    Row { samples_ns: None, model_filename: Some(name.unwrap_or_default()), ..row }
}

proptest! {
    #[test]
    fn nothing_is_lost_on_the_way_through_json(rows in proptest::collection::vec(any_row(), 1..4)) {
        prop_assert_eq!(&read(written(&rows, json), "f").unwrap(), &rows);
        prop_assert_eq!(&read(written(&rows, jsonl), "f").unwrap(), &rows);
    }

    #[test]
    fn csv_loses_samples_alone(row in any_row()) {
        let text = written(std::slice::from_ref(&row), csv);
        prop_assert_eq!(&read(text, "f").unwrap(), &vec![as_csv_has_it(row)]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, "f");
        for begin in ["[", "{", "model_type,n_prompt,n_gen,avg_ns\n"] {
            let _ = read([begin.as_bytes(), &bytes].concat(), "f");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_has_whole_rows_only(
        era in 0..ERAS.len(),
        encoding in 0..3usize,
        at in any::<prop::sample::Index>(),
    ) {
        let text = [as_json, as_jsonl, as_csv][encoding](&ERAS[era]);
        let whole = read(&text, "f").unwrap();
        if let Ok(rows) = read(&text[..at.index(text.len())], "f") {
            prop_assert!(encoding != 0 && rows.len() <= whole.len());
            prop_assert_eq!(&rows[..], &whole[..rows.len()]);
        }
    }

    #[test]
    fn a_file_with_a_spoilt_byte_makes_no_panic(
        era in 0..ERAS.len(),
        encoding in 0..3usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = [as_json, as_jsonl, as_csv][encoding](&ERAS[era]).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes, "f");
    }
}

#[test]
fn a_quote_in_sql_is_doubled() {
    let rows = read(as_json(&ERAS[1]), "f").unwrap();
    let text = written(&rows, sql);
    assert!(text.contains("'models/it''s here, 1b.gguf'"), "{text}");
    assert!(text.starts_with("CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n"));
    assert!(!text.contains("samples_ns"));
}

#[test]
fn a_table_shows_what_departs_from_the_defaults() {
    let rows = read(as_json(&ERAS[4]), "f").unwrap();
    let plain = written(&rows, markdown);
    insta::assert_snapshot!(plain);
}

#[test]
fn records_in_every_encoding_are_as_they_were() {
    let fixture = crate::report::fixture::single(2);
    let rows = rows(&fixture.run, &fixture.records, None);
    for write in [json, jsonl] {
        assert_eq!(read(written(&rows, write), "f").unwrap(), rows);
    }
    let all = [json as fn(&[Row], &mut dyn std::io::Write) -> _, jsonl, csv, sql, markdown];
    insta::assert_snapshot!(all.map(|write| written(&rows[..2], write)).join("\n"));
}
