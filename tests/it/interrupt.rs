//! The end of the parent, at any moment and by any means.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bench, Ran, records, signal, wait_until};

/// Four cells of three invocations, each some 30 ms long.
const SUITE: &str = "
repetitions = 2
invocations = 3
[[matrix]]
engine = \"fake:load_ms=5,prefill_ms=5,decode_ms=2\"
model = \"tiny-llama\"
quant = \"F16\"
n_prompt = 4
n_gen = 2
n_depth = [0, 1, 2, 3]
";

fn start(bench: &Bench, out: &str) -> Child {
    bench
        .command(&["run", "suite.toml", "--out", out])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&child| parent(child) == Some(pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.rsplit_once(')')?.1.to_owned();
    let mut fields = after_name.split_whitespace();
    // A process that has ended and waits for its parent is gone for our purpose.
    if fields.next()? == "Z" {
        return None;
    }
    fields.next()?.parse().ok()
}

/// (cell, invocation) of every record.
fn pairs(folder: &Path) -> Vec<(String, u64)> {
    records(folder)
        .iter()
        .map(|r| (r["cell"]["id"].as_str().unwrap().to_owned(), r["invocation"].as_u64().unwrap()))
        .collect()
}

#[test]
fn a_killed_parent_takes_its_child_along_and_the_run_can_be_completed() {
    let bench = Bench::new();
    bench.write("suite.toml", SUITE);
    bench.run(&["run", "suite.toml", "--out", "whole"]).ends_with(0);
    let whole: BTreeSet<_> = pairs(&bench.path("whole")).into_iter().collect();
    assert_eq!(whole.len(), 12);

    let mut living = 0;
    for moment in 0..20 {
        let out = format!("out{moment}");
        let mut run = start(&bench, &out);
        let begun =
            wait_until(Duration::from_secs(20), || bench.path(&out).join("run.json").exists());
        assert!(begun, "the run did not begin");
        std::thread::sleep(Duration::from_millis(moment * 23));
        // Stopped, it starts no child between the look and its end.
        signal(run.id(), Signal::STOP);
        let children = children(run.id());
        living += usize::from(!children.is_empty());
        signal(run.id(), Signal::KILL);
        run.wait().unwrap();
        let gone = wait_until(Duration::from_secs(1), || {
            children.iter().all(|&child| parent(child).is_none())
        });
        assert!(gone, "moment {moment}: a child outlived its parent by more than a second");

        bench.run(&["run", "--resume", &out, "--quiet"]).ends_with(0);
        let resumed = pairs(&bench.path(&out));
        let distinct: BTreeSet<_> = resumed.iter().cloned().collect();
        assert_eq!(resumed.len(), distinct.len(), "moment {moment}: an invocation was kept twice");
        assert_eq!(distinct, whole, "moment {moment}");
    }
    assert!(living >= 5, "a child was alive at {living} of 20 moments: nothing was shown");
}

#[test]
fn ctrl_c_leaves_a_whole_journal_and_the_command_that_continues() {
    let bench = Bench::new();
    let slow = SUITE.replace("decode_ms=2", "decode_ms=200");
    bench.write("suite.toml", &slow);
    let run = start(&bench, "out");
    let journal = bench.path("out").join("records.jsonl");
    let first = wait_until(Duration::from_secs(30), || {
        std::fs::metadata(&journal).is_ok_and(|m| m.len() > 0)
    });
    assert!(first, "no record came");
    signal(run.id(), Signal::INT);
    let ran: Ran = run.wait_with_output().unwrap().into();
    let ran = ran.ends_with(130);
    let resume = ran.stderr.lines().last().unwrap().trim().to_owned();
    assert_eq!(resume, "slmbench run --resume out");
    let kept = records(&bench.path("out")).len();
    assert!((1..12).contains(&kept), "{kept} records");
    assert!(bench.path("out").join("cells.csv").exists());

    bench.run(&["run", "--resume", "out", "--quiet"]).ends_with(0);
    assert_eq!(pairs(&bench.path("out")).into_iter().collect::<BTreeSet<_>>().len(), 12);
}

#[test]
fn two_runs_do_not_measure_at_the_same_time() {
    let bench = Bench::new();
    bench.write("suite.toml", &SUITE.replace("decode_ms=2", "decode_ms=100"));
    let mut first = start(&bench, "first");
    let begun = wait_until(Duration::from_secs(20), || !children(first.id()).is_empty());
    assert!(begun);
    let measuring =
        wait_until(Duration::from_secs(20), || bench.path("first/records.jsonl").exists());
    assert!(measuring);
    let ran = bench.run(&["run", "suite.toml", "--out", "second", "--when-busy", "refuse"]);
    let ran = ran.ends_with(2);
    assert!(ran.stderr.contains("another slmbench measures"), "{}", ran.stderr);
    // Even where it takes another lock for the machine's, it keeps off the folder.
    let ran: Ran = bench
        .command(&["run", "--resume", "first"])
        .env("SLMBENCH_LOCK", bench.path("other.lock"))
        .output()
        .unwrap()
        .into();
    let ran = ran.ends_with(2);
    assert!(ran.stderr.contains("in use by another slmbench"), "{}", ran.stderr);
    signal(first.id(), Signal::KILL);
    first.wait().unwrap();
}
