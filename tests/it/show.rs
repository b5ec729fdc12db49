//! A run on the terminal, completions, the manual, and colour where it belongs.

use crate::support::Bench;

const SUITE: &str = r#"
name = "shown"
repetitions = 2
invocations = 3
seed = 7

[[matrix]]
engine = ["fake:prefill_ms=50,decode_ms=10,depth_token_us=100,clock=scripted", "fake:crash=prefill"]
model = "tiny-llama"
quant = "F16"
n_threads = 2
n_prompt = 100
n_gen = 40
"#;

fn shown() -> Bench {
    let bench = Bench::new();
    bench.write("shown.toml", SUITE);
    bench.run(&["run", "shown.toml", "--out", "out", "--quiet"]).ends_with(4);
    bench
}

/// The ids that `show` lists, in its order.
fn ids(text: &str) -> Vec<String> {
    let rows = text.lines().skip_while(|line| !line.starts_with("cell ")).skip(2);
    let words = rows.map_while(|line| line.split_whitespace().next());
    let is_id = |word: &&str| word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    words.take_while(is_id).map(str::to_owned).collect()
}

#[test]
fn a_run_is_shown_cell_by_cell_and_nothing_is_written() {
    let bench = shown();
    std::fs::remove_file(bench.path("out/report.html")).unwrap();
    let text = bench.run(&["show", "out"]).ends_with(0).stdout;
    assert!(text.starts_with("shown on "), "{text}");
    // A gap of 10 ms grows by 0.1 ms with every token that is in the cache.
    assert!(text.contains("▁▁▁▁▁▂▂▂▂▃▃▃▃▃▄▄▄▄▅▅▅▅▅▆") && text.contains("crashed"), "{text}");
    assert!(text.ends_with("one of them in full: slmbench show out --cell ID\n"), "{text}");
    assert_eq!(ids(&text).len(), 2, "{text}");
    assert!(!bench.path("out/report.html").exists());
}

#[test]
fn a_cell_is_found_by_the_beginning_of_its_id_and_shown_in_full() {
    let bench = shown();
    let ids = ids(&bench.run(&["show", "out"]).stdout);
    let whole = bench.run(&["show", "out", "--cell", &ids[0]]).ends_with(0).stdout;
    let begun = bench.run(&["show", "out", "--cell", &ids[0][..6]]).ends_with(0).stdout;
    assert_eq!(whole, begun);
    for word in ["outcome: 3 finished of 3 invocations", "ITL p99", "invocation", "token", "┤"] {
        assert!(whole.contains(word), "{word}\n{whole}");
    }
    let both = ["show", "out", "--cell", &ids[1], "--cell", &ids[0]];
    let both = bench.run(&both).ends_with(0).stdout;
    assert!(both.ends_with(&whole) && both.contains("crashed"), "{both}");
}

#[test]
fn a_cell_that_is_not_there_is_an_error_that_says_how_to_find_one() {
    let bench = shown();
    let ran = bench.run(&["show", "out", "--cell", "zzz"]).ends_with(2);
    assert_eq!(
        ran.stderr,
        "error: --cell zzz: no cell of out has an id that begins so\n\
         hint: slmbench show out lists them\n"
    );
    let ran = bench.run(&["show", "out", "--cell", ""]).ends_with(2);
    assert!(ran.stderr.contains("begins the ids of 2 cells"), "{}", ran.stderr);
    bench.run(&["show", "nowhere"]).ends_with(2);
}

#[test]
fn the_end_of_the_log_of_what_crashed_stands_below_it() {
    let bench = shown();
    let ids = ids(&bench.run(&["show", "out"]).stdout);
    let logs: Vec<_> = std::fs::read_dir(bench.path("out/logs")).unwrap().collect();
    let shown = |bench: &Bench| {
        let all: Vec<&str> = ids.iter().flat_map(|id| ["--cell", id]).collect();
        bench.run(&[&["show", "out"], &all[..]].concat()).ends_with(0).stdout
    };
    assert_eq!(shown(&bench).matches("the end of logs/").count(), logs.len());
}

#[test]
fn colour_is_for_terminals_and_for_those_who_force_it() {
    let bench = shown();
    assert!(!bench.run(&["show", "out"]).stdout.contains('\x1b'));
    let forced = |name: &str| {
        let mut command = bench.command(&["show", "out"]);
        command.env("CLICOLOR_FORCE", "1").env(name, "1").output().unwrap()
    };
    assert!(String::from_utf8_lossy(&forced("LANG").stdout).contains("\x1b[31mcrashed"));
    assert!(!String::from_utf8_lossy(&forced("NO_COLOR").stdout).contains('\x1b'));
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.run(&["completions", shell]).ends_with(0).stdout;
        assert!(script.contains("selftest") && script.contains("model-file"), "{shell}");
        assert!(!script.contains("plan-memory"), "{shell}");
    }
    bench.run(&["man", "pages/man1"]).ends_with(0);
    for page in ["slmbench.1", "slmbench-run.1", "slmbench-history-add.1"] {
        let text = bench.read(&format!("pages/man1/{page}"));
        assert!(text.contains(".TH") && text.contains("\n.nf\n  slmbench "), "{page}");
    }
    assert!(!bench.path("pages/man1/slmbench-child.1").exists());
    bench.write("taken", "");
    bench.run(&["man", "taken"]).ends_with(7);
}
