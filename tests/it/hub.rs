//! Models of `models.toml` that are files: in a folder, in the cache of files from Hugging Face, and
//! fetched from a hub, which here is a thread that speaks a little HTTP.

use std::path::PathBuf;

use crate::support::{Bench, Ran};

/// Wants a mix that no file has, and another.
const SUITE: &str = "
repetitions = 1
probe = \"off\"
invocations = 2
[[matrix]]
engine = \"reference\"
model = [\"mine\"]
quant = [\"F16\", \"Q4_0\"]
n_threads = 1
n_prompt = 4
n_gen = 2
";

const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// The whole models.toml in which `mine` is that.
fn models(origin: &str) -> String {
    format!(
        "[[model]]\nname = \"mine\"\n{origin}\n\n[[model]]\nname = \"other\"\npath = \"no.gguf\"\n"
    )
}

/// A suite, a small file, and a models.toml beside neither.
fn bench(origin: &str) -> Bench {
    let bench = Bench::new();
    bench.write("suite.toml", SUITE);
    bench.write("secret/models.toml", &models(origin));
    std::fs::create_dir_all(bench.path("secret/weights")).unwrap();
    synth(&bench, "1", "secret/weights/m.gguf");
    bench
}

fn synth(bench: &Bench, seed: &str, file: &str) {
    let arguments = ["synth", "tiny-llama", "--quant", "Q8_0", "--seed", seed, "-o", file];
    bench.run(&arguments).ends_with(0);
}

const RUN: &[&str] = &["run", "suite.toml", "--models", "secret/models.toml"];

/// Puts the file where a download of it would have put it.
fn put_in_cache(bench: &Bench, cache: &str) -> PathBuf {
    bench.write(&format!("{cache}/models--owner--repo/refs/main"), COMMIT);
    let folder = format!("{cache}/models--owner--repo/snapshots/{COMMIT}");
    std::fs::create_dir_all(bench.path(&folder)).unwrap();
    let path = bench.path(&folder).join("m.gguf");
    std::fs::copy(bench.path("secret/weights/m.gguf"), &path).unwrap();
    path
}

/// The records of `out` are those of two invocations of the one cell there is, and hold no path.
#[track_caller]
fn check_measured(bench: &Bench, out: &str) {
    let records = bench.records(out);
    assert_eq!(records.len(), 2, "one cell, for a file has one quantisation");
    for record in &records {
        assert_eq!(record["outcome"]["kind"], "finished", "{record}");
        assert_eq!(record["cell"]["model"], "mine");
        assert_eq!(record["cell"]["quant"], "Q8_0");
        assert_eq!(record["model"]["origin"], "file");
        assert_eq!(record["model"]["hash"], record["cell"]["source"]["sha256"]);
    }
    let files = ["run.json", "records.jsonl", "cells.csv", "summary.md"];
    let text = files.map(|file| bench.read(&format!("{out}/{file}"))).concat();
    for word in ["secret", "weights/", "snapshots", "m.gguf"] {
        assert!(!text.contains(word), "{word} is in the results");
    }
}

#[test]
fn a_path_is_seen_from_the_folder_of_its_models_toml() {
    let bench = bench("path = \"weights/m.gguf\"");
    let ran = bench.run(&[RUN, &["--out", "out"]].concat()).ends_with(0);
    assert!(ran.stdout.lines().any(|line| line.starts_with("mine ")), "{}", ran.stdout);
    check_measured(&bench, "out");

    bench.write("models.toml", &models("path = \"secret/weights/m.gguf\""));
    bench.run(&["run", "suite.toml", "--out", "here", "-q"]).ends_with(0);
    check_measured(&bench, "here");
}

#[test]
fn a_run_goes_on_with_the_same_file_and_with_no_other() {
    let bench = bench("path = \"weights/m.gguf\"");
    bench.run(&[RUN, &["--out", "out", "-q"]].concat()).ends_with(0);
    let journal = bench.read("out/records.jsonl");
    let first = journal.split_inclusive('\n').next().unwrap();
    bench.write("out/records.jsonl", first);
    let resume = ["run", "--resume", "out"];
    let ran = bench.run(&resume).ends_with(2);
    assert!(ran.stderr.contains("file mine") && ran.stderr.contains("--models"), "{}", ran.stderr);

    let resume = [&resume[..], &["--models", "secret/models.toml", "-q"]].concat();
    let file = bench.path("secret/weights/m.gguf");
    std::fs::rename(&file, bench.path("kept.gguf")).unwrap();
    let ran = bench.run(&resume).ends_with(2);
    assert!(ran.stderr.contains("no file at secret/weights/m.gguf"), "{}", ran.stderr);
    synth(&bench, "2", "secret/weights/m.gguf");
    let ran = bench.run(&resume).ends_with(2);
    assert!(ran.stderr.contains("no longer what the run was begun with"), "{}", ran.stderr);

    std::fs::rename(bench.path("kept.gguf"), &file).unwrap();
    bench.run(&resume).ends_with(0);
    check_measured(&bench, "out");
}

#[test]
fn a_file_that_is_missing_is_told_with_its_place_before_anything_is_measured() {
    let bench = bench("hf = \"owner/repo:m.gguf\"");
    let ran = bench.run(&[RUN, &["--model", "mine,other"]].concat()).ends_with(2);
    let cache = bench.path("cache/huggingface/hub");
    for said in [
        &format!("model `mine`: owner/repo:m.gguf is not in {}\n", cache.display()),
        "--download",
        "model `other`: no file at secret/no.gguf\n",
    ] {
        assert!(ran.stderr.contains(said), "{said} is missing in:\n{}", ran.stderr);
    }
    assert!(!bench.path("reports").exists());
    // What the plan does not name is not missed.
    let table = models("hf = \"owner/repo:m.gguf\"").replace("no.gguf", "weights/m.gguf");
    bench.write("secret/models.toml", &table);
    let arguments = ["--model", "mine,other", "--filter", "model=other", "--dry-run"];
    bench.run(&[RUN, &arguments[..]].concat()).ends_with(0);
}

#[test]
fn what_another_program_has_fetched_is_found_without_network() {
    let bench = bench("hf = \"owner/repo:m.gguf\"");
    put_in_cache(&bench, "shared");
    let mut command = bench.command(&[RUN, &["--out", "out", "-q"]].concat());
    // Nothing may come of this.
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_CACHE", bench.path("shared"));
    Ran::from(command.output().unwrap()).ends_with(0);
    check_measured(&bench, "out");
}

#[test]
fn inspect_shows_the_file_and_synth_makes_none() {
    let bench = bench("hf = \"owner/repo:m.gguf\"");
    let inspect = ["inspect", "mine", "--models", "secret/models.toml"];
    let ran = bench.run(&inspect).ends_with(2);
    assert!(ran.stderr.contains("owner/repo:m.gguf is not in "), "{}", ran.stderr);
    put_in_cache(&bench, "cache/huggingface/hub");
    let shown = bench.run(&inspect).ends_with(0).stdout;
    let file = bench.run(&["inspect", "secret/weights/m.gguf"]).ends_with(0).stdout;
    let rest = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&shown), rest(&file));
    let ran = bench.run(&[&inspect[..], &["--quant", "F16"]].concat()).ends_with(2);
    assert!(ran.stderr.contains("--quant"), "{}", ran.stderr);

    let synth = ["synth", "mine", "--models", "secret/models.toml", "-o", "made.gguf"];
    let ran = bench.run(&synth).ends_with(2);
    assert!(ran.stderr.contains("`mine` is a file, not a shape"), "{}", ran.stderr);
    assert!(!bench.path("made.gguf").exists());
}

