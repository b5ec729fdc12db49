//! The set-up scripts on machines that lack something: a PATH with nothing on it but stand-ins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine made of stand-ins for the programs the scripts call.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A user's machine with everything that is needed, and no package manager.
    fn complete() -> Machine {
        let machine = Machine { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.bin()).unwrap();
        for real in ["cat", "dirname", "env", "find", "grep", "head", "sed", "tr"] {
            let path = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(real));
            let path = path.into_iter().find(|p| p.exists()).unwrap();
            std::os::unix::fs::symlink(path, machine.bin().join(real)).unwrap();
        }
        for present in ["make", "cmake", "rustc"] {
            machine.has(present, "");
        }
        machine.has("uname", "echo Linux");
        machine.has("id", "echo 1000");
        // Answers -print-file-name with a file that is there.
        machine.has("c++", r#"echo "$0""#);
        fs::write(machine.dir.path().join("libclang.so"), "").unwrap();
        // Notes its arguments and flags, and builds a program that repeats its own.
        machine.has(
            "cargo",
            r#"echo "cargo $* [$RUSTFLAGS]${CXXFLAGS:+ [$CXXFLAGS]}" >> "$NOTES"
            program=$CARGO_TARGET_DIR/release/slmbench
            /bin/mkdir -p "$CARGO_TARGET_DIR/release"
            printf '#!/bin/sh\necho "slmbench $*"\n' > "$program"
            /bin/chmod +x "$program""#,
        );
        machine
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Adds a program.
    fn has(&self, name: &str, body: &str) {
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes a program away.
    fn lacks(&self, name: &str) {
        fs::remove_file(self.bin().join(name)).unwrap();
    }

    /// Adds a package manager that brings what it is asked for.
    fn has_apt(&self) {
        self.has(
            "apt-get",
            r#"echo "apt-get $*" >> "$NOTES"
            for package in "$@"; do
                [ "$package" = cmake ] || continue
                echo '#!/bin/sh' > "${0%/*}/cmake"
                /bin/chmod +x "${0%/*}/cmake"
            done"#,
        );
    }

    fn run(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        Command::new("/bin/sh")
            .arg(scripts.join(script))
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", self.dir.path())
            .env("NOTES", self.dir.path().join("notes"))
            .env("LIBCLANG_PATH", self.dir.path())
            .env("SLMBENCH_ROOT", self.dir.path().join("root"))
            .env("CARGO_TARGET_DIR", self.dir.path().join("target"))
            .envs(more.iter().copied())
            .output()
            .unwrap()
    }

    /// What the stand-ins were called with.
    fn notes(&self) -> String {
        fs::read_to_string(self.dir.path().join("notes")).unwrap_or_default()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_missing_is_named_with_the_command_of_this_system() {
    for (manager, command) in [
        ("apt-get", "sudo apt-get install -y --no-install-recommends cmake libclang-dev"),
        ("dnf", "sudo dnf install -y cmake clang-devel"),
        ("pacman", "sudo pacman -S --needed cmake clang"),
        ("apk", "sudo apk add cmake clang-dev"),
        ("brew", "brew install cmake llvm"),
    ] {
        let machine = Machine::complete();
        machine.lacks("cmake");
        machine.has(manager, "exit 1");
        let output = machine.run("slmbench", &["run"], &[("LIBCLANG_PATH", "/nowhere")]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("    {command}\n")), "{said}");
        assert_eq!(machine.notes(), "", "nothing may be installed or built");
    }
}

#[test]
fn the_cxx_library_of_clang_is_not_taken_for_libclang() {
    let machine = Machine::complete();
    fs::rename(
        machine.dir.path().join("libclang.so"),
        machine.dir.path().join("libclang-cpp.so.14"),
    )
    .unwrap();
    let output = machine.run("slmbench", &["run"], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("libclang"), "{}", said(&output));
    assert_eq!(machine.notes(), "", "nothing may be built");
}

#[test]
fn root_gets_what_is_missing_and_then_the_program_runs() {
    let machine = Machine::complete();
    machine.lacks("cmake");
    machine.has_apt();
    machine.has("id", "echo 0");
    let output = machine.run("slmbench", &["run", "--dry-run"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "slmbench run --dry-run\n");
    assert_eq!(
        machine.notes(),
        "apt-get update -qq\n\
         apt-get install -y --no-install-recommends cmake\n\
         cargo build --release --locked --features llama-cpp,download [-C target-cpu=native]\n"
    );
}

#[test]
fn a_user_gets_it_through_sudo_only_with_yes_or_in_ci() {
    for (arguments, more) in [(&["--yes", "list"][..], &[][..]), (&["list"], &[("CI", "true")])] {
        let machine = Machine::complete();
        machine.lacks("cmake");
        machine.has_apt();
        machine.has("sudo", r#"echo sudo >> "$NOTES"; exec "$@""#);
        let output = machine.run("slmbench", arguments, more);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "slmbench list\n");
        assert_eq!(machine.notes().matches("sudo").count(), 2, "{}", machine.notes());
    }
}

#[test]
fn an_installation_that_brings_nothing_ends_with_2() {
    let machine = Machine::complete();
    machine.lacks("make");
    machine.has_apt();
    machine.has("id", "echo 0");
    let output = machine.run("test", &[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("Still missing after the installation:\n  make"));
}

#[test]
fn without_llama_cpp_only_cargo_is_needed() {
    let machine = Machine::complete();
    for tool in ["c++", "make", "cmake"] {
        machine.lacks(tool);
    }
    let output = machine.run("slmbench", &["--no-llama-cpp", "run"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(machine.notes(), "cargo build --release --locked []\n");

    machine.lacks("cargo");
    let output = machine.run("slmbench", &["--no-llama-cpp", "run"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("hint: install Rust"), "{}", said(&output));
}

#[test]
fn backends_become_features_and_the_users_flags_stay() {
    let machine = Machine::complete();
    machine.has("glslc", "");
    let flags = [("RUSTFLAGS", "-C debuginfo=1")];
    let output = machine.run("slmbench", &["--vulkan", "--help"], &flags);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        machine.notes(),
        "cargo build --release --locked --features llama-cpp,download,vulkan \
         [-C debuginfo=1 -C target-cpu=native]\n"
    );
    let output = machine.run("slmbench", &["--metal"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--metal is for macOS"));
}

#[test]
fn on_a_machine_with_amx_llama_cpp_is_built_with_the_mended_header() {
    let machine = Machine::complete();
    fs::create_dir_all(machine.dir.path().join("root/proc")).unwrap();
    let cpuinfo = machine.dir.path().join("root/proc/cpuinfo");
    for (flags, mended) in
        [("flags\t\t: fpu avx2 amx_tile amx_int8", true), ("flags : avx2", false)]
    {
        fs::write(&cpuinfo, format!("processor : 0\n{flags}\n")).unwrap();
        let _ = fs::remove_file(machine.dir.path().join("notes"));
        let ran = machine.run("slmbench", &["list"], &[("CXXFLAGS", "-pipe")]);
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        let notes = machine.notes();
        assert!(notes.contains(" [-pipe"), "{notes}");
        assert_eq!(notes.contains("[-pipe -include "), mended, "{notes}");
        assert_eq!(notes.contains("/shim/gcc_amx.h]"), mended, "{notes}");
    }
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/gcc_amx.h").exists());

    // Flags are words: a checkout whose path has a space in it does without AMX.
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let spaced = machine.dir.path().join("a checkout/scripts");
    fs::create_dir_all(&spaced).unwrap();
    for script in ["slmbench", "setup.sh"] {
        fs::copy(here.join(script), spaced.join(script)).unwrap();
    }
    fs::write(&cpuinfo, "flags : amx_tile\n").unwrap();
    fs::remove_file(machine.dir.path().join("notes")).unwrap();
    let ran = machine.run(spaced.join("slmbench").to_str().unwrap(), &["list"], &[]);
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let notes = machine.notes();
    assert!(notes.contains("[-mno-amx-tile -mno-amx-int8 -mno-amx-bf16]"), "{notes}");
}

#[test]
fn run_test_and_check_build_llama_cpp_with_one_set_of_flags() {
    let machine = Machine::complete();
    for (script, arguments) in
        [("slmbench", &[][..]), ("test", &["--", "--nocapture"]), ("check", &[])]
    {
        let output = machine.run(script, arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{script}: {}", said(&output));
    }
    let notes = machine.notes();
    let test = "cargo test --release --locked --features llama-cpp,download -- --nocapture [";
    assert!(notes.contains(test), "{notes}");
    for line in notes.lines().filter(|l| !l.starts_with("cargo fmt")) {
        assert!(line.contains(" --release "), "{line}");
        assert!(line.ends_with("[-C target-cpu=native]"), "{line}");
    }
}

#[test]
fn models_at_full_shape_are_run_behind_the_other_tests_where_they_are_asked_for() {
    let machine = Machine::complete();
    let output = machine.run("test", &["--full", "--lib"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let notes = machine.notes();
    let ends = ["--lib", "--test it -- --ignored full_shape --nocapture --test-threads=1"];
    assert_eq!(notes.lines().count(), 2, "{notes}");
    for (line, end) in notes.lines().zip(ends) {
        let flags = "--release --locked --features llama-cpp,download";
        assert!(line.starts_with(&format!("cargo test {flags} {end} [")), "{notes}");
    }
}

#[test]
fn a_build_that_fails_says_what_to_do() {
    let machine = Machine::complete();
    machine.has("cargo", "exit 101");
    let output = machine.run("slmbench", &["run"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("could not be built"), "{}", said(&output));
    assert!(said(&output).contains("--no-llama-cpp"), "{}", said(&output));
}
