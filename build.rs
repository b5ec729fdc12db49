//! Bakes into the program who it is (commit, CPU it was compiled for), and with `llama-cpp` builds
//! the shim and takes the compiler's runtime in, so that the executable needs libc only.
//!
//! Works without git and outside of a repository: what is not known is said to be `unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=SLMBENCH_COMMIT={}", commit());
    println!("cargo::rustc-env=SLMBENCH_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=SLMBENCH_TARGET_CPU={}", target_cpu());
    #[cfg(feature = "llama-cpp")]
    llama_cpp();
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The commit this program is built from, `-dirty` behind it when sources differ; `unknown` where
/// there is neither a repository of its own nor a package's note of it.
fn commit() -> String {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    commit_of_repository(&here)
        .or_else(|| commit_of_package(&here))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn git(here: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        // Looking must not write: no refreshed index.
        .arg("--no-optional-locks")
        .args(arguments)
        .current_dir(here)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

fn commit_of_repository(here: &Path) -> Option<String> {
    // A package unpacked somewhere inside another repository is not at that repository's commit.
    let top = PathBuf::from(git(here, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    let head = git(here, &["rev-parse", "HEAD"])?;

    // Built again when HEAD moves, and when a source changes: the mark below depends on it.
    let branch = git(here, &["rev-parse", "--symbolic-full-name", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned);
    for name in names.into_iter().chain(branch) {
        if let Some(path) = git(here, &["rev-parse", "--git-path", &name])
            && here.join(&path).exists()
        {
            println!("cargo::rerun-if-changed={}", here.join(path).display());
        }
    }
    const SOURCES: [&str; 8] = [
        "src",
        "shim",
        "suites",
        "models.toml",
        "devices.toml",
        "build.rs",
        "Cargo.toml",
        "Cargo.lock",
    ];
    for source in SOURCES.iter().filter(|s| here.join(s).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    let status = [&["status", "--porcelain", "--"][..], &SOURCES].concat();
    let dirty = git(here, &status).is_none_or(|changed| !changed.is_empty());
    Some(if dirty { format!("{head}-dirty") } else { head })
}

/// `cargo package` notes the commit in a file of its own.
fn commit_of_package(here: &Path) -> Option<String> {
    let note = std::fs::read_to_string(here.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = note.split_once("\"sha1\"")?;
    let sha = rest.split('"').nth(1)?;
    sha.chars().all(|c| c.is_ascii_hexdigit()).then(|| sha.to_owned())
}

/// What `-C target-cpu` was, of all the flags: the others may hold paths.
fn target_cpu() -> String {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let mut cpu = "baseline";
    for flag in flags.split('\u{1f}') {
        if let Some(value) = flag.trim_start_matches("-C").strip_prefix("target-cpu=") {
            cpu = value;
        }
    }
    cpu.to_owned()
}

#[cfg(feature = "llama-cpp")]
fn llama_cpp() {
    println!("cargo::rerun-if-changed=shim");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(true)
        .file("shim/llama_cpp.cpp")
        // The bindings link the C++ library, statically; cc would add the shared one.
        .cpp_link_stdlib(None)
        .compile("slmbench_shim");
    // Rust's standard library asks for the shared libgcc_s where nothing before it has the
    // unwinder; the static one, named here, has.
    if variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