#[cfg(not(feature = "download"))]
#[test]
fn a_build_that_cannot_download_says_so_whether_or_not_it_would_have_to() {
    let bench = bench("path = \"weights/m.gguf\"");
    let ran = bench.run(&[RUN, &["--download"]].concat()).ends_with(2);
    assert!(ran.stderr.contains("cannot download"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--features download"), "{}", ran.stderr);
}

#[cfg(feature = "download")]
mod download {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use sha2::{Digest, Sha256};

    use super::*;

    /// What the hub does when it is asked for a file's content.
    #[derive(Clone, Copy, PartialEq)]
    enum Mood {
        /// Gives it.
        Willing,
        /// Says where it lies, as the real one does with large files.
        Referring,
        /// Breaks off in the middle.
        Cutting,
        /// Falls silent in the middle.
        Silent,
        /// Gives something of the same length.
        Lying,
        /// Knows no such file.
        Refusing,
    }

    /// What was asked: the request's first line, and its headers in lower case.
    struct Asked {
        line: String,
        headers: Vec<String>,
    }

    impl Asked {
        fn header(&self, name: &str) -> Option<&str> {
            self.headers.iter().find_map(|line| Some(line.strip_prefix(name)?.trim()))
        }
    }

    /// A hub with one repository, `owner/repo`, with `m.gguf` in it.
    struct Host {
        endpoint: String,
        mood: Arc<Mutex<Mood>>,
        asked: Receiver<Asked>,
    }

    impl Host {
        fn new(content: Vec<u8>) -> Host {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let mood = Arc::new(Mutex::new(Mood::Willing));
            let (tell, asked) = channel();
            let moods = mood.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mood = *moods.lock().unwrap();
                    // A client that went away is its own business, and the test's.
                    let _ = answer(stream.unwrap(), &content, mood, &tell);
                }
            });
            Host { endpoint, mood, asked }
        }

        fn is(&self, mood: Mood) {
            *self.mood.lock().unwrap() = mood;
        }

        fn command(&self, bench: &Bench, arguments: &[&str]) -> Command {
            let mut command = bench.command(arguments);
            command.env("HF_ENDPOINT", &self.endpoint).env_remove("HF_TOKEN");
            for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
                command.env_remove(proxy).env_remove(proxy.to_lowercase());
            }
            command
        }

        fn run(&self, bench: &Bench, arguments: &[&str]) -> Ran {
            self.command(bench, arguments).output().unwrap().into()
        }

        /// Everything asked since this was last called.
        fn asked(&self) -> Vec<Asked> {
            self.asked.try_iter().collect()
        }
    }

    fn answer(
        stream: TcpStream,
        content: &[u8],
        mood: Mood,
        tell: &Sender<Asked>,
    ) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let line = lines.next().unwrap_or(Ok(String::new()))?;
        let headers = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
        let headers = headers.map(|line| line.to_lowercase()).collect();
        let asked = Asked { line, headers };
        let range = asked.header("range: bytes=").unwrap_or("0-").to_owned();
        let store = "/store/of/m.gguf";
        let is_store = asked.line.starts_with(&format!("GET {store} "));
        let known = is_store || asked.line.starts_with("GET /owner/repo/resolve/main/m.gguf ");
        let host = asked.header("host:").unwrap_or_default().to_owned();
        // Nobody listens any more once the test has ended.
        let _ = tell.send(asked);
        let mut stream = stream;
        if mood == Mood::Refusing || !known {
            return write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        let etag: String =
            Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        if mood == Mood::Referring && !is_store {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nX-Linked-ETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n\
                 ETag: \"none\"\r\nLocation: http://{host}{store}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
        }
        let (from, to) = range.split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to: usize = to.parse().map_or(content.len(), |last: usize| last + 1);
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n\
             Content-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            to - 1,
            content.len(),
            to - from,
        )?;
        let part = &content[from..to];
        match mood {
            _ if part.len() == 1 => stream.write_all(part),
            Mood::Cutting => stream.write_all(&part[..part.len() / 2]),
            Mood::Silent => {
                stream.write_all(&part[..part.len() / 2])?;
                // Until the client is gone.
                stream.read_to_end(&mut Vec::new()).map(|_| ())
            }
            Mood::Lying => stream.write_all(&vec![0; part.len()]),
            Mood::Willing | Mood::Referring | Mood::Refusing => stream.write_all(part),
        }
    }

    /// Files below `folder` that a program could take for a whole one.
    fn whole_files(folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let aside = path.extension().is_some_and(|end| end == "part" || end == "lock");
            if path.is_dir() {
                files.extend(whole_files(&path));
            } else if path.parent().unwrap().file_name().unwrap() != "refs"
                && !aside
                && path.file_name().unwrap() != "lock"
            {
                files.push(path);
            }
        }
        files
    }

    /// A bench whose `mine` is on the hub, and the hub.
    fn with_host() -> (Bench, Host) {
        let bench = bench("hf = \"owner/repo:m.gguf\"");
        let file = bench.path("secret/weights/m.gguf");
        let host = Host::new(std::fs::read(&file).unwrap());
        std::fs::remove_file(file).unwrap();
        (bench, host)
    }

    const DOWNLOAD: &[&str] =
        &["run", "suite.toml", "--models", "secret/models.toml", "--out", "out", "--download"];
    const CACHE: &str = "cache/huggingface/hub";

    #[test]
    fn a_download_that_is_cut_leaves_no_whole_file_and_the_next_goes_on_from_there() {
        let (bench, host) = with_host();
        host.is(Mood::Cutting);
        let ran = host.run(&bench, DOWNLOAD).ends_with(2);
        let said = "error: owner/repo:m.gguf: cannot be downloaded: ";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
        assert_eq!(whole_files(&bench.path(CACHE)), [] as [PathBuf; 0]);
        assert!(!bench.path("out").exists(), "nothing may be measured");
        let ran = host.run(&bench, RUN).ends_with(2);
        assert!(ran.stderr.contains("--download fetches it"), "{}", ran.stderr);
        host.asked();

        host.is(Mood::Willing);
        let ran = host.run(&bench, DOWNLOAD).ends_with(0);
        assert!(ran.stderr.contains("downloading owner/repo:m.gguf"), "{}", ran.stderr);
        let ranges: Vec<String> =
            host.asked().iter().filter_map(|a| Some(a.header("range:")?.to_owned())).collect();
        let last = ranges.last().unwrap();
        assert!(last.ends_with('-') && !last.starts_with("bytes=0"), "{ranges:?}");
        check_measured(&bench, "out");
        // Link and bytes.
        assert_eq!(whole_files(&bench.path(CACHE)).len(), 2);

        // What is there is not asked for again, with or without the option.
        for more in [&["--out", "again", "-q"][..], &["--out", "third", "-q", "--download"]] {
            host.run(&bench, &[RUN, more].concat()).ends_with(0);
            check_measured(&bench, more[1]);
        }
        assert!(host.asked().is_empty(), "the network was touched");
    }

    #[test]
    fn a_hub_that_refers_to_a_store_is_followed() {
        let (bench, host) = with_host();
        host.is(Mood::Referring);
        host.run(&bench, DOWNLOAD).ends_with(0);
        check_measured(&bench, "out");
        assert!(host.asked().iter().any(|asked| asked.line.contains("/store/")));
    }

    #[test]
    fn without_the_option_the_network_is_not_touched() {
        let (bench, host) = with_host();
        host.run(&bench, RUN).ends_with(2);
        host.run(&bench, &["inspect", "mine", "--models", "secret/models.toml"]).ends_with(2);
        assert!(host.asked().is_empty());
    }

    #[test]
    fn what_arrives_damaged_is_removed() {
        let (bench, host) = with_host();
        host.is(Mood::Lying);
        let ran = host.run(&bench, DOWNLOAD).ends_with(2);
        assert!(ran.stderr.contains("not what its hash says; it was removed"), "{}", ran.stderr);
        assert_eq!(whole_files(&bench.path(CACHE)), [] as [PathBuf; 0]);
        host.is(Mood::Willing);
        host.run(&bench, DOWNLOAD).ends_with(0);
    }

    #[test]
    fn a_name_whose_content_is_gone_is_fetched_anew_and_content_that_is_there_is_not() {
        let (bench, host) = with_host();
        host.run(&bench, DOWNLOAD).ends_with(0);
        let repo = bench.path(CACHE).join("models--owner--repo");
        // The name is gone, the content is there: asked about, but not fetched.
        std::fs::remove_dir_all(repo.join("snapshots")).unwrap();
        host.asked();
        host.run(&bench, &["inspect", "mine", "--models", "secret/models.toml", "--download"])
            .ends_with(0);
        assert_eq!(host.asked().len(), 1);
        // The content is gone, the name hangs in the air.
        std::fs::remove_dir_all(repo.join("blobs")).unwrap();
        host.run(&bench, &["inspect", "mine", "--models", "secret/models.toml", "--download"])
            .ends_with(0);
        assert!(host.asked().len() > 1);
    }

    #[test]
    fn a_part_that_leaves_nothing_to_fetch_is_fetched_anew() {
        let (bench, host) = with_host();
        host.is(Mood::Cutting);
        host.run(&bench, DOWNLOAD).ends_with(2);
        let blobs = bench.path(CACHE).join(".slmbench-incoming/models--owner--repo/blobs");
        let parts = std::fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path());
        let part = parts.into_iter().find(|p| p.extension().unwrap() == "part").unwrap();
        std::fs::write(part, vec![0; 1 << 24]).unwrap();
        host.is(Mood::Willing);
        host.run(&bench, DOWNLOAD).ends_with(0);
        check_measured(&bench, "out");
    }

    #[test]
    fn a_hub_that_says_no_is_quoted_and_gets_the_token_next_time() {
        let (bench, host) = with_host();
        host.is(Mood::Refusing);
        let ran = host.run(&bench, DOWNLOAD).ends_with(2);
        assert!(ran.stderr.contains("404"), "{}", ran.stderr);
        assert!(ran.stderr.contains("HF_TOKEN"), "{}", ran.stderr);
        assert!(host.asked().iter().all(|asked| asked.header("authorization:").is_none()));
        let output = host.command(&bench, DOWNLOAD).env("HF_TOKEN", "open sesame").output();
        let ran = Ran::from(output.unwrap()).ends_with(2);
        assert!(!ran.stderr.contains("sesame"), "{}", ran.stderr);
        let asked = host.asked();
        assert_eq!(asked[0].header("authorization:"), Some("bearer open sesame"));
    }

    #[test]
    fn a_download_can_be_stopped_while_the_host_is_silent() {
        let (bench, host) = with_host();
        host.is(Mood::Silent);
        let mut command = host.command(&bench, DOWNLOAD);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Its metadata by us and by the client, then its content.
        for _ in 0..3 {
            let asked = host.asked.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(asked.line.contains("/m.gguf"), "{}", asked.line);
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap()).ends_with(130);
        assert!(ran.stderr.contains("the download was stopped"), "{}", ran.stderr);
        assert_eq!(whole_files(&bench.path(CACHE)), [] as [PathBuf; 0]);
    }

    #[test]
    fn inspect_fetches_where_it_is_told_to() {
        let (bench, host) = with_host();
        let arguments = ["inspect", "mine", "--models", "secret/models.toml", "--download"];
        let ran = host.run(&bench, &arguments).ends_with(0);
        assert!(ran.stdout.contains("Q8_0"), "{}", ran.stdout);
    }
}
