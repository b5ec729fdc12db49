//! `slmbench completions SHELL` and `slmbench man DIR`: for packagers, and for a shell's start-up file.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::report;
use crate::system::said;

const SHELLS: &str = "Examples:
  slmbench completions bash > ~/.local/share/bash-completion/completions/slmbench
  slmbench completions zsh > ~/.zfunc/_slmbench       with ~/.zfunc in fpath
  slmbench completions fish > ~/.config/fish/completions/slmbench.fish";

const PAGES: &str = "Examples:
  slmbench man ~/.local/share/man/man1 && man slmbench-run";

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = SHELLS)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = PAGES)]
pub struct ManArguments {
    /// Folder that the pages are written into
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let name = env!("CARGO_PKG_NAME");
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), name, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes a page for the program and one for each command.
pub fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    report::make_folder(&arguments.dir).or_unwritable()?;
    let named = |e: std::io::Error| format!("{}: {}", arguments.dir.display(), said(&e));
    let write = || -> std::io::Result<()> {
        clap_mangen::generate_to(super::Arguments::command(), &arguments.dir)?;
        for entry in std::fs::read_dir(&arguments.dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(env!("CARGO_PKG_NAME")) && name.ends_with(".1") {
                std::fs::write(&path, with_examples(&std::fs::read_to_string(&path)?))?;
            }
        }
        Ok(())
    };
    write().map_err(named).or_unwritable()?;
    Ok(Exit::Done)
}

/// The page with its examples as they are typed: what is set in is not filled.
fn with_examples(page: &str) -> String {
    let mut out = String::new();
    let mut is_within = false;
    for line in page.lines() {
        let is_example = line.starts_with("  ");
        if is_example != is_within {
            out.push_str(if is_example { ".nf\n" } else { ".fi\n" });
            is_within = is_example;
        }
        out.push_str(if line == ".SH EXTRA" { ".SH EXAMPLES" } else { line });
        out.push('\n');
    }
    out
}
